"""The ternary validity of a gate: valid, below noise, or missing.

A field holds NaN for both kinds of invalid gate; a companion variable ``<VAR>_validity`` (uint8, CF flag
variable) tells them apart. Below noise means that the radar looked and saw nothing (ODIM ``undetect``,
NEXRAD code 0, MP-PAWR -327.00); missing means that it did not look or cannot say (ODIM ``nodata``,
NEXRAD code 1 = range folded, MP-PAWR -327.68).

Conventions: CF-1.11 section 3.5 (flags) and 3.4 (ancillary data).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

VALID: Final = 0
BELOW_NOISE: Final = 1
MISSING: Final = 2
SUFFIX: Final = "_validity"

NOT_TOLD_APART: Final = (
    "the source does not tell below-noise from missing gates: every invalid gate is missing"
)


def companion(name: str) -> str:
    """Name of the validity variable of a field.

    Example:
        >>> companion("DBZH")
        'DBZH_validity'
    """
    return name + SUFFIX


def is_companion(name: str, names: object = None) -> bool:
    """Whether ``name`` is the validity variable of a field (of one in ``names``, where given).

    Args:
        name: variable name.
        names: container of the variable names beside it, or None to judge by the name alone.

    Example:
        >>> is_companion("DBZH_validity"), is_companion("DBZH")
        (True, False)
    """
    if not name.endswith(SUFFIX):
        return False
    return names is None or name[: -len(SUFFIX)] in names  # type: ignore[operator]


def attributes(comment: str | None = None) -> dict[str, Any]:
    """CF attributes of a validity variable.

    Args:
        comment: stored as ``comment``, e.g. `NOT_TOLD_APART`.

    Example:
        >>> attributes()["flag_meanings"]
        'valid below_noise missing'
    """
    attrs: dict[str, Any] = {
        "standard_name": "status_flag",
        "flag_values": np.array([VALID, BELOW_NOISE, MISSING], dtype=np.uint8),
        "flag_meanings": "valid below_noise missing",
    }
    if comment:
        attrs["comment"] = comment
    return attrs


def from_values(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Validity of a field that comes without companion: finite is valid, NaN and infinities are missing.

    Args:
        values: any shape, floating or integer.

    Returns:
        uint8 array of the same shape.

    Example:
        >>> from_values(np.array([1.0, np.nan, np.inf])).tolist()
        [0, 2, 2]
    """
    return np.where(np.isfinite(values), np.uint8(VALID), np.uint8(MISSING)).astype(np.uint8, copy=False)


def validity_of(variables: Mapping[Any, Any], name: str) -> npt.NDArray[np.uint8]:
    """Validity of field ``name`` in a sweep, from its companion or, without one, from the NaNs.

    A gate that the companion calls valid but whose value is not finite is missing; a gate that the
    companion calls invalid stays so whatever its value.

    Args:
        variables: a sweep (`xarray.Dataset`, or any mapping of names to arrays).
        name: field name.

    Returns:
        uint8 array shaped like the field.

    Example:
        >>> validity_of({"DBZH": np.array([3.0, np.nan])}, "DBZH").tolist()
        [0, 2]
    """
    values = np.asarray(variables[name])
    if companion(name) not in variables:
        return from_values(values)
    stated = np.asarray(variables[companion(name)])
    if stated.shape != values.shape or stated.dtype.kind not in "biuf":
        raise BadInput(
            f"{companion(name)} is {stated.dtype}{stated.shape}, {name} is {values.shape}",
            field=companion(name),
            fix="give it one number for each gate: 0 valid, 1 below noise, 2 missing; or drop it",
        )
    if stated.dtype == np.uint8:
        flags = np.minimum(stated, np.uint8(MISSING))
    else:
        flags = np.where(np.isfinite(stated), stated, MISSING).astype(np.uint8)
        flags[flags > MISSING] = MISSING
    flags[(flags == VALID) & ~np.isfinite(values)] = MISSING
    return flags
