"""Whole tables at once: predict a column, fill gaps, likelihoods; in chunks, so that memory stays bounded."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.api.infer import generator
from sciai.health.api.known import OLDEST
from sciai.health.api.lessons import ages_of, unheard
from sciai.health.api.record import handed_out
from sciai.health.api.table_constraints import StandIn, constrain, expected
from sciai.health.api.table_notes import Notes, at_odds, attach, checked, possible, too_young
from sciai.health.api.words import level_of
from sciai.health.data.column import read_numbers
from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.model.calibration import groups_of

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.human import VirtualHuman

__all__ = ["encode", "impute", "in_codes", "log_prob", "measured", "predict"]

Floats = npt.NDArray[np.float64]
CHUNK: Final = 4096
_MANY: Final = 20_000
_LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@handed_out
def predict(human: VirtualHuman, table: pd.DataFrame, column: str, *, progress: bool | None) -> pd.DataFrame:
    """See ``VirtualHuman.predict``."""
    import pandas as pd

    schema = human.schema
    free = column in schema
    notes = Notes(checked(schema, table, column))
    told: list[Floats] = []
    if column in unheard(human):
        problem = f"hardly anybody that this model learned from has {column}"
        raise BadInput(problem, field=column, fix="train it on a table that has it")
    names, youngest = _columns(human, column), ages_of(human)[0]
    with _bar(len(table), progress, f"predict {column}") as advance:
        for start in range(0, len(table), CHUNK):
            part = table.iloc[start : start + CHUNK]
            rows = encode(schema, part, column, start, notes, expected(human.model))
            values = _one(human, rows, column) if free else _calculated(human, rows, column)
            values[too_young(schema, part, youngest, start, notes)] = np.nan
            told.append(values)
            advance(len(part))
    result = pd.DataFrame(
        np.concatenate(told) if told else np.empty((0, len(names))), index=table.index, columns=names
    )
    attach(notes.findings(), result)
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
    notes = Notes(checked(schema, table, None))
    result = table.copy()
    wanted = [n for n in schema.names if n in table.columns]
    rng = generator(seed)
    stand_in = expected(human.model, None if seed is None else rng)
    filled: list[Floats] = []
    youngest = ages_of(human)[0]
    with _bar(len(table), progress, "impute") as advance:
        for start in range(0, len(table), CHUNK):
            part = table.iloc[start : start + CHUNK]
            rows = encode(schema, part, None, start, notes, stand_in)
            young = too_young(schema, part, youngest, start, notes, "so their gaps stay")
            whole = human.model.sample(rows, rng) if seed is not None else _expected(human, rows, wanted)
            whole[young] = rows[young]
            filled.append(whole)
            advance(len(part))
    if filled:
        decoded = schema.decode(np.concatenate(filled))
        for name in [*wanted, *(d.name for d in schema.derived if d.name in table.columns)]:
            gaps = table[name].isna().to_numpy()
            if gaps.any():
                fresh = decoded[name].to_numpy()
                if name in schema and not schema[name].numeric:
                    fresh = _as_written(schema[name], table[name], fresh)
                result[name] = np.where(gaps, fresh, table[name].to_numpy(object, na_value=None))
                if name not in schema or schema[name].numeric or table[name].dtype.kind in "fiu":
                    result[name] = result[name].astype(float)
    attach(notes.findings(), result)
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

    notes = Notes(checked(human.schema, table, None))
    told = [
        human.model.log_prob(
            encode(human.schema, table.iloc[start : start + CHUNK], None, start, notes),
            given,
            orders,
            np.random.default_rng(0) if orders > 1 else None,  # the same orders for every row
        )
        for start in range(0, len(table), CHUNK)
    ]
    values = np.concatenate(told) if told else np.empty(0)
    result = pd.Series(values, index=table.index, name="log_prob")
    attach(notes.findings(), result)
    return result


def encode(
    schema: Schema,
    part: pd.DataFrame,
    target: str | None = None,
    start: int = 0,
    notes: Notes | None = None,
    stand_in: StandIn | None = None,
) -> Floats:
    """Rows of a table as the model sees them; calculated columns fill in an input that is missing.

    Args:
        schema: the columns.
        part: the rows.
        target: a column whose own values, and what is calculated from it, are not used.
        start: number of the first row, for messages.
        notes: where to note what was ignored; None notes nothing.
        stand_in: values of inputs of which too many are unknown; None leaves the calculated value out there.

    Raises:
        BadInput: naming row and column of a value that does not fit.
    """
    notes = Notes() if notes is None else notes
    known = in_codes(schema, part, start, notes)
    try:
        rows = schema.encode(known)
        stated = {
            d.name: read_numbers(part[d.name], d.name, d.unit).copy()
            for d in schema.derived
            if d.name in part
        }
    except BadInput as error:
        raise _at_row(error, start, part) from None
    _count_ages(schema, rows, start)
    possible(schema, stated, rows, start, notes)
    if "w_mec" in schema:
        rows[:, schema.index("w_mec")] = np.nan  # a property of the survey, not of a body
    if target is not None and target in schema:
        rows[:, schema.index(target)] = np.nan
    at_odds(schema, stated, rows, start, notes)
    constrain(schema, stated, rows, target, start, notes, stand_in)
    return rows


def measured(schema: Schema, table: pd.DataFrame) -> Floats:
    """A table as the model's values, as they were measured: nothing is solved for, nothing set aside.

    Raises:
        BadInput: without a column that the model knows, or naming row and column of what does not fit.
    """
    checked(schema, table, None)
    try:
        rows = schema.encode(in_codes(schema, table))
    except BadInput as error:
        raise _at_row(error, 0, table) from None
    if "age" in schema:
        i = schema.index("age")
        rows[:, i] = np.minimum(rows[:, i], schema.columns[i].high)  # 80 stands for 80 and over
    return rows


def _count_ages(schema: Schema, rows: Floats, start: int) -> None:
    """Ages as the survey counts them: whole years, everybody over 80 as 80."""
    if "age" in schema:
        i = schema.index("age")
        if (rows[:, i] > OLDEST).any():
            bad = int(np.flatnonzero(rows[:, i] > OLDEST)[0])
            raise BadInput(
                f"row {start + bad}: age is {rows[bad, i]:g}", field="age", unit="years", fix="give years"
            )
        rows[:, i] = np.minimum(np.floor(rows[:, i]), schema.columns[i].high)


def in_codes(schema: Schema, part: pd.DataFrame, start: int = 0, notes: Notes | None = None) -> pd.DataFrame:
    """The rows with levels as the schema's codes, however people wrote them; eras not learned as unknown.

    Args:
        schema: the columns.
        part: the rows.
        start: number of the first row, for notes.
        notes: where to note what was ignored; None notes nothing.
    """
    notes = Notes() if notes is None else notes
    known = part.copy(deep=False)
    for column in schema.columns:
        if column.name in known and not column.numeric:
            known[column.name] = _in_words(column, known[column.name])
        if column.name in known and column.group == "design" and not column.numeric:
            own = known[column.name]
            strange = ~own.isin(column.codes) & own.notna()
            if strange.any():
                era = (
                    f"{column.name} {own[strange].iloc[0]!r} was not learned: a mixture over those that were"
                )
                notes.count("era", column.name, np.flatnonzero(strange), start, era)
                known[column.name] = own.where(~strange)
    return known


def _in_words(column: Column, values: pd.Series) -> pd.Series:
    """Levels as people write them ("male", "女性") as the table's own codes."""
    if values.dtype.kind in "biuf":
        return values
    found = {}
    for value in values.dropna().unique():
        if isinstance(value, str) and value not in column.codes:
            with contextlib.suppress(BadInput):  # what it is not either is told with its row
                found[value] = column.codes[int(level_of(column, value))]
    return (
        values.map(lambda value: found.get(value, value) if isinstance(value, str) else value)
        if found
        else values
    )


def _as_written(column: Column, values: pd.Series, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Codes in the words of the table's own column: who writes "male" is not given an "F"."""
    there = list(values.dropna().unique())
    own: dict[Any, Any] = {}
    if there and all(isinstance(value, bool | np.bool_) for value in there):
        own = {code: bool(code) for code in column.codes}
    elif any(isinstance(value, str) and value not in column.codes for value in there):
        own = dict(zip(column.codes, column.levels, strict=True))
        for value in (v for v in reversed(there) if isinstance(v, str)):
            own[column.codes[int(level_of(column, value))]] = value
    result = codes.astype(object)
    for place, code in enumerate(codes):
        result[place] = own.get(code, code)
    return result


def _at_row(error: BadInput, start: int, part: pd.DataFrame) -> BadInput:
    import re

    def shifted(match: re.Match[str]) -> str:
        place = int(match[1])
        label = part.index[place] if place < len(part) else place
        return f"row {start + place} (index {label!r})"

    problem = re.sub(r"^row (\d+)", shifted, error.problem)
    return BadInput(problem, file=error.file, field=error.field, unit=error.unit, fix=error.fix)


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
