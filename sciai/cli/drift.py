"""`sciai drift`: has the stream of questions left what was learned?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show, trust

if TYPE_CHECKING:
    from sciai.core.answer import Finding


def drift(
    domain: Annotated[str, typer.Argument(help="atoms, health or radar.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="LEDGER|TABLE|FILE...", help="A ledger of answers; or questions that were never asked."
        ),
    ],
    more: Annotated[list[Path] | None, typer.Argument(metavar="", help="More files.", hidden=True)] = None,
    rate: Annotated[float, typer.Option(help="Probability of ever raising a false alarm.")] = 0.01,
    model: Annotated[
        str | None, typer.Option(help="A checkpoint's name or folder. [the shipped one]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout.")] = False,
) -> None:
    """Has the stream of questions left what was learned? Exit code 3 where the alarm was raised.

    Each question's distance from training is ranked among those of held-out
    ones; an alarm bets against chance. Questions are taken in their order; the
    same one asked again at once (risks, then why) counts once.

    [bold]Examples[/bold]

    [dim]# what was asked so far[/dim]
    sciai drift health answers

    [dim]# a table of people, a set of structures, volumes of a new radar, before anything is asked[/dim]
    sciai drift health people.csv
    sciai drift atoms candidates.extxyz
    sciai drift radar new/*.h5
    """
    from sciai.core.answer import Level
    from sciai.core.errors import BadInput
    from sciai.trust.drift import Drift

    if domain not in ("atoms", "health", "radar"):
        raise BadInput(f"no domain is called {domain!r}", fix="choose atoms, health or radar")
    paths = [source, *(more or [])]
    ledgers = [path for path in paths if (path / "ledger.json").is_file()]
    if ledgers and len(paths) > 1:
        raise BadInput(
            "a ledger and more beside it are no one stream", file=ledgers[0], fix="give them one by one"
        )
    known, distances = _known(domain, model, [] if ledgers else paths)
    without: list[Finding] = []
    if ledgers:
        distances, without = _asked(source, domain, model)
    if not distances:
        told = "".join(f"; {finding.message}" for finding in without)
        raise BadInput(
            f"no question of {domain} there has a distance from training{told}",
            file=source,
            fix="ask something first; of people two numbers of body or blood have to be known",
        )
    watch = Drift(known, rate)
    watch.observe(distances)
    alarm = watch.check()
    found = [*alarm, *without]
    far = sum(d > sorted(known)[-1 - len(known) // 100] for d in distances)
    figures: dict[str, Any] = {
        "domain": domain,
        "questions": len(distances),
        "held_out": len(known),
        "rate": rate,
        "alarmed_at": watch.alarmed_at,
        "log_evidence": watch.log_evidence,
        "log_alarm": -_log(rate),
        "beyond_99_percent": far,
        "findings": found,
    }
    if json:
        show.print_json(figures)
    else:
        typer.echo(
            f"{len(distances)} questions beside {len(known)} held-out ones: evidence of drift "
            f"{watch.log_evidence:.1f}, alarm at {-_log(rate):.1f} (false in at most {rate:.2g} of all "
            f"streams); {far} lie beyond 99 % of the held-out ones"
        )
        show.print_findings(found, max((f.level for f in found), default=Level.OK).name.lower())
    if alarm:
        raise typer.Exit(3)


def _log(x: float) -> float:
    import math

    return math.log(x)


def _asked(folder: Path, domain: str, model: str | None) -> tuple[list[float], list[Finding]]:
    """Distances of the questions in a ledger, oldest first; one asked again at once counts once.

    And what is not among them: a stream of which half was refused at sight is not like what was learned.
    """
    from sciai.core.answer import Finding, Level
    from sciai.core.checkpoint import Checkpoint
    from sciai.core.errors import BadInput
    from sciai.trust.ledger import Ledger

    kept = Ledger(folder)
    if wrong := [f.message for f in kept.verify() if f.level > Level.OK]:
        raise BadInput(f"the ledger does not hold: {wrong[0]}", file=folder, fix="sciai ledger verify")
    # distances of two models cannot be ranked together; those of volumes are no model's
    ours = None if domain == "radar" else Checkpoint.verify(trust._folder(model or domain))
    distances: list[float] = []
    foreign, refused, silent, before = 0, 0, 0, None
    for entry in kept.entries():
        body = entry.body
        if entry.kind != "answer" or body.get("domain") != domain:
            continue
        distance, by = body.get("distance"), (body.get("provenance") or {}).get("checkpoint")
        if ours is not None and by and ours not in str(by).split("; "):
            foreign += 1
        elif isinstance(distance, int | float):
            subject = body.get("subject") or distance
            if subject != before:
                distances.append(float(distance))
            before = subject
        else:
            refused += body.get("level") == "refuse"
            silent += body.get("level") != "refuse"
    told = (
        (foreign, Level.CAUTION, "were answered by another checkpoint (--model names one)"),
        (refused, Level.CAUTION, "were refused before a distance was known, as one far from all may be"),
        (silent, Level.OK, "have no distance: tables, samples, or too little was told"),
    )
    return distances, [
        Finding("uncounted", level, f"{count} more answers of {domain} {why}; they do not count here")
        for count, level, why in told
        if count
    ]


def _known(domain: str, model: str | None, files: list[Path]) -> tuple[list[float], list[float]]:
    """Distances of held-out questions, and of those in files."""
    from importlib import import_module

    stream = import_module(f"sciai.{domain}.api.stream")
    known, distances = stream.distances(files, model)
    return [float(d) for d in known], [float(d) for d in distances]
