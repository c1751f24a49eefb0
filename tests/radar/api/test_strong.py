"""Strong echo is kept within its bound, on its side of 45 dBZ, whatever codec, field and quality."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput, DamagedStore
from sciai.radar import compress, decompress, open_volume
from sciai.radar.api import verify
from sciai.radar.api.strong import STRONG, corrected, side_of, snapped, threshold
from sciai.radar.data.names import is_reflectivity
from sciai.radar.model.interface import QuantSpec
from sciai.radar.model.quantise import dequantise, quantise
from tests.radar.synthetic import one_field, smooth, sweep, volume

NOTHING: Any = None


def kept(before: Any, after: Any, flags: Any, bound: float) -> None:
    """Strong gates of a plane are within the bound, and the same gates reach 45 dBZ."""
    a, b = before[flags == 0].astype(np.float64), after[flags == 0].astype(np.float64)
    if not a.size:
        return
    strong = np.maximum(a, b) >= min(STRONG, a.max())
    assert abs(a - b)[strong].max() <= bound
    np.testing.assert_array_equal(a >= STRONG, b >= STRONG)
    assert abs(a.max() - b.max()) <= bound


def storm(rng: np.random.Generator, rays: int, gates: int, top: float, packed: float | None) -> xr.DataTree:
    """One sweep whose reflectivity reaches `top`, beside a copy of it that does not."""
    tree = sweep(rng, rays, gates, ("DBZH", "TH", "ZDR"), packed=packed)
    field = smooth(rng, rays, gates, 0.2)
    field = (top - 6 * (field.max() - field) ** 2).astype(np.float32)
    tree["DBZH"].values[:] = np.where(
        tree["DBZH_validity"] == 0, np.rint(field / packed) * packed if packed else field, np.nan
    )
    return xr.DataTree.from_dict({"/sweep_0": tree})


@given(
    st.integers(1, 12),
    st.integers(1, 20),
    st.integers(0, 2**32 - 1),
    st.floats(-20, 80),
    st.sampled_from([None, 0.5]),
    st.floats(1 / 32, 6),
    st.sampled_from([20.0, 35.0, 50.0]),
    st.sampled_from(["plain", "quick", "context"]),
)
def test_any_sweep(
    rays: int, gates: int, seed: int, top: float, packed: float | None, bound: float, psnr: float, codec: str
) -> None:
    tree = storm(np.random.default_rng(seed), rays, gates, top, packed)
    with tempfile.TemporaryDirectory() as folder:
        answer = compress(tree, f"{folder}/a.zarr", psnr=psnr, codec=codec, strong_echo=bound)
        back = decompress(f"{folder}/a.zarr")
    for var in ("DBZH", "TH"):
        before, after = tree[f"sweep_0/{var}"].values, back[f"sweep_0/{var}"].values
        flags = tree[f"sweep_0/{var}_validity"].values
        np.testing.assert_array_equal(np.isnan(after), flags != 0)
        kept(before, after, flags, bound)
        report = answer.unwrap().variables[var]
        assert report.strong_bound == bound
        assert report.psnr >= psnr
        assert report.csi["45"] in (None, 1.0) if report.csi else not (flags == 0).any()
    assert answer.unwrap().variables["ZDR"].strong_bound is None


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.5, 12),
    st.floats(1 / 32, 3),
    st.sampled_from([0.002, 0.05, 1.0]),
    st.floats(-30, 60),
    st.booleans(),
)
def test_corrections_alone(
    seed: int, step: float, bound: float, part: float, top: float, compiled: bool
) -> None:
    """Whatever a codec gave back: few wrong gates and many, near and far off, in any form."""
    rng = np.random.default_rng(seed)
    values = (top - rng.exponential(8, (23, 31))).astype(np.float32)
    flags = (rng.random(values.shape) < 0.1).astype(np.uint8)
    values[flags != 0] = np.nan
    spec = QuantSpec(step, 0.3)
    indices = quantise(snapped(values, flags, spec, bound), flags, spec)
    decoded = dequantise(indices, flags, spec)
    decoded += np.where(rng.random(values.shape) < part, rng.normal(0, 3, values.shape), 0).astype(np.float32)
    side = side_of(values, decoded, flags, bound, compiled=compiled)
    back = corrected(decoded, flags, side)
    np.testing.assert_array_equal(np.isnan(back), flags != 0)
    kept(values, back, flags, bound)
    if not side:
        assert back is decoded
    for damaged in (side[:-1], side[: len(side) // 2], side + b"\x7f\x01"):
        with contextlib.suppress(DamagedStore, IndexError):  # what reads planes makes one of the other
            corrected(decoded, flags, damaged)


def test_each_form_is_used() -> None:
    rng = np.random.default_rng(3)
    spec = QuantSpec(5.0, 17.5)
    forms = set()
    for values in (
        rng.normal(10, 3, (30, 40)),  # below 45 dBZ: only the strongest counts
        np.where(rng.random((30, 40)) < 0.1, 45 + rng.exponential(6, (30, 40)), 20),
        45 + rng.integers(0, 2, (200, 300)) * 3.0,
    ):
        values = values.astype(np.float32)
        flags = np.zeros(values.shape, np.uint8)
        indices = quantise(values, flags, spec)
        for compiled in (True, False):
            side = side_of(values, dequantise(indices, flags, spec), flags, 1.0, compiled=compiled)
            forms.add(side[0])
            assert len(side) < 20 or len(side) < values.size / 4
    assert forms == {0, 1, 2}


def test_gates_that_repeat_are_told_once() -> None:
    rng = np.random.default_rng(4)
    few = (40 + rng.exponential(5, (60, 50))).astype(np.float32)
    sizes = []
    for values in (few, np.repeat(few, 4, axis=1)):
        flags = np.zeros(values.shape, np.uint8)
        spec = QuantSpec(5.0, 17.5)
        decoded = dequantise(quantise(values, flags, spec), flags, spec)
        sizes.append(len(side_of(values, decoded, flags, 1.0)))
    assert sizes[1] < 1.4 * sizes[0]


def test_an_encoder_takes_the_nearest_index_for_strong_echo() -> None:
    values = np.float32([[10, 44, 46, 52.4, np.nan]])
    flags = np.uint8([[0, 0, 0, 0, 1]])
    near = snapped(values, flags, QuantSpec(5.0, 17.5), 1.0)
    np.testing.assert_array_equal(near, np.float32([[10, 44, 47.5, 52.5, np.nan]]))
    assert snapped(values, flags, QuantSpec(5.0, 17.5, bound=0.5), 1.0) is values
    assert threshold(values, flags) == 45
    assert threshold(values - 10, flags) == pytest.approx(42.4)
    assert threshold(values, np.full_like(flags, 2)) == np.inf


def test_what_counts_as_reflectivity(tmp_path: Path) -> None:
    assert is_reflectivity("TH")
    assert is_reflectivity("DBZH_CLEAN")
    assert is_reflectivity("corrected", "DBZ ")
    assert not is_reflectivity("CCORH", "dB")
    assert not is_reflectivity("VRADH", None)
    tree = volume(70, variables=("DBZH_2", "ECHO", "SNRH"))
    for name in tree.children:
        tree[f"{name}/ECHO"].attrs["units"] = "dBZ"
    variables = compress(tree, tmp_path / "a.zarr", codec="plain").unwrap().variables
    assert {v: r.strong_bound for v, r in variables.items()} == {"DBZH_2": 1.0, "ECHO": 1.0, "SNRH": None}
    assert variables["ECHO"].csi


def test_it_is_said_kept_and_can_be_left_out(tmp_path: Path) -> None:
    tree = storm(np.random.default_rng(5), 60, 90, 58.0, None)
    answer = compress(tree, tmp_path / "a.zarr", codec="quick")
    said = [f for f in answer.findings if f.check == "strong_echo"]
    assert [(f.level, f.where) for f in said] == [(Level.OK, "DBZH, TH")]
    record = json.loads((tmp_path / "a.zarr/record.json").read_bytes())
    assert record["format"] == 4
    assert record["variables"]["DBZH"]["strong_bound"] == 1.0
    assert record["variables"]["DBZH"]["strong_error"] <= 1.0
    assert "strong_bound" not in record["variables"]["ZDR"]
    proof = verify(tree, tmp_path / "a.zarr").unwrap().variables["DBZH"]
    assert proof.strong_bound == 1.0
    assert proof.strong_error == record["variables"]["DBZH"]["strong_error"]

    free = compress(tree, tmp_path / "b.zarr", codec="quick", strong_echo=None)
    report = free.unwrap().variables["DBZH"]
    assert report.strong_bound is None
    assert report.strong_error is not None
    assert report.strong_error > 1.0
    assert report.bits_per_value < answer.unwrap().variables["DBZH"].bits_per_value
    assert json.loads((tmp_path / "b.zarr/record.json").read_bytes())["format"] == 3
    assert not [f for f in free.findings if f.check == "strong_echo"]

    closer = compress(tree, tmp_path / "c.zarr", codec="quick", max_error=0.5).unwrap().variables["DBZH"]
    assert closer.strong_bound is None
    assert closer.max_error_bound == 0.5


def test_verify_notices_strong_echo_that_is_not_the_stores(tmp_path: Path) -> None:
    tree = storm(np.random.default_rng(6), 60, 90, 58.0, None)
    compress(tree, tmp_path / "a.zarr", codec="quick")
    change: dict[str, Callable[[Any], Any]] = {
        "strong echo": lambda v: np.where(v >= 57, v - 3, v),
        "crossed": lambda v: np.where((v > 44) & (v < 45), 45.2, v),
    }
    for words, how in change.items():
        other = tree.copy(deep=True)
        other["sweep_0/DBZH"].values[:] = how(other["sweep_0/DBZH"].values)
        refused = verify(other, tmp_path / "a.zarr")
        assert refused.level == Level.REFUSE
        assert any(words in f.message for f in refused.findings if f.check == "bound")


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), 1e-3])
def test_bounds_that_make_no_sense(tmp_path: Path, wrong: float) -> None:
    with pytest.raises(BadInput, match="strong_echo"):
        compress(one_field(np.full((3, 4), 20.0, np.float32)), tmp_path / "a.zarr", strong_echo=wrong)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("Jabbeke_bejab_20151009.h5", "quick"), ("MXPol_RHI_20120929_064418.nc", "context")],
)
def test_real_volumes(shared_data: Path, tmp_path: Path, name: str, codec: str) -> None:
    tree = open_volume(shared_data / "radar" / name)
    free = compress(tree, tmp_path / "b.zarr", codec=codec, strong_echo=None).unwrap()
    done = compress(tree, tmp_path / "a.zarr", codec=codec).unwrap()
    assert done.bits_per_value < 1.006 * free.bits_per_value
    back = decompress(tmp_path / "a.zarr")
    for child in tree.children:
        for var in ("DBZH", "TH"):
            if var in tree[child]:
                flags = tree[f"{child}/{var}_validity"].values
                kept(tree[f"{child}/{var}"].values, back[f"{child}/{var}"].values, flags, 1.0)
