"""Units that hold together, packed with the metals that balance them."""

import numpy as np
import pytest
from ase.data import covalent_radii
from ase.geometry import get_distances
from hypothesis import given, settings
from hypothesis import strategies as st

from sciai.atoms.data import perturb
from sciai.atoms.data.chemistry import balanced
from sciai.atoms.data.salts import liquid, salt, units


def test_units_have_bonds_and_room():
    for unit in units():
        if len(unit.atoms) > 1:
            apart = unit.atoms.get_all_distances() / np.add.outer(*[covalent_radii[unit.atoms.numbers]] * 2)
            np.fill_diagonal(apart, np.inf)
            assert 0.6 < apart.min() < 1.2, unit
        np.testing.assert_allclose(unit.atoms.positions.mean(0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "charge", "length"),
    [("O4S", -2, 1.48), ("CO3", -2, 1.29), ("F6P", -1, 1.60), ("H4N", 1, 1.03)],
)
def test_the_units_of_textbooks_are_there(formula, charge, length):
    (unit,) = (unit for unit in units() if unit.atoms.get_chemical_formula() == formula)
    assert unit.charge == charge
    lengths = np.linalg.norm(unit.atoms.positions[1:] - unit.atoms.positions[0], axis=1)
    np.testing.assert_allclose(lengths, length, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), largest=st.integers(8, 60))
def test_salts_fit_their_cell_and_keep_their_number(seed, largest):
    atoms = salt(np.random.default_rng(seed), largest)
    if atoms is None:
        return
    assert 6 <= len(atoms) <= largest
    assert perturb.closeness(atoms) > 0.5
    assert 3.0 < atoms.get_volume() / len(atoms) < 60.0
    same = salt(np.random.default_rng(seed), largest)
    np.testing.assert_array_equal(atoms.positions, same.positions)


def test_most_salts_hold_whole_units_and_balance():
    whole = even = count = 0
    centres = 0
    for seed in range(100):
        atoms = salt(np.random.default_rng(seed), 40)
        if atoms is None:
            continue
        count += 1
        kinds, counts = np.unique(atoms.numbers, return_counts=True)
        even += balanced(kinds.tolist(), counts.tolist())
        for k in np.flatnonzero(atoms.numbers == 15):  # every phosphorus has its neighbours where they belong
            centres += 1
            d = get_distances(atoms.positions[[k]], atoms.positions, cell=atoms.cell, pbc=True)[1][0]
            whole += ((d > 0.1) & (d < 2.1)).sum() >= 4
    assert count > 90
    assert centres > 10
    assert whole / centres > 0.95
    assert even / count > 0.3  # hydrides, peroxides and cyanides have no usual states


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), largest=st.integers(12, 60))
def test_liquids_are_whole_molecules_at_a_liquids_density(seed, largest):
    atoms = liquid(np.random.default_rng(seed), largest)
    if atoms is None:
        return
    assert 2 <= len(atoms) <= largest
    assert atoms.pbc.all()
    assert 0.2 < atoms.get_masses().sum() * 1.66054 / atoms.get_volume() < 6  # g/cm3
    assert perturb.closeness(atoms) > 0.5


def test_many_liquids_are_aqueous_and_most_fit():
    found = [liquid(np.random.default_rng(k), 36) for k in range(60)]
    water = [
        atoms is not None and atoms.get_chemical_formula(empirical=True).startswith("H2O") for atoms in found
    ]
    assert 0.1 < np.mean(water) < 0.7
    assert np.mean([atoms is not None for atoms in found]) > 0.7
