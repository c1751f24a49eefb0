"""Which elements go together, and how far apart: enough chemistry to invent plausible compounds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

__all__ = ["ANIONS", "KNOWN", "balanced", "bond", "compound", "electronegativity", "similar"]

Floats = npt.NDArray[np.float64]

KNOWN: tuple[int, ...] = tuple(z for z in range(1, 95) if z not in (84, 85, 86, 87, 88))
"""The 89 elements of the Materials Project: H to Pu without Po, At, Rn, Fr and Ra."""

# Pauling's scale (Allen's for He, Ne, Ar), H to Cm; where he gave none, between the neighbours
_PAULING = (
    "2.20 4.16 0.98 1.57 2.04 2.55 3.04 3.44 3.98 4.79 0.93 1.31 1.61 1.90 2.19 2.58 3.16 3.24 0.82 1.00 "
    "1.36 1.54 1.63 1.66 1.55 1.83 1.88 1.91 1.90 1.65 1.81 2.01 2.18 2.55 2.96 3.00 0.82 0.95 1.22 1.33 "
    "1.60 2.16 1.90 2.20 2.28 2.20 1.93 1.69 1.78 1.96 2.05 2.10 2.66 2.60 0.79 0.89 1.10 1.12 1.13 1.14 "
    "1.13 1.17 1.20 1.20 1.10 1.22 1.23 1.24 1.25 1.10 1.27 1.30 1.50 2.36 1.90 2.20 2.20 2.28 2.54 2.00 "
    "1.62 2.33 2.02 2.00 2.20 2.20 0.70 0.90 1.10 1.30 1.50 1.38 1.36 1.28 1.30 1.30"
)
electronegativity: Floats = np.array([0.0, *map(float, _PAULING.split())])
"""Electronegativity by atomic number, 0 to 96."""

# usual oxidation states; elements that are not here take the states of their column
_STATES = {
    "H": (1, -1), "Li": (1,), "Na": (1,), "K": (1,), "Rb": (1,), "Cs": (1,), "Be": (2,), "Mg": (2,),
    "Ca": (2,), "Sr": (2,), "Ba": (2,), "Sc": (3,), "Y": (3,), "Ti": (4, 3, 2), "Zr": (4,), "Hf": (4,),
    "V": (5, 4, 3, 2), "Nb": (5, 4, 3), "Ta": (5,), "Cr": (3, 6, 2), "Mo": (6, 4), "W": (6, 4),
    "Mn": (2, 3, 4), "Tc": (4, 7), "Re": (4, 6, 7), "Fe": (2, 3), "Ru": (3, 4), "Os": (4,), "Co": (2, 3),
    "Rh": (3,), "Ir": (3, 4), "Ni": (2, 3), "Pd": (2, 4), "Pt": (2, 4), "Cu": (1, 2), "Ag": (1,),
    "Au": (1, 3), "Zn": (2,), "Cd": (2,), "Hg": (2, 1), "B": (3,), "Al": (3,), "Ga": (3,), "In": (3, 1),
    "Tl": (1, 3), "C": (4, -4), "Si": (4, -4), "Ge": (4, 2, -4), "Sn": (4, 2), "Pb": (2, 4), "N": (-3, 5),
    "P": (5, -3, 3), "As": (5, 3, -3), "Sb": (3, 5, -3), "Bi": (3, 5), "O": (-2,), "S": (-2, 6, 4),
    "Se": (-2, 4), "Te": (-2, 4), "F": (-1,), "Cl": (-1,), "Br": (-1,), "I": (-1, 5), "Ce": (3, 4),
    "Eu": (2, 3), "Yb": (3, 2), "Th": (4,), "Pa": (5,), "U": (4, 6), "Np": (4, 5), "Pu": (4, 3),
}  # fmt: skip

# how often each anion rules a compound in the Materials Project, roughly
ANIONS = {
    "O": 0.40, "F": 0.08, "S": 0.10, "Se": 0.07, "Te": 0.05, "Cl": 0.06, "Br": 0.03, "I": 0.03, "N": 0.05,
    "P": 0.04, "As": 0.02, "H": 0.04, "C": 0.03,
}  # fmt: skip


def states(number: int) -> tuple[int, ...]:
    """Usual oxidation states of an element, the usual first."""
    symbol = chemical_symbols[number]
    if symbol in _STATES:
        return _STATES[symbol]
    return (3,) if 57 <= number <= 71 or number >= 89 else ()


def balanced(numbers: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether some choice of usual oxidation states adds up to zero.

    >>> balanced([22, 8], [1, 2]), balanced([11, 8], [1, 1])
    (True, False)
    """
    choices = [states(z) for z in numbers]
    return all(choices) and any(
        sum(q * n for q, n in zip(charges, counts, strict=True)) == 0
        for charges in itertools.product(*choices)
    )


def bond(a: int, b: int) -> float:
    """Usual distance of two bonded atoms: the sum of Cordero's covalent radii, Å.

    >>> round(bond(6, 6), 2)
    1.52
    """
    return float(covalent_radii[a] + covalent_radii[b])


@functools.cache
def _likeness() -> Floats:
    z = np.array(KNOWN)
    chi, radius = electronegativity[z], covalent_radii[z]
    score = np.exp(-(((chi[:, None] - chi) / 0.35) ** 2) - (np.log(radius[:, None] / radius) / 0.2) ** 2)
    first = np.array([(states(int(x)) or (0,))[0] for x in z])
    score *= np.where(first[:, None] == first, 3.0, 1.0)
    noble = np.isin(z, [2, 10, 18, 36, 54])
    score[:, noble] *= 0.1
    np.fill_diagonal(score, 0.0)
    return np.asarray(score / score.sum(1, keepdims=True))


def similar(number: int, rng: np.random.Generator) -> int:
    """Another element of much the same size, electronegativity and valence.

    >>> rng = np.random.default_rng(0)
    >>> sorted({chemical_symbols[similar(17, rng)] for _ in range(50)} & {"Br", "Fe", "Na"})
    ['Br']
    """
    if number not in KNOWN:
        return int(rng.choice(KNOWN))
    return int(rng.choice(KNOWN, p=_likeness()[KNOWN.index(number)]))


def compound(counts: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Elements for the sites of a compound, the most electronegative last.

    Half of the time an anion by its frequency, and cations that balance it where such are found; else an
    intermetallic or anything at all, so that every pair of elements comes up.

    Args:
        counts: atoms on each kind of site.
        rng: source of chance.
    """
    kinds = len(counts)
    if kinds == 1:
        return [int(rng.choice(KNOWN))]
    way = rng.random()
    metals = [z for z in KNOWN if electronegativity[z] < 2.0 and z not in (5, 14, 32, 33)]
    for _ in range(40):
        if way < 0.55:
            anion = atomic_numbers[str(rng.choice(list(ANIONS), p=_shares()))]
            pool = [z for z in KNOWN if z != anion and electronegativity[z] < electronegativity[anion] - 0.3]
            chosen = [int(z) for z in rng.choice(pool, kinds - 1, replace=False)] + [anion]
        elif way < 0.8:
            chosen = [int(z) for z in rng.choice(metals, kinds, replace=False)]
            return sorted(chosen, key=lambda z: electronegativity[z])
        else:
            chosen = [int(z) for z in rng.choice(KNOWN, kinds, replace=False)]
            return sorted(chosen, key=lambda z: electronegativity[z])
        chosen.sort(key=lambda z: electronegativity[z])
        if balanced(chosen, counts):
            return chosen
    return chosen


@functools.cache
def _shares() -> tuple[float, ...]:
    total = sum(ANIONS.values())
    return tuple(share / total for share in ANIONS.values())
