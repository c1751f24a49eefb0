"""The residuals of the transform codec: their quantiser, and the search for its cheapest setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.radar.model.interface import F32, I32, QuantSpec
from sciai.radar.model.transform_tables import class_statistics, fit_rows

__all__ = [
    "FINE",
    "SCALE_CLASSES",
    "STEPS_PER_PEAK",
    "Prediction",
    "Sample",
    "base_indices",
    "circular_error",
    "fit_step",
    "gate_indices",
    "keeps",
    "quantise_plane",
    "settle",
    "wrapped",
]

STEPS_PER_PEAK = 10 ** (35 / 20) / 12**0.5
"""A peak is this many steps of the quantiser that gives 35 dB: the networks' unit."""
FINE = 16
"""A step is this many indices."""
SCALE_CLASSES = 32
_PLAN_GATES = 400_000  # gates that the search looks at


@dataclass(frozen=True)
class Prediction:
    """What the synthesis says of the valid gates, in ray order."""

    mean: NDArray[np.float64]  # in 35 dB steps
    scale: NDArray[np.uint8]


def wrapped(difference: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """A difference of circular values as the nearest way round; as it is where the period is 0.

    Example:
        >>> wrapped(np.array([359.0, -10.0, 190.0]), 360.0).tolist()
        [-1.0, -10.0, -170.0]
    """
    return difference - period * np.rint(difference / period) if period else difference


@dataclass(frozen=True)
class Sample:
    """Valid gates of a variable: values above the origin, predictions, scale classes, period (0: none)."""

    values: NDArray[np.float64]
    means: NDArray[np.float64]
    scales: NDArray[np.uint8]
    period: float = 0.0

    @property
    def some(self) -> slice:
        """The part that a search looks at."""
        return slice(None, None, 1 + self.values.size // _PLAN_GATES)

    @property
    def skipped(self) -> bool:
        """Whether that part is not the whole."""
        return self.values.size > _PLAN_GATES

    def measure(self, step: float, rounding: float, part: slice) -> tuple[float, NDArray[np.float64], int]:
        """Mean squared error, magnitudes of the residuals, and the shift that suits them."""
        fine = step / FINE
        size = np.abs(wrapped(self.values[part] - np.rint(self.means[part] / fine) * fine, self.period))
        magnitude = np.floor(size / step + rounding)
        hit = magnitude > 0
        over = float((size[hit] / step - magnitude[hit]).mean()) if hit.any() else 0.0
        shift = int(np.clip(np.rint(-over * FINE), 0, FINE // 2))
        back = np.where(hit, magnitude - shift / FINE, 0.0) * step
        return float(np.mean((size - back) ** 2)), magnitude, shift


def base_indices(prediction: Prediction, spec: QuantSpec, peak: float) -> NDArray[np.int64]:
    """The prediction in indices. Element-wise float64: the same everywhere."""
    return np.rint(prediction.mean * (peak / STEPS_PER_PEAK) / spec.step).astype(np.int64)


def gate_indices(base: NDArray[np.int64], residual: NDArray[Any], spec: QuantSpec) -> I32:
    """Indices of the valid gates as the store knows them; circular ones within the source's range."""
    wide = base + FINE * residual.astype(np.int64) - np.sign(residual) * int(spec.extra["shift"])
    if spec.period:
        low = int(spec.extra["low"])
        wide = low + (wide - low) % spec.period
    return wide.astype(np.int32)


def quantise_plane(
    values: F32, prediction: Prediction, spec: QuantSpec, peak: float
) -> tuple[NDArray[np.int64], I32]:
    """Base indices and residuals of the valid gates; gates beyond the bound are rounded to the nearest."""
    base = base_indices(prediction, spec, peak)
    wide = values.astype(np.float64) - spec.origin
    return base, _residuals(wide, base, spec)


def _residuals(wide: NDArray[np.float64], base: NDArray[np.int64], spec: QuantSpec) -> I32:
    """Residuals of values above the origin."""
    error = wrapped(wide - base * spec.step, spec.period * spec.step)
    scaled = error / (FINE * spec.step)
    residual = (np.sign(scaled) * np.floor(np.abs(scaled) + float(spec.extra["round"]))).astype(np.int64)
    if np.isfinite(spec.bound):
        off = np.abs(wide - gate_indices(base, residual, spec) * spec.step) > spec.bound * (1 - 1e-6)
        residual[off] = np.rint(scaled[off]).astype(np.int64)
    if spec.period:
        _keep_sides(wide, base, residual, spec)
    return residual.astype(np.int32)


def circular_error(sample: Sample, spec: QuantSpec) -> float:
    """Mean squared error of a circular variable as it will be decoded, folds included."""
    base = np.rint(sample.means / spec.step).astype(np.int64)
    error = sample.values - gate_indices(base, _residuals(sample.values, base, spec), spec) * spec.step
    return float(np.mean(error * error))


def _keep_sides(
    wide: NDArray[np.float64], base: NDArray[np.int64], residual: NDArray[np.int64], spec: QuantSpec
) -> None:
    """Where rounding would carry a gate across the fold (359.9 becomes 0.3), take the residual beside it."""
    turn = spec.period * spec.step
    off = np.flatnonzero(np.abs(wide - gate_indices(base, residual, spec) * spec.step) > turn / 2)
    if off.size:
        tried = np.stack([residual[off] + change for change in (-1, 0, 1)])
        errors = [np.abs(wide[off] - gate_indices(base[off], t, spec) * spec.step) for t in tried]
        residual[off] = np.take_along_axis(tried, np.argmin(errors, 0)[None], 0)[0]


def keeps(values: F32, base: NDArray[np.int64], residual: I32, spec: QuantSpec) -> bool:
    """Whether the mean squared error of a plane stays within what was planned for the volume."""
    if "mse" not in spec.extra:
        return True
    error = values.astype(np.float64) - spec.origin - gate_indices(base, residual, spec) * spec.step
    return float(np.mean(error * error)) <= float(spec.extra["mse"])


def fit_step(
    sample: Sample, rounding: float, allowed: float, cap: float, default: I32
) -> tuple[float, float, float, int]:
    """Largest step whose mean squared error is allowed, by bisection: (bits, step, rounding, shift)."""
    part = sample.some
    # the error of a nearly perfect prediction stays small at any step; sixteen times the usual one is enough
    high = float(np.sqrt(12.0 * allowed)) * 16.0
    low = float(np.sqrt(12.0 * allowed)) / 16.0
    if sample.measure(high, rounding, part)[0] <= allowed:
        low = high
    while high / low > 1.002:
        middle = float(np.sqrt(high * low))
        fits = sample.measure(middle, rounding, part)[0] <= allowed
        low, high = (middle, high) if fits else (low, middle)
    shift_allowed = low <= cap
    if not shift_allowed:
        # capped by the bound: no dead zone, no shift, so that half a step is the largest error
        low, rounding = cap, 0.5
    _, magnitude, shift = sample.measure(low, rounding, part)
    bits = fit_rows(class_statistics(magnitude, sample.scales[part], SCALE_CLASSES), default)[1]
    return bits * sample.values.size / magnitude.size, low, rounding, shift if shift_allowed else 0


def settle(
    sample: Sample, step: float, rounding: float, shift: int, allowed: float, cap: float
) -> tuple[float, int]:
    """Step and shift that hold on all gates, where the search looked at some of them only."""
    while sample.skipped and step < cap:
        error, _, shift = sample.measure(step, rounding, slice(None))
        if error <= allowed:
            break
        step *= 0.995  # the part that was looked at was luckier than the whole
    return step, shift
