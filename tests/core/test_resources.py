"""Configs and checkpoints are found in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.core import resources
from sciai.core.errors import BadInput, SciaiError
from sciai.core.resources import checkpoint_named, checkpoints_dir


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


def test_a_folder_called_like_a_shipped_checkpoint_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with one called `atoms` no answer could be had; one with a checkpoint in it gave others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atoms").mkdir()
    assert checkpoint_named("atoms") == checkpoints_dir() / "atoms"
    assert checkpoint_named("./atoms") == checkpoint_named(Path("atoms")) == Path("atoms")
    assert checkpoint_named("nothing") == Path("nothing")
    (tmp_path / "atoms" / "MANIFEST.json").touch()
    with pytest.raises(BadInput, match=r"called so, too.*\./atoms"):
        checkpoint_named("atoms")
    monkeypatch.chdir(checkpoints_dir())
    assert checkpoint_named("atoms") == checkpoints_dir() / "atoms"
