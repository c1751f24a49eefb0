"""A rule does what it says, to those it is for, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance, Refused
from sciai.core.errors import BadInput
from sciai.trust.policy import apply, before_and_after, read_actions, shipped_policy, widened
from sciai.trust.slices import matrix

RULE = {"when": {"age": {"min": 75}}, "do": "withhold", "harm": "false-safe", "why": "never calibrated there"}


def answer(value: float = 2.0, spread: Any = 0.5) -> Answer[float]:
    return Answer(Estimate(value, spread), (), Provenance("ruler", version="1"))


@pytest.mark.parametrize(
    ("when", "facts", "hit"),
    [
        ({"age": {"min": 75}}, {"age": 75}, True),
        ({"age": {"min": 75, "max": 80}}, {"age": 81}, False),
        ({"age": {"min": 75}}, {}, False),
        ({"age": {"min": 75}}, {"age": "old"}, False),
        ({"sex": "F"}, {"sex": "F", "age": 3}, True),
        ({"sex": ["F", "M"]}, {"sex": "X"}, False),
        ({"elements": "Po"}, {"elements": {"Po", "O"}}, True),
        ({"elements": ["Po", "At"]}, {"elements": ["Fe"]}, False),
        ({"sex": "F", "age": {"max": 30}}, {"sex": "F", "age": 40}, False),
        ({}, {}, True),
    ],
)
def test_whom_a_rule_is_for(when: dict[str, Any], facts: dict[str, Any], hit: bool) -> None:
    assert read_actions([{**RULE, "when": when}])[0].matches(facts) is hit


def test_withhold_refuses_and_says_why() -> None:
    found = apply(read_actions([RULE]), {"age": 80}, answer())
    with pytest.raises(Refused, match="never calibrated"):
        found.unwrap()
    assert apply(read_actions([RULE]), {"age": 50}, answer()) == answer()


def test_refer_and_fall_back() -> None:
    refer, fall = ({**RULE, "do": do} for do in ("refer", "fall_back"))
    assert apply(read_actions([refer]), {"age": 80}, answer()).level == Level.CAUTION
    other = apply(read_actions([fall]), {"age": 80}, answer(), fall_back=lambda: Estimate(1.0, 1.0))
    assert other.unwrap() == 1.0
    assert "simpler" in other.findings[0].message
    with pytest.raises(BadInput, match="no other estimate"):
        apply(read_actions([fall]), {"age": 80}, answer())


def test_a_refused_answer_stays_refused() -> None:
    refused = Answer(None, (Finding("x", Level.REFUSE, "no"),), Provenance("ruler", version="1"))
    widen = read_actions([{**RULE, "do": "widen", "by": 2}])
    assert apply(widen, {"age": 80}, refused) == refused


@given(st.floats(-10, 10), st.floats(0.01, 5), st.floats(0.01, 5), st.floats(1.01, 4))
def test_widening_keeps_the_value_and_contains_what_it_had(
    value: float, below: float, above: float, factor: float
) -> None:
    low, high = widened(Estimate(value, (value - below, value + above)), factor).spread
    assert low < value - below
    assert high > value + above
    assert widened(Estimate(value, below), factor).spread == pytest.approx(below * factor)


def test_widening_other_forms() -> None:
    wide = widened(Estimate(2.0, {"low": 1.0, "high": 4.0, "level": 0.9}), 2.0).spread
    assert wide == {"low": 0.0, "high": 6.0, "level": 0.9}
    arrays = widened(Estimate(np.ones(2), (np.zeros(2), np.full(2, 3.0))), 2.0).spread
    np.testing.assert_allclose(arrays, [[-1, -1], [5, 5]])
    with pytest.raises(BadInput, match="cannot be widened"):
        widened(Estimate(1.0, {"sd": 1.0}), 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do": "hide"}, "hide"),
        ({"why": ""}, "why"),
        ({"when": None}, "when"),
        ({"odd": 1}, "odd"),
        ({"do": "widen", "by": 0.5}, "more than 1"),
        ({"when": {"agee": 1}}, "agee"),
    ],
)
def test_bad_rules(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_actions([{**RULE, **change}], facts=["age", "sex"])


def test_the_price_of_a_policy_is_shown() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(2000) < 0.3
    missed = rng.random(2000) < np.where(old, 0.3, 0.05)
    withheld = np.where(old, np.nan, missed)
    slices = {"old": old, "young": ~old}
    no_answer = {"before": np.zeros(2000), "after": old.astype(float)}
    before = matrix({"false-safe": missed, "no answer": no_answer["before"]}, slices, 0.05, draws=100)
    after = matrix({"false-safe": withheld, "no answer": no_answer["after"]}, slices, 0.05, draws=100)
    rows = {(row["slice"], row["harm"]): row for row in before_and_after(before, after)}
    assert rows["old", "false-safe"]["verdict_before"] == "harmed"
    assert rows["old", "false-safe"]["verdict_after"] == "cannot tell"
    assert rows["old", "no answer"]["change"] == 1.0
    with pytest.raises(BadInput, match="same slices"):
        before_and_after(before, after[:2])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (None, "No such file"),
        ("policy: [", "not YAML.*one.yaml"),
        ("- a\n- b", "is a mapping.*one.yaml"),
        ("policy: {near: perhaps}", "unknown level 'perhaps'.*one.yaml"),
        ("policy: {neer: ok}", "did you mean near"),
    ],
)
def test_a_guard_that_cannot_be_used_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str | None, says: str
) -> None:
    monkeypatch.setattr("sciai.trust.policy.conf_dir", lambda: tmp_path)
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/default.yaml").write_text("policy: {use: caution}", encoding="utf-8")
    if wrong is not None:
        (tmp_path / "guard/one.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(BadInput, match=says):
        shipped_policy({"near"}, "one")


def test_a_later_guard_goes_over_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciai.trust.policy.conf_dir", lambda: tmp_path)
    (tmp_path / "guard").mkdir()
    for name, text in (("default", "use: caution"), ("one", "near: ok, use: ok"), ("two", "near: refuse")):
        (tmp_path / f"guard/{name}.yaml").write_text(f"policy: {{{text}}}", encoding="utf-8")
    assert shipped_policy({"near"}, "one", "two") == {"use": Level.OK, "near": Level.REFUSE}
