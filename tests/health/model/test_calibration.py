"""What held-out people teach: about a model that is right, and about one that is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sciai.core.answer import jsonable
from sciai.core.errors import CheckpointError
from sciai.health.data.columns import Kind
from sciai.health.model.calibration import (
    Calibration,
    Group,
    age_band,
    decade,
    group_of,
    illness_known,
    labs_known,
)
from sciai.health.model.held_out import calibrate, chain_p, hide_like_a_panel, off_centre
from tests.health.api.exact import NUMBERS, SCHEMA, ExactJoint, Told, human

JOINT = ExactJoint()
NOBODY = np.full((1, len(SCHEMA)), np.nan)


def _people(n: int, seed: int) -> Any:
    return JOINT.sample(np.repeat(NOBODY, n, 0), np.random.default_rng(seed))


TRAIN, HELD = _people(900, 0), _people(700, 1)


class Sure(ExactJoint):
    """The same body, but with half the spread and twice the log-odds."""

    def predictive(self, known: Any, targets: Any) -> Any:
        return {n: self._surer(t) for n, t in super().predictive(known, targets).items()}

    def _surer(self, told: Any) -> Any:
        if told.column.kind is Kind.BINARY:
            p = told.probabilities()[:, 1]
            odds = (p / (1 - p)) ** 2
            return Told(
                told.column, np.ones((told.rows, 1)), np.zeros((told.rows, 1)), 1.0, odds / (1 + odds)
            )
        sd = told.sd().mean() / 2
        return Told(told.column, np.ones((told.rows, 1)), told.mean()[:, None], sd, None)


@pytest.fixture(scope="module")
def content() -> str:
    return json.dumps(jsonable(calibrate(JOINT, HELD, TRAIN, weights=np.ones(900), seed=2), 10**9))


@pytest.fixture(scope="module")
def right(content: str) -> Calibration:
    return Calibration.read(json.loads(content))


def test_a_model_that_is_right_is_left_alone(right: Calibration) -> None:
    for name in (*NUMBERS, "bmi", "non_hdl"):
        if name not in ("w_mec", "age"):  # the survey's own number; never hidden
            assert right.width(name, "all") == (pytest.approx(0.9, abs=0.05), True)
    for name in ("dx_diabetes", "sex"):
        line = right.risk(name)
        assert line.slope == pytest.approx(1, abs=0.25)
        assert line.offset == pytest.approx(0, abs=0.35)
    assert right.people == 700
    assert right.trained_on == 900
    cases, asked = right.cases["dx_diabetes"]
    assert (cases, asked) == (int(TRAIN[:, SCHEMA.index("dx_diabetes")].sum()), 900)
    assert sum(n for n, _ in right.population.values()) == 900
    assert abs(right.groups["dx_diabetes"]["all"].gap) < 0.02


def test_a_model_that_is_too_sure_is_corrected() -> None:
    joint = Sure()
    told = Calibration.read(calibrate(joint, HELD, TRAIN, seed=2))
    # half the spread: a normal's 90 % of the truth is 99.9 % of it
    assert told.width("height_cm", "all")[0] == pytest.approx(0.999, abs=0.002)
    # the truth is 0.5; the prior, which trusts a model to a tenth, holds against it
    assert 0.4 < told.risk("dx_diabetes").slope < 0.8
    assert told.share_stranger(1e-6) > 0.003


def test_intervals_cover_new_people(right: Calibration) -> None:
    fresh = _people(500, 3)
    known = hide_like_a_panel(SCHEMA, fresh, np.random.default_rng(4))
    i = SCHEMA.index("hba1c")
    known[:, i] = np.nan
    width, _ = right.width("hba1c", "all")
    score = off_centre(JOINT.predictive(known, ["hba1c"])["hba1c"], fresh[:, i])
    assert (score <= width).mean() == pytest.approx(0.9, abs=0.04)


def test_strangeness_is_the_share_of_held_out_people(right: Calibration) -> None:
    p = chain_p(JOINT, _people(400, 5))
    share = np.array([right.share_stranger(q) for q in p])
    for level in (0.05, 0.2, 0.5):
        assert (share <= level).mean() == pytest.approx(level, abs=0.07)
    assert right.share_stranger(1e-30) < 1e-3
    assert Calibration().share_stranger(0.3) == 0.3


def test_chain_p_is_uniform_and_order_free_for_gaussians() -> None:
    rows = (
        human()
        .given(sex="M", dx_diabetes=0, rx_insulin=0, death_5y=0, height_cm=190, weight_kg=60)
        .known.values
    )
    p = chain_p(JOINT, rows[None])[0]
    from scipy.stats import chi2

    from tests.health.api.exact import COVARIANCE, centre

    k = [NUMBERS.index("height_cm"), NUMBERS.index("weight_kg")]
    gap = np.array([190.0, 60.0]) - centre((1, 0, 0, 0))[k]
    assert p == pytest.approx(chi2.sf(gap @ np.linalg.solve(COVARIANCE[np.ix_(k, k)], gap), 2))


def test_no_record_of_anybody_is_kept(content: str) -> None:
    weights = [f"{x:.3f}" for x in HELD[:, SCHEMA.index("weight_kg")]]
    assert not any(w in content for w in weights)
    assert len(content) < 30_000


def test_hiding_never_hides_age_and_sex() -> None:
    hidden = hide_like_a_panel(SCHEMA, HELD, np.random.default_rng(0))
    assert np.isfinite(hidden[:, [SCHEMA.index("age"), SCHEMA.index("sex")]]).all()
    share = np.isnan(hidden).mean(0)
    assert 0.3 < share[SCHEMA.index("hba1c")] < 0.9
    assert (np.isnan(hidden) | (hidden == HELD)).all()


def test_groups() -> None:
    assert [age_band(a) for a in (20, 39.9, 40, 59, 60, 80)] == ["20-39"] * 2 + ["40-59"] * 2 + ["60+"] * 2
    assert (decade(64), decade(80), decade(95), decade(20)) == ("60s", "80s", "80s", "20s")
    assert group_of("male", np.nan) == "all"
    group = Group(100, 30, 20.0)
    assert group.gap == pytest.approx(-0.1)
    assert group.z == pytest.approx(-10 / np.sqrt(100 * 0.2 * 0.8))


def test_illness_known() -> None:
    rows = np.repeat(NOBODY, 2, 0)
    rows[1, SCHEMA.index("rx_insulin")] = 0
    assert illness_known(SCHEMA, rows).tolist() == [False, True]
    assert illness_known(SCHEMA, rows, "rx_insulin").tolist() == [False, False]


def test_a_line_of_its_own_where_the_laboratory_is_known() -> None:
    told = calibrate(JOINT, HELD, TRAIN, seed=2, passes=1)["health"]
    told["measured"]["dx_diabetes"]["offset"] = 1.5
    found = Calibration.read({"health": told})
    rows = np.repeat(NOBODY, 3, 0)
    rows[1:, SCHEMA.index("hba1c")] = 6.0  # one of three
    rows[2, SCHEMA.index("rx_insulin")] = 0
    assert labs_known(SCHEMA, rows).tolist() == [False, True, True]
    offsets = np.full(3, np.nan)
    for line, own in found.lines(SCHEMA, rows, "dx_diabetes"):
        offsets[own] = line.offset
    assert offsets.tolist() == [
        found.risks["dx_diabetes"].offset,
        1.5,
        found.told["dx_diabetes"].offset,
    ]


def test_a_card_without_or_with_a_broken_calibration() -> None:
    empty = Calibration.read({})
    assert empty.people == 0
    assert empty.width("sbp", "all") == (0.9, False)
    assert float(empty.risk("dx_gout")(0.3)) == pytest.approx(0.3)
    low, high = empty.risk("dx_gout").interval(0.3)
    assert low < 0.3 < high
    with pytest.raises(CheckpointError, match="calibration"):
        Calibration.read({"health": {"version": 99}})
    with pytest.raises(CheckpointError, match="calibration"):
        Calibration.read({"health": {"version": 1, "people": "many"}})
