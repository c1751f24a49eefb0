"""What spglib says of a crystal: its space group, and how its conventional axes lie."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    *("SYMMETRY_TOLERANCE", "conventional_indices", "equal_sides", "keep_symmetry", "spacegroup"),
    "standard_rotation",
]

SYMMETRY_TOLERANCE: Final = 0.01
"""Distance, Å, within which atoms count as symmetric."""

ROUNDING: Final = 2e-4
"""Å; files with five digits of fractional coordinates are off by as much."""


def spacegroup(atoms: Atoms) -> tuple[str, int] | None:
    """Symbol and number of a crystal's space group; None where it is not periodic in all directions.

    Example:
        >>> from ase.build import bulk
        >>> spacegroup(bulk("Si"))
        ('Fd-3m', 227)
    """
    found = _dataset(atoms)
    return None if found is None else (str(found.international), int(found.number))


def keep_symmetry(atoms: Atoms) -> str:
    """Constrain a crystal to the symmetry that it has, beside the constraints that it has.

    An atom that is fixed is equal to none that may move: what would exchange the two is no symmetry of the
    task, and to keep it would move the fixed one.

    Args:
        atoms: gets the constraint; without fixed atoms it is also put exactly where its symmetry says.

    Returns:
        What was done, as a sentence; empty where there is no symmetry to keep.

    Example:
        >>> from ase.build import bulk
        >>> keep_symmetry(bulk("Si"))
        'the symmetry Fd-3m (227) was kept'
    """
    from ase.constraints import FixAtoms, FixSymmetry

    own = list(atoms.constraints)
    others = sorted({type(c).__name__ for c in own if not isinstance(c, FixAtoms | FixSymmetry)})
    fixed = [int(k) for c in own if isinstance(c, FixAtoms) for k in c.get_indices()]
    marked = atoms.copy()
    marked.set_constraint()
    marked.numbers[fixed] += len(atomic_numbers)
    group = spacegroup(marked)
    if group is None or group[1] <= 1:
        return ""
    if others:
        return f"the symmetry {group[0]} ({group[1]}) was not kept, as {', '.join(others)} may break it"
    given = atoms.positions.copy()
    keep = FixSymmetry(marked if fixed else atoms, symprec=SYMMETRY_TOLERANCE)
    moved = float(np.linalg.norm(atoms.positions - given, axis=1).max(initial=0.0))
    put = f"; atoms were put where it has them, up to {moved:.4f} Å away" if moved > ROUNDING else ""
    atoms.set_constraint([*own, keep])
    return f"the symmetry {group[0]} ({group[1]}) was kept{', with the fixed atoms' if fixed else ''}{put}"


def standard_rotation(atoms: Atoms) -> npt.NDArray[np.float64] | None:
    """What turns a crystal so that its conventional axes lie as in tables; None where no symmetry is found.

    Args:
        atoms: a crystal.

    Returns:
        Rotation, shape (3, 3), to be applied to column vectors.

    Example:
        >>> from ase.build import bulk
        >>> primitive = bulk("Cu")
        >>> primitive.rotate(30, "z", rotate_cell=True)
        >>> turned = primitive.cell[:] @ standard_rotation(primitive).T
        >>> bool(np.allclose(np.sort(abs(turned / turned.max()), axis=None)[-6:], 1))
        True
    """
    found = _dataset(atoms)
    return None if found is None else np.array(found.std_rotation_matrix, float)


def conventional_indices(atoms: Atoms, miller: tuple[int, int, int]) -> tuple[int, ...] | None:
    """What a surface is called in the conventional cell, where the given cell is another; else None.

    Args:
        atoms: a crystal.
        miller: indices of the surface in the given cell.

    Example:
        >>> from ase.build import bulk
        >>> conventional_indices(bulk("Cu"), (1, 0, 0))
        (-1, 1, 1)
        >>> conventional_indices(bulk("Cu", cubic=True) * 2, (1, 0, 0)) is None
        True
    """
    found = _dataset(atoms)
    if found is None or np.isclose(abs(np.linalg.det(found.transformation_matrix)), 1):
        return None
    raw = np.array(miller) @ np.linalg.inv(found.transformation_matrix)
    raw /= np.abs(raw)[np.abs(raw) > 1e-6].min()
    for times in range(1, 13):
        if np.allclose(whole := np.round(raw * times), raw * times, atol=1e-3):
            least = np.abs(miller) // np.gcd.reduce(miller)
            same = np.array_equal(np.sort(abs(whole)), np.sort(least))
            return None if same else tuple(int(index) for index in whole)
    return None


def equal_sides(slab: Atoms) -> bool:
    """Whether a symmetry of a slab, its surfaces across c, takes one side to the other.

    Example:
        >>> from ase.build import bulk, surface
        >>> salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        >>> [equal_sides(surface(salt, hkl, 3, 8.0, periodic=True)) for hkl in ((1, 0, 0), (1, 1, 1))]
        [True, False]
    """
    found = _dataset(slab)
    return found is not None and bool((found.rotations[:, 2] == [0, 0, -1]).all(1).any())


def _dataset(atoms: Atoms) -> Any:
    if not atoms.pbc.all():
        return None
    import spglib

    data: Any = (np.asarray(atoms.cell[:]), atoms.get_scaled_positions(), atoms.numbers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # on how spglib will report errors one day
            return spglib.get_symmetry_dataset(data, symprec=SYMMETRY_TOLERANCE)
    except Exception:  # what a release with the new error handling raises where this one returns None
        return None
