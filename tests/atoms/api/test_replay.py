"""Questions about structures go into the ledger as the user asked them, and can be asked again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from sciai.atoms.api import eos, evaluate, md, relax, screen
from sciai.atoms.api import record as records
from sciai.atoms.api.files import write
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.replay import replay as ask_again
from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.core.listen import listening
from sciai.trust.gate import Standing
from sciai.trust.ledger import Ledger
from sciai.trust.record import Recorder
from sciai.trust.replay import replay
from sciai.trust.sign import Signer
from sciai.trust.stage import UNRELEASED, declared


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", Signer.new("service"))


def crystal() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.set_constraint(FixAtoms([0]))
    return atoms


CALLS: dict[str, Any] = {
    "energy": lambda pot: pot(crystal()),
    "relax": lambda pot: relax(crystal(), pot, fmax=0.05, cell=False),
    "md": lambda pot: md(crystal(), pot, steps=4, every=2, seed=3),
    "eos": lambda pot: eos(bulk("Cu"), pot, points=5),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_workflow_is_told_once_and_can_be_asked_again(ledger: Ledger, emt: Potential, call: str) -> None:
    with listening(Recorder(ledger)):
        CALLS[call](emt)
    (entry,) = ledger.entries()
    assert entry.body["call"] == call
    again = {"atoms": partial(ask_again, model="emt")}
    assert [f.level for f in replay(ledger, "0", again)[2]] == [Level.OK]


def test_files_are_known_by_their_content(ledger: Ledger, emt: Potential, tmp_path: Path) -> None:
    file = write(crystal(), tmp_path / "in" / "Cu.extxyz")
    with listening(Recorder(ledger)):
        screen([tmp_path / "in"], emt, tmp_path / "out")
    again = {"atoms": partial(ask_again, model=emt)}
    assert replay(ledger, "0", again)[2][0].level == Level.OK
    moved = file.rename(tmp_path / "moved.extxyz")
    with pytest.raises(BadInput, match="the input is gone"):
        replay(ledger, "0", again)
    given = {"atoms": partial(ask_again, model=emt, inputs=[moved])}
    assert replay(ledger, "0", given)[2][0].level == Level.OK
    file.write_text(moved.read_text() + "\n")
    with pytest.raises(BadInput, match="changed since"):
        replay(ledger, "0", again)


def test_a_large_structure_has_to_be_given_again(
    ledger: Ledger, emt: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LARGEST", 3)
    with listening(Recorder(ledger)):
        emt(crystal())
    assert "positions" not in ledger.find("0").body["arguments"]["atoms"]
    with pytest.raises(BadInput, match="too large to be kept"):
        replay(ledger, "0", {"atoms": partial(ask_again, model=emt)})
    from ase.io.trajectory import Trajectory

    with Trajectory(tmp_path / "Cu.traj", "w") as file:
        file.write(crystal())
    given = {"atoms": partial(ask_again, model=emt, inputs=[tmp_path / "Cu.traj"])}
    assert replay(ledger, "0", given)[2][0].level == Level.OK


def test_what_differs_is_said(ledger: Ledger, emt: Potential) -> None:
    from ase.calculators.emt import EMT

    class Softer(EMT):  # type: ignore[misc]
        def calculate(self, *args: Any, **kwargs: Any) -> None:
            super().calculate(*args, **kwargs)
            self.results["energy"] *= 0.9

    with listening(Recorder(ledger)):
        emt(crystal())
    other = Potential.from_calculator(Softer(), "EMT")
    found = replay(ledger, "0", {"atoms": partial(ask_again, model=other)})[2]
    assert "another answer" in found[0].message
    assert any(f.message.startswith("value.energy:") for f in found[1:])


def test_answers_say_the_stage_and_a_use_that_is_not_covered(emt: Potential) -> None:
    emt.standing = UNRELEASED
    told = [f for f in relax(bulk("Cu"), emt).findings if f.check == "stage"]
    assert [f.level for f in told] == [Level.OK]
    assert "pilot" in told[0].message
    with declared("A"):
        assert emt(bulk("Cu")).level == Level.CAUTION
    with declared("B"):
        assert emt(bulk("Cu")).level == Level.REFUSE
    emt.standing = Standing("production", "B", (), ("Ada", "Bob"))
    with declared("B"):
        answer = emt(bulk("Cu"))
    assert not {"stage", "use", "grave_use"} & {f.check for f in answer.findings}


def test_momenta_and_constraints_come_back() -> None:
    atoms = crystal()
    atoms.set_momenta(np.ones((4, 3)))
    again = records.structure_again(records.structure_record(atoms))
    assert records.digest_of(again) == records.digest_of(atoms)
    assert again.constraints[0].index.tolist() == [0]


def test_isotopes_and_moments_come_back() -> None:
    """Dynamics of heavy water was once asked again as that of light water."""
    atoms = molecule("H2O")
    plain = records.structure_record(atoms)
    assert not {"masses", "initial_magmoms"} & set(plain)
    atoms.set_masses([15.999, 2.014, 2.014])
    atoms.set_initial_magnetic_moments([0.0, 0.5, 0.0])
    told = records.structure_record(atoms)
    again = records.structure_again(told)
    assert again.get_masses().tolist() == [15.999, 2.014, 2.014]
    assert again.get_initial_magnetic_moments().tolist() == [0.0, 0.5, 0.0]
    assert told["sha256"] != plain["sha256"]


def test_an_evaluation_of_files(ledger: Ledger, emt: Potential, tmp_path: Path) -> None:
    from ase.calculators.emt import EMT

    atoms = crystal()
    atoms.set_constraint()
    atoms.calc = EMT()
    atoms.get_potential_energy(), atoms.get_forces()
    file = write(atoms, tmp_path / "labels.extxyz")
    with listening(Recorder(ledger)):
        evaluate(file, emt)
    assert replay(ledger, "0", {"atoms": partial(ask_again, model=emt)})[2][0].level == Level.OK


def test_very_many_files_are_kept_as_one_digest(
    ledger: Ledger, emt: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_FILES", 2)
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(4):
        write(bulk("Cu", a=3.5 + 0.05 * k), folder / f"{k}.extxyz")
    with listening(Recorder(ledger)):
        screen([folder], emt, tmp_path / "out")
    (entry,) = ledger.entries()
    assert entry.body["arguments"]["files"]["files"] == 4
    again = {"atoms": partial(ask_again, model="emt")}
    assert [f.message for f in replay(ledger, "0", again)[2] if f.level != Level.OK] == []
    folder.rename(tmp_path / "moved")
    with pytest.raises(BadInput, match="give the folder"):
        replay(ledger, "0", again)
    moved = {"atoms": partial(ask_again, model="emt", inputs=[tmp_path / "moved"])}
    assert replay(ledger, "0", moved)[2][0].level == Level.OK
    write(bulk("Cu", a=3.9), tmp_path / "moved" / "2.extxyz")
    with pytest.raises(BadInput, match="not what they were"):
        replay(ledger, "0", moved)
