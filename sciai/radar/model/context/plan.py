"""Choosing the quantiser of one variable: the widest step that reaches the quality, sought on a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sciai.radar.model.context import fitting, smooth
from sciai.radar.model.context.order import CLASSES, class_of
from sciai.radar.model.context.payload import every, repetition
from sciai.radar.model.context.steps import steps_of
from sciai.radar.model.interface import F32, I32, U8, QuantSpec
from sciai.radar.model.quantise import exact_grid, step_for_error, step_for_psnr

__all__ = ["Planner", "scaled"]

_SECOND_COST = 700.0  # bits that the weights of a second look take, and a little
_SECOND_CHANCE = 300.0  # gates x log2 of the ratio of errors: four times what 51 weights gain on noise
_Reach = tuple[float, float]
_Band = tuple[F32, U8, slice, _Reach]  # values, validity, rays to judge by, range of the whole plane


class Planner:
    """Chooses quantisers for a codec.

    Args:
        encode: (variable, values, validity, quantiser) -> indices that the codec would choose.
        gates: Valid gates of a variable to look at.
        margin: dB to aim above the target: a sample's PSNR is not quite the volume's.
        second: Whether reconstruction may take a second look.
    """

    def __init__(
        self,
        encode: Callable[[str, F32, U8, QuantSpec], I32],
        *,
        gates: int = 250_000,
        margin: float = 0.0,
        second: bool = False,
    ) -> None:
        self._encode = encode
        self._gates = gates
        self._margin = margin
        self._second = second
        self._scale = 1.0  # gates of the volume for each of the sample

    def plan(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        *,
        psnr: float | None = None,
        max_error: float | None = None,
        lossless: bool = False,
        peak: float,
        period: float | None,
        packings: Sequence[tuple[float, float]] = (),
        like: QuantSpec | None = None,
    ) -> QuantSpec:
        """Choose the quantiser of one variable of one volume; see `SweepCodec.plan`.

        A bound on the error means plain rounding. A PSNR alone leaves room: the largest step is sought at
        which rate-distortion optimised indices and the fitted reconstruction still reach it, on a sample of
        the gates.

        Args:
            var: FM301 name.
            sweeps: (values, validity), each ``[rays, gates]``.
            psnr: Wanted PSNR in dB, or None.
            max_error: Wanted largest absolute error in the variable's unit, or None.
            lossless: Every value must come back exactly.
            peak: Peak of the PSNR in the variable's unit.
            period: Period of a circular variable in its unit, or None.
            packings: (scale, offset) pairs of the source, tried for lossless coding.
            like: Take the step of this quantiser if it reaches the PSNR.
        """
        sample, self._scale = _sample(sweeps, self._gates)
        flat = [v[m == 0] for v, m, *_ in sample]
        unique = np.unique(np.concatenate(flat)) if flat else np.zeros(0, np.float32)
        if unique.size == 0:
            return QuantSpec(1.0, 0.0)
        if lossless:
            every = np.unique(np.concatenate([np.unique(v[m == 0]) for v, m in sweeps]))
            return exact_grid(every, packings, complete=True) or QuantSpec(0.0, 0.0, bound=0.0)
        if unique.size == 1 and all((v[m == 0] == unique[0]).all() for v, m in sweeps):
            return QuantSpec(1.0, float(unique[0]), bound=np.inf if max_error is None else max_error)
        largest = max(abs(float(unique[0])), abs(float(unique[-1])))
        if max_error is not None:
            steps = [step_for_error(max_error, largest)]
            if psnr is not None:
                values = np.concatenate(flat)
                steps.append(step_for_psnr(values, np.ones(values.size), psnr, peak, 0.0))
            step = _round(min(steps))
            if step <= 0 or largest / step >= 2**29:
                return QuantSpec(0.0, 0.0, bound=0.0)
            return QuantSpec(step, _origin(var, step, sample), period=_turn(step, period), bound=max_error)
        try:
            return self._seek(
                var, sample, (psnr if psnr is not None else 35.0) + self._margin, peak, period, like
            )
        except OverflowError:  # a quality so high that only exact coding reaches it
            return QuantSpec(0.0, 0.0, bound=0.0)

    def _seek(
        self,
        var: str,
        sample: Sequence[_Band],
        psnr: float,
        peak: float,
        period: float | None,
        like: QuantSpec | None,
    ) -> QuantSpec:
        allowed = peak * 10 ** (-psnr / 20)  # root mean square
        if like is not None and like.step > 0:
            reached, spec = self._try(var, sample, like.step, peak, period)
            if reached >= psnr:
                return spec
        step = float(np.sqrt(12)) * allowed * 1.05
        best: QuantSpec | None = None
        low, high = 0.0, np.inf  # steps known to reach the target, and not to
        for _ in range(7):
            reached, spec = self._try(var, sample, step, peak, period)
            if reached >= psnr and spec.step > low:
                best, low = spec, spec.step
                if reached - psnr < 0.015:
                    break
            elif reached < psnr:
                high = min(high, spec.step)
            guess = step * 10 ** (float(np.clip(reached - psnr - 0.005, -6, 6)) / 20)
            if np.isfinite(high) and low > 0:
                if high / low < 1.004:
                    break
                if not low * 1.0005 < guess < high * 0.9995:
                    guess = float(np.sqrt(low * high))
            step = guess
        if best is None:
            values = np.concatenate([v[m == 0] for v, m, *_ in sample])
            plain = step_for_psnr(values, np.ones(values.size), psnr, peak, 0.0)
            return QuantSpec(_round(plain), 0.0, period=_turn(_round(plain), period))
        return best

    def _try(
        self, var: str, sample: Sequence[_Band], step: float, peak: float, period: float | None
    ) -> tuple[float, QuantSpec]:
        """PSNR on the sample, and the quantiser, at one step."""
        step = _round(step)
        bare = QuantSpec(
            step,
            _origin(var, step, sample),
            period=_turn(step, period),
            extra={"f": smooth.Filter.none().to_text()},
        )
        planes = []
        near = []  # planes that get a second look: those that reach a whole turn do not
        for values, validity, inner, (least, most) in sample:
            indices = self._encode(var, values, validity, bare)
            thin = repetition(validity, indices)
            exact = steps_of(values, validity, bare)
            planes.append(
                (every(indices, thin), every(validity, thin), every(exact, thin), bare.period, inner)
            )
            reach = round((most - bare.origin) / step) - round((least - bare.origin) / step)
            near.append(not bare.period or reach < bare.period)
        filt = fitting.fit(planes, False)
        error, count = _squares(planes, filt)
        if self._second and error > 0 and any(near):
            seen = [plane for plane, looked in zip(planes, near, strict=True) if looked]
            better = fitting.fit_second(seen, filt, False)
            less = _squares(seen, better)[0]
            if len(seen) < len(planes):
                less += error - _squares(seen, filt)[0]
            gain = count * np.log2(error / less) if less > 0 else 0.0
            # at rates of about a bit, 6 dB are worth some 0.6 bit
            if gain > _SECOND_CHANCE and 0.3 * gain * self._scale > _SECOND_COST:
                filt, error = better, less
        rms = step * float(np.sqrt(error / max(count, 1)))
        reached = 20 * float(np.log10(peak / rms)) if rms > 0 else 999.0
        return reached, QuantSpec(step, bare.origin, period=bare.period, extra={"f": filt.to_text()})


def _squares(planes: Sequence[tuple[I32, U8, F32, int, slice]], filt: smooth.Filter) -> tuple[float, int]:
    """Sum of squared errors in steps, and the number of gates that are judged by."""
    error, count = 0.0, 0
    for indices, validity, target, turn, inner in planes:
        shift = smooth.shifts(indices, validity, filt, turn, False)
        first, last, _ = inner.indices(validity.shape[0])
        more, gates = smooth.squares(indices, validity, target, shift, first, last)
        error, count = error + more, count + gates
    return error, count


def scaled(var: str, spec: QuantSpec, share: float, period: float | None) -> QuantSpec:
    """See `Twinned.scaled`; the filter, in shares of a step, stays as it is."""
    step = _round(spec.step * share)
    origin = _dbz_origin(step) if CLASSES[class_of(var)] == "DBZH" else spec.origin
    return replace(spec, step=step, origin=origin, period=_turn(step, period))


def _origin(var: str, step: float, sample: Sequence[_Band]) -> float:
    """Value of index 0.

    In reflectivity, 20 dBZ (where echo begins to count) is an edge between two cells. Correlations crowd just
    below 1: a cell's centre at 0.97 keeps most of rain in one cell (2 to 25 % fewer bits than centres at
    multiples of the step). Phases crowd at the system's own: there is a centre in the fullest of 200 classes
    (0 to 20 % fewer).
    """
    name = CLASSES[class_of(var)]
    if name != "PHIDP":
        return _dbz_origin(step) if name == "DBZH" else float(np.float32(0.97)) if name == "RHOHV" else 0.0
    counts, edges = np.histogram(np.concatenate([v[m == 0] for v, m, *_ in sample]), 200)
    at = int(counts.argmax())
    return float(np.float32(0.5 * (edges[at] + edges[at + 1])))


def _dbz_origin(step: float) -> float:
    return float(np.float32(20.0 - 0.5 * step))


def _round(step: float) -> float:
    """A step that float32 holds exactly, not larger: chunk headers keep it in four bytes."""
    near = np.float32(step)
    return float(near if float(near) <= step else np.nextafter(near, np.float32(0)))


def _turn(step: float, period: float | None) -> int:
    return round(period / step) if period and step > 0 and period / step < 2**20 else 0


def _sample(sweeps: Sequence[tuple[F32, U8]], gates: int) -> tuple[list[_Band], float]:
    """All planes of a small volume; of a large one bands of rays, all around, from sweeps all the way up.

    Every sweep gives the same share of its gates, as each counts in the PSNR.

    Returns:
        The bands, and about how many gates of the volume stand behind each of theirs.
    """
    count = len(sweeps)
    chosen = list(range(count)) if count <= 16 else sorted({round(i * (count - 1) / 15) for i in range(16)})
    planes = [sweeps[at] for at in chosen]
    total = sum(int((m == 0).sum()) for _, m in planes)
    found = []
    for n, (values, validity) in enumerate(planes):
        rays = values.shape[0]
        valid = values[validity == 0]
        reach = (float(valid.min()), float(valid.max())) if valid.size else (0.0, 0.0)
        wanted = rays if total <= gates else max(12, rays * gates // total)
        for band in _bands(rays, min(wanted, rays), n):
            if (validity[band] == 0).any():
                some = np.ascontiguousarray(values[band], np.float32)
                # rays at the edge of a band lack neighbours that they have in the volume: not judged by
                inner = slice(0, rays) if wanted >= rays else slice(2, some.shape[0] - 2)
                found.append((some, np.ascontiguousarray(validity[band], np.uint8), inner, reach))
    taken = sum(int((m == 0).sum()) for _, m, *_ in found)
    return found, total / max(taken, 1) * count / max(len(planes), 1)


def _bands(rays: int, wanted: int, shift: int) -> list[slice]:
    """Up to eight bands, evenly spread, of at least twelve rays each and about `wanted` in all."""
    if wanted >= rays:
        return [slice(0, rays)]
    bands = max(1, min(8, wanted // 12))
    width, gap = wanted // bands, rays // bands
    first = (shift * 11) % max(1, gap - width + 1)
    return [slice(first + k * gap, first + k * gap + width) for k in range(bands)]
