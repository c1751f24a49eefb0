"""Empty space in a cell: how much along each lattice vector, and slabs that the cell's boundary cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["hollow", "in_one_piece", "upright", "vacuum"]

Floats = npt.NDArray[np.float64]
EMPTY: Final = 6.0
"""Å of vacuum across which hardly anything pulls, where no cutoff says so."""


def hollow(atoms: Atoms, potential: Potential, so: str) -> list[Finding]:
    """What is to be said of a cell that is strained though nothing holds it together; mostly nothing.

    Args:
        atoms: periodic in all directions.
        potential: whose cutoff and policy count.
        so: what follows from the vacuum.
    """
    wide = vacuum(atoms)
    along = [name for name, gap in zip("abc", wide, strict=True) if gap > (potential.engine.cutoff or EMPTY)]
    if not along:
        return []
    message = f"{wide.max():.0f} Å of vacuum along {' and '.join(along)}: nothing pulls across it, and {so}"
    return [Finding("volume", potential.guard.level("volume"), message, "cell")]


def vacuum(atoms: Atoms) -> Floats:
    """The thickest empty layer across each periodic lattice vector, Å, shape (3,); 0 along others.

    Args:
        atoms: with a cell of some volume along its periodic directions.

    Example:
        >>> from ase.build import bulk, fcc111
        >>> vacuum(fcc111("Cu", (1, 1, 3), vacuum=8.0, periodic=True)).round(1).tolist()
        [0.7, 0.7, 16.0]
        >>> bool(vacuum(bulk("Cu")).max() < 3)
        True
    """
    lattice = np.asarray(atoms.cell.complete()[:])
    to_fractions = np.linalg.inv(lattice)
    heights = 1 / np.linalg.norm(to_fractions, axis=0)
    found = [
        _gap(place)[0] * height if periodic else 0.0
        for place, height, periodic in zip(
            (atoms.positions @ to_fractions).T, heights, atoms.pbc, strict=True
        )
    ]
    return np.array(found)


def in_one_piece(slab: Atoms) -> Atoms:
    """A slab below its vacuum along c, where the cell's boundary cuts it; else as it is.

    Many codes lay a slab around the origin, half of it at the other end of the cell.

    Args:
        slab: its surfaces across c.

    Example:
        >>> from ase.build import fcc111
        >>> slab = fcc111("Cu", (1, 1, 3), vacuum=8.0, periodic=True)
        >>> slab.positions[:, 2] -= 9.0; slab.wrap()
        >>> [round(float(np.ptp(s.positions[:, 2])), 1) for s in (slab, in_one_piece(slab))]
        [18.1, 4.2]
    """
    if not slab.pbc[2]:
        return slab
    up = slab.get_scaled_positions(wrap=False)[:, 2]
    gap, low = _gap(up)
    if np.ptp(up) <= 1.0 - gap + 1e-6:
        return slab
    inside = low + (up - low + 1e-9) % 1.0 - 1e-9
    out: Atoms = slab.copy()
    out.set_constraint()  # they say where atoms are, and would keep them there
    out.positions += (inside - up)[:, None] * np.asarray(slab.cell[2])
    return out


def upright(slab: Atoms) -> Atoms:
    """A slab whose surface lies in the xy plane, turned there where it does not; else as it is.

    Args:
        slab: its surfaces across c.

    Example:
        >>> from ase.build import fcc111
        >>> slab = fcc111("Cu", (1, 1, 3), vacuum=8.0)
        >>> slab.rotate(40, "y", rotate_cell=True)
        >>> [round(float(np.ptp(s.positions[:, 2])), 1) for s in (slab, upright(slab))]
        [4.0, 4.2]
    """
    a, b, c = np.asarray(slab.cell.complete()[:])
    normal = np.cross(a, b)
    normal *= np.sign(normal @ c) / np.linalg.norm(normal)
    if np.linalg.norm(normal[:2]) < 1e-6:
        return slab
    out: Atoms = slab.copy()
    out.set_constraint()
    out.rotate(normal, "z", rotate_cell=True)
    return out


def _gap(fractions: Floats) -> tuple[float, float]:
    """The widest gap of fractions of a period, and the first of them behind it."""
    place = np.sort(fractions % 1.0)
    gaps = np.diff(place, append=place[0] + 1.0)
    widest = int(np.argmax(gaps))
    return float(gaps[widest]), float(place[(widest + 1) % len(place)])
