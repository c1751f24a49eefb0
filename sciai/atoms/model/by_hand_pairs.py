# mypy: ignore-errors
"""The compiled steps of ``by_hand`` over pairs: their functions, sums over them, and the way back.

Each ``*_back`` is the derivative of what has its name. Shapes: n atoms, e pairs, each listed at one of its
atoms only (``ptr[i]:ptr[i + 1]`` are atom i's), as both ends share all but the sign of odd levels; K radial
functions (a multiple of four), M = (lmax + 1)^2 components of levels l with 2 l + 1 each, C channels. What is
gathered from pairs is [n, M, C]. Geometry is computed in double precision, whatever the network's.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import math

import numpy as np
from numba import njit

from sciai.atoms.model.kernels import _FAST, _filter, _project

__all__ = ["gather", "gather_back", "surroundings", "surroundings_back"]

_ROOT3 = math.sqrt(3.0)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _envelope(x):
    """1 at 0, 0 from 1 on, and its derivative."""
    if x >= 1.0:
        return 0.0, 0.0
    x5 = x**5
    x6 = x5 * x
    value = 1 - 28 * x6 + 48 * x6 * x - 21 * x6 * x * x
    return value, -168 * x5 + 336 * x6 - 168 * x6 * x


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _floored(s, bend):
    """Distances in units of touching, bent to a constant closer than data are; and the derivative."""
    t = (bend - s) / 0.2
    if t <= 0.0:
        return s, 1.0
    if t >= 1.0:
        return bend - 0.1, 0.0
    return s + 0.2 * t**3 * (1 - t / 2), 1 - 3 * t**2 + 2 * t**3


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _first(i, j, x, y, z):
    """Whether a directed pair is the one of the two that stands for both."""
    if i != j:
        return i < j
    return x > 0 or (x == 0 and (y > 0 or (y == 0 and z > 0)))


@njit(cache=True, nogil=True, error_model="numpy")
def _nuclear(r, z1, z2, touch, coulomb, zbl):
    """Each atom's half of a pair's screened nuclear repulsion, eV, and its derivative, eV/Å."""
    per = (z1**0.23 + z2**0.23) / 0.46850
    screening, slope = 0.0, 0.0
    for k in range(zbl.shape[0]):
        part = zbl[k, 0] * math.exp(-zbl[k, 1] * r * per)
        screening += part
        slope -= zbl[k, 1] * per * part
    cut, falls = _envelope(r / touch)
    bare = 0.5 * coulomb * z1 * z2 / r
    value = bare * screening * cut
    return value, bare * (slope * cut + screening * falls / touch) - value / r


@njit(cache=True, nogil=True, error_model="numpy")
def surroundings(
    positions, shifts, edges, numbers, reach, touch, bend, pi, coulomb, zbl,
    vectors, centre, neighbour, ptr, waves, y, repulsion,
):  # fmt: skip
    """Pairs within reach of each other, their radial and angular functions, nuclear repulsion; their number.

    ``edges`` hold each pair both ways, sorted by centre. Outputs have room for all; the first ones are
    filled. ``ptr`` and ``repulsion`` are zero on entry.
    """
    count, top = 0, y.shape[1]
    for e in range(edges.shape[1]):
        i, j = edges[0, e], edges[1, e]
        vx = positions[j, 0] - positions[i, 0] + shifts[e, 0]
        vy = positions[j, 1] - positions[i, 1] + shifts[e, 1]
        vz = positions[j, 2] - positions[i, 2] + shifts[e, 2]
        square = vx * vx + vy * vy + vz * vz
        z1, z2 = numbers[i], numbers[j]
        limit = reach[z1, z2]
        if not square < limit * limit or not _first(i, j, vx, vy, vz):
            continue
        vectors[count, 0], vectors[count, 1], vectors[count, 2] = vx, vy, vz
        centre[count], neighbour[count] = i, j
        ptr[i + 1] += 1
        r, t = math.sqrt(max(square, 1e-12)), touch[z1, z2]
        x = _floored(r / t, bend[z1, z2])[0] * t / limit
        height = _envelope(x)[0] / x
        before, now, twice = 0.0, math.sin(pi * x), 2 * math.cos(pi * x)
        for k in range(waves.shape[1]):
            waves[count, k] = now * height
            before, now = now, twice * now - before
        y[count, 0] = 1
        ux, uy, uz = vx / r, vy / r, vz / r
        if top > 1:
            y[count, 1], y[count, 2], y[count, 3] = ux, uy, uz
        if top > 4:
            y[count, 4] = _ROOT3 * ux * uy
            y[count, 5] = _ROOT3 * uy * uz
            y[count, 6] = uz * uz - 0.5 * (ux * ux + uy * uy)
            y[count, 7] = _ROOT3 * ux * uz
            y[count, 8] = 0.5 * _ROOT3 * (ux * ux - uy * uy)
        if r < t:
            half = _nuclear(r, float(z1), float(z2), t, coulomb, zbl)[0]
            repulsion[i] += half
            repulsion[j] += half
        count += 1
    for i in range(len(ptr) - 1):
        ptr[i + 1] += ptr[i]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def surroundings_back(
    vectors, centre, neighbour, numbers, reach, touch, bend, pi, coulomb, zbl,
    dwaves, dy, batch, forces, virial,
):  # fmt: skip
    """Forces [n, 3], and dE/d(strain) of each structure [g, 3, 3]; both are zero on entry."""
    top = dy.shape[1]
    pull = np.empty(3)
    for e in range(len(centre)):
        i, j = centre[e], neighbour[e]
        z1, z2 = numbers[i], numbers[j]
        vx, vy, vz = vectors[e, 0], vectors[e, 1], vectors[e, 2]
        r, t, limit = math.sqrt(max(vx * vx + vy * vy + vz * vz, 1e-12)), touch[z1, z2], reach[z1, z2]
        seen, slope = _floored(r / t, bend[z1, z2])
        x = seen * t / limit
        value, falls = _envelope(x)
        height, tilt = value / x, (falls * x - value) / (x * x)
        sine, cosine = math.sin(pi * x), math.cos(pi * x)
        s0, s1, c0, c1 = 0.0, sine, 1.0, cosine
        dx = 0.0
        for k in range(dwaves.shape[1]):
            dx += dwaves[e, k] * (tilt * s1 + height * pi * (k + 1) * c1)
            s0, s1 = s1, 2 * cosine * s1 - s0
            c0, c1 = c1, 2 * cosine * c1 - c0
        along = dx * slope / limit
        if r < t:
            along += 2 * _nuclear(r, float(z1), float(z2), t, coulomb, zbl)[1]
        ux, uy, uz = vx / r, vy / r, vz / r
        gx, gy, gz = 0.0, 0.0, 0.0
        if top > 1:
            gx, gy, gz = float(dy[e, 1]), float(dy[e, 2]), float(dy[e, 3])
        if top > 4:
            d4, d5, d7, d8 = _ROOT3 * dy[e, 4], _ROOT3 * dy[e, 5], _ROOT3 * dy[e, 7], _ROOT3 * dy[e, 8]
            gx += d4 * uy - dy[e, 6] * ux + d7 * uz + d8 * ux
            gy += d4 * ux + d5 * uz - dy[e, 6] * uy - d8 * uy
            gz += d5 * uy + 2 * dy[e, 6] * uz + d7 * ux
        radial = gx * ux + gy * uy + gz * uz
        pull[0] = along * ux + (gx - radial * ux) / r
        pull[1] = along * uy + (gy - radial * uy) / r
        pull[2] = along * uz + (gz - radial * uz) / r
        b = batch[i]
        for k in range(3):
            forces[i, k] += pull[k]
            forces[j, k] -= pull[k]
            virial[b, 0, k] += vx * pull[k]
            virial[b, 1, k] += vy * pull[k]
            virial[b, 2, k] += vz * pull[k]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def gather(r, f, phi, y, carried, v, ptr, nbr, out):
    """out[i, m, c] = sum_e w[e, l(m), c] phi[j, c] y[e, m] + u[e, l(m), c] v[j, m - 1, c], and j's of i.

    Here w = r f and u = r carried. ``v`` [n, M' - 1, C] are the tensors handed on, of levels 1 and up;
    none in the first interaction. Seen from the other end, odd levels of y change their sign.
    """
    n, _, channels = out.shape
    levels, handed = f.shape[1] // channels, carried.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    u = np.empty(carried.shape[1], f.dtype)
    t = np.empty(channels, f.dtype)
    s = np.empty(channels, f.dtype)
    out[:] = 0
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            if handed:
                _filter(r, carried, e, u)
            m = 0
            for lev in range(levels):
                at, sign = lev * channels, 1 - 2 * (lev % 2)
                for c in range(channels):
                    t[c] = w[at + c] * phi[j, c]
                    s[c] = sign * w[at + c] * phi[i, c]
                for _ in range(2 * lev + 1):
                    ym = y[e, m]
                    for c in range(channels):
                        out[i, m, c] += ym * t[c]
                    for c in range(channels):
                        out[j, m, c] += ym * s[c]
                    m += 1
            m = 1
            for lev in range(handed):
                at = lev * channels
                for _ in range(2 * lev + 3):
                    for c in range(channels):
                        out[i, m, c] += u[at + c] * v[j, m - 1, c]
                    for c in range(channels):
                        out[j, m, c] += u[at + c] * v[i, m - 1, c]
                    m += 1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def gather_back(r, f, phi, y, carried, v, g, ptr, nbr, dr, dphi, dy, dv):
    """Derivatives of sum(out * g), added to dr, dphi (where it has rows), dy and dv."""
    n, _, channels = g.shape
    levels, handed = f.shape[1] // channels, carried.shape[1] // channels
    senders = len(dphi) > 0
    w = np.empty(f.shape[1], f.dtype)
    dw = np.empty(f.shape[1], f.dtype)
    u = np.empty(carried.shape[1], f.dtype)
    du = np.empty(carried.shape[1], f.dtype)
    t, back = np.empty(channels, f.dtype), np.empty(channels, f.dtype)
    s, there = np.empty(channels, f.dtype), np.empty(channels, f.dtype)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            if handed:
                _filter(r, carried, e, u)
            m = 0
            for lev in range(levels):
                at, sign = lev * channels, 1 - 2 * (lev % 2)
                for c in range(channels):
                    t[c] = w[at + c] * phi[j, c]
                    back[c] = sign * w[at + c] * phi[i, c]
                    s[c], there[c] = 0, 0
                for _ in range(2 * lev + 1):
                    ym = y[e, m]
                    acc = ym * 0
                    for c in range(channels):
                        s[c] += ym * g[i, m, c]
                        there[c] += ym * g[j, m, c]
                        acc += t[c] * g[i, m, c] + back[c] * g[j, m, c]
                    dy[e, m] += acc
                    m += 1
                for c in range(channels):
                    dw[at + c] = phi[j, c] * s[c] + sign * phi[i, c] * there[c]
                if senders:
                    for c in range(channels):
                        dphi[j, c] += w[at + c] * s[c]
                    for c in range(channels):
                        dphi[i, c] += sign * w[at + c] * there[c]
            du[:] = 0
            m = 1
            for lev in range(handed):
                at = lev * channels
                for _ in range(2 * lev + 3):
                    for c in range(channels):
                        gm, other = g[i, m, c], g[j, m, c]
                        du[at + c] += v[j, m - 1, c] * gm + v[i, m - 1, c] * other
                    for c in range(channels):
                        dv[j, m - 1, c] += u[at + c] * g[i, m, c]
                    for c in range(channels):
                        dv[i, m - 1, c] += u[at + c] * g[j, m, c]
                    m += 1
            _project(dw, f, e, dr)
            if handed:
                _project(du, carried, e, dr)
