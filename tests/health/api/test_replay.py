"""Questions about people go into the ledger as digests, and can be asked again by whoever knows them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.core.listen import listening
from sciai.health.api.record import Asked
from sciai.health.api.replay import replay as ask_again
from sciai.trust.ledger import Ledger
from sciai.trust.record import Recorder
from sciai.trust.referral import Queue
from sciai.trust.replay import match, replay, witness
from sciai.trust.sign import Signer
from tests.health.api.exact import human

VH = human()
AGAIN = {"health": partial(ask_again, model=VH)}
ME: dict[str, Any] = {"age": 61, "sex": "male", "hba1c": "6.43 %", "bmi": 31.7}
CALLS = {
    "ask": lambda person: person.ask("dx_diabetes", "weight_kg"),
    "risks": lambda person: person.risks(drivers=2),
    "unusual": lambda person: person.given(height_cm=181, weight_kg=90).without("bmi").unusual(),
    "what_if": lambda person: person.what_if(["dx_diabetes"], hba1c=-1),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", Signer.new("service"))


@pytest.mark.parametrize("call", CALLS)
def test_every_question_is_told_once_and_can_be_asked_again(ledger: Ledger, call: str) -> None:
    with listening(Recorder(ledger, in_clear=True)):
        CALLS[call](VH.given(ME))
    (entry,) = ledger.entries()
    assert entry.body["call"] == call
    assert [f.level for f in replay(ledger, "0", AGAIN)[2]] == [Level.OK]


def test_personal_values_are_digests_unless_asked_otherwise(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        told = VH.given(ME).ask("dx_diabetes")
    text = (ledger.folder / "entries.jsonl").read_text()
    assert "6.43" not in text
    assert "31.7" not in text
    assert str(told["dx_diabetes"].mean)[:6] not in text
    with pytest.raises(BadInput, match="digest of a personal question"):
        replay(ledger, "0", AGAIN)
    given = Asked(VH.given(ME), "ask", {"targets": ["dx_diabetes"]}).record().arguments
    assert replay(ledger, "0", AGAIN, arguments=given)[2][0].level == Level.OK
    other = Asked(VH.given({**ME, "age": 62}), "ask", {"targets": ["dx_diabetes"]}).record().arguments
    with pytest.raises(BadInput, match="not the arguments"):
        replay(ledger, "0", AGAIN, arguments=other)


def test_the_same_values_given_again_are_recognised(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        VH.given(ME).ask("dx_diabetes")
    with witness() as heard:
        VH.given(ME).ask("weight_kg")
        VH.given(ME).ask("dx_diabetes")
    assert match(ledger, "0", heard)[2][0].level == Level.OK
    with pytest.raises(BadInput, match="with other values"):
        match(ledger, "0", heard[:1])
    assert len(list(ledger.entries())) == 1, "a replay is no new answer"


def test_another_model_gives_another_answer(ledger: Ledger) -> None:
    with listening(Recorder(ledger, in_clear=True)):
        VH.given(ME).ask("weight_kg")
    other = human()
    other.calibration.widths["weight_kg"] = {"all": 0.5}
    found = replay(ledger, "0", {"health": partial(ask_again, model=other)})[2]
    assert found[0].level == Level.REFUSE
    assert any("value.weight_kg.interval" in f.message for f in found[1:])


def test_looking_at_the_values_is_no_answer(ledger: Ledger) -> None:
    with listening(Recorder(ledger)):
        VH.given(ME).sample(3)
        assert VH.given(ME).findings
    assert list(ledger.entries()) == []


def test_what_is_refused_reaches_a_human_with_what_it_needs(ledger: Ledger, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "cases.db", ledger)
    with listening(Recorder(ledger, queue=queue)):
        VH.given(age=15).ask("weight_kg")
    (case,) = queue.cases()
    assert case.question["arguments"]["given"] == {"age": 15.0}
    assert case.needs == ("a physician: nobody under 20 was learned from",)
    told = next(e.body for e in ledger.entries() if e.kind == "referral")
    assert told["question"].startswith("hmac-sha256:")
