"""What a table of one's own must keep to, because answers rely on it: said before training, not after.

Ages are years, the first sex is the female one, yes comes after no, what is calculated has its inputs in the
units of the formula, numbers are possible ones, weights are numbers, and nobody is in two parts of the split.
A table that breaks one of these would train, and answer wrongly.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Schema, default_schema
from sciai.health.data.panels.person import parse_sex

__all__ = ["agreed"]

_YES: Final = frozenset(("yes", "true", "1", "y", "positive", "present", "あり", "有", "はい", "陽性"))
_NO: Final = frozenset(("no", "false", "0", "n", "negative", "absent", "なし", "無", "いいえ", "陰性"))
_ODD: Final = 0.001  # share of a column's numbers that may lie outside of its limits: real tables have a few


def agreed(people: Any) -> Any:
    """The people, where their table and schema keep to what answers rely on.

    Args:
        people: ``sciai.health.data.tables.People`` or like it.

    Returns:
        The same.

    Raises:
        BadInput: naming the column and what to write instead.
    """
    _columns(people.schema)
    _calculated(people.schema)
    _limits(people)
    weights = np.asarray(getattr(people, "weights", 1.0), float)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise BadInput(
            "the weight of some people is missing, negative or no number",
            field="weight",
            fix="fill in the weights or leave those people out; weight: null weighs all equally",
        )
    _one_part(people)
    return people


def _columns(schema: Schema) -> None:
    for column in schema.columns:
        if column.name == "age":
            _age(column)
        elif column.name == "sex":
            _sex(column)
        elif len(column.levels) == 2 and _word(column, 0) in _YES and _word(column, 1) in _NO:
            raise BadInput(
                f"{column.name} has yes before no, and the probability that is told is the second level's",
                field=column.name,
                fix=f"write codes: [{column.codes[1]}, {column.codes[0]}], and levels in that order",
            )


def _calculated(schema: Schema) -> None:
    for derived in schema.derived:
        for name in derived.inputs:
            if name not in schema:
                problem, fix = f"{derived.name} is calculated from {name}, which is no column", "leave it out"
                raise BadInput(problem, field=derived.name, fix=f"{fix} of `derived`, or add {name}")
            unit = default_schema()[name].unit
            if schema[name].unit != unit:
                raise BadInput(
                    f"{derived.name} is calculated from {name} in {unit}, and the column is in "
                    f"{schema[name].unit}",
                    field=derived.name,
                    unit=schema[name].unit,
                    fix=f"leave {derived.name} out of `derived`, or convert {name}",
                )


def _limits(people: Any) -> None:
    """Codes for "refused" (777) and another unit lie outside of the limits of a schema that gives some."""
    for i, column in enumerate(people.schema.columns):
        if not column.numeric:
            continue
        own = people.values[:, i]
        out = np.flatnonzero((own < column.low) | (own > column.high))
        if len(out) > _ODD * np.isfinite(own).sum():
            several = "value lies" if len(out) == 1 else "values lie"
            raise BadInput(
                f"{len(out)} {several} outside of the column's limits, {column.low:g} to {column.high:g}: "
                f"the first is {own[out[0]]:g}, of person {out[0]} (from 0)",
                field=column.name,
                unit=column.unit,
                fix="leave codes for 'unknown' (777, 999) empty, correct the unit, or widen low and high",
            )


def _one_part(people: Any) -> None:
    """Rows of one person in different groups would be learned from and judged on."""
    tables = getattr(people, "provenance", {}).get("tables") or ()
    start = 0
    for table in tables:
        rows = slice(start, start + int(table["people"]))
        start = rows.stop
        whose: dict[Any, str] = {}
        for person, group in zip(people.ids[rows].tolist(), people.groups[rows], strict=True):
            if whose.setdefault(person, group) != group:
                raise BadInput(
                    f"{table['file']} has rows of one person ({person}) in different groups: they would be "
                    "in what is learned from and in what it is judged by",
                    field="domain.data.dataset.tables",
                    fix="give the column that numbers people as group_by, e.g. group_by: [id]",
                )


def _word(column: Column, level: int) -> str:
    return str(column.levels[level]).strip().casefold()


def _age(column: Column) -> None:
    if not column.numeric or column.unit not in ("a", "years", "year"):
        raise BadInput(
            f"age is a {column.kind} column in {column.unit!r}, and is read as a number of years",
            field="age",
            fix="give numbers with unit: a, or call the column something else (age_group)",
        )


def _sex(column: Column) -> None:
    found = []
    for level, code in zip(column.levels[:2], column.codes[:2], strict=True):
        try:
            found.append(parse_sex(level))
        except BadInput:
            try:
                found.append(parse_sex(code))
            except BadInput:
                found.append("?")
    if found != ["F", "M"]:
        raise BadInput(
            f"sex has the levels {', '.join(map(str, column.levels)) or 'of a number'}; answers take the "
            "first as female and the second as male",
            field="sex",
            fix="write levels: [female, male], and codes in that order",
        )
