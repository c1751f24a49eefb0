"""A folder that appears whole or not at all, also where a thread still writes while it is given up."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sciai.core.errors import BadInput
from sciai.radar.api.atomic import new_folder


def test_what_a_thread_writes_while_the_folder_is_removed_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, times = shutil.rmtree, [0]

    def late(folder: Path, **how: Any) -> None:
        remove(folder, **how)
        times[0] += 1
        if times[0] == 1:  # a thread that was in the middle of it
            (folder / "chunk").mkdir(parents=True)

    monkeypatch.setattr(shutil, "rmtree", late)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out.zarr"):
        raise KeyboardInterrupt
    assert times[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_the_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def stopped(self: Path, *args: Any, **how: Any) -> None:
        make(self, *args, **how)
        if self.name.endswith(".part"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", stopped)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out.zarr"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="folder"), new_folder(tmp_path / "file" / "out.zarr"):
        pass


def test_a_thread_that_nobody_waits_for_does_not_bring_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out.zarr") as writer:
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError):
        writer.write("sweep_0/DBZH/1.0", b"late")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    for name in ("real.zarr", "latest.zarr"):
        with new_folder(tmp_path / name) as writer:
            writer.write("zarr.json", b"{}")
    shutil.rmtree(tmp_path / "latest.zarr")
    (tmp_path / "latest.zarr").symlink_to("real.zarr")
    with new_folder(tmp_path / "latest.zarr", overwrite=True) as writer:
        writer.write("zarr.json", b"[]")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest.zarr", "real.zarr"]
    assert (tmp_path / "real.zarr/zarr.json").read_bytes() == b"{}"
    assert (tmp_path / "latest.zarr/zarr.json").read_bytes() == b"[]"


def test_what_a_killed_process_moved_aside_goes_once_there_is_a_store_again(tmp_path: Path) -> None:
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    aside = tmp_path / f".a.zarr.{nobody.pid}.0badcafe.old"
    aside.mkdir()
    with new_folder(tmp_path / "a.zarr") as writer:
        writer.write("zarr.json", b"{}")
    assert aside.exists()  # it was all that was left when this one began
    with new_folder(tmp_path / "a.zarr", overwrite=True) as writer:
        writer.write("zarr.json", b"{}")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
