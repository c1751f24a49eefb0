"""Angular functions up to level 3, and the tensors that couple them to invariants."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["LMAX", "harmonics", "invariant"]

LMAX = 3


def harmonics(u: Tensor, lmax: int) -> Tensor:
    """Real spherical harmonics of unit vectors, level by level, scaled so that each level has norm one.

    Args:
        u: unit vectors [e, 3].
        lmax: highest level, 0 to 3.

    Returns:
        [e, (lmax + 1)^2]; level 1 is (x, y, z).

    >>> y = harmonics(torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64), 3)
    >>> [round(float(part.square().sum()), 6) for part in y.split([1, 3, 5, 7], dim=1)]
    [1.0, 1.0, 1.0, 1.0]
    """
    parts = [torch.ones_like(u[:, :1])]
    power = u
    for level in range(1, lmax + 1):
        if level > 1:
            power = (power[:, :, None] * u[:, None, :]).reshape(len(u), 3**level)
        matrix = torch.as_tensor(_matrix(level), dtype=u.dtype, device=u.device)
        parts.append(power if level == 1 else power @ matrix)
    return torch.cat(parts, 1)


@functools.lru_cache
def _matrix(level: int) -> NDArray[np.float64]:
    """[3^l, 2 l + 1]: harmonics of a level as polynomials in x, y, z (products x_a x_b ... flattened)."""
    if level == 1:
        return np.eye(3)
    terms: list[tuple[float, dict[str, float]]]
    s3, s6, s10, s15 = (float(np.sqrt(k)) for k in (3, 6, 10, 15))
    if level == 2:
        terms = [
            (s3, {"xy": 1}),
            (s3, {"yz": 1}),
            (0.5, {"zz": 2, "xx": -1, "yy": -1}),
            (s3, {"xz": 1}),
            (s3 / 2, {"xx": 1, "yy": -1}),
        ]
    else:
        terms = [
            (s10 / 4, {"xxy": 3, "yyy": -1}),
            (s15, {"xyz": 1}),
            (s6 / 4, {"yzz": 4, "xxy": -1, "yyy": -1}),
            (0.5, {"zzz": 2, "xxz": -3, "yyz": -3}),
            (s6 / 4, {"xzz": 4, "xxx": -1, "xyy": -1}),
            (s15 / 2, {"xxz": 1, "yyz": -1}),
            (s10 / 4, {"xxx": 1, "xyy": -3}),
        ]
    matrix = np.zeros((3**level, len(terms)))
    for column, (factor, monomials) in enumerate(terms):
        for name, value in monomials.items():
            row = functools.reduce(lambda at, axis: 3 * at + "xyz".index(axis), name, 0)
            matrix[row, column] += factor * value
    return matrix


@functools.lru_cache
def invariant(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    """T with sum T[p, q, r] a[p] b[q] c[r] unchanged when a, b, c of levels l1, l2, l3 are rotated.

    It is the integral of three harmonics over the sphere (Gaunt), scaled to norm^2 = (2 l1 + 1)(2 l2 + 1)(2
    l3 + 1).

    Args:
        l1: level, 0 to 3.
        l2: level, 0 to 3.
        l3: level, 0 to 3; l1 + l2 + l3 has to be even, and each no larger than the sum of the other two.

    >>> invariant(1, 1, 2).shape
    (3, 3, 5)
    """
    if (l1 + l2 + l3) % 2 or 2 * max(l1, l2, l3) > l1 + l2 + l3:
        raise ValueError(f"levels {l1}, {l2}, {l3} have no such invariant")
    z, wz = np.polynomial.legendre.leggauss(
        8
    )  # exact to degree 15 in z, and 16 points to degree 15 in the angle
    angle = 2 * np.pi * np.arange(16) / 16
    zz, aa = (grid.ravel() for grid in np.meshgrid(z, angle, indexing="ij"))
    rho = np.sqrt(1 - zz**2)
    u = torch.as_tensor(np.stack([rho * np.cos(aa), rho * np.sin(aa), zz], 1))
    y = harmonics(u, LMAX).numpy()
    parts = [y[:, level**2 : (level + 1) ** 2] for level in (l1, l2, l3)]
    tensor = np.einsum("n,np,nq,nr->pqr", np.repeat(wz, 16), *parts)
    tensor[np.abs(tensor) < 1e-12] = 0
    scale = np.sqrt((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1)) / np.linalg.norm(tensor)
    return np.asarray(tensor * scale)
