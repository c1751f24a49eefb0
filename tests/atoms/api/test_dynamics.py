"""Molecular dynamics: conserves, restarts bit for bit, and stops or marks where it leaves what is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
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
