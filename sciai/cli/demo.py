"""`sciai demo`: the main job of every domain that exists, and one HTML report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sciai.cli import show


def demo(
    volume: Annotated[
        list[Path] | None,
        typer.Option(help="Your own radar volume; repeat it where the volume is spread over several files."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and the store.")] = Path("demo"),
    offline: Annotated[bool, typer.Option("--offline", help="Do not try to fetch a public volume.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Run each domain's main job and write one self-contained HTML report with pictures.

    Without --volume a public NEXRAD volume is fetched; where there is no
    network, a storm is simulated, and the report says that it is synthetic.
    Takes less than two minutes on two cores.

    [bold]Examples[/bold]

    sciai demo
    sciai demo --volume KTLX20190525_222419 --out my-report
    sciai demo --volume dbzh.h5 --volume zdr.h5 --json
    """
    from sciai.studio.demo import run

    with show.progress("starting", quiet=quiet) as step:
        done = run(out, volume or [], offline=offline, step=step)
    if json:
        show.print_json(done.figures)
    else:
        for section in done.sections:
            rows = [(tile.label, tile.value) for tile in section.tiles]
            show.print_table(section.title, ["figure", "value"], rows)
        show.print_findings(done.findings, done.level.name.lower())
        typer.echo(f"report: {done.report}")
    if done.level.name == "REFUSE":
        raise typer.Exit(3)
