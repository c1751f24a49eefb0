"""Salts, hydrates and liquids: whole units of atoms, packed with the metals that balance them.

Prototypes are mostly simple crystals of at most a few dozen atoms. Much of what is made and measured is not:
phosphates, borates, hydrates, carbonyls, with units that hold together in cells of 20 to 100 atoms.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from sciai.atoms.data import perturb
from sciai.atoms.data.chemistry import KNOWN, electronegativity, states

__all__ = ["Unit", "liquid", "salt", "units"]

Floats = npt.NDArray[np.float64]

_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
_PYRAMID = _TETRAHEDRON[1:]
_TRIANGLE = np.array([[np.cos(a), np.sin(a), 0.0] for a in np.deg2rad([90, 210, 330])])
_BENT = np.array([[np.cos(a), np.sin(a), 0.0] for a in np.deg2rad([37.75, 142.25])])
_OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
_SHAPES = {3.0: _PYRAMID, 3.5: _TRIANGLE, 2.0: _BENT, 4.0: _TETRAHEDRON, 6.0: _OCTAHEDRON}

# centre, ligand, shape (3 pyramid, 3.5 triangle), bond in Å, charge; from inorganic textbooks
_AROUND_A_CENTRE = (
    "S O 4 1.48 -2; P O 4 1.54 -3; Si O 4 1.64 -4; As O 4 1.69 -3; Se O 4 1.65 -2; Cl O 4 1.45 -1; "
    "V O 4 1.72 -3; Cr O 4 1.65 -2; Mo O 4 1.77 -2; W O 4 1.78 -2; Mn O 4 1.63 -1; Re O 4 1.73 -1; "
    "Ge O 4 1.76 -4; B O 4 1.48 -5; Al O 4 1.76 -5; S O 3 1.52 -2; Se O 3 1.70 -2; Te O 3 1.88 -2; "
    "As O 3 1.78 -3; Cl O 3 1.48 -1; Br O 3 1.65 -1; I O 3 1.81 -1; C O 3.5 1.29 -2; N O 3.5 1.25 -1; "
    "B O 3.5 1.38 -3; N O 2 1.24 -1; Te O 6 1.92 -6; I O 6 1.89 -5; Sb O 6 1.99 -7; B F 4 1.40 -1; "
    "P F 6 1.60 -1; Si F 6 1.69 -2; Ti F 6 1.86 -2; Be F 4 1.55 -2; Al F 6 1.80 -3; Pt Cl 6 2.32 -2; "
    "Sn Cl 6 2.43 -2; Zn Cl 4 2.27 -2; P S 4 2.05 -3; Ge S 4 2.21 -4; Sb S 3 2.43 -3; As S 3 2.25 -3; "
    "N H 4 1.03 1; B H 4 1.22 -1; Al H 4 1.62 -1; O H 3 1.00 1; O H 2 0.98 0; N H 3 1.02 0; N H 2 1.02 -1"
)
_LINEAR = (  # elements, places on a line in Å, charge
    ("OH", (0, 0.97), -1), ("CN", (0, 1.16), -1), ("NCS", (0, 1.17, 2.82), -1), ("NNN", (0, 1.18, 2.36), -1),
    ("NCO", (0, 1.19, 2.41), -1), ("OO", (0, 1.49), -2), ("SS", (0, 2.08), -2), ("CO", (0, 1.14), 0),
    ("NO", (0, 1.16), 0), ("OCO", (0, 1.17, 2.34), 0), ("CC", (0, 1.22), -2), ("SH", (0, 1.35), -1),
    ("III", (0, 2.92, 5.84), -1),
)  # fmt: skip
_NAMED = ("C2H6", "CH3OH", "HCOOH", "C2H4", "C6H6", "N2H4", "CH4", "SO2", "CH3CN", "H2COH", "C3H4_C3v")


@dataclass(frozen=True)
class Unit:
    """Atoms that hold together.

    Attributes:
        atoms: around the origin, Å.
        charge: of the whole unit.
    """

    atoms: Atoms
    charge: int


@functools.cache
def units() -> tuple[Unit, ...]:
    """Oxyanions, complex halides, hydrides, water and other small molecules.

    >>> sorted(u.atoms.get_chemical_formula() for u in units() if u.charge == -3)[:4]
    ['AlF6', 'AsO3', 'AsO3S', 'AsO4']
    """
    found = []
    for text in _AROUND_A_CENTRE.split("; "):
        centre, ligand, shape, length, charge = text.split()
        places = _SHAPES[float(shape)] * float(length)
        found.append(Unit(Atoms([centre] + [ligand] * len(places), [[0, 0, 0], *places]), int(charge)))
    for symbols, along, charge_ in _LINEAR:
        found.append(Unit(Atoms(list(symbols), [[0, 0, x] for x in along]), charge_))
    # two tetrahedra that share a corner
    for centre, bond, charge_ in (("P", 1.58, -4), ("Si", 1.64, -6), ("S", 1.55, -2), ("Cr", 1.70, -2)):
        one = _TETRAHEDRON * bond
        other = 2 * one[0] - np.vstack([np.zeros(3), one[1:]])
        found.append(
            Unit(
                Atoms([centre, "O", "O", "O", "O", centre, "O", "O", "O"], [[0, 0, 0], *one, *other]), charge_
            )
        )
    # a ligand exchanged: PO3F, SO3S, HPO4 ...
    for centre, ligand, bond, charge_ in (("P", "F", 1.54, -2), ("S", "S", 1.75, -2), ("As", "S", 1.9, -3)):
        places = _TETRAHEDRON * np.array([[bond], [1.52], [1.52], [1.52]])
        found.append(Unit(Atoms([centre, ligand, "O", "O", "O"], [[0, 0, 0], *places]), charge_))
    from ase.collections import g2

    found += [Unit(Atoms(g2[name].numbers, g2[name].positions), 0) for name in _NAMED]
    for unit in found:
        unit.atoms.positions -= unit.atoms.positions.mean(0)
    return tuple(found)


def salt(rng: np.random.Generator, largest: int) -> Atoms | None:
    """Units and the metals that balance them, in a cell of random shape; None where they do not fit.

    Args:
        rng: source of chance.
        largest: atoms at most.

    >>> found = [salt(np.random.default_rng(k), 42) for k in range(8)]
    >>> all(atoms is None or (6 <= len(atoms) <= 42 and atoms.pbc.all()) for atoms in found)
    True
    """
    recipe = _recipe(rng, largest)
    if recipe is None:
        return None
    shape = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    shape[:, 2] *= float(rng.uniform(0.8, 1.5))
    return _filled(recipe, float(rng.uniform(0.95, 1.3)), shape, rng)


def liquid(rng: np.random.Generator, largest: int) -> Atoms | None:
    """Molecules of one or two kinds as in a liquid, often water, now and then with a dissolved salt.

    Args:
        rng: source of chance.
        largest: atoms at most.

    >>> found = [liquid(np.random.default_rng(k), 30) for k in range(6)]
    >>> all(atoms is None or (len(atoms) <= 30 and atoms.pbc.all()) for atoms in found)
    True
    """
    neutral = [unit.atoms for unit in units() if unit.charge == 0]
    water = next(atoms for atoms in neutral if atoms.get_chemical_formula() == "H2O")
    kinds = [water] if rng.random() < 0.5 else [neutral[int(rng.integers(len(neutral)))]]
    if rng.random() < 0.35:
        kinds.append(
            neutral[int(rng.integers(len(neutral)))] if rng.random() < 0.6 else perturb.molecule(rng)
        )
    recipe: list[Atoms] = []
    if rng.random() < 0.2:
        anions = [unit.atoms for unit in units() if unit.charge == -1]
        anions += [Atoms(symbol, [[0, 0, 0]]) for symbol in ("F", "Cl", "Br", "I")]
        recipe.append(anions[int(rng.integers(len(anions)))])
        recipe.append(Atoms(str(rng.choice(["Li", "Na", "K", "H"])), [[0, 0, 0]]))
    count = sum(len(unit) for unit in recipe)
    wanted = int(rng.integers(max(6, largest // 2), largest + 1))
    while count + len(kind := kinds[int(rng.integers(len(kinds)))]) <= wanted:
        recipe.append(kind)
        count += len(kind)
    return _filled(recipe, float(rng.uniform(0.9, 1.35)), np.eye(3), rng) if len(recipe) > 1 else None


def _filled(recipe: list[Atoms], room: float, shape: Floats, rng: np.random.Generator) -> Atoms | None:
    """Units in a cell of this shape, with so many times their usual room; None where they overlap."""
    size = room * sum(_room(z) for unit in recipe for z in unit.numbers)
    cell = shape * (size / abs(np.linalg.det(shape))) ** (1 / 3)
    best, best_room = None, 0.0
    for _ in range(8):
        trial = _thrown(recipe, cell, rng)
        if (room := perturb.closeness(trial)) > best_room:
            best, best_room = trial, room
        if best_room > 0.7:
            break
    return best if best_room > 0.5 else None


def _recipe(rng: np.random.Generator, largest: int) -> list[Atoms] | None:
    """One or two kinds of charged units, the metals that balance them, perhaps a neutral one."""
    charged = [unit for unit in units() if unit.charge < 0]
    neutral = [unit for unit in units() if unit.charge == 0]
    water = next(unit for unit in neutral if unit.atoms.get_chemical_formula() == "H2O")
    metals = [z for z in KNOWN if states(z) and electronegativity[z] < 2.0 and z not in (1, 5, 14, 32, 33)]
    for _ in range(60):
        anions = [
            charged[int(k)] for k in rng.integers(len(charged), size=int(rng.choice([1, 2], p=[0.75, 0.25])))
        ]
        if rng.random() < 0.25:  # single ions beside the units: chlorides, oxides, fluorides
            symbol = str(rng.choice(["O", "F", "Cl", "Br", "S", "I"]))
            anions.append(Unit(Atoms([symbol], [[0, 0, 0]]), states(atomic_numbers[symbol])[0]))
        parts: list[Unit] = []
        for anion in anions:
            parts += [anion] * int(rng.integers(1, 4))
        charge = sum(part.charge for part in parts)
        if rng.random() < 0.12:
            ammonium = next(unit for unit in units() if unit.atoms.get_chemical_formula() == "H4N")
            parts, charge = [*parts, ammonium], charge + 1
        for metal in rng.choice(metals, int(rng.choice([1, 2, 3], p=[0.4, 0.45, 0.15])), replace=False):
            here = [q for q in states(int(metal)) if q > 0]
            if not here or charge >= 0:
                continue
            q = int(rng.choice(here))
            for _ in range(min(-charge // q, int(rng.integers(1, 7)))):
                parts, charge = [*parts, Unit(Atoms([metal], [[0, 0, 0]]), q)], charge + q
        while (
            -3 <= charge < 0 and rng.random() < 0.5
        ):  # protons are cations too: as hydronium or on an oxygen
            parts, charge = [*parts, Unit(Atoms("H", [[0, 0, 0]]), 1)], charge + 1
        if charge != 0 and rng.random() < 0.9:  # one in ten that is off balance: nature is not always right
            continue
        if rng.random() < 0.35:
            guest = water if rng.random() < 0.6 else neutral[int(rng.integers(len(neutral)))]
            parts += [guest] * int(rng.integers(1, 6))
        count = sum(len(part.atoms) for part in parts)
        if not 6 <= count <= largest:
            continue
        times = int(rng.integers(1, largest // count + 1))
        return [part.atoms for part in parts * times]
    return None


def _room(number: int) -> float:
    """Volume that an atom takes in salts, Å^3: as in simple salts and ice."""
    known = {1: 4.0, 6: 12.0, 7: 14.0, 8: 14.0, 9: 13.0, 16: 20.0, 17: 24.0, 35: 30.0, 53: 40.0}
    return known.get(number, float(0.9 * 4 / 3 * np.pi * covalent_radii[number] ** 3))


def _thrown(recipe: list[Atoms], cell: Floats, rng: np.random.Generator, rounds: int = 60) -> Atoms:
    """Units at random places, turned at random, pushed apart as rigid bodies."""
    from vesin import NeighborList

    numbers = np.concatenate([unit.numbers for unit in recipe])
    owner = np.repeat(np.arange(len(recipe)), [len(unit) for unit in recipe])
    places = []
    for unit in recipe:
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        places.append(unit.positions @ turn + rng.random(3) @ cell)
    positions = np.concatenate(places)
    # beside each other, units keep more distance than a bond, but for metals at their ligands
    radii = covalent_radii[numbers]
    inverse = np.linalg.inv(cell)
    search = NeighborList(cutoff=2.4 * float(radii.max()), full_list=True)
    single = np.bincount(owner)[owner] == 1
    for _ in range(rounds):
        i, j, d, vectors = search.compute(points=positions, box=cell, periodic=True, quantities="ijdD")
        i, j = i.astype(int), j.astype(int)
        apart = owner[i] != owner[j]
        i, j, d, vectors = i[apart], j[apart], d[apart], vectors[apart]
        wanted = (radii[i] + radii[j]) * np.where(single[i] ^ single[j], 1.0, 1.35)
        overlap = np.maximum(0.0, wanted - d)
        if overlap.max(initial=0.0) < 0.1:
            break
        push = np.zeros((len(recipe), 3))
        np.add.at(push, owner[i], -0.35 * (overlap / np.maximum(d, 1e-3))[:, None] * vectors)
        positions = positions + push[owner]
    moved = positions @ inverse
    return Atoms(numbers, moved @ cell, cell=cell, pbc=True)
