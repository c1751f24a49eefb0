"""`sciai audit` from the command line: what goes wrong is said; the shipped checkpoints in the slow test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sciai.cli import main
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.resources import checkpoints_dir


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_cannot_be_audited_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "weather"]) == 2
    assert "atoms, health, radar" in capsys.readouterr().err
    assert main(["audit", "health", "--checkpoint", "nothing"]) == 1
    assert "no such checkpoint" in capsys.readouterr().err
    Checkpoint({"w": np.ones(1, "f4")}, Card("line", "tutorial")).save(here / "line")
    assert main(["audit", "health", "--checkpoint", "line"]) == 1
    assert "a checkpoint of tutorial, not of health" in capsys.readouterr().err
    assert main(["audit", "radar", "--data", "gone.h5"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert not (here / "audits").exists()


def test_an_interrupted_audit_says_how_to_go_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sciai.trust.audit.whole.audit", stopped)
    assert main(["audit", "radar", "--quick"]) == 130
    assert "goes on where this one stopped" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["atoms", "health", "radar"])
def test_a_quick_look_at_each_shipped_checkpoint(
    domain: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["audit", domain, "--quick", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert code == (0 if record["passed"] else 3)
    assert record["checkpoint"] == Checkpoint.verify(checkpoints_dir() / domain)
    assert record["seals"]["code"]
    if record["judged"]["cells"]:
        assert len(record["worst"]) == 10
    accused = [row for row in record["defects"]["evidence"] if row["accused"]]
    assert not accused, accused
    assert "<img" in (here / "audits" / domain / "report.html").read_text()
    assert json.loads((here / "audits" / domain / "audit.json").read_text()) == record
    # what is finished is kept: the second time only hashes are looked at
    assert main(["audit", domain, "--quick", "--json"]) == code
    again = json.loads(capsys.readouterr().out)
    assert again == record
