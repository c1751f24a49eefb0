"""Who hears of answers, and of which."""

from __future__ import annotations

import pytest

from sciai.core.answer import Answer, Estimate, Level, Provenance, ask
from sciai.core.listen import as_one, heard, listening, quietly


def test_listeners_hear_every_answer_and_only_while_listening() -> None:
    told: list[tuple[float, Level]] = []

    def double(x: float) -> Answer[float]:
        return ask(x, lambda q: Estimate(2 * q, 0.0), provenance=Provenance("double"))

    with listening(lambda query, answer: told.append((query, answer.level))):
        double(1.0)
        with listening(lambda query, answer: told.append((-query, answer.level))):
            double(2.0)
    double(3.0)
    assert told == [(1.0, Level.OK), (2.0, Level.OK), (-2.0, Level.OK)]


def test_an_answer_that_cannot_be_recorded_is_not_given() -> None:
    def full(query: object, answer: object) -> None:
        raise OSError("disk full")

    with listening(full), pytest.raises(OSError, match="disk full"):
        ask(1.0, lambda q: Estimate(q, 0.0), provenance=Provenance("same"))


def test_a_question_of_many_is_told_once_with_its_own_answer() -> None:
    made = []

    def describe(x: float) -> str:
        made.append(x)
        return f"twice {x}"

    @as_one(describe)
    def twice(x: float) -> Answer[float]:
        first = ask(x, lambda q: Estimate(2 * q, 0.0), provenance=Provenance("double"))
        return ask(first.unwrap(), lambda q: Estimate(2 * q, 0.0), provenance=Provenance("double"))

    assert twice(1.0).unwrap() == 4.0
    assert made == [], "nobody listens: the question is not described"
    told: list[tuple[object, float]] = []
    with listening(lambda query, answer: told.append((query, answer.unwrap()))):
        twice(1.0)
        with quietly():
            assert not heard()
            twice(2.0)
        ask(3.0, lambda q: Estimate(q, 0.0), provenance=Provenance("same"), told="three")
    assert told == [("twice 1.0", 4.0), ("three", 3.0)]
