"""What the limits catch, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.trust import limits

ANY = arrays(float, st.integers(1, 6), elements=st.floats(allow_nan=True, allow_infinity=True))


@given(ANY)
def test_finite_speaks_exactly_where_something_is_not(values: np.ndarray) -> None:
    assert bool(limits.finite(values, "x")) == (not np.isfinite(values).all())


@given(ANY, st.floats(-10, 0), st.floats(0, 10))
def test_range_speaks_exactly_where_something_is_out(values: np.ndarray, low: float, high: float) -> None:
    inside = all(low <= v <= high for v in values)
    assert bool(limits.within_range(values, low, high, "x")) == (not inside)


def test_messages_name_count_place_and_unit() -> None:
    (finding,) = limits.within_range(
        np.array([[1.0, 2.0], [99.0, np.nan]]), 0, 10, "DBZH", "dBZ", Level.REFUSE
    )
    assert finding.level is Level.REFUSE
    assert "2 of 4" in finding.message
    assert "(1, 0)" in finding.message
    assert "dBZ" in finding.message
    assert finding.where == "DBZH"
    (alone,) = limits.finite(np.nan, "energy")
    assert "index" not in alone.message
    (all_nan,) = limits.within_range([np.nan], 0, 1, "x")
    assert "all are NaN" in all_nan.message


def test_spread_below_takes_one_limit_or_many() -> None:
    assert limits.spread_below([0.1, 0.2], 0.2, "f") == []
    assert limits.spread_below([0.1, 0.2], [0.1, 0.3], "f") == []
    assert len(limits.spread_below([0.1, 0.2], [0.2, 0.1], "f")) == 1
    assert len(limits.spread_below([np.nan], 1.0, "f")) == 1  # an unknown spread is not a small one


@pytest.mark.parametrize(("low", "high"), [(1, 0), (np.nan, 1)])
def test_an_empty_range_is_an_error(low: float, high: float) -> None:
    with pytest.raises(BadInput):
        limits.within_range([1.0], low, high, "x")
