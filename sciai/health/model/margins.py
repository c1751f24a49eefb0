"""One column by itself: its distribution as a histogram with tails, and the bins that joint models predict.

A margin is a strictly increasing map F from values to (0, 1): straight between edges that lie halfway between
values that occur, with a power-law tail beyond the outermost edge where the column is not bounded. A value
that many people share (below the detection limit, zero) has a cell of its own, as wide as the column's
rounding, so nothing is smeared over it. Other cells, and the tails, hold at least ``FEWEST`` people, except
the gaps between two such values.

Bins are unions of neighbouring cells, some dozens per column, finer towards the ends. A joint model gives
each bin a probability; inside a bin the margin's own shape remains. For binary, ordinal and categorical
columns a bin is a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sciai.health.data.columns import Column, Kind
from sciai.health.model.smoothing import smooth

__all__ = ["Layout", "Margin", "fit_margin"]

Floats = npt.NDArray[np.float64]

FEWEST = 20
_CELLS, _BINS = 240, 40
_ATOM = 0.003  # share of people from which a value has a cell of its own
_ENDS = (0.002, 0.005, 0.01)  # bins at either end, finer than the rest


@dataclass(frozen=True)
class Margin:
    """The distribution of one column.

    Attributes:
        column: the column.
        edges: ascending, shape (m + 1,); for levels -0.5, 0.5, 1.5, ...
        mass: of each cell between them, shape (m,); with ``tails`` sums to 1.
        tails: mass below the first and above the last edge.
        powers: of the tails: below x1 mass * ((x - a) / (x1 - a))^p, above x2 mass * (x / x2)^-p.
        bins: which edges bound the bins, shape (k - 1,), ascending; the outer bins take the tails with them.
        start: a, where the lower tail ends; 0 for columns of positive numbers.
    """

    column: Column
    edges: Floats
    mass: Floats
    tails: tuple[float, float]
    powers: tuple[float, float]
    bins: npt.NDArray[np.int64]
    start: float = 0.0

    def __post_init__(self) -> None:
        knots = self.tails[0] + np.concatenate([[0.0], np.cumsum(self.mass)])
        object.__setattr__(self, "_knots", knots / (knots[-1] + self.tails[1]))

    _knots: Floats = None  # type: ignore[assignment]

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.bins) + 1

    @property
    def bin_edges(self) -> Floats:
        """F at the bins' bounds, 0 and 1 included, shape (k + 1,)."""
        return np.concatenate([[0.0], self._knots[self.bins], [1.0]])

    def cdf(self, x: npt.ArrayLike) -> Floats:
        """F, any shape."""
        v = np.asarray(x, float)
        low, high = self.edges[0], self.edges[-1]
        inside = np.interp(v, self.edges, self._knots)
        with np.errstate(all="ignore"):
            share = np.maximum(v - self.start, 0) / (low - self.start)
            below = self._knots[0] * share ** self.powers[0] if self.tails[0] else 0.0
            above = 1 - (1 - self._knots[-1]) * (v / high) ** -self.powers[1] if self.tails[1] else 1.0
        return np.where(v < low, below, np.where(v > high, above, inside))

    def quantile(self, u: npt.ArrayLike) -> Floats:
        """The inverse of F, any shape."""
        p = np.asarray(u, float)
        low, high = self.edges[0], self.edges[-1]
        inside = np.interp(p, self._knots, self.edges)
        with np.errstate(all="ignore"):
            if self.tails[0]:
                below = self.start + (low - self.start) * (p / self._knots[0]) ** (1 / self.powers[0])
                inside = np.where(p < self._knots[0], below, inside)
            if self.tails[1]:
                above = high * ((1 - p) / (1 - self._knots[-1])) ** (-1 / self.powers[1])
                inside = np.where(p > self._knots[-1], above, inside)
        half = 0.5 * 10.0**-self.column.decimals
        return np.clip(inside, self.column.low - half, self.column.high + half)

    def log_density(self, x: npt.ArrayLike) -> Floats:
        """Log of the derivative of F; -inf outside a bounded column."""
        v = np.asarray(x, float)
        low, high = self.edges[0], self.edges[-1]
        cell = np.clip(np.searchsorted(self.edges, v, "right") - 1, 0, len(self.mass) - 1)
        with np.errstate(all="ignore"):
            inside = np.log(np.diff(self._knots)[cell] / np.diff(self.edges)[cell])
            below = above = np.full(v.shape, -np.inf)
            if self.tails[0]:
                a, reach, far = self.powers[0], low - self.start, v - self.start
                steep = np.log(self._knots[0] * a / reach) + (a - 1) * np.log(np.maximum(far, 0) / reach)
                below = np.where(far > 0, steep, -np.inf)
            if self.tails[1]:
                b = self.powers[1]
                above = np.log((1 - self._knots[-1]) * b / high) - (b + 1) * np.log(np.abs(v) / high)
        return np.where(v < low, below, np.where(v > high, above, inside))

    def bin_of(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Number of the bin that holds a value (not NaN), any shape."""
        v = np.asarray(x, float)
        if not self.column.numeric:
            return np.clip(v, 0, self.n_bins - 1).astype(np.int64)
        return np.searchsorted(self.edges[self.bins], v, "right").astype(np.int64)

    def draw(self, ends: npt.NDArray[Any], u: Floats, moved: Floats | None = None) -> Floats:
        """The value at a quantile of a distribution over the bins, rounded as the table rounds.

        Args:
            ends: probability up to the end of each bin, shape (n, k).
            u: quantiles, shape (n,).
            moved: where the bins' bounds go on F's scale, 0 to 1, shape (k + 1,); what is between moves with
                them. None leaves them where they are.
        """
        k = np.minimum((ends[:, :-1] <= u[:, None]).sum(1), self.n_bins - 1)
        if not self.column.numeric and moved is None:
            return k.astype(float)
        rows = np.arange(len(u))
        upper = ends[rows, k]
        lower = np.where(k > 0, ends[rows, np.maximum(k - 1, 0)], 0.0)
        part = np.clip((u - lower) / np.maximum(upper - lower, 1e-9), 0.0, 1.0)
        bounds = self.bin_edges
        at = bounds if moved is None else moved
        place = np.clip(at[k] + part * (at[k + 1] - at[k]), 1e-6, 1 - 1e-6)
        if not self.column.numeric:
            return np.searchsorted(bounds[1:-1], place, "right").astype(float)
        x = self.quantile(place)
        x = np.floor(x + 0.5) if self.column.kind is Kind.COUNT else x
        x = np.round(x / self.column.step) * self.column.step if self.column.step else x
        return np.round(x, self.column.decimals) + 0.0

    def score(self, x: npt.ArrayLike) -> Floats:
        """The standard normal score of a value, any shape: of the middle of its cell where the cell is one
        rounded value, of its place in the cell elsewhere; NaN stays."""
        v = np.asarray(x, float)
        return np.where(np.isnan(v), np.nan, ndtri(np.clip(self.cdf(np.nan_to_num(v)), 1e-5, 1 - 1e-5)))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint stores."""
        ends = np.array([*self.tails, *self.powers, self.start])
        return {"edges": self.edges, "mass": self.mass.astype("f4"), "ends": ends, "bins": self.bins}

    @classmethod
    def from_arrays(cls, column: Column, arrays: Mapping[str, npt.NDArray[Any]]) -> Margin:
        """The way back."""
        low, high, a, b, start = (float(v) for v in (*arrays["ends"], 0.0)[:5])
        return cls(
            column,
            np.asarray(arrays["edges"], float),
            np.asarray(arrays["mass"], float),
            (low, high),
            (a, b),
            np.asarray(arrays["bins"], np.int64),
            start,
        )


def fit_margin(
    column: Column, values: npt.ArrayLike, *, fewest: int = FEWEST, smoothed: bool = False
) -> Margin:
    """A margin from the values of a column.

    Args:
        column: the column.
        values: shape (n,); NaN is unknown.
        fewest: people that a cell holds at least.
        smoothed: whether cells hold what a smooth curve says where the people do not contradict it
            (``smooth``): little is left of what a histogram keeps of single people, and new ones are told
            better.

    Returns:
        Of a column without values: levels equally likely, numbers spread evenly over their plausible limits.

    >>> from sciai.health.data.columns import default_schema
    >>> margin = fit_margin(default_schema()["height_cm"], np.linspace(150, 190, 401))
    >>> bool(abs(margin.cdf(170.0) - 0.5) < 0.01), margin.n_bins > 10
    (True, True)
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not column.numeric:
        count = len(column.levels)
        mass = np.bincount(known.astype(int), minlength=count) + 0.5
        edges, share = np.linspace(-0.5, count - 0.5, count + 1), mass / mass.sum()
        return Margin(column, edges, share, (0.0, 0.0), (1.0, 1.0), np.arange(1, count))
    if len(known) < 4 * fewest:
        low = column.low if np.isfinite(column.low) else float(known.min(initial=0.0)) - 1
        high = column.high if np.isfinite(column.high) else float(known.max(initial=1.0)) + 1
        edges = np.linspace(low, high, _BINS + 1)
        counts = np.histogram(known, edges)[0] + max(1.0, len(known) / _BINS)
        return Margin(
            column, edges, counts / counts.sum(), (0.0, 0.0), (1.0, 1.0), np.arange(1, _BINS, dtype=np.int64)
        )
    step = 10.0**-column.decimals
    distinct, often = np.unique(np.round(known / step) * step, return_counts=True)
    start = 0.0
    if distinct[0] <= 0 and column.low < distinct[0]:  # numbers that may be negative
        start = max(column.low, 2 * distinct[0] - distinct[-1])
    bounded = distinct[0] <= 0 and start == 0.0
    edges = _edges(distinct, often.astype(float), step, max(fewest, len(known) // _CELLS), bounded)
    sums = np.histogram(known, edges)[0].astype(float)
    sums = smooth(sums, np.diff(edges)) if smoothed else sums
    below, above = float((known < edges[0]).sum()), float((known > edges[-1]).sum())
    total = len(known) + 0.5 * len(sums)
    mass, tails = (sums + 0.5) / total, (below / total, above / total)
    lower = _power(edges[0] - start, known[known < edges[0]] - start)
    powers = (lower, _power(edges[-1], known[known > edges[-1]]))
    return Margin(column, edges, mass, tails, powers, _bins(mass, tails), start)


def _edges(distinct: Floats, counts: Floats, step: float, fewest: int, bounded: bool) -> Floats:
    """Edges between values that occur, so that each cell holds enough people; frequent values stand alone."""
    heavy = counts >= max(fewest, _ATOM * counts.sum())
    middle = (distinct[1:] + distinct[:-1]) / 2
    starts = np.where(
        np.diff(distinct) > 1.5 * step, distinct[1:] - step / 2, middle
    )  # of a value's own cell
    ends = np.where(np.diff(distinct) > 1.5 * step, distinct[:-1] + step / 2, middle)
    edges: list[float] = []
    # a bounded side: the outermost value is frequent. Otherwise its people make up the tail
    collected = 0
    if heavy[0] or bounded:
        edges.append(distinct[0] - step / 2)
    for i in range(len(distinct)):
        collected += int(counts[i])
        last = i == len(distinct) - 1
        full = collected >= fewest and (last or counts[i + 1 :].sum() >= fewest)
        if last:
            if heavy[i]:
                edges.append(distinct[i] + step / 2)
        elif edges and (heavy[i] or heavy[i + 1]):
            # also with few people between two frequent values: they would smear the next one
            edges += [ends[i]] if ends[i] == starts[i] else [ends[i], starts[i]]
            collected = 0
        elif full:
            edges.append(float(middle[i]))
            collected = 0
    return np.array(edges)


def _power(edge: float, beyond: Floats) -> float:
    """Exponent of a tail (Hill 1975, Annals of Statistics 3(5)), steadied by two people's worth of 10."""
    if edge <= 0 or not len(beyond):
        return 10.0
    logs = np.abs(np.log(np.maximum(beyond, edge * 1e-3) / edge))
    return float(np.clip((len(beyond) + 2) / (logs.sum() + 0.2), 0.5, 1e9))


def _bins(mass: Floats, tails: tuple[float, float]) -> npt.NDArray[np.int64]:
    """Edges that bound the bins: equal shares, finer at the ends; a heavy cell is a bin of its own."""
    knots = tails[0] + np.concatenate([[0.0], np.cumsum(mass)])
    inner = np.linspace(_ENDS[-1], 1 - _ENDS[-1], _BINS - 2 * len(_ENDS) + 1)
    wanted = np.concatenate([_ENDS[:-1], inner, 1 - np.array(_ENDS[:-1])])
    chosen = {int(np.abs(knots - w).argmin()) for w in wanted}
    chosen |= {int(i) + k for i in np.flatnonzero(mass > 0.6 / _BINS) for k in (0, 1)}
    first, last = 0 if tails[0] else 1, len(mass) if tails[1] else len(mass) - 1
    return np.array(sorted(i for i in chosen if first <= i <= last), np.int64)


@dataclass(frozen=True)
class Layout:
    """Where the bins of every column lie in one long axis.

    Attributes:
        margins: one per column.
        starts: first bin of each column, shape (d + 1,); the last entry is the number of bins.
    """

    margins: tuple[Margin, ...]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, margins: tuple[Margin, ...]) -> Layout:
        """Columns one after the other."""
        return cls(margins, np.concatenate([[0], np.cumsum([m.n_bins for m in margins])]).astype(np.int64))

    def span(self, i: int) -> slice:
        """Place of the bins of column i."""
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    def bins_of(self, values: Floats) -> npt.NDArray[np.int64]:
        """Number of each value's bin within its column, shape (n, d); 0 where unknown."""
        filled = np.nan_to_num(values)
        return np.stack([m.bin_of(filled[:, i]) for i, m in enumerate(self.margins)], 1)


def normal_bins(edges: Floats, mean: Floats, sd: Floats) -> Floats:
    """Probability of each bin under a normal of the score.

    Args:
        edges: F at the bins' bounds, shape (k + 1,).
        mean: shape (n,).
        sd: shape (n,), > 0.

    Returns:
        Shape (n, k), each at least 1e-9, sums to 1.
    """
    z = ndtri(edges)
    p = np.diff(ndtr((z[None] - mean[:, None]) / sd[:, None]), axis=1)
    p = np.maximum(p, 1e-9)
    return np.asarray(p / p.sum(1, keepdims=True))
