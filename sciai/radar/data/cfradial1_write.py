"""Writer of CfRadial 1 netCDF, which Py-ART, LROSE and other tools older than CfRadial 2 read.

All sweeps stand one below the other in one array of rays and gates. Tools of that age know one kind of
invalid gate: fields hold ``_FillValue`` in both kinds, and companions ``<VAR>_validity`` tell them apart.

Source: CfRadial 1.4 (EOL/NCAR).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput
from sciai.radar.data.arguments import path_of
from sciai.radar.data.build import Array, fields_of
from sciai.radar.data.one_at_a_time import netcdf_alone
from sciai.radar.data.validity import BELOW_NOISE, MISSING, attributes, companion, validity_of
from sciai.radar.data.write import OF_CODES, attributes_of, checked_sweeps, netcdf_file, number_in, pack

__all__ = ["write_cfradial1"]

_CHARS: Final = 32
_SIGNED: Final = {"uint8": "int16", "uint16": "int32"}  # the classic model has no types without sign
_TOLD: Final = ("title", "institution", "references", "source", "history", "comment", "instrument_name")


def write_cfradial1(volume: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a volume as CfRadial 1.4 netCDF-4 (classic model), whole or not at all.

    Every field keeps its packing where lossless. Sweeps, and the rays of each, are in the order in which they
    were scanned, as the format has it; sweeps without field, and groups, are left out. Where sweeps were
    scanned at once (electronic scan), xradar 0.12 sorts their rays by time and mixes them up; Py-ART and this
    package do not.

    Args:
        volume: as from `open_volume`; all sweeps have gates of one length, from one start.
        path: the file.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        BadInput: no field, sweeps of different gates, existing output, disk full.

    Example:
        >>> import tempfile
        >>> from sciai.radar.data import open_volume, simulate
        >>> file = write_cfradial1(simulate(seed=1, shape=(2, 36, 60)), tempfile.mkdtemp() + "/volume.nc")
        >>> open_volume(file)["sweep_1/VRADH"].shape
        (36, 60)
    """
    path = path_of(path, "path", "volume.nc")
    found = checked_sweeps(volume, ("azimuth", "elevation", "range", "time"))
    ordered = {name: _in_order(ds) for name, ds in found.items() if fields_of(ds)}
    sweeps = dict(sorted(ordered.items(), key=lambda item: item[1]["time"].values.min()))
    gates = _common_range(sweeps)
    with whole_file(path, overwrite=overwrite) as temporary, netcdf_file(temporary, "NETCDF4_CLASSIC") as nc:
        _write_header(nc, volume, list(sweeps.values()), gates)
        for field in sorted({f for ds in sweeps.values() for f in fields_of(ds)}):
            _write_field(nc, field, list(sweeps.values()), gates.size)
        _write_others(nc, volume, list(sweeps.values()))
    return Path(path)


def _in_order(ds: xr.Dataset) -> xr.Dataset:
    ray = str(ds[fields_of(ds)[0]].dims[0])
    return ds.isel({ray: np.argsort(ds["time"].values, kind="stable")})


def _common_range(sweeps: Mapping[str, xr.Dataset]) -> Array:
    """Gate centres of the sweep that has most of them, which all others begin with."""
    name, longest = max(sweeps.items(), key=lambda item: item[1].sizes["range"])
    gates = longest["range"].values.astype(np.float64)
    step = float(np.median(np.diff(gates))) if gates.size > 1 else 1.0
    for other, ds in sweeps.items():
        own = ds["range"].values.astype(np.float64)
        if np.abs(own - gates[: own.size]).max(initial=0.0) > 0.01 * abs(step):
            raise BadInput(
                f"{other} has other gates than {name} ({_gates(own)}; {_gates(gates)}), and a CfRadial 1 "
                "file has the same for all sweeps",
                field="range",
                unit="m",
                fix="write CfRadial2 or ODIM_H5 instead, or a file of the sweeps that agree",
            )
    return gates


def _gates(gates: Array) -> str:
    step = f"every {np.median(np.diff(gates)):.6g} m " if gates.size > 1 else ""
    return f"{step}from {gates[0]:.6g} m" if gates.size else "none"


def _classic(attrs: Mapping[Any, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Attributes as the classic model of netCDF has them: no lists of texts, no unsigned integers."""
    plain = attributes_of(attrs, skip)
    for key, value in plain.items():
        if isinstance(value, list | tuple) and isinstance(value[0], str):
            plain[key] = ", ".join(value)
        elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "u":
            fits = int(np.max(value)) <= np.iinfo(np.int32).max
            plain[key] = value.astype(np.int32 if fits else np.float64)
    return plain


def _write_header(nc: Any, volume: xr.DataTree, sweeps: list[xr.Dataset], gates: Array) -> None:
    rays = np.array([ds["time"].size for ds in sweeps])
    told = {k: str(volume.attrs.get(k, "")) for k in _TOLD}
    extra = _classic(volume.attrs, ("Conventions", "version", *_TOLD))
    with netcdf_alone():
        for name, size in (("time", rays.sum()), ("range", gates.size), ("sweep", len(sweeps))):
            nc.createDimension(name, int(size))
        nc.createDimension("string_length", _CHARS)
        nc.setncatts({"Conventions": "CF/Radial", "version": "1.4", **told, **extra})
    times = np.concatenate([ds["time"].values for ds in sweeps]).astype("datetime64[ms]")
    start = times.min().astype("datetime64[s]")
    number = number_in(volume, "volume_number")
    _put(nc, "volume_number", (), np.int32(number if abs(number) < 2**31 else 0))
    _text(nc, "time_coverage_start", (), [f"{start}Z"])
    _text(nc, "time_coverage_end", (), [f"{times.max().astype('datetime64[s]')}Z"])
    beside = _of_rays(sweeps)
    for name, v in beside.items():
        _put(nc, name, ("time",), v.values, _classic(v.attrs))
    for name, units in (("latitude", "degrees_north"), ("longitude", "degrees_east"), ("altitude", "meters")):
        if name in beside:
            continue
        _put(nc, name, (), np.float64(number_in(volume, name)), {"standard_name": name, "units": units})
    since = {"standard_name": "time", "units": f"seconds since {start}Z", "calendar": "standard"}
    seconds = (times - start.astype("datetime64[ms]")).astype("timedelta64[ms]").astype(np.float64) / 1e3
    _put(nc, "time", ("time",), seconds, since)
    step = float(gates[-1] - gates[0]) / (gates.size - 1) if gates.size > 1 else 0.0
    even = gates.size < 3 or np.ptp(np.diff(gates)) <= 0.01 * abs(step)
    _put(
        nc, "range", ("range",), gates.astype(np.float32),
        {
            "standard_name": "projection_range_coordinate", "long_name": "range_to_measurement_volume",
            "units": "meters", "axis": "radial_range_coordinate", "spacing_is_constant": str(even).lower(),
            "meters_to_center_of_first_gate": np.float32(gates[0]), "meters_between_gates": np.float32(step),
        },
    )  # fmt: skip
    for name in ("azimuth", "elevation"):
        attrs = {
            "standard_name": f"ray_{name}_angle",
            "units": "degrees",
            "axis": f"radial_{name}_coordinate",
        }
        _put(
            nc, name, ("time",), np.concatenate([ds[name].values for ds in sweeps]).astype(np.float32), attrs
        )
    _put(nc, "sweep_number", ("sweep",), np.arange(len(sweeps), dtype=np.int32))
    modes = [str(ds["sweep_mode"].values) if "sweep_mode" in ds else "" for ds in sweeps]
    _text(nc, "sweep_mode", ("sweep",), modes)
    angles = [number_in(ds, "sweep_fixed_angle") for ds in sweeps]
    _put(nc, "fixed_angle", ("sweep",), np.array(angles, np.float32), {"units": "degrees"})
    _put(nc, "sweep_start_ray_index", ("sweep",), (np.cumsum(rays) - rays).astype(np.int32))
    _put(nc, "sweep_end_ray_index", ("sweep",), (np.cumsum(rays) - 1).astype(np.int32))
    nyquist = [number_in(ds, "nyquist_velocity", apart=0.01) for ds in sweeps]
    if "nyquist_velocity" not in beside and np.isfinite(nyquist).any():
        attrs = {"units": "meters per second", "meta_group": "instrument_parameters"}
        _put(nc, "nyquist_velocity", ("time",), np.repeat(nyquist, rays).astype(np.float32), attrs)


def _of_rays(sweeps: list[xr.Dataset]) -> dict[str, xr.Variable]:
    """Numbers of each ray that all sweeps have, one below the other: pulses, places of a moving platform."""
    rays = [ds["time"].dims for ds in sweeps]
    found = {}
    for name, v in sweeps[0].variables.items():
        if name in ("time", "azimuth", "elevation") or v.dtype.kind not in "iuf":
            continue
        if all(name in ds.variables and ds[name].dims == ray for ds, ray in zip(sweeps, rays, strict=True)):
            values = _narrow(np.concatenate([ds[name].values for ds in sweeps]))
            found[str(name)] = xr.Variable(("time",), values, v.attrs)
    return found


def _narrow(values: Array) -> Array:
    """Numbers as the classic model has them: no wider integers."""
    if values.dtype.kind in "iu":
        return values.astype(np.int32 if (np.abs(values) < 2**31).all() else np.float64)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _write_others(nc: Any, volume: xr.DataTree, sweeps: list[xr.Dataset]) -> None:
    """Numbers and texts that the volume, or each of its sweeps, holds beside: beam widths, frequencies."""
    for name, v in volume.to_dataset().variables.items():
        if not {"sweep", "time", "range"} & set(v.dims) and v.ndim < 2:
            _write_other(nc, str(name), v.dims, v.values, v.attrs)
    for name, v in sweeps[0].variables.items():
        if all(name in ds.variables and ds[name].ndim == 0 for ds in sweeps):
            values = np.array([ds[name].values for ds in sweeps])
            _write_other(nc, str(name), ("sweep",), values, v.attrs)


def _write_other(nc: Any, name: str, dims: tuple[Any, ...], values: Array, attrs: Mapping[Any, Any]) -> None:
    if name in nc.variables or name in _ELSEWHERE or values.dtype.kind not in "iufUTO":
        return
    sizes = dict(zip(dims, values.shape, strict=True))
    if any(d in nc.dimensions and len(nc.dimensions[d]) != size for d, size in sizes.items()):
        return
    with netcdf_alone():
        for dim in sizes.keys() - set(nc.dimensions):
            nc.createDimension(str(dim), sizes[dim])
    if values.dtype.kind in "iuf":
        _put(nc, name, dims, _narrow(values), _classic(attrs))
    else:
        _text(nc, name, dims, [str(t) for t in values.flat])


_ELSEWHERE: Final = frozenset({"sweep_fixed_angle", "nyquist_velocity", "time", "azimuth", "elevation"})
"""Numbers of sweeps that stand under another name."""


def _write_field(nc: Any, field: str, sweeps: list[xr.Dataset], gates: int) -> None:
    """One field of all sweeps; missing where a sweep lacks it, and beyond a sweep's last gate."""
    rays = [ds["time"].size for ds in sweeps]
    values = np.full((sum(rays), gates), np.nan, np.float32)
    flags = np.full(values.shape, MISSING, np.uint8)
    given = [ds[field].variable for ds in sweeps if field in ds]
    for ds, end in zip(sweeps, np.cumsum(rays), strict=True):
        if field in ds:
            part = slice(int(end) - ds["time"].size, int(end)), slice(ds.sizes["range"])
            values[part], flags[part] = ds[field].values, validity_of(ds, field)
    encoding = given[0].encoding
    packed = pack(values, flags, {} if str(encoding.get("dtype")) == "uint32" else dict(encoding))
    codes = packed.codes.astype(_SIGNED.get(packed.codes.dtype.name, packed.codes.dtype))
    fill = codes.dtype.type(packed.missing)
    codes[flags == BELOW_NOISE] = fill
    agreed = {
        k: a
        for k, a in given[0].attrs.items()
        if all(k in v.attrs and np.array_equal(v.attrs[k], a) for v in given)
    }
    attrs = _classic(agreed, ("_FillValue", *OF_CODES))
    if codes.dtype.kind in "iu":
        attrs |= {"scale_factor": packed.scale, "add_offset": packed.offset}
    _put(nc, field, ("time", "range"), codes, attrs | {"coordinates": "elevation azimuth range"}, fill)
    comments = (ds[companion(field)].attrs.get("comment") for ds in sweeps if companion(field) in ds)
    told = next((str(c) for c in comments if c), None)  # that the source does not tell the kinds apart
    about = _classic(attributes(told), ("flag_values",)) | {"flag_values": np.array([0, 1, 2], np.int8)}
    _put(nc, companion(field), ("time", "range"), flags.astype(np.int8), about)


def _put(
    nc: Any,
    name: str,
    dims: tuple[str, ...],
    values: Any,
    attrs: Mapping[str, Any] | None = None,
    fill: Any = None,
) -> None:
    with netcdf_alone():
        out = nc.createVariable(name, values.dtype, dims, zlib=len(dims) == 2, complevel=4, fill_value=fill)
        out.set_auto_maskandscale(False)
        out.setncatts(dict(attrs or {}))
        out[...] = values


def _text(nc: Any, name: str, dims: tuple[Any, ...], texts: list[str]) -> None:
    encoded = [t.encode("utf-8", "replace") for t in texts]
    size = max(_CHARS, *map(len, encoded)) if encoded else _CHARS
    length = "string_length" if size == _CHARS else f"string_length_{size}"
    chars = np.array(encoded, f"S{size}").view("S1").reshape(len(texts), size)
    with netcdf_alone():
        if length not in nc.dimensions:
            nc.createDimension(length, size)
        nc.createVariable(name, "S1", (*dims, length))[...] = chars if dims else chars[0]
