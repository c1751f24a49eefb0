"""The store as a user meets it: written by compress, read by xarray, zarr and decompress."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import compress, decompress, simulate
from sciai.radar.api import info, verify
from sciai.radar.data import write_cfradial2, write_odim, write_pawr
from tests.radar.synthetic import one_field, volume


def rest_of(tree: xr.DataTree, fields: set[str]) -> xr.DataTree:
    """All but the fields, with attributes as JSON has them."""
    nodes = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        dataset = dataset.drop_vars([f for f in fields if f in dataset])
        for variable in dataset.variables.values():
            for key, value in variable.attrs.items():
                variable.attrs[key] = value.tolist() if hasattr(value, "tolist") else value
        nodes[node.path] = dataset
    return xr.DataTree.from_dict(nodes)


def as_it_was(tree: xr.DataTree) -> xr.DataTree:
    """Without the line that decoding a lossy store adds to the history."""
    before, _, line = str(tree.attrs["history"]).rpartition("\n")
    assert line.startswith("decoded by sciai.radar from a lossy store: DBZH 3")
    tree = tree.copy()
    tree.attrs = {
        k: before if k == "history" else v for k, v in tree.attrs.items() if before or k != "history"
    }
    return tree


@pytest.mark.parametrize("codec", ["plain", "context"])
def test_everything_comes_back(tmp_path: Path, neighbour_codec: Any, codec: str) -> None:
    tree = volume(1, ((36, 50), (36, 50), (24, 33), (1, 7)))
    answer = compress(tree, tmp_path / "a.zarr", codec=codec)
    assert answer.level <= Level.CAUTION
    reports = answer.unwrap().variables
    assert {r.codec for r in reports.values()} == {codec}
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    loaded = as_it_was(decompress(tmp_path / "a.zarr"))
    xr.testing.assert_identical(lazy.load(), loaded)
    xr.testing.assert_identical(rest_of(tree, set(reports)), rest_of(loaded, set(reports)))
    for name in tree.children:
        for var, report in reports.items():
            before, after = tree[f"{name}/{var}"], loaded[f"{name}/{var}"]
            assert after.dtype == np.float32
            assert after.attrs == before.attrs
            np.testing.assert_array_equal(np.isnan(after), tree[f"{name}/{var}_validity"] != 0)
            assert float(abs(after - before).max().fillna(0)) <= report.max_error
    for var, report in reports.items():
        error = np.concatenate(
            [(loaded[f"{n}/{var}"].values - tree[f"{n}/{var}"].values).ravel() for n in tree.children]
        ).astype(np.float64)
        mse = np.nanmean(error**2)
        assert report.psnr == pytest.approx(20 * np.log10(report.psnr_peak) - 10 * np.log10(mse), abs=1e-6)
        assert report.psnr >= 35
        assert answer.estimate is not None
        assert answer.estimate.spread[var] == np.nanmax(abs(error)) == report.max_error


def test_read_in_another_process(tmp_path: Path) -> None:
    """Only xarray is imported there: the codec is found through its entry point."""
    compress(volume(2), tmp_path / "a.zarr", codec="plain")
    code = (
        "import sys, xarray as xr\n"
        f"tree = xr.open_datatree({str(tmp_path / 'a.zarr')!r}, engine='zarr')\n"
        "print(float(tree['sweep_1/DBZH'].max()))\n"
        "print([m for m in ('torch', 'pytorch_lightning', 'compressai', 'numba') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    value, heavy = done.stdout.split("\n")[:2]
    assert float(value) == float(decompress(tmp_path / "a.zarr")["sweep_1/DBZH"].max())
    assert heavy == "[]"


def test_group_selection_and_zarr_see_the_same(tmp_path: Path) -> None:
    compress(volume(3), tmp_path / "a.zarr", codec="plain")
    whole = decompress(tmp_path / "a.zarr")["sweep_2/ZDR"].values
    one = xr.open_dataset(tmp_path / "a.zarr", engine="zarr", group="sweep_2")
    np.testing.assert_array_equal(one["ZDR"].values, whole)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(group["sweep_2/ZDR"][5:7, ::3], whole[5:7, ::3])
    np.testing.assert_array_equal(one["ZDR"].isel(azimuth=4, range=[1, 5, 2]), whole[4, [1, 5, 2]])


def test_a_store_in_memory_and_below_a_group(tmp_path: Path) -> None:
    """Chunks find their neighbours whatever the kind of Zarr store and wherever it hangs."""
    compress(volume(4), tmp_path / "a.zarr", codec="plain")
    memory = zarr.storage.MemoryStore()
    files = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    for key, path in files.items():
        data = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(path.read_bytes())
        zarr.core.sync.sync(memory.set(key, data))
    group = zarr.open_group(memory, path="a.zarr", mode="r")
    wanted = decompress(tmp_path / "a.zarr")["sweep_0/VRADH"].values
    np.testing.assert_array_equal(group["sweep_0/VRADH"][:], wanted)


def test_record_and_info(tmp_path: Path) -> None:
    answer = compress(volume(7), tmp_path / "a.zarr", codec="plain")
    value, said = answer.unwrap(), info(tmp_path / "a.zarr")
    on_disk = sum(p.stat().st_size for p in (tmp_path / "a.zarr").rglob("*") if p.is_file())
    assert value.store_bytes == on_disk == sum(said["bytes"].values())
    assert said["bits_per_value"] == pytest.approx(value.bits_per_value)
    assert said["intact"]
    assert said["sweeps"] == 3
    assert said["gates"] == value.gates == 3 * (36 * 50 * 2 + 24 * 33)
    assert said["variables"]["DBZH"]["psnr"] == value.variables["DBZH"].psnr
    assert said["attributes"]["history"] == "ein Test, 試験"
    json.dumps(answer.to_dict())


def test_verify_agrees_and_notices_another_volume(tmp_path: Path) -> None:
    tree = volume(8)
    answer = compress(tree, tmp_path / "a.zarr", codec="plain")
    proof = verify(tree, tmp_path / "a.zarr")
    assert proof.level <= Level.CAUTION
    for var, report in proof.unwrap().variables.items():
        assert report.psnr == pytest.approx(answer.unwrap().variables[var].psnr)
        assert report.max_error == answer.unwrap().variables[var].max_error
    other = tree.copy(deep=True)
    flags = other["sweep_1/ZDR_validity"].values
    flags[0, 0] = (flags[0, 0] + 1) % 3
    refused = verify(other, tmp_path / "a.zarr")
    assert refused.level == Level.REFUSE
    assert [f.where for f in refused.findings if f.check == "mask"] == ["sweep_1/ZDR"]
    assert {f.check for f in verify(volume(8, ((10, 50),) * 3), tmp_path / "a.zarr").findings} >= {
        "missing_part"
    }


@pytest.mark.parametrize("name", ["azimuth", "elevation", "range", "time"])
def test_verify_looks_at_coordinates_too(tmp_path: Path, name: str) -> None:
    tree = volume(8)
    compress(tree, tmp_path / "a.zarr", codec="plain")
    nodes = {n.path: n.to_dataset(inherit=False) for n in tree.subtree}
    known = nodes["/sweep_1"][name]
    other = known.copy(data=known.values[::-1].copy() if name != "elevation" else known.values + 0.5)
    nodes["/sweep_1"] = nodes["/sweep_1"].assign_coords({name: other})
    answer = verify(xr.DataTree.from_dict(nodes), tmp_path / "a.zarr")
    # times alone may be what a format does not keep
    told = "geometry" if name == "time" else "missing_part"
    assert answer.level == (Level.CAUTION if name == "time" else Level.REFUSE)
    assert [(f.check, f.where) for f in answer.findings if f.level > Level.OK] == [(told, f"sweep_1/{name}")]
    assert "differs by up to" in str(answer.findings)


def test_verify_allows_what_formats_round(tmp_path: Path) -> None:
    volumes = simulate(seed=2, shape=(2, 36, 60))
    compress(volumes, tmp_path / "a.zarr", codec="plain", lossless=True)
    for write, name in ((write_cfradial2, "a.nc"), (write_odim, "a.h5"), (write_pawr, "raw")):
        written = write(decompress(tmp_path / "a.zarr"), tmp_path / name)
        assert [str(f) for f in verify(written, tmp_path / "a.zarr").findings if f.level > Level.OK] == []


def test_verify_says_what_the_store_has_more(tmp_path: Path) -> None:
    tree = volume(8)
    compress(tree, tmp_path / "a.zarr", codec="plain")
    nodes = {n.path: n.to_dataset(inherit=False) for n in tree.subtree if n.path != "/sweep_2"}
    nodes["/sweep_0"] = nodes["/sweep_0"].drop_vars(["ZDR", "ZDR_validity"])
    findings = verify(xr.DataTree.from_dict(nodes), tmp_path / "a.zarr").findings
    missing = {f.where: f.message for f in findings if f.check == "missing_part"}
    assert sorted(missing) == ["sweep_0", "sweep_2"]
    assert "sweep_0/ZDR, which the volume lacks" in missing["sweep_0"]


def test_sweeps_named_as_other_software_does(tmp_path: Path) -> None:
    tree = volume(8)
    sweep = [tree[f"sweep_{n}"].to_dataset(inherit=False) for n in range(2)]
    padded = xr.DataTree.from_dict({"/": tree.to_dataset(), "/sweep_0001": sweep[0], "/sweep_0002": sweep[1]})
    value = compress(padded, tmp_path / "a.zarr", codec="plain").unwrap()
    assert sorted(decompress(tmp_path / "a.zarr").children) == ["sweep_1", "sweep_2"]
    assert {p.name for p in (tmp_path / "a.zarr").iterdir() if p.is_dir()} == {"sweep_1", "sweep_2"}
    assert value.store_bytes == sum(p.stat().st_size for p in (tmp_path / "a.zarr").rglob("*") if p.is_file())
    assert verify(padded, tmp_path / "a.zarr").level <= Level.CAUTION


def test_a_file_beside_a_store_is_not_of_it(tmp_path: Path) -> None:
    compress(volume(8), tmp_path / "a.zarr", codec="plain")
    (tmp_path / "a.zarr/notes.txt").write_text("mine", encoding="utf-8")
    assert info(tmp_path / "a.zarr")["intact"]
    assert verify(volume(8), tmp_path / "a.zarr").level <= Level.CAUTION


def test_previous_volume(tmp_path: Path, neighbour_codec: Any) -> None:
    first, second = volume(9), volume(10)
    compress(first, tmp_path / "t0.zarr", codec="context")
    answer = compress(second, tmp_path / "t1.zarr", codec="context", previous=tmp_path / "t0.zarr")
    assert answer.unwrap().previous == "../t0.zarr"
    wanted = decompress(tmp_path / "t1.zarr")
    assert verify(second, tmp_path / "t1.zarr").level <= Level.CAUTION
    (tmp_path / "moved").mkdir()
    (tmp_path / "t0.zarr").rename(tmp_path / "moved/t0.zarr")
    (tmp_path / "t1.zarr").rename(tmp_path / "moved/t1.zarr")
    xr.testing.assert_identical(decompress(tmp_path / "moved/t1.zarr"), wanted)


def test_text_dates_and_odd_variables(tmp_path: Path) -> None:
    tree = volume(11)
    sweep = tree["sweep_0"].to_dataset(inherit=False)
    sweep["words"] = ("range", np.array([f"gate {k}" for k in range(50)]))
    sweep["objects"] = ("azimuth", np.array(["ä" * (k % 3) for k in range(36)], dtype=object))
    sweep["raw"] = ("azimuth", np.array([b"ab", b"c"] * 18))
    sweep["flag"] = ("azimuth", np.arange(36) % 2 == 0)
    sweep["classes"] = (("range",), np.arange(50, dtype=np.uint8))
    sweep["minus_zero"] = ((), -0.0)
    sweep["nothing"] = ((), np.nan)
    sweep["infinite"] = ("azimuth", np.full(36, np.inf, np.float32))
    sweep["when"] = ("azimuth", np.datetime64("2000-01-01", "ns") + np.arange(36).astype("m8[ns]"))
    sweep["never"] = ("azimuth", np.full(36, np.datetime64("NaT", "ns")))
    sweep["empty"] = ("none", np.zeros(0, np.int16))
    sweep["cube"] = (("azimuth", "range", "spectrum"), np.random.default_rng(0).random((36, 50, 3)))
    nodes = {n.path: n.to_dataset(inherit=False) for n in tree.subtree} | {"/sweep_0": sweep}
    nodes["/radar_parameters"] = xr.Dataset({"beam_width": 1.2, "name": "X"}, attrs={"more": [1, 2.5, "x"]})
    tree = xr.DataTree.from_dict(nodes)
    compress(tree, tmp_path / "a.zarr", codec="plain")
    back = as_it_was(decompress(tmp_path / "a.zarr"))
    fields = {"DBZH", "ZDR", "VRADH"}
    xr.testing.assert_identical(rest_of(back, fields), rest_of(tree, fields))
    assert np.signbit(back["sweep_0/minus_zero"].item())
    assert back["sweep_0/cube"].dtype == np.float64


@pytest.mark.parametrize("unknown", [False, True])
def test_times_that_were_fractions_open_again(tmp_path: Path, unknown: bool) -> None:
    attrs = {"units": "milliseconds since 1970-01-01T00:00:00Z"}
    number = 1603086501513.3 + 44.1 * np.arange(36)
    if unknown:
        number[3] = np.nan
    time = xr.conventions.decode_cf_variable("time", xr.Variable("azimuth", number, attrs)).load()
    sweep = volume(12)["sweep_0"].to_dataset(inherit=False).assign_coords(time=time)
    compress(xr.DataTree.from_dict({"/sweep_0": sweep}), tmp_path / "a.zarr", codec="plain")
    for back in (decompress(tmp_path / "a.zarr"), xr.open_datatree(tmp_path / "a.zarr", engine="zarr")):
        np.testing.assert_array_equal(back["sweep_0/time"].values, time.values)


@pytest.mark.filterwarnings("error")
def test_times_finer_than_their_unit(tmp_path: Path) -> None:
    tree = volume(12)
    sweep = tree["sweep_0"].to_dataset(inherit=False)
    sweep["time"] = sweep["time"] + np.arange(36).astype("m8[ms]")
    for units in ("seconds since 2024-01-01", "hours since 2024-01-01T00:00:30"):
        sweep["time"].encoding = {"units": units}
        compress(
            xr.DataTree.from_dict({"/sweep_0": sweep}), tmp_path / "a.zarr", codec="plain", overwrite=True
        )
        xr.testing.assert_equal(decompress(tmp_path / "a.zarr")["sweep_0/time"], sweep["time"])


def test_a_user_may_serialise_any_array(tmp_path: Path) -> None:
    """`to_zarr(encoding={"x": {"serializer": RadarCodec()}})` gives self-contained lossless chunks."""
    from sciai.radar.api.zarr_codec import RadarCodec

    values = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)
    values[3, 4] = np.nan
    dataset = xr.Dataset({"x": (("a", "b"), values)})
    encoding = {"x": {"serializer": RadarCodec(), "compressors": None, "chunks": (7, 30)}}
    dataset.to_zarr(tmp_path / "u.zarr", encoding=encoding, zarr_format=3)
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "u.zarr")["x"].values, values)


def test_a_decoded_tree_can_be_written_again(tmp_path: Path) -> None:
    compress(volume(12), tmp_path / "a.zarr", codec="plain")
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    lazy.to_zarr(tmp_path / "b.zarr", zarr_format=3)
    decompress(tmp_path / "a.zarr").to_netcdf(tmp_path / "c.nc")
    for copy in (xr.open_datatree(tmp_path / "b.zarr", engine="zarr"), xr.open_datatree(tmp_path / "c.nc")):
        np.testing.assert_array_equal(copy["sweep_0/DBZH"].values, lazy["sweep_0/DBZH"].values)


def test_metadata_stays_small(tmp_path: Path) -> None:
    """A plane costs less than 500 bytes of metadata, and nothing is written twice."""
    answer = compress(volume(13, ((36, 50),) * 6), tmp_path / "a.zarr", codec="plain")
    document = (tmp_path / "a.zarr" / "zarr.json").read_bytes()
    assert b"\n" not in document
    assert len(document) / (6 * 14) < 500
    assert answer.unwrap().metadata_bytes < len(document) + 1500
    assert not list((tmp_path / "a.zarr").glob("sweep_*/zarr.json"))


def test_no_companion_in_the_source(tmp_path: Path) -> None:
    values = np.float32([[1, np.nan, 3], [4, np.inf, -np.inf]])
    answer = compress(one_field(values), tmp_path / "a.zarr", codec="plain")
    back = decompress(tmp_path / "a.zarr")["sweep_0"]
    assert back["DBZH_validity"].values.tolist() == [[0, 2, 0], [0, 2, 2]]
    assert back["DBZH_validity"].attrs["flag_meanings"] == "valid below_noise missing"
    assert back["DBZH"].attrs["ancillary_variables"] == "DBZH_validity"
    assert {f.check for f in answer.findings} >= {"infinite", "told_apart", "geometry"}


def test_a_second_pass_still_knows_the_previous_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planes kept from the first pass were coded against the previous volume and are read with it."""
    from sciai.radar.api import writing
    from sciai.radar.model.context import ContextCodec

    codec = ContextCodec.untrained()
    rng = np.random.default_rng(5)
    first = volume(rng, variables=("DBZH", "TH", "VRADH"))
    compress(first, tmp_path / "a.zarr", codec=codec).unwrap()
    missing, passes = writing.missing, []

    def once_short(coded: Any, plans: Any, targets: Any) -> dict[str, float]:
        passes.append(1)
        return {"TH": 0.1} if len(passes) == 1 else missing(coded, plans, targets)

    monkeypatch.setattr(writing, "missing", once_short)
    done = compress(first, tmp_path / "b.zarr", codec=codec, previous=tmp_path / "a.zarr").unwrap()
    assert len(passes) > 1
    assert all(v.psnr >= 35 for v in done.variables.values())
    back = decompress(tmp_path / "b.zarr")
    assert np.array_equal(back["sweep_0/TH_validity"].values, first["sweep_0/TH_validity"].values)


@pytest.mark.parametrize("name", ["sweep_0/DBZH", "beam"])
def test_an_attribute_that_cannot_be_stored_is_named_with_its_variable(tmp_path: Path, name: str) -> None:
    tree = one_field(np.ones((4, 5), np.float32))
    tree["sweep_0/beam"] = xr.DataArray(np.ones(4), dims="azimuth")
    tree[f"sweep_0/{name.rpartition('/')[2]}"].attrs["when"] = np.datetime64("2024-01-01")
    with pytest.raises(BadInput, match="attribute when of a variable is a date") as caught:
        compress(tree, tmp_path / "a.zarr", codec="plain")
    assert caught.value.field == name
    assert not list(tmp_path.iterdir())


def test_verify_does_not_prove_from_memory(tmp_path: Path) -> None:
    """A store that needs a previous volume which is gone cannot be decoded, whatever is still in memory."""
    for step in range(3):
        storm = simulate(seed=3, time_step=step, shape=(2, 36, 60), variables=["DBZH"])
        before = tmp_path / f"{step - 1}.zarr" if step else None
        compress(storm, tmp_path / f"{step}.zarr", codec="context", previous=before)
    decompress(tmp_path / "2.zarr")
    assert verify(storm, tmp_path / "2.zarr").level <= Level.CAUTION
    (tmp_path / "0.zarr").rename(tmp_path / "elsewhere")
    answer = verify(storm, tmp_path / "2.zarr")
    assert answer.level == Level.REFUSE
    (found,) = (f for f in answer.findings if f.check == "damaged")
    assert "previous volume" in found.message
    assert found.where == "previous"
