"""Reaction paths: the barrier between two structures by the nudged elastic band."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.differences import USELESS, spread_of, undecided
from sciai.atoms.api.equation import _merge
from sciai.atoms.api.files import with_results
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import ACCENT, WARM, new_figure, tidy
from sciai.atoms.api.record import recorded
from sciai.atoms.checks import of_motion
from sciai.core.answer import Answer, Estimate, Finding, Level, Refused
from sciai.core.errors import BadInput
from sciai.core.shown import Brief

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["ReactionPath", "neb"]

Floats = npt.NDArray[np.float64]
AT_REST = 0.1
SAME = 0.05
"""Å; ends of which no atom differs by more are the same structure."""


@dataclass(frozen=True, repr=False)
class ReactionPath(Brief):
    """A path of least energy.

    Attributes:
        formula: of the structure.
        barrier: highest point above the beginning, eV.
        reverse: highest point above the end, eV.
        difference: end minus beginning, eV.
        energies: of each image above the beginning, eV, shape (images,).
        distance: along the path, Å, shape (images,).
        top: number of the highest image.
        max_force: largest force perpendicular to the path, eV/Å.
        steps: optimiser steps.
        converged: whether that is below what was asked for.
    """

    formula: str
    barrier: float
    reverse: float
    difference: float
    energies: Floats
    distance: Floats
    top: int
    max_force: float
    steps: int
    converged: bool
    images: tuple[Any, ...] = field(default=(), repr=False)


@recorded
def neb(
    initial: Atoms,
    final: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    images: int = 7,
    fmax: float = 0.05,
    steps: int = 500,
    climb: bool = True,
    relax_ends: bool = True,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[ReactionPath]:
    """The path of least energy between two structures.

    Improved tangent nudged elastic band with a climbing image (Henkelman, Uberuaga & Jonsson 2000, J. Chem.
    Phys. 113, 9901 and 9978), started from the image-dependent pair potential (Smidstrup et al. 2014, J.
    Chem. Phys. 140, 214106).

    Args:
        initial: where it begins.
        final: where it ends; the same atoms in the same order, in the same cell.
        potential: what computes.
        out: folder for the band (``band.traj``), JSON and a picture. A run that was stopped goes on when
            called again with the same folder. None writes nothing.
        images: number of images, ends included.
        fmax: largest force left perpendicular to the path, eV/Å.
        steps: most optimiser steps.
        climb: let the highest image climb to the saddle.
        relax_ends: relax both ends first.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread, eV, is that of ``barrier``, ``reverse`` and ``difference`` as differences:
        what top and ends are off together cancels (see ``sciai.atoms.api.differences``).

    Raises:
        BadInput: ends that do not belong together, or settings that make no sense.
    """
    step = progress or quiet
    _check(initial, final, images, fmax)
    settings = {"images": images, "fmax": fmax, "climb": climb, "relax_ends": relax_ends}
    job = {**settings, "final": _print(final)}
    folder = RunFolder(out, "neb", initial, potential, job, overwrite=overwrite)
    ends = [initial, final]
    if relax_ends:
        from sciai.atoms.api.relaxation import relax

        for k, end in enumerate(ends):
            step(0.05 * k, f"relaxing {'the beginning' if k == 0 else 'the end'}")
            rest = relax(end, potential, cell=False, fmax=fmax / 2, symmetry=False)
            if rest.estimate is None or rest.level >= Level.REFUSE:
                return _refuse(rest.findings, potential, folder)
            moved: Atoms = rest.estimate.value.atoms
            moved.set_constraint(end.constraints)
            ends[k] = moved
    if (apart := _apart(ends)) < SAME:
        message = (
            f"both ends relaxed to one structure (no atom of it moves by more than {apart:.2f} Å): between "
            "them there is no path; start from ends that keep apart"
        )
        return _refuse((Finding("endpoint", Level.REFUSE, message),), potential, folder)
    try:
        band, worst, taken, done = _band(ends, potential, folder, images, fmax, steps, climb, step)
    except Refused as stop:
        return _refuse(stop.answer.findings, potential, folder)
    # between its ends nothing of a path is at rest
    answers = [a if k in (0, images - 1) else of_motion(a) for k, a in enumerate(potential.batch(band))]
    findings = list(_merge(answers))
    if any(a.estimate is None or a.level >= Level.REFUSE for a in answers):
        return _refuse(tuple(findings), potential, folder)
    answer = _answer(band, answers, potential, findings, worst, taken, done)
    folder.answer(answer)
    if answer.estimate is not None:
        folder.picture("barrier.png", neb_figure(answer.estimate.value, answer.estimate.spread["barrier"]))
    step(1.0, "done")
    return answer


def neb_figure(found: ReactionPath, spread: float = float("nan")) -> Any:
    """Energy along the path."""
    from scipy.interpolate import CubicSpline

    figure = new_figure()
    axes = tidy(figure.subplots(), "along the path, Å", "energy above the beginning, eV")
    x = np.linspace(found.distance[0], found.distance[-1], 200)
    axes.plot(x, CubicSpline(found.distance, found.energies)(x), color=ACCENT, linewidth=1.5)
    axes.plot(found.distance, found.energies, "o", color=ACCENT, ms=5)
    at = found.distance[found.top]
    half = spread if np.isfinite(spread) else 0.0
    axes.errorbar([at], [found.barrier], yerr=[half], fmt="o", color=WARM, ms=7, capsize=4)
    axes.set_title(
        f"{found.formula}: barrier {found.barrier:.3f} eV, back {found.reverse:.3f} eV",
        loc="left",
        fontsize=11,
    )
    return figure


def _band(
    ends: list[Atoms],
    potential: Potential,
    folder: RunFolder,
    images: int,
    fmax: float,
    steps: int,
    climb: bool,
    step: Step,
) -> tuple[list[Atoms], float, int, bool]:
    from ase.mep import NEB
    from ase.optimize import FIRE

    band = [ends[0].copy() for _ in range(images - 1)] + [ends[1].copy()]
    taken = 0
    saved = folder.load()
    for frame in band:
        frame.set_constraint(ends[0].constraints)
        frame.calc = potential.calculator()
    chain = NEB(band, climb=False, method="improvedtangent", allow_shared_calculator=False)
    if saved is None:
        chain.interpolate(method="idpp", mic=bool(ends[0].pbc.any()))
    else:
        for frame, positions in zip(band, saved["positions"], strict=True):
            frame.positions[:] = positions
        taken = int(saved["taken"])
    residual = [float("nan")]

    def note() -> None:
        forces = chain.get_forces().reshape(-1, 3)
        residual[0] = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
        share = float(np.clip(fmax / max(residual[0], 1e-9), 0, 1))
        step(0.1 + 0.85 * share, f"force perpendicular to the path {residual[0]:.3f} eV/Å")

    def save(before: int, dynamics: Any) -> None:
        now = before + dynamics.nsteps
        folder.save({"positions": np.array([frame.positions for frame in band]), "taken": now})

    done = False
    # first without climbing: an image that climbs from a bad guess leaves the path
    for limit, climbing in ((max(4 * fmax, 0.3), False), (fmax, climb)):
        chain.climb = climbing
        left = max(steps - taken, 0)
        with FIRE(chain, logfile=None, maxstep=0.1) as dynamics:
            dynamics.attach(note)
            dynamics.attach(save, 10, taken, dynamics)
            done = bool(dynamics.run(fmax=limit, steps=left))
            save(taken, dynamics)
            taken += dynamics.nsteps
    path = folder.path("band.traj")
    if path is not None:
        from ase.io.trajectory import Trajectory

        with Trajectory(str(path), "w") as trajectory:
            for frame in band:
                trajectory.write(frame)
    return band, residual[0], taken, done


def _answer(
    band: list[Atoms],
    answers: list[Answer[Any]],
    potential: Potential,
    findings: list[Finding],
    worst: float,
    taken: int,
    done: bool,
) -> Answer[ReactionPath]:
    from ase.geometry import find_mic

    level = potential.guard.level
    estimates = [a.estimate for a in answers if a.estimate is not None]
    energies = np.array([e.value.energy for e in estimates])
    top = int(np.argmax(energies))
    steps = [
        float(np.linalg.norm(find_mic(b.positions - a.positions, a.cell, a.pbc)[0]))
        for a, b in itertools.pairwise(band)
    ]
    if not done:
        message = f"the band did not converge (force {worst:.3f} eV/Å left); allow more steps"
        findings.append(Finding("converged", level("converged"), message))
    for name, frame, estimate in (("beginning", band[0], estimates[0]), ("end", band[-1], estimates[-1])):
        pull = with_results(frame, estimate.value).get_forces()  # on what is free
        force = float(np.linalg.norm(pull, axis=1).max())
        if force > AT_REST:
            message = f"the {name} is not at rest (a force of {force:.2f} eV/Å); relax it"
            findings.append(Finding("endpoint", level("endpoint"), message, name))
    if top in (0, len(band) - 1):
        message = "the highest image is an end: there is no barrier between them, or too few images"
        findings.append(Finding("endpoint", level("endpoint"), message))
    value = ReactionPath(
        formula=band[0].get_chemical_formula(),
        barrier=float(energies[top] - energies[0]),
        reverse=float(energies[top] - energies[-1]),
        difference=float(energies[-1] - energies[0]),
        energies=energies - energies[0],
        distance=np.concatenate([[0.0], np.cumsum(steps)]),
        top=top,
        max_force=worst,
        steps=taken,
        converged=done,
        images=tuple(_structure(frame) for frame in band),
    )
    first, highest, last = (estimates[k].value for k in (0, top, -1))
    sd, said = spread_of(potential, [(1, highest), (-1, first)], path=True)
    findings += [said, *undecided(value.barrier, sd, "barrier", USELESS)]
    spread = {
        "barrier": sd,
        "reverse": spread_of(potential, [(1, highest), (-1, last)], path=True)[0],
        "difference": spread_of(potential, [(1, last), (-1, first)], path=True)[0],
    }
    return Answer(Estimate(value, spread, "eV"), tuple(findings), potential.provenance)


def _apart(ends: Sequence[Atoms]) -> float:
    """How far the atom that differs most lies from where it is in the other structure, Å."""
    from ase.geometry import find_mic

    first, last = ends
    return float(find_mic(last.positions - first.positions, first.cell, first.pbc)[1].max(initial=0.0))


def _structure(atoms: Atoms) -> Any:
    from sciai.atoms.api.files import Structure

    return Structure.of(atoms)


def _print(atoms: Atoms) -> str:
    from sciai.atoms.api.folder import fingerprint

    return fingerprint(atoms)


def _refuse(findings: tuple[Finding, ...], potential: Potential, folder: RunFolder) -> Answer[ReactionPath]:
    refused: Answer[ReactionPath] = Answer(None, findings, potential.provenance)
    folder.answer(refused)
    return refused


def _check(initial: Atoms, final: Atoms, images: int, fmax: float) -> None:
    if len(initial) != len(final):
        raise BadInput(
            f"the beginning has {len(initial)} atoms, the end {len(final)}",
            field="final",
            fix="give the same atoms",
        )
    if not np.array_equal(initial.numbers, final.numbers):
        at = int(np.flatnonzero(initial.numbers != final.numbers)[0])
        raise BadInput(
            f"atom {at} is {initial.symbols[at]} at the beginning and {final.symbols[at]} at the end",
            field="final",
            fix="list the atoms in the same order",
        )
    if not np.allclose(initial.cell[:], final.cell[:], atol=1e-4) or not np.array_equal(
        initial.pbc, final.pbc
    ):
        raise BadInput("the ends have different cells", field="final", fix="a band moves atoms, not the cell")
    if _apart([initial, final]) < 1e-3:
        raise BadInput("both ends are the same structure", field="final", fix="give where the path ends")
    if images < 3 or not fmax > 0:
        raise BadInput(f"{images} images, fmax {fmax:g}", field="images", fix="use 5 to 15 images")
