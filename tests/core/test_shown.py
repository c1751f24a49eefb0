"""What a user sees who prints an answer: short, whatever is in it, and nothing that was withheld."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance
from sciai.core.shown import Brief, brief

ORIGIN = Provenance("potential", "a" * 64, version="1", seed=3, calibration="held-out <systems>")


@dataclass(frozen=True, repr=False)
class Result(Brief):
    energy: float
    forces: np.ndarray[Any, Any]
    kept: str = field(default="never shown", repr=False)


def answer(level: Level = Level.OK) -> Answer[Result]:
    value = Result(-26.99791152246351, np.linspace(-1.5, 2.5, 3 * 4000).reshape(-1, 3))
    doubts = (
        Finding("support", level, "unlike what was learned: 1 < 2", "Na 3"),
        Finding("stage", Level.OK, "a pilot"),
    )
    return Answer(Estimate(value, {"energy": 0.25, "forces": np.full(4000, 0.1)}, "eV"), doubts, ORIGIN)


@pytest.mark.parametrize("level", list(Level))
def test_a_printed_answer_is_short_and_says_what_matters(level: Level) -> None:
    shown = str(answer(level))
    assert shown.startswith(level.name)
    assert len(shown) < 600
    assert len(repr([answer(level)])) < 350
    assert len(repr(answer(level).estimate)) < 300
    assert ("-26.998" in shown) == (level < Level.REFUSE)
    assert ("(4000, 3) from -1.5 to 2.5" in shown) == (level < Level.REFUSE)
    assert ("energy 0.25" in shown) == (level < Level.REFUSE)
    assert ("[" + level.name + "] support (Na 3)" in shown) == (level > Level.OK)
    assert "from potential aaaaaaaaaaaa" in shown
    assert "seed 3" in shown
    assert "never shown" not in shown


@pytest.mark.parametrize("level", list(Level))
def test_a_notebook_shows_the_same_with_nothing_left_unescaped(level: Level) -> None:
    page = answer(level)._repr_html_()
    assert "held-out &lt;systems&gt;" in page
    assert "<systems>" not in page
    assert ("-26.998" in page) == (level < Level.REFUSE)
    assert ("unlike what was learned: 1 &lt; 2" in page) == (level > Level.OK)


def test_a_refusal_without_an_estimate_shows_its_reason() -> None:
    refused: Answer[float] = Answer(None, (Finding("age", Level.REFUSE, "too young"),), ORIGIN)
    assert "[REFUSE] age: too young" in str(refused)
    assert repr(refused) == "<REFUSE (age): no value>"
    assert "too young" in refused._repr_html_()


def test_results_keep_their_own_words() -> None:
    class Own(Result):
        def __str__(self) -> str:
            return "gap 1.1 eV\nand a long story"

    assert brief(Own(1.0, np.zeros(3))) == "gap 1.1 eV ..."
    assert repr(Result(1.0, np.zeros(3))) == "Result(energy 1, forces [0, 0, 0])"


things = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=40)
        | st.dictionaries(st.text(max_size=9), inner, max_size=40)
        | st.lists(st.floats(), max_size=60).map(np.array)
    ),
    max_leaves=60,
)


@given(things)
def test_anything_can_be_shown_in_one_bounded_line(value: Any) -> None:
    shown = repr(Answer(Estimate(value, 0.0), (), ORIGIN))
    assert len(shown) < 400
    assert len(shown.splitlines()) <= 1
