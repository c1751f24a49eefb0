"""What a health report says: peers' distributions, risks, combination, courses; pictures as SVG.

The page around it is `sciai.studio.health`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Level
from sciai.health.api.distribution import HealthAnswer
from sciai.health.api.lessons import own_tables
from sciai.health.api.panel import with_findings
from sciai.health.api.report_charts import course_grid, peer_grid, risk_bars, risk_courses
from sciai.health.api.unusual import enough
from sciai.health.data.panels.analytes import analyte_of_column

if TYPE_CHECKING:
    from sciai.health.api.course import Timeline
    from sciai.health.api.distribution import Distribution
    from sciai.health.api.person import Person
    from sciai.health.data.panels.panel import Panel

__all__ = ["PanelReport", "panel_report", "timeline_pictures"]


@dataclass(frozen=True)
class PanelReport:
    """All answers about one panel.

    Attributes:
        person: of whom is known what the panel and the caller say.
        risks: the answer of ``Person.risks``, with what was found on the sheet.
        unusual: the answer of ``Person.unusual``; None where too few numbers are known.
        peers: column -> its distribution among people of the same age and sex.
        references: column -> ends of the reference range (the sheet's own, else the common one).
    """

    person: Person
    risks: HealthAnswer
    unusual: HealthAnswer | None
    peers: dict[str, Distribution]
    references: dict[str, tuple[float | None, float | None]]

    def pictures(self) -> list[tuple[str, str]]:
        """SVG and caption of each picture; none of a refused answer."""
        found: list[tuple[str, str]] = []
        if self.risks.level < Level.REFUSE:
            shown = [risk for risk in self.risks.unwrap() if risk.risk is not None]
            diagnoses = [risk for risk in shown if not risk.outcome]
            outcomes = [risk for risk in shown if risk.outcome]
            if diagnoses:
                words = (
                    "How often people like this one say that a doctor told them they have it (prevalent, not "
                    "a forecast), beside people of the same age and sex. Those most above their peers first."
                )
                found.append((risk_bars(diagnoses), words))
            if outcomes:
                words = "A prospective outcome, from linked deaths: apart from the diagnoses above."
                found.append((risk_bars(outcomes), words))
        if self.peers:
            values = {name: self.person.values[name] for name in self.peers if name in self.person.values}
            who = "people it learned from" if own_tables(self.person.human) else "US adults"
            words = (
                f"Where each value lies among {who} of the same age and sex. The reference range is the "
                "sheet's own where it prints one, else the common one (JCCLS, or a guideline)."
            )
            found.append((peer_grid(self.peers, values, self.references), words))
        return found


def panel_report(person: Person, panel: Panel | None = None) -> PanelReport:
    """Ask everything that a one-page report of a person needs.

    Args:
        person: with the panel's values already given.
        panel: where the values come from; its findings and printed ranges are taken along.
    """
    said = panel.findings if panel is not None else ()
    risks = with_findings(person.risks(), said)
    unusual = person.unusual() if enough(person, ("age", "sex")) else None
    names = [n for n in person.known.given if n not in ("age", "sex") and analyte_of_column(n) is not None]
    known = {k: person.known.given[k] for k in ("age", "sex") if k in person.known.given}
    among: dict[str, Any] = dict(known)
    if "sex" in among:
        among["sex"] = person.schema["sex"].levels[int(known["sex"])]
    answer = person.human.given(among).ask(*names) if names else None
    peers = {} if answer is None or answer.level >= Level.REFUSE else dict(answer.unwrap())
    letter = None if "sex" not in known else {0: "F", 1: "M"}.get(int(known["sex"]))
    references = {}
    for name in names:
        analyte = analyte_of_column(name)
        printed = next((r.range for r in panel.readings if r.column == name), None) if panel else None
        schema = person.schema
        column = schema[name] if name in schema else schema.derived_named(name)
        same = analyte is not None and analyte.unit == column.unit  # as the shipped model has it
        own = printed is not None and any(end is not None for end in printed)
        references[name] = (
            printed if own and printed else analyte.range_of(letter) if same and analyte else (None, None)
        )
    return PanelReport(person, risks, unusual, peers, references)


def timeline_pictures(value: Timeline, most: int = 8) -> list[tuple[str, str]]:
    """SVG and caption of each picture of a timeline.

    Args:
        value: the timeline.
        most: risks to draw: those that moved most.
    """
    courses = (
        "Each value over the dates, against people of the same age and sex. Marked (▲): changed, rising or "
        "falling by more than within-person and analytical variation explain."
    )
    found = [(course_grid(value.courses), courses)]
    moved = sorted(value.risks, key=lambda r: -_moved(r.risk))[:most]
    if moved:
        words = (
            "Risks that moved most, in %, with 90 % intervals; dashed: people of the same age and sex. They "
            "move because the values do: association, not effect. A value not measured again is the last one."
        )
        found.append((risk_courses(moved), words))
    return found


def _moved(risk: tuple[float | None, ...]) -> float:
    """Largest ratio between two dates."""
    known = [p for p in risk if p]
    return max(known) / min(known) if known else 0.0
