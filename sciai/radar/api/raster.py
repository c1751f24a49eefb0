"""Which gate each pixel of a picture shows: polar sweeps on a square grid by nearest-gate lookup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.radar.data.validity import VALID

if TYPE_CHECKING:
    import xarray as xr

U8 = npt.NDArray[np.uint8]

PIXELS = 560


@dataclass(frozen=True)
class Raster:
    """Which gate each pixel of a picture shows.

    Attributes:
        ray, gate: indices, int ``[pixels, pixels]``; row 0 is the bottom.
        inside: whether a gate lies there at all.
        extent: left, right, bottom, top in km.
        rhi: a vertical section (height above range) instead of a map.
    """

    ray: npt.NDArray[np.intp]
    gate: npt.NDArray[np.intp]
    inside: npt.NDArray[np.bool_]
    extent: tuple[float, float, float, float]
    rhi: bool


def rasterise(sweep: xr.Dataset, variable: str, flags: U8) -> Raster:
    """Look up the gate under each pixel of a map (or, for an RHI, of a vertical section).

    Maps show the distance along the beam; a section range x cos and sin of the elevation, without refraction.

    Args:
        sweep: with coordinates azimuth or elevation (degrees) and range (m).
        variable: its field to draw.
        flags: validity of the field, ``[rays, gates]``; sets how far out the picture goes.

    Raises:
        BadInput: where the gates lie is not known.
    """
    ray_dim = next(str(dim) for dim in sweep[variable].dims if dim != "range")
    rhi = ray_dim == "elevation" or "rhi" in str(sweep.get("sweep_mode", "")).lower()
    gates = _known(sweep, "range", "m") / 1000.0  # km
    angles = _known(sweep, "elevation" if rhi else "azimuth", "degrees")
    reach = _reach(gates, flags)
    if rhi:
        left, top = _section(gates, angles, flags)
        x, y = np.meshgrid(np.linspace(left, reach, PIXELS), np.linspace(0.0, top, PIXELS))
        extent = (left, reach, 0.0, top)
        where = np.degrees(np.arctan2(y, x))
    else:
        x, y = np.meshgrid(np.linspace(-reach, reach, PIXELS), np.linspace(-reach, reach, PIXELS))
        extent = (-reach, reach, -reach, reach)
        where = np.degrees(np.arctan2(x, y)) % 360.0  # clockwise from north
        angles = angles % 360.0
    ray, near = _nearest_ray(angles, where, periodic=not rhi)
    distance = np.hypot(x, y)
    spacing = float(np.median(np.diff(gates))) if gates.size > 1 else 1.0
    edges = (gates[1:] + gates[:-1]) / 2
    inside = near & (distance <= min(gates[-1] + spacing / 2, reach)) & (distance >= gates[0] - spacing / 2)
    return Raster(ray, np.searchsorted(edges, distance), inside, extent, rhi)


def _known(sweep: xr.Dataset, name: str, unit: str) -> npt.NDArray[np.float64]:
    """A coordinate; numbers of rays or gates in its place would be a picture of nowhere."""
    if name in sweep.variables and sweep.variables[name].dtype.kind in "fiu":
        values = np.asarray(sweep[name].values, dtype=np.float64)
        if np.isfinite(values).all():
            return values
    raise BadInput(
        "a sweep cannot be drawn without it", field=name, unit=unit, fix=f"give {name} as a coordinate"
    )


def _section(
    gates: npt.NDArray[np.float64], elevations: npt.NDArray[np.float64], flags: U8
) -> tuple[float, float]:
    """Left and top of a section, in km: a little beyond the outermost echoes, stray gates aside."""
    angles = np.radians(elevations)[:, None]
    shown = flags == VALID if (flags == VALID).any() else np.ones(flags.shape, dtype=bool)
    heights, ranges = (gates * np.sin(angles))[shown], (gates * np.cos(angles))[shown]
    top = max(float(np.percentile(heights, 99.5)) * 1.15, float(gates[-1]) / 20)
    return min(float(np.percentile(ranges, 0.5)) * 1.15, 0.0), top


def _nearest_ray(
    angles: npt.NDArray[np.float64], where: npt.NDArray[np.float64], *, periodic: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Index of the ray nearest to each angle, and whether it is near enough to stand for it."""
    order = np.argsort(angles, kind="stable")
    ordered = angles[order]
    steps = np.diff(ordered)  # of the rays there are: from the last one to the first may be a long way round
    if periodic:
        ordered = np.concatenate([ordered[-1:] - 360.0, ordered, ordered[:1] + 360.0])
        order = np.concatenate([order[-1:], order, order[:1]])
    right = np.clip(np.searchsorted(ordered, where), min(1, ordered.size - 1), ordered.size - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(where - ordered[left] <= ordered[right] - where, left, right)
    # wide enough to bridge a jittering antenna, too narrow to bridge a blanked sector
    tolerance = float(np.median(steps)) if steps.size else 1.0
    return order[nearest], np.abs(ordered[nearest] - where) <= max(tolerance, 0.05)


def _reach(gates: npt.NDArray[np.float64], flags: U8) -> float:
    """How far out the picture goes, in km: to the last range with echo, and a little further."""
    valid = np.flatnonzero((flags == VALID).sum(axis=0) >= max(1, flags.shape[0] // 360))
    last = int(valid[-1]) if valid.size else gates.size - 1
    return float(max(min(gates[last] * 1.05, gates[-1]), gates[-1] / 10, 1e-3))
