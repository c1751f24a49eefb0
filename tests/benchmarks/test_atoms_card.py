"""Figures for the card: what each script prints as JSON becomes names and numbers; other figures stay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import atoms_card
from sciai.core.checkpoint import Card, Checkpoint

PRINTED = {
    "accuracy": {
        "mptrj-random-1k": {
            "sciai": {"forces": 100.0, "energy": 50.0},
            "sciai, own zero": {"energy": 40.0},
            "chgnet": {"forces": 53.0},
            "n": {"structures": 135},
        }
    },
    "acwf": {
        "checkpoints/atoms": {
            part: {"volume_percent": 2.0, "bulk_modulus_percent": 18.0, "failed": 0}
            for part in ("all", "unseen by ours", "seen by ours")
        }
    },
    "laws": [
        {"name": "jump at the cutoff", "found": 0.1, "holds": False},
        {"name": "single precision, force", "found": 1e-5, "holds": True},
    ],
    "uncertainty": {
        "spread": {
            "all": {
                "coverage": {"share": 0.91},
                "spearman_atoms": 0.8,
                "spearman_structures": 0.7,
                "false_alarms": 0.1,
            }
        },
        "ood": {"rare earths": {"auroc_support": 0.9}},
    },
    "nve": {"rows": [{"material": "Cu", "drift_meV": -0.2}, {"material": "Si", "drift_meV": 0.1}]},
    "scaling": [{"atoms": n, "seconds": n * 1e-4, "peak_mb": 100.0 + n / 10} for n in (512, 8192, 16384)],
    "throughput": {"sciai": {"64": 2400.0}, "sciai-api": {"64": 2300.0}, "chgnet": {"64": 240.0}},
}


def test_figures_of_every_script() -> None:
    assert atoms_card.accuracy(PRINTED["accuracy"]) == {
        "dev/mptrj-random/forces": 100.0,
        "dev/mptrj-random/energy": 50.0,
        "dev/mptrj-random/own_zero/energy": 40.0,
        "dev/mptrj-random/chgnet/forces": 53.0,
        "dev/mptrj-random/structures": 135,
    }
    assert atoms_card.acwf(PRINTED["acwf"])["acwf/unseen/volume_percent"] == 2.0
    assert atoms_card.laws(PRINTED["laws"]) == {
        "laws/jump_at_the_cutoff": 0.1,
        "laws/single_precision_force": 1e-5,
        "laws/broken": 1.0,
    }
    assert atoms_card.nve(PRINTED["nve"]) == {"nve/Cu": 0.2, "nve/Si": 0.1, "nve/worst": 0.2}
    assert atoms_card.throughput(PRINTED["throughput"])["throughput/against_chgnet/64"] == pytest.approx(10)
    assert atoms_card.scaling(PRINTED["scaling"])["scaling/time_per_atom_against_512"] == pytest.approx(1)


def test_they_are_written_onto_the_card_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"test/mptrj/forces": 1.0, "nve/gone": 5.0}
    saved = Checkpoint({"w": np.arange(3.0)}, Card("mine", "atoms", metrics=old)).save(tmp_path / "model")
    kept = tmp_path / "cache" / "evidence" / atoms_card.weights_of(tmp_path / "model")
    kept.mkdir(parents=True)
    for name, found in PRINTED.items():
        (kept / f"{name}.json").write_text(json.dumps(found))
    words = ["--data", "data", "--cache", str(tmp_path / "cache"), "--checkpoint", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", ["atoms_card", *words, "--write"])
    with pytest.raises(SystemExit) as end:
        atoms_card.main()
    assert end.value.code == 0
    after = Checkpoint.load(tmp_path / "model")
    assert after.hash != saved.hash
    assert after.hash in capsys.readouterr().out
    assert after.card.metrics["test/mptrj/forces"] == 1.0
    assert after.card.metrics["nve/worst"] == 0.2
    assert "nve/gone" not in after.card.metrics
    np.testing.assert_array_equal(after.arrays["w"], saved.arrays["w"])
    # the figures do not change what they are figures of
    assert atoms_card.weights_of(tmp_path / "model") == kept.name


def test_a_script_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = subprocess.CompletedProcess([], 1, "", "it broke")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: broken)
    Checkpoint({"w": np.arange(3.0)}, Card("mine", "atoms")).save(tmp_path / "model")
    words = ["--data", "data", "--cache", str(tmp_path / "cache"), "--checkpoint", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", ["atoms_card", *words, "--only", "laws"])
    with pytest.raises(SystemExit) as end:
        atoms_card.main()
    assert end.value.code == 1
    assert "laws failed:\nit broke" in capsys.readouterr().out
    assert not list((tmp_path / "cache").rglob("*.json"))
