"""Invented people for tests and rehearsals: every kind of column, some dependence, gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sciai.health.data.columns import Column, Kind, Schema, default_schema

__all__ = ["Synthetic", "invent"]

Floats = npt.NDArray[np.float64]


def invent(schema: Schema, n: int, seed: int = 0, missing: float = 0.1) -> Floats:
    """Values of n people who do not exist: two common factors and noise behind every column.

    Args:
        schema: the columns.
        n: people.
        seed: of the numbers.
        missing: share of unknown values.

    Returns:
        Shape (n, d); NaN is unknown.
    """
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 2))
    result = np.empty((n, len(schema)))
    for i, column in enumerate(schema.columns):
        weights = np.array([np.cos(i), np.sin(1.7 * i)]) * 0.6
        result[:, i] = _value(column, factors @ weights + rng.standard_normal(n) * 0.8)
    result[rng.random(result.shape) < missing] = np.nan
    return result


def _value(column: Column, z: Floats) -> Floats:
    if column.kind is Kind.BINARY:
        return np.where(z > 0.8, 1.0, 0.0)
    if not column.numeric:
        return np.clip(np.floor((z + 1.5) / 3 * len(column.levels)), 0, len(column.levels) - 1)
    low = column.low if np.isfinite(column.low) else 0.0
    high = column.high if np.isfinite(column.high) else 100.0
    share = 1 / (1 + np.exp(-z)) if column.kind is Kind.COUNT else 0.15 + 0.3 / (1 + np.exp(-z))
    return np.asarray(np.round(low + (high - low) * share, column.decimals))


class Synthetic:
    """A dataset of invented people; see ``sciai.health.data.tables.People`` for its attributes.

    Args:
        n: people.
        columns: names of the columns to keep; None keeps all of the shipped model's.
        seed: of the numbers.
        per_group: people in a group.
    """

    def __init__(
        self, n: int = 400, columns: list[str] | None = None, seed: int = 0, per_group: int = 10
    ) -> None:
        full = default_schema()
        kept = tuple(c for c in full.columns if columns is None or c.name in columns)
        names = {c.name for c in kept}
        derived = tuple(d for d in full.derived if set(d.inputs) <= names)
        self.schema = Schema(kept, derived, full.left_out)
        self.values = invent(self.schema, n, seed)
        self.weights, self.outcome_weights = np.ones(n), np.ones(n)
        self.groups = [str(i // per_group) for i in range(n)]
        self.ids = np.arange(n)
        self.provenance = {"source": "invented people", "people": n, "seed": seed}

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, npt.NDArray[np.float32]]:
        """Person ``index``: ``values`` and ``weight``, both (d,)."""
        return {"values": self.values[index].astype("f4"), "weight": np.ones(len(self.schema), "f4")}
