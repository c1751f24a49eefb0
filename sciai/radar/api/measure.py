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

from sciai.radar.model.interface import F32, U8

__all__ = ["REFLECTIVITIES", "THRESHOLDS", "Tally", "correlation"]

THRESHOLDS: Final = (20.0, 35.0, 45.0)
"""Reflectivity thresholds in dBZ."""
REFLECTIVITIES: Final = frozenset({"DBZH", "DBZV", "TH", "TV", "DBTH", "DBTV"})


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
        default_factory=lambda: [0.0, 0.0]
    )  # squared steps along the ray, squared deviations
    exact: bool = True

    def add(self, values: F32, decoded: F32, validity: U8, *, reflectivity: bool) -> None:
        """Add one plane; both arrays ``[rays, gates]`` in the variable's unit."""
        valid = validity == 0
        a, b = values[valid], decoded[valid]
        self.gates += validity.size
        self.valid += a.size
        if not a.size:
            return
        error = np.subtract(b, a, dtype=np.float64)
        worst = float(np.abs(error).max())
        # NaN compares false: a decoder that loses a value must not look exact
        self.max_error = max(self.max_error, worst) if not math.isnan(worst) else math.inf
        self.squares += float(error @ error)
        self.exact = self.exact and worst == 0.0
        if reflectivity:
            for threshold in THRESHOLDS:
                before, after = a >= threshold, b >= threshold
                found = self.hits.setdefault(threshold, [0, 0, 0])
                both = int((before & after).sum())
                found[0] += both
                found[1] += int(before.sum()) - both
                found[2] += int(after.sum()) - both
            self.rain[0] += _rain(a)
            self.rain[1] += _rain(b)

    def merge(self, other: Tally) -> None:
        """Add another tally of the same variable."""
        self.gates += other.gates
        self.valid += other.valid
        self.squares += other.squares
        self.max_error = max(self.max_error, other.max_error)
        self.exact = self.exact and other.exact
        for threshold, counts in other.hits.items():
            mine = self.hits.setdefault(threshold, [0, 0, 0])
            for k in range(3):
                mine[k] += counts[k]
        for k in range(2):
            self.rain[k] += other.rain[k]
            self.pairs[k] += other.pairs[k]

    def psnr(self, peak: float) -> float:
        """PSNR in dB over valid gates; infinite where exact or where nothing is valid."""
        if not self.valid or self.squares == 0:
            return math.inf
        if not math.isfinite(self.squares):
            return -math.inf
        return 10 * math.log10(peak * peak * self.valid / self.squares)

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

    def rain_bias(self) -> float | None:
        """Relative bias of the rain rate summed over gates; None without rain."""
        return self.rain[1] / self.rain[0] - 1 if self.rain[0] > 0 else None


def correlation(values: F32, validity: U8) -> tuple[float, float]:
    """Sums for the correlation of neighbours along the ray: mean squared step and twice the variance, each
    weighted.

    White noise gives a ratio of 1 of the first to the second, a smooth field one near 0. Of a large plane
    some rays are enough.
    """
    some = slice(None, None, 1 + values.size // 100_000)
    values, validity = values[some], validity[some]
    both = (validity[:, 1:] == 0) & (validity[:, :-1] == 0)
    count = int(both.sum())
    if count < 16:
        return 0.0, 0.0
    right, left = values[:, 1:][both].astype(np.float64), values[:, :-1][both].astype(np.float64)
    step = right - left
    spread = left - left.mean()
    return float(step @ step), 2 * float(spread @ spread)


def _rain(dbz: F32) -> float:
    heavy = dbz[dbz > 7].astype(np.float64)  # below 7 dBZ: less than 0.1 mm/h
    return float((10 ** (np.minimum(heavy, 53.0) / 16) / 200 ** (1 / 1.6)).sum())
