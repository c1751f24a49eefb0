"""How the networks of the transform codec see a variable: its class, where its 0 is, and in what unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.radar.data.names import base_name
from sciai.radar.model.interface import F32, U8
from sciai.radar.model.transform_quantise import STEPS_PER_PEAK, wrapped

__all__ = ["CLASSES", "fold_of", "normalised", "origin_of", "variable_class"]

CLASSES = ("reflectivity", "zdr", "rhohv", "phidp", "kdp", "velocity", "width", "other")
"""Kinds of variables; each has biases and priors of its own in the networks."""

_CLASS_OF = {
    **dict.fromkeys(("DBZH", "DBZV", "TH", "TV", "DBTH", "DBTV", "SNRH", "SNRV", "SNRHC", "SNRVC"), 0),
    **dict.fromkeys(("ZDR", "UZDR", "ZDRC"), 1),
    **dict.fromkeys(("RHOHV", "URHOHV"), 2),
    **dict.fromkeys(("PHIDP", "UPHIDP", "PHIDPC"), 3),
    "KDP": 4,
    **dict.fromkeys(("VRADH", "VRADV", "UVRADH", "VRADDH", "VRADDV"), 5),
    **dict.fromkeys(("WRADH", "WRADV", "UWRADH"), 6),
}
# Where the networks' 0 is: in the variable's unit, or the median of the volume (None); classes not named are
# centred at 0. Every radar has its own system phase, so phases are centred on their circular mean.
_ORIGIN: dict[str, float | None] = {"rhohv": 0.9, "phidp": None, "other": None}


def variable_class(name: str) -> int:
    """Number of the class of a variable, by name.

    Example:
        >>> CLASSES[variable_class("DBZH")], CLASSES[variable_class("XYZ")]
        ('reflectivity', 'other')
    """
    return _CLASS_OF.get(base_name(name), len(CLASSES) - 1)


def origin_of(name: str, values: NDArray[Any], period: float = 0.0) -> float:
    """Value that the networks see as 0, for valid values of a volume (any shape).

    Example:
        >>> origin_of("PHIDP", np.array([350.0, 10.0, 20.0]), 360.0)
        6.705
    """
    fixed = _ORIGIN.get(CLASSES[variable_class(name)], 0.0)
    if fixed is not None:
        return fixed
    if values.size == 0:
        return 0.0
    if period:
        turn = np.exp(2j * np.pi * values.astype(np.float64) / period).mean()
        return float(np.round(np.angle(turn) * period / (2 * np.pi), 3))
    return float(np.median(values))


def fold_of(name: str, values: NDArray[Any], period: float | None) -> float:
    """Period of a phase that the codec may treat as circular, else 0: its values must lie within one turn."""
    if not period or CLASSES[variable_class(name)] != "phidp" or values.size == 0:
        return 0.0
    return float(period) if float(np.ptp(values)) <= 1.001 * period else 0.0


def normalised(values: F32, validity: U8, origin: float, peak: float, period: float = 0.0) -> F32:
    """Values in 35 dB steps from the origin (the nearest way round), 0 where invalid, float32.

    Example:
        >>> normalised(np.float32([[70.0, 1.0]]), np.uint8([[0, 2]]), 0.0, 70.0).round(2).tolist()
        [[16.229999542236328, 0.0]]
    """
    valid = validity == 0
    wide = np.where(valid, values, origin).astype(np.float64) - origin
    return np.where(valid, wrapped(wide, period) * (STEPS_PER_PEAK / peak), 0.0).astype(np.float32)
