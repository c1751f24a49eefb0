# mypy: ignore-errors
"""Coding one plane of quantised values: features, network, mixture, bits.

Gates are visited ray by ray, outwards; invalid gates cost nothing, since the mask is known. For a valid
gate

1. neighbours already coded give a prediction (in sixteenths of an index) and 48 integer features;
2. a small integer network turns them into logits for the decisions *same as predicted? above? further
   than k?*;
3. each decision is coded under a mixture of the network's logit with counters that started empty in this
   plane: the network knows radars in general, the counters learn this one, and the weights learn whom
   to believe.

An encoder may choose, between the two nearest indices, the one with the smaller ``error² + weight x bits``
(rate-distortion optimised quantisation; Ramchandran & Vetterli, IEEE Trans. Image Process. 3, 1994).
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.coder import (
    INPUTS,
    POSITION,
    adaptive_bit,
    as_told,
    code_bit,
    finish,
    learn,
    mix_bit,
    start,
)
from sciai.radar.model.context.features import (
    FEATURES,
    LEFT,
    TOP,
    distances_out,
    features_of,
    padded,
    reciprocals,
    remember,
    wrap,
)
from sciai.radar.model.context.jit import inlined, loop
from sciai.radar.model.context.vectors import layer

__all__ = ["DECISIONS", "HIDDEN", "UNARY", "code_values", "escape"]

UNARY = 5  # distances beyond it are coded as an Elias-gamma number with adaptive bits
DECISIONS = 2 + 2 * UNARY
HIDDEN = 16  # of both hidden layers and, padded, of the output: whole vector registers
_first = layer(FEATURES)
_second = layer(HIDDEN)
_CONTEXTS = 512  # per counter set; each holds 16 decisions side by side, one cache line
_ROWS2 = 16 * 16
_ROWS = 16 * 8  # of weights: 16 decisions times how much is known nearby
_LARGEST = 2**30  # of an index; only damaged streams reach it


@inlined
def _network(f, w1, b1, w2, b2, h1, h2):
    """Both hidden layers: features Q8, weights Q10 of at most 8, every sum exact in 32 bits.

    Written as sums over the inputs, which the compiler turns into vector code; integer sums have no order.
    """
    _first(f, w1, b1, h1)
    _second(h1, w2, b2, h2)


@inlined
def _logit(j, h2, w3, b3):
    """The logit of decision j; most gates ask for the first only."""
    s = np.int32(b3[j])
    for i in range(HIDDEN):
        s = np.int32(s + h2[i] * w3[j, i])
    return min(max(s >> 10, -2816), 2816)


@loop
def _cost(t, h2, w3, b3, cost):
    """Bits of coding the distance t under the network alone; cost[x + 2816] = log2(1 + exp(-x / 256))."""
    a = abs(t)
    first = _logit(0, h2, w3, b3)
    if a == 0:
        return cost[2816 + first]
    bits = cost[2816 - first]
    sign = _logit(1, h2, w3, b3)
    bits += cost[2816 + (sign if t > 0 else -sign)]
    o = 2 if t > 0 else 2 + UNARY
    for j in range(UNARY):
        further = _logit(o + j, h2, w3, b3)
        if a > j + 1:
            bits += cost[2816 + further]
        else:
            return bits + cost[2816 - further]
    return bits + np.float32(2.0) * np.float32(np.log2(a - UNARY)) + np.float32(1.0)


@loop
def _choose(v, p, weight_rd, bound, low, high, period, h2, w3, b3, cost):
    """The index of the value v (in steps): the nearest, or its neighbour where that is worth its bits."""
    near = np.int64(np.floor(v + np.float32(0.5)))
    near = min(max(near, low), high)
    if weight_rd > 0:
        gap = v - np.float32(near)
        other = near + (1 if gap > 0 else -1)
        gap2 = v - np.float32(other)
        if abs(gap) > np.float32(0.15) and low <= other <= high and abs(gap2) <= bound:
            c0 = gap * gap + weight_rd * _cost(wrap(near - p, period), h2, w3, b3, cost)
            c1 = gap2 * gap2 + weight_rd * _cost(wrap(other - p, period), h2, w3, b3, cost)
            if c1 < c0:
                near = other
    return near


@loop
def _stays(v, p, weight_rd, bound, low, high, logit, cost):
    """Whether the value v is coded as p where everything around is p; `logit` is that of staying."""
    near = np.int64(np.floor(v + np.float32(0.5)))
    near = min(max(near, low), high)
    if near == p or weight_rd == 0 or abs(near - p) > 1:
        return near == p
    gap = v - np.float32(near)
    gap2 = v - np.float32(p)
    if abs(gap2) > bound:
        return False
    leaving = cost[2816 - logit] - np.float32(2.5)  # a step told early saves the gates behind it (measured)
    return gap2 * gap2 + weight_rd * cost[2816 + logit] < gap * gap + weight_rd * leaving


@inlined
def _flat(y, x, q, ok, err, twin, twin_ok):
    """Whether all neighbours are valid and equal, and were expected: then nearly nothing is left to say."""
    if not (ok[y, x - 1] and ok[y - 1, x] and ok[y - 1, x - 1] and ok[y - 1, x + 1]):
        return False
    if not (ok[y, x - 2] and ok[y - 2, x] and ok[y - 1, x + 2] and ok[y, x - 3]):
        return False
    if q[y - 1, x + 2] != q[y, x - 1] or q[y, x - 3] != q[y, x - 1]:
        return False
    w = q[y, x - 1]
    if q[y - 1, x] != w or q[y - 1, x - 1] != w or q[y - 1, x + 1] != w:
        return False
    if q[y, x - 2] != w or q[y - 2, x] != w or err[y, x - 1] != 0 or err[y - 1, x] != 0:
        return False
    if twin_ok.size > 0 and twin_ok[y, x]:
        return (
            twin_ok[y, x - 1] != 0
            and twin[y, x] == twin[y, x - 1]
            and (twin_ok[y - 1, x] == 0 or twin[y, x] == twin[y - 1, x])
        )
    return True


@loop
def escape(a, sign, escapes, rate, state, data, decoding):
    """Elias-gamma of a >= 1 whose length and leading bits are adaptive."""
    n = 0
    if not decoding:
        while a >> (n + 1):
            n += 1
    length = 0
    while length < 24:
        more = adaptive_bit(1 if n > length else 0, sign * 32 + length, escapes, rate, state, data, decoding)
        if more == 0:
            break
        length += 1
    value = np.int64(1)
    for i in range(length):
        bit = (a >> (length - 1 - i)) & 1
        if i < 3:
            slot = 64 + ((sign * 25 + length) * 8) + (value & 7 if i < 2 else 4 + (value & 3))
            bit = adaptive_bit(bit, slot, escapes, rate, state, data, decoding)
        else:
            bit = code_bit(bit, 32768, state, data, decoding)
        value = (value << 1) | bit
    return value


@inlined
def _distance(
    t, moved, h2, w3, b3, x, slots, counters, escapes, weights, row, second, row2, apm, arow, pace, squash,
    stretch, rate, state, data, decoding,
):  # fmt: skip
    """Code the distance t between index and prediction, decision by decision; `moved` says it is not 0."""
    a = abs(t)
    if not moved:
        x[0] = _logit(0, h2, w3, b3)
        if mix_bit(
            1 if a == 0 else 0, 1, x, slots, 0, counters, weights, row, second, row2, apm, arow, pace,
            squash, stretch, rate, state, data, decoding,
        ):  # fmt: skip
            return np.int64(0)
    x[0] = _logit(1, h2, w3, b3)
    up = mix_bit(
        1 if t > 0 else 0, 1, x, slots, 1, counters, weights, row + 1, second, row2 + 1, apm, arow + 1,
        pace, squash, stretch, rate, state, data, decoding,
    )  # fmt: skip
    o = 2 if up else 2 + UNARY
    far = np.int64(UNARY)
    for j in range(UNARY):
        x[0] = _logit(o + j, h2, w3, b3)
        more = mix_bit(
            1 if a > j + 1 else 0, 1, x, slots, o + j, counters, weights, row + o + j, second,
            row2 + o + j, apm, arow + o + j, pace, squash, stretch, rate, state, data, decoding,
        )  # fmt: skip
        if more == 0:
            far = np.int64(j)
            break
    if far == UNARY:
        far += escape(a - UNARY, 1 if up else 0, escapes, rate, state, data, decoding)
    else:
        far += 1
    return far if up else -far


@loop
def _code(
    q, mask, target, weight_rd, bound, low, high, period, w1, b1, w2, b2, w3, b3, table, squash, stretch,
    rate, qp, ok, tp, tk, rp, rk, h1, h2, flat, f, c, err, column, seen, noise, far, near, recip, counters,
    escapes, weights, second, apm, x, slots, state, cost, pace, data, decoding,
):  # fmt: skip
    """The gates of `code_values`: a function that allocates nothing counts no references."""
    rays, gates = q.shape
    start(state, data, decoding)
    free = target.size > 0
    told = decoding or data.size > 0
    mean = np.int64(256)
    t = np.int64(0)
    for r in range(rays):
        y = r + TOP
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = g + LEFT
            moved = False
            if _flat(y, k, qp, ok, err, tp, tk):
                p = np.int64(qp[y, k - 1])
                slot = (
                    min(np.int64(table[min(mean >> 4, 4095)]) >> 7, 7) * 64
                    + min(np.int64(noise[g]) >> 1, 3) * 16
                    + (8 if ok[y, k + 1] and ok[y + 1, k] else 0)
                    + (4 if ok[y - 2, k + 1] and qp[y - 2, k + 1] == p and qp[y - 2, k - 1] == p else 0)
                    + (0 if abs(16 * p - column[g]) < 3 else (1 if abs(16 * p - column[g]) < 8 else 2))
                )
                same = 0
                if not decoding:
                    if free:
                        stay = np.int64(stretch[np.int64(flat[slot]) >> 20])
                        if _stays(target[r, g], p, weight_rd, bound, low, high, stay, cost):
                            same = 1
                    elif qp[y, k] == p:
                        same = 1
                if told:
                    same = adaptive_bit(same, slot, flat, rate, state, data, decoding)
                else:
                    learn(np.int64(same) << 22, slot, flat, rate)
                if same:
                    qp[y, k] = p
                    q[r, g] = p
                    remember(y, k, qp, np.int64(0), err, column, seen, noise)
                    mean -= mean >> 5
                    continue
                moved = True
            p = features_of(
                y, k, qp, ok, err, tp, tk, rp, rk, column, seen, noise, far, near, period, mean, recip,
                table, f, c
            )  # fmt: skip
            _network(f, w1, b1, w2, b2, h1, h2)
            if moved:
                p = np.int64(qp[y, k - 1])
            elif period == 0:
                p = min(max(p, low), high)
            if not decoding:
                if free:
                    v = _choose(target[r, g], p, weight_rd, bound, low, high, period, h2, w3, b3, cost)
                    if moved and v == p:  # staying was judged before, by other odds
                        v = min(max(np.int64(np.floor(target[r, g] + np.float32(0.5))), low), high)
                    qp[y, k] = v
                t = wrap(qp[y, k] - p, period)
            if told:
                for i in range(7):
                    slots[i + 1] = (i * _CONTEXTS + c[i]) * 16
                for i in range(8, 12):
                    slots[i] = (i * _CONTEXTS + c[i]) * 16
                t = _distance(
                    t, moved, h2, w3, b3, x, slots, counters, escapes, weights, c[7] * 16, second,
                    (c[0] >> 4) * 16, apm, c[1] * 16, pace, squash, stretch, rate, state, data, decoding,
                )  # fmt: skip
            if decoding:
                v = p + t
                if period > 0:
                    v = low + (v - low) % period
                qp[y, k] = min(max(v, -_LARGEST), _LARGEST)
            q[r, g] = qp[y, k]
            remember(y, k, qp, t, err, column, seen, noise)
            mean += ((min(abs(t), 1 << 20) << 8) - mean) >> 5
    if not decoding:
        finish(state, data)


@njit(cache=True, nogil=True)
def code_values(
    q, mask, target, weight_rd, bound, low, high, period, twin, twin_mask, ref, ref_mask,
    net, tables, cost, pace, data, decoding,
):  # fmt: skip
    """Code the plane; encoding fills q from `target` (values in steps), decoding fills it from `data`.

    Args:
        q: int32 [rays, gates], in or out; untouched where invalid (must be 0 there).
        mask: uint8 [rays, gates], 0 where valid.
        target: float32 [rays, gates], values / step from the origin; float32 [0, 0] where q is given already.
        weight_rd: float32 price of a bit in squared steps; 0 rounds to the nearest index.
        bound: float32, largest |target - index| the choice may make.
        low: smallest index allowed.
        high: largest index allowed; with period > 0, high - low + 1 equals it.
        period: > 0 where indices are circular.
        twin: indices of another variable of the same quantity, int32, of size 0 where absent.
        twin_mask: its mask.
        ref: indices of the same variable at another time or elevation, of size 0 where absent.
        ref_mask: its mask.
        net: (w1, b1, w2, b2, w3, b3) int32, weights [to, from].
        tables: (compander, squash, stretch, rates).
        cost: float32, bits by logit (encoder only).
        pace: shift of the mixer's learning step.
        data: uint8 stream, read or written; of size 0 in an encoder that is asked for q only. The choice
            hangs on the network, not on what the mixture learns, so q is the same, in less time.
        decoding: direction.

    Returns:
        Bytes written or read; more than ``data.size`` says that the buffer was too small.
    """
    w1, b1, w2, b2, w3, b3 = net
    w1, w2 = np.ascontiguousarray(w1.T), np.ascontiguousarray(w2.T)
    table, squash, stretch, rate = tables
    gates = q.shape[1]
    qp, ok = padded(q, mask)
    tp, tk = padded(twin, twin_mask)
    rp, rk = padded(ref, ref_mask)
    h1 = np.zeros(16, np.int32)
    h2 = np.zeros(16, np.int32)
    flat = np.full(512, np.uint32(15 << 28), np.uint32)  # staying is likely from the start
    f = np.zeros(FEATURES, np.int32)
    c = np.zeros(16, np.int32)
    err = np.zeros(qp.shape, np.int32)
    column = np.zeros(gates, np.int32)
    seen = np.zeros(gates, np.int32)
    noise = np.zeros(gates, np.int32)
    far, near = distances_out(gates)
    recip = reciprocals()
    counters = np.full(INPUTS * _CONTEXTS * 16, np.uint32(1 << 31), np.uint32)
    escapes = np.full(1024, np.uint32(1 << 31), np.uint32)
    weights = np.full((_ROWS, INPUTS), (1 << 16) // 20, np.int32)
    weights[:, 0] = (8 << 16) // 10
    second = np.zeros((_ROWS2, INPUTS), np.int32)
    apm = np.empty((192 * 16, 34), np.int32)
    as_told(apm, squash)
    x = np.zeros(INPUTS, np.int32)
    slots = np.zeros(INPUTS, np.int32)
    state = np.zeros(4, np.int64)
    _code(
        q, mask, target, weight_rd, bound, low, high, period, w1, b1, w2, b2, w3, b3, table, squash, stretch,
        rate, qp, ok, tp, tk, rp, rk, h1, h2, flat, f, c, err, column, seen, noise, far, near, recip,
        counters, escapes, weights, second, apm, x, slots, state, cost, pace, data, decoding,
    )  # fmt: skip
    return state[POSITION]
