"""Seeded storms on the geometry of the MP-PAWR: for demos, streams and tests, never for headline figures.

Simulated volumes are smoother than real ones and flatter every codec; every volume says that it is synthetic.

What is modelled: convective cells that are born, grow, move and decay, stratiform rain with a bright
band, both with
fractal texture that moves with the wind; the polarimetric variables that X band would see (relations in
the spirit of
Bringi and Chandrasekar 2001, chapters 4 and 7, rounded); attenuation and differential attenuation along
the ray
(a_h = 0.28 K_dp, a_dp = 0.04 K_dp); Doppler velocity of a sheared wind with a vortex, folded at the
Nyquist velocity;
receiver noise, ground clutter, beam blockage, a blind range and an interference spoke.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import map_coordinates

from sciai.core.errors import BadInput
from sciai.radar.data.arguments import shown, whole_number
from sciai.radar.data.build import Field, Sweep, seconds_after, sweep_dataset, volume_tree
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID

Plane = npt.NDArray[np.float32]

VARIABLES: Final = ("DBZH", "ZDR", "KDP", "PHIDP", "RHOHV", "VRADH", "WRADH")
INTERVAL: Final = 30.0
"""Seconds from one volume to the next."""
NYQUIST: Final = 24.0
MAX_RANGE: Final = 60_000.0

_GRID = 512  # cells of the maps, 250 m each: 128 km, periodic
_CELL = 250.0
_MELTING = 4500.0  # height of the bright band, m
_STEP, _OFFSET = 0.01, -327.68  # packing of the raw format


def simulate(
    seed: int = 0,
    time_step: int = 0,
    shape: tuple[int, int, int] = (114, 300, 800),
    variables: Sequence[str] = VARIABLES,
) -> xr.DataTree:
    """Simulate one volume of a storm sequence.

    Args:
        seed: which storm; the same seed gives the same storm.
        time_step: which 30-s volume of the sequence.
        shape: (elevations, rays, gates); always 0 to 90 degrees and 60 km, coarser for smaller shapes.
        variables: which of DBZH (dBZ), ZDR (dB), KDP (degrees/km), PHIDP (degrees), RHOHV, VRADH and
            WRADH (m/s).

    Returns:
        A volume with attribute ``synthetic``; values on the raw format's grid of 0.01, both kinds of
        invalid gates.

    Raises:
        BadInput: unknown variable, a shape that is not three positive whole numbers, a seed or time step that
            is none from 0 on.

    Example:
        >>> volume = simulate(seed=3, shape=(3, 36, 60), variables=["DBZH"])
        >>> volume.attrs["synthetic"], volume["sweep_2/DBZH"].dtype.name
        ('true', 'float32')
    """
    if np.shape(shape) != (3,) or min(shape) < 1 or shape[2] < 2:
        raise BadInput(
            f"shape {shape}", field="shape", fix="give (elevations, rays, gates), at least (1, 1, 2)"
        )
    for length in shape:
        whole_number(length, "shape", 1, 300)
    seed, time_step = whole_number(seed, "seed", 0, 7), whole_number(time_step, "time_step", 0, 1)
    if isinstance(variables, str) or not isinstance(variables, Iterable):
        raise BadInput(
            f"variables of {shown(variables)}",
            field="variables",
            fix="give a list of names, such as ['DBZH']",
        )
    variables = list(variables)
    unknown = [v for v in variables if v not in VARIABLES]
    if unknown or not variables:
        raise BadInput(
            f"cannot simulate {unknown}", field="variables", fix="choose from " + ", ".join(VARIABLES)
        )
    elevations, rays, gates = shape
    sky = _Sky(seed, INTERVAL * time_step)
    step = float(round(MAX_RANGE / gates))
    azimuth = (np.arange(rays) + 0.5) * 360.0 / rays
    distance = step * (np.arange(gates) + 0.5)
    start = np.datetime64("2000-01-01T00:00:00") + np.timedelta64(int(INTERVAL * time_step), "s")
    time = seconds_after(start, np.round(INTERVAL * (np.arange(rays) + 0.5) / rays, 3))
    sweeps = []
    for i, elevation in enumerate(_elevations(elevations)):
        rng = np.random.default_rng([seed, time_step, i])
        fields = _sweep_fields(sky, float(elevation), azimuth, distance, step, variables, rng)
        sweep = Sweep(
            azimuth=azimuth,
            elevation=np.full(rays, elevation),
            time=time,
            range=distance,
            fields=fields,
            fixed_angle=float(elevation),
            nyquist=NYQUIST,
        )
        sweeps.append(sweep_dataset(sweep, i))
    attrs = {
        "instrument_name": "simulated MP-PAWR",
        "source": "sciai simulator",
        "synthetic": "true",
        "comment": "synthetic and smoother than nature: figures measured on it say nothing about real radars",
        "simulation_seed": seed,
        "simulation_time_step": time_step,
    }
    return volume_tree(sweeps, latitude=34.8, longitude=135.5, altitude=60.0, attrs=attrs)


def _elevations(n: int) -> npt.NDArray[np.float64]:
    """0.5 degrees apart below 20, about 1 above, to the zenith; a subset of the 114 for smaller ``n``."""
    full = np.concatenate([0.5 * np.arange(40), np.linspace(20.0, 90.0, 74)])
    return np.interp(np.linspace(0.0, 113.0, n) if n > 1 else np.array([4.0]), np.arange(114), full)


@dataclass
class _Cell:
    x: float
    y: float
    peak: float
    radius: float
    top: float


class _Sky:
    """The maps of one moment: everything about the storm that does not depend on the radar's beam."""

    def __init__(self, seed: int, time: float) -> None:
        rng = np.random.default_rng([seed, 7_919])
        self.wind = rng.uniform(6.0, 14.0) * np.array(_direction(rng))
        self.shear = rng.uniform(1.0, 3.0, 2) * 1e-3
        textures = [_fractal(rng) for _ in range(3)]
        shift = self.wind * time / _CELL
        axis = (np.arange(_GRID) - _GRID / 2 + 0.5) * _CELL
        x, y = np.meshgrid(axis, axis, indexing="xy")
        # textures move with the wind; two of them trade places slowly, so that the rain also evolves
        turn = time / 1800.0
        moved = [
            _sample(t, *np.meshgrid(np.arange(_GRID) - shift[0], np.arange(_GRID) - shift[1]))
            for t in textures
        ]
        self.texture = (np.cos(turn) * moved[0] + np.sin(turn) * moved[1]).astype(np.float32)
        self.fine = moved[2]
        self.stratiform = (18.0 + 7.0 * self.texture + rng.uniform(-4.0, 4.0)).astype(np.float32)
        self.cells = [_cell(seed, i, time, self.wind) for i in range(14)]
        convective = np.full((_GRID, _GRID), -40.0, np.float32)
        top = np.full((_GRID, _GRID), 6000.0, np.float32)
        for c in self.cells:
            away = ((x - c.x) ** 2 + (y - c.y) ** 2) / c.radius**2
            np.maximum(convective, (c.peak - 11.0 * away).astype(np.float32), out=convective)
            np.maximum(top, (c.top - 1500.0 * away).astype(np.float32), out=top)
        self.convective, self.top = convective + np.float32(2.0) * self.fine, top
        still = np.random.default_rng([seed, 104_729])
        self.clutter = _fractal(still)
        self.blocked = still.uniform(0.0, 360.0, 2), still.uniform(4.0, 14.0, 2), still.uniform(0.8, 3.0, 2)
        self.spoke = float(still.uniform(0.0, 360.0))


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return float(np.sin(angle)), float(np.cos(angle))


def _cell(seed: int, number: int, time: float, wind: npt.NDArray[np.float64]) -> _Cell:
    """A cell lives, dies, and is born again elsewhere."""
    first = np.random.default_rng([seed, number])
    life, phase = first.uniform(1500.0, 3600.0), first.uniform(0.0, 1.0)
    age, cycle = (time / life + phase) % 1.0, int(time / life + phase)
    rng = np.random.default_rng([seed, number, cycle])
    x, y = rng.uniform(-45_000.0, 45_000.0, 2)
    strength = np.sin(np.pi * age) ** 0.5
    drift = wind * (age - 0.5) * life + rng.normal(0.0, 1.5, 2) * (age - 0.5) * life
    peak = rng.uniform(38.0, 60.0)
    return _Cell(
        float(x + drift[0]),
        float(y + drift[1]),
        float(-10.0 + (peak + 10.0) * strength),
        float(rng.uniform(1500.0, 5000.0) * (0.6 + 0.4 * strength)),
        float(4000.0 + rng.uniform(4000.0, 9000.0) * strength),
    )


def _fractal(rng: np.random.Generator) -> Plane:
    """Periodic random field with a power-law spectrum, mean 0 and variance 1."""
    k = np.hypot(*np.meshgrid(np.fft.rfftfreq(_GRID), np.fft.fftfreq(_GRID)))
    k[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((_GRID, _GRID))) * np.maximum(k, 4.0 / _GRID) ** -1.9
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(_GRID, _GRID))
    return np.asarray(field / field.std(), np.float32)


def _sample(field: Plane, column: npt.NDArray[Any], row: npt.NDArray[Any]) -> Plane:
    """Bilinear, periodic."""
    out = map_coordinates(field, [row, column], order=1, mode="grid-wrap", output=np.float32)
    return np.asarray(out)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sd: float | Plane) -> Plane:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(1.0) * sd


def _sweep_fields(
    sky: _Sky,
    elevation: float,
    azimuth: npt.NDArray[Any],
    distance: npt.NDArray[Any],
    step: float,
    variables: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, Field]:
    shape = (azimuth.size, distance.size)
    el, az = np.deg2rad(elevation), np.deg2rad(azimuth)[:, None]
    ground = (distance * np.cos(el)).astype(np.float32)
    height = (distance * np.sin(el) + ground.astype(np.float64) ** 2 / (2 * 8_495_000.0)).astype(np.float32)
    x, y = np.sin(az).astype(np.float32) * ground, np.cos(az).astype(np.float32) * ground

    def at(field: Plane, tilt: float = 0.0) -> Plane:
        # a tilt makes a plane field vary with height, as sheared rain does
        column = x / _CELL + (_GRID / 2 - 0.5) + tilt * height / _CELL
        return _sample(field, column, y / _CELL + (_GRID / 2 - 0.5) - 0.5 * tilt * height / _CELL)

    fine, coarse = at(sky.fine, 2.0), at(sky.texture, 0.7)
    true, rain, ice, melting = _reflectivity(
        at(sky.convective, 0.4), at(sky.stratiform, 0.7), at(sky.top), height, fine
    )
    kdp = np.minimum(6.3e-4 * 10.0 ** (0.08 * np.clip(true, -30.0, 56.0)), 18.0) * (0.15 + 0.85 * rain)
    path = np.cumsum(kdp, axis=1, dtype=np.float32) * np.float32(step / 1000.0)
    blocked_db, blocked = _blockage(sky, elevation, azimuth, shape)
    seen = true - 2 * np.float32(0.28) * path - blocked_db

    clutter = _clutter(sky, at(sky.clutter), ground, elevation, rng)
    is_clutter = clutter > seen
    dbzh = np.where(is_clutter, clutter, seen)
    snr = dbzh - (-22.0 + 20.0 * np.log10(distance / 1000.0)).astype(np.float32)
    # what the receiver estimates from a few pulses scatters, more where the echo is weak
    weak = np.float32(1.0) + np.float32(3.0) * np.exp(-np.maximum(snr, 0.0) / 5.0)
    detected = snr + _noise(rng, shape, 0.7) > 1.0
    gone = blocked.copy()
    gone[:, distance < 1.6 * step + 150.0] = True  # the transmitter's own pulse

    rhohv = 0.988 - 0.012 * ice - 0.07 * melting - 0.004 * weak
    rhohv = np.where(is_clutter, 0.75 + 0.08 * fine, rhohv)
    make: dict[str, Plane] = {}
    if "DBZH" in variables:
        make["DBZH"] = dbzh + _noise(rng, shape, 0.5 * weak)
    if "ZDR" in variables:
        zdr = np.clip(0.06 * (true - 12.0), 0.0, 3.2) * rain + 0.25 * ice + 1.1 * melting
        zdr = np.where(true > 55.0, 0.4, zdr) - 2 * np.float32(0.04) * path
        make["ZDR"] = np.where(is_clutter, 2.0 * fine, zdr) + _noise(rng, shape, 0.12 * weak)
    if "KDP" in variables:
        make["KDP"] = kdp + _noise(rng, shape, 0.12 * weak)
    if "PHIDP" in variables:
        phase = (
            -60.0
            + 2.0 * path
            + np.where(is_clutter, 40.0 * fine, 2.0 * melting)
            + _noise(rng, shape, 1.5 * weak)
        )
        make["PHIDP"] = (phase + 180.0) % 360.0 - 180.0
    if "RHOHV" in variables:
        make["RHOHV"] = np.clip(rhohv - np.abs(_noise(rng, shape, 0.006 * weak)), 0.0, 1.0)
    if "VRADH" in variables:
        velocity = _velocity(sky, az, el, x, y, height, rain, coarse, fine)
        velocity = np.where(is_clutter, 0.0, velocity) + _noise(rng, shape, 0.35 * weak)
        make["VRADH"] = (velocity + NYQUIST) % (2.0 * NYQUIST) - NYQUIST
    if "WRADH" in variables:
        width = 1.2 + 0.5 * np.abs(fine) + 0.02 * np.maximum(true, 0.0) * rain
        make["WRADH"] = np.abs(np.where(is_clutter, 0.3, width) + _noise(rng, shape, 0.25 * weak))

    spoke = np.abs((azimuth - sky.spoke + 180.0) % 360.0 - 180.0) < 0.5 * 360.0 / azimuth.size
    fields = {}
    for name, values in make.items():
        # the second-order quantities need a little more signal than the power does
        margin = {"DBZH": -1.0, "VRADH": 0.0, "WRADH": 0.5}.get(name, 0.8)
        validity = np.where(detected & (snr > margin), VALID, BELOW_NOISE).astype(np.uint8)
        if name == "DBZH":
            validity[spoke & (elevation < 10.0)] = VALID
            values = values.copy()
            values[spoke] = np.maximum(values[spoke], 8.0 + 20.0 * np.log10(distance / MAX_RANGE))
        validity[gone] = MISSING
        fields[name] = _packed(values, validity)
    return {v: fields[v] for v in variables}


def _reflectivity(
    convective: Plane, stratiform: Plane, top: Plane, height: Plane, fine: Plane
) -> tuple[Plane, Plane, Plane, Plane]:
    """True reflectivity (dBZ) and the fractions of rain, ice and melting snow."""
    melting = np.exp(-(((height - _MELTING) / 260.0) ** 2))
    rain = 1.0 / (1.0 + np.exp(np.clip((height - _MELTING) / 150.0, -40.0, 40.0)))
    aloft = np.maximum(height - 3500.0, 0.0)
    c = convective - 22.0 * (aloft / np.maximum(top - 3500.0, 500.0)) ** 2
    s = stratiform + 6.0 * melting - 0.0052 * np.maximum(height - _MELTING, 0.0) + 1.2 * fine
    is_stratiform = s > c
    true = np.where(is_stratiform, s, c).astype(np.float32)
    melting = np.where(is_stratiform, melting, 0.2 * melting).astype(np.float32)
    rain_fraction = np.broadcast_to(rain, true.shape).astype(np.float32)
    return true, rain_fraction, np.float32(1.0) - rain_fraction, melting


def _velocity(
    sky: _Sky, az: Any, el: float, x: Plane, y: Plane, height: Plane, rain: Plane, coarse: Plane, fine: Plane
) -> Plane:
    """Radial velocity (m/s, away positive): sheared wind, a vortex at the strongest cell, falling rain."""
    u = sky.wind[0] + sky.shear[0] * height + 1.5 * coarse
    v = sky.wind[1] + sky.shear[1] * height + 0.8 * fine
    strongest = max(sky.cells, key=lambda c: c.peak)
    dx, dy = x - strongest.x, y - strongest.y
    radius2 = dx * dx + dy * dy
    spin = 22.0 * np.exp(-radius2 / 2.5e3**2) / 1.2e3
    u, v = u - spin * dy, v + spin * dx
    fall = 6.5 * rain + 1.3 * (1.0 - rain)
    return np.asarray((u * np.sin(az) + v * np.cos(az)) * np.cos(el) - fall * np.sin(el), np.float32)


def _clutter(sky: _Sky, texture: Plane, ground: Plane, elevation: float, rng: np.random.Generator) -> Plane:
    """Ground clutter (dBZ): still, close, at low elevations."""
    hills = 24.0 * (texture - 0.9) + 18.0 - ground / 2500.0 - 11.0 * elevation
    return np.where(texture > 0.9, hills, -60.0) + _noise(rng, texture.shape, 1.0)


def _blockage(
    sky: _Sky, elevation: float, azimuth: npt.NDArray[np.float64], shape: tuple[int, int]
) -> tuple[Plane, npt.NDArray[np.bool_]]:
    """Loss (dB) [rays, 1] and total blockage [rays, gates] behind two obstacles."""
    loss = np.zeros((azimuth.size, 1), np.float32)
    blocked = np.zeros(shape, bool)
    for centre, width, top in zip(*sky.blocked, strict=True):
        inside = np.abs((azimuth - centre + 180.0) % 360.0 - 180.0) < width / 2
        if elevation < top:
            blocked[inside, shape[1] // 6 :] = True
        elif elevation < top + 1.0:
            loss[inside] = 9.0
    return loss, blocked


def _packed(values: Plane, validity: npt.NDArray[np.uint8]) -> Field:
    """Round to the raw format's step, so that the raw writer loses nothing."""
    word = np.round((values.astype(np.float64) - _OFFSET) / _STEP)
    out = (np.clip(word, 69, 65535) * _STEP + _OFFSET).astype(np.float32)
    out[validity != VALID] = np.nan
    encoding = {
        "scale_factor": _STEP,
        "add_offset": _OFFSET,
        "dtype": np.dtype(np.uint16),
        "_FillValue": np.uint16(0),
    }
    return Field(out, validity, {}, encoding)
