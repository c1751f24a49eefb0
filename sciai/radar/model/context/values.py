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

from sciai.radar.model.context.coder import INPUTS, POSITION, adaptive_bit, code_bit, finish, mix_bit, start

__all__ = ["DECISIONS", "FEATURES", "HIDDEN", "UNARY", "code_values", "collect"]

UNARY = 5  # distances beyond it are coded as an Elias-gamma number with adaptive bits
DECISIONS = 2 + 2 * UNARY
FEATURES = 48
HIDDEN = 16  # of both hidden layers and, padded, of the output: whole vector registers
_CONTEXTS = 512  # per counter set; each holds 16 decisions side by side, one cache line
_ROWS2 = 16 * 16
_ROWS = 16 * 8  # of weights: 16 decisions times how much is known nearby
_LARGEST = 2**30  # of an index; only damaged streams reach it
_TOP, _LEFT, _RIGHT = 2, 3, 2  # margins of the padded planes: neighbours need no bounds checks


@njit(cache=True, nogil=True)
def _wrap(d, period):
    """A difference of indices, taken the short way round where the variable is circular."""
    if period > 0:
        h = period // 2
        d = (d + h) % period - h
    return d


@njit(cache=True, nogil=True)
def _comp(d16, table):
    """Signed compander: log2(1 + |d| / 16) in Q8."""
    t = np.int64(table[min(abs(d16), 4095)])
    return t if d16 >= 0 else -t


@njit(cache=True, nogil=True)
def _bucket(q8, half, shift):
    """A feature as one of 2 half + 1 classes."""
    v = (np.int64(q8) + (1 << (shift - 1))) >> shift
    return min(max(v, -half), half) + half


@njit(cache=True, nogil=True)
def _pad(plane, value):
    rays, gates = plane.shape
    out = np.full((rays + _TOP + 1, gates + _LEFT + _RIGHT), value, plane.dtype)
    for r in range(rays):
        for g in range(gates):
            out[r + _TOP, g + _LEFT] = plane[r, g]
    return out


@njit(cache=True, nogil=True)
def _padded(plane, mask):
    """A plane with margins, and where it is valid (uint8); both as they are where the plane is absent."""
    if mask.size == 0:
        return plane, mask
    return _pad(plane, 0), (_pad(mask, 1) == 0).astype(np.uint8)


@njit(cache=True, nogil=True)
def _distances_out(gates):
    """How far out each gate is, as a share of the ray (Q8) and in steps that shrink with distance."""
    far = np.zeros(gates, np.int32)
    near = np.zeros(gates, np.int32)
    for g in range(gates):
        far[g] = (g << 8) // gates
        near[g] = 4096 // (g + 16)
    return far, near


@njit(cache=True, nogil=True)
def _reciprocals():
    """65536 / n for the sums of weights that occur; int64."""
    out = np.zeros(128, np.int64)
    for n in range(1, 128):
        out[n] = (65536 + n // 2) // n
    return out


@njit(cache=True, nogil=True)
def _features(
    y,
    x,
    q,
    ok,
    err,
    twin,
    twin_ok,
    ref,
    ref_ok,
    column,
    seen,
    noise,
    far,
    near,
    period,
    mean,
    recip,
    table,
    f,
    c,
):
    """Features f (int32 [48], Q8) and contexts c (int32 [10]) of the gate at (y, x) of the padded planes.

    c[0..6] contexts of the counters, c[7] the row of weights; gives the predicted index.
    """
    vw = np.int64(ok[y, x - 1])
    vn = np.int64(ok[y - 1, x])
    vww = np.int64(ok[y, x - 2])
    vnw = np.int64(ok[y - 1, x - 1])
    vne = np.int64(ok[y - 1, x + 1])
    vnn = np.int64(ok[y - 2, x])
    vnee = np.int64(ok[y - 1, x + 2])
    vwww = np.int64(ok[y, x - 3])
    vnne = np.int64(ok[y - 2, x + 1])
    vnnw = np.int64(ok[y - 2, x - 1])
    has_ref = ref_ok.size > 0 and ref_ok[y, x] != 0
    has_twin = twin_ok.size > 0 and twin_ok[y, x] != 0
    g = x - _LEFT
    col = np.int64(column[g])
    has_col = seen[g] > 0
    # An anchor makes circular differences meaningful: everything is relative to the nearest known index.
    known = True
    if vw:
        anchor = np.int64(q[y, x - 1])
    elif vn:
        anchor = np.int64(q[y - 1, x])
    elif vnw:
        anchor = np.int64(q[y - 1, x - 1])
    elif vne:
        anchor = np.int64(q[y - 1, x + 1])
    elif vww:
        anchor = np.int64(q[y, x - 2])
    elif vnn:
        anchor = np.int64(q[y - 2, x])
    else:
        known = False
        if has_ref:
            anchor = np.int64(ref[y, x])
        elif has_twin:
            anchor = np.int64(twin[y, x])
        elif has_col:
            anchor = (col + 8) >> 4
        else:
            anchor = np.int64(0)
    dw = _wrap(q[y, x - 1] - anchor, period) * vw
    dn = _wrap(q[y - 1, x] - anchor, period) * vn
    dww = _wrap(q[y, x - 2] - anchor, period) * vww
    dnw = _wrap(q[y - 1, x - 1] - anchor, period) * vnw
    dne = _wrap(q[y - 1, x + 1] - anchor, period) * vne
    dnn = _wrap(q[y - 2, x] - anchor, period) * vnn
    dnee = _wrap(q[y - 1, x + 2] - anchor, period) * vnee
    dwww = _wrap(q[y, x - 3] - anchor, period) * vwww
    dnne = _wrap(q[y - 2, x + 1] - anchor, period) * vnne
    dnnw = _wrap(q[y - 2, x - 1] - anchor, period) * vnnw
    # The plain prediction, relative to the anchor, in sixteenths.
    den = 30 * vw + 20 * vn + 10 * vne + 5 * vww + 3 * (vnw + vnn + vnee) + vwww + vnne + vnnw
    num = 30 * dw + 20 * dn + 10 * dne + 5 * dww + 3 * (dnw + dnn + dnee) + dwww + dnne + dnnw
    p16 = (num * recip[den] + 2048) >> 12
    if not known and not has_ref and not has_twin and has_col:
        p16 = col - 16 * anchor
    twin_step = np.int64(0)
    if has_twin:
        # Same quantity measured or filtered otherwise (TH beside DBZH): carry its steps over.
        t = np.int64(twin[y, x])
        if vw and twin_ok[y, x - 1]:
            p16 = 16 * (_wrap(t - twin[y, x - 1], period) + dw)
            if vn and twin_ok[y - 1, x]:
                p16 = (p16 * 3 + 16 * (_wrap(t - twin[y - 1, x], period) + dn)) >> 2
        elif vn and twin_ok[y - 1, x]:
            p16 = 16 * (_wrap(t - twin[y - 1, x], period) + dn)
        else:
            p16 = 16 * _wrap(t - anchor, period)
        twin_step = _comp(_wrap(16 * (t - anchor) - p16, 16 * period), table)
    pi = (p16 + 8) >> 4
    frac = p16 - 16 * pi
    base = 16 * anchor + p16
    f0 = frac * 16
    fw = _comp(16 * dw - p16, table) * vw
    fn = _comp(16 * dn - p16, table) * vn
    fww = _comp(16 * dww - p16, table) * vww
    fnw = _comp(16 * dnw - p16, table) * vnw
    fne = _comp(16 * dne - p16, table) * vne
    f[0] = f0
    f[1] = fw
    f[2] = fn
    f[3] = fww
    f[4] = fnw
    f[5] = fne
    f[6] = _comp(16 * dnn - p16, table) * vnn
    f[7] = _comp(16 * dnee - p16, table) * vnee
    f[8] = _comp(16 * dwww - p16, table) * vwww
    f[9] = _comp(16 * dnne - p16, table) * vnne
    f[10] = _comp(16 * dnnw - p16, table) * vnnw
    f[11] = 256 * vw
    f[12] = 256 * vn
    f[13] = 256 * vww
    f[14] = 256 * vnw
    f[15] = 256 * vne
    f[16] = 256 * vnn
    f[17] = 256 * vnee
    f[18] = _comp(16 * abs(dw - dww), table) * (vw & vww)
    f[19] = _comp(16 * abs(dn - dnn), table) * (vn & vnn)
    f[20] = _comp(16 * (dw - dnw), table) * (vw & vnw)
    f[21] = _comp(16 * (dne - dn), table) * (vn & vne)
    f[22] = _comp(16 * (dn - dnw), table) * (vn & vnw)
    e1 = np.int64(ok[y, x + 1])
    s0 = np.int64(ok[y + 1, x])
    f[23] = 256 * e1
    f[24] = 256 * np.int64(ok[y, x + 2])
    f[25] = 256 * s0
    f[26] = 256 * np.int64(ok[y + 1, x + 1])
    f[27] = 256 * np.int64(ok[y + 1, x - 1])
    fcol = np.int64(0)
    if has_col:
        fcol = _comp(_wrap(col - base, 16 * period), table)
    f[28] = fcol
    f[29] = 32 * np.int64(seen[g])
    f[30] = 0
    f[31] = 0
    f[32] = 0
    f[33] = 0
    side = np.int64(0)
    own = np.int64(0)
    if ref_ok.size > 0:
        if has_ref:
            t = np.int64(ref[y, x])
            own = _comp(_wrap(16 * t - base, 16 * period), table)
            f[30] = own
            f[31] = 256
            if vw and ref_ok[y, x - 1]:
                f[32] = _comp(16 * (_wrap(t - ref[y, x - 1], period) + dw) - p16, table)
            elif vn and ref_ok[y - 1, x]:
                f[32] = _comp(16 * (_wrap(t - ref[y - 1, x], period) + dn) - p16, table)
        if ref_ok[y, x + 1]:
            side = _comp(_wrap(16 * np.int64(ref[y, x + 1]) - base, 16 * period), table)
        f[33] = side
    f[34] = twin_step
    f[35] = 256 if has_twin else 0
    f[36] = 0
    twin_next = np.int64(0)
    if twin_ok.size > 0 and twin_ok[y, x + 1]:
        twin_next = _comp(_wrap(16 * np.int64(twin[y, x + 1]) - base, 16 * period), table)
        f[36] = twin_next
    # How wrong the predictions nearby were (Wu & Memon, CALIC, IEEE Trans. Commun. 45, 1997).
    ew = _comp(16 * np.int64(err[y, x - 1]), table)
    en = _comp(16 * np.int64(err[y - 1, x]), table)
    lately = np.int64(table[min(mean >> 4, 4095)])
    here = np.int64(table[min(np.int64(noise[g]), 4095)])
    f[37] = ew
    f[38] = en
    f[39] = abs(_comp(16 * np.int64(err[y - 1, x + 1]), table))
    f[40] = abs(_comp(16 * np.int64(err[y - 1, x - 1]), table))
    f[41] = lately
    f[42] = here
    f[43] = far[g]
    f[44] = _comp(base, table) >> 1
    f[45] = min(max(base + (base >> 1), -2048), 2048)
    f[46] = near[g]
    valid = vw + vww + vn + vnw + vne + vnn
    f[47] = 42 * valid
    # Contexts of the counters.
    act = (abs(fw) + abs(fn) + abs(fnw) + abs(fne)) >> 7
    c[0] = min(act, 15) * 16 + min(max((f0 >> 4) + 8, 0), 15)
    c[1] = _bucket(fw, 6, 7) * 13 + _bucket(fn, 6, 7)
    c[2] = np.int64(far[g]) + (256 if valid == 0 else 0)
    c[3] = _bucket(fcol, 7, 7) * 16 + e1 + 2 * s0 + 4 * vw + 8 * vn
    c[4] = _bucket(ew, 4, 7) * 45 + _bucket(en, 4, 7) * 5 + min(lately >> 7, 4)
    c[5] = min(max(anchor + pi + 128, 0), 255)
    if twin_ok.size > 0:
        c[6] = _bucket(twin_step, 8, 6) * 17 + _bucket(twin_next, 8, 6)
    elif ref_ok.size > 0:
        c[6] = _bucket(own, 8, 6) * 17 + _bucket(side, 8, 6)
    else:
        c[6] = _bucket(fne, 4, 7) * 45 + _bucket(fww, 4, 7) * 5 + min(here >> 7, 4)
    c[8] = _bucket(fn, 3, 7) * 63 + _bucket(fne, 4, 7) * 7 + _bucket(f[6], 3, 7)
    c[9] = min(max(anchor + pi + 32, 0), 63) * 8 + min(lately >> 6, 7)
    c[10] = (np.int64(far[g]) >> 3) * 16 + _bucket(fcol, 7, 6)
    c[11] = _bucket(fw, 3, 7) * 63 + _bucket(fww, 4, 7) * 7 + _bucket(f[8], 3, 7)
    # Which weights: how much is known nearby.
    c[7] = min(vw + vn + vne + vnw, 3) + (4 if has_twin or has_ref else 0)
    return anchor + pi


@njit(cache=True, nogil=True)
def _network(f, w1, b1, w2, b2, h1, h2):
    """Both hidden layers: features Q8, weights Q10 of at most 8, every sum exact in 32 bits.

    Written as sums over the inputs, which the compiler turns into vector code; integer sums have no order.
    """
    for j in range(HIDDEN):
        s = np.int32(b1[j])
        for i in range(FEATURES):
            s = np.int32(s + f[i] * w1[j, i])
        h1[j] = min(max(s >> 10, 0), 4095)
    for j in range(HIDDEN):
        s = np.int32(b2[j])
        for i in range(HIDDEN):
            s = np.int32(s + h1[i] * w2[j, i])
        h2[j] = min(max(s >> 10, 0), 4095)


@njit(cache=True, nogil=True)
def _logit(j, h2, w3, b3):
    """The logit of decision j; most gates ask for the first only."""
    s = np.int32(b3[j])
    for i in range(HIDDEN):
        s = np.int32(s + h2[i] * w3[j, i])
    return min(max(s >> 10, -2816), 2816)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _choose(v, p, weight_rd, bound, low, high, period, h2, w3, b3, cost):
    """The index of the value v (in steps): the nearest, or its neighbour where that is worth its bits."""
    near = np.int64(np.floor(v + np.float32(0.5)))
    near = min(max(near, low), high)
    if weight_rd > 0:
        gap = v - np.float32(near)
        other = near + (1 if gap > 0 else -1)
        gap2 = v - np.float32(other)
        if abs(gap) > np.float32(0.15) and low <= other <= high and abs(gap2) <= bound:
            c0 = gap * gap + weight_rd * _cost(_wrap(near - p, period), h2, w3, b3, cost)
            c1 = gap2 * gap2 + weight_rd * _cost(_wrap(other - p, period), h2, w3, b3, cost)
            if c1 < c0:
                near = other
    return near


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _escape(a, sign, escapes, rate, state, data, decoding):
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


@njit(cache=True, nogil=True)
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
        far += _escape(a - UNARY, 1 if up else 0, escapes, rate, state, data, decoding)
    else:
        far += 1
    return far if up else -far


@njit(cache=True, nogil=True)
def _remember(y, x, q, t, err, column, seen, noise):
    """What later gates will know of this one."""
    g = x - _LEFT
    err[y, x] = min(max(t, -32768), 32767)
    value = 16 * np.int64(q[y, x])
    if seen[g] == 0:
        column[g] = value
    else:
        column[g] += (value - column[g]) >> 3
    seen[g] = min(seen[g] + 1, 8)
    noise[g] += ((min(abs(t), 1 << 20) << 4) - noise[g]) >> 2


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
        data: uint8 stream, read or written.
        decoding: direction.

    Returns:
        Bytes written or read; more than ``data.size`` says that the buffer was too small.
    """
    w1, b1, w2, b2, w3, b3 = net
    table, squash, stretch, rate = tables
    rays, gates = q.shape
    qp, ok = _padded(q, mask)
    tp, tk = _padded(twin, twin_mask)
    rp, rk = _padded(ref, ref_mask)
    h1 = np.zeros(16, np.int32)
    h2 = np.zeros(16, np.int32)
    flat = np.full(512, np.uint32(15 << 28), np.uint32)  # staying is likely from the start
    f = np.zeros(FEATURES, np.int32)
    c = np.zeros(16, np.int32)
    err = np.zeros(qp.shape, np.int32)
    column = np.zeros(gates, np.int32)
    seen = np.zeros(gates, np.int32)
    noise = np.zeros(gates, np.int32)
    far, near = _distances_out(gates)
    recip = _reciprocals()
    counters = np.full(INPUTS * _CONTEXTS * 16, np.uint32(1 << 31), np.uint32)
    escapes = np.full(1024, np.uint32(1 << 31), np.uint32)
    weights = np.full((_ROWS, INPUTS), (1 << 16) // 20, np.int32)
    weights[:, 0] = (8 << 16) // 10
    second = np.zeros((_ROWS2, INPUTS), np.int32)
    apm = np.zeros((192 * 16, 34), np.int32)
    for j in range(34):
        apm[:, j] = squash[min(j * 176, 2 * 2816)]
    x = np.zeros(INPUTS, np.int32)
    slots = np.zeros(INPUTS, np.int32)
    state = np.zeros(4, np.int64)
    start(state, data, decoding)
    free = target.size > 0
    mean = np.int64(256)
    t = np.int64(0)
    for r in range(rays):
        y = r + _TOP
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = g + _LEFT
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
                if adaptive_bit(same, slot, flat, rate, state, data, decoding):
                    qp[y, k] = p
                    q[r, g] = p
                    _remember(y, k, qp, np.int64(0), err, column, seen, noise)
                    mean -= mean >> 5
                    continue
                moved = True
            p = _features(
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
                t = _wrap(qp[y, k] - p, period)
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
            _remember(y, k, qp, t, err, column, seen, noise)
            mean += ((min(abs(t), 1 << 20) << 8) - mean) >> 5
    if not decoding:
        finish(state, data)
    return state[POSITION]


@njit(cache=True, nogil=True)
def collect(q, mask, low, high, period, twin, twin_mask, ref, ref_mask, table, features, distances):
    """Features int32 [n, FEATURES] and distances int32 [n] of every valid gate, as the coder meets them."""
    rays, gates = q.shape
    qp, ok = _padded(q, mask)
    tp, tk = _padded(twin, twin_mask)
    rp, rk = _padded(ref, ref_mask)
    c = np.zeros(16, np.int32)
    err = np.zeros(qp.shape, np.int32)
    column = np.zeros(gates, np.int32)
    seen = np.zeros(gates, np.int32)
    noise = np.zeros(gates, np.int32)
    far, near = _distances_out(gates)
    recip = _reciprocals()
    mean = np.int64(256)
    n = 0
    for r in range(rays):
        y = r + _TOP
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = g + _LEFT
            p = _features(
                y, k, qp, ok, err, tp, tk, rp, rk, column, seen, noise, far, near, period, mean, recip, table,
                features[n], c,
            )  # fmt: skip
            if period == 0:
                p = min(max(p, low), high)
            t = _wrap(qp[y, k] - p, period)
            distances[n] = t
            n += 1
            _remember(y, k, qp, t, err, column, seen, noise)
            mean += ((min(abs(t), 1 << 20) << 8) - mean) >> 5
    return n
