"""Answers reach the ledger by themselves, and can be asked again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance, ask
from sciai.core.errors import BadInput
from sciai.core.listen import listening
from sciai.trust.ledger import Ledger
from sciai.trust.record import Question, Recorder
from sciai.trust.referral import Queue
from sciai.trust.replay import replay
from sciai.trust.sign import Signer


@dataclass(frozen=True)
class Panel:
    values: dict[str, float]
    personal: bool = True

    def record(self) -> Question:
        return Question("health", "mean", {"values": self.values}, self.personal)


def young(panel: Panel) -> list[Finding]:
    return [Finding("age", Level.REFUSE, "too young")] if panel.values["age"] < 20 else []


def answered(panel: Panel, version: str = "1") -> Answer[float]:
    def mean(asked: Panel) -> Estimate[float]:
        return Estimate(sum(asked.values.values()) / len(asked.values), 0.1)

    return ask(panel, mean, [young], provenance=Provenance("mean", version=version))


def again(question: Question) -> Answer[Any]:
    return answered(Panel(question.arguments["values"], question.personal))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", Signer.new("service"))


PERSON = {"age": 64.0, "hba1c": 97.53197}


def test_personal_values_are_not_in_the_ledger(ledger: Ledger) -> None:
    with listening(Recorder(ledger, use="screening")):
        answered(Panel(PERSON))
    text = (ledger.folder / "entries.jsonl").read_text()
    assert "97.53" not in text
    assert "80.76" not in text, "nor is what was answered"
    assert ledger.find("0").body["use"] == "screening"
    with listening(Recorder(ledger, in_clear=True)):
        answered(Panel(PERSON))
    assert "97.53197" in (ledger.folder / "entries.jsonl").read_text()


def test_replay_of_a_personal_answer_needs_the_question(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        answered(Panel(PERSON))
    with pytest.raises(BadInput, match="digest of a personal"):
        replay(ledger, "0", {"health": again})
    with pytest.raises(BadInput, match="not the arguments"):
        replay(ledger, "0", {"health": again}, arguments={"values": {**PERSON, "age": 65.0}})
    _, answer, found = replay(ledger, "0", {"health": again}, arguments={"values": PERSON})
    assert found[0].level == Level.OK
    assert answer.unwrap() == pytest.approx(80.765985)


def test_replay_in_clear_and_a_changed_model(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        answered(Panel(PERSON, personal=False))
    assert replay(ledger, "0", {"health": again})[2][0].level == Level.OK

    def other(question: Question) -> Answer[Any]:
        return Answer(Estimate(1.0, 0.1), (), Provenance("mean", version="2"))

    found = replay(ledger, "0", {"health": other})[2][0]
    assert found.level == Level.REFUSE
    assert "version: '1' then, '2' now" in found.message
    with pytest.raises(BadInput, match="cannot be asked again"):
        replay(ledger, "0", {})


def test_refused_answers_are_referred(ledger: Ledger, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db", ledger)
    with listening(Recorder(ledger, queue=queue)):
        answered(Panel({"age": 12.0}))
        answered(Panel(PERSON))
    assert [case.level for case in queue.cases()] == ["refuse"]
    assert [entry.kind for entry in ledger.entries()] == ["answer", "referral", "answer"]
    with pytest.raises(BadInput, match="not an answer"):
        replay(ledger, "1", {"health": again})
    assert [f.level for f in Ledger(ledger.folder).verify()] == [Level.OK]


def test_a_question_that_does_not_say_how_is_recorded_as_it_is(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        ask(2.0, lambda x: Estimate(x, 0.0), provenance=Provenance("same"))
    assert ledger.find("0").body["arguments"] == {"query": 2.0}
