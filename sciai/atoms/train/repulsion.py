"""Close encounters as lessons: two atoms nearer to each other than any crystal shows.

Labels are the forces of the universal screened nuclear repulsion (Ziegler, Biersack & Littmark 1985,
"The Stopping and Range of Ions in Matter"), which is good to some 10-20 % where it exceeds 10 eV. Without
them a network is free to dig holes between the shortest distance of its data and the wall.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sciai.atoms.data.chemistry import bond
from sciai.atoms.data.graph import Graph
from sciai.atoms.data.records import Record
from sciai.atoms.model.network import Network

__all__ = ["ENCOUNTER", "encounters", "stiffen", "zbl"]

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
    terms = [(a * float(np.exp(-b * scale * r)), b * scale) for a, b in _TERMS]
    screening = sum(term for term, _ in terms)
    slope = sum(-term * rate for term, rate in terms)
    charge = _COULOMB * z1 * z2
    return charge / r * screening, charge * (screening / r**2 - slope / r)


def encounters(
    per_pair: int = 2,
    most: int = 96,
    low: float = 10.0,
    high: float = 120.0,
    weight: float = 0.1,
    seed: int = 0,
) -> list[Record]:
    """Pairs of atoms at distances where their repulsion is between two energies, and a little further apart.

    Further apart means 0.48 to 0.62 of the sum of the covalent radii, closer than any two atoms bond; up to
    0.8 for metals whose atoms do not form multiple bonds, and up to 1.35 with noble gases, which bond to
    nothing. The screened repulsion is rough there, but of the right sign, and says what crystals cannot: that
    two atoms alone fall into no hole on their way.

    Args:
        per_pair: how many of each pair of elements in each of these ranges.
        most: highest atomic number.
        low: lowest repulsion, eV.
        high: highest repulsion, eV.
        weight: of each in the loss; the forces are large.
        seed: of distances and directions.

    >>> near, far = encounters(per_pair=1, most=1)
    >>> near.source, len(near), near.energy is None, bool(abs(near.forces).max() > abs(far.forces).max())
    ('zbl', 2, True, True)
    """
    rng = np.random.default_rng(seed)
    grid = np.geomspace(0.15, 3.0, 300)
    records = []
    strangers = _strangers()
    for z1 in range(1, most + 1):
        for z2 in range(z1, most + 1):
            energies = _energies(z1, z2, grid) if per_pair else np.empty(0)
            touch = bond(z1, z2)
            for _ in range(per_pair):
                wanted = np.exp(rng.uniform(np.log(low), np.log(high)))
                r = float(np.exp(np.interp(-np.log(wanted), -np.log(energies), np.log(grid))))
                records.append(_pair(z1, z2, r, weight, rng))
                records.append(_pair(z1, z2, touch * rng.uniform(0.48, 0.62), 3 * weight, rng))
                if _single(z1) and _single(z2):
                    records.append(_pair(z1, z2, touch * rng.uniform(0.62, 0.8), 3 * weight, rng))
                if strangers[z1, z2]:
                    for low_, high_ in ((0.62, 0.85), (0.85, 1.1), (1.1, 1.35)):
                        records.append(_pair(z1, z2, touch * rng.uniform(low_, high_), 3 * weight, rng))
    return records


_APART = np.arange(1.3, 0.29, -0.02)


def stiffen(net: Network, most: int = 96, dip: float = 0.03) -> tuple[int, int]:
    """See to it that the energy of two atoms alone rises all the way inwards from their bond.

    Where it does not, the network stops seeing the pair come nearer at a larger distance than elsewhere, and
    what is left is the nuclear repulsion; but not at distances at which they bond. Written to ``net.stiff``
    and put to use.

    Args:
        net: trained; ``closest`` says which elements it knows.
        most: highest atomic number.
        dip: deepest fall of energy that may stay, eV.

    Returns:
        How many pairs fell, and how many of them still do.
    """
    net.stiff.zero_()
    net.keep_to_seen()
    limit = (net.closest.float() / net.touch.clamp(min=0.1)).clamp(0.95, 1.35)
    limit[_strangers()] = 1.35
    seen = [int(z) for z in torch.isfinite(net.closest).any(1).nonzero() if 1 <= z <= most]
    pairs = np.array([(a, b) for a in seen for b in seen if a <= b])
    fell = left = 0
    if not len(pairs):
        return fell, left
    for some in np.array_split(pairs, max(1, len(pairs) // 60)):
        bad = some[_falls(net, some, dip)]
        fell += len(bad)
        while len(bad):
            z1, z2 = bad.T
            room = (limit - net.bend)[z1, z2].numpy() > 0.01
            left += int((~room).sum())
            z1, z2 = bad[room].T
            higher = torch.minimum(net.bend[z1, z2] + 0.05, limit[z1, z2])
            net.stiff[z1, z2] = higher
            net.stiff[z2, z1] = higher
            net.keep_to_seen()
            bad = bad[room][_falls(net, bad[room], dip)]
    return fell, left


def _strangers() -> torch.Tensor:
    """Pairs that never bond: noble gases with anything, but xenon and krypton with N, O, F and Cl."""
    out = torch.zeros(119, 119, dtype=torch.bool)
    for noble in (2, 10, 18, 36, 54):
        out[noble] = out[:, noble] = True
    for bonding in (7, 8, 9, 17):
        for heavy in (36, 54):
            out[heavy, bonding] = out[bonding, heavy] = False
    return out


def _falls(net: Network, pairs: NDArray[np.int_], dip: float) -> NDArray[np.bool_]:
    """Which pairs of elements [n, 2] fall towards each other inside their bond, or below 0.6 of touching."""
    if not len(pairs):
        return np.zeros(0, bool)
    n = len(_APART)
    touch = np.array([bond(int(a), int(b)) for a, b in pairs])
    x = torch.as_tensor((touch[:, None] * _APART).ravel())
    here = torch.arange(2 * len(x))
    positions = torch.zeros(len(here), 3, dtype=torch.float64)
    positions[1::2, 0] = x
    answer = net.predict(
        Graph(
            numbers=torch.as_tensor(np.repeat(pairs, n, 0).ravel()),
            positions=positions,
            cells=torch.zeros(len(x), 3, 3, dtype=torch.float64),
            pbc=torch.zeros(len(x), 3, dtype=torch.bool),
            batch=here // 2,
            edges=torch.stack([here, here ^ 1]),
            images=torch.zeros(len(here), 3, dtype=torch.int64),
            shifts=torch.zeros(len(here), 3, dtype=torch.float64),
            source=torch.full((len(x),), net.answers),
        ),
        stress=False,
    )
    energy = answer.energy.numpy().reshape(-1, n)
    push = np.asarray(answer.forces)[1::2, 0].reshape(-1, n)
    lowest = np.where(_APART >= 0.6, energy, np.inf).argmin(1)
    out = np.arange(n) < lowest[:, None]
    fall = np.maximum.accumulate(np.where(out, energy.min(), energy), 1) - energy
    return np.asarray((np.where(out, 0.0, fall) > dip).any(1) | (push[:, _APART < 0.6] < 0).any(1))


def _energies(z1: int, z2: int, r: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = r * (z1**0.23 + z2**0.23) / 0.46850
    return np.asarray(_COULOMB * z1 * z2 / r * sum(a * np.exp(-b * scaled) for a, b in _TERMS))


def _single(z: int) -> bool:
    """Metals that bond singly: alkali, alkaline earths, rare earths, actinides beyond Np, and soft metals."""
    alkali = (3, 11, 12, 19, 20, 37, 38, 55, 56, 87, 88)
    soft = (13, 30, 31, 47, 48, 49, 50, 79, 80, 81, 82, 83)
    return z in (*alkali, *soft, 21, 39) or 57 <= z <= 71 or z == 89 or z >= 94


def _pair(z1: int, z2: int, r: float, weight: float, rng: np.random.Generator) -> Record:
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    force = zbl(z1, z2, r)[1] * axis
    return Record(
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
