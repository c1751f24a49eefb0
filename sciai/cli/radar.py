"""`sciai radar`: read, compress, prove, look at and simulate weather-radar volumes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sciai.cli import radar_more, radar_show, show
from sciai.cli.radar_files import (
    AsJson,
    Format,
    Quiet,
    Volume,
    VolumeAndStore,
    format_of,
    given,
    must_be_new,
    write,
)

if TYPE_CHECKING:
    from sciai.core.answer import Answer
    from sciai.radar.api.report import Compressed

app = typer.Typer(
    name="radar",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Weather-radar volumes: compress with a proven bound, decompress, verify, look at, simulate, fetch.",
)


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


@app.command(no_args_is_help=True, cls=VolumeAndStore)
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
    model: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of your own (`sciai train radar`); the store holds its model."),
    ] = None,
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

    [dim]# a codec that learned this radar[/dim]
    sciai radar compress in.h5 out.zarr --model runs/radar/model

    [bold]Then[/bold], in any Python that has sciai

    xarray.open_datatree("out.zarr", engine="zarr")
    """
    from sciai.radar import api

    if lossless and (psnr or max_error):
        raise typer.BadParameter("--lossless already bounds every error; leave out --psnr and --max-error")
    if model is not None and codec is not Codec.auto:
        raise typer.BadParameter("--model is a codec of its own; leave out --codec")
    least, largest = show.pairs(psnr or [], "--psnr"), show.pairs(max_error or [], "--max-error")
    with show.progress("reading", quiet=quiet) as step:
        answer = api.compress(
            given(files),
            store,
            psnr=_spread(least),
            max_error=_spread(largest),
            lossless=lossless,
            strong_echo=strong_echo or None,
            previous=previous,
            codec=codec.value if model is None else model,
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

    [dim]# CfRadial 1, for Py-ART, LROSE and other tools that do not read CfRadial2[/dim]
    sciai radar decompress out.zarr out.nc --format cfradial1

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
    from sciai.radar.api.store import check_store

    chosen = format or format_of(out)
    must_be_new(out, overwrite)
    with show.progress("decoding", quiet=quiet) as step:
        try:
            with warnings.catch_warnings(record=True) as lost:
                warnings.simplefilter("always", UserWarning)
                volume = api.decompress(store, damaged="missing" if salvage else "raise")
        except DamagedStore as err:
            check_store(store)  # says it again where no salvage would help
            if salvage:
                raise
            raise DamagedStore(f"{err}; --salvage writes what can still be read") from err
        step(-1, f"writing {chosen.value}")
        write(volume, out, chosen, overwrite)
    for loss in lost:
        typer.echo(f"lost: {loss.message}", err=True)
    typer.echo(str(out))


@app.command(no_args_is_help=True, cls=VolumeAndStore)
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
        answer = api.verify(given(files), store)
    _answer(answer, json, f"{store} against {', '.join(map(str, files))}")


def _spread(wanted: float | dict[str, float] | None) -> float | dict[str, float] | None:
    """Targets as `compress` takes them: under "" stands what holds for variables that are not named.

    To name them all here instead would also name categories, which come back bit for bit unless somebody did.
    """
    if isinstance(wanted, dict):
        return {"" if name == "*" else name: number for name, number in wanted.items()}
    return wanted


def _answer(answer: Answer[Compressed], json: bool, title: str) -> None:
    """Print an answer, and end with exit code 3 where it was refused."""
    if json:
        show.print_json(answer.to_dict())
    else:
        if answer.estimate is not None:
            radar_show.print_compressed(answer.estimate.value, title)
        show.print_findings(answer.findings, answer.level.name.lower())
    show.finish(answer)


app.command(no_args_is_help=True)(radar_more.info)
app.command(no_args_is_help=True)(radar_more.view)
app.command(no_args_is_help=True)(radar_more.simulate)
app.command(no_args_is_help=True)(radar_more.fetch)
