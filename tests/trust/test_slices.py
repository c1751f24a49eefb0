"""A planted harm is found, none is found where none is, and too few say so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust import slices as module
from sciai.trust.slices import benjamini_yekutieli, holm, matrix, worst


def planted(seed: int, n: int = 3000, effect: float = 0.15) -> tuple[dict, dict]:
    rng = np.random.default_rng(seed)
    slices = {f"slice {k}": rng.random(n) < 0.2 for k in range(12)}
    harms = {
        "false-safe": rng.random(n) < 0.1 + effect * slices["slice 3"],
        "overconfident": rng.normal(size=n),
    }
    return harms, slices


def test_a_planted_harm_is_found_among_many_cells() -> None:
    for seed in range(3):
        cells = matrix(*planted(seed), 0.05, seed=seed)
        assert [(c.slice, c.harm) for c in cells if c.verdict == "harmed"] == [("slice 3", "false-safe")]
        assert worst(cells)[0]["slice"] == "slice 3"


def test_where_nothing_is_planted_little_is_found() -> None:
    blocked = sum(
        any(c.verdict == "harmed" for c in matrix(*planted(seed, 500, 0.0), 0.2, draws=200, seed=seed))
        for seed in range(20)
    )
    assert blocked <= 3  # at a family-wise level of 5 %, 4 or more of 20 happen once in 60 times


def test_a_permutation_p_value_is_uniform_without_effect() -> None:
    p = [
        matrix({"h": rng.normal(size=60)}, {"s": np.arange(60) < 20}, 1.0, draws=200, seed=k)[0].p
        for k in range(150)
        if (rng := np.random.default_rng(k))
    ]
    assert 0.3 < np.mean(np.asarray(p) < 0.5) < 0.7
    assert np.mean(np.asarray(p) <= 0.05) < 0.12


def test_too_few_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    few = np.zeros(2000, bool)
    few[:8] = True
    cell = matrix({"missed": rng.random(2000) < 0.2}, {"few": few}, 0.05)[0]
    assert cell.verdict == "cannot tell"
    assert cell.n == 8
    assert cell.detectable > 0.05


def test_no_harm_found_means_that_one_that_matters_is_ruled_out() -> None:
    rng = np.random.default_rng(2)
    inside = np.arange(600) < 40
    harm = np.where(inside, 0.25, 0.0) + 0.1 * rng.normal(size=600)
    # too many looks for it to survive, but far from ruled out
    noise = {f"noise {k}": rng.random(600) < 0.5 for k in range(300)}
    clusters = np.arange(600) // 10
    cells = matrix({"h": harm}, {"in": inside, **noise}, 0.2, groups=clusters, draws=200)
    assert cells[0].high > 0.2
    assert cells[0].verdict != "no harm found"
    # two volumes are no sample of volumes, however many questions they hold
    two = matrix({"h": 0.1 * rng.normal(size=600)}, {"in": clusters < 2}, 0.2, groups=clusters, draws=200)
    assert two[0].verdict == "cannot tell"


def test_groups_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 50)
    harm = rng.normal(size=30)[groups] + 0.1 * rng.normal(size=1500)
    mask = groups < 10
    alone = matrix({"h": harm}, {"s": mask}, 0.1)[0]
    together = matrix({"h": harm}, {"s": mask}, 0.1, groups=groups)[0]
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.p > alone.p


def test_a_slice_across_groups_is_shuffled_within_them() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 25)
    inside = rng.random(1000) < 0.3
    harm = 5 * rng.normal(size=40)[groups] + rng.normal(size=1000) + 1.0 * inside
    found = matrix({"h": harm}, {"s": inside}, 0.3, groups=groups)[0]
    assert found.verdict == "harmed"


def test_undefined_harms_are_left_out() -> None:
    harm = np.array([1.0, np.nan, 0.0, 0.0, np.nan, 1.0])
    cell = matrix({"h": harm}, {"s": np.array([1, 1, 1, 0, 0, 0], bool)}, 0.1, draws=50)[0]
    assert (cell.n, cell.rate, cell.elsewhere) == (2, 0.5, 0.5)
    empty = matrix({"h": harm}, {"s": np.zeros(6, bool)}, 0.1, draws=50)[0]
    assert (empty.n, empty.verdict) == (0, "cannot tell")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections_are_ordered_and_bounded(p: list[float]) -> None:
    raw, block, explore = np.asarray(p), holm(p), benjamini_yekutieli(p)
    assert (block >= raw - 1e-12).all()
    assert (block <= np.minimum(raw * len(p), 1) + 1e-12).all(), "Holm is never worse than Bonferroni"
    assert (explore >= raw - 1e-12).all()
    order = np.argsort(raw, kind="stable")
    for adjusted in (block, explore):
        assert (np.diff(adjusted[order]) >= -1e-12).all()


def test_corrections_agree_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).random(40) ** 3
    np.testing.assert_allclose(benjamini_yekutieli(p), false_discovery_control(p, method="by"))


@pytest.mark.parametrize(
    ("harms", "slices", "message"),
    [
        ({}, {"s": np.ones(3, bool)}, "nothing to compare"),
        ({"h": np.ones(3)}, {"s": np.ones(3)}, "yes or no"),
        ({"h": np.ones(3)}, {"s": np.ones(4, bool)}, "3 questions"),
        ({"h": ["a", "b"]}, {"s": np.ones(2, bool)}, "numbers"),
        ({"h": [1.0, np.inf]}, {"s": np.ones(2, bool)}, "finite"),
    ],
)
def test_bad_input(harms: dict, slices: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        matrix(harms, slices, 0.1)


def test_what_no_shuffle_reaches_is_not_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    groups, inside = rng.integers(0, 12, 900), rng.random(900) < 0.3
    harm = rng.normal(size=900) + groups / 5

    def p(shift: float) -> float:
        return matrix({"h": harm + shift * inside}, {"s": inside}, 0.1, groups=groups, draws=50)[0].p

    far, near, none = p(1.0), p(0.25), p(0.0)
    monkeypatch.setattr(module, "_BEYOND", np.inf)
    assert p(1.0) == pytest.approx(far)  # drawn, it is the same
    assert far == pytest.approx(1 / 1001)
    assert p(0.25) == near
    assert none > 0.05
