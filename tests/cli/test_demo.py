"""`sciai demo`: a report on whatever volume there is, and it says where that came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sciai.studio.radar as section
from sciai.cli import main
from sciai.core.errors import DamagedStore


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(section, "SIMULATED", {"seed": 3, "shape": (2, 60, 120)})
    monkeypatch.setattr(section, "RATES", (35.0,))


def test_offline_it_simulates_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--offline", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert "simulated" in figures["radar"]["input"]
    assert {"compressai", "pytorch_lightning"}.isdisjoint(
        figures["radar"]["decoded_in_new_process"]["loaded"]
    )
    page = Path("demo/report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC INPUT" in page
    assert "data:image/png;base64," in page
    assert "What this answer cannot do" in page
    assert Path("demo/radar.zarr/zarr.json").is_file()


def test_without_a_network_it_simulates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(url: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(section, "_reach", unreachable)
    assert main(["demo", "--json"]) == 0
    assert "there is no network" in json.loads(capsys.readouterr().out)["radar"]["input"]


def test_it_runs_twice_and_on_a_volume_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["radar", "simulate", "own.nc", "--shape", "2x60x120", "-q"]) == 0
    for _ in range(2):
        assert main(["demo", "--volume", "own.nc", "--out", "mine"]) == 0
    out = capsys.readouterr().out
    assert "report: mine/report.html" in out
    assert "own.nc" in Path("mine/report.html").read_text(encoding="utf-8")


def test_a_volume_that_cannot_be_read_is_an_error() -> None:
    Path("bad.h5").write_bytes(b"not a radar file")
    assert main(["demo", "--volume", "bad.h5"]) == 1


def test_another_decoding_in_the_new_process_would_be_noticed() -> None:
    from sciai.radar import simulate

    volume = simulate(seed=1, shape=(1, 36, 60))
    with pytest.raises(DamagedStore, match="something else"):
        section._same(volume, {"sweep_0/DBZH": "0" * 64})


def test_a_failed_demo_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("no.h5").write_bytes(b"not a radar file")
    assert main(["demo", "--volume", "no.h5", "--out", "deep/er"]) == 1
    assert not Path("deep").exists()
    Path("mine").mkdir()
    assert main(["demo", "--volume", "no.h5", "--out", "mine"]) == 1
    assert Path("mine").is_dir()


@pytest.mark.parametrize("name", ["atoms/model", "people.csv", "radar.zarr/c", "report.html"])
def test_what_is_not_a_demo_s_is_not_written_over(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--out runs` deleted runs/atoms, where training keeps its model."""
    mine = Path("runs") / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(["demo", "--offline", "--out", "runs"]) == 1
    assert "write over" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert [p for p in Path("runs").rglob("*") if p.is_file()] == [mine]
