# mypy: ignore-errors
"""The compiled sums over pairs and over products, with their first and second derivatives.

``density`` is one derivative of a multilinear form: with S = sum over pairs e = (i, j), radial functions k,
channels c and components m of R[e, k] F[k, l, c] phi[j, c] Y[e, m] G[i, m, c], the sum over neighbours is
dS/dG, and what forces and training on forces need are other first and second derivatives of S. Each kernel
makes one pass over the pairs and keeps one pair's numbers in the nearest cache: nothing of size (pairs x
channels) is ever stored.

Shapes: n atoms, e pairs sorted by centre (``ptr[i]:ptr[i + 1]`` are atom i's), K radial functions (a
multiple of four), levels l with 2 l + 1 components each, C channels. Arrays are contiguous, float32 or
float64. Outputs that are summed into (dr, dphi, dv, df) have to be zero on entry.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "carry",
    "carry_back",
    "carry_second",
    "density",
    "density_back",
    "density_second",
    "products",
    "products_back",
    "products_second",
    "scatter",
]

_FAST = {"reassoc", "nsz", "contract", "arcp"}  # sums may be reordered; NaN and infinity keep their meaning


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _filter(r, f, e, w):
    """w[q] = sum_k r[e, k] f[k, q]."""
    for q in range(w.shape[0]):
        w[q] = r[e, 0] * f[0, q] + r[e, 1] * f[1, q] + r[e, 2] * f[2, q] + r[e, 3] * f[3, q]
    for k in range(4, r.shape[1], 4):
        for q in range(w.shape[0]):
            w[q] += (
                r[e, k] * f[k, q]
                + r[e, k + 1] * f[k + 1, q]
                + r[e, k + 2] * f[k + 2, q]
                + r[e, k + 3] * f[k + 3, q]
            )


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _project(w, f, e, dr):
    """dr[e, k] += sum_q w[q] f[k, q]."""
    for k in range(0, dr.shape[1], 4):
        a0 = w[0] * 0
        a1, a2, a3 = a0, a0, a0
        for q in range(w.shape[0]):
            a0 += w[q] * f[k, q]
            a1 += w[q] * f[k + 1, q]
            a2 += w[q] * f[k + 2, q]
            a3 += w[q] * f[k + 3, q]
        dr[e, k] += a0
        dr[e, k + 1] += a1
        dr[e, k + 2] += a2
        dr[e, k + 3] += a3


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _outer(w, r, e, df):
    """df[k, q] += r[e, k] w[q]."""
    for k in range(r.shape[1]):
        rk = r[e, k]
        for q in range(w.shape[0]):
            df[k, q] += rk * w[q]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def density(r, f, phi, y, ptr, nbr, out):
    """out[i, m, c] = sum_e w[e, l(m), c] phi[j(e), c] y[e, m] with w = r f; f is [K, L C]."""
    n, _, channels = out.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    for i in range(n):
        out[i] = 0
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            m = 0
            for lev in range(levels):
                at = lev * channels
                for c in range(channels):
                    w[at + c] *= phi[j, c]
                for _ in range(2 * lev + 1):
                    ym = y[e, m]
                    for c in range(channels):
                        out[i, m, c] += ym * w[at + c]
                    m += 1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def density_back(r, f, phi, y, g, ptr, nbr, weights, dr, df, dphi, dy):
    """Derivatives of sum(out * g) with respect to r, f (if ``weights``), phi and y."""
    n, _, channels = g.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    dw = np.empty(f.shape[1], f.dtype)
    t = np.empty(channels, f.dtype)
    s = np.empty(channels, f.dtype)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            m = 0
            for lev in range(levels):
                at = lev * channels
                for c in range(channels):
                    t[c] = w[at + c] * phi[j, c]
                    s[c] = 0
                for _ in range(2 * lev + 1):
                    ym = y[e, m]
                    acc = ym * 0
                    for c in range(channels):
                        s[c] += ym * g[i, m, c]
                        acc += t[c] * g[i, m, c]
                    dy[e, m] = acc
                    m += 1
                for c in range(channels):
                    dw[at + c] = phi[j, c] * s[c]
                    dphi[j, c] += w[at + c] * s[c]
            _project(dw, f, e, dr)
            if weights:
                _outer(dw, r, e, df)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def density_second(r, f, phi, y, g, hr, hphi, hy, ptr, nbr, dr, df, dphi, dy, dg):
    """Derivatives of sum(dr * hr) + sum(dphi * hphi) + sum(dy * hy) of ``density_back``."""
    n, _, channels = g.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    hw = np.empty(f.shape[1], f.dtype)
    gw = np.empty(f.shape[1], f.dtype)
    dw = np.empty(f.shape[1], f.dtype)
    t = np.empty(channels, f.dtype)
    th = np.empty(channels, f.dtype)
    s = np.empty(channels, f.dtype)
    sh = np.empty(channels, f.dtype)
    for i in range(n):
        dg[i] = 0
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            _filter(hr, f, e, hw)
            m = 0
            for lev in range(levels):
                at = lev * channels
                for c in range(channels):
                    t[c] = w[at + c] * phi[j, c]
                    th[c] = hw[at + c] * phi[j, c] + w[at + c] * hphi[j, c]
                    s[c] = 0
                    sh[c] = 0
                for _ in range(2 * lev + 1):
                    ym = y[e, m]
                    hm = hy[e, m]
                    acc = ym * 0
                    for c in range(channels):
                        gm = g[i, m, c]
                        s[c] += ym * gm
                        sh[c] += hm * gm
                        acc += th[c] * gm
                        dg[i, m, c] += ym * th[c] + hm * t[c]
                    dy[e, m] = acc
                    m += 1
                for c in range(channels):
                    gw[at + c] = phi[j, c] * s[c]
                    dw[at + c] = hphi[j, c] * s[c] + phi[j, c] * sh[c]
                    dphi[j, c] += hw[at + c] * s[c] + w[at + c] * sh[c]
            _project(dw, f, e, dr)
            _outer(dw, r, e, df)
            _outer(gw, hr, e, df)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def carry(r, f, v, ptr, nbr, out):
    """out[i, m, c] += sum_e w[e, l(m), c] v[j(e), m, c] with w = r f, for components m of levels 1, 2, ..."""
    n, _, channels = v.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            m = 0
            for lev in range(levels):
                at = lev * channels
                for _ in range(2 * lev + 3):
                    for c in range(channels):
                        out[i, m, c] += w[at + c] * v[j, m, c]
                    m += 1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def carry_back(r, f, v, g, ptr, nbr, weights, dr, df, dv):
    """Derivatives of sum(out * g) with respect to r, f (if ``weights``) and v."""
    n, _, channels = v.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    dw = np.empty(f.shape[1], f.dtype)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            dw[:] = 0
            m = 0
            for lev in range(levels):
                at = lev * channels
                for _ in range(2 * lev + 3):
                    for c in range(channels):
                        gm = g[i, m, c]
                        dw[at + c] += v[j, m, c] * gm
                        dv[j, m, c] += w[at + c] * gm
                    m += 1
            _project(dw, f, e, dr)
            if weights:
                _outer(dw, r, e, df)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def carry_second(r, f, v, g, hr, hv, ptr, nbr, dr, df, dv, dg):
    """Derivatives of sum(dr * hr) + sum(dv * hv) of ``carry_back``."""
    n, _, channels = v.shape
    levels = f.shape[1] // channels
    w = np.empty(f.shape[1], f.dtype)
    hw = np.empty(f.shape[1], f.dtype)
    gw = np.empty(f.shape[1], f.dtype)
    dw = np.empty(f.shape[1], f.dtype)
    for i in range(n):
        dg[i] = 0
        for e in range(ptr[i], ptr[i + 1]):
            j = nbr[e]
            _filter(r, f, e, w)
            _filter(hr, f, e, hw)
            gw[:] = 0
            dw[:] = 0
            m = 0
            for lev in range(levels):
                at = lev * channels
                for _ in range(2 * lev + 3):
                    for c in range(channels):
                        gm = g[i, m, c]
                        gw[at + c] += v[j, m, c] * gm
                        dw[at + c] += hv[j, m, c] * gm
                        dv[j, m, c] += hw[at + c] * gm
                        dg[i, m, c] += hw[at + c] * v[j, m, c] + w[at + c] * hv[j, m, c]
                    m += 1
            _project(dw, f, e, dr)
            _outer(dw, r, e, df)
            _outer(gw, hr, e, df)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def products(a, b, two, two_f, three, three_f, out):
    """out[i, k, c]: sums of f a[p] b[q], and of f a[p] a[q] b[r]; tables hold (p, q, k) and (p, q, r, k)."""
    n, _, channels = a.shape
    for i in range(n):
        out[i] = 0
        for t in range(len(two)):
            p, q, k = two[t, 0], two[t, 1], two[t, 2]
            f = two_f[t]
            for c in range(channels):
                out[i, k, c] += f * a[i, p, c] * b[i, q, c]
        for t in range(len(three)):
            p, q, r, k = three[t, 0], three[t, 1], three[t, 2], three[t, 3]
            f = three_f[t]
            for c in range(channels):
                out[i, k, c] += f * a[i, p, c] * a[i, q, c] * b[i, r, c]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def products_back(a, b, g, two, two_f, three, three_f, da, db):
    """Derivatives of sum(out * g) with respect to a and b."""
    n, _, channels = a.shape
    for i in range(n):
        da[i] = 0
        db[i] = 0
        for t in range(len(two)):
            p, q, k = two[t, 0], two[t, 1], two[t, 2]
            f = two_f[t]
            for c in range(channels):
                gk = f * g[i, k, c]
                da[i, p, c] += gk * b[i, q, c]
                db[i, q, c] += gk * a[i, p, c]
        for t in range(len(three)):
            p, q, r, k = three[t, 0], three[t, 1], three[t, 2], three[t, 3]
            f = three_f[t]
            for c in range(channels):
                gk = f * g[i, k, c]
                x, y, z = a[i, p, c], a[i, q, c], b[i, r, c]
                if p == q:
                    da[i, p, c] += 2 * gk * x * z
                else:
                    da[i, p, c] += gk * y * z
                    da[i, q, c] += gk * x * z
                db[i, r, c] += gk * x * y


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def products_second(a, b, g, ha, hb, two, two_f, three, three_f, da, db, dg):
    """Derivatives of sum(da * ha) + sum(db * hb) of ``products_back``."""
    n, _, channels = a.shape
    for i in range(n):
        da[i] = 0
        db[i] = 0
        dg[i] = 0
        for t in range(len(two)):
            p, q, k = two[t, 0], two[t, 1], two[t, 2]
            f = two_f[t]
            for c in range(channels):
                x, y, hx, hy = a[i, p, c], b[i, q, c], ha[i, p, c], hb[i, q, c]
                gk = f * g[i, k, c]
                dg[i, k, c] += f * (hx * y + x * hy)
                da[i, p, c] += gk * hy
                db[i, q, c] += gk * hx
        for t in range(len(three)):
            p, q, r, k = three[t, 0], three[t, 1], three[t, 2], three[t, 3]
            f = three_f[t]
            for c in range(channels):
                x, y, z = a[i, p, c], a[i, q, c], b[i, r, c]
                hx, hy, hz = ha[i, p, c], ha[i, q, c], hb[i, r, c]
                gk = f * g[i, k, c]
                dg[i, k, c] += f * (hx * y * z + x * hy * z + x * y * hz)
                if p == q:
                    da[i, p, c] += 2 * gk * (hx * z + x * hz)
                else:
                    da[i, p, c] += gk * (hy * z + y * hz)
                    da[i, q, c] += gk * (hx * z + x * hz)
                db[i, r, c] += gk * (hx * y + x * hy)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def scatter(values, index, out):
    """out[index[e]] += values[e], rows of any length."""
    for e in range(len(index)):
        i = index[e]
        for c in range(values.shape[1]):
            out[i, c] += values[e, c]
