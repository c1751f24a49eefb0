"""A tree that a user hands over -> the conventions of `sciai.radar.data.build`, on a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.names import field_attributes, fm301_names
from sciai.radar.data.undecoded import UNDETECT, decoded, loaded, undetected
from sciai.radar.data.validity import (
    BELOW_NOISE,
    MISSING,
    NOT_TOLD_APART,
    VALID,
    attributes,
    companion,
    validity_of,
)


def tidy_tree(tree: xr.DataTree) -> xr.DataTree:
    """Standard names, float32 fields and companions for every sweep; everything else stays as it is.

    Fields that their attributes call packed are unpacked first (`undecoded`), and gates at the value that
    ``_Undetect`` stands for are below noise, where there is no companion. Sweeps are named
    ``sweep_<number>`` without zeros in front (``sweep_0001``, as other software writes it, becomes
    ``sweep_1``).

    A gate without companion is missing where NaN; infinities, and what float32 cannot hold, become NaN and
    missing too, and the companion's attribute ``infinite_gates`` counts them. Sweeps without any field are
    kept.

    Args:
        tree: a volume with ``sweep_<i>`` children, or one sweep at the root.

    Raises:
        BadInput: no sweep, two of one number, no field in any, or a name that is no text or has a slash.

    Example:
        >>> ds = xr.Dataset({"reflectivity": (("azimuth", "range"), [[1.0, np.nan]])})
        >>> t = tidy_tree(xr.DataTree.from_dict({"/sweep_0": ds}))
        >>> t["sweep_0/DBZH_validity"].values.tolist()
        [[0, 2]]
    """
    check_names(tree)
    names = sweeps_of(tree)
    if not names and fields_of(tree):
        tree = xr.DataTree.from_dict({"/": _site(tree), "/sweep_0": tree.to_dataset().drop_attrs(deep=False)})
        names = ["sweep_0"]
    plain = canonical_names(names)
    if not names:
        raise BadInput(
            "no sweep in this tree", field="sweep_0", fix="give a volume with children sweep_0, sweep_1, ..."
        )
    nodes: dict[str, xr.Dataset] = {}
    for node in tree.subtree:
        first, *below = node.path.removeprefix(tree.path).strip("/").split("/")
        nodes["/" + "/".join([plain.get(first, first), *below])] = decoded(node.to_dataset(inherit=False))
    found = False
    for n in plain.values():
        nodes[f"/{n}"] = _tidy_sweep(nodes[f"/{n}"])
        found |= bool(fields_of(nodes[f"/{n}"]))
    if not found:
        raise BadInput(
            "no data variable in any sweep" + _shapes_in([nodes[f"/{n}"] for n in plain.values()]),
            fix="a sweep needs a variable over (azimuth, range)",
        )
    return xr.DataTree.from_dict(nodes)


def check_names(tree: xr.DataTree) -> None:
    """Refuse variables whose name is no text, which would come back under another one.

    Raises:
        BadInput: there is one.
    """
    for node in tree.subtree:
        for name in node.to_dataset(inherit=False).variables:
            if not isinstance(name, str):
                raise BadInput("a variable whose name is no text", field=f"{name!r:.60}", fix="rename it")


def canonical_names(names: Sequence[str]) -> dict[str, str]:
    """Names of sweeps as they are -> ``sweep_<number>``.

    Raises:
        BadInput: two have the same number.

    Example:
        >>> canonical_names(["sweep_0001", "sweep_2"])
        {'sweep_0001': 'sweep_1', 'sweep_2': 'sweep_2'}
    """
    plain = {name: f"sweep_{int(name[6:])}" for name in names}
    taken: dict[str, str] = {}
    for name, number in plain.items():
        if number in taken:
            raise BadInput(
                f"two sweeps with one number: {taken[number]} and {name}",
                field=name,
                fix="rename one of them",
            )
        taken[number] = name
    return plain


def _shapes_in(sweeps: Sequence[xr.Dataset]) -> str:
    """What there is instead of fields, for a message; the first few of them."""
    found = [f"{n} over ({', '.join(map(str, v.dims))})" for ds in sweeps for n, v in ds.data_vars.items()]
    return f": there is {', '.join(found[:3])}" if found else ""


def _site(tree: xr.DataTree) -> xr.Dataset:
    here = tree.to_dataset()
    return xr.Dataset(
        coords={k: here[k] for k in ("latitude", "longitude", "altitude") if k in here}, attrs=here.attrs
    )


def _tidy_sweep(ds: xr.Dataset) -> xr.Dataset:
    fields = fields_of(ds)
    if not fields:
        return ds
    ds = ds.copy(deep=False)
    renamed = {old: new for old, new in fm301_names(fields).items() if old != new}
    also = {companion(o): companion(n) for o, n in renamed.items() if companion(o) in ds}
    for old in renamed:
        ds[old].attrs.setdefault("source_name", old)
    ds = ds.rename(renamed | also)
    for name in (renamed.get(f, f) for f in fields):
        v = ds[name]
        if v.dims[0] == "range":
            v = v.transpose()
        if companion(name) in ds and set(ds[companion(name)].dims) == set(v.dims):
            ds[companion(name)] = ds[companion(name)].transpose(*v.dims)
        ds[name], ds[companion(name)] = _tidy_field(ds, v, name)
    return ds


def _tidy_field(ds: xr.Dataset, v: xr.DataArray, name: str) -> tuple[xr.Variable, xr.Variable]:
    given = loaded(v, name)
    had = companion(name) in ds
    flags = validity_of({name: given, **({companion(name): ds[companion(name)].values} if had else {})}, name)
    told = not had and UNDETECT in v.attrs
    if told:
        flags[undetected(v, given) & (flags == VALID)] = BELOW_NOISE
        told = bool((flags == BELOW_NOISE).any())
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and so missing
        values = given.astype(np.float32, copy=False)
    if given.dtype.kind in "iu" and not np.array_equal(values, given):
        raise BadInput(
            "whole numbers beyond 2^24 (16,777,216), which float32 cannot hold",
            field=name,
            fix="split their bits among fields, or convert them to float64 yourself where digits may go",
        )
    infinite = np.isinf(values)
    if infinite.any() or ((had or told) and np.isfinite(values[flags != 0]).any()):
        values = np.where(flags == 0, values, np.nan).astype(np.float32)
        values[infinite] = np.nan
        flags[infinite & (flags == VALID)] = MISSING  # what the companion calls invalid stays so
    attrs: dict[str, Any] = field_attributes(name) | dict(v.attrs) | {"ancillary_variables": companion(name)}
    if had:
        companion_attrs = attributes() | dict(ds[companion(name)].attrs)
    elif told:
        attrs.pop(UNDETECT)
        companion_attrs = attributes()
    else:
        companion_attrs = attributes(NOT_TOLD_APART)
    if infinite.any():
        companion_attrs["infinite_gates"] = int(infinite.sum())
    # the packing of a lazily decoded file describes the array on disk: chunks and filters are not
    # ours to keep
    kept = ("scale_factor", "add_offset", "dtype", "_FillValue")
    encoding = {k: v.encoding[k] for k in kept if k in v.encoding}
    if given.dtype.kind == "f" and given.dtype.itemsize > values.dtype.itemsize:
        encoding.setdefault("dtype", given.dtype.newbyteorder("="))  # tells that digits may have gone
    return (
        xr.Variable(v.dims, values, attrs, encoding),
        xr.Variable(v.dims, flags, companion_attrs),
    )
