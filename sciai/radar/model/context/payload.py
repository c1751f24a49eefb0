"""How a plane lies in its payload: the head, and gates that repeat along the ray."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sciai.core.errors import DamagedStore

__all__ = ["REPETITIONS", "every", "expand", "pack_head", "repetition", "unpack_head"]

REPETITIONS: Final = (8, 5, 4, 3, 2)


def pack_head(low: int, high: int, thin: int) -> bytes:
    """Repetition, smallest index and spread as 7-bit groups, the sign of the first in its lowest bit."""
    out = bytearray([thin])
    for number in ((low << 1) ^ (low >> 63), high - low):
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def unpack_head(payload: bytes) -> tuple[int, int, int, int]:
    """Smallest and largest index, repetition, and where the coded bits begin."""
    numbers, at = [], 1
    for _ in range(2):
        number = shift = 0
        while True:
            if at >= len(payload) or shift > 35:
                raise DamagedStore("the payload is cut short")
            number |= (payload[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if payload[at - 1] < 0x80:
                break
        numbers.append(number)
    low = (numbers[0] >> 1) ^ -(numbers[0] & 1)
    return low, low + numbers[1], payload[0], at


@njit(cache=True, nogil=True)
def _repeats(plane: Any, times: int) -> bool:
    rays, gates = plane.shape
    for r in range(rays):
        for first in range(0, gates, times):
            value = plane[r, first]
            for g in range(first + 1, min(first + times, gates)):
                if plane[r, g] != value:
                    return False
    return True


@njit(cache=True, nogil=True)
def _repetition(mask: Any, values: Any) -> int:
    for times in REPETITIONS:
        if mask.shape[1] >= 8 * times and _repeats(values, times) and _repeats(mask, times):
            return times
    return 1


def repetition(mask: NDArray[Any], values: NDArray[Any] | None = None) -> int:
    """How often each gate is repeated along the ray (1 km reflectivity on 250 m gates: 4), or 1."""
    return int(_repetition(mask, mask[:0] if values is None else values))


def every(plane: NDArray[Any], times: int) -> NDArray[Any]:
    """One gate of each run of repeated ones."""
    return np.ascontiguousarray(plane[:, ::times])


def expand(plane: NDArray[Any], times: int, gates: int) -> NDArray[Any]:
    """The inverse of `every`."""
    return plane if times == 1 else np.repeat(plane, times, axis=1)[:, :gates]
