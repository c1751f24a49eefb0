"""More commands of `sciai atoms`: paths, surfaces, many structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sciai.cli import atoms_show, show
from sciai.cli.atoms_options import (
    D3,
    AsJson,
    Device,
    Double,
    Guard,
    Model,
    Overwrite,
    Quiet,
    Structure,
    out_of,
    potential,
    read,
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write. [FILE-command]")]


def neb(
    initial: Structure,
    final: Annotated[Path, typer.Argument(metavar="FINAL", help="The end; same atoms, same order.")],
    out: Out = None,
    images: Annotated[int, typer.Option(help="Number of images, ends included.")] = 7,
    fmax: Annotated[float, typer.Option(help="Largest force left across the path, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Most optimiser steps.")] = 500,
    climb: Annotated[bool, typer.Option("--climb/--no-climb", help="Climb to the saddle.")] = True,
    relax_ends: Annotated[
        bool, typer.Option("--relax-ends/--keep-ends", help="Relax both ends first.")
    ] = True,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The barrier between two structures (nudged elastic band with a climbing image).

    [bold]Examples[/bold]

    sciai atoms neb before.extxyz after.extxyz
    sciai atoms neb before.extxyz after.extxyz --images 11 --fmax 0.02
    """
    from sciai.atoms.api.paths import neb as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, initial, "neb")
        answer = run(
            read(initial),
            read(final),
            potential(model, guard, device, double, d3),
            folder,
            images=images,
            fmax=fmax,
            steps=steps,
            climb=climb,
            relax_ends=relax_ends,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "neb", folder, json)


def surface(
    file: Structure,
    miller: Annotated[str, typer.Argument(metavar="HKL", help="Such as 111 or 1,-1,0.")],
    out: Out = None,
    layers: Annotated[int, typer.Option(help="Repetitions of the cut.")] = 6,
    vacuum: Annotated[float, typer.Option(help="Å on either side.")] = 10.0,
    fmax: Annotated[float, typer.Option(help="Largest force left, eV/Å.")] = 0.02,
    steps: Annotated[int, typer.Option(help="Most optimiser steps.")] = 500,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cut a slab out of a crystal, relax it, and give the surface energy.

    [bold]Examples[/bold]

    sciai atoms surface Cu.cif 111
    sciai atoms surface TiO2.cif 1,1,0 --layers 4 --vacuum 12
    """
    from sciai.atoms.api.surfaces import surface as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, f"surface-{miller.replace(',', '')}")
        answer = run(
            read(file),
            potential(model, guard, device, double, d3),
            indices(miller),
            folder,
            layers=layers,
            vacuum=vacuum,
            fmax=fmax,
            steps=steps,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "surface", folder, json)


def adsorb(
    slab: Structure,
    molecule: Annotated[str, typer.Argument(metavar="MOLECULE", help="A file, or a name: CO, H2O, O ...")],
    out: Out = None,
    height: Annotated[float, typer.Option(help="Where it starts above the surface, Å.")] = 2.0,
    most: Annotated[int, typer.Option(help="How many sites are relaxed.")] = 4,
    fmax: Annotated[float, typer.Option(help="Largest force left, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Most optimiser steps for each site.")] = 300,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try the sites of a slab, relax the best, and give the adsorption energy.

    [bold]Examples[/bold]

    sciai atoms surface Cu.cif 111 --out slab
    sciai atoms adsorb slab/slab-111.extxyz CO
    """
    from sciai.atoms.api.adsorption import adsorb as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, slab, f"adsorb-{Path(molecule).stem}")
        answer = run(
            read(slab),
            molecule_of(molecule),
            potential(model, guard, device, double, d3),
            folder,
            height=height,
            most=most,
            fmax=fmax,
            steps=steps,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "adsorb", folder, json)


def screen(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders of files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results and table.")] = Path("screen"),
    relaxed: Annotated[bool, typer.Option("--relax", help="Relax each structure first.")] = False,
    rank: Annotated[str, typer.Option(help="energy, force, spread or volume.")] = "energy",
    batch: Annotated[int, typer.Option(help="Structures per pass.")] = 32,
    fmax: Annotated[float, typer.Option(help="With --relax: largest force left, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(help="With --relax: most optimiser steps for each.")] = 200,
    top: Annotated[int, typer.Option(help="Rows to print.")] = 20,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask about thousands of structures, in batches, and rank them.

    Results are kept as they come: stopped, it goes on when given again; files
    that are added later join the table. One bad file stops nothing.

    [bold]Examples[/bold]

    sciai atoms screen candidates/
    sciai atoms screen *.cif --relax --rank energy --out ranked
    """
    from sciai.atoms.api.screening import screen as run

    with show.progress("loading", quiet=quiet) as step:
        answer = run(
            [*files],
            potential(model, guard, device, double, d3),
            out,
            relaxed=relaxed,
            rank=rank,
            batch=batch,
            fmax=fmax,
            steps=steps,
            progress=step,
        )
    atoms_show.close(answer, "screen", out, json, top=top)


def evaluate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Labelled extxyz, ase.db, OUTCAR.")],
    offsets: Annotated[
        bool, typer.Option("--offsets", help="Fit one energy per element: labels of another zero.")
    ] = False,
    plus_u: Annotated[
        bool, typer.Option("--plus-u", help="Labels are as the Materials Project computes them, with U.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="PNG to write.")] = None,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Errors against labelled structures, and whether the spread means what it says.

    [bold]Examples[/bold]

    sciai atoms evaluate dft.extxyz --picture parity.png
    sciai atoms evaluate mp.extxyz --plus-u

    sciai atoms evaluate dft.extxyz --offsets --model chgnet --json
    """
    from sciai.atoms.api.evaluation import evaluate as run
    from sciai.atoms.api.evaluation import evaluation_figure
    from sciai.core.atomic import whole_file

    with show.progress("loading", quiet=quiet) as step:
        pot = potential(model, guard, device, double, d3)
        answer = run([*files], pot, offsets=offsets, plus_u=plus_u, progress=step)
        if picture is not None and answer.estimate is not None:
            with whole_file(picture, overwrite=True) as temporary:
                evaluation_figure(answer.estimate.value).savefig(temporary, format="png", dpi=150)
    atoms_show.finish(answer, json, lambda: atoms_show.evaluation(answer, ", ".join(map(str, files))))


def elements(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG to write.")] = None,
    model: Model = None,
    json: AsJson = False,
) -> None:
    """Which elements the potential knows, and how well: a periodic table.

    [bold]Examples[/bold]

    sciai atoms elements -o elements.png
    sciai atoms elements --json
    """
    from sciai.atoms.api import tiers
    from sciai.core.atomic import whole_file

    pot = potential(model, "default", None, False, False)
    known = tiers.elements(pot)
    if output is not None:
        with whole_file(output, overwrite=True) as temporary:
            tiers.elements_figure(pot).savefig(temporary, format="png", dpi=150)
    if json:
        show.print_json(known)
        return
    rows = []
    for tier in ("supported", "limited", "experimental", "unknown"):
        names = [element.symbol for element in known if element.tier == tier]
        if names:
            rows.append((tier, len(names), " ".join(names)))
    show.print_table(
        f"elements that the potential {pot.provenance.model!r} knows", ["tier", "count", "elements"], rows
    )
    if output is not None:
        typer.echo(str(output))


def three(text: str) -> tuple[int, int, int]:
    """Three numbers such as 2x2x1.

    Example:
        >>> three("2x2x1")
        (2, 2, 1)
    """
    try:
        a, b, c = (int(word) for word in text.lower().replace("×", "x").split("x"))
        if min(a, b, c) >= 1:
            return a, b, c
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is not three numbers such as 2x2x1")


def indices(text: str) -> tuple[int, int, int]:
    """Miller indices such as 111 or 1,-1,0.

    Example:
        >>> indices("110"), indices("1,-1,0")
        ((1, 1, 0), (1, -1, 0))
    """
    words = text.split(",") if "," in text else list(text)
    try:
        h, k, l = (int(word) for word in words)  # noqa: E741
        return h, k, l
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not three indices such as 111 or 1,-1,0") from None


def molecule_of(text: str):  # type: ignore[no-untyped-def]
    """A molecule from a file, or by its name in ASE's collection; single atoms too."""
    from sciai.core.errors import BadInput

    if Path(text).exists():
        return read(Path(text))
    from ase import Atoms
    from ase.build import molecule
    from ase.data import atomic_numbers

    try:
        return molecule(text)
    except KeyError:
        if text in atomic_numbers:
            return Atoms(text)
        raise BadInput(
            f"{text!r} is neither a file nor a known molecule",
            field="molecule",
            fix="such as CO, H2O, NH3, O",
        ) from None
