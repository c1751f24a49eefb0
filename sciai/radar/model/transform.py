"""The transform codec: an analysis/synthesis pair with entropy bottleneck, plus bounded residuals.

What is in a plane's payload: integer latents at an eighth of the resolution (blocks without a valid gate have
none), and for each valid gate a residual r. The synthesis turns latents and mask into a prediction of every
gate and a class of residual scale, exactly (`transform_net`), so the decoder finds the residual's table; the
value is

    origin + fine * (rint(prediction / fine) + 16 r - sign(r) shift),        fine = step / 16,

so the error is bounded by the quantiser of the residual, whatever the network predicts. Step, dead zone and
shift are chosen for each variable of a volume so that the PSNR holds with the fewest bits (`plan`).

Compared with the context codec it decodes in parallel and profits where fields are smooth; it is larger where
they are noise, because neighbours that were decoded before do not help it. Masks and exact coding are the
plain codec's.

Decoding imports torch and compressai (for its range coder), lazily.
"""

from __future__ import annotations

import io
import lzma
import struct
from collections.abc import Sequence
from functools import cached_property
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError, DamagedStore
from sciai.core.resources import checkpoints_dir
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.plain import PlainCodec
from sciai.radar.model.transform_quantise import (
    FINE,
    SCALE_CLASSES,
    STEPS_PER_PEAK,
    Prediction,
    Sample,
    base_indices,
    circular_error,
    fit_step,
    gate_indices,
    keeps,
    quantise_plane,
    settle,
)
from sciai.radar.model.transform_scale import fold_of, normalised, origin_of, variable_class
from sciai.radar.model.transform_tables import Tables, class_statistics, fit_rows, geometric_tables

__all__ = ["TransformCodec"]

_ROUNDINGS = (0.5, 0.42, 0.34)  # what is added before rounding a magnitude down; below 0.5 it is a dead zone


class TransformCodec:
    """See the module. Use `shipped()`, or `from_checkpoint` after training.

    Args:
        arrays: of a checkpoint (`sciai.radar.train.transform.export`); without the ``analysis.`` ones the
            codec decodes but does not encode.

    Raises:
        CheckpointError: when arrays are missing, the synthesis is not exact, or this machine computes it
            differently from the one that trained it.
    """

    name = "transform"

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self.checkpoint = ""
        """Hash of the checkpoint that the arrays came from; "" where they came from elsewhere."""
        self._plain = PlainCodec()
        try:
            self._latent_tables = Tables(
                *(arrays[f"latent_{k}"].astype(np.int32) for k in ("cdf", "length", "offset"))
            )
            self._default_rows: I32 = arrays["default_rows"].astype(np.int32)
            self._layout = [int(v) for v in arrays["layout"]]  # latents, width, four widths, classes
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"not a model of the transform codec: {error}") from error

    @classmethod
    def shipped(cls) -> TransformCodec:
        """The codec with the checkpoint that comes with the package.

        Raises:
            CheckpointError: where it is absent or damaged.
        """
        return cls.from_checkpoint(Checkpoint.load(checkpoints_dir() / "radar-transform"))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> TransformCodec:
        """The codec of a checkpoint in memory."""
        codec = cls(dict(checkpoint.arrays))
        codec.checkpoint = checkpoint.hash
        return codec

    @classmethod
    def from_model(cls, model: bytes) -> TransformCodec:
        """A decoder from another instance's `model`.

        Raises:
            CheckpointError: when these are not the bytes of such a model.
        """
        try:
            raw = lzma.decompress(model)
            with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (lzma.LZMAError, EOFError, ValueError, OSError) as error:
            raise CheckpointError(f"not a model of the transform codec: {error}") from error
        for name in list(arrays):
            if name.startswith("synthesis."):
                # stored on its grid of 2^-13 as integers: half the size, and exact
                arrays[name] = arrays[name].astype(np.float32) / np.float32(8192.0)
        return cls(arrays)

    @cached_property
    def model(self) -> bytes:
        """What decoding needs, as bytes that travel in a store; the same on every machine."""
        kept: dict[str, NDArray[Any]] = {}
        for name, array in sorted(self._arrays.items()):
            if name.startswith("synthesis."):
                kept[name] = np.rint(array.astype(np.float64) * 8192.0).astype(np.int32)
            elif not name.startswith(("analysis.", "priors.")):
                kept[name] = array
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **kept)  # type: ignore[arg-type]
        return lzma.compress(buffer.getvalue(), preset=9)

    @cached_property
    def _net(self) -> Any:
        """The networks, checked: exact by construction, and equal to what the trainer computed."""
        from sciai.radar.model.transform_run import CodecNets

        return CodecNets(self._layout, self._arrays)

    @cached_property
    def _residual_tables(self) -> Tables:
        return geometric_tables()

    # --- the interface -------------------------------------------------------------------------------------

    def order(self, variables: Sequence[str]) -> list[str]:
        """As the plain codec: planes do not depend on each other, but for masks."""
        return self._plain.order(variables)

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """Values look at their own mask, masks at what the plain codec says."""
        return [(var, "mask", "here")] if kind == "values" else self._plain.depends(var, kind, variables)

    def encode_mask(self, var: str, validity: U8, ctx: SweepContext) -> bytes:
        """The plain codec's."""
        return self._plain.encode_mask(var, validity, ctx)

    def decode_mask(self, var: str, payload: bytes, ctx: SweepContext) -> U8:
        """The plain codec's."""
        return self._plain.decode_mask(var, payload, ctx)

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
    ) -> QuantSpec:
        """Step, dead zone and shift with the fewest bits that reach the PSNR; see `SweepCodec.plan`."""
        how = psnr, max_error, lossless, peak, period, packings
        return self._planned(var, sweeps, *how)[0]

    def expected_bits(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        *,
        psnr: float,
        max_error: float | None,
        peak: float,
        period: float | None,
    ) -> float:
        """Bits of the values at that PSNR, as planning finds them; NaN where it would not help."""
        return self._planned(var, sweeps, psnr, max_error, False, peak, period)[1]

    def _planned(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        psnr: float | None,
        max_error: float | None,
        lossless: bool,
        peak: float,
        period: float | None,
        packings: Sequence[tuple[float, float]] = (),
    ) -> tuple[QuantSpec, float]:
        """The quantiser, and the bits that are to be expected of it, NaN where they are not known."""
        valid = [values[validity == 0] for values, validity in sweeps]
        total = sum(v.size for v in valid)
        exact = self._plain.plan(
            var,
            sweeps,
            psnr=psnr,
            max_error=max_error,
            lossless=lossless,
            peak=peak,
            period=period,
            packings=packings,
        )
        constant = total == 0 or min(v.min() for v in valid if v.size) == max(
            v.max() for v in valid if v.size
        )
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
        extra: dict[str, Any] = {"codec": self.name, "peak": float(peak)}
        if psnr is None:
            extra.update(round=0.5, shift=0)
            return QuantSpec(cap / FINE, origin, bound=max_error or np.inf, extra=extra), nan
        # 0.005 dB in hand for what sampling misses
        allowed = (peak * 10 ** (-psnr / 20)) ** 2 * 10**-0.0005
        default = self._default_rows[variable_class(var)]
        best: tuple[float, Sample, float, float, int] | None = None
        for with_latents in (True, False):
            sample, spent = self._sample(var, sweeps, origin, peak, with_latents, turn)
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

    def encode_values(
        self, var: str, values: F32, validity: U8, spec: QuantSpec, ctx: SweepContext
    ) -> tuple[bytes, I32]:
        """Latents, then residuals; see the module."""
        if spec.extra.get("codec") != self.name:
            return self._plain.encode_values(var, values, validity, spec, ctx)
        valid = validity == 0
        if not valid.any():
            return b"", np.zeros(validity.shape, np.int32)
        peak, kind = float(spec.extra["peak"]), variable_class(var)
        image = normalised(values, validity, spec.origin, peak, spec.period * spec.step)
        latents = None
        if spec.extra.get("latents", True):
            latents = self._net.analyse(image, valid, kind, ctx.full_circle)
        candidates: list[tuple[float, bytes, NDArray[np.int64], I32, I32, NDArray[np.uint8]]] = []
        for chosen in (latents, None) if latents is not None else (None,):
            prediction = self._predict(chosen, valid, kind, ctx.full_circle)
            base, residual = quantise_plane(values[valid], prediction, spec, peak)
            if chosen is None and candidates and not keeps(values[valid], base, residual, spec):
                continue  # planned with latents: without them the error may be another
            statistics = class_statistics(residual, prediction.scale, SCALE_CLASSES)
            rows, bits = fit_rows(statistics, self._default_rows[kind])
            head = b"" if chosen is None else self._encode_latents(chosen, valid, kind)
            candidates.append((bits + 8 * len(head), head, base, residual, rows, prediction.scale))
            if 8 * len(head) < 0.02 * bits:
                break  # latents that are nearly free need no second opinion
        _, head, base, residual, rows, scale = min(candidates, key=lambda c: c[0])
        payload = self._pack(head, rows, self._default_rows[kind], residual, scale)
        plane = np.zeros(validity.shape, np.int32)
        plane[valid] = gate_indices(base, residual, spec)
        return payload, plane

    def decode_indices(
        self, var: str, payload: bytes, validity: U8, spec: QuantSpec, ctx: SweepContext
    ) -> I32:
        """The inverse of `encode_values`.

        Raises:
            DamagedStore: when the payload is cut.
        """
        if spec.extra.get("codec") != self.name:
            return self._plain.decode_indices(var, payload, validity, spec, ctx)
        valid = validity == 0
        plane = np.zeros(validity.shape, np.int32)
        if not valid.any():
            return plane
        kind = variable_class(var)
        try:
            size, overrides = struct.unpack_from("<II", payload)
            at = 8 + 2 * overrides.bit_count()
            sent = np.frombuffer(payload, "<u2", overrides.bit_count(), 8)
        except (struct.error, ValueError) as error:
            raise DamagedStore(f"a payload of the transform codec is cut: {error}") from error
        rows = self._default_rows[kind].copy()
        rows[[c for c in range(SCALE_CLASSES) if overrides >> c & 1]] = sent
        latents = self._decode_latents(payload[at : at + size], valid, kind) if size else None
        prediction = self._predict(latents, valid, kind, ctx.full_circle)
        residual = self._residual_tables.decode(payload[at + size :], rows[prediction.scale])
        base = base_indices(prediction, spec, float(spec.extra["peak"]))
        plane[valid] = gate_indices(base, residual, spec)
        return plane

    def reconstruct(self, var: str, indices: I32, validity: U8, spec: QuantSpec, ctx: SweepContext) -> F32:
        """Index times fine step plus origin."""
        return self._plain.reconstruct(var, indices, validity, spec, ctx)

    # --- inside --------------------------------------------------------------------------------------------

    def _predict(
        self, latents: I32 | None, valid: NDArray[np.bool_], kind: int, full_circle: bool
    ) -> Prediction:
        mean, scale = self._net.synthesise(latents, valid, kind, full_circle)
        return Prediction(mean[valid].astype(np.float64), scale[valid].astype(np.uint8))

    def _latent_rows(self, valid: NDArray[np.bool_], kind: int) -> tuple[NDArray[np.bool_], I32]:
        """Which blocks have latents, and the table of each latent of those, ``[blocks * latents]``."""
        prior = self._net.prior_index(valid, kind)
        coded = prior >= 0
        channels = self._layout[0]
        rows = prior[coded][:, None] * channels + np.arange(channels)
        return coded, rows.astype(np.int32).ravel()

    def _encode_latents(self, latents: I32, valid: NDArray[np.bool_], kind: int) -> bytes:
        coded, rows = self._latent_rows(valid, kind)
        return self._latent_tables.encode(latents[:, coded].T.ravel(), rows)

    def _decode_latents(self, payload: bytes, valid: NDArray[np.bool_], kind: int) -> I32:
        coded, rows = self._latent_rows(valid, kind)
        latents = np.zeros((self._layout[0], *coded.shape), np.int32)
        latents[:, coded] = self._latent_tables.decode(payload, rows).reshape(-1, self._layout[0]).T
        return latents

    def _pack(
        self, latents: bytes, rows: I32, default: I32, residual: I32, scale: NDArray[np.uint8]
    ) -> bytes:
        changed = [c for c in range(SCALE_CLASSES) if rows[c] != default[c]]
        head = struct.pack("<II", len(latents), sum(1 << c for c in changed))
        return b"".join(
            (
                head,
                rows[changed].astype("<u2").tobytes(),
                latents,
                self._residual_tables.encode(residual, rows[scale]),
            )
        )

    def _sample(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        origin: float,
        peak: float,
        with_latents: bool,
        turn: float,
    ) -> tuple[Sample, float]:
        """Predictions of all valid gates, and the bits of the latents behind them."""
        kind, spent = variable_class(var), 0.0
        values, means, scales = [], [], []
        for plane, validity in sweeps:
            valid = validity == 0
            if not valid.any():
                continue
            latents = None
            if with_latents:
                image = normalised(plane, validity, origin, peak, turn)
                latents = self._net.analyse(image, valid, kind, True)
                spent += 8.0 * len(self._encode_latents(latents, valid, kind))
            prediction = self._predict(latents, valid, kind, True)
            values.append(plane[valid].astype(np.float64) - origin)
            means.append(prediction.mean * (peak / STEPS_PER_PEAK))
            scales.append(prediction.scale)
        return Sample(np.concatenate(values), np.concatenate(means), np.concatenate(scales), turn), spent
