"""Stores that earlier versions wrote: they read for ever."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sciai.radar import compress, decompress
from sciai.radar.api import info, verify
from tests.radar.synthetic import volume

FROZEN = Path(__file__).parent / "frozen"
KNOWN = {
    1: "62577e2a8b275a5f2926d597ea68e66919b85c8dec5c19019cc5d6ff38e2f72c",
    2: "62577e2a8b275a5f2926d597ea68e66919b85c8dec5c19019cc5d6ff38e2f72c",
    3: "b019442f4c51006921a18276eaf3e1ea94aa899087e569c52bb20aefa003b80b",
    4: "b11388d12bb6bd1ef6579abbb6b71090eeae0737d2ce2d78fc38c226237f868c",
}
"""Format of a store -> SHA-256 of the fields and validities that it decoded to when it was written."""


def unpacked(version: int, folder: Path) -> Path:
    """A store of `source(version)`, written by the context codec with its model inside; 3 looks twice."""
    with zipfile.ZipFile(FROZEN / f"store_format_{version}.zip") as archive:
        archive.extractall(folder / "old.zarr")
    return folder / "old.zarr"


def source(version: int) -> xr.DataTree:
    """What it was made from; the store of format 4 keeps strong echo."""
    tree = volume(50, ((12, 40), (14, 30)), ("DBZH", "TH", "ZDR"))
    if version == 4:
        tree["sweep_0/DBZH"].values[:] += 20
    return tree


def content(tree: xr.DataTree) -> str:
    found = hashlib.sha256()
    for sweep in (0, 1):
        for var in ("DBZH", "TH", "ZDR"):
            found.update(np.ascontiguousarray(tree[f"sweep_{sweep}/{var}"].values).tobytes())
            found.update(np.ascontiguousarray(tree[f"sweep_{sweep}/{var}_validity"].values).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("version", sorted(KNOWN))
def test_old_stores_read(tmp_path: Path, version: int) -> None:
    store = unpacked(version, tmp_path)
    assert json.loads((store / "record.json").read_bytes())["format"] == version
    assert content(decompress(store)) == KNOWN[version]
    assert content(xr.open_datatree(store, engine="zarr")) == KNOWN[version]
    assert info(store)["intact"]
    reports = verify(source(version), store).unwrap().variables
    assert min(r.psnr for r in reports.values()) >= 35
    assert reports["DBZH"].strong_bound == (1.0 if version == 4 else None)
    assert reports["DBZH"].csi["45"] == (1.0 if version == 4 else None)


def test_an_old_store_helps_the_next_volume(tmp_path: Path) -> None:
    store = unpacked(1, tmp_path)
    compress(source(1), tmp_path / "next.zarr", codec="context", previous=store).unwrap()
    again = verify(source(1), tmp_path / "next.zarr").unwrap()
    assert min(r.psnr for r in again.variables.values()) >= 35
