"""Rows without a unit on a sheet whose other rows are in SI units: bilirubin of 12 beside glucose of 5.5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.analytes import Analyte
from sciai.health.data.panels.units import convert, is_expected, parse_unit

__all__ = ["Bare", "as_the_rest"]

Key = TypeVar("Key")
_LEAST: Final = 2  # rows in SI units, and twice as many as in others, before they speak for the sheet


@dataclass(frozen=True)
class Bare:
    """A row without a unit.

    Attributes:
        analyte: the test.
        size: its middle value as written; None where the row has limits only.
        unit: the unit that was guessed for it, and what was said about that.
        sure: whether its own name says the unit.
    """

    analyte: Analyte
    size: float | None
    unit: tuple[str, Finding | None]
    sure: bool = False


def as_the_rest(
    rows: Mapping[Key, Bare], written: Iterable[tuple[Analyte, str]]
) -> dict[Key, tuple[str, Finding | None]]:
    """The unit of each row without one; SI where the sheet is in SI and the value is ordinary in it.

    Args:
        rows: rows without a unit.
        written: tests and units of the other rows.

    Returns:
        Unit, and what is to be said of it, as guessed for the row alone unless the rest of the sheet decides.
    """
    si = other = 0
    for analyte, text in written:
        if own := _si(analyte):
            try:
                found = parse_unit(text, analyte) in own
            except BadInput:
                continue
            si, other = si + found, other + (not found)
    for row in rows.values():
        if _si(row.analyte) and row.size is not None:
            found = row.unit[0] in _si(row.analyte)
            # an ordinary value that would be none in SI speaks for the usual units
            plain = not found and row.unit[1] is None and _ordinary_in_si(row) is None
            si, other = si + found, other + plain
    speaks = si >= max(_LEAST, 2 * other + 1)
    return {key: _told(row) if speaks else row.unit for key, row in rows.items()}


def _told(row: Bare) -> tuple[str, Finding | None]:
    unit = _ordinary_in_si(row)
    if unit is None or row.sure or row.unit[0] == unit:
        return row.unit
    said = f"{row.analyte.en}: no unit; {row.size:g} is read in {unit}, as the rest of the sheet is"
    return unit, Finding("unit-guess", Level.CAUTION, f"{said}. Write the unit to be sure", row.analyte.key)


def _ordinary_in_si(row: Bare) -> str | None:
    if row.size is None:
        return None
    fits = (u for u in _si(row.analyte) if is_expected(convert(row.size, u, row.analyte), row.analyte))
    return next(fits, None)


def _si(analyte: Analyte) -> tuple[str, ...]:
    """SI units of a test that is told in others here; none where the units are the same everywhere."""
    molar = tuple(unit for unit in analyte.units if "mol" in unit)
    return (*molar, "g/L") if analyte.unit == "g/dL" else molar if "mol" not in analyte.unit else ()
