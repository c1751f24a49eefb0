"""Assembles sweeps and volumes in FM301 / CfRadial2 form from decoded arrays; every reader ends here.

Conventions held for every volume, whatever its source:

- the root holds ``latitude``, ``longitude``, ``altitude`` as coordinates and one child ``sweep_<i>`` per
  sweep, in
  the order of the file (one file per sweep: in the order of time);
- a sweep has the dimensions (``azimuth``, ``range``), or (``elevation``, ``range``) for an RHI; its rays
  are **sorted
  by that angle** (stable), because that is what lines up with the sweep below and with the volume before;
  ``time`` tells the order in which they were scanned;
- a field is float32 with NaN where invalid, beside its uint8 companion (`sciai.radar.data.validity`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from sciai.radar.data.names import field_attributes, fm301_names
from sciai.radar.data.validity import (
    BELOW_NOISE,
    MISSING,
    NOT_TOLD_APART,
    VALID,
    attributes,
    companion,
    is_companion,
)

Array = npt.NDArray[Any]


@dataclass
class Field:
    """One decoded field of one sweep.

    Attributes:
        values: float32 [rays, gates]; whatever stands in invalid gates is overwritten by NaN.
        validity: uint8 [rays, gates].
        attrs: the source's own attributes; standard ones are added for known names.
        encoding: ``scale_factor``, ``add_offset``, ``dtype``, ``_FillValue`` of the source's raw codes,
            where packed.
        comment: goes into the companion, e.g. `NOT_TOLD_APART`.
    """

    values: Array
    validity: npt.NDArray[np.uint8]
    attrs: dict[str, Any] = field(default_factory=dict)
    encoding: dict[str, Any] = field(default_factory=dict)
    comment: str | None = None


@dataclass
class Sweep:
    """One decoded sweep: angles in degrees [rays], times UTC [rays], gate centres in metres [gates].

    ``beside`` holds what else the source says of its rays (first dimension ``ray``) and of the sweep.
    """

    azimuth: Array
    elevation: Array
    time: Array
    range: Array
    fields: dict[str, Field]
    fixed_angle: float
    mode: str = "azimuth_surveillance"
    nyquist: float | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, xr.Variable] = field(default_factory=dict)


def from_codes(
    codes: Array,
    *,
    scale: float,
    offset: float,
    below_noise: float | None,
    missing: float | None,
    attrs: Mapping[str, Any] | None = None,
) -> Field:
    """Decode raw codes: value = offset + scale * code, two codes being flags.

    Args:
        codes: raw array [rays, gates], integer or floating.
        scale: unit per code step.
        offset: value of code 0.
        below_noise: code that means "looked and saw nothing" (NaN and infinities allowed), or None.
        missing: code that means "not measured", or None. Where both are the same code the source does not
            tell them apart, and the gate is missing.
        attrs: attributes of the field.

    Example:
        >>> codes = np.array([[0, 255, 84]], np.uint8)
        >>> f = from_codes(codes, scale=0.5, offset=-32.0, below_noise=0, missing=255)
        >>> f.values.tolist(), f.validity.tolist()
        ([[nan, nan, 10.0]], [[1, 2, 0]])
    """
    same = below_noise is not None and missing is not None and _equals(np.asarray(below_noise), missing)
    values, validity = _unpacked(codes, scale, offset, below_noise, missing)
    encoding: dict[str, Any] = {"dtype": codes.dtype.newbyteorder("=")}
    if codes.dtype.kind in "iu":
        encoding |= {"scale_factor": float(scale), "add_offset": float(offset)}
    if missing is not None and _fits(missing, codes.dtype):
        encoding["_FillValue"] = encoding["dtype"].type(missing)
    told_apart = below_noise is not None and missing is not None and not same
    return Field(values, validity, dict(attrs or {}), encoding, None if told_apart else NOT_TOLD_APART)


def _unpacked(
    codes: Array, scale: float, offset: float, below_noise: float | None, missing: float | None
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Values (float32, NaN where invalid) and validity."""
    if codes.dtype.kind in "iu" and codes.ndim == 2 and codes.dtype.itemsize <= 4 and codes.dtype.isnative:
        from sciai.radar.data.loops import unpack_codes  # compiled code is loaded where it is needed

        low, high = (c if c is not None and _fits(c, codes.dtype) else None for c in (below_noise, missing))
        values, validity = np.empty(codes.shape, np.float32), np.empty(codes.shape, np.uint8)
        codes = np.ascontiguousarray(codes)
        unpack_codes(
            codes, float(scale), float(offset), int(low or 0), low is not None, int(high or 0),
            high is not None, values, validity,
        )  # fmt: skip
        return values, validity
    validity = np.zeros(codes.shape, np.uint8)
    if below_noise is not None:
        validity[_equals(codes, below_noise)] = BELOW_NOISE
    if missing is not None:
        validity[_equals(codes, missing)] = MISSING
    if codes.dtype.kind == "f":
        validity[(validity == VALID) & ~np.isfinite(codes)] = MISSING
    if scale == 1.0 and offset == 0.0:
        values = codes.astype(np.float32)
    else:
        values = (codes.astype(np.float64) * scale + offset).astype(np.float32)
    values[validity != VALID] = np.nan
    return values, validity


def _equals(codes: Array, code: float) -> npt.NDArray[np.bool_]:
    if np.isnan(code):
        return np.isnan(codes) if codes.dtype.kind == "f" else np.zeros(codes.shape, bool)
    return (
        np.asarray(codes == codes.dtype.type(code))
        if _fits(code, codes.dtype)
        else np.zeros(codes.shape, bool)
    )


def _fits(code: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return True
    info = np.iinfo(dtype)
    return bool(np.isfinite(code)) and float(code).is_integer() and info.min <= code <= info.max


def to_milliseconds(time: Array) -> Array:
    """Round times to milliseconds, so that they are stored and read back exactly.

    Args:
        time: datetime64 of any unit [rays].

    Returns:
        datetime64[ns] on whole milliseconds.
    """
    ns = time.astype("datetime64[ns]").astype(np.int64)
    return ((ns + 500_000) // 1_000_000 * 1_000_000).astype("datetime64[ns]")


def seconds_after(start: np.datetime64 | str, seconds: Array | float) -> Array:
    """``start`` + ``seconds`` (any shape) as datetime64[ns].

    Raises:
        ValueError: one lies beyond the years 1677 to 2262, where datetime64[ns] would tell another date.

    Example:
        >>> str(seconds_after("2020-02-07", 0.25))
        '2020-02-07T00:00:00.250000000'
    """
    seconds = np.asarray(seconds, np.float64)
    since_1970 = float(np.asarray(start, "datetime64[s]").astype(np.int64)) + seconds
    if not (np.abs(since_1970) < _LAST).all():
        raise ValueError("times beyond the years 1677 to 2262")
    ns = np.round(seconds * 1e9).astype("timedelta64[ns]")
    return np.asarray(np.asarray(start, "datetime64[ns]") + ns)


_LAST = 9_223_372_000  # seconds from 1970 on that datetime64[ns] holds


def sweep_dataset(sweep: Sweep, number: int) -> xr.Dataset:
    """A sweep as an `xarray.Dataset`, with rays sorted by angle and companions added."""
    ray_dim = "elevation" if sweep.mode == "rhi" else "azimuth"
    azimuth = np.asarray(sweep.azimuth, np.float64) % 360.0
    elevation = np.asarray(sweep.elevation, np.float64)
    order = np.argsort(elevation if ray_dim == "elevation" else azimuth, kind="stable")
    in_order = bool(np.all(order[:-1] < order[1:]))

    def rays(values: Array) -> Array:
        return values if in_order else np.ascontiguousarray(values[order])

    time = to_milliseconds(np.asarray(sweep.time))
    coords: dict[str, Any] = {
        "azimuth": (ray_dim, rays(azimuth).astype(np.float32), _AZIMUTH),
        "elevation": (ray_dim, rays(elevation).astype(np.float32), _ELEVATION),
        "time": (ray_dim, rays(time), {"standard_name": "time"}),
        "range": ("range", np.asarray(sweep.range, np.float32), _RANGE),
    }
    variables: dict[str, Any] = {
        "sweep_number": ((), np.int64(number)),
        "sweep_mode": ((), sweep.mode),
        "sweep_fixed_angle": ((), np.float64(round(float(sweep.fixed_angle), 4)), {"units": "degrees"}),
    }
    if sweep.nyquist is not None and np.isfinite(sweep.nyquist) and sweep.nyquist > 0:
        attrs = {"units": "meters per second", "long_name": "unambiguous_doppler_velocity"}
        variables["nyquist_velocity"] = ((), np.float64(round(float(sweep.nyquist), 4)), attrs)
    for name, v in sweep.beside.items():
        if name not in coords and name not in variables:
            where = coords if name in _PLACE else variables
            of_rays = v.dims[:1] == ("ray",)
            dims = [ray_dim if d == "ray" else d for d in v.dims]
            where[name] = (dims, rays(v.values) if of_rays else v.values, v.attrs)
    renamed = fm301_names(sweep.fields)
    for old, new in renamed.items():
        f = sweep.fields[old]
        attrs = field_attributes(new) | {k: v for k, v in f.attrs.items() if v is not None}
        attrs |= {k: v for k, v in field_attributes(new).items() if k in ("standard_name", "units")}
        if new != old:
            attrs["source_name"] = old
        attrs["ancillary_variables"] = companion(new)
        values = np.asarray(f.values, np.float32)
        variables[new] = ((ray_dim, "range"), rays(values), attrs, f.encoding)
        variables[companion(new)] = ((ray_dim, "range"), rays(f.validity), attributes(f.comment))
    ds = xr.Dataset(variables, coords, sweep.attrs)
    start = str(time.min().astype("datetime64[s]")) if time.size else "1970-01-01T00:00:00"
    ds["time"].encoding = {"units": f"milliseconds since {start}", "dtype": np.dtype("int64")}
    return ds


_PLACE = ("latitude", "longitude", "altitude")
_AZIMUTH = {"standard_name": "ray_azimuth_angle", "units": "degrees", "axis": "radial_azimuth_coordinate"}
_ELEVATION = {
    "standard_name": "ray_elevation_angle",
    "units": "degrees",
    "axis": "radial_elevation_coordinate",
}
_RANGE = {
    "standard_name": "projection_range_coordinate",
    "long_name": "range_to_measurement_volume",
    "units": "meters",
    "axis": "radial_range_coordinate",
}


def volume_tree(
    sweeps: Sequence[xr.Dataset],
    *,
    latitude: float,
    longitude: float,
    altitude: float,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Sweeps -> volume. Unknown site coordinates are NaN, never an invented 0."""
    root = xr.Dataset(
        coords={
            "latitude": ((), np.float64(latitude), {"standard_name": "latitude", "units": "degrees_north"}),
            "longitude": ((), np.float64(longitude), {"standard_name": "longitude", "units": "degrees_east"}),
            "altitude": ((), np.float64(altitude), {"standard_name": "altitude", "units": "meters"}),
        },
        attrs={
            "Conventions": "CF-1.11 FM301-2022",
            **{k: v for k, v in (attrs or {}).items() if v is not None and not np.array_equal(v, "")},
        },
    )
    times = [t for s in sweeps if "time" in s and s.sizes and s["time"].size for t in (s["time"].values,)]
    if times:
        root["time_coverage_start"] = ((), _iso(min(t.min() for t in times)))
        root["time_coverage_end"] = ((), _iso(max(t.max() for t in times)))
    nodes = {"/": root} | {f"/sweep_{i}": s for i, s in enumerate(sweeps)}
    return xr.DataTree.from_dict(nodes)


def _iso(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")) + "Z"


def sweeps_of(tree: xr.DataTree) -> list[str]:
    """Names of the sweep groups of a volume, in order of their number.

    Example:
        >>> sweeps_of(xr.DataTree.from_dict({"/sweep_10": xr.Dataset(), "/sweep_2": xr.Dataset()}))
        ['sweep_2', 'sweep_10']
    """
    names = [n for n in tree.children if n.startswith("sweep_") and n[6:].isdecimal()]
    return sorted(names, key=lambda n: int(n[6:]))


def fields_of(sweep: Any) -> list[str]:
    """Names of the fields of a sweep: numeric [rays, gates] variables that are not companions.

    A companion whose field was dropped is none either: beside fields, its name belongs to a mask.

    Args:
        sweep: an `xarray.Dataset`, or a node of a tree.
    """
    names = []
    for name, v in sweep.data_vars.items():
        name = str(name)
        if v.ndim != 2 or v.dtype.kind not in "fiu" or "range" not in v.dims:
            continue
        if not is_companion(name):
            names.append(name)
    return names
