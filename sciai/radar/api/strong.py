"""Strong echo is kept: where reflectivity is strong, decoded values are put right by a few bytes beside them.

At 35 dB a quantiser's step of reflectivity is nearly 5 dB wide, and what is rare is what a rate-distortion
choice and a fitted reconstruction are worst at: the strongest echo of half of all pieces came back more than
1.4 dB weaker. Strong is what reaches, before coding or after, 45 dBZ or (where nothing does) the strongest
echo of its sweep: some thousandths of all gates. Their nearest index is coded (`snapped`). Where one is
still off by more than the bound, or on the other side of 45 dBZ, strong gates are put into the middle of bins
twice the bound wide that begin at 45 dBZ (`side_of`, `corrected`); what is coded is how many bins off that is
from where they were decoded.

The decoder knows where echo is strong, so that places cost little. A side is: a byte for its form, varint of
half a bin in 1/64 dB, varint of how deep below the strongest decoded value it goes, in quarters of a dB; then
for each gate from there on whether it is left as it is or how many bins it is off (in the plain codec's way,
read with numpy alone, or arithmetic coded), or the few places of those that are off.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import DamagedStore
from sciai.radar.api.chunk import read_varint, varint
from sciai.radar.model.interface import F32, U8, QuantSpec
from sciai.radar.model.plain import pack_symbols, unpack_symbols
from sciai.radar.model.quantise import dequantise, quantise

__all__ = ["STRONG", "STRONG_BOUND", "corrected", "side_of", "snapped", "threshold"]

STRONG: Final = 45.0
"""dBZ from which echo is strong."""
STRONG_BOUND: Final = 1.0
"""dB that strong echo may be off by, where nothing else is asked for."""
LEAST_BOUND: Final = 1 / 32
_PACKED, _CODED, _PLACES = 0, 1, 2
_FEW: Final = 32  # gates: more of them are not told by their places
_MOST: Final = 1 << 20  # bins: beyond it these are no reflectivities
_GRAIN, _DEPTH = 64, 4  # of half a bin, of how deep a side goes: parts of a dB


def threshold(values: F32, validity: U8) -> float:
    """From where on echo of a plane is strong, dBZ; infinite where nothing is valid."""
    from sciai.radar.api.loops import strongest  # compiled code is loaded where it is needed

    top = float(strongest(np.ascontiguousarray(values), np.ascontiguousarray(validity)))
    return min(STRONG, top) if top > -np.inf else np.inf


def snapped(values: F32, validity: U8, spec: QuantSpec, bound: float) -> F32:
    """The values with strong ones in the middle of their cells: no encoder takes another index for them.

    Args:
        values: ``[rays, gates]``, dBZ.
        validity: 0 where valid.
        spec: the quantiser.
        bound: of strong echo, dB.
    """
    if spec.step <= 0 or spec.bound <= bound:
        return values
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero((validity == 0) & (values >= threshold(values, validity)))
    if not at.size:
        return values
    out = values.copy()
    strong, none = values.ravel()[at], np.zeros(at.size, np.uint8)
    out.ravel()[at] = dequantise(quantise(strong, none, spec), none, spec)
    return out


def side_of(values: F32, decoded: F32, validity: U8, bound: float, *, compiled: bool = True) -> bytes:
    """What puts strong echo right; nothing where all of it is right, or cannot be put right.

    Args:
        values: before coding, ``[rays, gates]``, dBZ.
        decoded: as it comes back without corrections.
        validity: 0 where valid.
        bound: of strong echo, dB.
        compiled: whether reading it may need numba.
    """
    from sciai.radar.api.loops import strong_off  # compiled code is loaded where it is needed

    planes = np.ascontiguousarray(values), np.ascontiguousarray(decoded), np.ascontiguousarray(validity)
    limit = threshold(values, validity)
    count, least, top = strong_off(*planes, limit, bound, STRONG)
    if not count or not np.isfinite(top - least) or not abs(top) < _MOST:
        return b""
    depth = int(np.ceil((top - least) * _DEPTH))
    grains = max(1, int(np.ceil(bound * _GRAIN)) - 1)  # a little less: what is decoded is rounded to float32
    forms = {}
    if compiled:
        stream = np.zeros(decoded.size + 4096, np.uint8)
        size = _code(*planes, top - depth / _DEPTH, limit, bound, grains, stream, decoded.copy())
        if size > stream.size:
            return b""
        forms[_CODED] = stream[:size].tobytes()
    if not compiled or count <= _FEW:
        forms |= _listed(values, decoded, validity, depth, limit, bound, grains)
    if not forms:
        return b""
    form = min(forms, key=lambda f: len(forms[f]))
    return bytes([form]) + varint(grains) + varint(depth) + forms[form]


def _listed(
    values: F32, decoded: F32, validity: U8, depth: int, limit: float, bound: float, grains: int
) -> dict[int, bytes]:
    """The forms that are read with numpy alone; none where a value is too far off."""
    inside = _inside(decoded, validity == 0, depth)
    a, b = values.ravel()[inside], decoded.ravel()[inside]
    off = (np.maximum(a, b) >= limit) & (abs(b.astype(np.float64) - a) > bound)
    off |= (a >= STRONG) != (b >= STRONG)
    steps = np.where(off, _bins(a, grains) - _bins(b, grains), 0)
    if not abs(steps).max() < _MOST:
        return {}
    whole = steps.astype(np.int64)
    folded = (whole << 1) ^ (whole >> 63)
    places = np.flatnonzero(off)
    gaps = np.diff(places, prepend=-1) - 1
    pairs = zip(gaps.tolist(), folded[places].tolist(), strict=True)
    return {
        _PACKED: pack_symbols(np.where(off, folded + 1, 0).astype(np.uint32)),
        _PLACES: b"".join(varint(gap) + varint(number) for gap, number in pairs),
    }


def corrected(decoded: F32, validity: U8, side: bytes) -> F32:
    """The decoded values with strong echo put right.

    Raises:
        DamagedStore: where the side is not one of this plane.
    """
    if not side:
        return decoded
    valid = validity == 0
    if not valid.any():
        raise DamagedStore("corrections of a plane without values")
    form = side[0]
    grains, at = read_varint(side, 1)
    depth, at = read_varint(side, at)
    out = decoded.copy()
    if form == _CODED:
        from sciai.radar.api.loops import strongest  # compiled code is loaded where it is needed

        top = float(strongest(np.ascontiguousarray(decoded), np.ascontiguousarray(validity)))
        _code(decoded[:0], decoded, validity, top - depth / _DEPTH, 0.0, 0.0, grains, side[at:], out)
        return out
    inside = _inside(decoded, valid, depth)
    if form == _PLACES:
        chosen, folded = _placed(side[at:])
        if chosen[-1] >= inside.size:
            raise DamagedStore("a correction lies outside its plane")
    else:
        every = unpack_symbols(side[at:], inside.size).astype(np.int64)
        chosen = np.flatnonzero(every)
        folded = every[chosen] - 1
    inside = inside[chosen]
    flat = out.ravel()
    middle = _bins(flat[inside], grains) + ((folded >> 1) ^ -(folded & 1)) + 0.5
    flat[inside] = (STRONG + middle * _width(grains)).astype(np.float32)
    return out


def _width(grains: int) -> float:
    return 2 * grains / _GRAIN


def _bins(values: F32, grains: int) -> NDArray[np.float64]:
    """Number of the bin of each value, whole; 0 begins at 45 dBZ."""
    return np.asarray(np.floor((values.astype(np.float64) - STRONG) / _width(grains)))


def _least(decoded: F32, valid: NDArray[np.bool_], depth: int) -> float:
    return float(decoded[valid].max()) - depth / _DEPTH


def _inside(decoded: F32, valid: NDArray[np.bool_], depth: int) -> NDArray[np.intp]:
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(valid & (decoded >= _least(decoded, valid, depth)))


def _code(
    values: F32,
    decoded: F32,
    validity: U8,
    least: float,
    limit: float,
    bound: float,
    grains: int,
    data: bytes | NDArray[np.uint8],
    out: F32,
) -> int:
    """Read a coded side (bytes) into `out`, or write one into an array; see `code_strong`."""
    from sciai.radar.model.context.strong import code_strong  # compiled code is loaded where it is needed
    from sciai.radar.model.context.tables import rates

    decoding = isinstance(data, bytes)
    stream = np.frombuffer(data, np.uint8).copy() if isinstance(data, bytes) else data
    planes = [np.ascontiguousarray(plane) for plane in (values, decoded, validity)]
    code: Any = code_strong
    return int(code(*planes, least, limit, bound, STRONG, _width(grains), rates(), stream, decoding, out))


def _placed(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers: list[Any] = []
    at = 0
    while at < len(data):
        number, at = read_varint(data, at)
        numbers.append(number)
    if not numbers or len(numbers) % 2:
        raise DamagedStore("a list of corrections is cut")
    both = np.array(numbers, np.int64).reshape(-1, 2)
    return np.cumsum(both[:, 0] + 1) - 1, both[:, 1]
