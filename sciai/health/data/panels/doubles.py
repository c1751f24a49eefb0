"""A test that stands on a sheet more than once for one date."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.numbers import parse_number
from sciai.health.data.panels.panel import Reading

__all__ = ["without_doubles"]

_READINGS: Final = ("sbp", "dbp")  # of which the survey's column is the mean of several


def without_doubles(readings: list[Reading], name: object) -> list[Reading]:
    """One reading for each column; one result in two units is one, pressures are averaged as in the survey.

    Args:
        readings: of one date.
        name: of the sheet, for messages.

    Raises:
        BadInput: on two values of one column that differ.
    """
    kept: dict[str, Reading] = {}
    readings = _mean_pressures(readings)
    result: list[Reading] = []
    for reading in readings:
        key = reading.column or f"{reading.analyte}:{reading.label}"
        before = kept.get(key)
        if before is None or reading.value is None or before.value is None:
            kept.setdefault(key, reading)
            result.append(reading)
        elif _agree(before, reading):
            # of one result in two units ("5.9 %" and "41 mmol/mol") the one that was rounded less
            if _rounding(reading) < _rounding(before):
                kept[key] = reading
                result[result.index(before)] = reading
        elif reading.column:
            raise BadInput(
                f"{reading.column} is given twice for one date, as {before.written} ({before.label}, "
                f"{before.where}) and as {reading.written} ({reading.label}, {reading.where})",
                file=name,
                field=reading.column,
                fix="leave one of them out, or give each its date",
            )
    columns = {reading.column for reading in result if reading.used}
    if "creatinine" in columns:
        why = "computed from creatinine, age and sex instead"
        result = [_set_aside(r, why) if r.column in ("egfr", "egfr_japan") else r for r in result]
    return result


def _agree(one: Reading, other: Reading) -> bool:
    """Whether two readings are one result: equal, or in two units and apart by their rounding at most."""
    if one.value is None or other.value is None:
        return False
    apart = abs(one.value - other.value)
    if apart <= 1e-9 * max(abs(one.value), 1.0):
        return True
    units = {number.unit for r in (one, other) if (number := parse_number(r.written)) is not None}
    return len(units) > 1 and one.bound == other.bound and apart <= _rounding(one) + _rounding(other)


def _rounding(reading: Reading) -> float:
    """Half of the last place that was written, in the column's unit."""
    number = parse_number(reading.written)
    digits = re.search(r"\d[\d,]*(?:\.(\d+))?", unicodedata.normalize("NFKC", reading.written))
    if number is None or digits is None or not number.value or reading.value is None:
        return 0.0
    return float(abs(reading.value / number.value) * 0.5 * 10 ** -len(digits[1] or ""))


def _mean_pressures(readings: list[Reading]) -> list[Reading]:
    result = list(readings)
    for column in _READINGS:
        own = [r for r in result if r.column == column and r.used and r.value is not None]
        if len({r.value for r in own}) > 1:
            mean = sum(r.value for r in own if r.value is not None) / len(own)
            said = f"{column}: {len(own)} readings of one day, the mean {mean:.4g} is used, as in the survey"
            finding = Finding("mean", Level.OK, said, column)
            one = replace(own[0], value=mean, findings=(*own[0].findings, finding))
            result = [one if r is own[0] else r for r in result if r is own[0] or r not in own]
    return result


def _set_aside(reading: Reading, why: str) -> Reading:
    finding = Finding("derived", Level.OK, f"eGFR of the sheet ({reading.written}): not used; {why}", "egfr")
    return replace(reading, used=False, why=why, findings=(*reading.findings, finding))
