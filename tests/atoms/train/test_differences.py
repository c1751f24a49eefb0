"""Errors of differences: what alike structures share cancels, and what is left is covered."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.atoms.train.differences import Pair, Related, Told, composition, fit, pairs_of, told_of, weights
from sciai.core.errors import BadInput


def structures(n: int, rng: np.random.Generator, size: float = 0.3) -> list:
    """Pairs of compositions with errors that grow with how far their surroundings differ."""
    out = []
    for k in range(n):
        shared = rng.normal(0, 5.0)  # what both are off together
        for _ in range(3):
            around = rng.normal(0, 1.0, 4)
            error = shared + size * around.sum() / 2
            told = Told(error - 40.0, around[:2] * 0.01, around, 3.0)
            out.append(("one set", np.array([3 + k, 8]), -40.0, told))
    return out


def test_what_both_are_off_together_cancels_and_the_rest_is_covered() -> None:
    rng = np.random.default_rng(0)
    pairs = pairs_of(structures(40, rng), np.ones(4))
    assert len(pairs) == 120
    said = fit(pairs, "DFT")
    known = Related.of(said)
    assert said is not None
    assert known is not None
    assert (known.pairs, known.compositions, said["sets"]) == (120, 40, ["one set"])
    fresh = pairs_of(structures(60, rng), np.ones(4))
    sd = np.array([known.spread(p.change, p.heads) for p in fresh])
    error = np.abs([p.error for p in fresh])
    assert 0.85 <= np.mean(error <= 1.645 * sd) <= 0.97
    assert 0.55 <= np.mean(error <= sd) <= 0.8
    assert np.median(sd) < 0.5  # not the 5 eV of the whole energies
    assert np.median([p.whole for p in fresh]) == pytest.approx(3 * 2**0.5)


def test_a_set_of_many_pairs_counts_no_more_than_one_of_few() -> None:
    many = [Pair("many", k, 1.0, 0.1, 0.01, 8) for k in range(50)]
    few = [Pair("few", k, 1.0, 0.1, 1.0, 8) for k in range(2)]
    share = weights([*many, *few])
    assert share.sum() == pytest.approx(1)
    assert share[-2:].sum() == pytest.approx(0.5)
    known = Related.of(fit([*many, *few], "DFT"))
    assert known is not None
    assert 1.645 * known.spread(1.0, 0.1) == pytest.approx(1.0, rel=1e-3)  # covers the few too


def test_cells_of_different_size_are_compared_at_one_size() -> None:
    around = np.array([1.0, 0.0])
    small = ("s", [11, 17], -7.0, Told(-7.1, np.zeros(2), around))
    large = ("s", [11, 11, 17, 17], -13.0, Told(-13.0, np.zeros(2), 3 * around))
    (pair,) = pairs_of([small, large], np.ones(2))
    assert (pair.atoms, pair.composition) == (4, composition([11, 17]))
    assert pair.error == pytest.approx((-13.0 + 14.2) - (-13.0 + 14.0))
    assert pair.change == pytest.approx(0.5**0.5)


def test_one_structure_twice_is_no_evidence() -> None:
    told = Told(-7.0, np.zeros(2), np.ones(2))
    assert pairs_of([("s", [6], -7.0, told), ("s", [6], -6.0, told)], np.ones(2)) == []
    assert pairs_of([("s", [6], -7.0, told), ("s", [8], -6.0, told)], np.ones(2)) == []
    unlabelled = Told(-7.0, np.zeros(2), np.zeros(2))
    assert pairs_of([("s", [6], -7.0, told), ("s", [6], float("nan"), unlabelled)], np.ones(2)) == []


def test_too_few_compositions_promise_nothing() -> None:
    assert fit([Pair("s", k % 9, 1.0, 0.1, 0.5, 8) for k in range(90)], "DFT") is None
    assert Related.of(None) is None
    with pytest.raises(BadInput, match="no number"):
        fit([Pair("s", k, 1.0, 0.1, float("nan"), 8) for k in range(20)], "DFT")


def test_factors_of_a_reaction_count() -> None:
    one, two = (Told(e, np.array([0.0, h]), np.array([e, e])) for e, h in ((2.0, 1.0), (1.0, 0.5)))
    assert told_of([(1, one), (-2, two)], np.ones(2)) == (0.0, 0.0, 0.0)
