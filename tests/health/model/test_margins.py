"""Margins: inverse maps, atoms, tails, bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Kind, default_schema
from sciai.health.model.binned import Binned
from sciai.health.model.margins import Margin, fit_margin

NUMBER = Column("x", Kind.CONTINUOUS, decimals=2, low=-1e6, high=1e6)
COUNT = Column("n", Kind.COUNT, low=0, high=200)
LEVELS = Column("l", Kind.CATEGORICAL, levels=("a", "b", "c"), codes=("a", "b", "c"))


def _values(kind: str, n: int = 3000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "skewed":
        return np.round(np.exp(rng.normal(3, 1, n)), 2)
    if kind == "atom":
        return np.where(rng.random(n) < 0.3, 0.01, np.round(rng.gamma(2, 5, n), 2))
    if kind == "lattice":
        return np.round(rng.normal(140, 3, n))
    return rng.poisson(3, n).astype(float)


KINDS = ["skewed", "atom", "lattice", "count"]


@pytest.mark.parametrize("kind", KINDS)
def test_quantile_is_the_inverse_of_cdf(kind: str) -> None:
    margin = fit_margin(COUNT if kind == "count" else NUMBER, _values(kind))
    u = np.linspace(0.0005, 0.9995, 2001)
    np.testing.assert_allclose(margin.cdf(margin.quantile(u)), u, atol=1e-9)
    x = np.sort(_values(kind, seed=1))
    assert (np.diff(margin.cdf(x)) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_integrates_to_the_cdf(kind: str) -> None:
    margin = fit_margin(COUNT if kind == "count" else NUMBER, _values(kind))
    x = np.unique(
        np.concatenate([margin.edges, np.linspace(margin.quantile(0.001), margin.quantile(0.999), 200_001)])
    )
    middle = (x[1:] + x[:-1]) / 2
    mass = (np.exp(margin.log_density(middle)) * np.diff(x)).sum()
    assert abs(mass - (margin.cdf(x[-1]) - margin.cdf(x[0]))) < 2e-3


@pytest.mark.parametrize("kind", KINDS)
def test_samples_look_like_the_values(kind: str) -> None:
    values = _values(kind, 4000)
    margin = fit_margin(COUNT if kind == "count" else NUMBER, values)
    p = np.repeat(np.diff(margin.bin_edges)[None], 4000, 0)
    drawn = margin.draw(np.cumsum(p, 1), np.random.default_rng(1).random(4000))
    grid = np.unique(values)
    gap = np.searchsorted(np.sort(drawn), grid, "right") - np.searchsorted(np.sort(values), grid, "right")
    assert np.abs(gap).max() / 4000 < 0.04  # two samples of 4000: 1.63 sqrt(2 / 4000) = 0.036 at 1 %
    if kind == "atom":
        assert abs((drawn == 0.01).mean() - (values == 0.01).mean()) < 0.03


def test_values_that_people_like_to_tell_come_as_often_as_they_are_told() -> None:
    """Minutes a week: halves of hours most often, other tens, few fives, nothing in between."""
    rng = np.random.default_rng(0)
    told = np.round(rng.gamma(2.0, 120.0, 12000) / 5) * 5
    kind = rng.random(12000)
    told = np.where(
        kind < 0.8, np.round(told / 30) * 30, np.where(kind < 0.95, np.round(told / 10) * 10, told)
    )
    column = Column("minutes", Kind.CONTINUOUS, low=0, high=20160, decimals=0, step=5)
    margin = fit_margin(column, told)
    drawn = margin.draw(np.broadcast_to(margin.bin_edges[1:], (12000, margin.n_bins)), rng.random(12000))
    assert (drawn % 5 == 0).all()
    for step in (10, 30):
        assert abs((drawn % step == 0).mean() - (told % step == 0).mean()) < 0.05


def test_no_cell_holds_few_people() -> None:
    values = _values("skewed", 5000)
    margin = fit_margin(NUMBER, values, fewest=20)
    inside = np.histogram(values, margin.edges)[0]
    assert inside.min() >= 20
    assert (values < margin.edges[0]).sum() >= 20
    assert (values > margin.edges[-1]).sum() >= 20


def test_no_values_at_all_still_give_a_distribution() -> None:
    margin = fit_margin(COUNT, [np.nan] * 5)
    assert abs(np.diff(margin.bin_edges).sum() - 1) < 1e-12
    assert (np.diff(fit_margin(LEVELS, []).bin_edges) > 0).all()


def test_stored_and_read_back() -> None:
    margin = fit_margin(NUMBER, _values("skewed"))
    again = Margin.from_arrays(NUMBER, margin.to_arrays())
    x = _values("skewed", seed=2)
    np.testing.assert_allclose(again.cdf(x), margin.cdf(x), atol=1e-6)


def _binned(column: Column, values: np.ndarray, n: int, seed: int) -> Binned:
    margin = fit_margin(column, values)
    rng = np.random.default_rng(seed)
    p = rng.gamma(0.7, 1.0, (n, margin.n_bins)) + 1e-6
    return Binned(margin, p / p.sum(1, keepdims=True))


@given(st.integers(0, 1000), st.sampled_from(KINDS))
def test_laws_of_a_predictive(seed: int, kind: str) -> None:
    told = _binned(COUNT if kind == "count" else NUMBER, _values(kind, 800, seed), 5, seed)
    q = told.quantile([0.05, 0.25, 0.5, 0.75, 0.95])
    assert q.shape == (5, 5)
    assert (np.diff(q, axis=1) >= 0).all()
    if kind != "count":
        np.testing.assert_allclose(told.cdf(q), np.tile([0.05, 0.25, 0.5, 0.75, 0.95], (5, 1)), atol=1e-6)
    else:
        # the smallest number whose cdf reaches p
        assert (told.cdf(q) >= np.array([0.05, 0.25, 0.5, 0.75, 0.95]) - 1e-9).all()
        assert (told.cdf(q - 1) <= np.array([0.05, 0.25, 0.5, 0.75, 0.95]) + 1e-9).all()
        whole = np.stack([np.exp(told.log_prob(float(k))) for k in range(0, 201)]).sum(0)
        np.testing.assert_allclose(whole, 1, atol=2e-3)
    draws = told.sample(np.random.default_rng(seed), 4000)
    centre, sd = told.mean(), told.sd()
    bounded = told.quantile(0.999) - told.quantile(0.001)
    assert (np.abs(draws.mean(1) - centre) < 0.08 * np.maximum(sd, 0.05 * bounded) + 1e-9).all()
    assert (told.spread() == 0).all()


def test_levels() -> None:
    told = _binned(LEVELS, np.array([0.0, 1, 2, 2]), 3, 0)
    np.testing.assert_allclose(told.probabilities().sum(1), 1)
    np.testing.assert_allclose(np.exp(told.log_prob(1.0)), told.probabilities()[:, 1])
    np.testing.assert_allclose(told.cdf(1.0), told.probabilities()[:, :2].sum(1))
    with pytest.raises(BadInput, match="no mean"):
        told.mean()
    with pytest.raises(BadInput, match="no levels"):
        _binned(NUMBER, _values("skewed"), 2, 0).probabilities()


def test_members_that_disagree_have_a_spread() -> None:
    margin = fit_margin(default_schema()["dx_gout"], [0.0, 1.0])
    members = np.array([[[0.9, 0.1]], [[0.7, 0.3]]])
    assert abs(Binned(margin, members.mean(0), members).spread()[0] - np.std([0.1, 0.3], ddof=1)) < 1e-12


def test_a_smoothed_margin_tells_new_people_better_and_keeps_what_stands_out() -> None:
    column = Column("amount", Kind.CONTINUOUS, low=0, high=1e6, decimals=2)
    rng = np.random.default_rng(4)

    def drawn(n: int) -> np.ndarray:
        amount = np.round(rng.gamma(4.0, 2.0, n), 2)
        return np.where(rng.random(n) < 0.1, 0.0, amount)  # a tenth have none

    learned, fresh = drawn(4000), drawn(20_000)
    told, margins = {}, {}
    for smoothed in (False, True):
        margin = margins[smoothed] = fit_margin(column, learned, smoothed=smoothed)
        even = np.tile(np.diff(margin.bin_edges), (len(fresh), 1))
        told[smoothed] = Binned(margin, even).log_prob(fresh).mean()
    assert told[True] > told[False] + 0.005
    share = (learned == 0).mean()
    assert margins[True].cdf(0.005) == pytest.approx(share, rel=0.03)
