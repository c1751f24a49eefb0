# mypy: ignore-errors
"""A second look at where values lie in their cells: neighbours are known to 1/256 step by then.

The first look (`smooth`) knows indices only, and moves what lies at the edge of a plateau. This one looks at
the differences of the moved values, of eight rings of neighbours, clipped at a half and at one and a half
steps, with weights of its own for each class of roughness. Integers throughout.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.jit import loop

__all__ = ["CLASS", "INVALID", "TERMS2", "add_second", "clipped", "gather_second", "with_margin"]

TERMS2 = 17  # eight rings x two clips, and a constant
INVALID = -(2**31)  # below every index
CLASS = 512  # shifts of the first look are in [-128, 128]; their class is added, times this
_NEAR, _FAR = 128, 384  # in 1/256 step
_MARGIN = 3
_WIDE = 24  # TERMS2, and some zeros: whole vectors


@njit(cache=True, nogil=True)
def with_margin(q, mask, circle):
    """The plane with a margin of `_MARGIN`, INVALID where it is; least and largest valid index."""
    rays, gates = q.shape
    width = _MARGIN
    p = np.full((rays + 2 * width, gates + 2 * width), np.int32(INVALID), np.int32)
    least, most = np.int64(2**40), np.int64(-(2**40))
    for r in range(-width, rays + width):
        if (r < 0 or r >= rays) and not circle:
            continue
        rr = r % rays
        for g in range(gates):
            if mask[rr, g] == 0:
                v = q[rr, g]
                p[r + width, g + width] = v
                least, most = min(least, np.int64(v)), max(most, np.int64(v))
    return p, least, most


@njit(cache=True, nogil=True, inline="always")
def clipped(d, most):
    """A 32-bit number between -most and most. (Numba widens integers unless it is told not to.)"""
    return np.int32(min(max(d, np.int32(-most)), most))


@njit(cache=True, nogil=True, inline="always")
def _gap(other, moved, own, base, turn, half):
    """Difference of two moved values in 1/256 step; 0 where the neighbour is invalid; a turn of 0 is none."""
    d = np.int32(other - own)
    over = turn if d >= np.int32(turn - half) else np.int32(0)
    under = turn if d < np.int32(-half) else np.int32(0)
    d = clipped(np.int32(np.int32(d - over) + under), np.int32(8))
    d = np.int32(np.int32(d * np.int32(256)) + np.int32(moved - base))
    return d if other != INVALID else np.int32(0)


@njit(cache=True, nogil=True, inline="always")
def _two(a, b, most):
    return np.int32(clipped(a, most) + clipped(b, most))


@njit(cache=True, nogil=True, inline="always")
def _four(a, b, c, d, most):
    return np.int32(_two(a, b, most) + _two(c, d, most))


@njit(cache=True, nogil=True, inline="always")
def _dot(w, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q):
    s = np.int32(w[0] * a + w[1] * b + w[2] * c + w[3] * d + w[4] * e + w[5] * f + w[6] * g + w[7] * h)
    t = np.int32(w[8] * i + w[9] * j + w[10] * k + w[11] * m + w[12] * n + w[13] * o + w[14] * p + w[15] * q)
    return np.int32(np.int32(s + t) + np.int32(w[16] * np.int32(256)))


@njit(cache=True, nogil=True)
def _ray(i3, i2, i1, i0, j1, j2, j3, s3, s2, s1, s0, t1, t2, t3, kinds, w0, w1, w2, turn, half, out):
    """One ray: indices and shifts, with their margins, of it (0), those before (i, s) and behind (j, t)."""
    near, far = np.int32(_NEAR), np.int32(_FAR)
    for g in range(out.size):
        x, y = i0[g + 3], s0[g + 3]
        aa, ab = _gap(i0[g + 4], s0[g + 4], x, y, turn, half), _gap(i0[g + 2], s0[g + 2], x, y, turn, half)
        ba, bb = _gap(j1[g + 3], t1[g + 3], x, y, turn, half), _gap(i1[g + 3], s1[g + 3], x, y, turn, half)
        ca, cb = _gap(j1[g + 4], t1[g + 4], x, y, turn, half), _gap(j1[g + 2], t1[g + 2], x, y, turn, half)
        cc, cd = _gap(i1[g + 4], s1[g + 4], x, y, turn, half), _gap(i1[g + 2], s1[g + 2], x, y, turn, half)
        da, db = _gap(i0[g + 5], s0[g + 5], x, y, turn, half), _gap(i0[g + 1], s0[g + 1], x, y, turn, half)
        ea, eb = _gap(j2[g + 3], t2[g + 3], x, y, turn, half), _gap(i2[g + 3], s2[g + 3], x, y, turn, half)
        fa, fb = _gap(i0[g + 6], s0[g + 6], x, y, turn, half), _gap(i0[g], s0[g], x, y, turn, half)
        ga, gb = _gap(j1[g + 5], t1[g + 5], x, y, turn, half), _gap(j1[g + 1], t1[g + 1], x, y, turn, half)
        gc, gd = _gap(i1[g + 5], s1[g + 5], x, y, turn, half), _gap(i1[g + 1], s1[g + 1], x, y, turn, half)
        ha, hb = _gap(j2[g + 4], t2[g + 4], x, y, turn, half), _gap(j2[g + 2], t2[g + 2], x, y, turn, half)
        hc, hd = _gap(i2[g + 4], s2[g + 4], x, y, turn, half), _gap(i2[g + 2], s2[g + 2], x, y, turn, half)
        an, af = _two(aa, ab, near), _two(aa, ab, far)
        bn, bf = _two(ba, bb, near), _two(ba, bb, far)
        cn, cf = _four(ca, cb, cc, cd, near), _four(ca, cb, cc, cd, far)
        dn, df = _two(da, db, near), _two(da, db, far)
        en, ef = _two(ea, eb, near), _two(ea, eb, far)
        fn, ff = _two(fa, fb, near), _two(fa, fb, far)
        gn, gf = _four(ga, gb, gc, gd, near), _four(ga, gb, gc, gd, far)
        hn, hf = _four(ha, hb, hc, hd, near), _four(ha, hb, hc, hd, far)
        v0 = _dot(w0, an, af, bn, bf, cn, cf, dn, df, en, ef, fn, ff, gn, gf, hn, hf)
        v1 = _dot(w1, an, af, bn, bf, cn, cf, dn, df, en, ef, fn, ff, gn, gf, hn, hf)
        v2 = _dot(w2, an, af, bn, bf, cn, cf, dn, df, en, ef, fn, ff, gn, gf, hn, hf)
        v = v0 if kinds[g] == 0 else (v1 if kinds[g] == 1 else v2)
        v = np.int32(y + np.int32(np.int32(v + np.int32(128)) >> np.int32(8)))
        out[g] = clipped(v, np.int32(255)) if x != INVALID else np.int32(0)


@njit(cache=True, nogil=True)
def _moved(p, first, circle):
    """Shifts of the first look with a margin like that of `p`, and the classes that came with them."""
    rays, gates = first.shape
    s = np.zeros(p.shape, np.int32)
    kinds = np.zeros((rays, gates), np.uint8)
    for r in range(-_MARGIN, rays + _MARGIN):
        if (r < 0 or r >= rays) and not circle:
            continue
        rr = r % rays
        for g in range(gates):
            kind = (first[rr, g] + 256) >> 9
            s[r + _MARGIN, g + _MARGIN] = first[rr, g] - CLASS * kind
            if r == rr:
                kinds[r, g] = kind
    return s, kinds


@njit(cache=True, nogil=True)
def add_second(p, first, w0, w1, w2, period, circle, out):
    """Fill `out` with the shifts of both looks.

    Args:
        p: indices, as `with_margin` makes it; differences fit 31 bits.
        first: int16 [rays, gates], shifts of the first look plus CLASS x class.
        w0: 17 int32, weights of the smoothest class, in 1/256.
        w1: of the next.
        w2: of the roughest.
        period: > 0 where indices are circular.
        circle: whether the first ray follows the last.
        out: int16 [rays, gates].
    """
    turn, half = np.int32(period), np.int32(period >> 1)
    s, kinds = _moved(p, first, circle)
    for r in range(out.shape[0]):
        _ray(
            p[r], p[r + 1], p[r + 2], p[r + 3], p[r + 4], p[r + 5], p[r + 6],
            s[r], s[r + 1], s[r + 2], s[r + 3], s[r + 4], s[r + 5], s[r + 6],
            kinds[r], w0, w1, w2, turn, half, out[r],
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _pair(x, y, ai, at, bi, bt, turn, half, first, to_near, to_far):
    """Clipped differences of two neighbours (indices, shifts), put into a term or added to it."""
    near, far = np.int32(_NEAR), np.int32(_FAR)
    if first:
        for g in range(to_near.size):
            a, b = _gap(ai[g], at[g], x[g], y[g], turn, half), _gap(bi[g], bt[g], x[g], y[g], turn, half)
            to_near[g] = _two(a, b, near)
            to_far[g] = _two(a, b, far)
    else:
        for g in range(to_near.size):
            a, b = _gap(ai[g], at[g], x[g], y[g], turn, half), _gap(bi[g], bt[g], x[g], y[g], turn, half)
            to_near[g] = np.int32(to_near[g] + _two(a, b, near))
            to_far[g] = np.int32(to_far[g] + _two(a, b, far))


@njit(cache=True, nogil=True)
def _terms(i2, i1, i0, j1, j2, s2, s1, s0, t1, t2, turn, half, out):
    """The terms of `_ray` in 1/256, int32 [16, gates]. A loop for each pair: all in one is no vector code."""
    x, y = i0[3:], s0[3:]
    _pair(x, y, i0[4:], s0[4:], i0[2:], s0[2:], turn, half, True, out[0], out[1])
    _pair(x, y, j1[3:], t1[3:], i1[3:], s1[3:], turn, half, True, out[2], out[3])
    _pair(x, y, j1[4:], t1[4:], j1[2:], t1[2:], turn, half, True, out[4], out[5])
    _pair(x, y, i1[4:], s1[4:], i1[2:], s1[2:], turn, half, False, out[4], out[5])
    _pair(x, y, i0[5:], s0[5:], i0[1:], s0[1:], turn, half, True, out[6], out[7])
    _pair(x, y, j2[3:], t2[3:], i2[3:], s2[3:], turn, half, True, out[8], out[9])
    _pair(x, y, i0[6:], s0[6:], i0, s0, turn, half, True, out[10], out[11])
    _pair(x, y, j1[5:], t1[5:], j1[1:], t1[1:], turn, half, True, out[12], out[13])
    _pair(x, y, i1[5:], s1[5:], i1[1:], s1[1:], turn, half, False, out[12], out[13])
    _pair(x, y, j2[4:], t2[4:], j2[2:], t2[2:], turn, half, True, out[14], out[15])
    _pair(x, y, i2[4:], s2[4:], i2[2:], s2[2:], turn, half, False, out[14], out[15])


@loop
def _gather(own, moved, kinds, target, terms, row, a, b, c):
    """Add the gates of a ray to the equations; a is [3, T, _WIDE], its lower half.

    Its sums are of multiples of 2^-16 below 2^36: exact, whatever is added when.
    """
    for g in range(kinds.size):
        if own[g + _MARGIN] == INVALID:
            continue
        for i in range(TERMS2 - 1):
            row[i] = terms[i, g] / 256.0
        k = np.int64(kinds[g])
        e = np.float64(target[g]) - own[g + _MARGIN] - moved[g + _MARGIN] / 256.0
        c[k] += 1.0
        for i in range(TERMS2):
            b[k, i] += row[i] * e
        # of a triangle, what whole vectors of eight cover
        for i in range(8):
            if row[i] != 0.0:
                for j in range(8):
                    a[k, i, j] += row[i] * row[j]
        for i in range(8, 16):
            if row[i] != 0.0:
                for j in range(16):
                    a[k, i, j] += row[i] * row[j]
        for j in range(_WIDE):
            a[k, TERMS2 - 1, j] += row[j]


@njit(cache=True, nogil=True)
def gather_second(p, first, target, first_ray, last_ray, period, circle, a, b, c):
    """Normal equations for the weights: a [3, T, T], b [3, T], and the gates of each class, c [3].

    Of `a` the lower half is filled.
    """
    turn, half = np.int32(period), np.int32(period >> 1)
    s, kinds = _moved(p, first, circle)
    terms = np.empty((TERMS2 - 1, first.shape[1]), np.int32)
    row = np.zeros(_WIDE, np.float64)
    row[TERMS2 - 1] = 1.0
    wide = np.zeros((a.shape[0], TERMS2, _WIDE), np.float64)
    for r in range(first_ray, last_ray):
        _terms(
            p[r + 1], p[r + 2], p[r + 3], p[r + 4], p[r + 5],
            s[r + 1], s[r + 2], s[r + 3], s[r + 4], s[r + 5],
            turn, half, terms,
        )  # fmt: skip
        _gather(p[r + 3], s[r + 3], kinds[r], target[r], terms, row, wide, b, c)
    for k in range(a.shape[0]):
        for i in range(TERMS2):
            for j in range(i + 1):
                a[k, i, j] += wide[k, i, j]
