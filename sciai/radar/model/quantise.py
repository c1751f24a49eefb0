"""Values to indices and back, in one place, so that every codec and the store mean the same by a `QuantSpec`.

Arithmetic is float64 and the result is rounded once to float32 (``spec.extra["arithmetic"] == "f32"`` keeps
to float32 throughout: that is how xarray unpacks 8- and 16-bit integers, and lossless coding has to give the
very same bits). Where ``spec.extra["values"]`` lists values, an index is a position in that list: few values
with gaps between them, as categories have, are coded without the gaps. Indices never wrap: a circular
variable keeps the representative that the source holds, so that plain differences are bounded too;
`QuantSpec.period` tells predictors how many indices make one turn.

Examples:
    >>> import numpy as np
    >>> spec = QuantSpec(step=0.5, origin=-32.0)
    >>> values, validity = np.float32([[1.1, np.nan]]), np.uint8([[0, 2]])
    >>> quantise(values, validity, spec).tolist()
    [[66, 0]]
    >>> dequantise(quantise(values, validity, spec), validity, spec).tolist()
    [[1.0, nan]]
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sciai.radar.model.interface import F32, I32, U8, QuantSpec

__all__ = ["LARGEST_INDEX", "dequantise", "exact_grid", "quantise", "step_for_error", "step_for_psnr"]

LISTED = 32
"""Most values of a list."""
LARGEST_INDEX = 2**30
"""Indices stay below this in magnitude: differences of two then fit int32."""


def quantise(values: F32, validity: U8, spec: QuantSpec) -> I32:
    """Nearest index of each valid gate, 0 where invalid; float bits in sortable order where the step is 0.

    Args:
        values: ``[rays, gates]``, in the variable's unit.
        validity: 0 where valid.
        spec: The quantiser.

    Raises:
        OverflowError: where an index would not fit, or a value is not in the list.
    """
    valid = validity == 0
    if "values" in spec.extra:
        return _positions(values, valid, spec)
    if spec.step == 0:
        return np.where(valid, _sortable(values), np.int32(0)).astype(np.int32, copy=False)
    scaled = np.subtract(values, spec.origin, dtype=np.float64)
    scaled /= spec.step
    scaled[~valid] = 0.0
    np.rint(scaled, out=scaled)
    if scaled.size and not max(scaled.max(), -scaled.min()) < LARGEST_INDEX:
        raise OverflowError(f"values reach too far from {spec.origin} for a step of {spec.step}")
    return scaled.astype(np.int32)


def dequantise(indices: I32, validity: U8, spec: QuantSpec) -> F32:
    """Values of indices, float32, NaN where invalid."""
    if "values" in spec.extra:
        listed = np.array(spec.extra["values"], np.float32)
        out = listed[np.clip(indices, 0, listed.size - 1)]
    elif spec.step == 0:
        out = _unsortable(indices)
    elif spec.extra.get("arithmetic") == "f32":
        out = indices.astype(np.float32)
        out *= np.float32(spec.step)
        out += np.float32(spec.origin)
    else:
        wide = indices * np.float64(spec.step)
        wide += spec.origin
        out = wide.astype(np.float32)
    out[validity != 0] = np.nan
    return out


def _positions(values: F32, valid: NDArray[np.bool_], spec: QuantSpec) -> I32:
    listed = np.array(spec.extra["values"], np.float32)
    found = np.searchsorted(listed, np.where(valid, values, listed[0])).astype(np.int32)
    if not np.array_equal(listed[np.minimum(found, listed.size - 1)][valid], values[valid]):
        raise OverflowError("a value that the quantiser's list does not have")
    return np.where(valid, found, np.int32(0))


def _sortable(values: F32) -> I32:
    # float bits as int32, flipped where negative, so that near floats are near integers; exact both ways
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def _unsortable(indices: I32) -> F32:
    bits = np.ascontiguousarray(indices, np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).view(np.float32)


def step_for_error(max_error: float, largest: float) -> float:
    """Step whose error stays within `max_error` after rounding to float32.

    Args:
        max_error: In the variable's unit.
        largest: Largest magnitude of a value.

    Returns:
        The step, or 0 where only exact coding is fine enough.
    """
    # half a step, half an ulp of the float32 result, and some for float64 on the way
    ulp = float(np.spacing(np.float32(largest + max_error)))
    room = max_error - 0.51 * ulp
    return 2.0 * room * (1 - 1e-9) if room > 0.05 * max_error else 0.0


def step_for_psnr(unique: F32, counts: np.ndarray, psnr: float, peak: float, origin: float) -> float:
    """Largest step, among a fine geometric ladder, at which nearest-index quantisation reaches a PSNR.

    Measured values are mostly on a grid of their own, so that the error of a uniform quantiser is not
    step^2 / 12; it is measured here instead.

    Args:
        unique: Distinct values (or a sample), float32.
        counts: How often each occurs.
        psnr: dB.
        peak: Of the PSNR, in the unit of the values.
        origin: Value of index 0.
    """
    allowed = (peak * 10 ** (-psnr / 20)) ** 2
    values = unique.astype(np.float64) - origin
    weight = counts / counts.sum()
    top = float(np.sqrt(12 * allowed)) * 1.5
    step = top
    for step in top * 0.985 ** np.arange(120):
        error = values - np.rint(values / step) * step
        if float(weight @ (error * error)) <= allowed:
            break
    return float(step)


def exact_grid(
    unique: F32, packings: Iterable[tuple[float, float]] = (), *, complete: bool = False
) -> QuantSpec | None:
    """A step and an origin that give back every one of these values bit for bit, or None.

    Args:
        unique: Distinct valid values, ascending.
        packings: (scale, offset) pairs to try first, from the source's own encoding.
        complete: Whether there are no others; few values with gaps between them are then listed.

    Example:
        >>> exact_grid(np.float32([9, 17, 105, 106]), complete=True).extra["values"]
        [9.0, 17.0, 105.0, 106.0]
    """
    unique = np.unique(
        unique + np.float32(0)
    )  # -0.0 is on no grid; the few planes that hold it are coded raw
    if unique.size == 0:
        return QuantSpec(1.0, 0.0)
    if unique.size == 1:
        return QuantSpec(1.0, float(unique[0]))
    gaps = np.diff(unique)
    if complete and unique.size <= LISTED and gaps.max() > 1.01 * gaps.min():
        return QuantSpec(1.0, 0.0, extra={"values": unique.tolist()})
    common = [(step, float(unique[0])) for step in (1.0, 0.5, 0.25, 0.1, 0.01)]
    for scale, offset in [*packings, *_guess_grids(unique), *common]:
        if not (np.isfinite(scale) and np.isfinite(offset) and scale > 0):
            continue
        for extra in ({}, {"arithmetic": "f32"}):
            spec = QuantSpec(float(scale), float(offset), extra=extra)
            if is_exact(unique, spec):
                return spec
    return None


def is_exact(values: F32, spec: QuantSpec) -> bool:
    """Whether valid values (any shape) come back bit for bit."""
    flat = values.reshape(1, -1)
    none = np.zeros(flat.shape, np.uint8)
    try:
        back = dequantise(quantise(flat, none, spec), none, spec)
    except OverflowError:
        return False
    return bool(np.array_equal(back.view(np.int32), flat.view(np.int32)))


def _guess_grids(unique: F32) -> list[tuple[float, float]]:
    """Least-squares line through the values on integers, then its parameters rounded to fewer digits."""
    wide = unique.astype(np.float64)
    gaps = np.diff(wide)
    step = float(gaps.min())
    # values near 0 resolve the gap best; a gap of rounding noise is no grid
    if step <= 4 * float(np.spacing(np.float32(np.abs(wide).max()))):
        return []
    for _ in range(4):
        codes = np.rint((wide - wide[0]) / step)
        if codes[-1] > 2**24:
            return []
        step, origin = (float(v) for v in np.polyfit(codes, wide, 1))
    guesses = []
    for digits in (3, 4, 5, 6, 7, 8, 10):
        near = float(f"{step:.{digits}g}")
        inverse = 1 / float(f"{1 / step:.{digits}g}")
        for s in {near, inverse}:
            first = (
                round(float(np.median(wide - codes * s)) / s) * s
            )  # an origin that is a multiple of the step
            guesses += [(s, first), (s, float(f"{origin:.{digits}g}"))]
    return [*guesses, (step, origin), (step, float(wide[0]))]
