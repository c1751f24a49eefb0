"""Crystal prototypes: AFLOW's library as pymatgen ships it, and common ternaries that it lacks."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from sciai.atoms.data.chemistry import bond
from sciai.core.errors import BadInput

__all__ = ["Prototype", "prototypes", "substituted"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prototype:
    """A crystal structure whose elements are to be replaced.

    Attributes:
        name: AFLOW label or mineral.
        atoms: the primitive cell with the elements it was found with.
        kinds: its elements (atomic numbers), the least electronegative first.
        counts: atoms of each kind.
    """

    name: str
    atoms: Atoms
    kinds: tuple[int, ...]
    counts: tuple[int, ...]


def prototype(name: str, atoms: Atoms) -> Prototype:
    """A prototype of a structure."""
    from sciai.atoms.data.chemistry import electronegativity

    numbers = np.asarray(atoms.numbers)
    kinds = sorted({int(z) for z in numbers}, key=lambda z: float(electronegativity[z]) if z < 97 else 1.3)
    return Prototype(name, atoms, tuple(kinds), tuple(int((numbers == z).sum()) for z in kinds))


@functools.cache
def prototypes(largest: int = 16) -> tuple[Prototype, ...]:
    """All prototypes with cells of at most so many atoms.

    Raises:
        BadInput: when pymatgen is not installed.
    """
    found = []
    for entry in _aflow():
        cell = entry["snl"]
        sites = cell["sites"]
        if len(sites) > largest or any(len(site["species"]) > 1 for site in sites):
            continue
        symbols = [site["species"][0]["element"] for site in sites]
        if all(atomic_numbers.get(symbol, 97) < 97 for symbol in symbols):
            places = [site["abc"] for site in sites]
            atoms = Atoms(symbols, scaled_positions=places, cell=cell["lattice"]["matrix"], pbc=True)
            found.append(prototype(entry["tags"]["aflow"], atoms))
    found += [p for p in map(_made, _MORE) if len(p.atoms) <= largest]
    return tuple(found)


def _aflow() -> list[dict[str, Any]]:
    # read as plain JSON: pymatgen's own loader parses a bibliography for each entry (30 s)
    spec = importlib.util.find_spec("pymatgen")
    for place in spec.submodule_search_locations or () if spec is not None else ():
        for file in sorted(Path(place, "analysis").rglob("aflow_prototypes.json*")):
            raw = file.read_bytes()
            return list(json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw))
    raise BadInput("the AFLOW prototypes need pymatgen", fix="pip install 'sciai[teachers]'")


# (name, symbols, fractional positions, space group, cell parameters): structures of the textbooks
_MORE: Sequence[tuple[str, list[str], list[tuple[float, float, float]], int, list[float]]] = (
    ("half-Heusler", ["Mg", "Ag", "As"], [(0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0, 0, 0)], 216, [6.24] * 3 +
    [90] * 3), ("Heusler", ["Mn", "Cu", "Al"], [(0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0, 0, 0)], 225, [5.95]
    * 3 + [90] * 3), ("perovskite", ["Sr", "Ti", "O"], [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0)], 221,
    [3.905] * 3 + [90] * 3), ("antiperovskite", ["Mn", "Cu", "N"], [(0.5, 0, 0.5), (0, 0, 0), (0.5, 0.5,
    0.5)], 221, [3.9] * 3 + [90] * 3), ("delafossite", ["Li", "Co", "O"], [(0, 0, 0.5), (0, 0, 0), (0, 0,
    0.24)], 166, [2.82, 2.82, 14.05, 90, 90, 120]), ("spinel", ["Mg", "Al", "O"], [(0.125, 0.125, 0.125),
    (0.5, 0.5, 0.5), (0.263, 0.263, 0.263)], 227,
     [8.08] * 3 + [90] * 3),
    ("elpasolite", ["Cs", "Na", "Bi", "Cl"], [(0.25, 0.25, 0.25), (0.5, 0.5, 0.5), (0, 0, 0), (0.248, 0,
    0)], 225,
     [10.84] * 3 + [90] * 3),
    ("vacancy-ordered", ["K", "Pt", "Cl"], [(0.25, 0.25, 0.25), (0, 0, 0), (0.24, 0, 0)], 225, [9.75] * 3 +
    [90] * 3), ("K2NiF4", ["Sr", "Ti", "O", "O"], [(0, 0, 0.355), (0, 0, 0), (0, 0.5, 0), (0, 0, 0.16)], 139,
     [3.88, 3.88, 12.7, 90, 90, 90]),
    ("ThCr2Si2", ["Ba", "Fe", "As"], [(0, 0, 0), (0, 0.5, 0.25), (0, 0, 0.354)], 139, [3.96, 3.96, 13.0, 90,
    90, 90]), ("MAX", ["Ti", "Al", "C"], [(1 / 3, 2 / 3, 0.085), (1 / 3, 2 / 3, 0.75), (0, 0, 0)], 194,
     [3.05, 3.05, 13.6, 90, 90, 120]),
    ("PbFCl", ["Pb", "F", "Cl"], [(0, 0.5, 0.205), (0, 0, 0), (0, 0.5, 0.65)], 129, [4.11, 4.11, 7.22, 90,
    90, 90]), ("zircon-like ABO4", ["Ca", "W", "O"], [(0, 0.25, 0.625), (0, 0.25, 0.125), (0.15, 0.009,
    0.21)], 88,
     [5.24, 5.24, 11.38, 90, 90, 90]),
    ("calcite", ["Ca", "C", "O"], [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)], 167, [4.99, 4.99, 17.06, 90,
    90, 120]), ("chalcopyrite", ["Cu", "Fe", "S"], [(0, 0, 0), (0, 0, 0.5), (0.257, 0.25, 0.125)], 122,
     [5.29, 5.29, 10.42, 90, 90, 90]),
    ("ZrCuSiAs", ["Cu", "Zr", "Si", "As"], [(0, 0, 0.5), (0, 0.5, 0.22), (0, 0, 0), (0, 0.5, 0.68)], 129,
     [3.67, 3.67, 9.57, 90, 90, 90]),
)  # fmt: skip


def _made(entry: Any) -> Prototype:
    from ase.spacegroup import crystal

    name, symbols, places, group, cell = entry
    return prototype(name, crystal(symbols, places, spacegroup=group, cellpar=cell, primitive_cell=True))


def substituted(atoms: Atoms, swap: dict[int, int]) -> Atoms:
    """The structure with elements replaced and the cell scaled as the bonds are.

    Args:
        atoms: a crystal.
        swap: old atomic number -> new one; those that are not named stay.

    >>> from ase.build import bulk
    >>> new = substituted(bulk("NaCl", "rocksalt", 5.64), {11: 19})
    >>> new.get_chemical_formula(), bool(new.get_volume() > 44.9)
    ('ClK', True)
    """
    from vesin import NeighborList

    new = atoms.copy()
    old = np.asarray(atoms.numbers)
    new.numbers = [swap.get(int(z), int(z)) for z in old]
    longest = 2.6 * float(covalent_radii[old].max())
    i, j, d = NeighborList(cutoff=longest, full_list=False).compute(
        points=np.asarray(atoms.positions, float),
        box=np.asarray(atoms.cell.array, float),
        periodic=True,
        quantities="ijd",
    )
    i, j = i.astype(int), j.astype(int)
    before = np.array([bond(int(a), int(b)) for a, b in zip(old[i], old[j], strict=True)])
    bonded = d < 1.25 * before if len(d) else np.zeros(0, bool)
    if bonded.any():
        numbers = np.asarray(new.numbers)
        pairs = zip(numbers[i[bonded]], numbers[j[bonded]], strict=True)
        after = np.array([bond(int(a), int(b)) for a, b in pairs])
        scale = float(np.exp(np.mean(np.log(after / before[bonded]))))
    else:
        scale = float((covalent_radii[new.numbers] ** 3).sum() / (covalent_radii[old] ** 3).sum()) ** (1 / 3)
    new.set_cell(new.cell.array * scale, scale_atoms=True)
    return new
