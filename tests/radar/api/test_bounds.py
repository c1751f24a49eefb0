"""Quality is a guarantee: whatever the data, what was promised holds on what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import compress, decompress
from sciai.radar.api.common import quantiser_bytes
from sciai.radar.api.planes import file_fetcher
from sciai.radar.data.names import PSNR_PEAK
from sciai.radar.model.interface import QuantSpec
from sciai.radar.model.plain import PlainCodec
from tests.radar.synthetic import one_field, smooth, sweep, volume


def psnr_of(before: xr.DataTree, after: xr.DataTree, var: str) -> float:
    pairs = [(before[f"{n}/{var}"].values, after[f"{n}/{var}"].values) for n in before.children]
    error = np.concatenate([(b.astype(np.float64) - a).ravel() for a, b in pairs])
    mse = float(np.nanmean(error**2))
    return float("inf") if mse == 0 else 20 * np.log10(PSNR_PEAK[var]) - 10 * np.log10(mse)


@pytest.mark.parametrize("packed", [None, 0.5])
@pytest.mark.parametrize("psnr", [25.0, 35.0, 50.0, 70.0])
def test_psnr_holds_and_is_not_overdone(tmp_path: Path, psnr: float, packed: float | None) -> None:
    tree = volume(20, packed=packed)
    report = compress(tree, tmp_path / "a.zarr", psnr=psnr, codec="plain").unwrap().variables
    back = decompress(tmp_path / "a.zarr")
    for var in report:
        got = psnr_of(tree, back, var)
        assert got == pytest.approx(report[var].psnr, abs=1e-6) or got == report[var].psnr
        assert got >= psnr
        if packed is None:
            assert got < psnr + 1.5


@pytest.mark.parametrize("bound", [5.0, 1.0, 0.1, 0.01, 1e-4, 1e-6])
def test_max_error_holds(tmp_path: Path, bound: float) -> None:
    tree = volume(21)
    report = compress(tree, tmp_path / "a.zarr", psnr=5, max_error=bound, codec="plain").unwrap().variables
    back = decompress(tmp_path / "a.zarr")
    for name in tree.children:
        for var in report:
            error = abs(back[f"{name}/{var}"].values.astype(np.float64) - tree[f"{name}/{var}"].values)
            assert np.nanmax(error) <= bound


def test_targets_per_variable(tmp_path: Path) -> None:
    tree = volume(22)
    answer = compress(
        tree,
        tmp_path / "a.zarr",
        psnr={"ZDR": 50},
        max_error={"DBZH": 0.25},
        lossless=["VRADH"],
        codec="plain",
    )
    report = answer.unwrap().variables
    assert report["ZDR"].psnr >= 50
    assert report["DBZH"].max_error <= 0.25
    assert report["DBZH"].psnr_target == 35
    assert report["VRADH"].lossless
    assert report["VRADH"].max_error == 0
    back = decompress(tmp_path / "a.zarr")
    np.testing.assert_array_equal(back["sweep_2/VRADH"].values, tree["sweep_2/VRADH"].values)


@pytest.mark.parametrize("packed", [None, 0.5, 0.1, 1 / 3])
def test_lossless_is_bit_for_bit(tmp_path: Path, packed: float | None) -> None:
    tree = volume(23, packed=packed)
    if packed is not None:
        tree["sweep_0/DBZH"].values[5, 5] = -0.0  # a sign that no grid can hold
        tree["sweep_0/DBZH_validity"].values[5, 5] = 0
    report = compress(tree, tmp_path / "a.zarr", lossless=True, codec="plain").unwrap().variables
    back = decompress(tmp_path / "a.zarr")
    for name in tree.children:
        for var in report:
            a, b = (t[f"{name}/{var}"].values.view(np.int32) for t in (tree, back))
            valid = tree[f"{name}/{var}_validity"].values == 0
            np.testing.assert_array_equal(a[valid], b[valid])
    if packed == 0.5:
        assert report["ZDR"].step == 0.5
        assert report["ZDR"].bits_per_value < 4


AWKWARD: dict[str, Callable[[np.random.Generator], Any]] = {
    "constant": lambda r: np.full((12, 20), 7.25),
    "constant odd": lambda r: np.full((12, 20), 0.1),
    "two values": lambda r: r.choice([-1e30, 1e30], (12, 20)),
    "huge": lambda r: r.normal(size=(12, 20)) * 1e37,
    "tiny": lambda r: r.normal(size=(12, 20)) * 1e-40,
    "far from zero": lambda r: 1e6 + r.normal(size=(12, 20)),
    "all missing": lambda r: np.full((12, 20), np.nan),
    "one gate": lambda r: np.array([[3.5]]),
    "one ray": lambda r: r.normal(size=(1, 40)),
    "one range": lambda r: r.normal(size=(40, 1)),
    "one valid": lambda r: np.where(np.arange(240).reshape(12, 20) == 77, 5.5, np.nan),
    "infinite": lambda r: np.where(r.random((12, 20)) < 0.3, np.inf, r.normal(size=(12, 20))),
    "sentinel": lambda r: np.where(r.random((12, 20)) < 0.3, -9999.0, r.normal(size=(12, 20))),
    "noise": lambda r: r.random((50, 60)) * 90 - 30,
    "many gates": lambda r: smooth(r, 3, 3000),
}


@pytest.mark.parametrize("name", ["DBZH", "PHIDP", "SIGMA_X"])
@pytest.mark.parametrize("case", AWKWARD)
@pytest.mark.parametrize("target", [{}, {"max_error": 0.5}, {"lossless": True}])
def test_awkward_fields(tmp_path: Path, name: str, case: str, target: dict[str, Any]) -> None:
    values = AWKWARD[case](np.random.default_rng(5)).astype(np.float32)
    answer = compress(one_field(values, name), tmp_path / "a.zarr", codec="plain", **target)
    report = answer.unwrap().variables[name]
    back = decompress(tmp_path / "a.zarr")["sweep_0"]
    finite = np.isfinite(values)
    np.testing.assert_array_equal(np.isfinite(back[name].values), finite)
    np.testing.assert_array_equal(back[f"{name}_validity"].values == 0, finite)
    error = abs(back[name].values[finite].astype(np.float64) - values[finite])
    assert error.max(initial=0) == report.max_error
    if target.get("lossless"):
        assert report.max_error == 0
    if "max_error" in target:
        assert report.max_error <= 0.5
    assert report.psnr >= 35


@given(
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.floats(0.001, 10),
    st.sampled_from([None, 0.25, 1.0]),
)
def test_any_small_sweep(rays: int, gates: int, seed: int, bound: float, packed: float | None) -> None:
    import tempfile

    rng = np.random.default_rng(seed)
    tree = xr.DataTree.from_dict({"/sweep_0": sweep(rng, rays, gates, ("DBZH", "VRADH"), packed=packed)})
    with tempfile.TemporaryDirectory() as folder:
        compress(tree, f"{folder}/a.zarr", max_error=bound, codec="plain")
        back = decompress(f"{folder}/a.zarr")
    for var in ("DBZH", "VRADH"):
        flags = tree[f"sweep_0/{var}_validity"].values
        np.testing.assert_array_equal(back[f"sweep_0/{var}_validity"].values, flags)
        error = abs(back[f"sweep_0/{var}"].values - tree[f"sweep_0/{var}"].values)[flags == 0]
        assert error.max(initial=0) <= bound


class WrongCodec(PlainCodec):
    """Breaks every promise in turn."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def decode_mask(self, var: str, payload: bytes, ctx: Any) -> Any:
        mask = super().decode_mask(var, payload, ctx).copy()
        mask[0, 0] = (mask[0, 0] + (self.fault == "mask")) % 3
        return mask

    def decode_indices(self, var: str, payload: bytes, validity: Any, spec: QuantSpec, ctx: Any) -> Any:
        return super().decode_indices(var, payload, validity, spec, ctx) + np.int32(self.fault == "indices")

    def reconstruct(self, var: str, indices: Any, validity: Any, spec: QuantSpec, ctx: Any) -> Any:
        values = super().reconstruct(var, indices, validity, spec, ctx)
        if self.fault == "error":
            values = values + np.float32(0.6)
        elif self.fault == "nan":
            values[validity == 0] = np.nan
        elif self.fault == "psnr":
            values = values + np.float32(3.0)
        elif self.fault == "invalid":
            values = np.nan_to_num(values)
        return values


@pytest.mark.parametrize("fault", ["mask", "indices", "error", "nan", "invalid", "psnr"])
def test_a_wrong_codec_is_found_out_and_repaired(tmp_path: Path, fault: str) -> None:
    tree = volume(24)
    bound = None if fault == "psnr" else 0.5
    answer = compress(tree, tmp_path / "a.zarr", max_error=bound, codec=WrongCodec(fault))
    report = answer.unwrap().variables
    back = decompress(tmp_path / "a.zarr")
    for var in report:
        assert psnr_of(tree, back, var) >= 35
        assert report[var].max_error <= 0.5 or fault == "psnr"
        for name in tree.children:
            np.testing.assert_array_equal(back[f"{name}/{var}_validity"], tree[f"{name}/{var}_validity"])
    assert fault == "psnr" or all(r.repaired for r in report.values())


def test_only_what_missed_its_psnr_is_coded_again(
    tmp_path: Path, neighbour_codec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VRADH is planned too coarse at first; ZDR is coded with its help; DBZH is neither."""
    planned: list[float] = []
    coded: list[str] = []
    plan, encode = neighbour_codec.plan, neighbour_codec.encode_values

    def coarse(self: Any, var: str, sweeps: Any, **how: Any) -> QuantSpec:
        if var == "VRADH":
            planned.append(how["psnr"])
            how["psnr"] -= 3 if len(planned) == 1 else 0
        return plan(self, var, sweeps, **how)  # type: ignore[no-any-return]

    def count(self: Any, var: str, *rest: Any) -> Any:
        coded.append(var)
        return encode(self, var, *rest)

    monkeypatch.setattr(neighbour_codec, "plan", coarse)
    monkeypatch.setattr(neighbour_codec, "encode_values", count)
    tree = volume(27)
    answer = compress(tree, tmp_path / "a.zarr", codec="context")
    assert len(planned) == 2
    assert planned[1] > 37
    assert {var: coded.count(var) for var in set(coded)} == {"DBZH": 3, "VRADH": 6, "ZDR": 6}
    back = decompress(tmp_path / "a.zarr")
    for var, report in answer.unwrap().variables.items():
        assert psnr_of(tree, back, var) == pytest.approx(report.psnr)
        assert report.psnr >= 35
        assert report.mask_bits_per_value > 0
    chunks = sum(
        p.stat().st_size for v in ("DBZH", "ZDR", "VRADH") for p in (tmp_path / "a.zarr").glob(f"*/{v}*/0.0")
    )
    said_once = quantiser_bytes(file_fetcher(tmp_path / "a.zarr"))
    assert set(said_once) == {"DBZH", "ZDR", "VRADH"}
    assert answer.unwrap().field_bytes == chunks + sum(said_once.values())


def test_a_mask_that_the_codec_cannot_code_goes_to_another(
    tmp_path: Path, neighbour_codec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = neighbour_codec.encode_mask

    def overflowing(self: Any, var: str, validity: Any, ctx: Any) -> bytes:
        if var == "ZDR":
            raise OverflowError("a mask took more bits than it has gates")
        return encode(self, var, validity, ctx)  # type: ignore[no-any-return]

    monkeypatch.setattr(neighbour_codec, "encode_mask", overflowing)
    tree = volume(28)
    reports = compress(tree, tmp_path / "a.zarr", codec="context").unwrap().variables
    assert {v: r.mask_codec for v, r in reports.items()} == {
        "DBZH": "context", "VRADH": "context", "ZDR": "plain",
    }  # fmt: skip
    assert {v: r.repaired for v, r in reports.items()} == {"DBZH": 0, "VRADH": 0, "ZDR": len(tree.children)}
    back = decompress(tmp_path / "a.zarr")
    for name in tree.children:
        np.testing.assert_array_equal(back[f"{name}/ZDR_validity"], tree[f"{name}/ZDR_validity"])


def test_auto_takes_the_smaller(tmp_path: Path, neighbour_codec: Any) -> None:
    """The test's codec adds 8 bytes to each plane of values, so that plain always wins."""
    answer = compress(volume(25, ((36, 50),) * 6), tmp_path / "a.zarr")
    for report in answer.unwrap().variables.values():
        assert "plain" in report.codec
        assert report.tried["plain"] < report.tried["context"]
    assert "unlike_training" in {f.check for f in answer.findings}
    assert answer.level == Level.CAUTION


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"psnr": -1}, "positive"),
        ({"psnr": float("nan")}, "positive"),
        ({"psnr": {"XYZ": 30}}, "XYZ"),
        ({"max_error": {"DBZH": 0}}, "positive"),
        ({"lossless": ["NOPE"]}, "NOPE"),
        ({"codec": "zip"}, "zip"),
    ],
)
def test_targets_that_make_no_sense(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        compress(volume(26), tmp_path / "a.zarr", **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["psnr", "max_error", "strong_echo"])
@pytest.mark.parametrize("wrong", ["35", [35.0], True, float("nan"), -1.0])
def test_what_is_no_positive_number_is_named(tmp_path: Path, how: str, wrong: Any) -> None:
    with pytest.raises(BadInput, match=how) as told:
        compress(volume(1), tmp_path / "a.zarr", codec="plain", **{how: wrong})
    assert repr(wrong) in str(told.value) or str(wrong) in str(told.value)
    given = wrong if how == "strong_echo" else {"DBZH": wrong}
    with pytest.raises(BadInput, match="DBZH" if how != "strong_echo" else how):
        compress(volume(1), tmp_path / "a.zarr", codec="plain", **{how: given})
    assert not list(tmp_path.iterdir())
