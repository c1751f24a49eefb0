"""What a sheet says about the person, and the words by which columns and lines are known for what they hold.

Names and numbers of people are recognised so that they are never read; age, sex and date of birth are taken.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import yaml

from sciai.core.errors import BadInput
from sciai.core.resources import data_dir
from sciai.health.data.panels.analytes import fold, table
from sciai.health.data.panels.dates import looks_like_date, parse_date
from sciai.health.data.panels.numbers import parse_number
from sciai.health.data.panels.text import Rows

if TYPE_CHECKING:
    from sciai.health.data.panels.sheet import Sheet

__all__ = ["about_person", "apart", "holds", "is_number", "one_person"]


@functools.lru_cache(maxsize=1)
def _vocabulary() -> dict[str, frozenset[str]]:
    """Kind -> folded words; "unit", "value", ... for columns, "age", "sex", "birth", "aside" for lines."""
    with open(data_dir() / "health" / "sheet_words.yaml", encoding="utf-8") as file:
        raw = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    lists = {**raw["headers"], **{kind: raw[kind] for kind in ("age", "sex", "birth", "who", "aside")}}
    words = {kind: frozenset(fold(str(word)) for word in texts) for kind, texts in lists.items()}
    return {**words, "aside": words["aside"] | words["birth"] | words["who"]}


def holds(cell: str, *kinds: str) -> bool:
    """Whether a cell names a column or line of one of some kinds (see ``data/health/sheet_words.yaml``)."""
    key = fold(cell)
    return any(key in _vocabulary()[kind] for kind in kinds)


_FEMALE: Final = frozenset(("f", "female", "女", "女性"))
_SEXES: Final = _FEMALE | frozenset(("m", "male", "男", "男性"))
_PAIRS: Final = re.compile(r"([^\s:]+)\s*:\s*(\S+)")  # "性別: 男 年齢: 64歳" in one cell
_SAID: Final = re.compile(r"([^:]{1,40}?)\s*:\s*(\S.*)")


def apart(row: list[str]) -> list[str]:
    """ "Sex: F" or "年齢 64歳" as two cells, where the word is about the person, the date or the sheet."""
    cells: list[str] = []
    for cell in row:
        several = _PAIRS.findall(cell)
        if len(several) > 1 and any(holds(said, "age", "sex", "birth", "date") for said, _ in several):
            cells += [part for pair in several for part in pair]
            continue
        match, words = _SAID.fullmatch(cell), cell.split(maxsplit=1)
        if match and holds(match[1], "age", "sex", "aside", "date"):
            cells += match.groups()
        elif len(words) == 2 and (
            (holds(words[0], "age") and is_number(words[1]))
            or (holds(words[0], "sex") and fold(words[1]) in _SEXES)
            or (holds(words[0], "date", "birth") and looks_like_date(words[1]))
        ):
            cells += words
        else:
            cells.append(cell)
    return cells


def about_person(rows: Rows, sheet: Sheet) -> None:
    """Take age, sex and date of birth from lines such as "性別, 女"."""
    for head, row in itertools.pairwise(rows):
        if all(not cell or holds(cell, "age", "sex", "birth", "aside") for cell in head):
            # heads over one line about the person
            rows = [*rows, *([name, cell] for name, cell in zip(head, row, strict=True) if name and cell)]
    for row in rows:
        for place, cell in enumerate(row[:-1]):
            rest = next((cell for cell in row[place + 1 :] if cell), "")
            if holds(cell, "birth") and looks_like_date(rest):
                sheet.birth = parse_date(rest)
            elif holds(rest, "age", "sex", "birth", "who", "date", "name") or table().find(rest):
                continue  # the heads of columns, "age, sex, LDL", say nothing yet
            # at the head of a line anything is read, and refused if it is no age; further on only what fits
            elif place and not (is_number(rest) if holds(cell, "age") else fold(rest) in _SEXES):
                continue
            elif holds(cell, "age") and rest and not looks_like_date(rest):
                sheet.person["age"] = rest
            elif holds(cell, "sex") and rest:
                sheet.person["sex"] = rest


def _same(cell: str) -> object:
    """A date or a sex however it is written, else the words."""
    key = fold(cell)
    return parse_date(cell) if looks_like_date(cell) else key in _FEMALE if key in _SEXES else key


def one_person(head: Sequence[str], rows: Rows, file: object) -> None:
    """Lines of several people are no course of one. Whose they are is not repeated in the message."""
    for place, cell in enumerate(head):
        if holds(cell, "who", "birth", "sex"):
            people = {_same(row[place]) for row in rows if row[place]}
            if len(people) > 1:
                raise BadInput(
                    f"the column {cell!r} holds {len(people)} values: these are results of several people",
                    file=file,
                    field=cell,
                    fix="give the lines of one person; for many people use `sciai health predict`",
                )


def is_number(cell: str) -> bool:
    """Whether a cell holds a result: a number, with or without a bound, a unit or a flag."""
    if looks_like_date(cell):
        return False
    try:
        return parse_number(cell) is not None
    except BadInput:
        return False
