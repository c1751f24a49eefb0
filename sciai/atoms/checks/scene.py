"""A structure as the checks see it: with its neighbours, found once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.checks.evidence import NOBODY

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.checks.limits import Limits

__all__ = ["Edges", "Pairs", "Scene", "free_memory", "name_atom"]

Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""First and second atom of each pair, and their distance, Å."""

Edges = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Directed pairs, shape (2, e), and the second atom's shift, Å, shape (e, 3); some lie beyond the reach."""

PAIR_BYTES: Final = 40
"""What the neighbour list itself takes for one pair: two indices, a shift, a distance."""

PLENTY: Final = 64e6
"""Bytes that any machine has."""


@dataclass
class Scene:
    """A question about a structure.

    Attributes:
        atoms: the structure.
        cutoff: how far the potential looks, Å; None where it does not say.
        pair_bytes: memory that the potential needs for one directed pair of neighbours, bytes.
        listed: the potential's own pairs of the structure, where it keeps a list that the checks can share;
            None searches.

    Example:
        >>> from ase.build import molecule
        >>> scene = Scene(molecule("H2O"))
        >>> scene.sane, [round(float(d), 2) for d in scene.distances]
        (True, [0.97, 0.97, 1.53])
    """

    atoms: Atoms
    cutoff: float | None = None
    pair_bytes: float = 0.0
    listed: Callable[[Atoms], Edges] | None = None

    @property
    def reach(self) -> float:
        """Distance up to which pairs are listed, Å."""
        return self.cutoff or 5.0

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Atomic numbers, shape (n,)."""
        return np.asarray(self.atoms.numbers, np.int64)

    @cached_property
    def kinds(self) -> npt.NDArray[np.int64]:
        """Atomic numbers that occur, ascending, shape (k,)."""
        return np.array(sorted(set(self.numbers.tolist())), np.int64)

    @cached_property
    def cell(self) -> list[list[float]]:
        """The cell's vectors, Å; plain numbers, since of nine numpy is slower."""
        rows: list[list[float]] = self.atoms.cell.array.tolist()
        return rows

    @cached_property
    def lengths(self) -> list[float]:
        """Lengths of the cell's vectors, Å."""
        return [math.sqrt(x * x + y * y + z * z) for x, y, z in self.cell]

    @cached_property
    def spanned(self) -> float:
        """Volume of the cell, Å^3; 0 where a vector is missing."""
        (a, b, c), (d, e, f), (g, h, i) = self.cell
        return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))

    @cached_property
    def pbc(self) -> list[bool]:
        """Along which vectors the structure is periodic."""
        found: list[bool] = self.atoms.pbc.tolist()
        return found

    @cached_property
    def finite(self) -> bool:
        """Whether every position is a number."""
        return bool(np.isfinite(self.atoms.positions).all())

    @cached_property
    def cell_problem(self) -> str:
        """What makes the cell unusable; empty where nothing does."""
        pbc, lengths = self.pbc, self.lengths
        if not all(math.isfinite(x) for row in self.cell for x in row):
            return "the cell has entries that are NaN or infinite; read the file again or set the cell"
        axes = "abc"
        empty = [axes[k] for k in range(3) if pbc[k] and lengths[k] < 1e-8]
        if empty:
            return (
                f"the structure is periodic along {', '.join(empty)}, but the cell has no such vector; "
                "set the cell, or pbc to False there"
            )
        if any(pbc):
            if all(pbc):
                flat = self.spanned / math.prod(lengths)
            else:
                used = np.array([self.cell[k] for k in range(3) if pbc[k]])
                used /= np.linalg.norm(used, axis=1)[:, None]
                flat = math.sqrt(max(float(np.linalg.det(used @ used.T)), 0.0))
            if flat < 1e-6:
                return (
                    "the periodic cell vectors lie in one plane or line: the cell has no volume; correct them"
                )
        return ""

    @cached_property
    def volume(self) -> float:
        """Volume that the atoms fill, Å^3: the cell where it is periodic, their bounding box elsewhere."""
        if all(self.pbc):
            return self.spanned
        used = np.array([row for row, on in zip(self.cell, self.pbc, strict=True) if on]).reshape(-1, 3)
        across = np.linalg.svd(used)[2][len(used) :] if len(used) else np.eye(3)
        box = np.ptp(self.atoms.positions @ across.T, axis=0) + 3.0
        return float(np.prod(box)) * math.sqrt(max(float(np.linalg.det(used @ used.T)), 0.0))

    @cached_property
    def pairs_expected(self) -> float:
        """Number of directed pairs in the cutoff that the density lets expect; nothing is searched."""
        n = len(self.atoms)
        density = n / self.volume if self.volume > 0 else math.inf
        around = 4.0 / 3.0 * math.pi * self.reach**3 * density
        return n * (around if any(self.pbc) else min(around, n - 1.0))

    @property
    def memory(self) -> float:
        """Bytes that answering takes, estimated before anything is computed."""
        return self.pairs_expected * (PAIR_BYTES + self.pair_bytes) + len(self.atoms) * 2000.0

    @cached_property
    def sane(self) -> bool:
        """Whether neighbours can be looked for at all."""
        ok = len(self.atoms) > 0 and self.finite and not self.cell_problem
        return ok and self.fits(self.pairs_expected * PAIR_BYTES, 0.5)

    def fits(self, needed: float, share: float) -> bool:
        """Whether so many bytes are within a share of what is free; the system is asked where it matters."""
        return needed < share * PLENTY or needed < share * free_memory()

    @cached_property
    def edges(self) -> Edges | None:
        """The potential's own pairs; None where it has none to share, or they would take too much room."""
        if self.listed is None or not self.sane or not self.fits(self.memory, 0.5):
            return None
        return self.listed(self.atoms)

    def glance(self, clear: npt.NDArray[np.bool_], limits: Limits) -> int:
        """What has to be looked at in detail, as ``look`` names it; what has not is known to be in order.

        Args:
            clear: of which atomic number nothing has to be said, shape (119,).
            limits: numbers to compare with.
        """
        from sciai.atoms.checks.look import BOX, PLACE, ROOM, glance

        atoms = self.atoms
        positions = np.ascontiguousarray(atoms.positions, np.float64)
        box = np.ascontiguousarray(atoms.cell.array, np.float64)
        found: int
        found, volume = glance(
            positions, self.numbers, box, atoms.pbc, clear, *limits.volume_per_atom, limits.skew
        )
        if not found & PLACE:
            self.finite = True
        if not found & BOX:
            self.cell_problem, self.volume = "", volume
        if found & (BOX | PLACE) or self.memory > min(limits.memory, 0.5) * PLENTY:
            return found | ROOM
        self.sane = True
        if self.listed is not None:
            self.edges = self.listed(atoms)
        return found

    def look(self, squares: npt.NDArray[np.float64]) -> tuple[bool, npt.NDArray[np.int64]]:
        """One look at all pairs: whether any is near, and which atoms have no neighbour at all.

        Args:
            squares: squared distance below which a pair of elements is near, Å^2, shape (119, 119).

        Returns:
            Near or not; and who is alone, shape (atoms,).
        """
        alone = np.ones(len(self.numbers), bool)
        if self.edges is None:
            alone[self.first] = False
            alone[self.second] = False
            near = self.distances**2 < squares[self.numbers[self.first], self.numbers[self.second]]
            return bool(near.any()), np.flatnonzero(alone)
        from sciai.atoms.checks.look import look

        positions = np.ascontiguousarray(self.atoms.positions, np.float64)
        found, lonely = look(positions, self.numbers, *self.edges, squares, self.reach**2, alone)
        return found, np.flatnonzero(alone) if lonely else NOBODY

    @cached_property
    def _pairs(self) -> Pairs:
        if not self.sane:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        if self.edges is not None:
            return _each_once(self.atoms.positions, *self.edges, self.reach)
        from vesin import NeighborList

        finder = NeighborList(cutoff=float(self.reach), full_list=False)
        i, j, d = finder.compute(self.atoms.positions, _cell(self.atoms), self.pbc, "ijd")
        return i.astype(np.int64), j.astype(np.int64), d

    @property
    def directed(self) -> Edges:
        """Pairs in both directions, and the second atom's shift, Å; some may lie beyond the reach."""
        if self.edges is not None:
            return self.edges
        from vesin import NeighborList

        finder = NeighborList(cutoff=float(self.reach), full_list=True)
        cell = _cell(self.atoms)
        i, j, images = finder.compute(self.atoms.positions, cell, self.pbc, "ijS")
        return np.stack([i, j]).astype(np.int64), np.asarray(images, np.float64) @ np.asarray(cell)

    @property
    def first(self) -> npt.NDArray[np.int64]:
        """First atom of each pair (each pair once; an atom and its own image are a pair), shape (p,)."""
        return self._pairs[0]

    @property
    def second(self) -> npt.NDArray[np.int64]:
        """Second atom of each pair, shape (p,)."""
        return self._pairs[1]

    @property
    def distances(self) -> npt.NDArray[np.float64]:
        """Distance of each pair, shape (p,), Å."""
        return self._pairs[2]


def _each_once(
    positions: npt.NDArray[np.float64],
    edges: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.float64],
    reach: float,
) -> Pairs:
    """Of directed pairs each one once, where it lies within the reach."""
    first, second = edges
    x, y, z = shifts.T
    ahead = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    once = np.flatnonzero((first < second) | ((first == second) & ahead))
    first, second = first.take(once), second.take(once)
    apart = positions.take(second, 0) - positions.take(first, 0) + shifts.take(once, 0)
    squares = np.einsum("ij,ij->i", apart, apart)
    near = np.flatnonzero(squares <= reach**2)
    return first.take(near), second.take(near), np.sqrt(squares.take(near))


def name_atom(atoms: Atoms, index: int) -> str:
    """How a message names an atom.

    Example:
        >>> from ase import Atoms
        >>> name_atom(Atoms("NaCl"), 1)
        'Cl 1'
    """
    return f"{atoms.symbols[int(index)]} {int(index)}"


def free_memory() -> float:
    """Free memory in bytes; infinite where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    import os

    try:  # not on Linux: half of what is built in
        return 0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return math.inf


def _cell(atoms: Atoms) -> npt.NDArray[np.float64]:
    # vesin wants three independent vectors even where a direction is not periodic
    return np.asarray(atoms.cell.complete()[:], float)
