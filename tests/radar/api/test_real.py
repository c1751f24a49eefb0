"""Real volumes through the store: formats, geometries and fields that no test invents; one of full size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Level
from sciai.radar import compress, decompress, open_volume
from sciai.radar.api import verify

FEW = ("Jabbeke_bejab_20151009.h5", "KLOT20210215_212114_trim.ar2v", "MXPol_RHI_20120929_064418.nc")


def prove(path: Path | list[Path], folder: Path, codec: str = "auto") -> None:
    tree = open_volume(path)
    answer = compress(tree, folder / "a.zarr", codec=codec)
    assert answer.level <= Level.CAUTION
    back = decompress(folder / "a.zarr")
    for name, report in answer.unwrap().variables.items():
        squares, count = 0.0, 0
        for sweep in tree.children:
            if name not in tree[sweep]:
                continue
            before, after = tree[f"{sweep}/{name}"].values, back[f"{sweep}/{name}"].values
            flags = tree[f"{sweep}/{name}_validity"].values
            np.testing.assert_array_equal(back[f"{sweep}/{name}_validity"].values, flags)
            np.testing.assert_array_equal(np.isnan(after), flags != 0)
            error = after[flags == 0].astype(np.float64) - before[flags == 0]
            assert abs(error).max(initial=0) <= report.max_error
            squares, count = squares + float(error @ error), count + error.size
        if count and squares:
            assert 10 * np.log10(report.psnr_peak**2 * count / squares) >= 35
    for node in tree.subtree:
        for name, variable in node.to_dataset(inherit=False).coords.items():
            other = back[node.path].coords[name] if node.path != "/" else back.coords[name]
            np.testing.assert_array_equal(other.values, variable.values)


@pytest.mark.parametrize(
    ("name", "codec"), [(FEW[0], "plain"), (FEW[1], "quick"), (FEW[2], "quick"), (FEW[2], "auto")]
)
def test_a_few_real_volumes(shared_data: Path, tmp_path: Path, name: str, codec: str) -> None:
    prove(shared_data / "radar" / name, tmp_path, codec)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_real_volume(shared_data: Path, tmp_path: Path) -> None:
    """Every file that opens by itself; sets of files are the business of the readers' tests."""
    done = 0
    for k, path in enumerate(sorted((shared_data / "radar").iterdir())):
        if path.suffix == ".md":
            continue
        (tmp_path / str(k)).mkdir()
        prove(path, tmp_path / str(k))
        done += 1
    assert done > 40


@pytest.mark.slow
def test_lossless_on_real_volumes(shared_data: Path, tmp_path: Path) -> None:
    for name in FEW:
        tree = open_volume(shared_data / "radar" / name)
        answer = compress(tree, tmp_path / f"{name}.zarr", lossless=True)
        assert all(r.lossless for r in answer.unwrap().variables.values())
        assert verify(tree, tmp_path / f"{name}.zarr").level <= Level.CAUTION


MEASURE = """
import resource, sys
import numpy as np, xarray as xr
from sciai.radar import compress, decompress
from tests.radar.synthetic import smooth

def sweep(k):
    rng = np.random.default_rng(k)
    flags = np.digitize(smooth(rng, 300, 800, 0.02), [0.1, 0.6]).astype(np.uint8)
    data = {}
    for name in ("DBZH", "ZDR", "RHOHV", "PHIDP", "KDP", "VRADH", "WRADH", "TH"):
        values = smooth(rng, 300, 800).astype(np.float32)
        values[flags != 0] = np.nan
        data[name] = (("azimuth", "range"), values)
        data[name + "_validity"] = (("azimuth", "range"), flags.copy())
    return xr.Dataset(data, {"azimuth": np.arange(300) * 1.2, "range": np.arange(800) * 75.0})

def peak():
    try:  # what resource says begins with what the process that started this one had
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e6
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

if sys.argv[1] == "compress":
    tree = xr.DataTree.from_dict({f"/sweep_{k}": sweep(k) for k in range(114)})
    made = peak()
    answer = compress(tree, sys.argv[2], codec=sys.argv[3], progress=lambda part, what: None)
    print(made, peak(), answer.unwrap().seconds)
else:
    tree = decompress(sys.argv[2])
    print(0, peak(), 0)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("codec", ["plain", "quick", "auto"])
def test_memory_of_a_full_size_volume(tmp_path: Path, codec: str) -> None:
    """114 x 300 x 800 gates x 8 variables in memory (1.1 GB of them the volume itself): never above 2 GB."""
    for what in ("compress", "decompress"):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, what, str(tmp_path / "a.zarr"), codec],
            capture_output=True,
            text=True,
            check=True,
        )
        made, peak, seconds = (float(word) for word in done.stdout.split())
        print(f"{codec} {what}: volume {made:.2f} GB, peak {peak:.2f} GB, {seconds:.0f} s")
        assert peak < 2.0


def test_opening_stays_lazy(shared_data: Path, tmp_path: Path) -> None:
    """A store is coded again from its lazy tree without loading more than a sweep at a time."""
    compress(shared_data / "radar" / FEW[0], tmp_path / "a.zarr", codec="plain")
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr", chunks=None)
    compress(lazy, tmp_path / "b.zarr", codec="plain", psnr=60)
    assert not lazy["sweep_0/DBZH"].variable._in_memory
    assert verify(lazy, tmp_path / "b.zarr").level <= Level.CAUTION
