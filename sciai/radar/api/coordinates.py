"""Whether a store holds the very volume it is compared with: its sweeps, where and when their gates lie."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from sciai.core.answer import Finding, Level
from sciai.core.errors import DamagedStore
from sciai.radar.api.source import Source
from sciai.radar.data.build import fields_of, sweeps_of

__all__ = ["another_volume"]

_APART: Final[Mapping[str, tuple[float, str]]] = {
    "azimuth": (0.01, "degrees"),
    "elevation": (0.01, "degrees"),
    "range": (1.0, "m"),
    "time": (0.01, "s"),
}
"""Coordinate -> how far it may differ, and its unit: more than formats round by, less than a ray or gate."""


def another_volume(source: Source, store: str | os.PathLike[str]) -> list[Finding]:
    """Findings on what the store has and the volume lacks, and on coordinates that differ or are damaged.

    Args:
        source: the volume.
        store: its store, as it is said to be.
    """
    try:
        with xr.open_datatree(store, engine="zarr", chunks=None) as tree:
            return [*_lacking(source, tree), *_differing(source, tree)]
    except DamagedStore as err:
        return [Finding("damaged", Level.REFUSE, str(err), "coordinates")]


def _lacking(source: Source, tree: xr.DataTree) -> Iterable[Finding]:
    ours = {sweep.name: set(sweep.fields) for sweep in source.sweeps}
    for name in sweeps_of(tree):
        more = sorted(set(fields_of(tree[name])) - ours.get(name, set()))
        if name not in ours or more:
            what = f"{name}/{', '.join(more)}" if name in ours else name
            message = f"the store holds {what}, which the volume lacks: another volume, or a part of it"
            yield Finding("missing_part", Level.REFUSE, message, name)


def _differing(source: Source, tree: xr.DataTree) -> Iterable[Finding]:
    for name, (apart, unit) in _APART.items():
        gaps: dict[str, float] = {}
        for sweep in source.sweeps:
            # of a sweep that is not there each field is missed already
            if sweep.fields and sweep.name in tree.children and name in sweep.dataset.variables:
                there = tree.children[sweep.name].to_dataset(inherit=False).variables
                ours = np.asarray(sweep.dataset.variables[name].values)
                theirs = np.asarray(there[name].values) if name in there else np.empty(0)
                gap = _largest_gap(ours, theirs, name) if ours.shape == theirs.shape else np.inf
                if gap > apart:
                    gaps[sweep.name] = gap
        if gaps:
            yield _said(name, unit, gaps)


def _said(name: str, unit: str, gaps: Mapping[str, float]) -> Finding:
    worst = max(gaps.values())
    what = f"{name} differs by up to {worst:.4g} {unit}" if np.isfinite(worst) else f"{name} is not the same"
    where = next(iter(gaps)) + f"/{name}" + (f" and {len(gaps) - 1} more sweeps" if len(gaps) > 1 else "")
    if name == "time":  # gates lie where they were, and values tell whether it is the same volume
        message = f"{what}: another volume, or a format that keeps no times of rays"
        return Finding("geometry", Level.CAUTION, message, where)
    message = f"{what}: another volume, or its rays in another order"
    return Finding("missing_part", Level.REFUSE, message, where)


def _largest_gap(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], name: str) -> float:
    """In degrees (the short way round), metres or seconds; infinite where only one of two is known."""
    kinds = {ours.dtype.kind, theirs.dtype.kind}
    if kinds == {"M"}:
        both, either = np.isnat(ours) & np.isnat(theirs), np.isnat(ours) | np.isnat(theirs)
        gap = np.abs((ours - theirs) / np.timedelta64(1, "us")) / 1e6
    elif kinds <= set("fiu"):
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        both, either = np.isnan(ours) & np.isnan(theirs), np.isnan(ours) | np.isnan(theirs)
        gap = np.abs(ours - theirs)
        if name == "azimuth":
            gap = np.minimum(gap % 360.0, 360.0 - gap % 360.0)
    else:  # a coordinate of texts
        return 0.0 if np.array_equal(ours, theirs) else np.inf
    return float(np.max(np.where(both, 0.0, np.where(either, np.inf, gap)), initial=0.0))
