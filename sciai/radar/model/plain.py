"""The classical codec: nearest-index quantiser, one-dimensional differences, context-modelling LZMA.

It learns nothing, needs nothing but numpy and the standard library to decode, and is exact on masks. The
store falls back on it wherever a learned codec does not pay or misses its bound, and it alone codes floats
exactly (step 0).

Streams are raw LZMA1 (no container), whose literal coder is an adaptive binary range coder; symbols are
packed so that it sees several at once (`pack_symbols`).
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import DamagedStore
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.quantise import (
    LISTED,
    dequantise,
    exact_grid,
    quantise,
    step_for_error,
    step_for_psnr,
)

__all__ = ["PlainCodec", "pack_bytes", "pack_symbols", "unpack_bytes", "unpack_symbols"]

_LEFT, _UP = 0, 1
_CONSTANT = 0x80
_SAMPLE = 65_536  # values per sweep that planning looks at
_SAMPLES = 1 << 20  # and of the volume


class PlainCodec:
    """Quantise, difference, LZMA.

    Example:
        >>> codec = PlainCodec()
        >>> values = np.float32([[1.0, 1.5, np.nan], [1.2, 1.4, 9.0]])
        >>> validity = np.uint8([[0, 0, 1], [0, 0, 0]])
        >>> spec = codec.plan("DBZH", [(values, validity)], max_error=0.1, peak=70.0, period=None)
        >>> payload, indices = codec.encode_values("DBZH", values, validity, spec, None)
        >>> back = codec.decode_indices("DBZH", payload, validity, spec, None)
        >>> bool((back == indices).all())
        True
    """

    name = "plain"
    model = b""

    def order(self, variables: Sequence[str]) -> list[str]:
        """Alphabetical; the first variable's mask serves the others as reference."""
        return sorted(variables)

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """A mask looks at the first variable's mask, values at their own mask."""
        if kind == "values":
            return [(var, "mask", "here")]
        first = self.order(variables)[0] if variables else var
        return [] if first == var else [(first, "mask", "here")]

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
        """See `SweepCodec.plan`.

        Args:
            var: Name.
            sweeps: (values, validity) pairs.
            psnr: Wanted PSNR in dB.
            max_error: Wanted largest absolute error in the variable's unit.
            lossless: Every value must come back exactly.
            peak: Peak of the PSNR.
            period: Of a circular variable, in its unit.
            packings: (scale, offset) pairs of the source, tried for lossless coding.
        """
        unique, counts, low, high = _survey(sweeps)
        if unique.size == 0:
            return QuantSpec(1.0, 0.0)
        if low == high:
            return QuantSpec(1.0, low, bound=np.inf if max_error is None else max_error)
        if lossless:
            complete = unique.size <= LISTED
            if complete:  # of a sample; is that all?
                unique = np.unique(np.concatenate([np.unique(v[m == 0]) for v, m in sweeps]))
            return exact_grid(unique, packings, complete=complete) or QuantSpec(0.0, 0.0, bound=0.0)
        steps = []
        if max_error is not None:
            steps.append(step_for_error(max_error, max(abs(low), abs(high))))
        if psnr is not None:
            steps.append(step_for_psnr(unique, counts, psnr, peak, low))
        step = min(steps) if steps else 0.0
        if step <= 0 or (high - low) / step >= 2**29:
            return QuantSpec(0.0, 0.0, bound=0.0)
        bound = np.inf if max_error is None else max_error
        turn = 0 if period is None else int(np.floor((high - low) / step + 0.5)) + 1
        return QuantSpec(
            step, low, period=turn if turn * step >= 0.9 * (period or np.inf) else 0, bound=bound
        )

    def encode_mask(self, var: str, validity: U8, ctx: SweepContext | None) -> bytes:
        """The smallest of: change along the ray or from ray to ray, of itself or against a reference."""
        if validity.size == 0 or (validity == validity.flat[0]).all():
            return bytes([_CONSTANT | int(validity.flat[0] if validity.size else 0)])
        candidates = [self._mask_stream(validity, 0)]
        reference = self._reference(var, ctx)
        if reference is not None:
            candidates.append(self._mask_stream((validity + np.uint8(3) - reference) % np.uint8(3), 4))
        return min(candidates, key=len)

    @staticmethod
    def _mask_stream(trits: U8, flags: int) -> bytes:
        streams = []
        for way in (_LEFT, _UP):
            change = trits.copy()
            if way == _LEFT:
                change[:, 1:] = (trits[:, 1:] + np.uint8(3) - trits[:, :-1]) % 3
            else:
                change[1:] = (trits[1:] + np.uint8(3) - trits[:-1]) % 3
            along = change if way == _LEFT else change.T
            streams.append(bytes([flags | way]) + pack_bytes(_five_trits(along)))
        return min(streams, key=len)

    def _reference(self, var: str, ctx: SweepContext | None) -> U8 | None:
        if ctx is None:
            return None
        deps = self.depends(var, "mask", ctx.variables)
        try:
            return ctx.mask(deps[0][0]) if deps else None
        except KeyError:  # another codec set the order of variables, and the reference is coded later
            return None

    def decode_mask(self, var: str, payload: bytes, ctx: SweepContext) -> U8:
        """The inverse of `encode_mask`."""
        rays, gates = ctx.shape
        if not payload:
            raise DamagedStore("an empty mask payload")
        flags = payload[0]
        if flags & _CONSTANT:
            return np.full((rays, gates), flags & 3, np.uint8)
        count = rays * gates
        change = _from_five_trits(unpack_bytes(payload[1:], -(-count // 5)), count)
        change = change.reshape(gates, rays).T if flags & 1 else change.reshape(rays, gates)
        # sums of trits reach 2 * 65535 at most: int32 holds them
        trits = (np.cumsum(change, axis=0 if flags & 1 else 1, dtype=np.int32) % 3).astype(np.uint8)
        if flags & 4:
            reference = self._reference(var, ctx)
            if reference is None:
                raise DamagedStore(f"the mask of {var} refers to another mask that is not there")
            trits = (trits + reference) % np.uint8(3)
        return trits

    def encode_values(
        self, var: str, values: F32, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> tuple[bytes, I32]:
        """Differences to the last valid gate of the ray, or of the range bin, whichever costs less."""
        indices = quantise(values, validity, spec)
        valid = validity == 0
        coded = indices[valid]
        if coded.size == 0 or (coded == coded[0]).all():
            base = int(coded[0]) if coded.size else 0
            return struct.pack("<Bi", _CONSTANT, base), indices
        base = int(np.median(coded)) if spec.step else int(coded[0])
        turn = spec.period if spec.period > 0 and coded.min() >= 0 and coded.max() < spec.period else 0
        streams = []
        for way in (_LEFT, _UP):
            residual = _differences(indices, valid, base, way)
            if turn:
                residual = (residual + turn // 2) % turn - turn // 2
            symbols = _zigzag(residual)
            streams.append((float(np.log2(1.0 + symbols.astype(np.float64)).sum()), way, symbols))
        _, way, symbols = min(streams, key=lambda s: s[:2])
        head = struct.pack("<BiI", way, base, turn)
        return head + pack_symbols(symbols), indices

    def decode_indices(
        self, var: str, payload: bytes, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> I32:
        """The inverse of `encode_values`, without the quantiser."""
        valid = validity == 0
        flags, base = struct.unpack_from("<Bi", payload)
        if flags & _CONSTANT:
            return np.where(valid, np.int32(base), np.int32(0))
        (turn,) = struct.unpack_from("<I", payload, 5)
        symbols = unpack_symbols(payload[9:], int(valid.sum()))
        return _sums(_unzigzag(symbols), valid, base, flags & 1, turn)

    def reconstruct(
        self, var: str, indices: I32, validity: U8, spec: QuantSpec, ctx: SweepContext | None
    ) -> F32:
        """Index times step plus origin."""
        return dequantise(indices, validity, spec)


def pack_symbols(symbols: NDArray[np.uint32]) -> bytes:
    """Mostly small numbers, ``[n]``, packed so that LZMA's literal coder sees several of them at once.

    Eight numbers below 1, four below 3, or two below 15, share a byte, the highest code being an escape: the
    adaptive binary tree of that byte then learns their joint distribution, which comes closer to the entropy
    than one number to a byte, where matches get in the way. Escaped numbers follow in the same way, less what
    the escape says.

    Example:
        >>> numbers = np.random.default_rng(0).geometric(0.7, 5000).astype(np.uint32) - np.uint32(1)
        >>> bool((unpack_symbols(pack_symbols(numbers), 5000) == numbers).all())
        True
    """
    fits = [
        share for share, escape, part in _SHARES if symbols.size >= 16 and (symbols >= escape).mean() < part
    ]
    share = max(fits, default=1)
    if share > 1:
        escape = np.uint32((1 << (8 // share)) - 1)
        low = np.zeros(-(-symbols.size // share) * share, np.uint8)
        low[: symbols.size] = np.minimum(symbols, escape)
        shifts = np.arange(share, dtype=np.uint8) * np.uint8(8 // share)
        packed = pack_bytes(np.bitwise_or.reduce(low.reshape(-1, share) << shifts, axis=1))
        rest = pack_symbols(symbols[symbols >= escape] - escape)
        return struct.pack("<BI", share, len(packed)) + packed + rest
    width = (int(symbols.max(initial=0)).bit_length() + 7) // 8
    parts = [bytes([share, width])]
    for k in range(width):
        packed = pack_bytes((symbols >> np.uint32(8 * k)).astype(np.uint8))
        parts += [struct.pack("<I", len(packed)), packed]
    return b"".join(parts)


def unpack_symbols(data: bytes, count: int) -> NDArray[np.uint32]:
    """The inverse of `pack_symbols`.

    Raises:
        DamagedStore: where the stream is cut, or holds another number of symbols.
    """
    try:
        share = data[0]
        if share == 1:
            return _unpack_wide(data, count)
        if share not in (2, 4, 8):
            raise DamagedStore("a stream of the plain codec begins with nonsense")
        (length,) = struct.unpack_from("<I", data, 1)
    except (struct.error, IndexError) as err:
        raise DamagedStore("a stream of the plain codec is cut") from err
    escape = (1 << (8 // share)) - 1
    shifts = np.arange(share, dtype=np.uint8) * np.uint8(8 // share)
    packed = unpack_bytes(data[5 : 5 + length], -(-count // share))
    low = ((packed[:, None] >> shifts) & np.uint8(escape)).reshape(-1)[:count].astype(np.uint32)
    escaped = low == escape
    low[escaped] += unpack_symbols(data[5 + length :], int(escaped.sum()))
    return low


def _unpack_wide(data: bytes, count: int) -> NDArray[np.uint32]:
    symbols, at = np.zeros(count, np.uint32), 2
    for k in range(data[1]):
        (length,) = struct.unpack_from("<I", data, at)
        plane = unpack_bytes(data[at + 4 : at + 4 + length], count)
        symbols |= plane.astype(np.uint32) << np.uint32(8 * k)
        at += 4 + length
    return symbols


_SHARES = ((8, 1, 0.06), (4, 3, 0.01), (2, 15, 0.1))  # numbers in a byte, escape, part that may be escaped


def pack_bytes(symbols: NDArray[Any]) -> bytes:
    """Bytes ``[n]`` through raw LZMA1.

    Example:
        >>> data = np.arange(1000, dtype=np.uint8) % 7
        >>> bool((unpack_bytes(pack_bytes(data), 1000) == data).all())
        True
    """
    symbols = symbols.astype(np.uint8, copy=False)
    return lzma.compress(symbols.tobytes(), lzma.FORMAT_RAW, filters=_filters(symbols.size))


def unpack_bytes(data: bytes, count: int) -> U8:
    """The inverse of `pack_bytes`.

    Raises:
        DamagedStore: where the stream is cut or not LZMA, or holds another number of bytes.
    """
    try:
        raw = lzma.decompress(data, lzma.FORMAT_RAW, filters=_filters(count))
    except (lzma.LZMAError, EOFError) as err:
        raise DamagedStore(f"a stream of the plain codec does not decode ({err})") from err
    if len(raw) != count:
        raise DamagedStore(f"a stream of the plain codec holds {len(raw)} bytes instead of {count}")
    return np.frombuffer(raw, np.uint8)


def _filters(size: int) -> list[dict[str, Any]]:
    # measured on real volumes: no context of the byte before (lc 0), long matches for masks
    return [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": min(max(4096, size), 1 << 22),
            "lc": 0,
            "lp": 0,
            "pb": 0,
            "mode": lzma.MODE_NORMAL,
            "mf": lzma.MF_HC4,
            "nice_len": 273,
            "depth": 4,
        }
    ]


def _survey(sweeps: Sequence[tuple[F32, U8]]) -> tuple[F32, NDArray[np.int64], float, float]:
    """Distinct values of a sample with their counts, and the exact extremes over all sweeps."""
    samples: list[F32] = []
    low, high = np.inf, -np.inf
    most = min(_SAMPLE, 1 + _SAMPLES // max(1, len(sweeps)))
    for values, validity in sweeps:
        valid = values[validity == 0]
        if valid.size:
            low, high = min(low, float(valid.min())), max(high, float(valid.max()))
            samples.append(valid[:: 1 + valid.size // most].copy())  # a view would keep all of them
    if not samples:
        return np.empty(0, np.float32), np.empty(0, np.int64), 0.0, 0.0
    unique, counts = np.unique(np.concatenate(samples), return_counts=True)
    if unique.size > 4 * _SAMPLE:  # a continuous field: a quarter million quantiles describe it
        keep = slice(None, None, 1 + unique.size // (4 * _SAMPLE))
        unique, counts = unique[keep], counts[keep]
    return unique, counts, low, high


def _carry(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each cell of a row the column of the last valid cell before it, -1 where there is none."""
    columns = np.where(valid, np.arange(valid.shape[1]), -1)
    last = np.maximum.accumulate(columns, axis=1)
    before = np.full_like(last, -1)
    before[:, 1:] = last[:, :-1]
    return before


def _differences(indices: I32, valid: NDArray[np.bool_], base: int, way: int) -> NDArray[np.int64]:
    """Valid gates minus the valid gate before them along the ray (left) or azimuth (up), in ray order."""
    if way == _UP:
        before = _carry(valid.T).T
        other = np.take_along_axis(indices, np.maximum(before, 0), axis=0)
    else:
        before = _carry(valid)
        other = np.take_along_axis(indices, np.maximum(before, 0), axis=1)
    reference = np.where(before >= 0, other, base)
    return (indices.astype(np.int64) - reference)[valid]


def _sums(residual: NDArray[np.int64], valid: NDArray[np.bool_], base: int, way: int, turn: int) -> I32:
    """The inverse of `_differences`: 0 on invalid gates, so that a running sum carries the last value."""
    plane = np.zeros(valid.shape, np.int64)
    plane[valid] = residual
    total = np.cumsum(plane, axis=0 if way == _UP else 1)
    total += base
    if turn:
        total %= turn
    return np.where(valid, total, 0).astype(np.int32)


def _zigzag(residual: NDArray[np.int64]) -> NDArray[np.uint32]:
    # modulo 2^32: differences of float bits may wrap, their sums wrap back
    narrow = residual.astype(np.int32)
    return ((narrow << 1) ^ (narrow >> 31)).view(np.uint32)


def _unzigzag(symbols: NDArray[np.uint32]) -> NDArray[np.int64]:
    half = (symbols >> np.uint32(1)).view(np.int32)
    return (half ^ -(symbols & np.uint32(1)).view(np.int32)).astype(np.int64)


def _five_trits(trits: U8) -> U8:
    """Five values of 0..2 in one byte (3^5 = 243)."""
    flat = np.zeros(-(-trits.size // 5) * 5, np.uint8)
    flat[: trits.size] = trits.ravel()
    return (flat.reshape(-1, 5) @ np.array([1, 3, 9, 27, 81], np.uint8)).astype(np.uint8)


def _from_five_trits(packed: U8, count: int) -> U8:
    if packed.size and packed.max() > 242:
        raise DamagedStore("a mask stream that is none")
    trits: U8 = _TRITS[packed].reshape(-1)[:count]
    return trits


_TRITS: U8 = (np.arange(243)[:, None] // np.array([1, 3, 9, 27, 81]) % 3).astype(np.uint8)
