"""Functions of distances and of elements alone, which the network is built on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["envelope", "floored", "shells"]


def floored(s: Tensor, bend: Tensor | float = 0.6) -> Tensor:
    """Distances, in units of touching, as the network sees them: they bend, and end 0.2 further in.

    From ``bend`` down to 0.2 below it they bend, with two continuous derivatives, to a constant halfway:
    closer than data ever are, the energy changes by the nuclear repulsion alone.

    >>> floored(torch.tensor([0.1, 0.4, 0.5, 0.6, 2.0])).tolist()
    [0.5, 0.5, 0.51..., 0.6..., 2.0]
    """
    t = ((bend - s) / 0.2).clamp(0.0, 1.0)
    return torch.where(t < 1, s + 0.2 * t**3 * (1 - t / 2), bend - 0.1)


def shells(rows: int) -> NDArray[np.float32]:
    """Where elements stand in the periodic table: period, and outer s, p, d, f electrons, as smooth codes.

    Electrons fill 1s 2s 2p 3s 3p 4s 3d 4p ... (Madelung); exceptions such as Cr and Cu are left to the
    network.

    Args:
        rows: atomic numbers 0 to rows - 1.

    Returns:
        [rows, features], about unit variance per feature.

    >>> table = shells(119)
    >>> alike, other = (float(np.abs(table[17] - table[z]).sum()) for z in (35, 11))
    >>> alike < other
    True
    """
    order = sorted(
        ((n, kind) for n in range(1, 9) for kind in range(min(n, 4))), key=lambda s: (s[0] + s[1], s[0])
    )
    codes = []
    for z in range(rows):
        left, period, outer = z, 0, [0, 0, 0, 0]
        for n, kind in order:
            if not left:
                break
            if kind == 0:
                period, outer = n, [0, 0, 0, 0]
            outer[kind] = min(left, 4 * kind + 2)
            left -= outer[kind]
        places = [
            (period, 8, 1.0),
            (outer[0], 3, 0.7),
            (outer[1], 7, 1.0),
            (outer[2], 11, 1.5),
            (outer[3], 15, 2.0),
        ]
        code = [np.exp(-((np.arange(size) - at) ** 2) / (2 * width**2)) for at, size, width in places]
        codes.append(np.concatenate(code))
    table = np.array(codes)
    return np.asarray((table - table[1:].mean(0)) / (table[1:].std(0) + 0.05), np.float32) / np.float32(
        np.sqrt(table.shape[1])
    )


def envelope(x: Tensor) -> Tensor:
    """1 at x = 0, 0 from x = 1 on, with two continuous derivatives there.

    Gasteiger et al. 2020, "Directional Message Passing for Molecular Graphs", ICLR; exponent 6.

    >>> envelope(torch.tensor([0.0, 1.0, 2.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    x = x.clamp(max=1.0)
    x6 = x**6
    return 1 - 28 * x6 + 48 * x6 * x - 21 * x6 * x * x
