"""What is measured on each decoded plane, and summed over a volume.

PSNR over valid gates with the peak of `sciai.radar.data.names`; critical success index at reflectivity
thresholds (Schaefer 1990, "The critical success index as an indicator of warning skill"); rain-rate bias with
Z = 200 R^1.6 (Marshall and Palmer 1948) up to 53 dBZ, the usual hail cap.

Errors are plain differences, also for circular fields: a codec may not trade a value for one a period away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from sciai.radar.api.loops import differences, strongest, variation, worst_of_strong
from sciai.radar.api.strong import STRONG
from sciai.radar.model.interface import F32, U8

__all__ = ["THRESHOLDS", "Tally", "correlation", "most_of"]

THRESHOLDS: Final = (20.0, 35.0, STRONG)
"""Reflectivity thresholds in dBZ."""
_LEVELS: Final = np.array(THRESHOLDS, np.float32)


@dataclass
class Tally:
    """Sums over planes of one variable.

    Example:
        >>> tally = Tally()
        >>> validity = np.zeros((1, 2), np.uint8)
        >>> tally.add(np.float32([[19.0, 50.0]]), np.float32([[21.0, 50.0]]), validity, reflectivity=True)
        >>> tally.max_error, tally.csi()[20.0], tally.created
        (2.0, 0.5, 1)
    """

    gates: int = 0
    valid: int = 0
    squares: float = 0.0
    max_error: float = 0.0
    hits: dict[float, list[int]] = field(default_factory=dict)  # threshold -> hits, misses, false alarms
    rain: list[float] = field(default_factory=lambda: [0.0, 0.0])
    pairs: list[float] = field(
        default_factory=lambda: [0.0, 0.0, 0.0]
    )  # squared steps along the ray, twice the squared deviations, how many of each
    middle: list[float] = field(
        default_factory=lambda: [0.0, 0.0, 0.0]
    )  # of `most_of`: squared errors, squared deviations, how many
    strong: float | None = None  # largest error of strong echo (`strong`), dB; None where not reflectivity
    exact: bool = True
    stray: int = 0  # invalid gates that were decoded as a number

    def add(self, values: F32, decoded: F32, validity: U8, *, reflectivity: bool) -> None:
        """Add one plane; both arrays ``[rays, gates]`` in the variable's unit."""
        levels = _LEVELS if reflectivity else _LEVELS[:0]
        hits = np.zeros((levels.size, 3), np.int64)
        count, squares, worst, before, after, stray = differences(values, decoded, validity, levels, hits)
        self.gates += validity.size
        self.valid += count
        self.stray += stray
        if not count:
            return
        self.max_error = max(self.max_error, worst)
        self.squares += squares
        self.exact = self.exact and worst == 0.0
        self.middle = [x + y for x, y in zip(self.middle, most_of(values, decoded, validity), strict=True)]
        for threshold, found in zip(THRESHOLDS, hits.tolist(), strict=False):
            known = self.hits.setdefault(threshold, [0, 0, 0])
            self.hits[threshold] = [x + y for x, y in zip(known, found, strict=True)]
        self.rain = [self.rain[0] + before, self.rain[1] + after]
        if reflectivity:
            limit = min(np.float32(STRONG), strongest(values, validity))
            self.strong = max(self.strong or 0.0, worst_of_strong(values, decoded, validity, limit))

    def merge(self, other: Tally) -> None:
        """Add another tally of the same variable."""
        self.gates += other.gates
        self.valid += other.valid
        self.stray += other.stray
        self.squares += other.squares
        self.max_error = max(self.max_error, other.max_error)
        self.exact = self.exact and other.exact
        if other.strong is not None:
            self.strong = max(self.strong or 0.0, other.strong)
        for threshold, counts in other.hits.items():
            mine = self.hits.setdefault(threshold, [0, 0, 0])
            for k in range(3):
                mine[k] += counts[k]
        for k in range(2):
            self.rain[k] += other.rain[k]
        for k in range(3):
            self.pairs[k] += other.pairs[k]
            self.middle[k] += other.middle[k]

    def psnr(self, peak: float) -> float:
        """PSNR in dB over valid gates; infinite where exact or where nothing is valid."""
        if not self.valid or self.squares == 0:
            return math.inf
        if not math.isfinite(self.squares):
            return -math.inf
        return 10 * math.log10(peak * peak * self.valid / self.squares)

    def roughness(self) -> float | None:
        """0 for a smooth field, 1 for white noise along the ray; None where nothing varies."""
        return self.pairs[0] / self.pairs[1] if self.pairs[1] > 0 else None

    def spread(self) -> float | None:
        """Standard deviation within their sweeps of most values (`most_of`); None where nothing varies."""
        return math.sqrt(self.middle[1] / self.middle[2]) if self.middle[1] > 0 else None

    def lost(self) -> float | None:
        """Squared errors of most values over their squared deviations, 1 where all that differs is lost."""
        return self.middle[0] / self.middle[1] if self.middle[1] > 0 else None

    def csi(self) -> dict[float, float | None]:
        """Critical success index at each threshold; None where neither field reaches it."""
        return {t: (h / (h + m + f) if h + m + f else None) for t, (h, m, f) in self.hits.items()}

    @property
    def created(self) -> int:
        """Gates that reach the lowest threshold only after decoding."""
        return self.hits[THRESHOLDS[0]][2] if self.hits else 0

    @property
    def removed(self) -> int:
        """Gates that reach the lowest threshold only before."""
        return self.hits[THRESHOLDS[0]][1] if self.hits else 0

    @property
    def crossed(self) -> int:
        """Gates that reach the highest threshold only before, or only after."""
        return sum(self.hits[THRESHOLDS[-1]][1:]) if self.hits else 0

    def rain_bias(self) -> float | None:
        """Relative bias of the rain rate summed over gates; None without rain."""
        return self.rain[1] / self.rain[0] - 1 if self.rain[0] > 0 else None


def correlation(values: F32, validity: U8) -> tuple[float, float, float]:
    """Of neighbours along the ray: sums of squared steps and of twice the squared deviations, how many.

    White noise gives a ratio of 1 of the first to the second, a smooth field one near 0. Of a large plane
    some rays are enough.
    """
    count, steps, spread = variation(values, validity, 1 + values.size // 100_000)
    return (steps, 2 * spread, count) if count >= 16 else (0.0, 0.0, 0.0)


def most_of(values: F32, decoded: F32, validity: U8) -> tuple[float, float, float]:
    """Of the middle 98 % of a plane's valid values: sums of squared errors and deviations, how many.

    A hundredth at either end is left out, because a few stray gates can have more variance than the weather.
    Of a large plane some rays are enough.
    """
    every = 1 + values.size // 8_000
    valid = validity[::every] == 0
    some = values[::every][valid].astype(np.float64)
    if some.size < 16:
        return 0.0, 0.0, 0.0
    few = some.size // 100
    ordered = np.partition(some, (few, some.size - 1 - few))
    inside = (some >= ordered[few]) & (some <= ordered[some.size - 1 - few])
    some, error = some[inside], (decoded[::every][valid] - some)[inside]
    gap = some - some.mean()
    return float(error @ error), float(gap @ gap), float(some.size)
