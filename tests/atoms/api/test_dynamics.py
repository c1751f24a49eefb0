"""Molecular dynamics: conserves, restarts bit for bit, and stops or marks where it leaves what is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read as ase_read

from sciai.atoms.api.dynamics import md
from sciai.atoms.api.potential import Potential
from sciai.core.answer import Level
from sciai.core.errors import BadInput


def argon() -> Potential:
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0, ro=4.5, smooth=True)
    return Potential.from_calculator(calculator, "argon")


def crystal() -> Atoms:
    atoms = bulk("Ar", a=5.26, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def test_nve_keeps_its_energy(emt: Potential) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.02, seed=0)
    done = md(atoms, emt, ensemble="nve", steps=200, timestep=2.0, every=20).unwrap()
    assert done.time == pytest.approx(0.4)
    assert done.drift is not None
    assert abs(done.drift) < 1e-3
    total = done.column("potential_eV") + done.column("kinetic_eV")
    assert np.ptp(total) / 4 < 2e-3
    np.testing.assert_allclose(total, done.column("conserved_eV"))


@pytest.mark.parametrize(
    ("ensemble", "thermostat"),
    [("nve", "bussi"), ("nvt", "bussi"), ("nvt", "langevin"), ("nvt", "nose-hoover"), ("npt", "bussi")],
)
def test_a_restart_is_exact(ensemble: str, thermostat: str, tmp_path: Path) -> None:
    options = {
        "ensemble": ensemble,
        "thermostat": thermostat,
        "temperature": 40.0,
        "timestep": 2.0,
        "seed": 5,
    }
    whole = md(crystal(), argon(), tmp_path / "whole", steps=30, every=5, **options).unwrap()
    md(crystal(), argon(), tmp_path / "parts", steps=13, every=5, **options)  # ends between two frames
    parts = md(crystal(), argon(), tmp_path / "parts", steps=30, every=5, **options).unwrap()
    np.testing.assert_array_equal(whole.structure.positions, parts.structure.positions)
    np.testing.assert_array_equal(whole.table, parts.table)
    one, two = (ase_read(tmp_path / name / "path.traj", ":") for name in ("whole", "parts"))
    assert len(one) == len(two) == 7
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.get_momenta(), b.get_momenta())
        assert a.info["step"] == b.info["step"]


def test_thermostats_reach_their_temperature() -> None:
    for thermostat in ("bussi", "langevin"):
        done = md(
            crystal() * (2, 1, 1), argon(), temperature=40.0, steps=300, timestep=4.0, damping=50.0,
            thermostat=thermostat, every=10,
        ).unwrap()  # fmt: skip
        assert done.temperature == pytest.approx(40.0, rel=0.35)


def test_a_restart_from_another_system_is_refused(tmp_path: Path) -> None:
    md(crystal(), argon(), tmp_path / "run", steps=5, every=5)
    state = (tmp_path / "run" / "state.npz").read_bytes()
    with pytest.raises(BadInput, match="another system"):
        md(crystal() * (2, 1, 1), argon(), tmp_path / "run", steps=10, every=5)
    with pytest.raises(BadInput, match="another settings"):
        md(crystal(), argon(), tmp_path / "run", steps=10, every=5, temperature=50.0)
    assert (tmp_path / "run" / "state.npz").read_bytes() == state
    (tmp_path / "run" / "state.npz").write_bytes(state[:100])
    with pytest.raises(BadInput, match="damaged"):
        md(crystal(), argon(), tmp_path / "run", steps=10, every=5)


def _collision() -> Atoms:
    atoms = Atoms("Cu2", [[0, 0, 0], [3.0, 0, 0]])
    atoms.set_velocities([[0.6, 0, 0], [-0.6, 0, 0]])
    return atoms


def test_it_stops_where_it_leaves_what_is_known(tmp_path: Path) -> None:
    pot = Potential.from_calculator(EMT(), guard="strict")
    answer = md(_collision(), pot, tmp_path / "run", ensemble="nve", steps=400, timestep=0.5, every=2)
    assert answer.level is Level.REFUSE
    assert answer.estimate is not None
    assert answer.estimate.value.stopped
    assert answer.estimate.value.steps < 400
    words = " ".join(str(f) for f in answer.findings)
    assert "Cu 0 and Cu 1" in words
    assert "stopped after" in words
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["level"] == "refuse"
    assert stored["estimate"] is None
    assert "refused" in ase_read(tmp_path / "run" / "path.traj", -1).info


def test_or_goes_on_and_marks_the_frames(tmp_path: Path) -> None:
    pot = Potential.from_calculator(EMT(), guard="strict")
    answer = md(
        _collision(),
        pot,
        tmp_path / "run",
        ensemble="nve",
        steps=100,
        timestep=0.5,
        every=2,
        on_refusal="mark",
    )
    done = answer.unwrap()
    assert answer.level is Level.CAUTION
    assert done.steps == 100
    frames = ase_read(tmp_path / "run" / "path.traj", ":")
    marked = tuple(k for k, frame in enumerate(frames) if "refused" in frame.info)
    assert marked == done.marked
    assert 0 < len(marked) < len(frames)


def test_a_bad_start_is_refused_and_odd_settings_are_errors(emt: Potential, tmp_path: Path) -> None:
    answer = md(Atoms("Cu2", np.zeros((2, 3))), emt, tmp_path / "bad")
    assert answer.level is Level.REFUSE
    assert not (tmp_path / "bad" / "path.traj").exists()
    wrong = (
        {"ensemble": "nph"}, {"thermostat": "berendsen"}, {"timestep": 0.0}, {"timestep": 50.0},
        {"temperature": -1.0}, {"temperature": 0.0}, {"every": 0}, {"on_refusal": "ignore"},
    )  # fmt: skip
    for options in wrong:
        with pytest.raises(BadInput):
            md(bulk("Cu"), emt, **options)
    with pytest.raises(BadInput, match="periodic"):
        md(molecule("N2"), emt, ensemble="npt")


def test_velocities_that_are_given_are_used(emt: Potential) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.set_velocities(np.full((4, 3), 0.01))
    done = md(atoms, emt, ensemble="nve", steps=1, every=1).unwrap()
    assert done.column("kinetic_eV")[0] == pytest.approx(atoms.get_kinetic_energy())


def test_nothing_that_could_move_is_told(emt: Potential) -> None:
    held = bulk("Cu", cubic=True)
    held.set_constraint(FixAtoms(range(4)))
    with pytest.raises(BadInput, match="every atom is fixed"):
        md(held, emt, steps=2)


@pytest.mark.parametrize("thermostat", ["bussi", "nose-hoover"])
def test_few_atoms_are_as_warm_as_they_are_told_to_be(emt: Potential, thermostat: str) -> None:
    """Two atoms at rest as a whole have three ways to move: told 300 K they once moved as at 600 K."""
    pair = bulk("Cu", a=3.6) * (2, 1, 1)
    done = md(pair, emt, thermostat=thermostat, steps=1600, damping=20.0, temperature=300.0, seed=3).unwrap()
    rest = emt(pair).unwrap().energy
    moved = done.column("potential_eV")[50:].mean() - rest
    assert moved / (1.5 * units.kB) == pytest.approx(300, abs=120)  # equipartition over three vibrations
    assert done.temperature == pytest.approx(300, abs=120)


def test_the_kinetic_energy_belongs_to_those_who_move(emt: Potential) -> None:
    cell = bulk("Cu", cubic=True)
    still = md(cell, emt, ensemble="nve", steps=0).unwrap()
    assert still.column("temperature_K")[0] == pytest.approx(300)
    assert still.column("kinetic_eV")[0] == pytest.approx(0.5 * 9 * units.kB * 300)
    flying = cell.copy()
    flying.set_velocities(np.full((4, 3), 0.01))  # a motion of the whole that was given is meant
    told = md(flying, emt, ensemble="nve", steps=0).unwrap().column("temperature_K")[0]
    assert told == pytest.approx(flying.get_temperature())


def test_a_chain_of_thermostats_moves_what_is_fixed(emt: Potential) -> None:
    """ASE's integrator cooled the free half to 5 K, with a drift of 175 meV/atom/ps."""
    slab = fcc111("Cu", (1, 1, 4), vacuum=6.0)
    slab.set_constraint(FixAtoms([0, 1]))
    with pytest.raises(BadInput, match=r"Nose-Hoover.*fixed.*bussi"):
        md(slab, emt, thermostat="nose-hoover", steps=10)


def test_isotopes_and_velocities_go_on(emt: Potential, tmp_path: Path) -> None:
    cell = bulk("Cu", cubic=True)
    heavy = cell.copy()
    heavy.set_masses(np.full(4, 65.0))
    md(heavy, emt, tmp_path / "run", steps=20, seed=1).unwrap()
    with pytest.raises(BadInput, match="masses"):  # it once went on from the other isotope's state
        md(cell, emt, tmp_path / "run", steps=40, seed=1)
    last = ase_read(tmp_path / "run" / "last.extxyz")
    frame = ase_read(tmp_path / "run" / "path.traj", "-1")
    np.testing.assert_allclose(last.get_masses(), 65.0)
    np.testing.assert_allclose(last.get_momenta(), frame.get_momenta(), atol=1e-7)
    assert last.get_potential_energy() == pytest.approx(frame.get_potential_energy(), abs=1e-7)


def test_a_potential_without_stress_cannot_move_the_cell(emt: Potential) -> None:
    class Stressless(EMT):
        def calculate(self, *given: object, **named: object) -> None:
            super().calculate(*given, **named)
            del self.results["stress"]

    with pytest.raises(BadInput, match=r"gives no stress, which npt needs.*nvt"):
        md(bulk("Cu", cubic=True), Potential.from_calculator(Stressless()), ensemble="npt", steps=2)
