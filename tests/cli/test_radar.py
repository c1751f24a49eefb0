"""`sciai radar`: each command on a small simulated volume, in the order in which a person uses them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from sciai.cli import main
from sciai.radar.data import open_volume, write_cfradial2

Run = Callable[..., tuple[int, str, str]]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes of one storm, one of another, and the store of the first."""
    path = tmp_path_factory.mktemp("radar")
    for name, words in {"storm.nc": (), "next.nc": ("--time-step", "1"), "other.nc": ("--seed", "9")}.items():
        assert main(["radar", "simulate", str(path / name), "--shape", "3x60x120", "-q", *words]) == 0
    assert main(["radar", "compress", str(path / "storm.nc"), str(path / "storm.zarr"), "-q"]) == 0
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["radar", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_compress_reports_what_it_measured(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compress", "storm.nc", str(tmp_path / "a.zarr"), "--json")
    assert code == 0
    answer = json.loads(out)
    value = answer["estimate"]["value"]
    assert answer["level"] in ("ok", "caution")
    assert all(v["psnr"] is None or v["lossless"] or v["psnr"] >= 35 for v in value["variables"].values())
    assert set(answer["estimate"]["spread"]) == set(value["variables"])
    assert answer["provenance"]["model"]


def test_compress_table_names_every_variable(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compress", "storm.nc", str(tmp_path / "a.zarr"))
    assert code == 0
    for name in ("DBZH", "ZDR", "KDP", "PHIDP", "RHOHV", "VRADH", "WRADH", "verdict", "bit per gate-value"):
        assert name in out


def test_targets_reach_the_codec(run: Run, tmp_path: Path) -> None:
    words = ("--psnr", "38", "--psnr", "ZDR=45", "--max-error", "DBZH=0.5", "--json")
    code, out, _ = run("compress", "storm.nc", str(tmp_path / "a.zarr"), *words)
    assert code == 0
    variables = json.loads(out)["estimate"]["value"]["variables"]
    assert variables["ZDR"]["psnr"] >= 45
    assert variables["DBZH"]["max_error"] <= 0.5
    assert {name: v["psnr_target"] for name, v in variables.items() if name != "ZDR"} == dict.fromkeys(
        set(variables) - {"ZDR"}, 38.0
    )


def test_a_target_for_the_rest_is_none_for_categories(run: Run, tmp_path: Path) -> None:
    """Only who names a category gets it with an error."""
    volume = open_volume("storm.nc")
    for name in volume.children:
        classes = np.random.default_rng(1).integers(0, 6, volume[f"{name}/DBZH"].shape)
        volume[f"{name}/HCLASS"] = xr.Variable(("azimuth", "range"), classes.astype(np.float32))
    file = str(write_cfradial2(open_volume(volume), tmp_path / "classes.nc"))
    for words in (("--psnr", "30"), ("--psnr", "30", "--psnr", "DBZH=45")):
        store = (file, str(tmp_path / "a.zarr"), "--codec", "plain", "--overwrite", "--json")
        code, out, _ = run("compress", *store, *words)
        assert code == 0
        variables = json.loads(out)["estimate"]["value"]["variables"]
        assert variables["HCLASS"]["lossless"]
        assert variables["VRADH"]["psnr_target"] == 30


def test_strong_echo_can_be_bounded_otherwise_or_not_at_all(run: Run, tmp_path: Path) -> None:
    for words, wanted in (((), 1.0), (("--strong-echo", "2.5"), 2.5), (("--strong-echo", "0"), None)):
        code, out, _ = run(
            "compress",
            "storm.nc",
            str(tmp_path / "a.zarr"),
            "--overwrite",
            "--effort",
            "fast",
            "--json",
            *words,
        )
        assert code == 0
        report = json.loads(out)["estimate"]["value"]["variables"]["DBZH"]
        assert report["strong_bound"] == wanted
        assert wanted is None or report["strong_error"] <= wanted


def test_effort_fast(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compress", "storm.nc", str(tmp_path / "a.zarr"), "--effort", "fast", "--json")
    assert code == 0
    variables = json.loads(out)["estimate"]["value"]["variables"]
    assert {v["codec"] for v in variables.values()} == {"quick"}
    assert min(v["psnr"] for v in variables.values()) >= 35
    code, _, err = run(
        "compress", "storm.nc", str(tmp_path / "b.zarr"), "--effort", "fast", "--codec", "plain"
    )
    assert code == 1
    assert "effort" in err


def test_lossless_is_exact_and_excludes_other_targets(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("compress", "storm.nc", str(tmp_path / "a.zarr"), "--lossless", "--json")
    assert code == 0
    assert all(v["lossless"] for v in json.loads(out)["estimate"]["value"]["variables"].values())
    assert run("compress", "storm.nc", str(tmp_path / "b.zarr"), "--lossless", "--psnr", "40")[0] == 2
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_refused_answer_is_3(run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    import sciai.radar.api as api
    from sciai.core.answer import Answer, Finding, Level, Provenance

    def refuse(*_: object, **__: object) -> Answer[object]:
        return Answer(
            None, (Finding("bound", Level.REFUSE, "it cannot be done", "DBZH"),), Provenance("test")
        )

    monkeypatch.setattr(api, "compress", refuse)
    code, out, _ = run("compress", "storm.nc", "never.zarr", *words)
    assert code == 3
    assert "it cannot be done" in out
    if words:
        assert json.loads(out)["level"] == "refuse"


def test_the_next_volume_needs_its_previous_store(run: Run, folder: Path, tmp_path: Path) -> None:
    store = folder / "next.zarr"
    assert run("compress", "next.nc", str(store), "--previous", "storm.zarr", "-q")[0] == 0
    assert run("verify", "next.nc", str(store))[0] == 0


def test_an_existing_output_stays_unless_overwritten(run: Run, folder: Path) -> None:
    before = (folder / "storm.zarr" / "zarr.json").read_bytes()
    code, _, err = run("compress", "other.nc", "storm.zarr")
    assert code == 1
    assert "storm.zarr" in err
    assert (folder / "storm.zarr" / "zarr.json").read_bytes() == before
    assert run("compress", "storm.nc", "storm.zarr", "--overwrite", "-q")[0] == 0


def test_verify_refuses_another_volume(run: Run) -> None:
    assert run("verify", "storm.nc", "storm.zarr")[0] == 0
    code, out, _ = run("verify", "other.nc", "storm.zarr", "--json")
    assert code == 3
    answer = json.loads(out)
    assert answer["level"] == "refuse"
    assert answer["estimate"] is None
    assert any(finding["level"] == "refuse" for finding in answer["findings"])


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> str:
    """A store whose values of DBZH in sweep_1 are damaged."""
    import shutil

    store = tmp_path / "damaged.zarr"
    shutil.copytree(folder / "storm.zarr", store)
    chunk = next(path for path in sorted((store / "sweep_1" / "DBZH").rglob("*")) if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0x10
    chunk.write_bytes(bytes(data))
    return str(store)


def test_verify_of_a_damaged_store_is_not_0(run: Run, damaged: str) -> None:
    code, out, err = run("verify", "storm.nc", damaged)
    assert code in (1, 3)
    assert "DBZH" in out + err
    assert "sweep_1" in out + err


def test_what_is_left_of_a_damaged_store_can_be_had(run: Run, damaged: str, tmp_path: Path) -> None:
    out = tmp_path / "rest.nc"
    code, _, err = run("decompress", damaged, str(out))
    assert code == 1
    assert "--salvage" in err
    assert not out.exists()
    code, _, err = run("decompress", damaged, str(out), "--salvage")
    assert code == 0
    assert "lost: " in err
    assert "sweep_1/DBZH" in err
    back, stored = open_volume(out), open_volume("storm.zarr")
    assert np.isnan(back["sweep_1/DBZH"]).all()
    for field in ("sweep_0/DBZH", "sweep_1/ZDR"):
        np.testing.assert_array_equal(back[field].values, stored[field].values)


def test_salvage_is_no_advice_where_it_would_not_help(run: Run, damaged: str, tmp_path: Path) -> None:
    with open(Path(damaged) / "zarr.json", "a", encoding="utf-8") as file:
        file.write(" ")
    for words in ((), ("--salvage",)):
        code, _, err = run("decompress", damaged, str(tmp_path / "rest.nc"), *words)
        assert code == 1
        assert "zarr.json was altered" in err
        assert "--salvage" not in err


def test_info_of_a_damaged_store_says_what_it_held(run: Run, damaged: str) -> None:
    code, out, err = run("info", damaged)
    assert code == 1
    assert "altered" in out
    assert "DBZH" in out
    assert "sweep_1/DBZH" in err


def test_info_of_a_store_and_of_a_file(run: Run) -> None:
    code, out, _ = run("info", "storm.zarr", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["store"]["intact"] is True
    assert found["volume"]["variables"]["DBZH"]["gates"] == 3 * 60 * 120
    code, out, _ = run("info", "storm.nc", "--json")
    assert json.loads(out)["store"] is None
    code, out, _ = run("info", "storm.zarr")
    assert code == 0
    assert "sweep_2" in out
    assert "synthetic" in out


@pytest.mark.parametrize("name", ["back.nc", "back.h5", "raw"])
def test_decompress_writes_files_that_read_back(run: Run, tmp_path: Path, name: str) -> None:
    from sciai.radar.data import open_volume

    out = tmp_path / name
    assert run("decompress", "storm.zarr", str(out))[0] == 0
    files = sorted(out.iterdir()) if out.is_dir() else [out]
    back = open_volume([str(file) for file in files])
    stored = open_volume("storm.zarr")
    for sweep in ("sweep_0", "sweep_2"):
        assert np.array_equal(back[sweep]["DBZH_validity"].values, stored[sweep]["DBZH_validity"].values)
        difference = back[sweep]["DBZH"].values - stored[sweep]["DBZH"].values
        assert np.nanmax(np.abs(difference)) <= 0.0051  # ODIM and MP-PAWR raw store multiples of 0.01
    assert run("decompress", "storm.zarr", str(out))[0] == 1  # it exists now


def test_decompress_does_not_guess_a_format(run: Run, tmp_path: Path) -> None:
    code, _, err = run("decompress", "storm.zarr", str(tmp_path / "back.xyz"))
    assert code == 1
    assert "--format" in err
    assert run("decompress", "storm.zarr", str(tmp_path / "back.xyz"), "--format", "odim")[0] == 0
    assert run("decompress", "storm.zarr", str(tmp_path / "old.nc"), "--format", "cfradial1")[0] == 0
    with netCDF4.Dataset(tmp_path / "old.nc") as nc:
        assert nc.Conventions == "CF/Radial"
        assert "lossy store" in nc.history


def test_view_draws_one_volume_or_a_comparison(run: Run, tmp_path: Path) -> None:
    for words in (["storm.nc"], ["storm.zarr"], ["storm.nc", "storm.zarr"]):
        out = tmp_path / f"{len(words)}{words[-1][-1]}.png"
        assert run("view", *words, "-o", str(out), "--var", "DBZH", "--sweep", "1", "-q")[0] == 0
        assert out.read_bytes().startswith(PNG)
    code, _, err = run("view", "storm.nc", "--var", "NOPE", "-o", str(tmp_path / "x.png"))
    assert code == 1
    assert "DBZH" in err  # the message names what there is
    assert run("view", "storm.nc", "-o", str(tmp_path / "x.jpg"))[0] == 1


def test_same_seed_same_storm(run: Run, folder: Path, tmp_path: Path) -> None:
    from sciai.radar.data import open_volume

    assert run("simulate", str(tmp_path / "again.nc"), "--shape", "3x60x120")[0] == 0
    again, first = open_volume(tmp_path / "again.nc"), open_volume(folder / "storm.nc")
    assert np.array_equal(again["sweep_1/DBZH"].values, first["sweep_1/DBZH"].values, equal_nan=True)


def test_fetch_prints_the_file_or_the_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sciai.radar.data as data
    from sciai.radar.data.archive import FetchFailed

    def found(site: str, time: str, dest: Path, **_: object) -> Path:
        return Path(dest) / f"{site}_{time}"

    monkeypatch.setattr(data, "fetch", found, raising=False)
    code, out, _ = run("fetch", "KTLX", "2013-05-20T20:16", "--out", str(tmp_path))
    assert (code, out.strip()) == (0, str(tmp_path / "KTLX_2013-05-20T20:16"))

    def lost(*_: object, **__: object) -> Path:
        raise FetchFailed("no network")

    monkeypatch.setattr(data, "fetch", lost, raising=False)
    code, out, err = run("fetch", "KTLX", "2013-05-20T20:16")
    assert (code, out) == (1, "")
    assert "no network" in err


def test_ctrl_c_half_way_leaves_nothing(tmp_path: Path) -> None:
    assert main(["radar", "simulate", str(tmp_path / "big.nc"), "--shape", "24x300x400", "-q"]) == 0
    code = (
        "import sys; from sciai.cli import main; sys.exit(main(['radar', 'compress', 'big.nc', 'out.zarr']))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a job started in the background by a shell ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) == 1 and writer.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert writer.poll() is None, "finished before it could be interrupted"
    writer.send_signal(signal.SIGINT)
    _, err = writer.communicate(timeout=60)
    assert writer.returncode not in (0, None)
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["big.nc"]


@pytest.mark.parametrize("command", ["compress", "verify"])
def test_a_lone_path_is_told_what_is_missing(run: Run, command: str) -> None:
    code, _, err = run(command, "storm.nc", "-q")
    told = " ".join(err.replace("│", "").split())
    assert code == 2
    assert "Missing argument 'OUT.zarr'" in told
    assert f"such as: sciai radar {command} storm.nc storm.zarr" in told
    code, _, err = run(command, "storm.zarr")
    told = " ".join(err.replace("│", "").split())
    assert code == 2
    assert "Missing argument 'IN'" in told
    assert f"sciai radar {command} volume.h5 storm.zarr" in told
    code, _, err = run("compress", "--psnr", "40")
    assert code == 2
    assert "sciai radar compress volume.h5 volume.zarr" in " ".join(err.replace("│", "").split())
