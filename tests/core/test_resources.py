"""Configs and checkpoints are found in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.core import resources
from sciai.core.errors import SciaiError


def test_the_wheel_comes_first_then_the_checkout(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "site" / "sciai"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(SciaiError, match="conf"):
        resources.conf_dir()
    (package.parent / "conf").mkdir()
    assert resources.conf_dir() == package.parent / "conf"
    (package / "_shipped" / "conf").mkdir(parents=True)
    assert resources.conf_dir() == package / "_shipped" / "conf"


def test_all_three_exist() -> None:
    assert (resources.conf_dir() / "config.yaml").is_file()
    assert resources.checkpoints_dir().is_dir()
    assert resources.data_dir().is_dir()
