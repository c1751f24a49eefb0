"""More commands of `sciai radar`: what a file holds, pictures, and where volumes come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sciai.cli import radar_show, show
from sciai.cli.radar_files import (
    AsJson,
    Format,
    Quiet,
    format_of,
    is_store,
    must_be_new,
    open_volume,
    write,
)


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="A store, or the files of a volume.")],
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what a store or a radar file holds: site, time, sweeps, variables, bits.

    [bold]Examples[/bold]

    sciai radar info out.zarr
    sciai radar info KTLX20190525_222419 --json
    """
    from sciai.core.errors import DamagedStore
    from sciai.radar import api

    held, damage = None, None
    with show.progress("reading", quiet=quiet):
        stored = api.info(files[0]) if len(files) == 1 and is_store(files[0]) else None
        try:
            held = radar_show.volume_figures(open_volume(files))
        except DamagedStore as err:  # its record still says what it held
            if stored is None:
                raise
            damage = err
    if json:
        show.print_json({"volume": held, "store": stored})
    else:
        if held is not None:
            radar_show.print_volume(held)
        if stored is not None:
            radar_show.print_store(stored)
    if damage is not None:
        raise damage


def view(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT.zarr]", help="A volume, a store, or a volume and its store."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")] = Path("radar.png"),
    var: Annotated[
        list[str] | None, typer.Option(help="Variable to draw; repeatable. All when left out.")
    ] = None,
    sweep: Annotated[
        list[int] | None, typer.Option(help="Sweep to draw; repeatable. The lowest when left out.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw a volume; with its store also what came back and the difference.

    Missing gates are white, gates below noise light grey.

    [bold]Examples[/bold]

    sciai radar view in.h5 -o in.png
    sciai radar view in.h5 out.zarr -o compare.png --var DBZH --var VRADH
    sciai radar view out.zarr --sweep 0 --sweep 3 --var DBZH
    """
    from sciai.core.errors import BadInput
    from sciai.radar.api import view as pictures

    if output.suffix.lower() != ".png":
        raise BadInput("the picture is a PNG", file=output, fix="name it something.png")
    with show.progress("reading", quiet=quiet) as step:
        compare = len(files) > 1 and is_store(files[-1])
        volume = open_volume(files[:-1] if compare else files)
        decoded = open_volume(files[-1:]) if compare else None
        step(-1, "drawing")
        path = pictures.view(volume, output, decoded, variables=var, sweeps=sweep)
    typer.echo(str(path))


def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help=".nc CfRadial2, .h5 ODIM_H5, or a folder for raw.")
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same storm.")] = 0,
    shape: Annotated[
        str, typer.Option(metavar="ELxAZxRANGE", help="Elevations x azimuths x ranges.")
    ] = "114x300x800",
    time_step: Annotated[int, typer.Option(help="Which volume of the storm; one each 30 s.")] = 0,
    var: Annotated[
        list[str] | None, typer.Option(help="Variable to make; repeatable. All seven when left out.")
    ] = None,
    format: Annotated[
        Format | None, typer.Option(help="Format, where the name of OUT does not tell.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a synthetic storm on the MP-PAWR geometry; for trying things out, never for figures.

    [bold]Examples[/bold]

    [dim]# full size: 114 x 300 x 800, seven variables[/dim]
    sciai radar simulate storm.nc

    [dim]# a small one[/dim]
    sciai radar simulate small.nc --shape 8x120x300 --seed 7

    [dim]# the next volume of the same storm[/dim]
    sciai radar simulate later.nc --time-step 1
    """
    from sciai.radar.data import simulate as make

    chosen = format or format_of(out)
    must_be_new(out, overwrite)
    with show.progress("simulating", quiet=quiet) as step:
        volume = make(seed, time_step, _shape(shape), *([var] if var else []))
        step(-1, f"writing {chosen.value}")
        write(volume, out, chosen, overwrite)
    typer.echo(str(out))


def fetch(
    site: Annotated[str, typer.Argument(help="Four-letter NEXRAD site, such as KTLX.")],
    time: Annotated[str, typer.Argument(help="UTC, such as 2013-05-20T20:16; the nearest volume is taken.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to put the file in.")] = Path("."),
    quiet: Quiet = False,
) -> None:
    """Fetch a real NEXRAD Level II volume from NOAA's public archive, with its checksum verified.

    [bold]Examples[/bold]

    sciai radar fetch KTLX 2013-05-20T20:16
    sciai radar fetch KLOT "2021-06-25 07:51" --out volumes/
    """
    from sciai.radar.data import fetch as get

    path = get(site, time, out, progress=False if quiet else None)  # it draws its own bar, with bytes
    typer.echo(str(path))


def _shape(text: str) -> tuple[int, int, int]:
    try:
        numbers = tuple(int(word) for word in text.lower().replace("×", "x").split("x"))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or min(numbers) < 1:
        raise typer.BadParameter(f"{text!r} is not elevations x azimuths x ranges, such as 114x300x800")
    return numbers
