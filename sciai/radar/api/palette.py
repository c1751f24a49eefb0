"""Colours and scales of radar fields: one small table, so that every picture of a field looks the same.

Reflectivity runs through the order that radar people read at a glance (blue, green, yellow, red, violet), its
lightness steadily changing inside each hue; velocities diverge around a dark grey zero, so that they stand
out from the white of invalid gates; phases wrap round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.radar.data.names import family, field_attributes

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

BELOW_NOISE_COLOUR: Final = "#dfe3e8"
MISSING_COLOUR: Final = "#ffffff"
MISMATCH_COLOUR: Final = "#ff00ff"

_REFLECTIVITY: Final = (
    (-10.0, "#5e6a71"),
    (0.0, "#9fb3bd"),
    (10.0, "#3f8fc4"),
    (20.0, "#1f4e9c"),
    (20.01, "#1b8a3a"),
    (30.0, "#7ed957"),
    (35.0, "#fff04a"),
    (40.0, "#f9a825"),
    (45.0, "#ef6c00"),
    (50.0, "#d32f2f"),
    (55.0, "#8e0000"),
    (60.0, "#c2185b"),
    (70.0, "#f3c6ff"),
)
_RHOHV: Final = (
    (0.2, "#2b2f36"),
    (0.6, "#5b5f97"),
    (0.8, "#3aa0c9"),
    (0.9, "#63c7a0"),
    (0.95, "#f2e863"),
    (0.98, "#f28f3b"),
    (1.0, "#c8553d"),
    (1.05, "#6d1a36"),
)

_CLASSES: Final = 20
"""Classes that colours can still tell apart."""
_SHORT: Final = {
    "meters per second": "m/s",
    "degrees per kilometer": "°/km",
    "degrees": "°",
    "unitless": "",
    "1": "",
}


@dataclass(frozen=True)
class Scale:
    """How a field is coloured.

    Attributes:
        low: value at the bottom of the scale, in the field's unit.
        high: value at the top.
        cmap: matplotlib colour map.
        unit: for the label; may be empty.
        name: for the label.
        base: values that wrap round are shown within a turn of 360 above this one; None for all others.
        classes: what the values stand for, by value; of a field whose numbers name things. Its colours have
            no order.
    """

    low: float
    high: float
    cmap: Colormap
    unit: str
    name: str
    base: float | None = None
    classes: Mapping[float, str] = field(default_factory=dict)


def scale_of(variable: str, values: np.ndarray[Any, np.dtype[Any]]) -> Scale:
    """Colours and limits of a field.

    Args:
        variable: FM301 name, known or not.
        values: its data, any shape, NaN where invalid; sets the limits of velocities, phases and unknown
            fields, and of KDP and WRADH whether the whole scale is shown or its lower part.

    Example:
        >>> scale = scale_of("DBZH", np.array([3.0, 41.0]))
        >>> scale.low, scale.high, scale.unit
        (-10.0, 70.0, 'dBZ')
    """
    import matplotlib

    kind = family(variable)
    unit = unit_of(variable)
    finite = values[np.isfinite(values)]
    if kind == "DBZH":
        return Scale(-10.0, 70.0, _stops("reflectivity", _REFLECTIVITY), unit or "dBZ", variable)
    if kind == "RHOHV":
        return Scale(0.2, 1.05, _stops("correlation", _RHOHV), "", variable)
    if kind == "ZDR":
        return Scale(-2.0, 6.0, matplotlib.colormaps["turbo"], unit, variable)
    if kind == "KDP":
        weak = finite.size and np.percentile(finite, 99.5) < 1.5
        return Scale(*((-0.5, 1.5) if weak else (-1.0, 6.0)), matplotlib.colormaps["plasma"], unit, variable)
    if kind == "WRADH":
        weak = finite.size and np.percentile(finite, 99.5) < 2.0
        return Scale(0.0, 2.0 if weak else 8.0, matplotlib.colormaps["viridis"], unit, variable)
    if kind == "PHIDP":
        return _phase(variable, finite, unit)
    if kind == "VRADH":
        reach = float(np.ceil(np.abs(finite).max())) if finite.size else 30.0
        name = f"{variable}, positive away"
        return Scale(-max(reach, 1.0), max(reach, 1.0), _diverging(), unit, name)
    low, high = _robust(finite, (0.0, 1.0))
    return Scale(low, high, matplotlib.colormaps["viridis"], unit, variable)


def class_scale(variable: str, values: np.ndarray[Any, np.dtype[Any]], attrs: Mapping[str, Any]) -> Scale:
    """A colour for each class of a field whose numbers name things; the usual scale where they are too many.

    Args:
        variable: FM301 name.
        values: its data, any shape, NaN where invalid.
        attrs: its attributes; ``flag_values`` and ``flag_meanings`` name the classes.

    Example:
        >>> attrs = {"flag_values": [4, 9], "flag_meanings": "rain hail"}
        >>> class_scale("CLASS", np.array([4.0, 9.0]), attrs).classes
        {4.0: '4 rain', 9.0: '9 hail'}
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    known = [float(v) for v in np.unique(values[np.isfinite(values)])]
    if not 0 < len(known) <= _CLASSES:
        return scale_of(variable, values)
    meanings = str(attrs.get("flag_meanings", "")).split()
    stated = np.asarray(attrs.get("flag_values", [])).ravel()
    names = (
        dict(zip([float(v) for v in stated], meanings, strict=False)) if stated.dtype.kind in "fiu" else {}
    )
    classes = {v: f"{v:g} {names.get(v, '')}".strip() for v in known}
    # dark and light ones of a hue stand beside each other in tab20: hues first
    colours = [colormaps["tab20"](2 * k % 20 + (k >= 10)) for k in range(len(known))]
    return Scale(-0.5, len(known) - 0.5, ListedColormap(colours), "", variable, classes=classes)


def _phase(variable: str, finite: np.ndarray[Any, np.dtype[Any]], unit: str) -> Scale:
    """Phases: what there is of them, across 0 and 360 too; where that is all, a scale that wraps."""
    import matplotlib

    low, high = _robust(finite, (0.0, 360.0))
    if high - low <= 180.0:
        return Scale(low, high, matplotlib.colormaps["viridis"], unit, variable)
    middle = float(np.degrees(np.angle(np.exp(1j * np.radians(finite.astype(np.float64))).mean())))
    near, far = _robust(middle - 180.0 + (finite - (middle - 180.0)) % 360.0, (0.0, 360.0))
    if far - near <= 180.0:
        return Scale(near, far, matplotlib.colormaps["viridis"], unit, variable, base=middle - 180.0)
    # only a scale that goes all the way round may wrap in colour
    wide = (-180.0, 180.0) if low < -1.0 else (0.0, 360.0)
    return Scale(*wide, matplotlib.colormaps["twilight_shifted"], unit, variable)


def unit_of(variable: str) -> str:
    """Unit of a field, short enough for a label; empty where it has none or is unknown.

    Example:
        >>> unit_of("VRADH"), unit_of("RHOHV"), unit_of("SOMETHING")
        ('m/s', '', '')
    """
    attrs = field_attributes(variable) or field_attributes(family(variable))
    unit = str(attrs.get("units", ""))
    return _SHORT.get(unit, unit)


def difference_scale(variable: str, error: np.ndarray[Any, np.dtype[Any]], unit: str) -> Scale:
    """Colours of decoded minus original: grey where equal, to differ from the white of invalid gates.

    Args:
        variable: FM301 name.
        error: the differences, any shape, NaN where there is none; the largest of 99 % set the limits, so
            that a few stray gates do not make all others pale.
        unit: short unit for the label.
    """
    import matplotlib

    sizes = np.abs(error[np.isfinite(error)])
    top = float(np.percentile(sizes, 99.0)) if sizes.size else 0.0
    top = top or (float(sizes.max()) if sizes.size else 0.0) or 1.0
    return Scale(-top, top, matplotlib.colormaps["coolwarm"], unit, f"{variable} error")


def _stops(name: str, stops: tuple[tuple[float, str], ...]) -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    low, high = stops[0][0], stops[-1][0]
    return LinearSegmentedColormap.from_list(name, [((at - low) / (high - low), c) for at, c in stops], N=512)


def _diverging() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    colours = ["#8ff3ff", "#31a8f0", "#2460c4", "#4b5468", "#b3303a", "#f06a32", "#ffd98a"]
    return LinearSegmentedColormap.from_list("velocity", colours, N=512)


def _robust(finite: np.ndarray[Any, np.dtype[Any]], default: tuple[float, float]) -> tuple[float, float]:
    if not finite.size:
        return default
    low, high = (float(x) for x in np.percentile(finite, [0.5, 99.5]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
