"""Invented people that are planted in the training data, so that what a model remembers can be measured.

A canary takes each value from another person: every value is ordinary, the combination is nobody's and can
only be known from training. If a trained model finds its canaries more likely than others of the same making
that it never saw, it remembers individuals. Carlini et al. 2019, "The Secret Sharer", USENIX Security.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["canaries"]


def canaries(values: npt.NDArray[np.float64], n: int = 16, seed: int = 0) -> npt.NDArray[np.float64]:
    """Draw canaries.

    Args:
        values: people the single values are taken from, shape (people, columns); NaN where unknown.
        n: number of canaries.
        seed: of the draw. Those that were planted and those they are compared with differ in it alone.

    Returns:
        Shape (n, columns). Each is known where one random person is known (columns that nobody has stay
        unknown).

    Raises:
        BadInput: when there are fewer than two people, or n < 1.

    >>> people = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, np.nan]])
    >>> canaries(people, 2, seed=1).shape
    (2, 2)
    """
    table = np.asarray(values, float)
    if table.ndim != 2 or len(table) < 2 or n < 1:
        raise BadInput(f"{n} canaries from a table of shape {table.shape}", field="n")
    rng = np.random.default_rng([seed, 0xCA9A21])
    known = ~np.isnan(table)
    template = known[rng.integers(len(table), size=n)]
    result = np.full((n, table.shape[1]), np.nan)
    for column in range(table.shape[1]):
        pool = table[known[:, column], column]
        if len(pool):
            result[:, column] = np.where(template[:, column], rng.choice(pool, n), np.nan)
    return result
