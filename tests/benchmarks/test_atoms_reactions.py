"""Reactions that are compared keep their atoms, and are what the energies add up to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase.build import molecule

from benchmarks.atoms_reactions import REACTIONS, boxed, energy_of, of_potential


@pytest.mark.parametrize("parts", REACTIONS.values(), ids=REACTIONS)
def test_no_atom_is_lost(parts: dict[str, float]) -> None:
    balance: Counter[str] = Counter()
    for name, count in parts.items():
        for symbol in molecule(name).symbols:
            balance[symbol] += count
    assert all(abs(left) < 1e-12 for left in balance.values())


def test_molecules_do_not_see_their_images() -> None:
    for name in ("H2", "C6H6"):
        atoms = boxed(name)
        gap = atoms.cell.lengths() - np.ptp(atoms.positions, axis=0)
        assert (gap > 13.9).all()


def test_what_a_potential_cannot_label_leaves_its_reactions_open() -> None:
    energies = of_potential("atoms", ["H2", "O2", "H2O"])
    assert energy_of(REACTIONS["H2 + 1/2 O2 -> H2O"], energies) == pytest.approx(
        energies["H2O"] - energies["H2"] - energies["O2"] / 2
    )
    assert np.isnan(energy_of(REACTIONS["N2 + 3 H2 -> 2 NH3"], energies))
