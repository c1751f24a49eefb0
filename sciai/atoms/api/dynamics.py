"""Molecular dynamics that watches itself: domain, drift and temperature, and restarts bit for bit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses

from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.integrators import (
    ENSEMBLES,
    THERMOSTATS,
    Settings,
    conserved,
    freedom,
    integrator,
    pack,
    start_velocities,
    unpack,
)
from sciai.atoms.api.integrators import temperature as kelvin
from sciai.atoms.api.pictures import structure_figure
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import GPA
from sciai.atoms.api.trajectory import COLUMNS, Dynamics, dynamics_figure, summary, truncate
from sciai.atoms.api.vacuum import hollow
from sciai.atoms.checks import of_motion
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.atomic import terminable, whole_file
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["POLICIES", "Dynamics", "md"]

POLICIES: Final = ("stop", "mark")


@recorded
def md(
    atoms: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    ensemble: str = "nvt",
    temperature: float = 300.0,
    steps: int = 1000,
    timestep: float = 1.0,
    thermostat: str = "bussi",
    damping: float = 100.0,
    pressure: float = 0.0,
    pressure_damping: float = 1000.0,
    every: int = 10,
    on_refusal: str = "stop",
    seed: int = 0,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Dynamics]:
    """Run molecular dynamics.

    Every ``every`` steps the potential is asked with its guard: is this still matter that it knows? Between
    these frames only the forces are computed. A run that was stopped, or is asked for more steps, goes on in
    its folder exactly as if it had not been stopped: same velocities, same random numbers, same frames.

    Args:
        atoms: where it starts; stays as it is. Velocities in it are used, else drawn for ``temperature``.
        potential: what computes.
        out: folder for trajectory, table, JSON, picture and the state to go on from. None writes nothing.
        ensemble: nve, nvt or npt.
        temperature: K; for nve that of the drawn velocities. Where the centre of mass stays at rest (all but
            npt and langevin, nothing fixed) it counts three degrees of freedom less than
            ``ase.Atoms.get_temperature``, which tells less by one in the number of atoms.
        steps: number of steps in all.
        timestep: fs; 1 with hydrogen, 2 is often fine without.
        thermostat: bussi, langevin or nose-hoover, for nvt (npt is a Langevin barostat).
        damping: time constant of the thermostat, fs.
        pressure: outer pressure for npt, GPa.
        pressure_damping: time constant of the barostat, fs.
        every: steps between frames; a state to go on from is saved with each.
        on_refusal: stop, or mark the frame (``info["refused"]``) and go on.
        seed: of velocities and thermostat.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread: the standard deviation of temperature (K) over the second half, and that of
        the last frame's forces. A run that was stopped by a refusal is refused; its files stay.

    Raises:
        BadInput: settings that make no sense, or a folder of another run.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> cell = bulk("Cu", cubic=True)
        >>> done = md(cell, Potential.from_calculator(EMT()), ensemble="nve", steps=20).unwrap()
        >>> done.steps, done.frames, abs(done.drift) < 0.01
        (20, 3, True)
    """
    choice = Settings(
        ensemble, temperature, timestep, thermostat, damping, pressure, pressure_damping, every, seed
    )
    _check(atoms, choice, steps, on_refusal)
    step = progress or quiet
    job = {**choice.__dict__, "on_refusal": on_refusal, "velocities": _hash_of(atoms.get_momenta())}
    if not np.array_equal(atoms.get_masses(), atomic_masses[atoms.numbers]):
        job["masses"] = _hash_of(atoms.get_masses())  # deuterium is another run
    folder = RunFolder(out, "md", atoms, potential, job, overwrite=overwrite)
    run = _Run(atoms, potential, folder, choice, on_refusal)
    with terminable():
        run.go(steps, step)
    answer = run.answer()
    folder.answer(answer)
    run.draw(answer)
    return answer


class _Run:
    """A run on its way."""

    def __init__(
        self, given: Atoms, potential: Potential, folder: RunFolder, settings: Settings, on_refusal: str
    ) -> None:
        self.folder, self.settings, self.on_refusal = folder, settings, on_refusal
        self.rng = np.random.default_rng(settings.seed)
        self.atoms = given.copy()
        self.atoms.set_constraint(given.constraints)
        self.calculator = potential.calculator(guard="off")
        # who checks a frame sees the neighbours in the order in which they are summed, after a restart, too
        self.potential = potential.with_guard(potential.guard)
        self.potential.engine = self.calculator.potential.engine
        self.rows: list[list[float]] = []
        self.levels: list[int] = []
        self.doubts: dict[str, list[Any]] = {}  # check -> first message, first frame, number of frames
        self.done = 0
        self.stop: Answer[Any] | None = None
        self.last: Answer[Any] | None = None
        saved = folder.load()
        if saved is None:
            start_velocities(self.atoms, settings, self.rng)
            self.free = freedom(self.atoms, settings)
        else:
            self._restore_atoms(saved)
            # states of before counted the motion of the whole as well; they go on as they began
            whole = self.atoms.get_number_of_degrees_of_freedom()
            self.free = int(saved["free"]) if "free" in saved else int(whole)
        self.atoms.calc = self.calculator
        self.first = saved is None
        self.saved = saved

    def go(self, steps: int, step: Step) -> None:
        if self.first:
            answer = self.potential(self.atoms)
            if answer.level >= Level.REFUSE:
                self.last = self.stop = answer  # nothing is integrated that starts where it may not be
                return
            if self.settings.ensemble == "npt" and answer.unwrap().stress is None:
                self.folder.abandon()
                problem = f"{self.potential.engine.name} gives no stress, which npt needs"
                raise BadInput(problem, field="ensemble", fix="use nvt, or another potential")
        dynamics = integrator(self.atoms, self.settings, self.rng, self.free)
        trajectory = self._trajectory()
        try:
            if self.saved is not None:
                unpack(dynamics, self.saved, self.rng)
                self.calculator.forget()
                # neighbours are listed at the frame, as they were before, and not where the next step leads
                self.atoms.get_potential_energy()
            else:
                self._frame(dynamics, trajectory)
            while self.done < steps and self.stop is None:
                left = min(self.settings.every - self.done % self.settings.every, steps - self.done)
                for _ in range(left):
                    dynamics.step()
                self.done += left
                if self.done % self.settings.every == 0:
                    self._frame(dynamics, trajectory)
                row = self.rows[-1]
                step(self.done / max(steps, 1), f"{row[0]:.2f} ps, {row[1]:.0f} K")
        finally:
            if trajectory is not None:
                trajectory.close()

    def _frame(self, dynamics: Any, trajectory: Any) -> None:
        """Check, note and save one frame, so that a restart from here gives the very same next one."""
        # the order in which neighbours are summed must be that of a fresh start
        self.calculator.forget()
        # atoms that move are not at rest, and what rules say of those that should be does not concern them
        answer = self.last = of_motion(self.potential(self.atoms))
        level, why = answer.level, "; ".join(str(f) for f in answer.findings if f.level >= Level.REFUSE)
        kinetic = float(self.atoms.get_kinetic_energy())
        temperature = kelvin(kinetic, self.free)
        # velocities that were given may be hotter than the temperature that was named
        begun = self.rows[0][1] if self.rows else temperature
        usual = max(self.settings.temperature, begun, 100.0)
        hot = temperature > self.potential.guard.limits.temperature * usual
        if hot and self.potential.guard.active:
            message = (
                f"{temperature:.0f} K after {self.done} steps, wanted {self.settings.temperature:g} K: it "
                "explodes. Relax the start, or take a shorter time step"
            )
            finding = Finding("temperature", self.potential.guard.level("temperature"), message)
            answer = Answer(answer.estimate, (*answer.findings, finding), answer.provenance)
            level, why = max(level, finding.level), f"{why}; {message}".strip("; ")
        self.rows.append(self._row(dynamics, answer, kinetic, temperature, level))
        self.levels.append(int(level))
        for check, said in {f.check: f.message for f in answer.findings if f.level == Level.CAUTION}.items():
            self.doubts.setdefault(check, [said, len(self.rows) - 1, 0])[2] += 1
        self._write(trajectory, why)
        if level >= Level.REFUSE and self.on_refusal == "stop":
            self.stop = answer
        else:
            self._save(dynamics)

    def _row(
        self, dynamics: Any, answer: Answer[Any], kinetic: float, temperature: float, level: Level
    ) -> list[float]:
        potential_energy = float(self.atoms.get_potential_energy())
        nan, full = float("nan"), bool(self.atoms.pbc.all())
        pressure = nan
        if full and "stress" in self.atoms.calc.results:
            stress = self.atoms.get_stress(include_ideal_gas=True)
            pressure = -float(stress[:3].mean()) * GPA
        spread = nan
        if answer.estimate is not None:
            force_sd = np.asarray(answer.estimate.spread["forces"], float)
            spread = float(force_sd.max()) if np.isfinite(force_sd).any() else nan
        return [
            self.done * self.settings.timestep / 1000,
            temperature,
            potential_energy,
            kinetic,
            conserved(dynamics, potential_energy + kinetic),
            pressure,
            float(self.atoms.get_volume()) if full else nan,
            spread,
            float(level),
        ]

    def _trajectory(self) -> Any:
        from ase.io.trajectory import Trajectory

        path = self.folder.path("path.traj")
        if path is None:
            return None
        if self.saved is None:
            return Trajectory(str(path), "w")
        truncate(path, len(self.rows))  # frames behind the saved state come again
        return Trajectory(str(path), "a")

    def _write(self, trajectory: Any, why: str) -> None:
        if trajectory is None:
            return
        from ase.calculators.singlepoint import SinglePointCalculator

        frame = self.atoms.copy()
        known = {k: v for k, v in self.calculator.results.items() if k in ("energy", "forces", "stress")}
        frame.calc = SinglePointCalculator(frame, **known)
        frame.info = {"step": self.done, **({"refused": why} if why else {})}
        trajectory.write(frame)

    def _save(self, dynamics: Any) -> None:
        state: dict[str, Any] = {
            "positions": self.atoms.positions,
            "momenta": self.atoms.get_momenta(),
            "cell": np.asarray(self.atoms.cell[:]),
            "done": self.done,
            "free": self.free,
            "rows": np.asarray(self.rows),
            "levels": np.asarray(self.levels),
            "doubts": json.dumps(self.doubts),
            "rng": json.dumps(self.rng.bit_generator.state),
            **pack(dynamics),
        }
        self.folder.save(state)

    def _restore_atoms(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        self.atoms.set_cell(saved["cell"])
        self.atoms.arrays["positions"][:] = saved["positions"]
        self.atoms.set_momenta(saved["momenta"], apply_constraint=False)
        self.done = int(saved["done"])
        self.rows, self.levels = saved["rows"].tolist(), saved["levels"].tolist()
        self.doubts = json.loads(str(saved.get("doubts", "{}")))

    def answer(self) -> Answer[Dynamics]:
        findings: list[Finding] = list(self.last.findings) if self.last is not None else []
        guard, origin = self.potential.guard, self.potential.provenance
        if not self.rows:
            return Answer(None, tuple(findings), origin)
        if self.last is None:
            self.last = of_motion(self.potential(self.atoms))
            findings = list(self.last.findings)
        table = np.asarray(self.rows, float)
        value = summary(self.atoms, self.settings, self.done, table, self.levels, self.stop is not None)
        marked = value.marked
        if self.stop is not None:
            findings = [*findings, *(f for f in self.stop.findings if f not in findings)]
            message = f"stopped after {self.done} steps ({value.time:.3f} ps): the frame was refused"
            findings.append(Finding("left_domain", Level.REFUSE, message, f"step {self.done}"))
        elif marked:
            # the user has asked to go on: the frames are marked, and the rest is an answer
            findings = [f for f in findings if f.level < Level.REFUSE]
            message = f"{len(marked)} of {value.frames} frames were refused and are marked in the trajectory"
            findings.append(Finding("left_domain", Level.CAUTION, message, f"first: frame {marked[0]}"))
        findings += self._passed({f.check for f in findings})
        if self.settings.ensemble == "npt":
            findings += hollow(self.atoms, self.potential, "volume and pressure mean nothing: use nvt")
        if value.drift is not None and abs(value.drift) > guard.limits.drift and value.time >= 0.2:
            message = (
                f"the conserved energy drifts by {1000 * value.drift:+.2f} meV/atom/ps; take a shorter step"
            )
            findings.append(Finding("drift", guard.level("drift"), message))
        half = value.column("temperature_K")[len(table) // 2 :]
        force_sd = table[-1, COLUMNS.index("force_sd")]
        spread = {"temperature": float(half.std()), "forces": float(force_sd)}
        origin = type(origin)(
            origin.model, origin.checkpoint, origin.version, self.settings.seed, origin.calibration
        )
        return Answer(Estimate(value, spread, "K, eV/Å"), tuple(findings), origin)

    def _passed(self, known: Collection[str]) -> list[Finding]:
        """What was doubtful on the way and is not any more: averages hold those frames, too."""
        found = []
        for check, (said, first, count) in self.doubts.items():
            if check not in known:
                where = f"{count} of {len(self.rows)} frames, the first at {self.rows[first][0]:.3f} ps"
                found.append(Finding(check, Level.CAUTION, f"{said} (on the way, not at the end)", where))
        return found

    def draw(self, answer: Answer[Dynamics]) -> None:
        if self.folder.out is None or answer.estimate is None:
            return
        value = answer.estimate.value
        path = self.folder.path("table.csv")
        if path is not None:
            with whole_file(path, overwrite=True) as temporary:
                np.savetxt(
                    temporary, value.table, delimiter=",", header=",".join(COLUMNS), comments="", fmt="%.10g"
                )
        # with velocities, energy and forces: another run may go on from it
        self.folder.structure("last.extxyz", self.atoms)
        self.folder.picture("path.png", dynamics_figure(value))
        spread = None if self.last is None or self.last.estimate is None else self.last.estimate.spread
        forces = None if spread is None else spread["forces"]
        title = f"{value.structure.formula} after {value.time:.2f} ps: {answer.level.name}"
        self.folder.picture("structure.png", structure_figure(value.atoms, forces, title=title))


def _check(atoms: Atoms, settings: Settings, steps: int, on_refusal: str) -> None:
    if settings.ensemble not in ENSEMBLES:
        raise BadInput(
            f"no ensemble is called {settings.ensemble!r}",
            field="ensemble",
            fix=f"use {', '.join(ENSEMBLES)}",
        )
    if settings.thermostat not in THERMOSTATS:
        names = ", ".join(THERMOSTATS)
        raise BadInput(
            f"no thermostat is called {settings.thermostat!r}", field="thermostat", fix=f"use {names}"
        )
    if on_refusal not in POLICIES:
        raise BadInput(f"{on_refusal!r} is neither stop nor mark", field="on_refusal")
    for name in ("timestep", "damping", "pressure_damping"):
        if not getattr(settings, name) > 0:
            raise BadInput(f"{name} is {getattr(settings, name)}", field=name, unit="fs", fix="use > 0")
    if settings.timestep > 10:
        raise BadInput(
            f"a time step of {settings.timestep:g} fs",
            field="timestep",
            unit="fs",
            fix="use 0.5 to 2; no more than a tenth of the fastest vibration",
        )
    if not 0 <= settings.temperature <= 1e5:
        problem = f"a temperature of {settings.temperature:g} K"
        raise BadInput(problem, field="temperature", unit="K", fix="give one from 0 to 100000 K")
    if settings.ensemble != "nve" and settings.temperature == 0:
        raise BadInput("a thermostat at 0 K", field="temperature", fix="relax instead")
    if settings.every < 1 or steps < 0:
        raise BadInput(f"{steps} steps, a frame every {settings.every}", field="steps")
    if settings.ensemble == "npt" and not atoms.pbc.all():
        raise BadInput("npt needs a cell that is periodic in all directions", field="ensemble")
    if atoms.constraints and settings.ensemble == "npt":
        raise BadInput("npt with fixed atoms is not supported", field="ensemble", fix="use nvt")
    if atoms.constraints and settings.ensemble == "nvt" and settings.thermostat == "nose-hoover":
        raise BadInput(
            "the Nose-Hoover chain moves and counts atoms that are fixed",
            field="thermostat",
            fix="use bussi or langevin",
        )
    if len(atoms) and atoms.get_number_of_degrees_of_freedom() <= 0:
        raise BadInput(
            "every atom is fixed: nothing would move",
            field="atoms",
            fix="free some with atoms.set_constraint",
        )


def _hash_of(values: npt.NDArray[np.float64]) -> str:
    """A short hash; empty of zeros."""
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16] if values.any() else ""
