"""Withholding the doubtful lowers the error exactly as far as the doubt is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust.tax import cost_of_checks, error_against_coverage

errors = st.lists(st.floats(0, 10), min_size=2, max_size=40)


@given(errors)
def test_knowing_the_errors_is_the_oracle(error: list[float]) -> None:
    curve = error_against_coverage(error, error)
    np.testing.assert_allclose(curve.error, curve.oracle)
    assert curve.at(1.0) == pytest.approx(np.mean(error))


@given(errors)
def test_a_doubt_that_is_the_same_everywhere_gains_nothing(error: list[float]) -> None:
    curve = error_against_coverage(error, np.ones(len(error)))
    np.testing.assert_allclose(curve.error, np.mean(error))
    assert curve.gain == pytest.approx(0, abs=1e-9)


def test_a_misleading_doubt_shows() -> None:
    error = np.linspace(0, 1, 50)
    assert error_against_coverage(error, -error).gain < -0.5
    noisy = error + np.random.default_rng(0).normal(0, 0.3, 50)
    assert 0.3 < error_against_coverage(error, noisy).gain < 1
    assert error_against_coverage(error, error).summary()["error_at_50%"] < 0.26


@pytest.mark.parametrize(("error", "doubt"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0])])
def test_bad_input(error: list[float], doubt: list[float]) -> None:
    with pytest.raises(BadInput):
        error_against_coverage(error, doubt)


def test_the_cost_of_checks_is_a_share_of_the_same_work() -> None:
    clock = [0.0]

    def spend(seconds: float) -> None:
        clock[0] += seconds

    asked: list[str] = []

    def ask(k: int) -> None:
        asked.append("checked")
        spend(0.010 + (0.1 if k == 9 else 0.0))  # one answer needs a slow check

    def bare(k: int) -> None:
        asked.append("bare")
        spend(0.008)

    cost = cost_of_checks(ask, bare, 20, warm=2, clock=lambda: clock[0])
    assert cost.share == pytest.approx(0.2)
    assert cost.answers == 20
    assert cost.answer_ms == pytest.approx(10)
    assert cost.bare_ms == pytest.approx(8)
    assert cost.mean == pytest.approx((20 * 0.002 + 0.1) / (20 * 0.01 + 0.1))
    assert asked[:4] == ["bare", "checked", "checked", "bare"]  # in turns, in changing order
    with pytest.raises(BadInput):
        cost_of_checks(ask, bare, 1)
