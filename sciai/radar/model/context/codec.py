"""The context codec behind the interface of `sciai.radar.model.interface`.

::

    mask ──────────── code_mask  ◄── masks of up to two variables coded before, of the previous volume
    values / step ─── code_values ◄── own mask, a twin (TH beside DBZH), the previous volume
                        └► indices ─ shifts ─► (index + shift / 256) x step

Everything on the way from bytes to indices, and from indices to shifts, is integer arithmetic in a fixed
order of gates, so a store decodes to the same bits on any machine. Needs numpy and numba (or, slowly,
numba's pure-Python mode).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import DamagedStore
from sciai.radar.model.context import smooth
from sciai.radar.model.context.compiled import MASK_PACE, MIXER_PACE, check_compiled, costs
from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.mask import code_mask
from sciai.radar.model.context.order import (
    CLASSES,
    NONE8,
    NONE32,
    best_references,
    class_of,
    mask_of,
    order_of,
    plane_of,
    twin_of,
)
from sciai.radar.model.context.payload import REPETITIONS, every, expand, pack_head, repetition, unpack_head
from sciai.radar.model.context.plan import Planner, scaled
from sciai.radar.model.context.steps import steps_and_range
from sciai.radar.model.context.tables import compander, rates, squash, stretch
from sciai.radar.model.context.values import HIDDEN, code_values
from sciai.radar.model.context.weights import checked, from_bytes, to_bytes
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.quantise import LARGEST_INDEX, dequantise, quantise

if TYPE_CHECKING:
    from sciai.core.checkpoint import Checkpoint

__all__ = ["ContextCodec"]

_PRICE = 0.08  # of a bit, in squared steps; measured best, a little under the curve's slope, 2 ln 2 / 12
_TWIN_PRICE = 0.03  # beside a twin the network is so sure that the full price would copy the twin
_NO_MASK: Final = 15  # in the four bits that name a mask
_COPY: Final = 0  # in place of a repetition: the mask is the one named
_NONEF = np.zeros((0, 0), np.float32)
SPREAD_MOST = 2**24  # the escape code of values.py has room for distances up to 2^25


class ContextCodec:
    """Learned context model with adaptive mixing; see the module.

    Args:
        arrays: ``w1 [16, 48] w2 [16, 16] w3 [16, 16]`` int16, shared; ``b1 b2 b3 [8, 16]`` int32, one row per
            class of `CLASSES`. Features and activations are Q8, weights Q10, biases Q18.

    Example:
        >>> codec = ContextCodec.untrained()
        >>> values = np.float32([[1.0, 1.5, np.nan], [1.2, 1.4, 9.0]])
        >>> validity = np.uint8([[0, 0, 1], [0, 0, 0]])
        >>> spec = codec.plan("DBZH", [(values, validity)], max_error=0.1, peak=70.0, period=None)
        >>> payload, indices = codec.encode_values("DBZH", values, validity, spec, None)
        >>> back = codec.decode_indices("DBZH", payload, validity, spec, None)
        >>> bool((back == indices).all())
        True
    """

    name = "context"

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.arrays = checked(arrays)
        self.checkpoint = ""
        """Hash of the checkpoint that the arrays came from; "" where they came from elsewhere."""
        self._tables = (compander(), squash(), stretch(), rates())
        check_compiled()
        self._mask_tables = (squash(), stretch(), rates())

    # -- the model, in and out

    @classmethod
    def untrained(cls) -> ContextCodec:
        """A codec that leaves everything to its adaptive counters."""
        square = np.zeros((HIDDEN, HIDDEN), np.int32)
        bias = np.zeros((len(CLASSES), HIDDEN), np.int32)
        first = np.zeros((HIDDEN, FEATURES), np.int32)
        return cls({"w1": first, "w2": square, "w3": square, "b1": bias, "b2": bias, "b3": bias})

    @classmethod
    def shipped(cls) -> ContextCodec:
        """With the checkpoint that comes with the package.

        Raises:
            CheckpointError: where it is absent or altered.
        """
        from sciai.core.checkpoint import Checkpoint
        from sciai.core.resources import checkpoints_dir

        return cls.from_checkpoint(Checkpoint.load(checkpoints_dir() / "radar"))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> ContextCodec:
        """With the arrays of a checkpoint that `sciai.radar.train.context` wrote."""
        codec = cls(dict(checkpoint.arrays))
        codec.checkpoint = checkpoint.hash
        return codec

    @classmethod
    def from_model(cls, model: bytes) -> ContextCodec:
        """With the bytes that another instance gave as `model`.

        Raises:
            CheckpointError: where they are not a context model.
        """
        return cls(from_bytes(model))

    @cached_property
    def model(self) -> bytes:
        """The model as four kilobytes: magic, CRC-32, weights, biases.

        Not compressed: stores name a model by the hash of these bytes, and what a compressor writes depends
        on its version.
        """
        return to_bytes(self.arrays)

    def _network(self, var: str) -> tuple[NDArray[np.int32], ...]:
        a, k = self.arrays, class_of(var)
        return a["w1"], a["b1"][k], a["w2"], a["b2"][k], a["w3"], a["b3"][k]

    # -- what it looks at

    def order(self, variables: Sequence[str]) -> list[str]:
        """Reflectivity first: its mask serves the others."""
        return order_of(variables)

    def twin(self, var: str, variables: Sequence[str]) -> str | None:
        """See `twin_of`; variables with a twin are best coded with the twin's step."""
        return twin_of(var, variables)

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """Masks: those coded before, here and in the last volume. Values: own mask, a twin, the last volume.

        Of the masks coded before, a chunk names up to two that it was coded with; only those are read.
        """
        if kind == "mask":
            order = order_of(variables)
            here: list[Dependency] = [(v, "mask", "here") for v in order[: order.index(var)]]
            return [*here, (var, "mask", "previous")]
        found: list[Dependency] = [(var, "mask", "here")]
        twin = twin_of(var, variables)
        if twin:
            found += [(twin, "mask", "here"), (twin, "values", "here")]
        return [*found, (var, "mask", "previous"), (var, "values", "previous")]

    # -- masks

    def encode_mask(self, var: str, validity: U8, ctx: SweepContext | None) -> bytes:
        """Code a mask ``[rays, gates]``, exactly; the first byte names the masks it was coded with."""
        plane = np.ascontiguousarray(validity, np.uint8).copy()
        names = self._mask_names(var, ctx)
        known = [mask_of(ctx, v, plane.shape) for v in names] if ctx is not None else []
        plain = plane.size == 0 or plane.min() == plane.max()  # costs nothing, and need not hang on another
        for k, other in enumerate(known):
            if not plain and np.array_equal(plane, other):
                return bytes([k * 16 + _NO_MASK, _COPY])
        chosen = best_references(plane, known)
        picked = [*chosen, _NO_MASK, _NO_MASK]
        thin = repetition(plane)
        data = np.zeros(plane.size + 4096, np.uint8)
        size = self._mask(var, plane, [known[k] for k in chosen], ctx, thin, data, False)
        if size > data.size:
            raise OverflowError("a mask took more bits than it has gates")
        return bytes([picked[0] * 16 + picked[1], thin]) + data[:size].tobytes()

    def decode_mask(self, var: str, payload: bytes, ctx: SweepContext | None, shape: Any = None) -> U8:
        """The inverse of `encode_mask`."""
        if len(payload) < 2 or payload[1] > REPETITIONS[0]:
            raise DamagedStore("the payload is cut short, or its head is impossible")
        plane = np.zeros(shape if ctx is None else ctx.shape, np.uint8)
        names = self._mask_names(var, ctx)
        known = []
        for k in (payload[0] >> 4, payload[0] & 15):
            if k != _NO_MASK:
                if k >= len(names) or ctx is None:
                    raise DamagedStore("the payload names a mask that the sweep does not have")
                known.append(mask_of(ctx, names[k], plane.shape))
        if payload[1] == _COPY:
            if len(known) != 1 or known[0].shape != plane.shape:
                raise DamagedStore("the payload copies a mask that is not there")
            return known[0].copy()
        data = np.frombuffer(payload, np.uint8, offset=2).copy()
        self._mask(var, plane, known, ctx, payload[1], data, True)
        return plane

    @staticmethod
    def _mask_names(var: str, ctx: SweepContext | None) -> list[str]:
        if ctx is None:
            return []
        order = order_of(ctx.variables)
        return order[: order.index(var)][:_NO_MASK] if var in order else []

    def _mask(
        self,
        var: str,
        plane: U8,
        known: Sequence[U8],
        ctx: SweepContext | None,
        thin: int,
        data: U8,
        decoding: bool,
    ) -> int:
        first, second = [*known, NONE8, NONE8][:2]
        before = NONE8
        if ctx is not None and ctx.previous is not None:
            before = mask_of(ctx.previous, var, plane.shape)
        few = every(plane, thin)
        size = code_mask(
            few,
            every(first, thin),
            every(second, thin),
            every(before, thin),
            self._mask_tables,
            MASK_PACE,
            data,
            decoding,
        )
        if decoding:
            plane[...] = expand(few, thin, plane.shape[1])
        return int(size)

    # -- values

    def encode_values(
        self,
        var: str,
        values: F32,
        validity: U8,
        spec: QuantSpec,
        ctx: SweepContext | None,
    ) -> tuple[bytes, I32]:
        """Code the valid values of one plane; indices may differ from the nearest where that saves bits.

        Raises:
            OverflowError: where this codec cannot code the values: on no grid, or spread too wide.
        """
        return self._encode(var, values, validity, spec, ctx, 10)

    def _encode(
        self, var: str, values: F32, validity: U8, spec: QuantSpec, ctx: SweepContext | None, room: int
    ) -> tuple[bytes, I32]:
        """`encode_values` into `room` bytes a value; with room for none the payload stays empty."""
        if spec.step <= 0:
            raise OverflowError("values on no grid: the context codec codes indices")
        mask = np.ascontiguousarray(validity, np.uint8)
        target, count, least, most = steps_and_range(values, mask, spec)
        indices = np.zeros(values.shape, np.int32)
        if not count:
            return b"", indices
        beside_twin = ctx is not None and twin_of(var, ctx.variables) is not None
        price = 0.0 if "f" not in spec.extra else _TWIN_PRICE if beside_twin else _PRICE
        thin = repetition(mask, target)
        if price:
            if not max(most, -least) < LARGEST_INDEX:
                raise OverflowError("values reach too far for this step")
            low, high = round(least), round(most)
        else:  # plain rounding, of more digits than float32 has
            indices, target = quantise(values, mask, spec), _NONEF
            low, high = int(indices[mask == 0].min()), int(indices[mask == 0].max())
            thin = repetition(mask, indices)
        if high - low > SPREAD_MOST or spec.period > SPREAD_MOST:
            raise OverflowError("the values spread too wide for this step")
        data = np.empty(count * room + 4096 if room else 0, np.uint8)
        size = self._values(var, indices, mask, spec, ctx, target, price, (low, high, thin), data, False)
        if not room:
            return b"", indices
        if size > data.size:
            raise OverflowError("a plane took more bits than it has values")
        return pack_head(low, high, thin) + data[:size].tobytes(), indices

    def decode_indices(
        self, var: str, payload: bytes, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> I32:
        """Indices ``[rays, gates]``, 0 where invalid."""
        indices = np.zeros(validity.shape, np.int32)
        if not payload and not (validity == 0).any():
            return indices
        low, high, thin, start = unpack_head(payload)
        inside = -LARGEST_INDEX <= low <= high <= LARGEST_INDEX and 1 <= thin <= REPETITIONS[0]
        if not inside or high - low > SPREAD_MOST or spec.period > SPREAD_MOST:
            raise DamagedStore("the payload's range of indices is impossible")
        data = np.frombuffer(payload, np.uint8, offset=start).copy()
        self._values(var, indices, validity, spec, ctx, _NONEF, 0.0, (low, high, thin), data, True)
        return indices

    def _values(
        self,
        var: str,
        indices: I32,
        validity: U8,
        spec: QuantSpec,
        ctx: SweepContext | None,
        target: F32,
        price: float,
        head: tuple[int, int, int],
        data: U8,
        decoding: bool,
    ) -> int:
        low, high, thin = head
        twin, twin_mask, before, before_mask = NONE32, NONE8, NONE32, NONE8
        if ctx is not None:
            other = twin_of(var, ctx.variables)
            if other is not None:
                twin, twin_mask = plane_of(ctx, other, spec, indices.shape)
            if ctx.previous is not None:
                before, before_mask = plane_of(ctx.previous, var, spec, indices.shape)
        few = every(indices, thin)
        size = int(
            code_values(
                few,
                every(np.ascontiguousarray(validity, np.uint8), thin),
                every(target, thin),
                np.float32(price),
                np.float32(np.inf),
                low,
                high,
                max(spec.period, high - low + 1) if spec.period else 0,
                every(twin, thin),
                every(twin_mask, thin),
                every(before, thin),
                every(before_mask, thin),
                self._network(var),
                self._tables,
                costs(),
                MIXER_PACE,
                data,
                decoding,
            )
        )
        if thin > 1:
            indices[...] = expand(few, thin, indices.shape[1])
            indices[validity != 0] = 0
        return size

    def reconstruct(
        self, var: str, indices: I32, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> F32:
        """Values ``[rays, gates]``, NaN where invalid."""
        text = spec.extra.get("f")
        if not text:
            return dequantise(indices, validity, spec)
        circle = ctx.full_circle if ctx is not None else False
        try:
            filt = smooth.Filter.from_text(str(text))
        except ValueError as err:
            raise DamagedStore(f"the quantiser's {err}") from err
        thin = repetition(validity, indices)
        few = every(indices, thin), every(np.ascontiguousarray(validity, np.uint8), thin)
        shift = expand(smooth.shifts(*few, filt, spec.period, circle), thin, indices.shape[1])
        mask = np.ascontiguousarray(validity, np.uint8)
        return smooth.values_of(np.ascontiguousarray(indices), mask, shift, spec.step, spec.origin)

    # -- the quantiser

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
        """Choose the quantiser of one variable of one volume; see `Planner.plan`."""
        return self._planner().plan(
            var,
            sweeps,
            psnr=psnr,
            max_error=max_error,
            lossless=lossless,
            peak=peak,
            period=period,
            packings=packings,
            like=like,
        )

    def scaled(self, var: str, spec: QuantSpec, share: float, period: float | None) -> QuantSpec:
        """See `Twinned.scaled`."""
        return scaled(var, spec, share, period)

    def _planner(self) -> Planner:
        return Planner(lambda v, x, m, spec: self._encode(v, x, m, spec, None, 0)[1], second=True)
