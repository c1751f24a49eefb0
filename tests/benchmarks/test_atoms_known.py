"""The crystals of the benchmark are what their names say: formula, density, no two atoms on one place."""

from __future__ import annotations

import numpy as np
import pytest
from ase.geometry import get_distances
from ase.units import _amu

from benchmarks.atoms_known import crystals
from sciai.atoms.data.records import check_structure

# g/cm³, as handbooks print them
DENSITY = {
    "diamond": 3.51, "silicon": 2.33, "gold": 19.3, "tungsten": 19.3, "rock salt": 2.17, "fluorite": 3.18,
    "quartz": 2.65, "rutile": 4.24, "corundum": 3.99, "hematite": 5.27, "calcite": 2.71, "pyrite": 5.01,
    "SrTiO3": 5.12, "spinel": 3.58, "LiFePO4": 3.60, "LiCoO2": 5.05, "WC": 15.7, "cuprite": 6.10,
    "Bi2Te3": 7.86, "GaN": 6.15, "ZnO": 5.6, "urania": 10.96, "ceria": 7.2, "cubic BN": 3.48,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DENSITY))
def test_densities(name: str) -> None:
    atoms = crystals()[name]
    density = atoms.get_masses().sum() * _amu * 1e3 / (atoms.get_volume() * 1e-24)
    assert density == pytest.approx(DENSITY[name], rel=0.015)


@pytest.mark.parametrize("name", sorted(crystals()))
def test_bonds_are_bonds(name: str) -> None:
    atoms = crystals()[name]
    check_structure(atoms)
    big = atoms.repeat(2)
    _, far = get_distances(big.positions, cell=big.cell, pbc=True)
    nearest = (far + 1e3 * np.eye(len(big))).min(1)
    assert nearest.min() > 1.25
    assert nearest.max() < 4.5


def test_quartz_is_made_of_tetrahedra() -> None:
    atoms = crystals()["quartz"]
    assert len(atoms) == 9
    _, far = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
    silicon, oxygen = np.flatnonzero(atoms.numbers == 14), np.flatnonzero(atoms.numbers == 8)
    bonds = np.sort(far[np.ix_(silicon, oxygen)], axis=1)[:, :4]
    assert bonds == pytest.approx(1.61, abs=0.01)
