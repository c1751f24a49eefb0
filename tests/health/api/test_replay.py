"""Questions about people go into the ledger as digests, and can be asked again by whoever knows them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciai.core.answer import Finding, Level, Refused
from sciai.core.errors import BadInput
from sciai.core.listen import listening
from sciai.health.api.record import Asked, receipt
from sciai.health.api.replay import replay as ask_again
from sciai.health.data.panels.panel import Panel, Reading
from sciai.health.data.tables import read_table
from sciai.trust.ledger import Ledger
from sciai.trust.record import Question, Recorder
from sciai.trust.referral import Queue
from sciai.trust.replay import match, replay, witness
from sciai.trust.sign import Signer
from sciai.trust.stage import UNRELEASED, declared
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
        assert VH.given(ME).findings
        VH.describe()
    assert list(ledger.entries()) == []


PEOPLE = VH.sample(40, seed=5)[["age", "sex", "hba1c", "weight_kg", "hdl"]]
PEOPLE.loc[::3, "hba1c"] = np.nan
PEOPLE.loc[1::4, "sex"] = None


def visits() -> list[Panel]:
    def reading(column: str | None, value: float) -> Reading:
        return Reading(column or "x", column, column or "Ferritin", value, "%", f"{value}", (4.0, 6.0))

    lines = [(5.2, 55.0), (6.1, 51.0)]
    return [
        Panel(
            dt.date(2023 + k, 4, 1),
            (reading("hba1c", a), reading("hdl", b), reading(None, 3.0)),
            person={"age": 61, "sex": "M"},
            notes=(Finding("unit-guess", Level.CAUTION, "no unit on line 3"),),
        )
        for k, (a, b) in enumerate(lines)
    ]


HANDED_OUT: dict[str, Any] = {
    "predict": lambda: VH.predict(PEOPLE, "dx_diabetes"),
    "impute": lambda: VH.impute(PEOPLE, seed=3),
    "log_prob": lambda: VH.log_prob(PEOPLE, given=["age"]),
    "sample": lambda: VH.given(ME).sample(30, seed=2),
    "crowd": lambda: VH.crowd({"age": (60, 70), "sex": ["male"]}, n=60),
    "joint": lambda: VH.joint(["hba1c", "hdl"], {"age": (50, 60)}, n=60),
    "marginal": lambda: VH.marginal("hdl", {"age": (60, 69)}, n=60),
    "timeline": lambda: VH.timeline(visits()),
}


@pytest.mark.parametrize("call", HANDED_OUT)
def test_what_is_no_single_answer_is_told_once_and_can_be_asked_again(
    ledger: Ledger, tmp_path: Path, call: str
) -> None:
    file = tmp_path / "people.parquet"
    PEOPLE.to_parquet(file)
    with listening(Recorder(ledger, in_clear=True)):
        HANDED_OUT[call]()
    (entry,) = ledger.entries()
    assert entry.body["call"] == call
    assert len(str(entry.body)) < 20_000
    again = {"health": partial(ask_again, model=VH, inputs=[file])}
    assert [f.message for f in replay(ledger, "0", again)[2] if f.level != Level.OK] == []


def test_the_density_of_one_person_can_be_asked_again(ledger: Ledger) -> None:
    with listening(Recorder(ledger, in_clear=True)):
        VH.given(ME).log_prob(given=["age"])
    assert replay(ledger, "0", AGAIN)[2][0].level == Level.OK


def test_a_table_is_kept_as_a_digest_and_has_to_be_the_same(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    table = PEOPLE.copy()
    table.to_csv(file, index=False)
    with listening(Recorder(ledger)):
        told = VH.predict(read_table(file), "dx_diabetes")
    text = (ledger.folder / "entries.jsonl").read_text()
    assert str(told["p"].iloc[0])[:6] not in text
    assert f"{table['weight_kg'].iloc[0]:.3f}" not in text
    with witness() as heard:
        VH.predict(read_table(file), "dx_diabetes")
    assert match(ledger, "0", heard)[2][0].level == Level.OK
    table.loc[7, "age"] += 1
    with witness() as heard:
        VH.predict(table, "dx_diabetes")
    with pytest.raises(BadInput, match="with other values"):
        match(ledger, "0", heard)


def test_a_table_that_differs_in_one_row_is_another_answer(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    PEOPLE.to_parquet(file)
    with listening(Recorder(ledger, in_clear=True)):
        VH.impute(PEOPLE)
    again = partial(ask_again, model=VH, inputs=[file])

    def one_row_off(question: Question) -> Any:
        answer = again(question)
        full = VH.impute(PEOPLE)
        full.loc[9, "weight_kg"] += 1.0
        return replace(answer, estimate=receipt(VH, full).estimate)

    found = replay(ledger, "0", {"health": one_row_off})[2]
    assert "value.weight_kg is another one" in found[-1].message
    assert len(found) == 2


def test_a_grave_use_of_a_pilot_gets_no_table_either(ledger: Ledger) -> None:
    pilot = human()
    pilot.standing = UNRELEASED
    with listening(Recorder(ledger)), declared("B"):
        for refused in (
            lambda: pilot.predict(PEOPLE, "dx_diabetes"),
            lambda: pilot.sample(3),
            lambda: pilot.crowd(n=10),
        ):
            with pytest.raises(Refused, match="a use of class B"):
                refused()
    assert [e.body["level"] for e in ledger.entries()] == ["refuse"] * 3


def test_what_is_refused_reaches_a_human_with_what_it_needs(ledger: Ledger, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "cases.db", ledger)
    with listening(Recorder(ledger, queue=queue)):
        VH.given(age=15).ask("weight_kg")
    (case,) = queue.cases()
    assert case.question["arguments"]["given"] == {"age": 15.0}
    assert case.needs == ("a physician: nobody under 20 was learned from",)
    told = next(e.body for e in ledger.entries() if e.kind == "referral")
    assert told["question"].startswith("hmac-sha256:")
