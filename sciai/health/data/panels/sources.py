"""Sources of laboratory results that are no CSV: mappings, JSON, DataFrames."""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sciai.core.errors import BadInput
from sciai.health.data.panels.about import holds
from sciai.health.data.panels.dates import parse_date
from sciai.health.data.panels.panel import Item
from sciai.health.data.panels.sheet import Sheet, items_of_rows

__all__ = ["of_frame", "of_json", "of_mapping"]


def of_mapping(source: Mapping[str, Any]) -> Sheet:
    """A FHIR resource, a mapping of test -> value (or value, unit, range), or of date -> such a mapping."""
    if "resourceType" in source:
        from sciai.health.data.panels.fhir import sheet_of_bundle

        return sheet_of_bundle(source, "the bundle")
    sheet = Sheet()
    for key, value in source.items():
        label = str(key)
        if isinstance(value, Mapping) and any(holds(str(inner), "value", "unit") for inner in value):
            _add_parts(sheet, label, value)
        elif isinstance(value, Mapping):
            date = parse_date(label, "key of the mapping")
            for inner, cell in value.items():
                if isinstance(cell, Mapping):
                    _add_parts(sheet, str(inner), cell, date)
                else:
                    _add(sheet, str(inner), cell, date)
        else:
            _add(sheet, label, value, None)
    return sheet


def _add(sheet: Sheet, label: str, value: Any, date: dt.date | None) -> None:
    if _missing(value):
        return
    if holds(label, "age", "sex"):
        sheet.person["age" if holds(label, "age") else "sex"] = value
    else:
        text = value if isinstance(value, str | float | int) else str(value)
        sheet.items.append(Item(label, text, f"key {label!r}", date=date))


def _add_parts(sheet: Sheet, label: str, parts: Mapping[str, Any], date: dt.date | None = None) -> None:
    """One test as ``{"value": 20, "unit": "U/L", "range": "13-30", "date": ...}``."""
    found = {
        kind: cell
        for kind in ("value", "unit", "range", "date")
        for key, cell in parts.items()
        if holds(str(key), kind) and not _missing(cell)
    }
    if "date" in found:
        date = parse_date(str(found["date"]), f"key {label!r}")
    if "value" in found:
        before = len(sheet.items)
        _add(sheet, label, found["value"], date)
        sheet.items[before:] = [
            replace(item, unit=str(found.get("unit", "")), range=str(found.get("range", "")))
            for item in sheet.items[before:]
        ]


def _missing(value: Any) -> bool:
    """None, NaN, NaT, and pandas' NA, which is neither equal nor unequal to itself."""
    return value is None or str(value) == "<NA>" or bool(value != value)


def of_json(text: str, path: Path) -> Sheet:
    """A JSON file of any of them.

    Raises:
        BadInput: no JSON, or a list.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadInput(f"not valid JSON: {error}", file=path, fix="export the bundle again") from error
    if not isinstance(data, Mapping):
        raise BadInput(
            "a JSON list, not a FHIR bundle", file=path, fix="give a Bundle, or a mapping of test: value"
        )
    if "resourceType" not in data:
        return of_mapping(data)
    from sciai.health.data.panels.fhir import sheet_of_bundle

    return sheet_of_bundle(data, path)


def of_frame(frame: Any) -> Sheet:
    """A DataFrame laid out as one of the CSV layouts."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        named = frame.index.nlevels > 1 or frame.index.name is not None
        frame = frame.reset_index()
        if not named:
            # no name of a column: "index" is pandas' word, and hides that the rest of the line are dates
            frame.columns = ["", *frame.columns[1:]]
    rows = [[_cell(c) for c in frame.columns]]
    for values in frame.itertuples(index=False):
        rows.append(["" if _missing(v) else _cell(v) for v in values])
    rows = [[unicodedata.normalize("NFKC", cell).strip() for cell in row] for row in rows]
    return items_of_rows(rows, range(len(rows)), "the DataFrame")


def _cell(value: Any) -> str:
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d"))
    return f"{value:.12g}" if isinstance(value, float) else str(value)
