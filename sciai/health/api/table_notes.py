"""What is found in a whole table: impossible values, values that contradict each other, columns of no use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level, jsonable
from sciai.core.errors import BadInput
from sciai.health.api.constraints import apart
from sciai.health.data.columns import Column, Derived, Schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Notes", "at_odds", "attach", "checked", "found_in", "possible", "too_young"]

Floats = npt.NDArray[np.float64]
_LOOKED_AT: Final = (0.01, 0.05, 0.5, 0.95, 0.99)
_PARTS: Final = (("hdl", "chol_total"), ("albumin", "protein_total"), ("dbp", "sbp"))


@dataclass
class Notes:
    """What was found in a table, counted over its chunks: one finding for each column and check."""

    fixed: list[Finding] = field(default_factory=list)
    counted: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def count(self, check: str, column: str, rows: npt.NDArray[np.intp], start: int, message: str) -> None:
        """Rows of a chunk that share a finding; ``message`` is of the first of them."""
        if len(rows):
            entry = self.counted.setdefault((check, column), [0, start + int(rows[0]), message])
            entry[0] += len(rows)

    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        more = []
        for (check, column), (count, first, message) in self.counted.items():
            level = Level.OK if check in ("era", "expected") else Level.CAUTION
            rows = f"{count} row" + ("" if count == 1 else f"s, the first is {first}")
            more.append(Finding(check, level, f"{message} ({rows})", column))
        return (*self.fixed, *more)


def attach(findings: Iterable[Finding], table: pd.DataFrame | pd.Series) -> None:
    """Keep what was found with a table that answers another, as plain values: files can hold them, too."""
    table.attrs.pop("reading", None)
    table.attrs["findings"] = jsonable(list(findings))


def found_in(table: Any, key: str = "findings") -> list[Finding]:
    """What was kept with a table."""
    kept = getattr(table, "attrs", {}).get(key, ())
    return [Finding(f["check"], Level.parse(f["level"]), f["message"], f["where"]) for f in kept]


def too_young(
    schema: Schema,
    part: pd.DataFrame,
    youngest: float,
    start: int,
    notes: Notes,
    so: str = "so nothing is told",
) -> npt.NDArray[np.intp]:
    """Rows of people who are too young to be answered for; ``so`` says what that does to them."""
    if "age" not in schema or "age" not in part:
        return np.empty(0, int)
    young = np.flatnonzero(schema["age"].encode(part["age"]) < youngest)
    message = f"under {youngest:g} years nobody was learned from, {so}"
    notes.count("age", "age", young, start, message)
    return young


def possible(schema: Schema, stated: Mapping[str, Floats], rows: Floats, start: int, notes: Notes) -> None:
    """Negative numbers are errors; impossible ones count as unknown, and are said to.

    Args:
        schema: the columns.
        stated: calculated quantities as the table gives them, shape (n,) each; changed.
        rows: the same people as the model sees them; changed.
        start: number of the first row.
        notes: where it is said.

    Raises:
        BadInput: a negative number of what has none.
    """
    for i, column in enumerate(schema.columns):
        if column.numeric and column.low >= 0:
            bad = np.flatnonzero(rows[:, i] < 0)
            if len(bad):
                raise BadInput(
                    f"row {start + int(bad[0])}: {column.name} is {rows[bad[0], i]:g}",
                    field=column.name,
                    unit="years" if column.unit == "a" else column.unit,
                    fix="it cannot be negative",
                )
    limited: list[tuple[Column | Derived, Floats]] = []
    limited += [(c, rows[:, i]) for i, c in enumerate(schema.columns) if c.name not in ("age", "w_mec")]
    limited += [(d, stated[d.name]) for d in schema.derived if d.name in stated]
    for about, own in limited:
        with np.errstate(invalid="ignore"):
            out = np.flatnonzero((own < about.low) | (own > about.high))
        if len(out):
            message = (
                f"{about.name}: {own[out[0]]:g} {about.unit} is not possible ({about.low:g} to "
                f"{about.high:g}); it counts as unknown: check its unit"
            )
            notes.count("implausible", about.name, out, start, message)
            own[out] = np.nan


def at_odds(schema: Schema, stated: Mapping[str, Floats], rows: Floats, start: int, notes: Notes) -> None:
    """Values that cannot be together: a calculated one beside what it follows from, a part beside its whole.

    Args:
        schema: the columns.
        stated: calculated quantities as the table gives them, shape (n,) each.
        rows: the same people as the model sees them.
        start: number of the first row.
        notes: where it is said.
    """
    for derived in (d for d in schema.derived if d.name in stated):
        wanted = stated[derived.name]
        with np.errstate(invalid="ignore", divide="ignore"):
            own = derived.compute({n: rows[:, schema.index(n)] for n in derived.inputs})
            far = np.abs(own - wanted) > apart(derived.name)[1] * np.maximum(np.abs(own), 1e-9)
        if len(bad := np.flatnonzero(far)):
            both = f"{wanted[bad[0]]:g} was given, {', '.join(derived.inputs)} make {own[bad[0]]:.4g}"
            message = f"{derived.name}: {both}; the calculated one is used"
            notes.count("contradiction", derived.name, bad, start, message)
    for some, whole in _PARTS:
        if some in schema and whole in schema:
            a, b = rows[:, schema.index(some)], rows[:, schema.index(whole)]
            with np.errstate(invalid="ignore"):
                bad = np.flatnonzero(a >= b)
            if len(bad):
                message = (
                    f"{some} {a[bad[0]]:g} is not below {whole} {b[bad[0]]:g}: do not rely on these rows"
                )
                notes.count("contradiction", some, bad, start, message)


def checked(schema: Schema, table: pd.DataFrame, target: str | None) -> list[Finding]:
    """What is told of a table before any row is read.

    Args:
        schema: the columns.
        table: the people.
        target: the column that is asked for; None for none.

    Raises:
        BadInput: no table, a column named twice, or none that the model knows.
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise BadInput(f"a {type(table).__name__} is no table", field="table", fix="give a DataFrame")
    names = [str(c) for c in table.columns]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadInput(f"columns named twice: {', '.join(twice)}", field="table", fix="keep one of each")
    derived = {d.name for d in schema.derived}
    known = [n for n in names if n in schema or n in derived]
    if not [n for n in known if n != target]:
        near = [f"{n} as {m}" for n in names if n not in known and (m := _meant(schema, n))]
        some = f"name {', '.join(near[:6])}; " if near else ""
        raise BadInput(
            "the table has no column that the model knows",
            field="table",
            fix=f"{some}`sciai health columns` lists what it knows: {', '.join(schema.names[:6])} ...",
        )
    findings = found_in(table, "reading")
    ignored = [n for n in names if n not in known]
    if ignored:
        shown = ", ".join(ignored[:8]) + (f" and {len(ignored) - 8} more" if len(ignored) > 8 else "")
        findings.append(Finding("ignored", Level.OK, f"columns that are not modelled are ignored: {shown}"))
    if meant := {n: m for n in ignored if (m := _meant(schema, n)) and m not in names}:
        pairs = ", ".join(f"{m} ({n})" for n, m in list(meant.items())[:8])
        message = f"rename columns so that they are used, in the model's units: {pairs}"
        findings.append(Finding("misnamed", Level.CAUTION, message))
    if target is not None and target in names:
        message = f"the table's own {target} is not used, nor what is calculated from it"
        findings.append(Finding("target_given", Level.OK, message, target))
    return [*findings, *_other_units(schema, table, [n for n in known if n != target])]


def _other_units(schema: Schema, table: pd.DataFrame, names: Iterable[str]) -> Iterable[Finding]:
    """Columns some of whose values look like those of another unit (a BUN of 5: mmol/L?).

    Values at a few quantiles are looked at as those of one person are. At these, none of the columns of
    NHANES is doubted.
    """
    import pandas as pd

    from sciai.health.api.own_units import quantity_of, test_of

    for name in names:
        column = schema[name] if name in schema else schema.derived_named(name)
        test = test_of(column)
        values = pd.to_numeric(table[name], errors="coerce").dropna().to_numpy(float)
        if test is None or not len(values):
            continue
        for value in np.unique(np.quantile(values, _LOOKED_AT, method="nearest")):
            said = [f for f in quantity_of(column, test, float(value))[1] if f.check == "unit-suspicion"]
            if said:
                asked = said[0].message.removesuffix(" It was used as written")
                used = f"Values within {column.low:g} to {column.high:g} were used as written"
                message = f"{name} may hold another unit: {asked} {used}"
                yield Finding("unit-suspicion", Level.CAUTION, message, name)
                break


def _meant(schema: Schema, name: str) -> str | None:
    """The column that a name nearly says, or that is the test of that name; None where there is none."""
    from sciai.health.data.panels.analytes import fold, table

    derived = {d.name for d in schema.derived}
    said = {fold(n): n for n in (*schema.names, *derived)}
    said |= {fold(t): c.name for c in schema.columns for t in (c.label_en, c.label_ja) if t}
    if fold(name) in said:
        return said[fold(name)]
    own = [a.column for a in table().find(name) if a.column and (a.column in schema or a.column in derived)]
    return own[0] if own else None
