"""Alloys and surfaces: of the size asked for, of metals, at distances that metals have."""

import numpy as np
from ase.data import atomic_numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from sciai.atoms.data import perturb
from sciai.atoms.data.levels import METALS as WITH_U
from sciai.atoms.data.metals import METALS, alloy, meeting, surface

seeds = st.integers(0, 10**6)


def test_metals_are_metals():
    assert {
        atomic_numbers[s] for s in ("Li", "Al", "Fe", "Cu", "Mo", "Ru", "W", "Pt", "Au", "Pb", "U")
    } <= set(METALS)
    others = ("H", "He", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ar", "Se", "Br", "I", "Xe")
    assert not {atomic_numbers[s] for s in others} & set(METALS)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, largest=st.integers(8, 30))
def test_alloys_have_the_size_asked_for_and_room_for_every_atom(seed, largest):
    atoms = alloy(np.random.default_rng(seed), largest)
    assert largest // 2 - 1 <= len(atoms) <= largest + 1
    assert atoms.pbc.all()
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    assert counts[np.isin(numbers, (*METALS, 6, 14, 32))].sum() >= len(atoms) // 3
    assert perturb.closeness(atoms) > 0.3


@settings(deadline=None, max_examples=40)
@given(seed=seeds, largest=st.integers(4, 36))
def test_surfaces_have_a_vacuum_along_the_third_vector_only(seed, largest):
    atoms = surface(np.random.default_rng(seed), largest)
    if atoms is None:
        return
    assert 2 <= len(atoms) <= largest
    heights = np.sort(atoms.get_scaled_positions()[:, 2]) * np.linalg.norm(atoms.cell[2])
    gaps = np.diff(np.append(heights, heights[0] + np.linalg.norm(atoms.cell[2])))
    assert 7.5 < gaps.max() < 12.5
    assert np.sort(gaps)[-2] < 5
    assert abs(atoms.cell[0] @ atoms.cell[2]) < 1e-9


@settings(deadline=None, max_examples=40)
@given(seed=seeds, largest=st.integers(4, 30))
def test_where_levels_meet_one_metal_with_a_u_has_oxygen_or_fluorine(seed, largest):
    atoms = meeting(np.random.default_rng(seed), largest)
    if atoms is None:
        return
    symbols = atoms.get_chemical_symbols()
    assert {"O", "F"} & set(symbols) and set(WITH_U) & set(symbols)
    guests = sum(symbol in ("O", "F", "H", "C") for symbol in symbols)
    assert 1 <= len(atoms) - guests <= largest
    assert atoms.pbc.all()


def test_most_alloys_hold_more_than_one_element():
    kinds = [len(set(alloy(np.random.default_rng(k), 16).numbers)) for k in range(60)]
    assert 0.6 < np.mean(np.array(kinds) > 1) < 0.97
