# mypy: ignore-errors
"""One compiled pass over rows: which of them have enough known rows of their kind near?"""

# The function below is compiled; its types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["without_company"]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def without_company(rows, kinds, scale, known, labels, starts, k, square, alone):
    """Mark rows with fewer than k known ones of their kind near; how many there are.

    A row is done with as soon as k were found, which is nearly always after the first k. One that is not
    finite is near nothing.

    Args:
        rows: features, float64 (n, d).
        kinds: kind of each row, int64 (n,).
        scale: what features are divided by, (d,).
        known: scaled known rows, those of a kind together, (m, d).
        labels: kinds that are known, ascending, (c,).
        starts: where each kind begins, and the end, (c + 1,).
        k: how many have to be near; all of a kind that has fewer.
        square: squared distance up to which a row is near.
        alone: filled, (n,).
    """
    found = 0
    width = rows.shape[1]
    mine = np.empty(width)
    for i in range(rows.shape[0]):
        low, high = 0, len(labels)
        while low < high:
            middle = (low + high) // 2
            if labels[middle] < kinds[i]:
                low = middle + 1
            else:
                high = middle
        alone[i] = True
        if low < len(labels) and labels[low] == kinds[i]:
            for c in range(width):
                mine[c] = rows[i, c] / scale[c]
            missing = min(k, starts[low + 1] - starts[low])
            for j in range(starts[low], starts[low + 1]):
                total = 0.0
                for c in range(width):
                    apart = mine[c] - known[j, c]
                    total += apart * apart
                if total <= square:
                    missing -= 1
                    if missing == 0:
                        alone[i] = False
                        break
        if alone[i]:
            found += 1
    return found
