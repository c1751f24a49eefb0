"""Energies of the elements, source by source: what training takes off before it learns the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sciai.atoms.data.records import Record
from sciai.atoms.model.network import ELEMENTS

__all__ = ["GPA", "fit_offsets", "fit_zero"]

GPA = 1 / 160.21766208
"""eV/Å^3."""


def fit_offsets(
    records: Sequence[Record],
    sources: Mapping[str, int],
    own: float = 30.0,
    calm: float = 20.0,
    same_zero: Sequence[Sequence[str]] = (),
) -> NDArray[np.float64]:
    """Each source's energy per element: least squares on energies per atom, drawn to its level's own.

    Frames of one chemical system count as one together, and crystals far from zero pressure hardly at
    all: the energy of compression belongs to the structure, not to its elements.

    Args:
        records: training structures.
        sources: source -> level of theory.
        own: how strongly a source is drawn to its level, in units of chemical systems per element.
        calm: largest |pressure|, GPa, of structures that count.
        same_zero: sources whose energies count from one zero (the same calculation, or a model that learned
            it): they get one row together. With rows of their own the same structure would have two targets,
            apart by what their structures happen to have in common.

    Returns:
        eV, [sources, 119]. Where a source never saw an element: its level's.

    >>> from types import SimpleNamespace as Of
    >>> seen = [
    ...     Of(numbers=np.full(n, z), energy=e * n, source="a", stress=None, group=str(k))
    ...     for z, n, e in ((1, 2, -3), (8, 1, -5)) for k in range(50)
    ... ]
    >>> fit_offsets(seen, {"a": 0})[0, [1, 8]].round(2).tolist()
    [-3.0, -5.0]
    >>> fit_offsets(seen, {"b": 0, "a": 0}, same_zero=[["a", "b"]])[0, [1, 8]].round(2).tolist()
    [-3.0, -5.0]
    """
    rows: dict[str, list[_Row]] = {name: [] for name in sources}
    frames = Counter((record.source, record.group) for record in records)
    for record in records:
        if record.energy is None or not np.isfinite(record.energy) or record.source not in rows:
            continue
        pressure = 0.0 if record.stress is None else float(np.trace(record.stress)) / 3 / GPA
        weight = 1 / frames[record.source, record.group] * (1.0 if abs(pressure) < calm else 0.01)
        share = np.bincount(record.numbers, minlength=ELEMENTS) / len(record.numbers)
        rows[record.source].append((share, float(record.energy) / len(record.numbers), weight))
    result = np.zeros((len(sources), ELEMENTS))
    for level in sorted(set(sources.values())):
        names = [name for name, of in sources.items() if of == level]
        pooled = [row for name in names for row in rows[name]]
        mean = float(np.mean([row[1] for row in pooled])) if pooled else 0.0
        # labels that are far off must not move the elements' energies; but where all electrons count,
        # elements differ by 10^4 eV and a rare one is no outlier
        totals = abs(mean) > 30
        common = _solve(pooled, np.full(ELEMENTS, mean), 1e-7 if totals else 0.02, not totals)
        for name in names:
            drawn = 1e-7 if totals else own
            kin = next((group for group in same_zero if name in group), [name])
            together = [row for other in names if other in kin for row in rows[other]]
            result[list(sources).index(name)] = _solve(together, common, drawn, not totals)
    return result


def fit_zero(
    numbers: Sequence[NDArray[np.int_]],
    errors: NDArray[np.float64],
    groups: Sequence[str],
    held: NDArray[np.bool_],
    pull: float = 8.0,
) -> NDArray[np.float64]:
    """What to take off the elements' energies so that a trained network has no bias at one source.

    Training pools the zero of several sources, and a network fits what it learned from better than what it
    is asked: labels at rest lie below its answers. Elements are fitted to structures that were learned from,
    where there are many; the shift that all elements share is the median of those that were not.

    Args:
        numbers: elements of each structure.
        errors: answer - label, eV/atom [n].
        groups: chemical system of each; frames of one count as one together.
        held: which ones were not learned from [n].
        pull: how strongly elements are drawn to no change, in chemical systems: how far a structure is off
            (30 meV/atom) over how far its elements are (10), squared.

    Returns:
        eV, [119]; zero where nothing is known.

    >>> three = [np.array([3, 3]), np.array([8]), np.array([3, 8])] * 99
    >>> each = [str(k) for k in range(297)]
    >>> zero = fit_zero(three, np.array([0.1, 0.0, 0.05] * 99), each, np.arange(297) > 197)
    >>> zero[[3, 8, 9]].round(1).tolist()
    [0.1, 0.0, 0.0]
    """
    result = np.zeros(ELEMENTS)
    frames = Counter(groups)
    shares = np.array([np.bincount(z, minlength=ELEMENTS) / len(z) for z in numbers]).reshape(-1, ELEMENTS)
    learned = np.flatnonzero(~held)
    if len(learned):
        rows = [(shares[k], float(errors[k]), 1 / frames[groups[int(k)]]) for k in learned]
        result = _solve(rows, result, pull, True)
    if held.sum() >= 20:
        result[shares.any(0)] += float(np.median(errors[held] - shares[held] @ result))
    return result


_Row = tuple[NDArray[np.float64], float, float]
"""Share of each element, eV/atom, weight."""


def _solve(data: list[_Row], prior: NDArray[np.float64], pull: float, robust: bool) -> NDArray[np.float64]:
    """Energies of the elements, drawn to a prior; with several rounds, outliers count less."""
    if not data:
        return prior
    x, y, w = (np.array(column) for column in zip(*data, strict=True))
    out, weights = prior, w
    for _ in range(4 if robust else 1):
        normal = x.T @ (weights[:, None] * x) + pull * np.eye(ELEMENTS)
        out = np.linalg.solve(normal, x.T @ (weights * y) + pull * prior)
        off = np.abs(y - x @ out)
        weights = w / np.maximum(1.0, off / max(3 * np.median(off), 1e-3))
    return np.asarray(out)
