"""Health pages: one panel (risks, values, combination) and several dates, as self-contained HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciai import __version__
from sciai.core.answer import Finding, Level
from sciai.studio.report import Picture, Report, Section, Table, Tile, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciai.core.answer import Answer
    from sciai.health.api.course import Timeline
    from sciai.health.api.report import PanelReport
    from sciai.health.api.risks import Risk
    from sciai.health.api.typicality import Typicality
    from sciai.health.data.panels.panel import Panel

__all__ = ["panel_section", "timeline_section", "write_panel", "write_timeline"]

LIMITS: Final = (
    "Reference values, not a diagnosis, and no advice to start, stop or change anything. Ask a doctor.",
    "Learned from US adults of 20 to 80 years (NHANES 2011-2018). Transfer to other populations, among them "
    "Japanese adults, was not validated: analysers, diet, body size and how often doctors tell differ.",
    'Diagnoses are self-reported and prevalent ("has a doctor ever told you"), not a forecast. Death within '
    "5 years is the one prospective outcome.",
    "Everything here is association. A value that drives a risk need not cause it, and changing it need not "
    "change the risk. Who is known to be ill is mostly treated: a high LDL can go with fewer known heart "
    "diseases.",
)
OWN_LIMITS: Final = (
    LIMITS[0],
    "Learned from a table of its owner's. Whom else that holds for was not measured.",
    LIMITS[3],
)
FOOTER: Final = "A reference value, not a diagnosis; not for any decision about a person on its own."
_WORDS: Final = {
    Level.OK: "every check passed",
    Level.CAUTION: "usable with care: see what the checks found",
    Level.REFUSE: "refused: see what the checks found",
}


def write_panel(path: str | Path, report: PanelReport, panel: Panel | None = None) -> Path:
    """Write the page of one panel.

    Args:
        path: HTML file to write; replaced where it exists.
        report: the answers.
        panel: the sheet they came from.
    """
    made = _made(report.risks)
    return write(
        Report("A laboratory panel among peers", made, (panel_section(report, panel),), FOOTER), path
    )


def write_timeline(path: str | Path, answer: Answer[Timeline]) -> Path:
    """Write the page of several dates.

    Args:
        path: HTML file to write; replaced where it exists.
        answer: of `sciai.health.api.timeline.timeline`.
    """
    made = _made(answer)
    return write(
        Report("A course over the dates, among peers", made, (timeline_section(answer),), FOOTER), path
    )


def _limits(findings: Iterable[Finding]) -> tuple[str, ...]:
    from sciai.health.api.lessons import of_the_survey

    return LIMITS if of_the_survey(findings) else OWN_LIMITS


def panel_section(report: PanelReport, panel: Panel | None = None) -> Section:
    """Verdict, figures, findings and pictures of one panel."""
    level = max(report.risks.level, report.unusual.level if report.unusual else Level.OK)
    told = None
    if report.unusual is not None and report.unusual.level < Level.REFUSE:
        told = report.unusual.unwrap()
    risks = [] if report.risks.level >= Level.REFUSE else list(report.risks.unwrap())
    peers = "" if report.risks.level >= Level.REFUSE else report.risks.unwrap().peers
    findings = _once([*report.risks.findings, *(report.unusual.findings if report.unusual else ())])
    return Section(
        title="Risks, values, and what the combination means",
        lead=_lead(report, panel, peers, told),
        level=level,
        findings=[f for f in findings if f.level > Level.OK],
        tiles=_tiles(report, risks, told),
        tables=_combination(told),
        pictures=[Picture(b"", caption, svg) for svg, caption in report.pictures()],
        after=[*_drivers(risks), *_not_told(risks, panel), *_notes(findings)],
        limits=_limits(findings),
        words=_WORDS[level],
    )


def timeline_section(answer: Answer[Timeline]) -> Section:
    """Verdict, figures, findings and pictures of several dates."""
    from sciai.health.api.report import timeline_pictures

    title = "What changed, and where it runs among peers"
    if answer.level >= Level.REFUSE:
        lead = "The question was refused; nothing is shown. The reasons are below."
        return Section(
            title,
            lead,
            answer.level,
            answer.findings,
            limits=_limits(answer.findings),
            words=_WORDS[answer.level],
        )
    value = answer.unwrap()
    moved = [c for c in value.courses if c.changed or c.steady_trend]
    judged = [c for c in value.courses if c.limit is not None and c.change is not None]
    rows = [
        [c.label, " → ".join(c.shown), c.unit, f"{c.mean[-1]:.3g}",
         f"{c.low[-1]:.3g} to {c.high[-1]:.3g}", f"{c.percentile[-1]:.0f} %", c.verdict]
        for c in value.courses
    ]  # fmt: skip
    columns = ["value", "course", "unit", "peers' mean", "peers' middle 90 %", "above of peers", "change"]
    note = (
        "A change is more than chance where it exceeds 2.77 √(analytical² + within-person variation²). The "
        "variations are quoted figures that were not checked at their source."
    )
    aside = f" Not known to the model, so not judged: {', '.join(value.aside)}." if value.aside else ""
    days = (value.dates[-1] - value.dates[0]).days
    return Section(
        title=title,
        lead=f"{len(value.dates)} dates, {value.dates[0]} to {value.dates[-1]}, beside {value.peers}. "
        f"{value.verdict[:1].upper()}{value.verdict[1:]}.{aside}",
        level=answer.level,
        findings=[f for f in answer.findings if f.level > Level.OK],
        tiles=(
            Tile(f"{len(moved)} of {len(judged)}", "values moved by more than chance"),
            Tile(f"{len(value.dates)}", "dates", f"{days} days"),
            Tile(f"{len(value.courses)}", "values that the model knows", f"{len(value.aside)} it does not"),
        ),
        pictures=[Picture(b"", caption, svg) for svg, caption in timeline_pictures(value)],
        after=[Table("Every value", columns, rows, note), *_notes(answer.findings)],
        limits=_limits(answer.findings),
        words=_WORDS[answer.level],
    )


def _lead(report: PanelReport, panel: Panel | None, peers: str, told: Typicality | None) -> str:
    when = f" of {panel.date}" if panel is not None and panel.date is not None else ""
    values = sum(1 for name in report.person.known.given if name in report.references)
    beside = f", beside {peers}" if peers else ""
    verdict = f" {told.verdict[:1].upper()}{told.verdict[1:]}." if told is not None else ""
    return f"A panel{when}: {values} values that the model knows{beside}.{verdict}"


def _tiles(report: PanelReport, risks: Sequence[Risk], told: Typicality | None) -> list[Tile]:
    from sciai.health.api.distribution import percent

    tiles = []
    if told is not None:
        inside = len(told.values) - len(told.outside)
        tiles.append(Tile(f"{inside} of {len(told.values)}", "values in the middle 95 % of peers"))
        tiles.append(Tile(percent(told.p_value), "of peers have a stranger combination"))
    known = [r for r in risks if r.risk is not None and r.ratio is not None and not r.outcome]
    if known:
        most = max(known, key=lambda r: r.ratio or 0.0)
        tiles.append(Tile(f"×{most.ratio:.1f}", "highest risk against peers", most.label))
        higher = sum(1 for r in known if r.low is not None and r.peers is not None and r.low > r.peers)
        tiles.append(Tile(f"{higher} of {len(known)}", "risks clearly above peers'", "interval above theirs"))
    return tiles


def _combination(told: Typicality | None) -> list[Table]:
    from sciai.health.api.distribution import percent

    if told is None:
        return []
    tables = []
    if told.pairs:
        rows = [[pair.text, f"{pair.nats:.1f}"] for pair in told.pairs]
        note = "1 nat: 2.7 times less likely together than each by itself."
        tables.append(Table("Values that seldom go together", ["pair", "nats"], rows, note))
    if told.resembles:
        rows = [[r.label, percent(r.share), percent(r.peers), f"×{r.ratio:.1f}"] for r in told.resembles]
        note = "Commoner among people with these values than among peers: association, not a diagnosis."
        columns = ["state", "with these values", "peers", "ratio"]
        tables.append(Table("What the combination resembles", columns, rows, note))
    return tables


def _drivers(risks: Sequence[Risk], most: int = 6) -> list[Table]:
    shown = [r for r in risks if r.risk is not None and r.drivers][:most]
    if not shown:
        return []
    rows = [[r.label, "; ".join(str(d) for d in r.drivers), r.reason] for r in shown]
    note = "In brackets: change of the log-odds against peers; +0.7 doubles the odds, −0.7 halves them."
    return [
        Table("What drives the risks most above peers'", ["risk", "driven by", "remark"], rows, note, True)
    ]


def _not_told(risks: Sequence[Risk], panel: Panel | None) -> list[Table]:
    tables = []
    rows = [[r.label, r.status, r.reason] for r in risks if r.risk is None]
    if rows:
        tables.append(Table("Without a risk", ["disease", "why", "reason"], rows, words=True))
    if panel is not None:
        aside = [[r.label, r.written, r.why] for r in panel.readings if not r.used]
        aside += [
            [u.label, "" if u.value is None else f"{u.value:g}", "not recognised"] for u in panel.unknown
        ]
        if aside:
            tables.append(Table("On the sheet, but not used", ["test", "value", "why"], aside, words=True))
    return tables


def _notes(findings: Sequence[Finding]) -> list[Table]:
    """What was merely done or noted: at the end, where it can be looked up."""
    rows = [[f.check, f.message] for f in findings if f.level == Level.OK]
    return [Table("Notes", ["check", "what was done or noted"], rows, words=True)] if rows else []


def _once(findings: Sequence[Finding]) -> list[Finding]:
    return list({(f.check, f.message): f for f in findings}.values())


def _made(answer: Answer[object]) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    origin = answer.provenance
    checkpoint = f" {origin.checkpoint[:12]}" if origin.checkpoint else ""
    return (
        f"sciai {__version__} · {when} · model {origin.model}{checkpoint} · intervals: {origin.calibration}"
    )
