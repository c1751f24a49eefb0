"""A variable that misses its PSNR by little: a few of its planes are coded again, more finely."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.radar import compress, decompress
from sciai.radar.api import verify
from sciai.radar.api.encode import Encoder
from sciai.radar.api.needs import Task
from sciai.radar.model.context import quick_codec
from tests.radar.synthetic import volume

FIELDS = ("DBZH", "TH", "VRADH")


def coded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, margin: float) -> list[Task]:
    """Compress with a planner that aims `margin` dB too high; the values that were coded, in order."""
    done: list[Task] = []
    whole = Encoder._code_values

    def watched(self: Encoder, task: Task) -> None:
        done.append(task)
        whole(self, task)

    monkeypatch.setattr(Encoder, "_code_values", watched)
    monkeypatch.setattr(quick_codec, "_MARGIN", margin)
    tree = volume(70, ((72, 90),) * 12, FIELDS)
    answer = compress(tree, tmp_path / "a.zarr", codec="quick").unwrap()
    again = verify(tree, tmp_path / "a.zarr").unwrap()
    for var, report in answer.variables.items():
        assert report.psnr >= 35
        assert again.variables[var].psnr == pytest.approx(report.psnr, abs=1e-9)
        assert again.variables[var].max_error == report.max_error
    decompress(tmp_path / "a.zarr").load()
    return done


def test_a_small_miss_costs_few_planes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = coded(monkeypatch, tmp_path, -0.1)
    anew = done[12 * len(FIELDS) :]
    assert 0 < len(anew) <= 0.6 * 12 * len(FIELDS)
    # what has the step of another variable changes with it, so that one still predicts the other
    assert {(at, v) for at, v, _ in anew if v == "TH"} == {(at, "TH") for at, v, _ in anew if v == "DBZH"}


def test_a_large_miss_is_planned_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = coded(monkeypatch, tmp_path, -1.5)
    assert len(done) >= 2 * 12 * len(FIELDS)
