"""Close encounters as lessons: two atoms nearer to each other than any crystal shows.

Labels are the forces of the universal screened nuclear repulsion (Ziegler, Biersack & Littmark 1985,
"The Stopping and Range of Ions in Matter"), which is good to some 10-20 % where it exceeds 10 eV. Without
them a network is free to dig holes between the shortest distance of its data and the wall.
"""

from __future__ import annotations

import numpy as np

from sciai.atoms.data.records import Record

__all__ = ["ENCOUNTER", "encounters", "zbl"]

ENCOUNTER = "encounter"
"""Kind of these records: they teach repulsion, and are no evidence that an element or a pair is known."""

_COULOMB = 14.399645  # e^2 / (4 pi eps0), eV Å
_TERMS = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))


def zbl(z1: int, z2: int, r: float) -> tuple[float, float]:
    """Energy (eV) and force along the axis (eV/Å, positive: apart) of two atoms at a distance r, Å.

    >>> energy, force = zbl(6, 6, 0.5)
    >>> 50 < energy < 500, force > 0
    (True, True)
    """
    scale = (z1**0.23 + z2**0.23) / 0.46850
    screening = sum(a * np.exp(-b * scale * r) for a, b in _TERMS)
    slope = sum(-a * b * scale * np.exp(-b * scale * r) for a, b in _TERMS)
    charge = _COULOMB * z1 * z2
    return float(charge / r * screening), float(charge * (screening / r**2 - slope / r))


def encounters(
    per_pair: int = 2,
    most: int = 96,
    low: float = 10.0,
    high: float = 120.0,
    weight: float = 0.1,
    seed: int = 0,
) -> list[Record]:
    """Pairs of atoms at distances where their repulsion is between two energies.

    Args:
        per_pair: how many of each pair of elements.
        most: highest atomic number.
        low: lowest repulsion, eV.
        high: highest repulsion, eV.
        weight: of each in the loss; the forces are large.
        seed: of distances and directions.

    >>> one = encounters(per_pair=1, most=1)[0]
    >>> one.source, len(one), one.energy is None
    ('zbl', 2, True)
    """
    rng = np.random.default_rng(seed)
    grid = np.geomspace(0.15, 3.0, 300)
    records = []
    for z1 in range(1, most + 1):
        for z2 in range(z1, most + 1):
            energies = np.array([zbl(z1, z2, r)[0] for r in grid]) if per_pair else np.empty(0)
            for _ in range(per_pair):
                wanted = np.exp(rng.uniform(np.log(low), np.log(high)))
                r = float(np.exp(np.interp(-np.log(wanted), -np.log(energies), np.log(grid))))
                axis = rng.normal(size=3)
                axis /= np.linalg.norm(axis)
                force = zbl(z1, z2, r)[1] * axis
                records.append(
                    Record(
                        numbers=np.array([z1, z2], np.uint8),
                        positions=np.array([np.zeros(3), r * axis]),
                        cell=np.zeros((3, 3)),
                        pbc=np.zeros(3, bool),
                        energy=None,
                        forces=np.array([-force, force]),
                        stress=None,
                        source="zbl",
                        group=ENCOUNTER,
                        weight=weight,
                        kind=ENCOUNTER,
                    )
                )
    return records
