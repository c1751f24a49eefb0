"""What a codec looks at: families of variables, the order of coding, twins, the masks that say most."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sciai.radar.data.names import family
from sciai.radar.model.interface import I32, U8, QuantSpec, SweepContext
from sciai.radar.model.quantise import LARGEST_INDEX

__all__ = [
    "CLASSES",
    "NONE8",
    "NONE32",
    "best_references",
    "class_of",
    "mask_of",
    "order_of",
    "plane_of",
    "twin_of",
]

NONE8: Final = np.zeros((0, 0), np.uint8)
"""A mask that is not there."""
NONE32: Final = np.zeros((0, 0), np.int32)
"""Indices that are not there."""

CLASSES: Final = ("other", "DBZH", "ZDR", "RHOHV", "PHIDP", "KDP", "VRADH", "WRADH")
"""Families of variables that have weights of their own; unknown names are ``other``."""
_FIRST: Final = ("DBZH", "TH", "DBZV", "TV")


@cache
def class_of(var: str) -> int:
    """Number of a variable's family in `CLASSES`.

    Example:
        >>> CLASSES[class_of("UPHIDP")], CLASSES[class_of("SOMETHING")]
        ('PHIDP', 'other')
    """
    name = family(var)
    if name.startswith(("SNR", "reflectivity")):
        return 1
    return CLASSES.index(name) if name in CLASSES else 0


def order_of(variables: Sequence[str]) -> list[str]:
    """Variables in the order in which they are coded: reflectivity first."""

    def rank(var: str) -> tuple[int, int, str]:
        first = _FIRST.index(var) if var in _FIRST else len(_FIRST)
        return first, class_of(var) or len(CLASSES), var

    return sorted(variables, key=rank)


def twin_of(var: str, variables: Sequence[str]) -> str | None:
    """The variable coded before `var` that measures the same quantity, or None.

    Example:
        >>> twin_of("TH", ["VRADH", "TH", "DBZH"]), twin_of("ZDR", ["ZDR", "DBZH"])
        ('DBZH', None)
    """
    kind = class_of(var)
    for other in order_of(variables):
        if other == var:
            return None
        if kind and class_of(other) == kind:
            return other
    return None


def best_references(mask: U8, known: Sequence[U8]) -> list[int]:
    """Positions of up to two masks that, together, say most about this one (least conditional entropy)."""
    every = max(1, mask.shape[0] // 120)
    chosen: list[int] = []
    joint: list[U8] = []
    best = _entropy(mask, joint, every)
    for _ in range(2):
        found = -1
        for at, other in enumerate(known):
            if at in chosen or other.shape != mask.shape:
                continue
            left = _entropy(mask, [*joint, other], every)
            if left < best - 1e-4:
                best, found = left, at
        if found < 0:
            break
        chosen.append(found)
        joint.append(known[found])
    return chosen


def _entropy(mask: U8, given: Sequence[U8], every: int) -> float:
    """Entropy of the mask given up to two others, of some of the rays, in bits per gate."""
    first, second = [*given, NONE8, NONE8][:2]
    counts = _counts(mask, first, second, every).reshape(-1, 3)
    total = counts.sum(1, keepdims=True)
    part = np.where(counts > 0, counts * np.log2(np.maximum(total, 1) / np.maximum(counts, 1)), 0.0)
    return float(part.sum() / max(total.sum(), 1.0))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _counts(mask: U8, first: U8, second: U8, every: int) -> NDArray[np.float64]:
    """How often each combination of classes occurs: of the mask in the lowest ternary digit."""
    rays, gates = mask.shape
    counts = np.zeros(27, np.float64)
    none = np.zeros(gates, np.uint8)
    last, run = 0, 0  # equal gates lie together: counting runs is faster
    for r in range(0, rays, every):
        own = mask[r]
        a = first[r] if first.size else none
        b = second[r] if second.size else none
        for g in range(gates):
            k = min(own[g] + 3 * a[g] + 9 * b[g], 26)
            if k != last:
                counts[last] += run
                last, run = k, 0
            run += 1
    counts[last] += run
    return counts


def mask_of(ctx: SweepContext, var: str, shape: tuple[int, int]) -> U8:
    """The mask of a variable; empty where there is none of this shape."""
    try:
        plane = ctx.mask(var)
    except KeyError:
        return NONE8
    return np.ascontiguousarray(plane, np.uint8) if plane.shape == shape else NONE8


def plane_of(ctx: SweepContext, var: str, spec: QuantSpec, shape: tuple[int, int]) -> tuple[I32, U8]:
    """Indices of another plane, in the steps of this one, and its mask."""
    mask = mask_of(ctx, var, shape)
    if not mask.size:
        return NONE32, NONE8
    try:
        indices, other = ctx.indices(var), ctx.spec(var)
    except KeyError:
        return NONE32, NONE8
    if other.step <= 0 or spec.step <= 0:
        return NONE32, NONE8
    if other.step == spec.step and other.origin == spec.origin:
        return np.ascontiguousarray(indices, np.int32), mask
    # float64 multiply, add and floor are the same everywhere (IEEE 754)
    moved = np.floor((indices * other.step + (other.origin - spec.origin)) / spec.step + 0.5)
    return np.clip(moved, -LARGEST_INDEX, LARGEST_INDEX).astype(np.int32), mask
