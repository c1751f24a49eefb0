"""`sciai drift`: has the stream of questions left what was learned?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from sciai.trust.ledger import Ledger


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
    from sciai.core.errors import BadInput
    from sciai.trust.drift import Drift

    if domain not in ("atoms", "health", "radar"):
        raise BadInput(f"no domain is called {domain!r}", fix="choose atoms, health or radar")
    if (source / "ledger.json").is_file():
        from sciai.trust.ledger import Ledger

        distances = list(_asked(Ledger(source), domain))
        known, more_distances = _known(domain, model, [])
    else:
        known, more_distances = _known(domain, model, [source, *(more or [])])
        distances = []
    distances += more_distances
    if not distances:
        raise BadInput(
            f"no question of {domain} there has a distance from training",
            file=source,
            fix="ask something first; of people two numbers of body or blood have to be known",
        )
    watch = Drift(known, rate)
    watch.observe(distances)
    found = watch.check()
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
        show.print_findings(found, "caution" if found else "ok")
    if found:
        raise typer.Exit(3)


def _log(x: float) -> float:
    import math

    return math.log(x)


def _asked(ledger: Ledger, domain: str) -> Iterator[float]:
    """Distances of the questions in a ledger, oldest first; one asked again at once counts once."""
    before = None
    for entry in ledger.entries():
        distance = entry.body.get("distance") if entry.kind == "answer" else None
        if entry.body.get("domain") == domain and isinstance(distance, int | float):
            subject = entry.body.get("subject") or distance
            if subject != before:
                yield float(distance)
            before = subject


def _known(domain: str, model: str | None, files: list[Path]) -> tuple[list[float], list[float]]:
    """Distances of held-out questions, and of those in files."""
    from importlib import import_module

    stream = import_module(f"sciai.{domain}.api.stream")
    known, distances = stream.distances(files, model)
    return [float(d) for d in known], [float(d) for d in distances]
