# mypy: ignore-errors
"""What is known about a gate before it is coded: neighbours, other planes, how wrong predictions were lately.

The neighbours already coded give a prediction (in sixteenths of an index), 48 integer features for the
network and twelve contexts for the counters. Coder and trainer call the same functions, so that a network
meets in use what it was trained on.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.jit import inlined

__all__ = [
    "FEATURES",
    "LEFT",
    "RIGHT",
    "TOP",
    "bucket",
    "collect",
    "comp",
    "distances_out",
    "features_of",
    "padded",
    "reciprocals",
    "remember",
    "wrap",
]

FEATURES = 48
TOP, LEFT, RIGHT = 2, 3, 2  # margins of the padded planes: neighbours need no bounds checks


@inlined
def wrap(d, period):
    """A difference of indices, taken the short way round where the variable is circular."""
    if period > 0:
        h = period // 2
        d += h
        if d < 0:
            d += period
        elif d >= period:
            d -= period
        if d < 0 or d >= period:  # rarely, and a division takes long
            d %= period
        d -= h
    return d


@inlined
def comp(d16, table):
    """Signed compander: log2(1 + |d| / 16) in Q8."""
    t = np.int64(table[min(abs(d16), 4095)])
    return t if d16 >= 0 else -t


@inlined
def bucket(q8, half, shift):
    """A feature as one of 2 half + 1 classes."""
    v = (np.int64(q8) + (1 << (shift - 1))) >> shift
    return min(max(v, -half), half) + half


@njit(cache=True, nogil=True)
def _pad(plane, value):
    rays, gates = plane.shape
    out = np.full((rays + TOP + 1, gates + LEFT + RIGHT), value, plane.dtype)
    for r in range(rays):
        for g in range(gates):
            out[r + TOP, g + LEFT] = plane[r, g]
    return out


@njit(cache=True, nogil=True)
def padded(plane, mask):
    """A plane with margins, and where it is valid (uint8); both as they are where the plane is absent."""
    if mask.size == 0:
        return plane, mask
    return _pad(plane, 0), (_pad(mask, 1) == 0).astype(np.uint8)


@njit(cache=True, nogil=True)
def distances_out(gates):
    """How far out each gate is, as a share of the ray (Q8) and in steps that shrink with distance."""
    far = np.zeros(gates, np.int32)
    near = np.zeros(gates, np.int32)
    for g in range(gates):
        far[g] = (g << 8) // gates
        near[g] = 4096 // (g + 16)
    return far, near


@njit(cache=True, nogil=True)
def reciprocals():
    """65536 / n for the sums of weights that occur; int64."""
    out = np.zeros(128, np.int64)
    for n in range(1, 128):
        out[n] = (65536 + n // 2) // n
    return out


@inlined
def features_of(
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
    g = x - LEFT
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
    dw = wrap(q[y, x - 1] - anchor, period) * vw
    dn = wrap(q[y - 1, x] - anchor, period) * vn
    dww = wrap(q[y, x - 2] - anchor, period) * vww
    dnw = wrap(q[y - 1, x - 1] - anchor, period) * vnw
    dne = wrap(q[y - 1, x + 1] - anchor, period) * vne
    dnn = wrap(q[y - 2, x] - anchor, period) * vnn
    dnee = wrap(q[y - 1, x + 2] - anchor, period) * vnee
    dwww = wrap(q[y, x - 3] - anchor, period) * vwww
    dnne = wrap(q[y - 2, x + 1] - anchor, period) * vnne
    dnnw = wrap(q[y - 2, x - 1] - anchor, period) * vnnw
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
            p16 = 16 * (wrap(t - twin[y, x - 1], period) + dw)
            if vn and twin_ok[y - 1, x]:
                p16 = (p16 * 3 + 16 * (wrap(t - twin[y - 1, x], period) + dn)) >> 2
        elif vn and twin_ok[y - 1, x]:
            p16 = 16 * (wrap(t - twin[y - 1, x], period) + dn)
        else:
            p16 = 16 * wrap(t - anchor, period)
        twin_step = comp(wrap(16 * (t - anchor) - p16, 16 * period), table)
    pi = (p16 + 8) >> 4
    frac = p16 - 16 * pi
    base = 16 * anchor + p16
    f0 = frac * 16
    fw = comp(16 * dw - p16, table) * vw
    fn = comp(16 * dn - p16, table) * vn
    fww = comp(16 * dww - p16, table) * vww
    fnw = comp(16 * dnw - p16, table) * vnw
    fne = comp(16 * dne - p16, table) * vne
    f[0] = f0
    f[1] = fw
    f[2] = fn
    f[3] = fww
    f[4] = fnw
    f[5] = fne
    f[6] = comp(16 * dnn - p16, table) * vnn
    f[7] = comp(16 * dnee - p16, table) * vnee
    f[8] = comp(16 * dwww - p16, table) * vwww
    f[9] = comp(16 * dnne - p16, table) * vnne
    f[10] = comp(16 * dnnw - p16, table) * vnnw
    f[11] = 256 * vw
    f[12] = 256 * vn
    f[13] = 256 * vww
    f[14] = 256 * vnw
    f[15] = 256 * vne
    f[16] = 256 * vnn
    f[17] = 256 * vnee
    f[18] = comp(16 * abs(dw - dww), table) * (vw & vww)
    f[19] = comp(16 * abs(dn - dnn), table) * (vn & vnn)
    f[20] = comp(16 * (dw - dnw), table) * (vw & vnw)
    f[21] = comp(16 * (dne - dn), table) * (vn & vne)
    f[22] = comp(16 * (dn - dnw), table) * (vn & vnw)
    e1 = np.int64(ok[y, x + 1])
    s0 = np.int64(ok[y + 1, x])
    f[23] = 256 * e1
    f[24] = 256 * np.int64(ok[y, x + 2])
    f[25] = 256 * s0
    f[26] = 256 * np.int64(ok[y + 1, x + 1])
    f[27] = 256 * np.int64(ok[y + 1, x - 1])
    fcol = np.int64(0)
    if has_col:
        fcol = comp(wrap(col - base, 16 * period), table)
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
            own = comp(wrap(16 * t - base, 16 * period), table)
            f[30] = own
            f[31] = 256
            if vw and ref_ok[y, x - 1]:
                f[32] = comp(16 * (wrap(t - ref[y, x - 1], period) + dw) - p16, table)
            elif vn and ref_ok[y - 1, x]:
                f[32] = comp(16 * (wrap(t - ref[y - 1, x], period) + dn) - p16, table)
        if ref_ok[y, x + 1]:
            side = comp(wrap(16 * np.int64(ref[y, x + 1]) - base, 16 * period), table)
        f[33] = side
    f[34] = twin_step
    f[35] = 256 if has_twin else 0
    f[36] = 0
    twin_next = np.int64(0)
    if twin_ok.size > 0 and twin_ok[y, x + 1]:
        twin_next = comp(wrap(16 * np.int64(twin[y, x + 1]) - base, 16 * period), table)
        f[36] = twin_next
    # How wrong the predictions nearby were (Wu & Memon, CALIC, IEEE Trans. Commun. 45, 1997).
    ew = comp(16 * np.int64(err[y, x - 1]), table)
    en = comp(16 * np.int64(err[y - 1, x]), table)
    lately = np.int64(table[min(mean >> 4, 4095)])
    here = np.int64(table[min(np.int64(noise[g]), 4095)])
    f[37] = ew
    f[38] = en
    f[39] = abs(comp(16 * np.int64(err[y - 1, x + 1]), table))
    f[40] = abs(comp(16 * np.int64(err[y - 1, x - 1]), table))
    f[41] = lately
    f[42] = here
    f[43] = far[g]
    f[44] = comp(base, table) >> 1
    f[45] = min(max(base + (base >> 1), -2048), 2048)
    f[46] = near[g]
    valid = vw + vww + vn + vnw + vne + vnn
    f[47] = 42 * valid
    # Contexts of the counters.
    act = (abs(fw) + abs(fn) + abs(fnw) + abs(fne)) >> 7
    c[0] = min(act, 15) * 16 + min(max((f0 >> 4) + 8, 0), 15)
    c[1] = bucket(fw, 6, 7) * 13 + bucket(fn, 6, 7)
    c[2] = np.int64(far[g]) + (256 if valid == 0 else 0)
    c[3] = bucket(fcol, 7, 7) * 16 + e1 + 2 * s0 + 4 * vw + 8 * vn
    c[4] = bucket(ew, 4, 7) * 45 + bucket(en, 4, 7) * 5 + min(lately >> 7, 4)
    c[5] = min(max(anchor + pi + 128, 0), 255)
    if twin_ok.size > 0:
        c[6] = bucket(twin_step, 8, 6) * 17 + bucket(twin_next, 8, 6)
    elif ref_ok.size > 0:
        c[6] = bucket(own, 8, 6) * 17 + bucket(side, 8, 6)
    else:
        c[6] = bucket(fne, 4, 7) * 45 + bucket(fww, 4, 7) * 5 + min(here >> 7, 4)
    c[8] = bucket(fn, 3, 7) * 63 + bucket(fne, 4, 7) * 7 + bucket(f[6], 3, 7)
    c[9] = min(max(anchor + pi + 32, 0), 63) * 8 + min(lately >> 6, 7)
    c[10] = (np.int64(far[g]) >> 3) * 16 + bucket(fcol, 7, 6)
    c[11] = bucket(fw, 3, 7) * 63 + bucket(fww, 4, 7) * 7 + bucket(f[8], 3, 7)
    # Which weights: how much is known nearby.
    c[7] = min(vw + vn + vne + vnw, 3) + (4 if has_twin or has_ref else 0)
    return anchor + pi


@inlined
def remember(y, x, q, t, err, column, seen, noise):
    """What later gates will know of this one."""
    g = x - LEFT
    err[y, x] = min(max(t, -32768), 32767)
    value = 16 * np.int64(q[y, x])
    if seen[g] == 0:
        column[g] = value
    else:
        column[g] += (value - column[g]) >> 3
    seen[g] = min(seen[g] + 1, 8)
    noise[g] += ((min(abs(t), 1 << 20) << 4) - noise[g]) >> 2


@njit(cache=True, nogil=True)
def collect(q, mask, low, high, period, twin, twin_mask, ref, ref_mask, table, features, distances):
    """Features int32 [n, FEATURES] and distances int32 [n] of every valid gate, as the coder meets them."""
    rays, gates = q.shape
    qp, ok = padded(q, mask)
    tp, tk = padded(twin, twin_mask)
    rp, rk = padded(ref, ref_mask)
    c = np.zeros(16, np.int32)
    err = np.zeros(qp.shape, np.int32)
    column = np.zeros(gates, np.int32)
    seen = np.zeros(gates, np.int32)
    noise = np.zeros(gates, np.int32)
    far, near = distances_out(gates)
    recip = reciprocals()
    mean = np.int64(256)
    n = 0
    for r in range(rays):
        y = r + TOP
        for g in range(gates):
            if mask[r, g] != 0:
                continue
            k = g + LEFT
            p = features_of(
                y, k, qp, ok, err, tp, tk, rp, rk, column, seen, noise, far, near, period, mean, recip, table,
                features[n], c,
            )  # fmt: skip
            if period == 0:
                p = min(max(p, low), high)
            t = wrap(qp[y, k] - p, period)
            distances[n] = t
            n += 1
            remember(y, k, qp, t, err, column, seen, noise)
            mean += ((min(abs(t), 1 << 20) << 8) - mean) >> 5
    return n
