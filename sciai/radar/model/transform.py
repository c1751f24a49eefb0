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

Coding and decoding import torch and compressai (for its range coder), lazily; asking what coding would take
(`expected_bits`) does not.
"""

from __future__ import annotations

import io
import lzma
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError, DamagedStore
from sciai.core.resources import checkpoints_dir
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.plain import PlainCodec
from sciai.radar.model.transform_estimate import Estimator
from sciai.radar.model.transform_grid import prior_index
from sciai.radar.model.transform_plan import NAME, SampleOf, planned
from sciai.radar.model.transform_quantise import (
    SCALE_CLASSES,
    STEPS_PER_PEAK,
    Prediction,
    Sample,
    base_indices,
    gate_indices,
    keeps,
    quantise_plane,
)
from sciai.radar.model.transform_scale import normalised, variable_class
from sciai.radar.model.transform_tables import Tables, class_statistics, fit_rows, geometric_tables

__all__ = ["TransformCodec"]


class TransformCodec:
    """See the module. Use `shipped()`, or `from_checkpoint` after training.

    Args:
        arrays: of a checkpoint (`sciai.radar.train.transform.export`); without the ``analysis.`` ones the
            codec decodes but does not encode.

    Raises:
        CheckpointError: when arrays are missing, the synthesis is not exact, or this machine computes it
            differently from the one that trained it.
    """

    name = NAME

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
    def _estimator(self) -> Estimator:
        return Estimator(self._layout, self._arrays)

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
        return self._planned(var, sweeps, self._sample, *how)[0]

    def expected_bits(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        *,
        psnr: float,
        max_error: float | None,
        peak: float,
        period: float | None,
        threads: int = 1,
    ) -> float:
        """Bits of the values at that PSNR, as planning finds them; NaN where it would not help."""

        def estimated(*how: Any) -> tuple[Sample, float]:
            return self._sample(*how, threads=threads, estimate=True)

        return self._planned(var, sweeps, estimated, psnr, max_error, False, peak, period)[1]

    def _planned(
        self, var: str, sweeps: Sequence[tuple[F32, U8]], sample_of: SampleOf, *how: Any
    ) -> tuple[QuantSpec, float]:
        return planned(var, sweeps, sample_of, self._plain, self._default_rows[variable_class(var)], *how)

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
        prior = prior_index(valid, kind)
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
        *,
        threads: int = 1,
        estimate: bool = False,
    ) -> tuple[Sample, float]:
        """Predictions of all valid gates, and the bits of the latents behind them."""
        kind = variable_class(var)
        net = self._estimator if estimate else self._net

        def one(sweep: tuple[F32, U8]) -> tuple[Any, ...]:
            plane, validity = sweep
            valid = validity == 0
            latents, spent = None, 0.0
            if with_latents:
                image = normalised(plane, validity, origin, peak, turn)
                latents = net.analyse(image, valid, kind, True)
                coded, rows = self._latent_rows(valid, kind)
                symbols = latents[:, coded].T.ravel()
                tables = self._latent_tables
                spent = tables.bits(symbols, rows) if estimate else 8.0 * len(tables.encode(symbols, rows))
            mean, scale = net.synthesise(latents, valid, kind, True)
            values = plane[valid].astype(np.float64) - origin
            means = mean[valid].astype(np.float64) * (peak / STEPS_PER_PEAK)
            return values, means, scale[valid].astype(np.uint8), spent

        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(one, (s for s in sweeps if (s[1] == 0).any())))
        values, means, scales, spent = zip(*found, strict=True)
        return Sample(np.concatenate(values), np.concatenate(means), np.concatenate(scales), turn), sum(spent)
