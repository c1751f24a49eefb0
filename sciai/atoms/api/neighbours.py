"""Pairs of neighbours that are kept from step to step, and for how long they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["SKIN", "KeptPairs"]

Floats = npt.NDArray[np.float64]
SKIN: Final = 1.0
"""Å beyond the cutoff to which pairs are kept between steps of one system."""


@dataclass
class KeptPairs:
    """Pairs with a skin, and the structure they were found for.

    Attributes:
        atoms: that structure.
        graph: its pairs to ``reach`` and ``SKIN`` beyond it.
        reach: how far the network looks, Å.
    """

    atoms: Atoms
    graph: Any
    reach: float
    _last: tuple[Floats, Floats, Any] | None = None

    def same(self, atoms: Atoms) -> Any:
        """The graph that was given last, where it is of the very same structure; else None."""
        last, old = self._last, self.atoms
        held = (  # bytes, since of few atoms numpy's comparisons take longer
            last is not None
            and last[0].tobytes() == atoms.positions.tobytes()
            and last[1].tobytes() == atoms.cell.array.tobytes()
            and old.numbers.tobytes() == atoms.numbers.tobytes()
            and old.pbc.tobytes() == atoms.pbc.tobytes()
        )
        return last[2] if held and last is not None else None

    def moved(self, atoms: Atoms) -> Any:
        """The graph with the atoms where they are now."""
        # copies: whoever moves the atoms afterwards must not move the graph
        there, box = atoms.positions.copy(), np.array(atoms.cell.array, float)
        graph = self.graph.moved(there, box[None])
        self._last = (there, box, graph)
        return graph  # not what was kept: another thread may have put its own there by now

    def serves(self, atoms: Atoms) -> bool:
        """Whether no pair within the cutoff can be missing."""
        old = self.atoms
        if (
            len(atoms) != len(old)
            or not np.array_equal(atoms.numbers, old.numbers)
            or not np.array_equal(atoms.pbc, old.pbc)
        ):
            return False
        moved = float(np.linalg.norm(atoms.positions - old.positions, axis=1).max(initial=0.0))
        change = np.abs(np.asarray(atoms.cell.array) - np.asarray(old.cell.array))
        if not change.any():
            return bool(2 * moved < SKIN)
        # an image that is m cells away has moved by at most sum |m_k| |change of row k|
        images = _images(atoms, self.reach)
        return images is not None and bool(2 * moved + float(images @ np.linalg.norm(change, axis=1)) < SKIN)


def _images(atoms: Atoms, reach: float) -> Floats | None:
    """How many cells away, along each lattice vector, an atom within reach of another can at most lie.

    Of the structure as it is now: pairs that were kept say nothing of images that were too far away then.

    Returns:
        Whole numbers, shape (3,); None where the cell has no volume.
    """
    lattice = np.asarray(atoms.cell.complete()[:])
    if abs(np.linalg.det(lattice)) < 1e-6:
        return None
    to_fractions = np.linalg.inv(lattice)
    apart = np.ptp(atoms.positions @ to_fractions, axis=0) + reach * np.linalg.norm(to_fractions, axis=0)
    return np.where(atoms.pbc, np.floor(apart + 1e-9), 0.0)
