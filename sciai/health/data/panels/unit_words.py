"""Whether words on a sheet are a unit, and whether a test is told in it."""

from __future__ import annotations

from sciai.core.errors import BadInput
from sciai.health.data.panels.analytes import Analyte
from sciai.health.data.panels.units import convert, parse_unit

__all__ = ["is_unit", "measures"]


def is_unit(cell: str) -> bool:
    """Whether a cell of a sheet is a unit and no name or number.

    >>> is_unit("mg/dL"), is_unit("10^3/uL"), is_unit("LDL")
    (True, False, False)
    """
    if not cell or cell[0].isdigit():
        return False
    try:
        parse_unit(cell)
    except BadInput:
        return False
    return True


def measures(unit: str, analyte: Analyte) -> bool:
    """Whether a test can be told in a unit, as written."""
    try:
        convert(1.0, parse_unit(unit, analyte), analyte)
    except BadInput:
        return False
    return True
