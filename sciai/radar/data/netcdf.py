"""CfRadial 1, CfRadial 2 / FM301 and IMD (IRIS export) netCDF readers.

Not through xradar: companions and flags that tell noise from missing are kept here, and it does not know the
IMD layout (one sweep per file).

Sources: CfRadial 1.4 and 2.1 documents (EOL/NCAR); WMO FM 301-2022; attributes of the files themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import Array, Field, Sweep, sweep_dataset, volume_tree
from sciai.radar.data.hdf5_view import netcdf4_file
from sciai.radar.data.inflate import chunk_reader
from sciai.radar.data.loops import settle
from sciai.radar.data.memory import hand_back
from sciai.radar.data.netcdf_values import (
    BESIDE,
    attributes_in,
    dims_of,
    field_of,
    of_arrays,
    of_rays,
    of_sweep,
    scalar_of,
    text_of,
    times_of,
)
from sciai.radar.data.one_at_a_time import netcdf_alone
from sciai.radar.data.validity import MISSING, SUFFIX, VALID, is_companion

_SOME = 16  # sweeps after which memory that reading them has left is handed back


def read_netcdf(data: bytes, name: str) -> xr.DataTree:
    """Decode a CfRadial 1, CfRadial 2 or IMD file.

    Args:
        data: the whole file (netCDF-3 or netCDF-4).
        name: file name for messages.

    Raises:
        BadInput: not one of these layouts, or no field in it.
    """
    if data[:3] != b"CDF":
        with contextlib.suppress(OSError), netcdf4_file(data) as nc:
            return _volume(nc, name, data)
    # netCDF-3, or chunks packed in a way that only the library knows
    with netcdf_alone(), netCDF4.Dataset("memory.nc", memory=data) as nc:
        nc.set_auto_maskandscale(False)
        return _volume(nc, name, None)


def _volume(nc: Any, name: str, data: bytes | None) -> xr.DataTree:
    if any(g.startswith("sweep") for g in nc.groups):
        return _cfradial2(nc, name, data)
    if "radialAzim" in nc.variables:
        return _imd(nc, name)
    if "sweep_start_ray_index" in nc.variables and "range" in nc.variables:
        return _cfradial1(nc, name)
    raise BadInput(
        "a netCDF file that is neither CfRadial nor an IMD radar sweep",
        file=name,
        fix="convert it to CfRadial",
    )


_Later = Callable[[], Array]  # gives an array, on any thread
_Raw = dict[str, tuple[dict[str, Any], _Later, _Later | None, Any]]  # attributes, codes, flags, their comment


def _later(v: Any, pick: slice, data: bytes | None) -> _Later:
    """What gives part of a variable; where the library has to read it, it does so now."""
    unpacked = chunk_reader(v.id, data) if data is not None else None
    if unpacked is not None:
        return unpacked
    array = np.asarray(v[pick])
    return lambda: array


def _raw(group: Any, pick: Any, gates: str, data: bytes | None = None) -> _Raw:
    """Every [rays, ``gates``] variable as it is in the file; ``pick`` selects the rays of a sweep.

    With `data`, the file, variables are unpacked later, and `pick` has to be all of them.
    """
    shaped = {n: v for n, v in group.variables.items() if v.ndim == 2}
    raw: _Raw = {}
    for n, v in shaped.items():
        if np.dtype(v.dtype).kind not in "fiu" or n == "range" or is_companion(n, shaped):
            continue
        if v.dimensions[1] != gates:
            continue
        beside = shaped.get(n + SUFFIX)
        flags = _later(beside, pick, data) if beside is not None else None
        comment = None
        if beside is not None and "comment" in beside.ncattrs():
            comment = beside.getncattr("comment")
        raw[n] = attributes_in(v, BESIDE), _later(v, pick, data), flags, comment
    return raw


def _decoded(raw: _Raw) -> dict[str, Field]:
    """Fields of what `_raw` gave; does not touch the file."""
    fields = {}
    for n, (attrs, codes, flags, comment) in raw.items():
        f = field_of(attrs, codes())
        if flags is not None:
            stated = flags()
            if stated.shape != f.values.shape:
                raise ValueError(f"{n}{SUFFIX} has another shape than {n}")
            if stated.dtype != np.uint8:
                stated = np.where((stated > MISSING) | (stated < VALID), MISSING, stated).astype(np.uint8)
            f.validity = stated
            if settle(f.values, f.validity, True):
                f.values[f.validity != VALID] = np.nan
            f.comment = comment
        fields[n] = f
    return fields


def _fields(group: Any, pick: Any, gates: str = "range") -> dict[str, Field]:
    """Fields of a group: every [rays, ``gates``] variable; ``pick`` selects the rays of a sweep."""
    return _decoded(_raw(group, pick, gates))


_MODES = {
    "rhi": "rhi",
    "sector": "sector",
    "vertical_pointing": "vertical_pointing",
    "ppi": "azimuth_surveillance",
}


def _mode(stated: str, azimuth: Array, elevation: Array) -> str:
    """Sweep mode as stated, or from the angles where the file leaves it empty."""
    stated = stated.lower()
    if stated in _MODES:
        return _MODES[stated]
    if not stated and elevation.size > 1 and np.ptp(elevation) > 5.0 and np.ptp(azimuth) < 5.0:
        return "rhi"
    return stated or "azimuth_surveillance"


def _site(nc: Any) -> dict[str, float]:
    return {
        "latitude": scalar_of(nc, ("latitude", "siteLat")),
        "longitude": scalar_of(nc, ("longitude", "siteLon")),
        "altitude": scalar_of(nc, ("altitude", "siteAlt")),
    }


_ANEW = frozenset({"Conventions", "version", "field_names", "n_gates_vary", "ray_times_increase", "Content"})
"""Attributes about the file, which do not hold for what it becomes."""
_OF_SWEEPS = frozenset({"time", "range", "azimuth", "elevation"})  # dimensions that each sweep has for itself


def _attrs(group: Any) -> dict[str, Any]:
    """Attributes of the file, or of a group, that tell something."""
    return {k: a for k, a in attributes_in(group, _ANEW).items() if str(a).strip()}


def _others(group: Any, path: str, taken: frozenset[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Groups that are no sweeps (parameters, calibration), but for arrays over dimensions of those above."""
    for name, below in group.groups.items():
        if path or not name.startswith("sweep"):
            arrays = of_arrays(below, without=taken)
            yield f"{path}/{name}", xr.Dataset(arrays | of_sweep(below), attrs=_attrs(below))
            yield from _others(below, f"{path}/{name}", taken | dims_of(arrays))


def _finish(
    sweeps: Iterable[Sweep], nc: Any, name: str, arrays: dict[str, xr.Variable] | None = None
) -> xr.DataTree:
    found = [sweep_dataset(s, i) for i, s in enumerate(s for s in sweeps if s.fields)]
    if not found:
        raise BadInput(
            "no data variable in this radar file", file=name, fix="it needs fields over rays and range"
        )
    left = sorted({below for n, g in nc.groups.items() if n.startswith("sweep") for below in g.groups})
    more = {"not_read": f"groups in sweeps: {', '.join(left)}"} if left else {}
    tree = volume_tree(found, **_site(nc), attrs=_attrs(nc) | more)
    beside = of_sweep(nc) | (arrays or {})
    tree.dataset = tree.to_dataset().assign({n: v for n, v in beside.items() if n not in tree})
    for path, dataset in _others(nc, "", dims_of(beside)):
        tree[path] = xr.DataTree(dataset)
    return tree


def _cfradial1(nc: Any, name: str) -> xr.DataTree:
    start = np.asarray(nc.variables["sweep_start_ray_index"][...]).astype(int)
    end = np.asarray(nc.variables["sweep_end_ray_index"][...]).astype(int)
    azimuth, elevation = (np.asarray(nc.variables[k][...], np.float64) for k in ("azimuth", "elevation"))
    time = times_of(nc.variables["time"])
    fixed = nc.variables["fixed_angle"][...] if "fixed_angle" in nc.variables else None
    modes = nc.variables.get("sweep_mode")
    ragged = _RaggedGates(nc) if "n_points" in nc.dimensions else None
    ranges = np.asarray(nc.variables["range"][...])
    rays = nc.variables["azimuth"].dimensions[0]
    arrays = of_arrays(nc, without=_OF_SWEEPS | {rays})
    taken = dims_of(arrays)
    sweeps = []
    for i, (a, b) in enumerate(zip(start, end, strict=True)):
        pick = slice(int(a), int(b) + 1)
        if azimuth[pick].size == 0 or b >= azimuth.size:
            raise BadInput(
                f"sweep {i} is said to have rays {a} to {b}, the file has {azimuth.size}",
                file=name,
                field="sweep_start_ray_index",
                fix="the index is damaged",
            )
        mode = _mode(text_of(modes[i]) if modes is not None else "", azimuth[pick], elevation[pick])
        angle = azimuth[pick] if mode == "rhi" else elevation[pick]
        sweeps.append(
            Sweep(
                azimuth=azimuth[pick],
                elevation=elevation[pick],
                time=time[pick],
                range=_gates(ranges, pick, i, name),
                fields=_fields(nc, pick) | (ragged.fields(pick) if ragged else {}),
                fixed_angle=float(fixed[i]) if fixed is not None else float(np.median(angle)),
                mode=mode,
                nyquist=_nyquist(nc, pick),
                beside=of_arrays(nc, rays, pick, taken) | of_rays(nc, pick) | of_sweep(nc, ("sweep",), i),
            )
        )
    return _finish(sweeps, nc, name, arrays)


def _gates(ranges: Array, pick: slice, sweep: int, name: str) -> Array:
    """Gate centres of a sweep; where the file has them for each ray, those that its rays share."""
    if ranges.ndim == 1:
        return ranges
    own = ranges[pick]
    if not (np.abs(own - own[0]) <= 1.0).all():
        raise BadInput(
            f"rays of sweep {sweep} have gates at other ranges than its first",
            file=name,
            field="range",
            unit="m",
            fix="bring them to one range",
        )
    return np.asarray(own[0])


def _nyquist(group: Any, pick: Any) -> float | None:
    """That of all rays; None where it is not told, or not the same for all (`of_rays` keeps it then)."""
    if "nyquist_velocity" not in group.variables:
        return None
    v = np.asarray(group.variables["nyquist_velocity"][...], np.float64)
    v = np.ravel(v if v.ndim == 0 else v[pick])
    v = v[np.isfinite(v) & (v > 0) & (v < 1e3)]
    return float(np.median(v)) if v.size and np.ptp(v) <= 0.01 * v.max() else None


class _RaggedGates:
    """CfRadial 1 with ``n_gates_vary``: fields are one long row of gates, unfolded here to [rays, gates]."""

    def __init__(self, nc: Any) -> None:
        self._nc = nc
        self._n = np.asarray(nc.variables["ray_n_gates"][...]).astype(int)
        self._start = np.asarray(nc.variables["ray_start_index"][...]).astype(int)
        self._gates = len(nc.dimensions["range"])

    def fields(self, pick: slice) -> dict[str, Field]:
        fields = {}
        gate = np.arange(self._gates)
        inside = gate < self._n[pick, None]
        where = np.where(inside, self._start[pick, None] + gate, 0)
        for n, v in self._nc.variables.items():
            if v.dimensions != ("n_points",) or np.dtype(v.dtype).kind not in "fiu":
                continue
            f = field_of(attributes_in(v), np.asarray(v[...])[where])
            f.values[~inside], f.validity[~inside] = np.nan, MISSING
            fields[n] = f
        return fields


def _cfradial2(nc: Any, name: str, data: bytes | None) -> xr.DataTree:
    names = [g for g in nc.groups if g.startswith("sweep") and "range" in nc.groups[g].variables]
    for g in names:
        lacking = [c for c in ("azimuth", "elevation", "time") if c not in nc.groups[g].variables]
        if lacking:
            raise BadInput(
                f"{g} has no {' and no '.join(lacking)}",
                file=name,
                field=lacking[0],
                fix="open it with xarray, and give what is missing",
            )
    if "sweep_group_name" in nc.variables:
        listed = [text_of(g) for g in nc.variables["sweep_group_name"][...]]
        names = [g for g in listed if g in names] or names
    # a sweep that was announced and never scanned
    names = [g for g in names if all(len(nc.groups[g].variables[c]) for c in ("azimuth", "range"))]
    # the library reads on this thread only; what it found or has read is unpacked and decoded on others,
    # while this one goes on with the sweeps that are ready
    with ThreadPoolExecutor(2) as pool:
        fields = []
        for k, g in enumerate(names, 1):
            fields.append(pool.submit(_decoded, _raw(nc.groups[g], slice(None), "range", data)))
            if k % _SOME == 0:
                pool.submit(hand_back)
        arrays = of_arrays(nc, without=_OF_SWEEPS)
        taken = dims_of(arrays)
        found = (_sweep(nc.groups[g], decoded, taken) for g, decoded in zip(names, fields, strict=True))
        return _finish(found, nc, name, arrays)


def _sweep(group: Any, fields: Future[dict[str, Field]], taken: frozenset[str]) -> Sweep:
    """A sweep of CfRadial 2, once its fields are there; no arrays over dimensions that are taken."""
    azimuth, elevation = (np.asarray(group.variables[k][...], np.float64) for k in ("azimuth", "elevation"))
    mode = _mode(
        text_of(group.variables["sweep_mode"][...]) if "sweep_mode" in group.variables else "",
        azimuth,
        elevation,
    )
    angle = azimuth if mode == "rhi" else elevation
    fixed = scalar_of(group, ("sweep_fixed_angle", "fixed_angle"))
    rays = group.variables["azimuth"].dimensions[0]
    arrays = of_arrays(group, rays, slice(None), taken) | of_arrays(group, rays, without=taken)
    return Sweep(
        azimuth=azimuth,
        elevation=elevation,
        time=times_of(group.variables["time"]),
        range=np.asarray(group.variables["range"][...]),
        fixed_angle=fixed if np.isfinite(fixed) else float(np.median(angle)),
        mode=mode,
        nyquist=_nyquist(group, slice(None)),
        fields=fields.result(),
        attrs=_attrs(group),
        beside=arrays | of_rays(group, slice(None)) | of_sweep(group),
    )


def _imd(nc: Any, name: str) -> xr.DataTree:
    """India Meteorological Department: one sweep per file, exported from IRIS."""
    gates = len(nc.dimensions["bin"])
    elevation = np.asarray(nc.variables["radialElev"][...], np.float64)
    first, step = scalar_of(nc, ("firstGateRange",)), scalar_of(nc, ("gateSize",))
    nyquist = scalar_of(nc, ("nyquist",))
    sweep = Sweep(
        azimuth=np.asarray(nc.variables["radialAzim"][...], np.float64),
        elevation=elevation,
        time=times_of(nc.variables["radialTime"]),
        range=first + step * np.arange(gates),
        fields=_fields(nc, slice(None), gates="bin"),
        fixed_angle=scalar_of(nc, ("elevationAngle",)),
        nyquist=nyquist,
    )
    return _finish([sweep], nc, name)
