"""Offsets of energies, and tiers of elements."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from sciai.atoms.data.offsets import energy_offsets
from sciai.atoms.data.records import Record, from_atoms
from sciai.atoms.data.tiers import element_counts, tiers_of


def sample(formula: str, energy: float | None, source: str) -> Record:
    atoms = Atoms(
        formula, positions=[[2.5 * k, 0, 0] for k in range(len(Atoms(formula)))], cell=[40] * 3, pbc=True
    )
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return from_atoms(atoms, source)


def test_offsets_are_found_per_source_and_survive_an_outlier():
    truth = {"a": {"Fe": -8.0, "O": -5.0, "H": -3.0}, "b": {"Fe": -30.0, "O": -400.0, "H": -13.0}}
    formulas = ["FeO", "Fe2O3", "FeH2", "H2O", "Fe", "O2", "H2", "FeOH", "Fe3O4", "FeO2"]
    records = []
    for source, table in truth.items():
        for formula in formulas:
            energy = sum(table[symbol] for symbol in Atoms(formula).symbols)
            records.append(sample(formula, energy, source))
    records.append(sample("FeO", 500.0, "a"))
    offsets = energy_offsets(records)
    for source, table in truth.items():
        for number, symbol in ((26, "Fe"), (8, "O"), (1, "H")):
            assert offsets[source][number] == pytest.approx(table[symbol], abs=0.5)
    # an element that was never seen gets the source's middle
    assert offsets["a"][79] == pytest.approx(
        np.median([-6.5, -6.2, -14 / 3, -11 / 3, -8, -5, -3, -16 / 3]), abs=2
    )


def test_tiers_follow_the_evidence():
    records = [sample(f"FeO{k + 1}", -5.0, "a") for k in range(12)] + [sample("XeO", -1.0, "a")]
    counts = element_counts([*records, sample("Rn", None, "acwf")])
    assert counts["O"] == {"structures": 13, "atoms": 79, "systems": 2, "curves": 0}
    assert counts["Rn"] == {"structures": 0, "atoms": 0, "systems": 0, "curves": 1}
    rules = {"least_structures": 10, "least_systems": 1}
    assert tiers_of(counts, **rules) == {"supported": ["O", "Fe"], "limited": ["Xe"], "experimental": ["Rn"]}
    assert tiers_of(counts, {"Fe": 0.9}, **rules)["limited"] == ["Fe", "Xe"]
