"""Withholding the doubtful lowers the error exactly as far as the doubt is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust.tax import error_against_coverage

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
