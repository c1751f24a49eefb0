"""IRIS, GAMIC, Rainbow and FURUNO through xradar, from their raw codes.

xradar opens these formats well; what it does not do is to mask and name the invalid codes, so it is asked
for raw
codes and the decoding is done here.

Sources: IRIS Programmer's Manual M211318EN (data types 4.4); xradar 0.12 for the file layouts.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import (
    Array,
    Field,
    Sweep,
    from_codes,
    seconds_after,
    sweep_dataset,
    sweeps_of,
    volume_tree,
)
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID


@contextlib.contextmanager
def _on_disk(data: bytes, suffix: str) -> Iterator[str]:
    """xradar's readers want a path; what was gzipped has none."""
    with tempfile.TemporaryDirectory(prefix="sciai-") as folder:
        path = Path(folder) / f"volume{suffix}"
        path.write_bytes(data)
        yield str(path)


def read_through_xradar(data: bytes, name: str, kind: str) -> xr.DataTree:
    """Decode an IRIS, GAMIC, Rainbow or FURUNO file.

    Args:
        data: the whole file.
        name: file name for messages.
        kind: ``iris``, ``gamic``, ``rainbow`` or ``furuno``.

    Raises:
        BadInput: xradar cannot read it (truncated, damaged, a variety it does not know), or it holds no
            field.
    """
    import xradar

    # an old FURUNO file says only in its name that it is an RHI
    scan = ".rhi" if ".rhi" in name else ".scn"
    openers: dict[str, tuple[Callable[..., xr.DataTree], str]] = {
        "iris": (xradar.io.open_iris_datatree, ".raw"),
        "gamic": (xradar.io.open_gamic_datatree, ".mvol"),
        "rainbow": (xradar.io.open_rainbow_datatree, ".vol"),
        "furuno": (xradar.io.open_furuno_datatree, ".scnx" if data[2:4] == b"\x0a\x00" else scan),
    }
    opener, suffix = openers[kind]
    try:
        with _on_disk(data, suffix) as path, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = opener(path, mask_and_scale=False).load()
            raw = _iris_raw(path) if kind == "iris" else None
            folding = _folding(path, kind)
    except Exception as e:  # xradar raises whatever the damaged byte led to
        problem = f"xradar cannot read this {kind} file ({type(e).__name__}: {e})"
        raise BadInput(problem, file=name, fix="it may be truncated or damaged; get it again") from e
    sweeps: list[xr.Dataset] = []
    for i, s in enumerate(sweeps_of(tree)):
        sweep = _sweep(tree[s].to_dataset(), kind, None if raw is None else raw[i])
        if sweep.nyquist is None and i < len(folding):
            sweep.nyquist = folding[i]
        if sweep.fields:
            sweeps.append(sweep_dataset(sweep, len(sweeps)))
    if not sweeps:
        raise BadInput(f"no data variable in this {kind} file", file=name, fix="it needs at least one field")
    attrs = {
        k: str(v) for k, v in tree.attrs.items() if k in ("instrument_name", "site_name", "scan_name") and v
    }
    return volume_tree(
        sweeps,
        latitude=float(tree["latitude"]),
        longitude=float(tree["longitude"]),
        altitude=float(tree["altitude"]),
        attrs={k: v.strip() for k, v in attrs.items() if v != "None"} | {"source": kind},
    )


def _sweep(ds: xr.Dataset, kind: str, raw: _Iris | None) -> Sweep:
    fields: dict[str, Field] = {}
    for name, v in ds.data_vars.items():
        if v.ndim != 2 or v.dims[1] != "range" or v.dtype.kind not in "fiu":
            continue
        if raw is not None:
            if str(name) in raw.fields:
                fields[str(name)] = raw.fields[str(name)]
            continue
        a = dict(v.attrs)
        missing = a.get("_FillValue")
        below = a.get("_Undetect")
        attrs = {k: x for k, x in a.items() if k in ("long_name", "units", "format")}
        # Rainbow: code 0 is "no data", whatever the reason; GAMIC and FURUNO likewise
        fields[str(name)] = from_codes(
            np.asarray(v.values),
            scale=float(a.get("scale_factor", 1.0)),
            offset=float(a.get("add_offset", 0.0)),
            below_noise=None if below is None else float(below),
            missing=0.0
            if missing is None and kind == "rainbow"
            else (None if missing is None else float(missing)),
            attrs=attrs,
        )
    nyquist = ds.get("nyquist_velocity")
    return Sweep(
        azimuth=_angles(ds["azimuth"]) if raw is None else raw.azimuth,
        elevation=_angles(ds["elevation"]) if raw is None else raw.elevation,
        time=ds["time"].values if raw is None else raw.time,
        range=ds["range"].values,
        fields=fields,
        fixed_angle=float(ds["sweep_fixed_angle"]),
        mode=str(ds["sweep_mode"].values),
        nyquist=_number(nyquist) if raw is None else raw.nyquist,
    )


def _folding(path: str, kind: str) -> list[float | None]:
    """Velocity of each sweep at which velocities fold, pulses of two rates included; xradar 0.12 drops it.

    Rainbow states it (``dynv``), GAMIC what it follows from (``unfolding`` n: rates as n + 2 to n + 1).
    """
    if kind == "rainbow":
        from xradar.io.backends.rainbow import RainbowFile

        with RainbowFile(path, loaddata=False) as file:
            ends = [s.get("dynv") or file.pargroup.get("dynv") or {} for s in file.slices]
        return [_number(end.get("@max")) for end in ends]
    if kind != "gamic":
        return []
    with h5py.File(path) as h5:
        scans = (h5[f"scan{i}"]["how"].attrs for i in range(len(h5)) if f"scan{i}" in h5)
        told = [
            tuple(_number(how.get(k)) for k in ("radar_wave_length", "PRF", "unfolding")) for how in scans
        ]
    return [None if w is None or prf is None else w * prf / 4.0 * ((u or 0.0) + 1.0) for w, prf, u in told]


def _angles(v: xr.DataArray) -> Array:
    """Degrees; asked for raw codes, xradar leaves FURUNO's angles in hundredths."""
    scale, offset = float(v.attrs.get("scale_factor", 1.0)), float(v.attrs.get("add_offset", 0.0))
    return np.asarray(v.values, np.float64) * scale + offset


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


# Highest code of each IRIS data type = "area not scanned"; 0 = "no data available" (below the
# thresholds). The types
# that use every code up to the highest for data are left out of the first rule.
_FULL_SCALE = {"DB_VEL", "DB_WIDTH", "DB_ZDR", "DB_ZDRC", "DB_VELC", "DB_HCLASS", "DB_HCLASS2"}


@dataclass
class _Iris:
    """One sweep of an IRIS RAW file, rays in the order of the file."""

    fields: dict[str, Field]
    azimuth: Array
    elevation: Array
    time: Array
    nyquist: float


def _iris_raw(path: str) -> list[_Iris]:
    """Codes, angles and times of every sweep of an IRIS RAW file.

    xradar 0.12 rolls the moment it loads first, and the angles that come with it, by one ray against all
    other moments. Making it look up where each ray begins before it loads anything avoids that.
    """
    from xradar.io.backends.iris import IrisRawFile, iris_mapping

    coded = IrisRawFile(path, rawdata=True, loaddata=False)
    head = IrisRawFile(path, rawdata=False, loaddata=False)
    end = head.product_hdr["product_end"]
    factor = head.ingest_header["task_configuration"]["task_dsp_info"]["multi_prf_mode_flag"] + 1
    nyquist = end["wavelength"] * end["prf"] / 40000.0
    sweeps = []
    for number in sorted(coded.data):
        for file in (coded, head):
            file._get_ray_record_offsets_and_data(number, None, idx=None)
        kinds = list(head.data[number]["ingest_data_hdrs"])
        first = next(k for k in kinds if k != "DB_XHDR")
        head.get_moment(number, first)
        fields: dict[str, Field] = {}
        for type_name in kinds:
            kind: dict[str, Any] = next((t for t in coded.data_types_dict if t["name"] == type_name), {})
            if type_name == "DB_XHDR" or kind.get("dtype") not in ("uint8", "int8", "uint16", "int16"):
                continue
            coded.get_moment(number, type_name)
            words = np.ascontiguousarray(coded.data[number]["sweep_data"][type_name])
            wide = kind["dtype"].endswith("16")
            codes = words.view(np.uint16) if wide else words.view(np.uint8)[:, : words.shape[1]]
            fields[iris_mapping.get(type_name, type_name)] = _iris_field(
                type_name, codes, nyquist, nyquist * factor, end["wavelength"] / 100.0
            )
        data = head.data[number]["sweep_data"]
        azimuth, elevation, seconds = (
            data["azimuth"],
            data["elevation"],
            np.asarray(data["dtime"], np.float64),
        )
        if "DB_XHDR" in kinds:
            head.get_moment(number, "DB_XHDR")
            seconds = np.asarray(head.data[number]["sweep_data"]["dtime_ms"], np.float64) / 1000.0
        start = head.data[number]["ingest_data_hdrs"][first]["sweep_start_time"].replace(tzinfo=None)
        sweeps.append(
            _Iris(fields, azimuth, elevation, seconds_after(start.isoformat(), seconds), nyquist * factor)
        )
    return sweeps


def _iris_field(kind: str, codes: Array, nyquist: float, unfolded: float, wavelength_cm: float) -> Field:
    """Decode IRIS codes (M211318EN 4.4); linear types keep their packing."""
    linear = _iris_linear(kind, nyquist, unfolded)
    highest = None if kind in _FULL_SCALE else float(np.iinfo(codes.dtype).max)
    if linear is not None:
        f = from_codes(codes, scale=linear[0], offset=linear[1], below_noise=0.0, missing=highest)
    else:
        n = codes.astype(np.float64)
        if kind in ("DB_SQI", "DB_RHOHV", "DB_RHOH", "DB_RHOV"):
            values = np.sqrt(np.maximum(n - 1.0, 0.0) / 253.0)
        elif kind == "DB_KDP":
            signed = n - 128.0
            with np.errstate(over="ignore"):
                values = np.sign(signed) * 0.25 * 600.0 ** ((np.abs(signed) - 1.0) / 126.0) / wavelength_cm
        else:
            values = n
        validity = np.where(codes == 0, BELOW_NOISE, VALID).astype(np.uint8)
        if highest is not None:
            validity[codes == np.uint16(highest)] = MISSING
        out = values.astype(np.float32)
        out[validity != VALID] = np.nan
        f = Field(out, validity)
    f.comment = "raw code 0 (no data: under the thresholds) is below_noise"
    f.comment += "" if highest is None else f"; code {highest:.0f} (area not scanned) is missing"
    return f


def _iris_linear(kind: str, nyquist: float, unfolded: float) -> tuple[float, float] | None:
    """(scale, offset) of the types that are linear in the code."""
    if kind in ("DB_DBT", "DB_DBZ", "DB_DBZC", "DB_DBTV8", "DB_DBZV8"):
        return 0.5, -32.0
    if kind in ("DB_SNR8",):
        return 0.5, -31.5
    if kind == "DB_VEL":
        return unfolded / 127.0, -128.0 * unfolded / 127.0
    if kind == "DB_WIDTH":
        return nyquist / 256.0, 0.0
    if kind in ("DB_ZDR", "DB_ZDRC"):
        return 1.0 / 16.0, -8.0
    if kind == "DB_PHIDP":
        return 180.0 / 254.0, -180.0 / 254.0
    if kind in ("DB_VELC",):
        return 150.0 / 253.0, -75.0 - 150.0 / 253.0
    if kind in ("DB_WIDTH2",):
        return 0.01, 0.0
    if kind in ("DB_PHIDP2", "DB_PHIH2", "DB_PHIV2"):
        return 360.0 / 65534.0, -360.0 / 65534.0
    if kind in ("DB_RHOHV2", "DB_SQI2", "DB_RHOH2", "DB_RHOV2"):
        return 1.0 / 65533.0, -1.0 / 65533.0
    if kind in ("DB_LDRH", "DB_LDRV"):
        return 0.2, -45.2
    two_byte = (
        "DB_DBT2",
        "DB_DBZ2",
        "DB_DBZC2",
        "DB_VEL2",
        "DB_VELC2",
        "DB_ZDR2",
        "DB_ZDRC2",
        "DB_KDP2",
        "DB_LDRH2",
    )
    if kind in (*two_byte, "DB_LDRV2", "DB_DBTV16", "DB_DBZV16", "DB_SNR16"):
        return 0.01, -327.68
    return None
