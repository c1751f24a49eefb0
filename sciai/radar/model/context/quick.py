# mypy: ignore-errors
"""Coding one plane of quantised values quickly: no network, three counters for each decision.

The order of gates, the arithmetic coder and the escape code are those of `values`; prediction and contexts
are a few comparisons of the nearest neighbours (after CALIC; Wu & Memon, IEEE Trans. Commun. 45, 1997), and
the logits of three counters (how rough it is nearby, how the neighbours lie, how large the value is) are
added with fixed weights.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.coder import POSITION, adaptive_bit, code_bit, finish, learn, start
from sciai.radar.model.context.features import LEFT, TOP, padded, reciprocals
from sciai.radar.model.context.jit import inlined, loop
from sciai.radar.model.context.tables import LOGIT_MAX
from sciai.radar.model.context.values import escape

__all__ = ["code_quick"]

_UNARY = 6  # distances beyond it are coded as an Elias-gamma number
_LARGEST = 2**30  # of an index; only damaged streams reach it
_WEIGHT = 6  # sixteenths of each of the three logits


@inlined
def _near(d, period):
    """A difference of two indices of one turn, taken the short way round."""
    h = period >> 1
    if d >= period - h:
        return d - period
    if d < -h:
        return d + period
    return d


@inlined
def _class(n):
    """A sum of differences as one of ten classes."""
    if n < 4:
        return n
    if n < 9:
        return 4 if n < 6 else 5
    if n < 20:
        return 6 if n < 13 else 7
    return 8 if n < 40 else 9


@inlined
def _clip(d, most):
    return min(max(d, -most), most) + most


@inlined
def _logit(a, b, c, counters, stretch):
    """The logits of three counters, mixed with fixed weights."""
    sum3 = stretch[np.int64(counters[a]) >> 20] + stretch[np.int64(counters[b]) >> 20]
    logit = ((sum3 + stretch[np.int64(counters[c]) >> 20]) * _WEIGHT) >> 4
    return min(max(logit, -LOGIT_MAX), LOGIT_MAX)


@inlined
def _three(bit, a, b, c, counters, squash, stretch, rate, state, data, decoding):
    """Code one bit under three counters."""
    logit = _logit(a, b, c, counters, stretch)
    bit = code_bit(bit, np.int64(squash[logit + LOGIT_MAX]), state, data, decoding)
    bit22 = np.int64(bit) << 22
    learn(bit22, a, counters, rate)
    learn(bit22, b, counters, rate)
    learn(bit22, c, counters, rate)
    return bit


@inlined
def _bits(bit, a, b, c, counters, stretch, cost):
    """About how many bits `bit` costs under three counters."""
    logit = _logit(a, b, c, counters, stretch)
    return cost[LOGIT_MAX + logit] if bit else cost[LOGIT_MAX - logit]


@loop
def _code(
    q, mask, target, weight_rd, low, high, period, has_twin, squash, stretch, rate, qp, ok, tp, tk, err,
    recip, flat, zero, signs, more, escapes, state, cost, data, decoding,
):  # fmt: skip
    """The gates of `code_quick`."""
    rays, gates = q.shape
    start(state, data, decoding)
    free = target.size > 0
    lately = 0
    for r in range(rays):
        y = r + TOP
        here, above = r & 1, 1 - (r & 1)
        for g in range(gates):
            if mask[r, g] != 0:
                err[here, g + LEFT] = 0
                continue
            x = g + LEFT
            vw, vn = np.int64(ok[y, x - 1]), np.int64(ok[y - 1, x])
            vnw, vne = np.int64(ok[y - 1, x - 1]), np.int64(ok[y - 1, x + 1])
            vww = np.int64(ok[y, x - 2])
            e1, e2 = np.int64(abs(err[here, x - 1])), np.int64(abs(err[above, x]))
            twinned = has_twin and tk[y, x] != 0
            all5 = vw + vn + vnw + vne + vww == 5
            # Everything is relative to the nearest known index, so that circular differences mean something.
            if vw:
                anchor = np.int64(qp[y, x - 1])
            elif vn:
                anchor = np.int64(qp[y - 1, x])
            elif vnw:
                anchor = np.int64(qp[y - 1, x - 1])
            elif vne:
                anchor = np.int64(qp[y - 1, x + 1])
            elif vww:
                anchor = np.int64(qp[y, x - 2])
            elif twinned:
                anchor = np.int64(tp[y, x])
            else:
                anchor = np.int64(lately)
            dw = (np.int64(qp[y, x - 1]) - anchor) * vw
            dn = (np.int64(qp[y - 1, x]) - anchor) * vn
            dnw = (np.int64(qp[y - 1, x - 1]) - anchor) * vnw
            dne = (np.int64(qp[y - 1, x + 1]) - anchor) * vne
            dww = (np.int64(qp[y, x - 2]) - anchor) * vww
            if period > 0:
                dn, dnw = _near(dn, period), _near(dnw, period)
                dne, dww = _near(dne, period), _near(dww, period)
                dw = _near(dw, period)
            moved = False
            if all5 and (dn | dnw | dne | dww) == 0 and (e1 | e2) == 0:
                stays = True
                if twinned:
                    stays = tk[y, x - 1] != 0 and tp[y, x] == tp[y, x - 1]
                if stays:
                    slot = (
                        (1 if ok[y, x + 1] else 0)
                        + (2 if ok[y, x - 3] and qp[y, x - 3] == anchor else 0)
                        + (4 if ok[y - 1, x + 2] and qp[y - 1, x + 2] == anchor else 0)
                        + (8 if ok[y - 2, x] and qp[y - 2, x] == anchor else 0)
                        + (16 if ok[y - 2, x + 1] and qp[y - 2, x + 1] == anchor else 0)
                        + (32 if ok[y + 1, x] else 0)
                    )
                    same = 0
                    if not decoding:
                        if free:
                            v = target[r, g]
                            near = np.int64(np.floor(v + np.float32(0.5)))
                            near = min(max(near, low), high)
                            if near == anchor:
                                same = 1
                            elif weight_rd > 0 and abs(near - anchor) == 1:
                                gap, gap2 = v - np.float32(near), v - np.float32(anchor)
                                logit = np.int64(stretch[np.int64(flat[slot]) >> 20])
                                away = cost[LOGIT_MAX - logit] - np.float32(2.5)
                                stay = cost[LOGIT_MAX + logit]
                                same = (
                                    1 if gap2 * gap2 + weight_rd * stay < gap * gap + weight_rd * away else 0
                                )
                        elif qp[y, x] == anchor:
                            same = 1
                    if adaptive_bit(same, slot, flat, rate, state, data, decoding):
                        qp[y, x] = anchor
                        q[r, g] = anchor
                        err[here, x] = 0
                        lately = anchor
                        continue
                    moved = True
            # The prediction, relative to the anchor, in sixteenths.
            if twinned and (vw or vn):
                t = np.int64(tp[y, x])
                p16 = np.int64(0)
                if vw and tk[y, x - 1]:
                    step = t - tp[y, x - 1]
                    p16 = 16 * ((_near(step, period) if period > 0 else step) + dw)
                    if vn and tk[y - 1, x]:
                        step = t - tp[y - 1, x]
                        p16 = (3 * p16 + 16 * ((_near(step, period) if period > 0 else step) + dn)) >> 2
                elif vn and tk[y - 1, x]:
                    step = t - tp[y - 1, x]
                    p16 = 16 * ((_near(step, period) if period > 0 else step) + dn)
                else:
                    step = t - anchor
                    p16 = 16 * (_near(step, period) if period > 0 else step)
            elif all5:
                p16 = 7 * dw + 5 * dn + 3 * dne + dww  # dw is 0
            else:
                den = 30 * vw + 20 * vn + 10 * vne + 5 * vww + 3 * vnw
                p16 = ((30 * dw + 20 * dn + 10 * dne + 5 * dww + 3 * dnw) * recip[den] + 2048) >> 12
            if moved:
                p16 = np.int64(0)
            pi = (p16 + 8) >> 4
            frac = p16 - 16 * pi
            p = anchor + pi
            if period == 0:
                p = min(max(p, low), high)
            elif p < low or p >= low + period:
                p = low + (p - low) % period
            # Contexts.
            act = (
                abs(dw - dn) * (vw & vn)
                + abs(dn - dnw) * (vn & vnw)
                + abs(dn - dne) * (vn & vne)
                + abs(dw - dww) * (vw & vww)
            )
            rough = _class(min(act, 64))
            wrong = min(_class(min(e1 + e2, 64)), 7)
            known = vw + vn + vne
            a = (rough * 8 + wrong) * 8 + (frac if frac >= 0 else -frac - 1)
            if twinned:
                b = 1024 + 512 + _clip(pi - dw, 3) * 8 + wrong
            else:
                b = 1024 + (_clip(dn - dw, 3) * 7 + _clip(dne - dn, 3)) * 7 + _clip(dw - dww, 3)
                if known < 3:
                    b = 1024 + 400 + known * 8 + min(wrong, 7)
            level = min(max(p - low, 0), 63)
            c = 2048 + level * 8 + wrong
            o = (rough * 6 + min(wrong, 5)) * 16
            oo = 960 + (_clip(dn - dw, 3) * 7 + _clip(dne - dn, 3)) * 16
            ooo = 2048 + level * 32
            t = np.int64(0)
            if not decoding:
                if free:
                    v = target[r, g]
                    near = np.int64(np.floor(v + np.float32(0.5)))
                    near = min(max(near, low), high)
                    t = near - p
                    if period > 0:
                        t = _near(t, period)
                    if weight_rd > 0 and t != 0 and not moved:
                        # the neighbour that is nearer to the prediction, where that is worth its bits
                        other = near - 1 if t > 0 else near + 1
                        gap, gap2 = v - np.float32(near), v - np.float32(other)
                        if abs(gap2) < np.float32(0.85) and low <= other <= high:
                            if abs(t) == 1:
                                saved = (
                                    _bits(0, a, b, c, zero, stretch, cost)
                                    + np.float32(1.5)
                                    - _bits(1, a, b, c, zero, stretch, cost)
                                )
                            else:
                                j = min(abs(t) - 2, _UNARY - 1)
                                side = 16 if t > 0 else 0
                                saved = np.float32(0.5) + _bits(
                                    1, o + j, oo + j, ooo + side + j, more, stretch, cost
                                )
                            if gap2 * gap2 - gap * gap < weight_rd * saved:
                                near = other
                                t = t - 1 if t > 0 else t + 1
                    qp[y, x] = near
                else:
                    t = np.int64(qp[y, x]) - p
                    if period > 0:
                        t = _near(t, period)
            # The distance, decision by decision.
            done = False
            if not moved:
                done = (
                    _three(1 if t == 0 else 0, a, b, c, zero, squash, stretch, rate, state, data, decoding)
                    != 0
                )
            if done:
                t = np.int64(0)
            else:
                slope = _clip(dn - dw, 1) * 4 + _clip(dne - dn, 1)
                up = _three(
                    1 if t > 0 else 0, (frac + 8) * 16 + slope, 512 + level * 16 + slope,
                    1536 + rough * 16 + slope,
                    signs, squash, stretch, rate, state, data, decoding,
                )  # fmt: skip
                ooo += 16 if up else 0
                size = abs(t)
                far = np.int64(_UNARY)
                for j in range(_UNARY):
                    if not _three(
                        1 if size > j + 1 else 0, o + j, oo + j, ooo + j, more, squash, stretch, rate, state,
                        data, decoding,
                    ):  # fmt: skip
                        far = np.int64(j)
                        break
                if far == _UNARY:
                    far += escape(size - _UNARY, 1 if up else 0, escapes, rate, state, data, decoding)
                else:
                    far += 1
                t = far if up else -far
            if decoding:
                v2 = p + t
                if period > 0:
                    v2 = low + (v2 - low) % period
                qp[y, x] = min(max(v2, -_LARGEST), _LARGEST)
            q[r, g] = qp[y, x]
            lately = np.int64(qp[y, x])
            err[here, x] = min(max(t, -32768), 32767)
    if not decoding:
        finish(state, data)


@njit(cache=True, nogil=True)
def code_quick(q, mask, target, weight_rd, low, high, period, twin, twin_mask, tables, cost, data, decoding):
    """Code the plane; encoding fills q from `target` (values in steps), decoding fills it from `data`.

    Args:
        q: int32 [rays, gates], in or out; untouched where invalid (must be 0 there).
        mask: uint8 [rays, gates], 0 where valid.
        target: float32 [rays, gates], values / step from the origin; float32 [0, 0] where q is given already.
        weight_rd: float32 price of a bit in squared steps; 0 rounds to the nearest index.
        low: smallest index allowed.
        high: largest index allowed; with period > 0, high - low + 1 is at most the period.
        period: > 0 where indices are circular.
        twin: indices of another variable of the same quantity, int32, of size 0 where absent.
        twin_mask: its mask.
        tables: (squash, stretch, rates).
        cost: float32, bits by logit (encoder only).
        data: uint8 stream, read or written.
        decoding: direction.

    Returns:
        Bytes written or read; more than ``data.size`` says that the buffer was too small.
    """
    squash, stretch, rate = tables
    gates = q.shape[1]
    qp, ok = padded(q, mask)
    tp, tk = padded(twin, twin_mask)
    err = np.zeros((2, gates + LEFT + 2), np.int32)  # how wrong predictions were, on this ray and the last
    recip = reciprocals()
    flat = np.full(64, np.uint32(15 << 28), np.uint32)  # staying is likely from the start
    zero = np.full(3 * 1024, np.uint32(1 << 31), np.uint32)
    signs = np.full(2048, np.uint32(1 << 31), np.uint32)
    more = np.full(4096, np.uint32(1 << 31), np.uint32)
    escapes = np.full(1024, np.uint32(1 << 31), np.uint32)
    state = np.zeros(4, np.int64)
    _code(
        q, mask, target, weight_rd, low, high, period, twin.size > 0, squash, stretch, rate, qp, ok, tp, tk,
        err, recip, flat, zero, signs, more, escapes, state, cost, data, decoding,
    )  # fmt: skip
    return state[POSITION]
