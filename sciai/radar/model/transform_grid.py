"""The numbers that the networks of the transform codec compute with, and the blocks they see a plane in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACT", "ACT_MAX", "LATENT", "LATENT_MAX", "SCALES", "WEIGHT", "padded", "prior_index"]

ACT: Final = 16.0  # activations are multiples of 1/16
ACT_MAX: Final = 255.0 / ACT
WEIGHT: Final = 512.0  # weights are multiples of 1/512
LATENT: Final = 8.0  # an integer latent enters the synthesis as y / 8, so that |y| <= 127 stays below ACT_MAX
LATENT_MAX: Final = 127
SCALES: Final = 32  # classes of residual scale, a quarter octave apart


def padded(plane: NDArray[Any]) -> NDArray[Any]:
    """Sides to multiples of 8 (16 at least): rays go on from the first one, gates end in nothing.

    Example:
        >>> padded(np.ones((18, 5))).shape
        (24, 16)
    """
    rays, gates = plane.shape
    more = -rays % 8 if rays > 8 else 16 - rays
    plane = np.concatenate((plane, plane[np.arange(more) % rays]), 0) if more else plane
    return np.pad(plane, ((0, 0), (0, -gates % 8 if gates > 8 else 16 - gates)))


def prior_index(valid: NDArray[np.bool_], kind: int) -> NDArray[np.int64]:
    """Prior of each block of 8 x 8 gates of a plane, -1 where it has no valid gate, ``[blocks, blocks]``."""
    plane = padded(valid)
    rays, gates = plane.shape
    share = plane.reshape(rays // 8, 8, gates // 8, 8).sum((1, 3))
    return np.where(share > 0, 2 * kind + (share > 32), -1)
