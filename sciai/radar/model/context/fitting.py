# mypy: ignore-errors
"""Fitting the weights with which reconstruction moves values inside their cells (`smooth`, `second`).

Normal equations over the gates of a sample. Sums of terms are of integers, or of multiples of 2^-16, and
exact in any order; sums with errors are taken in the order of the gates, so that weights do not hang on how
the loops are written.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sciai.radar.model.context.jit import loop
from sciai.radar.model.context.second import CLASS, INVALID, TERMS2, clipped, gather_second, with_margin
from sciai.radar.model.context.smooth import (
    CLASSES,
    OFFSETS,
    ROUGH,
    TERMS,
    Filter,
    first_look,
    nearby,
    terms_of,
    turned,
)

__all__ = ["fit", "fit_second"]

_WIDE = 16  # TERMS, and some zeros: whole vectors


@loop
def _gather(q, mask, target, first, last, period, circle, offsets, terms, histogram, a, b, c):
    """Normal equations per roughness, from rays first to last: a [40, T, T], b [40, T], c [40]."""
    gates = q.shape[1]
    for r in range(first, last):
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = terms_of(q, mask, r, g, period, circle, offsets, terms)
            e = np.float64(target[r, g]) - q[r, g]
            histogram[k] += 1
            c[k] += e * e
            for i in range(TERMS):
                if terms[i] != 0:
                    b[k, i] += terms[i] * e
                    for j in range(i + 1):
                        a[k, i, j] += terms[i] * terms[j]


@njit(cache=True, nogil=True)
def _pair(x, a, b, turn, half, to_one, to_three, rough):
    """Add the clipped differences of two neighbours to the sums of their ring, and to the roughness."""
    for g in range(rough.size):
        u, v = turned(a[g], x[g], turn, half), turned(b[g], x[g], turn, half)
        u3, v3 = clipped(u, np.int32(3)), clipped(v, np.int32(3))
        to_one[g] = np.int32(to_one[g] + np.int32(clipped(u, np.int32(1)) + clipped(v, np.int32(1))))
        to_three[g] = np.int32(to_three[g] + np.int32(u3 + v3))
        rough[g] = np.int32(rough[g] + np.int32(abs(u3) + abs(v3)))


@loop
def _gather_ray(own, target, terms, rough, row, histogram, a, b, c):
    """Add the gates of a ray to the equations; a is [40, T, _WIDE], its lower half: integers, exact."""
    for g in range(rough.size):
        if own[g] == INVALID:
            continue
        for i in range(TERMS - 1):
            row[i] = terms[i, g]
        k = min(np.int64(rough[g]), ROUGH - 1)
        e = np.float64(target[g]) - own[g]
        histogram[k] += 1
        c[k] += e * e
        for i in range(TERMS):
            b[k, i] += row[i] * e
        for i in range(8):
            if row[i] != 0.0:
                for j in range(8):
                    a[k, i, j] += row[i] * row[j]
        for i in range(8, TERMS):
            if row[i] != 0.0:
                for j in range(_WIDE):
                    a[k, i, j] += row[i] * row[j]


@njit(cache=True, nogil=True)
def _gather_by_ray(p, target, first, last, period, histogram, a, b, c):
    """As `_gather`, on a plane with a margin whose indices lie within a turn; same sums in the same order."""
    turn, half = np.int32(period), np.int32(period >> 1)
    gates = target.shape[1]
    row = np.zeros(_WIDE, np.float64)
    row[TERMS - 1] = 1.0
    wide = np.zeros((ROUGH, TERMS, _WIDE), np.float64)
    for r in range(first, last):
        nn, n, own, s, ss = p[r + 1][1:], p[r + 2][1:], p[r + 3][1:], p[r + 4][1:], p[r + 5][1:]
        terms, rough = np.zeros((TERMS - 1, gates), np.int32), np.zeros(gates, np.int32)
        x = own[2:]
        _pair(x, own[3:], own[1:], turn, half, terms[0], terms[1], rough)
        _pair(x, s[2:], n[2:], turn, half, terms[2], terms[3], rough)
        _pair(x, s[3:], s[1:], turn, half, terms[4], terms[5], rough)
        _pair(x, n[3:], n[1:], turn, half, terms[4], terms[5], rough)
        _pair(x, own[4:], own, turn, half, terms[6], terms[7], rough)
        _pair(x, ss[2:], nn[2:], turn, half, terms[8], terms[9], rough)
        _gather_ray(x, target[r], terms, rough, row, histogram, wide, b, c)
    for k in range(ROUGH):
        for i in range(TERMS):
            for j in range(i + 1):
                a[k, i, j] += wide[k, i, j]


def fit(
    planes: list[tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.float32], int, slice]], circle: bool
) -> Filter:
    """Least-squares weights for (indices, mask, values in steps, period, rays to learn from) planes."""
    histogram = np.zeros(ROUGH, np.int64)
    a, b, c = np.zeros((ROUGH, TERMS, TERMS)), np.zeros((ROUGH, TERMS)), np.zeros(ROUGH)
    terms = np.zeros(TERMS, np.int64)
    for q, mask, target, period, rays in planes:
        first, last, _ = rays.indices(q.shape[0])
        p, least, most = with_margin(q, mask, circle)
        if nearby(least, most, period):
            _gather_by_ray(p, target, first, last, period, histogram, a, b, c)
            continue
        _gather(q, mask, target, first, last, period, circle, OFFSETS, terms, histogram, a, b, c)
    a = a + np.transpose(np.tril(a, -1), (0, 2, 1))
    below = np.cumsum(histogram)
    t1, t2 = (int(np.searchsorted(below, below[-1] * part)) + 1 for part in (1 / 3, 2 / 3))
    t2 = max(t1 + 1, t2)
    weights = np.zeros((CLASSES, TERMS), np.int8)
    for k, (low, high) in enumerate(((0, t1), (t1, t2), (t2, ROUGH))):
        n = histogram[low:high].sum()
        if n < 200:
            continue
        normal = a[low:high].sum(0) + np.eye(TERMS) * (1e-3 * n + 20)
        weights[k] = np.clip(np.rint(256 * np.linalg.solve(normal, b[low:high].sum(0))), -127, 127)
    return Filter(weights, (t1, t2))


def fit_second(
    planes: list[tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.float32], int, slice]],
    filt: Filter,
    circle: bool,
) -> Filter:
    """The filter with a second look, for the planes that the first was fitted to."""
    a, b, c = np.zeros((CLASSES, TERMS2, TERMS2)), np.zeros((CLASSES, TERMS2)), np.zeros(CLASSES)
    for q, mask, target, period, rays in planes:
        p, least, most = with_margin(q, mask, circle)
        if nearby(least, most, period):
            first = np.zeros(q.shape, np.int16)
            first_look(p, filt, period, CLASS, first)
            start, stop, _ = rays.indices(q.shape[0])
            gather_second(p, first, target, start, stop, period, circle, a, b, c)
    a = a + np.transpose(np.tril(a, -1), (0, 2, 1))
    weights = np.zeros((CLASSES, TERMS2), np.int8)
    for k in range(CLASSES):
        if c[k] >= 400:
            normal = a[k] + np.eye(TERMS2) * (1e-3 * c[k] + 20)
            weights[k] = np.clip(np.rint(256 * np.linalg.solve(normal, b[k])), -127, 127)
    return Filter(filt.weights, filt.thresholds, weights)
