"""What is known of one person: values as given, in the columns' units, and what follows from them."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.constraints import (
    agreement,
    follows,
    measured_otherwise,
    show,
    side_by_side,
    solved_for,
)
from sciai.health.api.words import column_named, level_of, normal
from sciai.health.data.columns import Column, Derived, Kind, Schema

__all__ = ["Known", "read_value"]

Floats = npt.NDArray[np.float64]
OLDEST: Final = 130.0
_UNKNOWN: Final = frozenset(
    {"", "nan", "na", "n/a", "none", "null", "unknown", "?", "不明", "未検査", "未実施"}
)
_FOLLOWS: Final = ("calculated", "contradiction")  # findings about several values at once: made anew


@dataclass(frozen=True)
class Known:
    """What is known of one person.

    Attributes:
        schema: the columns.
        values: free columns as the model sees them, shape (d,), NaN where unknown; solved ones included.
        given: everything that was given, free and calculated, in the column's unit; levels by their number.
        solved: free columns that follow from a calculated one that was given -> which one.
        waiting: calculated values that were given and need more than one unknown input, in the order in which
            they are kept: each finds an input that the ones before leave open.
        findings: what happened to the values on the way in.
    """

    schema: Schema
    values: Floats = field(repr=False)
    given: Mapping[str, float] = field(default_factory=dict)
    solved: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @classmethod
    def nothing(cls, schema: Schema) -> Known:
        """Nobody in particular."""
        return cls(schema, np.full(len(schema), np.nan))

    @classmethod
    def again(cls, schema: Schema, given: Mapping[str, float], notes: tuple[Finding, ...] = ()) -> Known:
        """From what was given, in the columns' units, with what was found about it at that time.

        Args:
            schema: the columns.
            given: column -> number, or number of the level.
            notes: findings about single values.

        Raises:
            BadInput: on a name of no column, or values that contradict each other.
        """
        named = {column_named(schema, name): value for name, value in given.items()}
        return cls.nothing(schema)._resolve(named, list(notes))

    def add(self, values: Mapping[str, Any], *, lenient: bool = False) -> Known:
        """The same person with more known; a value given again replaces the earlier one.

        Args:
            values: column -> value: a number in the column's unit, a text with a unit, a word, a boolean.
                None and NaN mean unknown, and take back what was given before.
            lenient: names of no column are said to be ignored instead of raising (for a row of a table).

        Raises:
            BadInput: naming the field and the way out.
        """
        given, findings = dict(self.given), list(self.findings)
        fresh: dict[str, tuple[str, float]] = {}
        for raw, value in values.items():
            try:
                name = column_named(self.schema, str(raw))
            except BadInput as error:
                if not lenient and str(raw) not in self.schema.left_out:
                    raise
                if not _missing(value):
                    findings.append(Finding("ignored", Level.OK, f"{error.problem}; it is ignored", str(raw)))
                continue
            if name in fresh and _missing(value):
                continue
            findings = [f for f in findings if f.where != name]
            given.pop(name, None)
            if not _missing(value):
                number, said = read_value(self.schema, name, value)
                if math.isfinite(number):
                    given[name] = number
                    before, other = fresh.setdefault(name, (str(raw), number))
                    if other != number:
                        problem = f"{name} is given twice, as {before} and as {raw}"
                        raise BadInput(problem, field=name, fix="leave out one of them")
                findings.extend(said)
        return self._resolve(given, [f for f in findings if f.check not in _FOLLOWS])

    def drop(self, *names: str) -> Known:
        """The same person with some values unknown again.

        Raises:
            BadInput: on a name of no column.
        """
        wanted = {column_named(self.schema, name) for name in names}
        given = {name: value for name, value in self.given.items() if name not in wanted}
        kept = [f for f in self.findings if f.where not in wanted and f.check not in _FOLLOWS]
        return self._resolve(given, kept)

    def _resolve(self, given: dict[str, float], findings: list[Finding]) -> Known:
        schema = self.schema
        values = np.full(len(schema), np.nan)
        for name, value in given.items():
            if name in schema:
                # everybody over 80 counts as 80 in the survey
                values[schema.index(name)] = min(value, schema[name].high) if name == "age" else value
        waiting = {d.name: given[d.name] for d in schema.derived if d.name in given}
        solved: dict[str, str] = {}
        moved = True
        while moved:
            moved = False
            for derived in (d for d in schema.derived if d.name in waiting):
                unknown = [n for n in derived.inputs if np.isnan(values[schema.index(n)])]
                if len(unknown) > 1:
                    continue
                inputs = {n: values[schema.index(n)] for n in derived.inputs}
                wanted = waiting.pop(derived.name)
                moved = True
                if unknown and measured_otherwise(derived.name, unknown[0]):
                    message = f"a measured {derived.name} does not fix {unknown[0]}; it is ignored here"
                    findings.append(Finding("calculated", Level.OK, message, derived.name))
                    continue
                if unknown:
                    values[schema.index(unknown[0])] = solved_for(schema, derived, inputs, unknown[0], wanted)
                    solved[unknown[0]] = derived.name
                    findings.append(follows(schema, derived, unknown[0], values, wanted))
                else:
                    findings.append(agreement(schema, derived, inputs, wanted))
        kept, said = side_by_side(schema, values, waiting)
        return Known(schema, values, given, solved, kept, (*findings, *said))

    @cached_property
    def free(self) -> dict[str, float]:
        """Free columns that are known, given or solved, and their values, in the schema's order."""
        names, there = self.schema.names, np.flatnonzero(np.isfinite(self.values))
        return {names[i]: x for i, x in zip(there.tolist(), self.values[there].tolist(), strict=True)}

    @property
    def names(self) -> tuple[str, ...]:
        """Free columns that are known, given or solved, in the schema's order."""
        return tuple(self.free)

    def value(self, name: str) -> float | None:
        """A free or calculated value that is known or follows, or None."""
        if name in self.schema:
            return self.free.get(name)
        if name in self.given:
            return self.given[name]
        derived = self.schema.derived_named(name)
        own = float(derived.compute({n: self.values[self.schema.index(n)] for n in derived.inputs}))
        return own if math.isfinite(own) else None

    def shown(self, name: str) -> str:
        """A known value as people read it, with its unit or the name of its level."""
        value = self.value(name)
        return "unknown" if value is None else show(self.schema, name, value)


def read_value(schema: Schema, name: str, value: Any) -> tuple[float, list[Finding]]:
    """One value in its column's unit (or the number of its level), and what was done to it.

    Args:
        schema: the columns.
        name: a free or calculated column.
        value: a number, boolean or text.

    Raises:
        BadInput: when it cannot be one of this column.

    >>> from sciai.health.data.columns import default_schema
    >>> read_value(default_schema(), "sex", "male")[0], read_value(default_schema(), "age", "64")[0]
    (1.0, 64.0)
    """
    column = schema[name] if name in schema else schema.derived_named(name)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(column, Column) and not column.numeric:
        return _level(column, value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
        unit = _spoken(column.unit)
        raise BadInput(f"{value!r} is not a number", field=name, unit=unit, fix="give a number")
    if isinstance(value, str) and normal(value) in _UNKNOWN:
        return math.nan, []
    number, findings = _number(column, value if isinstance(value, str) else float(value))
    if math.isnan(number):
        return number, findings
    if number < 0 <= column.low:
        unit = _spoken(column.unit)
        raise BadInput(f"{name} is {number:g}", field=name, unit=unit, fix="it cannot be negative")
    if name == "age":
        return _age(number, findings)
    if isinstance(column, Column) and column.kind is Kind.COUNT and number != round(number):
        number = float(round(number))
        findings.append(Finding("rounded", Level.OK, f"counted in whole numbers: {number:g} is used", name))
    if not column.low <= number <= column.high and all(f.level < Level.REFUSE for f in findings):
        message = f"{show(schema, name, number)} is not possible ({column.low:g} to {column.high:g})"
        findings.append(
            Finding("implausible", Level.REFUSE, f"{message}; check the number and its unit", name)
        )
    return number, findings


def _age(number: float, findings: list[Finding]) -> tuple[float, list[Finding]]:
    if number > OLDEST:
        raise BadInput(f"age is {number:g}", field="age", unit="years", fix="give the age in years")
    return float(math.floor(number)), findings


def _level(column: Column, value: Any) -> tuple[float, list[Finding]]:
    if isinstance(value, bool):
        if column.kind is not Kind.BINARY or tuple(map(str.casefold, column.levels)) != ("no", "yes"):
            raise BadInput(
                f"{value} is no level of {column.name}",
                field=column.name,
                fix="use one of " + ", ".join(column.levels),
            )
        return float(value), []
    if isinstance(value, str):
        if normal(value) in _UNKNOWN:
            return math.nan, []
        try:
            return level_of(column, value), []
        except BadInput:
            if column.group != "design":
                raise
        # a laboratory of another year: its analysers are not among those that were learned
        message = f"{column.name} {value!r} was not learned; the answer is a mixture over those that were"
        return math.nan, [Finding("era", Level.OK, message, column.name)]
    if isinstance(value, numbers.Real) and value == value:
        code = int(float(value)) if float(value).is_integer() else float(value)
        if code in column.codes:
            return float(column.codes.index(code)), []
    raise BadInput(
        f"{value!r} is no level of {column.name}",
        field=column.name,
        fix="use one of " + ", ".join(dict.fromkeys((*column.levels, *map(str, column.codes)))),
    )


def _number(column: Column | Derived, value: float | str) -> tuple[float, list[Finding]]:
    """A number or a text with a unit, in the column's unit."""
    if not isinstance(value, str) and math.isinf(value):
        raise BadInput("the value is infinite", field=column.name, unit=column.unit)
    from sciai.health.api.own_units import quantity_of, test_of

    test = test_of(column)
    if test is not None:
        try:
            read, said = quantity_of(column, test, value)
        except BadInput as error:
            raise BadInput(
                error.problem, field=error.field or column.name, unit=error.unit or column.unit, fix=error.fix
            ) from None
        return read, [dataclasses.replace(f, where=column.name) for f in said]
    try:
        return float(_bare(normal(value), column.unit)) if isinstance(value, str) else float(value), []
    except ValueError:
        fix = "give a plain number"
        if re.fullmatch(r"\s*[\d.]+\s*[-–~:]\s*[\d.]+\s*", str(value)):
            fix += "; where a range is allowed it is (60, 69), or 60..69 on the command line"
        raise BadInput(
            f"{value!r} is not a number", field=column.name, unit=_spoken(column.unit), fix=fix
        ) from None


def _bare(text: str, unit: str) -> str:
    """ "64歳" and "7 h" without the column's own unit."""
    own = r"歳|才|years?( old)?|yrs?|y" if unit == "a" else re.escape(unit.casefold())
    return re.sub(rf"(?<=\d)\s*({own})$", "", text)


def _spoken(unit: str) -> str:
    return "years" if unit == "a" else unit


def _missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"
