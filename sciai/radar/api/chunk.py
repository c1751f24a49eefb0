"""One chunk = one coded plane: a self-describing header, a CRC, the codec's payload.

Everything that decoding the plane needs beside other planes and the model is under the chunk's CRC: an edit
of ``zarr.json`` or ``quantisers.json`` cannot change what a chunk means. The CRC also covers the chunk's
place (``sweep_3/DBZH``), so that two chunks that changed places are found out.

What all chunks of a store would repeat (`Said`: shape, names of the sweep's fields, model, quantiser) stands
once in those two files and enters the CRC only. Layout, little endian: version 2 and flags, codec number and
flags, CRC-32 of what is said, place and all the rest, number of the sweep below (varint), quantiser and
corrections of strong echo (length as varint) where the flags say so; the payload follows to the end. Six
bytes in all, mostly.

Chunks of version 1, and those that say something else than their store does, say it all themselves: magic
``SR``, version, codec number, flags, CRC-32 of place and all the rest, rays and gates (varints), hash of the
sweep's variable names (2 bytes), then as the flags say: number of the sweep below (varint), first 8 bytes of
the model's SHA-256, quantiser, corrections; the payload follows.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from sciai.core.errors import DamagedStore
from sciai.radar.model.interface import Kind, QuantSpec
from sciai.radar.model.registry import CODECS

__all__ = [
    "Chunk",
    "Said",
    "crc_of",
    "names_hash",
    "pack",
    "pack_spec",
    "read_varint",
    "unpack",
    "unpack_spec",
    "varint",
]

_MAGIC: Final = b"SR"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<2sBBBI")

_VALUES, _CIRCLE, _BELOW, _PREVIOUS, _MODEL, _SIDE = 1, 2, 4, 8, 16, 32
_SHORT: Final = struct.Struct("<BBI")
_SHORT_VERSION: Final = 2  # in the low four bits of the first byte; those of "S" are 3
_OWN_SPEC, _OWN_SIDE = 128, 64  # in the second byte, above the codec's number
_PERIOD, _BOUND, _EXTRA, _WIDE, _FILTER = 1, 2, 4, 8, 16  # flags of the quantiser


@dataclass(frozen=True)
class Chunk:
    """A coded plane.

    Attributes:
        codec: Name of the codec.
        kind: mask or values.
        shape: Rays, gates.
        full_circle: Whether azimuth is periodic.
        names: Hash of the names of the sweep's fields (`names_hash`).
        payload: The codec's bytes.
        below: Number of the sweep that coding looked at, or None.
        previous: Whether coding looked at the previous volume.
        model: First 16 hex digits of the model's SHA-256; "" where the codec has none.
        spec: The quantiser; None for a mask.
        side: Corrections of strong echo (`strong`); empty where there are none.
        crc: As read; 0 before packing.
    """

    codec: str
    kind: Kind
    shape: tuple[int, int]
    full_circle: bool
    names: int
    payload: bytes
    below: int | None = None
    previous: bool = False
    model: str = ""
    spec: QuantSpec | None = None
    side: bytes = b""
    crc: int = 0


@dataclass(frozen=True)
class Said:
    """What a store says once of all chunks of an array.

    Attributes:
        shape: Rays, gates.
        names: Hash of the names of the sweep's fields (`names_hash`).
        models: Codec -> first 16 hex digits of its model's SHA-256.
        specs: Codec -> quantiser of the variable.
    """

    shape: tuple[int, int]
    names: int
    models: Mapping[str, str] = field(default_factory=dict)
    specs: Mapping[str, QuantSpec] = field(default_factory=dict)


def names_hash(names: Sequence[str]) -> int:
    """Two bytes that tell whether a cached list of field names is still the store's.

    Example:
        >>> names_hash(["ZDR", "DBZH"]) == names_hash(["DBZH", "ZDR"])
        True
    """
    return zlib.crc32("\n".join(sorted(names)).encode()) & 0xFFFF


def crc_of(place: str, data: bytes) -> int:
    """CRC-32 of a packed chunk of version 1, its own CRC field left out.

    Args:
        place: ``sweep_3/DBZH``.
        data: The packed chunk.
    """
    return zlib.crc32(data[_HEAD.size :], zlib.crc32(data[: _HEAD.size - 4], zlib.crc32(place.encode())))


def pack(chunk: Chunk, place: str, said: Said | None = None) -> bytes:
    """The chunk as bytes.

    Args:
        chunk: What to pack.
        place: ``sweep_3/DBZH``.
        said: What the store says already, and the chunk need not.

    Example:
        >>> data = pack(Chunk("plain", "mask", (360, 500), True, 7, b"abc"), "sweep_0/DBZH")
        >>> unpack(data, "sweep_0/DBZH").payload, len(data)
        (b'abc', 18)
        >>> said = Said(shape=(360, 500), names=7)
        >>> len(pack(Chunk("plain", "mask", (360, 500), True, 7, b"abc"), "sweep_0/DBZH", said))
        9
    """
    if said is not None and _agrees(chunk, said):
        return _pack_short(chunk, place, said)
    flags = (
        _VALUES * (chunk.kind == "values")
        | _CIRCLE * chunk.full_circle
        | _BELOW * (chunk.below is not None)
        | _PREVIOUS * chunk.previous
        | _MODEL * bool(chunk.model)
        | _SIDE * bool(chunk.side)
    )
    parts = [varint(chunk.shape[0]), varint(chunk.shape[1]), struct.pack("<H", chunk.names)]
    if chunk.below is not None:
        parts.append(varint(chunk.below))
    if chunk.model:
        parts.append(bytes.fromhex(chunk.model[:16]))
    if chunk.kind == "values":
        parts.append(pack_spec(chunk.spec or QuantSpec(0.0, 0.0)))
    if chunk.side:
        parts.append(varint(len(chunk.side)) + chunk.side)
    parts.append(chunk.payload)
    data = _HEAD.pack(_MAGIC, _VERSION, CODECS.index(chunk.codec), flags, 0) + b"".join(parts)
    crc = crc_of(place, data)
    return data[: _HEAD.size - 4] + struct.pack("<I", crc) + data[_HEAD.size :]


def _agrees(chunk: Chunk, said: Said) -> bool:
    return (
        chunk.shape == said.shape
        and chunk.names == said.names
        and chunk.model == said.models.get(chunk.codec, "")
        and (chunk.kind == "values") == (chunk.spec is not None)
    )


def _pack_short(chunk: Chunk, place: str, said: Said) -> bytes:
    own = chunk.spec is not None and chunk.spec != said.specs.get(chunk.codec)
    flags = (
        _VALUES * (chunk.kind == "values")
        | _CIRCLE * chunk.full_circle
        | _BELOW * (chunk.below is not None)
        | _PREVIOUS * chunk.previous
    )
    parts = [varint(chunk.below)] if chunk.below is not None else []
    if own and chunk.spec is not None:
        parts.append(pack_spec(chunk.spec))
    if chunk.side:
        parts.append(varint(len(chunk.side)) + chunk.side)
    rest = b"".join([*parts, chunk.payload])
    number = CODECS.index(chunk.codec) | _OWN_SPEC * own | _OWN_SIDE * bool(chunk.side)
    head = bytes([_SHORT_VERSION | flags << 4, number])
    return head + struct.pack("<I", _short_crc(head, rest, place, chunk.codec, said)) + rest


def _short_crc(head: bytes, rest: bytes, place: str, codec: str, said: Said) -> int:
    """CRC-32 of what the store says of the chunk, of its place, its first two bytes and its rest."""
    shared = head[0] >> 4 & _VALUES and not head[1] & _OWN_SPEC
    spec = pack_spec(said.specs.get(codec, QuantSpec(0.0, 0.0))) if shared else b""
    told = struct.pack("<IIH", *said.shape, said.names) + said.models.get(codec, "").encode()
    return zlib.crc32(rest, zlib.crc32(head, zlib.crc32(place.encode(), zlib.crc32(told + spec))))


def _unpack_short(data: bytes, place: str, said: Said) -> Chunk:
    first, second, crc = _SHORT.unpack_from(data)
    flags, number, own = first >> 4, second & ~(_OWN_SPEC | _OWN_SIDE), bool(second & _OWN_SPEC)
    # an unknown codec has no name that could enter the CRC: damage is what it most likely is
    codec = CODECS[number] if number < len(CODECS) else ""
    if not codec or _short_crc(data[:2], data[_SHORT.size :], place, codec, said) != crc:
        raise DamagedStore(
            "its checksum does not match (bytes altered, the chunk of another array, or zarr.json or "
            "quantisers.json altered)"
        )
    at, below, spec, side = _SHORT.size, None, None, b""
    try:
        if flags & _BELOW:
            below, at = read_varint(data, at)
        if flags & _VALUES:
            spec, at = unpack_spec(data, at) if own else (said.specs.get(codec), at)
        if second & _OWN_SIDE:
            side, at = _read_side(data, at)
    except (IndexError, struct.error, ValueError, KeyError, TypeError) as err:
        raise DamagedStore(f"its header cannot be read ({err})") from err
    return Chunk(
        codec=codec,
        kind="values" if flags & _VALUES else "mask",
        shape=said.shape,
        full_circle=bool(flags & _CIRCLE),
        names=said.names,
        payload=data[at:],
        below=below,
        previous=bool(flags & _PREVIOUS),
        model=said.models.get(codec, ""),
        spec=spec,
        side=side,
        crc=crc,
    )


def unpack(data: bytes, place: str, said: Callable[[], Said] | None = None) -> Chunk:
    """The inverse of `pack`; checks the CRC before it believes anything else.

    Args:
        data: As read.
        place: ``sweep_3/DBZH``.
        said: Gives what the store says of the array; asked where the chunk relies on it.

    Raises:
        DamagedStore: where the bytes are not a chunk of this place; the message does not name the store.
    """
    if len(data) >= _SHORT.size and data[0] & 15 == _SHORT_VERSION and said is not None:
        return _unpack_short(data, place, said())
    if len(data) < _HEAD.size or data[:2] != _MAGIC:
        raise DamagedStore("it does not begin as a chunk does (cut short or overwritten)")
    _, version, codec, flags, crc = _HEAD.unpack_from(data)
    if crc_of(place, data) != crc:
        raise DamagedStore("its checksum does not match (bytes altered, or the chunk of another array)")
    if version > _VERSION or codec >= len(CODECS):
        raise DamagedStore(f"it was written by a newer sciai (format {version}); update sciai")
    at = _HEAD.size
    try:
        rays, at = read_varint(data, at)
        gates, at = read_varint(data, at)
        (names,) = struct.unpack_from("<H", data, at)
        at += 2
        below = None
        if flags & _BELOW:
            below, at = read_varint(data, at)
        model = ""
        if flags & _MODEL:
            model, at = data[at : at + 8].hex(), at + 8
        spec = None
        if flags & _VALUES:
            spec, at = unpack_spec(data, at)
        side = b""
        if flags & _SIDE:
            side, at = _read_side(data, at)
    except (IndexError, struct.error, ValueError, KeyError, TypeError) as err:
        raise DamagedStore(f"its header cannot be read ({err})") from err
    return Chunk(
        codec=CODECS[codec],
        kind="values" if flags & _VALUES else "mask",
        shape=(rays, gates),
        full_circle=bool(flags & _CIRCLE),
        names=names,
        payload=data[at:],
        below=below,
        previous=bool(flags & _PREVIOUS),
        model=model,
        spec=spec,
        side=side,
        crc=crc,
    )


def pack_spec(spec: QuantSpec) -> bytes:
    """A quantiser as bytes.

    Example:
        >>> unpack_spec(pack_spec(QuantSpec(0.5, -32.0)), 0)[0] == QuantSpec(0.5, -32.0)
        True
    """
    reals = [spec.step, spec.origin] + ([spec.bound] if spec.bound != inf else [])
    wide = any(struct.unpack("<f", struct.pack("<f", _clip(x)))[0] != x for x in reals)
    flags = (
        _PERIOD * bool(spec.period) | _BOUND * (spec.bound != inf) | _EXTRA * bool(spec.extra) | _WIDE * wide
    )
    out = bytes([flags]) + struct.pack(f"<{len(reals)}{'d' if wide else 'f'}", *reals)
    if spec.period:
        out += varint(spec.period)
    packed = _packed_filter(spec)
    if packed:
        out = bytes([out[0] & ~_EXTRA | _FILTER]) + out[1:] + varint(len(packed)) + packed
    elif spec.extra:
        text = json.dumps(dict(spec.extra), separators=(",", ":"), sort_keys=True).encode()
        out += varint(len(text)) + text
    return out


def unpack_spec(data: bytes, at: int) -> tuple[QuantSpec, int]:
    """The inverse of `pack_spec`, and where it ends."""
    flags = data[at]
    form = struct.Struct(f"<{2 + bool(flags & _BOUND)}{'d' if flags & _WIDE else 'f'}")
    reals = form.unpack_from(data, at + 1)
    at += 1 + form.size
    period, extra = 0, {}
    if flags & _PERIOD:
        period, at = read_varint(data, at)
    if flags & _EXTRA:
        length, at = read_varint(data, at)
        extra, at = json.loads(data[at : at + length]), at + length
    if flags & _FILTER:
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise ValueError("the filter is cut short")
        extra, at = {"f": base64.b85encode(data[at : at + length]).decode()}, at + length
    return QuantSpec(reals[0], reals[1], period, reals[2] if flags & _BOUND else inf, extra), at


def _read_side(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_varint(data, at)
    if at + length > len(data):
        raise ValueError("the corrections are cut short")
    return data[at : at + length], at + length


def _packed_filter(spec: QuantSpec) -> bytes:
    """The bytes of a reconstruction filter that stands alone in `extra`: two thirds of its JSON; else b""."""
    text = spec.extra.get("f")
    if len(spec.extra) != 1 or not isinstance(text, str):
        return b""
    try:
        packed = base64.b85decode(text)
    except ValueError:
        return b""
    return packed if base64.b85encode(packed).decode() == text else b""


def _clip(x: float) -> float:
    return max(-3e38, min(3e38, x))  # struct refuses to pack a larger one as float32


def varint(number: int) -> bytes:
    """A number from 0 on in as few bytes as seven bits each allow.

    Example:
        >>> varint(300), read_varint(varint(300), 0)
        (b'\\xac\\x02', (300, 2))
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The inverse of `varint`, and where it ends; an IndexError where the bytes end before."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
