"""Metals, carbon, silicon and germanium as they are used: alloyed, with gaps and guests, cut in faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase import build as ase_build
from ase.data import atomic_numbers, chemical_symbols, covalent_radii, reference_states

from sciai.atoms.data import levels, perturb
from sciai.atoms.data.chemistry import KNOWN, electronegativity, similar

__all__ = ["METALS", "alloy", "meeting", "surface"]

METALS: tuple[int, ...] = tuple(
    z
    for z in KNOWN
    if (electronegativity[z] < 2.0 or 44 <= z <= 47 or 74 <= z <= 80 or z in (42, 82))
    and z not in (1, 2, 5, 10, 14, 18, 32, 36, 54)
)
"""Elements that are metals."""

_SMALL = tuple(atomic_numbers[symbol] for symbol in ("H", "He", "Be", "B", "C", "N", "O"))
_WITH_U = tuple(atomic_numbers[symbol] for symbol in levels.METALS)
_OXIDIZING = ("O", "O", "O", "F", "OH", "O2", "H2O", "CO")
_DIAMONDS = (6, 14, 32)
_CUTS = {
    "fcc": ("fcc111", "fcc100", "fcc110"),
    "bcc": ("bcc110", "bcc100", "bcc111"),
    "hcp": ("hcp0001",),
}


def alloy(rng: np.random.Generator, largest: int) -> Atoms:
    """A metal's supercell in which other elements sit on some places, perhaps one is empty, one too many.

    Args:
        rng: source of chance.
        largest: atoms at most, but for one squeezed in between.

    >>> atoms = alloy(np.random.default_rng(1), 30)
    >>> 2 < len(atoms) <= 31, bool(atoms.pbc.all())
    (True, True)
    """
    host = int(rng.choice(METALS if rng.random() < 0.9 else _DIAMONDS))
    lattice, a = _lattice(host, rng)
    new = perturb.grown(ase_build.bulk(chemical_symbols[host], lattice, a), rng, largest)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.15, 0.65, 0.2]))):
        guest = int(rng.choice(METALS)) if rng.random() < 0.7 else similar(host, rng)
        if rng.random() < 0.1:
            guest = int(rng.choice(KNOWN))
        # one alone, a few, or up to half: what is dilute is asked about as often as what is mixed
        most = len(new) // 2
        count = max(1, round(float(rng.choice([0, rng.uniform(0, 0.3), rng.uniform(0.2, 1.0)])) * most))
        numbers = np.array(new.numbers)
        numbers[rng.choice(len(new), count, replace=False)] = guest
        new.numbers = numbers
    # as large as the radii say in the mean (Vegard)
    radii = covalent_radii[np.asarray(new.numbers)]
    new.set_cell(new.cell.array * float(radii.mean() / covalent_radii[host]), scale_atoms=True)
    if rng.random() < 0.3 and len(new) > 4:
        del new[int(rng.integers(len(new)))]
    if rng.random() < 0.2:
        new = _squeezed(new, int(rng.choice(_SMALL)) if rng.random() < 0.7 else host, rng)
    return new


def surface(rng: np.random.Generator, largest: int, metals: Sequence[int] = METALS) -> Atoms | None:
    """A metal cut along one of its usual faces, of two to four layers; None where it would be too large.

    Args:
        rng: source of chance.
        largest: atoms at most.
        metals: which ones.
    """
    metal = int(rng.choice(metals))
    lattice, a = _lattice(metal, rng)
    cut = str(rng.choice(_CUTS[lattice]))
    layers, wide, deep = int(rng.integers(2, 5)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if layers * wide * deep > largest:
        return None
    shape = {"a": a, "vacuum": float(rng.uniform(4.0, 6.0))}
    if lattice == "hcp":
        shape["c"] = a * np.sqrt(8 / 3)
    new: Atoms = getattr(ase_build, cut)(chemical_symbols[metal], (wide, deep, layers), **shape)
    new.pbc = True
    if rng.random() < 0.25:
        numbers = np.array(new.numbers)
        numbers[int(rng.integers(len(new)))] = int(rng.choice(METALS))
        new.numbers = numbers
    return new


def meeting(rng: np.random.Generator, largest: int) -> Atoms | None:
    """A metal with a Hubbard U where some of its atoms touch oxygen or fluorine and others do not.

    One to four guests on a surface, or squeezed into the metal. None where it would be too large.

    Args:
        rng: source of chance.
        largest: atoms of the metal at most.
    """
    if rng.random() < 0.75:
        face = surface(rng, largest, _WITH_U)
        for _ in range(int(rng.integers(1, 5))):
            face = None if face is None else perturb.adsorbed(face, rng, _OXIDIZING)
        return face
    metal = int(rng.choice(_WITH_U))
    lattice, a = _lattice(metal, rng)
    new = perturb.grown(ase_build.bulk(chemical_symbols[metal], lattice, a), rng, largest)
    for _ in range(int(rng.integers(1, 1 + max(1, len(new) // 4)))):
        new = _squeezed(new, 9 if rng.random() < 0.2 else 8, rng)
    new.set_cell(new.cell.array * float(rng.uniform(1.0, 1.06)), scale_atoms=True)
    return new


def _lattice(metal: int, rng: np.random.Generator) -> tuple[str, float]:
    """Lattice and constant of a metal: nature's where that is simple, and now and then any simple one."""
    known: dict[str, Any] | None = reference_states[metal]
    if known is not None and known["symmetry"] in (*_CUTS, "diamond") and rng.random() < 0.8:
        return str(known["symmetry"]), float(known["a"]) * float(rng.uniform(0.97, 1.03))
    lattice = str(rng.choice(list(_CUTS)))
    nearest = 2.0 * float(covalent_radii[metal]) * float(rng.uniform(0.97, 1.05))
    return lattice, nearest * {"fcc": np.sqrt(2.0), "bcc": 2.0 / np.sqrt(3.0), "hcp": 1.0}[lattice]


def _squeezed(atoms: Atoms, number: int, rng: np.random.Generator) -> Atoms:
    """One atom more, in the roomiest of twenty random places."""
    trials = [atoms + Atoms([number], [rng.random(3) @ atoms.cell.array]) for _ in range(20)]
    return max(trials, key=perturb.closeness)
