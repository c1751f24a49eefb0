"""Coverage laws, and agreement with mapie and crepes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust import conformal

ALPHAS = st.floats(0.02, 0.5)


@given(n=st.integers(1, 300), alpha=ALPHAS)
def test_quantile_is_the_textbook_rank(n: int, alpha: float) -> None:
    """Scores 1..n: the quantile is its own rank, and infinite exactly where the rank exceeds n."""
    rank = math.ceil(round((n + 1) * (1 - alpha), 9))  # 10 * (1 - 0.7) is 3.0000000000000004 in binary
    assert conformal.quantile(np.arange(1.0, n + 1), alpha) == (rank if rank <= n else math.inf)


@pytest.mark.parametrize(("n", "alpha"), [(50, 0.1), (30, 0.2), (199, 0.05)])
def test_split_covers_at_least_and_at_most_as_proven(n: int, alpha: float) -> None:
    """1 - alpha <= coverage <= 1 - alpha + 1/(n + 1), for continuous scores, over draws of both sets."""
    rng, trials = np.random.default_rng(1), 20000
    scores = rng.standard_cauchy((trials, n + 1))  # heavy tails: no distribution is assumed
    q = np.array([conformal.quantile(row, alpha) for row in scores[:, :-1]])
    covered, error = np.mean(scores[:, -1] <= q), 4 * math.sqrt(alpha * (1 - alpha) / trials)
    assert 1 - alpha - error <= covered <= 1 - alpha + 1 / (n + 1) + error


def test_p_values_are_valid_and_exact() -> None:
    rng, n = np.random.default_rng(2), 40
    p = np.array([conformal.p_values(row[:-1], row[-1:])[0] for row in rng.normal(size=(20000, n + 1))])
    for t in (0.05, 0.25, 0.5):
        assert np.mean(p <= t) <= t + 4 * math.sqrt(t * (1 - t) / len(p))
    assert conformal.p_values([1.0, 2.0], [np.nan])[0] == pytest.approx(1 / 3)


def test_interval_agrees_with_mapie() -> None:
    mapie = pytest.importorskip("mapie.regression")
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (300, 1))
    y = 2 * x[:, 0] + rng.normal(0, 0.5, 300)
    model = LinearRegression().fit(x[:100], y[:100])
    oracle = mapie.SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
    oracle.conformalize(x[100:200], y[100:200])
    center, ends = oracle.predict_interval(x[200:])
    q = conformal.quantile(np.abs(y[100:200] - model.predict(x[100:200])), alpha=0.1)
    low, high = conformal.interval(center, q)
    np.testing.assert_allclose(low, ends[:, 0, 0])
    np.testing.assert_allclose(high, ends[:, 1, 0])


def test_cqr_agrees_with_mapie() -> None:
    mapie = pytest.importorskip("mapie.regression")
    from sklearn.linear_model import QuantileRegressor

    rng = np.random.default_rng(4)
    x = rng.uniform(0, 2, (400, 1))
    y = x[:, 0] * rng.normal(1, 1, 400)
    models = [QuantileRegressor(quantile=q, alpha=0).fit(x[:200], y[:200]) for q in (0.05, 0.95, 0.5)]
    oracle = mapie.ConformalizedQuantileRegressor(models, confidence_level=0.9, prefit=True)
    oracle.conformalize(x[200:300], y[200:300])
    _, ends = oracle.predict_interval(x[300:], symmetric_correction=True)
    low, high = (model.predict(x[200:]) for model in models[:2])
    q = conformal.quantile(conformal.cqr_scores(y[200:300], low[:100], high[:100]), alpha=0.1)
    ours = conformal.cqr_interval(low[100:], high[100:], q)
    np.testing.assert_allclose(ours[0], ends[:, 0, 0], atol=1e-9)
    np.testing.assert_allclose(ours[1], ends[:, 1, 0], atol=1e-9)


def test_mondrian_agrees_with_crepes() -> None:
    crepes = pytest.importorskip("crepes")
    rng = np.random.default_rng(5)
    bins = rng.integers(0, 3, 300)
    residuals = rng.normal(0, 1 + bins)
    oracle = crepes.ConformalRegressor().fit(residuals, bins=bins)
    ends = oracle.predict_int(np.zeros(3), bins=np.arange(3), confidence=0.9)
    ours = conformal.Mondrian.fit(np.abs(residuals), bins.tolist(), alpha=0.1).of([0, 1, 2])
    np.testing.assert_allclose(ours, ends[:, 1])


def test_mondrian_covers_the_hard_group_that_split_misses() -> None:
    rng = np.random.default_rng(6)
    groups = np.array(["easy"] * 900 + ["hard"] * 100)
    held, new = (np.abs(rng.normal(0, np.where(groups == "hard", 5.0, 1.0))) for _ in range(2))
    hard = groups == "hard"
    assert np.mean(new[hard] <= conformal.quantile(held, 0.1)) < 0.7
    own = conformal.Mondrian.fit(held, groups, 0.1).of(groups)
    assert np.mean(new[hard] <= own[hard]) > 0.8
    assert np.mean(new[~hard] <= own[~hard]) > 0.87


@given(scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), alpha=ALPHAS)
def test_equal_weights_are_split_conformal(scores: list[float], alpha: float) -> None:
    weighted = conformal.weighted_quantile(scores, np.ones(len(scores)), 1.0, alpha)
    assert float(weighted) == conformal.quantile(scores, alpha)


def test_weights_restore_coverage_under_shift() -> None:
    """Noise grows with x; held-out x favour small values, new ones large: likelihood ratio x / (1 - x)."""
    rng, alpha, n = np.random.default_rng(7), 0.1, 300
    plain, weighted = [], []
    for _ in range(400):
        held_x, new_x = 1 - np.sqrt(rng.uniform(size=n)), np.sqrt(rng.uniform(size=20))
        held, new = (np.abs(rng.normal(0, x**2 + 0.01)) for x in (held_x, new_x))
        ratio, fresh = held_x / (1 - held_x), new_x / (1 - new_x)
        plain.append(np.mean(new <= conformal.quantile(held, alpha)))
        weighted.append(np.mean(new <= conformal.weighted_quantile(held, ratio, fresh, alpha)))
    assert np.mean(plain) < 0.75
    assert np.mean(weighted) > 1 - alpha - 0.01


@given(
    scores=st.lists(st.floats(0, 1e3), min_size=1, max_size=200),
    alpha=st.floats(0.05, 0.5),
    gamma=st.floats(0.005, 0.5),
)
def test_online_keeps_its_promise_for_any_sequence(scores: list[float], alpha: float, gamma: float) -> None:
    """Proposition 4.1 of Gibbs & Candes 2021: no assumption on the sequence whatever."""
    stream = conformal.Online(alpha, gamma, window=50)
    for score in scores:
        stream.update(score)
    bound = (max(alpha, 1 - alpha) + gamma) / (gamma * len(scores))
    assert abs(stream.misses / stream.steps - alpha) <= bound + 1e-9


def test_online_follows_a_jump_that_split_does_not() -> None:
    rng = np.random.default_rng(8)
    scores = np.abs(rng.normal(0, np.repeat([1.0, 4.0], 1500)))
    q = conformal.quantile(scores[:500], 0.1)
    stream = conformal.Online(0.1, 0.02, window=200)
    missed = [stream.update(float(score)) for score in scores]
    assert np.mean(scores[1500:] > q) > 0.5
    assert abs(np.mean(missed[1500:]) - 0.1) < 0.03


@pytest.mark.parametrize(
    "call",
    [
        lambda: conformal.quantile([1.0, np.nan], 0.1),
        lambda: conformal.quantile([1.0], 0.0),
        lambda: conformal.quantile([1.0], 1.0),
        lambda: conformal.quantile([[1.0]], 0.1),
        lambda: conformal.Mondrian.fit([1.0], ["a", "b"], 0.1),
        lambda: conformal.weighted_quantile([1.0, 2.0], [1.0], 1.0, 0.1),
        lambda: conformal.weighted_quantile([1.0], [-1.0], 1.0, 0.1),
        lambda: conformal.weighted_quantile([1.0], [0.0], 1.0, 0.1),
        lambda: conformal.weighted_quantile([1.0], [1.0], np.nan, 0.1),
        lambda: conformal.Online(0.1, gamma=0.0),
        lambda: conformal.Online(0.1).update(math.nan),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()


def test_an_infinite_quantile_is_infinite_also_where_no_difficulty_is_predicted() -> None:
    """It was NaN to NaN, and NaN holds nothing."""
    assert conformal.interval([1.0, 2.0], np.inf, [0.0, 1.0])[0].tolist() == [-np.inf, -np.inf]
    assert conformal.interval([1.0], 2.0, [0.0])[1].tolist() == [1.0]
