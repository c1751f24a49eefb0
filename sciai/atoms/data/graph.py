"""Structures as graphs: atoms, and the directed pairs of atoms within a cutoff, periodic images included.

Positions stay in double precision, whatever precision the network computes in: in a large cell the difference
of two single-precision positions would be off by 1e-5 Å and more, and energy would not be conserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

__all__ = ["Graph", "graph_of_arrays", "graphs_of", "join", "neighbours"]


@dataclass
class Graph:
    """One or several structures in one graph.

    Attributes:
        numbers: atomic numbers, int64 [n].
        positions: Å, float64 [n, 3].
        cells: rows are lattice vectors, Å, float64 [g, 3, 3]; zero rows where there is none.
        pbc: whether periodic along each lattice vector, bool [g, 3].
        batch: the structure of each atom, int64 [n], ascending.
        edges: (centre, neighbour), int64 [2, e], sorted by centre.
        images: lattice image of the neighbour, int64 [e, 3].
        shifts: ``images @ cell``, Å, float64 [e, 3]: the pair's vector is
            ``positions[neighbour] - positions[centre] + shifts``.
        source: the level of theory asked for, int64 [g]; the network's own numbering, 0 is what it answers.

    >>> from ase.build import bulk
    >>> graph = graphs_of([bulk("Cu"), bulk("NaCl", "rocksalt", 5.64)], cutoff=3.0)
    >>> graph.n_graphs, len(graph), graph.edges.shape[1]
    (2, 3, 24)
    """

    numbers: Tensor
    positions: Tensor
    cells: Tensor
    pbc: Tensor
    batch: Tensor
    edges: Tensor
    images: Tensor
    shifts: Tensor
    source: Tensor

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return int(self.cells.shape[0])

    def __len__(self) -> int:
        return int(self.numbers.shape[0])

    def to(self, device: Any) -> Graph:
        """The same graph on another device."""
        return Graph(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def moved(self, positions: Any, cells: Any = None) -> Graph:
        """The same pairs with atoms (and cells) elsewhere: what a neighbour list with a skin is for.

        Args:
            positions: Å, [n, 3]. Atoms must not have been wrapped back since the pairs were found.
            cells: Å, [g, 3, 3]; None keeps them.
        """
        where = torch.as_tensor(positions, dtype=torch.float64, device=self.positions.device)
        if cells is None:
            return replace(self, positions=where)
        new = torch.as_tensor(cells, dtype=torch.float64, device=self.cells.device).reshape(-1, 3, 3)
        rows = new[self.batch[self.edges[0]]]
        shifts = torch.einsum("ea,eab->eb", self.images.double(), rows)
        return replace(self, positions=where, cells=new, shifts=shifts)


def neighbours(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: Sequence[bool], cutoff: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Directed pairs within a cutoff, sorted by centre; each pair of atoms is there in both directions.

    Args:
        positions: Å, [n, 3].
        cell: Å, [3, 3]; a lattice vector that is not periodic may be zero.
        pbc: periodic along each lattice vector.
        cutoff: Å.

    Returns:
        Pairs (centre, neighbour) [2, e] and the neighbour's lattice image [e, 3].

    Raises:
        BadInput: when a periodic direction has no lattice vector, or the periodic cell has no volume.

    >>> pairs, images = neighbours(np.zeros((1, 3)), np.eye(3), [True, True, True], 1.1)
    >>> pairs.shape, sorted(map(tuple, images.tolist()))[0]
    ((2, 6), (-1, 0, 0))
    """
    from ase.geometry import complete_cell
    from vesin import NeighborList

    if not len(positions):
        return np.zeros((2, 0), np.int32), np.zeros((0, 3), np.int32)
    lattice, periodic = np.asarray(cell, float), np.asarray(pbc, bool)
    if not np.isfinite(positions).all() or not np.isfinite(lattice).all():
        raise BadInput("a position or lattice vector is not a finite number", field="positions")
    if (np.linalg.norm(lattice, axis=1)[periodic] == 0).any():
        raise BadInput("the structure is periodic along a lattice vector of length zero", field="cell")
    full = np.ascontiguousarray(complete_cell(lattice))
    if periodic.any() and abs(np.linalg.det(full)) < 1e-6:
        raise BadInput("the periodic cell has no volume", field="cell", fix="give three independent vectors")
    search = NeighborList(cutoff=float(cutoff), full_list=True, sorted=True, n_threads=1)
    points = np.ascontiguousarray(positions, float)
    pairs, images = search.compute(points, full, periodic, quantities="PS", copy=True)
    pairs = pairs.astype(np.int32)
    return np.ascontiguousarray(pairs.T), images.astype(np.int32)


def graph_of_arrays(
    numbers: Any,
    positions: Any,
    cell: Any,
    pbc: Any,
    pairs: NDArray[np.int32],
    images: NDArray[np.int32],
    source: int = 0,
) -> Graph:
    """A graph of one structure whose pairs are known.

    Args:
        numbers: atomic numbers [n].
        positions: Å, [n, 3].
        cell: Å, [3, 3].
        pbc: periodic along each lattice vector.
        pairs: as ``neighbours`` gives them.
        images: as ``neighbours`` gives them.
        source: level of theory.
    """
    lattice = np.asarray(cell, float).reshape(1, 3, 3)
    return Graph(
        numbers=torch.as_tensor(np.asarray(numbers, np.int64)),
        positions=torch.as_tensor(np.array(positions, float).reshape(-1, 3)),
        cells=torch.as_tensor(lattice.copy()),
        pbc=torch.as_tensor(np.asarray(pbc, bool).reshape(1, 3).copy()),
        batch=torch.zeros(len(numbers), dtype=torch.int64),
        edges=torch.as_tensor(pairs.astype(np.int64)),
        images=torch.as_tensor(images.astype(np.int64)),
        shifts=torch.as_tensor(images.astype(float) @ lattice[0]),
        source=torch.tensor([source]),
    )


def join(graphs: Iterable[Graph]) -> Graph:
    """Several graphs as one; structures and atoms keep their order."""
    parts = list(graphs)
    if len(parts) == 1:
        return parts[0]
    sizes = [len(part) for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    counts = np.concatenate([[0], np.cumsum([part.n_graphs for part in parts])])
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("numbers", "positions", "cells", "pbc", "images", "shifts", "source")
    }
    edges = torch.cat([part.edges + int(start) for part, start in zip(parts, starts, strict=False)], 1)
    batch = torch.cat([part.batch + int(first) for part, first in zip(parts, counts, strict=False)])
    return Graph(edges=edges, batch=batch, **joined)


def graphs_of(structures: Sequence[Atoms], cutoff: float, source: int = 0) -> Graph:
    """One graph of several structures.

    Args:
        structures: ASE atoms; at least one.
        cutoff: Å. For a list that serves several steps add a skin: pairs beyond the network's own cutoff
            count for nothing.
        source: level of theory asked for.

    Raises:
        BadInput: on no structure, a structure without atoms, or a cell that cannot be (see ``neighbours``).
    """
    if not structures:
        raise BadInput("no structure given", field="structures")
    graphs = []
    for atoms in structures:
        if not len(atoms):
            raise BadInput("a structure has no atoms", field="structures")
        cell, pbc = np.asarray(atoms.cell.array, float), [bool(flag) for flag in atoms.pbc]
        pairs, images = neighbours(atoms.positions, cell, pbc, cutoff)
        graphs.append(graph_of_arrays(atoms.numbers, atoms.positions, cell, pbc, pairs, images, source))
    return join(graphs)
