"""Equation of state: energy against volume, and what a fit says of volume and bulk modulus."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import Structure
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import ACCENT, WARM, new_figure, tidy
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import GPA
from sciai.atoms.api.typical import own_error
from sciai.atoms.api.vacuum import hollow
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["EquationOfState", "birch_murnaghan", "eos", "fit_birch_murnaghan"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EquationOfState:
    """What a Birch-Murnaghan fit of energy against volume says.

    Attributes:
        formula: of the structure.
        volume: at the minimum, Å^3 per atom.
        energy: at the minimum, eV per atom.
        bulk_modulus: GPa.
        derivative: of the bulk modulus with pressure.
        residual: root mean square of the fit, eV per atom.
        volumes: Å^3 per atom, shape (n,).
        energies: eV per atom, shape (n,).
        structure: the given structure scaled to the minimum.
    """

    formula: str
    volume: float
    energy: float
    bulk_modulus: float
    derivative: float
    residual: float
    volumes: Floats = field(repr=False)
    energies: Floats = field(repr=False)
    structure: Structure = field(repr=False)


@recorded
def eos(
    atoms: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    strain: float = 0.06,
    points: int = 11,
    relax_atoms: bool = False,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[EquationOfState]:
    """Scale the volume, and fit the third-order equation of Birch (1947, Phys. Rev. 71, 809).

    Args:
        atoms: a crystal, near its equilibrium (``relax`` it first).
        potential: what computes.
        out: folder for JSON and a picture; None writes nothing.
        strain: largest relative change of the volume.
        points: number of volumes.
        relax_atoms: relax the atoms (not the cell) at every volume; needed where the basis has freedom. Those
            that are fixed in the crystal move, too.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. The spread of volume, bulk modulus and derivative is the error that the potential was
        measured to have on crystals it did not learn from (``Potential.typical``), that of the energy is the
        potential's at the minimum; with how far each number moves when any one point is left out (half the
        range), which is all of it where nothing else is known.

    Raises:
        BadInput: no crystal, or settings that make no sense.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> found = eos(bulk("Cu", a=3.59), Potential.from_calculator(EMT())).unwrap()
        >>> round((4 * found.volume) ** (1 / 3), 2), round(found.bulk_modulus)
        (3.59, 134)
    """
    step = progress or quiet
    if not atoms.pbc.all():
        raise BadInput("an equation of state needs a cell that is periodic in all directions", field="pbc")
    if not 0 < strain < 0.5 or points < 5:
        raise BadInput(
            f"{points} volumes within {strain:g}",
            field="strain",
            fix="use at least 5 points and 0.02 to 0.15",
        )
    settings = {"strain": strain, "points": points, "relax_atoms": relax_atoms}
    folder = RunFolder(out, "eos", atoms, potential, settings, overwrite=overwrite)
    unrest: tuple[Finding, ...] = ()
    atoms = atoms.copy()
    atoms.set_constraint()
    scaled = [_scaled(atoms, 1 + x) for x in np.linspace(-strain, strain, points)]
    if relax_atoms:
        from sciai.atoms.api.relaxation import relax

        rests = []
        for k, frame in enumerate(scaled):
            step(k / points, f"relaxing at volume {k + 1} of {points}")
            rests.append(relax(frame, potential, cell=False))
        scaled, unrest = at_rest(scaled, rests, potential)
    step(0.9, "energies")
    answers = potential.batch(scaled)
    empty = hollow(atoms, potential, "volume and bulk modulus mean nothing: they are those of vacuum, mostly")
    findings = (*unrest, *empty, *_merge(answers))
    if any(f.level >= Level.REFUSE for f in unrest) or any(
        a.estimate is None or a.level >= Level.REFUSE for a in answers
    ):
        refused: Answer[EquationOfState] = Answer(None, findings, potential.provenance)
        folder.answer(refused)
        return refused
    n = len(atoms)
    volumes = np.array([frame.get_volume() / n for frame in scaled])
    energies = np.array([a.estimate.value.energy / n for a in answers if a.estimate is not None])
    told = [a.estimate.spread["energy_per_atom"] for a in answers if a.estimate is not None]
    answer = _answer(atoms, potential, volumes, energies, np.array(told, float), findings)
    folder.answer(answer)
    if answer.estimate is not None:
        folder.trajectory("volumes.traj", scaled, answers)
        folder.picture("eos.png", eos_figure(answer.estimate.value))
    step(1.0, "done")
    return answer


def birch_murnaghan(volume: npt.ArrayLike, e0: float, v0: float, b0: float, b1: float) -> Floats:
    """Energy of the third-order Birch-Murnaghan equation.

    Args:
        volume: any shape.
        e0: energy at the minimum.
        v0: volume at the minimum.
        b0: bulk modulus, energy per volume.
        b1: its derivative with pressure.

    Example:
        >>> float(birch_murnaghan(10.0, -1.0, 10.0, 0.5, 4.0))
        -1.0
    """
    eta = (v0 / np.asarray(volume, float)) ** (2 / 3)
    shape = (eta - 1) ** 3 * b1 + (eta - 1) ** 2 * (6 - 4 * eta)
    return np.asarray(e0 + 9 * v0 * b0 / 16 * shape)


def fit_birch_murnaghan(volumes: npt.ArrayLike, energies: npt.ArrayLike) -> tuple[float, float, float, float]:
    """Least squares. The equation is a cubic polynomial in V^(-2/3), so nothing has to be guessed.

    Args:
        volumes: shape (n,), n >= 4.
        energies: shape (n,).

    Returns:
        Energy, volume, bulk modulus (energy per volume) and its derivative at the minimum.

    Raises:
        BadInput: fewer than 4 points, or no minimum.

    Example:
        >>> v = np.linspace(9, 11, 7)
        >>> fit = fit_birch_murnaghan(v, birch_murnaghan(v, -1.0, 10.0, 0.5, 4.0))
        >>> [round(x, 6) for x in fit]
        [-1.0, 10.0, 0.5, 4.0]
    """
    v, e = np.asarray(volumes, float), np.asarray(energies, float)
    if len(v) < 4 or v.shape != e.shape:
        raise BadInput(f"{len(v)} points for a fit with four unknowns", field="volumes")
    center, scale = float((v ** (-2 / 3)).mean()), float(np.ptp(v ** (-2 / 3)))
    x = (v ** (-2 / 3) - center) / scale
    poly = np.poly1d(np.polyfit(x, e, 3))
    first, second, third = poly.deriv(1), poly.deriv(2), poly.deriv(3)
    roots = [r.real for r in first.roots if abs(r.imag) < 1e-9 and second(r.real) > 0]
    if not roots:
        raise BadInput(
            "the energy has no minimum over these volumes", field="volumes", fix="relax the cell first"
        )
    at = min(roots, key=lambda r: abs(float(r)))
    v0 = float((at * scale + center) ** (-1.5))
    # derivatives by y = V^(-2/3): d2E/dV2 = 4/9 V^(-10/3) E'' at the minimum, and the third likewise
    curve, skew = float(second(at)) / scale**2, float(third(at)) / scale**3
    b0 = 4 / 9 * v0 ** (-7 / 3) * curve
    third_v = -8 / 27 * v0**-5 * skew - 20 / 9 * v0 ** (-13 / 3) * curve
    b1 = -1 - v0**2 * third_v / b0
    return float(poly(at)), v0, b0, float(b1)


def eos_figure(found: EquationOfState) -> Any:
    """Points, fit, and the minimum."""
    figure = new_figure()
    axes = tidy(figure.subplots(), "volume, Å³/atom", "energy above the minimum, meV/atom")
    v = np.linspace(found.volumes.min(), found.volumes.max(), 200)
    fit = birch_murnaghan(v, found.energy, found.volume, found.bulk_modulus / GPA, found.derivative)
    axes.plot(v, (fit - found.energy) * 1000, color=ACCENT, linewidth=1.5, label="Birch-Murnaghan")
    axes.plot(found.volumes, (found.energies - found.energy) * 1000, "o", color=WARM, ms=5, label="computed")
    axes.axvline(found.volume, color=ACCENT, linewidth=0.8, linestyle=":")
    title = (
        f"{found.formula}: V0 {found.volume:.3f} Å³/atom, B0 {found.bulk_modulus:.1f} GPa, "
        f"B' {found.derivative:.2f}"
    )
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _scaled(atoms: Atoms, volume: float) -> Atoms:
    out: Atoms = atoms.copy()
    out.set_cell(atoms.cell[:] * volume ** (1 / 3), scale_atoms=True)
    return out


def at_rest(
    frames: list[Atoms], rests: list[Answer[Any]], potential: Potential
) -> tuple[list[Atoms], tuple[Finding, ...]]:
    """The relaxed forms of strained cells, and what is to be said where some did not come to rest.

    Args:
        frames: as they were.
        rests: answers of ``relax``, one for each.
        potential: whose policy counts.
    """
    moved = [f if r.estimate is None else r.estimate.value.atoms for f, r in zip(frames, rests, strict=True)]
    refused = tuple(f for r in rests if r.estimate is None for f in r.findings if f.level >= Level.REFUSE)
    done = [r.estimate.value for r in rests if r.estimate is not None]
    moving = [value.max_force for value in done if not value.converged]
    if refused or not moving:
        return moved, refused[:1]
    message = (
        f"in {len(moving)} of {len(frames)} cells the atoms did not come to rest (a force of "
        f"{max(moving):.3f} eV/Å left): what follows is that of cells on their way"
    )
    return moved, (Finding("converged", potential.guard.level("converged"), message),)


def _merge(answers: list[Answer[Any]]) -> tuple[Finding, ...]:
    """Findings of several structures of one system, each kind of finding once, the worst of it."""
    worst: dict[tuple[str, Level], Finding] = {}
    for answer in answers:
        for finding in answer.findings:
            worst.setdefault((finding.check, finding.level), finding)
    return tuple(worst.values())


def _answer(
    atoms: Atoms,
    potential: Potential,
    volumes: Floats,
    energies: Floats,
    told: Floats,
    findings: tuple[Finding, ...],
) -> Answer[EquationOfState]:
    level, formula = potential.guard.level, atoms.get_chemical_formula()
    try:
        e0, v0, b0, b1 = fit_birch_murnaghan(volumes, energies)
        outside = not volumes.min() < v0 < volumes.max() or b0 <= 0
    except BadInput:
        outside = True
        v0 = b0 = float("nan")
    if outside:
        where = f"V0 would be {v0:.2f}" if np.isfinite(v0) else "there is none"
        message = (
            f"the minimum does not lie within {volumes.min():.2f} to {volumes.max():.2f} Å^3/atom ({where}); "
            "relax the cell first, or take a larger strain"
        )
        return Answer(None, (*findings, Finding("fit", Level.REFUSE, message)), potential.provenance)
    residual = float(np.sqrt(((birch_murnaghan(volumes, e0, v0, b0, b1) - energies) ** 2).mean()))
    jack = []
    for k in range(len(volumes)):
        rest = np.arange(len(volumes)) != k
        try:
            jack.append(fit_birch_murnaghan(volumes[rest], energies[rest]))
        except BadInput:
            continue
    half = np.ptp(np.array(jack), axis=0) / 2 if jack else np.full(4, np.nan)
    depth = float(np.ptp(energies))
    notes = list(findings)
    if residual > 0.03 * depth:
        message = (
            f"the fit misses its points by {1000 * residual:.2f} meV/atom, {100 * residual / depth:.0f} % of "
            "the curve's depth: look at the picture; a phase change, or atoms that want to move (relax_atoms)"
        )
        notes.append(Finding("fit", level("fit"), message))
    # volume per atom times the atoms of the given cell
    minimum = _scaled(atoms, v0 * len(atoms) / float(atoms.get_volume()))
    value = EquationOfState(formula, v0, e0, b0 * GPA, b1, residual, volumes, energies, Structure.of(minimum))
    spread = {
        "energy": float(half[0]),
        "volume": float(half[1]),
        "bulk_modulus": float(half[2] * GPA),
        "derivative": float(half[3]),
    }
    if np.isfinite(told).all():
        spread["energy"] = float(np.hypot(half[0], told[np.argmin(np.abs(volumes - v0))]))
    for name, size in (("volume", v0), ("bulk_modulus", b0 * GPA), ("derivative", b1)):
        known = potential.typical.get(name)
        if name != "derivative":
            notes.append(own_error(known, name, size, potential.guard))
        if known is not None:
            spread[name] = known.spread(size, spread[name])
    return Answer(Estimate(value, spread, "eV, Å^3, GPa"), tuple(notes), potential.provenance)
