"""MP-PAWR raw files: the layout table, and writer against reader."""

from __future__ import annotations

import errno
import gzip
import struct

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume, pawr_write, simulate, write_pawr
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.pawr import BLOCK, CELL, HEADER


def by_hand(words, *, short=None, name=b"ZDR", lsb=(1, 100), offset=(-32768, 100), elevations=None):
    """A file straight from the table: words [rays][elevations] of uint16 arrays, two pulses."""
    rays = len(words)
    head = bytearray(HEADER)
    head[16 : 16 + len(name)] = name
    head[48:55] = bytes.fromhex("20200102030405")
    head[56:63] = bytes.fromhex("20200102030435")
    head[136:141] = b"OSAKA"
    struct.pack_into("<iiii", head, 168, 34_823_000, 135_523_000, 5_000, 1_200)
    head[216:220] = b"SEQ1"
    head[237] = elevations or len(words[0])
    struct.pack_into("<H", head, 238, rays)
    struct.pack_into("<h", head, 384, 2)
    struct.pack_into("<iiii", head, 388, *lsb, *offset)
    out = bytes(head)
    for r, ray in enumerate(words):
        out += bytes(BLOCK)
        for e, w in enumerate(ray):
            cell = bytearray(CELL)
            n_short = len(w) // 4 if short is None else short
            struct.pack_into("<H", cell, 148, 3000)
            struct.pack_into("<i", cell, 176, 94_000)
            struct.pack_into("<HHH", cell, 372, 75, 0, n_short)
            struct.pack_into("<H", cell, 378, len(w) - n_short)
            # the last ray straddles north: 355 to 5 degrees
            start = 360.0 * r / rays - 180.0 / rays
            for at, value in ((380, start), (384, start + 360.0 / rays)):
                struct.pack_into("<H", cell, at, round(value * 65536 / 360) % 65536)
            for at, value in ((382, e - 1.2), (386, e - 0.8)):
                struct.pack_into("<h", cell, at, round(value * 32768 / 180))
            out += bytes(cell) + np.asarray(w, "<u2").tobytes()
    return out


@pytest.fixture
def words():
    return np.random.default_rng(0).integers(69, 65536, (6, 3, 16)).astype(np.uint16)


@pytest.mark.parametrize("zipped", [False, True])
def test_layout(tmp_path, words, zipped):
    words[0, 0, :3] = (0, 68, 69)  # -327.68 missing, -327.00 below noise, -326.99 valid
    data = by_hand(words)
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(data) if zipped else data)
    volume = open_volume(path)
    assert sweeps_of(volume) == ["sweep_0", "sweep_1", "sweep_2"]
    ds = volume["sweep_0"]
    assert ds["ZDR_validity"].values[0, :3].tolist() == [2, 1, 0]
    for e in range(3):
        raw = words[:, e]
        flags = np.where(raw == 0, 2, np.where(raw == 68, 1, 0))
        np.testing.assert_array_equal(volume[f"sweep_{e}/ZDR_validity"], flags)
        values = np.where(flags == 0, raw * 0.01 - 327.68, np.nan)
        np.testing.assert_allclose(volume[f"sweep_{e}/ZDR"], values, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(ds["azimuth"], 60.0 * np.arange(6), atol=0.01)
    assert float(ds["sweep_fixed_angle"]) == pytest.approx(-1.0, abs=0.01)
    assert ds["range"].values[:2].tolist() == [37.5, 112.5]
    assert float(volume["latitude"]) == pytest.approx(34.823)
    assert float(volume["altitude"]) == pytest.approx(62.0)
    assert volume.attrs["instrument_name"] == "OSAKA"
    assert str(volume["time_coverage_start"].values).startswith("2020-01-02T03:04")
    # 3 cm waves at 3000 Hz
    assert float(ds["nyquist_velocity"]) == pytest.approx(299_792_458 / 9.4e9 * 3000 / 4, abs=1e-3)


def test_other_scales_keep_the_flags_by_value(tmp_path, words):
    """With LSB 0.02 the two flag values lie at words 0 and 34."""
    words[0, 0, :2] = (0, 34)
    (tmp_path / "a").write_bytes(by_hand(words, lsb=(1, 50)))
    ds = open_volume(tmp_path / "a")["sweep_0"]
    assert ds["ZDR_validity"].values[0, :2].tolist() == [2, 1]
    np.testing.assert_allclose(ds["ZDR"].values[1], words[1, 0] * 0.02 - 327.68, rtol=1e-5)


def test_rays_of_different_length(tmp_path, words):
    ragged = [[w[: 16 - 2 * (r == 2)] for w in ray] for r, ray in enumerate(words)]
    (tmp_path / "a").write_bytes(by_hand(ragged))
    ds = open_volume(tmp_path / "a")["sweep_1"]
    assert ds["ZDR_validity"].values[2, 14:].tolist() == [2, 2]
    np.testing.assert_allclose(ds["ZDR"].values[3], words[3, 1] * 0.01 - 327.68, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("keep", [HEADER + 5, 20_000, 0.5, 0.999])
def test_truncated(tmp_path, words, keep):
    data = by_hand(words)
    (tmp_path / "a").write_bytes(data[: keep if keep > 1 else int(keep * len(data))])
    with pytest.raises(BadInput, match="truncated"):
        open_volume(tmp_path / "a")


@pytest.mark.parametrize("compress", [False, True])
def test_round_trip_of_a_whole_volume(tmp_path, compress):
    volume = simulate(seed=2, shape=(4, 48, 80))
    files = write_pawr(volume, tmp_path / "out", compress=compress)
    assert len(files) == 7
    assert all(f.name.endswith(".dat.gz" if compress else ".dat") for f in files)
    back = open_volume(files)
    for s in sweeps_of(volume):
        a, b = volume[s].to_dataset(), back[s].to_dataset()
        assert fields_of(a) == fields_of(b)
        np.testing.assert_allclose(a["azimuth"], b["azimuth"], atol=360 / 65536)
        np.testing.assert_array_equal(a["range"], b["range"])
        for f in fields_of(a):
            np.testing.assert_array_equal(a[f + "_validity"], b[f + "_validity"], err_msg=f)
            # the simulator keeps to the format's steps, so nothing is lost
            np.testing.assert_array_equal(a[f], b[f], err_msg=f)
    assert float(back["sweep_0/nyquist_velocity"]) == pytest.approx(24.0, abs=0.01)
    # writing what was read gives the same bytes
    again = write_pawr(back, tmp_path / "again", variables=["DBZH"])
    first = gzip.decompress(files[0].read_bytes()) if compress else files[0].read_bytes()
    assert again[0].read_bytes()[HEADER + BLOCK :] == first[HEADER + BLOCK :]


def test_phase_is_wrapped_and_values_rounded(tmp_path):
    ds = simulate(seed=1, shape=(1, 12, 20), variables=["PHIDP"])["sweep_0"].to_dataset()
    ds["PHIDP"].values[0, 5:8] = (350.004, 181.0, -20.0)
    ds["PHIDP_validity"].values[0, 5:8] = 0
    file = write_pawr(xr.DataTree.from_dict({"/sweep_0": ds}), tmp_path / "a.dat")[0]
    back = open_volume(file)["sweep_0/PHIDP"].values
    np.testing.assert_allclose(back[0, 5:8], [-10.0, -179.0, -20.0], atol=0.0051)


def test_gates_stay_where_they_are(tmp_path):
    ds = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])["sweep_0"].to_dataset()
    step = float(ds["range"][1] - ds["range"][0])
    far = xr.DataTree.from_dict({"/sweep_0": ds.assign_coords(range=ds["range"] + 3 * step)})
    back = open_volume(write_pawr(far, tmp_path / "a.dat")[0])["sweep_0"].to_dataset()
    assert back.sizes["range"] == 23
    assert (back["DBZH_validity"].values[:, :3] == 2).all()
    np.testing.assert_array_equal(back["range"].values[3:], far["sweep_0/range"].values)
    np.testing.assert_array_equal(back["DBZH"].values[:, 3:], ds["DBZH"].values)
    for moved in (ds["range"] + 0.4 * step, ds["range"] - step):
        with pytest.raises(BadInput, match="begins at") as caught:
            write_pawr(xr.DataTree.from_dict({"/sweep_0": ds.assign_coords(range=moved)}), tmp_path / "b.dat")
        assert (caught.value.field, caught.value.unit) == ("range", "m")
        with pytest.raises(BadInput, match="begins at"):
            write_pawr(xr.DataTree.from_dict({"/sweep_0": ds.assign_coords(range=moved)}), tmp_path / "raw")
    assert [p.name for p in tmp_path.iterdir()] == ["a.dat"]


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path, monkeypatch):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH", "ZDR"])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pawr_write, "_encoded", full)
        with pytest.raises(BadInput, match="No space left"):
            write_pawr(volume, tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []
    assert len(write_pawr(volume, tmp_path / "raw")) == 2


def test_a_section_is_no_volume_of_the_format(tmp_path):
    ds = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])["sweep_0"].to_dataset()
    section = ds.swap_dims(azimuth="elevation").assign(sweep_mode="rhi")
    with pytest.raises(BadInput, match="sweep_0 is not a PPI"):
        write_pawr(xr.DataTree.from_dict({"/sweep_0": section}), tmp_path / "a.dat")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_format(tmp_path):
    volume = simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"])
    with pytest.raises(BadInput, match="no such field") as caught:
        write_pawr(volume, tmp_path, variables=["XYZ"])
    assert caught.value.field == "XYZ"
    big = volume.copy(deep=True)
    big["sweep_1/DBZH"].values[:] = 1000.0
    big["sweep_1/DBZH_validity"].values[:] = 0
    with pytest.raises(BadInput, match="beyond"):
        write_pawr(big, tmp_path)
    uneven = xr.DataTree.from_dict(
        {
            "/sweep_0": volume["sweep_0"].to_dataset(),
            "/sweep_1": volume["sweep_1"].to_dataset().isel(azimuth=slice(6)),
        }
    )
    with pytest.raises(BadInput, match="rays"):
        write_pawr(uneven, tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_pawr(volume, tmp_path)
    with pytest.raises(BadInput, match="the output exists"):
        write_pawr(volume, tmp_path)
    assert len(write_pawr(volume, tmp_path, overwrite=True)) == 1
    assert len(list(tmp_path.iterdir())) == 1
