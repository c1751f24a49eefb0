"""Which fields are categories (flags, classes, identities): numbers that name things, with nothing between.

A category that comes back as its neighbour is another category, so such fields are stored bit for bit.
Sources: CF-1.11 section 3.5 (flag variables), CfRadial 1.4 and 2.1 (attribute ``is_discrete``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.radar.data.names import PSNR_PEAK, base_name

__all__ = ["MOST", "why_category"]

MOST: Final = 32
"""Distinct values of a field that is taken for categories by its values alone."""
_NAMES: Final = re.compile(
    r"(^|_)(QC_?FLAGS?|FLAGS?|QUALITY_?FLAGS?|H?CLASS\d?|CLASSES|CLASSIFICATION|CATEGORY|MASK|[PH]ID|HCA?|BRDR)(_|$)"
)
_NO_UNIT: Final = frozenset({"", "1", "-", "none", "unitless", "dimensionless", "n/a"})


def why_category(name: str, attrs: Mapping[str, Any], values: npt.NDArray[Any] | None = None) -> str:
    """Why a field holds categories; "" where it does not.

    Args:
        name: of the field.
        attrs: its attributes; ``flag_meanings``, ``flag_values``, ``flag_masks``, ``is_discrete``, ``units``.
        values: data of a field that no name tells about, any shape, NaN ignored.

    Example:
        >>> why_category("ECHO", {"flag_values": [0, 1], "flag_meanings": "rain hail"})
        'its attributes name the values (flag_values)'
        >>> why_category("QCFLAGS", {}), why_category("DBZH", {"flag_values": [-32.0]})
        ('its name says so', '')
        >>> why_category("XYZ", {}, np.float32([2.5, 4.5, 17.5]))
        '3 values, whole numbers apart, without a unit'
        >>> why_category("XYZ", {"units": "dB"}, np.float32([2.5, 4.5, 17.5]))
        ''
    """
    if str(attrs.get("is_discrete", "")).strip().lower() in ("true", "1", "yes"):
        return "its attributes say that it is discrete"
    if base_name(name) in PSNR_PEAK:
        return ""  # flags of a known quantity mean its special values
    told = [key for key in ("flag_values", "flag_masks", "flag_meanings") if key in attrs]
    if told:
        return f"its attributes name the values ({told[0]})"
    if _NAMES.search(name.upper()):
        return "its name says so"
    if values is None or str(attrs.get("units", "")).strip().lower() not in _NO_UNIT:
        return ""
    known = np.unique(np.asarray(values)[np.isfinite(values)])
    if 1 < known.size <= MOST and (np.diff(known.astype(np.float64)) % 1 == 0).all():
        return f"{known.size} values, whole numbers apart, without a unit"
    return ""
