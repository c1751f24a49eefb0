"""A loaded checkpoint knows its release stage, and a declared use is held against it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from sciai.core import resources
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput
from sciai.trust.conditions import Conditions
from sciai.trust.gate import Standing, propose
from sciai.trust.sign import Signer
from sciai.trust.stage import UNRELEASED, declared, release_file, stage_findings, standing_of, use_class

ADA, BOB = Signer.new("Ada"), Signer.new("Bob")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    asked = {"review_days": 30, "audit_days": None, "card": [], "figures": []}
    content = {
        "domain": "tutorial",
        "stages": {"limited": {**asked, "signers": 1}, "production": {**asked, "signers": 2}},
        "use_classes": {name: {"means": "x", "signers": 0} for name in "ABC"},
    }
    conf = tmp_path / "conf"
    (conf / "release").mkdir(parents=True)
    (conf / "release" / "tutorial.yaml").write_text(yaml.safe_dump(content))
    signers = [{"name": s.name, "public": s.public} for s in (ADA, BOB)]
    (conf / "release" / "signers.yaml").write_text(yaml.safe_dump({"signers": signers}))
    monkeypatch.setattr(resources, "conf_dir", lambda: conf)
    Checkpoint({"w": np.ones(2, "f4")}, Card("sine", "tutorial")).save(tmp_path / "sine")
    return tmp_path / "sine"


def released(folder: Path, stage: str, use: str) -> Standing:
    checkpoint = Checkpoint.load(folder)
    conditions = Conditions.load(resources.conf_dir() / "release" / "tutorial.yaml")
    statement = propose(checkpoint, stage, use, conditions)  # type: ignore[arg-type]
    statement.signed(ADA).signed(BOB).save(release_file(folder))
    return standing_of(checkpoint, folder)


def test_a_pilot_says_so_and_production_does_not(folder: Path) -> None:
    assert standing_of(Checkpoint.load(folder), folder) == UNRELEASED
    assert "pilot" in stage_findings(UNRELEASED)[0].message
    limited = stage_findings(released(folder, "limited", "A"))
    assert "limited" in limited[0].message
    assert stage_findings(released(folder, "production", "B")) == []


@pytest.mark.parametrize(
    ("stage", "use", "wanted", "checks"),
    [
        ("pilot", "A", "A", ["stage", "use"]),
        ("pilot", "A", "C", ["stage", "grave_use"]),
        ("production", "B", "A", []),
        ("production", "B", "B", []),
        ("production", "B", "C", ["grave_use"]),
        ("none", "", "A", ["use"]),
    ],
)
def test_a_use_that_is_not_covered(stage: str, use: str, wanted: str, checks: list[str]) -> None:
    found = None if stage == "none" else Standing(stage, use, UNRELEASED.reasons)  # type: ignore[arg-type]
    with declared(wanted):
        assert [f.check for f in stage_findings(found)] == checks
        assert use_class() == wanted
    assert use_class() == ""


def test_what_no_longer_holds_demotes_at_loading(folder: Path) -> None:
    released(folder, "production", "A")
    Checkpoint({"w": np.zeros(2, "f4")}, Card("sine", "tutorial")).save(folder, overwrite=True)
    found = standing_of(None, folder)
    assert found.stage == "pilot"
    assert "the release is of checkpoint" in stage_findings(found)[0].message
    release_file(folder).write_text("{")
    assert "cannot be examined" in stage_findings(standing_of(None, folder))[0].message


def test_an_unknown_class_is_said() -> None:
    with pytest.raises(BadInput, match="choose A, B or C"), declared("D"):
        pass


def test_it_costs_an_answer_next_to_nothing() -> None:
    started = time.process_time()
    for _ in range(1000):
        stage_findings(UNRELEASED)
    assert (time.process_time() - started) / 1000 < 2e-4
