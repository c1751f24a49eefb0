"""CfRadial 1 and IMD netCDF against their raw codes; ragged gates."""

from __future__ import annotations

import gc
import gzip
import weakref

import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar import compress
from sciai.radar.data import netcdf, open_volume, simulate, write_cfradial1, write_cfradial2
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.hdf5_view import netcdf4_file


def cfradial1(path, *, ragged=False, fields=True):
    """Two sweeps of 4 rays (one ray of 3 gates where ragged), packed int16 with all three kinds of gate."""
    with netCDF4.Dataset(path, "w") as nc:
        nc.Conventions = "CF/Radial"
        for d, n in (("time", 8), ("range", 5), ("sweep", 2), ("string_length", 32)):
            nc.createDimension(d, n)
        nc.createVariable("sweep_start_ray_index", "i4", ("sweep",))[:] = [0, 4]
        nc.createVariable("sweep_end_ray_index", "i4", ("sweep",))[:] = [3, 7]
        nc.createVariable("azimuth", "f4", ("time",))[:] = [90, 180, 270, 0] * 2
        nc.createVariable("elevation", "f4", ("time",))[:] = [1] * 4 + [2] * 4
        nc.createVariable("range", "f4", ("range",))[:] = 250 + 500 * np.arange(5)
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time[:] = "seconds since 2020-01-01T00:00:00Z", np.arange(8) / 4
        nc.createVariable("fixed_angle", "f4", ("sweep",))[:] = [1, 2]
        for k, v in (("latitude", 10.0), ("longitude", 20.0), ("altitude", 30.0)):
            nc.createVariable(k, "f8")[...] = v
        codes = np.arange(40, dtype=np.int16).reshape(8, 5) - 2
        if not fields:
            return codes
        if ragged:
            n = np.array([5, 5, 3, 5, 5, 5, 5, 5])
            nc.createDimension("n_points", int(n.sum()))
            nc.createVariable("ray_n_gates", "i4", ("time",))[:] = n
            nc.createVariable("ray_start_index", "i4", ("time",))[:] = np.r_[0, np.cumsum(n)[:-1]]
            flat = np.concatenate([row[:k] for row, k in zip(codes, n, strict=True)])
        v = nc.createVariable("DBZ", "i2", ("n_points",) if ragged else ("time", "range"), fill_value=-2)
        v.set_auto_maskandscale(False)
        v.setncatts({"scale_factor": 0.5, "add_offset": 1.0, "_Undetect": np.int16(-1), "units": "dBZ"})
        v[:] = flat if ragged else codes
    return codes


@pytest.mark.parametrize("ragged", [False, True])
def test_cfradial_1(tmp_path, ragged):
    codes = cfradial1(tmp_path / "x", ragged=ragged)
    volume = open_volume(tmp_path / "x")
    assert sweeps_of(volume) == ["sweep_0", "sweep_1"]
    for i in (0, 1):
        ds = volume[f"sweep_{i}"]
        assert ds["azimuth"].values.tolist() == [0, 90, 180, 270]
        raw = codes[4 * i : 4 * i + 4][[3, 0, 1, 2]]
        flags = np.where(raw == -2, 2, np.where(raw == -1, 1, 0))
        if ragged and i == 0:
            flags[3, 3:] = 2  # the ray of three gates
        np.testing.assert_array_equal(ds["DBZH_validity"], flags)
        np.testing.assert_array_equal(ds["DBZH"], np.where(flags == 0, 0.5 * raw + 1, np.nan))
        assert ds["DBZH"].attrs["source_name"] == "DBZ"
    assert str(volume["sweep_0/time"].values[1]) == "2020-01-01T00:00:00.000000000"
    assert float(volume["altitude"]) == 30.0


@pytest.mark.parametrize(
    ("stored", "said", "fill"), [("i1", "true", -1), ("u1", "false", 255), ("i2", "true", -1)]
)
def test_codes_of_the_other_sign(tmp_path, stored, said, fill):
    """Where code 255 is missing and stored as -1, as classic netCDF has it, it was read as 95.5 dBZ."""
    cfradial1(tmp_path / "x", fields=False)
    codes = np.arange(40).reshape(8, 5)
    codes[:, 3] = fill
    codes[0, 0] = -2 if fill < 0 else 254
    with netCDF4.Dataset(tmp_path / "x", "a") as nc:
        v = nc.createVariable("DBZ", stored, ("time", "range"), fill_value=np.dtype(stored).type(fill))
        v.set_auto_maskandscale(False)
        v.setncatts({"scale_factor": 0.5, "_Unsigned": said, "_Undetect": np.dtype(stored).type(codes[0, 0])})
        v[:] = codes.astype(stored)
    ds = open_volume(tmp_path / "x")["sweep_0"].to_dataset().sortby("time")
    assert (ds["DBZH_validity"].values[:, 3] == 2).all()
    assert ds["DBZH_validity"].values[0, 0] == 1
    assert (ds["DBZH_validity"] == 0).sum() == 4 * 4 - 1
    assert float(ds["DBZH"].max()) == 0.5 * 19


def test_without_fields(tmp_path):
    cfradial1(tmp_path / "x", fields=False)
    with pytest.raises(BadInput, match="no data variable"):
        open_volume(tmp_path / "x")


def test_another_netcdf(tmp_path):
    with netCDF4.Dataset(tmp_path / "x", "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("x", 3)
        nc.createVariable("temperature", "f4", ("x",))[:] = 1
    with pytest.raises(BadInput, match="neither CfRadial nor"):
        open_volume(tmp_path / "x")


def test_goa_is_one_volume_in_six_files(shared_data):
    files = sorted((shared_data / "radar").glob("Goa_*"))
    volume = open_volume(files)
    assert [round(float(volume[s]["sweep_fixed_angle"]), 1) for s in sweeps_of(volume)] == [
        0.2,
        1.0,
        2.0,
        3.0,
        4.5,
        6.0,
    ]
    seen = 0
    for f in files:
        with netCDF4.Dataset("m", memory=gzip.decompress(f.read_bytes())) as nc:
            nc.set_auto_maskandscale(False)
            angle = float(nc["elevationAngle"][...])
            ds = next(
                volume[s]
                for s in sweeps_of(volume)
                if abs(float(volume[s]["sweep_fixed_angle"]) - angle) < 0.01
            )
            order = np.argsort(np.asarray(nc["radialAzim"][...]) % 360, kind="stable")
            for theirs, ours in (("T", "TH"), ("Z", "DBZH"), ("V", "VRADH"), ("W", "WRADH")):
                raw = nc[theirs][...][order]
                flags = np.where(raw == -128, 2, 0)
                np.testing.assert_array_equal(ds[ours + "_validity"].values, flags)
                values = raw * np.float64(nc[theirs].scale_factor) + nc[theirs].add_offset
                np.testing.assert_allclose(
                    ds[ours].values[flags == 0], values[flags == 0], rtol=1e-6, atol=1e-5
                )
                assert "does not tell" in ds[ours + "_validity"].attrs["comment"]
                seen += 1
    assert seen == 24


def test_meteo_france_noise_flag(shared_data):
    """TH code 0 stands for "below noise + margin", 255 for missing; VRAD and SIGMA know only missing."""
    path = shared_data / "radar" / "Montancy_MF_20210114_1200.nc"
    volume = open_volume(path)
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        for i, (a, b) in enumerate(
            zip(nc["sweep_start_ray_index"][...], nc["sweep_end_ray_index"][...], strict=True)
        ):
            order = np.argsort(nc["azimuth"][a : b + 1] % 360, kind="stable")
            for theirs, ours, below in (("TH", "TH", 0), ("VRAD", "VRADH", None), ("SIGMA", "SIGMA", None)):
                raw = nc[theirs][a : b + 1][order]
                flags = np.where((raw == 255) | (raw == -888), 2, np.where(raw == below, 1, 0))
                np.testing.assert_array_equal(volume[f"sweep_{i}/{ours}_validity"].values, flags)


def test_fill_that_the_file_does_not_name(shared_data):
    """MXPol: invalid gates hold netCDF's default fill, and no attribute says so. An RHI, over elevation."""
    path = shared_data / "radar" / "MXPol_RHI_20120929_064418.nc"
    volume = open_volume(path)
    ds = volume["sweep_0"]
    assert ds["DBZH"].dims == ("elevation", "range")
    assert len(fields_of(ds)) == 10
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        raw = nc["reflectivity"][...][np.argsort(nc["elevation"][...], kind="stable")]
    np.testing.assert_array_equal(ds["DBZH_validity"] == 2, raw > 1e36)
    np.testing.assert_array_equal(ds["DBZH"].values[raw < 1e36], raw[raw < 1e36])


def test_albis_two_sweeps_of_different_range(shared_data):
    volume = open_volume(sorted((shared_data / "radar").glob("Albis_*")))
    assert [volume[s].sizes["range"] for s in sweeps_of(volume)] == [492, 324]
    assert "reflectivity_hh_clut" in fields_of(volume["sweep_0"])


@pytest.mark.parametrize("lacking", ["azimuth", "elevation", "time"])
def test_a_sweep_that_lacks_a_coordinate_is_named(tmp_path, lacking):
    volume = simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"])
    volume["sweep_1"] = xr.DataTree(volume["sweep_1"].to_dataset().drop_vars(lacking))
    file = write_cfradial2(volume, tmp_path / "a.nc")
    with pytest.raises(BadInput, match=f"sweep_1 has no {lacking}") as caught:
        open_volume(file)
    assert caught.value.field == lacking


@pytest.fixture
def old(tmp_path):
    return write_cfradial1(simulate(seed=1, shape=(2, 36, 60), variables=["DBZH"]), tmp_path / "old.nc")


def test_ranges_of_each_ray(tmp_path, old):
    """CfRadial 1 may give gates for each ray; those of a sweep have to be the same."""
    expected = open_volume(old)
    for off in (0.0, 30.0):
        with netCDF4.Dataset(old) as one, netCDF4.Dataset(tmp_path / "new.nc", "w") as two:
            for name, dim in one.dimensions.items():
                two.createDimension(name, len(dim))
            for name, v in one.variables.items():
                v.set_auto_maskandscale(False)
                values, attrs, dims = v[...], {k: v.getncattr(k) for k in v.ncattrs()}, v.dimensions
                if name == "range":
                    values, dims = np.tile(values, (72, 1)), ("time", "range")
                    values[36:] *= 2
                    values[40] += off
                out = two.createVariable(name, v.dtype, dims, fill_value=attrs.pop("_FillValue", None))
                out.set_auto_maskandscale(False)
                out.setncatts(attrs)
                out[...] = values
        if off:
            with pytest.raises(BadInput, match=r"rays of sweep 1 have gates at other ranges.*field range"):
                open_volume(tmp_path / "new.nc")
        else:
            found = open_volume(tmp_path / "new.nc")
            np.testing.assert_array_equal(found["sweep_0/range"], expected["sweep_0/range"])
            np.testing.assert_array_equal(found["sweep_1/range"], 2 * expected["sweep_1/range"])
            np.testing.assert_array_equal(found["sweep_1/DBZH"], expected["sweep_1/DBZH"])


def test_a_damaged_index_and_times_without_a_date(old):
    with netCDF4.Dataset(old, "a") as nc:
        nc["sweep_end_ray_index"][0] = 500
    with pytest.raises(BadInput, match="sweep 0 is said to have rays 0 to 500, the file has 72"):
        open_volume(old)
    with netCDF4.Dataset(old, "a") as nc:
        nc["sweep_end_ray_index"][0] = 35
        for units in ("fortnights since then", "seconds"):
            nc["time"].units = units
            nc.sync()
            with pytest.raises(BadInput, match=rf"times in '{units}', which names no date.*field time"):
                open_volume(old)


@pytest.mark.parametrize(
    ("units", "number", "date"),
    [
        ("days since 0001-01-01", 737425.5, "2019-12-31T12:00:00"),
        ("ms since 2020-01-01", 1500, "2020-01-01T00:00:01.5"),
        ("hours since 2020-01-01T00:00:00 +02:00", 1, "2019-12-31T23:00:00"),
    ],
)
def test_times_since_long_ago_and_in_short_units(old, units, number, date):
    """Days since the year 1 were in the 18th century, and milliseconds were minutes."""
    with netCDF4.Dataset(old, "a") as nc:
        nc["time"].units = units
        nc["time"][...] = number
    assert (open_volume(old)["sweep_0/time"].values == np.datetime64(date)).all()


@pytest.mark.parametrize("units", ["seconds since 2300-01-01", "months since 2020-01-01"])
def test_times_that_cannot_be_told(old, units):
    """The year 2300 became 1715, a month a minute."""
    with netCDF4.Dataset(old, "a") as nc:
        nc["time"].units = units
    with pytest.raises(BadInput, match=r"beyond the years|no unit of one length"):
        open_volume(old)


def test_times_and_sweeps_that_were_never_written(tmp_path):
    """Fill values among times were dates, one of them refused the file; so did a sweep without rays."""
    path = write_cfradial2(simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"]), tmp_path / "x.nc")
    whole = open_volume(path)
    with netCDF4.Dataset(path, "a") as nc:
        time = nc["sweep_0/time"]
        time[3] = netCDF4.default_fillvals["f8"]
        nc.createVariable("built", "f8").units = "days since 0001-01-01"
        nc["built"][...] = 5.0
        empty = nc.createGroup("sweep_1")
        empty.createDimension("azimuth", 0)
        empty.createDimension("range", 20)
        for name, dims in {"azimuth": ("azimuth",), "elevation": ("azimuth",), "range": ("range",)}.items():
            empty.createVariable(name, "f4", dims)
        empty.createVariable("time", "f8", ("azimuth",)).units = time.units
        empty.createVariable("DBZH", "f4", ("azimuth", "range"))
        nc.renameVariable("sweep_group_name", "other")
        start = np.datetime64(time.units.split()[-1].rstrip("Z"))
    volume = open_volume(path)
    expected = whole["sweep_0/time"].values.copy()
    expected[3] = start
    np.testing.assert_array_equal(volume["sweep_0/time"].values, expected)
    assert sweeps_of(volume) == ["sweep_0"]
    assert float(volume["built"]) == 5.0
    assert volume["built"].attrs == {"source_units": "days since 0001-01-01"}
    compress(volume, tmp_path / "a.zarr", codec="plain").unwrap()


def repacked(source, path, **how):
    """The same file with its fields packed by another filter, or on another layout."""
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(path, "w") as new:
        old.set_auto_maskandscale(False)
        for below, made in ((old, new), *((g, new.createGroup(n)) for n, g in old.groups.items())):
            made.setncatts({k: below.getncattr(k) for k in below.ncattrs()})
            for name, d in below.dimensions.items():
                made.createDimension(name, len(d))
            for name, v in below.variables.items():
                attrs = {k: v.getncattr(k) for k in v.ncattrs()}
                fill = attrs.pop("_FillValue", None)
                own = how if v.ndim == 2 else {}
                out = made.createVariable(name, v.dtype, v.dimensions, fill_value=fill, **own)
                out.set_auto_maskandscale(False)
                out.setncatts(attrs)
                out[...] = v[...]
    return path


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "zstd"},
        {"compression": "bzip2"},
        {"zlib": True, "fletcher32": True},
        {"endian": "big"},
        {},
    ],
)
def test_filters_and_byte_orders(tmp_path, how):
    volume = simulate(seed=2, shape=(2, 30, 50), variables=["DBZH", "RHOHV"])
    plain = write_cfradial2(volume, tmp_path / "plain.nc")
    back, same = open_volume(repacked(plain, tmp_path / "x.nc", **how)), open_volume(plain)
    for sweep in ("sweep_0", "sweep_1"):
        xr.testing.assert_identical(back[sweep].to_dataset(), same[sweep].to_dataset())
        assert back[f"{sweep}/DBZH"].dtype.isnative


@pytest.mark.parametrize("writer", [write_cfradial2, write_cfradial1])
def test_gives_what_the_library_gives(tmp_path, monkeypatch, writer):
    """Files of netCDF-4 are read without it."""
    volume = simulate(seed=3, shape=(3, 30, 50))
    volume["sweep_0/DBZH"].attrs |= {
        "texts": ["a", "b"],
        "numbers": np.float32([1, 2]),
        "empty": "",
        "one": np.int16([3]),
    }
    path = writer(volume, tmp_path / "x.nc")
    ours = open_volume(path)

    def none(data):
        raise OSError("not by h5py")

    monkeypatch.setattr(netcdf, "netcdf4_file", none)
    theirs = open_volume(path)
    xr.testing.assert_identical(ours, theirs)
    for sweep in ("sweep_0", "sweep_2"):
        for name, v in theirs[sweep].variables.items():
            assert v.dtype == ours[sweep][name].dtype
            assert repr(v.attrs) == repr(ours[sweep][name].attrs), name
            assert repr(v.encoding) == repr(ours[sweep][name].encoding), name


def test_variables_shorter_than_their_unlimited_dimension(tmp_path):
    """What is not there is filled up, as the library does; such files were called damaged."""
    cfradial1(tmp_path / "x", fields=False)
    with netCDF4.Dataset(tmp_path / "x") as old, netCDF4.Dataset(tmp_path / "new", "w") as nc:
        for d, n in old.dimensions.items():
            nc.createDimension(d, None if d == "time" else len(n))
        for name, v in old.variables.items():
            nc.createVariable(name, v.dtype, v.dimensions)[...] = v[...]
        nc["time"].units = old["time"].units
        nc.createVariable("prt", "f4", ("time",))[:3] = 1e-3
        for name, rays in (("DBZ", 8), ("VEL", 6)):
            nc.createVariable(name, "i2", ("time", "range"), fill_value=-9)[:rays] = 3
    volume = open_volume(tmp_path / "new")
    ds = volume["sweep_1"].to_dataset().sortby("time")
    assert (ds["DBZH"] == 3).all()
    assert ds["VRADH_validity"].values[:, 0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("at", [3000, 20_000, -40])
def test_cut_files_of_both_kinds(tmp_path, at):
    data = write_cfradial2(simulate(seed=3, shape=(1, 30, 50)), tmp_path / "x.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(data[:at])
    with pytest.raises(BadInput, match="damaged"):
        open_volume(tmp_path / "cut.nc")


def test_a_file_that_was_read_is_given_back_at_once(tmp_path):
    path = write_cfradial2(simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"]), tmp_path / "x.nc")
    gc.collect()
    gc.disable()
    try:
        with netcdf4_file(path.read_bytes()) as nc:
            nc.groups["sweep_0"].variables["DBZH"][0:4]
            alive = weakref.ref(nc.groups["sweep_0"].variables["DBZH"])
        assert alive() is None
    finally:
        gc.enable()
