"""What a netCDF file says beside its fields: numbers and texts of rays and sweeps, groups, attributes."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.radar import compress, decompress
from sciai.radar.data import open_volume, simulate, write_cfradial1, write_cfradial2
from sciai.radar.data.build import sweeps_of


@pytest.fixture
def old(tmp_path):
    return write_cfradial1(simulate(seed=1, shape=(2, 36, 60), variables=["DBZH"]), tmp_path / "old.nc")


def test_what_else_is_said_of_rays_and_sweeps(tmp_path):
    """The place of a ship's radar was that of its first ray; pulses were gone."""
    volume = simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"])
    path = write_cfradial1(volume, tmp_path / "fixed.nc")
    ship = tmp_path / "ship.nc"
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(ship, "w") as new:
        new.setncatts({k: old.getncattr(k) for k in old.ncattrs()})
        for name, d in old.dimensions.items():
            new.createDimension(name, len(d))
        for name, v in old.variables.items():
            moves = name in ("latitude", "longitude")
            fill = getattr(v, "_FillValue", None)
            out = new.createVariable(name, v.dtype, ("time",) if moves else v.dimensions, fill_value=fill)
            out.setncatts({k: v.getncattr(k) for k in v.ncattrs() if k != "_FillValue"})
            for copied in (v, out):
                copied.set_auto_maskandscale(False)
            out[...] = 10.0 + np.arange(24) / 100 if moves else v[...]
        heading = new.createVariable("heading", "i2", ("time",), fill_value=-1)
        heading.setncatts({"scale_factor": 0.5, "units": "degrees"})
        heading[...] = np.arange(24) / 2
        new.createVariable("prt", "f4", ("time",))[...] = 1e-3
        new.createVariable("prt_mode", "S1", ("sweep", "string_length"))[...] = np.array(
            [list("fixed".ljust(32, "\0")), list("dual".ljust(32, "\0"))], "S1"
        )
        for name, units in (("moved", "seconds since 2020-01-01"), ("odd", "seconds since lunch")):
            new.createVariable(name, "f8", ("time",)).units = units
            new[name][...] = np.arange(24)
        new.createVariable("radar_beam_width_h", "f4", ())[...] = 1.5
    read = open_volume(ship)
    again = open_volume(write_cfradial2(read, tmp_path / "again.nc"))
    older = open_volume(write_cfradial1(read, tmp_path / "older.nc"))
    for found in (read, again, older):
        moved = found["sweep_1"].to_dataset(inherit=False).sortby("time")
        np.testing.assert_allclose(moved["latitude"], 10.12 + np.arange(12) / 100)
        np.testing.assert_allclose(moved["heading"], 6 + np.arange(12) / 2)
        np.testing.assert_array_equal(moved["prt"], np.float32(1e-3))
    for found in (read, again):
        seconds = found["sweep_0/moved"].values - np.datetime64("2020-01-01")
        assert sorted(seconds / np.timedelta64(1, "s")) == list(range(12))
        assert sorted(found["sweep_0/odd"].values) == list(range(12))
        assert str(found["sweep_1/prt_mode"].values) == "dual"
        assert float(found["radar_beam_width_h"]) == 1.5
    compress(read, tmp_path / "a.zarr", codec="plain").unwrap()
    stored = decompress(tmp_path / "a.zarr")["sweep_1"].to_dataset(inherit=False)
    np.testing.assert_array_equal(stored["longitude"], read["sweep_1"].to_dataset(inherit=False)["longitude"])


def enriched():
    volume = simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"])
    volume.attrs |= {"references": "a paper", "gains": np.float64([1.5, 2.5]), "field_names": "REF"}
    root = volume.to_dataset().assign(frequency=("frequency", np.float32([9.4e9])), serial=("k", ["a", "b"]))
    nodes = {"/": root.assign(platform_type="fixed")}
    for i in (0, 1):
        ds = volume[f"sweep_{i}"].to_dataset(inherit=False)
        ds["label"] = ("azimuth", [f"ray {k}" for k in range(12)])
        ds["prts"] = (("azimuth", "prt_of_two"), np.arange(24.0).reshape(12, 2))
        ds["weight"] = ("range", np.arange(20.0))
        ds["spectrum"] = (("azimuth", "range", "bin"), np.arange(720.0).reshape(12, 20, 3))
        nodes[f"/sweep_{i}"] = ds.assign_attrs(rays_are_indexed="true")
    parameters = {"antenna_gain_h": ((), 45.0, {"units": "dB"}), "window": ("n", np.int16([1, 2]))}
    nodes["/radar_parameters"] = xr.Dataset(parameters, attrs={"made_by": "somebody"})
    nodes["/radar_calibration/first"] = xr.Dataset({"noise": -60.0})
    return xr.DataTree.from_dict(nodes)


def test_all_that_a_cfradial_2_file_says(tmp_path):
    """Parameters, calibration, attributes, arrays of texts and frequencies were gone without a word."""
    volume = enriched()
    back = open_volume(write_cfradial2(volume, tmp_path / "x.nc"))
    for sweep in sweeps_of(volume):
        for name in ("label", "prts", "weight", "spectrum"):
            xr.testing.assert_equal(back[sweep][name].variable, volume[sweep][name].variable)
        assert back[sweep].attrs == {"rays_are_indexed": "true"}
    for name in ("frequency", "serial", "platform_type"):
        xr.testing.assert_equal(back[name].variable, volume[name].variable)
    for group in ("radar_parameters", "radar_calibration", "radar_calibration/first"):
        xr.testing.assert_identical(
            back[group].to_dataset(inherit=False), volume[group].to_dataset(inherit=False)
        )
    assert back.attrs["references"] == "a paper"
    assert back.attrs["gains"].tolist() == [1.5, 2.5]
    assert "field_names" not in back.attrs  # they have other names here
    compress(back, tmp_path / "a.zarr", lossless=True, codec="plain").unwrap()
    again = decompress(tmp_path / "a.zarr")
    assert float(again["radar_calibration/first/noise"]) == -60.0
    np.testing.assert_array_equal(again["sweep_1/label"], volume["sweep_1/label"])
    one = volume.copy()
    for i, name in enumerate(("one.nc", "two.nc")):
        write_cfradial2(one.drop_nodes(f"sweep_{1 - i}"), tmp_path / name)
    both = open_volume([tmp_path / "one.nc", tmp_path / "two.nc"])
    assert float(both["radar_parameters/antenna_gain_h"]) == 45.0


def test_dimensions_of_one_name_and_another_size(tmp_path):
    """xarray makes no tree of such groups."""
    path = write_cfradial2(enriched().drop_nodes("radar_calibration"), tmp_path / "x.nc")
    with netCDF4.Dataset(path, "a") as nc:
        for group in (nc.createGroup("radar_calibration"), nc.createGroup("monitoring")):
            group.createDimension("frequency", 3)
            group.createVariable("noise", "f4", ("frequency",))[:] = 1
            group.createVariable("gain", "f4")[...] = 45
        nc["sweep_0"].createGroup("georeference").createVariable("heading", "f4", ("azimuth",))[:] = 1
    back = open_volume(path)
    assert float(back["monitoring/gain"]) == 45
    assert "noise" not in back["monitoring"]
    assert back.attrs["not_read"] == "groups in sweeps: georeference"


def test_frequencies_of_cfradial_1(tmp_path, old):
    with netCDF4.Dataset(old, "a") as nc:
        nc.createDimension("frequency", 1)
        nc.createVariable("frequency", "f4", ("frequency",))[:] = 9.4e9
        nc.createDimension("r_calib", 2)
        nc.createVariable("r_calib_time", "S1", ("r_calib", "string_length"))[...] = np.array(
            [list("2020".ljust(32, "\0")), list("2021".ljust(32, "\0"))], "S1"
        )
        nc.createVariable("n_prts", "i4", ("time", "r_calib"))[...] = np.arange(144).reshape(72, 2)
        nc.setncattr("n_gates_vary", "false")
    back = open_volume(old)
    assert back["frequency"].values.tolist() == [np.float32(9.4e9)]
    assert back["r_calib_time"].values.tolist() == ["2020", "2021"]
    assert sorted(back["sweep_1/time"].dims) == ["azimuth"]
    assert "n_gates_vary" not in back.attrs
