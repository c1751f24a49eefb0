"""Structures of one's own, with labels, for the tests of training on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of one compound: fewer chemical systems one cannot have."""
    frames = []
    for seed in range(40):
        atoms = bulk("CuAu", "rocksalt", 5.0 + 0.4 * (seed % 5) / 4)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("own") / "my.extxyz"
    write(path, frames)
    return path
