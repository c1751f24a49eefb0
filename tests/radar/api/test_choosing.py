"""Which codecs are compared on what, and what that decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.radar import compress
from sciai.radar.api import choosing, verify
from sciai.radar.api.encode import Encoder
from sciai.radar.api.source import open_source
from sciai.radar.model.transform import TransformCodec
from tests.radar.synthetic import volume


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(variable, number of sweeps) of each time that the transform codec plans."""
    seen = []
    plan = TransformCodec._planned

    def watched(self: Any, var: str, sweeps: Any, *how: Any) -> Any:
        seen.append((var, len(sweeps)))
        return plan(self, var, sweeps, *how)

    monkeypatch.setattr(TransformCodec, "_planned", watched)
    return seen


@pytest.mark.parametrize("kept", [True, False])
def test_the_transform_codec_plans_on_all_sweeps_only_where_it_is_going_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: list[tuple[str, int]], kept: bool
) -> None:
    monkeypatch.setattr(choosing, "worth_trying", lambda items, sizes: items[: None if kept else 1])
    tree = volume(62, ((36, 50),) * 5, ("DBZH", "VRADH"))
    answer = compress(tree, tmp_path / "a.zarr").unwrap()
    assert planned == [("VRADH", 2), ("VRADH", 5)][: 1 + kept]
    assert set(answer.variables["VRADH"].tried) == {"context", "transform", "plain"}
    assert set(answer.variables["DBZH"].tried) == {"context", "plain"}
    assert all(v.psnr >= 35 for v in answer.variables.values())
    verify(tree, tmp_path / "a.zarr").unwrap()


def test_it_is_not_asked_about_rough_fields_or_where_every_bit_is_kept(
    tmp_path: Path, planned: list[tuple[str, int]]
) -> None:
    rng = np.random.default_rng(3)
    noise = xr.DataArray(rng.uniform(-20, 20, (36, 50)).astype("f4"), dims=("azimuth", "range"))
    tree = xr.DataTree.from_dict({"/sweep_0": xr.Dataset({"VRADH": noise})})
    compress(tree, tmp_path / "a.zarr").unwrap()
    compress(volume(62, ((36, 50),), ("VRADH",)), tmp_path / "b.zarr", lossless=True).unwrap()
    assert planned == []


def test_asking_imports_no_torch(tmp_path: Path) -> None:
    """Two seconds and a third of a gigabyte, for what is nearly always answered with no."""
    code = (
        "import sys, sciai.radar as r\n"
        "a = r.compress(r.simulate(seed=1, shape=(2, 90, 300)), sys.argv[1]).unwrap()\n"
        "print('transform' in a.variables['VRADH'].tried, a.variables['VRADH'].codec,\n"
        "      [m for m in ('torch', 'compressai') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["True", "context", "[]"]


def test_what_it_takes_is_measured_at_the_error_that_the_others_reached(tmp_path: Path) -> None:
    tree = volume(64, ((72, 100),) * 2, ("VRADH",))
    tried = compress(tree, tmp_path / "a.zarr").unwrap().variables["VRADH"].tried["transform"]
    alone = compress(tree, tmp_path / "b.zarr", codec="transform").unwrap().variables["VRADH"]
    size = alone.bits_per_value * 2 * 72 * 100 / 8
    assert 0.8 * size < tried < 1.25 * size


def test_sweeps_of_the_comparison_have_every_variable() -> None:
    tree = volume(63, ((4, 9),) * 8, ("DBZH", "VRADH"))
    for k in (1, 2, 5, 6):  # as NEXRAD's surveillance sweeps
        tree[f"sweep_{k}"] = xr.DataTree(
            tree[f"sweep_{k}"].to_dataset().drop_vars(["VRADH", "VRADH_validity"])
        )
    assert choosing.trial_sweeps(open_source(tree)) == [2, 3, 6, 7]
    assert choosing.trial_sweeps(open_source(volume(63, ((4, 9),) * 8, ("DBZH",)))) == [2, 6]


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_comparison_has_coded_is_not_coded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """And the store is the same as without that, byte for byte."""
    tree = volume(65, ((36, 50),) * 5, ("DBZH", "TH", "VRADH", "PHIDP"))
    coded: list[tuple[int, str, str]] = []
    run = Encoder._run_task
    monkeypatch.setattr(Encoder, "_run_task", lambda self, task: (coded.append(task), run(self, task))[1])
    compress(tree, tmp_path / "a.zarr").unwrap()
    assert len(coded) == len(set(coded)) == 5 * 4 * 2
    monkeypatch.setattr(choosing, "staying", lambda *how: {})
    compress(tree, tmp_path / "b.zarr").unwrap()
    assert len(coded) == 40 + 56
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


@pytest.mark.parametrize("first", [True, False])
def test_planes_of_the_comparison_that_another_codec_won_are_coded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Here the codec that lost is taken, for one variable or its twin; the other hangs on it."""
    var = "DBZH" if first else "TH"
    tree = volume(66, ((36, 50),) * 3, ("DBZH", "TH"))
    worth = choosing.worth_trying

    def losing(items: Any, sizes: Any) -> Any:
        best = worth(items, sizes)
        lost = len(items) > 1 and losers.pop(0) == var
        return [i for i in items if i not in best[:1]] if lost else best[:1]

    for name in ("a", "b"):
        losers = ["DBZH", "TH"]
        monkeypatch.setattr(choosing, "worth_trying", losing)
        if name == "b":
            monkeypatch.setattr(choosing, "staying", lambda *how: {})
        done = compress(tree, tmp_path / name).unwrap()
        assert done.variables[var].codec == "plain"
        verify(tree, tmp_path / name).unwrap()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def files_of(store: Path) -> dict[str, bytes]:
    return {str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()}
