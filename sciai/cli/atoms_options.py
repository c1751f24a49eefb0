"""Options and arguments that the commands of `sciai atoms` share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

Structure = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="CIF, POSCAR, extxyz, traj ...: anything that ASE reads. Of several structures the last; FILE@0 "
        "takes the first.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="A checkpoint's name or folder, or emt, lj, chgnet, 7net-0. [the shipped one]"),
]
Guard = Annotated[str, typer.Option(help="default; strict refuses where default warns; off.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... [a GPU where there is one]")]
Double = Annotated[bool, typer.Option("--double", help="Compute in double precision.")]
D3 = Annotated[bool, typer.Option("--d3", help="Add D3(BJ) dispersion (extra d3).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start again in a folder that holds a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def read(file: Path) -> Atoms:
    """The last structure of a file, or the one whose number stands behind an @; of several it is said."""
    from sciai.atoms.api.files import read_all
    from sciai.core.errors import BadInput

    name, number = file, None
    if not file.exists() and (found := re.fullmatch(r"(.+)@(-?\d+)", str(file))):
        name, number = Path(found[1]), int(found[2])
    frames = read_all(name)
    count = len(frames)
    if number is None and count > 1:
        said = f"{name} holds {count} structures; the last is taken ({name}@0 is the first)"
        typer.secho(said, err=True, fg="yellow")
    at = -1 if number is None else number
    if not -count <= at < count:
        raise BadInput(f"there is no structure {at}", file=name, fix=f"it holds {count}, numbered from 0")
    return frames[at]


def potential(model: str | None, guard: str, device: str | None, double: bool, d3: bool) -> Potential:
    """The potential that the options name."""
    from sciai.atoms.api.foreign import named

    return named(model, guard=guard, device=device, dtype="float64" if double else "float32", d3=d3)


def out_of(out: Path | None, file: Path, kind: str) -> Path:
    """Folder of a run: as given, else named after file and command, where one works."""
    if out is not None:
        return out
    name, _, number = file.name.rpartition("@")
    stem = file.stem if not name else f"{Path(name).stem}-{number}"
    return Path(f"{stem}-{kind}")
