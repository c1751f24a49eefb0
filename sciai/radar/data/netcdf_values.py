"""Variables of a netCDF file -> texts, times, fields, and what else is said of rays and sweeps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import Array, Field, from_codes, seconds_after
from sciai.radar.data.text import unicode_of
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID

__all__ = [
    "BESIDE", "attributes_in", "dims_of", "field_of", "of_arrays", "of_rays", "of_sweep", "scalar_of",
    "text_of", "times_of",
]  # fmt: skip


def text_of(value: Any) -> str:
    """Text of a string variable, or of an array of characters."""
    a = np.asarray(value)
    if a.dtype.kind == "S" and a.dtype.itemsize == 1:
        a = np.asarray(b"".join(a.ravel().tolist()))
    item = a.item() if a.ndim == 0 else a.ravel()[0]
    return unicode_of(item if isinstance(item, bytes) else str(item)).strip("\0 ")


def attributes_in(v: Any, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Attributes of a variable, a group or a file, but for some: each takes .1 ms."""
    return {k: v.getncattr(k) for k in v.ncattrs() if k not in skip}


def scalar_of(nc: Any, names: Iterable[str]) -> float:
    """First number of the first of these variables that is there; NaN without any."""
    for n in names:
        if n in nc.variables:
            a = np.asarray(nc.variables[n][...]).ravel()
            if a.size:
                return float(a[0])
    return float("nan")


_SECONDS = {"nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3}
_SECONDS |= {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_SECONDS |= {"ns": 1e-9, "us": 1e-6, "microsec": 1e-6, "ms": 1e-3, "msec": 1e-3, "millisec": 1e-3}
_SECONDS |= {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hr": 3600.0, "d": 86400.0}


def times_of(v: Any) -> Array:
    """Times of a variable as datetime64[ns]; what is not known is the time they are counted from.

    Where that lies before the years that datetime64[ns] holds, it is the earliest time instead.

    Raises:
        BadInput: its units name no date, or no unit of one length; or the times lie beyond those years.
    """
    attrs = attributes_in(v)
    unit, _, since = str(attrs.get("units")).partition(" since ")
    unit = unit.strip().lower()
    scale = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
    given = np.asarray(v[...])
    values, known, begin = given.astype(np.float64), np.isfinite(given), 0.0
    for fill in _fills(attrs, given.dtype):
        known &= values != fill
    try:
        start = _date(attrs, since, begin)
        if not "1678" <= start[:4] < "2262" and known.any():
            begin = float(np.floor(values[known].min()))
            start = _date(attrs, since, begin * (scale or 1.0))
    except ValueError as e:
        raise BadInput(
            f"times in {attrs.get('units')!r}, which names no date",
            field=v.name,
            fix="set its units to 'seconds since 2020-02-07T13:00:00Z', with the date of the scan",
        ) from e
    if scale is None:
        raise BadInput(f"times in {unit}, no unit of one length", field=v.name, fix="give seconds")
    try:
        return seconds_after(start, np.where(known, values - begin, 0.0) * scale)
    except ValueError as e:
        raise BadInput(str(e), field=v.name, fix="mend the times, or their units") from e


def _date(attrs: dict[str, Any], since: str, seconds: float) -> str:
    calendar = str(attrs.get("calendar", "standard"))
    units = "seconds since " + since.replace("Z", "")
    found: Any = netCDF4.num2date(np.array([seconds]), units, calendar, only_use_cftime_datetimes=False)
    return str(found[0]).replace(" ", "T")[:26]


BESIDE = frozenset({"coordinates", "ancillary_variables", "grid_mapping", "sweep_variables_comment"})
"""Attributes of fields that name other variables, which are named anew."""

_PACKING = BESIDE | {"_FillValue", "missing_value", "scale_factor", "add_offset", "valid_range", "valid_min"}
_PACKING |= {"valid_max", "_Undetect", "_Unsigned", "below_threshold", "flag_values", "flag_meanings_not-CF"}


def field_of(attrs: dict[str, Any], codes: Array) -> Field:
    """Decode a variable: fill, missing values, ``_Undetect``, ``below_threshold``, Meteo-France flags."""
    codes, attrs = _with_its_sign(codes, attrs)
    scale, offset = float(attrs.get("scale_factor", 1.0)), float(attrs.get("add_offset", 0.0))
    missing = _fills(attrs, codes.dtype)
    below = next((float(np.ravel(attrs[k])[0]) for k in ("_Undetect", "below_threshold") if k in attrs), None)
    meanings = [m.strip() for m in str(attrs.get("flag_meanings_not-CF", "")).split(";")]
    if below is None and meanings[0].startswith("value<noise"):
        # Meteo-France: the first flag value, given in the field's unit, stands for everything under the noise
        below = round((float(np.ravel(attrs["flag_values"])[0]) - offset) / scale)
    kept = {
        k: a for k, a in attrs.items() if k not in _PACKING and isinstance(a, str | int | float | np.number)
    }
    if "flag_meanings" in attrs:  # CF: the values are categories, and these say which
        kept |= {k: np.ravel(attrs[k]).tolist() for k in ("flag_values", "flag_masks") if k in attrs}
    f = from_codes(
        codes,
        scale=scale,
        offset=offset,
        below_noise=below,
        missing=missing[0] if missing else None,
        attrs=kept,
    )
    for extra in missing[1:]:
        other = from_codes(codes, scale=scale, offset=offset, below_noise=None, missing=extra)
        invalid = (other.validity != VALID) & (f.validity != BELOW_NOISE)
        f.validity[invalid], f.values[invalid] = MISSING, np.nan
    if below is not None and below not in missing:
        f.comment = None
    return f


def _fills(attrs: dict[str, Any], dtype: np.dtype[Any]) -> list[float]:
    """What stands for no value, as stated; else what the library fills up with what was never written."""
    stated = [float(x) for k in ("_FillValue", "missing_value") if k in attrs for x in np.ravel(attrs[k])]
    if stated or dtype.str[1:] not in ("f4", "f8", "i2", "i4"):
        return stated
    return [float(netCDF4.default_fillvals[dtype.str[1:]])]


def _with_its_sign(codes: Array, attrs: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Codes, and codes among the attributes, as what ``_Unsigned`` says they are (NUG, appendix A)."""
    said = {"true": ("i", "u"), "false": ("u", "i")}.get(str(attrs.get("_Unsigned", "")).lower())
    if said is None or said[0] != codes.dtype.kind:
        return codes, attrs
    kind = np.dtype(codes.dtype.str.replace(*said))

    def same_bits(code: Any) -> Any:
        given = np.asarray(code)
        return given.astype(codes.dtype).view(kind) if given.dtype.kind in "iu" else code

    named = ("_FillValue", "missing_value", "_Undetect", "below_threshold")
    return codes.view(kind), attrs | {k: same_bits(attrs[k]) for k in named if k in attrs}


_KNOWN = frozenset({"time", "azimuth", "elevation", "range"})
_KNOWN |= {"ray_n_gates", "ray_start_index", "sweep_start_ray_index", "sweep_end_ray_index"}
_KNOWN |= {"sweep_number", "sweep_mode", "sweep_fixed_angle", "fixed_angle"}
_KNOWN |= {"latitude", "longitude", "altitude", "time_coverage_start", "time_coverage_end"}
_PLACE = frozenset({"latitude", "longitude", "altitude"})


def of_rays(group: Any, pick: slice) -> dict[str, xr.Variable]:
    """What else a file says of each ray: pulses, and where the platform was if it moves.

    Args:
        group: the file or group of a sweep.
        pick: rays of the sweep.

    Returns:
        Numbers over (ray), decoded, by name.
    """
    ray = group.variables["azimuth"].dimensions
    found = {}
    for name, v in group.variables.items():
        if v.ndim != len(ray):
            continue
        known = name in _KNOWN and not (name in _PLACE and v.dimensions == ray)
        if v.dimensions == ray and not known and np.dtype(v.dtype).kind in "fiu":
            found[name] = _decoded(name, ("ray",), v[pick], attributes_in(v))
    if "nyquist_velocity" in found and not (found["nyquist_velocity"].values > 0).any():
        del found["nyquist_velocity"]
    return found


def of_sweep(group: Any, dims: tuple[str, ...] = (), number: int = 0) -> dict[str, xr.Variable]:
    """What else a file says of a sweep, or of all of them: one number or one text each.

    Args:
        group: the file, or the group of a sweep.
        dims: dimensions of what is of sweeps: none in a group of its own.
        number: the sweep's place where there are such dimensions.
    """
    found = {}
    for name, v in group.variables.items():
        beyond = v.ndim - len(dims)
        if name in _KNOWN | {"nyquist_velocity"} or not 0 <= beyond <= (v.dtype == "S1"):
            continue
        if dims and v.dimensions[: len(dims)] != dims:
            continue
        value = v[number] if dims else v[...]
        if v.dtype is str or np.dtype(v.dtype).kind in "SU":
            found[name] = xr.Variable((), text_of(value), _plain(attributes_in(v)))
        elif np.dtype(v.dtype).kind in "fiu":
            found[name] = _decoded(name, (), value, attributes_in(v))
    return found


def of_arrays(
    group: Any, rays: str = "", pick: slice | None = None, without: frozenset[str] = frozenset()
) -> dict[str, xr.Variable]:
    """What else a file says in arrays: texts of rays, two numbers for each, numbers along range, frequencies.

    Fields, and what `of_rays` and `of_sweep` give, are not among them.

    Args:
        group: the file, or a group of it.
        rays: name of the dimension of rays, where there is one; in what is given it is ``ray``.
        pick: rays of the sweep: then only what has that dimension first, else only what has not.
        without: dimensions that nothing given has.
    """
    found = {}
    for name, v in group.variables.items():
        chars = v.dtype == "S1"
        dims = v.dimensions[: v.ndim - chars]
        of_ray = rays != "" and dims[:1] == (rays,)
        if name in _KNOWN or not dims or of_ray != (pick is not None) or (without | _NOT_WHOLE) & set(dims):
            continue
        if v.dtype is str or chars:
            values = np.asarray(v[...] if pick is None else v[pick])
            shape = values.shape[: len(dims)]
            texts = [text_of(t) for t in values.reshape(int(np.prod(shape)), -1)]
            values = np.array(texts, str).reshape(shape)
            made = xr.Variable(dims, values, _plain(attributes_in(v)))
        elif np.dtype(v.dtype).kind in "fiu" and not (of_ray and dims[1:] in ((), ("range",))):
            made = _decoded(name, dims, v[...] if pick is None else v[pick], attributes_in(v))
        else:
            continue
        found[name] = xr.Variable(["ray" if d == rays else d for d in dims], made.values, made.attrs)
    return found


_NOT_WHOLE = frozenset({"", "sweep", "n_points"})
"""Dimensions without a name, of sweeps, and of the gates of all rays."""


def dims_of(variables: Mapping[str, xr.Variable]) -> frozenset[str]:
    """Dimensions that any of the variables has."""
    return frozenset(str(d) for v in variables.values() for d in v.dims)


def _decoded(name: str, dims: tuple[str, ...], values: Any, attrs: dict[str, Any]) -> xr.Variable:
    raw = xr.Variable(dims, np.asarray(values), attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)  # of dates before 1582 or so
        try:
            plain = xr.conventions.decode_cf_variable(name, raw, decode_timedelta=False).load()
        except (KeyError, TypeError, ValueError, OverflowError):
            plain = raw
    if plain is raw or plain.dtype == object:  # times since no date, or no date of numpy, stay numbers
        raw.attrs = {"source_units" if k == "units" else k: a for k, a in attrs.items()}
        plain = xr.conventions.decode_cf_variable(name, raw, decode_times=False)
    return xr.Variable(dims, plain.values, _plain(plain.attrs))


def _plain(attrs: dict[str, Any]) -> dict[str, Any]:
    return {k: a for k, a in attrs.items() if k not in (_PACKING - {"flag_values"}) | {"_Encoding", "dtype"}}
