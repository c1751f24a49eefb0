# mypy: ignore-errors
"""Compiled passes over a structure and its answer that say what need not be looked at in detail.

Nearly always nothing is amiss. Each pass errs on one side only: what it lets through, the checks in words
(``structure``, ``estimate``) would let through, too.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["BOX", "FORCE", "NUMBER", "PLACE", "ROOM", "SPREAD", "glance", "look", "mean_length", "weigh"]

PLACE, NUMBER, BOX, ROOM = 1, 2, 4, 8
"""Of a structure: a position, an element, the cell, the memory it takes have to be looked at."""

FORCE, SPREAD = 1, 2
"""Of an answer: energy and forces, their spread have to be looked at."""


@njit(cache=True, nogil=True, error_model="numpy")
def glance(positions, numbers, cell, pbc, clear, low, high, skew):
    """What of a structure has to be looked at, and the volume that its atoms fill, Å^3.

    Args:
        positions: Å, float64 (n, 3); n >= 1.
        numbers: atomic numbers, int64 (n,).
        cell: Å, float64 (3, 3).
        pbc: bool (3,).
        clear: of which atomic number nothing has to be said, bool (119,).
        low: smallest volume per atom of a periodic cell, Å^3.
        high: largest, Å^3.
        skew: largest ratio of the product of a cell's lengths to its volume.
    """
    found = 0
    least, most = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(positions.shape[0]):
        z = numbers[i]
        if z < 0 or z >= len(clear) or not clear[z]:
            found |= NUMBER
        for c in range(3):
            x = positions[i, c]
            if not math.isfinite(x):
                found |= PLACE
            least[c], most[c] = min(least[c], x), max(most[c], x)
    lengths, shortest = 1.0, np.inf
    for a in range(3):
        length = math.sqrt(cell[a, 0] ** 2 + cell[a, 1] ** 2 + cell[a, 2] ** 2)
        lengths, shortest = lengths * length, min(shortest, length)
    volume = abs(
        cell[0, 0] * (cell[1, 1] * cell[2, 2] - cell[1, 2] * cell[2, 1])
        - cell[0, 1] * (cell[1, 0] * cell[2, 2] - cell[1, 2] * cell[2, 0])
        + cell[0, 2] * (cell[1, 0] * cell[2, 1] - cell[1, 1] * cell[2, 0])
    )
    if pbc[0] and pbc[1] and pbc[2]:
        each = volume / positions.shape[0]
        fine = low * (1 + 1e-9) <= each <= high * (1 - 1e-9) and shortest > 1e-8
        fine = fine and lengths < volume * min(skew, 1e5)
    else:
        fine = math.isfinite(lengths) and not (pbc[0] or pbc[1] or pbc[2])
        volume = (most[0] - least[0] + 3.0) * (most[1] - least[1] + 3.0) * (most[2] - least[2] + 3.0)
    return found if fine else found | BOX, volume


@njit(cache=True, nogil=True, error_model="numpy")
def look(positions, numbers, edges, shifts, squares, reach, alone):
    """Whether a pair is below its limit, and how many atoms have no neighbour; ``alone`` says which.

    Args:
        positions: Å, float64 (n, 3).
        numbers: atomic numbers, int64 (n,), each with a row in ``squares``.
        edges: directed pairs, int64 (2, e); may hold pairs beyond the reach, which do not count.
        shifts: of the second atom, Å, float64 (e, 3).
        squares: squared distance of each pair of elements below which they are near, Å^2, (119, 119).
        reach: squared distance up to which two atoms are neighbours, Å^2.
        alone: filled: True where an atom has no neighbour, (n,).
    """
    near, lonely = False, len(alone)
    alone[:] = True
    for e in range(edges.shape[1]):
        i, j = edges[0, e], edges[1, e]
        x = positions[j, 0] - positions[i, 0] + shifts[e, 0]
        y = positions[j, 1] - positions[i, 1] + shifts[e, 1]
        z = positions[j, 2] - positions[i, 2] + shifts[e, 2]
        square = x * x + y * y + z * z
        if square <= reach:
            if alone[i]:
                alone[i] = False
                lonely -= 1
            if square < squares[numbers[i], numbers[j]]:
                near = True
    return near, lonely


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(energy, forces, energy_sd, force_sd, force_large, energy_most, force_most):
    """What of an answer has to be looked at; NaN is never let through.

    Args:
        energy: eV.
        forces: eV/Å, float64 (n, 3).
        energy_sd: standard deviation of the energy, eV per atom.
        force_sd: of force components, eV/Å, float64 (n,).
        force_large: largest force that matter has, eV/Å.
        energy_most: largest useful ``energy_sd``.
        force_most: largest useful ``force_sd``.
    """
    found, square = 0, force_large * force_large * (1 - 1e-9)
    if not math.isfinite(energy):
        found |= FORCE
    if not energy_sd <= energy_most:
        found |= SPREAD
    for i in range(forces.shape[0]):
        if not forces[i, 0] ** 2 + forces[i, 1] ** 2 + forces[i, 2] ** 2 <= square:
            found |= FORCE
    for i in range(force_sd.shape[0]):
        if not force_sd[i] <= force_most:
            found |= SPREAD
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def mean_length(vectors):
    """Mean length of vectors, float64 (n, 3), n >= 1."""
    total = 0.0
    for i in range(vectors.shape[0]):
        total += math.sqrt(vectors[i, 0] ** 2 + vectors[i, 1] ** 2 + vectors[i, 2] ** 2)
    return total / vectors.shape[0]
