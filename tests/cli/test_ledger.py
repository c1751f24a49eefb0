"""Ledger, replay and referrals from the command line, with the shipped checkpoints."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sciai.cli import main
from sciai.core.resources import data_dir


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "new", "service.pem"]) == 0
    assert main(["ledger", "new", "answers", "--key", "service.pem"]) == 0
    return tmp_path


def figures(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


KEPT = ["--ledger", "answers", "--key", "service.pem", "--queue", "cases.db"]


def fill(folder: Path, count: int = 3) -> None:
    from sciai.core.answer import Estimate, Finding, Level, Provenance, ask
    from sciai.core.listen import listening
    from sciai.trust.ledger import Ledger
    from sciai.trust.record import Recorder
    from sciai.trust.referral import Queue
    from sciai.trust.sign import Signer

    def odd(x: int) -> list[Finding]:
        return [Finding("odd", Level.REFUSE, f"{x} is odd")] if x % 2 else []

    ledger = Ledger(folder / "answers", Signer.load(folder / "service.pem"))
    with listening(Recorder(ledger, queue=Queue(folder / "cases.db", ledger))):
        for number in range(count):
            ask(number, lambda x: Estimate(x, 0), [odd], provenance=Provenance("same"))


def test_a_ledger_from_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here)
    assert main(["ledger", "verify", "answers"]) == 0
    entries = figures(capsys, "ledger", "show", "answers")
    assert [e["kind"] for e in entries] == ["answer", "answer", "referral", "answer"]
    capsys.readouterr()
    assert main(["ledger", "anchor", "answers"]) == 0
    (here / "anchor.json").write_text(capsys.readouterr().out)
    assert main(["ledger", "verify", "answers", "--anchor", "anchor.json"]) == 0
    file = here / "answers" / "entries.jsonl"
    file.write_text(file.read_text().replace('"level":"refuse"', '"level":"ok"', 1))
    found = figures(capsys, "ledger", "verify", "answers", code=3)
    assert "altered" in found["findings"][0]["message"]


def test_replay_says_what_it_cannot(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, 1)
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "cannot be asked again" in capsys.readouterr().err


def test_a_forged_entry_is_not_replayed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever can write the file can make hashes that fit; the answer put in was "the same today"."""
    from dataclasses import asdict, replace

    from sciai.trust.ledger import Ledger
    from sciai.trust.sign import canonical

    fill(here)
    kept = Ledger(here / "answers")
    entry, *rest = kept.entries()
    other = replace(entry, body={**entry.body, "level": "caution"})
    other = replace(other, hash=other.expected_hash())
    (here / "answers" / "entries.jsonl").write_bytes(
        b"".join(canonical(asdict(each)) + b"\n" for each in (other, *rest))
    )
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "forged" in capsys.readouterr().err


def test_a_key_that_others_can_read_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "service.pem").chmod(0o644)
    assert main(["ledger", "new", "more", "--key", "service.pem"]) == 0
    assert "chmod 600" in capsys.readouterr().err


def test_a_case_is_decided(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here)
    listed = figures(capsys, "refer", "list", "cases.db")
    assert [case["level"] for case in listed["cases"]] == ["refuse"]
    words = ["refer", "decide", "cases.db", "1", "override", "--by", "Ada", "--reason", "it is fine"]
    assert main([*words, "--ledger", "answers", "--key", "service.pem"]) == 0
    assert main(words) == 1, "decided once"
    assert figures(capsys, "refer", "list", "cases.db")["rates"]["overridden"] == 1
    capsys.readouterr()
    assert main(["refer", "show", "cases.db", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "it is fine"
    assert main(["refer", "list", "nowhere.db"]) == 1
    assert not (here / "nowhere.db").exists()


def test_answers_of_a_command_are_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ledger", "answers", "risks", "show"]) == 1
    assert "needs its key" in capsys.readouterr().err
    assert main(["--ledger", "answers", "--key", "service.pem", "risks", "show"]) == 0


def test_a_personal_answer_is_replayed_by_giving_the_values_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["health", "ask", "-g", "age=64", "-g", "sex=male", "-g", "hba1c=6.37", "-t", "sbp"]
    assert main([*KEPT, *ask]) == 0
    assert "6.37" not in (here / "answers" / "entries.jsonl").read_text()
    capsys.readouterr()
    assert main(["ledger", "replay", "answers", "0", "--", "sciai", *ask]) == 0
    assert "the same answer today" in capsys.readouterr().out
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "digest of a personal question" in capsys.readouterr().err
    assert main(["ledger", "replay", "answers", "0", "--", *ask[:-3], "hba1c=6.4", "-t", "sbp"]) == 1
    assert "with other values" in capsys.readouterr().err
    assert main(["ledger", "replay", "answers", "nosuch"]) == 1
    assert "sciai ledger show lists them" in capsys.readouterr().err
    assert main([*KEPT, "--in-clear", *ask]) == 0
    assert "6.37" in (here / "answers" / "entries.jsonl").read_text()
    assert main(["ledger", "replay", "answers", "1"]) == 0


def test_a_sheet_is_replayed_answer_by_answer(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "example"]) == 0
    ask = ["health", "risk", "example_panel.csv", "--age", "64", "--sex", "male", "-q"]
    assert main([*KEPT, *ask]) == 0
    entries = figures(capsys, "ledger", "show", "answers")
    assert [e["body"]["call"] for e in entries] == ["risks", "unusual", "ask"]
    assert len({e["body"]["subject"] for e in entries[:2]}) == 1, "two questions about one person"
    for entry in entries:
        assert main(["ledger", "replay", "answers", entry["hash"][:12], "--", *ask]) == 0


def test_a_structure_is_replayed_from_the_entry_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(data_dir() / "atoms" / "NaCl.cif", here)
    assert main([*KEPT, "atoms", "relax", "NaCl.cif", "--steps", "3", "-q"]) == 0
    (here / "NaCl.cif").unlink()
    assert main(["ledger", "replay", "answers", "0"]) == 0
    assert not list(here.glob("*.db-journal"))
    file = here / "answers" / "entries.jsonl"
    kept = file.read_text()
    file.write_text(kept.replace('"steps":3', '"steps":2'))
    capsys.readouterr()
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "was altered" in capsys.readouterr().err


def test_a_volume_is_replayed_from_its_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["radar", "simulate", "in.nc", "--shape", "2x36x60", "--var", "DBZH", "-q"]) == 0
    assert main([*KEPT, "radar", "compress", "in.nc", "out.zarr", "--codec", "context", "-q"]) == 0
    assert main(["ledger", "replay", "answers", "0"]) == 0
    Path("in.nc").rename("moved.nc")
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "the input is gone" in capsys.readouterr().err
    assert main(["ledger", "replay", "answers", "0", "--input", "moved.nc"]) == 0
    Path("in.nc").write_bytes(b"another")
    assert main(["ledger", "replay", "answers", "0"]) == 1
    assert "changed since" in capsys.readouterr().err


def test_what_each_domain_refuses_reaches_a_human(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(data_dir() / "atoms" / "NaCl.cif", here)
    assert main([*KEPT, "health", "ask", "-g", "age=15", "-t", "sbp"]) == 3
    assert main([*KEPT, "--use-class", "C", "atoms", "energy", "NaCl.cif", "-q"]) == 3
    for seed in ("1", "2"):
        assert main(["radar", "simulate", f"{seed}.nc", "--shape", "2x36x60", "--seed", seed, "-q"]) == 0
    assert main(["radar", "compress", "1.nc", "1.zarr", "--codec", "plain", "-q"]) == 0
    assert main([*KEPT, "radar", "verify", "2.nc", "1.zarr", "-q"]) == 3
    assert main([*KEPT, "--refer", "caution", "--use-class", "A", "atoms", "energy", "NaCl.cif", "-q"]) == 0
    listed = figures(capsys, "refer", "list", "cases.db")
    assert [(c["domain"], c["level"]) for c in listed["cases"]] == [
        ("health", "refuse"), ("atoms", "refuse"), ("radar", "refuse"), ("atoms", "caution"),
    ]  # fmt: skip
    for case in listed["cases"]:
        assert case["needs"]
        assert case["question"]["call"]
        assert case["answer"]["provenance"]["model"]
    assert (here / "cases.db").stat().st_mode & 0o077 == 0
    for number, decision in ((1, "uphold"), (2, "override"), (3, "uphold")):
        words = ["refer", "decide", "cases.db", str(number), decision, "--by", "Ada", "--reason", "looked"]
        assert main([*words, "--ledger", "answers", "--key", "service.pem"]) == 0
    rates = figures(capsys, "refer", "list", "cases.db")["rates"]
    assert (rates["open"], rates["decided"], rates["overridden"]) == (1, 3, 1)
    assert rates["low"] < rates["override_rate"] < rates["high"]
    assert main(["ledger", "verify", "answers"]) == 0
    # the class that was declared is declared again in a replay
    refused = [e for e in figures(capsys, "ledger", "show", "answers") if e["body"].get("use_class") == "C"]
    assert main(["ledger", "replay", "answers", refused[0]["hash"][:12]]) == 0


def test_a_queue_needs_no_ledger_and_a_wrong_word_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--queue", "alone.db", "health", "ask", "-g", "age=15", "-t", "sbp"]) == 3
    assert len(figures(capsys, "refer", "list", "alone.db")["cases"]) == 1
    assert main(["--use-class", "D", "risks", "show"]) == 1
    assert "choose A, B or C" in capsys.readouterr().err
    assert main([*KEPT, "--refer", "never", "risks", "show"]) == 1
    assert "unknown level" in capsys.readouterr().err


def test_every_public_call_is_recorded_or_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    import sciai.atoms
    import sciai.health
    import sciai.radar

    def methods(of: type) -> set[str]:
        return {n for n in vars(of) if not n.startswith("_") and inspect.isfunction(vars(of)[n])}

    assert main(["ledger", "covers", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    known = {domain: {*t["recorded"], *t["not_recorded"]} for domain, t in told.items()}
    human, potential = sciai.health.VirtualHuman, sciai.atoms.Potential
    people = {"given", "without", "let"}  # what is known, and whether it may be told; nothing is
    assert methods(human) | methods(sciai.health.Person) <= known["health"] | people
    again = {"batch", "calculator", "with_guard"}  # recorded as "energy"; another guard
    assert methods(potential) | set(sciai.atoms.__all__) - {"Potential"} <= known["atoms"] | again
    assert set(sciai.radar.__all__) <= known["radar"]


def test_one_entry_is_shown_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["health", "ask", "-g", "age=50", "-g", "sex=male", "-g", "bmi=25", "-t", "sbp"]
    assert main(["--ledger", "answers", "--key", "service.pem", *words]) == 0
    capsys.readouterr()
    assert main(["ledger", "show", "answers", "0"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["number"], entry["body"]["call"]) == (0, "ask")
    (here / "anchor.json").write_text("{}")
    assert main(["ledger", "verify", "answers", "--anchor", "anchor.json"]) == 1
    assert "it lacks fields" in capsys.readouterr().err


def test_tables_are_recorded_from_the_command_line_and_asked_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ["--ledger", "answers", "--key", "service.pem"]
    assert main([*kept, "health", "sample", "-n", "5", "-o", "people.csv"]) == 0
    asking = ["health", "predict", "people.csv", "-t", "dx_diabetes", "-o", "risk.csv"]
    assert main([*kept, *asking]) == 0
    assert main(["ledger", "replay", "answers", "1", "--", *asking]) == 0
    assert main([*kept, "--in-clear", *asking]) == 0
    assert main(["ledger", "replay", "answers", "2", "--input", "people.csv"]) == 0
    assert "the same answer today" in capsys.readouterr().out
    table = (here / "people.csv").read_text().replace("5", "6", 1)
    (here / "people.csv").write_text(table)
    assert main(["ledger", "replay", "answers", "2", "--input", "people.csv"]) == 1
    assert main(["--use-class", "B", *asking]) == 3
