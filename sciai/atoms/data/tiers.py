"""How much evidence a potential has for each element, and what that makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from sciai.atoms.data.records import Record

__all__ = ["element_counts", "tiers_of"]

Floats = npt.NDArray[np.float64]


def element_counts(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """What the training records hold of each element.

    Returns:
        symbol -> {"structures": with energies or forces, "atoms": in those, "systems": different chemical
        systems, "curves": structures with nothing but a stress (equations of state)}.

    >>> from ase.build import bulk
    >>> from sciai.atoms.data.records import from_atoms
    >>> element_counts([from_atoms(bulk("Cu"), "none")])["Cu"]["curves"]
    1
    """
    found: dict[str, dict[str, int]] = {}
    systems: dict[str, set[str]] = {}
    for record in records:
        numbers, counts = np.unique(record.numbers, return_counts=True)
        full = record.energy is not None or record.forces is not None
        for z, count in zip(numbers, counts, strict=True):
            symbol = chemical_symbols[int(z)]
            row = found.setdefault(symbol, {"structures": 0, "atoms": 0, "systems": 0, "curves": 0})
            row["structures" if full else "curves"] += 1
            if full:
                row["atoms"] += int(count)
                systems.setdefault(symbol, set()).add(record.group)
    for symbol, names in systems.items():
        found[symbol]["systems"] = len(names)
    return found


def tiers_of(
    counts: Mapping[str, Mapping[str, int]],
    errors: Mapping[str, float] | None = None,
    *,
    least_structures: int = 40,
    least_systems: int = 15,
    most_error: float = 0.45,
) -> dict[str, list[str]]:
    """Tiers of the elements, from evidence alone.

    supported: enough structures in enough chemical systems, and forces on its atoms in development systems no
    worse than the limit. limited: energies or forces in training, but fewer, or worse. experimental:
    equations of state only. Elements with nothing are in no tier.

    Args:
        counts: of `element_counts`.
        errors: symbol -> mean force error on its atoms over their mean force, in systems that were not
            trained on; elements without one are judged by their counts.
        least_structures: for "supported".
        least_systems: for "supported".
        most_error: for "supported".

    Returns:
        "supported", "limited", "experimental" -> symbols by atomic number, as the card's ``extra["tiers"]``.

    >>> rows = {"O": {"structures": 900, "atoms": 9000, "systems": 400, "curves": 28},
    ...         "Xe": {"structures": 12, "atoms": 20, "systems": 9, "curves": 28},
    ...         "Rn": {"structures": 0, "atoms": 0, "systems": 0, "curves": 28}}
    >>> tiers_of(rows, {"O": 0.3})
    {'supported': ['O'], 'limited': ['Xe'], 'experimental': ['Rn']}
    """
    tiers: dict[str, list[str]] = {"supported": [], "limited": [], "experimental": []}
    for symbol in sorted(counts, key=chemical_symbols.index):
        row, error = counts[symbol], (errors or {}).get(symbol)
        if row["structures"] == 0:
            tiers["experimental"].append(symbol)
        elif (
            row["structures"] >= least_structures
            and row["systems"] >= least_systems
            and (error is None or error <= most_error)
        ):
            tiers["supported"].append(symbol)
        else:
            tiers["limited"].append(symbol)
    return tiers
