"""Where two levels of theory meet in one structure: metals with and without a U.

The Materials Project, and whatever learned it, computes V, Cr, Mn, Fe, Co, Ni, Mo and W with a Hubbard U
(PBE+U) in any structure that holds O or F, and without one elsewhere. The zeros of energy lie 1.6 to 4.4 eV
for each metal atom apart (Wang et al. 2021, Sci. Rep. 11, 15496). In a crystal whose metal atoms are all
bonded to O or F, or none, that cancels. Where some are and others are not (oxygen on nickel), a potential
that sees surroundings alone cannot know which zero is meant, and its energies and forces are off by eV.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, covalent_radii
from numba import njit
from numpy.typing import NDArray

from sciai.atoms.data.graph import neighbours
from sciai.atoms.data.records import Record

__all__ = [
    "METALS",
    "PARTNERS",
    "SIGHT",
    "answers_on_one_zero",
    "between",
    "on_one_zero",
    "shift_of",
    "split",
]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

METALS = {
    "V": -1.7, "Cr": -1.999, "Mn": -1.668, "Fe": -2.256, "Co": -1.638, "Ni": -2.541,
    "Mo": -3.202, "W": -4.438,
}  # fmt: skip
"""Metal -> what brings its energy with U to the zero without, eV for each atom (Wang et al. 2021)."""

PARTNERS = ("O", "F")
"""A structure that holds one of these is computed with U."""

SIGHT = 4.5
"""Å; a metal atom that has O or F no further than this, and none bonded, is between the levels."""

_BOND = 1.35  # of the sum of the covalent radii
_RADII = np.asarray(covalent_radii[:119], np.float64)
_SHIFT, _PARTNERS = np.zeros(119), np.zeros(119, bool)
_SHIFT[[atomic_numbers[symbol] for symbol in METALS]] = list(METALS.values())
_PARTNERS[[atomic_numbers[symbol] for symbol in PARTNERS]] = True


def shift_of(numbers: npt.ArrayLike) -> float:
    """What brings an energy of the Materials Project's level onto the zero of PBE without U, eV.

    Args:
        numbers: atomic numbers of the structure.

    >>> [round(shift_of(numbers), 3) for numbers in ([28, 8], [28, 28], [12, 8])]
    [-2.541, 0.0, 0.0]
    """
    z = np.asarray(numbers, np.int64)
    return float(_SHIFT[z].sum()) if _PARTNERS[z].any() else 0.0


def answers_on_one_zero(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of this configuration answers on the zero of PBE without U.

    Args:
        config: of its card.

    >>> domain = {"sources": {"mptrj": 0, "mine": 4}, "answers": None, "data": {"one_zero": ["mptrj"]}}
    >>> answers_on_one_zero({"domain": domain}), answers_on_one_zero({"domain": domain | {"answers": "mine"}})
    (True, False)
    """
    domain = config.get("domain") or {}
    source = domain.get("answers") or next(iter(domain.get("sources") or {}), None)
    return source in ((domain.get("data") or {}).get("one_zero") or ())


def on_one_zero(record: Record) -> Record:
    """A record of the Materials Project's level with its energy on the zero of PBE without U.

    Args:
        record: with the energy as it was computed.

    >>> from ase.build import bulk
    >>> from sciai.atoms.data.records import from_atoms
    >>> oxide = from_atoms(bulk("NiO", "rocksalt", 4.18), "mptrj").with_labels(-10.0, None, None, "mptrj")
    >>> round(on_one_zero(oxide).energy, 3)
    -12.541
    """
    shift = shift_of(record.numbers)
    if record.energy is None or not shift:
        return record
    return record.with_labels(record.energy + shift, record.forces, record.stress, record.source)


def split(record: Record) -> bool:
    """Whether metal atoms of a record see O or F without being bonded to any.

    There, labels of a model that learned both levels are those of neither.

    Args:
        record: a structure.

    >>> from ase.build import add_adsorbate, bulk, fcc111
    >>> from sciai.atoms.data.records import from_atoms
    >>> slab = fcc111("Ni", (2, 2, 3), vacuum=6)
    >>> add_adsorbate(slab, "O", 1.2, "fcc")
    >>> [split(from_atoms(atoms, "x")) for atoms in (slab, bulk("NiO", "rocksalt", 4.18))]
    [True, False]
    """
    numbers = np.asarray(record.numbers, np.int64)
    if not (_SHIFT[numbers].any() and _PARTNERS[numbers].any()):
        return False
    places, cell = np.asarray(record.positions, float), np.asarray(record.cell, float)
    pairs, images = neighbours(places, cell, [bool(flag) for flag in record.pbc], SIGHT)
    edges, shifts = pairs.astype(np.int64), images @ cell
    return bool(len(between(places, numbers, edges, shifts, _SHIFT != 0, _PARTNERS)))


def between(
    positions: Floats, numbers: Numbers, edges: Numbers, shifts: Floats, metals: Flags, partners: Flags
) -> Numbers:
    """Atoms of such metals that see O or F and are not bonded to any, int64 (k,).

    Args:
        positions: Å, float64 (n, 3).
        numbers: atomic numbers below 119, int64 (n,).
        edges: directed pairs up to ``SIGHT`` at least, int64 (2, e).
        shifts: of the second atom, Å, float64 (e, 3).
        metals: which atomic numbers are computed with U beside partners, bool (119,).
        partners: which are O or F, bool (119,).

    >>> nickel, oxygen = np.arange(119) == 28, np.arange(119) == 8
    >>> row = np.array([[0.0, 0, 0], [0, 0, 1.8], [0, 0, -2.4], [0, 0, -4.8]])
    >>> pairs = np.array([[0, 1, 1, 2, 0, 2, 2, 3], [1, 0, 2, 1, 2, 0, 3, 2]])
    >>> between(row, np.array([28, 8, 28, 28]), pairs, np.zeros((8, 3)), nickel, oxygen).tolist()
    [2]
    """
    return np.flatnonzero(_seen(positions, numbers, edges, shifts, metals, partners, _RADII) == 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _seen(
    positions: Floats,
    numbers: Numbers,
    edges: Numbers,
    shifts: Floats,
    metals: Flags,
    partners: Flags,
    radii: Floats,
) -> Numbers:
    """Of each atom: 0 no such metal, or no partner in sight; 1 one in sight; 2 one bonded."""
    found = np.zeros(len(numbers), np.int64)
    for e in range(edges.shape[1]):
        i, j = edges[0, e], edges[1, e]
        if found[i] == 2 or not metals[numbers[i]] or not partners[numbers[j]]:
            continue
        x = positions[j, 0] - positions[i, 0] + shifts[e, 0]
        y = positions[j, 1] - positions[i, 1] + shifts[e, 1]
        z = positions[j, 2] - positions[i, 2] + shifts[e, 2]
        square = x * x + y * y + z * z
        bond = _BOND * (radii[numbers[i]] + radii[numbers[j]])
        if square < bond * bond:
            found[i] = 2
        elif square < SIGHT * SIGHT:
            found[i] = 1
    return found
