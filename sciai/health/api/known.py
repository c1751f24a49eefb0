"""What is known of one person: values as given, in the columns' units, and what follows from them."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.words import column_named, level_of, normal
from sciai.health.data.columns import Column, Derived, Kind, Schema

__all__ = ["Known", "measured_otherwise", "read_value", "solve_for"]

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
        for raw, value in values.items():
            try:
                name = column_named(self.schema, str(raw))
            except BadInput as error:
                if not lenient and str(raw) not in self.schema.left_out:
                    raise
                if not _missing(value):
                    findings.append(Finding("ignored", Level.OK, f"{error.problem}; it is ignored", str(raw)))
                continue
            findings = [f for f in findings if f.where != name]
            given.pop(name, None)
            if not _missing(value):
                number, said = read_value(self.schema, name, value)
                if math.isfinite(number):
                    given[name] = number
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
                    values[schema.index(unknown[0])] = _solve_one(schema, derived, inputs, unknown[0], wanted)
                    solved[unknown[0]] = derived.name
                    findings.append(_calculated(schema, derived, unknown[0], values, wanted))
                else:
                    findings.append(_agree(schema, derived, inputs, wanted))
        kept, said = _kept(schema, values, waiting)
        return Known(schema, values, given, solved, kept, (*findings, *said))

    @property
    def names(self) -> tuple[str, ...]:
        """Free columns that are known, given or solved, in the schema's order."""
        return tuple(n for n, v in zip(self.schema.names, self.values, strict=True) if np.isfinite(v))

    def value(self, name: str) -> float | None:
        """A free or calculated value that is known or follows, or None."""
        if name in self.schema:
            own = float(self.values[self.schema.index(name)])
            return own if math.isfinite(own) else None
        if name in self.given:
            return self.given[name]
        derived = self.schema.derived_named(name)
        own = float(derived.compute({n: self.values[self.schema.index(n)] for n in derived.inputs}))
        return own if math.isfinite(own) else None

    def shown(self, name: str) -> str:
        """A known value as people read it, with its unit or the name of its level."""
        value = self.value(name)
        return "unknown" if value is None else show(self.schema, name, value)


def show(schema: Schema, name: str, value: float) -> str:
    """A value as people read it: rounded as the table rounds, with its unit, or the name of the level.

    >>> from sciai.health.data.columns import default_schema
    >>> show(default_schema(), "hba1c", 5.52), show(default_schema(), "sex", 1.0)
    ('5.5 %', 'male')
    """
    column = schema[name] if name in schema else schema.derived_named(name)
    if isinstance(column, Column) and not column.numeric:
        return column.levels[int(value)]
    unit = "" if column.unit == "1" else " years" if column.unit == "a" else f" {column.unit}"
    return f"{value:.{column.decimals}f}{unit}"


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
        raise BadInput(f"{value!r} is not a number", field=name, unit=column.unit, fix="give a number")
    if isinstance(value, str) and normal(value) in _UNKNOWN:
        return math.nan, []
    number, findings = _number(column, value if isinstance(value, str) else float(value))
    if math.isnan(number):
        return number, findings
    if number < 0 <= column.low:
        raise BadInput(f"{name} is {number:g}", field=name, unit=column.unit, fix="it cannot be negative")
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
        raise BadInput(f"age is {number:g}", field="age", unit="a", fix="give the age in years")
    return float(math.floor(number)), findings


def _level(column: Column, value: Any) -> tuple[float, list[Finding]]:
    if isinstance(value, bool):
        if column.kind is not Kind.BINARY or column.levels != ("no", "yes"):
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
    from sciai.health.data.panels.analytes import analyte_of_column
    from sciai.health.data.panels.units import parse_quantity

    if analyte_of_column(column.name) is not None:
        try:
            read = parse_quantity(value, column.name)
        except BadInput as error:
            raise BadInput(
                error.problem, field=error.field or column.name, unit=error.unit or column.unit, fix=error.fix
            ) from None
        if read is None:
            return math.nan, []
        return read.value, [dataclasses.replace(f, where=column.name) for f in read.findings]
    try:
        return float(normal(value)) if isinstance(value, str) else float(value), []
    except ValueError:
        fix = "give a plain number"
        if re.fullmatch(r"\s*[\d.]+\s*[-–~:]\s*[\d.]+\s*", str(value)):
            fix += "; where a range is allowed it is (60, 69), or 60..69 on the command line"
        raise BadInput(f"{value!r} is not a number", field=column.name, unit=column.unit, fix=fix) from None


def solve_for(schema: Schema, derived: Derived, inputs: Mapping[str, Any], name: str, wanted: Any) -> Floats:
    """One input of a calculated quantity, from its value and the other inputs; NaN where none fits.

    Args:
        schema: the columns.
        derived: the quantity.
        inputs: the other inputs, arrays of one shape (n,) or numbers.
        name: the input that is wanted; a number between its plausible limits.
        wanted: the quantity's value, a number or shape (n,).
    """
    shape = np.broadcast_shapes(*(np.shape(v) for n, v in inputs.items() if n != name), np.shape(wanted))
    if name == derived.solved:
        return np.broadcast_to(derived.solve(inputs, wanted), shape).astype(float)
    column = schema[name]
    if not column.numeric or not math.isfinite(column.low) or not math.isfinite(column.high):
        return np.full(shape, np.nan)
    others = {n: np.broadcast_to(np.asarray(v, float), shape) for n, v in inputs.items() if n != name}
    target = np.broadcast_to(np.asarray(wanted, float), shape)
    low, high = np.full(shape, max(column.low, 1e-9)), np.full(shape, column.high)

    def gap(x: Floats) -> Floats:
        return np.asarray(derived.compute({**others, name: x}) - target)

    at_low, at_high = gap(low), gap(high)
    good = np.isfinite(at_low) & np.isfinite(at_high) & (at_low * at_high <= 0)
    for _ in range(60):  # bisection: all formulas are monotone in each numeric input
        middle = (low + high) / 2
        left = gap(middle) * at_low > 0
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.where(good, (low + high) / 2, np.nan)


def _solve_one(
    schema: Schema, derived: Derived, inputs: Mapping[str, float], name: str, wanted: float
) -> float:
    column = schema[name]
    found = float(solve_for(schema, derived, inputs, name, wanted))
    if not math.isfinite(found) or not column.low <= found <= column.high:
        rest = ", ".join(f"{n} {show(schema, n, v)}" for n, v in inputs.items() if n != name)
        told = f" (it would need {name} = {found:.4g})" if math.isfinite(found) else ""
        raise BadInput(
            f"{derived.name} {wanted:g} contradicts {rest}{told}",
            field=derived.name,
            unit=derived.unit,
            fix="check the values and their units",
        )
    return found


def _kept(
    schema: Schema, values: Floats, waiting: Mapping[str, float]
) -> tuple[dict[str, float], list[Finding]]:
    """Which calculated values can be kept side by side, those of fewest inputs first; what of others."""
    unknown = {
        name: [n for n in schema.derived_named(name).inputs if np.isnan(values[schema.index(n)])]
        for name in waiting
    }
    kept: dict[str, float] = {}
    findings: list[Finding] = []
    settled: dict[str, str] = {}
    for name in sorted(waiting, key=lambda n: len(unknown[n])):
        if any(n not in settled and not measured_otherwise(name, n) for n in unknown[name]):
            kept[name] = waiting[name]
            settled |= {n: name for n in unknown[name] if n not in settled}
            continue
        others = ", ".join(dict.fromkeys(settled[n] for n in unknown[name] if n in settled))
        message = f"{others} and {name} are about the same values; {name} is ignored here"
        findings.append(Finding("calculated", Level.OK, message, name))
    ldl, rest = waiting.get("ldl", math.nan), waiting.get("non_hdl", math.nan)
    if ldl > rest:
        message = (
            f"ldl {ldl:g} is part of non_hdl {rest:g} and cannot exceed it; check the values and their units"
        )
        findings.append(Finding("contradiction", Level.REFUSE, message, "ldl"))
    return kept, findings


def measured_otherwise(name: str, unknown: str) -> bool:
    """Whether a calculated value tells nothing of one of its inputs, though formulas can be turned.

    Friedewald's is an estimate of LDL: solved for triglycerides, its error would be multiplied by five.

    >>> measured_otherwise("ldl", "trig_fasting"), measured_otherwise("ldl", "hdl")
    (True, False)
    """
    return name == "ldl" and unknown == "trig_fasting"


def _calculated(schema: Schema, derived: Derived, name: str, values: Floats, wanted: float) -> Finding:
    value = show(schema, name, float(values[schema.index(name)]))
    message = f"{name} = {value} follows from {derived.name} = {show(schema, derived.name, wanted)}"
    return Finding("calculated", Level.OK, message, derived.name)


# how far a given value may lie from the calculated one: (rounding, another method), share of the value
_APART: Final[Mapping[str, tuple[float, float]]] = {
    "ldl": (0.15, 0.5),  # measured directly on many sheets, by Friedewald in the model
    "egfr": (0.05, 0.35),  # the Japanese equation gives 10 to 25 % less
    "egfr_japan": (0.05, 0.35),
    "osmolality": (0.025, 0.1),  # measured against calculated
    "globulin": (0.06, 0.25),
}


def _agree(schema: Schema, derived: Derived, inputs: Mapping[str, float], wanted: float) -> Finding:
    own = float(derived.compute(inputs))
    if not math.isfinite(own):
        return Finding(
            "calculated", Level.OK, "not defined for these values; what was given is ignored", derived.name
        )
    gap = abs(own - wanted) / max(abs(own), 1e-9)
    if abs(own - wanted) <= 2.5 * 10.0**-derived.decimals:
        gap = 0.0  # the rounding of what went in
    near, far = _APART.get(derived.name, (0.03, 0.12))
    rest = ", ".join(f"{n} {show(schema, n, v)}" for n, v in inputs.items())
    both = f"{show(schema, derived.name, wanted)} was given, {rest} make {show(schema, derived.name, own)}"
    if gap <= near:
        return Finding(
            "calculated", Level.OK, f"{both}: they agree; the calculated one is used", derived.name
        )
    level = Level.REFUSE if gap > far else Level.CAUTION
    advice = "check these values and their units" if gap > far else "the calculated one is used"
    return Finding("contradiction", level, f"{both}; {advice}", derived.name)


def _missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"
