"""How `sciai health` prints what it found, and writes tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    import pandas as pd

    from sciai.core.answer import Answer, Finding
    from sciai.health import VirtualHuman
    from sciai.health.api.course import Timeline
    from sciai.health.api.evaluate import Evaluation
    from sciai.health.api.privacy import Audit
    from sciai.health.api.report import PanelReport
    from sciai.health.data.panels import Panel

_FIRST = ("age", "sex", "bmi", "sbp", "hba1c", "chol_total", "egfr", "smoking", "dx_diabetes", "rx_bp")
NOT_A_DIAGNOSIS = (
    "A reference value, not a diagnosis: US adults, self-reported, ever told; not validated elsewhere."
)
_DRIVEN = (
    "In brackets the change of the log-odds against peers (+0.7 doubles the odds): association, not cause. "
    "The known ill are mostly treated, so a high LDL can go with fewer known heart diseases."
)


def risk_figures(report: PanelReport, panel: Panel, page: Path | None) -> dict[str, Any]:
    """Everything that `risk` found, for JSON."""
    return {
        "risks": risk_answer(report.risks),
        "unusual": None if report.unusual is None else report.unusual.to_dict(),
        "panel": {
            "date": None if panel.date is None else str(panel.date),
            "values": panel.values,
            "units": panel.units,
            "not_used": [
                {"test": r.label, "written": r.written, "why": r.why} for r in panel.readings if not r.used
            ],
            "unknown": [u.label for u in panel.unknown],
        },
        "html": page,
    }


def risk_answer(answer: Answer[Any]) -> dict[str, Any]:
    """The answer of ``Person.risks`` for JSON: one object for each disease."""
    from sciai.core.answer import jsonable

    figures = answer.to_dict()
    if figures["estimate"] is not None:
        figures["estimate"]["value"] = [jsonable(risk) for risk in answer.unwrap()]
    return figures


def print_risk(report: PanelReport, panel: Panel, dates: int, page: Path | None) -> None:
    """Verdict and combination first, then risks, what drives them, and what was found on the sheet."""
    from rich.markup import escape

    console = show.stdout()
    when = f" of {panel.date}" if panel.date is not None else ""
    several = f" (one of {dates} dates; `sciai health timeline` shows all)" if dates > 1 else ""
    console.print(
        f"[bold]{escape(panel.source)}[/]: {len(panel.values)} values{when}{several}", highlight=False
    )
    refused = report.risks.level.name == "REFUSE"
    if not refused:
        from sciai.health.api.distribution import percent

        risks = report.risks.unwrap()
        rows = [
            (
                _short(risk.label),
                percent(risk.risk),
                f"{percent(risk.low or 0.0)} to {percent(risk.high or 0.0)}",
                percent(risk.peers) if risk.peers is not None else "-",
                f"× {risk.ratio:.1f}" if risk.ratio is not None else "-",
                "; ".join(str(driver) for driver in risk.drivers[:2]),
            )
            for risk in risks
            if risk.risk is not None
        ]
        headings = ["ever told of", "risk", "90 % interval", "peers", "ratio", "driven by (log-odds)"]
        notes = f"{_meaning(report.risks)} {_DRIVEN}"
        show.print_table(f"Risks beside {risks.peers}", headings, rows, notes=notes)
        without = [(_short(risk.label), risk.status, risk.reason) for risk in risks if risk.risk is None]
        if without:
            show.print_table("Without a risk", ["disease", "why", "reason"], without)
    if report.unusual is not None:
        _combination(report.unusual)
    aside = [(r.label, r.written, r.why) for r in panel.readings if not r.used]
    aside += [(u.label, "" if u.value is None else f"{u.value:g}", "not recognised") for u in panel.unknown]
    if aside:
        show.print_table("On the sheet, but not used", ["test", "value", "why"], aside)
    _verdict(report.risks)
    if page is not None:
        typer.echo(f"page: {page}")


def _short(label: str) -> str:
    """The heading of the column says "ever told"; the rows need not."""
    return label.removesuffix(" (ever told)")


def _meaning(answer: Answer[Any]) -> str:
    from sciai.health.api.lessons import of_the_survey

    if of_the_survey(answer.findings):
        return NOT_A_DIAGNOSIS
    return "A reference value, not a diagnosis: of the people it learned from; not validated elsewhere."


def _combination(answer: Answer[Any]) -> None:
    from rich.markup import escape

    console = show.stdout()
    if answer.level.name == "REFUSE":
        return
    told = answer.unwrap()
    console.print(f"[bold]The combination[/]: {escape(told.verdict)}")
    for pair in told.pairs[:5]:
        console.print(f"  seldom together: {escape(pair.text)}")
    for state in told.resembles[:5]:
        console.print(f"  commoner with these values: {escape(str(state))}")
    console.print()


def print_unusual(answer: Answer[Any]) -> None:
    """Each value among peers and given the others, then the combination."""
    if answer.level.name != "REFUSE":
        told = answer.unwrap()
        rows = [
            (v.label, v.value, v.unit, f"{v.percentile:.0f} %", v.expected, f"{v.low:.3g} to {v.high:.3g}",
             "" if v.usual else "unusual")
            for v in told.values
        ]  # fmt: skip
        headings = ["value", "measured", "unit", "above of peers", "expected", "90 % given the others", ""]
        show.print_table(f"Values beside {told.peers}", headings, rows, notes=_meaning(answer))
        _combination(answer)
    _verdict(answer)


def print_timeline(answer: Answer[Timeline], page: Path | None) -> None:
    """Courses, then risks over the dates."""
    from sciai.health.api.distribution import percent

    if answer.level.name != "REFUSE":
        value = answer.unwrap()
        rows = [
            (c.label, " → ".join(c.shown), c.unit, f"{c.mean[-1]:.3g}",
             f"{c.low[-1]:.3g} to {c.high[-1]:.3g}", c.verdict)
            for c in value.courses
        ]  # fmt: skip
        headings = ["value", "course", "unit", "peers' mean", "peers' 90 %", "change"]
        dates = ", ".join(map(str, value.dates))
        show.print_table(f"{dates}; beside {value.peers}", headings, rows)
        moved = sorted(value.risks, key=lambda r: -abs((r.risk[-1] or 0.0) - (r.risk[0] or 0.0)))
        shown = [
            (
                _short(r.label),
                " → ".join("?" if p is None else percent(p) for p in r.risk),
                percent(r.peers[-1] or 0.0),
            )
            for r in moved[:8]
        ]
        if shown:
            title = "Risks that moved most"
            show.print_table(title, ["ever told of", "risk", "peers, last"], shown, notes=_meaning(answer))
        typer.echo(value.verdict[:1].upper() + value.verdict[1:] + ".")
        if value.aside:
            typer.echo(f"Not known to the model: {', '.join(value.aside)}.")
    _verdict(answer)
    if page is not None:
        typer.echo(f"page: {page}")


def print_told(answer: Answer[Any], who: str) -> None:
    """Distributions of the targets."""
    if answer.level.name != "REFUSE":
        from sciai.health.api.distribution import percent

        rows = []
        for told in answer.unwrap().values():
            low, high = told.interval
            if told.kind == "binary":
                rows.append((told.label, percent(told.mean), f"{percent(low)} to {percent(high)}", ""))
            elif told.mean != told.mean or told.kind == "ordinal":
                levels = ", ".join(f"{name} {percent(told.probabilities[name])}" for name in told.likely)
                rows.append((told.label, levels, "", ""))
            else:
                shown = f"{told.median:.4g}" if told.median == told.median else f"{told.mean:.4g}"
                rows.append((told.label, shown, f"{low:.4g} to {high:.4g}", told.unit))
        show.print_table(who, ["asked", "answer", "90 % interval", "unit"], rows, notes=_meaning(answer))
    _verdict(answer)


def print_notes(findings: Iterable[Finding]) -> None:
    """Findings without a verdict."""
    from rich.markup import escape

    for finding in findings:
        show.stdout().print(f"  ● {escape(finding.message)}", soft_wrap=True)


def _verdict(answer: Answer[Any]) -> None:
    """The verdict; notes of what was merely done are counted, not listed, where they are many."""
    notes = [f for f in answer.findings if f.level.name == "OK" and f.check != "meaning"]
    worse = [f for f in answer.findings if f.level.name != "OK"]
    shown = notes if len(notes) <= 6 else notes[:5]
    show.print_findings([*worse, *shown], answer.level.name.lower())
    if len(shown) < len(notes):
        typer.echo(f"  … and {len(notes) - len(shown)} more notes (--json lists all)")


def print_people(people: pd.DataFrame, title: str = "Virtual people", most: int = 10) -> None:
    """The first rows of a table, the first columns that fit."""
    first = [name for name in _FIRST if name in people.columns]
    names = [*first, *(name for name in people.columns if name not in first)][:10]
    rows = [tuple(_plain(v) for v in row) for row in people[names].head(most).itertuples(index=False)]
    more = f"{len(people):,} rows, {people.shape[1]} columns; -o FILE or --json gives all"
    show.print_table(title, names, rows, notes=more)


def print_columns(table: pd.DataFrame) -> None:
    """Columns of the model by group."""
    for group, part in table.groupby("group", sort=False):
        rows = [
            (
                name,
                row.label,
                row.unit if row.unit not in ("1", "") else "",
                row.levels or row.calculated_from,
            )
            for name, row in zip(part.index, part.itertuples(), strict=True)
        ]
        show.print_table(str(group), ["name", "label", "unit", "levels, or calculated from"], rows)
    others = [str(t["en"]) for t in tests() if t["column"] is None]
    typer.echo("Read on sheets but not modelled: " + ", ".join(others))


def print_evaluation(done: Evaluation) -> None:
    """One line for each column, and the means."""
    rows = [
        (c.target, c.n, c.nll, c.marginal, None if c.coverage != c.coverage else c.coverage,
         None if c.auroc != c.auroc else c.auroc, None if c.ece != c.ece else c.ece, c.cases or None)
        for c in done.columns
    ]  # fmt: skip
    headings = [
        "column",
        "people",
        "NLL, nat",
        "marginal",
        f"coverage {done.level:.0%}",
        "AUROC",
        "ECE",
        "cases",
    ]
    title = f"Inputs: {done.inputs}; of worth where the model was not trained on these people"
    show.print_table(title, headings, rows)
    show.print_table("Means", ["figure", "value"], list(done.summary().items()))
    for name, why in done.skipped.items():
        typer.echo(f"skipped {name}: {why}")


def print_audit(done: Audit) -> None:
    """Each attack in a sentence."""
    show.print_findings(done.findings(), "ok" if done.passed else "refuse")
    typer.echo(done.words())


def print_card_privacy(human: VirtualHuman, json: bool) -> None:
    """What the card of a model says about privacy."""
    from sciai.core.answer import jsonable

    card = human.card
    # figures of an audit stand among the metrics, what training promised (epsilon) beside the calibration
    found: dict[str, Any] = dict(card.calibration.get("privacy") or {})
    found |= {key: value for key, value in card.metrics.items() if key.startswith("privacy")}
    if json:
        show.print_json({"model": card.name, "checkpoint": human.hash, "privacy": found or None})
        return
    if not found:
        typer.echo(
            f"The card of {card.name} states no privacy figures: nothing is known. Measure it: "
            "sciai health privacy --members TRAIN --others HELD_OUT"
        )
        return
    flat = jsonable(found)
    rows = [(key, value) for key, value in _flat(flat) if not isinstance(value, str)]
    show.print_table(f"Privacy of {card.name}, as measured for its card", ["figure", "value"], rows)
    for key, value in _flat(flat):
        if isinstance(value, str):
            typer.echo(value if key.endswith("words") else f"{key}: {value}")


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _flat(part, f"{name} {key}".strip())]
    if isinstance(value, list):
        return [pair for n, part in enumerate(value) for pair in _flat(part, f"{name} {n + 1}".strip())]
    return [(name, value)]


def tests() -> list[dict[str, Any]]:
    """The tests that a sheet may name."""
    from sciai.health.data.panels import table

    return [
        {"key": a.key, "column": a.column, "en": a.en, "ja": a.ja, "unit": a.unit, "loinc": list(a.loinc),
         "jlac10": a.jlac10, "unverified": list(a.unverified), "note": a.note}
        for a in table().analytes.values()
    ]  # fmt: skip


def conditions(texts: Sequence[str]) -> dict[str, Any]:
    """``--where`` options: NAME=VALUE, NAME=LOW..HIGH or NAME=A|B.

    >>> conditions(["age=60..69", "sex=male"]), sorted(conditions(["smoking=former|current"])["smoking"])
    ({'age': (60.0, 69.0), 'sex': 'male'}, ['current', 'former'])
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as sex=male or age=60..69")
        if name.strip() in found:
            raise typer.BadParameter(
                f"{name.strip()} has two conditions; write age=60..69, smoking=former|current"
            )
        if ".." in value:
            try:
                low, high = (float(end) for end in value.split(".."))
            except ValueError:
                raise typer.BadParameter(f"{text!r} is not a range such as age=60..69") from None
            found[name.strip()] = (low, high)
        else:
            found[name.strip()] = set(value.split("|")) if "|" in value else value.strip()
    return found


def table_kind(path: Path) -> str:
    """The ending of a table to be written, asked for before there is something to lose.

    Raises:
        BadInput: neither ``.csv`` nor ``.parquet``.
    """
    from sciai.core.errors import BadInput

    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise BadInput("neither CSV nor Parquet", file=path, fix="name it something.csv or something.parquet")
    return kind


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV or Parquet table, whole or not at all.

    Raises:
        BadInput: another ending, or where it cannot be written.
    """
    from sciai.core.atomic import whole_file

    kind = table_kind(path)
    with whole_file(path, overwrite=True) as partial:
        if kind == ".parquet":
            table.to_parquet(partial)
        else:
            table.to_csv(partial, index=not table.index.equals(_default_index(len(table))))


def _default_index(n: int) -> Any:
    import pandas as pd

    return pd.RangeIndex(n)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings of plain values; missing ones are None."""
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    if value is None or value != value or value in (math.inf, -math.inf):
        return None  # no limit is no number either
    return value.item() if hasattr(value, "item") else value
