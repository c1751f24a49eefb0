"""The audit of health: a harm that is planted in a group of people is found there, and a rule cures it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciai.core.answer import Estimate, Level, Provenance, ask
from sciai.health import checks
from sciai.health.api.distribution import Distribution, Told
from sciai.health.checks import audit, defects
from sciai.health.checks.exposure import exposure, told_apart
from sciai.health.data.columns import default_schema
from sciai.trust.audit import TOOLS
from sciai.trust.audit.exam import Exam, judge
from sciai.trust.audit.probe import LIMITS, probe
from sciai.trust.policy import read_actions

SCHEMA = default_schema()
PEOPLE, MEMBERS = 1000, 200


@pytest.fixture(scope="module")
def people() -> audit.Material:
    """People who do not exist: every column asked is drawn, risks rise with age."""
    rng = np.random.default_rng(0)
    count = PEOPLE + MEMBERS
    values = np.full((count, len(SCHEMA)), np.nan)

    def put(name: str, column: Any) -> None:
        values[:, SCHEMA.index(name)] = column

    put("age", rng.integers(20, 81, count))
    put("sex", rng.integers(0, 2, count))
    put("race_eth", rng.integers(0, 3, count))
    put("cycle", rng.integers(0, 4, count))
    put("pregnant", rng.random(count) < 0.02)
    put("height_cm", rng.normal(170, 9, count))
    put("weight_kg", rng.normal(80, 15, count))
    put("waist_cm", rng.normal(95, 12, count))
    for name in audit.RISKS:
        put(name, rng.random(count) < _risk(values))
    for name in audit.NUMBERS:
        middle = (SCHEMA[name].low + min(SCHEMA[name].high, 300)) / 2
        put(name, rng.normal(middle, middle / 50, count))
    rows = audit.Rows(SCHEMA, values, rng.integers(0, 40, count).astype(str), "nobody.csv")
    return audit.Material(rows, np.arange(PEOPLE), np.arange(PEOPLE, count), False)


def _risk(values: Any) -> Any:
    return 0.1 + 0.4 * (values[:, SCHEMA.index("age")] >= 60)


def told(people: audit.Material) -> dict[str, Any]:
    """What a model that knows the truth of this world says."""
    values = people.values
    risk = np.tile(_risk(values)[:, None], (1, len(audit.RISKS)))
    middle = np.array([(SCHEMA[n].low + min(SCHEMA[n].high, 300)) / 2 for n in audit.NUMBERS])
    half = 1.645 * middle / 50
    wide = np.tile(half, (len(values), 1))
    ends = {"low": middle - wide, "middle": np.tile(middle, (len(values), 1)), "high": middle + wide}
    rarity = np.random.default_rng(3).normal(size=len(values))
    return {"risk": risk, **ends, "rarity": rarity, "impossible": np.zeros(len(values))}


@pytest.fixture(scope="module")
def exam(people: audit.Material) -> Exam:
    """Some of the slices: what survives a correction for all of them takes many shuffles."""
    whole = audit.exam(people)
    assert len(whole.slices) > 40
    some = ("women", "men", "20-39", "60-79", "women, 20-39", "women, 60-79", "men, 60-79", "BMI under 18.5")
    return replace(whole, slices={name: whole.slices[name] for name in some})


def group(people: audit.Material) -> Any:
    values = people.values
    return (values[:, SCHEMA.index("sex")] == 0) & (values[:, SCHEMA.index("age")] >= 60)


def test_an_honest_model_harms_nobody(people: audit.Material, exam: Exam) -> None:
    found = judge(exam, told(people), draws=100)
    assert found["harmed"] == []
    assert found["figures"]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert found["figures"]["membership_auc"] == pytest.approx(0.5, abs=0.05)
    assert set(found["matters"]) == set(audit.MATTERS)
    assert any(cell["verdict"] == "cannot tell" for cell in found["cells"])
    assert "200 members" in found["about"]


def test_a_planted_subgroup_harm_is_found_and_a_rule_cures_it(people: audit.Material, exam: Exam) -> None:
    answers = told(people)
    answers["risk"][group(people)] *= 0.4
    found = judge(exam, answers, draws=100)
    assert any("false-safe in women, 60-79" in text for text in found["harmed"])
    assert found["worst"][0]["harm"] == "false-safe"
    assert "women" in found["worst"][0]["slice"] or "60" in found["worst"][0]["slice"]
    rule = {
        "when": {"sex": "female", "age": {"min": 60}, "target": list(audit.RISKS)},
        "do": "fall_back", "harm": "false-safe", "why": "their risks were told too low",
    }  # fmt: skip
    cured = judge(exam, answers, read_actions([rule], checks.FACTS), draws=100)
    assert cured["harmed"] == []
    assert cured["harmed_before"]
    assert 0.1 < cured["policy"]["rules"][0]["share"] < 0.3


def test_other_harms_have_their_names(people: audit.Material, exam: Exam) -> None:
    rows = group(people)
    answers = told(people)
    for name in ("low", "high"):
        answers[name][rows] = answers["middle"][rows] + 0.4 * (answers[name][rows] - answers["middle"][rows])
    answers["risk"][~rows & (people.values[:, SCHEMA.index("age")] < 40), 0] = 1.2
    answers["rarity"][PEOPLE:] -= 3.0 * rows[PEOPLE:]
    named = {text.split(" in ")[0] for text in judge(exam, answers, draws=100)["harmed"]}
    assert {"overconfident", "unphysical", "false-alarm", "privacy"} <= named
    wider = {"when": {"sex": "female", "age": {"min": 60}}, "do": "widen", "by": 2.5, "harm": "overconfident"}
    rules = read_actions([{**wider, "why": "too narrow"}], checks.FACTS)
    left = judge(exam, answers, rules, draws=100)["harmed"]
    assert not any(text.startswith("overconfident") for text in left)


def test_digits_ways_and_contexts_are_probed(people: audit.Material) -> None:
    values = people.people.values

    def answer(rows: Any, context: Any) -> Any:
        return rows[:, 0] / 100 + 0.3 * (rows[:, -1] == 1)  # pounds for kilograms

    of = defects.subject(people, "sbp", answer, {}, True)
    assert of.columns[-1] == "way"
    assert np.nanmax(values) > 0
    only = {tool: "not here" for tool in TOOLS if tool not in ("relations", "contexts", "triggers")}
    found = probe({"sbp": (of, only)})
    accused = {row["tool"]: row["accused"] for row in found["evidence"]}
    assert accused == {"relations": True, "contexts": False, "triggers": False}
    assert "in other units" in found["failures"][0]
    assert {row["defect"]: row["found"] for row in found["sensitivity"]}["trigger"] == 1
    assert set(accused) <= set(LIMITS)


def test_memory_is_told_from_places(people: audit.Material) -> None:
    """People set aside live where members live: beside them, a model that knows a place is no rememberer."""
    answers = told(people)
    answers["rarity"][PEOPLE:] -= 1.0  # all of the members' places
    alone = audit.exam(people).figures(answers)["membership_auc"]
    aside = replace(people, members=people.members[:100], aside=people.members[100:])
    assert audit.exam(aside).figures(answers)["membership_auc"] == pytest.approx(0.5, abs=0.1)
    assert alone > 0.7
    assert any("other places" in text for text in audit.exam(people).cannot)


def test_a_table_without_the_people_who_were_held_out(tmp_path: Path) -> None:
    import pandas as pd

    rows = pd.DataFrame(
        {"age": [40.0] * 30, "sex": ["F"] * 30, "cycle": ["2011-2012"] * 30, "strata": 1, "psu": 1}
    )
    rows.to_csv(tmp_path / "table.csv", index=False)
    of = audit.material([str(tmp_path / "table.csv")], ["another"], ["one"], (0, 0), True)
    assert of.foreign
    assert len(of.held) == 30
    from sciai.core.errors import BadInput

    with pytest.raises(BadInput, match="everybody in this table"):
        audit.material([str(tmp_path / "table.csv")], ["another"], ["2011-2012/1/1"], (0, 0), True)


def test_rules_act_on_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    question = checks.Question(
        SCHEMA, {"sex": 0.0, "pregnant": 1.0}, {"age": 30.0, "bmi": 25.0}, ("sbp", "dx_diabetes")
    )
    assert checks.facts(question)["pregnant"] is True
    low = Distribution("sbp", "sbp", "mm[Hg]", "continuous", 120, 10, (100, 140), quantiles={0.5: 120})
    risk = Distribution("dx_diabetes", "diabetes", "", "binary", 0.1, 0.3, (0.05, 0.2))

    def answered(*rules: dict[str, Any]) -> Any:
        read = tuple(
            read_actions([{"harm": "overconfident", "why": "few", **r} for r in rules], checks.FACTS)
        )
        monkeypatch.setattr("sciai.health.checks.rules.actions", lambda: read)
        return ask(
            question,
            lambda _: Estimate(Told({"sbp": low, "dx_diabetes": risk}), {"sbp": (100, 140)}),
            provenance=Provenance("test"),
            govern=checks.govern,
        )

    assert answered().findings == ()
    wide = answered({"when": {"pregnant": True, "target": "sbp"}, "do": "widen", "by": 2})
    assert wide.level is Level.CAUTION
    assert wide.unwrap()["sbp"].interval == (80, 160)
    assert wide.unwrap()["dx_diabetes"].interval == (0.05, 0.2)
    everywhere = answered({"when": {"pregnant": True}, "do": "widen", "by": 4})
    assert everywhere.unwrap()["dx_diabetes"].interval == (0.0, 0.5)
    withheld = answered({"when": {"age": {"max": 40}, "target": "dx_diabetes"}, "do": "withhold"})
    assert withheld.level is Level.REFUSE
    assert answered({"when": {"age": {"min": 41}}, "do": "withhold"}).level is Level.OK


def test_the_rules_that_ship_can_be_read() -> None:
    for rule in checks.actions():
        assert rule.why
        assert rule.harm in audit.MATTERS


def _crowd(seed: int, count: int = 3000) -> tuple[Any, ...]:
    """Rarity, members, strangers, bands and a slice whose people are likelier, learned from or not."""
    rng = np.random.default_rng(seed)
    band = rng.choice(["a", "b", "c"], count)
    member = rng.random(count) < 0.7
    likelier = rng.random(count) < 0.2
    return rng.normal(size=count) - 0.8 * likelier, member, ~member, band, likelier


def test_a_group_that_anybody_would_find_likely_is_not_told_apart_for_that() -> None:
    found = []
    for seed in range(20):
        rarity, member, strangers, band, likelier = _crowd(seed)
        value = told_apart(rarity, member, strangers, band)
        assert np.nanmean(value) == pytest.approx(
            np.nanmean(exposure(rarity, member, strangers, band)), abs=0.01
        )
        assert np.nanmean(exposure(rarity, member, strangers, band)[likelier]) > 0.62
        found.append(float(np.nanmean(value[likelier])))
    assert abs(np.mean(found) - 0.5) < 0.02


def test_people_who_are_remembered_are_told_apart_and_chance_in_strangers_counts() -> None:
    rarity, member, strangers, band, likelier = _crowd(1)
    remembered = told_apart(rarity - 0.6 * (member & likelier), member, strangers, band)
    assert np.nanmean(remembered[likelier]) > 0.6
    assert np.nanmean(remembered[~likelier]) < 0.53
    # what the mean varies by is what its two-sample statistic varies by over draws of both
    value = told_apart(rarity, member, strangers, band)
    error = float(np.nanstd(value) / np.sqrt(np.isfinite(value).sum()))
    means = [np.nanmean(told_apart(*_crowd(seed)[:4])) for seed in range(60)]
    assert error == pytest.approx(float(np.std(means)), rel=0.3)


def test_too_few_strangers_tell_nothing() -> None:
    rarity, member, _, band, _ = _crowd(2)
    few = np.flatnonzero(~member)[:20]
    strangers = np.isin(np.arange(len(rarity)), few)
    assert np.isnan(told_apart(rarity, member, strangers, band)).all()


@pytest.mark.parametrize("group", ["", "60 and over", "100 kg and over"])
def test_a_group_whose_answers_are_shrunk_is_found_where_it_begins(
    people: audit.Material, group: str
) -> None:
    def answer(rows: Any, context: Any) -> Any:
        risk = 1 / (1 + np.exp(3.0 - rows[:, 0] / 30 - rows[:, 2] / 200))
        return risk * np.where(defects.GROUPS[group](rows), 0.8, 1.0) if group else risk

    of = defects.subject(people, "dx_diabetes", answer, {}, False)
    only = {tool: "not here" for tool in TOOLS if tool != "borders"}
    [row] = probe({"diabetes": (of, only)})["evidence"]
    assert row["accused"] == bool(group)
    assert row["what"].startswith(group)


def test_what_is_not_used_says_why(people: audit.Material) -> None:
    nobody = replace(people, members=people.members[:0])
    virtual = replace(nobody, people=replace(people.people, name=audit.VIRTUAL))
    yes_no, number = SCHEMA["dx_diabetes"], SCHEMA["sbp"]
    assert set(defects.unused(people, number)) == {"claims", "shortcuts"}
    assert set(defects.unused(people, yes_no)) == {"claims", "shortcuts", "poisoned"}
    assert {"memorised", "poisoned", "unlearned"} <= set(defects.unused(nobody, number))
    assert "groups" in set(defects.unused(virtual, number)) - set(defects.unused(nobody, number))
    assert set(defects.unused(virtual, number)) < set(TOOLS)
