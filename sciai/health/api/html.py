"""How answers show themselves in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Answer, Finding, Level
from sciai.health.api import figures
from sciai.health.api.distribution import Distribution, Told, percent

if TYPE_CHECKING:
    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.person import Person
    from sciai.health.api.risks import RiskList
    from sciai.health.api.typicality import Typicality
    from sciai.health.api.what_if import Comparison

__all__ = [
    "answer_html", "comparison_html", "distribution_html", "findings_html", "human_html", "person_html",
    "risks_html", "typicality_html",
]  # fmt: skip

_WORDS = {Level.OK: "answered", Level.CAUTION: "answered, with care", Level.REFUSE: "refused"}
_COLOURS = {Level.OK: "#2f855a", Level.CAUTION: "#b7791f", Level.REFUSE: "#c53030"}


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th style='text-align:left'>{_text(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{_text(c)}</td>" for c in r) + "</tr>" for r in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def findings_html(findings: tuple[Finding, ...], least: Level = Level.OK) -> str:
    """Findings as a list, worst first."""
    shown = sorted((f for f in findings if f.level >= least), key=lambda f: -f.level)
    items = "".join(
        f"<li><b style='color:{_COLOURS[f.level]}'>{f.level.name.lower()}</b> "
        f"{_text(f.where + ': ' if f.where else '')}{_text(f.message)}</li>"
        for f in shown
    )
    return f"<ul>{items}</ul>" if items else ""


def answer_html(answer: Answer[Any]) -> str:
    """Verdict, value (unless it was refused) and findings."""
    head = f"<p><b style='color:{_COLOURS[answer.level]}'>{_WORDS[answer.level]}</b></p>"
    value = ""
    if answer.level < Level.REFUSE and answer.estimate is not None:
        told = answer.estimate.value
        if isinstance(told, Told):
            value = "".join(distribution_html(part) for part in told.values())
        else:
            value = told._repr_html_() if hasattr(told, "_repr_html_") else f"<pre>{_text(told)}</pre>"
    source = answer.provenance
    origin = f"{source.model} {source.checkpoint[:12]}, calibrated on {source.calibration or 'nothing'}"
    return f"{head}{value}{findings_html(answer.findings)}<p style='color:#718096'>{_text(origin)}</p>"


def distribution_html(told: Distribution) -> str:
    """A sentence and the picture."""
    picture = figures.as_data_uri(figures.distribution_figure(told))
    return f"<p>{_text(told)}</p><img alt='{_text(told.label)}' src='{picture}'/>"


def risks_html(risks: RiskList) -> str:
    """The table of risks; a withheld risk shows its reason in place of a number."""
    rows = []
    for r in risks:
        if r.risk is None or r.low is None or r.high is None:
            rows.append([r.label, r.status, "", "", "", r.reason])
            continue
        drivers = ", ".join(map(str, r.drivers))
        beside = percent(r.peers) if r.peers is not None else ""
        ratio = f"× {r.ratio:.1f}" if r.ratio else ""
        interval = f"{percent(r.low)} to {percent(r.high)}"
        rows.append(
            [r.label, percent(r.risk), interval, beside, ratio, "; ".join(filter(None, (drivers, r.reason)))]
        )
    shown = [r for r in risks if r.risk is not None]
    picture = f"<img alt='risks' src='{figures.as_data_uri(figures.risks_figure(risks))}'/>" if shown else ""
    head = ["disease", "risk", "90 %", "peers", "ratio", "what moves it (log-odds)"]
    return f"<p>peers: {_text(risks.peers)}</p>{picture}{_table(head, rows)}"


def typicality_html(told: Typicality) -> str:
    """The verdict, the picture, what seldom goes together and what it resembles."""
    picture = figures.as_data_uri(figures.typicality_figure(told))
    pairs = "".join(f"<li>{_text(p.text)}</li>" for p in told.pairs)
    states = "".join(f"<li>{_text(r)}</li>" for r in told.resembles)
    parts = [f"<p>{_text(told.verdict)} ({_text(told.peers)})</p><img alt='values' src='{picture}'/>"]
    if pairs:
        parts.append(f"<p>seldom together:</p><ul>{pairs}</ul>")
    if states:
        parts.append(f"<p>commoner with these values than among peers:</p><ul>{states}</ul>")
    return "".join(parts)


def comparison_html(told: Comparison) -> str:
    """Both groups side by side, and what the comparison is not."""
    from sciai.health.api.what_if import ASSOCIATION

    rows = []
    for name, here in told.here.items():
        there = told.there[name]
        if here.kind == "binary":
            rows.append([here.label, percent(here.mean), percent(there.mean)])
        else:
            rows.append([here.label, f"{here.mean:.4g} {here.unit}", f"{there.mean:.4g} {there.unit}"])
    head = ["", "people like this one", f"people who differ in {told.changes}"]
    return f"<p>{_text(ASSOCIATION)}</p>{_table(head, rows)}"


def person_html(person: Person) -> str:
    """What is known."""
    rows = [[name, person.known.shown(name)] for name in person.known.given]
    return f"<p>a person of whom is known:</p>{_table(['column', 'value'], rows)}"


def human_html(human: VirtualHuman) -> str:
    """What the model is."""
    return "".join(f"<p>{_text(line)}</p>" for line in human.describe().splitlines())
