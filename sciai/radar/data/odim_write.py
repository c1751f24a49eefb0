"""Writer of ODIM_H5, which keeps below-noise (``undetect``) and missing (``nodata``) gates apart.

Source: OPERA data model ODIM_H5 2.3.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput
from sciai.radar.data.arguments import path_of
from sciai.radar.data.build import fields_of
from sciai.radar.data.heritage import history_lines
from sciai.radar.data.validity import validity_of
from sciai.radar.data.write import check_maps, checked_sweeps, number_in, pack

__all__ = ["write_odim"]


def write_odim(volume: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a volume as ODIM_H5 2.3, ``undetect`` and ``nodata`` apart, whole or not at all.

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
    sweeps = [ds for ds in found.values() if fields_of(ds)]
    with whole_file(path, overwrite=overwrite) as temporary:
        # in memory first: HDF5 does not survive a full disk in good order
        with h5py.File("memory.h5", "w", driver="core", backing_store=False) as h5:
            _write_odim_file(h5, volume, sweeps)
            h5.flush()
            image = h5.id.get_file_image()
        temporary.write_bytes(image)
    return Path(path)


def _write_odim_file(h5: Any, volume: xr.DataTree, sweeps: list[xr.Dataset]) -> None:
    # 2.4 has rstart in metres, which not every reader knows; of 2.3 all take it in km
    h5.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_3")
    start = min(ds["time"].values.min() for ds in sweeps)
    source = str(volume.attrs.get("source", ""))
    if ":" not in source:
        source = f"CMT:{volume.attrs.get('instrument_name') or 'unknown'}"
    what = h5.create_group("what")
    _put_text(what, object="PVOL", version="H5rad 2.3", date=_date(start), time=_clock(start), source=source)
    how = {"simulated": "True"} if volume.attrs.get("synthetic") else {}
    told = history_lines(volume.attrs)
    if how or told:
        _put_text(h5.create_group("how"), **how, **({"comment": "\n".join(told)} if told else {}))
    where = h5.create_group("where")
    for ours, theirs in (("longitude", "lon"), ("latitude", "lat"), ("altitude", "height")):
        if np.isfinite(number_in(volume, ours)):
            where.attrs[theirs] = number_in(volume, ours)
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
    fixed = number_in(ds, "sweep_fixed_angle")
    where.attrs["elangle"] = fixed if np.isfinite(fixed) else float(ds["elevation"].median())
    where.attrs["nbins"], where.attrs["nrays"] = np.int64(gates.size), np.int64(rays)
    where.attrs["rscale"], where.attrs["rstart"] = step, (float(gates[0]) - step / 2) / 1000.0
    where.attrs["a1gate"] = np.int64(np.argmin(time))
    how = group.create_group("how")
    # the reader takes the middle of start and stop, so both are the centre of the ray
    azimuth, elevation = (ds[k].values.astype(np.float64) for k in ("azimuth", "elevation"))
    seconds = (time - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")
    for key, values in (("azA", azimuth), ("elA", elevation), ("azT", seconds)):
        how.attrs[f"start{key}"] = how.attrs[f"stop{key}"] = values
    nyquist = number_in(ds, "nyquist_velocity", apart=0.01)
    if nyquist > 0:  # of pulses in turn there is no one number
        how.attrs["NI"] = nyquist
    for j, field in enumerate(fields_of(ds)):
        p = pack(np.asarray(ds[field].values, np.float32), validity_of(ds, field), dict(ds[field].encoding))
        data = group.create_group(f"data{j + 1}")
        data.create_dataset("data", data=p.codes, compression="gzip", compression_opts=6)
        out = data.create_group("what")
        _put_text(out, quantity=field)
        out.attrs["gain"], out.attrs["offset"] = p.scale, p.offset
        out.attrs["undetect"], out.attrs["nodata"] = p.below_noise, p.missing
