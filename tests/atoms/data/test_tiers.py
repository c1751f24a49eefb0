"""Tiers of elements from what was trained on."""

from __future__ import annotations

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from sciai.atoms.data.records import Record, from_atoms
from sciai.atoms.data.tiers import element_counts, tiers_of


def sample(formula: str, energy: float | None, source: str) -> Record:
    atoms = Atoms(
        formula, positions=[[2.5 * k, 0, 0] for k in range(len(Atoms(formula)))], cell=[40] * 3, pbc=True
    )
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return from_atoms(atoms, source)


def test_tiers_follow_the_evidence():
    records = [sample(f"FeO{k + 1}", -5.0, "a") for k in range(12)] + [sample("XeO", -1.0, "a")]
    counts = element_counts([*records, sample("Rn", None, "acwf")])
    assert counts["O"] == {"structures": 13, "atoms": 79, "systems": 2, "curves": 0}
    assert counts["Rn"] == {"structures": 0, "atoms": 0, "systems": 0, "curves": 1}
    rules = {"least_structures": 10, "least_systems": 1}
    assert tiers_of(counts, **rules) == {"supported": ["O", "Fe"], "limited": ["Xe"], "experimental": ["Rn"]}
    assert tiers_of(counts, {"Fe": 0.9}, **rules)["limited"] == ["Fe", "Xe"]
