"""Several dates of one person: is a change more than chance, and where does the course run among peers?

A change between two results is judged against the reference change value, 2.77 sqrt(CV_A^2 + CV_I^2): what
biology and the analyser do by themselves stays below it in 95 of 100 pairs (Harris and Yasaka, Clin Chem
29:25, 1983). A trend over three or more dates is a straight line through the logarithms, against the same
variation. Variations are listed in ``data/health/analytes.yaml`` and are quoted figures.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciai.core.answer import Estimate, Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.constraints import measured_otherwise
from sciai.health.api.course import Course, RiskCourse, Timeline
from sciai.health.api.distribution import HealthAnswer
from sciai.health.api.lessons import ages_of, everybody
from sciai.health.api.panel import fitted, person_at, with_findings
from sciai.health.api.record import recorded
from sciai.health.data.panels.analytes import analyte_of_column

if TYPE_CHECKING:
    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.person import Person
    from sciai.health.data.panels.panel import Panel

__all__ = ["timeline"]

_DAYS: Final = 365.25


@recorded
def timeline(human: VirtualHuman, panels: Sequence[Panel], person: Person) -> HealthAnswer:
    """Changes, trends, the course among peers, and risks over the dates.

    Args:
        human: the model.
        panels: at least two, each with its date.
        person: what else is known of the person (age and sex make the peers; drugs the risks); their age
            belongs to the last date.

    Returns:
        An answer whose value is a ``Timeline``; its spread is each change's limit in %.

    Raises:
        BadInput: fewer than two dated panels, two of one date.
    """
    dated = _dated([fitted(panel, human.schema) for panel in panels])
    for name in (n for n in ("age", "sex") if n in human.schema):
        stated = [visit.panel.person[name] for visit in dated if name in visit.panel.person]
        if person.known.value(name) is None and stated:
            person = person.given({name: stated[-1]})
    last = dated[-1].date
    at = [person_at(person, visit.panel, last) for visit in dated]
    peers = _Peers(human, list(dict.fromkeys(name for visit in dated for name in visit.panel.values)))
    young = [p.known.given.get("age", math.inf) < ages_of(human)[0] and peers.refusal(p) for p in at]
    refusal = young[-2] or peers.refusal(at[-1])
    if refusal:  # of the last two visits: without them there is no course
        return with_findings(refusal, [f for visit in dated for f in visit.panel.findings])
    left = [visit.date for visit, refused in zip(dated, young, strict=True) if refused]
    dated, at = dated[len(left) :], at[len(left) :]
    names = [name for name in peers.names if any(name in visit.panel.values for visit in dated)]
    carried, answers = _risks_at(person, dated)
    courses = [_course(peers, name, dated, at) for name in names]
    courses.sort(key=lambda c: (not c.changed, not c.steady_trend))
    aside = [r.label for visit in dated for r in visit.panel.readings if r.column is None]
    value = Timeline(
        tuple(visit.date for visit in dated),
        tuple(courses),
        _risks([visit.date for visit in dated], answers),
        _peers(at[-1]),
        tuple(dict.fromkeys(aside)),
    )
    spread = {c.name: c.limit for c in courses if c.limit is not None} or 0.0
    findings = tuple(_findings(value, [visit.panel for visit in dated], answers, carried))
    if left:
        said = f"{', '.join(map(str, left))}: so young that nobody of that age was learned from; left out"
        findings = (Finding("young", Level.CAUTION, said, "age"), *findings)
    return HealthAnswer(Estimate(value, spread), findings, human.provenance())


def _risks_at(person: Person, visits: Sequence[_Visit]) -> tuple[list[str], list[HealthAnswer]]:
    """Risks at each date, from its values and, where a value was not measured again, the latest earlier one.

    Without that a risk would move because a test was left out. Calculated values are not carried: what they
    follow from is. What would contradict a calculated value that was measured now is not carried either: a
    new BMI beside the weight of last year is a new weight.
    """
    answers, carried = [], []
    known: dict[str, float] = {}
    for visit in visits:
        values = visit.panel.values
        now = person_at(person, visit.panel, visits[-1].date)
        for stale in _outdated(now, known):
            del known[stale]
        old = {name: value for name, value in known.items() if name not in now.known.free}
        if old:
            carried.append(f"{visit.date}: {', '.join(old)}")
            now = now.given(old)
        answers.append(now.risks(drivers=0))
        known |= {name: value for name, value in values.items() if name in person.schema}
        known |= {name: now.known.free[name] for name in now.known.solved}
    return carried, answers


def _outdated(now: Person, known: Mapping[str, float]) -> set[str]:
    """Earlier values that a calculated one of today leaves no room for: one input of it has to follow."""
    schema, stale = now.schema, set[str]()
    for derived in (d for d in schema.derived if d.name in now.known.given):
        earlier = [n for n in derived.inputs if now.known.value(n) is None and n in known]
        if (
            not earlier
            or stale & set(earlier)
            or any(now.known.value(n) is None and n not in known for n in derived.inputs)
        ):
            continue
        free = [n for n in earlier if not measured_otherwise(derived.name, n)] or earlier
        stale.add(derived.solved if derived.solved in free else free[-1])
    return stale


@dataclass(frozen=True)
class _Visit:
    date: dt.date
    panel: Panel


def _dated(panels: Sequence[Panel]) -> list[_Visit]:
    visits = [_Visit(panel.date, panel) for panel in panels if panel.date is not None]
    if len(visits) < len(panels):
        raise BadInput(
            "a panel without a date",
            field="date",
            fix="give the date of each column, or of each line of the sheet",
        )
    days = [visit.date for visit in visits]
    twice = next((day for day in days if days.count(day) > 1), None)
    if twice is not None:
        raise BadInput(f"two panels of {twice}", field="date", fix="merge them, or leave one out")
    if len(visits) < 2:
        raise BadInput(
            f"{len(visits)} date, and a course needs two",
            field="date",
            fix="for one date use `sciai health risk`",
        )
    return sorted(visits, key=lambda visit: visit.date)


def _course(peers: _Peers, name: str, visits: Sequence[_Visit], people: Sequence[Person]) -> Course:
    analyte = analyte_of_column(name)
    shown = [
        (visit, person, visit.panel.values[name])
        for visit, person in zip(visits, people, strict=True)
        if name in visit.panel.values
    ]
    bands = [peers.of(name, person) for _, person, _ in shown]
    values = tuple(value for _, _, value in shown)
    dates = tuple(visit.date for visit, _, _ in shown)
    limit = None if analyte is None else analyte.change_limit()
    bounds = tuple(_bound(visit.panel, name) for visit, _, _ in shown)
    # a value below a limit of detection may be anything below it: at the limit the change is least
    least = [v * math.sqrt(2) if b == "<" else v for v, b in zip(values, bounds, strict=True)]
    slope, error = _slope(dates, least, None if limit is None else limit / 100 / 2.77)
    if any(_hidden(least, bounds, k, j) for k in range(len(least)) for j in range(len(least))):
        slope, error = None, None
    hidden = _hidden(least, bounds, 0, -1) or _hidden(least, bounds, -1, 0)
    change = 100 * (least[-1] / least[0] - 1) if len(least) > 1 and least[0] > 0 and not hidden else None
    printed = next((r.range for r in visits[-1].panel.readings if r.column == name), (None, None))
    sex = people[-1].known.value("sex") if "sex" in people[-1].schema else None
    letter = None if sex is None else {0.0: "F", 1.0: "M"}.get(sex)
    schema = peers.human.schema
    column = schema[name] if name in schema else schema.derived_named(name)
    same = analyte is not None and analyte.unit == column.unit  # as the shipped model has it
    common = analyte.range_of(letter) if analyte is not None and same else (None, None)
    return Course(
        name,
        str(column.label_en or name),
        column.unit,
        dates,
        values,
        tuple(band.mean for band in bands),
        tuple(band.quantiles.get(0.05, math.nan) for band in bands),
        tuple(band.quantiles.get(0.95, math.nan) for band in bands),
        tuple(band.percentile(value) for band, value in zip(bands, values, strict=True)),
        change,
        limit,
        slope,
        error,
        printed if any(end is not None for end in printed) else common,
        bounds,
    )


def _hidden(values: Sequence[float], bounds: Sequence[str], one: int, other: int) -> bool:
    """Whether one value is only known to lie beyond a limit, and the other lies there, too."""
    if bounds[one] == "<":
        return values[other] < values[one]
    return bounds[one] == ">" and values[other] > values[one]


def _bound(panel: Panel, name: str) -> str:
    return next((r.bound for r in panel.readings if r.column == name and r.used), "")


class _Peers:
    """Distributions of values among people of a person's age and sex; each age is asked about once."""

    def __init__(self, human: VirtualHuman, names: Sequence[str]) -> None:
        self.human, self.names = human, names
        self.told: dict[tuple[Any, ...], Any] = {}

    def refusal(self, person: Person) -> HealthAnswer | None:
        """The answer about the peers of a person where it is refused (too young to have any, for one)."""
        answer = self.human.given(self._known(person)).ask(*self.names)
        return (
            HealthAnswer(None, answer.findings, answer.provenance) if answer.level >= Level.REFUSE else None
        )

    def of(self, name: str, person: Person) -> Any:
        """The distribution of one value among the peers of a person."""
        known = self._known(person)
        key = tuple(known.items())
        if key not in self.told:
            self.told[key] = self.human.given(known).ask(*self.names).unwrap()
        return self.told[key][name]

    @staticmethod
    def _known(person: Person) -> dict[str, Any]:
        known: dict[str, Any] = {k: person.known.given[k] for k in ("age", "sex") if k in person.known.given}
        if "sex" in known:
            known["sex"] = person.schema["sex"].levels[int(known["sex"])]
        return known


def _slope(
    dates: Sequence[dt.date], values: Sequence[float], sd: float | None
) -> tuple[float | None, float | None]:
    """% per year of the line through the logarithms, and its standard error for a known relative sd."""
    if len(values) < 3 or min(values) <= 0:
        return None, None
    years = [(date - dates[0]).days / _DAYS for date in dates]
    middle = sum(years) / len(years)
    spread = sum((year - middle) ** 2 for year in years)
    logs = [math.log(value) for value in values]
    slope = sum((year - middle) * log for year, log in zip(years, logs, strict=True)) / spread
    return 100 * math.expm1(slope), None if sd is None else 100 * sd / math.sqrt(spread)


def _risks(dates: Sequence[dt.date], answers: Sequence[HealthAnswer]) -> tuple[RiskCourse, ...]:
    lists = [None if a.level >= Level.REFUSE else {r.name: r for r in a.unwrap()} for a in answers]
    names = list(dict.fromkeys(name for found in lists if found for name in found))
    courses = []
    for name in names:
        parts = [found.get(name) if found else None for found in lists]
        if any(part is not None and part.risk is not None for part in parts):
            label = next(part.label for part in parts if part is not None)
            courses.append(
                RiskCourse(
                    name,
                    label,
                    tuple(dates),
                    tuple(None if p is None else p.risk for p in parts),
                    tuple(None if p is None else p.low for p in parts),
                    tuple(None if p is None else p.high for p in parts),
                    tuple(None if p is None else p.peers for p in parts),
                )
            )
    return tuple(courses)


def _peers(person: Person) -> str:
    known = [f"{k} {person.known.shown(k)}" for k in ("age", "sex") if k in person.known.given]
    return "people of the same " + ", ".join(known) if known else f"all {everybody(person.human)}"


def _findings(
    value: Timeline, panels: Sequence[Panel], answers: Sequence[HealthAnswer], carried: Sequence[str]
) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for finding in (f for panel in panels for f in panel.findings):
        # the same line is converted, or not known, on every date: once is enough
        kind = finding.check
        key = (kind, finding.where if kind in ("unit-conversion", "no-unit") else finding.message)
        if key not in seen:
            seen.add(key)
            yield finding
    refused = [date for date, a in zip(value.dates, answers, strict=True) if a.level >= Level.REFUSE]
    for finding in answers[-1].findings:
        if finding.level >= Level.REFUSE:
            said = f"no risks on {', '.join(map(str, refused))}: {finding.message}"
            finding = Finding(finding.check, Level.CAUTION, said, finding.where)
        if (finding.check, finding.message) not in seen:
            yield finding
    if carried:
        said = f"for the risks, values not measured again are those of the date before ({'; '.join(carried)})"
        yield Finding("carried", Level.OK, said)
    for course in value.courses:
        analyte = analyte_of_column(course.name)
        if analyte is not None and analyte.assay and not 5 <= course.percentile[-1] <= 95:
            yield Finding("assay", Level.CAUTION, f"{course.label}: {analyte.assay}", course.name)
    if any(c.limit is not None for c in value.courses):
        said = "within-person variation is quoted from the literature and was not checked at its source"
        yield Finding("variation", Level.OK, said)
