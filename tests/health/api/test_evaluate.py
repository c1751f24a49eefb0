"""The figures of a joint model: they are what they are called, and the inputs leak nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sciai.core.errors import BadInput
from sciai.health.api.evaluate import Evaluation, auroc, evaluate, figures
from sciai.health.api.predictions import Prediction, bin_edges, predict
from sciai.health.data.leaks import leaks_of
from sciai.health.model.calibration import Calibration
from sciai.trust.platt import Platt
from tests.health.kernel_joint import SCHEMA, KernelJoint, people

TRAIN, TEST = people(400, seed=1), people(300, seed=2)


@pytest.fixture(scope="module")
def joint() -> KernelJoint:
    return KernelJoint(TRAIN, width=0.4)


@pytest.fixture(scope="module")
def found(joint: KernelJoint) -> Evaluation:
    return evaluate(joint, TEST, "check-up", reference=TRAIN)


def test_the_area_under_the_curve_is_that_of_scikit_learn_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    score, yes = rng.integers(0, 6, 200) / 5, rng.random(200) < 0.3
    assert auroc(score, yes) == pytest.approx(roc_auc_score(yes, score))
    with pytest.raises(BadInput, match="both answers"):
        auroc([0.1, 0.2], [1, 1])


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=80), st.integers(2, 60))
def test_edges_lie_between_values_and_bins_are_no_more_than_asked_for(values: list[int], most: int) -> None:
    edges = bin_edges(values, most)
    assert not set(edges.tolist()) & set(map(float, values))
    assert (np.diff(edges) > 0).all()
    assert len(edges) < most
    if len(edges):
        assert min(values) < edges[0]
        assert edges[-1] < max(values)


def test_bins_hold_about_equally_many() -> None:
    counts = np.bincount(np.searchsorted(bin_edges(np.arange(1000.0), 50), np.arange(1000.0)))
    assert len(counts) == 50
    assert 19 <= counts.min() <= counts.max() <= 21


def test_nothing_known_in_nobody_is_said_so() -> None:
    with pytest.raises(BadInput, match="no values"):
        bin_edges([np.nan])


def test_a_perfect_and_an_ignorant_prediction_get_the_figures_they_deserve() -> None:
    bins = np.array([0, 1, 1, 0])
    nothing = np.full(4, np.nan)
    sure = Prediction("dx", "binary", np.arange(4), bins * 1.0, bins, np.eye(2)[bins], nothing, nothing)
    score = figures(sure)
    assert score.nll == pytest.approx(0, abs=1e-5)
    assert (score.auroc, score.brier, score.ece, score.cases) == (1.0, 0.0, 0.0, 2)
    guess = Prediction("dx", "binary", np.arange(4), bins * 1.0, bins, np.full((4, 2), 0.5), nothing, nothing)
    score = figures(guess)
    assert score.nll == pytest.approx(np.log(2)) == score.marginal
    assert (score.auroc, score.brier) == (0.5, 0.25)


def test_an_impossible_truth_costs_much_but_not_everything() -> None:
    nothing = np.full(2, np.nan)
    wrong = Prediction(
        "dx", "binary", np.arange(2), np.ones(2), np.array([1, 1]), np.eye(2)[[0, 0]], nothing, nothing
    )
    assert 13 < figures(wrong).nll < 14


def test_knowing_the_person_beats_the_marginal_and_intervals_cover(found: Evaluation) -> None:
    by_name = {c.target: c for c in found.columns}
    assert set(by_name) == set(SCHEMA.names)
    # what the invented people were made with: blood pressure follows age, HbA1c follows diabetes
    for name in ("sbp", "sex", "dx_diabetes"):
        assert by_name[name].nll < by_name[name].marginal - 0.02
    assert by_name["dx_diabetes"].auroc > 0.85
    assert by_name["sbp"].n == int((~np.isnan(TEST[:, SCHEMA.index("sbp")])).sum())
    assert 0.82 < found.summary()["coverage"] < 0.99
    assert np.isnan(by_name["sbp"].auroc)
    assert np.isnan(by_name["sex"].coverage)


def test_a_table_and_its_array_are_scored_alike(joint: KernelJoint) -> None:
    table = SCHEMA.decode(TEST)
    assert isinstance(table, pd.DataFrame)
    first = evaluate(joint, table, "basic", ["sex"])
    assert str(first) == str(evaluate(joint, SCHEMA.encode(table), "basic", ["sex"]))


def test_columns_few_people_have_are_skipped_with_a_reason(joint: KernelJoint) -> None:
    gaps = TEST.copy()
    gaps[5:, SCHEMA.index("sbp")] = np.nan
    found = evaluate(joint, gaps, "all")
    assert "sbp" not in {c.target for c in found.columns}
    assert found.skipped == {"sbp": found.skipped["sbp"]}
    assert "20 are needed" in found.skipped["sbp"]


def test_targets_and_what_gives_them_away_are_never_shown(joint: KernelJoint) -> None:
    shown: dict[str, set[str]] = {}

    class Spy:
        schema = SCHEMA

        def predictive(self, known, targets):  # type: ignore[no-untyped-def]
            seen = {n for n, there in zip(SCHEMA.names, ~np.isnan(known).all(0), strict=True) if there}
            shown.update(dict.fromkeys(targets, seen))
            return joint.predictive(known, targets)

    evaluate(Spy(), TEST, "all")  # type: ignore[arg-type]
    assert set(shown) == set(SCHEMA.names)
    assert all(not seen & ({target} | leaks_of(target)) for target, seen in shown.items())
    assert shown["sbp"] == set(SCHEMA.names) - {"sbp", "dx_hypertension"}
    shown.clear()
    evaluate(Spy(), TEST, "basic")  # type: ignore[arg-type]
    assert shown["dx_diabetes"] == {"age", "sex", "weight_kg", "sbp"}


def test_calibration_moves_risks_and_intervals(joint: KernelJoint) -> None:
    calibration = Calibration(
        widths={"sbp": {"all": 0.9, "female|20-39": 0.1}},
        risks={"dx_diabetes": Platt(-9.0, 1.0, np.eye(2))},
    )
    edges = {"sbp": bin_edges(TRAIN[:, SCHEMA.index("sbp")])}
    plain = predict(joint, TEST, "basic", ["sbp", "dx_diabetes"], edges)
    moved = predict(joint, TEST, "basic", ["sbp", "dx_diabetes"], edges, calibration)
    assert moved["dx_diabetes"].probabilities[:, 1].max() < 0.05
    rows = plain["sbp"].rows
    young = (TEST[rows, SCHEMA.index("sex")] == 0) & (TEST[rows, SCHEMA.index("age")] < 40)
    before, after = (p["sbp"].upper - p["sbp"].lower for p in (plain, moved))
    assert (after[young] < 0.3 * before[young]).all()
    np.testing.assert_allclose(after[~young], before[~young])


def test_blocks_of_rows_make_no_difference(joint: KernelJoint) -> None:
    whole = predict(joint, TEST, "basic", ["sex", "dx_diabetes"], {})
    pieces = predict(joint, TEST, "basic", ["sex", "dx_diabetes"], {}, rows_at_once=37)
    for name, one in whole.items():
        np.testing.assert_array_equal(one.rows, pieces[name].rows)
        np.testing.assert_allclose(one.probabilities, pieces[name].probabilities)


@pytest.mark.parametrize(
    ("table", "inputs", "targets", "words"),
    [
        (np.empty((0, len(SCHEMA))), "basic", None, "no rows"),
        (np.ones((5, 2)), "basic", None, "columns"),
        (TEST, "everything", None, "input set"),
        (TEST, "basic", ["height"], "no column"),
    ],
)
def test_bad_input_is_named(joint: KernelJoint, table, inputs, targets, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=words):
        evaluate(joint, table, inputs, targets)
