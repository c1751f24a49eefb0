"""CfRadial2 and ODIM writers: what goes out comes back, validity included, whole or not at all."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data import (
    open_volume,
    simulate,
    write_cfradial1,
    write_cfradial2,
    write_odim,
    write_pawr,
)
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.write import pack

WRITERS = [write_cfradial2, write_odim]


def loaded(path, **how):
    """As xarray reads it, and closed: texts of netCDF files left open crash the library sooner or later."""
    with xr.open_datatree(path, **how) as tree:
        return tree.load()


def same(a, b):
    assert sweeps_of(a) == sweeps_of(b)
    for k in ("latitude", "longitude", "altitude"):
        np.testing.assert_equal(float(a[k]), float(b[k]))
    for s in sweeps_of(a):
        x, y = a[s].to_dataset(), b[s].to_dataset()
        assert fields_of(x) == fields_of(y)
        for c in ("azimuth", "elevation", "range", "time", "sweep_fixed_angle"):
            np.testing.assert_array_equal(x[c], y[c], err_msg=c)
        for f in fields_of(x):
            np.testing.assert_array_equal(x[f], y[f], err_msg=f)
            np.testing.assert_array_equal(x[f + "_validity"], y[f + "_validity"], err_msg=f)


@pytest.mark.parametrize("write", WRITERS)
def test_simulated(tmp_path, write):
    volume = simulate(seed=4, shape=(3, 48, 80))
    back = open_volume(write(volume, tmp_path / "x"))
    same(volume, back)
    assert back.attrs["synthetic"] == "true"
    assert float(back["sweep_0/nyquist_velocity"]) == float(volume["sweep_0/nyquist_velocity"])
    # packed as it came
    for s in sweeps_of(volume):
        for f in ("DBZH", "VRADH"):
            assert back[s][f].encoding["dtype"] == np.uint16
            assert back[s][f].encoding["scale_factor"] == 0.01


@pytest.mark.filterwarnings("error:endian")
def test_numbers_of_a_stated_byte_order(tmp_path):
    volume = simulate(seed=4, shape=(1, 36, 40))
    wide = volume["sweep_0"].to_dataset()
    azimuth = wide.azimuth.values
    for order in "<>":
        volume["sweep_0"] = xr.DataTree(wide.assign_coords(azimuth=azimuth.astype(f"{order}f8")))
        back = open_volume(write_cfradial2(volume, tmp_path / "x.nc", overwrite=True))
        np.testing.assert_array_equal(back["sweep_0"].azimuth, azimuth)


@pytest.mark.parametrize("write", WRITERS)
def test_floats_that_no_packing_holds(tmp_path, write):
    volume = simulate(seed=4, shape=(2, 24, 40), variables=["DBZH", "ZDR"])
    ds = volume["sweep_0"].to_dataset()
    ds["DBZH"].values[:] += np.float32(1e-3) * np.random.default_rng(0).random(ds["DBZH"].shape, np.float32)
    ds["ZDR"].values[3, 3] = -9998.0  # collides with the usual fill values
    ds["ZDR_validity"].values[3, 3] = 0
    volume = xr.DataTree.from_dict(
        {"/": volume.to_dataset(), "/sweep_0": ds, "/sweep_1": volume["sweep_1"].to_dataset()}
    )
    same(volume, open_volume(write(volume, tmp_path / "x")))


@pytest.mark.parametrize(
    "name",
    [
        "LewisUK_uklew_20151010.h5",
        "KLIX20050828_181658.gz",
        "wl_2014-08-10--182000.ppi.mvol",
        "Istanbul_20150322_2304.h5",
    ],
)
@pytest.mark.parametrize("write", WRITERS)
def test_real(tmp_path, shared_data, name, write):
    volume = open_volume(shared_data / "radar" / name)
    same(volume, open_volume(write(volume, tmp_path / "x")))


def test_rhi(tmp_path, shared_data):
    volume = open_volume(shared_data / "radar" / "MXPol_RHI_20120929_064418.nc")
    same(volume, open_volume(write_cfradial2(volume, tmp_path / "x")))
    with pytest.raises(BadInput, match="not a PPI"):
        write_odim(volume, tmp_path / "y")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_other_software_reads_them(tmp_path):
    """xradar and xarray: below-noise gates of ODIM come out as they are declared, in ``_Undetect``."""
    xradar = pytest.importorskip("xradar")
    volume = simulate(seed=4, shape=(2, 24, 40), variables=["DBZH"])
    flags = volume["sweep_0/DBZH_validity"].values
    tree = xradar.io.open_odim_datatree(write_odim(volume, tmp_path / "x.h5"), mask_and_scale=False)
    raw = tree["sweep_0/DBZH"]
    np.testing.assert_array_equal(raw.values == raw.attrs["_FillValue"], flags == 2)
    np.testing.assert_array_equal(raw.values == raw.attrs["_Undetect"], flags == 1)
    tree = loaded(write_cfradial2(volume, tmp_path / "x.nc"))
    valid = flags == 0
    np.testing.assert_allclose(
        tree["sweep_0/DBZH"].values[valid], volume["sweep_0/DBZH"].values[valid], atol=1e-4
    )


def test_other_software_finds_the_gates_where_they_are(tmp_path):
    """The first gate of NEXRAD is 2,125 m away; of a file that states ODIM 2.4 xradar takes km for metres."""
    xradar = pytest.importorskip("xradar")
    volume = simulate(seed=4, shape=(1, 24, 40), variables=["DBZH"])
    ds = volume["sweep_0"].to_dataset()
    volume["sweep_0"] = xr.DataTree(ds.assign_coords(range=ds["range"] + 2000.0))
    path = write_odim(volume, tmp_path / "x.h5")
    tree = xradar.io.open_odim_datatree(path)
    np.testing.assert_allclose(tree["sweep_0"]["range"], volume["sweep_0"]["range"], atol=0.01)
    np.testing.assert_allclose(open_volume(path)["sweep_0"]["range"], volume["sweep_0"]["range"], atol=0.01)
    older = tmp_path / "older.h5"
    older.write_bytes(path.read_bytes())
    with h5py.File(older, "a") as h5:  # as it was written before
        h5.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_4")
    path = older
    np.testing.assert_allclose(open_volume(path)["sweep_0"]["range"], volume["sweep_0"]["range"], atol=0.01)


def test_files_state_their_conventions(tmp_path):
    volume = simulate(seed=4, shape=(1, 12, 20), variables=["DBZH"])
    with netCDF4.Dataset(write_cfradial2(volume, tmp_path / "a.nc")) as nc:
        assert "CfRadial-2" in nc.Conventions
        v = nc["sweep_0/DBZH"]
        assert v.ancillary_variables == "DBZH_validity"
        assert nc["sweep_0/DBZH_validity"].flag_meanings == "valid below_noise missing"
    with h5py.File(write_odim(volume, tmp_path / "a.h5")) as h5:
        assert h5.attrs["Conventions"] == b"ODIM_H5/V2_3"
        assert h5["what"].attrs["object"] == b"PVOL"
        assert h5["how"].attrs["simulated"] == b"True"
        what = h5["dataset1/data1/what"].attrs
        assert what["undetect"] != what["nodata"]


def test_pack_needs_two_free_codes():
    encoding = {"scale_factor": 1.0, "add_offset": 0.0, "dtype": np.dtype("uint8")}
    values = np.arange(256, dtype=np.float32)
    assert pack(values, np.zeros(256, np.uint8), encoding).codes.dtype == np.float32
    few = values[2:254]
    packed = pack(few, np.zeros(252, np.uint8), encoding)
    assert packed.codes.dtype == np.uint8
    assert {packed.below_noise, packed.missing} == {0.0, 255.0}
    flags = np.zeros(252, np.uint8)
    flags[:2] = (1, 2)
    assert pack(few, flags, encoding).codes[:2].tolist() == [packed.below_noise, packed.missing]


WRITE_ALL = [*WRITERS, write_pawr]


@pytest.mark.parametrize("write", WRITE_ALL)
def test_existing_output(tmp_path, write):
    volume = simulate(seed=4, shape=(1, 12, 20), variables=["DBZH"])
    path = tmp_path / "x.dat"
    path.write_bytes(b"mine")
    with pytest.raises(BadInput, match="the output exists"):
        write(volume, path)
    assert path.read_bytes() == b"mine"
    write(volume, path, overwrite=True)
    assert fields_of(open_volume(path)["sweep_0"]) == ["DBZH"]


@contextmanager
def disk_of_4_kb():
    """No file of this process may grow beyond 4 kB: writing fails as it does on a full disk.

    Not a fixture: pytest writes between a test and the end of its fixtures, into a log that may be longer.
    """
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("write", WRITE_ALL)
def test_full_disk_leaves_nothing(tmp_path, write):
    volume = simulate(seed=4, shape=(2, 48, 80))
    with disk_of_4_kb(), pytest.raises(BadInput, match="cannot write"):
        write(volume, tmp_path / "out")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("write", WRITE_ALL)
def test_ctrl_c_leaves_nothing(tmp_path, write, monkeypatch):
    volume = simulate(seed=4, shape=(2, 24, 40), variables=["DBZH"])

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sciai.radar.data.write.pack", interrupt)
    monkeypatch.setattr("sciai.radar.data.odim_write.pack", interrupt)
    monkeypatch.setattr("sciai.radar.data.pawr_write._cell_headers", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(volume, tmp_path / "out.dat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_to_write(tmp_path, write):
    with pytest.raises(BadInput, match="no data variable"):
        write(xr.DataTree.from_dict({"/sweep_0": xr.Dataset()}), tmp_path / "x")


def test_what_else_a_volume_came_with(tmp_path):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])
    volume.attrs |= {"not_read": ["quality1", "quality2"], "gains": np.float64([1.5, 2.5]), "mixed": ["a", 1]}
    parameters = xr.Dataset({"antenna_gain_h": ((), 45.0, {"units": "dB"}), "pulse": ("n", np.int16([1, 2]))})
    volume["radar_parameters"] = xr.DataTree(parameters.assign_attrs(made_by="somebody"))
    volume["radar_parameters/below"] = xr.DataTree(xr.Dataset(attrs={"deep": "yes"}))
    back = loaded(write_cfradial2(volume, tmp_path / "a.nc"), engine="netcdf4")
    xr.testing.assert_identical(
        back["radar_parameters"].to_dataset(inherit=False).load(), parameters.assign_attrs(made_by="somebody")
    )
    assert back["radar_parameters/below"].attrs == {"deep": "yes"}
    assert back.attrs["not_read"] == ["quality1", "quality2"]
    assert back.attrs["gains"].tolist() == [1.5, 2.5]
    assert "mixed" not in back.attrs
    assert open_volume(tmp_path / "a.nc")["sweep_0/DBZH"].equals(volume["sweep_0/DBZH"])


def test_no_echo_is_no_value_to_software_that_does_not_know_its_code(tmp_path):
    """Of a decoded store, whose fields are floats, xarray read no echo as -9998 dBZ."""
    volume = simulate(seed=4, shape=(1, 24, 40), variables=["DBZH", "VRADH"])
    volume["sweep_0/VRADH"].encoding = {}
    volume["sweep_0/VRADH"].attrs["_Undetect"] = 3.0
    assert (volume["sweep_0/DBZH_validity"] == 1).any()
    back = loaded(write_cfradial2(volume, tmp_path / "x.nc"))["sweep_0"]
    for field in ("DBZH", "VRADH"):
        np.testing.assert_allclose(back[field], volume["sweep_0"][field], atol=1e-4)
        np.testing.assert_array_equal(back[f"{field}_validity"], volume["sweep_0"][f"{field}_validity"])
    assert {"azimuth", "elevation", "time", "range"} <= set(back.coords)


def test_limits_of_the_sources_codes_hide_nothing(tmp_path):
    """netCDF4 hides what is beyond ``valid_range``, and compares codes with it."""
    volume = simulate(seed=4, shape=(1, 24, 40), variables=["DBZH"])
    volume["sweep_0/DBZH"].attrs["valid_range"] = np.float32([-32.0, 95.0])
    with netCDF4.Dataset(write_cfradial2(volume, tmp_path / "x.nc")) as nc:
        assert nc["sweep_0/DBZH"][...].count() == int((volume["sweep_0/DBZH_validity"] == 0).sum())


def test_variables_of_all_kinds(tmp_path):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])
    stamps = np.datetime64("2020-01-01", "ns") + np.arange(12) * np.timedelta64(33_333_333, "ns")
    ds = volume["sweep_0"].to_dataset(inherit=False)
    ds["on"] = ("azimuth", np.arange(12) % 2 == 0)
    ds["stamp"] = ("azimuth", stamps)
    ds["name"] = ("azimuth", [f"r{i}" for i in range(12)])
    ds["told"] = ("azimuth", np.array([f"é{i}" for i in range(12)], np.dtypes.StringDType()))
    ds["dwell"] = ("azimuth", np.arange(12).astype("m8[ms]").astype("m8[ns]"))
    ds["prt"] = ("azimuth", np.arange(12) / 1300.0)
    ds["time"] = ("azimuth", np.where(np.arange(12) == 3, np.datetime64("NaT"), stamps))
    root = volume.to_dataset().assign(frequency=("frequency", [9.4e9]), sweep_fixed_angle=("sweep", [0.5]))
    tree = {"/": root, "/sweep_0": ds, "/sweep_0/monitoring": xr.Dataset({"power": 3.5})}
    back = loaded(
        write_cfradial2(xr.DataTree.from_dict(tree), tmp_path / "x.nc"),
        decode_timedelta=xr.coders.CFTimedeltaCoder(),
    )
    for name in ("on", "stamp", "name", "told", "dwell", "prt", "time"):
        np.testing.assert_array_equal(back["sweep_0"][name], ds[name], err_msg=name)
    assert back["sweep_0/on"].dtype == bool
    assert back["frequency"].values.tolist() == [9.4e9]
    assert float(back["sweep_0/monitoring/power"]) == 3.5
    again = open_volume(tmp_path / "x.nc")
    np.testing.assert_array_equal(again["sweep_0/DBZH"], volume["sweep_0/DBZH"])


def test_what_netcdf_cannot_hold_is_said(tmp_path):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])
    ds = volume["sweep_0"].to_dataset().assign(iq=("azimuth", np.ones(12, complex)))
    volume["sweep_0"] = xr.DataTree(ds)
    with pytest.warns(UserWarning, match="iq: netCDF cannot hold complex128; left out"):
        write_cfradial2(volume, tmp_path / "x.nc")


def test_times_that_are_no_dates(tmp_path):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])
    ds = volume["sweep_0"].to_dataset()
    ds["time"] = ("azimuth", np.arange(12) / 10, {"units": "seconds since 2020-01-01T00:00:00Z"})
    volume["sweep_0"] = xr.DataTree(ds)
    back = open_volume(write_cfradial2(volume, tmp_path / "x.nc"))
    assert back["sweep_0/time"].values[11] == np.datetime64("2020-01-01T00:00:01.100")


NEEDY = [write_odim, write_cfradial1, write_pawr]


def changed(**variables):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["VRADH"])
    volume["sweep_0"] = xr.DataTree(volume["sweep_0"].to_dataset(inherit=False).assign(variables))
    return volume


@pytest.mark.parametrize("write", NEEDY)
def test_times_that_a_format_needs(tmp_path, write):
    """ODIM got the year 1970, and CfRadial 1 could not be read again."""
    unknown = np.full(12, np.datetime64("2020-01-01", "ns"))
    unknown[3] = np.datetime64("NaT")
    for time in (("azimuth", unknown), ("azimuth", np.arange(12.0))):
        with pytest.raises(BadInput, match="sweep_0 has times"):
            write(changed(time=time), tmp_path / "x")
    written = write(changed(time=((), unknown[0])), tmp_path / "x")
    assert (open_volume(written)["sweep_0/time"].values >= unknown[0]).all()


@pytest.mark.parametrize("write", NEEDY)
def test_pulses_in_turn_have_no_nyquist_velocity_between_them(tmp_path, write):
    """8 and 16 m/s by turns came back as 12 m/s."""
    velocities = np.where(np.arange(12) % 2, 8.0, 16.0)
    volume = changed(nyquist_velocity=("azimuth", velocities))
    found = open_volume(write(volume, tmp_path / "x"))["sweep_0"].get("nyquist_velocity")
    if write is write_cfradial1:
        np.testing.assert_array_equal(found, velocities)
        np.testing.assert_array_equal(
            open_volume(write_cfradial2(volume, tmp_path / "y"))["sweep_0/nyquist_velocity"], velocities
        )
    else:
        assert found is None


@pytest.mark.parametrize("write", [*NEEDY, write_cfradial2])
def test_angles_of_one_and_sweeps_without_fields(tmp_path, write):
    volume = changed(sweep_fixed_angle=("x", [0.5]))
    volume["sweep_1"] = xr.DataTree(volume["sweep_0"].to_dataset().drop_vars(["VRADH", "VRADH_validity"]))
    volume["sweep_1"] = xr.DataTree(volume["sweep_1"].to_dataset(inherit=False).isel(azimuth=slice(3)))
    assert float(open_volume(write(volume, tmp_path / "x"))["sweep_0/sweep_fixed_angle"]) > 0


@pytest.mark.parametrize("write", [*NEEDY, write_cfradial2])
def test_a_place_that_is_not_known_stays_so(tmp_path, write):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["VRADH"])
    place = dict.fromkeys(("latitude", "longitude", "altitude"), np.nan)
    volume.dataset = volume.to_dataset().assign_coords(place)
    back = open_volume(write(volume, tmp_path / "x"))
    assert [np.isnan(float(back[k])) for k in place] == [True] * 3


@pytest.mark.parametrize("write", [*NEEDY, write_cfradial2])
def test_one_gate_stays_where_it_is(tmp_path, write):
    volume = simulate(seed=1, shape=(1, 12, 20), variables=["VRADH"])
    volume["sweep_0"] = xr.DataTree(volume["sweep_0"].to_dataset(inherit=False).isel(range=slice(3, 4)))
    back = open_volume(write(volume, tmp_path / "x"))
    np.testing.assert_allclose(back["sweep_0/range"], volume["sweep_0/range"], atol=0.5)
