"""What the labels of a user's structures say against each other: units, zeros of energy, copies, charges."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.data.records import Record
from sciai.atoms.train.digests import digest_of

__all__ = ["charged", "copies", "doubts", "slope_of", "two_zeros"]

Floats = npt.NDArray[np.float64]

NEAR: Final = 0.4
"""How far an atom may move between two structures whose energies are compared by their forces, Å."""
PAIRS: Final = 8
"""Pairs of structures from which it is told whether energies and forces belong together."""
AGREE: Final = (0.6, 1.5)
"""Of energies in eV and forces in eV/Å; those in Hartree and Hartree/Bohr have 1.9."""
GAP: Final = 1.0
"""Between two zeros of energy, eV/atom."""
_CHARGE: Final = re.compile(r'\b(?:total_)?charge="?([-+]?\d+(?:\.\d*)?)')


def doubts(records: Sequence[Record], offsets: Floats) -> Iterator[str]:
    """Sentences on the labels of one source; mostly none.

    Args:
        records: each once, in the order of their file.
        offsets: energies of the elements, eV, shape (119,).
    """
    twice, apart = copies(records)
    if twice:
        said = f"; energies of one structure differ by up to {apart:.3g} eV/atom, so that something else is "
        said += "another: its charge, its magnetic state, the settings"
        yield f"{twice} of {len(records)} structures are copies of others{said if apart > 1e-3 else ''}"
    slope = slope_of(records)
    if slope is not None and not AGREE[0] < slope < AGREE[1]:
        yield (
            f"between structures that are near each other its energies change by {slope:.3g} times what its "
            "forces say (dE = -F dx): are they in eV and eV/Å, of one calculation?"
        )
    gap = two_zeros(records, offsets)
    if gap is not None:
        yield (
            f"its energies lie in two heaps {gap:.1f} eV/atom apart: do they count from two zeros (other "
            "pseudopotentials, another program)? Then give each a source of its own, or leave one out"
        )


def copies(records: Sequence[Record]) -> tuple[int, float]:
    """How many structures are there before, and how far energies of one structure are apart, eV/atom.

    >>> from ase import Atoms
    >>> from sciai.atoms.data.records import from_atoms
    >>> record = from_atoms(Atoms("He"), "x")
    >>> copies([record, record, record.with_labels(-1.0, None, None, "x")])
    (2, 0.0)
    """
    known: dict[str, list[float]] = {}
    for record in records:
        energies = known.setdefault(digest_of(record), [])
        energies.append(float("nan") if record.energy is None else record.energy / len(record))
    ranges = [np.ptp(kept) for e in known.values() if len(kept := [x for x in e if np.isfinite(x)]) > 1]
    return len(records) - len(known), float(max(ranges, default=0.0))


def slope_of(records: Sequence[Record]) -> float | None:
    """Change of the energy over what forces say of it, between neighbours in a file; 1 in one set of units.

    Args:
        records: in the order of their file.

    Returns:
        None where too few are alike, or where the two have nothing to do with each other.
    """
    said, seen = [], []
    for a, b in pairwise(records):
        if a.energy is None or b.energy is None or a.forces is None or b.forces is None:
            continue
        same = a.numbers.shape == b.numbers.shape and np.array_equal(a.numbers, b.numbers)
        if not same or not np.array_equal(a.pbc, b.pbc) or not np.allclose(a.cell, b.cell, atol=1e-6):
            continue
        moved = b.positions - a.positions
        if a.pbc.all():
            fractions = moved @ np.linalg.inv(a.cell)
            moved = (fractions - np.round(fractions)) @ a.cell
        if np.linalg.norm(moved, axis=1).max() < NEAR:
            said.append(-float(((a.forces + b.forces) / 2 * moved).sum()))
            seen.append(b.energy - a.energy)
    x, y = np.array(said), np.array(seen)
    if len(x) < PAIRS or not x.any() or not y.any():
        return None
    slope = float((x * y).sum() / (x * x).sum())
    return slope if abs(np.corrcoef(x, y)[0, 1]) > 0.9 else None


def two_zeros(records: Sequence[Record], offsets: Floats) -> float | None:
    """How far two heaps of energies are apart, eV/atom, once elements are taken off; None of one heap.

    Atoms by themselves, which are far from everything, are left out.

    Args:
        records: any order.
        offsets: energies of the elements, eV, shape (119,).
    """
    known = [r for r in records if r.energy is not None and len(r) > 1]
    rest = np.sort([(r.energy - offsets[r.numbers].sum()) / len(r) for r in known if r.energy is not None])
    if len(rest) < 2 * PAIRS:
        return None
    few = max(3, len(rest) // 20)
    steps = np.diff(rest)[few - 1 : len(rest) - few]
    at = int(np.argmax(steps)) + few
    low, high = rest[:at], rest[at:]
    wide = max(np.ptp(low), np.ptp(high))
    gap = float(high.min() - low.max())
    return float(np.median(high) - np.median(low)) if gap > max(GAP, wide) else None


def charged(path: Path) -> str:
    """What is to be said of structures of an extxyz file that say a charge; records do not hold it.

    Args:
        path: any file; of another kind nothing is said.
    """
    if not re.search(r"\.(ext|e)?xyz(\.gz)?$", path.name):
        return ""
    reading = gzip.open if path.suffix == ".gz" else open
    with reading(path, "rt", encoding="utf-8", errors="replace") as lines:
        told = [_CHARGE.search(line) for line in lines if "Properties=" in line]
    found = [match[1] for match in told if match and float(match[1])]
    if not found:
        return ""
    kinds = ", ".join(sorted(set(found)))
    return (
        f"{len(found)} structures of {path} have a charge ({kinds}): it is not learned, "
        "and their energies and forces count as those of neutral ones; leave them out, or train on them alone"
    )
