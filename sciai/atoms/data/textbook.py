"""What textbooks print: elements, and charge-balanced pairs of common ions, in their simple crystals."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, chemical_symbols
from ase.spacegroup import crystal

from sciai.atoms.data.chemistry import ANIONS, KNOWN, balanced, bond, electronegativity

__all__ = ["VOLUMES", "cell", "compounds"]

VOLUMES = (0.84, 0.90, 0.95, 1.0, 1.05, 1.12, 1.22)
"""Volumes at which they are looked at, relative to equilibrium."""

# cations and anions per formula -> crystals
_CRYSTALS: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 1): ("rocksalt", "cesiumchloride", "zincblende"),
    (1, 2): ("fluorite",),
    (2, 1): ("antifluorite", "cuprite"),
    (1, 3): ("ReO3",),
    (2, 3): ("defect-fluorite",),
    (2, 5): ("filled-defect-fluorite",),
}
_ELEMENTS = ("fcc", "bcc", "hcp", "sc", "diamond")
# nearest distance in units of the lattice constant
_NEAREST = {
    "fcc": 0.7071, "bcc": 0.866, "hcp": 1.0, "sc": 1.0, "diamond": 0.433,
    "rocksalt": 0.5, "cesiumchloride": 0.866, "zincblende": 0.433, "fluorite": 0.433, "antifluorite": 0.433,
    "cuprite": 0.433, "ReO3": 0.5, "perovskite": 0.5, "defect-fluorite": 0.433,
    "filled-defect-fluorite": 0.45,
}  # fmt: skip

# large and small cation, anion
_PEROVSKITES = tuple(
    (a, b, x)
    for large, small, anion in (
        ("Ca Sr Ba Pb", "Ti Zr Sn Hf Ge Si", "O"), ("La Y Bi Nd Gd", "Al Ga Sc Cr Mn Fe Co Ni In", "O"),
        ("K Na Li Ag", "Nb Ta", "O"), ("Cs Rb K", "Pb Sn Ge Ca Mg Sr Cd", "Cl Br I F"),
        ("K Na Rb", "Mn Fe Co Ni Zn", "F"),
    )
    for a in large.split() for b in small.split() for x in anion.split()
)  # fmt: skip


@functools.cache
def compounds() -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Crystal and elements of each compound, cations first; any beginning of the list is a fair sample.

    Pairs of which usual oxidation states add up to zero, every element's oxides (balanced or not),
    perovskites, and the elements.

    >>> ("rocksalt", (11, 17)) in compounds(), ("rocksalt", (11, 8)) in compounds()
    (True, True)
    >>> ("zincblende", (11, 8)) in compounds(), ("diamond", (14,)) in compounds()
    (False, True)
    """
    found: list[tuple[str, tuple[int, ...]]] = []
    for anion in (atomic_numbers[symbol] for symbol in ANIONS):
        for cation in KNOWN:
            for counts, crystals in _CRYSTALS.items():
                proper = electronegativity[cation] < electronegativity[anion] - 0.2
                if proper and balanced([cation, anion], counts):
                    found += [(name, (cation, anion)) for name in crystals]
                elif anion == 8 and cation != 8:
                    found.append((crystals[0], (cation, anion)))
    found += [("perovskite", tuple(atomic_numbers[symbol] for symbol in row)) for row in _PEROVSKITES]
    found += [(name, (element,)) for element in KNOWN for name in _ELEMENTS]
    order = np.random.default_rng(0).permutation(len(found))
    return tuple(found[int(k)] for k in order)


def cell(name: str, numbers: Sequence[int]) -> Atoms:
    """Primitive cell of a compound, its bonds as long as radii say.

    >>> atoms = cell("rocksalt", (11, 17))
    >>> atoms.get_chemical_formula(), len(atoms)
    ('ClNa', 2)
    """
    symbols = [chemical_symbols[z] for z in numbers]
    a = bond(numbers[max(0, len(numbers) - 2)], numbers[-1]) / _NEAREST[name]
    if name in _ELEMENTS:
        return bulk(symbols[0], name, a)
    if name in ("rocksalt", "cesiumchloride", "zincblende"):
        return bulk("".join(symbols), name, a)
    if name == "filled-defect-fluorite":
        symbols.append(symbols[-1])
    group, places = _PLACES[name]
    if name == "antifluorite":
        symbols.reverse()
    return crystal(symbols, places, spacegroup=group, cellpar=[a] * 3 + [90] * 3, primitive_cell=True)


_PLACES: dict[str, tuple[int, list[tuple[float, float, float]]]] = {
    "fluorite": (225, [(0, 0, 0), (0.25, 0.25, 0.25)]),
    "antifluorite": (225, [(0, 0, 0), (0.25, 0.25, 0.25)]),
    "cuprite": (224, [(0.25, 0.25, 0.25), (0, 0, 0)]),
    "ReO3": (221, [(0, 0, 0), (0.5, 0, 0)]),
    # a quarter of fluorite's anions left out in the order that keeps the crystal cubic
    "defect-fluorite": (224, [(0.25, 0.25, 0.25), (0, 0.5, 0.5)]),
    "filled-defect-fluorite": (224, [(0.25, 0.25, 0.25), (0, 0.5, 0.5), (0.75, 0.75, 0.75)]),
    "perovskite": (221, [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0)]),
}
