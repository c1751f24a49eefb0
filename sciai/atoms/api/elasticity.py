"""Elastic constants from the stress of small strains, and the moduli of a polycrystal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.equation import _merge, at_rest
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import INK, new_figure
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import GPA
from sciai.atoms.api.symmetry import standard_rotation
from sciai.atoms.api.typical import own_error
from sciai.atoms.api.vacuum import hollow
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput
from sciai.core.shown import Brief

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["Elastic", "elastic", "voigt_reuss_hill"]

Floats = npt.NDArray[np.float64]
VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
AT_REST: Final = 1.0
"""Stress, GPa, below which a crystal counts as relaxed."""


@dataclass(frozen=True, repr=False)
class Elastic(Brief):
    """Elastic constants of a crystal.

    Attributes:
        formula: of the structure.
        constants: stiffness in Voigt notation, GPa, shape (6, 6), symmetric.
        axes: "standard", along the axes of the conventional cell (of a cubic crystal its edges; of others z
            along c, x along a), or "given", along the Cartesian axes of the given structure.
        bulk: bulk modulus (Hill), GPa, with the bounds of Voigt and Reuss.
        shear: shear modulus (Hill), GPa, with its bounds.
        young: Young's modulus of a polycrystal, GPa.
        poisson: Poisson's ratio of a polycrystal.
        anisotropy: universal index of Ranganathan & Ostoja-Starzewski; 0 where isotropic.
        stable: whether the crystal withstands every small strain (all eigenvalues above 0; Born).
        stress: of the given structure, GPa, Voigt.
    """

    formula: str
    constants: Floats
    axes: str
    bulk: tuple[float, float, float]
    shear: tuple[float, float, float]
    young: float
    poisson: float
    anisotropy: float
    stable: bool
    stress: Floats = field(repr=False)


@recorded
def elastic(
    atoms: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    strain: float = 0.005,
    points: int = 4,
    relax_atoms: bool = True,
    axes: str = "standard",
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Elastic]:
    """Strain the cell in six ways, and fit stress against strain.

    Averages after Hill (1952, Proc. Phys. Soc. A 65, 349), stability after Born, see Mouhat & Coudert (2014,
    Phys. Rev. B 90, 224104), anisotropy after Ranganathan & Ostoja-Starzewski (2008, PRL 101, 055504).

    Args:
        atoms: a relaxed crystal.
        potential: what computes; float64 where it is a checkpoint.
        out: folder for JSON and a picture; None writes nothing.
        strain: largest strain.
        points: strains of each kind, half of them negative.
        relax_atoms: let the atoms move in the strained cell, where the structure has such freedom; those that
            are fixed in it, too, which would make it stiffer than it is.
        axes: "standard" turns the crystal so that constants are along its conventional axes, as tables give
            them; "given" leaves it as it lies.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. The spread of each constant and of the moduli, GPa, is the error that the potential was
        measured to have on crystals it did not learn from (``Potential.typical``), with the standard error of
        the fit and what the two ways to measure it (C_ij, C_ji) differ by; of a potential that was never
        measured the latter alone.

    Raises:
        BadInput: no crystal, a potential without stress, settings that make no sense.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> pot = Potential.from_calculator(EMT())
        >>> found = elastic(bulk("Cu", a=3.5902, cubic=True), pot, relax_atoms=False).unwrap()
        >>> found.stable, round(found.bulk[0])
        (True, 134)
    """
    step = progress or quiet
    if not atoms.pbc.all():
        raise BadInput("elastic constants need a cell that is periodic in all directions", field="pbc")
    if not 0 < strain <= 0.05 or points < 2 or points % 2:
        raise BadInput(
            f"{points} strains up to {strain:g}", field="strain", fix="use an even number, and 0.002 to 0.02"
        )
    if axes not in ("standard", "given"):
        raise BadInput(f"no axes are called {axes!r}", field="axes", fix="use standard or given")
    turn = standard_rotation(atoms) if axes == "standard" else None
    axes = "given" if turn is None else axes
    settings = {"strain": strain, "points": points, "relax_atoms": relax_atoms, "axes": axes}
    folder = RunFolder(out, "elastic", atoms, potential, settings, overwrite=overwrite)
    atoms = atoms.copy()
    atoms.set_constraint()
    if turn is not None:
        atoms.set_cell(atoms.cell[:] @ turn.T, scale_atoms=True)
    sizes = np.array([s for k in range(1, points // 2 + 1) for s in (-k, k)]) * strain / (points // 2)
    frames = [_strained(atoms, kind, size) for kind in range(6) for size in sizes]
    unrest: tuple[Finding, ...] = ()
    if relax_atoms and len(atoms) > 1:
        frames, unrest = _relaxed(frames, potential, step)
    answers = potential.batch([atoms, *frames])
    empty = hollow(
        atoms,
        potential,
        "the moduli mean nothing. Constants within a layer, times the height of its cell (1 GPa Å: 0.1 N/m), "
        "are the layer's; the others are none",
    )
    findings = (*unrest, *empty, *_merge(answers))
    if any(f.level >= Level.REFUSE for f in unrest) or any(
        a.estimate is None or a.level >= Level.REFUSE for a in answers
    ):
        refused: Answer[Elastic] = Answer(None, findings, potential.provenance)
        folder.answer(refused)
        return refused
    stresses = [a.estimate.value.stress for a in answers if a.estimate is not None]
    if any(stress is None for stress in stresses):
        folder.abandon()
        raise BadInput(f"{potential.engine.name} gives no stress", field="potential")
    found = np.array(stresses) * GPA
    answer = _answer(atoms, potential, sizes, found[0], found[1:].reshape(6, len(sizes), 6), findings, axes)
    folder.answer(answer)
    folder.trajectory("strains.traj", [atoms, *frames], answers)
    if answer.estimate is not None:
        folder.picture("elastic.png", elastic_figure(answer.estimate.value))
    step(1.0, "done")
    return answer


def voigt_reuss_hill(constants: npt.ArrayLike) -> dict[str, tuple[float, float, float]]:
    """Bulk and shear modulus of a polycrystal: Hill's mean, Reuss' lower and Voigt's upper bound.

    Args:
        constants: stiffness, shape (6, 6), any unit.

    Example:
        >>> isotropic = np.diag([4.0, 4, 4, 1, 1, 1]); isotropic[:3, :3] += 2 - 2 * np.eye(3)
        >>> voigt_reuss_hill(isotropic)["shear"]
        (1.0, 1.0, 1.0)
    """
    c = np.asarray(constants, float)
    s = np.linalg.inv(c)
    bulk_v = (c[0, 0] + c[1, 1] + c[2, 2] + 2 * (c[0, 1] + c[1, 2] + c[0, 2])) / 9
    shear_v = (
        c[0, 0] + c[1, 1] + c[2, 2] - c[0, 1] - c[1, 2] - c[0, 2] + 3 * (c[3, 3] + c[4, 4] + c[5, 5])
    ) / 15
    bulk_r = 1 / (s[0, 0] + s[1, 1] + s[2, 2] + 2 * (s[0, 1] + s[1, 2] + s[0, 2]))
    diagonal, mixed, shear = s[0, 0] + s[1, 1] + s[2, 2], s[0, 1] + s[1, 2] + s[0, 2], np.trace(s[3:, 3:])
    shear_r = 15 / (4 * diagonal - 4 * mixed + 3 * shear)
    pairs = {"bulk": (bulk_r, bulk_v), "shear": (shear_r, shear_v)}
    return {name: (float((r + v) / 2), float(r), float(v)) for name, (r, v) in pairs.items()}


def elastic_figure(found: Elastic) -> Any:
    """The constants as a table of colours."""
    figure = new_figure(5.6, 4.8)
    axes = figure.subplots()
    top = float(np.abs(found.constants).max())
    axes.imshow(found.constants, cmap="RdBu_r", vmin=-top, vmax=top)
    for i in range(6):
        for j in range(6):
            value = found.constants[i, j]
            color = "white" if abs(value) > 0.6 * top else INK
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=color, fontsize=10)
    labels = ["xx", "yy", "zz", "yz", "xz", "xy"]
    axes.set_xticks(range(6), labels)
    axes.set_yticks(range(6), labels)
    axes.set_title(
        f"{found.formula}: elastic constants, GPa\nB {found.bulk[0]:.1f}, G {found.shear[0]:.1f} GPa, "
        f"ν {found.poisson:.2f}",
        loc="left",
        fontsize=11,
    )
    return figure


def _strained(atoms: Atoms, kind: int, size: float) -> Atoms:
    i, j = VOIGT[kind]
    deform = np.eye(3)
    # engineering shear: gamma = 2 epsilon, so that Voigt's stress = C strain
    deform[i, j] += size if i == j else size / 2
    deform[j, i] += 0.0 if i == j else size / 2
    out: Atoms = atoms.copy()
    out.set_cell(atoms.cell[:] @ deform, scale_atoms=True)
    return out


def _relaxed(
    frames: list[Atoms], potential: Potential, step: Step
) -> tuple[list[Atoms], tuple[Finding, ...]]:
    from sciai.atoms.api.relaxation import relax

    rests = []
    for k, frame in enumerate(frames):
        step(k / len(frames), f"strain {k + 1} of {len(frames)}")
        rests.append(relax(frame, potential, cell=False, fmax=0.002, steps=200, symmetry=False))
    return at_rest(frames, rests, potential)


def _answer(
    atoms: Atoms,
    potential: Potential,
    sizes: Floats,
    rest: Floats,
    stresses: Floats,
    findings: tuple[Finding, ...],
    axes: str,
) -> Answer[Elastic]:
    level = potential.guard.level
    raw, error = np.zeros((6, 6)), np.zeros((6, 6))
    for kind in range(6):
        design = np.stack([sizes, np.ones_like(sizes)], 1)
        solution, *_ = np.linalg.lstsq(design, stresses[kind], rcond=None)
        raw[:, kind] = solution[0]
        left = stresses[kind] - design @ solution
        freedom = max(len(sizes) - 2, 1)
        error[:, kind] = np.sqrt((left**2).sum(0) / freedom / ((sizes - sizes.mean()) ** 2).sum())
    constants = (raw + raw.T) / 2
    spread = np.sqrt((error**2 + error.T**2) / 4 + ((raw - raw.T) / 2) ** 2)
    lowest = float(np.linalg.eigvalsh(constants)[0])
    notes = list(findings)
    if np.abs(rest).max() > AT_REST:
        message = (
            f"the given structure is under a stress of {np.abs(rest).max():.1f} GPa: these are constants of "
            "a strained crystal; relax the cell first"
        )
        notes.append(Finding("converged", level("converged"), message))
    if lowest <= 0:
        message = f"not stable: a strain lowers the energy (lowest eigenvalue {lowest:.1f} GPa)"
        notes.append(Finding("unstable", level("unstable"), message))
    if abs(lowest) < 1e-6:
        message = "the stiffness is singular; there are no moduli to give"
        return Answer(None, (*notes, Finding("fit", Level.REFUSE, message)), potential.provenance)
    mean = voigt_reuss_hill(constants)
    bulk, shear = mean["bulk"], mean["shear"]
    value = Elastic(
        formula=atoms.get_chemical_formula(),
        constants=constants,
        axes=axes,
        bulk=bulk,
        shear=shear,
        young=9 * bulk[0] * shear[0] / (3 * bulk[0] + shear[0]),
        poisson=(3 * bulk[0] - 2 * shear[0]) / (2 * (3 * bulk[0] + shear[0])),
        anisotropy=5 * shear[2] / shear[1] + bulk[2] / bulk[1] - 6,
        stable=lowest > 0,
        stress=rest,
    )
    known = potential.typical.get("elastic")
    largest = float(np.abs(constants).max())
    notes.append(own_error(known, "elastic", largest, potential.guard))
    if known is not None:
        own = np.where(
            np.abs(constants) > 1e-3 * largest, known.spread(largest), 0.0
        )  # not where symmetry says 0
        spread = np.hypot(spread, own)
    told: dict[str, Any] = {"constants": spread}
    for name, (mean_, low, high) in (("bulk", bulk), ("shear", shear)):
        moduli = potential.typical.get(f"{name}_modulus")
        # crystals without texture lie between the bounds; where is not known
        told[name] = float("nan") if moduli is None else moduli.spread(mean_, (high - low) / np.sqrt(12))
    return Answer(Estimate(value, told, "GPa"), tuple(notes), potential.provenance)
