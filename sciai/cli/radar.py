"""`sciai radar`: read, compress, prove, look at and simulate weather-radar volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sciai.cli import radar_show, show

if TYPE_CHECKING:
    import xarray as xr

    from sciai.core.answer import Answer
    from sciai.radar.api.report import Compressed

app = typer.Typer(
    name="radar",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Weather-radar volumes: compress with a proven bound, decompress, verify, look at, simulate, fetch.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout, nothing else.")]
Volume = Annotated[
    list[Path], typer.Argument(metavar="IN", help="File of the volume; several where it is spread over them.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


class Codec(StrEnum):
    """Which codec writes; auto takes the smaller one for each variable."""

    auto = "auto"
    context = "context"
    transform = "transform"
    plain = "plain"


class Effort(StrEnum):
    """best is smallest; fast takes some 60 % of the time, for some 5 % more bits."""

    best = "best"
    fast = "fast"


class Format(StrEnum):
    """Formats that `decompress` writes."""

    cfradial2 = "cfradial2"
    odim = "odim"
    pawr = "pawr"


@app.command(no_args_is_help=True)
def compress(
    files: Volume,
    store: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="The store to write.")],
    psnr: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DB | NAME=DB", help="Least PSNR of every variable, or of one; repeatable. [35]"
        ),
    ] = None,
    max_error: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Largest error of a variable in its own unit; repeatable."),
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Every value comes back bit for bit.")] = False,
    strong_echo: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="Largest error of echo of 45 dBZ on, and of each sweep's strongest; 0: no bound.",
        ),
    ] = 1.0,
    previous: Annotated[
        Path | None,
        typer.Option(help="Store of the volume before this one; saves bits, and decoding will need it too."),
    ] = None,
    codec: Annotated[Codec, typer.Option(help="Which codec may write.")] = Codec.auto,
    effort: Annotated[
        Effort,
        typer.Option(help="best: smallest; fast: 60 % of the time, some 5 % more bits, same promises."),
    ] = Effort.best,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.zarr where it exists.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compress a volume into a Zarr store whose error is measured, not promised.

    What was written is decoded again and compared; a variable that misses its
    bound is repaired, or the command refuses (exit code 3) and leaves nothing
    behind. Invalid gates, below noise and missing, come back exactly.

    [bold]Examples[/bold]

    [dim]# every variable at 35 dB PSNR or better[/dim]
    sciai radar compress KTLX20190525_222419 out.zarr

    [dim]# one file for each variable; 40 dB, differential reflectivity 45 dB[/dim]
    sciai radar compress dbzh.h5 zdr.h5 out.zarr --psnr 40 --psnr ZDR=45

    [dim]# no gate further off than this[/dim]
    sciai radar compress in.h5 out.zarr --max-error DBZH=1 --max-error VRADH=0.5

    [dim]# bit for bit; figures for a script[/dim]
    sciai radar compress in.h5 out.zarr --lossless --json | jq .level

    [dim]# for a stream: less time, the same promises[/dim]
    sciai radar compress in.h5 out.zarr --effort fast

    [dim]# the next volume of the same radar[/dim]
    sciai radar compress t1.h5 t1.zarr --previous t0.zarr

    [bold]Then[/bold], in any Python that has sciai

    xarray.open_datatree("out.zarr", engine="zarr")
    """
    from sciai.radar import api

    if lossless and (psnr or max_error):
        raise typer.BadParameter("--lossless already bounds every error; leave out --psnr and --max-error")
    least, largest = show.pairs(psnr or [], "--psnr"), show.pairs(max_error or [], "--max-error")
    with show.progress("reading", quiet=quiet) as step:
        answer = api.compress(
            _given(files),
            store,
            psnr=_spread(least, files),
            max_error=_spread(largest, files),
            lossless=lossless,
            strong_echo=strong_echo or None,
            previous=previous,
            codec=codec.value,
            effort=effort.value,
            overwrite=overwrite,
            progress=step,
        )
    _answer(answer, json, f"{store}")


@app.command(no_args_is_help=True)
def decompress(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="A store that `sciai radar compress` wrote.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help=".nc CfRadial2, .h5 ODIM_H5, or a folder for MP-PAWR raw.")
    ],
    format: Annotated[
        Format | None, typer.Option(help="Format, where the name of OUT does not tell.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Of a damaged store, write the rest: what is lost is missing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a stored volume back to a file that other programs read.

    [bold]Examples[/bold]

    [dim]# CfRadial2 netCDF, all attributes[/dim]
    sciai radar decompress out.zarr out.nc

    [dim]# ODIM_H5, undetect and nodata told apart[/dim]
    sciai radar decompress out.zarr out.h5

    [dim]# MP-PAWR raw, one file for each variable[/dim]
    sciai radar decompress out.zarr raw/ --format pawr

    [dim]# what can still be read of a damaged store; stderr names what cannot[/dim]
    sciai radar decompress damaged.zarr rest.nc --salvage
    """
    import warnings

    from sciai.core.errors import DamagedStore
    from sciai.radar import api

    chosen = format or _format_of(out)
    _must_be_new(out, overwrite)
    with show.progress("decoding", quiet=quiet) as step:
        try:
            with warnings.catch_warnings(record=True) as lost:
                warnings.simplefilter("always", UserWarning)
                volume = api.decompress(store, damaged="missing" if salvage else "raise")
        except DamagedStore as err:
            raise DamagedStore(f"{err}; --salvage writes what can still be read") from err
        step(-1, f"writing {chosen.value}")
        _write(volume, out, chosen, overwrite)
    for loss in lost:
        typer.echo(f"lost: {loss.message}", err=True)
    typer.echo(str(out))


@app.command(no_args_is_help=True)
def verify(
    files: Volume,
    store: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="The store made from it.")],
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prove that a store holds a volume within the bounds that it states: decode, compare, judge.

    Exit code 0 where every bound holds, 3 where one does not.

    [bold]Examples[/bold]

    sciai radar verify in.h5 out.zarr
    sciai radar verify in.h5 out.zarr --json
    """
    from sciai.radar import api

    with show.progress("decoding and comparing", quiet=quiet):
        answer = api.verify(_given(files), store)
    _answer(answer, json, f"{store} against {', '.join(map(str, files))}")


@app.command(no_args_is_help=True)
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
        stored = api.info(files[0]) if len(files) == 1 and _is_store(files[0]) else None
        try:
            held = radar_show.volume_figures(_open(files))
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


@app.command(no_args_is_help=True)
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
        compare = len(files) > 1 and _is_store(files[-1])
        volume = _open(files[:-1] if compare else files)
        decoded = _open(files[-1:]) if compare else None
        step(-1, "drawing")
        path = pictures.view(volume, output, decoded, variables=var, sweeps=sweep)
    typer.echo(str(path))


@app.command(no_args_is_help=True)
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

    chosen = format or _format_of(out)
    _must_be_new(out, overwrite)
    with show.progress("simulating", quiet=quiet) as step:
        volume = make(seed, time_step, _shape(shape), *([var] if var else []))
        step(-1, f"writing {chosen.value}")
        _write(volume, out, chosen, overwrite)
    typer.echo(str(out))


@app.command(no_args_is_help=True)
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


def _given(files: Sequence[Path]) -> Path | list[Path]:
    return files[0] if len(files) == 1 else list(files)


def _open(files: Sequence[Path]) -> xr.DataTree:
    from sciai.radar.data import open_volume

    return open_volume(_given(files))


def _spread(
    wanted: float | dict[str, float] | None, files: Sequence[Path]
) -> float | dict[str, float] | None:
    """Targets as `compress` takes them: a bare number beside named ones is for all other variables."""
    from sciai.radar.api.view import drawable

    if isinstance(wanted, dict) and "*" in wanted:
        rest = dict.fromkeys(drawable(_open(files)), wanted["*"])
        return rest | {name: number for name, number in wanted.items() if name != "*"}
    return wanted


def _is_store(path: Path) -> bool:
    return (path / "zarr.json").is_file() or path.suffix == ".zarr"


def _format_of(out: Path) -> Format:
    from sciai.core.errors import BadInput

    suffix = out.suffix.lower()
    if suffix in (".nc", ".nc4", ".cdf"):
        return Format.cfradial2
    if suffix in (".h5", ".hdf", ".hdf5"):
        return Format.odim
    if suffix in ("", ".pawr", ".raw"):
        return Format.pawr
    raise BadInput(
        f"the ending {suffix} names no format",
        file=out,
        fix="use .nc, .h5 or a folder name, or give --format",
    )


def _must_be_new(out: Path, overwrite: bool) -> None:
    from sciai.core.errors import BadInput

    if out.exists() and not overwrite and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput("the output exists already", file=out, fix="choose another name or give --overwrite")


def _write(volume: xr.DataTree, out: Path, format: Format, overwrite: bool) -> None:
    from sciai.radar import data

    writers: dict[Format, Callable[..., object]] = {
        Format.cfradial2: data.write_cfradial2,
        Format.odim: data.write_odim,
        Format.pawr: data.write_pawr,
    }
    writers[format](volume, out, overwrite=overwrite)


def _shape(text: str) -> tuple[int, int, int]:
    try:
        numbers = tuple(int(word) for word in text.lower().replace("×", "x").split("x"))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or min(numbers) < 1:
        raise typer.BadParameter(f"{text!r} is not elevations x azimuths x ranges, such as 114x300x800")
    return numbers


def _answer(answer: Answer[Compressed], json: bool, title: str) -> None:
    """Print an answer, and end with exit code 3 where it was refused."""
    if json:
        show.print_json(answer.to_dict())
    else:
        if answer.estimate is not None:
            radar_show.print_compressed(answer.estimate.value, title)
        show.print_findings(answer.findings, answer.level.name.lower())
    show.finish(answer)
