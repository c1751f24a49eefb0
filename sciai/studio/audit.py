"""An audit as one HTML page: the verdict, whom it harms, what rules change, what safety costs, what was
planted and found, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciai import __version__
from sciai.core.answer import Finding, Level
from sciai.studio.report import Picture, Report, Section, Table, Tile, png_of, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page"]

_INK, _QUIET, _ACCENT, _WARM = "#1d2733", "#5c6875", "#2b6cb0", "#b3261e"
_MOST = 48  # slices in a picture
_FOOTER = (
    "An audit finds what it looks for. What it was not asked, and slices that are not named, stay unknown."
)


def page(record: Mapping[str, Any], path: str | Path) -> Path:
    """Write the report of an audit.

    Args:
        record: of ``sciai.trust.audit.whole.audit``.
        path: the HTML file.
    """
    words = "a quick look" if record["quick"] else "a full audit"
    made = (
        f"sciai {__version__} · {record['date']} · {words} · checkpoint {record['checkpoint'][:16]} · "
        f"{record['seconds']:.0f} s"
    )
    sections = [_verdict(record), _harm(record), _defects(record), _evidence(record)]
    title = f"Audit of {record['name']} ({record['domain']})"
    return write(Report(title, made, [s for s in sections if s is not None], _FOOTER), path)


def _verdict(record: Mapping[str, Any]) -> Section:
    judged, costs = record["judged"], record["costs"]
    passed = bool(record["passed"])
    findings = [Finding("audit", Level.REFUSE, text) for text in record["failures"]]
    findings += [Finding("target missed", Level.CAUTION, text) for text in record["misses"]]
    tiles = [
        Tile(
            "passed" if passed else "failed",
            "the audit",
            f"{len(record['failures'])} reason{'' if len(record['failures']) == 1 else 's'} against",
        ),
        Tile(f"{judged['questions']:,}", "questions", f"in {judged['groups']:,} independent groups"),
        Tile(str(len(judged["cells"])), "slices × harms", f"{_count(judged, 'cannot tell')} cannot be told"),
        Tile(
            str(len(judged["harmed"])), "block a release", f"{len(judged['harmed_before'])} without the rules"
        ),
    ]
    if "answer_ms" in costs:
        own = costs.get("by_size", [costs])[0]["checks_share"]  # the largest of all sizes is in the table
        share = f"checks take {100 * own:.1f} % of it" if own >= 0.001 else "checks take under 0.1 % of it"
        tiles.append(Tile(f"{costs['answer_ms']:.3g} ms", str(costs.get("what", "an answer")), share))
    lead = judged["about"] or "There was no held-out truth: only defects were looked for."
    return Section(
        "Verdict",
        lead,
        Level.OK if passed else Level.REFUSE,
        findings,
        tiles,
        [*([_worst(record["worst"])] if record["worst"] else []), *_costs(costs)],
        limits=record["cannot"],
        limits_title="What this audit cannot tell",
        words="nothing that blocks was found" if passed else "something that blocks was found",
    )


def _count(judged: Mapping[str, Any], verdict: str) -> int:
    return sum(cell["verdict"] == verdict for cell in judged["cells"])


def _worst(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [
        [
            str(row["slice"]), str(row["harm"]), f"{row['n']}", _number(row["rate"]),
            _number(row["elsewhere"]), f"{_number(row['low'])} to {_number(row['high'])}",
            str(row["verdict"]),
        ]
        for row in rows
    ]  # fmt: skip
    columns = ("slice", "harm", "n", "rate", "elsewhere", "difference, 95 %", "verdict")
    note = (
        "As the model answers by itself, before the rules of the runtime policy. Put here, and on the card, "
        "by the audit itself; there is no switch for it."
    )
    return Table("The ten worst slices", columns, lines, note)


def _alone(rule: Mapping[str, Any]) -> str:
    """The cells of its own harm that a rule changes most."""
    rows = [row for row in rule.get("alone", ()) if row["harm"] == rule["harm"]][:3]
    return "; ".join(
        f"{row['slice']}: {row['before']:.3g} → "
        + ("nothing left" if row["after"] is None else f"{row['after']:.3g} of {row['n_after']}")
        for row in rows
    )


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):.3g}"


def _harm(record: Mapping[str, Any]) -> Section | None:
    judged = record["judged"]
    if not judged["cells"]:
        return None
    policy = judged["policy"]
    count = len({cell["slice"] for cell in judged["cells"]})
    shown = f"Of {count} slices the {_MOST} with the largest effects." if count > _MOST else ""
    pictures = [Picture(png_of(_heat(judged["cells"], judged["matters"])), _HEAT.format(shown=shown).strip())]
    tables = [
        Table(
            "Harms",
            ("harm", "what it means here", "a difference that matters"),
            [(name, text, f"{judged['matters'][name]:g}") for name, text in judged["meanings"].items()],
            words=True,
        )
    ]
    if policy["rules"]:
        rules = [
            (f"{rule['do']} ({_when(rule['when'])})", rule["harm"],
             f"{100 * rule['share']:.1f} %", rule["why"], _alone(rule) or "no question here is of that kind")
            for rule in policy["rules"]
        ]  # fmt: skip
        tables.append(
            Table(
                "Rules of the runtime policy",
                ("rule", "against", "questions", "why", "what it changes by itself"),
                rules,
                words=True,
            )
        )
        moved = sorted(
            (row for row in policy["cells"] if row["change"] is not None and abs(row["change"]) > 1e-9),
            key=lambda row: -abs(row["change"]),
        )[:25]
        lines = [
            (row["slice"], row["harm"], _number(row["before"]), _number(row["after"]),
             f"{row['change']:+.3g}", f"{row['verdict_before']} → {row['verdict_after']}")
            for row in moved
        ]  # fmt: skip
        columns = ("slice", "harm", "before", "after", "change", "verdict")
        if lines:
            tables.append(Table("Before and after the rules, side effects included", columns, lines))
    if judged["tax"]:
        pictures.append(Picture(png_of(_curve(judged["tax"])), _CURVE))
    small = ", ".join(f"{name} ({n})" for name, n in judged["small"].items())
    harmed = bool(judged["harmed"])
    lead = (
        "Every slice of the questions against every kind of harm, compared with everybody else. "
        "Harmed: holds after Holm's correction over all cells; suspect: after Benjamini and Yekutieli's. "
        "No harm found: one that matters would have been seen, and is ruled out; else it cannot be told."
    ) + (f" Too few to judge: {small}." if small else "")
    return Section(
        "Who is harmed, and how",
        lead,
        Level.REFUSE if harmed else Level.OK,
        [Finding("harm", Level.REFUSE, text) for text in judged["harmed"]],
        tables=tables,
        pictures=pictures,
        words="harms that block a release" if harmed else "no harm that blocks",
    )


def _when(facts: Mapping[str, Any]) -> str:
    """Whom a rule concerns, in words."""

    def shown(wanted: Any) -> str:
        if isinstance(wanted, Mapping):
            low, high = wanted.get("min"), wanted.get("max")
            if low is None or high is None:
                return f"from {low:g} on" if high is None else f"up to {high:g}"
            return f"{low:g} to {high:g}"
        if isinstance(wanted, bool):
            return "yes" if wanted else "no"
        return " or ".join(map(str, wanted)) if isinstance(wanted, list | tuple) else str(wanted)

    return ", ".join(f"{name.replace('_', ' ')} {shown(wanted)}" for name, wanted in facts.items())


def _costs(costs: Mapping[str, Any]) -> list[Table]:
    """What the checks take of an answer's latency: the median of pairs of the same work, and the mean."""
    rows = [
        (row["what"], f"{row['answer_ms']:.3g} ms", f"{100 * row['checks_share']:.1f} %",
         f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %", f"{100 * row['mean']:.1f} %",
         str(row["answers"]))
        for row in costs.get("by_size", [costs] if "low" in costs else [])
    ]  # fmt: skip
    if not rows:
        return []
    head = ("question", "an answer", "checks", "95 %", "mean, rare slow ones included", "pairs")
    return [Table("What the checks cost in time", head, rows)]


_HEAT = (
    "Difference between a slice and everybody else, in units of what matters for that harm; red is worse, "
    "blue better. A dot: harmed; a ring: suspect; hatched: cannot be told; white: not defined there. {shown}"
)
_CURVE = (
    "The safety tax turned round: mean error of the answers that are kept when the most doubtful ones are "
    "withheld. The dotted line is what perfect doubt would reach, the flat one what a doubt that knows "
    "nothing keeps."
)


def _heat(cells: Sequence[Mapping[str, Any]], matters: Mapping[str, float]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    harms = list(dict.fromkeys(cell["harm"] for cell in cells))
    worst: dict[str, float] = {}
    for cell in cells:
        size = cell["effect"] if isinstance(cell["effect"], int | float) else 0.0
        rank = {"harmed": 2.0, "suspect": 1.0}.get(cell["verdict"], 0.0)
        worst[cell["slice"]] = max(worst.get(cell["slice"], -np.inf), rank + float(np.tanh(size)))
    keep = set(sorted(worst, key=lambda name: -worst[name])[:_MOST])
    slices = [name for name in worst if name in keep]
    values = np.full((len(slices), len(harms)), np.nan)
    figure = Figure(figsize=(9.2, 1.2 + 0.24 * len(slices)), layout="constrained", facecolor="white", dpi=110)
    axes = figure.subplots()
    for cell in cells:
        if cell["slice"] not in keep or not isinstance(cell["effect"], int | float):
            continue
        place = slices.index(cell["slice"]), harms.index(cell["harm"])
        if cell["verdict"] == "cannot tell":
            corner = place[1] - 0.5, place[0] - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, fc="#eef1f4", ec="#b9c2cc", hatch="////", lw=0))
        else:
            values[place] = np.clip(cell["effect"] / matters[cell["harm"]], -3, 3)
        if cell["verdict"] in ("harmed", "suspect"):
            fill = _INK if cell["verdict"] == "harmed" else "none"
            axes.plot(place[1], place[0], "o", ms=5, mfc=fill, mec=_INK)
    axes.set_facecolor("white")
    image = axes.imshow(values, cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto")
    axes.set_xticks(range(len(harms)), harms, fontsize=8)
    axes.set_yticks(range(len(slices)), slices, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=_INK)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.4, label="times what matters (clipped at 3)")
    return figure


def _curve(tax: Mapping[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained", facecolor="white", dpi=110)
    axes = figure.subplots()
    axes.plot(tax["coverage"], tax["error"], color=_ACCENT, lw=2, label="this model's own doubt")
    axes.plot(tax["coverage"], tax["oracle"], color=_QUIET, lw=1.2, ls=":", label="perfect doubt")
    axes.axhline(tax["everything"], color=_WARM, lw=1, label="doubt that knows nothing")
    axes.set_xlabel("share of answers kept", color=_QUIET)
    axes.set_ylabel("mean error", color=_QUIET)
    axes.set_title(f"doubt gains {100 * tax['gain']:.0f} % of what it could", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _defects(record: Mapping[str, Any]) -> Section:
    evidence, power = record["defects"]["evidence"], record["defects"]["sensitivity"]
    rows = [
        (row["subject"], row["tool"], f"{row['score']:.2g}", f"{row['limit']:.2g}",
         "accuses" if row["accused"] else "nothing", row["what"])
        for row in evidence
    ]  # fmt: skip
    planted = [
        (
            row["subject"],
            row["defect"],
            f"{row['size']:g} {row['unit']}",
            row["tool"],
            f"{row['found']} of {row['planted']}",
            "; ".join(row["missed"]) or "none",
        )
        for row in power
    ]
    unused = [(row["subject"], row["tool"], row["why"]) for row in record["defects"]["unused"]]
    accused = any(row["accused"] for row in evidence)
    return Section(
        "Hidden defects",
        "The auditor asks the model and looks at data; it knows nothing of how it was made. Because a clean "
        "report of a blind auditor is worth nothing, each defect was also planted around this very model.",
        Level.REFUSE if accused else Level.OK,
        [Finding("defect", Level.REFUSE, f"{r['subject']}: {r['what']}") for r in evidence if r["accused"]],
        tables=[
            Table(
                "What the tools found",
                ("asked", "tool", "score", "limit", "verdict", "in words"),
                rows,
                words=True,
            ),
            Table(
                "What they would have found",
                ("asked", "planted defect", "size", "tools", "found", "missed"),
                planted,
                words=True,
            ),
            *(
                [Table("Tools that were not used", ("asked", "tool", "why not"), unused, words=True)]
                if unused
                else []
            ),
        ],
        words="a tool accuses" if accused else "no tool accuses",
    )


def _evidence(record: Mapping[str, Any]) -> Section:
    claims = [
        (row["figure"], _number(row["claimed"]), _number(row["measured"]), f"{row['tolerance']:g}",
         {True: "holds", False: "does not hold", None: row.get("why", "")}[row["holds"]])
        for row in record["claims"]
    ]  # fmt: skip
    wrong = any(row["holds"] is False for row in record["claims"])
    seals = [(name, value[:16]) for part in ("data", "code") for name, value in record["seals"][part].items()]
    figures = [(name, f"{value:.4g}") for name, value in record["figures"].items() if value is not None]
    return Section(
        "Claims and seals",
        "Figures of the card computed again by a process that never loads the model, on data and with code "
        "whose hashes were the same before and after.",
        Level.REFUSE if wrong else Level.OK,
        [],
        tables=[
            Table("Claims", ("figure on the card", "claimed", "again", "tolerance", "verdict"), claims),
            Table("Figures of this audit", ("figure", "value"), figures),
        ],
        after=[Table("Seals (sha256, first 16 digits)", ("what", "hash"), seals)],
        words="a claim does not hold" if wrong else "claims hold as far as they could be computed",
        commands=[f"sciai audit {record['domain']}{' --quick' if record['quick'] else ''}"],
    )
