"""Relax: move the atoms, and the cell where it is periodic, to where forces and stress vanish."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import Structure, with_results
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import curves, structure_figure
from sciai.atoms.api.record import recorded
from sciai.atoms.api.symmetry import keep_symmetry, spacegroup
from sciai.atoms.api.trajectory import truncate
from sciai.atoms.api.typical import own_error
from sciai.atoms.api.vacuum import hollow
from sciai.core.answer import Answer, Estimate, Finding, Level, Refused
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["OPTIMIZERS", "Relaxed", "relax"]

GPA: Final = 160.21766208
"""GPa in one eV/Å^3."""
UPHILL: Final = 1e-3  # eV/atom that an end may lie above its start
OPTIMIZERS: Final = ("auto", "bfgs", "fire", "lbfgs")
MUCH: Final = 0.3
"""Change of volume that is worth a remark."""


@dataclass(frozen=True)
class Relaxed:
    """Where a relaxation ended.

    Attributes:
        structure: the relaxed structure.
        energy: eV.
        energy_per_atom: eV.
        energy_change: eV per atom, relaxed minus given; negative unless the given one was at rest.
        max_force: largest force left on what may move, eV/Å.
        stress: GPa, Voigt; None where the cell was not periodic.
        volume: Å^3 per atom; None where the cell was not periodic.
        volume_change: relative, relaxed over given minus 1; None where the cell was kept.
        spacegroup: symbol before and after; None for what is not a crystal.
        steps: optimiser steps taken, earlier parts of a restarted run included.
        converged: whether forces (and stress) are below what was asked for.
        history: energy in eV and largest force in eV/Å of each step.
    """

    structure: Structure
    energy: float
    energy_per_atom: float
    energy_change: float
    max_force: float
    stress: npt.NDArray[np.float64] | None
    volume: float | None
    volume_change: float | None
    spacegroup: tuple[str, str] | None
    steps: int
    converged: bool
    history: npt.NDArray[np.float64] = field(repr=False)

    @property
    def atoms(self) -> Atoms:
        """The relaxed structure as ASE atoms."""
        return self.structure.atoms


@recorded
def relax(
    atoms: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    fmax: float = 0.01,
    steps: int = 1000,
    cell: bool | None = None,
    symmetry: bool = True,
    pressure: float = 0.0,
    optimizer: str = "auto",
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Relaxed]:
    """Relax a structure.

    Args:
        atoms: what to relax; stays as it is. Its constraints (fixed atoms) are kept.
        potential: what computes.
        out: folder for the trajectory, the relaxed structure, JSON and a picture. A run that was stopped
            goes on when called again with the same folder. None writes nothing.
        fmax: largest force left, eV/Å; with a cell that relaxes also what its stress exerts on an atom.
        steps: most optimiser steps.
        cell: relax the cell too; None does so where all directions are periodic.
        symmetry: keep the symmetry that the structure has (to 0.01 Å); of one with fixed atoms what maps
            these onto each other.
        pressure: outer pressure, GPa.
        optimizer: bfgs, fire or lbfgs; auto takes BFGS up to 100 atoms and FIRE beyond. Both hold where the
            energy curves downwards; LBFGS is quickest near the end, but can cycle there.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer; its spread is that of the energy (eV) and of the forces at the end, and, where the cell
        relaxed too, of the volume (Å^3 per atom, see ``Potential.typical``). A structure that is
        refused, at the start or on its way, has no estimate; the trajectory up to there is in ``out``.

    Raises:
        BadInput: settings that make no sense, or a folder of another run.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> done = relax(bulk("Cu", a=3.7, cubic=True), Potential.from_calculator(EMT())).unwrap()
        >>> done.converged, round(done.volume ** (1 / 3) * 4 ** (1 / 3), 2), done.spacegroup
        (True, 3.59, ('Fm-3m', 'Fm-3m'))
    """
    step = progress or quiet
    with_cell = bool(atoms.pbc.all()) if cell is None else cell
    _check(atoms, fmax, steps, with_cell, pressure, optimizer)
    settings = {
        "fmax": fmax,
        "cell": with_cell,
        "symmetry": symmetry,
        "pressure": pressure,
        "optimizer": optimizer,
    }
    folder = RunFolder(out, "relax", atoms, potential, settings, overwrite=overwrite)
    first = potential(atoms)
    if first.estimate is None or first.level >= Level.REFUSE:
        return _refused(first, folder, ())
    if with_cell and first.estimate.value.stress is None:
        folder.abandon()
        problem = f"{potential.engine.name} gives no stress, without which no cell relaxes"
        raise BadInput(problem, field="cell", fix="keep the cell (cell=False, --fixed-cell)")
    run = _Run(atoms, potential, folder, first.estimate.value.energy, step, steps, fmax, symmetry)
    notes = [Finding("symmetry", Level.OK, run.kept)] if run.kept else []
    try:
        run.go(with_cell, pressure, optimizer)
    except Refused as stop:
        return _refused(stop.answer, folder, notes)
    answer = _answer(atoms, run, potential, with_cell, pressure, notes)
    _write(answer, run, folder)
    return answer


class _Run:
    """An optimisation on its way, with its history and its files."""

    def __init__(
        self,
        given: Atoms,
        potential: Potential,
        folder: RunFolder,
        start_energy: float,
        step: Step,
        steps: int,
        fmax: float,
        symmetry: bool,
    ) -> None:
        self.potential, self.folder, self.step, self.steps, self.fmax = potential, folder, step, steps, fmax
        self.start_energy = start_energy
        self.atoms = given.copy()
        self.history: list[tuple[float, float]] = []
        self.converged = False
        self.last: Answer[Any] | None = None
        # of what was given: a run that goes on keeps no symmetry that it only came near to
        self.kept = keep_symmetry(self.atoms) if symmetry else ""
        saved = folder.load()
        if saved is not None:
            self.atoms.set_cell(saved["cell"], apply_constraint=False)
            self.atoms.positions[:] = saved["positions"]
            self.history = [tuple(row) for row in saved["history"].tolist()]
        self.atoms.calc = potential.calculator()

    def go(self, with_cell: bool, pressure: float, optimizer: str) -> None:
        from ase.filters import FrechetCellFilter
        from ase.io.trajectory import Trajectory
        from ase.optimize import BFGS, FIRE, LBFGS

        moving: Any = self.atoms
        if with_cell:
            moving = FrechetCellFilter(self.atoms, scalar_pressure=pressure / GPA)
        few = len(self.atoms) <= 100  # BFGS keeps a dense Hessian
        kind = {"lbfgs": LBFGS, "fire": FIRE, "bfgs": BFGS, "auto": BFGS if few else FIRE}[optimizer]
        path = self.folder.path("path.traj")
        mode = "w"
        if path is not None and path.is_file() and self.folder.resumed:
            mode = "a"
            truncate(path, len(self.history))  # steps behind the saved state are taken again
        trajectory = None if path is None else Trajectory(str(path), mode)
        try:
            with warnings.catch_warnings(), kind(moving, logfile=None) as dynamics:
                # of a logarithm's error of 1e-13, and of long steps of the cell, whose end is symmetric again
                warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
                warnings.filterwarnings("ignore", "FixSymmetry adjust_cell may be", UserWarning)
                dynamics.attach(lambda: self._note(dynamics, moving, trajectory))
                left = max(self.steps - max(len(self.history) - 1, 0), 0)
                self.converged = bool(dynamics.run(fmax=self.fmax, steps=left))
        finally:
            if trajectory is not None:
                trajectory.close()
            self.save()

    def save(self) -> None:
        if self.history:
            self.folder.save(
                {
                    "positions": self.atoms.positions,
                    "cell": np.asarray(self.atoms.cell[:]),
                    "history": np.asarray(self.history),
                }
            )

    def _note(self, dynamics: Any, moving: Any, trajectory: Any) -> None:
        worst = float(np.linalg.norm(self.atoms.get_forces(), axis=1).max(initial=0.0))
        if moving is not self.atoms:
            # what the cell feels, per atom: near the end the same as ASE's filter says, without its matrices
            pull = self.atoms.get_stress(voigt=False) + moving.scalar_pressure * np.eye(3)
            pull *= self.atoms.get_volume() / len(self.atoms)
            worst = max(worst, float(np.linalg.norm(pull, axis=1).max()))
        energy = float(self.atoms.get_potential_energy())
        if self.folder.resumed and self.history and dynamics.nsteps == 0:
            return  # the step that a restart begins with is the last one before
        self.history.append((energy, worst))
        if trajectory is not None:
            trajectory.write(_plain(self.atoms))
            if len(self.history) % 20 == 0:
                self.save()
        # the largest force falls roughly exponentially: its logarithm says how much is left
        done = 1 - np.log(max(worst / self.fmax, 1.0)) / np.log(max(self.history[0][1] / self.fmax, 1.0) + 1)
        self.step(float(np.clip(done, 0, 1)), f"step {len(self.history) - 1}, force {worst:.3f} eV/Å")


def _check(atoms: Atoms, fmax: float, steps: int, with_cell: bool, pressure: float, optimizer: str) -> None:
    if not fmax > 0:
        raise BadInput(f"fmax is {fmax}", field="fmax", unit="eV/Å", fix="use a number above 0, such as 0.01")
    if steps < 0:
        raise BadInput(f"{steps} steps", field="steps")
    if optimizer not in OPTIMIZERS:
        raise BadInput(
            f"no optimiser is called {optimizer!r}", field="optimizer", fix=f"use {', '.join(OPTIMIZERS)}"
        )
    if with_cell and not atoms.pbc.all():
        raise BadInput("only a cell that is periodic in all directions can relax", field="cell")
    if pressure and not with_cell:
        raise BadInput("a pressure needs a cell that relaxes", field="pressure", unit="GPa")


def _refused(answer: Answer[Any], folder: RunFolder, notes: Any) -> Answer[Relaxed]:
    refused: Answer[Relaxed] = Answer(None, (*notes, *answer.findings), answer.provenance)
    folder.answer(refused)
    return refused


def _answer(
    given: Atoms, run: _Run, potential: Potential, with_cell: bool, pressure: float, notes: list[Finding]
) -> Answer[Relaxed]:
    atoms = _plain(run.atoms)
    last = potential(atoms)
    if last.estimate is None or last.level >= Level.REFUSE:
        return Answer(None, (*notes, *last.findings), potential.provenance)
    run.last = last
    value, level = last.estimate.value, potential.guard.level
    before, after = spacegroup(given), spacegroup(atoms)
    change = atoms.get_volume() / given.get_volume() - 1 if with_cell else None
    gained = (value.energy - run.start_energy) / len(atoms)
    if gained > UPHILL and not pressure:  # under pressure the enthalpy falls, not the energy
        message = (
            f"the end lies {gained * 1000:.1f} meV/atom above the start: this is no relaxation; try another "
            "optimiser, and do not use the result"
        )
        notes.append(Finding("uphill", level("uphill"), message))
    if not run.converged:
        left = run.history[-1][1] if run.history else float("nan")
        message = (
            f"stopped after {len(run.history) - 1} steps with a force of {left:.3f} eV/Å left; allow more "
            "steps (the same folder goes on), or try another optimiser"
        )
        notes.append(Finding("converged", level("converged"), message))
    if change is not None and abs(change) > MUCH:
        message = f"the volume changed by {100 * change:+.0f} %; was the given cell right?"
        notes.append(Finding("volume", level("volume"), message, "cell"))
    if with_cell:
        way = "For a slab or a molecule keep the cell (cell=False, --fixed-cell)"
        notes += hollow(given, potential, f"the volume means nothing. {way}")
    n = len(atoms)
    relaxed = Relaxed(
        structure=Structure.of(atoms),
        energy=value.energy,
        energy_per_atom=value.energy / n,
        energy_change=(value.energy - run.start_energy) / n,
        max_force=float(np.linalg.norm(with_results(atoms, value).get_forces(), axis=1).max(initial=0.0)),
        stress=None if value.stress is None else value.stress * GPA,
        volume=float(atoms.get_volume()) / n if atoms.pbc.all() else None,
        volume_change=None if change is None else float(change),
        spacegroup=None if before is None or after is None else (before[0], after[0]),
        steps=max(len(run.history) - 1, 0),
        converged=run.converged,
        history=np.asarray(run.history, float).reshape(-1, 2),
    )
    spread = dict(last.estimate.spread)
    if change is not None and relaxed.volume is not None:
        known = potential.typical.get("volume")
        notes.append(own_error(known, "volume", relaxed.volume, potential.guard))
        spread["volume"] = float("nan") if known is None else known.spread(relaxed.volume)
    findings = (*notes, *last.findings)
    return Answer(Estimate(relaxed, spread, "eV, eV/Å, GPa, Å^3"), findings, potential.provenance)


def _write(answer: Answer[Relaxed], run: _Run, folder: RunFolder) -> None:
    folder.answer(answer)
    if folder.out is None or answer.estimate is None:
        return
    done = answer.estimate.value
    held = done.atoms
    held.set_constraint(_plain(run.atoms).constraints)
    folder.structure("relaxed.extxyz", held, run.last)
    if done.volume is not None:
        folder.structure("relaxed.cif", done.atoms)
    title = f"{done.structure.formula}: relaxed, {answer.level.name}"
    folder.picture(
        "structure.png", structure_figure(done.atoms, answer.estimate.spread["forces"], title=title)
    )
    folder.picture("path.png", path_figure(done))


def path_figure(done: Relaxed) -> Any:
    """Energy and largest force of each step."""
    steps = np.arange(len(done.history))
    n = len(done.structure.symbols)
    energy = (done.history[:, 0] - done.energy) / n * 1000
    return curves(
        [
            ("energy above the end, meV/atom", steps, {"energy": energy}),
            ("largest force, eV/Å", steps, {"force": done.history[:, 1]}),
        ],
        "step",
        title=f"relaxation of {done.structure.formula}",
        log=["largest force, eV/Å"],
    )


def _plain(atoms: Atoms) -> Atoms:
    """Without the symmetry constraint, which is of no use outside and which few formats can store."""
    from ase.constraints import FixSymmetry

    out: Atoms = atoms.copy()
    out.set_constraint([c for c in atoms.constraints if not isinstance(c, FixSymmetry)])
    if atoms.calc is not None and getattr(atoms.calc, "results", None):
        from ase.calculators.singlepoint import SinglePointCalculator

        known = {k: v for k, v in atoms.calc.results.items() if k in ("energy", "forces", "stress")}
        out.calc = SinglePointCalculator(out, **known)
    return out
