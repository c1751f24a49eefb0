# mypy: ignore-errors
"""Codes to values and validity, gate by gate: one pass each, without the interpreter's lock."""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["settle", "unpack_codes"]


@njit(cache=True, nogil=True)
def unpack_codes(codes, scale, offset, below, has_below, missing, has_missing, values, flags):
    """Values (offset + scale x code, in float64, rounded once) and validity of integer codes.

    Args:
        codes: integers of up to 32 bits, [rays, gates].
        scale: unit per code step.
        offset: value of code 0.
        below: code of below noise.
        has_below: whether there is one.
        missing: code of missing; goes before `below` where both are the same.
        has_missing: whether there is one.
        values: float32 [rays, gates], filled; NaN where invalid.
        flags: uint8 [rays, gates], filled.
    """
    rays, gates = codes.shape
    for r in range(rays):
        for g in range(gates):
            code = np.int64(codes[r, g])
            flag = np.uint8(1) if has_below and code == below else np.uint8(0)
            flag = np.uint8(2) if has_missing and code == missing else flag
            flags[r, g] = flag
            value = np.float32(np.float64(code) * scale + offset)
            values[r, g] = value if flag == 0 else np.float32(np.nan)


@njit(cache=True, nogil=True)
def settle(values, flags, stated):
    """Make flags agree with values: what is not finite is not valid.

    Args:
        values: float32 [rays, gates].
        flags: uint8 [rays, gates], in and out; ignored, and filled, unless `stated`.
        stated: whether the flags come from the source.

    Returns:
        Whether `values` hold a number at an invalid gate, which the caller has to replace by NaN.
    """
    rays, gates = values.shape
    stray = False
    for r in range(rays):
        for g in range(gates):
            v = values[r, g]
            flag = min(flags[r, g], np.uint8(2)) if stated else np.uint8(0)
            if flag == 0 and not np.isfinite(v):
                flag = np.uint8(2)
            stray |= flag != 0 and v == v
            flags[r, g] = flag
    return stray
