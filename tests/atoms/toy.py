"""Labelled alloys that cost nothing: effective medium theory (ASE's EMT), for tests alone."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT

from sciai.atoms.data.records import Record, from_atoms

ELEMENTS = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")


def records(per_system: int = 2, seed: int = 0, source: str = "mptrj", elements: int = 3) -> list[Record]:
    """Rattled and strained fcc cells with four atoms, of up to so many elements."""
    return list(_records(per_system, seed, source, elements))


@functools.lru_cache
def _records(per_system: int, seed: int, source: str, elements: int) -> tuple[Record, ...]:
    rng = np.random.default_rng(seed)
    out = []
    for size in range(1, elements + 1):
        for chosen in itertools.combinations(ELEMENTS, size):
            for _ in range(per_system):
                atoms = bulk("Cu", "fcc", a=4.0, cubic=True)
                atoms.symbols[:] = list(chosen) + list(rng.choice(chosen, 4 - size))
                strain = rng.normal(0, 0.03, (3, 3))
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
                atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
                atoms.calc = EMT()
                atoms.get_forces()
                atoms.get_stress()
                out.append(from_atoms(atoms, source))
    return tuple(out)
