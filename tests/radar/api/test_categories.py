"""Categories come back bit for bit, unless their error was asked for by name; the answer says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, open_volume
from sciai.radar.api import verify
from sciai.radar.model.interface import QuantSpec
from sciai.radar.model.quantise import LISTED, dequantise, exact_grid, quantise
from tests.radar.synthetic import smooth, volume

CLASSES = np.float32([9, 17, 105, 106, 107, 118])


def classified(seed: int = 0, kind: type = np.float32) -> xr.DataTree:
    """A volume with a field of classes, its codes far apart, of float or integer type."""
    rng = np.random.default_rng(seed)
    tree = volume(seed, ((60, 80), (36, 50)))
    for name in tree.children:
        shape = tree[f"{name}/DBZH"].shape
        ranks = np.digitize(smooth(rng, *shape, noise=0.05), [-0.4, -0.1, 0.1, 0.3, 0.6])
        tree[f"{name}/HCLASS"] = xr.Variable(("azimuth", "range"), CLASSES[ranks].astype(kind))
    return tree


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int16])
@pytest.mark.parametrize("codec", ["plain", "quick", "context"])
def test_they_come_back_exactly(tmp_path: Path, codec: str, kind: type) -> None:
    tree = classified(1, kind)
    answer = compress(tree, tmp_path / "a.zarr", codec=codec, psnr=30)
    report = answer.unwrap().variables["HCLASS"]
    assert report.lossless
    assert report.max_error_bound == 0
    assert report.bits_per_value < 2.0
    back = decompress(tmp_path / "a.zarr")
    for name in tree.children:
        np.testing.assert_array_equal(back[f"{name}/HCLASS"], tree[f"{name}/HCLASS"].values)
    (said,) = [f for f in answer.findings if f.check == "category"]
    assert (said.where, said.level) == ("HCLASS", Level.OK)
    assert not [f for f in answer.findings if f.check == "unknown_name"]
    assert verify(tree, tmp_path / "a.zarr").level <= Level.CAUTION
    assert json.loads((tmp_path / "a.zarr/record.json").read_bytes())["format"] == 4


def test_an_error_that_names_them_is_a_caution(tmp_path: Path) -> None:
    answer = compress(classified(2), tmp_path / "a.zarr", codec="plain", psnr={"HCLASS": 20})
    assert not answer.unwrap().variables["HCLASS"].lossless
    found = {f.check: f.level for f in answer.findings if f.where == "HCLASS"}
    assert found["lossy_category"] == Level.CAUTION
    assert "category" not in found


@given(
    hnp.arrays(np.float32, (7, 9), elements=st.sampled_from([-3.0, 0.0, 2.5, 9.0, 1e6, 118.0])),
    st.integers(0, 9),
)
def test_lists_of_values(values: Any, seed: int) -> None:
    flags = (np.random.default_rng(seed).random(values.shape) < 0.2).astype(np.uint8)
    values = np.where(flags != 0, np.float32(np.nan), values)
    spec = exact_grid(np.unique(values[flags == 0]), complete=True)
    assert spec is not None
    indices = quantise(values, flags, spec)
    np.testing.assert_array_equal(dequantise(indices, flags, QuantSpec.from_json(spec.to_json())), values)
    if "values" in spec.extra:
        assert indices.max() < len(spec.extra["values"])


def test_a_list_has_its_limits() -> None:
    uneven = np.float32([0, 1, 3])
    many = np.cumsum(np.arange(1, LISTED + 2)).astype(np.float32)
    for unique, complete, listed in (
        (uneven, True, True), (uneven, False, False), (np.arange(3, dtype=np.float32), True, False),
        (many[:-1], True, True), (many, True, False),
    ):  # fmt: skip
        spec = exact_grid(unique, complete=complete)
        assert spec is not None
        assert ("values" in spec.extra) == listed
    with pytest.raises(OverflowError, match="list"):
        quantise(np.float32([[2.0]]), np.uint8([[0]]), QuantSpec(1.0, 0.0, extra={"values": [0.0, 1.0, 3.0]}))


def test_integers_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    tree = classified(3)
    wide = np.full(tree["sweep_0/DBZH"].shape, 2**24 + 1, np.int32)
    tree["sweep_0/BITS"] = xr.Variable(("azimuth", "range"), wide)
    with pytest.raises(BadInput, match="BITS"):
        compress(tree, tmp_path / "a.zarr", codec="plain")


def test_real_flags(shared_data: Path, tmp_path: Path) -> None:
    tree = open_volume(shared_data / "radar" / "wl_SUR210819000847.RAWKPL0")
    report = compress(tree, tmp_path / "a.zarr", codec="quick").unwrap().variables["DB_HCLASS2"]
    assert report.lossless
    assert report.bits_per_value < 0.25
