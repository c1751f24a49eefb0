"""ODIM_H5: hand-made files, and every shared one against its raw codes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.names import fm301_names

SHARED = [
    "Aleria_frale_20151010", "Bollene_frbol_20151010", "CastorBay_ukcas_20151010", "DeBilt_nldbl_20151010",
    "Harku_eehar_20151010", "Istanbul_20150322_2304", "Jabbeke_bejab_20151009", "Kesalahti_fikes_20151010",
    "LewisUK_uklew_20151010", "Opoul_fropo_20151010", "Osijek_hrosi_20151010", "Pasja_sipas_20151010",
    "Romo_dkrom_20151010", "Zaventem_bezav_20151009", "wl_40_20181220_060630.pvol",
]  # fmt: skip


def write(
    path, codes, quantity="DBZH", *, nodata=255.0, undetect=0.0, angles=(0.5, 1.5), time="120000", drop=()
):
    with h5py.File(path, "w") as h5:
        h5.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
        h5.create_group("what").attrs.update(
            {
                "object": np.bytes_("PVOL"),
                "date": np.bytes_("20200101"),
                "time": np.bytes_(time),
                "source": np.bytes_("NOD:test"),
            }
        )
        h5.create_group("where").attrs.update({"lat": 50.0, "lon": 5.0, "height": 100.0})
        for i, angle in enumerate(angles):
            g = h5.create_group(f"dataset{i + 1}")
            g.create_group("what").attrs.update(
                {
                    k + d: np.bytes_(v)
                    for k in ("start", "end")
                    for d, v in (("date", "20200101"), ("time", time))
                }
            )
            where = {
                "elangle": angle,
                "nbins": codes.shape[1],
                "nrays": codes.shape[0],
                "rscale": 500.0,
                "rstart": 1.0,
                "a1gate": 3,
            }
            g.create_group("where").attrs.update({k: v for k, v in where.items() if k not in drop})
            d = g.create_group("data1")
            d["data"] = codes
            d.create_group("what").attrs.update(
                {
                    "quantity": np.bytes_(quantity),
                    "gain": 0.5,
                    "offset": -32.0,
                    "nodata": nodata,
                    "undetect": undetect,
                }
            )
    return path


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(0, 256, (36, 20)).astype(np.uint8)


@pytest.mark.parametrize(("nodata", "undetect"), [(255.0, 0.0), (255.0, 254.0), (0.0, 0.0)])
def test_undetect_and_nodata(tmp_path, codes, nodata, undetect):
    ds = open_volume(write(tmp_path / "x", codes, nodata=nodata, undetect=undetect))["sweep_1"]
    flags = np.where(codes == nodata, 2, np.where(codes == undetect, 1, 0))
    np.testing.assert_array_equal(ds["DBZH_validity"], flags)
    np.testing.assert_array_equal(ds["DBZH"], np.where(flags == 0, codes * 0.5 - 32.0, np.nan))
    assert ("comment" in ds["DBZH_validity"].attrs) == (nodata == undetect)
    assert ds["DBZH"].encoding["scale_factor"] == 0.5
    assert ds["DBZH"].encoding["dtype"] == np.uint8


def test_an_index_far_outside_of_0_to_1_is_left_and_said(tmp_path, codes):
    volume = open_volume(write(tmp_path / "x", codes, quantity="SQI"))  # gain 0.5, offset -32
    assert volume.attrs["comment"] == (
        "SQIH is -31.5 to 95 by the gain and offset that the file states, and not 0 to 1: left as they are"
    )
    assert float(volume["sweep_0/SQIH"].max()) == 95.0
    assert "comment" not in open_volume(write(tmp_path / "y", codes)).attrs
    one = np.full_like(codes, 66)
    assert "comment" not in open_volume(write(tmp_path / "z", one, quantity="SQI")).attrs  # 1.0


def test_istanbul_says_that_its_sqi_is_none(shared_data):
    path = shared_data / "radar" / "Istanbul_20150322_2304.h5"
    volume = open_volume(path)
    assert volume.attrs["comment"].startswith("SQIH is -32767 to 32764 by the gain")
    with h5py.File(path) as h5:
        raw = h5["dataset1/data2/data"][...]
        assert h5["dataset1/data2/what"].attrs["quantity"] == "SQI"
    ours = volume["sweep_0/SQIH"].values
    np.testing.assert_array_equal(ours[np.isfinite(ours)], raw[np.isfinite(raw)])


def test_geometry(tmp_path, codes):
    volume = open_volume(write(tmp_path / "x", codes))
    ds = volume["sweep_0"]
    assert ds["range"].values[:2].tolist() == [1250.0, 1750.0]  # rstart is in km, and the edge of the gate
    assert ds["azimuth"].values[:2].tolist() == [5.0, 15.0]
    assert float(ds["sweep_fixed_angle"]) == 0.5
    assert volume.attrs["instrument_name"] == "test"


def test_one_variable_per_file(tmp_path, codes):
    files = [write(tmp_path / q, codes + np.uint8(i), q) for i, q in enumerate(["DBZH", "VRAD", "RHOHV"])]
    volume = open_volume(files)
    assert fields_of(volume["sweep_1"]) == ["DBZH", "VRADH", "RHOHV"]
    for f, name in zip(files, ["DBZH", "VRADH", "RHOHV"], strict=True):
        assert volume[f"sweep_1/{name}"].identical(open_volume(f)[f"sweep_1/{name}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "DBZH"}, "DBZH"),
        ({"angles": (0.5, 1.5, 2.5)}, "3 sweeps here, 2 in"),
        ({"time": "121500"}, "start of sweep_0"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, codes, change, message):
    first = write(tmp_path / "first", codes)
    second = write(tmp_path / "second", codes, **({"quantity": "VRAD"} | change))
    with pytest.raises(BadInput, match=message) as caught:
        open_volume([first, second])
    assert "second" in str(caught.value.file)
    assert caught.value.fix


def test_different_gates_or_radars(tmp_path, codes):
    first = write(tmp_path / "first", codes)
    with pytest.raises(BadInput, match="number of gates"):
        open_volume([first, write(tmp_path / "second", codes[:, :10], "VRAD")])
    with pytest.raises(BadInput, match="number of rays"):
        open_volume([first, write(tmp_path / "third", codes[:30], "VRAD")])
    with h5py.File(write(tmp_path / "fourth", codes, "VRAD"), "r+") as h5:
        h5["where"].attrs["lat"] = 51.0
    with pytest.raises(BadInput, match="two radars"):
        open_volume([first, tmp_path / "fourth"])


def test_damage(tmp_path, codes):
    path = write(tmp_path / "x", codes)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="truncated or damaged"):
        open_volume(path)
    with pytest.raises(BadInput, match="lacks rscale") as caught:
        open_volume(write(tmp_path / "y", codes, drop=("rscale",)))
    assert caught.value.field == "rscale"
    with h5py.File(write(tmp_path / "z", codes), "r+") as h5:
        for g in ("dataset1", "dataset2"):
            del h5[g]["data1"]
    with pytest.raises(BadInput, match="no data variable"):
        open_volume(tmp_path / "z")
    with h5py.File(write(tmp_path / "w", codes), "r+") as h5:
        h5["what"].attrs["object"] = np.bytes_("COMP")
    with pytest.raises(BadInput, match="COMP"):
        open_volume(tmp_path / "w")


@pytest.mark.parametrize("name", SHARED)
def test_real_files_against_their_codes(shared_data, name):
    path = shared_data / "radar" / f"{name}.h5"
    volume = open_volume(path)
    checked = 0
    with h5py.File(path) as h5:
        groups = sorted((k for k in h5 if k.startswith("dataset")), key=lambda k: int(k[7:]))
        assert len(groups) == len(sweeps_of(volume))
        for i, g in enumerate(groups):
            ds = volume[f"sweep_{i}"]
            inner = [h5[g][d] for d in sorted(h5[g], key=lambda d: (len(d), d)) if d.startswith("data")]
            what = [
                {**dict(h5[g]["what"].attrs if "what" in h5[g] else {}), **d["what"].attrs} for d in inner
            ]
            quantities = [q.decode() if isinstance(q, bytes) else q for q in (w["quantity"] for w in what)]
            for d, w, name_ in zip(inner, what, fm301_names(quantities).values(), strict=True):
                raw = d["data"][...]
                raw = raw[_ray_order(h5, h5[g])]
                nodata, undetect = float(w["nodata"]), float(w["undetect"])
                is_missing = np.isnan(raw) if np.isnan(nodata) else raw == nodata
                flags = np.where(is_missing, 2, np.where(raw == undetect, 1, 0))
                np.testing.assert_array_equal(ds[name_ + "_validity"].values, flags)
                values = (raw.astype(np.float64) * w["gain"] + w["offset"])[flags == 0]
                np.testing.assert_allclose(ds[name_].values[flags == 0], values, rtol=1e-6, atol=1e-6)
                assert np.isnan(ds[name_].values[flags != 0]).all()
                checked += 1
    assert checked


def _ray_order(h5, group):
    """Order of the rays by azimuth, where the file gives azimuths (else they are in order)."""
    how = group["how"].attrs if "how" in group else {}
    rays = int(group["where"].attrs["nrays"])
    if (
        "startazA" in how
        and np.shape(how["startazA"]) == (rays,)
        and np.asarray(how["startazA"]).dtype.kind == "f"
    ):
        start, stop = how["startazA"], how["stopazA"]
        return np.argsort((start + ((stop - start + 180) % 360 - 180) / 2) % 360, kind="stable")
    astart = float(how["astart"]) if "astart" in how else 0.0
    return np.argsort((astart + (np.arange(rays) + 0.5) * 360 / rays) % 360, kind="stable")


def test_the_first_gate_is_in_metres_from_version_2_4_on(tmp_path, codes):
    path = write(tmp_path / "x", codes)
    assert open_volume(path)["sweep_0"]["range"].values[0] == 1250.0
    with h5py.File(path, "a") as h5:
        h5.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_4")
        for k in ("dataset1", "dataset2"):
            h5[k]["where"].attrs["rstart"] = 1000.0
    assert open_volume(path)["sweep_0"]["range"].values[0] == 1250.0
