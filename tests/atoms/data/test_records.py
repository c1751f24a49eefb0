"""Records: what they refuse, and the split by name."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from sciai.atoms.data.records import check_structure, from_atoms, group_of, is_dev
from sciai.core.errors import BadInput


def labelled(atoms, **labels):
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def test_labels_survive_the_way_there_and_back():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.01, 0], [0, 1, 0.02], [0, 0, 0.97]], scale_atoms=True)
    atoms.calc = EMT()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    back = from_atoms(atoms, "emt").to_atoms()
    assert back.get_potential_energy() == energy
    np.testing.assert_array_equal(back.get_forces(), forces)
    np.testing.assert_allclose(back.get_stress(), stress, atol=1e-15)
    np.testing.assert_array_equal(back.positions, atoms.positions)


def test_labels_of_other_positions_are_not_taken():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    atoms.get_potential_energy()
    atoms.positions += [[0.1, 0, 0]]
    assert from_atoms(atoms, "emt").energy is None


def test_a_molecule_has_neither_cell_nor_stress():
    record = from_atoms(labelled(molecule("H2O", vacuum=5.0), energy=-14.0), "pbe")
    assert record.volume == 0
    assert record.stress is None
    assert record.group == "mol:H2O"


@pytest.mark.parametrize(
    ("atoms", "says"),
    [
        (Atoms(), "no atoms"),
        (Atoms(numbers=[0], positions=[[0, 0, 0]]), "no known element"),
        (Atoms("He", [[0, np.nan, 0]]), "position of atom 0 .He. is not a number"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1e-3]]), "atoms 0 .H. and 1 .H. are on one spot"),
        (Atoms("Fe", cell=[2, 2, 0], pbc=True), "periodic along c, but the cell has no vector"),
        (Atoms("Fe", cell=[[2, 0, 0], [0, 2, 0], [2, 2, 0]], pbc=True), "no volume"),
        (Atoms("Fe", cell=[[2, 0, 0], [0, np.inf, 0], [0, 0, 2]], pbc=True), "cell is not a number"),
        (Atoms("Fe2", [[0, 0, 0.02], [0, 0, 2.98]], cell=[3, 3, 3], pbc=True), "on one spot .0.04"),
    ],
)
def test_what_is_no_structure(atoms, says):
    with pytest.raises(BadInput, match=says):
        check_structure(atoms, file="a.cif")


def test_a_slab_that_is_periodic_in_two_directions_is_a_structure():
    check_structure(Atoms("Fe", cell=[2, 2, 0], pbc=[True, True, False]))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"energy": -1.0e4}, "Hartree"),
        ({"energy": 4.5e4}, "Hartree"),
        ({"energy": np.nan}, "energy is not a number"),
        ({"forces": np.full((1, 3), 2000.0)}, "Hartree/Bohr"),
        ({"forces": np.full((1, 3), np.nan)}, "forces are not all numbers"),
        ({"stress": np.array([60.0, 60, 60, 0, 0, 0])}, "GPa"),
    ],
)
def test_labels_in_another_unit(labels, says):
    with pytest.raises(BadInput, match=says):
        from_atoms(labelled(bulk("Cu"), **labels), "pbe")


def test_all_electron_energies_of_heavy_atoms_pass():
    # bromine with all electrons: -2,574 Hartree
    assert from_atoms(labelled(Atoms("Br", [[0, 0, 0]]), energy=-2574 * 27.2114), "wb97m").energy < -7e4


def test_development_groups_are_a_share_and_never_single_elements():
    names = [
        f"{a}-{b}" for a in ("Fe", "Cu", "Na", "Al", "Zn", "W") for b in ("O", "S", "F", "N", "Cl", "Te", "I")
    ]
    share = np.mean([is_dev(name) for name in names])
    assert 0.02 < share < 0.4
    assert not any(is_dev(name) for name in ("Fe", "O", "U", "mol:H2", "mol:O2", "mol:Sm9"))
    assert group_of([8, 26], [True, True, False]) == "Fe-O"
