"""`effort="fast"`: other streams, the same promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, simulate
from sciai.radar.api import verify
from tests.radar.synthetic import volume


@pytest.mark.parametrize(
    "target",
    [{"psnr": 35}, {"psnr": 50}, {"psnr": 20}, {"max_error": 0.3}, {"max_error": 1e-4}, {"lossless": True}],
    ids=str,
)
def test_the_promises_hold(tmp_path: Path, target: dict[str, Any]) -> None:
    tree = volume(60, ((36, 50), (40, 50), (1, 7)), ("DBZH", "TH", "PHIDP", "VRADH"))
    answer = compress(tree, tmp_path / "a.zarr", effort="fast", **target).unwrap()
    again = verify(tree, tmp_path / "a.zarr").unwrap()
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    for var, report in answer.variables.items():
        assert report.max_error == again.variables[var].max_error
        assert report.psnr >= target.get("psnr", 35)
        assert report.max_error <= target.get("max_error", np.inf)
        assert report.lossless or "lossless" not in target
        for name in tree.children:
            np.testing.assert_array_equal(lazy[f"{name}/{var}_validity"], tree[f"{name}/{var}_validity"])


def test_it_needs_no_model_and_costs_little(tmp_path: Path) -> None:
    tree = simulate(seed=5, shape=(3, 120, 200))
    fast = compress(tree, tmp_path / "fast.zarr", effort="fast").unwrap()
    best = compress(tree, tmp_path / "best.zarr", codec="context").unwrap()
    assert {v.codec for v in fast.variables.values()} == {"quick"}
    assert fast.models == {}
    assert fast.model_bytes == 0
    assert fast.bits_per_value < 1.35 * best.bits_per_value
    assert min(v.psnr for v in fast.variables.values()) >= 35


def test_damage_is_named(tmp_path: Path) -> None:
    from sciai.core.errors import DamagedStore

    compress(volume(61, ((36, 50),), ("DBZH",)), tmp_path / "a.zarr", effort="fast").unwrap()
    path = tmp_path / "a.zarr/sweep_0/DBZH/0.0"
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 7):
        path.write_bytes(bytes(data[:at]) + bytes([data[at] ^ 16]) + bytes(data[at + 1 :]))
        with pytest.raises(DamagedStore, match=r"sweep_0/DBZH/0\.0"):
            decompress(tmp_path / "a.zarr")


def test_previous_serves_masks_only(tmp_path: Path) -> None:
    tree = volume(62, ((36, 50),), ("DBZH",))
    compress(tree, tmp_path / "a.zarr", effort="fast").unwrap()
    compress(tree, tmp_path / "b.zarr", effort="fast", previous=tmp_path / "a.zarr").unwrap()
    assert verify(tree, tmp_path / "b.zarr").unwrap().variables["DBZH"].psnr >= 35


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"effort": "slow"}, "no effort is called"),
        ({"effort": "fast", "codec": "plain"}, "chooses the codec"),
    ],
)
def test_what_is_no_effort(tmp_path: Path, how: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        compress(volume(63), tmp_path / "a.zarr", **how)
    assert not list(tmp_path.iterdir())
