# mypy: ignore-errors
"""Corrections of strong echo, coded gate by gate: left as it is, or which bin above or below.

Gates are those that were decoded at or above a level, ray by ray. What is told of one depends on how far it
lies from 45 dBZ (just below, few are strong; just above, many are not), where in its bin it lies, and what
became of the gate before. Old volumes repeat each gate several times: one that equals the gate before mostly
shares its correction.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.radar.model.context.coder import POSITION, adaptive_bit, finish, start
from sciai.radar.model.context.jit import inlined

__all__ = ["code_strong"]

FAR = 1 << 16  # bins: no correction goes further
_LEAVE, _UP, _DOWN, _OUTSIDE = 0, 1, 2, 3


@inlined
def _place(z, frac):
    """Where a decoded value lies, from 0 to 9: z dB above 45 dBZ, `frac` of a bin above its lower edge."""
    if z < -3:
        return 0
    if z < -1:
        return 1 if z < -2 else 2
    if z < 1:
        return 3 + np.int64(np.floor(2 * (z + 1)))
    if z < 2:
        return 7
    return 8 + (1 if frac >= 0.5 else 0)


@njit(cache=True, nogil=True)
def code_strong(values, decoded, mask, least, limit, bound, level, unit, rate, data, decoding, out):
    """Code the corrections of a plane.

    Args:
        values: float32 [rays, gates], before coding; of size 0 where decoding.
        decoded: float32 [rays, gates], as it came back.
        mask: uint8 [rays, gates], 0 where valid.
        least: float, gates decoded below it are left out.
        limit: float, strong from here on (encoder only).
        bound: float, error allowed there (encoder only).
        level: float, where bins begin, and which no strong gate may cross.
        unit: float, width of a bin.
        rate: of `tables.rates`.
        data: uint8 stream, read or written.
        decoding: direction.
        out: float32 [rays, gates], a copy of `decoded`; what is corrected is overwritten.

    Returns:
        Bytes written or read; more than ``data.size`` where the buffer was too small or a value too far off.
    """
    rays, gates = decoded.shape
    same = np.full(4, np.uint32(15 << 28), np.uint32)
    moves = np.full(10 * 4, np.uint32(3 << 30), np.uint32) >> np.uint32(1)
    ways = np.full(10 * 4, np.uint32(1 << 31), np.uint32)
    more = np.full(2 * 10 * 4, np.uint32(1 << 31), np.uint32)
    state = np.zeros(4, np.int64)
    start(state, data, decoding)
    for r in range(rays):
        before, bins_before = _OUTSIDE, 0
        for g in range(gates):
            b = np.float64(decoded[r, g])
            if mask[r, g] != 0 or not b >= least:
                before = _OUTSIDE
                continue
            here = np.floor((b - level) / unit)
            kind, bins = _LEAVE, 0
            if not decoding:
                a = np.float64(values[r, g])
                if (a >= level) != (b >= level) or (abs(a - b) > bound and (a >= limit or b >= limit)):
                    far = np.floor((a - level) / unit) - here
                    if not abs(far) < FAR:
                        return data.size + 1
                    kind = _UP if a > b else _DOWN
                    bins = np.int64(abs(far))
            told = False
            if before != _OUTSIDE and decoded[r, g] == decoded[r, g - 1]:
                alike = 1 if kind == before and bins == bins_before else 0
                if adaptive_bit(alike, before, same, rate, state, data, decoding):
                    kind, bins, told = before, bins_before, True
            if not told:
                place = _place(b - level, (b - level) / unit - here)
                slot = place * 4 + before
                if adaptive_bit(0 if kind == _LEAVE else 1, slot, moves, rate, state, data, decoding):
                    up = adaptive_bit(1 if kind == _UP else 0, slot, ways, rate, state, data, decoding)
                    count = 0
                    while count < FAR:
                        slot = (up * 10 + place) * 4 + min(count, 3)
                        if not adaptive_bit(
                            1 if bins > count else 0, slot, more, rate, state, data, decoding
                        ):
                            break
                        count += 1
                    kind, bins = _UP if up else _DOWN, count
                else:
                    kind, bins = _LEAVE, 0
            if kind != _LEAVE:
                to = here + (bins if kind == _UP else -bins)
                out[r, g] = np.float32(level + (to + 0.5) * unit)
            before, bins_before = kind, bins
    if not decoding:
        finish(state, data)
    return state[POSITION]
