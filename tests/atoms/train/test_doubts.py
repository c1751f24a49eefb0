"""Labels of a user's that say something against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from sciai.atoms.data.records import Record, from_atoms
from sciai.atoms.train.data import load
from sciai.atoms.train.doubts import doubts
from sciai.cli import main

ZERO = np.zeros(119)


def frames(count: int = 20, *, energy: float = 1.0, force: float = 1.0, shift: float = 0.0) -> list[Record]:
    """Copper, rattled, by effective medium theory; its labels times factors, its energies moved (eV/atom)."""
    made = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.04, seed=k)
        known = atoms.copy()
        known.calc = EMT()
        total = known.get_potential_energy() + shift * len(atoms)
        labels = {"energy": total * energy, "forces": known.get_forces() * force}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        made.append(from_atoms(atoms, "mine"))
    return made


def test_labels_in_one_set_of_units_from_one_zero_are_not_doubted() -> None:
    assert list(doubts(frames(), ZERO)) == []


@pytest.mark.parametrize(
    ("energy", "force"), [(1 / 27.2114, 1.0), (23.06, 1.0), (1 / 27.2114, 0.529177 / 27.2114), (1.0, -1.0)]
)
def test_energies_and_forces_that_do_not_belong_together(energy: float, force: float) -> None:
    (said,) = doubts(frames(energy=energy, force=force), ZERO)
    assert "in eV and eV/Å" in said


def test_two_zeros_and_copies() -> None:
    others = [frames(40, shift=8.0)[k] for k in range(20, 40)]
    (said,) = doubts([*frames(), *others], ZERO)
    assert "two heaps 8.0 eV/atom apart" in said
    (said,) = doubts([*frames(10), *frames(10)], ZERO)
    assert said == "10 of 20 structures are copies of others"
    (said,) = doubts([*frames(5), *frames(5, shift=0.2)], ZERO)
    assert "differ by up to 0.2 eV/atom" in said


def test_charges_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [record.to_atoms() for record in frames(4)]
    for atoms, charge in zip(made, (0, 1, 1, -1), strict=True):
        atoms.info["charge"] = charge
    write(tmp_path / "mine.extxyz", made)
    load(files=[{"path": str(tmp_path / "mine.extxyz"), "source": "mine"}])
    assert "3 structures" in caplog.text
    assert "(-1, 1)" in caplog.text
    write(tmp_path / "mine.xyz.gz", made, format="extxyz")
    assert main(["atoms", "data", "read", str(tmp_path / "mine.xyz.gz"), "--into", str(tmp_path / "store"),
                 "--source", "mine"]) == 0  # fmt: skip
    assert "3 structures" in capsys.readouterr().err, "a store does not hold it either"
