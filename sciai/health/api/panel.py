"""From a laboratory sheet to a person one can ask about."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sciai.core.answer import Answer, Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.distribution import HealthAnswer
from sciai.health.api.own_units import reading_in
from sciai.health.data.panels.panel import Panel

if TYPE_CHECKING:
    from sciai.health.api.person import Person
    from sciai.health.data.columns import Column, Derived, Schema

__all__ = ["fitted", "latest", "person_at", "person_of", "with_findings"]

_YEARS_OFF: Final = 2  # between the age on a sheet and the one that was given, that are worth a word


def latest(panels: Sequence[Panel], date: str | dt.date | None = None) -> Panel:
    """One panel of several: that of a date, else the last one that has values.

    Args:
        panels: in order of time, as `read_panels` gives them.
        date: the wanted day; None for the last.

    Raises:
        BadInput: no panels, or none of that day; it names those that there are.
    """
    if not panels:
        raise BadInput("no panel", field="panels", fix="give a sheet with at least one test")
    if date is None:
        filled = [k for k, panel in enumerate(panels) if panel.values]
        last = filled[-1] if filled else len(panels) - 1
        return _alone(_pending(panels[last], panels[last + 1 :]), panels)
    from sciai.health.data.panels.dates import parse_date

    wanted = parse_date(date) if isinstance(date, str) else date
    for panel in panels:
        if panel.date == wanted:
            return _alone(panel, panels)
    there = ", ".join(str(panel.date) for panel in panels)
    raise BadInput(f"no panel of {wanted}", field="date", fix=f"there are {there}")


def _pending(panel: Panel, later: Sequence[Panel]) -> Panel:
    """The last panel with values; later ones, of which results are still awaited, are said to have none."""
    if not later:
        return panel
    days = ", ".join(str(empty.date) for empty in later)
    said = f"no values of {days} could be used: the answer is of {panel.date}"
    return dataclasses.replace(panel, notes=(*panel.notes, Finding("other-date", Level.CAUTION, said)))


def _alone(panel: Panel, panels: Sequence[Panel]) -> Panel:
    """One panel of several; what only the others hold is said to be left out."""
    others = dict.fromkeys(name for other in panels for name in other.values if name not in panel.values)
    if not others:
        return panel
    names = ", ".join(list(others)[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "")
    said = f"{names}: measured on another date only, so not used for {panel.date}; `timeline` takes all dates"
    return dataclasses.replace(panel, notes=(*panel.notes, Finding("other-date", Level.OK, said)))


def fitted(panel: Panel, schema: Schema) -> Panel:
    """The panel as a model sees it: readings of columns that it lacks are set aside, and said to be."""
    there: dict[str, Column | Derived] = {c.name: c for c in schema.columns}
    there |= {d.name: d for d in schema.derived}
    why = "this model was trained without it"
    readings = tuple(
        r if not r.column else reading_in(there[r.column], r) if r.column in there
        else dataclasses.replace(r, column=None, used=False, why=why)
        for r in panel.readings
    )  # fmt: skip
    return dataclasses.replace(panel, readings=readings)


def person_at(person: Person, panel: Panel, last: dt.date | None = None) -> Person:
    """The person with the values of a panel.

    Args:
        person: what is known otherwise (age, sex, drugs); it wins over what the sheet says.
        panel: the values; those that the model has no column for are left out.
        last: the day to which the person's age belongs; on earlier days they were younger. None: that of
            the panel.
    """
    schema, given_now = person.schema, person.known.given
    known: dict[str, Any] = {k: v for k, v in panel.person.items() if k in schema and k not in given_now}
    age = given_now.get("age")
    if age is not None and last is not None and panel.date is not None:
        known["age"] = age - round((last - panel.date).days / 365.25)
    given = {name for name in person.known.given if name != "age"}
    values = {name: value for name, value in fitted(panel, person.schema).values.items() if name not in given}
    told = person.given(known | values)
    if last is not None and panel.date != last:
        return told
    odd = tuple(_at_odds(told, panel))
    known_now = dataclasses.replace(told.known, findings=(*told.known.findings, *odd))
    return type(person)(person.human, known_now) if odd else told


def _at_odds(person: Person, panel: Panel) -> Iterator[Finding]:
    """Where the sheet says another age, sex or value than is used: it may be somebody else's."""
    schema, used = person.schema, person.known.value("sex") if "sex" in person.schema else None
    sex, age = panel.person.get("sex"), panel.person.get("age")
    if used is not None and sex is not None and schema["sex"].codes[int(used)] != sex:
        other = schema["sex"].levels[schema["sex"].codes.index(sex)]
        said = f"the sheet is of a {other} person, but {person.known.shown('sex')} was given and is used"
        yield Finding("another-person", Level.CAUTION, f"{said}: is it the right sheet?", "sex")
    now = person.known.given.get("age")
    if isinstance(age, float) and now is not None and abs(age - now) >= _YEARS_OFF:
        said = f"the sheet says age {age:g}, but {now:g} was given and is used"
        yield Finding("another-person", Level.CAUTION, f"{said}: is it the right sheet?", "age")
    for name, value in fitted(panel, schema).values.items():
        if not math.isclose(value, own := person.known.given.get(name, value), rel_tol=1e-3):
            said = f"the sheet says {name} {value:.4g}, but {own:.4g} was given and is used"
            yield Finding("another-value", Level.CAUTION, f"{said}: leave one of them out", name)


def person_of(person: Person, panel: Panel) -> Person:
    """The person with the values of a panel, and with what was found on it: guards and ledger see both.

    Args:
        person: what is known otherwise; it wins over what the sheet says of the person.
        panel: the values.
    """
    told = person_at(person, panel)
    here = {(f.check, f.message) for f in told.known.findings}
    more = tuple(f for f in panel.findings if (f.check, f.message) not in here)
    return type(person)(person.human, dataclasses.replace(told.known, findings=(*told.known.findings, *more)))


def with_findings(answer: Answer[Any], findings: Sequence[Finding]) -> HealthAnswer:
    """The same answer with what was found on the sheet put first; nothing is said twice."""
    seen = {(f.check, f.message) for f in findings}
    rest = tuple(f for f in answer.findings if (f.check, f.message) not in seen)
    return HealthAnswer(answer.estimate, (*findings, *rest), answer.provenance)
