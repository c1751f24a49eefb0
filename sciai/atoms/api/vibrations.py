"""Phonons by finite displacements: bands, density of states, heat capacity, stability."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import CARRIED
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import ACCENT, LINE, QUIET, WARM, new_figure, tidy
from sciai.atoms.api.record import recorded
from sciai.atoms.api.typical import own_error
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["Phonons", "phonons"]

Floats = npt.NDArray[np.float64]
IMAGINARY: Final = -0.1
"""THz; modes below are imaginary, those above are zero within what finite displacements resolve."""
SMALLEST: Final = 8.0
"""Å; a supercell is repeated until it is at least so long in every direction."""
NONMETALS: Final = frozenset(["H", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"])
POLAR: Final = (
    "no charges are known here: where ions move, longitudinal optical modes near Γ lie higher than told (no "
    "LO-TO splitting); add Born charges of a DFT code to phonopy.yaml"
)


@dataclass(frozen=True)
class Phonons:
    """Vibrations of a crystal.

    Attributes:
        formula: of the primitive cell.
        supercell: repetitions of the given cell.
        path: q points along the band path, fractional, shape (n, 3).
        distance: along the path, 1/Å, shape (n,).
        frequencies: THz, negative for imaginary ones, shape (n, modes).
        ticks: position on the path and name of its special points.
        dos: frequency in THz and density of states per THz and cell, shape (m, 2).
        thermal: temperature in K, free energy in kJ/mol, entropy and heat capacity in J/K/mol, of one
            primitive cell, shape (k, 4).
        lowest: lowest frequency anywhere, THz.
        acoustic: largest frequency of the three acoustic modes at Gamma, THz: zero by the acoustic sum rule.
        imaginary: whether any mode is imaginary.
    """

    formula: str
    supercell: tuple[int, int, int]
    path: Floats = field(repr=False)
    distance: Floats = field(repr=False)
    frequencies: Floats = field(repr=False)
    ticks: tuple[tuple[float, str], ...] = field(repr=False)
    dos: Floats = field(repr=False)
    thermal: Floats = field(repr=False)
    lowest: float
    acoustic: float
    imaginary: bool


@recorded
def phonons(
    atoms: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    supercell: tuple[int, int, int] | None = None,
    displacement: float = 0.01,
    mesh: float = 30.0,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Phonons]:
    """Displace atoms in a supercell, and diagonalise what comes back.

    Computed by phonopy (Togo, Chaput, Tadano & Tanaka 2023, J. Phys. Condens. Matter 35, 353001).

    Args:
        atoms: a relaxed crystal (forces below 0.001 eV/Å).
        potential: what computes; float64 where it is a checkpoint.
        out: folder for force constants (``phonopy.yaml``), the displaced cells (``displacements.traj``), JSON
            and a picture; None writes nothing.
        supercell: repetitions of the given cell; None takes as many as make it 8 Å long in every direction.
        displacement: Å.
        mesh: density of the mesh for the density of states, Å.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread is, in THz, the error that the potential was measured to have on crystals it
        did not learn from (``Potential.typical``), with what frequencies change by when the displacements
        are half as large (anharmonicity and noise of the forces); where it was never measured the latter
        alone.

    Raises:
        BadInput: no crystal, or settings that make no sense.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> pot = Potential.from_calculator(EMT())
        >>> found = phonons(bulk("Cu", a=3.59), pot, supercell=(2, 2, 2)).unwrap()
        >>> found.imaginary, found.acoustic < 0.01, round(float(found.frequencies.max()))
        (False, True, 8)
    """
    step = progress or quiet
    if not atoms.pbc.all():
        raise BadInput("phonons need a cell that is periodic in all directions", field="pbc")
    atoms = _right_handed(atoms)
    if not 0 < displacement <= 0.2 or not mesh > 0:
        raise BadInput(f"a displacement of {displacement:g}", field="displacement", unit="Å", fix="use 0.01")
    repeat = supercell or tuple(int(max(1, np.ceil(SMALLEST / h))) for h in _heights(atoms))
    if min(repeat) < 1 or len(repeat) != 3:
        raise BadInput(f"a supercell of {repeat}", field="supercell", fix="use three numbers from 1")
    settings = {"supercell": list(repeat), "displacement": displacement, "mesh": mesh}
    folder = RunFolder(out, "phonons", atoms, potential, settings, overwrite=overwrite)
    first = potential(atoms)
    if first.estimate is None or first.level >= Level.REFUSE:
        refused: Answer[Phonons] = Answer(None, first.findings, potential.provenance)
        folder.answer(refused)
        return refused
    residual = float(np.linalg.norm(first.estimate.value.forces, axis=1).max())
    findings = list(first.findings)
    if residual > 0.02:
        message = f"the structure is not at rest (a force of {residual:.3f} eV/Å); relax it to 0.001 first"
        findings.append(Finding("converged", potential.guard.level("converged"), message))
    model, worst = _force_constants(atoms, potential, repeat, displacement, step, 0.0, folder)
    if worst is not None:
        refused = Answer(None, (*findings, *worst.findings), potential.provenance)
        folder.answer(refused)
        return refused
    found = _phonons(model, atoms, repeat, mesh)
    half, _ = _force_constants(atoms, potential, repeat, displacement / 2, step, 0.45)
    spread = float("nan")
    if half is not None:
        other = _frequencies(half, found.path)
        spread = float(np.abs(other - found.frequencies).max())
    known = potential.typical.get("frequencies")
    highest = float(found.frequencies.max())
    findings.append(own_error(known, "frequencies", highest, potential.guard))
    if known is not None:
        spread = known.spread(highest, spread)
    if len(kinds := set(atoms.get_chemical_symbols())) > 1 and kinds & NONMETALS:
        findings.append(Finding("polar", Level.OK, POLAR))
    if found.imaginary:
        message = (
            f"imaginary modes (down to {found.lowest:.2f} THz): the crystal lowers its energy by "
            "distorting, or it was not relaxed; thermal properties leave these modes out"
        )
        findings.append(Finding("imaginary", potential.guard.level("imaginary"), message))
    answer = Answer(Estimate(found, {"frequencies": spread}, "THz"), tuple(findings), potential.provenance)
    folder.answer(answer)
    if folder.out is not None:
        model.save(str(folder.path("phonopy.yaml")), settings={"force_constants": True})
        folder.picture("phonons.png", phonons_figure(found))
    step(1.0, "done")
    return answer


def phonons_figure(found: Phonons) -> Any:
    """Bands and density of states side by side."""
    figure = new_figure(8.0, 4.6)
    bands, dos = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    tidy(bands, "", "frequency, THz", f"{found.formula}: phonons")
    for mode in found.frequencies.T:
        bands.plot(found.distance, mode, color=ACCENT, linewidth=1.1)
    for where, _ in found.ticks:
        bands.axvline(where, color=LINE, linewidth=0.8, zorder=0)
    bands.set_xticks([where for where, _ in found.ticks], [name for _, name in found.ticks])
    bands.axhline(0.0, color=QUIET, linewidth=0.8)
    if found.imaginary:
        bands.axhspan(found.lowest, 0, color=WARM, alpha=0.08)
        bands.text(0.02, 0.02, "imaginary", color=WARM, transform=bands.transAxes, fontsize=9)
    bands.set_xlim(found.distance.min(), found.distance.max())
    tidy(dos, "density of states", "")
    dos.fill_betweenx(found.dos[:, 0], 0, found.dos[:, 1], color=ACCENT, alpha=0.3)
    dos.plot(found.dos[:, 1], found.dos[:, 0], color=ACCENT, linewidth=1.0)
    return figure


def _right_handed(atoms: Atoms) -> Atoms:
    """The same crystal in a cell of the hand that phonopy asks for."""
    if atoms.cell.handedness > 0:
        return atoms
    out: Atoms = atoms.copy()
    out.set_cell(-atoms.cell[:])  # spans the same lattice, and no atom moves
    return out


def _alike(atoms: Atoms) -> bool:
    """Whether atoms of one element have one mass, moment and charge."""
    told = (atoms.get_masses(), atoms.get_initial_magnetic_moments(), atoms.get_initial_charges())
    of = [atoms.numbers == z for z in set(atoms.numbers.tolist())]
    return all(bool(np.ptp(values[mine], axis=0).max() < 1e-6) for values in told for mine in of)


def _heights(atoms: Atoms) -> Floats:
    cell = np.asarray(atoms.cell[:], float)
    return np.asarray(1 / np.linalg.norm(np.linalg.inv(cell), axis=0))


def _force_constants(
    atoms: Atoms,
    potential: Potential,
    repeat: tuple[int, ...],
    displacement: float,
    step: Step,
    begin: float,
    folder: RunFolder | None = None,
) -> tuple[Any, Answer[Any] | None]:
    """A phonopy object with symmetrised force constants; or the answer that was refused.

    With a folder the displaced cells go there, as a trajectory.
    """
    from ase import Atoms as AseAtoms
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its default was another once; here it is chosen on purpose
        # whose symmetry knows elements alone: isotopes it calls equal, and gives one mass
        alike = _alike(atoms)
        how: Any = {"primitive_matrix": "auto" if alike else "P", "is_symmetry": alike}
        model = Phonopy(cell, supercell_matrix=np.diag(repeat), log_level=0, **how)
    model.generate_displacements(distance=displacement)
    frames = [
        AseAtoms(s.symbols, scaled_positions=s.scaled_positions, cell=s.cell, pbc=True)
        for s in model.supercells_with_displacements or []
        if s is not None
    ]
    unit = [model.supercell.u2u_map[k] for k in model.supercell.s2u_map]
    for frame in frames:  # potentials of others may go by moments and charges
        for name in set(CARRIED) & set(atoms.arrays):
            frame.set_array(name, atoms.arrays[name][unit])
    forces, answers = [], []
    for k, frame in enumerate(frames):
        step(begin + 0.45 * k / len(frames), f"displacement {k + 1} of {len(frames)}, {len(frame)} atoms")
        answer = potential(frame)
        if answer.estimate is None or answer.level >= Level.REFUSE:
            return None, answer
        answers.append(answer)
        # what is left at rest acts on every displaced cell alike; phonopy symmetrises, but does not know it
        forces.append(answer.estimate.value.forces - answer.estimate.value.forces.mean(0))
    if folder is not None:
        folder.trajectory("displacements.traj", frames, answers)
    model.forces = np.array(forces)
    model.produce_force_constants()
    model.symmetrize_force_constants()
    return model, None


def _frequencies(model: Any, points: Floats) -> Floats:
    """Frequencies in THz at q points, shape (n, modes); negative where imaginary."""
    rows = []
    for q in points:
        model.dynamical_matrix.run(q)
        squares = np.linalg.eigvalsh(model.dynamical_matrix.dynamical_matrix)
        rows.append(np.sign(squares) * np.sqrt(np.abs(squares)) * model.unit_conversion_factor)
    return np.array(rows)


def _ticks(where: Any, names: Any) -> tuple[tuple[float, str], ...]:
    """Special points; where the path jumps, both names stand at one place."""
    found: dict[float, list[str]] = {}
    for x, name in zip(where, names, strict=True):
        found.setdefault(round(float(x), 9), []).append("Γ" if name == "G" else str(name))
    return tuple((x, "|".join(dict.fromkeys(labels))) for x, labels in found.items())


def _phonons(model: Any, atoms: Atoms, repeat: tuple[int, ...], mesh: float) -> Phonons:
    from ase import Atoms as AseAtoms

    p = model.primitive
    primitive = AseAtoms(p.symbols, scaled_positions=p.scaled_positions, cell=p.cell, pbc=True)
    # 60 points along the whole path at least, so that each branch is a curve
    route = primitive.cell.bandpath(density=25)
    distance, where, names = route.get_linear_kpoint_axis()
    frequencies = _frequencies(model, np.asarray(route.kpts))
    model.run_mesh(mesh)
    model.run_total_dos()
    dos = model.total_dos
    density = np.stack([dos.frequency_points, dos.dos], 1)
    model.run_thermal_properties(t_min=0, t_max=1000, t_step=50, cutoff_frequency=-IMAGINARY)
    columns = ("temperatures", "free_energy", "entropy", "heat_capacity")
    gamma = _frequencies(model, np.zeros((1, 3)))[0]
    acoustic = float(np.sort(np.abs(gamma))[:3].max())
    lowest = float(min(frequencies.min(), model.mesh.frequencies.min()))
    return Phonons(
        formula=primitive.get_chemical_formula(),
        supercell=(int(repeat[0]), int(repeat[1]), int(repeat[2])),
        path=np.asarray(route.kpts),
        distance=np.asarray(distance),
        frequencies=frequencies,
        ticks=_ticks(where, names),
        dos=density,
        thermal=np.stack([np.asarray(getattr(model.thermal_properties, c), float) for c in columns], 1),
        lowest=lowest,
        acoustic=acoustic,
        imaginary=lowest < IMAGINARY,
    )
