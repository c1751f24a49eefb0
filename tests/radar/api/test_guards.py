"""What is said of values that only loading shows, and of a previous volume that looks like none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Answer, Level
from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, simulate
from sciai.radar.api import Compressed, verify
from sciai.radar.api.planes import forget_planes
from tests.radar.synthetic import one_field


def said(answer: Answer[Compressed], check: str) -> list[str]:
    return [f.message for f in answer.findings if f.check == check]


def storm(step: int = 0, shape: tuple[int, int, int] = (2, 36, 60)) -> xr.DataTree:
    return simulate(seed=3, time_step=step, shape=shape, variables=["DBZH", "VRADH"])


@pytest.fixture
def first(tmp_path: Path) -> Path:
    compress(storm(0), tmp_path / "t0.zarr", codec="context")
    return tmp_path / "t0.zarr"


def following(tree: xr.DataTree, first: Path, **how: Any) -> Answer[Compressed]:
    return compress(tree, first.with_name("t1.zarr"), previous=first, codec="context", **how)


def test_values_beyond_float32_are_said_where_everything_is_tidy_already(tmp_path: Path) -> None:
    values = np.full((20, 30), 1e300)
    answer = compress(one_field(values), tmp_path / "a.zarr", codec="plain")
    assert said(answer, "infinite") == [
        "600 values are infinite or beyond 3.4e38 (float32): stored as missing gates"
    ]
    assert answer.level == Level.CAUTION


def test_digits_that_float32_does_not_hold_are_told_wherever_they_go(tmp_path: Path) -> None:
    """Of fields that have to be renamed, and of files, "lossless" was said and digits were gone."""
    values = np.random.default_rng(0).normal(size=(20, 30))
    tree = one_field(values)
    renamed = xr.DataTree.from_dict({"/sweep_0": tree["sweep_0"].to_dataset().rename(DBZH="reflectivity")})
    file = tmp_path / "a.nc"
    storm().to_netcdf(file)
    with netCDF4.Dataset(file, "a") as nc:
        nc["sweep_0"].createVariable("XYZ", "f8", ("azimuth", "range"))[...] = values[:1, :1]
    for volume, name in ((tree, "DBZH"), (renamed, "DBZH"), (file, "XYZ")):
        answer = compress(volume, tmp_path / "a.zarr", codec="plain", lossless=True, overwrite=True)
        assert [f.where for f in answer.findings if f.check == "double"] == [name]


@pytest.mark.filterwarnings("error")
def test_and_where_names_have_to_be_mended_first(tmp_path: Path) -> None:
    dataset = xr.Dataset({"reflectivity": (("azimuth", "range"), np.full((5, 7), 1e300))})
    answer = compress(dataset, tmp_path / "a.zarr", codec="plain")
    assert said(answer, "infinite") == ["35 infinite values are stored as missing gates"]


def test_infinities_in_arrays_that_are_not_in_memory(tmp_path: Path) -> None:
    values = np.ones((20, 30), np.float32)
    values[2, :3] = np.inf
    tree = one_field(values)
    lazy = xr.DataTree.from_dict({"/sweep_0": tree["sweep_0"].to_dataset().chunk({"azimuth": 5})})
    answer = compress(lazy, tmp_path / "a.zarr", codec="plain")
    assert [m.split(" are")[0] for m in said(answer, "infinite")] == ["3 values"]


def test_a_volume_before_says_nothing(first: Path) -> None:
    answer = following(storm(1), first)
    assert answer.unwrap().previous == "../t0.zarr"
    assert said(answer, "geometry") == []


@pytest.mark.parametrize(("step", "when"), [(0, "at the same time as"), (4, "after")])
def test_a_previous_volume_that_is_not_before(tmp_path: Path, step: int, when: str) -> None:
    compress(storm(step), tmp_path / "t0.zarr", codec="context")
    answer = following(storm(0), tmp_path / "t0.zarr")
    assert [f"scanned {when} this one" in m for m in said(answer, "geometry")] == [True]
    xr.testing.assert_identical(
        decompress(tmp_path / "t1.zarr")["sweep_0/DBZH_validity"].load(), storm(0)["sweep_0/DBZH_validity"]
    )


def test_a_previous_volume_of_another_radar(first: Path) -> None:
    elsewhere = storm(1)
    elsewhere = xr.DataTree.from_dict(
        {n.path: n.to_dataset(inherit=False) for n in elsewhere.subtree}
        | {"/": elsewhere.to_dataset().assign_coords(latitude=10.0)}
    )
    assert ["another place" in m for m in said(following(elsewhere, first), "geometry")] == [True]


def test_a_previous_volume_of_another_geometry_is_not_needed(first: Path) -> None:
    other = storm(1, (2, 40, 60))
    answer = following(other, first)
    assert ["it saves nothing" in m for m in said(answer, "geometry")] == [True]
    assert answer.unwrap().previous is None
    forget_planes()
    first.rename(first.with_name("gone"))
    assert verify(other, first.with_name("t1.zarr")).level <= Level.CAUTION


def test_a_store_that_would_replace_what_it_needs(first: Path) -> None:
    following(storm(1), first)
    before = decompress(first)
    for previous in (first, first.with_name("t1.zarr"), first.parent / "." / first.name):
        with pytest.raises(BadInput, match="replace the previous volume") as caught:
            compress(storm(2), first, previous=previous, codec="context", overwrite=True)
        assert caught.value.field == "previous"
    forget_planes()
    xr.testing.assert_identical(decompress(first), before)
