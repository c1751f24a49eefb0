"""What is kept is not asked again, and a stop loses only what was being asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kept import kept


def test_what_is_kept_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(name: str) -> int:
        if name == "stop":
            raise KeyboardInterrupt
        asked.append(name)
        return len(name)

    file = tmp_path / "new" / "answers.json"
    with pytest.raises(KeyboardInterrupt):
        kept(file, ["one", "three", "stop", "two"], ask, "")
    assert kept(file, ["one", "three", "two"], ask, "") == {"one": 3, "three": 5, "two": 3}
    assert asked == ["one", "three", "two"]
    assert kept(None, ["one"], ask, "") == {"one": 3}
    assert asked[-1] == "one"
