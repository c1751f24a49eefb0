"""Tables of laboratory results as people keep them -> items: which cell is which test on which date.

Four layouts are told apart by what the cells hold, never by position alone: tests down and dates across; a
test, value, unit, range on each line; dates down and tests across; and bare pairs of name and value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.about import about_person, apart, holds, is_number, one_person
from sciai.health.data.panels.analytes import Analyte, table
from sciai.health.data.panels.dates import (
    bare_date,
    day_first,
    is_month,
    looks_like_date,
    parse_date,
    year_first,
)
from sciai.health.data.panels.panel import Item
from sciai.health.data.panels.sections import specimens_named
from sciai.health.data.panels.text import Rows
from sciai.health.data.panels.unit_words import is_unit

__all__ = ["JAPANESE", "Sheet", "apart_from_unit", "items_of_rows"]


JAPANESE: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_COLUMNS: Final = ("name", "value", "unit", "range", "date", "code", "flag")


@dataclass
class Sheet:
    """What a table holds, before tests are understood.

    Attributes:
        items: one for each filled cell.
        person: age and sex where the sheet states them.
        notes: what was noticed about the layout.
        ages: age at a date, where each visit states its own.
        birth: day of birth; used to compute the age and then forgotten.
        japanese: whether anything on it is written in Japanese, were it only the heads of the columns.
    """

    items: list[Item] = field(default_factory=list)
    person: dict[str, object] = field(default_factory=dict)
    notes: list[Finding] = field(default_factory=list)
    ages: dict[dt.date, object] = field(default_factory=dict)
    birth: dt.date | None = None
    japanese: bool = False


def items_of_rows(rows: Rows, numbers: Sequence[int], file: object) -> Sheet:
    """Which cell is which test on which date.

    Args:
        rows: cells.
        numbers: line number of each row, for messages.
        file: name of the source, for messages.

    Raises:
        BadInput: two columns for one date, several rows without dates, or nothing that looks like results.
    """
    rows = specimens_named([apart(row) for row in rows])
    width = max((len(row) for row in rows), default=0)
    rows = [row + [""] * (width - len(row)) for row in rows]
    sheet = Sheet(japanese=any(JAPANESE.search(cell) for row in rows for cell in row))
    # "今回 2024/05/10" at the head of a column
    rows = [[bare_date(c) for c in row] if any(holds(c, "name") for c in row) else row for row in rows]
    order = day_first(cell for row in rows for cell in row)
    if order is not None:
        rows = [[year_first(cell, order) for cell in row] for row in rows]
    about_person(rows, sheet)
    if months := dict.fromkeys(cell for row in rows for cell in row if is_month(cell)):
        said = f"dates without a day ({', '.join(months)}) are read as the first of the month"
        sheet.notes.append(Finding("date", Level.OK, said))
    try:
        _read(rows, numbers, sheet, file)
    except BadInput as error:
        raise BadInput(
            error.problem, file=error.file or file, field=error.field, unit=error.unit, fix=error.fix
        ) from None
    return sheet


def _read(rows: Rows, numbers: Sequence[int], sheet: Sheet, file: object) -> None:
    header = _long_header(rows)
    dates = _date_row(rows, file)
    # one date above lines of test and value is the date of them all; two or more are columns
    if header is not None and "value" in header[1] and (dates is None or len(dates[1]) < 2):
        _read_long(rows, numbers, header, sheet, file)
    # rows below a row of tests are visits, though each may hold a date of birth beside its own
    elif (across := _tests_across(rows)) is not None and (dates is None or dates[0] > across):
        _read_across(rows, numbers, across, sheet, file)
    elif dates is not None:
        _read_dated(rows, numbers, dates, header, sheet)
    else:
        _read_pairs(rows, numbers, sheet)


def _known(label: str) -> tuple[Analyte, ...]:
    if "/" in label and is_unit(label):
        return ()  # the mg of mg/dL is no magnesium
    found = table().find(label) if label else ()
    both = None if found else apart_from_unit(label)
    return table().find(both[0]) if both and is_unit(both[1]) else found


def apart_from_unit(label: str) -> tuple[str, str] | None:
    """Name and last word of a label, which may be the unit; None where there is but one word.

    >>> apart_from_unit("HDL-C mmol/L"), apart_from_unit("Neut%"), apart_from_unit("LDL")
    (('HDL-C', 'mmol/L'), ('Neut', '%'), None)
    """
    both = re.fullmatch(r"(.+?)(?:[\s,;_]+([^\s,;]+)|(%))", label)
    return None if both is None else (both[1], both[2] or both[3])


def _long_header(rows: Rows) -> tuple[int, dict[str, int]] | None:
    """The row that names columns, with at least a name and a value: (row, kind -> column)."""
    for number, row in enumerate(rows[:40]):
        columns: dict[str, int] = {}
        for place, cell in enumerate(row):
            kind = next((k for k in _COLUMNS if k not in columns and holds(cell, k)), None)
            if kind is not None:
                columns[kind] = place
        if "value" in columns and ("name" in columns or "code" in columns):
            return number, columns
        if "name" in columns and any(looks_like_date(cell) for cell in row):
            return number, columns
    return None


def _date_row(rows: Rows, file: object) -> tuple[int, dict[int, dt.date]] | None:
    """The row whose cells are the dates of the columns: (row, column -> date)."""
    best: tuple[int, dict[int, str]] | None = None
    for number, row in enumerate(rows[:60]):
        if holds(row[0], "aside"):
            continue
        found = {place: cell for place, cell in enumerate(row) if place and looks_like_date(cell)}
        # results by lines have a date in every line, in one column: that is no header
        named = holds(row[0], "date", "name") or not row[0]
        if found and (named or len(found) > 1) and (best is None or len(found) > len(best[1])):
            best = number, found
    if best is None:
        return None
    number, found = best
    dates = {place: parse_date(cell, f"column {place + 1}") for place, cell in found.items()}
    seen: dict[dt.date, int] = {}
    for place, date in dates.items():
        if date in seen:
            raise BadInput(
                f"two columns for one date, {date}: columns {seen[date] + 1} and {place + 1}",
                file=file,
                field=f"row {number + 1}",
                fix="leave one of them out, or correct the date",
            )
        seen[date] = place
    return number, dates


def _read_dated(
    rows: Rows,
    numbers: Sequence[int],
    dates: tuple[int, dict[int, dt.date]],
    header: tuple[int, dict[str, int]] | None,
    sheet: Sheet,
) -> None:
    start, columns = dates
    kinds = dict(header[1]) if header else {}
    for place, cell in enumerate(rows[start]):
        for kind in (k for k in _COLUMNS if holds(cell, k)):
            kinds.setdefault(kind, place)
    first = min(columns)
    body = [(n, row) for n, row in zip(numbers, rows, strict=True) if row is not rows[start]]
    name = max(range(first), key=lambda place: sum(bool(_known(row[place])) for _, row in body), default=0)
    code = _code_column(body, range(first), name)
    stray: list[str] = []
    longer: list[str] = []
    end = max(place for place, cell in enumerate(rows[start]) if cell)
    for number, row in body:
        if _skip(row, name):
            continue
        if any(is_number(cell) for cell in row[end + 1 :]):
            longer.append(f"row {number} ({row[name]})")
            continue
        for place, date in columns.items():
            if row[place]:
                where = f"row {number}, {date}"
                text = row[place]
                sheet.items.append(_item(row, text, where, name, code, kinds, date))
        stray += [
            f"row {number}"
            for place, cell in enumerate(row)
            if place > first and place not in columns and place not in kinds.values() and is_number(cell)
        ]
    _say_longer(longer, sheet)
    if stray:
        said = f"numbers in columns without a date were not read ({len(stray)}, first in {stray[0]})"
        sheet.notes.append(Finding("stray-column", Level.CAUTION, said))


def _say_longer(lines: list[str], sheet: Sheet) -> None:
    if lines:
        said = f"more cells than there are columns in {', '.join(lines)}: not read, as values may be shifted"
        said += ". A comma before decimals (5,4) parts cells here: write 5.4, or put it in quotes"
        sheet.notes.append(Finding("stray-column", Level.CAUTION, said))


def _read_long(
    rows: Rows, numbers: Sequence[int], header: tuple[int, dict[str, int]], sheet: Sheet, file: object
) -> None:
    start, kinds = header
    own = [cell if place not in kinds.values() else "" for place, cell in enumerate(rows[start])]
    one_person(own, rows[start + 1 :], file)
    single = _single_date(rows)
    name, code = kinds.get("name"), kinds.get("code")
    end = max(place for place, cell in enumerate(rows[start]) if cell)
    longer: list[str] = []
    for number, row in zip(numbers[start + 1 :], rows[start + 1 :], strict=True):
        label = row[name] if name is not None else row[code or 0]
        if not label and code is not None:
            label = row[code]
        if _skip(row, name if name is not None else code or 0) or not row[kinds["value"]]:
            continue
        if any(is_number(cell) for cell in row[end + 1 :]):
            longer.append(f"row {number} ({label})")
            continue
        date = single
        if "date" in kinds and row[kinds["date"]]:
            date = parse_date(row[kinds["date"]], f"row {number}")
        column = name if name is not None else code or 0
        sheet.items.append(_item(row, row[kinds["value"]], f"row {number}", column, code, kinds, date))
    _say_longer(longer, sheet)
    for place, head in enumerate(rows[start]):
        # results of another day, as in "今回, 前回"; a column that counts the lines holds none
        cells = [row[place] for row in rows[start + 1 :] if is_number(row[place])]
        counts = cells[:1] == ["1"] and cells == [str(k + 1) for k in range(len(cells))]
        if head and place not in kinds.values() and cells and not counts:
            said = f"the column {head!r} was not read: without a date it is no visit of its own"
            sheet.notes.append(Finding("stray-column", Level.OK, said))


def _tests_across(rows: Rows) -> int | None:
    """The row whose cells name tests (one alone beside a date), where rows below are visits."""
    down = max((sum(bool(_known(row[p])) for row in rows) for p in range(min(3, len(rows[0])))), default=0)
    for number, row in enumerate(rows[:20]):
        across = sum(bool(_known(cell)) for cell in row)
        alone = across == down == 1 and any(holds(cell, "date") for cell in row)
        if ((across >= 2 and across > down) or alone) and len(rows) > number + 1:
            return number
    return None


def _read_across(rows: Rows, numbers: Sequence[int], start: int, sheet: Sheet, file: object) -> None:
    head = rows[start]
    when = next((p for p, cell in enumerate(head) if holds(cell, "date")), None)
    below = [(n, row) for n, row in zip(numbers[start + 1 :], rows[start + 1 :], strict=True)]
    ranges = next(
        (row for _, row in below if any(holds(cell, "range") for cell in row[:2])), [""] * len(head)
    )
    visits = [
        (n, row)
        for n, row in below
        if row is not ranges and any(is_number(row[p]) for p in range(len(row)) if p != when)
    ]
    if when is None:
        when = next(
            (p for p in range(len(head)) if visits and all(looks_like_date(r[p]) for _, r in visits)), None
        )
    if when is None and len(visits) > 1:
        fix = "add a date column, one visit in each row; for many people use `sciai health predict`"
        raise BadInput(f"{len(visits)} rows of values without dates", file=file, fix=fix)
    units = {
        place: cell
        for n, row in below
        if (n, row) not in visits
        for place, cell in enumerate(row)
        if is_unit(cell)
    }
    one_person(head, [row for _, row in visits], file)
    birth = next((p for p, cell in enumerate(head) if holds(cell, "birth")), None)
    if birth is not None:
        born = next((row[birth] for _, row in visits if looks_like_date(row[birth])), None)
        sheet.birth = sheet.birth if born is None else parse_date(born)
    seen: dict[dt.date, int] = {}
    for number, row in visits:
        date = parse_date(row[when], f"row {number}") if when is not None and row[when] else None
        if date is not None and seen.setdefault(date, number) != number:
            problem = f"two rows for one date, {date}: rows {seen[date]} and {number}"
            fix = "leave one of them out, or correct the date; for many people use `sciai health predict`"
            raise BadInput(problem, file=file, fix=fix)
        for place, cell in enumerate(row):
            if cell and date is not None and holds(head[place], "age"):
                sheet.ages[date] = cell
            elif cell and holds(head[place], "age", "sex"):
                sheet.person.setdefault("age" if holds(head[place], "age") else "sex", cell)
            elif place != when and cell and head[place] and not holds(head[place], "aside"):
                where = f"row {number}, {head[place]}"
                sheet.items.append(
                    Item(head[place], cell, where, "", date, units.get(place, ""), ranges[place])
                )


def _read_pairs(rows: Rows, numbers: Sequence[int], sheet: Sheet) -> None:
    """Bare lines: name, value, and where cells look so also unit and range."""
    body = list(zip(numbers, rows, strict=True))
    width = len(rows[0]) if rows else 0
    name = max(range(width), key=lambda p: sum(bool(_known(row[p])) for _, row in body), default=0)
    code = _code_column(body, range(width), name)
    single = _single_date(rows)
    head = next((row for row in rows[:40] if holds(row[name], "name")), [""] * width)
    # an end of a range ("84.9以下") is a number, too, but nobody's
    others = {p for p, cell in enumerate(head) if holds(cell, "unit", "range", "code", "flag")}
    ranges = [p for p in others if holds(head[p], "range")]
    stray: list[str] = []
    for number, row in body:
        if _skip(row, name):
            continue
        cells = [(p, cell) for p, cell in enumerate(row) if p > name and cell]
        own = [(p, cell) for p, cell in cells if p not in others]
        value = next(((p, c) for p, c in own if is_number(c)), own[0] if own else None)
        if value is None or looks_like_date(value[1]):
            continue
        unit = next((c for p, c in cells if p != value[0] and is_unit(c)), "")
        after = [c for p, c in own if p > value[0] and c != unit and any(d.isdigit() for d in c)]
        printed = next((row[p] for p in ranges if row[p]), after[0] if after else "")
        if any(is_number(c) and c[:1] not in "<>≦≧≤≥" for c in after):
            stray.append(f"row {number}")
        sheet.items.append(
            Item(row[name], value[1], f"row {number}", row[code] if code is not None else "", single, unit,
                 printed)
        )  # fmt: skip
    if stray:
        said = (
            f"only the first number was read in {', '.join(stray[:5])}: columns of results need their dates"
        )
        sheet.notes.append(Finding("stray-column", Level.CAUTION, said))


def _item(
    row: list[str],
    text: str,
    where: str,
    name: int,
    code: int | None,
    kinds: dict[str, int],
    date: dt.date | None,
) -> Item:
    def cell(kind: str) -> str:
        return row[kinds[kind]] if kind in kinds else ""

    return Item(
        row[name], text, where, row[code] if code is not None else "", date, cell("unit"), cell("range")
    )


def _skip(row: list[str], name: int) -> bool:
    """Section lines, lines about the person, and lines without a name."""
    label = row[name]
    section = label[:1] in "【[<《■◆●○◎＜" and label[-1:] in "】]>》＞"
    person = holds(label, "aside") or any(holds(cell, "age", "sex") for cell in row[: name + 1])
    if not label or section or person:
        return True
    return holds(label, "date", "name") and not _known(label)


def _code_column(body: list[tuple[int, list[str]]], places: Any, name: int) -> int | None:
    found = {p: sum(bool(table().of_code(row[p])) for _, row in body) for p in places if p != name}
    best = max(found, key=lambda p: found[p], default=None)
    return best if best is not None and found[best] else None


def _single_date(rows: Rows) -> dt.date | None:
    """The date of a sheet of one visit, from a line such as "検査日,2024/5/18"."""
    for row in rows:
        place = next((p for p, cell in enumerate(row) if holds(cell, "date")), None)
        if place is not None:
            for cell in row[place + 1 :]:
                if looks_like_date(cell):
                    return parse_date(cell)
    return None
