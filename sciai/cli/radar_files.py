"""What the radar commands share: options, formats, opening what is given and writing what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    import xarray as xr

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout, nothing else.")]
Volume = Annotated[
    list[Path], typer.Argument(metavar="IN", help="File of the volume; several where it is spread over them.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


class VolumeAndStore(TyperCommand):
    """A command that takes a volume and a store: of one path alone it says which of the two is missing.

    As the volume may be several files, the command line takes a lone path for the store, whatever it is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; the error of a lone path names what is missing, and gives an example."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if getattr(error.param, "name", "") != "files" or not hasattr(error, "param_type"):
                raise
            word = self.make_parser(ctx).parse_args(args=given)[0].get("store")
            lone = Path(word if isinstance(word, str) else "volume.h5")
            volume, store = ("volume.h5", lone) if is_store(lone) else (lone, lone.with_suffix(".zarr").name)
            error.param_hint = "'IN'" if is_store(lone) else "'OUT.zarr'"
            error.message = f"It takes the volume and its store, such as: {ctx.command_path} {volume} {store}"
            raise


class Format(StrEnum):
    """Formats that `decompress` writes."""

    cfradial2 = "cfradial2"
    cfradial1 = "cfradial1"
    odim = "odim"
    pawr = "pawr"


def given(files: Sequence[Path]) -> Path | list[Path]:
    """One file, or the list of them."""
    return files[0] if len(files) == 1 else list(files)


def open_volume(files: Sequence[Path]) -> xr.DataTree:
    """The volume in these files."""
    from sciai.radar import data

    return data.open_volume(given(files))


def is_store(path: Path) -> bool:
    """Whether a path is, or is named like, a store."""
    return (path / "zarr.json").is_file() or path.suffix == ".zarr"


def format_of(out: Path) -> Format:
    """Format that the ending of a name stands for."""
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


def must_be_new(out: Path, overwrite: bool) -> None:
    """Raise BadInput where the output exists and may not be replaced."""
    from sciai.core.errors import BadInput

    if out.exists() and not overwrite and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput("the output exists already", file=out, fix="choose another name or give --overwrite")


def write(volume: xr.DataTree, out: Path, format: Format, overwrite: bool) -> None:
    """Write a volume to a file or folder."""
    from sciai.radar import data

    writers: dict[Format, Callable[..., object]] = {
        Format.cfradial2: data.write_cfradial2,
        Format.cfradial1: data.write_cfradial1,
        Format.odim: data.write_odim,
        Format.pawr: data.write_pawr,
    }
    writers[format](volume, out, overwrite=overwrite)
