"""`sciai atoms`: relax, run and measure structures with a potential that says how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sciai.cli import atoms_data, atoms_more, atoms_show, show
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

app = typer.Typer(
    name="atoms",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Atoms: relax, run dynamics, equation of state, elasticity, phonons, barriers, surfaces, screens.",
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write. [FILE-command]")]


@app.command(no_args_is_help=True)
def energy(
    file: Structure,
    picture: Annotated[Path | None, typer.Option(help="PNG, atoms coloured by the spread.")] = None,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Energy, forces and stress of a structure as it is, with spread and verdict.

    [bold]Examples[/bold]

    sciai atoms energy NaCl.cif
    sciai atoms energy slab.extxyz --picture slab.png --json
    sciai atoms energy Cu.cif --model chgnet
    """
    with show.progress("loading", quiet=quiet):
        atoms = read(file)
        pot = potential(model, guard, device, double, d3)
        answer = pot(atoms)
        if picture is not None and answer.estimate is not None:
            from sciai.atoms.api.pictures import structure_figure
            from sciai.core.atomic import whole_file

            figure = structure_figure(
                atoms, answer.estimate.spread["forces"], title=f"{file.name}: {atoms.symbols}"
            )
            with whole_file(picture, overwrite=True) as temporary:
                figure.savefig(temporary, format="png", dpi=150)
    atoms_show.finish(answer, json, lambda: atoms_show.properties(answer, atoms, str(file)))


@app.command(no_args_is_help=True)
def relax(
    file: Structure,
    out: Out = None,
    fmax: Annotated[float, typer.Option(help="Largest force left, eV/Å.")] = 0.01,
    steps: Annotated[int, typer.Option(help="Most optimiser steps.")] = 1000,
    cell: Annotated[
        bool | None, typer.Option("--cell/--fixed-cell", help="Relax the cell too. [if periodic]")
    ] = None,
    symmetry: Annotated[bool, typer.Option("--symmetry/--no-symmetry", help="Keep the symmetry.")] = True,
    pressure: Annotated[float, typer.Option(help="Outer pressure, GPa.")] = 0.0,
    optimizer: Annotated[str, typer.Option(help="auto, bfgs, fire or lbfgs.")] = "auto",
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Move atoms and cell to where forces and stress vanish.

    Writes the relaxed structure (extxyz, CIF), the trajectory, JSON, pictures
    and an HTML report into a folder. Stopped half-way, it goes on when the
    same command is given again.

    [bold]Examples[/bold]

    [dim]# a crystal: atoms and cell, symmetry kept[/dim]
    sciai atoms relax NaCl.cif

    [dim]# a molecule or a slab: only the atoms[/dim]
    sciai atoms relax slab.extxyz --fixed-cell --out slab-relaxed

    [dim]# under 10 GPa, tightly, with dispersion[/dim]
    sciai atoms relax graphite.cif --pressure 10 --fmax 0.002 --double --d3

    [dim]# with another potential[/dim]
    sciai atoms relax NaCl.cif --model chgnet --out NaCl-chgnet
    """
    from sciai.atoms.api.relaxation import relax as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, "relax")
        answer = run(
            read(file),
            potential(model, guard, device, double, d3),
            folder,
            fmax=fmax,
            steps=steps,
            cell=cell,
            symmetry=symmetry,
            pressure=pressure,
            optimizer=optimizer,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "relax", folder, json)


@app.command(no_args_is_help=True)
def md(
    file: Structure,
    out: Out = None,
    ensemble: Annotated[str, typer.Option(help="nve, nvt or npt.")] = "nvt",
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    steps: Annotated[int, typer.Option(help="Number of steps, in all.")] = 1000,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    thermostat: Annotated[str, typer.Option(help="bussi, langevin or nose-hoover.")] = "bussi",
    damping: Annotated[float, typer.Option(help="Time constant of the thermostat, fs.")] = 100.0,
    pressure: Annotated[float, typer.Option(help="For npt, GPa.")] = 0.0,
    every: Annotated[int, typer.Option(help="Steps between frames; each is checked and saved.")] = 10,
    supercell: Annotated[str | None, typer.Option(metavar="NxNxN", help="Repeat the cell first.")] = None,
    on_refusal: Annotated[str, typer.Option(help="stop, or mark the frame and go on.")] = "stop",
    seed: Annotated[int, typer.Option(help="Of velocities and thermostat.")] = 0,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    double: Double = False,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Molecular dynamics that stops, or marks, where the potential is out of its depth.

    Every frame is checked: support, spread, distances, temperature. Given
    again with more --steps, it goes on exactly as if it had not stopped.

    [bold]Examples[/bold]

    [dim]# 10 ps at 300 K[/dim]
    sciai atoms md NaCl.cif --supercell 3x3x3 --steps 10000

    [dim]# 20 ps: goes on where that ended[/dim]
    sciai atoms md NaCl.cif --supercell 3x3x3 --steps 20000

    [dim]# melting under pressure; mark frames that are refused[/dim]
    sciai atoms md Al.cif --ensemble npt --temperature 1500 --pressure 5 --on-refusal mark
    """
    from sciai.atoms.api.dynamics import md as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, "md")
        atoms = read(file)
        if supercell is not None:
            atoms = atoms * atoms_more.three(supercell)
        answer = run(
            atoms,
            potential(model, guard, device, double, d3),
            folder,
            ensemble=ensemble,
            temperature=temperature,
            steps=steps,
            timestep=timestep,
            thermostat=thermostat,
            damping=damping,
            pressure=pressure,
            every=every,
            on_refusal=on_refusal,
            seed=seed,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "md", folder, json)


@app.command(no_args_is_help=True)
def eos(
    file: Structure,
    out: Out = None,
    strain: Annotated[float, typer.Option(help="Largest relative change of the volume.")] = 0.06,
    points: Annotated[int, typer.Option(help="Number of volumes.")] = 11,
    relax_atoms: Annotated[
        bool, typer.Option("--relax-atoms", help="Relax the atoms at each volume.")
    ] = False,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Equation of state: equilibrium volume, bulk modulus, its derivative.

    [bold]Examples[/bold]

    sciai atoms eos Cu.cif
    sciai atoms eos quartz.cif --relax-atoms --strain 0.1 --points 15
    """
    from sciai.atoms.api.equation import eos as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, "eos")
        answer = run(
            read(file),
            potential(model, guard, device, True, d3),
            folder,
            strain=strain,
            points=points,
            relax_atoms=relax_atoms,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "eos", folder, json)


@app.command(no_args_is_help=True)
def elastic(
    file: Structure,
    out: Out = None,
    strain: Annotated[float, typer.Option(help="Largest strain.")] = 0.005,
    relax_atoms: Annotated[
        bool, typer.Option("--relax-atoms/--clamped", help="Let atoms move in the strained cell.")
    ] = True,
    axes: Annotated[
        str, typer.Option(help="standard: along the conventional axes, as in tables; given: as it lies.")
    ] = "standard",
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Elastic constants, moduli of a polycrystal, and whether the crystal is stable.

    [bold]Examples[/bold]

    sciai atoms relax Si.cif --fmax 0.001 --double
    sciai atoms elastic Si-relax/relaxed.cif
    """
    from sciai.atoms.api.elasticity import elastic as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, "elastic")
        answer = run(
            read(file),
            potential(model, guard, device, True, d3),
            folder,
            strain=strain,
            relax_atoms=relax_atoms,
            axes=axes,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "elastic", folder, json)


@app.command(no_args_is_help=True)
def phonons(
    file: Structure,
    out: Out = None,
    supercell: Annotated[
        str | None, typer.Option(metavar="NxNxN", help="Repetitions. [to 8 Å or more]")
    ] = None,
    displacement: Annotated[float, typer.Option(help="Å.")] = 0.01,
    model: Model = None,
    guard: Guard = "default",
    device: Device = None,
    d3: D3 = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Phonon bands and density of states in double precision; says where modes are imaginary.

    [bold]Examples[/bold]

    sciai atoms relax Si.cif --fmax 0.001 --double
    sciai atoms phonons Si-relax/relaxed.cif --supercell 4x4x4
    """
    from sciai.atoms.api.vibrations import phonons as run

    with show.progress("loading", quiet=quiet) as step:
        folder = out_of(out, file, "phonons")
        answer = run(
            read(file),
            potential(model, guard, device, True, d3),
            folder,
            supercell=None if supercell is None else atoms_more.three(supercell),
            displacement=displacement,
            overwrite=overwrite,
            progress=step,
        )
    atoms_show.close(answer, "phonons", folder, json)


app.command("neb", no_args_is_help=True)(atoms_more.neb)
app.command("surface", no_args_is_help=True)(atoms_more.surface)
app.command("adsorb", no_args_is_help=True)(atoms_more.adsorb)
app.command("screen", no_args_is_help=True)(atoms_more.screen)
app.command("evaluate", no_args_is_help=True)(atoms_more.evaluate)
app.command("elements")(atoms_more.elements)
app.add_typer(atoms_data.app, name="data")
