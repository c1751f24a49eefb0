"""The distribution of one column for many rows, as probabilities of bins (``Predictive``)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Kind
from sciai.health.model.margins import Margin

__all__ = ["Binned"]

Floats = npt.NDArray[np.float64]


class Binned:
    """Bins with the margin's shape inside; see ``Predictive``.

    Args:
        margin: the column's margin, whose bins are meant.
        probabilities: of each bin, shape (n, k), sum to 1.
        members: of each member of an ensemble, shape (members, n, k), where there is one.
    """

    def __init__(self, margin: Margin, probabilities: Floats, members: Floats | None = None) -> None:
        self.column: Column = margin.column
        self.rows = len(probabilities)
        self._margin, self._p, self._members = margin, np.asarray(probabilities, float), members
        self._ends = np.concatenate([np.zeros((self.rows, 1)), np.cumsum(self._p, 1)], 1)
        self._ends[:, -1] = 1.0

    def probabilities(self) -> Floats:
        """Of each level, shape (n, levels)."""
        if self.column.numeric:
            raise BadInput(
                "it is a number and has no levels", field=self.column.name, fix="use cdf or quantile"
            )
        return self._p.copy()

    def cdf(self, x: npt.ArrayLike) -> Floats:
        """P(value <= x)."""
        v = np.asarray(x, float)
        if v.ndim == 0:
            v = np.broadcast_to(v, (self.rows,))
        wide = v if v.ndim == 2 else v[:, None]
        if self.column.kind is not Kind.CONTINUOUS:
            # a whole number's cell ends half a unit above it
            wide = np.floor(wide) + 0.5
        result = self._cumulative(wide)
        return result if v.ndim == 2 else result[:, 0]

    def log_prob(self, x: npt.ArrayLike) -> Floats:
        """Nats: density per unit of a continuous column, mass of any other."""
        v = np.broadcast_to(np.asarray(x, float), (self.rows,))
        with np.errstate(divide="ignore"):
            if self.column.kind is Kind.CONTINUOUS:
                k = self._margin.bin_of(v)
                own = np.take_along_axis(self._p, k[:, None], 1)[:, 0]
                size = np.diff(self._margin.bin_edges)[k]
                return np.asarray(np.log(own) - np.log(size) + self._margin.log_density(v))
            if self.column.kind is Kind.COUNT:
                ends = self._cumulative(np.stack([v - 0.5, v + 0.5], 1))
                return np.asarray(np.log(np.maximum(ends[:, 1] - ends[:, 0], 0)))
            return np.asarray(np.log(np.take_along_axis(self._p, v[:, None].astype(int), 1)[:, 0]))

    def quantile(self, p: float | npt.ArrayLike) -> Floats:
        """Shape (n,) for one p, (n, k) for k of them."""
        q = np.asarray(p, float)
        if ((q < 0) | (q > 1)).any():
            raise BadInput("probabilities lie between 0 and 1", field="p")
        wide = np.broadcast_to(q.reshape(1, -1), (self.rows, q.size))
        result = self._inverse(wide)
        return result if q.ndim else result[:, 0]

    def mean(self) -> Floats:
        """Shape (n,)."""
        return self._moments(self._p)[0]

    def sd(self) -> Floats:
        """Shape (n,)."""
        return self._moments(self._p)[1]

    def sample(self, rng: np.random.Generator, k: int = 1) -> Floats:
        """Shape (n, k)."""
        return self._inverse(rng.random((self.rows, k)))

    def spread(self) -> Floats:
        """Disagreement of the members; shape (n,)."""
        if self._members is None or len(self._members) < 2:
            return np.zeros(self.rows)
        if self.column.kind is Kind.CATEGORICAL:
            best = self._p.argmax(1)[None, :, None]
            told = np.take_along_axis(
                self._members, np.broadcast_to(best, (len(self._members), self.rows, 1)), 2
            )
            return np.asarray(told[..., 0].std(0, ddof=1))
        return np.asarray(np.stack([self._moments(m)[0] for m in self._members]).std(0, ddof=1))

    def _cumulative(self, x: Floats) -> Floats:
        if not self.column.numeric:
            level = np.clip(np.floor(x + 0.5), 0, self._p.shape[1]).astype(int)
            return np.take_along_axis(self._ends, level, 1)
        bounds = self._margin.bin_edges
        u = self._margin.cdf(x)
        k = np.clip(np.searchsorted(bounds, u, "right") - 1, 0, self._p.shape[1] - 1)
        part = (u - bounds[k]) / np.diff(bounds)[k]
        return np.take_along_axis(self._ends, k, 1) + part * np.take_along_axis(self._p, k, 1)

    def _inverse(self, p: Floats) -> Floats:
        k = (p[..., None] >= self._ends[:, None, 1:-1]).sum(-1)
        if not self.column.numeric:
            return k.astype(float)
        own = np.maximum(np.take_along_axis(self._p, k, 1), 1e-300)
        part = np.clip((p - np.take_along_axis(self._ends, k, 1)) / own, 0, 1)
        bounds = self._margin.bin_edges
        u = bounds[k] + part * np.diff(bounds)[k]
        x = self._margin.quantile(np.clip(u, 1e-7, 1 - 1e-7))
        return np.floor(x + 0.5) if self.column.kind is Kind.COUNT else x

    def _moments(self, p: Floats) -> tuple[Floats, Floats]:
        if self.column.kind is Kind.CATEGORICAL and len(self.column.levels) > 2:
            raise BadInput(
                "levels without order have no mean", field=self.column.name, fix="use probabilities"
            )
        means, squares = self._bin_moments()
        mean = p @ means
        return mean, np.sqrt(np.maximum(p @ squares - mean**2, 0))

    def _bin_moments(self) -> tuple[Floats, Floats]:
        """Mean and mean square of the value inside each bin, from 64 quantiles of the margin."""
        if not self.column.numeric:
            level = np.arange(self._p.shape[1], dtype=float)
            return level, level**2
        bounds = self._margin.bin_edges
        u = bounds[:-1, None] + np.diff(bounds)[:, None] * (np.arange(64) + 0.5) / 64
        x = self._margin.quantile(u)
        if self.column.kind is Kind.COUNT:
            x = np.floor(x + 0.5)
        return x.mean(1), (x**2).mean(1)
