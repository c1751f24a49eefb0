"""Age and sex of the person whose sheet it is, at the date of a visit."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import Final

from sciai.core.errors import BadInput
from sciai.health.data.panels.analytes import fold
from sciai.health.data.panels.numbers import parse_number
from sciai.health.data.panels.sheet import Sheet

__all__ = ["parse_sex", "person_on"]

_SEXES: Final = {
    **dict.fromkeys(("f", "female", "woman", "w", "女", "女性", "2"), "F"),
    **dict.fromkeys(("m", "male", "man", "男", "男性", "1"), "M"),
}
_OLDEST: Final = 120
# the age of a child; 60代 are the years from 60 to 69
_NO_YEARS: Final = re.compile(r"(mo|w|d|[ヶケか箇カヵ]?月|週|日|代)", re.IGNORECASE)
_UNSAID: Final = frozenset(("", "unknown", "u", "other", "不明", "未記入", "その他", "na", "n/a", "?"))


def parse_sex(text: object, where: str = "sex") -> str:
    """ "F" or "M" from the ways people write it.

    Raises:
        BadInput: for anything else; the survey that the model learned from knows these two.

    >>> parse_sex("男性"), parse_sex("female")
    ('M', 'F')
    """
    found = _SEXES.get(unicodedata.normalize("NFKC", str(text)).strip().casefold())
    if found is None:
        raise BadInput(
            f"unknown sex {text!r}", field=where, fix="use male or female (男, 女): the survey has these two"
        )
    return found


def person_on(sheet: Sheet, date: dt.date | None, last: dt.date | None, name: object) -> dict[str, object]:
    """What the sheet says of the person: "age" on that day in years, "sex" ("F" or "M").

    Args:
        sheet: its person, ages and day of birth.
        date: of the visit; None where the sheet gives none.
        last: of the last visit, to which an age belongs that the sheet states once.
        name: of the sheet, for messages.

    Raises:
        BadInput: on an age that is none, or an unknown sex.
    """
    person: dict[str, object] = {}
    age = _age_on(sheet, date, last, name)
    if age is not None:
        person["age"] = age
    sex = sheet.person.get("sex")
    if sex is not None and fold(str(sex)) not in _UNSAID:
        try:
            person["sex"] = parse_sex(sex)
        except BadInput as error:
            raise BadInput(error.problem, file=name, field=error.field, fix=error.fix) from None
    return person


def _age_on(sheet: Sheet, date: dt.date | None, last: dt.date | None, name: object) -> float | None:
    if date in sheet.ages:
        return _age(sheet.ages[date], name)
    stated = sheet.person.get("age")
    if stated is not None:
        return _age(stated, name) - (_years(last, date) if last and date else 0)
    if date is None:
        return None
    if sheet.birth is not None:
        had = (date.month, date.day) >= (sheet.birth.month, sheet.birth.day)
        years = date.year - sheet.birth.year - (not had)
        if not 0 <= years <= _OLDEST:
            problem = f"the date of birth makes the person {years} years old on {date}"
            raise BadInput(problem, file=name, field="date of birth", unit="years", fix="correct either date")
        return float(years)
    if sheet.ages:
        # a line without an age: as much older or younger as the visit is later or earlier
        near = min(sheet.ages, key=lambda day: abs(day - date))
        return _age(sheet.ages[near], name) + _years(date, near)
    return None


def _years(later: dt.date, earlier: dt.date) -> int:
    return round((later - earlier).days / 365.25)


def _age(text: object, name: object) -> float:
    plain = re.sub(r"(歳|才|years?|yrs?|y)$", "", str(text).strip(), flags=re.IGNORECASE)
    try:
        number = parse_number(plain)
    except BadInput:
        number = None
    if number is None or not 0 <= number.value <= _OLDEST or _NO_YEARS.match(number.unit):
        raise BadInput(
            f"{text!r} is not an age", file=name, field="age", unit="years", fix="give whole years"
        )
    return number.value
