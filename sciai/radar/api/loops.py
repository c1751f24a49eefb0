# mypy: ignore-errors
"""What is looked at gate by gate while a volume is coded: one pass each, without the interpreter's lock."""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import math

import numpy as np
from numba import njit

_EXPONENT, _FACTOR = math.log(10) / 16, 200 ** (-1 / 1.6)  # (10^(dBZ / 10) / 200)^(1 / 1.6)

__all__ = ["differences", "ends", "strong_off", "strongest", "variation", "worst_of_strong"]


@njit(cache=True, nogil=True)
def differences(values, decoded, flags, thresholds, hits):
    """What a decoded plane differs by.

    Args:
        values: float32 [rays, gates].
        decoded: float32 [rays, gates].
        flags: uint8 [rays, gates], 0 where valid.
        thresholds: float32 [n], ascending; none where the variable is no reflectivity.
        hits: int64 [n, 3], added to: gates at or above each threshold in both, only before, only after.

    Returns:
        Valid gates, sum of squared errors, largest error (infinite where a value was lost), rain rate before
        and after (mm/h, summed; 0 without thresholds), invalid gates that hold a number.
    """
    rays, gates = values.shape
    count, stray = 0, 0
    squares, worst, before, after = 0.0, 0.0, 0.0, 0.0
    lost = False
    for r in range(rays):
        partial = 0.0
        for g in range(gates):
            b = decoded[r, g]
            if flags[r, g] != 0:
                stray += 1 if b == b else 0
                continue
            a = values[r, g]
            count += 1
            e = np.float64(b) - np.float64(a)
            partial += e * e
            worst = max(worst, abs(e))
            lost |= e != e  # NaN, which compares false
        squares += partial
        if thresholds.size:
            for g in range(gates):
                if flags[r, g] != 0:
                    continue
                a, b = values[r, g], decoded[r, g]
                for k in range(thresholds.size):
                    was, now = a >= thresholds[k], b >= thresholds[k]
                    if not (was or now):
                        break
                    hits[k, 0 if was and now else (1 if was else 2)] += 1
                before += _rain(a)
                after += _rain(b)
    return count, squares, np.inf if lost else worst, before, after, stray


@njit(cache=True, nogil=True)
def ends(values, flags, low, high):
    """What lies at the ends of a plane's values.

    Args:
        values: float32 [rays, gates].
        flags: uint8 [rays, gates], 0 where valid, 1 below noise.
        low: the least value that is expected.
        high: the largest.

    Returns:
        Valid gates, gates below noise, valid gates outside of `low` to `high`; the lowest value, how many
        gates have it, the next one above; the highest negated, how many, the next one below negated.
    """
    rays, gates = values.shape
    valid, quiet, beyond = 0, 0, 0
    few = many = np.float32(np.inf)
    few_next = many_next = np.float32(np.inf)
    few_count, many_count = 0, 0
    for r in range(rays):
        for g in range(gates):
            if flags[r, g] != 0:
                quiet += 1 if flags[r, g] == 1 else 0
                continue
            v = values[r, g]
            valid += 1
            beyond += 1 if v < low or v > high else 0
            if v <= few_next:
                if v == few:
                    few_count += 1
                elif v < few:
                    few, few_next, few_count = v, few, 1
                else:
                    few_next = v
            if -v <= many_next:
                if -v == many:
                    many_count += 1
                elif -v < many:
                    many, many_next, many_count = -v, many, 1
                else:
                    many_next = -v
    bottom = np.float64(few), few_count, np.float64(few_next)
    top = np.float64(many), many_count, np.float64(many_next)
    return valid, quiet, beyond, bottom, top


@njit(cache=True, nogil=True)
def strongest(values, flags):
    """The largest valid value of a plane; -inf where there is none."""
    rays, gates = values.shape
    top = np.float32(-np.inf)
    for r in range(rays):
        for g in range(gates):
            if flags[r, g] == 0:
                top = max(top, values[r, g])
    return top


@njit(cache=True, nogil=True)
def strong_off(values, decoded, flags, limit, bound, level):
    """Gates that were not decoded as strong echo has to be.

    Args:
        values: float32 [rays, gates].
        decoded: float32 [rays, gates].
        flags: uint8 [rays, gates], 0 where valid.
        limit: from where on, before or after, echo is strong.
        bound: error that strong echo may have.
        level: which no gate may cross.

    Returns:
        How many (0 where a value was lost), the least decoded one of them, the largest decoded value of all.
    """
    rays, gates = values.shape
    count, least, top = 0, np.inf, np.float32(-np.inf)
    limit32 = np.float32(limit)
    for r in range(rays):
        lost = False
        for g in range(gates):
            b = decoded[r, g] if flags[r, g] == 0 else np.float32(-np.inf)
            top = max(top, b)
            lost |= b != b
        if lost:
            return 0, least, top
        for g in range(gates):
            if not (values[r, g] >= limit32 or decoded[r, g] >= limit32) or flags[r, g] != 0:
                continue
            a, b = np.float64(values[r, g]), np.float64(decoded[r, g])
            if abs(a - b) > bound or (a >= level) != (b >= level):
                count += 1
                least = min(least, b)
    return count, least, top


@njit(cache=True, nogil=True)
def worst_of_strong(values, decoded, flags, limit):
    """The largest error where a value, before or after, is `limit` or more; infinite where it was lost."""
    rays, gates = values.shape
    worst = 0.0
    for r in range(rays):
        for g in range(gates):
            if not (values[r, g] >= limit or decoded[r, g] >= limit) or flags[r, g] != 0:
                continue
            e = abs(np.float64(decoded[r, g]) - np.float64(values[r, g]))
            worst = max(worst, e) if e == e else np.inf
    return worst


@njit(cache=True, nogil=True)
def _rain(dbz):
    """Rain rate in mm/h, Z = 200 R^1.6, up to 53 dBZ; below 7 dBZ (0.1 mm/h) none."""
    if not dbz > np.float32(7):
        return 0.0
    return np.exp(min(np.float64(dbz), 53.0) * _EXPONENT) * _FACTOR


@njit(cache=True, nogil=True)
def variation(values, flags, every):
    """Of every so many rays: pairs of valid neighbours along the ray, the sum of their squared differences,
    and the sum of the squared deviations of the first of each from their mean."""
    rays, gates = values.shape
    count = 0
    total, steps, spread = 0.0, 0.0, 0.0
    for r in range(0, rays, every):
        for g in range(gates - 1):
            if flags[r, g] == 0 and flags[r, g + 1] == 0:
                count += 1
                total += values[r, g]
                step = np.float64(values[r, g + 1]) - np.float64(values[r, g])
                steps += step * step
    mean = total / max(count, 1)
    for r in range(0, rays, every):
        for g in range(gates - 1):
            if flags[r, g] == 0 and flags[r, g + 1] == 0:
                gap = np.float64(values[r, g]) - mean
                spread += gap * gap
    return count, steps, spread
