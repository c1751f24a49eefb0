"""Choosing the quantiser of the transform codec: step, dead zone and shift with the fewest bits that hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from typing import Any, Final

import numpy as np

from sciai.radar.model.interface import F32, I32, U8, QuantSpec
from sciai.radar.model.plain import PlainCodec
from sciai.radar.model.transform_quantise import FINE, Sample, circular_error, fit_step, settle
from sciai.radar.model.transform_scale import fold_of, origin_of

__all__ = ["NAME", "SampleOf", "planned"]

NAME: Final = "transform"
"""Of the codec, in a store too."""
_ROUNDINGS = (0.5, 0.42, 0.34)  # what is added before rounding a magnitude down; below 0.5 it is a dead zone

SampleOf = Callable[[str, Sequence[tuple[F32, U8]], float, float, bool, float], tuple[Sample, float]]
"""(variable, sweeps, origin, peak, with latents, turn) -> predictions, and the bits of the latents."""


def planned(
    var: str,
    sweeps: Sequence[tuple[F32, U8]],
    sample_of: SampleOf,
    plain: PlainCodec,
    default: I32,
    psnr: float | None,
    max_error: float | None,
    lossless: bool,
    peak: float,
    period: float | None,
    packings: Sequence[tuple[float, float]] = (),
) -> tuple[QuantSpec, float]:
    """The quantiser, and the bits that are to be expected of it, NaN where they are not known.

    `sample_of` asks the networks, `plain` is for what is exact, `default` is the row of each class of
    residual scale unless another is sent; the rest is as in `SweepCodec.plan`.
    """
    valid = [values[validity == 0] for values, validity in sweeps]
    total = sum(v.size for v in valid)
    exact = plain.plan(
        var,
        sweeps,
        psnr=psnr,
        max_error=max_error,
        lossless=lossless,
        peak=peak,
        period=period,
        packings=packings,
    )
    constant = total == 0 or min(v.min() for v in valid if v.size) == max(v.max() for v in valid if v.size)
    if lossless or constant or exact.step == 0:
        return exact, nan
    # with a bound, gates at the fold would need finer steps than the rest: phases are then plain numbers
    turn = fold_of(var, np.concatenate(valid), period) if max_error is None else 0.0
    origin = origin_of(var, np.concatenate(valid), turn)
    cap = np.inf
    if max_error is not None:
        # half an ulp of the float32 result, and the rounding of the prediction cancels in the residual
        largest = max(float(np.abs(v).max()) for v in valid if v.size) + max_error
        room = max_error - 0.51 * float(np.spacing(np.float32(largest)))
        if room <= 0.05 * max_error:
            return exact, nan
        cap = 2.0 * room * (1 - 1e-6)
    extra: dict[str, Any] = {"codec": NAME, "peak": float(peak)}
    if psnr is None:
        extra.update(round=0.5, shift=0)
        return QuantSpec(cap / FINE, origin, bound=max_error or np.inf, extra=extra), nan
    # 0.005 dB in hand for what sampling misses
    allowed = (peak * 10 ** (-psnr / 20)) ** 2 * 10**-0.0005
    best: tuple[float, Sample, float, float, int] | None = None
    for with_latents in (True, False):
        sample, spent = sample_of(var, sweeps, origin, peak, with_latents, turn)
        for rounding in _ROUNDINGS:
            bits, step, used, shift = fit_step(sample, rounding, allowed, cap, default)
            if best is None or bits + spent < best[0]:
                best = (bits + spent, sample, step, used, shift)
                extra["latents"] = with_latents
        if with_latents and best is not None and spent < 0.03 * best[0]:
            break  # latents that are nearly free: going without them cannot pay
    assert best is not None  # there is at least one rounding
    bits, sample, step, rounding, shift = best
    step, shift = settle(sample, step, rounding, shift, allowed, cap)
    extra.update(round=rounding, shift=shift, mse=allowed)
    bound = max_error or np.inf
    if not turn:
        return QuantSpec(step / FINE, origin, bound=bound, extra=extra), bits
    least, most = (f(float(f(v)) for v in valid if v.size) for f in (min, max))
    while True:
        count = int(np.ceil(turn / (step / FINE)))  # a whole number of indices to the turn
        fine = turn / count
        # the fold in the middle of the gap that the values leave
        extra["low"] = int(np.rint((least - origin - max(0.0, turn - (most - least)) / 2) / fine))
        spec = QuantSpec(fine, origin, period=count, bound=bound, extra=dict(extra))
        if circular_error(sample, spec) <= allowed:
            return spec, bits
        step *= 0.98  # gates at the fold keep their side at the price of a larger error
