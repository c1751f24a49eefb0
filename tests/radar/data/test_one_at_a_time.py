"""Two threads in the netCDF library at once crash the process: nothing here lets them."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from sciai.radar.data import open_volume, simulate, write_cfradial1, write_cfradial2
from sciai.radar.data.one_at_a_time import netcdf_alone

THREADS = """
import faulthandler, gc, sys, threading
import xarray as xr
from sciai.radar.data import open_volume, write_cfradial1, write_cfradial2

folder, what = sys.argv[1:]
faulthandler.enable()
faulthandler.dump_traceback_later(200, exit=True)
volume = open_volume(f"{folder}/0.nc")


def read(n):
    for _ in range(25):
        open_volume(f"{folder}/{n}.nc")


def write(n):
    for k in range(12):
        (write_cfradial1, write_cfradial2)[k % 2](volume, f"{folder}/{n}-{k}.nc")


def left_open(n):  # by xarray, in cycles, for the garbage collector to close: here on a second thread
    for _ in range(8):
        gc.disable()
        for k in range(6):
            xr.open_datatree(f"{folder}/{k}.nc")
        collecting = threading.Thread(target=gc.collect)
        collecting.start()
        for _ in range(6):
            open_volume(f"{folder}/0.nc")
        collecting.join()


jobs = {"read": [read] * 4, "write": [read, write] * 2, "garbage": [left_open]}[what]
threads = [threading.Thread(target=job, args=(n,)) for n, job in enumerate(jobs)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("all ended")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    for k in range(6):
        write_cfradial2(simulate(seed=k, shape=(4, 60, 200), variables=["DBZH", "VRADH"]), folder / f"{k}.nc")
    return folder


@pytest.mark.parametrize("what", ["read", "write", "garbage"])
def test_threads(folder, what):
    """In CI a whole run of tests ended in a segmentation fault: garbage collected while a volume was read."""
    ran = subprocess.run(
        [sys.executable, "-c", THREADS, str(folder), what], capture_output=True, text=True, timeout=250
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "all ended" in ran.stdout


@pytest.mark.timeout(60)
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("write", [write_cfradial1, write_cfradial2])
def test_lazy_values_are_read_before_the_lock_is_taken(folder, tmp_path, engine, write):
    with xr.open_datatree(folder / "1.nc", engine=engine) as lazy:
        back = open_volume(write(lazy, tmp_path / "x.nc"))
        np.testing.assert_allclose(back["sweep_3/VRADH"], lazy["sweep_3/VRADH"], rtol=1e-6)


@pytest.mark.timeout(60)
def test_garbage_that_waits_for_the_lock_is_left_till_it_is_free(folder):
    """Files that xarray opens from bytes take the lock when they are collected."""
    opened = xr.open_dataset((folder / "1.nc").read_bytes(), engine="h5netcdf", group="sweep_0")
    cycle = [opened]
    cycle.append(cycle)
    del opened, cycle
    made = []
    with netcdf_alone():
        for _ in range(100_000):  # would set off any collection
            made.append([])
    assert gc.isenabled()
    assert open_volume(folder / "1.nc")["sweep_0/DBZH"].size == 12_000


def test_the_collector_is_left_as_it_was():
    gc.disable()
    try:
        with netcdf_alone():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ZeroDivisionError), netcdf_alone():
        1 / 0
    assert gc.isenabled()
