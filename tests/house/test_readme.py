"""What the README shows works: its Python blocks and its `sciai` lines run, its make targets exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall((ROOT / "README.md").read_text()) if name == language]


def _lines(language: str) -> list[str]:
    lines = (line.split("  #")[0].strip() for block in _blocks(language) for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.slow  # both are run by `make check`
def test_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _blocks("python")
    assert blocks
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, f"{code}\n{done.stderr}"


@pytest.mark.slow
def test_sciai_lines_run_in_order(tmp_path: Path) -> None:
    lines = [line for line in _lines("sh") if line.startswith("sciai ") and not line.startswith("sciai demo")]
    assert lines
    # the README's lines are for somebody in the checkout; what they write goes elsewhere here
    (tmp_path / "data").symlink_to(ROOT / "data")
    for line in lines:
        words = shlex.split(line)[1:]
        code = "import sys; from sciai.cli import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=_environment(),
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    wanted = {line.split()[1] for line in _lines("sh") if line.startswith("make ")}
    assert {"demo", "test"} <= wanted
    for target in wanted:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_file_tree_of_the_readme_exists() -> None:
    tree = next(block for block in _blocks("text") if block.startswith("sciai/"))
    folder: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0] if line.strip() else ""
        depth = (len(line) - len(line.lstrip())) // 2
        if not name or not re.fullmatch(r"[\w./-]+", name):
            continue
        folder = [*folder[:depth], name.rstrip("/")]
        assert ROOT.joinpath(*folder).exists(), "/".join(folder)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
