"""Words that people write for a column or a level: yes and no, sex, smoking, in English and Japanese."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Kind, Schema

__all__ = ["column_named", "level_of", "normal"]

_YES: Final = [
    "yes",
    "y",
    "true",
    "t",
    "1",
    "on",
    "present",
    "positive",
    "+",
    "はい",
    "有",
    "有り",
    "あり",
    "ある",
    "陽性",
    "服用中",
]
_NO: Final = [
    "no",
    "n",
    "false",
    "f",
    "0",
    "off",
    "absent",
    "negative",
    "none",
    "-",
    "いいえ",
    "無",
    "無し",
    "なし",
    "ない",
    "陰性",
]
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "sex": dict.fromkeys(["f", "female", "woman", "w", "girl", "女", "女性", "おんな"], "female")
    | dict.fromkeys(["m", "male", "man", "boy", "男", "男性", "おとこ"], "male"),
    "smoking": dict.fromkeys(
        ["never", "no", "non-smoker", "nonsmoker", "吸わない", "なし", "非喫煙", "吸ったことがない"], "never"
    )
    | dict.fromkeys(["former", "ex", "ex-smoker", "quit", "past", "やめた", "禁煙", "過去に喫煙"], "former")
    | dict.fromkeys(["current", "yes", "smoker", "now", "吸う", "あり", "喫煙", "現在喫煙"], "current"),
}


def normal(text: str) -> str:
    """A word without case, width and surrounding space.

    >>> normal(" ＨｂＡ１ｃ ")
    'hba1c'
    """
    return unicodedata.normalize("NFKC", text).strip().casefold()


def level_of(column: Column, text: str) -> float:
    """The number of the level that a word means.

    Args:
        column: a yes/no, ordinal or categorical column.
        text: a code, the name of a level, or a common word for it.

    Raises:
        BadInput: when it means none of them; lists what there is.

    >>> from sciai.health.data.columns import default_schema
    >>> level_of(default_schema()["sex"], "男性"), level_of(default_schema()["rx_bp"], "あり")
    (1.0, 1.0)
    """
    word = normal(text)
    known = {normal(name): number for number, name in enumerate(column.levels)}
    known |= {normal(str(code)): number for number, code in enumerate(column.codes)}
    own = _WORDS.get(column.name, {})
    if word in own and normal(own[word]) in known:
        return float(known[normal(own[word])])
    if word in known:
        return float(known[word])
    if column.kind is Kind.BINARY and {"yes", "no"} <= known.keys():
        if word in _YES:
            return float(known["yes"])
        if word in _NO:
            return float(known["no"])
    near = difflib.get_close_matches(word, known, 1, 0.6)
    there = ", ".join(dict.fromkeys((*column.levels, *map(str, column.codes))))
    hint = f"did you mean {column.levels[known[near[0]]]}? " if near else ""
    raise BadInput(f"{text!r} is not one of its levels", field=column.name, fix=f"{hint}use one of {there}")


def column_named(schema: Schema, text: str) -> str:
    """The name of the free or calculated column that a text means.

    Args:
        schema: the columns.
        text: its name, its English or Japanese label, or a common name of the test, in any case and width.

    Raises:
        BadInput: when there is none; with the closest names, or why it is left out.

    >>> from sciai.health.data.columns import default_schema
    >>> [column_named(default_schema(), name) for name in ("尿酸", "BMI", "γ-GTP")]
    ['uric_acid', 'bmi', 'ggt']
    """
    if not isinstance(text, str):
        raise BadInput(f"{text!r} is no name of a column", field="column", fix="name one, such as 'egfr'")
    if text in schema or any(text == derived.name for derived in schema.derived):
        return text
    names = _names(schema)
    found = names.get(normal(text)) or names.get(normal(text).replace(" ", "_").replace("-", "_"))
    if found:
        return found
    if text in schema.left_out:
        raise BadInput(f"{text} is not modelled: {schema.left_out[text]}", field=text, fix="leave it out")
    from sciai.health.data.panels.analytes import table  # a table of tests, read only for names that are none

    tests = table().find(text)
    columns = sorted({test.column for test in tests if test.column is not None})
    if len(columns) == 1 and columns[0] in names.values():
        return columns[0]
    if tests and not columns:
        why = f" ({tests[0].note})" if tests[0].note else ""
        raise BadInput(f"{tests[0].en} is not modelled{why}", field=text, fix="leave it out")
    near = difflib.get_close_matches(normal(text), names, 3, 0.6)
    meant = ", ".join(dict.fromkeys(names[name] for name in near))
    raise BadInput(
        f"there is no column {text!r}",
        field=text,
        fix=f"did you mean {meant}?"
        if meant
        else "`sciai health columns` lists what there is (VirtualHuman.columns)",
    )


@lru_cache(maxsize=8)
def _table(names: tuple[tuple[str, str, str], ...]) -> dict[str, str]:
    table: dict[str, str] = {}
    for place in (2, 1, 0):  # a name beats a label that reads the same
        for row in names:
            if row[place]:
                table[normal(row[place])] = row[0]
    return table


def _names(schema: Schema) -> dict[str, str]:
    free = [(c.name, c.label_en, c.label_ja) for c in schema.columns]
    derived = [(d.name, d.label_en, d.label_ja) for d in schema.derived]
    return _table((*free, *derived))
