"""Reconstruction: where inside its quantisation cell a value probably lies, told by the indices around it.

A gate whose neighbours are higher is probably in the upper part of its cell. The shift is a sum over five
rings of neighbours of differences clipped at 1 and at 3 indices, with weights fitted per volume and
variable by least squares, one set for each of three classes of roughness (adaptive loop filtering; Tsai
et al., IEEE J. Sel. Top. Signal Process. 7, 2013). Weights have eight bits and the shift is an integer
number of 1/256 steps: exact everywhere.
"""

from __future__ import annotations

import base64

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["CLASSES", "TERMS", "Filter", "fit", "shifts"]

CLASSES = 3
TERMS = 11  # five rings x two clips, and a constant
_ROUGH = 40

_RINGS = (
    ((0, 1), (0, -1)),
    ((1, 0), (-1, 0)),
    ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    ((0, 2), (0, -2)),
    ((2, 0), (-2, 0)),
)
_OFFSETS = np.array([(k, dr, dg) for k, ring in enumerate(_RINGS) for dr, dg in ring], np.int64)


class Filter:
    """Weights int8 [CLASSES, TERMS] in 1/256 step, and the two thresholds of roughness between classes."""

    def __init__(self, weights: NDArray[np.int8], thresholds: tuple[int, int]) -> None:
        self.weights = weights
        self.thresholds = thresholds

    @classmethod
    def none(cls) -> Filter:
        """Cell centres."""
        return cls(np.zeros((CLASSES, TERMS), np.int8), (0, 0))

    def to_text(self) -> str:
        """For `QuantSpec.extra`."""
        return base64.b85encode(bytes(self.thresholds) + self.weights.tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Filter:
        """The inverse of `to_text`.

        Raises:
            ValueError: where the text is not one.
        """
        raw = base64.b85decode(text)
        if len(raw) != 2 + CLASSES * TERMS:
            raise ValueError("a reconstruction filter of another length")
        weights = np.frombuffer(raw, np.int8, offset=2).reshape(CLASSES, TERMS)
        return cls(weights, (raw[0], raw[1]))


@njit(cache=True, nogil=True)
def _terms(q, mask, r, g, period, circle, offsets, out):
    """Fill the sums of clipped differences of one gate; gives its roughness (0 to 39)."""
    rays, gates = q.shape
    for i in range(TERMS):
        out[i] = 0
    out[TERMS - 1] = 1
    rough = 0
    own = np.int64(q[r, g])
    for i in range(offsets.shape[0]):
        rr = r + offsets[i, 1]
        gg = g + offsets[i, 2]
        if gg < 0 or gg >= gates:
            continue
        if rr < 0 or rr >= rays:
            if not circle:
                continue
            rr = rr % rays
        if mask[rr, gg] != 0:
            continue
        d = np.int64(q[rr, gg]) - own
        if period > 0:
            h = period // 2
            d = (d + h) % period - h
        k = 2 * offsets[i, 0]
        out[k] += min(max(int(d), -1), 1)
        wide = min(max(int(d), -3), 3)
        out[k + 1] += wide
        rough += abs(wide)
    return min(rough, _ROUGH - 1)


@njit(cache=True, nogil=True)
def _shifts(q, mask, weights, t1, t2, period, circle, offsets, out):
    rays, gates = q.shape
    terms = np.zeros(TERMS, np.int64)
    for r in range(rays):
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            rough = _terms(q, mask, r, g, period, circle, offsets, terms)
            k = 0 if rough < t1 else (1 if rough < t2 else 2)
            s = np.int64(0)
            for i in range(TERMS):
                s += terms[i] * weights[k, i]
            out[r, g] = min(max(s, -128), 128)


def shifts(
    q: NDArray[np.int32], mask: NDArray[np.uint8], filt: Filter, period: int, circle: bool
) -> NDArray[np.int16]:
    """Shift of every valid gate from its cell's centre, int16 ``[rays, gates]`` in 1/256 step."""
    out = np.zeros(q.shape, np.int16)
    _shifts(q, mask, filt.weights.astype(np.int64), *filt.thresholds, period, circle, _OFFSETS, out)
    return out


@njit(cache=True, nogil=True)
def _gather(q, mask, target, first, last, period, circle, offsets, histogram, a, b, c):
    """Normal equations per roughness, from rays first to last: a [40, T, T], b [40, T], c [40]."""
    gates = q.shape[1]
    terms = np.zeros(TERMS, np.int64)
    for r in range(first, last):
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = _terms(q, mask, r, g, period, circle, offsets, terms)
            e = np.float64(target[r, g]) - q[r, g]
            histogram[k] += 1
            c[k] += e * e
            for i in range(TERMS):
                if terms[i] != 0:
                    b[k, i] += terms[i] * e
                    for j in range(i + 1):
                        a[k, i, j] += terms[i] * terms[j]


def fit(
    planes: list[tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.float32], int, slice]], circle: bool
) -> Filter:
    """Least-squares weights for (indices, mask, values in steps, period, rays to learn from) planes."""
    histogram = np.zeros(_ROUGH, np.int64)
    a, b, c = np.zeros((_ROUGH, TERMS, TERMS)), np.zeros((_ROUGH, TERMS)), np.zeros(_ROUGH)
    for q, mask, target, period, rays in planes:
        first, last, _ = rays.indices(q.shape[0])
        _gather(q, mask, target, first, last, period, circle, _OFFSETS, histogram, a, b, c)
    a = a + np.transpose(np.tril(a, -1), (0, 2, 1))
    below = np.cumsum(histogram)
    t1, t2 = (int(np.searchsorted(below, below[-1] * part)) + 1 for part in (1 / 3, 2 / 3))
    t2 = max(t1 + 1, t2)
    weights = np.zeros((CLASSES, TERMS), np.int8)
    for k, (low, high) in enumerate(((0, t1), (t1, t2), (t2, _ROUGH))):
        n = histogram[low:high].sum()
        if n < 200:
            continue
        normal = a[low:high].sum(0) + np.eye(TERMS) * (1e-3 * n + 20)
        weights[k] = np.clip(np.rint(256 * np.linalg.solve(normal, b[low:high].sum(0))), -127, 127)
    return Filter(weights, (t1, t2))
