"""`sciai audit DOMAIN`: everything the trust layer can find out about a checkpoint, as one report."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show, trust

if TYPE_CHECKING:
    from sciai.trust.audit.whole import Plan

DOMAINS = ("atoms", "health", "radar")


def audit(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="atoms, health or radar.")],
    checkpoint: Annotated[
        str, typer.Option(help="Name of a shipped checkpoint, or a folder; the domain's own by default.")
    ] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real data that it has not seen; repeatable. [what lies beside the checkout, or ships]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report and finished parts; audits/NAME by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look in half a minute; no evidence.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON on stdout.")] = False,
) -> None:
    """Audit a checkpoint: whom it harms, hidden defects, claims, what its checks cost; HTML and JSON.

    Figures are computed by a process that never loads the model, on data and with
    code that are hashed before and after. An audit that was interrupted goes on
    where it stopped. A full one is kept beside the checkpoint, where
    [bold]sciai release[/bold] and [bold]sciai card[/bold] find it; a quick one is not.
    Exit code 3: the audit failed.

    [bold]Examples[/bold]

    sciai audit health --quick
    sciai audit atoms --data measured.extxyz --out mine
    sciai audit radar --checkpoint runs/radar/model --json
    """
    from sciai.core.checkpoint import Checkpoint
    from sciai.core.errors import BadInput
    from sciai.studio.audit import page
    from sciai.trust.audit.whole import audit as audited
    from sciai.trust.audit.whole import save

    if domain not in DOMAINS:
        raise typer.BadParameter(f"there is no domain {domain!r}; there are {', '.join(DOMAINS)}")
    folder = trust._folder(checkpoint or domain)
    loaded = Checkpoint.load(folder)
    if loaded.card.domain != domain:
        raise BadInput(f"a checkpoint of {loaded.card.domain}, not of {domain}", file=folder)
    missing = [path for path in data or () if not path.exists()]
    if missing:
        raise BadInput("there is no such file", file=missing[0], field="--data")
    where = out or Path("audits") / folder.name
    plan: Plan = importlib.import_module(f"sciai.{domain}.api.audit").plan(
        loaded, [str(path) for path in data or ()]
    )
    try:
        with show.progress(f"auditing {folder.name}") as step:
            record = audited(plan, folder, where / "parts", quick=quick, progress=step)
    except KeyboardInterrupt:
        show.stderr().print("interrupted: the same command goes on where this one stopped")
        raise
    save(record, where / "audit.json")
    report = page(record, where / "report.html")
    kept = None if quick else _keep(record, folder)
    if json:
        show.print_json(record)
    else:
        _tell(record)
    show.stderr().print(f"report: {report}", markup=False)
    told = f"evidence: {kept}" if kept else "not kept as evidence for a release"
    show.stderr().print(told, markup=False)
    if not record["passed"]:
        raise typer.Exit(3)


def _tell(record: dict[str, Any]) -> None:
    rows = [
        (row["slice"], row["harm"], row["n"], row["rate"], row["elsewhere"], row["verdict"])
        for row in record["worst"]
    ]
    columns = ["slice", "harm", "n", "rate", "elsewhere", "verdict"]
    about = record["judged"]["about"] or "no held-out truth"
    show.print_table(f"{record['name']}: the ten worst slices", columns, rows, notes=about)
    found = [
        (row["subject"], row["tool"], row["score"], row["limit"], "accuses" if row["accused"] else "-")
        for row in record["defects"]["evidence"]
    ]
    show.print_table("hidden defects", ["asked", "tool", "score", "limit", "verdict"], found)
    typer.echo("passed" if record["passed"] else "FAILED")
    for text in record["failures"]:
        typer.echo(f"  against it: {text}")
    for text in record["misses"]:
        typer.echo(f"  missed: {text}")
    for text in record["cannot"]:
        typer.echo(f"  cannot be told: {text}")


def _keep(record: dict[str, Any], folder: Path) -> Path | None:
    """Beside the checkpoint, where that can be written."""
    from sciai.core.errors import BadInput
    from sciai.trust.audit.whole import save

    target = folder.with_name(f"{folder.name}.audit.json")
    try:
        save(record, target)
    except BadInput as error:
        show.stderr().print(str(error), style="yellow", markup=False)
        return None
    return target
