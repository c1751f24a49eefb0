"""Releases, cards and risks from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from sciai.cli import main
from sciai.core.checkpoint import Card, Checkpoint


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "new", "service.pem"]) == 0
    assert main(["ledger", "new", "answers", "--key", "service.pem"]) == 0
    return tmp_path


def figures(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> object:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_release_is_refused_with_reasons_then_signed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sciai.core.resources as resources

    conf = here / "conf"
    (conf / "release").mkdir(parents=True)
    (conf / "risk").symlink_to(resources.conf_dir() / "risk")
    monkeypatch.setattr(resources, "conf_dir", lambda: conf)
    metrics = {"test/coverage": 0.9}
    card = Card("sine", "tutorial", "predicts", data={"a": "b"}, metrics=metrics, known_limits=("few",))
    Checkpoint({"w": np.ones(2, "f4")}, card).save(here / "sine")
    asked = {"review_days": 30, "audit_days": None, "card": ["summary"], "figures": []}
    limit = {"figure": "test/coverage", "min": 0.95}
    content = {
        "domain": "tutorial",
        "stages": {
            "limited": {**asked, "signers": 1},
            "production": {**asked, "signers": 2, "figures": [limit]},
        },
        "use_classes": {name: {"means": "x", "signers": 0} for name in "ABC"},
    }
    (conf / "release" / "tutorial.yaml").write_text(yaml.safe_dump(content))
    capsys.readouterr()
    assert main(["key", "new", "ada.pem", "--name", "Ada"]) == 0
    (conf / "release" / "signers.yaml").write_text("signers:\n" + capsys.readouterr().out)

    assert figures(capsys, "release", "sine")["stage"] == "pilot"  # type: ignore[index]
    assert main(["release", "sine", "production", "--key", "ada.pem"]) == 1
    assert "below 0.95" in capsys.readouterr().err
    assert figures(capsys, "release", "sine", "limited", "--key", "ada.pem")["stage"] == "limited"  # type: ignore[index]
    # a key that nobody trusts signs nothing, and what was released stays so
    assert main(["release", "sine", "limited", "--key", "service.pem"]) == 1
    assert "not among the trusted ones" in capsys.readouterr().err
    assert figures(capsys, "release", "sine")["stage"] == "limited"  # type: ignore[index]
    # nobody signs under conditions that no longer hold, though a statement is there
    strict = {**content["stages"]["limited"], "figures": [limit]}  # type: ignore[index]
    stages = {**content["stages"], "limited": strict}  # type: ignore[dict-item]
    own = conf / "release" / "tutorial.yaml"
    own.write_text(yaml.safe_dump({**content, "stages": stages}))
    assert main(["release", "sine", "limited", "--key", "ada.pem"]) == 1
    assert "below 0.95" in capsys.readouterr().err
    own.write_text(yaml.safe_dump(content))
    assert main(["card", "sine"]) == 0
    assert "released: limited" in capsys.readouterr().out
    assert main(["card", "sine", "--out", "docs"]) == 0
    assert {p.name for p in (here / "docs").iterdir()} >= {"model-card.md", "ml-bom.cdx.json"}
    # the same evidence does not hold for another checkpoint of that name
    Checkpoint({"w": np.zeros(2, "f4")}, card).save(here / "sine", overwrite=True)
    assert figures(capsys, "release", "sine")["stage"] == "pilot"  # type: ignore[index]


def test_the_shipped_radar_checkpoint_is_a_pilot_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(capsys, "release", "radar")
    assert told["stage"] == "pilot"  # type: ignore[index]
    assert main(["release", "radar", "production"]) == 1
    assert "next_volume" in capsys.readouterr().err
    assert main(["card", "radar"]) == 0
    assert "What we would rather not see" in capsys.readouterr().out


def test_an_unknown_checkpoint_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("release", "card"):
        assert main([command, "nosuch"]) == 1
        assert "one of atoms, health, radar" in capsys.readouterr().err
