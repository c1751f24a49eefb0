"""Scores against scoringrules, netcal and integration; laws that proper scores obey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust import score


@pytest.fixture
def sr():
    return pytest.importorskip("scoringrules")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_gaussian_scores_agree_with_scoringrules(sr, rng) -> None:
    y, mean, sd = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.1, 3, 50)
    np.testing.assert_allclose(score.crps_gaussian(y, mean, sd), sr.crps_normal(y, mean, sd), rtol=1e-9)
    np.testing.assert_allclose(score.nll_gaussian(y, mean, sd), sr.logs_normal(y, mean, sd), rtol=1e-9)


@pytest.mark.parametrize(("fair", "estimator"), [(False, "nrg"), (True, "fair")])
def test_ensemble_scores_agree_with_scoringrules(sr, rng, fair: bool, estimator: str) -> None:
    y, members = rng.normal(size=(4, 6)), rng.normal(size=(4, 6, 9))
    ours = score.crps_ensemble(y, members, fair)
    np.testing.assert_allclose(ours, sr.crps_ensemble(y, members, estimator=estimator), rtol=1e-9)
    truth, fields = rng.normal(size=(5, 3)), rng.normal(size=(5, 8, 3))
    oracle = sr.energy_score(truth, fields, m_axis=-2, v_axis=-1, estimator=estimator)
    np.testing.assert_allclose(score.energy_score(truth, fields, fair), oracle, rtol=1e-9)


def test_quantile_score_agrees_with_scoringrules(sr, rng) -> None:
    levels = np.array([0.1, 0.5, 0.8])
    y, q = rng.normal(size=20), np.sort(rng.normal(size=(20, 3)), -1)
    np.testing.assert_allclose(score.crps_quantile(y, q, levels), sr.crps_quantile(y, q, levels), rtol=1e-9)


@pytest.mark.parametrize("bins", [5, 15])
def test_ece_agrees_with_netcal(rng, bins: int) -> None:
    metrics = pytest.importorskip("netcal.metrics")
    p = rng.uniform(size=500)
    labels = (rng.uniform(size=500) < p**2).astype(int)
    assert score.ece(p, labels, bins) == pytest.approx(metrics.ECE(bins).measure(p, labels), abs=1e-9)
    classes = rng.dirichlet(np.ones(4), 400)
    truth = rng.integers(0, 4, 400)
    assert score.ece(classes, truth, bins) == pytest.approx(
        metrics.ECE(bins).measure(classes, truth), abs=1e-9
    )


def test_crps_gaussian_is_its_defining_integral() -> None:
    from scipy.stats import norm

    x = np.linspace(-12, 12, 200_001)
    integral = np.trapezoid((norm.cdf(x, 0.3, 1.5) - (x >= 1.0)) ** 2, x)
    assert float(score.crps_gaussian(1.0, 0.3, 1.5)) == pytest.approx(integral, abs=1e-4)


def test_dense_quantiles_approach_the_crps() -> None:
    from scipy.stats import norm

    levels = (np.arange(2000) + 0.5) / 2000
    dense = score.crps_quantile(0.7, norm.ppf(levels), levels)
    assert float(dense) == pytest.approx(float(score.crps_gaussian(0.7, 0, 1)), abs=1e-3)


def test_crps_is_the_energy_score_in_one_dimension(rng) -> None:
    y, members = rng.normal(size=7), rng.normal(size=(7, 5))
    as_vectors = score.energy_score(y[:, None], members[..., None])
    np.testing.assert_allclose(as_vectors, score.crps_ensemble(y, members))


@given(shift=st.floats(0.2, 2), widen=st.floats(1.3, 4))
def test_scores_are_proper(shift: float, widen: float) -> None:
    """On average no forecast beats the true distribution."""
    y = np.random.default_rng(1).normal(size=20000)
    for rule in (score.nll_gaussian, score.crps_gaussian):
        truth = rule(y, 0.0, 1.0).mean()
        assert truth < rule(y, shift, 1.0).mean()
        assert truth < rule(y, 0.0, widen).mean()
        assert truth < rule(y, 0.0, 1 / widen).mean()


def test_nll_binned_approaches_the_gaussian(rng) -> None:
    from scipy.stats import norm

    edges = np.linspace(-8, 8, 1601)
    y = rng.normal(size=100)
    binned = score.nll_binned(y, np.diff(norm.cdf(edges)) / np.diff(norm.cdf(edges)).sum(), edges)
    np.testing.assert_allclose(binned, score.nll_gaussian(y, 0.0, 1.0), atol=0.02)
    edge_cases = score.nll_binned([0.0, 1.0, 2.0, -0.1, 2.1], [0.25, 0.75], [0.0, 1.0, 2.0])
    expected = [-math.log(0.25), -math.log(0.75), -math.log(0.75), np.inf, np.inf]
    np.testing.assert_allclose(edge_cases, expected)


def test_pit_is_uniform_for_a_calibrated_forecast(rng) -> None:
    from scipy.stats import kstest

    y = rng.normal(2, 3, 4000)
    assert kstest(score.pit_gaussian(y, 2, 3), "uniform").pvalue > 0.01
    assert kstest(score.pit_gaussian(y, 2, 1), "uniform").pvalue < 1e-6
    members = np.round(rng.normal(2, 3, (4000, 9)))
    ranked = score.pit_ensemble(np.round(y), members, rng)  # rounding: many ties
    assert kstest(ranked, "uniform").pvalue > 0.01
    narrow = score.pit_ensemble(y, rng.normal(2, 1, (4000, 9)), rng)
    assert kstest(narrow, "uniform").pvalue < 1e-6


def test_coverage_and_wilson() -> None:
    from scipy.stats import binomtest

    assert score.coverage([1, 2, 3, 4], [1, 0, 4, 0], [2, 1, 5, 4]) == 0.5
    for hits, n in ((0, 7), (45, 50), (50, 50)):
        oracle = binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert score.wilson(hits, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: score.crps_gaussian(0, 0, 0),
        lambda: score.nll_gaussian(0, 0, -1),
        lambda: score.pit_gaussian(0, 0, np.nan),
        lambda: score.crps_ensemble(0.0, [1.0], fair=True),
        lambda: score.crps_ensemble([0.0, 1.0], [1.0]),
        lambda: score.energy_score([0.0, 0.0], [[1.0]]),
        lambda: score.crps_quantile(0.0, [1.0], [1.0]),
        lambda: score.crps_quantile(0.0, [1.0, 2.0], [0.5]),
        lambda: score.nll_binned([0.0], [0.5, 0.6], [0, 1, 2]),
        lambda: score.nll_binned([0.0], [0.5, 0.5], [0, 2, 1]),
        lambda: score.ece([0.5], [2]),
        lambda: score.ece([1.5], [1]),
        lambda: score.ece([], []),
        lambda: score.coverage([], [], []),
        lambda: score.wilson(3, 2),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()
