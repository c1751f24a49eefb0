"""The digest of a model's code changes with what the code does, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.core.errors import BadInput
from sciai.trust.audit.sealed import changed_packages, packages_digest

CODE = '''"""What it is for."""


def twice(x: float) -> float:
    """Two times."""
    return 2 * x  # not three
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy_model_code"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "net.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_words_and_layout_do_not_count_but_code_does(package: Path) -> None:
    saw = packages_digest(["toy_model_code"])
    assert changed_packages(saw) == []
    said = CODE.replace("Two times.", "Doubles it.\n\n    Args:\n        x: a number.\n").replace(
        "not three", "yes"
    )
    (package / "net.py").write_text(said + "\n\n")
    assert changed_packages(saw) == []
    (package / "net.py").write_text(CODE.replace("2 * x", "3 * x"))
    assert changed_packages(saw) == ["toy_model_code"]
    (package / "net.py").write_text(CODE)
    (package / "more.py").write_text("x = 1\n")
    assert changed_packages(saw) == ["toy_model_code"]


def test_what_cannot_be_read_is_said(package: Path) -> None:
    saw = packages_digest(["toy_model_code"])
    (package / "net.py").write_text("def (")
    with pytest.raises(BadInput, match="cannot be read"):
        packages_digest(["toy_model_code"])
    assert changed_packages(saw) == ["toy_model_code"]
    with pytest.raises(BadInput, match="no module"):
        packages_digest(["toy_nothing"])
