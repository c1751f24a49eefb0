"""A refused answer reaches a human with what they need, and their decision is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance
from sciai.core.errors import BadInput, DamagedStore, SciaiError
from sciai.trust.ledger import Ledger
from sciai.trust.referral import Queue
from sciai.trust.sign import Signer


def doubted(level: Level = Level.REFUSE) -> Answer[float]:
    finding = Finding("support", level, "far from what was learned; measure it", "x")
    return Answer(Estimate(2.0, 0.5, "m"), (finding,), Provenance("ruler", version="1"))


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue.db")


def test_a_case_holds_what_a_reviewer_needs(queue: Queue) -> None:
    case = queue.refer("tutorial", {"x": 9.0}, doubted(), ["a measurement at x = 9"])
    again = Queue(queue.path).cases(open_only=True)[0]
    assert again == case
    assert case.answer["estimate"]["value"] == 2.0, "the withheld estimate is shown to the reviewer"
    assert case.answer["findings"][0]["message"].startswith("far from")
    assert case.needs == ("a measurement at x = 9",)
    assert case.question == {"x": 9.0}


def test_an_answer_that_stands_is_not_referred(queue: Queue) -> None:
    with pytest.raises(BadInput, match="stands"):
        queue.refer("tutorial", {}, doubted(Level.OK))
    assert queue.refer("tutorial", {}, doubted(Level.CAUTION)).level == "caution"


def test_decisions_are_recorded_once(queue: Queue) -> None:
    case = queue.refer("tutorial", {}, doubted())
    with pytest.raises(BadInput, match="reason"):
        queue.decide(case.id, "override", by="Ada", reason=" ")
    with pytest.raises(BadInput, match="uphold or override"):
        queue.decide(case.id, "maybe", by="Ada", reason="x")  # type: ignore[arg-type]
    assert queue.decide(case.id, "override", by="Ada", reason="measured: 2.1").by == "Ada"
    with pytest.raises(BadInput, match="decided by Ada"):
        queue.decide(case.id, "uphold", by="Bob", reason="no")
    assert queue.case(case.id).decision == "override"
    with pytest.raises(BadInput, match="no case"):
        queue.decide(77, "uphold", by="Bob", reason="no")


def test_the_override_rate_has_an_interval(queue: Queue) -> None:
    for number in range(10):
        case = queue.refer("tutorial", {"n": number}, doubted())
        if number < 8:
            decision = "override" if number < 2 else "uphold"
            queue.decide(case.id, decision, by="Ada", reason="seen")  # type: ignore[arg-type]
    rates = queue.rates()
    assert (rates.open, rates.decided, rates.overridden, rates.override_rate) == (2, 8, 2, 0.25)
    assert 0.05 < rates.low < 0.25 < rates.high < 0.65


def test_the_ledger_learns_of_it_without_personal_values(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", Signer.new("service"))
    queue = Queue(tmp_path / "queue.db", ledger)
    case = queue.refer("health", {"age": 64, "hba1c": 97.53197}, doubted(), personal=True)
    queue.decide(case.id, "uphold", by="Ada", reason="repeat the test")
    kinds = [entry.kind for entry in ledger.entries()]
    assert kinds == ["referral", "decision"]
    assert "97.53197" not in (ledger.folder / "entries.jsonl").read_text()
    assert ledger.find("0").body["question"] == ledger.hide({"age": 64, "hba1c": 97.53197})


def test_several_writers(queue: Queue) -> None:
    def work() -> None:
        mine = Queue(queue.path)
        for _ in range(10):
            mine.refer("tutorial", {}, doubted())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [case.id for case in queue.cases()] == list(range(1, 41))


def test_a_file_that_is_no_queue(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, and long enough to be looked at" * 20)
    with pytest.raises(DamagedStore, match="queue"):
        Queue(tmp_path / "text.db")
    with pytest.raises(BadInput, match="cannot open"):
        Queue(tmp_path / "nowhere" / "queue.db")


def test_what_the_ledger_cannot_take_is_not_decided_in_the_queue_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision stood, the ledger lacked it, and deciding again was refused."""
    ledger = Ledger.create(tmp_path / "ledger", Signer.new("service"))
    queue = Queue(tmp_path / "queue.db", ledger)
    case = queue.refer("tutorial", {"x": 9}, doubted())

    def full(kind: str, body: object) -> None:
        raise SciaiError("the disk is full")

    monkeypatch.setattr(ledger, "append", full)
    with pytest.raises(SciaiError, match="full"):
        queue.decide(case.id, "uphold", by="Ada", reason="rightly")
    with pytest.raises(SciaiError, match="full"):
        queue.refer("tutorial", {"x": 10}, doubted())
    monkeypatch.undo()
    assert [c.decision for c in queue.cases()] == [None]
    assert queue.decide(case.id, "uphold", by="Ada", reason="rightly").decision == "uphold"
    assert [e.kind for e in ledger.entries()] == ["referral", "decision"]
