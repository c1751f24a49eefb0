"""Names and texts that a store cannot hold as they are, and companions that do not go with their field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, verify
from sciai.radar.data import open_volume

SIDE = 40


def sweep(name: str = "VRADH") -> xr.Dataset:
    values = np.random.default_rng(3).normal(size=(SIDE, SIDE)).cumsum(1).astype(np.float32)
    coords = {"azimuth": np.arange(SIDE) * 9.0, "range": np.arange(SIDE) * 250.0 + 125}
    return xr.Dataset({name: (("azimuth", "range"), values)}, coords)


def tree(dataset: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"/sweep_0": dataset})


@pytest.mark.parametrize("name", ["", ".", "..", "a\\b", "a\0b", "a\udcfcb", "x" * 250])
def test_a_name_that_zarr_would_not_find_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"cannot be stored.*rename") as caught:
        compress(tree(sweep(name)), tmp_path / "a.zarr", codec="plain")
    assert "sweep_0/" in str(caught.value.field)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 246, "zarr.json", "é", "a b", "x.", "__x", "%41"])
def test_an_odd_name_comes_back(tmp_path: Path, name: str) -> None:
    compress(tree(sweep(name)), tmp_path / "a.zarr", codec="plain").unwrap()
    assert verify(tree(sweep(name)), tmp_path / "a.zarr").level is Level.OK
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr").load()
    assert name in lazy["sweep_0"].data_vars


@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_a_companion_whose_field_was_dropped(tmp_path: Path, kind: str) -> None:
    left = np.random.default_rng(1).integers(0, 3, (SIDE, SIDE)).astype(kind)
    volume = tree(sweep().assign(DBZH_validity=(("azimuth", "range"), left)))
    value = compress(volume, tmp_path / "a.zarr", codec="plain").unwrap()
    assert set(value.variables) == {"VRADH"}
    assert verify(volume, tmp_path / "a.zarr").level is Level.OK
    for back in (xr.open_datatree(tmp_path / "a.zarr", engine="zarr"), decompress(tmp_path / "a.zarr")):
        np.testing.assert_array_equal(back["sweep_0/DBZH_validity"].values, left)


@pytest.mark.parametrize("field_first", [True, False])
def test_a_companion_that_lies_the_other_way(tmp_path: Path, field_first: bool) -> None:
    flags = np.triu(np.ones((SIDE, SIDE), np.uint8))
    dataset = sweep().assign(VRADH_validity=(("azimuth", "range"), flags))
    turned = "VRADH_validity" if field_first else "VRADH"
    dataset[turned] = dataset[turned].transpose("range", "azimuth")
    np.testing.assert_array_equal(open_volume(dataset)["sweep_0/VRADH_validity"].values, flags)
    compress(tree(dataset), tmp_path / "a.zarr", codec="plain").unwrap()
    np.testing.assert_array_equal(decompress(tmp_path / "a.zarr")["sweep_0/VRADH_validity"].values, flags)


@pytest.mark.parametrize("order", [("azimuth", "range"), ("range", "azimuth")])
@pytest.mark.parametrize("of_rays", [True, False])
def test_a_companion_that_does_not_fit(tmp_path: Path, order: tuple[str, str], of_rays: bool) -> None:
    dataset = sweep().transpose(*order)
    dataset["VRADH_validity"] = (
        ("azimuth", np.zeros(SIDE, np.uint8)) if of_rays else (order, np.full((SIDE, SIDE), "valid"))
    )
    with pytest.raises(BadInput, match="one number for each gate") as caught:
        compress(tree(dataset), tmp_path / "a.zarr", codec="plain")
    assert caught.value.field == "VRADH_validity"


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    """h5py, and so xradar, reads Latin-1 with lone surrogates, which no JSON file can hold."""
    odd = np.array(["Z\udcfc", "b"] * (SIDE // 2))
    dataset = sweep().assign(note=((), "Z\udcfcrich"), notes=("azimuth", odd))
    dataset["VRADH"].attrs["by"] = b"Z\xfcrich"
    volume = tree(dataset)
    volume.attrs = {"site": "Z\udcfcrich", "k\udcfc": ["\udcfc"], "high": "\ud800"}
    compress(volume, tmp_path / "a.zarr", codec="plain").unwrap()
    assert verify(volume, tmp_path / "a.zarr").level is Level.OK
    back = decompress(tmp_path / "a.zarr")
    assert (back.attrs["site"], back.attrs["kü"], back.attrs["high"]) == ("Zürich", ["ü"], "?")
    assert back["sweep_0/note"].item() == back["sweep_0/VRADH"].attrs["by"] == "Zürich"
    assert back["sweep_0/notes"].values[:2].tolist() == ["Zü", "b"]


def test_a_nyquist_velocity_that_is_text(tmp_path: Path) -> None:
    volume = tree(sweep().assign(nyquist_velocity=((), "ten")))
    compress(volume, tmp_path / "a.zarr", codec="plain").unwrap()
    assert decompress(tmp_path / "a.zarr")["sweep_0/nyquist_velocity"].item() == "ten"


def test_shapes_that_differ_are_named(tmp_path: Path) -> None:
    dataset = sweep().assign(SNRH=(("beam", "range"), np.zeros((3, SIDE), np.float32)))
    with pytest.raises(BadInput, match=r"in sweep_0: SNRH \(3, 40\), VRADH \(40, 40\)") as caught:
        compress(tree(dataset), tmp_path / "a.zarr", codec="plain")
    assert caught.value.field == "sweep_0"


def test_an_attribute_of_a_group_names_the_group(tmp_path: Path) -> None:
    dataset = sweep().assign_attrs(when=np.datetime64("2024-01-01"))
    with pytest.raises(BadInput, match="attribute when of the group sweep_0 is a date"):
        compress(tree(dataset), tmp_path / "a.zarr", codec="plain")
