"""What the model says of a column of one person, as users read it: calibrated, with interval and picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.api.distribution import QUANTILES, Distribution
from sciai.health.data.columns import Column, Derived, Kind, Schema
from sciai.health.model.calibration import illness_known, labs_known

if TYPE_CHECKING:
    from sciai.health.api.infer import State
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Predictive
    from sciai.trust.platt import Platt

__all__ = ["Blend", "describe", "describe_draws", "line_of", "risk_of"]

Floats = npt.NDArray[np.float64]
GRID: Final = 81
_MUCH: Final = 0.06  # share of people in one cell of a picture


@dataclass(frozen=True)
class Blend:
    """The distribution of one column for one person: a weighted mixture over the rows of a state.

    Attributes:
        told: the model's distributions of the rows.
        weights: shape (k,).
    """

    told: Predictive
    weights: Floats

    def probabilities(self) -> Floats:
        """Of each level, shape (levels,)."""
        return np.asarray(self.weights @ self.told.probabilities())

    def cdf(self, x: npt.ArrayLike) -> Floats:
        """P(value <= x), shape (m,) for x of shape (m,)."""
        points = np.atleast_1d(np.asarray(x, float))
        return np.asarray(self.weights @ self.told.cdf(np.tile(points, (len(self.weights), 1))))

    def quantile(self, p: npt.ArrayLike) -> Floats:
        """Shape (m,) for p of shape (m,)."""
        levels = np.atleast_1d(np.asarray(p, float))
        each = np.asarray(self.told.quantile(levels), float).reshape(len(self.weights), len(levels))
        if len(self.weights) == 1:
            return np.asarray(each[0])
        low, high = each.min(0), each.max(0)  # the mixture's quantile lies between those of its parts
        for _ in range(30):
            middle = (low + high) / 2
            under = self.cdf(middle) < levels
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        # a step has no value in between: the bisection ends just below or at it
        exact = self.told.column.kind is Kind.CONTINUOUS
        return np.asarray(high if exact else np.ceil(high - 1e-6))

    def mean(self) -> float:
        """Expected value; P(yes) of a yes/no column."""
        return float(self.weights @ self.told.mean())

    def sd(self) -> float:
        """Standard deviation."""
        means = self.told.mean()
        return math.sqrt(max(float(self.weights @ (self.told.sd() ** 2 + means**2)) - self.mean() ** 2, 0.0))

    def spread(self) -> float:
        """Disagreement of the model's members, in the unit of the mean."""
        return float(self.weights @ self.told.spread())


def describe(
    name: str,
    schema: Schema,
    blend: Blend,
    calibration: Calibration,
    group: str,
    line: Platt | None = None,
) -> Distribution:
    """The distribution of a free column, calibrated.

    Args:
        name: the column.
        schema: the columns.
        blend: what the model says.
        calibration: what held-out people taught.
        group: of the person, as ``calibration.group_of`` names it.
        line: of the risk, see ``line_of``; None is that of somebody of whom little is known.
    """
    column = schema[name]
    about: dict[str, Any] = {
        "name": name,
        "label": column.label_en or name,
        "unit": "" if column.unit == "1" else column.unit,
    }
    if column.kind is Kind.BINARY:
        line = line or calibration.risk(name, measured=False)
        return _yes_no(about, blend, calibration, column.levels, line)
    if column.kind is Kind.CATEGORICAL:
        p = blend.probabilities()
        return Distribution(
            **about, kind=str(column.kind), mean=math.nan, sd=math.nan, interval=(math.nan, math.nan),
            probabilities=dict(zip(column.levels, p.tolist(), strict=True)), spread=blend.spread(),
        )  # fmt: skip
    width, calibrated = calibration.width(name, group)
    ends = ((1 - width) / 2, (1 + width) / 2)
    values = blend.quantile([*QUANTILES, *ends, 0.002, 0.998])
    found = dict(zip(QUANTILES, values[: len(QUANTILES)].tolist(), strict=True))
    low, high = values[len(QUANTILES) : len(QUANTILES) + 2].tolist()
    grid, density = np.zeros(0), np.zeros(0)
    probabilities: dict[str, float] = {}
    if column.kind is Kind.ORDINAL:
        probabilities = dict(zip(column.levels, blend.probabilities().tolist(), strict=True))
    elif column.kind is Kind.CONTINUOUS:
        grid, density = _picture(blend, float(values[-2]), float(values[-1]))
    else:
        grid, density = _steps(blend, float(values[-2]), float(values[-1]))
    return Distribution(
        **about, kind=str(column.kind), mean=blend.mean(), sd=blend.sd(), interval=(low, high),
        conformal=calibrated, quantiles=found, probabilities=probabilities, grid=grid, density=density,
        spread=blend.spread(),
    )  # fmt: skip


def line_of(calibration: Calibration, schema: Schema, state: State, name: str) -> Platt:
    """The line in log-odds that goes with what is known of a person.

    Args:
        calibration: what held-out people taught.
        schema: the columns.
        state: the person.
        name: the yes/no column; of another column there is nothing to calibrate.
    """
    row = state.rows[:1]
    return calibration.risk(name, bool(illness_known(schema, row, name)[0]), bool(labs_known(schema, row)[0]))


def risk_of(blend: Blend, line: Platt) -> tuple[float, float, float]:
    """Calibrated P(yes) of one person, and the ends of its 90 % interval.

    Args:
        blend: what the model says.
        line: in log-odds, see ``line_of``.
    """
    raw = blend.told.probabilities()[:, 1]
    low, high = line.interval(raw, blend.told.spread())
    return tuple(float(blend.weights @ part) for part in (line(raw), low, high))  # type: ignore[return-value]


def _yes_no(
    about: Mapping[str, Any],
    blend: Blend,
    calibration: Calibration,
    levels: Sequence[str],
    line: Platt,
) -> Distribution:
    p, low, high = risk_of(blend, line)
    return Distribution(
        **about, kind="binary", mean=p, sd=math.sqrt(p * (1 - p)), interval=(low, high),
        conformal=about["name"] in calibration.risks, probabilities={levels[0]: 1 - p, levels[1]: p},
        spread=blend.spread(),
    )  # fmt: skip


def _picture(blend: Blend, low: float, high: float) -> tuple[Floats, Floats]:
    if not high > low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, GRID + 1)
    # of a skewed column, a few of these cells hold most people: they are divided
    parts = np.clip(np.ceil(np.diff(blend.cdf(edges)) / _MUCH), 1, 20).astype(int)
    inside = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(edges, edges[1:], parts, strict=False)]
    edges = np.append(np.concatenate(inside), high)
    share = np.maximum(np.diff(blend.cdf(edges)), 0.0)
    return (edges[1:] + edges[:-1]) / 2, share / np.diff(edges)


def _steps(blend: Blend, low: float, high: float) -> tuple[Floats, Floats]:
    """Of a count: the mass of each whole number, as a density per unit."""
    values = np.arange(math.floor(low), min(math.ceil(high), math.floor(low) + 400) + 1, dtype=float)
    return values, np.maximum(np.diff(blend.cdf(np.append(values[0] - 1, values))), 0.0)


def describe_draws(
    derived: Derived | Column,
    drawn: Floats,
    weights: Floats,
    width: float,
    calibrated: bool,
) -> Distribution:
    """The distribution of a number from weighted draws: a calculated one, or one that a constraint is about.

    Raises:
        BadInput: when it is defined for none of them.
    """
    if not len(drawn):
        raise BadInput(f"{derived.name} is not defined for what is known", field=derived.name)
    order = np.argsort(drawn)
    x, w = drawn[order], weights[order]
    total = np.cumsum(w) - w / 2

    def at(p: npt.ArrayLike) -> Floats:
        return np.asarray(np.interp(np.asarray(p, float), total, x))

    mean = float(w @ x)
    sd = math.sqrt(max(float(w @ (x - mean) ** 2), 0.0))
    low, high = at([(1 - width) / 2, (1 + width) / 2]).tolist()
    grid, density = _smooth(x, w, sd)
    return Distribution(
        derived.name, derived.label_en or derived.name, "" if derived.unit == "1" else derived.unit,
        "continuous", mean, sd, (low, high), conformal=calibrated,
        quantiles=dict(zip(QUANTILES, at(QUANTILES).tolist(), strict=True)), grid=grid, density=density,
    )  # fmt: skip


def _smooth(x: Floats, w: Floats, sd: float) -> tuple[Floats, Floats]:
    """A kernel estimate with Silverman's width (1986, "Density Estimation", Chapman & Hall)."""
    size = 1 / float((w**2).sum())
    width = max(0.9 * sd * size ** (-0.2), 1e-9 * max(abs(float(x.mean())), 1.0), 1e-12)
    grid = np.linspace(x[0] - 2 * width, x[-1] + 2 * width, GRID)
    kernel = np.exp(-0.5 * ((grid[:, None] - x[None, :]) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return grid, np.asarray(kernel @ w)
