"""MP-PAWR raw files (Toshiba multi-parameter phased-array weather radar): layout and reader.

One variable per file, little endian, optionally gzipped. Layout used here:

- file header, 512 bytes: name char[32] @16; start / end time BCD @48 / @56; scan, sequence, mode start BCD
  @64 / @72 / @80; site char[32] @136; latitude, longitude int32 @168 / @172 x 1e-6 degrees; altitude int32
  @176 + int32 @180, x 0.01 m; elevations uint8 @237; rays uint16 @238; start / end azimuth uint16 @240 / @244
  x 360 / 65536; start / end elevation int16 @242 / @246 x 180 / 32768; status int32 @336; mesh size int16
  @384; LSB int32 @388 / int32 @392; offset int32 @396 / int32 @400;
- per ray a block header of 10,368 bytes (sector angles @16..@22), then per elevation a header of 432 bytes
  (PRF uint16 @148; frequency int32 @176 x 1e-4; range resolution in m uint16 @372; short- and long-pulse
  gates uint16 @376 / @378; start / end azimuth uint16 @380 / @384, elevation int16 @382 / @386) and its gates
  as uint16: value = offset + LSB * word. -327.68 means missing, -327.00 below noise.

No public sample exists: reader and writer (`sciai.radar.data.pawr_write`) are tested against each other and
against this table.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import (
    Array,
    Field,
    Sweep,
    seconds_after,
    sweep_dataset,
    volume_tree,
)
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID

HEADER: Final = 512
BLOCK: Final = 10_368
CELL: Final = 432
MISSING_VALUE: Final = -327.68
BELOW_NOISE_VALUE: Final = -327.00
LSB: Final = 0.01

_NAMES = {"ZH": "DBZH", "ZHH": "DBZH", "ZV": "DBZV", "ZVV": "DBZV", "V": "VRADH", "VH": "VRADH", "W": "WRADH"}
_NAMES |= {"WH": "WRADH", "ROHV": "RHOHV", "FDP": "PHIDP", "PDP": "PHIDP"}
LIGHT: Final = 299_792_458.0
"""Speed of light in m/s."""


def is_pawr(data: bytes) -> bool:
    """Whether bytes look like an MP-PAWR file: a date in BCD, 2-byte words, sane counts and scale.

    Example:
        >>> is_pawr(bytes(600))
        False
    """
    if len(data) < HEADER:
        return False
    mesh = struct.unpack_from("<h", data, 384)[0]
    lsb_above, lsb_below, _, offset_below = struct.unpack_from("<iiii", data, 388)
    rays = struct.unpack_from("<H", data, 238)[0]
    if mesh != 2 or 0 in (lsb_above, lsb_below, offset_below, data[237], rays):
        return False
    return _bcd_time(data, 48) is not None and data[16:17].isalpha()


def _bcd_time(data: bytes, at: int) -> np.datetime64 | None:
    """YYYY MM DD hh mm ss in binary-coded decimal."""
    text = data[at : at + 7].hex()
    if not text.isdigit() or not 1990 <= int(text[:4]) <= 2199:
        return None
    try:
        return np.datetime64(
            f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:14]}", "s"
        )
    except ValueError:
        return None


def _string(data: bytes, at: int, size: int) -> str:
    return data[at : at + size].split(b"\0")[0].decode("ascii", "replace").strip()


def read_pawr(data: bytes, name: str) -> xr.DataTree:
    """Decode one MP-PAWR file (unzipped) into a volume with one variable; elevations become sweeps.

    Args:
        data: the whole file.
        name: file name for messages.

    Raises:
        BadInput: truncated file, or counts that cannot be.
    """
    elevations, rays = data[237], struct.unpack_from("<H", data, 238)[0]
    lsb_above, lsb_below, off_above, off_below = struct.unpack_from("<iiii", data, 388)
    lsb, offset = lsb_above / lsb_below, off_above / off_below
    variable = _string(data, 16, 32)
    variable = _NAMES.get(variable.upper(), variable.upper())
    values_of, flags_of = _tables(lsb, offset)
    cells = _cells(data, name, rays, elevations, variable)
    start, end = _bcd_time(data, 48), _bcd_time(data, 56)
    if start is None:
        raise BadInput("the start time is not a date", file=name, field=variable, fix="the header is damaged")
    seconds = float((end - start) / np.timedelta64(1, "s")) if end is not None else 0.0
    time = seconds_after(start, np.round(max(seconds, 0.0) * (np.arange(rays) + 0.5) / rays, 3))
    encoding = {
        "scale_factor": lsb,
        "add_offset": offset,
        "dtype": np.dtype(np.uint16),
        "_FillValue": np.uint16(0),
    }
    sweeps = []
    for e in range(elevations):
        heads, words = cells[e]
        azimuth = _middle(heads["az0"] * (360.0 / 65536.0), heads["az1"] * (360.0 / 65536.0))
        elevation = _middle(heads["el0"] * (180.0 / 32768.0), heads["el1"] * (180.0 / 32768.0))
        elevation = np.where(elevation > 180.0, elevation - 360.0, elevation)
        field = Field(values_of[words], flags_of[words], {}, dict(encoding))
        step = float(heads["step"][0])
        sweep = Sweep(
            azimuth=azimuth,
            elevation=elevation,
            time=time,
            range=step * (np.arange(words.shape[1]) + 0.5),
            fields={variable: field},
            fixed_angle=float(np.median(elevation)),
            nyquist=_nyquist(float(heads["prf"][0]), float(heads["frequency"][0]) * 1e-4),
        )
        sweeps.append(sweep_dataset(sweep, e))
    (
        latitude,
        longitude,
        ground,
        tower,
    ) = struct.unpack_from("<iiii", data, 168)
    status = struct.unpack_from("<i", data, 336)[0]
    attrs: dict[str, Any] = {
        "instrument_name": _string(data, 136, 32),
        "scan_name": _string(data, 216, 16),
        "source": "MP-PAWR",
        "status": "abnormal" if status & 3 else None,
    }
    placed = bool(latitude or longitude)  # the format has no word for a place that is not known
    return volume_tree(
        sweeps,
        latitude=latitude * 1e-6 if placed else math.nan,
        longitude=longitude * 1e-6 if placed else math.nan,
        altitude=(ground + tower) * 0.01 if placed else math.nan,
        attrs=attrs,
    )


def _tables(lsb: float, offset: float) -> tuple[Array, Array]:
    """Value and validity of each of the 65,536 words."""
    values = (offset + lsb * np.arange(65536, dtype=np.float64)).astype(np.float32)
    flags = np.zeros(65536, np.uint8)
    for value, flag in ((BELOW_NOISE_VALUE, BELOW_NOISE), (MISSING_VALUE, MISSING)):
        word = round((value - offset) / lsb)
        if 0 <= word < 65536 and abs(offset + lsb * word - value) < 0.5 * abs(lsb):
            flags[word] = flag
    values[flags != VALID] = np.nan
    return values, flags


CELL_DTYPE = np.dtype(
    {
        "names": ["prf", "frequency", "step", "short", "long", "az0", "el0", "az1", "el1"],
        "formats": ["<u2", "<i4", "<u2", "<u2", "<u2", "<u2", "<i2", "<u2", "<i2"],
        "offsets": [148, 176, 372, 376, 378, 380, 382, 384, 386],
        "itemsize": CELL,
    }
)


def _cells(data: bytes, name: str, rays: int, elevations: int, variable: str) -> list[tuple[Array, Array]]:
    """For each elevation its headers [rays] and words [rays, gates]."""

    def truncated(at: int) -> BadInput:
        problem = f"truncated: {len(data)} bytes, but ray data up to byte {at} announced"
        return BadInput(problem, file=name, field=variable, fix="get the file again")

    if len(data) < HEADER + BLOCK + CELL:
        raise truncated(HEADER + BLOCK + CELL)
    # the layout of the first ray; all others have it, or the slow way is taken
    gates, at = [], HEADER + BLOCK
    for _ in range(elevations):
        if at + CELL > len(data):
            raise truncated(at + CELL)
        head = np.frombuffer(data, CELL_DTYPE, 1, at)
        gates.append(int(head["short"][0]) + int(head["long"][0]))
        at += CELL + 2 * gates[-1]
    stride = at - HEADER
    out: list[tuple[Array, Array]] = []
    if len(data) >= HEADER + rays * stride:
        rows = np.frombuffer(data, np.uint8, rays * stride, HEADER).reshape(rays, stride)
        at = BLOCK
        for n in gates:
            heads = np.ascontiguousarray(rows[:, at : at + CELL]).view(CELL_DTYPE)[:, 0]
            if not (heads["short"].astype(int) + heads["long"] == n).all():
                break
            words = np.ascontiguousarray(rows[:, at + CELL : at + CELL + 2 * n]).view("<u2")
            out.append((heads, words))
            at += CELL + 2 * n
        if len(out) == elevations:
            return out
    return _ragged_cells(data, rays, elevations, truncated)


def _ragged_cells(data: bytes, rays: int, elevations: int, truncated: Any) -> list[tuple[Array, Array]]:
    """Rays that differ in their number of gates: the shorter ones are missing beyond their end."""
    heads = np.zeros((elevations, rays), CELL_DTYPE)
    rows: list[list[Array]] = [[] for _ in range(elevations)]
    at = HEADER
    for r in range(rays):
        at += BLOCK
        for e in range(elevations):
            if at + CELL > len(data):
                raise truncated(at + CELL)
            head = np.frombuffer(data, CELL_DTYPE, 1, at)[0]
            n = int(head["short"]) + int(head["long"])
            at += CELL + 2 * n
            if at > len(data):
                raise truncated(at)
            heads[e, r] = head
            rows[e].append(np.frombuffer(data, "<u2", n, at - 2 * n))
    out = []
    for e in range(elevations):
        words = np.zeros((rays, max(w.size for w in rows[e])), np.uint16)
        for r, w in enumerate(rows[e]):
            words[r, : w.size] = w
        out.append((heads[e], words))
    return out


def _middle(start: Array, end: Array) -> Array:
    """Middle of two angles in degrees, the short way round."""
    return np.asarray(start + ((end - start + 180.0) % 360.0 - 180.0) / 2.0)


def _nyquist(prf: float, frequency: float) -> float | None:
    """Nyquist velocity from PRF (Hz) and frequency, whose unit (GHz or MHz) is told by its size."""
    if prf <= 0 or frequency <= 0:
        return None
    hertz = frequency * (1e9 if frequency < 1000.0 else 1e6)
    nyquist = LIGHT / hertz * prf / 4.0
    return nyquist if 1.0 < nyquist < 200.0 else None
