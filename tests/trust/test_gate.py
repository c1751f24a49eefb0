"""A stage is evidence that holds today."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, DamagedStore
from sciai.core.resources import checkpoints_dir, conf_dir
from sciai.trust.audit import sealed
from sciai.trust.conditions import Conditions, Limit
from sciai.trust.gate import (
    Standing,
    Statement,
    examine,
    load_audit,
    propose,
    sign,
    standing,
)
from sciai.trust.sign import Keyring, Signer

TODAY = date(2026, 3, 1)
DECLARED: dict[str, Any] = {
    "domain": "tutorial",
    "stages": {
        "limited": {
            "signers": 1, "review_days": 180, "audit_days": 90, "card": ["summary", "known_limits"],
            "figures": [{"figure": "test/coverage", "min": 0.88, "max": 0.92}],
        },
        "production": {
            "signers": 2, "review_days": 90, "audit_days": 30, "card": ["summary", "known_limits", "worst"],
            "figures": [{"figure": "test/coverage", "min": 0.89}],
        },
    },
    "use_classes": {
        "A": {"means": "research", "signers": 0},
        "B": {"means": "work", "signers": 0},
        "C": {"means": "harm is possible", "signers": 1},
    },
}  # fmt: skip


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    (tmp_path / "tutorial.yaml").write_text(yaml.safe_dump(DECLARED))
    return Conditions.load(tmp_path / "tutorial.yaml")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    card = Card(
        "sine", "tutorial", "predicts", metrics={"test/coverage": 0.9}, known_limits=("few",),
        worst=({"slice": "left"},),
    )  # fmt: skip
    return Checkpoint({"w": np.ones(2, "f4")}, card).save(tmp_path / "sine")


def audit_of(checkpoint: Checkpoint, **changes: Any) -> dict[str, Any]:
    code = sealed.Seals.of(["sciai.trust.slices"], []).code
    return {
        "checkpoint": checkpoint.hash, "date": TODAY.isoformat(), "passed": True,
        "seals": {"code": dict(code)}, "saw": sealed.packages_digest(["sciai.trust.audit"]), **changes,
    }  # fmt: skip


ADA, BOB, EVE = Signer.new("Ada"), Signer.new("Bob"), Signer.new("Eve")
TRUSTED = Keyring({s.key: (s.name, s.public) for s in (ADA, BOB)})


def stand(checkpoint: Checkpoint, statement: Statement | None, conditions: Conditions, **k: Any) -> Standing:
    settings = {"audit": audit_of(checkpoint), "today": TODAY, **k}
    return standing(checkpoint, statement, conditions, TRUSTED, **settings)


def released(checkpoint: Checkpoint, conditions: Conditions, *signers: Signer, **k: Any) -> Statement:
    settings = {"stage": "limited", "use_class": "A", "audit": audit_of(checkpoint), "today": TODAY, **k}
    statement = propose(checkpoint, settings.pop("stage"), settings.pop("use_class"), conditions, **settings)
    for signer in signers:
        statement = statement.signed(signer)
    return statement


def test_never_released_is_a_pilot(checkpoint: Checkpoint, conditions: Conditions) -> None:
    found = stand(checkpoint, None, conditions)
    assert found.stage == "pilot"
    assert "never released" in found.finding().message


def test_evidence_and_a_signature_make_it_limited(
    checkpoint: Checkpoint, conditions: Conditions, tmp_path: Path
) -> None:
    statement = released(checkpoint, conditions, ADA)
    statement.save(tmp_path / "release.json")
    found = stand(checkpoint, Statement.load(tmp_path / "release.json"), conditions)
    assert (found.stage, found.use_class, found.signers) == ("limited", "A", ("Ada",))
    assert "limited" in found.finding().message


def test_production_needs_two_distinct_people(checkpoint: Checkpoint, conditions: Conditions) -> None:
    one = released(checkpoint, conditions, ADA, stage="production")
    assert "needs 2 distinct signers, 1" in stand(checkpoint, one, conditions).reasons[0].message
    assert stand(checkpoint, one.signed(ADA), conditions).stage == "pilot", "twice the same is one"
    assert stand(checkpoint, one.signed(BOB), conditions).stage == "production"
    second_key = Signer.new("Ada")
    trusted = Keyring({**TRUSTED.keys, second_key.key: ("Ada", second_key.public)})
    twice = standing(
        checkpoint, one.signed(second_key), conditions, trusted, audit=audit_of(checkpoint), today=TODAY
    )
    assert twice.stage == "pilot", "two keys of one person are one signer"


def test_a_graver_use_needs_more_sign_offs(checkpoint: Checkpoint, conditions: Conditions) -> None:
    statement = released(checkpoint, conditions, ADA, use_class="C")
    assert stand(checkpoint, statement, conditions).stage == "pilot"
    assert stand(checkpoint, statement.signed(BOB), conditions).use_class == "C"


def test_signatures_gather_under_one_statement_until_it_is_due(
    checkpoint: Checkpoint, conditions: Conditions
) -> None:
    proposed = released(checkpoint, conditions, stage="production")
    one = sign(None, proposed, ADA, TRUSTED, TODAY)
    later = released(checkpoint, conditions, stage="production", today=TODAY + timedelta(1))
    both = sign(one, later, BOB, TRUSTED, TODAY + timedelta(1))
    assert (both.issued, set(both.signatures)) == (one.issued, {ADA.key, BOB.key})
    # of another stage, or past its review, the earlier one does not count
    other = released(checkpoint, conditions)
    assert set(sign(one, other, BOB, TRUSTED, TODAY).signatures) == {BOB.key}
    due = date.fromisoformat(one.review_by) + timedelta(1)
    late = released(
        checkpoint, conditions, stage="production", today=due, audit=audit_of(checkpoint, date=due)
    )
    assert sign(one, late, BOB, TRUSTED, due).issued == due.isoformat()
    with pytest.raises(BadInput, match="not among the trusted ones"):
        sign(one, proposed, EVE, TRUSTED, TODAY)


def test_unknown_signers_do_not_count(checkpoint: Checkpoint, conditions: Conditions) -> None:
    found = stand(checkpoint, released(checkpoint, conditions, EVE), conditions)
    assert found.stage == "pilot"
    assert "not among the trusted" in found.reasons[0].message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stage": "production"}, "does not hold"),
        ({"review_by": "2099-01-01"}, "does not hold"),
        ({"figures": {"test/coverage": 0.5}}, "does not hold"),
        ({"use_class": "C"}, "does not hold"),
    ],
)
def test_an_edited_statement_does_not_count(
    checkpoint: Checkpoint, conditions: Conditions, change: dict[str, Any], why: str
) -> None:
    found = stand(checkpoint, replace(released(checkpoint, conditions, ADA), **change), conditions)
    assert found.stage == "pilot"
    assert any(why in reason.message for reason in found.reasons)


def test_what_demotes(checkpoint: Checkpoint, conditions: Conditions, tmp_path: Path) -> None:
    statement = released(checkpoint, conditions, ADA)

    def why(found: Standing) -> str:
        assert found.stage == "pilot"
        return " | ".join(r.message for r in found.reasons)

    other = Checkpoint({"w": np.zeros(2, "f4")}, checkpoint.card).save(tmp_path / "other")
    assert "this is" in why(stand(other, statement, conditions, audit=audit_of(other)))
    later = TODAY + timedelta(181)
    fresh = audit_of(checkpoint, date=later.isoformat())
    assert "review was due" in why(stand(checkpoint, statement, conditions, today=later, audit=fresh))
    assert "audit is of" in why(stand(checkpoint, statement, conditions, today=TODAY + timedelta(91)))
    quick = audit_of(checkpoint, quick=True)
    assert "quick look" in why(stand(checkpoint, statement, conditions, audit=quick))
    edited = audit_of(checkpoint, seals={"code": {"sciai.trust.slices": "0" * 64}})
    assert "metric code was edited" in why(stand(checkpoint, statement, conditions, audit=edited))
    other_code = audit_of(checkpoint, saw={"sciai.trust.audit": "0" * 64})
    assert "other code of the model" in why(stand(checkpoint, statement, conditions, audit=other_code))
    failed = audit_of(checkpoint, passed=False)
    assert "failed" in why(stand(checkpoint, statement, conditions, audit=failed))
    assert "no audit" in why(stand(checkpoint, statement, conditions, audit=None))
    assert "cannot be read" in why(stand(checkpoint, statement, conditions, audit={"passed": True}))
    stricter = json.loads(json.dumps(DECLARED))
    stricter["stages"]["limited"]["figures"][0]["min"] = 0.95
    (tmp_path / "stricter.yaml").write_text(yaml.safe_dump(stricter))
    found = why(stand(checkpoint, statement, Conditions.load(tmp_path / "stricter.yaml")))
    assert "conditions were changed" in found
    assert "below 0.95" in found


def test_what_cannot_be_proposed(checkpoint: Checkpoint, conditions: Conditions) -> None:
    empty = replace(checkpoint, card=replace(checkpoint.card, known_limits=(), metrics={}))
    with pytest.raises(BadInput) as caught:
        released(empty, conditions, audit=None)
    for part in ("known_limits", "no figure test/coverage", "no audit"):
        assert part in str(caught.value)
    with pytest.raises(BadInput, match="a pilot until it is released"):
        examine(checkpoint, "pilot", conditions)
    with pytest.raises(BadInput, match="no stage"):
        examine(checkpoint, "everywhere", conditions)
    with pytest.raises(BadInput, match="use class"):
        released(checkpoint, conditions, use_class="Z")
    foreign = replace(checkpoint, card=replace(checkpoint.card, domain="radar"))
    with pytest.raises(BadInput, match="conditions for tutorial"):
        examine(foreign, "limited", conditions)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stages", "limited", "sigers"), 1, "sigers"),
        (("stages", "limited", "card"), ["sumary"], "sumary"),
        (("stages", "limited", "figures"), [{"figur": 1}], "figur"),
        (("stages",), {}, "stages are"),
        (("use_classes", "A"), {"means": "x"}, "signers"),
    ],
)
def test_bad_conditions(tmp_path: Path, path: tuple[str, ...], value: Any, message: str) -> None:
    content = json.loads(json.dumps(DECLARED))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(BadInput, match=message):
        Conditions.load(tmp_path / "bad.yaml")


def test_reports_and_statements_that_are_none(tmp_path: Path) -> None:
    assert load_audit(tmp_path / "missing.json") is None
    (tmp_path / "bad.json").write_text("[1")
    with pytest.raises(DamagedStore):
        load_audit(tmp_path / "bad.json")
    with pytest.raises(DamagedStore):
        Statement.load(tmp_path / "bad.json")
    text = dict.fromkeys((f.name for f in fields(Statement)), "x")
    for wrong in ({"signatures": []}, {"figures": None}, {"figures": {}, "signatures": {}, "issued": 3}):
        (tmp_path / "odd.json").write_text(json.dumps({**text, "figures": {}, "signatures": {}, **wrong}))
        with pytest.raises(DamagedStore, match="is not a release statement: "):
            Statement.load(tmp_path / "odd.json")
    with pytest.raises(BadInput, match="cannot read"):
        Conditions.load(tmp_path / "missing.yaml")


def test_a_condition_can_ask_for_a_figure_of_the_audit(
    conditions: Conditions, checkpoint: Checkpoint
) -> None:
    limit = Limit("audit/coverage", 0.88, 0.92)
    asked = replace(conditions.stages["limited"], figures=(limit,))
    own = replace(conditions, stages={**conditions.stages, "limited": asked})
    good = audit_of(checkpoint, figures={"coverage": 0.9})
    assert propose(checkpoint, "limited", "A", own, audit=good, today=TODAY).figures == {
        "audit/coverage": 0.9
    }
    for bad in (audit_of(checkpoint), {**good, "checkpoint": "0" * 64}):
        lacks = examine(checkpoint, "limited", own, audit=bad, today=TODAY)
        assert any("the audit has no figure audit/coverage" in f.message for f in lacks)


@pytest.mark.parametrize("domain", ["atoms", "health", "radar"])
def test_shipped_conditions_name_figures_that_exist(domain: str) -> None:
    """A figure that nobody computes would refuse for ever, and look like evidence that is missing."""
    conditions = Conditions.load(conf_dir() / "release" / f"{domain}.yaml")
    card = Checkpoint.load(checkpoints_dir() / domain).card
    named = {limit.figure for asked in conditions.stages.values() for limit in asked.figures}
    assert {name for name in named if not name.startswith("audit/")} <= set(card.metrics)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passed": "false"}, "failed"),  # any text is true
        ({"passed": 1}, "failed"),
        ({"seals": {"code": {}}}, "does not say which code"),
        ({"saw": {}}, "does not say which code"),
        ({"seals": [1]}, "cannot be read"),
        ({"saw": "x"}, "cannot be read"),
        ({"seals": {"code": {"sciai.trust.slices": 3}}}, "cannot be read"),
        ({"figures": [1], "seals": None}, "cannot be read"),
    ],
)
def test_an_audit_of_odd_content_is_no_evidence(
    checkpoint: Checkpoint, conditions: Conditions, changes: dict[str, Any], said: str
) -> None:
    """One without seals counted, and so did one that had "passed": "false"."""
    lacks = examine(checkpoint, "limited", conditions, audit=audit_of(checkpoint, **changes), today=TODAY)
    assert said in " ".join(f.message for f in lacks)
