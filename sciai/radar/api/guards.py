"""Checks that know more than the volume itself: what loading it found, and the store of the volume before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from sciai.core.answer import Estimate, Finding, Level
from sciai.core.errors import DamagedStore
from sciai.radar.api.chain import LONG
from sciai.radar.data.build import sweeps_of

if TYPE_CHECKING:
    from sciai.radar.api.planes import PlaneReader
    from sciai.radar.api.report import Compressed
    from sciai.radar.api.source import Source

__all__ = ["concerning_previous", "infinite_once_loaded"]

_NEAR: Final = 0.01  # degrees of latitude and longitude within which a radar is the same


def infinite_once_loaded(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Values that became missing and that could not be seen before they were loaded.

    They are beyond what float32 holds, or infinite in an array that was not in memory (lazy, or of dask).
    """
    for var in source.variables:
        some = [s for s in source.having(var) if s.infinite.get(var)]
        found = sum(s.infinite[var] - _seen(s.variable(var)) for s in some)
        if found > 0:
            message = f"{found} values are infinite or beyond 3.4e38 (float32): stored as missing gates"
            yield Finding("infinite", Level.CAUTION, message, var)


def _seen(variable: xr.Variable) -> int:
    """Infinities that the check of the same name counted already: those of arrays in memory."""
    held = variable._data
    return int(np.isinf(held).sum()) if isinstance(held, np.ndarray) else 0


def concerning_previous(previous: PlaneReader | None) -> Callable[[Source], Iterable[Finding]]:
    """A check that says where the volume before looks like none: elsewhere, later, or of another geometry.

    Or where it needs many others.
    """

    def before(source: Source) -> Iterable[Finding]:
        if previous is None or previous.root is None:
            return
        with xr.open_datatree(previous.root, engine="zarr", chunks=None) as tree:
            try:
                found = [*_elsewhere(tree, source), *_not_before(tree, source), *_unlike(tree, source)]
                found += _far_back(previous)
            except DamagedStore as err:
                found = [str(err)]
        for message in found:
            yield Finding("geometry", Level.CAUTION, message, "previous")

    return before


def _far_back(previous: PlaneReader) -> Iterable[str]:
    needed = len(previous.chain())
    if needed >= LONG:
        yield (
            f"it needs {needed - 1} volumes before it, one by one, and so will this one: reading any of it "
            "decodes them all, and where one is lost all after it are; leave `previous` out in every "
            f"{LONG}th volume"
        )


def _elsewhere(tree: xr.DataTree, source: Source) -> Iterable[str]:
    here, there = _place(source.tree), _place(tree)
    if (np.abs(np.asarray(here) - np.asarray(there)) > _NEAR).any():
        yield (
            f"the previous volume is of another place ({there[0]:.2f}, {there[1]:.2f} degrees; this one "
            f"{here[0]:.2f}, {here[1]:.2f}): reading this store will need that one all the same"
        )


def _place(tree: xr.DataTree) -> tuple[float, float]:
    known = tree.to_dataset().variables
    lat, lon = (float(known[k].values) if k in known else np.nan for k in ("latitude", "longitude"))
    return lat, lon


def _not_before(tree: xr.DataTree, source: Source) -> Iterable[str]:
    ours = _start([s.dataset for s in source.sweeps])
    theirs = _start([tree.children[name].to_dataset(inherit=False) for name in sweeps_of(tree)])
    if ours is not None and theirs is not None and theirs >= ours:
        when = "at the same time as" if theirs == ours else "after"
        yield (
            f"the previous volume was scanned {when} this one ({_text(theirs)}, this one {_text(ours)} UTC): "
            "is the order right?"
        )


def _start(sweeps: Iterable[xr.Dataset]) -> np.datetime64 | None:
    times = [
        np.datetime64(known.min())
        for ds in sweeps
        if "time" in ds.variables and ds.variables["time"].dtype.kind == "M"
        for known in [_known(ds.variables["time"].values)]
        if known.size
    ]
    return min(times, default=None)


def _known(times: Any) -> np.ndarray[Any, Any]:
    return np.asarray(times[~np.isnat(times)])


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("T", " ")


def _unlike(tree: xr.DataTree, source: Source) -> Iterable[str]:
    for sweep in source.sweeps:
        there = tree.children.get(sweep.name)
        for var in sweep.fields:
            if there is not None and var in there.data_vars and there[var].shape == sweep.shape:
                return
    yield "the previous volume has no field of the same name and shape in any sweep: it saves nothing"
