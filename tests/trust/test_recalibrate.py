"""Recalibration against scipy and scikit-learn, and what it must do to a model that is too sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust.recalibrate import Isotonic, softmax, temperature
from sciai.trust.score import ece


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_and_agrees_with_scipy(true_temperature: float) -> None:
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4000, 5))
    p = softmax(logits, true_temperature)
    labels = (p.cumsum(1) > rng.uniform(size=(4000, 1))).argmax(1)
    rows = np.arange(len(labels))
    oracle = minimize_scalar(
        lambda t: -np.log(softmax(logits, t)[rows, labels]).mean(), bounds=(0.1, 10), method="bounded"
    )
    ours = temperature(logits, labels)
    assert ours == pytest.approx(oracle.x, rel=1e-3)
    assert ours == pytest.approx(true_temperature, rel=0.1)
    assert ece(softmax(logits, ours), labels) < 0.03


def test_temperature_agrees_with_netcal() -> None:
    scaling = pytest.importorskip("netcal.scaling")
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, 3000)
    p = 1 / (1 + np.exp(-logits))
    labels = (rng.uniform(size=3000) < 1 / (1 + np.exp(-logits / 2.5))).astype(int)
    theirs = scaling.TemperatureScaling().fit_transform(p, labels)
    ours = softmax(np.c_[np.zeros(3000), logits], temperature(logits, labels))[:, 1]
    np.testing.assert_allclose(ours, np.ravel(theirs), atol=0.01)


def test_temperature_ends_are_kept() -> None:
    assert temperature([5.0, -5.0], [1, 0]) == 0.01  # always right: as sure as allowed
    assert temperature([5.0, -5.0], [0, 1]) == 100.0  # always wrong: as unsure as allowed


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1), st.floats(0.1, 5)), min_size=1, max_size=40))
def test_isotonic_agrees_with_sklearn(cases: list[tuple[int, int, float]]) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    x, y, w = (np.array(column, float) for column in zip(*cases, strict=True))
    oracle = isotonic.IsotonicRegression(out_of_bounds="clip").fit(x, y, w)
    ours = Isotonic.fit(x, y, w)
    at = np.linspace(-1, 9, 21)
    np.testing.assert_allclose(ours(at), oracle.predict(at), atol=1e-6)
    assert (np.diff(ours.y) >= 0).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: temperature([[1.0, 2.0]], [2]),
        lambda: temperature([[1.0, 2.0]], [0, 1]),
        lambda: temperature([[1.0, np.nan]], [0]),
        lambda: temperature(np.empty((0, 2)), []),
        lambda: Isotonic.fit([], []),
        lambda: Isotonic.fit([1.0], [np.nan]),
        lambda: Isotonic.fit([1.0], [1.0, 2.0]),
        lambda: Isotonic.fit([1.0], [1.0], [0.0]),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()
