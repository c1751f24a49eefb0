"""Sources of laboratory results that are no CSV: mappings, JSON, DataFrames."""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciai.core.errors import BadInput
from sciai.health.data.panels.dates import parse_date
from sciai.health.data.panels.panel import Item
from sciai.health.data.panels.sheet import Sheet, items_of_rows

__all__ = ["of_frame", "of_json", "of_mapping"]


def of_mapping(source: Mapping[str, Any]) -> Sheet:
    """A FHIR resource, a mapping of test -> value, or of date -> such a mapping."""
    if "resourceType" in source:
        from sciai.health.data.panels.fhir import sheet_of_bundle

        return sheet_of_bundle(source, "the bundle")
    sheet = Sheet()
    for key, value in source.items():
        label = str(key)
        if isinstance(value, Mapping):
            date = parse_date(label, "key of the mapping")
            for inner, cell in value.items():
                _add(sheet, str(inner), cell, date)
        else:
            _add(sheet, label, value, None)
    return sheet


def _add(sheet: Sheet, label: str, value: Any, date: dt.date | None) -> None:
    if label.casefold() in ("age", "sex", "年齢", "性別"):
        sheet.person["age" if label.casefold() in ("age", "年齢") else "sex"] = value
    elif value is not None:
        text = value if isinstance(value, str | float | int) else str(value)
        sheet.items.append(Item(label, text, f"key {label!r}", date=date))


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
        frame = frame.reset_index()
    head = [c.strftime("%Y-%m-%d") if hasattr(c, "strftime") else str(c) for c in frame.columns]
    rows = [head]
    for values in frame.itertuples(index=False):
        rows.append(["" if v is None or v != v else _cell(v) for v in values])
    rows = [[unicodedata.normalize("NFKC", cell).strip() for cell in row] for row in rows]
    return items_of_rows(rows, range(len(rows)), "the DataFrame")


def _cell(value: Any) -> str:
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d"))
    return f"{value:.12g}" if isinstance(value, float) else str(value)
