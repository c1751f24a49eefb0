"""A joint model that is its training people, each blurred: a memoriser where the blur is small.

It is the planted failure of the privacy audit, and an exactly known distribution for the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr

from sciai.health.data.columns import Column, Kind, Schema

SCHEMA = Schema(
    (
        Column("age", Kind.CONTINUOUS, "a", "person", decimals=1),
        Column("sex", Kind.BINARY, "1", "person", levels=("female", "male"), codes=("F", "M")),
        Column("weight_kg", Kind.CONTINUOUS, "kg", "body", decimals=1),
        Column("sbp", Kind.CONTINUOUS, "mm[Hg]", "body", decimals=1),
        Column("hba1c", Kind.CONTINUOUS, "%", "lab", decimals=2),
        Column("dx_diabetes", Kind.BINARY, "1", "diagnosis", levels=("no", "yes"), codes=(0, 1)),
    )
)


def people(n: int, seed: int) -> np.ndarray:
    """Invented people in whom HbA1c tells of diabetes, and age of blood pressure; one value in 20 unknown."""
    rng = np.random.default_rng(seed)
    age, sex = rng.uniform(20, 80, n), rng.integers(0, 2, n)
    weight = 60 + 15 * sex + rng.normal(0, 10, n)
    sbp = 100 + 0.5 * age + rng.normal(0, 10, n)
    sick = rng.random(n) < 1 / (1 + np.exp(-(age - 70) / 10))
    hba1c = 5.3 + 1.5 * sick + rng.normal(0, 0.4, n)
    values = np.column_stack([age, sex, weight, sbp, hba1c, sick]).astype(float)
    values[rng.random(values.shape) < 0.05] = np.nan
    values[:, :2] = np.column_stack([age, sex])
    return values


class KernelJoint:
    """A mixture with one component per person. ``width``: of the blur, in standard deviations."""

    schema = SCHEMA

    def __init__(self, rows: np.ndarray, width: float) -> None:
        middle = np.nanmedian(rows, 0)
        self.rows = np.where(np.isnan(rows), middle, rows)
        self.scale = width * self.rows.std(0)
        self.slip = min(0.5, width)  # share of levels that are drawn anew
        self.numeric = np.array([c.numeric for c in SCHEMA.columns])

    def _log_kernel(self, values: np.ndarray, column: int) -> np.ndarray:
        """log p(value | component), shape (n, components); 0 where unknown."""
        gap = values[:, None, column] - self.rows[None, :, column]
        if self.numeric[column]:
            told = -0.5 * (gap / self.scale[column]) ** 2 - np.log(self.scale[column] * np.sqrt(2 * np.pi))
        else:
            told = np.log(np.where(gap == 0, 1 - self.slip / 2, self.slip / 2))
        return np.where(np.isnan(gap), 0.0, told)

    def _weights(self, known: np.ndarray) -> np.ndarray:
        told = sum(self._log_kernel(known, c) for c in range(len(SCHEMA)))
        return np.exp(told - logsumexp(told, axis=1, keepdims=True))

    def predictive(self, known: np.ndarray, targets: Sequence[str]) -> dict[str, KernelPredictive]:
        found = {}
        for name in targets:
            column = SCHEMA.index(name)
            hidden = known.copy()
            hidden[:, column] = np.nan
            found[name] = KernelPredictive(self, column, self._weights(hidden))
        return found

    def sample(self, known: np.ndarray, rng: np.random.Generator, only: Any = None) -> np.ndarray:
        weights = self._weights(known)
        chosen = (weights.cumsum(1) < rng.random((len(known), 1))).sum(1).clip(0, len(self.rows) - 1)
        drawn = self.rows[chosen] + rng.normal(size=known.shape) * self.scale
        levels = np.where(rng.random(known.shape) < self.slip / 2, 1 - self.rows[chosen], self.rows[chosen])
        return np.where(np.isnan(known), np.where(self.numeric, drawn, levels), known)

    def log_prob(self, values: np.ndarray, given: Any = None, orders: int = 1, rng: Any = None) -> np.ndarray:
        told = sum(self._log_kernel(values, c) for c in range(len(SCHEMA)))
        return np.asarray(logsumexp(told, axis=1) - np.log(len(self.rows)))


class KernelPredictive:
    """One column of ``KernelJoint``."""

    def __init__(self, joint: KernelJoint, column: int, weights: np.ndarray) -> None:
        self.column, self.rows = SCHEMA.columns[column], len(weights)
        self._at, self._scale, self._slip = joint.rows[:, column], joint.scale[column], joint.slip
        self._weights = weights

    def probabilities(self) -> np.ndarray:
        yes = self._weights @ np.where(self._at == 1, 1 - self._slip / 2, self._slip / 2)
        return np.column_stack([1 - yes, yes])

    def cdf(self, x: Any) -> np.ndarray:
        wide = np.asarray(x, float)
        each = wide if wide.ndim == 2 else np.broadcast_to(wide, (self.rows,))[:, None]
        told = np.column_stack(
            [(self._weights * ndtr((c[:, None] - self._at) / self._scale)).sum(1) for c in each.T]
        )
        return told if wide.ndim == 2 else told[:, 0]

    def quantile(self, p: Any) -> np.ndarray:
        levels = np.atleast_1d(np.asarray(p, float))
        low = np.full((self.rows, len(levels)), self._at.min() - 9 * self._scale)
        high = np.full((self.rows, len(levels)), self._at.max() + 9 * self._scale)
        for _ in range(40):
            middle = (low + high) / 2
            below = self.cdf(middle) < levels
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high if np.ndim(p) else high[:, 0]

    def log_prob(self, x: Any) -> np.ndarray:
        gap = (np.asarray(x, float)[:, None] - self._at) / self._scale
        density = np.exp(-0.5 * gap**2) / (self._scale * np.sqrt(2 * np.pi))
        return np.asarray(np.log((self._weights * density).sum(1)))
