"""Dates as sheets write them, Japanese eras included."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from sciai.core.errors import BadInput

__all__ = ["bare_date", "day_first", "is_month", "looks_like_date", "parse_date", "year_first"]

_ERAS: Final = {
    **dict.fromkeys(("m", "明治", "明"), 1867),
    **dict.fromkeys(("t", "大正", "大"), 1911),
    **dict.fromkeys(("s", "昭和", "昭"), 1925),
    **dict.fromkeys(("h", "平成", "平"), 1988),
    **dict.fromkeys(("r", "令和", "令"), 2018),
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME: Final = r"(?:[t\s]+\d{1,2}[:時]\d{1,2}.*)?"
_YEAR_FIRST: Final = re.compile(rf"(\d{{4}})[-/.年]\s*(\d{{1,2}})[-/.月]\s*(\d{{1,2}})日?{_TIME}")
_ERA: Final = re.compile(
    rf"(m|t|s|h|r|明治?|大正?|昭和?|平成?|令和?)\s*(元|\d{{1,2}})[-/.年]\s*(\d{{1,2}})[-/.月]\s*(\d{{1,2}})日?{_TIME}"
)
_YEAR_LAST: Final = re.compile(rf"(\d{{1,2}})[-/.](\d{{1,2}})[-/.](\d{{4}}){_TIME}")
_WORDS: Final = re.compile(
    rf"(?:(\d{{1,2}})[\s-]*)?([a-z]{{3,9}})\.?[\s-]*(?:(\d{{1,2}}),?\s+)?(\d{{4}}){_TIME}"
)
_MONTH: Final = re.compile(
    r"(?P<year>(?:19|20)\d{2})(?:-(?=\d{2}$)|年\s*)(?P<month>\d{1,2})月?(?:分)?"
    r"|(?P<era>明治|大正|昭和|平成|令和)\s*(?P<of>元|\d{1,2})年\s*(?P<in>\d{1,2})月(?:分)?"
)
_DIGITS: Final = re.compile(r"((?:19|20)\d{2})([01]\d)([0-3]\d)")
_SHORT: Final = re.compile(r"'?\d{1,2}([-/.])\d{1,2}\1\d{1,2}")


def looks_like_date(text: str) -> bool:
    """Whether a cell holds a date in any of the ways that `parse_date` reads.

    >>> looks_like_date("2023/8/12"), looks_like_date("13-30"), looks_like_date("Mon")
    (True, False, False)
    """
    plain = _plain(text)
    return any(p.fullmatch(plain) for p in (_YEAR_FIRST, _ERA, _YEAR_LAST, _DIGITS, _SHORT)) or bool(
        is_month(text) or ((match := _WORDS.fullmatch(plain)) and match[2][:3] in _MONTHS)
    )


def is_month(text: str) -> bool:
    """Whether a cell is a date without a day, which is read as the first of the month.

    >>> is_month("2024年1月"), is_month("2024-01"), is_month("May 2024"), is_month("2024-01-05")
    (True, True, True, False)
    """
    plain = _plain(text)
    match = _WORDS.fullmatch(plain)
    words = match is not None and match[2][:3] in _MONTHS and not (match[1] or match[3])
    return words or _MONTH.fullmatch(plain) is not None


def parse_date(text: str, where: str = "") -> dt.date:
    """Read a date.

    Args:
        text: 2023/8/12, 2023-08-12T09:00, 2023年8月12日, R5.8.12, 令和5年8月12日, 20230812, 12 Aug 2023.
        where: row or column, for the message.

    Raises:
        BadInput: no date, a day that does not exist, or one where day and month cannot be told apart.

    >>> parse_date("令和5年8月12日"), parse_date("Aug 12, 2023"), parse_date("25/12/2023")
    (datetime.date(2023, 8, 12), datetime.date(2023, 8, 12), datetime.date(2023, 12, 25))
    """
    plain = _plain(text)
    fix = "write dates as 2023-08-12"
    if match := _YEAR_FIRST.fullmatch(plain) or _DIGITS.fullmatch(plain):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
    elif match := _ERA.fullmatch(plain):
        year = _ERAS[match[1]] + (1 if match[2] == "元" else int(match[2]))
        month, day = int(match[3]), int(match[4])
    elif match := _MONTH.fullmatch(plain):
        of = 1 if match["of"] == "元" else int(match["of"] or 0)
        year, day = int(match["year"]) if match["year"] else _ERAS[match["era"]] + of, 1
        month = int(match["month"] or match["in"])
    elif match := _YEAR_LAST.fullmatch(plain):
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        if first <= 12 and second <= 12 and first != second:
            problem = f"{text!r} may be the {first}. day of month {second} or the {second}. of month {first}"
            raise BadInput(problem, field=where or "date", fix=fix)
        month, day = (second, first) if first > 12 else (first, second)
    elif (match := _WORDS.fullmatch(plain)) and match[2][:3] in _MONTHS:
        year, month, day = int(match[4]), _MONTHS.index(match[2][:3]) + 1, int(match[1] or match[3] or 1)
    elif _SHORT.fullmatch(plain):
        raise BadInput(f"{text!r} has a year of two digits", field=where or "date", fix=fix)
    else:
        raise BadInput(f"{text!r} is not a date", field=where or "date", fix=fix)
    try:
        return dt.date(year, month, day)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a day that exists", field=where or "date", fix=fix) from error


def bare_date(text: str) -> str:
    """A date without the words around it, as sheets head their columns; any other text as it is.

    >>> bare_date("今回 2024/05/10"), bare_date("Result (12 Aug 2023)"), bare_date("LDL (mg/dL)")
    ('2024/05/10', '12 Aug 2023', 'LDL (mg/dL)')
    """
    if looks_like_date(text):
        return text
    plain = unicodedata.normalize("NFKC", text)
    for marks in (r"[()\[\]【】:]", r"[()\[\]【】:\s]"):
        found = [part.strip() for part in re.split(marks, plain) if looks_like_date(part)]
        if len(found) == 1:
            return found[0]
    return text


def day_first(texts: Iterable[str]) -> bool | None:
    """Whether day stands before month where the year is last; None where no date shows it, or they disagree.

    >>> day_first(["1/2/2024", "5/28/2024"]), day_first(["01.02.2024", "15.08.2024"]), day_first(["1/2/2024"])
    (False, True, None)
    """
    found = set()
    for text in texts:
        match = _YEAR_LAST.fullmatch(_plain(text))
        if match and (int(match[1]) > 12) != (int(match[2]) > 12):
            found.add(int(match[1]) > 12)
    return found.pop() if len(found) == 1 else None


def year_first(text: str, day_before_month: bool) -> str:
    """A date with the year last as 2024-08-15; any other text as it is.

    >>> year_first("01/02/2024", True), year_first("LDL", True)
    ('2024-02-01', 'LDL')
    """
    match = _YEAR_LAST.fullmatch(_plain(text))
    if match is None:
        return text
    day, month = (match[1], match[2]) if day_before_month else (match[2], match[1])
    return f"{match[3]}-{int(month):02d}-{int(day):02d}"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()
