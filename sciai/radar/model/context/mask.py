# mypy: ignore-errors
"""Coding one ternary mask: valid, below noise, missing, exactly.

Gates are visited ray by ray, outwards. Where everything known around a gate (twelve coded neighbours; the
masks of up to two variables coded before, on all sides; a reference mask) agrees, sixteen gates at a time
cost one bit that is nearly free. Elsewhere two decisions, *valid?* and *missing?*, are coded under a
mixture of eight counters whose contexts are patterns of those neighbourhoods (after JBIG2, ISO/IEC 14492,
and Mahoney's context mixing).
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.coder import INPUTS, POSITION, adaptive_bit, as_told, finish, mix_bit, start
from sciai.radar.model.context.jit import inlined, loop

__all__ = ["code_mask"]

_BITS = 15  # log2 of the contexts per counter set; hashes of larger contexts are folded
_ROWS = 64
_TOP, _LEFT, _RIGHT = 2, 3, 5
_BLOCK = 16
_OUTSIDE = 3  # class of what lies beyond the edge


@njit(cache=True, nogil=True)
def _pad(plane):
    rays, gates = plane.shape
    out = np.full((rays + _TOP + 2, gates + _LEFT + _RIGHT), np.uint8(_OUTSIDE), np.uint8)
    for r in range(rays):
        for g in range(gates):
            out[r + _TOP, g + _LEFT] = plane[r, g]
    return out


@inlined
def _merge(a, b):
    """The common class of two sets of gates; _OUTSIDE is neutral, 4 says that they differ."""
    if a == b or b == 3:
        return a
    if a == 3:
        return b
    return np.uint8(4)


@loop
def _bits(classes, out):
    """One bit for each class, none beyond the edge: the classes of several gates are the OR of theirs."""
    for i in range(out.size):
        c = classes[i]
        bit = np.uint8(4) if c == 2 else np.uint8(0)
        bit = np.uint8(2) if c == 1 else bit
        out[i] = np.uint8(1) if c == 0 else bit


@njit(cache=True, nogil=True)
def _gather_ray(n, own, s, to):
    """Plain offsets and few arrays: this becomes vector code."""
    for g in range(to.size):
        near = np.uint8(own[g + 2] | own[g + 3]) | np.uint8(own[g + 4] | own[g + 5])
        to[g] |= np.uint8(near | np.uint8(np.uint8(n[g + 3] | s[g + 3]) | s[g + 4]))


@njit(cache=True, nogil=True)
def _gather(p, out):
    """Add the classes of itself, W, E, EE, N, S, SE of a known plane, as bits, to `out`."""
    rays = out.shape[0]
    rows = np.zeros((3, p.shape[1]), np.uint8)
    for y in range(_TOP - 1, _TOP + 1):
        _bits(p[y], rows[y % 3])
    for r in range(rays):
        y = r + _TOP
        _bits(p[y + 1], rows[(y + 1) % 3])
        _gather_ray(rows[(y - 1) % 3], rows[y % 3], rows[(y + 1) % 3], out[r])


@loop
def _above(known, nn, n, out):
    """The class that all known gates and the coded ones of the two rays before have, 3 for none, or 4."""
    for g in range(out.size):
        u = np.uint8(known[g] | n[g + 1]) | np.uint8(n[g + 2] | n[g + 3])
        u = np.uint8(u | np.uint8(n[g + 4] | n[g + 5])) | np.uint8(n[g + 6] | nn[g + 2])
        u = np.uint8(u | np.uint8(nn[g + 3] | nn[g + 4]))
        c = np.uint8(3) if u == 0 else np.uint8(4)
        c = np.uint8(0) if u == 1 else c
        c = np.uint8(1) if u == 2 else c
        out[g] = np.uint8(2) if u == 4 else c


@inlined
def _around(p, y, x):
    """Seven validity bits of a known plane around a gate: itself, E, W, S, N, SE, EE."""
    return (
        (1 if p[y, x] == 0 else 0)
        + (2 if p[y, x + 1] == 0 else 0)
        + (4 if p[y, x - 1] == 0 else 0)
        + (8 if p[y + 1, x] == 0 else 0)
        + (16 if p[y - 1, x] == 0 else 0)
        + (32 if p[y + 1, x + 1] == 0 else 0)
        + (64 if p[y, x + 2] == 0 else 0)
    )


@inlined
def _ring(p, y, x):
    """How many of the gates farther around are valid, 0 to 7."""
    n = 0
    for d in range(-1, 2):
        n += 1 if p[y + 2, x + d] == 0 else 0
        n += 1 if p[y - 2, x + d] == 0 else 0
    return n + (1 if p[y, x + 3] == 0 else 0)


@inlined
def _fold(h):
    """A context number as one of 2^_BITS."""
    if h < (1 << _BITS):
        return h
    return ((h * 40503) >> 3) & ((1 << _BITS) - 1)


@loop
def _code(
    mask, m, a, b, ll, has_a, has_b, has_l, known, weights, second, apm, counters, plain, column, above, rows,
    x8, slots, state, squash, stretch, rate, pace, data, decoding,
):  # fmt: skip
    """The gates of `code_mask`."""
    rays, gates = mask.shape
    start(state, data, decoding)
    for r in range(rays):
        y = r + _TOP
        if r == 0 and not has_a and not has_b and not has_l:
            for g in range(gates):
                above[g] = 4  # nothing known: code every gate of the first ray
        else:
            _bits(m[y - 1], rows[(y - 1) & 1])
            _above(known[r], rows[y & 1], rows[(y - 1) & 1], above)
        g = 0
        run = 0
        while g < gates:
            x = g + _LEFT
            u = above[g]
            sure = u < 3
            if sure and g > 0:
                u = _merge(_merge(_merge(u, m[y, x - 1]), m[y, x - 2]), m[y, x - 3])
                sure = u < 3
            if sure:
                # Everything known here says class u: a block of them in one bit.
                n = 1
                while n < _BLOCK and g + n < gates and above[g + n] == u:
                    n += 1
                whole = 1
                if not decoding:
                    for i in range(n):
                        if mask[r, g + i] != u:
                            whole = 0
                            break
                slot = np.int64(u) * 20 + n
                whole = adaptive_bit(whole, slot, plain, rate, state, data, decoding)
                if whole:
                    for i in range(n):
                        m[y, x + i] = u
                        mask[r, g + i] = u
                        column[g + i] -= column[g + i] >> 3
                        if u == 0:
                            column[g + i] += 32
                    run = min(run + n, 255) if g > 0 and u == m[y, x - 1] else n
                    g += n
                    continue
                # The first gate of the block that differs: its place, its class, then on gate by gate.
                place = 0
                if not decoding:
                    while mask[r, g + place] == u:
                        place += 1
                bit = 8
                got = 0
                while bit:
                    if got + bit < n:
                        one = adaptive_bit(1 if place & bit else 0, 60, plain, rate, state, data, decoding)
                        if one:
                            got += bit
                    bit >>= 1
                for i in range(got):
                    m[y, x + i] = u
                    mask[r, g + i] = u
                    column[g + i] -= column[g + i] >> 3
                    if u == 0:
                        column[g + i] += 32
                g += got
                x = g + _LEFT
                others = (1, 0, 0)[u] if u < 3 else 0
                last = (2, 2, 1)[u]
                c = mask[r, g]
                other = adaptive_bit(
                    1 if c == last else 0, 61 + np.int64(u), plain, rate, state, data, decoding
                )
                c = np.uint8(last if other else others)
                m[y, x] = c
                mask[r, g] = c
                column[g] -= column[g] >> 3
                if c == 0:
                    column[g] += 32
                run = 0
                g += 1
                continue
            w = np.int64(m[y, x - 1])
            nn = np.int64(m[y - 1, x])
            vw = 1 if w == 0 else 0
            vn = 1 if nn == 0 else 0
            vww = 1 if m[y, x - 2] == 0 else 0
            vnw = 1 if m[y - 1, x - 1] == 0 else 0
            vne = 1 if m[y - 1, x + 1] == 0 else 0
            vnn = 1 if m[y - 2, x] == 0 else 0
            v6 = 1 if m[y, x - 3] == 0 else 0
            v7 = 1 if m[y - 1, x - 2] == 0 else 0
            v8 = 1 if m[y - 1, x + 2] == 0 else 0
            v9 = 1 if m[y - 2, x - 1] == 0 else 0
            v10 = 1 if m[y - 2, x + 1] == 0 else 0
            v11 = 1 if m[y - 1, x + 3] == 0 else 0
            near = vw + 2 * vn + 4 * vne + 8 * vnw + 16 * vww
            total = vw + vn + vww + vnw + vne + vnn + v6 + v7 + v8 + v9 + v10 + v11
            aa = np.int64(0)
            ac = np.int64(3)
            agree = np.int64(0)
            if has_a:
                aa = _around(a, y, x)
                ac = np.int64(a[y, x])
                agree = (1 if (a[y, x - 1] == 0) == (w == 0) else 0) + (
                    2 if (a[y - 1, x] == 0) == (nn == 0) else 0
                )
            ba = np.int64(0)
            bc = np.int64(3)
            bgree = np.int64(0)
            if has_b:
                ba = _around(b, y, x)
                bc = np.int64(b[y, x])
                bgree = (1 if (b[y, x - 1] == 0) == (w == 0) else 0) + (
                    2 if (b[y - 1, x] == 0) == (nn == 0) else 0
                )
            la = np.int64(0)
            lc = np.int64(3)
            if has_l:
                la = _around(ll, y, x)
                lc = np.int64(ll[y, x])
            often = np.int64(column[g] >> 4)  # 0 to 15
            pattern = (
                near | (vnn << 5) | (v6 << 6) | (v7 << 7) | (v8 << 8) | (v9 << 9) | (v10 << 10) | (v11 << 11)
            )
            slots[0] = pattern
            slots[1] = _fold(near | ((aa & 15) << 5) | ((ba & 15) << 9) | ((la & 11) << 13))
            slots[2] = (aa << 6) | (agree << 4) | (vw << 3) | (vn << 2) | (vne << 1) | (1 if bc == 0 else 0)
            slots[3] = _fold((g << 3) | (vw << 2) | (vn << 1) | (1 if ac == 0 else 0))
            slots[4] = _fold(
                (ba << 8) | (bgree << 6) | (agree << 4) | (vw << 3) | (vn << 2) | (vne << 1) | (aa & 1)
            )
            slots[5] = (min(run, 31) << 6) | (vw << 5) | (vn << 4) | (vne << 3) | ((aa & 3) << 1) | (ba & 1)
            slots[6] = (often << 8) | (total << 4) | (vw << 3) | (vn << 2) | ((aa & 1) << 1) | (ba & 1)
            ring = np.int64(0)
            if has_a:
                ring = _ring(a, y, x)
            slots[7] = _fold(
                (la << 8) | (ring << 5) | (vw << 4) | (vn << 3) | (vne << 2) | ((aa & 1) << 1) | (ba & 1)
            )
            slots[8] = _fold((aa << 5) | (ring << 2) | agree)
            slots[9] = _fold(
                (aa & 15) | ((ba & 15) << 4) | (agree << 8) | (bgree << 10) | (vw << 12) | (vn << 13)
            )
            slots[10] = (often << 9) | ((g * 128 // gates) << 2) | (vw << 1) | vn
            row3 = 1 if m[y - 1, x + 4] == 0 else 0
            slots[11] = (
                (vn << 10) | (vne << 9) | (v8 << 8) | (v11 << 7) | (row3 << 6) | (vnw << 5) | (v7 << 4)
                | (vw << 3) | (vww << 2) | ((aa & 1) << 1) | (ba & 1)
            )  # fmt: skip
            for i in range(INPUTS):
                slots[i] = (i << (_BITS + 1)) + 2 * slots[i]
            row = (vw + 2 * vn + 4 * (aa & 1) + 8 * (ba & 1) + 16 * (la & 1)) * 2
            row2 = total * 2
            arow = (near | ((aa & 7) << 5) | ((ba & 3) << 8)) * 2
            c = np.int64(mask[r, g])
            valid = mix_bit(
                1 if c == 0 else 0, 0, x8, slots, 0, counters, weights, row, second, row2, apm, arow, pace,
                squash, stretch, rate, state, data, decoding,
            )  # fmt: skip
            if valid:
                c = np.int64(0)
            else:
                # Which kind of invalid: classes of the neighbours, valid ones included.
                slots[0] = w * 4 + nn
                slots[1] = w * 64 + nn * 16 + ac * 4 + bc
                slots[2] = ac * 16 + bc * 4 + lc
                slots[3] = _fold(g * 4 + nn)
                slots[4] = (ac * 4 + w) * 4 + np.int64(m[y - 1, x + 1])
                slots[5] = (np.int64(m[y, x - 2]) * 4 + np.int64(m[y - 2, x])) * 16 + w * 4 + nn
                slots[6] = _fold((w * 4 + nn) * 256 + g * 255 // gates)
                slots[7] = (lc * 4 + w) * 4 + nn
                for i in range(8, INPUTS):
                    slots[i] = 0
                for i in range(INPUTS):
                    slots[i] = (i << (_BITS + 1)) + 2 * slots[i] + 1
                missing = mix_bit(
                    1 if c == 2 else 0, 0, x8, slots, 0, counters, weights, row + 1, second, row2 + 1, apm,
                    arow + 1, pace, squash, stretch, rate, state, data, decoding,
                )  # fmt: skip
                c = np.int64(2) if missing else np.int64(1)
            run = min(run + 1, 255) if (c == 0) == (w == 0) else 0
            m[y, x] = c
            mask[r, g] = c
            column[g] -= column[g] >> 3
            if c == 0:
                column[g] += 32
            g += 1
    if not decoding:
        finish(state, data)


@njit(cache=True, nogil=True)
def code_mask(mask, first, second, ref, tables, pace, data, decoding):
    """Code the mask uint8 [rays, gates]; decoding fills it.

    Args:
        mask: in or out.
        first: mask of a variable that is known already, of size 0 where absent.
        second: another one.
        ref: mask of the same variable at another time or elevation.
        tables: (squash, stretch, rates).
        pace: shift of the mixer's learning step.
        data: uint8 stream, read or written.
        decoding: direction.

    Returns:
        Bytes written or read; more than ``data.size`` says that the buffer was too small.
    """
    squash, stretch, rate = tables
    rays, gates = mask.shape
    m = np.full((rays + _TOP + 2, gates + _LEFT + _RIGHT), np.uint8(_OUTSIDE), np.uint8)
    has_a = first.size > 0
    has_b = second.size > 0
    has_l = ref.size > 0
    known = np.zeros((rays, gates), np.uint8)
    a = m
    b = m
    ll = m
    if has_a:
        a = _pad(first)
        _gather(a, known)
    if has_b:
        b = _pad(second)
        _gather(b, known)
    if has_l:
        ll = _pad(ref)
        _gather(ll, known)
    weights = np.full((_ROWS, INPUTS), 1 << 14, np.int32)
    second = np.zeros((32, INPUTS), np.int32)
    apm = np.empty((1024 * 2, 34), np.int32)
    as_told(apm, squash)
    counters = np.full(INPUTS << (_BITS + 1), np.uint32(1 << 31), np.uint32)
    plain = np.full(64, np.uint32(1 << 31), np.uint32)
    column = np.zeros(gates, np.int32)
    above = np.zeros(gates, np.uint8)
    rows = np.zeros((2, m.shape[1]), np.uint8)  # the two rays before, as bits
    x8 = np.zeros(INPUTS, np.int32)
    slots = np.zeros(INPUTS, np.int32)
    state = np.zeros(4, np.int64)
    _code(
        mask, m, a, b, ll, has_a, has_b, has_l, known, weights, second, apm, counters, plain, column, above,
        rows, x8, slots, state, squash, stretch, rate, pace, data, decoding,
    )  # fmt: skip
    return state[POSITION]
