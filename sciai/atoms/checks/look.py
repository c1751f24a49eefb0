# mypy: ignore-errors
"""One compiled pass over all pairs: is any of them near, and which atoms have no neighbour at all?"""

# The function below is compiled; its types are numba's to infer, not mypy's.
from __future__ import annotations

from numba import njit

__all__ = ["look"]


@njit(cache=True, nogil=True, error_model="numpy")
def look(positions, edges, shifts, kind, limits, reach, alone):
    """Whether a pair is below its limit; ``alone`` comes back False where an atom has a neighbour.

    Args:
        positions: Å, float64 (n, 3).
        edges: directed pairs, int64 (2, e); may hold pairs beyond the reach, which do not count.
        shifts: of the second atom, Å, float64 (e, 3).
        kind: row of each atom in ``limits``, int64 (n,).
        limits: squared distance of each pair of kinds below which they are near, Å^2, (k, k).
        reach: squared distance up to which two atoms are neighbours, Å^2.
        alone: True everywhere on entry, (n,).
    """
    near = False
    for e in range(edges.shape[1]):
        i, j = edges[0, e], edges[1, e]
        x = positions[j, 0] - positions[i, 0] + shifts[e, 0]
        y = positions[j, 1] - positions[i, 1] + shifts[e, 1]
        z = positions[j, 2] - positions[i, 2] + shifts[e, 2]
        square = x * x + y * y + z * z
        if square <= reach:
            alone[i] = False
            if square < limits[kind[i], kind[j]]:
                near = True
    return near
