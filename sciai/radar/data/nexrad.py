"""NEXRAD and TDWR Level II (Archive II) reader, from the ARCHIVE2. tapes of 1991 to today's AR2V0008.

Reads message 1 (single-polarisation, 1991-2008) and message 31 (super-resolution and dual-polarisation),
uncompressed or in bz2 LDM records, whole volumes or the first chunks of one. A cut whose reflectivity has
coarser gates than its Doppler moments (1 km beside 250 m) gets one range axis, the finer: each coarse gate is
repeated, exactly, and says so in ``gate_repeat``. Moments that end earlier than the longest are missing
beyond.

Sources: ICD 2620002 (RDA/RPG messages), ICD 2620010 (Archive II / user), Build 23.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import Array, Field, Sweep, sweep_dataset, volume_tree
from sciai.radar.data.nexrad_sites import site_position
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID

_MOMENTS = {
    "REF": "DBZH",
    "VEL": "VRADH",
    "SW ": "WRADH",
    "ZDR": "ZDR",
    "PHI": "PHIDP",
    "RHO": "RHOHV",
    "CFP": "CCORH",
}
_CTM = 12  # bytes before every message, a leftover of the communications link
_FRAME = 2432  # bytes of every message but 31 (and 29), header included


@dataclass
class _Moment:
    codes: Array
    first: float
    step: float
    scale: float
    offset: float


@dataclass
class _Ray:
    azimuth: float
    elevation: float
    time: np.datetime64
    cut: int
    status: int
    nyquist: float
    vcp: int
    moments: dict[str, _Moment] = field(default_factory=dict)
    position: tuple[float, float, float] | None = None


def is_nexrad(head: bytes) -> bool:
    """Whether a file starts like a Level II volume.

    Example:
        >>> is_nexrad(b"AR2V0006.001"), is_nexrad(b"\\x89HDF")
        (True, False)
    """
    return head[:4] == b"AR2V" or head[:8] == b"ARCHIVE2"


def is_chunk(head: bytes) -> bool:
    """Whether a file starts like a later real-time chunk: an LDM record without the volume header."""
    return head[4:7] == b"BZh" and head[7:8].isdigit()


def read_nexrad(data: bytes, name: str, hint: str = "") -> xr.DataTree:
    """Decode a Level II volume.

    Args:
        data: the whole file, unzipped.
        name: file name for messages.
        hint: where to look for the station's letters if the file has none (old tapes), e.g. the file name.

    Returns:
        Volume with gate validity from the raw codes: 0 below noise, 1 (range folded) missing.

    Raises:
        BadInput: truncated or damaged file, or no radial in it.
    """
    if len(data) < 24:
        raise BadInput("the file ends inside the NEXRAD volume header", file=name, fix="download it again")
    rays: list[list[_Ray]] = []
    last_cut = None
    for ray in _rays(_messages(_records(data, name), name), name):
        if ray.cut != last_cut or ray.status & 0x7F in (0, 3, 5):
            rays.append([])
            last_cut = ray.cut
        rays[-1].append(ray)
    if not rays:
        raise BadInput(
            "no radial in this NEXRAD file", file=name, fix="it may hold only the metadata of a volume"
        )
    station = _station(data, name, hint)
    position = next((r.position for cut in rays for r in cut if r.position), None) or site_position(station)
    sweeps = [
        sweep_dataset(_sweep(cut), i) for i, cut in enumerate(s for s in rays if any(r.moments for r in s))
    ]
    attrs = {
        "instrument_name": station,
        "source": "NEXRAD Level II " + data[:12].decode("ascii", "replace").strip("\0 "),
        "scan_name": f"VCP-{rays[0][0].vcp}" if rays[0][0].vcp else None,
        # a real-time volume may be cut between two records, which is no damage but must not go unsaid
        "comment": None
        if rays[-1][-1].status & 0x7F == 4
        else "incomplete: the volume's last radial is not there",
    }
    return volume_tree(sweeps, latitude=position[0], longitude=position[1], altitude=position[2], attrs=attrs)


def _station(data: bytes, name: str, hint: str) -> str:
    icao = data[20:24]
    if icao.isalnum():
        return icao.decode()
    import re

    found = re.search(r"(?<![A-Z])([KPTRL][A-Z]{3})(?=\d{8}|_)", f"{hint} {name}")
    return found[1] if found else ""


def _records(data: bytes, name: str) -> Iterator[bytes]:
    """LDM records, decompressed; an uncompressed file is one record."""
    if data[28:31] != b"BZh":
        yield data[24:]
        return
    at = 24
    while at + 4 < len(data):
        size = abs(struct.unpack_from(">i", data, at)[0])
        block = data[at + 4 : at + 4 + size]
        if size == 0 or block[:3] != b"BZh":
            if not data[at:].strip(b"\0"):
                return
            raise BadInput(f"damaged LDM record at byte {at}", file=name, fix="download the file again")
        if len(block) < size:
            raise BadInput(
                f"truncated: the record at byte {at} ends early", file=name, fix="download it again"
            )
        try:
            yield bz2.decompress(block)
        except (OSError, ValueError, EOFError) as e:
            raise BadInput(f"damaged bz2 record at byte {at}: {e}", file=name, fix="download it again") from e
        at += 4 + size


def _messages(records: Iterator[bytes], name: str) -> Iterator[tuple[int, bytes, bytes]]:
    """(type, 16-byte header, body) of every message that holds a radial."""
    for record in records:
        at = 0
        while at + _CTM + 16 <= len(record):
            head = record[at + _CTM : at + _CTM + 16]
            halfwords, kind = struct.unpack_from(">H", head)[0], head[3]
            if kind == 31:
                end = at + _CTM + 2 * halfwords
                if end > len(record):
                    raise BadInput(
                        f"truncated inside the radial at byte {at}", file=name, fix="download it again"
                    )
                yield kind, head, record[at + _CTM + 16 : end]
                at = end
            else:
                end = at + _FRAME
                if kind == 1:
                    if end > len(record) and at + _CTM + 2 * halfwords > len(record):
                        raise BadInput(
                            f"truncated inside the radial at byte {at}", file=name, fix="download it again"
                        )
                    yield kind, head, record[at + _CTM + 16 : end]
                at = end


def _time(days: int, ms: int) -> np.datetime64:
    # day 1 is 1 January 1970
    return np.datetime64(0, "ms") + np.timedelta64((days - 1) * 86_400_000 + ms, "ms")


def _rays(messages: Iterator[tuple[int, bytes, bytes]], name: str) -> Iterator[_Ray]:
    for kind, _, body in messages:
        try:
            yield _ray31(body) if kind == 31 else _ray1(body)
        except (struct.error, ValueError, IndexError) as e:
            raise BadInput(f"damaged radial: {e}", file=name, fix="download the file again") from e


_ONE = struct.Struct(">IHHHHHHHhhHHHHHfHHHHH")


def _ray1(body: bytes) -> _Ray:
    """Message 1, ICD 2620002 (before build 10) table III."""
    (
        ms,
        day,
        _,
        az,
        _,
        status,
        el,
        cut,
        first_z,
        first_v,
        step_z,
        step_v,
        n_z,
        n_v,
        _,
        _,
        p_z,
        p_v,
        p_w,
        res,
        vcp,
    ) = _ONE.unpack_from(body)
    nyquist = struct.unpack_from(">H", body, 60)[0] * 0.01
    angle = el * 180.0 / 32768.0
    ray = _Ray(
        az * 180.0 / 32768.0,
        angle - 360.0 if angle > 180 else angle,
        _time(day, ms),
        cut,
        status,
        nyquist,
        vcp,
    )
    for key, pointer, n, first, step, scale, offset in (
        ("REF", p_z, n_z, first_z, step_z, 2.0, 66.0),
        ("VEL", p_v, n_v, first_v, step_v, 1.0 if res == 4 else 2.0, 129.0),
        ("SW ", p_w, n_v, first_v, step_v, 2.0, 129.0),
    ):
        if pointer and n:
            codes = np.frombuffer(body, np.uint8, n, pointer)
            ray.moments[key] = _Moment(codes, float(first), float(step), scale, offset)
    return ray


def _ray31(body: bytes) -> _Ray:
    """Message 31, ICD 2620002 table XVII."""
    ms, day, _, azimuth, _, _, _, _, status, cut, _, elevation, _, _, count = struct.unpack_from(
        ">IHHfBBHBBBBfBBH", body, 4
    )
    ray = _Ray(azimuth, elevation, _time(day, ms), cut, status, 0.0, 0)
    for pointer in struct.unpack_from(f">{min(count, 10)}I", body, 32):
        if pointer == 0:
            continue
        kind, key = body[pointer : pointer + 1], body[pointer + 1 : pointer + 4].decode("ascii", "replace")
        if kind == b"R" and key == "VOL":
            latitude, longitude, ground, tower = struct.unpack_from(">ffhH", body, pointer + 8)
            if (latitude, longitude) != (0.0, 0.0):
                ray.position = (round(latitude, 6), round(longitude, 6), float(ground + tower))
            ray.vcp = struct.unpack_from(">H", body, pointer + 40)[0]
        elif kind == b"R" and key == "RAD":
            ray.nyquist = struct.unpack_from(">H", body, pointer + 16)[0] * 0.01
        elif kind == b"D":
            n, first, step, _, _, _, bits, scale, offset = struct.unpack_from(">HhHHhBBff", body, pointer + 8)
            codes = np.frombuffer(body, np.uint8 if bits == 8 else np.dtype(">u2"), n, pointer + 28)
            if n:
                ray.moments[key] = _Moment(codes, float(first), float(step), scale or 1.0, offset)
    return ray


def _sweep(rays: list[_Ray]) -> Sweep:
    """Rays of one cut -> arrays on one range axis."""
    keys = [k for k in _MOMENTS if any(k in r.moments for r in rays)]
    keys += sorted({k for r in rays for k in r.moments} - set(keys))
    layout = {
        k: max((r.moments[k] for r in rays if k in r.moments), key=lambda m: m.codes.size) for k in keys
    }
    step = min(m.step for m in layout.values())
    first = min(m.first - m.step / 2 for m in layout.values()) + step / 2
    gates = 0
    where: dict[str, tuple[int, int]] = {}
    for k, m in layout.items():
        repeat = round(m.step / step) if step else 1
        start = round((m.first - m.step / 2 - (first - step / 2)) / step) if step else 0
        where[k] = (start, repeat)
        gates = max(gates, start + repeat * m.codes.size)
    fields = {}
    for k in keys:
        name = _MOMENTS.get(k, k.strip())
        fields[name] = _field([r.moments.get(k) for r in rays], gates, *where[k], name)
    nyquists = [r.nyquist for r in rays if r.nyquist > 0]
    elevation = np.array([r.elevation for r in rays])
    return Sweep(
        azimuth=np.array([r.azimuth for r in rays]),
        elevation=elevation,
        time=np.array([r.time for r in rays]),
        range=first + step * np.arange(gates),
        fields=fields,
        # the angle that was ordered stands only in the VCP message, which trimmed and old files lack
        fixed_angle=float(np.median(elevation)),
        nyquist=float(np.median(nyquists)) if nyquists else None,
    )


def _field(moments: list[_Moment | None], gates: int, start: int, repeat: int, name: str) -> Field:
    one = next(m for m in moments if m is not None)
    dtype = one.codes.dtype.newbyteorder("=")
    native = max(m.codes.size for m in moments if m is not None)
    # code 1 = range folded = missing, which is also what a gate beyond the moment's own range is
    codes = np.ones((len(moments), native), dtype)
    for i, m in enumerate(moments):
        if m is not None:
            codes[i, : m.codes.size] = m.codes
    scale, offset = 1.0 / one.scale, -one.offset / one.scale
    values = ((codes.astype(np.float64) - one.offset) / one.scale).astype(np.float32)
    validity = np.where(codes == 0, BELOW_NOISE, np.where(codes == 1, MISSING, VALID)).astype(np.uint8)
    values[validity != VALID] = np.nan
    if repeat > 1:
        values, validity = np.repeat(values, repeat, axis=1), np.repeat(validity, repeat, axis=1)
    if (start, values.shape[1]) != (0, gates):
        pad = ((0, 0), (start, gates - start - values.shape[1]))
        values = np.pad(values, pad, constant_values=np.nan)
        validity = np.pad(validity, pad, constant_values=MISSING)
    attrs: dict[str, Any] = {}
    if repeat > 1:
        attrs["gate_repeat"] = repeat
        attrs["comment"] = (
            f"measured on gates of {one.step:g} m; each is repeated {repeat} times on this sweep's range"
        )
    elif native < gates:
        attrs["comment"] = f"measured on the first {native} gates"
    encoding = {"scale_factor": scale, "add_offset": offset, "dtype": dtype, "_FillValue": dtype.type(1)}
    comment = "raw code 0 is below_noise; code 1 (range folded) and gates not measured are missing"
    if name == "CCORH":
        comment = "raw code 0 (no filter applied) is below_noise; code 1 (point clutter filtered) is missing"
    return Field(values, validity, attrs, encoding, comment)


__all__ = ["is_chunk", "is_nexrad", "read_nexrad"]
