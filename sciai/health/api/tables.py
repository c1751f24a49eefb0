"""Whole tables at once: predict a column, fill gaps, likelihoods; in chunks, so that memory stays bounded."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.known import OLDEST, solve_for
from sciai.health.api.record import handed_out
from sciai.health.checks import YOUNGEST
from sciai.health.data.columns import Kind, Schema
from sciai.health.model.calibration import groups_of

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.human import VirtualHuman

__all__ = ["encode", "impute", "log_prob", "predict"]

Floats = npt.NDArray[np.float64]
CHUNK: Final = 4096
_MANY: Final = 20_000
_LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass
class Notes:
    """What was found in a table, counted over its chunks: one finding for each column and check."""

    fixed: list[Finding] = field(default_factory=list)
    counted: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def count(self, check: str, column: str, rows: npt.NDArray[np.intp], start: int, message: str) -> None:
        """Rows of a chunk that share a finding; ``message`` is of the first of them."""
        if len(rows):
            entry = self.counted.setdefault((check, column), [0, start + int(rows[0]), message])
            entry[0] += len(rows)

    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        more = []
        for (check, column), (count, first, message) in self.counted.items():
            level = Level.OK if check == "era" else Level.CAUTION
            rows = f"{count} row" + ("" if count == 1 else f"s, the first is {first}")
            more.append(Finding(check, level, f"{message} ({rows})", column))
        return (*self.fixed, *more)


@handed_out
def predict(human: VirtualHuman, table: pd.DataFrame, column: str, *, progress: bool | None) -> pd.DataFrame:
    """See ``VirtualHuman.predict``."""
    import pandas as pd

    schema = human.schema
    free = column in schema
    notes = Notes(_checked(schema, table, column))
    told: list[Floats] = []
    names = _columns(human, column)
    with _bar(len(table), progress, f"predict {column}") as advance:
        for start in range(0, len(table), CHUNK):
            part = table.iloc[start : start + CHUNK]
            rows = encode(schema, part, column, start, notes)
            values = _one(human, rows, column) if free else _calculated(human, rows, column)
            values[_too_young(schema, part, start, notes)] = np.nan
            told.append(values)
            advance(len(part))
    result = pd.DataFrame(
        np.concatenate(told) if told else np.empty((0, len(names))), index=table.index, columns=names
    )
    result.attrs["findings"] = notes.findings()
    return result


def _columns(human: VirtualHuman, column: str) -> list[str]:
    if column in human.schema:
        about = human.schema[column]
        if about.kind is Kind.BINARY:
            return ["p", "low", "high"]
        if about.kind is Kind.CATEGORICAL:
            return [str(code) for code in about.codes]
    return ["mean", "sd", *(f"q{round(100 * q):02d}" for q in _LEVELS), "low", "high"]


def _one(human: VirtualHuman, rows: Floats, column: str) -> Floats:
    told = human.model.predictive(rows, [column])[column]
    about = human.schema[column]
    if about.kind is Kind.BINARY:
        raw, spread = told.probabilities()[:, 1], told.spread()
        found = np.empty((len(rows), 3))
        for line, own in human.calibration.lines(human.schema, rows, column):
            found[own] = np.stack([line(raw[own]), *line.interval(raw[own], spread[own])], 1)
        return found
    if about.kind is Kind.CATEGORICAL:
        return told.probabilities()
    groups = groups_of(human.schema, rows)
    low, high = np.empty(len(rows)), np.empty(len(rows))
    for group in np.unique(groups):
        own = groups == group
        width, _ = human.calibration.width(column, str(group))
        ends = np.asarray(told.quantile([(1 - width) / 2, (1 + width) / 2]))
        low[own], high[own] = ends[own, 0], ends[own, 1]
    return np.column_stack([told.mean(), told.sd(), told.quantile(_LEVELS), low, high])


def _calculated(human: VirtualHuman, rows: Floats, column: str, draws: int = 32, seed: int = 0) -> Floats:
    """A calculated column: exactly where its inputs are known, by joint draws of them elsewhere."""
    from sciai.health.api.infer import at_quantile, uniform

    schema, derived = human.schema, human.schema.derived_named(column)
    drawn = np.empty((len(rows), draws))
    unknown = [n for n in derived.inputs if np.isnan(rows[:, schema.index(n)]).any()]
    u = uniform(draws, max(len(unknown), 1), seed)
    for k in range(draws):
        filled = rows.copy()
        for place, name in enumerate(unknown):
            i = schema.index(name)
            gap = np.flatnonzero(np.isnan(filled[:, i]))
            told = human.model.predictive(filled[gap], [name])[name]
            if schema[name].numeric:
                filled[gap, i] = told.quantile(float(u[k, place]))
            else:
                filled[gap, i] = at_quantile(told, np.full(len(gap), u[k, place]))
        drawn[:, k] = derived.compute({n: filled[:, schema.index(n)] for n in derived.inputs})
        if not unknown:
            drawn[:] = drawn[:, :1]
            break
    groups = groups_of(schema, rows)
    ends = np.empty((len(rows), 2))
    with warnings.catch_warnings():  # where it is not defined for any draw the row stays empty
        warnings.simplefilter("ignore", RuntimeWarning)
        for group in np.unique(groups):
            own = groups == group
            width, _ = human.calibration.width(column, str(group))
            ends[own] = np.nanquantile(drawn[own], [(1 - width) / 2, (1 + width) / 2], axis=1).T
        quantiles = np.nanquantile(drawn, _LEVELS, axis=1).T
        return np.column_stack([np.nanmean(drawn, 1), np.nanstd(drawn, 1), quantiles, ends])


@handed_out
def impute(
    human: VirtualHuman, table: pd.DataFrame, *, seed: int | None, progress: bool | None
) -> pd.DataFrame:
    """See ``VirtualHuman.impute``."""
    schema = human.schema
    notes = Notes(_checked(schema, table, None))
    result = table.copy()
    wanted = [n for n in schema.names if n in table.columns]
    rng = np.random.default_rng(seed)
    filled: list[Floats] = []
    with _bar(len(table), progress, "impute") as advance:
        for start in range(0, len(table), CHUNK):
            part = table.iloc[start : start + CHUNK]
            rows = encode(schema, part, None, start, notes)
            filled.append(
                human.model.sample(rows, rng) if seed is not None else _expected(human, rows, wanted)
            )
            advance(len(part))
    if filled:
        decoded = schema.decode(np.concatenate(filled))
        for name in [*wanted, *(d.name for d in schema.derived if d.name in table.columns)]:
            gaps = table[name].isna().to_numpy()
            if gaps.any():
                fresh = decoded[name].to_numpy()
                result[name] = np.where(gaps, fresh, table[name].to_numpy(object, na_value=None))
                if name not in schema or schema[name].numeric or table[name].dtype.kind in "fiu":
                    result[name] = result[name].astype(float)
    result.attrs["findings"] = notes.findings()
    return result


def _expected(human: VirtualHuman, rows: Floats, names: Sequence[str]) -> Floats:
    """Medians and likeliest levels, each given everything that is known in its row."""
    schema, filled = human.schema, rows.copy()
    gaps = [n for n in names if np.isnan(rows[:, schema.index(n)]).any()]
    for name in gaps:
        i = schema.index(name)
        gap = np.flatnonzero(np.isnan(rows[:, i]))
        told = human.model.predictive(rows[gap], [name])[name]
        numeric = schema[name].numeric
        filled[gap, i] = told.quantile(0.5) if numeric else told.probabilities().argmax(1)
    # calculated columns need their inputs too, also those that the table lacks
    for derived in schema.derived:
        for name in derived.inputs:
            i = schema.index(name)
            gap = np.flatnonzero(np.isnan(filled[:, i]))
            if len(gap):
                told = human.model.predictive(rows[gap], [name])[name]
                filled[gap, i] = (
                    told.quantile(0.5) if schema[name].numeric else told.probabilities().argmax(1)
                )
    return filled


@handed_out
def log_prob(
    human: VirtualHuman, table: pd.DataFrame, given: npt.NDArray[np.bool_], orders: int
) -> pd.Series:
    """See ``VirtualHuman.log_prob``."""
    import pandas as pd

    notes = Notes(_checked(human.schema, table, None))
    told = [
        human.model.log_prob(
            encode(human.schema, table.iloc[start : start + CHUNK], None, start, notes),
            given,
            orders,
        )
        for start in range(0, len(table), CHUNK)
    ]
    values = np.concatenate(told) if told else np.empty(0)
    result = pd.Series(values, index=table.index, name="log_prob")
    result.attrs["findings"] = notes.findings()
    return result


def encode(
    schema: Schema,
    part: pd.DataFrame,
    target: str | None = None,
    start: int = 0,
    notes: Notes | None = None,
) -> Floats:
    """Rows of a table as the model sees them; calculated columns fill in an input that is missing.

    Args:
        schema: the columns.
        part: the rows.
        target: a column whose own values, and what is calculated from it, are not used.
        start: number of the first row, for messages.
        notes: where to note what was ignored; None notes nothing.

    Raises:
        BadInput: naming row and column of a value that does not fit.
    """
    known = part.copy(deep=False)
    for column in schema.columns:
        if column.name in known and column.group == "design" and not column.numeric:
            own = known[column.name]
            strange = ~own.isin(column.codes) & own.notna()
            if strange.any():
                era = (
                    f"{column.name} {own[strange].iloc[0]!r} was not learned: a mixture over those that were"
                )
                _note(notes, "era", column.name, np.flatnonzero(strange), start, era)
                known[column.name] = own.where(~strange)
    try:
        rows = schema.encode(known)
    except BadInput as error:
        raise _at_row(error, start, part) from None
    if "age" in schema:
        i = schema.index("age")
        if (rows[:, i] > OLDEST).any():
            bad = int(np.flatnonzero(rows[:, i] > OLDEST)[0])
            raise BadInput(
                f"row {start + bad}: age is {rows[bad, i]:g}", field="age", unit="a", fix="give years"
            )
        rows[:, i] = np.minimum(np.floor(rows[:, i]), schema.columns[i].high)
    _possible(schema, rows, start, notes)
    if "w_mec" in schema:
        rows[:, schema.index("w_mec")] = np.nan  # a property of the survey, not of a body
    if target is not None and target in schema:
        rows[:, schema.index(target)] = np.nan
    _constrain(schema, part, rows, target)
    return rows


def _constrain(schema: Schema, part: pd.DataFrame, rows: Floats, target: str | None) -> None:
    """Where one input of a calculated value is unknown it is solved for; where two are, it is ignored."""
    for derived in schema.derived:
        if derived.name not in part or derived.name == target or target in derived.inputs:
            continue
        wanted = part[derived.name].to_numpy(float, na_value=np.nan)
        places = [schema.index(n) for n in derived.inputs]
        gaps = np.isnan(rows[:, places])
        for k, name in enumerate(derived.inputs):
            own = np.flatnonzero((gaps.sum(1) == 1) & gaps[:, k] & np.isfinite(wanted))
            if not len(own) or not schema[name].numeric:
                continue
            inputs = {n: rows[own, i] for n, i in zip(derived.inputs, places, strict=True) if n != name}
            found = solve_for(schema, derived, inputs, name, wanted[own])
            good = np.isfinite(found) & (found >= schema[name].low) & (found <= schema[name].high)
            rows[own[good], schema.index(name)] = found[good]


def _note(
    notes: Notes | None, check: str, column: str, rows: npt.NDArray[np.intp], start: int, message: str
) -> None:
    if notes is not None:
        notes.count(check, column, rows, start, message)


def _too_young(schema: Schema, part: pd.DataFrame, start: int, notes: Notes) -> npt.NDArray[np.intp]:
    """Rows of people who are too young to be answered for."""
    if "age" not in schema or "age" not in part:
        return np.empty(0, int)
    young = np.flatnonzero(schema["age"].encode(part["age"]) < YOUNGEST)
    message = f"under {YOUNGEST:g} years nobody was learned from, so nothing is told"
    notes.count("age", "age", young, start, message)
    return young


def _possible(schema: Schema, rows: Floats, start: int, notes: Notes | None) -> None:
    """Negative numbers are errors; impossible ones count as unknown, and are said to."""
    for i, column in enumerate(schema.columns):
        if column.numeric and column.name not in ("age", "w_mec"):
            with np.errstate(invalid="ignore"):
                out = np.flatnonzero(
                    (rows[:, i] > column.high) | ((rows[:, i] >= 0) & (rows[:, i] < column.low))
                )
            if len(out):
                message = (
                    f"{rows[out[0], i]:g} {column.unit} is not possible ({column.low:g} to {column.high:g}); "
                    "it counts as unknown: check its unit"
                )
                _note(notes, "implausible", column.name, out, start, message)
                rows[out, i] = np.nan
        if column.numeric and column.low >= 0:
            bad = np.flatnonzero(rows[:, i] < 0)
            if len(bad):
                raise BadInput(
                    f"row {start + int(bad[0])}: {column.name} is {rows[bad[0], i]:g}",
                    field=column.name,
                    unit=column.unit,
                    fix="it cannot be negative",
                )


def _at_row(error: BadInput, start: int, part: pd.DataFrame) -> BadInput:
    import re

    def shifted(match: re.Match[str]) -> str:
        place = int(match[1])
        label = part.index[place] if place < len(part) else place
        return f"row {start + place} (index {label!r})"

    problem = re.sub(r"^row (\d+)", shifted, error.problem)
    return BadInput(problem, file=error.file, field=error.field, unit=error.unit, fix=error.fix)


def _checked(schema: Schema, table: pd.DataFrame, target: str | None) -> list[Finding]:
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise BadInput(f"a {type(table).__name__} is no table", field="table", fix="give a DataFrame")
    names = [str(c) for c in table.columns]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadInput(f"columns named twice: {', '.join(twice)}", field="table", fix="keep one of each")
    derived = {d.name for d in schema.derived}
    known = [n for n in names if n in schema or n in derived]
    if not [n for n in known if n != target]:
        raise BadInput(
            "the table has no column that the model knows",
            field="table",
            fix=f"it knows {', '.join(schema.names[:6])} ...",
        )
    findings = []
    ignored = [n for n in names if n not in known]
    if ignored:
        shown = ", ".join(ignored[:8]) + (f" and {len(ignored) - 8} more" if len(ignored) > 8 else "")
        findings.append(Finding("ignored", Level.OK, f"columns that are not modelled are ignored: {shown}"))
    if target is not None and target in names:
        message = f"the table's own {target} is not used, nor what is calculated from it"
        findings.append(Finding("target_given", Level.OK, message, target))
    return findings


@contextlib.contextmanager
def _bar(n: int, progress: bool | None, what: str) -> Iterator[Any]:
    shown = n >= _MANY if progress is None else progress
    if not shown:
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=n)
        yield lambda rows: bar.advance(task, rows)
