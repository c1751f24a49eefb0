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

import struct
import zlib
from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import CheckpointError, DamagedStore
from sciai.radar.data.names import family
from sciai.radar.model.context import smooth
from sciai.radar.model.context.mask import code_mask
from sciai.radar.model.context.tables import compander, rates, squash, stretch
from sciai.radar.model.context.values import FEATURES, HIDDEN, code_values
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.quantise import (
    LARGEST_INDEX,
    dequantise,
    exact_grid,
    quantise,
    step_for_error,
    step_for_psnr,
)

if TYPE_CHECKING:
    from sciai.core.checkpoint import Checkpoint

__all__ = ["CLASSES", "ContextCodec", "class_of", "twin_of"]

CLASSES: Final = ("other", "DBZH", "ZDR", "RHOHV", "PHIDP", "KDP", "VRADH", "WRADH")
"""Families of variables that have weights of their own; unknown names are ``other``."""
_POLARIMETRIC: Final = {"ZDR", "RHOHV", "PHIDP", "KDP", "LDR"}
_DOPPLER: Final = {"VRADH", "WRADH"}
_FIRST: Final = ("DBZH", "TH", "DBZV", "TV")
_PRICE = 0.08  # of a bit, in squared steps; measured best, a little under the curve's slope, 2 ln 2 / 12
_TWIN_PRICE = 0.03  # beside a twin the network is so sure that the full price would copy the twin
_REPETITIONS: Final = (8, 5, 4, 3, 2)
_KNOWN_ANSWER: Final = 0x22A9052A  # of `_check_compiled`; changes only with the format of the streams
_NO_MASK: Final = 15  # in the four bits that name a mask
_SAMPLE = 100_000  # valid gates that planning looks at
_Band = tuple[F32, U8, slice]  # values, validity, rays to judge by
_NONE8 = np.zeros((0, 0), np.uint8)
_NONE32 = np.zeros((0, 0), np.int32)
_NONEF = np.zeros((0, 0), np.float32)
_MIXER_PACE, _MASK_PACE = 17, 15
_WEIGHT_MOST, _BIAS_MOST = 8191, 2**28  # 48 products of 2048 and a weight, and a bias: below 2^31
_SPREAD_MOST = 2**24  # the escape code of values.py has room for distances up to 2^25
_MAGIC = b"SCM2"
_LAYOUT: Final = (
    ("w1", (HIDDEN, FEATURES), "<i2"),
    ("w2", (HIDDEN, HIDDEN), "<i2"),
    ("w3", (HIDDEN, HIDDEN), "<i2"),
    ("b1", (len(CLASSES), HIDDEN), "<i4"),
    ("b2", (len(CLASSES), HIDDEN), "<i4"),
    ("b3", (len(CLASSES), HIDDEN), "<i4"),
)


def class_of(var: str) -> int:
    """Number of a variable's family in `CLASSES`.

    Example:
        >>> CLASSES[class_of("UPHIDP")], CLASSES[class_of("SOMETHING")]
        ('PHIDP', 'other')
    """
    name = family(var)
    if name.startswith(("SNR", "reflectivity")):
        return 1
    return CLASSES.index(name) if name in CLASSES else 0


def _order(variables: Sequence[str]) -> list[str]:
    def rank(var: str) -> tuple[int, int, str]:
        first = _FIRST.index(var) if var in _FIRST else len(_FIRST)
        return first, class_of(var) or len(CLASSES), var

    return sorted(variables, key=rank)


def twin_of(var: str, variables: Sequence[str]) -> str | None:
    """The variable coded before `var` that measures the same quantity, or None.

    Example:
        >>> twin_of("TH", ["VRADH", "TH", "DBZH"]), twin_of("ZDR", ["ZDR", "DBZH"])
        ('DBZH', None)
    """
    kind = class_of(var)
    for other in _order(variables):
        if other == var:
            return None
        if kind and class_of(other) == kind:
            return other
    return None


def _best_references(mask: U8, known: Sequence[U8]) -> list[int]:
    """Positions of up to two masks that, together, say most about this one (least conditional entropy)."""
    few = mask[:: max(1, mask.shape[0] // 120)]
    chosen: list[int] = []
    base = few.astype(np.int16)
    best = _entropy(base, 3)
    for _ in range(2):
        found = -1
        for at, other in enumerate(known):
            if at in chosen or other.shape != mask.shape:
                continue
            joint = base + np.int16(3 ** (len(chosen) + 1)) * other[:: max(1, mask.shape[0] // 120)]
            left = _entropy(joint, 3 ** (len(chosen) + 2))
            if left < best - 1e-4:
                best, found, kept = left, at, joint
        if found < 0:
            break
        chosen.append(found)
        base = kept
    return chosen


def _entropy(joint: NDArray[np.int16], size: int) -> float:
    """Entropy of the lowest ternary digit given the others, in bits per gate."""
    counts = np.bincount(joint.ravel(), minlength=size).reshape(-1, 3).astype(np.float64)
    total = counts.sum(1, keepdims=True)
    part = np.where(counts > 0, counts * np.log2(np.maximum(total, 1) / np.maximum(counts, 1)), 0.0)
    return float(part.sum() / max(joint.size, 1))


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
        for key, shape, _ in _LAYOUT:
            if key not in arrays or tuple(arrays[key].shape) != shape:
                raise CheckpointError(
                    f"the context model has no array {key} of shape {shape}: not one of this version"
                )
            most = _WEIGHT_MOST if key.startswith("w") else _BIAS_MOST
            if arrays[key].dtype.kind != "i" or not -most <= arrays[key].min() <= arrays[key].max() <= most:
                raise CheckpointError(
                    f"the context model's {key} is not integers up to {most}: its sums would not be exact"
                )
        self.arrays = {k: np.ascontiguousarray(arrays[k], np.int32) for k, _, _ in _LAYOUT}
        self.checkpoint = ""
        """Hash of the checkpoint that the arrays came from; "" where they came from elsewhere."""
        self._tables = (compander(), squash(), stretch(), rates())
        _check_compiled()
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
        size = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for _, shape, kind in _LAYOUT)
        if model[:4] != _MAGIC or len(model) != 8 + size:
            raise CheckpointError("these bytes are no context model, or one of another version")
        if struct.unpack_from("<I", model, 4)[0] != zlib.crc32(model[8:]):
            raise CheckpointError("the context model is damaged: its checksum differs")
        at, arrays = 8, {}
        for key, shape, kind in _LAYOUT:
            count = int(np.prod(shape))
            arrays[key] = np.frombuffer(model, kind, count, at).reshape(shape).astype(np.int32)
            at += count * np.dtype(kind).itemsize
        return cls(arrays)

    @cached_property
    def model(self) -> bytes:
        """The model as four kilobytes: magic, CRC-32, weights, biases.

        Not compressed: stores name a model by the hash of these bytes, and what a compressor writes depends
        on its version.
        """
        body = b"".join(self.arrays[key].astype(kind).tobytes() for key, _, kind in _LAYOUT)
        return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body

    def _network(self, var: str) -> tuple[NDArray[np.int32], ...]:
        a, k = self.arrays, class_of(var)
        return a["w1"], a["b1"][k], a["w2"], a["b2"][k], a["w3"], a["b3"][k]

    # -- what it looks at

    def order(self, variables: Sequence[str]) -> list[str]:
        """Reflectivity first: its mask serves the others."""
        return _order(variables)

    def twin(self, var: str, variables: Sequence[str]) -> str | None:
        """See `twin_of`; variables with a twin are best coded with the twin's step."""
        return twin_of(var, variables)

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """Masks: those coded before, here and in the last volume. Values: own mask, a twin, the last volume.

        Of the masks coded before, a chunk names up to two that it was coded with; only those are read.
        """
        if kind == "mask":
            order = _order(variables)
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
        known = [_mask_of(ctx, v, plane.shape) for v in names] if ctx is not None else []
        chosen = _best_references(plane, known)
        thin = _repetition(plane)
        data = np.zeros(plane.size + 4096, np.uint8)
        size = self._mask(var, plane, [known[k] for k in chosen], ctx, thin, data, False)
        if size > data.size:
            raise OverflowError("a mask took more bits than it has gates")
        picked = [*chosen, _NO_MASK, _NO_MASK]
        return bytes([picked[0] * 16 + picked[1], thin]) + data[:size].tobytes()

    def decode_mask(self, var: str, payload: bytes, ctx: SweepContext | None, shape: Any = None) -> U8:
        """The inverse of `encode_mask`."""
        if len(payload) < 2 or not 1 <= payload[1] <= _REPETITIONS[0]:
            raise DamagedStore("the payload is cut short, or its head is impossible")
        plane = np.zeros(shape if ctx is None else ctx.shape, np.uint8)
        names = self._mask_names(var, ctx)
        known = []
        for k in (payload[0] >> 4, payload[0] & 15):
            if k != _NO_MASK:
                if k >= len(names) or ctx is None:
                    raise DamagedStore("the payload names a mask that the sweep does not have")
                known.append(_mask_of(ctx, names[k], plane.shape))
        data = np.frombuffer(payload, np.uint8, offset=2).copy()
        self._mask(var, plane, known, ctx, payload[1], data, True)
        return plane

    @staticmethod
    def _mask_names(var: str, ctx: SweepContext | None) -> list[str]:
        if ctx is None:
            return []
        order = _order(ctx.variables)
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
        first, second = [*known, _NONE8, _NONE8][:2]
        before = _NONE8
        if ctx is not None and ctx.previous is not None:
            before = _mask_of(ctx.previous, var, plane.shape)
        few = _every(plane, thin)
        size = code_mask(
            few,
            _every(first, thin),
            _every(second, thin),
            _every(before, thin),
            self._mask_tables,
            _MASK_PACE,
            data,
            decoding,
        )
        if decoding:
            plane[...] = _expand(few, thin, plane.shape[1])
        return int(size)

    # -- values

    def encode_values(
        self, var: str, values: F32, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> tuple[bytes, I32]:
        """Code the valid values of one plane; indices may differ from the nearest where that saves bits.

        Raises:
            OverflowError: where this codec cannot code the values: on no grid, or spread too wide.
        """
        valid = validity == 0
        if spec.step <= 0:
            raise OverflowError("values on no grid: the context codec codes indices")
        if not valid.any():
            return b"", np.zeros(values.shape, np.int32)
        nearest = quantise(values, validity, spec)
        low, high = int(nearest[valid].min()), int(nearest[valid].max())
        if high - low > _SPREAD_MOST or spec.period > _SPREAD_MOST:
            raise OverflowError("the values spread too wide for this step")
        beside_twin = ctx is not None and twin_of(var, ctx.variables) is not None
        price = 0.0 if "f" not in spec.extra else _TWIN_PRICE if beside_twin else _PRICE
        if price:
            target = _steps(values, validity, spec)
            indices = np.zeros(values.shape, np.int32)
        else:
            target, indices = _NONEF, nearest
        thin = _repetition(validity, np.where(valid, values, np.float32(0)))
        data = np.zeros(int(valid.sum()) * 10 + 4096, np.uint8)
        size = self._values(var, indices, validity, spec, ctx, target, price, (low, high, thin), data, False)
        if size > data.size:
            raise OverflowError("a plane took more bits than it has values")
        return _pack_head(low, high, thin) + data[:size].tobytes(), indices

    def decode_indices(
        self, var: str, payload: bytes, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> I32:
        """Indices ``[rays, gates]``, 0 where invalid."""
        indices = np.zeros(validity.shape, np.int32)
        if not payload and not (validity == 0).any():
            return indices
        low, high, thin, start = _unpack_head(payload)
        inside = -LARGEST_INDEX <= low <= high <= LARGEST_INDEX and 1 <= thin <= _REPETITIONS[0]
        if not inside or high - low > _SPREAD_MOST or spec.period > _SPREAD_MOST:
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
        twin, twin_mask, before, before_mask = _NONE32, _NONE8, _NONE32, _NONE8
        if ctx is not None:
            other = twin_of(var, ctx.variables)
            if other is not None:
                twin, twin_mask = _plane_of(ctx, other, spec, indices.shape)
            if ctx.previous is not None:
                before, before_mask = _plane_of(ctx.previous, var, spec, indices.shape)
        few = _every(indices, thin)
        size = int(
            code_values(
                few,
                _every(np.ascontiguousarray(validity, np.uint8), thin),
                _every(target, thin),
                np.float32(price),
                np.float32(np.inf),
                low,
                high,
                max(spec.period, high - low + 1) if spec.period else 0,
                _every(twin, thin),
                _every(twin_mask, thin),
                _every(before, thin),
                _every(before_mask, thin),
                self._network(var),
                self._tables,
                _costs(),
                _MIXER_PACE,
                data,
                decoding,
            )
        )
        if thin > 1:
            indices[...] = _expand(few, thin, indices.shape[1])
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
        thin = _repetition(validity, indices)
        few = _every(indices, thin), _every(np.ascontiguousarray(validity, np.uint8), thin)
        shift = _expand(smooth.shifts(*few, filt, spec.period, circle), thin, indices.shape[1])
        wide = (indices * np.float64(256) + shift) * (spec.step / 256)
        wide += spec.origin
        out = wide.astype(np.float32)
        out[validity != 0] = np.nan
        return out

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
        sample = _sample(sweeps)
        flat = [v[m == 0] for v, m, _ in sample]
        unique = np.unique(np.concatenate(flat)) if flat else np.zeros(0, np.float32)
        if unique.size == 0:
            return QuantSpec(1.0, 0.0)
        if lossless:
            every = np.unique(np.concatenate([np.unique(v[m == 0]) for v, m in sweeps]))
            return exact_grid(every, packings) or QuantSpec(0.0, 0.0, bound=0.0)
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
            return self._seek(var, sample, psnr if psnr is not None else 35.0, peak, period, like)
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
            values = np.concatenate([v[m == 0] for v, m, _ in sample])
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
        for values, validity, inner in sample:
            _, indices = self.encode_values(var, values, validity, bare, None)
            thin = _repetition(validity, indices)
            exact = _steps(values, validity, bare)
            planes.append(
                (_every(indices, thin), _every(validity, thin), _every(exact, thin), bare.period, inner)
            )
        filt = smooth.fit(planes, False)
        error, count = 0.0, 0
        for indices, validity, target, turn, inner in planes:
            valid = np.zeros(validity.shape, bool)
            valid[inner] = validity[inner] == 0
            shift = smooth.shifts(indices, validity, filt, turn, False)
            off = target[valid] - indices[valid] - shift[valid] / 256.0
            error += float((off.astype(np.float64) ** 2).sum())
            count += int(valid.sum())
        rms = step * float(np.sqrt(error / max(count, 1)))
        reached = 20 * float(np.log10(peak / rms)) if rms > 0 else 999.0
        return reached, QuantSpec(step, bare.origin, period=bare.period, extra={"f": filt.to_text()})


def _mask_of(ctx: SweepContext, var: str, shape: tuple[int, int]) -> U8:
    try:
        plane = ctx.mask(var)
    except KeyError:
        return _NONE8
    return np.ascontiguousarray(plane, np.uint8) if plane.shape == shape else _NONE8


def _plane_of(ctx: SweepContext, var: str, spec: QuantSpec, shape: tuple[int, int]) -> tuple[I32, U8]:
    """Indices of another plane, in the steps of this one, and its mask."""
    mask = _mask_of(ctx, var, shape)
    if not mask.size:
        return _NONE32, _NONE8
    try:
        indices, other = ctx.indices(var), ctx.spec(var)
    except KeyError:
        return _NONE32, _NONE8
    if other.step <= 0 or spec.step <= 0:
        return _NONE32, _NONE8
    if other.step == spec.step and other.origin == spec.origin:
        return np.ascontiguousarray(indices, np.int32), mask
    # float64 multiply, add and floor are the same everywhere (IEEE 754)
    moved = np.floor((indices * other.step + (other.origin - spec.origin)) / spec.step + 0.5)
    return np.clip(moved, -LARGEST_INDEX, LARGEST_INDEX).astype(np.int32), mask


def _steps(values: F32, validity: U8, spec: QuantSpec) -> F32:
    scaled = np.subtract(values, spec.origin, dtype=np.float64) / spec.step
    return np.where(validity == 0, scaled, 0.0).astype(np.float32)


def _origin(var: str, step: float, sample: Sequence[_Band]) -> float:
    """Value of index 0.

    In reflectivity, 20 dBZ (where echo begins to count) is an edge between two cells. Correlations crowd just
    below 1: a cell's centre at 0.97 keeps most of rain in one cell (2 to 25 % fewer bits than centres at
    multiples of the step). Phases crowd at the system's own: there is a centre in the fullest of 200 classes
    (0 to 20 % fewer).
    """
    name = CLASSES[class_of(var)]
    if name != "PHIDP":
        return float(np.float32({"DBZH": 20.0 - 0.5 * step, "RHOHV": 0.97}.get(name, 0.0)))
    counts, edges = np.histogram(np.concatenate([v[m == 0] for v, m, _ in sample]), 200)
    at = int(counts.argmax())
    return float(np.float32(0.5 * (edges[at] + edges[at + 1])))


@cache
def _check_compiled() -> None:
    """Code a known plane and mask with the compiled functions and compare.

    numba keeps machine code and takes it for current while a source file's date and size are the same. Code
    of another version would write streams that nobody else can read; it is found out here, once per process.
    """
    y, x = np.mgrid[0:24, 0:40]
    mask = ((x * x + 3 * y * x + y * y) % 11 > 7).astype(np.uint8) * np.uint8(2)
    mask[(x + y) % 13 == 0] = 1
    plane = np.where(mask == 0, (x // 5 + y // 7 + (x * y) % 3), 0).astype(np.int32)
    tables = (compander(), squash(), stretch(), rates())
    square, bias = np.zeros((HIDDEN, HIDDEN), np.int32), np.zeros(HIDDEN, np.int32)
    net = (np.ones((HIDDEN, FEATURES), np.int32), bias, square + 300, bias, square - 200, bias)
    data = np.zeros(8192, np.uint8)
    none = (_NONE32, _NONE8, _NONE32, _NONE8)
    free = np.float32(0), np.float32(np.inf)
    size = code_values(
        plane, mask, _NONEF, *free, 0, 20, 0, *none, net, tables, _costs(), _MIXER_PACE, data, False
    )
    found = zlib.crc32(data[: int(size)].tobytes())
    data[:] = 0
    size = code_mask(mask, _NONE8, _NONE8, _NONE8, tables[1:], _MASK_PACE, data, False)
    found = zlib.crc32(data[: int(size)].tobytes(), found)
    if found != _KNOWN_ANSWER:
        raise CheckpointError(
            f"the compiled coder gives {found:#010x} where this version gives {_KNOWN_ANSWER:#010x}: machine "
            "code of another version is in numba's cache; delete the __pycache__ folder of "
            "sciai/radar/model/context, or set NUMBA_CACHE_DIR to an empty folder"
        )


def _pack_head(low: int, high: int, thin: int) -> bytes:
    """Repetition, smallest index and spread as 7-bit groups, the sign of the first in its lowest bit."""
    out = bytearray([thin])
    for number in ((low << 1) ^ (low >> 63), high - low):
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _unpack_head(payload: bytes) -> tuple[int, int, int, int]:
    """Smallest and largest index, repetition, and where the coded bits begin."""
    numbers, at = [], 1
    for _ in range(2):
        number = shift = 0
        while True:
            if at >= len(payload) or shift > 35:
                raise DamagedStore("the payload is cut short")
            number |= (payload[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if payload[at - 1] < 0x80:
                break
        numbers.append(number)
    low = (numbers[0] >> 1) ^ -(numbers[0] & 1)
    return low, low + numbers[1], payload[0], at


def _repetition(mask: NDArray[Any], values: NDArray[Any] | None = None) -> int:
    """How often each gate is repeated along the ray (1 km reflectivity on 250 m gates: 4), or 1."""
    planes = [mask] if values is None else [mask, values]
    for times in _REPETITIONS:
        if mask.shape[1] >= 8 * times and all(
            np.array_equal(_expand(p[rays, ::times], times, p.shape[1]), p[rays])
            for rays in (slice(None, None, 37), slice(None))  # a few rays mostly settle it
            for p in planes
        ):
            return times
    return 1


def _every(plane: NDArray[Any], times: int) -> NDArray[Any]:
    """One gate of each run of repeated ones."""
    return np.ascontiguousarray(plane[:, ::times])


def _expand(plane: NDArray[Any], times: int, gates: int) -> NDArray[Any]:
    """The inverse of `_every`."""
    return plane if times == 1 else np.repeat(plane, times, axis=1)[:, :gates]


def _round(step: float) -> float:
    """A step that float32 holds exactly, not larger: chunk headers keep it in four bytes."""
    near = np.float32(step)
    return float(near if float(near) <= step else np.nextafter(near, np.float32(0)))


def _turn(step: float, period: float | None) -> int:
    return round(period / step) if period and step > 0 and period / step < 2**20 else 0


def _sample(sweeps: Sequence[tuple[F32, U8]]) -> list[_Band]:
    """All planes of a small volume; of a large one bands of rays, all around, from sweeps all the way up.

    Every sweep gives the same share of its gates, as each counts in the PSNR.
    """
    count = len(sweeps)
    chosen = list(range(count)) if count <= 16 else sorted({round(i * (count - 1) / 15) for i in range(16)})
    planes = [sweeps[at] for at in chosen]
    total = sum(int((m == 0).sum()) for _, m in planes)
    found = []
    for n, (values, validity) in enumerate(planes):
        rays = values.shape[0]
        wanted = rays if total <= _SAMPLE else max(12, rays * _SAMPLE // total)
        for band in _bands(rays, min(wanted, rays), n):
            if (validity[band] == 0).any():
                some = np.ascontiguousarray(values[band], np.float32)
                # rays at the edge of a band lack neighbours that they have in the volume: not judged by
                inner = slice(0, rays) if wanted >= rays else slice(2, some.shape[0] - 2)
                found.append((some, np.ascontiguousarray(validity[band], np.uint8), inner))
    return found


def _bands(rays: int, wanted: int, shift: int) -> list[slice]:
    """Up to eight bands, evenly spread, of at least twelve rays each and about `wanted` in all."""
    if wanted >= rays:
        return [slice(0, rays)]
    bands = max(1, min(8, wanted // 12))
    width, gap = wanted // bands, rays // bands
    first = (shift * 11) % max(1, gap - width + 1)
    return [slice(first + k * gap, first + k * gap + width) for k in range(bands)]


_COSTS: list[NDArray[np.float32]] = []


def _costs() -> NDArray[np.float32]:
    """Bits by logit; only the encoder's choice of indices depends on it, so floats will do."""
    if not _COSTS:
        x = np.arange(-2816, 2817) / 256
        _COSTS.append(np.log2(1 + np.exp(-x)).astype(np.float32))
    return _COSTS[0]
