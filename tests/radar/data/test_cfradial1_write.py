"""CfRadial 1: what goes out comes back, validity included, and tools older than CfRadial 2 can read it."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume, simulate, write_cfradial1
from sciai.radar.data.build import fields_of, sweeps_of


def same(volume: xr.DataTree, back: xr.DataTree) -> None:
    """All sweeps, in the order in which they were scanned; gates beyond a sweep's last one are missing."""
    assert float(volume["latitude"]) == float(back["latitude"])
    scanned = sorted(sweeps_of(volume), key=lambda s: volume[s].time.values.min())
    assert len(sweeps_of(back)) == len(scanned)
    for i, name in enumerate(scanned):
        was, now = volume[name].to_dataset(), back[f"sweep_{i}"].to_dataset()
        for c in ("azimuth", "elevation", "time", "sweep_mode"):
            np.testing.assert_array_equal(was[c], now[c], err_msg=c)
        assert float(now.sweep_fixed_angle) == pytest.approx(float(was.sweep_fixed_angle), abs=1e-4)
        gates = was.sizes["range"]
        np.testing.assert_array_equal(was.range, now.range[:gates])
        for field in fields_of(was):
            np.testing.assert_array_equal(was[field], now[field][:, :gates], err_msg=field)
            flags = now[f"{field}_validity"].values
            np.testing.assert_array_equal(was[f"{field}_validity"], flags[:, :gates], err_msg=field)
            assert (flags[:, gates:] == 2).all()


def test_simulated(tmp_path: Path) -> None:
    volume = simulate(seed=4, shape=(3, 48, 80))
    back = open_volume(write_cfradial1(volume, tmp_path / "x.nc"))
    same(volume, back)
    assert back.attrs["synthetic"] == "true"
    nyquist = float(volume["sweep_0/nyquist_velocity"])
    assert float(back["sweep_0/nyquist_velocity"]) == pytest.approx(nyquist, abs=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "Aleria_frale_20151010.h5",  # sweeps from above, and at once
        "MXPol_RHI_20120929_064418.nc",
        "dn_KFWS20190609_222523.bin",  # fields and gates differ from sweep to sweep
        "or_sample_rainbow_5_59.vol",
    ],
)
def test_real(tmp_path: Path, shared_data: Path, name: str) -> None:
    volume = open_volume(shared_data / "radar" / name)
    same(volume, open_volume(write_cfradial1(volume, tmp_path / "x.nc")))


def test_shorter_sweeps_and_fields_that_some_lack(tmp_path: Path) -> None:
    long, short = (simulate(seed=4, shape=(2, 36, 60))[s].to_dataset() for s in ("sweep_0", "sweep_1"))
    short = short.isel(range=slice(40)).drop_vars(["ZDR", "ZDR_validity"])
    short["time"] = short.time + np.timedelta64(60, "s")
    root = simulate(seed=4, shape=(1, 36, 60)).to_dataset()
    volume = xr.DataTree.from_dict({"/": root, "/sweep_0": short, "/sweep_1": long})
    back = open_volume(write_cfradial1(volume, tmp_path / "x.nc"))
    same(volume, back)
    assert (back["sweep_1/ZDR_validity"] == 2).all()


def test_sweeps_of_other_gates_are_refused(tmp_path: Path) -> None:
    volume = simulate(seed=4, shape=(2, 36, 60), variables=["DBZH"])
    wide = volume["sweep_1"].to_dataset()
    volume["sweep_1"] = xr.DataTree(wide.assign_coords(range=wide.range * 2))
    with pytest.raises(
        BadInput, match=r"sweep_\d has other gates than sweep_\d .*every .* m.*; write CfRadial2"
    ):
        write_cfradial1(volume, tmp_path / "x.nc")
    assert not list(tmp_path.iterdir())


def test_no_field_and_an_existing_file(tmp_path: Path) -> None:
    volume = simulate(seed=4, shape=(1, 12, 20), variables=["DBZH"])
    with pytest.raises(BadInput, match="no data variable"):
        write_cfradial1(xr.DataTree.from_dict({"/sweep_0": xr.Dataset()}), tmp_path / "x.nc")
    write_cfradial1(volume, tmp_path / "x.nc")
    with pytest.raises(BadInput, match="exists"):
        write_cfradial1(volume, tmp_path / "x.nc")
    write_cfradial1(volume, tmp_path / "x.nc", overwrite=True)


def test_as_old_tools_need_it(tmp_path: Path) -> None:
    """The classic model, no types without sign, one fill value for both kinds of invalid gate."""
    volume = simulate(seed=4, shape=(2, 24, 40), variables=["DBZH"])
    with netCDF4.Dataset(write_cfradial1(volume, tmp_path / "x.nc")) as nc:
        assert nc.data_model == "NETCDF4_CLASSIC"
        assert {v.dtype.kind + str(v.dtype.itemsize) for v in nc.variables.values()} <= {
            "S1",
            "i1",
            "i4",
            "f4",
            "f8",
        }
        assert not nc.groups
        assert set(nc.dimensions) == {"time", "range", "sweep", "string_length"}
        for name in (
            "Conventions",
            "title",
            "institution",
            "references",
            "source",
            "history",
            "instrument_name",
        ):
            assert name in nc.ncattrs()
        for name in (
            "volume_number",
            "time_coverage_start",
            "altitude",
            "fixed_angle",
            "sweep_end_ray_index",
        ):
            assert name in nc.variables
        assert netCDF4.chartostring(nc["sweep_mode"][:]).tolist() == ["azimuth_surveillance"] * 2
        assert nc["range"].meters_between_gates == pytest.approx(float(nc["range"][1] - nc["range"][0]))
        masked = np.ma.getmaskarray(nc["DBZH"][:24])
        np.testing.assert_array_equal(masked, volume["sweep_0/DBZH_validity"].values != 0)


def test_xradar_reads_it(tmp_path: Path) -> None:
    xradar = pytest.importorskip("xradar")
    volume = simulate(seed=4, shape=(1, 36, 60), variables=["DBZH", "ZDR"])
    with xradar.io.open_cfradial1_datatree(write_cfradial1(volume, tmp_path / "x.nc")) as opened:
        tree = opened.load()
    for name in ("azimuth", "elevation", "range", "DBZH", "ZDR"):
        expected = volume[f"sweep_0/{name}"].values
        np.testing.assert_allclose(tree[f"sweep_0/{name}"].values, expected, atol=1e-4)


def test_attributes_that_the_classic_model_does_not_have(tmp_path: Path) -> None:
    volume = simulate(0, 0, (1, 36, 60), ["DBZH"])
    volume.attrs |= {"makers": ["A", "B"], "serial": np.uint64(2**40), "site": "Z\udcfcrich"}
    volume["sweep_0/DBZH"].attrs |= {"bins": np.arange(3, dtype=np.uint8), "number": np.uint16(7)}
    back = open_volume(write_cfradial1(volume, tmp_path / "x.nc"))
    same(volume, back)
    with netCDF4.Dataset(tmp_path / "x.nc") as nc:
        assert (nc.makers, nc.serial, nc.site) == ("A, B", 2**40, "Zürich")
    assert back["sweep_0/DBZH"].attrs["number"] == 7


def test_the_code_of_no_echo_in_another_packing(tmp_path: Path) -> None:
    """As xarray opens CfRadial 2: ``_Undetect`` tells of the codes on disk, here of the value 20 dBZ."""
    volume = simulate(0, 0, (1, 36, 60), ["DBZH"])
    field = volume["sweep_0"].to_dataset()["DBZH"]
    field.values[field.notnull()] = np.round(field.values[field.notnull()])
    field.attrs["_Undetect"], field.encoding = 20.0, {}
    assert (field.values == 20).any()
    volume["sweep_0/DBZH"] = field
    same(volume, open_volume(write_cfradial1(volume, tmp_path / "x.nc")))


def test_what_else_the_volume_says(tmp_path: Path) -> None:
    """Frequency and beam width, which Py-ART reads, were gone from a file that was read and written."""
    volume = simulate(seed=1, shape=(2, 12, 20), variables=["DBZH"])
    root = volume.to_dataset().assign(
        frequency=("frequency", np.float32([9.4e9]), {"units": "s-1"}),
        radar_beam_width_h=1.5,
        status=((), "é" * 40),
        volume_number=7,
        names=("k", np.array(["a", "bc"], np.dtypes.StringDType())),
        odd=("string_length", [1, 2]),  # of another size than that of texts
    )
    sweeps = {f"/sweep_{i}": volume[f"sweep_{i}"].to_dataset(inherit=False) for i in (0, 1)}
    for i, ds in enumerate(sweeps.values()):
        ds["prt_mode"], ds["scan_rate"] = ((), ["fixed", "dual"][i]), ((), 6.0 * (i + 1))
    back = open_volume(write_cfradial1(xr.DataTree.from_dict({"/": root, **sweeps}), tmp_path / "x.nc"))
    for name in ("frequency", "radar_beam_width_h", "status", "volume_number"):
        np.testing.assert_array_equal(back[name], root[name], err_msg=name)
    assert back["names"].values.tolist() == ["a", "bc"]
    assert [str(back[f"sweep_{i}/prt_mode"].values) for i in (0, 1)] == ["fixed", "dual"]
    assert [float(back[f"sweep_{i}/scan_rate"]) for i in (0, 1)] == [6.0, 12.0]


def test_that_the_kinds_of_invalid_gates_were_not_told_apart(tmp_path: Path) -> None:
    """Read again, such a volume seemed to tell below noise from missing."""
    ds = simulate(seed=1, shape=(1, 12, 20), variables=["DBZH"])["sweep_0"].to_dataset()
    volume = open_volume(xr.DataTree.from_dict({"/sweep_0": ds.drop_vars("DBZH_validity")}))
    back = open_volume(write_cfradial1(volume, tmp_path / "x.nc"))
    said = back["sweep_0/DBZH_validity"].attrs["comment"]
    assert said == volume["sweep_0/DBZH_validity"].attrs["comment"]
    assert "does not tell" in said
