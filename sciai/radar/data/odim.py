"""ODIM_H5 reader (polar volumes and scans), with ``undetect`` and ``nodata`` kept apart.

Own reader, because xradar 0.12 never masks ``undetect`` (254 becomes +95 dBZ) and does not open files without
``startdate``. Quality groups (``quality<n>``) are not read; the root attribute ``not_read`` says so.

Source: OPERA data model ODIM_H5 2.0 to 2.4.
"""

from __future__ import annotations

import io
import re
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import Array, Field, Sweep, from_codes, seconds_after, sweep_dataset, volume_tree
from sciai.radar.data.heritage import history_lines
from sciai.radar.data.text import unicode_of

_FRACTIONS = frozenset({"SQIH", "SQIV", "QIND", "RHOHV", "URHOHV"})


def is_odim(h5: h5py.File) -> bool:
    """Whether an open HDF5 file is ODIM: it says so, or has a ``dataset<n>/data<m>`` group."""
    conventions = _text(h5.attrs.get("Conventions", ""))
    return conventions.startswith("ODIM") or any(
        re.fullmatch(r"data\d+", d) for k in h5 if re.fullmatch(r"dataset\d+", k) for d in h5[k]
    )


def read_odim(data: bytes, name: str) -> xr.DataTree:
    """Decode an ODIM_H5 volume or scan.

    Args:
        data: the whole file.
        name: file name for messages.

    Raises:
        BadInput: not a polar volume (composites, profiles), a data group without array or calibration, no
            data at all.
    """
    with h5py.File(io.BytesIO(data), "r") as h5:
        kind = _text(_what(h5).get("object", _what(h5).get("PVOL", "PVOL")))
        if kind not in ("PVOL", "SCAN", "ELEV", "AZIM", "RAY"):
            raise BadInput(
                f"an ODIM_H5 object of kind {kind}, not a polar volume", file=name, fix="give a PVOL or SCAN"
            )
        groups = sorted((k for k in h5 if re.fullmatch(r"dataset\d+", k)), key=lambda k: int(k[7:]))
        sweeps: list[xr.Dataset] = []
        quality = False
        for k in groups:
            quality |= any(n.startswith("quality") for n in h5[k])
            sweep = _sweep(h5, h5[k], name)
            if sweep is not None:
                sweeps.append(sweep_dataset(sweep, len(sweeps)))
        if not sweeps:
            raise BadInput(
                "no data variable in this ODIM_H5 file", file=name, fix="every datasetN needs a dataM group"
            )
        where = _attrs(h5, "where")
        source = _text(_what(h5).get("source", ""))
        how = _attrs(h5, "how")
        return volume_tree(
            sweeps,
            latitude=float(where.get("lat", np.nan)),
            longitude=float(where.get("lon", np.nan)),
            altitude=float(where.get("height", np.nan)),
            attrs={
                "instrument_name": _instrument(source),
                "source": source,
                "odim_conventions": _text(h5.attrs.get("Conventions", "")),
                "synthetic": "true" if _text(how.get("simulated", "")) == "True" else None,
                "not_read": "quality groups" if quality else None,
                "comment": _out_of_range(sweeps),
                "history": "\n".join(history_lines({"history": _text(how.get("comment", ""))})),
            },
        )


def _out_of_range(sweeps: list[xr.Dataset]) -> str | None:
    """What the volume's comment says of indices that ODIM defines on 0..1 and that lie far outside.

    Istanbul's files (IRIS to ODIM) hold such an SQI: -32767 to 32764 beside gain 1 and offset 0, mostly 1.
    No gain makes an index of it, so the values are given as the file states them, and that is said.
    """
    found: dict[str, tuple[float, float]] = {}
    for sweep in sweeps:
        for name in _FRACTIONS & set(map(str, sweep.data_vars)):
            finite = sweep[name].values[np.isfinite(sweep[name].values)]
            if finite.size:
                low, high = found.get(name, (np.inf, -np.inf))
                found[name] = min(low, float(finite.min())), max(high, float(finite.max()))
    said = [
        f"{name} is {low:g} to {high:g} by the gain and offset that the file states, and not 0 to 1"
        for name, (low, high) in sorted(found.items())
        if low < -1.0 or high > 2.0  # noise and rounding leave 0..1 by less
    ]
    return "; ".join(said) + ": left as they are" if said else None


def _text(value: Any) -> str:
    return unicode_of(value if isinstance(value, bytes) else str(value))


def _attrs(group: h5py.Group, name: str) -> dict[str, Any]:
    return dict(group[name].attrs) if name in group else {}


def _what(group: h5py.Group) -> dict[str, Any]:
    return _attrs(group, "what")


def _instrument(source: str) -> str:
    parts = dict(p.split(":", 1) for p in source.split(",") if ":" in p)
    return next((parts[k] for k in ("NOD", "RAD", "PLC", "WMO", "CMT") if k in parts), "")


def _sweep(h5: h5py.File, group: h5py.Group, name: str) -> Sweep | None:
    where = _attrs(h5, "where") | _attrs(group, "where")
    how = _attrs(h5, "how") | _attrs(group, "how")
    fields: dict[str, Field] = {}
    inner = sorted((d for d in group if re.fullmatch(r"data\d+", d)), key=lambda d: int(d[4:]))
    shape: tuple[int, ...] | None = None
    for d in inner:
        what = _what(group) | _what(group[d])
        quantity = _text(what.get("quantity", d))
        if "data" not in group[d]:
            raise BadInput(
                f"{group.name}/{d} has no array", file=name, field=quantity, fix="the file is incomplete"
            )
        codes = group[d]["data"][...]
        if shape is not None and codes.shape != shape:
            problem = f"{codes.shape} gates in {group.name}/{d}, {shape} in the fields before it"
            raise BadInput(problem, file=name, field=quantity, fix="give each geometry its own dataset group")
        if codes.ndim != 2:
            raise BadInput(f"{codes.ndim}-dimensional data in {group.name}/{d}", file=name, field=quantity)
        shape = codes.shape
        if quantity in fields:
            raise BadInput(f"two groups of {group.name} hold this quantity", file=name, field=quantity)
        fields[quantity] = from_codes(
            codes,
            scale=float(what.get("gain", 1.0)),
            offset=float(what.get("offset", 0.0)),
            below_noise=_code(what, "undetect"),
            missing=_code(what, "nodata"),
        )
        how |= {k: v for k, v in _attrs(group[d], "how").items() if k == "NI"}
    if shape is None or 0 in shape:
        return None
    rays, gates = shape
    if "rscale" not in where or "elangle" not in where:
        lack = "rscale" if "rscale" not in where else "elangle"
        raise BadInput(
            f"{group.name}/where lacks {lack}", file=name, field=lack, fix="the geometry cannot be guessed"
        )
    azimuth = _azimuth(where, how, rays)
    elevation = _ray_values(how, ("elangles",), rays, None)
    if elevation is None:
        elevation = _middle(how, "startelA", "stopelA", rays)
    fixed = float(where["elangle"])
    # the near edge of the first gate, not its middle
    start = float(where.get("rstart", 0.0)) * (1.0 if _rstart_in_metres(h5, how) else 1000.0)
    return Sweep(
        azimuth=azimuth,
        elevation=np.full(rays, fixed) if elevation is None else elevation,
        time=_time(h5, group, how, where, rays),
        range=start + float(where["rscale"]) * (np.arange(gates) + 0.5),
        fields=fields,
        fixed_angle=fixed,
        nyquist=float(how["NI"]) if "NI" in how and np.ndim(how["NI"]) == 0 else None,
    )


def _code(what: dict[str, Any], key: str) -> float | None:
    return float(what[key]) if key in what else None


def _rstart_in_metres(h5: h5py.File, how: dict[str, Any]) -> bool:
    """Whether ``rstart`` is in metres, as from ODIM_H5 2.4 on; before it was in km.

    An earlier `write_odim` stated version 2.4 and wrote km. Its rays begin and end at one azimuth, as no
    radar's do.
    """
    version = re.search(r"V(\d+)_(\d+)", _text(h5.attrs.get("Conventions", "")))
    if version is None or (int(version[1]), int(version[2])) < (2, 4):
        return False
    begin, end = np.asarray(how.get("startazA", ())), np.asarray(how.get("stopazA", ()))
    return not (begin.size > 0 and np.array_equal(begin, end))


def _ray_values(how: dict[str, Any], keys: tuple[str, ...], rays: int, default: Array | None) -> Array | None:
    """Per-ray array attribute with the right length (and numeric: some centres write text)."""
    for k in keys:
        value = np.asarray(how.get(k, ()))
        if value.shape == (rays,) and value.dtype.kind in "fiu" and np.isfinite(value).all():
            return value.astype(np.float64)
    return default


def _middle(how: dict[str, Any], start: str, stop: str, rays: int) -> Array | None:
    a, b = _ray_values(how, (start,), rays, None), _ray_values(how, (stop,), rays, None)
    if a is None or b is None:
        return None
    return np.asarray(a + ((b - a + 180.0) % 360.0 - 180.0) / 2.0)


def _azimuth(where: dict[str, Any], how: dict[str, Any], rays: int) -> Array:
    measured = _middle(how, "startazA", "stopazA", rays)
    if measured is not None:
        return measured
    # without readback angles, rays divide the circle, the first beginning at astart (default north)
    begin = float(how["astart"]) if "astart" in how and np.ndim(how["astart"]) == 0 else 0.0
    span = 360.0
    if "startaz" in where and "stopaz" in where:
        begin = float(where["startaz"])
        span = (float(where["stopaz"]) - begin) % 360.0 or 360.0
    return begin + span / rays * (np.arange(rays) + 0.5)


def _time(h5: h5py.File, group: h5py.Group, how: dict[str, Any], where: dict[str, Any], rays: int) -> Array:
    a = _ray_values(how, ("startazT", "startT"), rays, None)
    b = _ray_values(how, ("stopazT", "stopT"), rays, None)
    if a is not None and b is not None and a.min() > 1e6:
        return seconds_after("1970-01-01", (a + b) / 2.0)
    what, top = _what(group), _what(h5)
    start = _stamp(what.get("startdate", top.get("date")), what.get("starttime", top.get("time")))
    end = _stamp(what.get("enddate"), what.get("endtime"))
    if start is None:
        start = end if end is not None else np.datetime64("1970-01-01T00:00:00")
    duration = float((end - start) / np.timedelta64(1, "s")) if end is not None else 0.0
    # an implausible end (before the start, or the end of the whole volume a day later) is not spread
    # over the rays
    duration = duration if 0.0 <= duration <= 900.0 else 0.0
    first = int(where.get("a1gate", 0)) % rays
    turn = (np.arange(rays) - first) % rays
    return seconds_after(start, np.round(duration * (turn + 0.5) / rays, 3))


def _stamp(date: Any, time: Any) -> np.datetime64 | None:
    if date is None or time is None:
        return None
    d, t = _text(date), _text(time).split(".")[0].ljust(6, "0")
    try:
        return np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:8]}T{t[:2]}:{t[2:4]}:{t[4:6]}")
    except ValueError:
        return None
