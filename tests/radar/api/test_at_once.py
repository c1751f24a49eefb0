"""A store that is read by many at once; each way of it once waited for itself for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from sciai.radar import compress, simulate
from sciai.radar.api.cache import PlaneCache

READ = """
import asyncio, multiprocessing, sys
from concurrent.futures import ThreadPoolExecutor
import xarray as xr, zarr

def mean(var):
    return float(xr.open_datatree(sys.argv[1], engine="zarr", chunks=None)["sweep_0"][var].mean())

def answer(queue):
    queue.put(mean("DBZH"))

async def load(dataset):
    return await dataset.load_async()

if __name__ == "__main__":
    zarr.config.set({"threading.max_workers": 1})
    alone = mean("DBZH")
    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(mean, ["DBZH"] * 12)) == {alone}
        pool.map(mean, ["ZDR", "KDP", "VRADH"] * 4)
    tree = xr.open_datatree(sys.argv[1], engine="zarr")
    assert float(asyncio.run(load(tree["sweep_0"].to_dataset())).DBZH.mean()) == alone
    forked = multiprocessing.get_context("fork")
    queue = forked.Queue()
    child = forked.Process(target=answer, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == alone
    child.join()
"""


def test_threads_coroutines_and_a_forked_process(tmp_path: Path) -> None:
    compress(simulate(seed=1, shape=(1, 36, 60)), tmp_path / "a.zarr", effort="fast")
    (tmp_path / "read.py").write_text(READ)
    command = [sys.executable, str(tmp_path / "read.py"), str(tmp_path / "a.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


def test_a_plane_that_another_thread_makes_when_the_process_forks() -> None:
    """Whoever asked for it in the child waited for a thread that is not there."""
    cache, begun, end = PlaneCache(1 << 20), threading.Event(), threading.Event()

    def slowly() -> np.ndarray:
        begun.set()
        end.wait(30)
        return np.zeros(1)

    thread = threading.Thread(target=cache.get, args=(("plane",), slowly))
    thread.start()
    begun.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        cache.get(("plane",), lambda: np.ones(1))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    end.set()
    thread.join()
