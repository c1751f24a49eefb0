"""Files that together make one volume: one variable per file, or one sweep (or a few) per file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.validity import companion

Named = tuple[str, xr.DataTree]

_SAME_TIME = np.timedelta64(90, "s")  # variables of one volume are written with the same time, or nearly so
_ONE_VOLUME = np.timedelta64(30, "m")  # sweeps of one volume are scanned within this


def merge_volumes(parts: Sequence[Named]) -> xr.DataTree:
    """Merge opened files into one volume.

    Files whose variables are all different must agree in geometry, and become one volume with all
    variables. Files
    with a variable in common must hold different sweeps, and become one volume with all sweeps in the
    order of time.

    Args:
        parts: (file name for messages, volume) for each file.

    Returns:
        The volume; attributes of the first file.

    Raises:
        BadInput: a variable of a sweep in two files, sweeps or rays or gates that do not match, different
            radars or times.
    """
    _same_site(parts)
    if _common_variable(parts) is None:
        return _merge_variables(parts)
    return _merge_sweeps(_join_variables_of_equal_sweeps(parts))


def _join_variables_of_equal_sweeps(parts: Sequence[Named]) -> Sequence[Named]:
    """One variable and one sweep per file: first the variables of each sweep."""
    groups: dict[tuple[object, ...], list[Named]] = {}
    for part in parts:
        tree = part[1]
        angles = tuple(round(float(tree[s]["sweep_fixed_angle"]), 1) for s in sweeps_of(tree))
        groups.setdefault(angles, []).append(part)
    merged: list[Named] = []
    for group in groups.values():
        if len(group) > 1 and _common_variable(group) is None:
            merged.append((group[0][0], _merge_variables(group)))
        else:
            merged += group
    return merged


def _variables(tree: xr.DataTree) -> set[str]:
    return {f for s in sweeps_of(tree) for f in fields_of(tree[s])}


def _common_variable(parts: Sequence[Named]) -> str | None:
    seen: set[str] = set()
    for _, tree in parts:
        names = _variables(tree)
        if seen & names:
            return sorted(seen & names)[0]
        seen |= names
    return None


def _same_site(parts: Sequence[Named]) -> None:
    first_name, first = parts[0]
    for name, tree in parts[1:]:
        for key, limit in (("latitude", 0.01), ("longitude", 0.01)):
            a, b = float(first[key]), float(tree[key])
            if np.isfinite(a) and np.isfinite(b) and abs(a - b) > limit:
                problem = f"{a:.3f} here and {b:.3f} in {first_name}: these are two radars"
                raise BadInput(problem, file=name, field=key, unit="degrees", fix="open them one at a time")


def _start(ds: xr.Dataset) -> np.datetime64:
    return np.datetime64(ds["time"].values.min())


def _merge_variables(parts: Sequence[Named]) -> xr.DataTree:
    first_name, first = parts[0]
    names = sweeps_of(first)
    sweeps = {s: first.children[s].to_dataset(inherit=False) for s in names}
    for name, tree in parts[1:]:
        theirs = sweeps_of(tree)
        if len(theirs) != len(names):
            problem = f"{len(theirs)} sweeps here, {len(names)} in {first_name}"
            raise BadInput(
                problem, file=name, field=", ".join(sorted(_variables(tree))), fix="give files of one volume"
            )
        for s, t in zip(names, theirs, strict=True):
            other = tree.children[t].to_dataset(inherit=False)
            _same_geometry(sweeps[s], other, s, name, first_name)
            for f in fields_of(other):
                for v in (f, companion(f)):
                    sweeps[s][v] = other[v].variable
            if "nyquist_velocity" in other and "nyquist_velocity" not in sweeps[s]:
                sweeps[s]["nyquist_velocity"] = other["nyquist_velocity"].variable
    return _tree(first, first.to_dataset(), sweeps)


def _tree(first: xr.DataTree, root: xr.Dataset, sweeps: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Sweeps below a root, beside the groups of the first file that are none."""
    others = {n: c for n, c in first.children.items() if n not in sweeps_of(first)}
    tree = xr.DataTree.from_dict({"/": root, **{f"/{s}": ds for s, ds in sweeps.items()}})
    return tree.assign(others) if others else tree


def _same_geometry(a: xr.Dataset, b: xr.Dataset, sweep: str, name: str, first_name: str) -> None:
    field = ", ".join(fields_of(b))

    def differ(what: str, here: object, there: object, unit: str | None = None) -> BadInput:
        problem = f"{what} of {sweep}: {here} here, {there} in {first_name}"
        return BadInput(
            problem, file=name, field=field, unit=unit, fix="give files of one volume with one geometry"
        )

    ray_a, ray_b = (next(d for d in fields_dims(ds) if d != "range") for ds in (a, b))
    if (ray_a, a.sizes[ray_a]) != (ray_b, b.sizes[ray_b]):
        raise differ("number of rays", f"{b.sizes[ray_b]} over {ray_b}", f"{a.sizes[ray_a]} over {ray_a}")
    if a.sizes["range"] != b.sizes["range"]:
        raise differ("number of gates", b.sizes["range"], a.sizes["range"])
    if not np.allclose(a["range"].values, b["range"].values, atol=1.0):
        raise differ("range", b["range"].values[:2].tolist(), a["range"].values[:2].tolist(), "m")
    gap = np.abs(np.asarray(a["azimuth"].values - b["azimuth"].values, np.float64))
    worst = float(np.minimum(gap, 360.0 - gap).max())
    if worst > 0.5 or float(np.abs(a["elevation"].values - b["elevation"].values).max()) > 0.5:
        raise differ("angles of the rays", f"up to {worst:.2f} off", "0", "degrees")
    apart = abs(_start(a) - _start(b))
    if apart > _SAME_TIME:
        raise differ("start", _start(b).astype("datetime64[s]"), _start(a).astype("datetime64[s]"))


def fields_dims(ds: xr.Dataset) -> tuple[str, ...]:
    """Dimensions of the fields of a sweep (ray dimension, ``range``)."""
    return tuple(str(d) for d in ds[fields_of(ds)[0]].dims)


def _merge_sweeps(parts: Sequence[Named]) -> xr.DataTree:
    flat = [
        (at, tree.children[s].to_dataset(inherit=False))
        for at, (_, tree) in enumerate(parts)
        for s in sweeps_of(tree)
    ]
    for (at, a), (other, b) in combinations(flat, 2):
        name_a, name_b = parts[at][0], parts[other][0]
        shared = sorted(set(fields_of(a)) & set(fields_of(b)))
        same_angle = abs(float(a["sweep_fixed_angle"]) - float(b["sweep_fixed_angle"])) < 0.05
        if at != other and shared and same_angle:
            raise BadInput(
                f"the sweep at {float(a['sweep_fixed_angle']):g} degrees is also in {name_a}",
                file=name_b,
                field=shared[0],
                fix="two volumes, or a file given twice: open them one at a time",
            )
        if abs(_start(a) - _start(b)) > _ONE_VOLUME:
            when_a, when_b = (str(_start(ds).astype("datetime64[s]")) for ds in (a, b))
            problem = f"scanned at {when_b}, {name_a} at {when_a}"
            raise BadInput(problem, file=name_b, field="time", fix="these are sweeps of different volumes")
    flat.sort(key=lambda part: _start(part[1]))
    root = parts[0][1].to_dataset()
    for i, (_, ds) in enumerate(flat):
        ds["sweep_number"] = ((), np.int64(i))
    times = [ds["time"].values for _, ds in flat]
    root["time_coverage_start"] = ((), str(min(t.min() for t in times).astype("datetime64[s]")) + "Z")
    root["time_coverage_end"] = ((), str(max(t.max() for t in times).astype("datetime64[s]")) + "Z")
    return _tree(parts[0][1], root, {f"sweep_{i}": ds for i, (_, ds) in enumerate(flat)})
