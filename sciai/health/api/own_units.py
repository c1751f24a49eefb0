"""Laboratory values in the units of a model's columns, which in a schema of one's own may be others.

The table of tests knows each test in one unit. A column of the same name in another (creatinine in umol/L) is
the same test: numbers are converted between the two, and a unit that measures something else is no such test.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Derived
from sciai.health.data.panels.analytes import Analyte, analyte_of_column, table
from sciai.health.data.panels.numbers import parse_number
from sciai.health.data.panels.panel import Reading
from sciai.health.data.panels.units import convert, parse_quantity, parse_unit

__all__ = ["from_table_unit", "quantity_of", "reading_in", "test_of"]


def test_of(column: Column | Derived) -> Analyte | None:
    """The laboratory test that a column holds; None where it is none, or its unit measures something else."""
    analyte = analyte_of_column(column.name)
    return analyte if analyte is not None and _line(column.unit, analyte.key) is not None else None


def from_table_unit(column: Column | Derived, value: float) -> float:
    """A value in the unit of the table of tests, in that of the column; NaN where that cannot be."""
    analyte = analyte_of_column(column.name)
    line = None if analyte is None else _line(column.unit, analyte.key)
    return math.nan if line is None else (value - line[1]) / line[0]


def quantity_of(
    column: Column | Derived, analyte: Analyte, value: float | str
) -> tuple[float, list[Finding]]:
    """A number in the column's unit, or a text with any unit of the test: in the column's; and what was done.

    Raises:
        BadInput: as ``parse_quantity``.
    """
    if column.unit == analyte.unit:
        read = parse_quantity(value, analyte)
        return (math.nan, []) if read is None else (read.value, list(read.findings))
    number = parse_number(value)
    read = parse_quantity(value, analyte, column.unit)
    if number is None or read is None:
        return math.nan, []
    own = from_table_unit(column, read.value)
    findings = [f for f in read.findings if f.check != "unit-conversion"]
    if number.unit and parse_unit(number.unit, analyte) != parse_unit(column.unit, analyte):
        said = f"{analyte.en}: {number.value:g} {number.unit} converted to {own:.3g} {column.unit}"
        findings.append(Finding("unit-conversion", Level.OK, said, analyte.key))
    return own, findings


def reading_in(column: Column | Derived, reading: Reading) -> Reading:
    """A reading of a sheet in the unit of the column; set aside where the column measures something else."""
    if reading.unit == column.unit or reading.value is None:
        return reading
    if test_of(column) is None:
        why = f"this model has {column.name} in {column.unit or 'no unit'}, which is another measurement"
        return dataclasses.replace(reading, column=None, used=False, why=why)
    low, high = (None if end is None else from_table_unit(column, end) for end in reading.range)
    own = from_table_unit(column, reading.value)
    return dataclasses.replace(reading, value=own, unit=column.unit, range=(low, high))


@cache
def _line(unit: str, key: str) -> tuple[float, float] | None:
    """Slope and offset from a unit to that of the table, as all conversions are straight lines."""
    analyte = table().analytes[key]
    try:
        ucum = parse_unit(unit, analyte)
        zero, one = convert(0.0, ucum, analyte), convert(1.0, ucum, analyte)
    except BadInput:
        return None
    return one - zero, zero
