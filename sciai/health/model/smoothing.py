"""Counts of a histogram, smoothed as far as they do not contradict it.

A histogram keeps a little of everybody who was counted: each cell is fuller for those in it. Where a smooth
curve explains the counts as well, it says as much of the next person and less of these.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded

__all__ = ["smooth"]

Floats = npt.NDArray[np.float64]

_STIFF = 10.0 ** np.arange(-1, 8)  # stiffnesses that are tried
_ROUNDS = 4  # of setting cells free
_STEPS, _CLOSE = 30, 1e-6  # of Newton's method


def smooth(counts: Floats, widths: Floats) -> Floats:
    """Expected counts under the smoothest density that the counts do not contradict.

    The logarithm of the density gets a penalty on its second differences from cell to cell (P-splines of
    degree 0: Eilers & Marx 1996, "Flexible smoothing with B-splines and penalties", Statistical Science
    11(2)), as stiff as the information criterion of Schwarz (1978, Annals of Statistics 6(2)) has it. A cell
    that stands out by more than the criterion charges for a parameter (a detection limit, a round number)
    keeps its own count.

    Args:
        counts: people in each cell, shape (m,), >= 0.
        widths: of the cells, shape (m,), > 0.

    Returns:
        Shape (m,), with the same sum.

    >>> flat = smooth(np.array([90.0, 110, 95, 105, 100, 102, 98, 100]), np.ones(8))
    >>> bool(np.ptp(flat) < 3)
    True
    """
    counts, widths = np.asarray(counts, float), np.asarray(widths, float)
    total = counts.sum()
    if len(counts) < 5 or total <= 0:
        return counts.copy()
    price = np.log(total)
    free = np.zeros(len(counts), bool)
    fitted = counts
    for _ in range(_ROUNDS):
        fitted, worth = _best(counts, widths, free, price)
        if worth <= 0:  # nothing gained over every cell for itself
            return counts.copy()
        apart = (counts - fitted) ** 2 / np.maximum(fitted, 1e-9) > price
        if not (apart & ~free).any():
            break
        free |= apart
        if (~free).sum() < 5:
            return counts.copy()
    fitted = np.where(free, counts, fitted)
    return np.asarray(fitted * (total / fitted.sum()))


def _best(counts: Floats, widths: Floats, free: npt.NDArray[np.bool_], price: float) -> tuple[Floats, float]:
    """Expected counts at the best stiffness, and by how much the criterion beats cells by themselves."""
    weight = (~free).astype(float)
    start = np.log((counts + 0.5) / widths)
    best, least = counts, price * float(weight.sum())
    plain = least
    eta = start
    for stiff in _STIFF:
        eta = _fit(counts, widths, weight, stiff, eta)
        mu = widths * np.exp(eta)
        used = float(np.trace(np.linalg.inv(_dense(weight * mu, stiff)) * (weight * mu)))
        told = np.where(counts > 0, counts * np.log(np.maximum(counts, 1e-9) / mu), 0.0) - (counts - mu)
        cost = 2 * float((weight * told).sum()) + price * used
        if cost < least:
            best, least = mu, cost
    return best, plain - least


def _fit(counts: Floats, widths: Floats, weight: Floats, stiff: float, eta: Floats) -> Floats:
    """Log density with the least penalised deviance."""
    for _ in range(_STEPS):
        mu = widths * np.exp(np.clip(eta, -50, 50))
        bands = stiff * _penalty(len(eta))
        bands[-1] += weight * mu + 1e-9
        goal = weight * mu * eta + weight * (counts - mu)
        step = np.clip(solveh_banded(bands, goal) - eta, -2, 2)
        eta = eta + step
        if np.abs(step).max() < _CLOSE:
            break
    return eta


def _penalty(m: int) -> Floats:
    """Second differences squared, as the upper bands of a symmetric matrix, shape (3, m)."""
    bands = np.zeros((3, m))
    for offset, value in enumerate(((1.0, 4.0, 1.0), (-2.0, -2.0), (1.0,))):
        for place, v in enumerate(value):
            # the row of differences that starts at k touches k, k + 1, k + 2
            at = np.arange(m - 2) + place + offset
            np.add.at(bands[2 - offset], at, v)
    return bands


def _dense(diagonal: Floats, stiff: float) -> Floats:
    bands = stiff * _penalty(len(diagonal))
    full = np.diag(bands[2] + diagonal + 1e-9)
    for offset in (1, 2):
        own = np.diag(bands[2 - offset][offset:], offset)
        full += own + own.T
    return full
