"""Options and arguments that the commands of `sciai atoms` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

Structure = Annotated[
    Path, typer.Argument(metavar="FILE", help="CIF, POSCAR, extxyz, traj ...: anything that ASE reads.")
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
    """The last structure of a file."""
    from sciai.atoms.api.files import read as get

    return get(file)


def potential(model: str | None, guard: str, device: str | None, double: bool, d3: bool) -> Potential:
    """The potential that the options name."""
    from sciai.atoms.api.foreign import named

    return named(model, guard=guard, device=device, dtype="float64" if double else "float32", d3=d3)


def out_of(out: Path | None, file: Path, kind: str) -> Path:
    """Folder of a run: as given, else named after file and command, where one works."""
    return out if out is not None else Path(f"{file.stem}-{kind}")
