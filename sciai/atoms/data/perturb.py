"""Moves that turn one crystal into many training structures. Lengths in Å; every move is drawn from `rng`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

__all__ = [
    "adsorbed",
    "closeness",
    "cluster",
    "defective",
    "dimer",
    "grown",
    "lattice",
    "molecule",
    "packed",
    "pressed",
    "rattled",
    "sheared",
    "slab",
    "strained",
]

Floats = npt.NDArray[np.float64]


def closeness(atoms: Atoms) -> float:
    """Smallest distance of two atoms over the sum of their covalent radii; infinity where all are far apart.

    >>> round(closeness(Atoms("H2", [[0, 0, 0], [0, 0, 0.62]])), 2)
    1.0
    """
    from vesin import NeighborList

    radii = covalent_radii[np.asarray(atoms.numbers)]
    i, j, d = NeighborList(cutoff=2.2 * float(radii.max()), full_list=False).compute(
        points=np.asarray(atoms.positions, float),
        box=np.asarray(atoms.cell.complete().array, float),
        periodic=np.asarray(atoms.pbc, bool),
        quantities="ijd",
    )
    return float((d / (radii[i.astype(int)] + radii[j.astype(int)])).min()) if len(d) else np.inf


def grown(atoms: Atoms, rng: np.random.Generator, largest: int) -> Atoms:
    """A supercell of at most so many atoms, by doublings along random axes."""
    new = atoms.copy()
    while 2 * len(new) <= largest:
        # the shortest vector first: cells stay compact
        axis = int(np.argmin(new.cell.lengths() + rng.uniform(0, 1.5, 3)))
        new = new.repeat([2 if k == axis else 1 for k in range(3)])
    return new


def rattled(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """Every coordinate off by a normal deviate of this size; light atoms go further, as when hot."""
    new = atoms.copy()
    mass = np.maximum(new.get_masses(), 4.0)[:, None]
    new.positions = new.positions + rng.normal(0, size, (len(new), 3)) * (np.median(mass) / mass) ** 0.25
    return new


def strained(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """A random symmetric strain, each component normal with this size; atoms go along."""
    strain = rng.normal(0, size, (3, 3))
    return _deformed(atoms, np.eye(3) + (strain + strain.T) / 2)


def sheared(atoms: Atoms, rng: np.random.Generator, size: float) -> tuple[Atoms, Atoms]:
    """A random strain that keeps the volume (to first order), and its opposite; atoms go along.

    Args:
        atoms: periodic.
        rng: for the direction.
        size: Frobenius norm of the strain.
    """
    strain = rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    strain -= np.trace(strain) / 3 * np.eye(3)
    strain *= size / np.linalg.norm(strain)
    return _deformed(atoms, np.eye(3) + strain), _deformed(atoms, np.eye(3) - strain)


def pressed(atoms: Atoms, factor: float) -> Atoms:
    """All lengths times a factor."""
    return _deformed(atoms, np.eye(3) * factor)


def _deformed(atoms: Atoms, matrix: Floats) -> Atoms:
    new = atoms.copy()
    new.set_cell(new.cell.array @ matrix, scale_atoms=True)
    return new


def defective(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A vacancy, two atoms that changed places, or an atom of the crystal where none belongs."""
    new = atoms.copy()
    way = rng.integers(3)
    if way == 1 and len(set(new.numbers)) > 1:
        numbers = np.array(new.numbers)
        kinds = rng.choice(np.unique(numbers), 2, replace=False)
        a, b = (int(rng.choice(np.flatnonzero(numbers == kind))) for kind in kinds)
        numbers[[a, b]] = numbers[[b, a]]
        new.numbers = numbers
    elif way == 2:
        kind = int(rng.choice(new.numbers))
        best, best_room = None, 0.0
        for _ in range(20):
            trial = new + Atoms([kind], [rng.random(3) @ new.cell.array])
            if (room := closeness(trial)) > best_room:
                best, best_room = trial, room
        if best is not None:
            best.set_cell(new.cell)
            best.pbc = new.pbc
            new = best
    elif len(new) > 2:
        del new[int(rng.integers(len(new)))]
    return new


def slab(atoms: Atoms, rng: np.random.Generator, largest: int, vacuum: float = 8.0) -> Atoms:
    """The crystal cut along a lattice plane at a random height, with vacuum above.

    Args:
        atoms: a crystal.
        rng: source of chance.
        largest: atoms at most.
        vacuum: height of the empty space, Å.
    """
    new = atoms.copy()
    # the third vector is the one that leaves the surface
    order = [0, 1, 2]
    axis = int(rng.integers(3))
    order[axis], order[2] = 2, axis
    new.set_cell(new.cell.array[order], scale_atoms=False)
    if np.linalg.det(new.cell.array) < 0:
        new.set_cell(new.cell.array * np.array([[1.0], [1.0], [-1.0]]), scale_atoms=False)
    fractional = new.get_scaled_positions()
    fractional[:, 2] = (fractional[:, 2] + rng.random()) % 1.0
    new.set_scaled_positions(fractional)
    height = abs(new.get_volume()) / float(np.linalg.norm(np.cross(new.cell[0], new.cell[1])))
    layers = int(np.clip(np.ceil(5.0 / height), 1, max(1, largest // len(new))))
    new = new.repeat((1, 1, layers))
    cell = new.cell.array.copy()
    normal = np.cross(cell[0], cell[1])
    normal /= np.linalg.norm(normal)
    # the vector out of the surface becomes upright: the vacuum makes its lean meaningless
    thickness = float(np.ptp(new.positions @ normal))
    new.set_cell([cell[0], cell[1], normal * (thickness + vacuum)], scale_atoms=False)
    new.pbc = True
    new.positions += normal * (vacuum / 2 - float((new.positions @ normal).min()))
    return new


_ADSORBATES = (
    "H",
    "O",
    "N",
    "C",
    "S",
    "F",
    "Cl",
    "CO",
    "OH",
    "H2O",
    "NO",
    "NH3",
    "CH3",
    "CO2",
    "O2",
    "N2",
    "H2",
)


def adsorbed(surface: Atoms, rng: np.random.Generator, guests: Sequence[str] = ()) -> Atoms:
    """A slab with an atom or small molecule on top: one of ``guests``, or of what is usual."""
    from ase.build import molecule as named

    new = surface.copy()
    name = str(rng.choice(guests or _ADSORBATES))
    guest = Atoms(name) if name in atomic_numbers else named(name)
    guest.rotate(float(rng.uniform(0, 360)), rng.normal(size=3), center=(0, 0, 0))
    normal = new.cell.array[2] / np.linalg.norm(new.cell.array[2])
    where = rng.random(2) @ new.cell.array[:2]
    heights = new.positions @ normal
    top = int(np.argmax(heights))
    guest.positions += where - guest.positions.mean(0)
    low = float((guest.positions @ normal).min())
    guest.positions += normal * (heights[top] - low + 0.4)
    for _ in range(12):  # up until it touches nothing
        if closeness(new + guest) > rng.uniform(0.85, 1.1):
            break
        guest.positions += normal * 0.2
    both = new + guest
    both.set_cell(new.cell)
    both.pbc = True
    return both


def lattice(numbers: Sequence[int], rng: np.random.Generator) -> Atoms:
    """Atoms of any elements in turn on a close-packed, body-centred or simple lattice of their mean size.

    >>> len(lattice([3, 9, 26, 79] * 4, np.random.default_rng(0)))
    16
    """
    from ase.build import bulk

    kind = str(rng.choice(["fcc", "bcc", "sc"], p=[0.5, 0.35, 0.15]))
    new = bulk("X", kind, a=1.0)
    while len(new) < len(numbers):
        new = new.repeat([2 if k == int(np.argmin(new.cell.lengths())) else 1 for k in range(3)])
    new = new[: len(numbers)] if len(new) > len(numbers) else new
    new.numbers = [int(z) for z in rng.permutation(list(numbers))]
    new.pbc = True
    radii = covalent_radii[np.asarray(new.numbers)]
    volume = float((4 / 3 * np.pi * radii**3).sum()) / float(rng.uniform(0.6, 1.1))
    new.set_cell(new.cell.array * (volume / new.get_volume()) ** (1 / 3), scale_atoms=True)
    return new


def packed(numbers: Sequence[int], rng: np.random.Generator, density: float) -> Atoms | None:
    """Atoms thrown into a random cell so that none overlap; None where they do not fit.

    Args:
        numbers: atomic numbers.
        rng: source of chance.
        density: share of the cell that spheres of the covalent radii fill; metals about 0.9, oxides 0.5.
    """
    radii = covalent_radii[list(numbers)]
    volume = float((4 / 3 * np.pi * radii**3).sum()) / density
    shape = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    cell = shape * (volume / abs(np.linalg.det(shape))) ** (1 / 3)
    best, best_room = None, 0.0
    for _ in range(12):
        trial = Atoms(numbers, rng.random((len(radii), 3)) @ cell, cell=cell, pbc=True)
        trial = _apart(trial, radii)
        if (room := closeness(trial)) > best_room:
            best, best_room = trial, room
        if best_room > 0.75:
            break
    return best if best_room > 0.55 else None


def _apart(atoms: Atoms, radii: Floats, rounds: int = 40) -> Atoms:
    """Push overlapping spheres apart."""
    from vesin import NeighborList

    new = atoms.copy()
    box = np.asarray(new.cell.array, float)
    search = NeighborList(cutoff=2.0 * float(radii.max()), full_list=True)
    for _ in range(rounds):
        i, j, d, vectors = search.compute(
            points=np.asarray(new.positions, float), box=box, periodic=True, quantities="ijdD"
        )
        i, j = i.astype(int), j.astype(int)
        overlap = np.maximum(0.0, 0.9 * (radii[i] + radii[j]) - d)
        if overlap.max(initial=0.0) < 0.05:
            break
        push = np.zeros_like(new.positions)
        np.add.at(push, i, -0.5 * (overlap / np.maximum(d, 1e-3))[:, None] * vectors)
        new.positions += push
    return new


def cluster(atoms: Atoms, rng: np.random.Generator, size: int) -> Atoms:
    """The atoms nearest to a random point of the crystal, in vacuum."""
    big = atoms.repeat([max(1, int(np.ceil(9.0 / length))) for length in atoms.cell.lengths()])
    point = (0.5 + rng.uniform(-0.1, 0.1, 3)) @ big.cell.array
    nearest = np.argsort(np.linalg.norm(big.positions - point, axis=1))[:size]
    cut = big[nearest]
    return Atoms(cut.numbers, cut.positions - cut.positions.mean(0))


def dimer(a: int, b: int, rng: np.random.Generator) -> Atoms:
    """Two atoms at 0.7 to 2 times their usual bond."""
    length = float((covalent_radii[a] + covalent_radii[b]) * rng.uniform(0.7, 2.0))
    return Atoms([a, b], [[0, 0, 0], [0, 0, length]])


def molecule(rng: np.random.Generator) -> Atoms:
    """A molecule of ASE's G2 or S22 sets."""
    from ase.collections import g2, s22

    names = [*g2.names, *s22.names]
    name = names[int(rng.integers(len(names)))]
    chosen = g2[name] if name in g2.names else s22[name]
    return Atoms(chosen.numbers, chosen.positions)
