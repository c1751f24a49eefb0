"""From what is known of a person to distributions: one call of the model, mixed where constraints ask for it.

A calculated value whose inputs are not all known (an LDL without total cholesterol, a BMI without height) is
a constraint. It is kept by weighted draws: all its unknown inputs but one are drawn from the model, the last
one is solved for, and each draw weighs as much as the model finds the solved value likely (importance
sampling; Robert & Casella 2004, "Monte Carlo Statistical Methods", Springer, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate
from sciai.core.errors import BadInput
from sciai.health.api.constraints import measured_otherwise, solve_for
from sciai.health.api.describe import Blend, describe, describe_draws, line_of
from sciai.health.api.distribution import Distribution, Told
from sciai.health.api.known import Known
from sciai.health.data.columns import Derived

if TYPE_CHECKING:
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Joint, Predictive

__all__ = [
    "DRAWS",
    "MANY",
    "SPARE",
    "State",
    "at_quantile",
    "calculated",
    "each",
    "even_draws",
    "generator",
    "state_of",
    "tell",
    "uniform",
]

Floats = npt.NDArray[np.float64]
DRAWS: Final = 24  # rows that stand for a person with a constraint: more cost latency, fewer cost accuracy
MANY: Final = 256, 4096  # rows behind virtual people of whom a constraint is known: at least, at most
SPARE: Final = 3  # such rows for each of the people, as the unlikely ones are not taken
LEVELS: Final = 128  # of probability, at which many rows are drawn
FINE: Final = 160  # rows behind a column that a constraint is about
FEW: Final = 12  # quantiles of one row below which rows take different ones
POINTS: Final = 400  # draws behind the distribution of a calculated quantity


@dataclass(frozen=True)
class State:
    """A person as the model sees them: one row, or several weighted ones where a constraint is open.

    Attributes:
        rows: shape (k, d), NaN where unknown.
        weights: shape (k,), summing to 1.
        filled: free columns that differ between the rows: the constraints are about them.
        finer: gives the same person as more rows, for questions about ``filled``.
        evidence: log density of the constraints given what else is known, in nats; 0 without any.
    """

    rows: Floats
    weights: Floats
    filled: frozenset[str] = frozenset()
    finer: Callable[[int], State] | None = field(default=None, repr=False, compare=False)
    evidence: float = 0.0

    def about(self, names: Iterable[str], draws: int) -> State:
        """The same person, as more rows where what is asked for is what a constraint is about."""
        return self.finer(draws) if self.finer is not None and not self.filled.isdisjoint(names) else self


def generator(seed: int | None) -> np.random.Generator:
    """The source of draws of a seed.

    Raises:
        BadInput: a seed that is none.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        problem, fix = f"the seed is {seed!r}", "use a whole number from 0 on"
        raise BadInput(problem, field="seed", fix=fix) from None


def uniform(n: int, k: int, seed: int) -> Floats:
    """Low-discrepancy numbers in (0, 1), shape (n, k): steadier than random ones at the same count.

    Scrambled Sobol points (Owen 1998, J. Complexity 14:466).
    """
    from scipy.stats import qmc

    generator(seed)  # says what is no seed
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
    plan = _plan(known)
    # of one set of points: two sets, however scrambled, run through the same order, and would tie inputs of
    # one constraint to those of another
    u = uniform(draws, max(sum(len(first) for first, _ in plan.values()), 1), seed)
    for name, wanted in known.waiting.items():
        derived, (first, last) = schema.derived_named(name), plan[name]
        open_ = [*first, last]
        rows, u = _fill(joint, rows, first, u[:, : len(first)]), u[:, len(first) :]
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
    evidence = float(log_w.max() + np.log(weights.mean()))
    kept = weights > 1e-6
    weights = np.where(kept, weights, 0.0)[kept]
    filled = frozenset(np.array(schema.names)[np.isnan(known.values) & np.isfinite(rows).all(0)].tolist())
    return State(
        rows[kept],
        weights / weights.sum(),
        filled,
        lambda n: state_of(joint, known, max(n, draws), seed),
        evidence,
    )


def _plan(known: Known) -> dict[str, tuple[list[str], str]]:
    """Of each constraint the inputs that are drawn, and the one that is solved for."""
    schema, plan = known.schema, {}
    unknown = {n for n, x in zip(schema.names, known.values.tolist(), strict=True) if math.isnan(x)}
    for name in known.waiting:
        derived = schema.derived_named(name)
        open_ = [n for n in derived.inputs if n in unknown]
        free = [n for n in open_ if not measured_otherwise(name, n)]  # one at least: ``Known`` sees to it
        last = derived.solved if derived.solved in free else free[-1]
        plan[name] = [n for n in open_ if n != last], last
        unknown -= set(open_)
    return plan


def even_draws(state: State, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Which row stands for each of n people, by weight; none that weighs less than one is taken twice.

    Systematic resampling (Kitagawa 1996, J. Computational and Graphical Statistics 5(1)), in random order.
    """
    if len(state.weights) == 1:
        return rng.choice(1, n, p=state.weights)
    steps = (rng.random() + np.arange(n)) / n
    found = np.searchsorted(np.cumsum(state.weights), steps)
    return rng.permutation(np.minimum(found, len(state.weights) - 1))


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
    alike = bool(((rows == rows[:1]) | np.isnan(rows) & np.isnan(rows[:1])).all())
    for place, name in enumerate(names):
        i = joint.schema.index(name)
        gap = np.isnan(rows[:, i])
        if gap.any():
            if alike and joint.schema[name].numeric:  # asked once for all rows
                drawn = np.asarray(joint.predictive(rows[:1], [name])[name].quantile(u[:, place])).reshape(-1)
            else:
                drawn = at_quantile(joint.predictive(rows, [name])[name], u[:, place])
            rows[:, i] = np.where(gap, drawn, rows[:, i])
            alike = False
    return rows


def at_quantile(told: Predictive, u: Floats) -> Floats:
    """Row i's value at probability u[i], shape (n,); categories by their number. Many u are rounded."""
    if told.column.numeric and len(u) <= LEVELS:
        return np.asarray(np.diagonal(told.quantile(u)), float)
    if told.column.numeric:  # every row is told at every level: levels of their own would cost n times n
        place = np.minimum((u * LEVELS).astype(int), LEVELS - 1)
        every = np.asarray(told.quantile((np.arange(LEVELS) + 0.5) / LEVELS), float)
        return np.asarray(every[np.arange(len(u)), place])
    total = np.cumsum(told.probabilities(), 1)
    return np.asarray(np.minimum((u[:, None] > total).sum(1), total.shape[1] - 1), float)


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
        if len(weights) > 1:  # in another order than that in which a constraint's inputs were drawn
            u = np.random.default_rng(seed).permutation(u)
        first = np.asarray(told.quantile(u[:, 0]), float).reshape(len(weights), -1)
        picked = np.repeat(np.arange(len(weights)), times)
        rows, weights = rows[picked].copy(), weights[picked] / times
        rows[:, schema.index(unknown[0])] = first[picked, np.arange(len(picked))]
        rows = _fill(joint, rows, unknown[1:-1], u[:, 1:])
    if unknown:
        each = max(1, n // len(weights))
        told = joint.predictive(rows, unknown[-1:])[unknown[-1]]
        last = _spread(told, each, seed)
        picked = np.repeat(np.arange(len(weights)), each)
        rows, weights = rows[picked].copy(), weights[picked] / each
        rows[:, schema.index(unknown[-1])] = last.reshape(-1)
    drawn = derived.compute({name: rows[:, schema.index(name)] for name in derived.inputs})
    good = np.isfinite(drawn) & (weights > 0)
    return drawn[good], weights[good] / max(float(weights[good].sum()), 1e-300)


def _spread(told: Predictive, k: int, seed: int) -> Floats:
    """k evenly spread quantiles of each row, shape (n, k). Of few, each row has others, so that all rows
    together reach into the tails, which everybody's quartiles do not."""
    if k >= FEW:
        return np.asarray(told.quantile((np.arange(k) + 0.5) / k), float).reshape(told.rows, k)
    shift = np.random.default_rng(seed).permutation((np.arange(told.rows) + 0.5) / told.rows)
    place = ((np.arange(k) + shift[:, None]) / k * LEVELS).astype(int)
    every = np.asarray(told.quantile((np.arange(LEVELS) + 0.5) / LEVELS), float)
    return np.take_along_axis(every, np.minimum(place, LEVELS - 1), 1)


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
    free = [name for name in names if name in schema and name not in state.filled]
    told = joint.predictive(state.rows, free) if free else {}
    parts: dict[str, Distribution] = {}
    for name in names:
        if name in state.filled:
            # the model alone would forget the constraint: its rows hold what is left of the column
            fine = state.about([name], FINE)
            own = fine.rows[:, schema.index(name)]
            parts[name] = describe_draws(schema[name], own, fine.weights, *calibration.width(name, group))
        elif name in told:
            blend = Blend(told[name], state.weights)
            line = line_of(calibration, schema, state, name)
            parts[name] = describe(name, schema, blend, calibration, group, line=line)
        else:
            derived = schema.derived_named(name)
            drawn, weights = calculated(joint, state.about(derived.inputs, FINE), derived)
            parts[name] = describe_draws(derived, drawn, weights, *calibration.width(name, group))
    return Estimate(Told(parts), {name: part.interval for name, part in parts.items()})


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
