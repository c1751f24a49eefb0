"""``zarr.json`` of a store, as small as Zarr allows, and the chunks of everything that is not a field.

A volume of 114 sweeps has some three thousand arrays. Their metadata, written the usual way, outweighs the
echoes. So it is written once, consolidated in the root's ``zarr.json`` (`xarray` and `zarr.open_group` on the
root read it there), without whitespace and defaults; a scalar, or an array of one repeated number, lives in
its ``fill_value`` and has no chunk at all; coordinates go through `standalone`.

Specification: Zarr v3 core; consolidated metadata as zarr-python 3 writes it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sciai.core.errors import BadInput
from sciai.radar.api.standalone import encode_standalone
from sciai.radar.data.arguments import shown
from sciai.radar.data.text import unicode_of

__all__ = ["concerning", "dataset_nodes", "field_node", "group_node", "root_document", "validity_node"]

Node = dict[str, Any]
_CODEC: Final = [{"name": "sciai.radar"}]
_BYTES: Final = [{"name": "bytes", "configuration": {"endian": "little"}}]
_LONGEST_NAME: Final = 255  # of a file, in bytes: ext4, APFS, NTFS


def root_document(attrs: Mapping[Any, Any], nodes: Mapping[str, Node]) -> bytes:
    """The root's ``zarr.json`` with every node below it.

    Raises:
        BadInput: where the name of a group or an array cannot be a key of a Zarr store.
    """
    for key in nodes:
        for name in key.split("/"):
            why = _no_key(name)
            if why:
                raise BadInput(f"a name that {why} cannot be stored", field=repr(key), fix="rename it")
    inline = {"kind": "inline", "must_understand": False, "metadata": dict(nodes)}
    return _compact({**group_node(attrs), "consolidated_metadata": inline})


def _no_key(name: str) -> str | None:
    """Why Zarr, or a file system, would not find an array of this name again; None where it would."""
    if name in ("", ".", ".."):
        return "is empty" if not name else "means a folder"
    if "\\" in name or "\0" in name:
        return "has a backslash or a null character"
    if unicode_of(name) != name:
        return "is no Unicode text"
    if len(name.encode()) > _LONGEST_NAME:
        return f"takes more than {_LONGEST_NAME} bytes (a field's validity has the field's and _validity)"
    return None


def group_node(attrs: Mapping[Any, Any], name: str = "") -> Node:
    """Metadata of a group."""
    where = f"the group {name}" if name else "the volume"
    return {"zarr_format": 3, "node_type": "group", "attributes": _json_attrs(attrs, where)}


def field_node(variable: xr.Variable) -> Node:
    """Metadata of a coded field."""
    _without_meaning(variable)
    _date_of(variable.attrs, np.zeros(1, np.float32), "")
    return _node(variable.shape, "float32", "NaN", _CODEC, variable.dims, variable.attrs)


def validity_node(dims: tuple[Any, ...], shape: tuple[int, ...], attrs: Mapping[Any, Any]) -> Node:
    """Metadata of a coded mask; a chunk that is lost would read as missing."""
    return _node(shape, "uint8", 2, _CODEC, dims, attrs)


def dataset_nodes(dataset: xr.Dataset) -> Iterator[tuple[str, Node, dict[str, bytes]]]:
    """Name, metadata and chunks (key below the array -> bytes) of each variable, losslessly, coordinates
    included.

    The caller adds the names of the coordinates to the group's attributes (`coordinates`), as CF has it.

    Raises:
        BadInput: where a variable holds what Zarr cannot.
    """
    for name, variable in dataset.variables.items():
        with concerning(str(name)):
            array = _array(str(name), _cf_encoded(str(name), variable))
        yield str(name), *array


@contextlib.contextmanager
def concerning(name: str) -> Iterator[None]:
    """Names the variable in errors that do not."""
    try:
        yield
    except BadInput as err:
        raise (err if err.field else BadInput(err.problem, field=name, fix=err.fix)) from err.__cause__


def _cf_encoded(name: str, variable: xr.Variable) -> xr.Variable:
    """Dates as numbers with units, as xarray writes them; all else as it is (no packing, no fill value)."""
    _without_meaning(variable)
    plain = xr.Variable(variable.dims, variable.values, dict(variable.attrs))
    if plain.dtype.kind in "mM":
        kept = {k: v for k, v in variable.encoding.items() if k in ("units", "calendar")}
        for encoding in (kept, {}) if _in_units(plain.values, str(kept.get("units", ""))) else ({},):
            plain.encoding = dict(encoding)
            try:
                coded = xr.conventions.encode_cf_variable(plain, name=name)
                back = xr.conventions.decode_cf_variable(
                    name, xr.Variable(coded.dims, coded.values, dict(coded.attrs))
                )
            except (KeyError, TypeError, ValueError, OverflowError):
                if not encoding:
                    raise
                continue  # the units that it came with are none
            # the source's own units may be too coarse for what the array now holds
            if np.array_equal(back.values.astype(plain.dtype), plain.values, equal_nan=True):
                break
        if coded.dtype.kind == "f":  # NaN is no date without being said; in Zarr the attribute is base64
            coded.attrs.pop("_FillValue", None)
        return coded
    _date_of(plain.attrs, plain.values, name)
    return plain


def _without_meaning(variable: xr.Variable) -> None:
    """Refuse attributes by which xarray would open another variable than this, or none."""
    attrs, kind = variable.attrs, variable.dtype.kind
    wrong = {
        "_Encoding": "_Encoding" in attrs,
        "dtype": isinstance(attrs.get("dtype"), str) and attrs["dtype"] == "bool" and kind != "b",
        "coordinates": "coordinates" in attrs and not isinstance(attrs["coordinates"], str),
        "units": kind in "mM" and "units" in attrs,
        "calendar": kind in "mM" and "calendar" in attrs,
    }
    for key in (k for k, is_wrong in wrong.items() if is_wrong):
        raise BadInput(
            f"the attribute {key} ({shown(attrs[key])}) of {variable.dtype} would change what xarray opens",
            fix="take it away, or give it another name",
        )


def _date_of(attrs: Mapping[Any, Any], values: NDArray[Any], name: str) -> None:
    """Refuse numbers that call themselves times since a date that is none: xarray opens no store with them.

    Args:
        attrs: of the variable.
        values: some or all of its numbers.
        name: for the message.
    """
    units = attrs.get("units")
    if not isinstance(units, str) or " since " not in units or values.dtype.kind not in "iuf":
        return
    kept = {k: attrs[k] for k in ("units", "calendar") if k in attrs}
    try:
        plain = xr.Variable([f"d{k}" for k in range(values.ndim)], values, kept)
        np.asarray(xr.conventions.decode_cf_variable(name, plain).values)
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        told = ", ".join(f"{k} {v!r}" for k, v in kept.items())
        raise BadInput(
            f"times that cannot be read as dates ({told})",
            field=name,
            fix="set units to such as 'seconds since 2020-02-07T13:00:00Z', or take them away",
        ) from err


_NANOSECONDS: Final = {
    **{"day": 86_400_000_000_000, "hour": 3_600_000_000_000, "minute": 60_000_000_000},
    **{"second": 1_000_000_000, "millisecond": 1_000_000, "microsecond": 1_000},
}


def _in_units(times: NDArray[Any], units: str) -> bool:
    """Whether times are whole numbers of the unit; of others xarray warns, and takes another unit itself."""
    length = _NANOSECONDS.get(units.partition(" since ")[0].strip().lower().rstrip("s"), 0)
    if times.dtype.kind != "M" or not length:
        return True
    known = times[~np.isnat(times)].astype("datetime64[ns]").astype(np.int64)
    # where the unit is counted from may lie between two of them
    return np.unique(known % length).size <= 1


def _array(name: str, variable: xr.Variable) -> tuple[Node, dict[str, bytes]]:
    values, dims, attrs = np.asarray(variable.values), variable.dims, variable.attrs
    if values.dtype.kind in "OT":
        return _strings(name, values, dims, attrs)
    if values.dtype.kind == "U":
        return _fixed_strings(values, dims, attrs)
    if values.dtype.kind == "S":
        return _fixed_bytes(values, dims, attrs)
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise BadInput(
            f"Zarr cannot hold {values.dtype}", field=name, fix="drop the variable or change its type"
        )
    constant = values.size > 0 and bool(
        (values.view(_bits(values)) == values.view(_bits(values)).flat[0]).all()
    )
    if values.size == 0 or constant:
        fill = values.flat[0] if values.size else values.dtype.type(0)
        number = _json_number(fill)
        if number is not None:
            return _node(values.shape, values.dtype.name, number, _endian(values), dims, attrs), {}
    key = _key(values)
    if values.nbytes <= 64:
        data = np.asarray(values, values.dtype.newbyteorder("<"), order="C").tobytes()
        return _node(values.shape, values.dtype.name, _zero(values), _endian(values), dims, attrs), {
            key: data
        }
    return _node(values.shape, values.dtype.name, _zero(values), _CODEC, dims, attrs), {
        key: encode_standalone(values)
    }


def _strings(
    name: str, values: NDArray[Any], dims: tuple[Any, ...], attrs: Mapping[Any, Any]
) -> tuple[Node, Any]:
    if not all(isinstance(item, str) for item in values.flat):
        raise BadInput(
            "an array of objects that are not all text",
            field=name,
            fix="turn it into text, numbers or datetime64, or drop it",
        )
    codecs: list[Any] = [{"name": "vlen-utf8"}]
    if values.size and all(item == values.flat[0] for item in values.flat):
        return _node(values.shape, "string", unicode_of(str(values.flat[0])), codecs, dims, attrs), {}
    parts = [len(values.flat).to_bytes(4, "little")]  # the layout of numcodecs' vlen-utf8
    for item in values.flat:
        text = unicode_of(str(item)).encode()
        parts += [len(text).to_bytes(4, "little"), text]
    key = _key(values)
    return _node(values.shape, "string", "", codecs, dims, attrs), {key: b"".join(parts)}


def _fixed_strings(values: NDArray[Any], dims: tuple[Any, ...], attrs: Mapping[Any, Any]) -> tuple[Node, Any]:
    kind = {"name": "fixed_length_utf32", "configuration": {"length_bytes": values.dtype.itemsize}}
    texts = [unicode_of(str(item)) for item in values.flat]
    values = np.asarray(texts, values.dtype).reshape(values.shape)
    if values.size and (values == values.flat[0]).all() and values.dtype.itemsize:
        return _node(values.shape, kind, str(values.flat[0]), _BYTES, dims, attrs), {}
    key = _key(values)
    data = np.asarray(values, values.dtype.newbyteorder("<"), order="C").tobytes()
    return _node(values.shape, kind, "", _BYTES, dims, attrs), {key: data}


def _fixed_bytes(values: NDArray[Any], dims: tuple[Any, ...], attrs: Mapping[Any, Any]) -> tuple[Node, Any]:
    kind = {"name": "null_terminated_bytes", "configuration": {"length_bytes": values.dtype.itemsize}}
    fill = base64.b64encode(values.flat[0] if values.size else b"").decode()
    if values.size and (values == values.flat[0]).all() and values.dtype.itemsize:
        return _node(values.shape, kind, fill, [{"name": "bytes"}], dims, attrs), {}
    key = _key(values)
    return _node(values.shape, kind, "", [{"name": "bytes"}], dims, attrs), {
        key: np.ascontiguousarray(values).tobytes()
    }


def _node(
    shape: tuple[int, ...],
    data_type: Any,
    fill: Any,
    codecs: list[Any],
    dims: tuple[Any, ...],
    attrs: Mapping[Any, Any],
) -> Node:
    node: Node = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, n) for n in shape]}},
        "chunk_key_encoding": {"name": "v2"},
        "fill_value": fill,
        "codecs": codecs,
        "dimension_names": [str(d) for d in dims],
    }
    if attrs:
        node["attributes"] = _json_attrs(attrs, "a variable")
    return node


def _key(values: NDArray[Any]) -> str:
    """Key of an array's only chunk, in the encoding that `_node` states."""
    return ".".join(["0"] * values.ndim) or "0"


def _bits(values: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{values.dtype.itemsize}")


def _zero(values: NDArray[Any]) -> Any:
    return False if values.dtype.kind == "b" else 0


def _endian(values: NDArray[Any]) -> list[Any]:
    return _BYTES if values.dtype.itemsize > 1 else [{"name": "bytes"}]


def _json_number(value: Any) -> Any:
    """A number as a Zarr fill value, or None where JSON would not keep its bits."""
    item = value.item()
    if isinstance(item, bool | int):
        return item
    if math.isfinite(item):
        return None if item == 0 and math.copysign(1, item) < 0 else item
    if math.isnan(item):
        return "NaN" if value.tobytes() == value.dtype.type("nan").tobytes() else None
    return "Infinity" if item > 0 else "-Infinity"


def _json_attrs(attrs: Mapping[Any, Any], where: str) -> dict[str, Any]:
    return {
        unicode_of(str(key)): _json_value(value, f"attribute {key} of {where}")
        for key, value in attrs.items()
    }


def _json_value(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray):
        return _json_value(value.tolist(), where)
    if isinstance(value, np.generic):
        return _json_value(value.item(), where)
    if isinstance(value, bytes):
        return unicode_of(value)
    if isinstance(value, Mapping):
        return {unicode_of(str(k)): _json_value(v, where) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item, where) for item in value]
    if isinstance(value, str):
        return unicode_of(value)
    if value is None or isinstance(value, int | float | bool):
        return value
    raise BadInput(f"{where} is a {type(value).__name__}", fix="give text, numbers, or lists of them")


def _compact(document: Node) -> bytes:
    # ASCII escapes would double the size of Japanese site names
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=True).encode()
