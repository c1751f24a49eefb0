"""The volume to be coded, sweep by sweep: which fields it has, how sweeps lie to each other, what it cannot
do.

Nothing is loaded before it is coded, and nothing stays loaded afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.categories import why_category
from sciai.radar.data.heritage import heritage_of, history_lines, with_heritage
from sciai.radar.data.loops import settle
from sciai.radar.data.names import PSNR_PEAK, base_name, circular_period, fm301_names, is_reflectivity
from sciai.radar.data.tidy import canonical_names, check_names
from sciai.radar.data.undecoded import UNDETECT, is_decoded, loaded, number_of
from sciai.radar.data.validity import attributes, companion, validity_of
from sciai.radar.model.interface import F32, U8

__all__ = ["Planned", "Source", "SweepSource", "open_source"]

_NEAR = 6  # how many sweeps back the most similar one may lie
MAX_SIDE = 1 << 16  # rays, gates


@dataclass(frozen=True, eq=False)  # sweeps are told apart by identity
class SweepSource:
    """One sweep.

    Attributes:
        number: N of ``sweep_N``.
        dataset: As handed over; coordinates inherited from the root left out.
        fields: Names of what is coded, sorted.
        shape: Rays, gates.
        full_circle: Whether the rays go all round.
        angle: Fixed angle in degrees, NaN where unknown.
        infinite: Field -> gates that are infinite, or beyond what float32 holds; known once it was loaded.
    """

    number: int
    dataset: xr.Dataset
    fields: tuple[str, ...]
    shape: tuple[int, int]
    full_circle: bool
    angle: float
    infinite: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the group."""
        return f"sweep_{self.number}"

    def variable(self, var: str) -> xr.Variable:
        """A variable without loading it."""
        return self.dataset.variables[var]

    def load(self, var: str) -> tuple[F32, U8]:
        """Values (float32, NaN where invalid) and validity, ``[rays, gates]``, not kept here."""
        # an indexed copy of a lazy variable is not cached in the dataset
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and so missing
            values = np.ascontiguousarray(
                loaded(self.dataset.variables[var][:, :], f"{self.name}/{var}"), dtype=np.float32
            )
        beside = self.dataset.variables.get(companion(var))
        stated = None if beside is None else loaded(beside[...], f"{self.name}/{companion(var)}")
        if stated is None or (stated.dtype == np.uint8 and stated.shape == values.shape):
            flags = np.empty(values.shape, np.uint8) if stated is None else stated.copy(order="C")
            stray = settle(values, flags, stated is not None)
        else:
            flags = np.ascontiguousarray(validity_of({var: values, companion(var): stated}, var))
            stray = not np.isnan(values[flags != 0]).all()
        if stray:
            self.infinite[var] = int(np.isinf(values).sum())
            values = np.where(flags != 0, np.float32(np.nan), values)
        return values, flags

    def validity_attrs(self, var: str) -> dict[str, Any]:
        """Attributes of the companion: the source's own, or those that the convention asks for."""
        if companion(var) in self.dataset.variables:
            return dict(self.dataset.variables[companion(var)].attrs)
        from sciai.radar.data.validity import NOT_TOLD_APART

        return attributes(NOT_TOLD_APART)

    def others(self) -> xr.Dataset:
        """Everything that is not coded."""
        coded = [n for v in self.fields for n in (v, companion(v)) if n in self.dataset.variables]
        return self.dataset.drop_vars(coded)

    def nyquist(self) -> float | None:
        """Nyquist velocity in m/s where the sweep tells it."""
        for name in ("nyquist_velocity", "NI"):
            if name in self.dataset.variables and self.dataset.variables[name].dtype.kind in "fiu":
                known = np.asarray(self.dataset.variables[name].values, np.float64)
                if known.size and np.isfinite(known).all() and np.ptp(known) == 0:
                    return float(known.flat[0])
        return None


@dataclass
class Source:
    """A volume."""

    tree: xr.DataTree
    sweeps: list[SweepSource]
    name: str = "the volume"
    float64: list[str] = field(default_factory=list)
    opened_here: bool = False  # by open_volume, from files

    @property
    def heritage(self) -> list[str]:
        """Lines that tell of the lossy stores it came out of, the oldest first."""
        return history_lines(self.tree.attrs)

    @cached_property
    def variables(self) -> list[str]:
        """Names of all fields, sorted."""
        return sorted({v for s in self.sweeps for v in s.fields})

    @property
    def gates(self) -> int:
        """Gate-values of all fields of all sweeps."""
        return sum(s.shape[0] * s.shape[1] * len(s.fields) for s in self.sweeps)

    def having(self, var: str) -> list[SweepSource]:
        """Sweeps that have a field."""
        return [s for s in self.sweeps if var in s.fields]

    def period(self, var: str) -> float | None:
        """Period of a circular field in its unit, None where not circular or not the same everywhere."""
        periods = {circular_period(var, s.nyquist()) for s in self.having(var)}
        return periods.pop() if len(periods) == 1 else None

    def is_reflectivity(self, var: str) -> bool:
        """Whether a field is in dBZ."""
        return any(is_reflectivity(var, s.variable(var).attrs.get("units")) for s in self.having(var))

    def some_values(self, var: str) -> F32:
        """Valid values of a few sweeps, thinned where there are many; none of a field whose name is known."""
        if base_name(var) in PSNR_PEAK:
            return np.empty(0, np.float32)
        sweeps = self.having(var)
        some = []
        for sweep in sweeps[:: 1 + len(sweeps) // 4]:
            values, validity = sweep.load(var)
            some.append(values[validity == 0][::7] if values.size > 50_000 else values[validity == 0])
        return np.concatenate(some) if some else np.empty(0, np.float32)

    @cached_property
    def categories(self) -> dict[str, str]:
        """Fields that hold categories -> why they are taken for such."""
        found = {}
        for var in self.variables:
            attrs = {k: a for s in reversed(self.having(var)) for k, a in s.variable(var).attrs.items()}
            why = why_category(var, attrs, self.some_values(var))
            if why:
                found[var] = why
        return found

    def packings(self, var: str) -> list[tuple[float, float]]:
        """(scale, offset) pairs that the source used for a field."""
        found = []
        for sweep in self.having(var):
            encoding = sweep.variable(var).encoding
            scale, offset = (number_of(encoding.get(k)) for k in ("scale_factor", "add_offset"))
            if scale is not None and (scale, offset or 0.0) not in found:
                found.append((scale, offset or 0.0))
        return found[:8]

    def below(self, sweep: SweepSource, var: str) -> SweepSource | None:
        """Among the sweeps coded shortly before that have the field, the one nearest in angle."""
        at = self.sweeps.index(sweep)
        near = [s for s in self.sweeps[max(0, at - _NEAR) : at] if var in s.fields]
        near = [s for s in near if s.variable(var).dims == sweep.variable(var).dims]
        if not near:
            return None
        return min(reversed(near), key=lambda s: _gap(s.angle, sweep.angle))

    def interval(self) -> tuple[float, bool]:
        """Seconds from one volume to the next, and whether the volume's times tell it (else 30 s)."""
        times = [
            s.dataset.variables["time"].values.ravel()
            for s in self.sweeps
            if "time" in s.dataset.variables and s.dataset.variables["time"].dtype.kind == "M"
        ]
        known = np.concatenate(times) if times else np.empty(0, "M8[ns]")
        known = known[~np.isnat(known)]
        if known.size > 1:
            seconds = float((known.max() - known.min()) / np.timedelta64(1, "ms")) / 1e3
            # from first to last ray one ray is missing of a whole turn; no volume takes less than 5 s
            if 5 <= seconds <= 3600:
                return seconds * known.size / (known.size - 1), True
        return 30.0, False


class Planned(Sequence[tuple[F32, U8]]):
    """The (values, validity) of one variable, as planning sees them: loaded when asked for and not kept.

    Args:
        source: The volume.
        var: The variable.
        only: The sweeps to look at; all that have the variable by default.
    """

    def __init__(self, source: Source, var: str, only: Sequence[SweepSource] | None = None) -> None:
        self._sweeps = source.having(var) if only is None else only
        self._var = var

    def __len__(self) -> int:
        return len(self._sweeps)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [s.load(self._var) for s in self._sweeps[at]]
        return self._sweeps[at].load(self._var)


def open_source(volume: Any) -> Source:
    """Look at a volume (path, paths or tree) without loading its fields.

    Raises:
        BadInput: where it cannot be read or coded; says why.
    """
    if isinstance(volume, Source):
        return volume
    name, from_files = "the volume", not isinstance(volume, xr.DataTree | xr.Dataset)
    if isinstance(volume, str | os.PathLike):
        name = os.fspath(volume)
    elif isinstance(volume, Sequence) and volume:
        name = str(volume[0]) + (f" and {len(volume) - 1} more" if len(volume) > 1 else "")
    if not isinstance(volume, xr.DataTree) or not _is_tidy(volume):
        from sciai.radar.data.volume import open_volume

        volume = open_volume(volume)
    else:
        volume = with_heritage(volume, heritage_of(volume))
    sweeps = [_sweep(volume, n) for n in sweeps_of(volume)]
    if not any(s.fields for s in sweeps):
        raise BadInput(
            "no data variable", file=name, fix="a sweep needs a float variable over (azimuth, range)"
        )
    wide = sorted({v for s in sweeps for v in s.fields if _is_wide(s.variable(v))})
    return Source(volume, sweeps, name, wide, opened_here=from_files)


def _is_wide(variable: xr.Variable) -> bool:
    """Whether a field has more digits than float32, or had them in the file or tree that it was read from."""
    try:
        source = np.dtype(variable.encoding.get("dtype") or variable.dtype)
    except TypeError:  # a name that numpy does not know
        source = variable.dtype
    return bool(variable.dtype.itemsize > 4 or (source.kind == "f" and source.itemsize > 4))


def _is_tidy(tree: xr.DataTree) -> bool:
    """Whether names and dimensions are as `open_volume` makes them, so that nothing need be loaded."""
    check_names(tree)
    names = sweeps_of(tree)
    if any(old != new for old, new in canonical_names(names).items()):
        return False
    if not all(is_decoded(node.to_dataset(inherit=False).variables) for node in tree.subtree):
        return False
    sweeps = [tree.children[n].to_dataset(inherit=False) for n in names]
    fields = [fields_of(ds) for ds in sweeps]
    for own in fields:
        if any(old != new for old, new in fm301_names(own).items()):
            return False
    return any(fields) and all(
        _is_tidy_field(ds, f) for ds, own in zip(sweeps, fields, strict=True) for f in own
    )


def _is_tidy_field(sweep: xr.Dataset, var: str) -> bool:
    variable = sweep.variables[var]
    beside = sweep.variables.get(companion(var))
    told = UNDETECT not in variable.attrs or beside is not None
    along = beside is None or set(beside.dims) != set(variable.dims) or beside.dims == variable.dims
    return told and along and variable.dims[1] == "range" and variable.dtype.kind == "f"


def _sweep(tree: xr.DataTree, name: str) -> SweepSource:
    dataset = tree.children[name].to_dataset(inherit=False)
    fields = tuple(sorted(fields_of(dataset)))
    shapes = {dataset.variables[f].shape for f in fields}
    if len(shapes) > 1:
        each = ", ".join(f"{f} {dataset.variables[f].shape}" for f in fields)
        raise BadInput(
            f"fields of different shapes in {name}: {each}", field=name, fix="give them one sweep each"
        )
    shape = shapes.pop() if shapes else (0, 0)
    if fields and not all(0 < n < MAX_SIDE for n in shape):
        raise BadInput(
            f"{name} has {shape[0]} rays of {shape[1]} gates", fix=f"1 to {MAX_SIDE - 1} of each can be coded"
        )
    rays = str(dataset.variables[fields[0]].dims[0]) if fields else "azimuth"
    return SweepSource(
        number=int(name[6:]),
        dataset=dataset,
        fields=fields,
        shape=(int(shape[0]), int(shape[1])),
        full_circle=rays == "azimuth" and _goes_round(dataset, int(shape[0])),
        angle=_angle(dataset),
    )


def _goes_round(dataset: xr.Dataset, rays: int) -> bool:
    if "azimuth" not in dataset.variables or rays < 8:
        return False
    azimuth = np.asarray(dataset.variables["azimuth"].values, np.float64).ravel()
    if azimuth.size != rays or not np.isfinite(azimuth).all():
        return False
    turn = np.sort(azimuth % 360)
    gaps = np.diff(np.append(turn, turn[0] + 360))
    return bool(gaps.max() < 4 * np.median(gaps) + 1e-6)


def _angle(dataset: xr.Dataset) -> float:
    for name in ("sweep_fixed_angle", "fixed_angle", "elevation"):
        if name in dataset.variables and dataset.variables[name].dtype.kind in "fiu":
            known = np.asarray(dataset.variables[name].values, np.float64)
            if known.size and np.isfinite(known).any():
                return float(np.nanmedian(known))
    return float("nan")


def _gap(a: float, b: float) -> float:
    return abs(a - b) if np.isfinite(a) and np.isfinite(b) else np.inf
