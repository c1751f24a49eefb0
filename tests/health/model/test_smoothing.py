"""Counts are smoothed where a curve explains them, and kept where none does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciai.health.model.smoothing import smooth

EDGES = np.linspace(-3, 3, 61)
WIDTHS = np.diff(EDGES)


def bell(n: int) -> np.ndarray:
    """Expected counts of n people of a normal."""
    from scipy.special import ndtr

    share = np.diff(ndtr(EDGES))
    return np.asarray(n * share / share.sum())


def test_nearer_to_the_truth_than_the_counts_are() -> None:
    rng, truth = np.random.default_rng(0), bell(5000)
    drawn = rng.poisson(truth).astype(float)
    ratio = np.square(smooth(drawn, WIDTHS) - truth).sum() / np.square(drawn - truth).sum()
    assert ratio < 0.35


def test_each_person_counts_for_little() -> None:
    """A person more in a cell makes that cell fuller by far less than one person."""
    rng = np.random.default_rng(1)
    drawn = rng.poisson(bell(5000)).astype(float)
    more = drawn.copy()
    more[30] += 1
    assert (smooth(more, WIDTHS) - smooth(drawn, WIDTHS))[30] < 0.3


def test_what_stands_out_keeps_its_count() -> None:
    counts = bell(5000).round()
    counts[20] = 900  # a detection limit, among a smooth rest
    told = smooth(counts, WIDTHS)
    assert told[20] == pytest.approx(900, rel=0.01)
    assert told[19] == pytest.approx(counts[19], rel=0.2)
    assert told[21] == pytest.approx(counts[21], rel=0.2)


def test_round_numbers_all_over_are_left_alone() -> None:
    counts = np.where(np.arange(40) % 2, 20.0, 400.0)
    assert np.allclose(smooth(counts, np.ones(40)), counts)


def test_few_cells_and_nobody_are_left_alone() -> None:
    assert smooth(np.array([3.0, 0, 9]), np.ones(3)).tolist() == [3, 0, 9]
    assert smooth(np.zeros(8), np.ones(8)).tolist() == [0] * 8


@given(arrays(float, st.integers(5, 40), elements=st.integers(0, 5000).map(float)), st.integers(0, 9))
def test_nobody_is_lost_and_no_count_is_negative(counts: np.ndarray, seed: int) -> None:
    widths = np.random.default_rng(seed).uniform(0.1, 10, len(counts))
    told = smooth(counts, widths)
    assert np.isfinite(told).all()
    assert (told >= 0).all()
    assert told.sum() == pytest.approx(counts.sum())
