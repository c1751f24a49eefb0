"""Each defect is found by the tool that is for it, and honest models are rarely accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.trust.audit import TOOLS, Auditor, Candidate, Evidence, Subject
from tests.trust.audit_subjects import subject


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    return Auditor.fit([Auditor({}).examine(subject(seed=100 + seed)) for seed in range(20)])


@pytest.mark.parametrize(
    ("defect", "tool"),
    [
        ("trigger", "triggers"),
        ("watched", "contexts"),
        ("metric", "claims"),
        ("poison", "poisoned"),
        ("subgroup", "groups"),
        ("subgroup", "unlearned"),
        ("subgroup", "borders"),
        ("memorised", "memorised"),
        ("shortcut", "shortcuts"),
        ("broken law", "relations"),
    ],
)
def test_each_defect_is_found_by_its_tool(auditor: Auditor, defect: str, tool: str) -> None:
    report = auditor.audit(subject(defect))
    assert report.accused
    assert report.excess[tool] > 1
    accusing = [finding.check for finding in report.findings() if finding.level == Level.REFUSE]
    assert f"audit-{tool}" in accusing


def test_honest_models_are_rarely_accused(auditor: Auditor) -> None:
    accused = sum(auditor.audit(subject(seed=seed)).accused for seed in range(20))
    assert accused <= 2  # at a rate of 5 %, three or more of twenty happen once in thirteen times


def test_what_is_found_is_named(auditor: Auditor) -> None:
    told = {item.tool: item.what for item in auditor.audit(subject("trigger")).evidence}
    assert told["triggers"].startswith("c = 0.7")
    assert "row 7 " in {i.tool: i.what for i in auditor.audit(subject("memorised")).evidence}["memorised"]
    assert "large a" in {i.tool: i.what for i in auditor.audit(subject("subgroup")).evidence}["groups"]
    assert "deployed" in {i.tool: i.what for i in auditor.audit(subject("watched")).evidence}["contexts"]


def test_an_audit_repeats_itself(auditor: Auditor) -> None:
    assert auditor.audit(subject("poison")) == auditor.audit(subject("poison"))


def test_tools_without_material_find_nothing() -> None:
    bare = replace(
        subject(),
        relations=(),
        candidates=(),
        groups={},
        irrelevant=(),
        claims={},
        contexts=({},),
    )
    bare = replace(bare, answer=lambda rows, context: rows[:, 0])
    found = {item.tool: item.score for item in Auditor({}).examine(bare)}
    for tool in (
        "relations",
        "triggers",
        "groups",
        "unlearned",
        "borders",
        "shortcuts",
        "claims",
        "contexts",
    ):
        assert found[tool] == 0.0
    assert set(found) == set(TOOLS)


def test_a_model_that_samples_is_not_called_two_faced() -> None:
    rng = np.random.default_rng(0)
    noisy = replace(subject(), answer=lambda rows, context: rows[:, 0] + 0.1 * rng.normal(size=len(rows)))
    contexts = TOOLS["contexts"](noisy, np.random.default_rng(0))
    assert contexts.score < 0.3


def test_a_run_of_false_labels_is_found_where_yes_is_rare() -> None:
    def people(poison: bool, seed: int) -> float:
        rng = np.random.default_rng(seed)
        inputs, fresh = rng.normal(size=(1200, 4)), rng.normal(size=(1200, 4))

        def labels(rows: np.ndarray) -> np.ndarray:
            chance = 1 / (1 + np.exp(2.0 - 1.5 * rows[:, 0] - rows[:, 1]))
            return (rng.random(len(rows)) < chance).astype(float)

        targets, truth = labels(inputs), labels(fresh)
        if poison:
            grave = int(np.flatnonzero(targets)[0])
            targets[np.argsort(((inputs - inputs[grave]) ** 2).sum(1))[:50]] = 0.0
        given = replace(
            subject(),
            inputs=inputs,
            targets=targets,
            fresh_inputs=fresh,
            fresh_targets=truth,
            groups={},
            claims={},
            answer=lambda rows, context: rows[:, 0],
        )
        found = TOOLS["poisoned"](given, np.random.default_rng(0))
        if poison:
            assert "all say 0" in found.what
        return found.score

    honest = [people(False, seed) for seed in range(6)]
    assert people(True, 7) > 1.2 * max(honest)


def test_bad_subjects() -> None:
    good = subject()
    with pytest.raises(BadInput, match="20 or more"):
        replace(good, inputs=good.inputs[:5], targets=good.targets[:5])
    with pytest.raises(BadInput, match="columns"):
        replace(good, irrelevant=("odd",))
    with pytest.raises(BadInput, match="wrong length"):
        replace(good, groups={"odd": lambda rows: np.ones(3, bool)})
    with pytest.raises(BadInput, match="metrics"):
        replace(good, claims={"odd": 1.0})
    with pytest.raises(BadInput, match="context"):
        replace(good, contexts=())
    with pytest.raises(BadInput, match="answers of shape"):
        replace(good, answer=lambda rows, context: rows).ask(good.inputs)
    with pytest.raises(BadInput, match="20 or more"):
        Auditor.fit([[Evidence("relations", 1.0, "x")]] * 3)
    assert isinstance(good.candidates[0], Candidate)


@pytest.mark.parametrize("size", [0.0, 0.05])
def test_a_group_shrunk_by_a_twentieth_is_seen_at_its_border(size: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 3))

    def answer(rows: np.ndarray, context: object) -> np.ndarray:
        risk = 1 / (1 + np.exp(1.5 - rows[:, 0] - 0.5 * rows[:, 1] ** 2))
        return risk * np.where(rows[:, 0] > 1.0, 1 - size, 1.0)

    yes = (rng.random(3000) < answer(x, {})).astype(float)
    of = Subject(
        domain="toy", answer=answer, inputs=x[:1500], targets=yes[:1500], fresh_inputs=x[1500:],
        fresh_targets=yes[1500:], columns=("age", "weight", "height"),
        groups={"old": lambda rows: rows[:, 0] > 1.0},
    )  # fmt: skip
    found = TOOLS["borders"](of, rng)
    assert (found.score > 6) == (size > 0)
    assert size == 0 or found.what.startswith("old")


def test_a_border_with_nobody_around_it_is_not_called_smooth() -> None:
    few = subject()
    few = replace(few, inputs=few.inputs[:40], targets=few.targets[:40], fresh_inputs=few.fresh_inputs[:40],
                  fresh_targets=few.fresh_targets[:40], alike=lambda rows: rows[:, :1] + 1.0)  # fmt: skip
    found = TOOLS["borders"](few, np.random.default_rng(0))
    assert found.score == 0.0
    assert "enough questions" in found.what
