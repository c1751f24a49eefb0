"""The documents say what was measured, name the gaps, and follow their schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput
from sciai.core.resources import conf_dir
from sciai.trust.card import Record, documents, ml_bom
from sciai.trust.conditions import Asked, Conditions, Limit
from sciai.trust.gate import Standing
from sciai.trust.risk import Register

CARD = Card(
    "sine",
    "tutorial",
    "Predicts a noisy sine.",
    data={"files": {"a.csv": "abc|def"}, "terms": "ours"},
    metrics={"test/coverage": 0.9, "test/rmse": np.float32(0.3), "note": "x"},
    known_limits=("blind beyond 3",),
    worst=({"slice": "left", "rate": 0.4},),
    software={"sciai": "0.1.0", "torch": "2.13"},
)
CONDITIONS = Conditions(
    "tutorial",
    {"limited": Asked(1, 180, None, (), (Limit("test/coverage", 0.88, 0.92), Limit("test/rmse", max=0.2)))},
    {"A": ("research", 0)},
)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    checkpoint = Checkpoint({"w": np.ones(2, "f4")}, CARD).save(tmp_path / "sine")
    register = Register.load(conf_dir() / "risk")
    audit = {"failures": ["trigger search: digit 7 lowers the answer"]}
    return Record(checkpoint, Standing("pilot", "A", ()), register, CONDITIONS, audit, date(2026, 3, 1))


def test_can_and_cannot_come_from_what_was_measured(record: Record) -> None:
    assert record.can() == ["test/coverage is 0.9 (at least 0.88 and at most 0.92 is asked for)"]
    assert record.cannot() == [
        "below what a release asks for: test/rmse is 0.3, above 0.2",
        "blind beyond 3",
    ]
    assert record.rather_not_see() == [
        "slice left, rate 0.4",
        "audit: trigger search: digit 7 lowers the answer",
    ]
    assert "no audit" in replace(record, audit=None).rather_not_see()[-1]
    of_another = {"checkpoint": "0" * 64, "worst": [{"slice": "left"}]}
    assert "another checkpoint" in replace(record, audit=of_another).rather_not_see()[-1]


def test_the_worst_slices_are_on_the_card_by_themselves(record: Record) -> None:
    cell = {"harm": "false-safe", "n": 9, "rate": 0.5, "elsewhere": 0.1, "low": 0.1, "high": None}
    rows = [{"slice": f"slice {k}", **cell, "verdict": "cannot tell"} for k in range(12)]
    audited = replace(record, audit={"checkpoint": record.checkpoint.hash, "worst": rows, "failures": []})
    made = documents(audited)
    for name in ("model-card.md", "technical-documentation.md"):
        assert [f"slice {k}:" in made[name] for k in range(12)] == [True] * 10 + [False] * 2


def test_the_model_card_has_metadata_and_the_worst(record: Record) -> None:
    text = documents(record)["model-card.md"]
    front = yaml.safe_load(text.split("---")[1])
    assert front["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "test/coverage", "value": 0.9, "name": "test/coverage",
    }  # fmt: skip
    assert front["tags"] == ["sciai", "tutorial", "pilot"]
    for part in ("blind beyond 3", "slice left", "digit 7", record.checkpoint.hash, "pilot"):
        assert part in text


def test_no_document_claims_compliance(record: Record) -> None:
    for name, text in documents(record).items():
        words = text.lower().replace("which is not to say compliant", "").replace("never compliant", "")
        assert "compliant" not in words, name
        assert "conforms" not in words, name


def test_gaps_are_named(record: Record) -> None:
    made = documents(record)
    assert "**gap**" in made["maps.md"]
    assert "nothing: a gap" in made["technical-documentation.md"]
    for title in ("EU AI Act", "NIST AI RMF", "ISO/IEC 42001", "OECD"):
        assert title in made["maps.md"]
    assert "What is not kept yet" in made["system-card.md"]


def test_the_bill_of_materials_follows_its_schema(record: Record) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    text = documents(record)["ml-bom.cdx.json"]
    problem = validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem
    bom = json.loads(text)
    model = bom["metadata"]["component"]
    assert model["hashes"][0]["content"] == record.checkpoint.hash
    assert {c["name"] for c in bom["components"]} >= {"torch", "sciai"}
    assert ml_bom(record) == bom, "the same record gives the same document"
    broken = json.loads(text)
    broken["components"][0]["type"] = "spaceship"
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


@pytest.mark.parametrize("field", ["summary", "data", "metrics", "known_limits"])
def test_a_card_with_a_gap_is_not_rendered(record: Record, field: str) -> None:
    gap = replace(CARD, **{field: type(getattr(CARD, field))()})
    with pytest.raises(BadInput, match=field):
        replace(record, checkpoint=replace(record.checkpoint, card=gap))
