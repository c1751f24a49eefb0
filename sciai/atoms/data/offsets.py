"""The zero of the energy, which every code and functional has its own: one number per source and element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sciai.atoms.data.records import Record, composition

__all__ = ["energy_offsets"]

Floats = npt.NDArray[np.float64]


def energy_offsets(records: Sequence[Record], *, ridge: float = 1e-3, robust: int = 20) -> dict[str, Floats]:
    """Least-squares energy per atom of each element, for each source.

    Energies minus these are what a network learns: a few eV per atom, whatever code they come from. An
    element that a source does not have gets that source's mean.

    Args:
        records: with energies.
        ridge: pull towards the source's mean energy per atom, in units of structures; it decides only what
            the data leave open (all structures of a source CH4: how much is C?).
        robust: rounds of reweighting against outliers (Huber, at one and a half times the median residual).

    Returns:
        source -> eV per atom, float64 (119,), index = atomic number.

    >>> from ase.build import bulk
    >>> from ase.calculators.singlepoint import SinglePointCalculator
    >>> from sciai.atoms.data.records import from_atoms
    >>> atoms = bulk("Cu"); atoms.calc = SinglePointCalculator(atoms, energy=-3.7)
    >>> float(energy_offsets([from_atoms(atoms, "pbe")])["pbe"][29].round(3))
    -3.7
    """
    found: dict[str, Floats] = {}
    for source in sorted({r.source for r in records if r.energy is not None}):
        mine = [r for r in records if r.source == source and r.energy is not None]
        counts = composition(mine)
        sizes = counts.sum(1)
        target = np.array([r.energy for r in mine], float) / sizes
        shares = counts / sizes[:, None]
        mean = float(np.median(target))
        weights = np.ones(len(mine))
        offsets = np.full(119, mean)
        for _ in range(1 + robust):
            left = shares * weights[:, None]
            offsets = mean + np.linalg.solve(left.T @ shares + ridge * np.eye(119), left.T @ (target - mean))
            residual = np.abs(target - shares @ offsets)
            limit = 1.5 * float(np.median(residual)) + 1e-9
            weights = np.minimum(1.0, limit / np.maximum(residual, 1e-12))
        found[source] = offsets
    return found
