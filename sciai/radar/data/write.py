"""Writers: CfRadial2 / FM301 netCDF and ODIM_H5; validity survives both.

The writer of MP-PAWR raw files is in `sciai.radar.data.pawr_write`.

A field whose encoding packs it without loss goes out as the raw codes it came in; anything else as float32.

Sources: CfRadial 2.1; WMO FM 301-2022; OPERA ODIM_H5 2.4.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import netCDF4
import numpy as np
import xarray as xr

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput
from sciai.radar.data.arguments import path_of, shown
from sciai.radar.data.build import Array, fields_of, sweeps_of
from sciai.radar.data.heritage import history_lines
from sciai.radar.data.text import unicode_of
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
    dtype = np.dtype(encoding.get("dtype", "f4"))
    scale, offset = encoding.get("scale_factor"), encoding.get("add_offset")
    valid = validity == VALID
    if dtype.kind in "iu" and dtype.itemsize <= 4 and scale and offset is not None:
        info = np.iinfo(dtype)
        given = values[valid].astype(np.float64)
        word = np.round((given - offset) / scale)
        back = (word * scale + offset).astype(np.float32)
        if given.size == 0 or (
            word.min() >= info.min and word.max() <= info.max and (back == values[valid]).all()
        ):
            free = _free_codes(word, info, encoding.get("_FillValue"))
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

    Raises:
        BadInput: it is no volume, has no field, or a sweep lacks a coordinate.
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
    return sweeps


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

    Every field keeps its packing where lossless; ``_FillValue`` marks missing and ``_Undetect`` below
    noise, and the
    companion ``<VAR>_validity`` says the same in CF terms.

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
        nc.setncatts(
            {
                "Conventions": "CF-1.11 CfRadial-2.1 FM301-2022",
                **attributes_of(volume.attrs, ("Conventions",)),
            }
        )
        for name, v in volume.to_dataset().variables.items():
            if v.ndim == 0:
                _put(nc, str(name), v)
        nc.createDimension("sweep", len(sweeps))
        names = nc.createVariable("sweep_group_name", str, ("sweep",))
        angles = nc.createVariable("sweep_fixed_angle", "f8", ("sweep",))
        for i, ds in enumerate(sweeps):
            names[i] = f"sweep_{i}"
            angles[i] = float(ds.get("sweep_fixed_angle", np.nan))
            _write_group(nc.createGroup(f"sweep_{i}"), ds)
        for name, other in volume.children.items():
            if name not in found:  # parameters, calibration: what else the volume came with
                _write_others(nc.createGroup(str(name)), other)
    return Path(path)


@contextlib.contextmanager
def netcdf_file(path: Path, model: Literal["NETCDF4", "NETCDF4_CLASSIC"] = "NETCDF4") -> Iterator[Any]:
    """A netCDF file to write to. The library reports a full disk as a RuntimeError; here it is an OSError."""
    try:
        with netCDF4.Dataset(path, "w", format=model) as nc:
            yield nc
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


def _write_others(group: Any, node: xr.DataTree) -> None:
    """A group that is no sweep, and those below it: attributes, texts and numbers."""
    ds = node.to_dataset(inherit=False)
    group.setncatts(attributes_of(ds.attrs))
    for d, n in ds.sizes.items():
        group.createDimension(str(d), n)
    for name, v in ds.variables.items():
        _put(group, str(name), v)
    for name, below in node.children.items():
        _write_others(group.createGroup(str(name)), below)


def _write_group(group: Any, ds: xr.Dataset) -> None:
    group.setncatts(attributes_of(ds.attrs))
    for d, n in ds.sizes.items():
        group.createDimension(str(d), n)
    fields = fields_of(ds)
    for name, v in ds.variables.items():
        name = str(name)
        if name in fields:
            flags = validity_of(ds, name)
            p = pack(np.asarray(v.values, np.float32), flags, dict(v.encoding))
            missing = p.codes.dtype.type(p.missing)
            out = group.createVariable(
                name, p.codes.dtype, v.dims, zlib=True, complevel=4, fill_value=missing
            )
            out.set_auto_maskandscale(False)
            out.setncatts(attributes_of(v.attrs) | {"_Undetect": p.codes.dtype.type(p.below_noise)})
            if p.codes.dtype.kind in "iu":
                out.setncatts({"scale_factor": p.scale, "add_offset": p.offset})
            out[...] = p.codes
            if companion(name) not in ds:
                _put(group, companion(name), xr.Variable(v.dims, flags))
        elif name == "time":
            _put_time(group, v)
        else:
            _put(group, name, v, compress=is_companion(name, fields) or v.ndim == 2)


def _put(group: Any, name: str, v: xr.Variable, *, compress: bool = False) -> None:
    values = np.asarray(v.values)
    if values.dtype.kind in "OU":
        out = group.createVariable(name, str, v.dims)
        out[...] = values if v.ndim else str(values)
    elif values.dtype.kind in "iuf":
        native = np.dtype(values.dtype.type)  # of dtypes that name a byte order the library warns
        out = group.createVariable(name, native, v.dims, zlib=compress)
        out[...] = values.astype(native, copy=False)
    else:
        return
    flags = {k: a for k, a in v.attrs.items() if k == "flag_values"}
    out.setncatts(attributes_of(v.attrs, ("_FillValue",)) | flags)


def _put_time(group: Any, v: xr.Variable) -> None:
    ms = v.values.astype("datetime64[ms]")
    start = ms.min().astype("datetime64[s]")
    out = group.createVariable("time", "f8", v.dims, zlib=True)
    out.setncatts({"standard_name": "time", "units": f"seconds since {start}Z", "calendar": "standard"})
    out[...] = (ms - start).astype("timedelta64[ms]").astype(np.float64) / 1000.0


def write_odim(volume: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a volume as ODIM_H5 2.4, ``undetect`` and ``nodata`` apart, whole or not at all.

    Args:
        volume: PPI sweeps with gates of constant step, as from `open_volume`.
        path: the file.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        BadInput: no field, an RHI sweep, uneven gates, existing output, disk full.

    Example:
        >>> import tempfile
        >>> from sciai.radar.data import open_volume, simulate
        >>> file = write_odim(simulate(seed=1, shape=(2, 36, 60)), tempfile.mkdtemp() + "/volume.h5")
        >>> len(open_volume(file).children)
        2
    """
    path = path_of(path, "path", "volume.h5")
    found = checked_sweeps(volume, ("azimuth", "elevation", "range", "time"))
    check_maps(found)
    sweeps = list(found.values())
    with whole_file(path, overwrite=overwrite) as temporary:
        # in memory first: HDF5 does not survive a full disk in good order
        with h5py.File("memory.h5", "w", driver="core", backing_store=False) as h5:
            _write_odim_file(h5, volume, sweeps)
            h5.flush()
            image = h5.id.get_file_image()
        temporary.write_bytes(image)
    return Path(path)


def _write_odim_file(h5: Any, volume: xr.DataTree, sweeps: list[xr.Dataset]) -> None:
    h5.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_4")
    start = min(ds["time"].values.min() for ds in sweeps)
    source = str(volume.attrs.get("source", ""))
    if ":" not in source:
        source = f"CMT:{volume.attrs.get('instrument_name') or 'unknown'}"
    what = h5.create_group("what")
    _put_text(what, object="PVOL", version="H5rad 2.4", date=_date(start), time=_clock(start), source=source)
    how = {"simulated": "True"} if volume.attrs.get("synthetic") else {}
    told = history_lines(volume.attrs)
    if how or told:
        _put_text(h5.create_group("how"), **how, **({"comment": "\n".join(told)} if told else {}))
    where = h5.create_group("where")
    for ours, theirs in (("longitude", "lon"), ("latitude", "lat"), ("altitude", "height")):
        if ours in volume and np.isfinite(float(volume[ours])):
            where.attrs[theirs] = float(volume[ours])
    for i, ds in enumerate(sweeps):
        _write_dataset(h5.create_group(f"dataset{i + 1}"), ds, f"sweep_{i}")


def _put_text(group: Any, **values: str) -> None:
    for k, v in values.items():
        group.attrs[k] = np.bytes_(v.encode("utf-8", "replace"))


def _date(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]")).replace("-", "")


def _clock(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]"))[11:].replace(":", "")


def _write_dataset(group: Any, ds: xr.Dataset, name: str) -> None:
    gates = ds["range"].values.astype(np.float64)
    # of all gates: the median of differences of float32 was 1 m off at the far end
    step = float(gates[-1] - gates[0]) / (gates.size - 1) if gates.size > 1 else 1.0
    if gates.size > 2 and np.ptp(np.diff(gates)) > 0.01 * step:
        raise BadInput(
            f"{name} has gates of uneven length", field="range", unit="m", fix="write CfRadial2 instead"
        )
    time = ds["time"].values
    rays = time.size
    what = group.create_group("what")
    _put_text(what, product="SCAN", startdate=_date(time.min()), starttime=_clock(time.min()))
    _put_text(what, enddate=_date(time.max()), endtime=_clock(time.max()))
    where = group.create_group("where")
    where.attrs["elangle"] = float(ds.get("sweep_fixed_angle", ds["elevation"].median()))
    where.attrs["nbins"], where.attrs["nrays"] = np.int64(gates.size), np.int64(rays)
    where.attrs["rscale"], where.attrs["rstart"] = step, (float(gates[0]) - step / 2) / 1000.0
    where.attrs["a1gate"] = np.int64(np.argmin(time))
    how = group.create_group("how")
    # the reader takes the middle of start and stop, so both are the centre of the ray
    azimuth, elevation = (ds[k].values.astype(np.float64) for k in ("azimuth", "elevation"))
    seconds = (time - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")
    for key, values in (("azA", azimuth), ("elA", elevation), ("azT", seconds)):
        how.attrs[f"start{key}"] = how.attrs[f"stop{key}"] = values
    if "nyquist_velocity" in ds:
        how.attrs["NI"] = float(np.nanmedian(ds["nyquist_velocity"].values))
    for j, field in enumerate(fields_of(ds)):
        p = pack(np.asarray(ds[field].values, np.float32), validity_of(ds, field), dict(ds[field].encoding))
        data = group.create_group(f"data{j + 1}")
        data.create_dataset("data", data=p.codes, compression="gzip", compression_opts=6)
        out = data.create_group("what")
        _put_text(out, quantity=field)
        out.attrs["gain"], out.attrs["offset"] = p.scale, p.offset
        out.attrs["undetect"], out.attrs["nodata"] = p.below_noise, p.missing
