"""Variables that come as they lie in a file: packed, with codes for what is not there, or without a value.

A variable whose attributes still tell scale and fill value is not decoded yet (CF-1.11 section 8.1; decoded,
xarray keeps them in its encoding). Taken as it is it would be coded in the wrong unit, and its store could
not be opened. And xradar leaves ODIM's *undetect* in the values, as the number that its code stands for.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from sciai.core.errors import BadInput, SciaiError

__all__ = ["UNDETECT", "decoded", "is_decoded", "loaded", "number_of", "undetected"]

UNDETECT: Final = "_Undetect"
"""Attribute with the code of gates below noise (ODIM, FM301)."""
_PACKING: Final = frozenset({"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned"})


def number_of(given: Any) -> float | None:
    """The number that an attribute or an encoding holds, alone or as an array of one; None where it is none.

    Example:
        >>> number_of(np.float32([0.5])), number_of(None), number_of("0.5"), number_of([1, 2])
        (0.5, None, None, None)
    """
    held = np.asarray(given)
    return float(held.reshape(())) if held.size == 1 and held.dtype.kind in "iuf" else None


def is_decoded(variables: Mapping[Hashable, xr.Variable]) -> bool:
    """Whether no variable tells of a packing, and none is an object without value.

    Args:
        variables: of a sweep or another group.

    Example:
        >>> is_decoded({"DBZH": xr.Variable(("azimuth", "range"), [[3]], {"scale_factor": 0.5})})
        False
    """
    return not any(_PACKING & set(v.attrs) or _is_nothing(v) for v in variables.values())


def loaded(variable: xr.Variable | xr.DataArray, field: str) -> npt.NDArray[Any]:
    """Values of a variable, which are read only now where it is lazy.

    Args:
        variable: of any shape.
        field: its name, for messages.

    Raises:
        BadInput: whatever reads it fails, as of a file that is damaged or gone.
    """
    try:
        return np.asarray(variable.values)
    except (SciaiError, MemoryError):
        raise
    except Exception as e:  # each library that reads lazily has errors of its own
        raise BadInput(
            f"its values cannot be read ({type(e).__name__}: {e})",
            field=field,
            fix="give the file itself instead of the tree, or leave the field out",
        ) from e


def decoded(dataset: xr.Dataset) -> xr.Dataset:
    """Unpacked by what the attributes say; variables that hold nothing but None are left out.

    Args:
        dataset: a sweep or another group; it is not altered.

    Example:
        >>> packed = xr.Variable("range", np.uint8([84, 255]), {"scale_factor": 0.5, "_FillValue": 255})
        >>> plain = decoded(xr.Dataset({"DBZH": packed}))["DBZH"]
        >>> plain.values.tolist(), plain.attrs
        ([42.0, nan], {})
    """
    if is_decoded(dataset.variables):
        return dataset
    dataset = dataset.drop_vars([n for n, v in dataset.variables.items() if _is_nothing(v)])
    raw = {n: v for n, v in dataset.variables.items() if _PACKING & set(v.attrs)}
    return dataset.assign({name: _unpacked(str(name), v) for name, v in raw.items()})


def _unpacked(name: str, variable: xr.Variable) -> xr.Variable:
    for key in ("scale_factor", "add_offset"):
        given = variable.attrs.get(key)
        if given is not None and number_of(given) is None:
            raise BadInput(
                f"its {key} {given!r:.60} is no number", field=name, fix="give one, or leave it out"
            )
    try:
        return xr.conventions.decode_cf_variable(name, variable, concat_characters=False, decode_times=False)
    except (TypeError, ValueError) as e:
        told = ", ".join(f"{k}={variable.attrs[k]!r:.60}" for k in sorted(_PACKING & set(variable.attrs)))
        raise BadInput(
            f"it cannot be unpacked by its attributes {told} ({e})", field=name, fix="mend them"
        ) from e


def undetected(variable: xr.DataArray, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Gates whose value is the one that the code of *undetect* stands for.

    Args:
        variable: decoded; attribute ``_Undetect``, encoding ``scale_factor`` and ``add_offset``.
        values: its values.
    """
    code = number_of(variable.attrs[UNDETECT])
    if code is None:
        return np.zeros(values.shape, np.bool_)
    given = number_of(variable.encoding.get("scale_factor"))
    scale = 1.0 if given is None else given
    value = code * scale + (number_of(variable.encoding.get("add_offset")) or 0.0)
    return np.abs(values - value) <= max(abs(scale) / 4, 1e-6 * abs(value))


def _is_nothing(variable: xr.Variable) -> bool:
    if variable.dtype.kind != "O":
        return False
    return all(item is None for item in np.asarray(variable.values).flat)
