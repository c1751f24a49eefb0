"""Reconstruction: where inside its quantisation cell a value probably lies, told by the indices around it.

A gate whose neighbours are higher is probably in the upper part of its cell. The shift is a sum over five
rings of neighbours of differences clipped at 1 and at 3 indices, with weights fitted per volume and
variable by least squares, one set for each of three classes of roughness (adaptive loop filtering; Tsai
et al., IEEE J. Sel. Top. Signal Process. 7, 2013). Weights have eight bits and the shift is an integer
number of 1/256 steps: exact everywhere. Where it pays, a second look (`second`) follows.
"""

from __future__ import annotations

import base64

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sciai.radar.model.context.features import wrap
from sciai.radar.model.context.jit import inlined, loop
from sciai.radar.model.context.second import (
    CLASS,
    INVALID,
    TERMS2,
    add_second,
    clipped,
    with_margin,
)

__all__ = [
    "CLASSES",
    "OFFSETS",
    "ROUGH",
    "TERMS",
    "Filter",
    "first_look",
    "nearby",
    "shifts",
    "squares",
    "terms_of",
    "turned",
    "values_of",
]

CLASSES = 3
TERMS = 11  # five rings x two clips, and a constant
ROUGH = 40

_RINGS = (
    ((0, 1), (0, -1)),
    ((1, 0), (-1, 0)),
    ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    ((0, 2), (0, -2)),
    ((2, 0), (-2, 0)),
)
OFFSETS = np.array([(k, dr, dg) for k, ring in enumerate(_RINGS) for dr, dg in ring], np.int64)


class Filter:
    """Weights int8 [CLASSES, TERMS] in 1/256 step, the two thresholds of roughness between classes, and the
    weights int8 [CLASSES, TERMS2] of the second look, where there is one."""

    def __init__(
        self,
        weights: NDArray[np.int8],
        thresholds: tuple[int, int],
        second: NDArray[np.int8] | None = None,
    ) -> None:
        self.weights = weights
        self.thresholds = thresholds
        self.second = second

    @property
    def words(self) -> tuple[np.int32, ...]:
        """Weights as compiled code takes them."""
        return tuple(self.weights.ravel().astype(np.int32))

    @property
    def words2(self) -> tuple[tuple[np.int32, ...], ...]:
        """Weights of the second look, class by class."""
        return () if self.second is None else tuple(tuple(row) for row in self.second.astype(np.int32))

    @classmethod
    def none(cls) -> Filter:
        """Cell centres."""
        return cls(np.zeros((CLASSES, TERMS), np.int8), (0, 0))

    def to_text(self) -> str:
        """For `QuantSpec.extra`."""
        more = b"" if self.second is None else self.second.tobytes()
        return base64.b85encode(bytes(self.thresholds) + self.weights.tobytes() + more).decode()

    @classmethod
    def from_text(cls, text: str) -> Filter:
        """The inverse of `to_text`.

        Raises:
            ValueError: where the text is not one.
        """
        raw = base64.b85decode(text)
        one = 2 + CLASSES * TERMS
        if len(raw) not in (one, one + CLASSES * TERMS2):
            raise ValueError("a reconstruction filter of another length")
        weights = np.frombuffer(raw[:one], np.int8, offset=2).reshape(CLASSES, TERMS)
        second = np.frombuffer(raw[one:], np.int8).reshape(CLASSES, TERMS2) if len(raw) > one else None
        return cls(weights, (raw[0], raw[1]), second)


@inlined
def terms_of(q, mask, r, g, period, circle, offsets, out):
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
        d = wrap(np.int64(q[rr, gg]) - own, period)
        k = 2 * offsets[i, 0]
        out[k] += min(max(int(d), -1), 1)
        wide = min(max(int(d), -3), 3)
        out[k + 1] += wide
        rough += abs(wide)
    return min(rough, ROUGH - 1)


@loop
def _shifts(q, mask, weights, t1, t2, period, circle, offsets, terms, out):
    """Gate by gate, whatever the indices."""
    rays, gates = q.shape
    for r in range(rays):
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            rough = terms_of(q, mask, r, g, period, circle, offsets, terms)
            k = 0 if rough < t1 else (1 if rough < t2 else 2)
            s = np.int64(0)
            for i in range(TERMS):
                s += terms[i] * weights[k, i]
            out[r, g] = min(max(s, -128), 128)


@njit(cache=True, nogil=True, inline="always")
def _gap(other, own):
    """A difference; 0 where the neighbour is invalid. (Numba widens integers unless it is told not to.)"""
    return np.int32(other - own) if other != INVALID else np.int32(0)


@njit(cache=True, nogil=True, inline="always")
def turned(other, own, turn, half):
    """A difference smaller than a turn, taken the short way round."""
    d = np.int32(other - own)
    over = turn if d >= np.int32(turn - half) else np.int32(0)
    under = turn if d < np.int32(-half) else np.int32(0)
    return np.int32(np.int32(d - over) + under) if other != INVALID else np.int32(0)


@njit(cache=True, nogil=True, inline="always")
def _shift(a, b, c, d, e, f, g, h, i, j, k, m, w, t1, t2, tag):
    """Shift of a gate from the differences of its twelve neighbours, ring after ring; plus tag x class."""
    one = np.int32(1)
    a3 = clipped(a, np.int32(3))
    b3 = clipped(b, np.int32(3))
    c3 = clipped(c, np.int32(3))
    d3 = clipped(d, np.int32(3))
    e3 = clipped(e, np.int32(3))
    f3 = clipped(f, np.int32(3))
    g3 = clipped(g, np.int32(3))
    h3 = clipped(h, np.int32(3))
    i3 = clipped(i, np.int32(3))
    j3 = clipped(j, np.int32(3))
    k3 = clipped(k, np.int32(3))
    m3 = clipped(m, np.int32(3))
    ab, ab3 = np.int32(clipped(a, one) + clipped(b, one)), np.int32(a3 + b3)
    cd, cd3 = np.int32(clipped(c, one) + clipped(d, one)), np.int32(c3 + d3)
    ef = np.int32(clipped(e, one) + clipped(f, one) + clipped(g, one) + clipped(h, one))
    ef3 = np.int32(e3 + f3 + g3 + h3)
    ij, ij3 = np.int32(clipped(i, one) + clipped(j, one)), np.int32(i3 + j3)
    km, km3 = np.int32(clipped(k, one) + clipped(m, one)), np.int32(k3 + m3)
    rough = np.int32(abs(a3) + abs(b3) + abs(c3) + abs(d3) + abs(e3) + abs(f3))
    rough = np.int32(rough + abs(g3) + abs(h3) + abs(i3) + abs(j3) + abs(k3) + abs(m3))
    rough = min(rough, np.int32(ROUGH - 1))
    s0 = np.int32(
        w[0] * ab
        + w[1] * ab3
        + w[2] * cd
        + w[3] * cd3
        + w[4] * ef
        + w[5] * ef3
        + w[6] * ij
        + w[7] * ij3
        + w[8] * km
        + w[9] * km3
        + w[10]
    )
    s1 = np.int32(
        w[11] * ab
        + w[12] * ab3
        + w[13] * cd
        + w[14] * cd3
        + w[15] * ef
        + w[16] * ef3
        + w[17] * ij
        + w[18] * ij3
        + w[19] * km
        + w[20] * km3
        + w[21]
    )
    s2 = np.int32(
        w[22] * ab
        + w[23] * ab3
        + w[24] * cd
        + w[25] * cd3
        + w[26] * ef
        + w[27] * ef3
        + w[28] * ij
        + w[29] * ij3
        + w[30] * km
        + w[31] * km3
        + w[32]
    )
    s = s0 if rough < t1 else (s1 if rough < t2 else s2)
    kind = np.int32(0) if rough < t1 else (np.int32(1) if rough < t2 else np.int32(2))
    return np.int32(np.int32(min(max(s, np.int32(-128)), np.int32(128))) + np.int32(tag * kind))


@njit(cache=True, nogil=True)
def _shifts_by_row(p, w, t1, t2, period, tag, out):
    """As `_shifts`, on a plane with a margin; loops without a branch, which become vector code."""
    rays, gates = out.shape
    turn, half = np.int32(period), np.int32(period >> 1)
    for r in range(rays):
        nn, n, own, s, ss = p[r + 1][1:], p[r + 2][1:], p[r + 3][1:], p[r + 4][1:], p[r + 5][1:]
        to = out[r]
        if period > 0:
            for g in range(gates):
                q = own[g + 2]
                shift = _shift(
                    turned(own[g + 3], q, turn, half), turned(own[g + 1], q, turn, half),
                    turned(s[g + 2], q, turn, half), turned(n[g + 2], q, turn, half),
                    turned(s[g + 3], q, turn, half), turned(s[g + 1], q, turn, half),
                    turned(n[g + 3], q, turn, half), turned(n[g + 1], q, turn, half),
                    turned(own[g + 4], q, turn, half), turned(own[g], q, turn, half),
                    turned(ss[g + 2], q, turn, half), turned(nn[g + 2], q, turn, half),
                    w, t1, t2, tag,
                )  # fmt: skip
                to[g] = shift if q != INVALID else np.int32(0)
        else:
            for g in range(gates):
                q = own[g + 2]
                shift = _shift(
                    _gap(own[g + 3], q), _gap(own[g + 1], q), _gap(s[g + 2], q), _gap(n[g + 2], q),
                    _gap(s[g + 3], q), _gap(s[g + 1], q), _gap(n[g + 3], q), _gap(n[g + 1], q),
                    _gap(own[g + 4], q), _gap(own[g], q), _gap(ss[g + 2], q), _gap(nn[g + 2], q),
                    w, t1, t2, tag,
                )  # fmt: skip
                to[g] = shift if q != INVALID else np.int32(0)


def shifts(
    q: NDArray[np.int32], mask: NDArray[np.uint8], filt: Filter, period: int, circle: bool
) -> NDArray[np.int16]:
    """Shift of every valid gate from its cell's centre, int16 ``[rays, gates]`` in 1/256 step.

    There is no second look at a plane whose indices reach a whole turn: stores are read so.
    """
    out = np.zeros(q.shape, np.int16)
    if not out.size:
        return out
    p, least, most = with_margin(q, mask, circle)
    near = nearby(least, most, period)
    if not near and not _within_reach(least, most, period):
        # indices so far apart that there is nothing for a second look to see
        terms = np.zeros(TERMS, np.int64)
        weights = filt.weights.astype(np.int64)
        _shifts(q, mask, weights, *filt.thresholds, period, circle, OFFSETS, terms, out)
    elif filt.second is None or not near:
        first_look(p, filt, period, 0, out)
    else:
        first = np.zeros(q.shape, np.int16)
        first_look(p, filt, period, CLASS, first)
        w0, w1, w2 = filt.words2
        add_second(p, first, w0, w1, w2, period, circle, out)
    return out


def nearby(least: int, most: int, period: int) -> bool:
    """Whether differences fit 31 bits and are less than a turn."""
    return most - least < (period or 2**30) and period < 2**30 and least > INVALID + 2**30


def _within_reach(least: int, most: int, period: int) -> bool:
    """Whether one turn more or less makes every difference the short way round."""
    return most - least <= period + (period - 1) // 2 < 2**30 and least > INVALID + 2**30


def first_look(p: NDArray[np.int32], filt: Filter, period: int, tag: int, out: NDArray[np.int16]) -> None:
    """Fill `out` with the shifts of the first look at a plane with a margin, plus `tag` x class."""
    thresholds = np.int32(filt.thresholds[0]), np.int32(filt.thresholds[1])
    _shifts_by_row(p, filt.words, *thresholds, period, np.int32(tag), out)


@njit(cache=True, nogil=True)
def _values(q, mask, shift, scale, origin, out):
    rays, gates = q.shape
    for r in range(rays):
        for g in range(gates):
            if mask[r, g] == 0:
                out[r, g] = (q[r, g] * 256.0 + shift[r, g]) * scale + origin


def values_of(
    q: NDArray[np.int32], mask: NDArray[np.uint8], shift: NDArray[np.int16], step: float, origin: float
) -> NDArray[np.float32]:
    """Values of indices and shifts, float32 rounded once from float64; NaN where invalid."""
    out = np.full(q.shape, np.nan, np.float32)
    _values(q, mask, shift, step / 256, origin, out)
    return out


@loop
def squares(q, mask, target, shift, first, last):
    """Sum of squared errors in steps and number of valid gates, of the rays from first to last."""
    total, count = 0.0, 0
    for r in range(first, last):
        ray = 0.0
        for g in range(q.shape[1]):
            if mask[r, g] == 0:
                off = np.float64(target[r, g]) - q[r, g] - shift[r, g] / 256.0
                ray += off * off
                count += 1
        total += ray
    return total, count
