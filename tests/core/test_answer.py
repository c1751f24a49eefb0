"""ask(): the order of things, policies, and what a refused answer gives away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import (
    Answer,
    Estimate,
    Finding,
    Level,
    Provenance,
    Refused,
    ask,
    jsonable,
    read_policy,
)
from sciai.core.errors import BadInput, SciaiError

WHO = Provenance("toy", checkpoint="ab", version="1", seed=3, calibration="none")


def _says(level: Level, check: str = "c"):
    return lambda *_: [Finding(check, level, "because of a reason")]


def test_order_is_before_predict_after() -> None:
    seen: list[str] = []

    def before(query: int) -> Iterator[Finding]:
        seen.append("before")
        yield Finding("b", Level.CAUTION, "careful")

    def predict(query: int) -> Estimate[int]:
        seen.append("predict")
        return Estimate(query + 1, 0.5, "m")

    def after(query: int, estimate: Estimate[int]) -> list[Finding]:
        seen.append(f"after {query} {estimate.value}")
        return []

    answer = ask(1, predict, [before], [after], provenance=WHO)
    assert seen == ["before", "predict", "after 1 2"]
    assert (answer.level, answer.unwrap(), answer.provenance) == (Level.CAUTION, 2, WHO)


def test_refused_question_is_never_predicted_and_all_checks_still_speak() -> None:
    def predict(query: int) -> Estimate[int]:
        raise AssertionError("predict must not run")

    def after(query: int, estimate: Estimate[int]) -> list[Finding]:
        raise AssertionError("after must not run")

    answer = ask(1, predict, [_says(Level.REFUSE, "a"), _says(Level.CAUTION, "b")], [after], provenance=WHO)
    assert answer.estimate is None
    assert [f.check for f in answer.findings] == ["a", "b"]
    with pytest.raises(Refused, match="because of a reason") as caught:
        answer.unwrap()
    assert caught.value.answer is answer
    assert isinstance(caught.value, SciaiError)


def test_refused_estimate_is_withheld_but_kept_for_review() -> None:
    answer = ask(1, lambda q: Estimate(5.0, 1.0), after=[_says(Level.REFUSE)], provenance=WHO)
    assert answer.estimate is not None
    with pytest.raises(Refused):
        answer.unwrap()
    assert answer.to_dict()["estimate"] is None
    assert answer.to_dict(show_refused=True)["estimate"]["value"] == 5.0


@pytest.mark.parametrize("where", ["before", "predict", "after"])
def test_errors_surface(where: str) -> None:
    def broken(*_: object) -> list[Finding]:
        raise ZeroDivisionError(where)

    parts = {"predict": lambda q: Estimate(1, 0), "before": (), "after": ()}
    parts[where] = broken if where == "predict" else [broken]
    with pytest.raises(ZeroDivisionError, match=where):
        ask(1, parts["predict"], parts["before"], parts["after"], provenance=WHO)


def test_a_lazy_guard_that_breaks_surfaces_too() -> None:
    def guard(query: int) -> Iterator[Finding]:
        yield Finding("g", Level.OK, "fine so far")
        raise KeyError("late")

    with pytest.raises(KeyError):
        ask(1, lambda q: Estimate(1, 0), [guard], provenance=WHO)


@pytest.mark.parametrize(
    ("given_level", "policy", "expected"),
    [
        (Level.CAUTION, {"c": "refuse"}, Level.REFUSE),
        (Level.REFUSE, {"c": Level.CAUTION}, Level.CAUTION),
        (Level.REFUSE, {"other": "ok"}, Level.REFUSE),
        (Level.OK, {"c": "refuse"}, Level.OK),  # a check that passed stays passed
    ],
)
def test_policy_overrides_levels(given_level: Level, policy: dict[str, str], expected: Level) -> None:
    for side in ("before", "after"):
        answer = ask(
            1, lambda q: Estimate(1, 0), **{side: [_says(given_level)]}, policy=policy, provenance=WHO
        )
        assert answer.level is expected


@given(st.lists(st.sampled_from(Level), max_size=6))
def test_level_is_the_worst(levels: list[Level]) -> None:
    findings = tuple(Finding("c", level, "m") for level in levels)
    assert Answer(Estimate(1, 0), findings, WHO).level == max(levels, default=Level.OK)


def test_what_cannot_be_built() -> None:
    with pytest.raises(BadInput, match="spread"):
        Estimate(1.0, None)
    with pytest.raises(BadInput, match="spread"):
        Estimate(1.0, {})
    with pytest.raises(BadInput):
        Finding("c", Level.OK, "  ")
    with pytest.raises(BadInput):
        Finding("c", "awful", "m")  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        Provenance("")
    with pytest.raises(BadInput, match="say why"):
        Answer(None, (), WHO)
    with pytest.raises(BadInput, match="ok, caution, refuse"):
        read_policy({"c": "maybe"})
    assert read_policy({"support": "ok"}, {"support", "finite"}) == {"support": Level.OK}
    assert read_policy(None, set()) == {}
    with pytest.raises(BadInput, match=r"no check is called 'suport' \(field policy.suport\); did you mean"):
        read_policy({"suport": "ok"}, {"support", "finite"})
    with pytest.raises(TypeError):
        ask(1, lambda q: 5, provenance=WHO)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError):
        ask(1, lambda q: Estimate(1, 0), [lambda q: ["bad"]], provenance=WHO)  # type: ignore[list-item]


def test_provenance_may_be_known_only_afterwards() -> None:
    answer = ask(1, lambda q: Estimate(1, 0), provenance=lambda: WHO)
    assert answer.provenance is WHO
    assert Provenance("m").version  # filled in


def test_json_is_strict_json() -> None:
    value = {
        "nan": np.nan,
        "inf": -np.inf,
        "i": np.int8(3),
        "b": np.bool_(True),
        "p": Path("a/b"),
        "l": Level.OK,
    }
    answer = Answer(Estimate(np.array([1.0, np.nan]), value), (), WHO)
    text = json.dumps(answer.to_dict(), allow_nan=False)
    spread = {"nan": None, "inf": "-inf", "i": 3, "b": True, "p": "a/b", "l": "ok"}
    assert json.loads(text)["estimate"] == {"value": [1.0, None], "spread": spread, "unit": ""}
    assert json.loads(text)["provenance"]["seed"] == 3
    big = jsonable(np.arange(5000.0).reshape(50, 100))
    assert big == {"shape": [50, 100], "dtype": "float64", "min": 0.0, "max": 4999.0}
    assert jsonable({3, 1, 2}) == [1, 2, 3]
