# mypy: ignore-errors
"""The compiled steps of ``by_hand`` over atoms: bounds, products, gates, and the way back.

Each ``*_back`` is the derivative of what has its name. Shapes: n atoms, M = (lmax + 1)^2 components of levels
l with 2 l + 1 each, C channels. What was gathered from pairs is [n, M, C]; what is mixed over channels is
[M, n, C], so that a level is one matrix.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

from sciai.atoms.model.kernels import _FAST

__all__ = ["bounded", "bounded_back", "gated", "gated_back", "invariants", "invariants_back"]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def bounded(a, receive, scale, size, out):
    """out[m, i, c] = a[i, m, c] receive[i, c] size[i], size = 1 / sqrt(1 + scale sum(a^2)): never large."""
    n, parts, channels = a.shape
    for i in range(n):
        total = scale * 0
        for m in range(parts):
            for c in range(channels):
                total += a[i, m, c] * a[i, m, c]
        size[i] = 1 / np.sqrt(1 + scale * total)
        for m in range(parts):
            for c in range(channels):
                out[m, i, c] = a[i, m, c] * receive[i, c] * size[i]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def bounded_back(a, receive, scale, size, g, da, dreceive):
    """Derivatives of sum(out * g) with respect to a and receive."""
    n, parts, channels = a.shape
    for i in range(n):
        at = size[i]
        total = scale * 0
        dreceive[i] = 0
        for m in range(parts):
            for c in range(channels):
                both = g[m, i, c] * a[i, m, c]
                dreceive[i, c] += both * at
                total += both * receive[i, c]
        back = -total * at * at * at * scale
        for m in range(parts):
            for c in range(channels):
                da[i, m, c] = g[m, i, c] * receive[i, c] * at + back * a[i, m, c]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def invariants(a, b, two, two_f, three, three_f, out):
    """out[i, k, c]: sums of f a[p] b[q], and of f a[p] a[q] b[r]; tables hold (p, q, k) and (p, q, r, k)."""
    parts, n, channels = a.shape
    la, lb = np.empty((parts, channels), a.dtype), np.empty((parts, channels), a.dtype)
    for i in range(n):
        out[i] = 0
        for m in range(parts):  # one atom's numbers beside each other, in the nearest cache
            for c in range(channels):
                la[m, c] = a[m, i, c]
                lb[m, c] = b[m, i, c]
        for t in range(len(two)):
            p, q, k = two[t, 0], two[t, 1], two[t, 2]
            f = two_f[t]
            for c in range(channels):
                out[i, k, c] += f * la[p, c] * lb[q, c]
        for t in range(len(three)):
            p, q, r, k = three[t, 0], three[t, 1], three[t, 2], three[t, 3]
            f = three_f[t]
            for c in range(channels):
                out[i, k, c] += f * la[p, c] * la[q, c] * lb[r, c]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def invariants_back(a, b, g, two, two_f, three, three_f, da, db):
    """Derivatives of sum(out * g): da, and db added to what is there."""
    parts, n, channels = a.shape
    la, lb = np.empty((parts, channels), a.dtype), np.empty((parts, channels), a.dtype)
    ga, gb = np.empty((parts, channels), a.dtype), np.empty((parts, channels), a.dtype)
    for i in range(n):
        for m in range(parts):
            for c in range(channels):
                la[m, c], lb[m, c] = a[m, i, c], b[m, i, c]
                ga[m, c], gb[m, c] = 0, 0
        for t in range(len(two)):
            p, q, k = two[t, 0], two[t, 1], two[t, 2]
            f = two_f[t]
            for c in range(channels):
                gk = f * g[i, k, c]
                ga[p, c] += gk * lb[q, c]
                gb[q, c] += gk * la[p, c]
        for t in range(len(three)):
            p, q, r, k = three[t, 0], three[t, 1], three[t, 2], three[t, 3]
            f = three_f[t]
            for c in range(channels):
                gk = f * g[i, k, c]
                x, z, w = la[p, c], la[q, c], lb[r, c]
                if p == q:
                    ga[p, c] += 2 * gk * x * w
                else:
                    ga[p, c] += gk * z * w
                    ga[q, c] += gk * x * w
                gb[r, c] += gk * x * z
        for m in range(parts):
            for c in range(channels):
                da[m, i, c] = ga[m, c]
                db[m, i, c] += gb[m, c]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def gated(b, gates, out):
    """out[i, m - 1, c] = b[m, i, c] gates[i, l(m), c]: the tensors handed on, of levels 1 and up."""
    n, _, channels = out.shape
    for i in range(n):
        m = 1
        for lev in range(gates.shape[1] // channels):
            at = lev * channels
            for _ in range(2 * lev + 3):
                for c in range(channels):
                    out[i, m - 1, c] = b[m, i, c] * gates[i, at + c]
                m += 1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def gated_back(b, gates, g, db, dgates):
    """Derivatives of sum(out * g): db, zero where nothing is handed on, and dgates."""
    n, _, channels = g.shape
    db[:] = 0
    for i in range(n):
        m = 1
        for lev in range(gates.shape[1] // channels):
            at = lev * channels
            for c in range(channels):
                dgates[i, at + c] = 0
            for _ in range(2 * lev + 3):
                for c in range(channels):
                    gm = g[i, m - 1, c]
                    db[m, i, c] = gm * gates[i, at + c]
                    dgates[i, at + c] += gm * b[m, i, c]
                m += 1
