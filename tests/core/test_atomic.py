"""Files appear whole or not at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sciai.core.atomic import terminable, whole_file
from sciai.core.errors import BadInput


def write_and_raise(target: Path, failure: type[BaseException]) -> None:
    with whole_file(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise failure


def write_and_be_terminated(target: Path) -> None:
    with terminable(), whole_file(target) as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_file_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with whole_file(target) as temporary:
        temporary.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(failure):
        write_and_raise(target, failure)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(BadInput, match="exists"), whole_file(target):
        pytest.fail("the block must not run")
    assert target.read_text() == "old"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"), whole_file(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_termination_signal_unwinds(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        write_and_be_terminated(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
