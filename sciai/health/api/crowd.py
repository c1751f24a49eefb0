"""Many virtual people at once: marginals, joint distributions, ranges, the population's weights.

A range or a choice of levels is kept by likelihood weighting: each conditioned column is drawn inside its
range, given the ones before, and the draw weighs as much as the model finds the range likely (Fung & Chang
1989, "Weighing and Integrating Evidence for Stochastic Simulation in Bayesian Networks", UAI).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.api.describe import describe_draws
from sciai.health.api.distribution import QUANTILES, Distribution
from sciai.health.api.infer import State, generator, uniform
from sciai.health.api.known import Known, read_value
from sciai.health.api.words import column_named
from sciai.health.data.columns import Column, Kind, Schema

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sciai.health.api.human import VirtualHuman
    from sciai.health.model.interface import Joint

__all__ = ["Conditions", "Crowd", "gather", "where_state"]

Floats = npt.NDArray[np.float64]
FEWEST: Final = 30.0  # effective virtual people behind a figure


@dataclass(frozen=True)
class Conditions:
    """What has to hold for everybody of a crowd.

    Attributes:
        known: columns with one value.
        ranges: numeric column -> (low, high), both included.
        levels: column -> numbers of the levels that are allowed.
        derived: calculated column -> (low, high).
    """

    known: Known
    ranges: Mapping[str, tuple[float, float]]
    levels: Mapping[str, tuple[int, ...]]
    derived: Mapping[str, tuple[float, float]]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that a condition is on."""
        return (*self.known.names, *self.ranges, *self.levels, *self.derived)

    @classmethod
    def read(cls, schema: Schema, where: Mapping[str, Any]) -> Conditions:
        """From what a caller writes.

        Args:
            schema: the columns.
            where: column -> value; (low, high) of a number; a list or set of levels.

        Raises:
            BadInput: naming the column, on an empty range, an unknown level or a value that is none.
        """
        exact: dict[str, Any] = {}
        ranges: dict[str, tuple[float, float]] = {}
        levels: dict[str, tuple[int, ...]] = {}
        derived: dict[str, tuple[float, float]] = {}
        for raw, value in where.items():
            name = column_named(schema, str(raw))
            several = isinstance(value, tuple | list | set | frozenset)
            if not several:
                exact[name] = value
            elif name in schema and not schema[name].numeric:
                numbers = sorted({int(read_value(schema, name, v)[0]) for v in value})
                if not numbers:
                    raise BadInput("no level is allowed", field=name, fix="name at least one")
                levels[name] = tuple(numbers)
            else:
                if len(value) != 2 or isinstance(value, set | frozenset):
                    problem = f"{' or '.join(sorted(map(str, value)))} is no range of numbers"
                    fix = "give (low, high), or on the command line 60..69"
                    raise BadInput(problem, field=name, fix=fix)
                low, high = (_end(schema, name, v, s) for v, s in zip(value, (-1, 1), strict=True))
                if low > high:
                    problem = f"the range begins at {low:g} and ends at {high:g}"
                    raise BadInput(problem, field=name, fix="give the lower end first")
                (ranges if name in schema else derived)[name] = (low, high)
        return cls(Known.nothing(schema).add(exact), ranges, levels, derived)


def _end(schema: Schema, name: str, value: Any, side: int) -> float:
    if value is None or (isinstance(value, float) and math.isinf(value)):
        return side * math.inf
    end = read_value(schema, name, value)[0]
    if math.isnan(end):
        raise BadInput(f"{value!r} is no end of a range", field=name, fix="give a number, or None for none")
    return end


def where_state(joint: Joint, conditions: Conditions, n: int, seed: int = 0) -> State:
    """Rows that stand for everybody who fulfils the conditions (those on calculated columns excepted).

    Raises:
        BadInput: when the model finds nobody in a range.
    """
    if conditions.known.waiting:
        name = next(iter(conditions.known.waiting))
        raise BadInput(f"one value of {name} is no condition", field=name, fix="give a (low, high) range")
    names = [*conditions.levels, *conditions.ranges]
    rows = np.repeat(conditions.known.values[None, :], n if names else 1, 0)
    log_w = np.zeros(len(rows))
    u = uniform(len(rows), max(len(names), 1), seed)
    for place, name in enumerate(names):
        told = joint.predictive(rows, [name])[name]
        column = joint.schema[name]
        if column.numeric:
            low, high = conditions.ranges[name]
            # of a count, `low` itself is inside: everything up to one less is outside
            edge = low - (1.0 if column.kind is Kind.COUNT else 0.0)
            under = told.cdf(np.full(len(rows), edge)) if math.isfinite(low) else np.zeros(len(rows))
            upto = told.cdf(np.full(len(rows), high)) if math.isfinite(high) else np.ones(len(rows))
            share = np.maximum(upto - under, 0.0)
            drawn = _at(told, np.clip(under + u[:, place] * share, 0.0, 1.0))
            drawn = np.clip(drawn, low, high)
        else:
            p = told.probabilities()[:, conditions.levels[name]]
            share = p.sum(1)
            total = np.cumsum(p, 1) / np.maximum(share, 1e-300)[:, None]
            pick = np.minimum((u[:, place, None] > total).sum(1), p.shape[1] - 1)
            drawn = np.array(conditions.levels[name], float)[pick]
        if not (share > 0).any():
            raise BadInput("nobody fulfils this condition", field=name, fix="widen it")
        with np.errstate(divide="ignore"):
            log_w += np.log(share)
        rows[:, joint.schema.index(name)] = drawn
    weights = np.exp(log_w - log_w.max())
    return _merged(rows, weights / weights.sum())


def _at(told: Any, u: Floats) -> Floats:
    """Row i's quantile at u[i], without the n x n matrix that ``quantile`` would make of all of them."""
    if told.rows <= 256:
        return np.asarray(np.diagonal(told.quantile(u)), float)
    order = np.linspace(0.0, 1.0, 257)[1:-1]
    table = np.asarray(told.quantile(order), float)
    place = np.clip(u * 256 - 1, 0, 254)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, 254)
    rows = np.arange(len(u))
    share = place - below
    return np.asarray(table[rows, below] * (1 - share) + table[rows, above] * share)


def _merged(rows: Floats, weights: Floats) -> State:
    """Equal rows once, with their weights added: ages are whole numbers, so most are equal."""
    filled = np.where(np.isnan(rows), -1e300, rows)
    _, first, which = np.unique(filled, axis=0, return_index=True, return_inverse=True)
    return State(rows[first], np.bincount(which.reshape(-1), weights).astype(float))


@dataclass(frozen=True, repr=False)
class Crowd:
    """Virtual people with weights.

    Attributes:
        table: one row each; free and calculated columns.
        weights: shape (n,), summing to 1.
        schema: the columns' meaning.
        note: who they stand for.
    """

    table: pd.DataFrame
    weights: Floats
    schema: Schema
    note: str

    def __len__(self) -> int:
        return len(self.table)

    @property
    def effective(self) -> float:
        """Number of equally weighted people that would be as precise (Kish 1965)."""
        return float(1 / (self.weights**2).sum())

    def only(self, names: Sequence[str]) -> Crowd:
        """The same people with some columns only."""
        from dataclasses import replace

        return replace(self, table=self.table[list(names)])

    def distribution(self, name: str) -> Distribution:
        """How one column is distributed among them.

        Raises:
            BadInput: when too few of them have it.
        """
        values, weights = self._numbers(name)
        if 1 / max(float((weights**2).sum()), 1e-300) < FEWEST:
            raise BadInput(
                f"fewer than {FEWEST:g} virtual people fulfil the conditions",
                field=name,
                fix="widen them, or ask for more people with n=",
            )
        if name not in self.schema or self.schema[name].numeric:
            return describe_draws(self._about(name), values, weights, 0.9, False)
        column = self.schema[name]
        p = np.bincount(values.astype(int), weights, len(column.levels))
        told = dict(zip(column.levels, p.tolist(), strict=True))
        half = 1.645 * np.sqrt(p * (1 - p) * (weights**2).sum())
        kind = str(column.kind)
        if column.kind is Kind.BINARY:
            ends = (max(float(p[1] - half[1]), 0.0), min(float(p[1] + half[1]), 1.0))
            mean, sd = float(p[1]), math.sqrt(float(p[1] * p[0]))
            return Distribution(name, column.label_en or name, "", kind, mean, sd, ends, probabilities=told)
        if column.kind is Kind.ORDINAL:
            place = np.arange(len(p))
            mean = float(p @ place)
            total = np.cumsum(p)
            found = {q: float(np.searchsorted(total, q - 1e-12)) for q in QUANTILES}
            sd = math.sqrt(max(float(p @ (place - mean) ** 2), 0.0))
            ends = (found[0.05], found[0.95])
            return Distribution(
                name, column.label_en or name, "", kind, mean, sd, ends, quantiles=found, probabilities=told
            )
        nothing = (math.nan, math.nan)
        return Distribution(
            name, column.label_en or name, "", kind, math.nan, math.nan, nothing, probabilities=told
        )

    def correlation(self) -> pd.DataFrame:
        """Weighted rank correlation of the numeric columns (Spearman)."""
        import pandas as pd

        numeric = self.table.select_dtypes("number")
        ranks = numeric.rank().to_numpy()
        ranks = np.where(np.isnan(ranks), np.nanmean(ranks, 0), ranks)
        centred = ranks - self.weights @ ranks
        spread = centred.T @ (centred * self.weights[:, None])
        sd = np.sqrt(np.maximum(np.diag(spread), 1e-300))
        return pd.DataFrame(spread / np.outer(sd, sd), numeric.columns, numeric.columns)

    def figure(self) -> Figure:
        """A picture of one or two columns: their distribution, or their density together."""
        from sciai.health.api.figures import crowd_figure

        return crowd_figure(self)

    def _about(self, name: str) -> Any:
        return self.schema[name] if name in self.schema else self.schema.derived_named(name)

    def _numbers(self, name: str) -> tuple[Floats, Floats]:
        column = self._about(name)
        levels = isinstance(column, Column) and not column.numeric
        series = self.table[name]
        values = column.encode(series.tolist()) if levels else series.to_numpy(float, na_value=np.nan)
        good = np.isfinite(values) & (self.weights > 0)
        total = float(self.weights[good].sum())
        return values[good], self.weights[good] / max(total, 1e-300)

    def __repr__(self) -> str:
        return f"{len(self)} virtual people: {self.note}\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.head(10)._repr_html_()
        return f"<p>{len(self)} virtual people: {self.note}. They are nobody's record.</p>{shown}"


def gather(
    human: VirtualHuman,
    where: Mapping[str, Any],
    n: int,
    seed: int,
    population: bool,
    names: Sequence[str] | None = None,
) -> Crowd:
    """Virtual people who fulfil some conditions; see ``VirtualHuman.crowd``.

    Args:
        human: the model.
        where: the conditions.
        n: how many.
        seed: of the draws.
        population: weigh them as the US adult population.
        names: the columns that are needed; None draws all.

    Raises:
        BadInput: when nobody does, or the model has no survey weight to weigh them by.
    """
    if n < 1:
        raise BadInput(f"{n} people", field="n", fix="ask for 1 or more")
    schema = human.schema
    if population and "w_mec" not in schema:
        raise BadInput("the model knows no survey weight", field="population", fix="leave it out")
    conditions = Conditions.read(schema, where)
    rng = generator(seed)
    state = where_state(human.model, conditions, min(n, 1024), seed)
    picked = rng.choice(len(state.weights), n, p=state.weights)
    rows = state.rows[picked]
    if names is None:
        rows = human.model.sample(rows, rng)
    else:
        rows = _drawn(human.model, rows, _needed(schema, [*names, *conditions.derived]), rng)
    table = schema.decode(rows)
    weights = np.ones(n)
    for name, (low, high) in conditions.derived.items():
        own = table[name].to_numpy(float)
        weights = np.where((own >= low) & (own <= high), weights, 0.0)
    if population:
        hidden = rows.copy()
        hidden[:, schema.index("w_mec")] = np.nan
        # what a person like this one stands for; the expected weight is steadier than a drawn one
        weights = weights * human.model.predictive(hidden, ["w_mec"])["w_mec"].mean()
    if not weights.sum() > 0:
        raise BadInput("nobody fulfils the conditions", field=next(iter(where), "where"), fix="widen them")
    kept = weights > 0
    told = ", ".join(f"{k} {v}" for k, v in where.items()) or "everybody"
    of = "the US adult population" if population else "the survey's sample (not weighted)"
    if names is not None:
        table = table[list(dict.fromkeys([*names, *conditions.names]))]
    return Crowd(table[kept].reset_index(drop=True), weights[kept] / weights.sum(), schema, f"{told}; {of}")


def _needed(schema: Schema, names: Sequence[str]) -> list[str]:
    """Free columns that some columns are made of."""
    inputs = [schema.derived_named(n).inputs if n not in schema else (n,) for n in names]
    return list(dict.fromkeys(name for several in inputs for name in several))


def _drawn(joint: Joint, rows: Floats, names: Sequence[str], rng: np.random.Generator) -> Floats:
    """A few columns drawn one after the other, each given the ones before; the others stay unknown."""
    rows = rows.copy()
    for name in names:
        i = joint.schema.index(name)
        gap = np.flatnonzero(np.isnan(rows[:, i]))
        if len(gap):
            rows[gap, i] = joint.predictive(rows[gap], [name])[name].sample(rng)[:, 0]
    return rows
