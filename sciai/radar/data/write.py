"""Writer of CfRadial2 / FM301 netCDF, and what writers of other formats share with it.

Others are written by `odim_write`, `pawr_write` and `cfradial1_write`, beside this file.

A field whose encoding packs it without loss goes out as the raw codes it came in; anything else as float32.

Sources: CfRadial 2.1; WMO FM 301-2022.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput
from sciai.radar.data.arguments import path_of, shown
from sciai.radar.data.build import Array, fields_of, sweeps_of
from sciai.radar.data.one_at_a_time import netcdf_alone
from sciai.radar.data.text import unicode_of
from sciai.radar.data.undecoded import UNDETECT, number_of
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID, companion, is_companion, validity_of


@dataclass
class Packed:
    """Codes of a field: value = offset + scale * code, with one code for each kind of invalid gate."""

    codes: Array
    scale: float
    offset: float
    below_noise: float
    missing: float


def pack(values: Array, validity: Array, encoding: dict[str, Any]) -> Packed:
    """Pack a field into the codes of its encoding where that loses nothing, else keep float32.

    Args:
        values: float32 [rays, gates].
        validity: uint8 [rays, gates].
        encoding: ``scale_factor``, ``add_offset`` and ``dtype`` of the source, as far as known.

    Returns:
        Integer codes that decode to the very same float32 values, with two free codes for the invalid
        gates; or
        float32 codes with scale 1.

    Example:
        >>> v, q = np.array([[10.0, np.nan]], np.float32), np.array([[0, 1]], np.uint8)
        >>> p = pack(v, q, {"scale_factor": 0.5, "add_offset": -32.0, "dtype": np.dtype("uint8")})
        >>> p.codes.tolist(), p.codes.dtype.name, p.below_noise, p.missing
        ([[84, 0]], 'uint8', 0.0, 255.0)
    """
    dtype = np.dtype(encoding.get("dtype") or "f4")
    scale, offset = (number_of(encoding.get(key)) for key in ("scale_factor", "add_offset"))
    valid = validity == VALID
    if dtype.kind in "iu" and dtype.itemsize <= 4 and scale and offset is not None:
        info = np.iinfo(dtype)
        given = values[valid].astype(np.float64)
        word = np.round((given - offset) / scale)
        back = (word * scale + offset).astype(np.float32)
        if given.size == 0 or (
            word.min() >= info.min and word.max() <= info.max and (back == values[valid]).all()
        ):
            free = _free_codes(word, info, number_of(encoding.get("_FillValue")))
            if free is not None:
                codes = np.full(values.shape, free[1], dtype)
                codes[validity == BELOW_NOISE] = free[0]
                codes[valid] = word.astype(dtype)
                return Packed(codes, float(scale), float(offset), float(free[0]), float(free[1]))
    codes = values.astype(np.float32)
    low = float(np.floor(codes[valid].min())) if valid.any() else 0.0
    below, missing = (-9998.0, -9999.0) if low > -9990.0 else (2.0 * low - 1.0, 2.0 * low - 2.0)
    codes = np.where(validity == BELOW_NOISE, np.float32(below), codes)
    codes = np.where(validity == MISSING, np.float32(missing), codes).astype(np.float32)
    return Packed(codes, 1.0, 0.0, float(np.float32(below)), float(np.float32(missing)))


def _free_codes(word: Array, info: Any, fill: Any) -> tuple[int, int] | None:
    """Two codes that no valid gate uses, (below noise, missing): the ends of the range, or beside them."""
    used = set(np.unique(word).astype(np.int64).tolist())
    fill = None if fill is None or not np.isfinite(float(fill)) else int(fill)
    ends = [c for c in (info.max, info.min, info.min + 1, info.max - 1) if c not in used]
    missing = fill if fill is not None and info.min <= fill <= info.max and fill not in used else None
    if missing is None and ends:
        missing = ends[0]
    below = next(
        (c for c in (info.min, info.min + 1, info.max, info.max - 1) if c not in used and c != missing), None
    )
    return None if missing is None or below is None else (int(below), int(missing))


def checked_sweeps(volume: xr.DataTree, needs: Sequence[str] = ()) -> dict[str, xr.Dataset]:
    """Sweeps of a volume that is to be written, by name.

    Args:
        volume: as it was handed over.
        needs: coordinates without which the format cannot be written.

    Returns:
        The sweeps; a time that is of a whole sweep is given to each ray.

    Raises:
        BadInput: it is no volume, has no field, or a sweep lacks a coordinate, or times that are dates.
    """
    if not isinstance(volume, xr.DataTree):
        raise BadInput(
            f"cannot write {shown(volume)} as a radar volume",
            field="volume",
            fix="give what open_volume gives",
        )
    sweeps = {s: volume.children[s].to_dataset() for s in sweeps_of(volume)}
    if not any(fields_of(ds) for ds in sweeps.values()):
        raise BadInput(
            "no data variable in this volume", fix="give a volume with fields over (azimuth, range)"
        )
    for name, ds in sweeps.items():
        lacking = [c for c in needs if c not in ds.variables]
        if lacking:
            raise BadInput(
                f"{name} has no {' and no '.join(lacking)}", field=lacking[0], fix="write CfRadial2 instead"
            )
    return {name: _timed(ds, name, "time" in needs) for name, ds in sweeps.items()}


def _timed(ds: xr.Dataset, name: str, needed: bool) -> xr.Dataset:
    time = ds.variables.get("time")
    if time is None or not fields_of(ds):
        return ds
    if needed and (time.dtype.kind != "M" or np.isnat(time.values).any()):
        what = "times that are not known" if time.dtype.kind == "M" else f"times of {time.dtype}, no dates"
        raise BadInput(f"{name} has {what}", field="time", fix="give datetime64, or write CfRadial2 instead")
    if time.ndim == 0:
        ray = ds[fields_of(ds)[0]].dims[0]
        return ds.assign_coords(time=(ray, np.full(ds.sizes[ray], time.values), time.attrs))
    return ds


def number_in(ds: xr.Dataset | xr.DataTree, name: str, apart: float = 0.0) -> float:
    """The number that a variable holds, for each ray or once.

    Args:
        ds: a sweep or a volume.
        name: of the variable.
        apart: how far values of rays may be apart, in parts of the largest.

    Returns:
        The median; NaN where there is no such variable, no number in it, or different ones.
    """
    held = np.asarray(ds[name].values) if name in ds else np.empty(0)
    known = held[np.isfinite(held)].astype(np.float64) if held.dtype.kind in "iuf" else np.empty(0)
    if known.size == 0 or np.ptp(known) > apart * np.abs(known).max():
        return float("nan")
    return float(np.median(known))


def check_maps(sweeps: Mapping[str, xr.Dataset]) -> None:
    """Refuse sweeps that are no PPI, for formats that know nothing else.

    Raises:
        BadInput: naming the first of them.
    """
    for name, ds in sweeps.items():
        if fields_of(ds) and ds[fields_of(ds)[0]].dims[0] != "azimuth":
            raise BadInput(f"{name} is not a PPI", field="sweep_mode", fix="write CfRadial2 instead")


_PLAIN = (str, int, float, np.integer, np.floating)


def write_cfradial2(volume: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a volume as CfRadial2 / FM301 netCDF-4, whole or not at all.

    Every field keeps its packing where lossless. ``_FillValue`` stands in both kinds of invalid gate: readers
    that do not know ``_Undetect`` (xarray, xradar) would take its code for echo. The companion
    ``<VAR>_validity`` tells the kinds apart.

    Args:
        volume: as from `open_volume`.
        path: the file.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        BadInput: no field, existing output, disk full.

    Example:
        >>> import tempfile
        >>> from sciai.radar.data import open_volume, simulate
        >>> file = write_cfradial2(simulate(seed=1, shape=(1, 36, 60)), tempfile.mkdtemp() + "/volume.nc")
        >>> open_volume(file)["sweep_0/VRADH"].attrs["units"]
        'meters per second'
    """
    path, found = path_of(path, "path", "volume.nc"), checked_sweeps(volume)
    sweeps = list(found.values())
    with whole_file(path, overwrite=overwrite) as temporary, netcdf_file(temporary) as nc:
        with netcdf_alone():
            nc.setncatts(
                {
                    "Conventions": "CF-1.11 CfRadial-2.1 FM301-2022",
                    **attributes_of(volume.attrs, ("Conventions",)),
                }
            )
        _write_root(nc, volume.to_dataset(), len(sweeps))
        _put(nc, "sweep_group_name", xr.Variable("sweep", [f"sweep_{i}" for i in range(len(sweeps))]))
        angles = np.array([number_in(ds, "sweep_fixed_angle") for ds in sweeps])
        _put(nc, "sweep_fixed_angle", xr.Variable("sweep", angles))
        for i, (name, ds) in enumerate(found.items()):
            group = _group(nc, f"sweep_{i}", ds)
            _write_sweep(group, ds)
            for below, other in volume.children[name].children.items():
                _write_others(group, str(below), other)
        for name, other in volume.children.items():
            if name not in found:  # parameters, calibration: what else the volume came with
                _write_others(nc, str(name), other)
    return Path(path)


@contextlib.contextmanager
def netcdf_file(path: Path, model: Literal["NETCDF4", "NETCDF4_CLASSIC"] = "NETCDF4") -> Iterator[Any]:
    """A netCDF file to write to. The library reports a full disk as a RuntimeError; here it is an OSError.

    The library is held only while it writes, so that lazy values can be read between.
    """
    try:
        with netcdf_alone():
            nc = netCDF4.Dataset(path, "w", format=model)
        try:
            yield nc
        finally:
            with netcdf_alone():
                nc.close()
    except RuntimeError as e:
        raise OSError(str(e)) from e


def attributes_of(attrs: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Those attributes that a netCDF file can hold."""
    return {
        str(k): unicode_of(v) if isinstance(v, str) else v
        for k, v in attrs.items()
        if k not in skip and _can_be_attribute(v)
    }


def _can_be_attribute(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.size > 0 and value.dtype.kind in "iuf"
    if isinstance(value, list | tuple):
        kinds = {str if isinstance(item, str) else float for item in value}
        return len(kinds) == 1 and all(map(_can_be_attribute, value))
    return isinstance(value, _PLAIN) and not isinstance(value, bool)


def _group(parent: Any, name: str, ds: xr.Dataset) -> Any:
    """A new group with a dataset's attributes and dimensions."""
    with netcdf_alone():
        group = parent.createGroup(name)
        group.setncatts(attributes_of(ds.attrs))
        for d, n in ds.sizes.items():
            group.createDimension(str(d), n)
    return group


def _write_others(parent: Any, name: str, node: xr.DataTree) -> None:
    """A group that is no sweep, and those below it: attributes, texts and numbers."""
    ds = node.to_dataset(inherit=False)
    group = _group(parent, name, ds)
    for variable, v in ds.variables.items():
        _put(group, str(variable), v)
    for below, other in node.children.items():
        _write_others(group, str(below), other)


def _write_root(nc: Any, root: xr.Dataset, sweeps: int) -> None:
    """What the root holds beside the list of sweeps, which is made anew."""
    sizes = {d: n for d, n in root.sizes.items() if d != "sweep"}
    with netcdf_alone():
        nc.createDimension("sweep", sweeps)
        for d, n in sizes.items():
            nc.createDimension(str(d), n)
    for name, v in root.variables.items():
        if name in _LISTED:
            continue
        if v.sizes.get("sweep", sweeps) == sweeps:
            _put(nc, str(name), v)
        else:
            warnings.warn(f"{name} is not of {sweeps} sweeps; left out", stacklevel=3)


_LISTED = frozenset({"sweep_group_name", "sweep_fixed_angle"})


def _write_sweep(group: Any, ds: xr.Dataset) -> None:
    fields = fields_of(ds)
    beside = " ".join(
        str(c) for c, v in ds.coords.items() if c not in ds.dims and v.ndim and " " not in str(c)
    )
    for name, v in ds.variables.items():
        name = str(name)
        if name in fields:
            flags = validity_of(ds, name)
            p = pack(np.asarray(v.values, np.float32), flags, dict(v.encoding))
            fill = p.codes.dtype.type(p.missing)
            p.codes[flags != VALID] = fill
            attrs = attributes_of(v.attrs, OF_CODES) | ({"coordinates": beside} if beside else {})
            if p.codes.dtype.kind in "iu":
                attrs |= {"scale_factor": p.scale, "add_offset": p.offset}
            with netcdf_alone():
                out = group.createVariable(
                    name, p.codes.dtype, v.dims, zlib=True, complevel=4, fill_value=fill
                )
                out.set_auto_maskandscale(False)
                out.setncatts(attrs)
                out[...] = p.codes
            if companion(name) not in ds:
                _put(group, companion(name), xr.Variable(v.dims, flags))
        elif name == "time" and v.dtype.kind == "M":
            _put_time(group, v)
        else:
            _put(group, name, v, compress=is_companion(name, fields) or v.ndim == 2)


OF_CODES = (UNDETECT, "missing_value", "valid_range", "valid_min", "valid_max")
"""Attributes about the codes that a field had in its source, which are not those written here."""


def _put(group: Any, name: str, v: xr.Variable, *, compress: bool = False) -> None:
    values, attrs = np.asarray(v.values), dict(v.attrs)
    if values.dtype.kind in "mM":
        coded = xr.conventions.encode_cf_variable(xr.Variable(v.dims, values, attrs), name=name)
        values, attrs = np.asarray(coded.values), dict(coded.attrs)
    elif values.dtype.kind == "b":
        values, attrs = values.astype(np.int8), attrs | {"dtype": "bool"}  # as xarray marks it
    if values.dtype.kind in "OUST":  # T: of texts as a store gives them back
        texts = np.asarray(
            [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in values.flat]
        )
        with netcdf_alone():
            out = group.createVariable(name, str, v.dims)
            out[...] = texts.astype(object).reshape(values.shape) if v.ndim else str(texts[0])
    elif values.dtype.kind in "iuf" and values.dtype.itemsize in (1, 2, 4, 8):
        native = np.dtype(values.dtype.type)  # of dtypes that name a byte order the library warns
        if native == np.float16:
            native = np.dtype(np.float32)
        with netcdf_alone():
            out = group.createVariable(name, native, v.dims, zlib=compress)
            out.set_auto_maskandscale(False)
            out[...] = values.astype(native, copy=False)
    else:
        warnings.warn(f"{group.path} {name}: netCDF cannot hold {values.dtype}; left out", stacklevel=2)
        return
    flags = {k: a for k, a in attrs.items() if k == "flag_values"}
    with netcdf_alone():
        out.setncatts(attributes_of(attrs, ("_FillValue",)) | flags)


def _put_time(group: Any, v: xr.Variable) -> None:
    known = v.values[~np.isnat(v.values)].astype("datetime64[ns]")
    start = (known.min() if known.size else np.datetime64(0, "s")).astype("datetime64[s]")
    seconds = (v.values.astype("datetime64[ns]") - start) / np.timedelta64(1, "s")
    with netcdf_alone():
        out = group.createVariable("time", "f8", v.dims, zlib=bool(v.dims))
        out.setncatts({"standard_name": "time", "units": f"seconds since {start}Z", "calendar": "standard"})
        out[...] = seconds
