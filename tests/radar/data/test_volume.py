"""`open_volume`: formats told by content, trees of users, bad input, and every shared file."""

from __future__ import annotations

import bz2
import gzip
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume, simulate, write_cfradial2, write_odim, write_pawr
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.validity import companion
from sciai.radar.data.volume import detect
from tests.radar.data import level2_by_hand


def check_conventions(volume):
    """What every opened volume keeps to."""
    assert {"latitude", "longitude", "altitude"} <= set(volume.coords)
    assert sweeps_of(volume) == [f"sweep_{i}" for i in range(len(sweeps_of(volume)))]
    for s in sweeps_of(volume):
        ds = volume[s].to_dataset()
        fields = fields_of(ds)
        assert fields
        ray = ds[fields[0]].dims[0]
        assert ray in ("azimuth", "elevation")
        assert (np.diff(ds[ray].values) >= 0).all()
        assert (np.diff(ds["range"].values) > 0).all()
        assert ds["time"].dtype.kind == "M"
        assert (ds["time"].values.astype("datetime64[ns]").astype(int) % 1_000_000 == 0).all()
        for f in fields:
            v, flags = ds[f], ds[companion(f)]
            assert v.dims == flags.dims == (ray, "range")
            assert v.dtype == np.float32
            assert flags.dtype == np.uint8
            assert flags.values.max() <= 2
            np.testing.assert_array_equal(np.isfinite(v.values), flags.values == 0)
            assert v.attrs["ancillary_variables"] == companion(f)
            assert flags.attrs["standard_name"] == "status_flag"


@pytest.fixture(scope="module")
def small():
    return simulate(seed=1, shape=(2, 24, 40), variables=["DBZH", "VRADH"])


def test_simulated_and_read_volumes_keep_the_conventions(small, tmp_path):
    check_conventions(small)
    for write in (write_cfradial2, write_odim):
        check_conventions(open_volume(write(small, tmp_path / write.__name__)))
    check_conventions(open_volume(write_pawr(small, tmp_path / "raw")))


def test_format_is_told_by_content(small, tmp_path):
    head, parts, *_ = level2_by_hand.small_volume()
    files = {
        "nexrad": head + b"".join(parts),
        "odim": write_odim(small, tmp_path / "a").read_bytes(),
        "netcdf": write_cfradial2(small, tmp_path / "b").read_bytes(),
        "pawr": write_pawr(small, tmp_path, variables=["DBZH"])[0].read_bytes(),
    }
    for kind, data in files.items():
        assert detect(data) == kind
        for pack in (bytes, gzip.compress, bz2.compress):
            misleading = tmp_path / "radar.h5.nc.txt"
            misleading.write_bytes(pack(data))
            assert sweeps_of(open_volume(str(misleading))) == ["sweep_0", "sweep_1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, I am not a radar file", "not a radar file of a known format"),
        (bytes(100_000), "not a radar file of a known format"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "truncated or damaged"),
        (b"CDF\x01" + bytes(10), "truncated or damaged|neither"),
        (b"AR2V0006.001", "ends inside"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "compressed file is truncated"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "compressed file is truncated"),
        (b"BZh9" + bytes(30), "compressed file is truncated"),
        (b'<volume version="5.43"><scan>', "rainbow"),
        (b"\x1b\x00\x08\x00\x00\x60\x39\x00\x00\x00\x00\x00\x1a\x00\x06\x00" + bytes(7000), "iris"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        open_volume(path)
    assert "some-file" in str(caught.value)
    assert caught.value.fix


def test_bad_paths(tmp_path):
    with pytest.raises(BadInput, match=r"no such file.*nowhere"):
        open_volume(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="a folder"):
        open_volume(tmp_path)
    with pytest.raises(BadInput, match="empty list"):
        open_volume([])
    with pytest.raises(BadInput, match="int"):
        open_volume(3)


def test_other_hdf5(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x", "w") as h5:
        h5["something"] = np.arange(3)
    with pytest.raises(BadInput, match="not a radar file"):
        open_volume(tmp_path / "x")


@pytest.fixture
def tree():
    values = np.array([[1.0, np.nan, np.inf], [-np.inf, 5.0, 6.0]])
    ds = xr.Dataset(
        {"reflectivity": (("azimuth", "range"), values), "DBZV": (("range", "azimuth"), values.T), "flag": 3},
        {"azimuth": [0.0, 180.0], "range": [500.0, 1500.0, 2500.0]},
        {"note": "kept"},
    )
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"site": "here"}), "/sweep_0": ds, "/radar_parameters": xr.Dataset({"a": 1})}
    )


def test_an_infinity_that_is_said_to_be_below_noise_stays_so():
    """The logarithm of no power, with a companion beside it, became missing; compress kept it."""
    values = np.array([[1.0, -np.inf, np.inf, 1e300]])
    ds = xr.Dataset({"DBZH": (("azimuth", "range"), values)})
    ds["DBZH_validity"] = (("azimuth", "range"), np.array([[0, 1, 0, 0]], np.uint8))
    found = open_volume(xr.DataTree.from_dict({"/sweep_0": ds}))["sweep_0"]
    assert found["DBZH_validity"].values.tolist() == [[0, 1, 2, 2]]
    assert np.isnan(found["DBZH"].values[0, 1:]).all()


def test_a_users_tree(tree):
    before = tree.copy(deep=True)
    volume = open_volume(tree)
    ds = volume["sweep_0"]
    for name in ("DBZH", "DBZV"):
        assert ds[name].dims == ("azimuth", "range")
        assert ds[name].dtype == np.float32
        assert ds[name + "_validity"].values.tolist() == [[0, 2, 2], [2, 0, 0]]
        np.testing.assert_array_equal(ds[name], np.array([[1, np.nan, np.nan], [np.nan, 5, 6]], np.float32))
        assert ds[name + "_validity"].attrs["infinite_gates"] == 2
        assert "does not tell" in ds[name + "_validity"].attrs["comment"]
    assert ds["DBZH"].attrs["source_name"] == "reflectivity"
    assert int(ds["flag"]) == 3
    assert ds.attrs["note"] == "kept"
    assert volume.attrs["site"] == "here"
    assert int(volume["radar_parameters/a"]) == 1
    assert tree.identical(before)
    assert open_volume(volume).identical(volume)


def test_sweeps_with_zeros_in_front_of_their_number(tree):
    padded = xr.DataTree.from_dict(
        {"/sweep_0003": tree["sweep_0"].to_dataset(), "/sweep_0003/more": xr.Dataset()}
    )
    assert list(open_volume(padded).children) == ["sweep_3"]
    assert "more" in open_volume(padded)["sweep_3"].children
    twice = xr.DataTree.from_dict({f"/{n}": tree["sweep_0"].to_dataset() for n in ("sweep_0", "sweep_00")})
    with pytest.raises(BadInput, match="two sweeps with one number: sweep_0 and sweep_00"):
        open_volume(twice)


def test_a_volume_that_is_a_branch_of_a_tree(tree):
    branch = xr.DataTree.from_dict({f"/site/{s}": tree[s].to_dataset() for s in sweeps_of(tree)})["site"]
    assert sweeps_of(open_volume(branch)) == sweeps_of(tree)


def test_what_there_is_instead_of_fields_is_said():
    cube = xr.Dataset({"DBZH": (("elevation", "azimuth", "range"), np.zeros((2, 3, 4)))})
    with pytest.raises(BadInput, match=r"there is DBZH over \(elevation, azimuth, range\)"):
        open_volume(cube)


def test_a_single_sweep_in_memory(tree):
    for sweep in (tree["sweep_0"].to_dataset(), xr.DataTree(tree["sweep_0"].to_dataset())):
        volume = open_volume(sweep)
        assert sweeps_of(volume) == ["sweep_0"]
        assert volume["sweep_0/DBZH_validity"].values.tolist() == [[0, 2, 2], [2, 0, 0]]


def test_a_users_companion_is_kept(small):
    volume = open_volume(small)
    assert volume["sweep_0/DBZH_validity"].identical(small["sweep_0/DBZH_validity"])
    assert volume.identical(small)


def test_trees_without_data():
    with pytest.raises(BadInput, match="no sweep"):
        open_volume(xr.DataTree())
    with pytest.raises(BadInput, match="no data variable"):
        open_volume(xr.DataTree.from_dict({"/sweep_0": xr.Dataset({"a": 1})}))


def test_import_is_light():
    code = (
        "import sys, sciai.radar, sciai.radar.data, sciai.radar.data.names, sciai.radar.data.validity;"
        "print([m for m in ('xarray', 'torch', 'ase', 'xradar', 'h5py', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_sweep_and_one_variable_per_file(small, tmp_path):
    files = []
    for i, s in enumerate(sweeps_of(small)):
        for v in ("DBZH", "VRADH"):
            ds = small[s].to_dataset()
            ds = ds.drop_vars([n for f in ("DBZH", "VRADH") if f != v for n in (f, companion(f))])
            part = xr.DataTree.from_dict({"/": small.to_dataset(), "/sweep_0": ds})
            files.append(write_cfradial2(part, tmp_path / f"{i}{v}.nc"))
    volume = open_volume(files)
    assert sweeps_of(volume) == ["sweep_0", "sweep_1"]
    for s in sweeps_of(small):
        for v in ("DBZH", "VRADH"):
            np.testing.assert_array_equal(volume[s][v], small[s][v])


def test_the_same_file_twice(small, tmp_path):
    file = write_odim(small, tmp_path / "a")
    with pytest.raises(BadInput, match=r"also in .*open them one at a time"):
        open_volume([file, file])
    twice = shutil.copy(file, tmp_path / "b")
    with pytest.raises(BadInput, match=r"also in .*a .*field DBZH.*open them one at a time"):
        open_volume([file, twice])


def sets_of(folder):
    """The volumes in the shared folder: sets of files that belong together, and single files."""
    sets = [sorted(folder.glob(p)) for p in ("Albis*", "Goa*", "DX50_2019*", "DX50_2023*")]
    times = sorted({f.name[:17] for f in folder.glob("wl_20200207*")})
    sets += [sorted(folder.glob(t + "*")) for t in times]
    used = {f for s in sets for f in s}
    return sets + [[f] for f in sorted(folder.iterdir()) if f not in used and f.suffix != ".md"]


def test_a_variety_of_shared_volumes(shared_data):
    names = (
        "DX50_2023",
        "LewisUK",
        "KMLB",
        "TSTL",
        "MXPol",
        "wl_SUR",
        "wl_20200207130500",
        "wl_2014",
        "Istanbul",
    )
    opened = 0
    for files in sets_of(shared_data / "radar"):
        if files[0].name.startswith(names):
            check_conventions(open_volume(files))
            opened += 1
    assert opened == len(names)


@pytest.mark.slow
def test_every_shared_volume_opens(shared_data):
    sets = sets_of(shared_data / "radar")
    assert len(sets) >= 50
    for files in sets:
        check_conventions(open_volume(files))


@pytest.mark.slow
def test_two_volumes_of_one_radar_are_refused(shared_data):
    first, second = sorted((shared_data / "radar").glob("wl_40_*"))
    with pytest.raises(BadInput, match="also in"):
        open_volume([first, second])


def test_no_module_hides_a_function():
    """Importing a module binds it to its package, over a function of the same name if there were one."""
    import importlib
    import pkgutil

    import sciai.radar.data as package

    for module in pkgutil.iter_modules(package.__path__):
        assert module.name not in package.__all__
        importlib.import_module(f"{package.__name__}.{module.name}")
    assert all(callable(getattr(package, n)) for n in package.__all__ if n != "BASE_URL")
