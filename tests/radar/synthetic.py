"""Small volumes for tests of the store: every shape and every oddity, none of them weather."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

_KNOWN = {
    "DBZH": (20.0, 15.0),
    "ZDR": (1.0, 1.0),
    "RHOHV": (0.95, 0.04),
    "VRADH": (0.0, 10.0),
    "PHIDP": (90, 40),
}


def smooth(rng: np.random.Generator, rays: int, gates: int, noise: float = 0.1) -> np.ndarray[Any, Any]:
    """A periodic wavy field with some noise, about -1 to 1, float64 ``[rays, gates]``."""
    a, r = np.meshgrid(np.arange(rays) / rays, np.arange(gates) / gates, indexing="ij")
    field = np.zeros((rays, gates))
    for _ in range(5):
        turns, waves, phase = rng.integers(0, 4), rng.uniform(0.5, 5), rng.uniform(0, 6.28)
        field += rng.normal() * np.cos(2 * np.pi * (turns * a + waves * r) + phase)
    return field / 3 + noise * rng.normal(size=(rays, gates))


def validity(rng: np.random.Generator, rays: int, gates: int) -> np.ndarray[Any, Any]:
    """A ternary mask with areas of each kind, uint8."""
    field = smooth(rng, rays, gates, 0.02)
    return np.digitize(field, [0.2, 0.6]).astype(np.uint8)


def sweep(
    rng: np.random.Generator,
    rays: int = 36,
    gates: int = 50,
    variables: Sequence[str] = ("DBZH", "ZDR", "VRADH"),
    angle: float = 0.5,
    packed: float | None = None,
) -> xr.Dataset:
    """One sweep in the convention of `sciai.radar.open_volume`.

    Args:
        rng: Source of randomness.
        rays: Number of rays.
        gates: Gates of a ray.
        variables: Names of the fields.
        angle: Elevation in degrees.
        packed: Step of the values' own grid, or None for continuous ones.
    """
    base = validity(rng, rays, gates)
    data: dict[str, Any] = {}
    for name in variables:
        middle, scale = _KNOWN.get(name, (5.0, 3.0))
        values = (middle + scale * smooth(rng, rays, gates)).astype(np.float32)
        if packed is not None:
            values = (np.rint(values / packed) * packed + 0.0).astype(np.float32)
        flags = np.where(rng.random(base.shape) < 0.01, 2, base).astype(np.uint8)
        values[flags != 0] = np.nan
        data[name] = (("azimuth", "range"), values, {"units": "x", "ancillary_variables": f"{name}_validity"})
        attrs = {
            "standard_name": "status_flag",
            "flag_values": [0, 1, 2],
            "flag_meanings": "valid below_noise missing",
        }
        data[f"{name}_validity"] = (("azimuth", "range"), flags, attrs)
    start = np.datetime64("2024-05-01T12:00:00", "ns")
    time = start + (np.arange(rays) * 50 + int(angle * 1000)).astype("timedelta64[ms]")
    data["sweep_mode"] = ((), "azimuth_surveillance")
    data["sweep_fixed_angle"] = ((), angle)
    data["sweep_number"] = ((), 3)
    data["nyquist_velocity"] = ((), 24.0)
    return xr.Dataset(
        data,
        coords={
            "azimuth": ("azimuth", np.sort(rng.random(rays) * 360 / rays + np.arange(rays) * 360 / rays)),
            "range": ("range", np.arange(gates, dtype=np.float32) * 150 + 75, {"units": "meters"}),
            "elevation": ("azimuth", np.full(rays, angle, np.float32)),
            "time": ("azimuth", time),
        },
        attrs={"note": "made up"},
    )


def volume(
    seed: int = 0,
    shapes: Sequence[tuple[int, int]] = ((36, 50), (36, 50), (24, 33)),
    variables: Sequence[str] = ("DBZH", "ZDR", "VRADH"),
    packed: float | None = None,
) -> xr.DataTree:
    """A volume of sweeps of the given (rays, gates)."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, xr.Dataset] = {
        "/": xr.Dataset(
            coords={"latitude": 34.8, "longitude": 135.5, "altitude": 60.0},
            attrs={"instrument_name": "none", "Conventions": "CF-1.11", "history": "ein Test, 試験"},
        )
    }
    for k, (rays, gates) in enumerate(shapes):
        nodes[f"/sweep_{k}"] = sweep(rng, rays, gates, variables, 0.5 + k, packed)
    return xr.DataTree.from_dict(nodes)


def one_field(values: np.ndarray[Any, Any], name: str = "DBZH") -> xr.DataTree:
    """A volume of one sweep and one field, without coordinates or companion."""
    return xr.DataTree.from_dict({"/sweep_0": xr.Dataset({name: (("azimuth", "range"), values)})})
