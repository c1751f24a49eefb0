"""One visit: what was measured on a date, in the units of the model's columns, and what could not be used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from sciai.core.answer import Finding, Level

__all__ = ["Item", "Panel", "Reading", "Unknown"]


@dataclass(frozen=True)
class Item:
    """One cell of a sheet before it is understood.

    Attributes:
        label: name of the test as written.
        text: the value as written.
        where: place in the source, such as "row 12".
        code: LOINC or JLAC10 code; "" for none.
        date: day of the visit, None where the source gives none.
        unit: as written; "" for none.
        range: reference range as written; "" for none.
    """

    label: str
    text: str | float
    where: str
    code: str = ""
    date: dt.date | None = None
    unit: str = ""
    range: str = ""


@dataclass(frozen=True)
class Reading:
    """One test that was recognised.

    Attributes:
        analyte: key in the table of tests.
        column: column of the model; None where the model does not know the test.
        label: name as written on the sheet.
        value: in ``unit``; None where only words were given ("(-)").
        unit: UCUM unit of the column.
        written: the value as written, with its unit.
        range: the sheet's own reference range in ``unit``; either end may be None.
        used: whether `Panel.values` holds it.
        why: why it is not used; "" where it is.
        findings: what reading it brought up.
        where: place in the source.
        bound: "<" or ">" where the laboratory gives only a limit; ``value`` is what it was taken as.
    """

    analyte: str
    column: str | None
    label: str
    value: float | None
    unit: str
    written: str
    range: tuple[float | None, float | None] = (None, None)
    used: bool = True
    why: str = ""
    findings: tuple[Finding, ...] = ()
    where: str = ""
    bound: str = ""


@dataclass(frozen=True)
class Unknown:
    """A line that names no test we know. Words in it are not kept: they may be about a person."""

    label: str
    value: float | None
    where: str


@dataclass(frozen=True)
class Panel:
    """One visit.

    Attributes:
        date: day of the visit; None where the source gives none.
        readings: tests that were recognised, in the order of the sheet.
        unknown: lines that were not.
        person: "age" (years) and "sex" ("F", "M") where the sheet states them; never a name or a number.
        notes: findings about the sheet as a whole.
        source: name of the file, or of the kind of source.
    """

    date: dt.date | None
    readings: tuple[Reading, ...]
    unknown: tuple[Unknown, ...] = ()
    person: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()
    source: str = ""

    @property
    def values(self) -> dict[str, float]:
        """Column of the model -> value in the column's unit; only what can be used."""
        return {r.column: r.value for r in self.readings if r.used and r.column and r.value is not None}

    @property
    def units(self) -> dict[str, str]:
        """Column -> UCUM unit of `values`."""
        return {r.column: r.unit for r in self.readings if r.used and r.column}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was noticed. A value that cannot be used is a caution here: the rest still can."""
        found = list(self.notes)
        for reading in self.readings:
            refused = any(f.level == Level.REFUSE for f in reading.findings)
            # of a value that is refused only why, not what would have been done with it
            for finding in (f for f in reading.findings if not refused or f.level == Level.REFUSE):
                if finding.level == Level.REFUSE:
                    said = f"{finding.message}; not used ({reading.where})"
                    # what is impossible refuses an answer that would use it; here it is not used
                    check = "set-aside" if finding.check == "implausible" else finding.check
                    finding = Finding(check, Level.CAUTION, said, finding.where)
                found.append(finding)
        not_modelled = [r.label for r in self.readings if r.column is None]
        if not_modelled:
            said = f"the model does not know {_listed(not_modelled)}: not used"
            found.append(Finding("not-modelled", Level.OK, said))
        if self.unknown:
            said = f"not recognised, not used: {_listed([u.label for u in self.unknown])}"
            found.append(Finding("unknown-test", Level.CAUTION, said))
        return tuple(found)


def _listed(names: list[str], most: int = 8) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
