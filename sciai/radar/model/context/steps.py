# mypy: ignore-errors
"""Values in steps of the quantiser, and how far they reach."""

# The function below is compiled; its types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["steps_and_range", "steps_of"]


def steps_of(values, validity, spec):
    """Values in steps from the origin, float32 ``[rays, gates]``, 0 where invalid.

    Args:
        values: ``[rays, gates]``.
        validity: 0 where valid.
        spec: the quantiser.
    """
    return steps_and_range(values, validity, spec)[0]


def steps_and_range(values, validity, spec):
    """`steps_of`, the number of valid gates, and the least and the largest value in steps."""
    planes = np.ascontiguousarray(values, np.float32), np.ascontiguousarray(validity, np.uint8)
    out = np.empty(planes[0].shape, np.float32)
    return out, *_steps(*planes, float(spec.step), float(spec.origin), out)


@njit(cache=True, nogil=True)
def _steps(values, mask, step, origin, out):
    rays, gates = values.shape
    least, most, count = np.inf, -np.inf, 0
    for r in range(rays):
        for g in range(gates):
            if mask[r, g] != 0:
                out[r, g] = 0.0
                continue
            v = (np.float64(values[r, g]) - origin) / step
            least, most = min(least, v), max(most, v)
            count += 1
            out[r, g] = v
    return count, least, most
