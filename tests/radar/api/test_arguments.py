"""What a caller hands over by mistake is named, with the way out, before anything is read or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, fetch, open_volume, simulate
from sciai.radar.api import info, verify
from sciai.radar.data import write_cfradial2, write_odim, write_pawr
from tests.radar.synthetic import volume


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("threads", "2"),
        ("threads", 0),
        ("threads", 2.0),
        ("threads", True),
        ("threads", None),
        ("lossless", 1),
        ("lossless", None),
        ("lossless", [1]),
        ("previous", 3),
        ("codec", None),
        ("codec", ["context"]),
        ("codec", object),
        ("overwrite", "no"),
        ("embed_model", "yes"),
        ("progress", "bar"),
        ("effort", 1),
        ("psnr", "35"),
    ],
)
def test_of_compress(tmp_path: Path, argument: str, given: Any) -> None:
    with pytest.raises(BadInput) as caught:
        compress(volume(1), tmp_path / "a.zarr", **{argument: given})
    assert caught.value.field == argument
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    how: dict[str, Any] = {"threads": np.int64(1), "lossless": np.bool_(False), "overwrite": np.bool_(False)}
    assert compress(volume(1), tmp_path / "a.zarr", codec="plain", psnr=np.float32(35), **how).unwrap()


@pytest.mark.parametrize("given", [None, 5, b"a.zarr", ["a.zarr"], ""], ids=repr)
def test_a_store_that_is_no_path(given: Any) -> None:
    calls = (lambda s: compress(volume(1), s), decompress, info, lambda s: verify(volume(1), s))
    for call in calls:
        with pytest.raises(BadInput, match="is no path") as caught:
            call(given)
        assert caught.value.field == "store"


def test_of_decompress_and_verify(tmp_path: Path) -> None:
    compress(volume(1), tmp_path / "a.zarr", codec="plain")
    for given in ("2", 0, None):
        with pytest.raises(BadInput, match="whole number from 1 on"):
            decompress(tmp_path / "a.zarr", threads=given)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="whole number from 1 on"):
            verify(volume(1), tmp_path / "a.zarr", threads=given)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="'raise' or 'missing'"):
        decompress(tmp_path / "a.zarr", damaged="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [[None], [5], b"/volume.h5", 5, None, {}], ids=repr)
def test_a_volume_that_is_none(tmp_path: Path, given: Any) -> None:
    for call in (open_volume, lambda v: compress(v, tmp_path / "a.zarr")):
        with pytest.raises(BadInput):
            call(given)
    with pytest.raises(BadInput, match="a DataTree is no path"):
        open_volume([volume(1)])  # type: ignore[list-item]


def test_a_name_that_no_tree_can_hold() -> None:
    with pytest.raises(BadInput, match="a slash") as caught:
        open_volume(xr.Dataset({"Z/dBZ": (("azimuth", "range"), np.zeros((3, 4)))}))
    assert caught.value.field == "Z/dBZ"


@pytest.mark.parametrize(
    "how",
    [
        {"seed": "a"},
        {"seed": -1},
        {"seed": 1.5},
        {"time_step": "x"},
        {"time_step": -1},
        {"shape": (2, 36, 60.5)},
        {"variables": "DBZH"},
        {"variables": None},
    ],
    ids=str,
)
def test_of_simulate(how: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        simulate(**{"shape": (1, 4, 6), **how})
    assert caught.value.field == next(iter(how))


@pytest.mark.parametrize(
    ("site", "time", "field"),
    [(5, "2013-05-20T20:16", "site"), ("KTLX", 5, "time"), ("KTLX", None, "time")],
)
def test_of_fetch(site: Any, time: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        fetch(site, time)
    assert caught.value.field == field


@pytest.mark.parametrize("write", [write_cfradial2, write_odim, write_pawr])
def test_of_writers(tmp_path: Path, write: Any) -> None:
    for given in (None, 5):
        with pytest.raises(BadInput, match="is no path"):
            write(volume(1), given)
    for given in (None, volume(1)["sweep_0"].to_dataset()):
        with pytest.raises(BadInput, match="as a radar volume"):
            write(given, tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput):
        write(simulate(seed=1, shape=(1, 4, 6)), tmp_path / "file/below")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write", [write_odim, write_pawr])
@pytest.mark.parametrize("lacking", ["time", "elevation", "range"])
def test_a_sweep_that_lacks_what_the_format_needs(tmp_path: Path, write: Any, lacking: str) -> None:
    bare = volume(1)["sweep_0"].to_dataset().drop_vars(lacking)
    with pytest.raises(BadInput, match=f"sweep_0 has no {lacking}"):
        write(xr.DataTree.from_dict({"/sweep_0": bare}), tmp_path / "a")
