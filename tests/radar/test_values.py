"""Codes for no value left among the values, values that cannot be, and volumes that are no originals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Answer, Finding, Level
from sciai.radar import compress, decompress, open_volume, simulate
from sciai.radar.api import Compressed, verify
from sciai.radar.data import write_cfradial2, write_odim
from sciai.radar.data.limits import _LIMITS, plausible
from sciai.radar.data.names import PSNR_PEAK
from tests.radar.synthetic import smooth

QUESTIONED = ("fill_value", "undetect", "implausible", "second_hand")


def said(answer: Answer[Compressed]) -> dict[str, Finding]:
    return {f.check: f for f in answer.findings if f.check in QUESTIONED}


def echo(noise: float = 0.05, part: float = 0.4) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Reflectivity from about -20 to 50 dBZ on a grid of half a dB, and where there is none."""
    rng = np.random.default_rng(5)
    field = smooth(rng, 60, 120, noise)
    dbz = (np.round((15 + 20 * field) * 2) / 2).astype(np.float32)
    return np.clip(dbz, -25, 55), field < np.quantile(field, part)


def tree(encoding: dict[str, Any] | None = None, **fields: np.ndarray[Any, Any]) -> xr.DataTree:
    """One sweep without companions, as another program hands it over."""
    data = {
        name: xr.Variable(("azimuth", "range"), values, {}, encoding or {}) for name, values in fields.items()
    }
    return xr.DataTree.from_dict({"/sweep_0": xr.Dataset(data, {"azimuth": np.arange(60) * 6.0})})


def run(volume: Any, folder: Path, **how: Any) -> Answer[Compressed]:
    return compress(volume, folder / "a.zarr", codec="plain", overwrite=True, **how)


def test_every_field_with_a_peak_has_limits_and_lies_within_them() -> None:
    assert set(_LIMITS) == set(PSNR_PEAK)
    for name, peak in PSNR_PEAK.items():
        low, high = plausible(name) or (np.nan, np.nan)
        assert low < 0 <= peak < high - low


@pytest.mark.parametrize("fill", [-9999.0, -999.0, -32768.0, -327.68, 1e20, 9.96921e36, 255.0])
def test_a_fill_value_that_nobody_named(tmp_path: Path, fill: float) -> None:
    dbz, none = echo()
    answer = run(
        tree(DBZH=np.where(none, np.float32(fill), dbz), RAIN=np.where(none, fill, 3.0 * dbz)), tmp_path
    )
    found = said(answer)
    assert set(found) == {"fill_value"}
    assert found["fill_value"].level == Level.CAUTION
    assert found["fill_value"].where == ("DBZH, RAIN" if abs(fill) != 255 else "DBZH")
    for word in (f"{fill:.6g}", "40.0 % of its gates", "-95 to 90 dBZ", "_FillValue", "NaN", "open_volume"):
        assert word in found["fill_value"].message
    report = answer.unwrap().variables["DBZH"]
    assert report.fill_value == pytest.approx(fill)
    assert report.fill_fraction == report.beyond_fraction == pytest.approx(0.4, abs=1e-3)
    back = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["sweep_0/DBZH_validity"]
    assert (back.values == 0).all()  # said, and never changed


def test_once_it_is_named_nothing_is_said(tmp_path: Path) -> None:
    dbz, none = echo()
    assert not said(run(tree(DBZH=np.where(none, np.float32(np.nan), dbz)), tmp_path))
    named = tree(DBZH=np.where(none, np.float32(-9999), dbz))
    named["sweep_0/DBZH"].attrs["_FillValue"] = np.float32(-9999)
    answer = run(named, tmp_path)
    assert not said(answer)
    assert answer.unwrap().variables["DBZH"].valid_fraction == pytest.approx(0.6, abs=1e-3)


def test_two_fill_values_and_two_gates(tmp_path: Path) -> None:
    dbz, none = echo()
    both = np.where(none, np.float32(-9999), dbz)
    both[:10] = np.where(none[:10], np.float32(-8888), dbz[:10])
    assert "-9999" in said(run(tree(DBZH=both), tmp_path))["fill_value"].message
    few = dbz.copy()
    few[3, 4:6] = -9999
    assert "DBZH (0.028 % of its gates)" in said(run(tree(DBZH=few), tmp_path))["fill_value"].message


def test_a_field_in_a_unit_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    percent = (90 + 8 * smooth(rng, 60, 120, 0.01)).astype(np.float32)
    found = said(run(tree(RHOHV=percent), tmp_path))
    assert set(found) == {"implausible"}
    for word in ("100.0 % of its gates", "RHOHV can be (-0.5 to 2)", "unit"):
        assert word in found["implausible"].message
    stray = np.full((60, 120), 0.9, np.float32) + percent / 2000
    stray[0, :3] = [2.1, 2.2, 2.3]  # a few, and not far off: noise
    assert not said(run(tree(RHOHV=stray), tmp_path))
    stray[0, 0] = 1e6
    assert "1e+06" in said(run(tree(RHOHV=stray), tmp_path))["implausible"].message


def test_fields_about_which_nothing_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    height = (800 + 700 * smooth(rng, 60, 120, 0.01)).astype(np.float32)  # spans more than -999 is away
    height[:20] = -999
    assert not said(run(tree(HEIGHT=height), tmp_path))
    height[:20] = 0
    assert not said(run(tree(HEIGHT=height + 9000 * (height > 0)), tmp_path))
    classes = rng.integers(0, 5, (60, 120)).astype(np.float32)
    classes[:20] = -9999
    assert not said(run(tree(CLASS=classes), tmp_path))  # bit for bit anyway


PACKED = {"scale_factor": 0.5, "add_offset": -33.0, "dtype": np.dtype("uint8")}


def test_no_echo_left_among_the_values(tmp_path: Path) -> None:
    dbz, none = echo()
    wind = np.where(none, np.float32(-33), np.clip(dbz / 3, -20, 20))
    answer = run(tree(PACKED, DBZH=np.where(none, np.float32(-33), dbz), VRADH=wind), tmp_path)
    found = said(answer)
    assert set(found) == {"undetect"}
    assert found["undetect"].where == "DBZH, VRADH"
    assert "DBZH (-33 in 40.0 % of its gates)" in found["undetect"].message
    assert "sciai.radar.open_volume" in found["undetect"].message
    report = answer.unwrap().variables["VRADH"]
    signed = {
        **PACKED,
        "dtype": np.dtype("int16"),
    }  # codes of 0 to 255 in a type with a sign, as CfRadial1 does
    assert set(said(run(tree(signed, DBZH=np.where(none, np.float32(-33), dbz)), tmp_path))) == {"undetect"}
    assert (report.no_echo_value, report.no_echo_fraction) == (-33.0, pytest.approx(0.4, abs=1e-3))


def test_and_what_only_resembles_it(tmp_path: Path) -> None:
    dbz, none = echo()
    quiet = np.where(none, np.float32(-33), dbz)
    # little of it; another value than the lowest code; no reflectivity and not packed; width 0 is a width
    few = np.where(echo(part=0.04)[1], np.float32(-33), dbz)
    assert not said(run(tree(PACKED, DBZH=few), tmp_path))
    more = np.where(echo(part=0.15)[1], np.float32(-33), dbz)
    assert set(said(run(tree(PACKED, DBZH=more), tmp_path))) == {"undetect"}
    assert not said(run(tree(DBZH=more), tmp_path))
    four = xr.DataTree.from_dict(
        {f"/sweep_{i}": tree(DBZH=quiet if i == 0 else dbz)["sweep_0"].to_dataset() for i in range(4)}
    )
    assert not said(run(four, tmp_path))  # in one sweep of four, and not packed
    assert not said(run(tree(PACKED, VRADH=np.where(none, np.float32(-20), np.clip(dbz, -19, 19))), tmp_path))
    assert not said(run(tree(VRADH=np.where(none, np.float32(-33), np.clip(dbz, -19, 19))), tmp_path))
    flat = {**PACKED, "add_offset": 0.0}
    assert not said(run(tree(flat, WRADH=np.where(none, np.float32(0), np.clip(dbz, 0.5, 9))), tmp_path))
    # clipped at both sides: noise
    noise = np.clip(100 * echo(noise=3.0)[0], -15, 15).astype(np.float32)
    own = {"scale_factor": 0.1, "add_offset": -15.0, "dtype": np.dtype("uint16")}
    assert not said(run(tree(own, KDP=noise), tmp_path))
    # a source that tells of gates below noise has not left them among the values
    told = tree(PACKED, DBZH=quiet)
    flags = np.zeros((60, 120), np.uint8)
    flags[0, 0] = 1
    told["sweep_0/DBZH_validity"] = xr.DataArray(flags, dims=("azimuth", "range"))
    assert not said(run(told, tmp_path))


@pytest.mark.parametrize(
    ("reader", "name", "check"),
    [
        ("open_cfradial1_datatree", "MXPol_RHI_20120929_064418.nc", "fill_value"),
        ("open_iris_datatree", "wl_SUR210819000847.RAWKPL0", "fill_value"),
        ("open_rainbow_datatree", "DX50_20191021_0824__2019102108240900RhoHV.vol", "undetect"),
        ("open_rainbow_datatree", "DX50_20231127_1740__2023112717401100dBZ.vol", "undetect"),
        ("open_nexradlevel2_datatree", "KVBX20190501_093433_V06", "undetect"),
    ],
)
def test_trees_of_xradar(shared_data: Path, tmp_path: Path, reader: str, name: str, check: str) -> None:
    import xradar

    path = shared_data / "radar" / name
    sweep = getattr(xradar.io, reader)(str(path))["sweep_0"].to_dataset()
    assert set(said(run(xr.DataTree.from_dict({"/sweep_0": sweep}), tmp_path))) == {check}
    ours = open_volume(path)
    assert not said(run(xr.DataTree.from_dict({"/sweep_0": ours["sweep_0"].to_dataset()}), tmp_path))


def test_a_file_that_says_so_itself_is_not_opened_again(shared_data: Path, tmp_path: Path) -> None:
    found = said(run(shared_data / "radar" / "CastorBay_ukcas_20151010.h5", tmp_path))
    assert found["undetect"].where == "TH"
    assert "open_volume" not in found["undetect"].message


@pytest.fixture
def lossy(tmp_path: Path) -> Path:
    storm = simulate(seed=3, shape=(2, 36, 60), variables=["DBZH", "VRADH"])
    compress(storm, tmp_path / "first.zarr", codec="plain")
    return tmp_path / "first.zarr"


def test_a_decoded_volume_is_no_original(lossy: Path, tmp_path: Path) -> None:
    report = xr.open_datatree(lossy, engine="zarr")
    back = decompress(lossy)
    assert "history" not in report.attrs
    write_cfradial2(back, tmp_path / "back.nc")
    write_odim(back, tmp_path / "back.h5")
    back.to_netcdf(tmp_path / "xarray.nc")
    group = xr.open_dataset(lossy, engine="zarr", group="sweep_0")
    with xr.open_datatree(tmp_path / "xarray.nc") as opened:
        by_xarray = opened.load()
    for given in (
        *(lossy, back, report, open_volume(lossy), group),
        *(tmp_path / "back.nc", tmp_path / "back.h5", by_xarray),
    ):
        found = said(run(given, tmp_path))
        assert set(found) == {"second_hand"}
        assert found["second_hand"].level == Level.CAUTION
        for word in ("not an original", "lossy store: DBZH 3", "VRADH 3", "largest error", "the original"):
            assert word in found["second_hand"].message
        assert found["second_hand"].message.count("lossy store") == 1
    assert set(said(verify(tmp_path / "back.nc", lossy))) == {"second_hand"}


def test_trees_made_of_decoded_fields_are_no_originals(lossy: Path, tmp_path: Path) -> None:
    run(decompress(lossy), tmp_path, psnr=30)
    back = decompress(tmp_path / "a.zarr")
    (tmp_path / "b").mkdir()
    sweep = back["sweep_0"].to_dataset(inherit=False)
    by_hand = xr.Dataset({"DBZH": sweep.DBZH.isel(azimuth=slice(3, 20))})
    for given in (sweep, by_hand, xr.DataTree.from_dict({"/sweep_0": by_hand})):
        assert said(run(given, tmp_path / "b"))["second_hand"].message.count("lossy store") == 2
    by_hand.to_netcdf(tmp_path / "own.nc")  # what is noted in memory is nothing that a file has to hold
    compress(simulate(seed=3, shape=(2, 36, 60)), tmp_path / "same.zarr", codec="plain", lossless=True)
    assert not said(run(decompress(tmp_path / "same.zarr")["sweep_0"].to_dataset(), tmp_path / "b"))


def test_generations_are_counted(lossy: Path, tmp_path: Path) -> None:
    run(xr.open_datatree(lossy, engine="zarr"), tmp_path, psnr=30)
    (tmp_path / "b").mkdir()
    found = said(run(tmp_path / "a.zarr", tmp_path / "b"))
    assert found["second_hand"].message.count("lossy store") == 2
    third = decompress(tmp_path / "b" / "a.zarr")
    assert third.attrs["history"].count("lossy store") == 3


def test_what_is_lossless_is_as_good_as_the_original(tmp_path: Path) -> None:
    storm = simulate(seed=3, shape=(2, 36, 60), variables=["DBZH"])
    compress(storm, tmp_path / "same.zarr", codec="plain", lossless=True)
    back = decompress(tmp_path / "same.zarr")
    assert back.attrs == storm.attrs
    assert not said(run(back, tmp_path))
    assert not said(run(xr.open_datatree(tmp_path / "same.zarr", engine="zarr"), tmp_path))


def test_history_of_the_source_is_kept(tmp_path: Path) -> None:
    storm = simulate(seed=3, shape=(1, 36, 60), variables=["DBZH"])
    storm.attrs["history"] = "calibrated by hand"
    run(storm, tmp_path)
    lines = decompress(tmp_path / "a.zarr").attrs["history"].splitlines()
    assert lines[0] == "calibrated by hand"
    assert len(lines) == 2
