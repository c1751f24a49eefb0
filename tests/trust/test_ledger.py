"""What was written stays, and what was done to it shows."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput, DamagedStore, SciaiError
from sciai.trust.ledger import Head, Ledger
from sciai.trust.sign import Signer


@pytest.fixture
def signer() -> Signer:
    return Signer.new("service")


@pytest.fixture
def ledger(tmp_path: Path, signer: Signer) -> Ledger:
    ledger = Ledger.create(tmp_path / "ledger", signer)
    for number in range(5):
        ledger.append("answer", {"domain": "tutorial", "value": number})
    return ledger


def complaints(ledger: Ledger, anchor: Head | None = None) -> str:
    return " | ".join(f.message for f in Ledger(ledger.folder).verify(anchor) if f.level == Level.REFUSE)


def lines(ledger: Ledger) -> list[bytes]:
    return (ledger.folder / "entries.jsonl").read_bytes().splitlines(keepends=True)


def put(ledger: Ledger, content: list[bytes]) -> None:
    (ledger.folder / "entries.jsonl").write_bytes(b"".join(content))


def test_what_goes_in_comes_out(ledger: Ledger) -> None:
    assert [e.body["value"] for e in ledger.entries()] == list(range(5))
    assert complaints(ledger) == ""
    entry = ledger.find("3")
    assert ledger.find(entry.id) == entry
    with pytest.raises(BadInput, match="no entries"):
        ledger.find("ffffffffff")


def edit(content: list[bytes]) -> list[bytes]:
    return [line.replace(b'"value":2', b'"value":9') for line in content]


def edit_with_a_new_hash(content: list[bytes]) -> list[bytes]:
    from sciai.trust.ledger import Entry
    from sciai.trust.sign import canonical

    record = json.loads(content[2])
    record["body"]["value"] = 9
    record["hash"] = Entry(**record).expected_hash()
    return [*content[:2], canonical(record) + b"\n", *content[3:]]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (edit, "altered"),
        (edit_with_a_new_hash, "forged"),
        (lambda c: c[:2] + c[3:], "deleted"),
        (lambda c: [c[0], c[2], c[1], *c[3:]], "moved"),
        (lambda c: c[:4], "the end was removed"),
        (lambda c: [*c[:4], c[4][:-20]], "cut off"),
        (lambda c: [], "the end was removed"),
        (lambda c: [*c, c[4]], "inserted"),
    ],
)
def test_tampering_is_found(
    ledger: Ledger, tamper: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    put(ledger, tamper(lines(ledger)))
    assert message in complaints(ledger)


@pytest.mark.parametrize(
    ("field", "value"), [("signature", 5), ("signature", None), ("hash", None), ("body", 3), ("time", [])]
)
def test_a_field_of_another_type_is_found(ledger: Ledger, field: str, value: object) -> None:
    written = lines(ledger)
    put(ledger, [*written[:2], json.dumps({**json.loads(written[2]), field: value}).encode() + b"\n"])
    assert f"line 3: '{field}' is not of type" in complaints(ledger)
    with pytest.raises(DamagedStore, match="line 3"):
        list(ledger.entries())


@pytest.mark.parametrize(
    ("field", "value"), [("entries", "5"), ("signature", 3), ("key", []), ("size", True)]
)
def test_an_anchor_with_a_field_of_another_type(
    ledger: Ledger, tmp_path: Path, field: str, value: object
) -> None:
    content = json.loads((ledger.folder / "head.json").read_text())
    (tmp_path / "anchor.json").write_text(json.dumps({**content, field: value}))
    with pytest.raises(DamagedStore, match=f"anchor.json.*'{field}' is not of type"):
        Head.load(tmp_path / "anchor.json")


def test_nothing_is_appended_behind_a_removed_end(ledger: Ledger) -> None:
    put(ledger, lines(ledger)[:4])
    with pytest.raises(DamagedStore, match="removed"):
        ledger.append("answer", {})


def test_a_head_that_was_cut_back_too_needs_an_anchor(tmp_path: Path, signer: Signer) -> None:
    ledger = Ledger.create(tmp_path / "ledger", signer)
    ledger.append("answer", {"value": 0})
    shutil.copytree(ledger.folder, tmp_path / "early")
    ledger.append("answer", {"value": 1})
    anchor = ledger.head
    early = Ledger(tmp_path / "early")
    assert complaints(early) == ""
    assert "cut back" in complaints(early, anchor)
    assert complaints(ledger, anchor) == ""
    ledger.append("answer", {"value": 2})
    assert complaints(ledger, anchor) == "", "an anchor stays good while the ledger grows"


def test_a_fork_is_found_with_an_anchor(tmp_path: Path, signer: Signer) -> None:
    ledger = Ledger.create(tmp_path / "ledger", signer)
    ledger.append("answer", {"value": 0})
    shutil.copytree(ledger.folder, tmp_path / "fork")
    ledger.append("answer", {"value": 1})
    fork = Ledger(tmp_path / "fork", signer)
    fork.append("answer", {"value": "another story"})
    fork.append("answer", {"value": 2})
    assert complaints(fork) == ""
    assert "fork" in complaints(fork, ledger.head)


def test_a_ledger_exchanged_as_a_whole_is_found_with_an_anchor(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.create(tmp_path / "other", Signer.new("service"))
    other.append("answer", {"value": 0})
    assert "not of this ledger" in complaints(other, ledger.head)


def test_the_head_cannot_be_rewritten_without_the_key(ledger: Ledger) -> None:
    record = json.loads((ledger.folder / "head.json").read_text())
    record["entries"] = 4
    (ledger.folder / "head.json").write_text(json.dumps(record))
    put(ledger, lines(ledger)[:4])
    assert "signature" in complaints(ledger)


def write_many(folder: Path, key: Path, writer: int) -> None:
    ledger = Ledger(folder, Signer.load(key, "service"))
    for number in range(20):
        ledger.append("answer", {"writer": writer, "number": number})


def test_several_processes_append_at_once(tmp_path: Path, signer: Signer) -> None:
    signer.save(tmp_path / "key.pem")
    ledger = Ledger.create(tmp_path / "ledger", signer)
    spawn = multiprocessing.get_context("spawn")
    arguments = [(ledger.folder, tmp_path / "key.pem", writer) for writer in range(3)]
    processes = [spawn.Process(target=write_many, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert complaints(ledger) == ""
    seen = [(e.body["writer"], e.body["number"]) for e in ledger.entries()]
    assert sorted(seen) == [(w, n) for w in range(3) for n in range(20)]


@pytest.mark.parametrize("after", [0, 30])
def test_a_full_disk_leaves_the_ledger_as_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    before = lines(ledger)
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) <= after or not after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[:after])

    calls = iter([full, lambda h, d: full(h, b"")])
    monkeypatch.setattr(os, "write", lambda h, d: next(calls)(h, d))
    with pytest.raises(SciaiError, match="disk is full"):
        ledger.append("answer", {"value": 5})
    monkeypatch.undo()
    assert lines(ledger) == before
    assert complaints(ledger) == ""
    assert ledger.append("answer", {"value": 5}).number == 5


def test_a_full_disk_while_writing_the_head(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines(ledger)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Ledger, "_write_head", full)
    with pytest.raises(SciaiError, match="disk is full"):
        ledger.append("answer", {"value": 5})
    monkeypatch.undo()
    assert lines(ledger) == before
    assert complaints(ledger) == ""


def test_a_writer_that_died_before_its_head(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    head = (ledger.folder / "head.json").read_bytes()
    ledger.append("answer", {"value": 5})
    (ledger.folder / "head.json").write_bytes(head)
    assert "behind the head" in complaints(ledger)
    ledger.append("answer", {"value": 6})
    assert complaints(ledger) == ""
    assert [e.body["value"] for e in ledger.entries()] == list(range(7))


def test_a_head_that_a_power_cut_left_behind(ledger: Ledger) -> None:
    head = (ledger.folder / "head.json").read_bytes()
    for value in (5, 6, 7):
        ledger.append("answer", {"value": value})
    (ledger.folder / "head.json").write_bytes(head)
    with open(ledger.folder / "entries.jsonl", "ab") as file:
        file.write(b'{"number":8,"ti')
    assert Ledger(ledger.folder, ledger.signer).append("answer", {"value": 8}).number == 8
    assert complaints(ledger) == ""
    (ledger.folder / "head.json").write_bytes(head)
    edited = lines(ledger)
    put(ledger, [*edited[:6], edited[6].replace(b'"value":6', b'"value":9'), *edited[7:]])
    with pytest.raises(DamagedStore, match="not an entry"):
        ledger.append("answer", {"value": 9})


def test_a_head_of_an_older_ledger_is_written_anew(ledger: Ledger) -> None:
    file = ledger.folder / "head.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert len(file.read_bytes()) < 512
    ledger.append("answer", {"value": 5})
    assert len(file.read_bytes()) == 512
    assert complaints(ledger) == ""


def test_heads_are_whole_whenever_they_are_read(tmp_path: Path, signer: Signer) -> None:
    signer.save(tmp_path / "key.pem")
    ledger = Ledger.create(tmp_path / "ledger", signer)
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=write_many, args=(ledger.folder, tmp_path / "key.pem", 0))
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(Ledger(ledger.folder).head.entries)  # raises where it is torn
    writer.join()
    assert writer.exitcode == 0
    assert ledger.head.entries == 20
    assert len(seen) > 1


def test_a_writer_that_died_in_the_middle_of_a_line(ledger: Ledger) -> None:
    with open(ledger.folder / "entries.jsonl", "ab") as file:
        file.write(b'{"number":5,"ti')
    assert "cut off" in complaints(ledger)
    ledger.append("answer", {"value": 5})
    assert complaints(ledger) == ""


def test_a_forged_end_is_not_adopted(ledger: Ledger) -> None:
    with open(ledger.folder / "entries.jsonl", "ab") as file:
        file.write(lines(ledger)[-1])
    with pytest.raises(DamagedStore, match="not an entry"):
        ledger.append("answer", {})


def test_personal_values_are_hidden_and_comparable(ledger: Ledger, tmp_path: Path, signer: Signer) -> None:
    hidden = ledger.hide({"age": 64})
    assert hidden == ledger.hide({"age": 64}) != ledger.hide({"age": 65})
    other = Ledger.create(tmp_path / "other", signer)
    assert other.hide({"age": 64}) != hidden, "without the salt a guess cannot be tested"
    assert (ledger.folder / "salt").stat().st_mode & 0o077 == 0


def test_opening_what_is_none(tmp_path: Path, ledger: Ledger, signer: Signer) -> None:
    with pytest.raises(BadInput, match="no ledger"):
        Ledger(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="exists"):
        Ledger.create(ledger.folder, signer)
    with pytest.raises(BadInput, match="another key"):
        Ledger(ledger.folder, Signer.new("service"))
    with pytest.raises(BadInput, match="without its key"):
        Ledger(ledger.folder).append("answer", {})
    (ledger.folder / "ledger.json").write_text("{}")
    with pytest.raises(DamagedStore, match="cannot be read"):
        Ledger(ledger.folder)


def test_a_ledger_of_another_version_is_left_alone(ledger: Ledger, signer: Signer) -> None:
    about = ledger.folder / "ledger.json"
    about.write_text(about.read_text().replace('"version":1', '"version":2'))
    before = lines(ledger)
    with pytest.raises(DamagedStore, match="another version: 2, not 1"):
        Ledger(ledger.folder, signer)
    assert lines(ledger) == before


def test_an_unknown_id_is_said_with_the_way_out(ledger: Ledger) -> None:
    for id in ("77", "ffffffffffff", ""):
        with pytest.raises(BadInput, match="sciai ledger show"):
            ledger.find(id)
    assert ledger.find(ledger.find("2").id).number == 2


def test_entries_beyond_a_hundred_thousand_are_found_by_number(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = replace(ledger.find("2"), number=123456)
    twin = replace(ledger.find("3"), hash="234567" + "0" * 58)
    monkeypatch.setattr(Ledger, "entries", lambda self: iter([late, twin]))
    assert ledger.find("123456") == late
    assert ledger.find("234567") == twin
    assert ledger.find("3") == twin


def test_without_its_salt_nothing_personal_is_recorded(ledger: Ledger) -> None:
    (ledger.folder / "salt").unlink()
    with pytest.raises(BadInput, match="salt is gone"):
        ledger.hide({"age": 64})


def test_a_file_that_cannot_grow_leaves_the_ledger_as_it_was(tmp_path: Path, signer: Signer) -> None:
    """The real thing: the system stops the write in the middle of a line."""
    import subprocess
    import sys

    signer.save(tmp_path / "key.pem")
    ledger = Ledger.create(tmp_path / "ledger", signer)
    for number in range(5):
        ledger.append("answer", {"value": number})
    before = lines(ledger)
    size = (ledger.folder / "entries.jsonl").stat().st_size
    program = f"""
import resource
from sciai.trust.ledger import Ledger
from sciai.trust.sign import Signer
ledger = Ledger({str(ledger.folder)!r}, Signer.load({str(tmp_path / "key.pem")!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 100}, {size + 100}))
ledger.append("answer", {{"value": "x" * 200}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "it is as it was before" in done.stderr
    assert lines(ledger) == before
    assert complaints(ledger) == ""


def test_verifying_while_others_write_raises_no_alarm(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nineteen of twenty looks at a ledger in use said that forged entries stood behind its head."""
    reader, writes = Ledger(ledger.folder), ledger._write_head

    def looked_at(*what: int | str) -> Head:
        thread.start()  # between an entry and its head
        thread.join(0.2)
        return writes(*what)  # type: ignore[arg-type]

    thread = threading.Thread(target=lambda: found.extend(reader.verify()))
    found: list[Finding] = []
    monkeypatch.setattr(ledger, "_write_head", looked_at)
    ledger.append("answer", {"domain": "tutorial"})
    thread.join(10)
    assert [f.level for f in found] == [Level.OK]
    size = (ledger.folder / "entries.jsonl").stat().st_size
    monkeypatch.undo()
    ledger.append("answer", {"domain": "tutorial"})
    assert len(list(ledger.entries(size))) == 6


def test_a_beginning_that_was_interrupted_leaves_no_ledger(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Ledger, "_write_head", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    with pytest.raises(BadInput, match="cannot make the ledger"):
        Ledger.create(tmp_path / "ledger", signer)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert Ledger.create(tmp_path / "ledger", signer).verify()[0].level is Level.OK
