"""From what is known of a person to distributions: one call of the model, mixed where constraints ask for it.

A calculated value whose inputs are not all known (an LDL without total cholesterol, a BMI without height) is
a constraint. It is kept by weighted draws: all its unknown inputs but one are drawn from the model, the last
one is solved for, and each draw weighs as much as the model finds the solved value likely (importance
sampling; Robert & Casella 2004, "Monte Carlo Statistical Methods", Springer, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate
from sciai.core.errors import BadInput
from sciai.health.api.distribution import QUANTILES, Distribution, Told
from sciai.health.api.known import Known, solve_for
from sciai.health.data.columns import Derived, Kind, Schema
from sciai.health.model.calibration import illness_known, labs_known

if TYPE_CHECKING:
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Joint, Predictive
    from sciai.trust.platt import Platt

__all__ = [
    "Blend",
    "State",
    "calculated",
    "describe",
    "describe_draws",
    "each",
    "line_of",
    "risk_of",
    "state_of",
    "tell",
    "uniform",
]

Floats = npt.NDArray[np.float64]
DRAWS: Final = 24  # rows that stand for a person with a constraint: more cost latency, fewer cost accuracy
POINTS: Final = 400  # draws behind the distribution of a calculated quantity
GRID: Final = 81


@dataclass(frozen=True)
class State:
    """A person as the model sees them: one row, or several weighted ones where a constraint is open.

    Attributes:
        rows: shape (k, d), NaN where unknown.
        weights: shape (k,), summing to 1.
    """

    rows: Floats
    weights: Floats


def uniform(n: int, k: int, seed: int) -> Floats:
    """Low-discrepancy numbers in (0, 1), shape (n, k): steadier than random ones at the same count.

    Scrambled Sobol points (Owen 1998, J. Complexity 14:466).
    """
    from scipy.stats import qmc

    points = qmc.Sobol(k, scramble=True, seed=seed).random_base2(max(0, math.ceil(math.log2(max(n, 1)))))
    return np.asarray(np.clip(points[:n], 1e-6, 1 - 1e-6))


def state_of(joint: Joint, known: Known, draws: int = DRAWS, seed: int = 0) -> State:
    """The rows that stand for a person.

    Args:
        joint: the model.
        known: what is known.
        draws: rows where a constraint is open.
        seed: of the draws.

    Raises:
        BadInput: where no value of the inputs fits a constraint.
    """
    if not known.waiting:
        return State(known.values[None, :], np.ones(1))
    schema = known.schema
    rows, log_w = np.repeat(known.values[None, :], draws, 0), np.zeros(draws)
    for number, (name, wanted) in enumerate(known.waiting.items()):
        derived = schema.derived_named(name)
        open_ = [n for n in derived.inputs if np.isnan(rows[:, schema.index(n)]).any()]
        if not open_:
            continue  # settled by an earlier constraint; it cannot be kept as well without contradiction
        last = derived.solved if derived.solved in open_ else open_[-1]
        first = [n for n in open_ if n != last]
        rows = _fill(joint, rows, first, uniform(draws, max(len(first), 1), seed + number))
        inputs = {n: rows[:, schema.index(n)] for n in derived.inputs if n != last}
        found = solve_for(schema, derived, inputs, last, wanted)
        column = schema[last]
        good = np.isfinite(found) & (found >= column.low) & (found <= column.high)
        if not good.any():
            raise BadInput(
                f"no {' and '.join(open_)} makes {name} = {wanted:g} together with what else is known",
                field=name,
                unit=derived.unit,
                fix="check the value and its unit",
            )
        safe = np.where(good, found, np.nanmedian(np.where(good, found, np.nan)))
        told = joint.predictive(rows, [last])[last]
        density = told.log_prob(safe) - _log_slope(derived, inputs, last, safe)
        log_w += np.where(good, density, -np.inf)
        rows[:, schema.index(last)] = safe
    weights = np.exp(log_w - log_w.max())
    kept = weights > 1e-6
    weights = np.where(kept, weights, 0.0)[kept]
    return State(rows[kept], weights / weights.sum())


def _log_slope(derived: Derived, inputs: Mapping[str, Floats], name: str, x: Floats) -> Floats:
    # the density of the calculated value is that of the input divided by how fast the value moves with it
    step = 1e-4 * np.maximum(np.abs(x), 1.0)
    up, down = derived.compute({**inputs, name: x + step}), derived.compute({**inputs, name: x - step})
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.log(np.abs(up - down) / (2 * step))
    return np.where(np.isfinite(slope), slope, 0.0)


def _fill(joint: Joint, rows: Floats, names: Sequence[str], u: Floats) -> Floats:
    """Unknown columns drawn one after the other, each given the earlier ones; u has shape (k, names)."""
    rows = rows.copy()
    for place, name in enumerate(names):
        i = joint.schema.index(name)
        gap = np.isnan(rows[:, i])
        if gap.any():
            drawn = at_quantile(joint.predictive(rows, [name])[name], u[:, place])
            rows[:, i] = np.where(gap, drawn, rows[:, i])
    return rows


def at_quantile(told: Predictive, u: Floats) -> Floats:
    """Row i's value at probability u[i], shape (n,); categories by their number."""
    if told.column.numeric:
        return np.asarray(np.diagonal(told.quantile(u)), float)
    total = np.cumsum(told.probabilities(), 1)
    return np.asarray(np.minimum((u[:, None] > total).sum(1), total.shape[1] - 1), float)


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


def calculated(
    joint: Joint, state: State, derived: Derived, n: int = POINTS, seed: int = 0
) -> tuple[Floats, Floats]:
    """Weighted draws of a calculated quantity, made from joint draws of its unknown inputs.

    All unknown inputs but the last are drawn, each given the ones before; of the last one, evenly spread
    quantiles are taken for each draw. With one unknown input, then, nothing is random.

    Args:
        joint: the model.
        state: the person.
        derived: the quantity.
        n: number of draws, about.
        seed: of the draws.

    Returns:
        Draws and weights, shape (m,) each, m <= about n; draws for which it is not defined are left out.
    """
    schema = joint.schema
    unknown = [name for name in derived.inputs if np.isnan(state.rows[:, schema.index(name)]).any()]
    rows, weights = state.rows, state.weights
    if len(unknown) > 1:
        times = -(-DRAWS // len(weights))
        told = joint.predictive(rows, unknown[:1])[unknown[0]]
        u = uniform(len(weights) * times, len(unknown), seed)
        first = np.asarray(told.quantile(u[:, 0]), float).reshape(len(weights), -1)
        picked = np.repeat(np.arange(len(weights)), times)
        rows, weights = rows[picked].copy(), weights[picked] / times
        rows[:, schema.index(unknown[0])] = first[picked, np.arange(len(picked))]
        rows = _fill(joint, rows, unknown[1:-1], u[:, 1:])
    if unknown:
        each = max(1, n // len(weights))
        told = joint.predictive(rows, unknown[-1:])[unknown[-1]]
        levels = (np.arange(each) + 0.5) / each
        last = np.asarray(told.quantile(levels), float).reshape(len(weights), each)
        picked = np.repeat(np.arange(len(weights)), each)
        rows, weights = rows[picked].copy(), weights[picked] / each
        rows[:, schema.index(unknown[-1])] = last.reshape(-1)
    drawn = derived.compute({name: rows[:, schema.index(name)] for name in derived.inputs})
    good = np.isfinite(drawn) & (weights > 0)
    return drawn[good], weights[good] / max(float(weights[good].sum()), 1e-300)


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


def tell(
    joint: Joint, state: State, names: Sequence[str], calibration: Calibration, group: str
) -> Estimate[Told]:
    """The distributions of some columns for one person.

    Args:
        joint: the model.
        state: the person.
        names: free and calculated columns.
        calibration: what held-out people taught.
        group: of the person.
    """
    schema = joint.schema
    free = [name for name in names if name in schema]
    told = joint.predictive(state.rows, free) if free else {}
    parts: dict[str, Distribution] = {}
    for name in names:
        if name in told:
            blend = Blend(told[name], state.weights)
            line = line_of(calibration, schema, state, name)
            parts[name] = describe(name, schema, blend, calibration, group, line=line)
        else:
            derived = schema.derived_named(name)
            drawn, weights = calculated(joint, state, derived)
            parts[name] = describe_draws(derived, drawn, weights, *calibration.width(name, group))
    return Estimate(Told(parts), {name: part.interval for name, part in parts.items()})


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
    edges = np.linspace(low, high, GRID + 1) if high > low else low + np.linspace(-0.5, 0.5, GRID + 1)
    share = np.maximum(np.diff(blend.cdf(edges)), 0.0)
    return (edges[1:] + edges[:-1]) / 2, share / np.diff(edges)


def _steps(blend: Blend, low: float, high: float) -> tuple[Floats, Floats]:
    """Of a count: the mass of each whole number, as a density per unit."""
    values = np.arange(math.floor(low), min(math.ceil(high), math.floor(low) + 400) + 1, dtype=float)
    return values, np.maximum(np.diff(blend.cdf(np.append(values[0] - 1, values))), 0.0)


def describe_draws(
    derived: Derived,
    drawn: Floats,
    weights: Floats,
    width: float,
    calibrated: bool,
) -> Distribution:
    """The distribution of a calculated quantity from weighted draws.

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


def each(joint: Joint, rows: Floats, names: Sequence[str]) -> list[Predictive]:
    """Row i's distribution of column names[i] alone; one call of the model where it can do so.

    Args:
        joint: the model.
        rows: shape (k, d).
        names: k free columns; a column's own value in its row is not used.
    """
    own = getattr(joint, "each", None)
    if own is not None:
        return list(own(rows, names))
    return [joint.predictive(rows[i : i + 1], [name])[name] for i, name in enumerate(names)]
