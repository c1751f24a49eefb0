"""Straight-line calibration of log-odds."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.trust.platt import Platt


def test_agrees_with_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    p = rng.beta(1, 8, 5000)
    y = rng.random(5000) < p**1.3
    fitted = Platt.fit(p, y, prior=(1e4, 1e4))
    oracle = linear_model.LogisticRegression(C=1e12, tol=1e-10).fit(np.log(p / (1 - p))[:, None], y)
    assert fitted.offset == pytest.approx(oracle.intercept_[0], abs=1e-3)
    assert fitted.slope == pytest.approx(oracle.coef_[0, 0], abs=1e-3)


def test_no_case_changes_little_and_ranking_is_kept() -> None:
    p = np.linspace(0.001, 0.05, 30)
    fitted = Platt.fit(p, np.zeros(30))
    told = fitted(p)
    assert (np.diff(told) > 0).all()
    assert (told < p).all()
    assert told[-1] > 0.005  # the prior holds: not zero because nobody had it


def test_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        truth = rng.beta(1, 6, 800)
        y = rng.random(800) < truth
        distorted = 1 / (1 + np.exp(-(0.3 + 1.1 * np.log(truth / (1 - truth)))))
        low, high = Platt.fit(distorted, y).interval(distorted[:1])
        inside += int(low[0] <= truth[0] <= high[0])
    assert 0.85 <= inside / 300 <= 0.96


def test_spread_widens() -> None:
    fitted = Platt(0.0, 1.0, np.eye(2) * 1e-4)
    narrow, wide = fitted.interval(0.2), fitted.interval(0.2, spread=0.05)
    assert wide[0] < narrow[0] < 0.2 < narrow[1] < wide[1]


@pytest.mark.parametrize(("p", "y"), [([0.5], [2]), ([1.5], [1]), ([], []), ([0.5, 0.5], [1])])
def test_bad_input(p: list[float], y: list[float]) -> None:
    with pytest.raises(BadInput):
        Platt.fit(p, y)
