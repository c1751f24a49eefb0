"""Self-contained lossless chunks: coordinates, and any array that a user writes with this serializer.

Coordinates of a small volume weigh as much as its echoes when they are stored as they are. They are angles
read from 16-bit encoders, ramps of ranges, times a few milliseconds apart: integers on a grid, of which the
first or second difference is nearly constant. Each array is tried as raw bits and as integers on the usual
grids, differenced zero to two times, in byte planes through LZMA; the smallest that gives back every bit is
stored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import BadInput, DamagedStore
from sciai.radar.model.plain import pack_bytes, unpack_bytes

__all__ = ["decode_standalone", "encode_standalone", "is_standalone"]

_MAGIC: Final = b"SA"
_HEAD: Final = struct.Struct("<2sBI3sB")
_BITS, _GRID, _GRID32 = 0, 1, 2
_STEPS: Final = (
    *(1.0, 0.5, 0.25, 0.125, 0.1, 0.05, 0.01, 0.005, 0.001, 1e-4, 1e-6),
    *(360 / 2**16, 360 / 2**15, 360 / 2**14, 180 / 2**15 / 8, 360 / 2**12),
)


def is_standalone(data: bytes) -> bool:
    """Whether the bytes begin as `encode_standalone` writes them."""
    return data[:2] == _MAGIC


def encode_standalone(array: NDArray[Any]) -> bytes:
    """An array of numbers or booleans as bytes, bit-exact.

    Raises:
        BadInput: where the array holds something else.

    Example:
        >>> ranges = np.arange(125, 200_000, 250, dtype=np.float32)
        >>> data = encode_standalone(ranges)
        >>> bool((decode_standalone(data) == ranges).all()), len(data) < 64
        (True, True)
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise BadInput(
            f"the sciai.radar serializer cannot hold {array.dtype}", fix="use zarr's own serializers for it"
        )
    native = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if native.nbytes <= 1 << 17:
        return _encoded(native.dtype.str, native.shape, native.tobytes())
    return _encode(native)


@lru_cache(maxsize=64)  # sweeps repeat one another's ranges and azimuths
def _encoded(dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
    return _encode(np.frombuffer(data, dtype).reshape(shape))


def _encode(native: NDArray[Any]) -> bytes:
    # most of the ways are hopeless: code only those that promise best
    ways = sorted(
        (way for ints, how in _as_integers(native) for way in _ways(ints, how)), key=lambda w: w.cost
    )
    best = min((way.body() for way in ways[:6]), key=len)
    shape = struct.pack(f"<{native.ndim}I", *native.shape)
    kind = native.dtype.str[1:].encode().ljust(3)
    head = _HEAD.pack(_MAGIC, 1, 0, kind, native.ndim)
    crc = zlib.crc32(head + shape + best)
    return _HEAD.pack(_MAGIC, 1, crc, kind, native.ndim) + shape + best


def decode_standalone(data: bytes) -> NDArray[Any]:
    """The inverse of `encode_standalone`.

    Raises:
        DamagedStore: where the bytes were altered, or are a chunk that needs others (that one can only be
            read through the store it belongs to).
    """
    if data[:2] == b"SR" or (data[:1] and data[0] & 15 == 2):  # see `chunk`
        raise DamagedStore(
            "this chunk is decoded with the help of others and can only be read in its store: "
            "open it with xarray or zarr from the store's root"
        )
    if len(data) < _HEAD.size or not is_standalone(data):
        raise DamagedStore("this is not a chunk of the sciai.radar codec (cut short or overwritten)")
    magic, version, crc, kind, ndim = _HEAD.unpack_from(data)
    if zlib.crc32(_HEAD.pack(magic, version, 0, kind, ndim) + data[_HEAD.size :]) != crc:
        raise DamagedStore("its checksum does not match (bytes altered)")
    shape = struct.unpack_from(f"<{ndim}I", data, _HEAD.size)
    dtype = np.dtype("<" + kind.decode().strip())
    return _from_body(data[_HEAD.size + 4 * ndim :], dtype, shape)


def _as_integers(array: NDArray[Any]) -> Iterator[tuple[NDArray[np.int64], bytes]]:
    """The array as int64, with the bytes that say how to come back."""
    flat = array.reshape(-1)
    if array.dtype.kind in "biu":
        yield flat.astype(np.int64), bytes([_BITS])
        return
    signed = np.dtype(f"<i{array.dtype.itemsize}")
    bits = flat.view(signed).astype(np.int64)
    span = (1 << (8 * array.dtype.itemsize - 1)) - 1
    yield np.where(bits < 0, bits ^ span, bits), bytes([_BITS])
    if flat.size < 3 or flat.size > 1 << 17 or not np.isfinite(flat).all():
        return
    wide = flat.astype(np.float64)
    gap = float(np.median(np.diff(wide)))
    for step in (*_STEPS, *((abs(gap), abs(gap) / 2) if gap else ())):
        ratio = wide / step
        if not np.abs(ratio).max() < 2**52:
            continue
        for how in (_GRID, _GRID32):
            codes = np.rint(ratio).astype(np.int64)
            if _on_grid(codes, step, how, array.dtype).tobytes() == flat.tobytes():
                yield codes, struct.pack("<Bd", how, step)
                break


def _on_grid(codes: NDArray[np.int64], step: float, how: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = codes * np.float64(step)
    return (values.astype(np.float32) if how == _GRID32 else values).astype(dtype)


@dataclass(frozen=True)
class _Way:
    """One way to write an array: differenced integers, and how they become the array again."""

    how: bytes
    seeds: tuple[int, ...]
    zigzag: NDArray[np.uint64]
    cost: float

    def body(self) -> bytes:
        width = (int(self.zigzag.max(initial=0)).bit_length() + 7) // 8
        planes = [pack_bytes((self.zigzag >> np.uint64(8 * k)).astype(np.uint8)) for k in range(width)]
        head = struct.pack(f"<BB{len(self.seeds)}Q", len(self.seeds), width, *self.seeds)
        return b"".join([self.how, head, *(struct.pack("<I", len(p)) + p for p in planes)])


def _ways(ints: NDArray[np.int64], how: bytes) -> Iterator[_Way]:
    rest = ints.view(np.uint64)
    seeds: list[int] = []
    for _ in range(3):
        zigzag = (rest << np.uint64(1)) ^ (rest.view(np.int64) >> 63).view(np.uint64)
        # bits of the magnitudes, or of distinct values where few repeat; each byte plane has its overhead
        distinct = np.unique(zigzag).size
        magnitudes = float(np.log2(1.0 + zigzag.astype(np.float64)).sum())
        bits = min(magnitudes, zigzag.size * np.log2(max(1, distinct)) + 40 * distinct)
        planes = (int(zigzag.max(initial=0)).bit_length() + 7) // 8
        yield _Way(how, tuple(seeds), zigzag, bits + 130 * planes + 64 * len(seeds) + 8 * len(how))
        if rest.size < 2:
            return
        seeds.append(int(rest[0]))
        rest = rest[1:] - rest[:-1]


def _from_body(body: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    how, at, step = body[0], 1, 0.0
    if how != _BITS:
        (step,) = struct.unpack_from("<d", body, 1)
        at = 9
    order, width = body[at], body[at + 1]
    seeds = struct.unpack_from(f"<{order}Q", body, at + 2)
    at += 2 + 8 * order
    count = int(np.prod(shape, dtype=np.int64)) - order
    zigzag = np.zeros(count, np.uint64)
    for k in range(width):
        (size,) = struct.unpack_from("<I", body, at)
        plane = unpack_bytes(body[at + 4 : at + 4 + size], count)
        zigzag |= plane.astype(np.uint64) << np.uint64(8 * k)
        at += 4 + size
    half = (zigzag >> np.uint64(1)).view(np.int64)
    ints = (half ^ -(zigzag & np.uint64(1)).view(np.int64)).view(np.uint64)
    for seed in reversed(seeds):
        ints = np.concatenate([[np.uint64(seed)], ints]).cumsum(dtype=np.uint64)
    codes = ints.view(np.int64)
    if how != _BITS:
        return _on_grid(codes, step, how, dtype).reshape(shape)
    if dtype.kind in "biu":
        return codes.astype(dtype).reshape(shape)
    span = (1 << (8 * dtype.itemsize - 1)) - 1
    signed = np.where(codes < 0, codes ^ span, codes).astype(f"<i{dtype.itemsize}")
    return signed.view(dtype).reshape(shape)
