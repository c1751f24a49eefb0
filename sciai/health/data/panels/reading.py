"""Any source of laboratory results -> panels in the units of the model's columns."""

from __future__ import annotations

import datetime as dt
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.analytes import Analyte, fold, is_loinc, table
from sciai.health.data.panels.doubles import without_doubles
from sciai.health.data.panels.numbers import Number, is_sign, parse_number
from sciai.health.data.panels.panel import Item, Panel, Reading, Unknown
from sciai.health.data.panels.person import parse_sex, person_on
from sciai.health.data.panels.sheet import JAPANESE, Sheet, apart_from_unit, items_of_rows
from sciai.health.data.panels.si import Bare, as_the_rest
from sciai.health.data.panels.sources import of_frame, of_json, of_mapping
from sciai.health.data.panels.text import decode, read_bytes, rows_of_text
from sciai.health.data.panels.unit_words import measures
from sciai.health.data.panels.units import convert, guess_unit, parse_quantity, parse_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["parse_sex", "read_panels"]

_PRESSURE: Final = re.compile(r"(血圧値?|bp|bloodpressure)([1-3](回目|st|nd|rd)?|(1st|2nd|3rd)reading)?")


def read_panels(
    source: str | os.PathLike[str] | Mapping[str, Any] | pd.DataFrame | Sequence[Panel] | Panel,
    *,
    fasting: bool | None = None,
) -> list[Panel]:
    """Read laboratory results.

    Args:
        source: a CSV or FHIR R4 (JSON) file, a FHIR bundle as a mapping, a mapping of test -> value (or
            ``{"value": 20, "unit": "U/L"}``; or date -> such a mapping), or a DataFrame laid out as one of
            the CSV layouts. Panels pass through.
        fasting: whether blood was taken fasting, where the sheet does not say; None: not known, read as not.

    Returns:
        One panel for each date, in order.

    Raises:
        BadInput: an empty file, no known test, two columns for one date, text where a number belongs, a unit
            of another dimension. The message names file, row and fix.

    >>> panel = read_panels({"LDL-C": "140 mg/dL", "赤血球数": "548 万/μL", "CA125": 12})[0]
    >>> panel.values, [u.label for u in panel.unknown]
    ({'ldl': 140.0, 'rbc': 5.48}, ['CA125'])
    """
    if isinstance(source, Panel):
        return [source]
    if isinstance(source, list | tuple):
        if source and all(isinstance(panel, Panel) for panel in source):
            return list(source)
        raise BadInput("a list that does not hold panels", fix="give a file, a mapping or a DataFrame")
    name: object = "the table"
    if isinstance(source, Mapping):
        sheet = of_mapping(source)
        name = "the mapping"
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        name = path.name
        text, encoding = decode(read_bytes(path), path)
        if text.lstrip()[:1] in "{[":
            sheet = of_json(text, path)
        else:
            rows, numbers = rows_of_text(text)
            sheet = items_of_rows(rows, numbers, path)
        sheet.notes += [encoding] if encoding is not None else []
    elif hasattr(source, "columns") and hasattr(source, "itertuples"):
        sheet = of_frame(source)
    else:
        raise BadInput(
            f"cannot read panels from {type(source).__name__}", fix="give a file, mapping or DataFrame"
        )
    return _panels(sheet, fasting, name)


def _panels(sheet: Sheet, fasting: bool | None, name: object) -> list[Panel]:
    labels = " ".join(item.label for item in sheet.items)
    language = "ja" if sheet.japanese or JAPANESE.search(labels) else "en"
    sheet.items = [part for item in sheet.items for part in _pressures(_unit_behind(item))]
    found = {id(item): _look_up(item) for item in sheet.items}
    if not any(found.values()):
        seen = ", ".join(dict.fromkeys(item.label for item in sheet.items[:6])) or "nothing with a value"
        fix = (
            "rows of test, value, unit; or tests down and dates across. "
            "Names in English or Japanese, LOINC or JLAC10 codes: see `sciai health columns`"
        )
        why = "".join(f"; {note.message}" for note in sheet.notes if note.check == "stray-column")
        raise BadInput(f"no known test; found {seen}{why}", file=name, fix=fix)
    sheet.notes += _unknown_codes(sheet.items, found)
    state, said = _fasting(fasting, list(found.values()))
    units = _units_of_rows(sheet.items, language)
    by_date: dict[dt.date | None, list[Item]] = {}
    for item in sheet.items:
        by_date.setdefault(item.date, []).append(item)
    panels = []
    last = max((date for date in by_date if date is not None), default=None)
    for date in sorted(by_date, key=lambda d: d or dt.date.min):
        readings: list[Reading] = []
        unknown: list[Unknown] = []
        for item in by_date[date]:
            analyte = _choose(found[id(item)], item, state, language)
            if analyte is None:
                unknown.append(Unknown(item.label, _plain_number(item.text), item.where))
            else:
                reading = _read(
                    item, analyte, language, units.get((item.label, item.where.split(",")[0])), name
                )
                if reading is not None:
                    readings.append(reading)
        readings = without_doubles(readings, name)
        notes = [*sheet.notes, *_notes(by_date[date], readings, said, language)]
        person = person_on(sheet, date, last, name)
        panels.append(Panel(date, tuple(readings), tuple(unknown), person, tuple(notes), str(name)))
    if not any(panel.readings for panel in panels):
        raise BadInput("tests are named, but none has a value", file=name, fix="fill in the results")
    return panels


def _unit_behind(item: Item) -> Item:
    """ "HDL-C mmol/L", "Neut%" and "Total Cholesterol, mmol/L" as name and unit; others as they stand."""
    both = apart_from_unit(item.label)
    if both is None or item.unit or _look_up(item):
        return item
    named = replace(item, label=both[0], unit=both[1])
    return named if any(measures(both[1], analyte) for analyte in _look_up(named)) else item


def _pressures(item: Item) -> Sequence[Item]:
    """ "血圧, 135/82" as the two tests that it is; anything else as it stands."""
    both = re.fullmatch(r"\s*(\d{2,3})\s*/\s*(\d{2,3})\s*(mm\s*\[?Hg\]?)?\s*", str(item.text), re.IGNORECASE)
    if both is None or not _PRESSURE.fullmatch(fold(item.label)):
        return (item,)
    unit = item.unit or "mm[Hg]"
    return (
        replace(item, label=f"{item.label} (systolic)", code="8480-6", text=both[1], unit=unit),
        replace(item, label=f"{item.label} (diastolic)", code="8462-4", text=both[2], unit=unit),
    )


def _look_up(item: Item) -> tuple[Analyte, ...]:
    if item.code and (found := table().of_code(item.code)):
        return found
    return table().find(item.label)


def _unknown_codes(items: Sequence[Item], found: Mapping[int, tuple[Analyte, ...]]) -> Iterable[Finding]:
    """Tests whose LOINC code is not known, though their name is: a code tells the specimen."""
    named = [
        f"{item.label} ({item.code})"
        for item in items
        if is_loinc(item.code) and not table().of_code(item.code) and any(a.modelled for a in found[id(item)])
    ]
    if named:
        said = f"read by name, as their LOINC code is not known here: {', '.join(dict.fromkeys(named))}"
        yield Finding("unknown-code", Level.CAUTION, f"{said}; leave out what is not of blood")


def _fasting(given: bool | None, found: Iterable[tuple[Analyte, ...]]) -> tuple[bool, Finding | None]:
    """Whether open sugar and fat were taken fasting: as told, as another line of the sheet says, else not."""
    several = list(found)
    open_ones = [group for group in several if len({a.fasting for a in group}) > 1]
    if given is not None or not open_ones:
        return bool(given), None
    names = " and ".join(dict.fromkeys(group[0].en.split(" (")[0].lower() for group in open_ones))
    stated = {group[0].fasting for group in several if len(group) == 1 and group[0].fasting is not None}
    if len(stated) == 1:
        state = bool(stated.pop())
        said = f"{names}: taken as {'fasting' if state else 'not fasting'}, as another line of the sheet says"
        return state, Finding("fasting", Level.OK, said)
    said = f"{names}: the sheet does not say whether fasting; read as not fasting"
    said += " (else say fasting=True, or --fasting)"
    return False, Finding("fasting", Level.OK, said)


def _choose(found: tuple[Analyte, ...], item: Item, fasting: bool, language: str) -> Analyte | None:
    """One of the tests that a label may mean: by fasting, then by what its unit measures, then by size."""
    if len({a.fasting for a in found}) > 1:
        found = tuple(a for a in found if a.fasting in (None, fasting)) or found
    if any(a.language for a in found):
        # Japanese laboratories print their own equation of the eGFR under the same name
        found = tuple(a for a in found if a.language == (language if language == "ja" else "")) or found
    if len(found) < 2:
        return found[0] if found else None
    number = _number_or_none(item.text)
    unit = (number.unit if number else "") or item.unit
    if unit:
        fits = [a for a in found if measures(unit, a)]
        return fits[0] if fits else found[0]
    if number is not None:
        for analyte in found:
            guessed, finding = guess_unit(number.value, analyte, language)
            low, high = analyte.range_of()
            value = convert(number.value, guessed, analyte)
            if finding is None and (low or 0) / 2 <= value <= (high or analyte.plausible[1]) * 2:
                return analyte
    return found[0]


def _number_or_none(text: str | float) -> Any:
    try:
        return parse_number(text)
    except BadInput:
        return None


def _plain_number(text: str | float) -> float | None:
    number = _number_or_none(text)
    return None if number is None else float(number.value)


def _units_of_rows(items: Sequence[Item], language: str) -> dict[tuple[str, str], tuple[str, Finding | None]]:
    """For rows without a unit: one unit for the whole row, guessed from its median, so that a course over
    dates is not read in two units."""
    rows: dict[tuple[str, str], list[tuple[Item, Number]]] = {}
    for item in items:
        number = _number_or_none(item.text)
        if number is not None and not item.unit and not number.unit:
            rows.setdefault((item.label, item.where.split(",")[0]), []).append((item, number))
    bare: dict[tuple[str, str], Bare] = {}
    for key, cells in rows.items():
        found = _look_up(cells[0][0])
        if found:
            # "<0.3" is the laboratory's limit: its size does not say in which unit it is
            sizes = sorted(number.value for _, number in cells if number.sign != "<")
            unit = _unit_in(cells[0][0].label, found[0])
            if not unit and not sizes:
                unit = found[0].usual.get(language, found[0].unit)
            ends = _ends(cells[0][0].range)
            size = sizes[(len(sizes) - 1) // 2] if sizes else None
            guess = (unit, None) if unit or size is None else guess_unit(size, found[0], language, ends)
            bare[key] = Bare(found[0], size, guess, sure=bool(unit) or any(end is not None for end in ends))
    others = (
        (found[0], unit)
        for item in items
        if (unit := item.unit or getattr(_number_or_none(item.text), "unit", ""))
        and (found := _look_up(item))
    )
    return as_the_rest(bare, others)


def _unit_in(label: str, analyte: Analyte) -> str:
    """A unit in the name of the test, as in "LDL (mg/dL)"."""
    for inside in re.findall(r"[(\[]([^()\[\]]+)[)\]]", unicodedata.normalize("NFKC", label)):
        if measures(inside, analyte):
            return parse_unit(inside, analyte)
    return ""


def _read(
    item: Item, analyte: Analyte, language: str, row_unit: tuple[str, Finding | None] | None, name: object
) -> Reading | None:
    written = f"{item.text} {item.unit}".strip()
    base: dict[str, Any] = {
        "analyte": analyte.key,
        "column": analyte.column,
        "label": item.label,
        "unit": analyte.unit,
        "written": written,
        "where": item.where,
    }
    words = isinstance(item.text, str) and is_sign(item.text)
    if analyte.column is None:
        # not modelled: keep what is a number, never fail on it
        number = _plain_number(item.text)
        why = "the model does not know this test" + (f" ({analyte.note})" if analyte.note else "")
        return Reading(value=number, used=False, why=why, **base) if number is not None or words else None
    if words and _plain_number(item.text) is None:
        if str(item.text).strip() in ("-", "ー"):
            return None
        said = f"{analyte.en}: {item.text} is a sign, not a number"
        finding = Finding("words", Level.CAUTION, f"{said}; not used", analyte.key)
        return Reading(value=None, used=False, why="not a number", findings=(finding,), **base)
    unit: str | None = item.unit or None
    findings: list[Finding] = []
    if unit is None and row_unit is not None:
        unit, guess = row_unit
        findings += [guess] if guess is not None else []
    try:
        quantity = parse_quantity(item.text, analyte, unit)
    except BadInput as error:
        raise BadInput(
            error.problem, file=name, field=f"{item.where}, {item.label}", unit=error.unit, fix=error.fix
        ) from None
    if quantity is None:
        return None
    findings += quantity.findings
    refused = next((f.message for f in findings if f.level == Level.REFUSE), "")
    number = _number_or_none(item.text)
    return Reading(
        value=quantity.value,
        range=_range(item, analyte, unit),
        used=not refused,
        why=refused,
        findings=tuple(findings),
        bound=number.sign if number is not None else "",
        **base,
    )


def _range(item: Item, analyte: Analyte, unit: str | None) -> tuple[float | None, float | None]:
    low, high = _ends(item.range)
    number = _number_or_none(item.text)
    written = (number.unit if number else "") or unit or ""
    ucum = parse_unit(written, analyte) if written else analyte.unit
    return (
        None if low is None else convert(low, ucum, analyte),
        None if high is None else convert(high, ucum, analyte),
    )


def _ends(text: str) -> tuple[float | None, float | None]:
    """Ends of a printed range: "13-30", "4.6〜6.2", "149以下", ">=60"; (None, None) for anything else."""
    plain = unicodedata.normalize("NFKC", text).replace(",", "")
    plain = re.sub(r"([<>])\s*or\s*=", r"\1=", plain, flags=re.IGNORECASE)
    numbers = [float(n) for n in re.findall(r"(?<![\d.])\d+(?:\.\d+)?", plain)]
    if (
        len(numbers) == 2
        and re.search(r"\d\s*[^\d\s]*\s*[-~〜～–—]\s*\d", plain)
        and numbers[0] <= numbers[1]
    ):
        return numbers[0], numbers[1]
    if len(numbers) == 1:
        if re.search(r"以下|未満|<|≦|≤|^[-~〜～]", plain):
            return None, numbers[0]
        if re.search(r"以上|>|≧|≥|[-~〜～]$", plain):
            return numbers[0], None
    return None, None


def _notes(
    items: Sequence[Item], readings: Sequence[Reading], fasting: Finding | None, language: str
) -> Iterable[Finding]:
    if fasting is not None:
        yield fasting
    bare = [
        r.analyte
        for r in readings
        if r.used
        and r.column
        and r.value is not None
        and not any(f.check == "unit-guess" for f in r.findings)
        and not _has_unit(next(i for i in items if i.label == r.label))
    ]
    if bare:
        words = "Japanese" if language == "ja" else "usual"
        said = f"no unit on the sheet for {len(bare)} of {len(readings)} tests: read in the {words} units"
        yield Finding("no-unit", Level.OK, said)


def _has_unit(item: Item) -> bool:
    number = _number_or_none(item.text)
    return bool(
        item.unit
        or (number is not None and number.unit)
        or re.search(r"[(\[][^)\]]*/[^)\]]*[)\]]|%$", item.label)
    )
