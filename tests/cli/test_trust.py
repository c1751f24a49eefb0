"""Ledger, referrals, releases, cards and risks from the command line."""

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


def fill(folder: Path, count: int = 3) -> None:
    from sciai.core.answer import Estimate, Finding, Level, Provenance, ask
    from sciai.core.listen import listening
    from sciai.trust.ledger import Ledger
    from sciai.trust.record import Recorder
    from sciai.trust.referral import Queue
    from sciai.trust.sign import Signer

    def odd(x: int) -> list[Finding]:
        return [Finding("odd", Level.REFUSE, f"{x} is odd")] if x % 2 else []

    ledger = Ledger(folder / "answers", Signer.load(folder / "service.pem"))
    with listening(Recorder(ledger, queue=Queue(folder / "cases.db", ledger))):
        for number in range(count):
            ask(number, lambda x: Estimate(x, 0), [odd], provenance=Provenance("same"))


def test_a_ledger_from_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here)
    assert main(["ledger", "verify", "answers"]) == 0
    entries = figures(capsys, "ledger", "show", "answers")
    assert [e["kind"] for e in entries] == ["answer", "answer", "referral", "answer"]  # type: ignore[attr-defined]
    capsys.readouterr()
    assert main(["ledger", "anchor", "answers"]) == 0
    (here / "anchor.json").write_text(capsys.readouterr().out)
    assert main(["ledger", "verify", "answers", "--anchor", "anchor.json"]) == 0
    file = here / "answers" / "entries.jsonl"
    file.write_text(file.read_text().replace('"level":"refuse"', '"level":"ok"', 1))
    found = figures(capsys, "ledger", "verify", "answers", code=3)
    assert "altered" in found["findings"][0]["message"]  # type: ignore[index]


def test_replay_says_what_it_cannot(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, 1)
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "cannot be asked again" in capsys.readouterr().err


def test_a_case_is_decided(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here)
    listed = figures(capsys, "refer", "list", "cases.db")
    assert [case["level"] for case in listed["cases"]] == ["refuse"]  # type: ignore[index]
    words = ["refer", "decide", "cases.db", "1", "override", "--by", "Ada", "--reason", "it is fine"]
    assert main([*words, "--ledger", "answers", "--key", "service.pem"]) == 0
    assert main(words) == 1, "decided once"
    assert figures(capsys, "refer", "list", "cases.db")["rates"]["overridden"] == 1  # type: ignore[index]
    capsys.readouterr()
    assert main(["refer", "show", "cases.db", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "it is fine"
    assert main(["refer", "list", "nowhere.db"]) == 1
    assert not (here / "nowhere.db").exists()


def test_answers_of_a_command_are_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ledger", "answers", "risks", "show"]) == 1
    assert "needs its key" in capsys.readouterr().err
    assert main(["--ledger", "answers", "--key", "service.pem", "risks", "show"]) == 0


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
    capsys.readouterr()
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
