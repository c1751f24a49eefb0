"""A folder that appears complete or not at all.

Everything is written into a hidden sibling folder and renamed at the end. An exception, Ctrl-C, a termination
signal and a full disk all leave what was there before and nothing else. (A killed process or a power cut can
leave the hidden folder; the next writer of the same name removes it.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sciai.core.errors import BadInput, SciaiError

__all__ = ["FolderWriter", "new_folder"]


class FolderWriter:
    """Writes files below a folder and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, int] = {}
        self.failures: list[OSError] = []
        """What the disk said to each thread that writes; other errors are of whoever hands in data."""
        self._closed = False
        self._making = threading.Lock()

    def write(self, key: str, data: bytes) -> None:
        """Write (or replace) one file; thread-safe for different keys.

        Raises:
            FileNotFoundError: after ``close``, where the folder is gone.
        """
        path = self.folder / key
        try:
            try:
                path.write_bytes(data)
            except FileNotFoundError:
                with self._making:
                    if self._closed:
                        raise
                    path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except OSError as err:
            self.failures.append(err)
            raise
        self.sizes[key] = len(data)

    def close(self) -> None:
        """Make no folder from now on. A pool does not know of a thread that Ctrl-C met just as it started, so
        nobody waits for it; it must not bring back what is removed."""
        with self._making:
            self._closed = True

    def read(self, key: str) -> bytes:
        """Read back a file."""
        return (self.folder / key).read_bytes()

    def sync(self) -> None:
        """Bring every file to the disk; several at once, which file systems commit together."""

        def one(key: str) -> None:
            handle = os.open(self.folder / key, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, self.sizes))


@contextlib.contextmanager
def new_folder(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[FolderWriter]:
    """A folder to write into that becomes `target` when the block ends well.

    Raises:
        BadInput: where `target` exists (and `overwrite` is false), or its parent does not or is not writable.
            Also where the disk fails, or a limit on the size of files is met.
        SciaiError: where the disk is full.
    """
    path = Path(target)
    check_target(path, overwrite=overwrite)
    working = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part"
    _remove_abandoned(path)
    done, writer = False, FolderWriter(working)
    try:
        try:
            working.mkdir()
        except OSError as err:
            raise BadInput(
                f"cannot write there: {err.strerror}", file=path.parent, fix="choose another folder"
            ) from err
        yield writer
        writer.sync()
        _move(working, path, overwrite)
        done = True
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            written = sum(writer.sizes.values())
            raise SciaiError(
                f"the disk is full: {path} needs more than the {written / 1e3:.0f} kB written so far; "
                "nothing was left behind"
            ) from err
        if any(err is failure for failure in writer.failures):
            raise BadInput(
                f"cannot write: {err.strerror or err}",
                file=path,
                fix="check the disk, your permissions and limits (ulimit -a); nothing was left behind",
            ) from err
        raise
    finally:
        if not done:
            writer.close()
            _remove(working)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse early what could not be renamed into place in the end.

    Raises:
        BadInput: see `new_folder`.
    """
    if not path.parent.is_dir():
        raise BadInput("the folder to write into does not exist", file=path.parent, fix="create it first")
    if path.exists() or path.is_symlink():
        if not (path / "zarr.json").is_file():  # a file of the volume, say, where the store was left out
            raise BadInput("the output exists and is not a store", file=path, fix="choose another name")
        if not overwrite:
            raise BadInput(
                "the output exists already", file=path, fix="remove it, or pass overwrite=True (--overwrite)"
            )


def _move(working: Path, path: Path, overwrite: bool) -> None:
    aside = working.with_suffix(".old")
    if overwrite and path.exists():
        os.rename(path, aside)
    try:
        os.rename(working, path)
    except OSError as err:
        if aside.exists():
            os.rename(aside, path)
        if err.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise BadInput(
                "the output appeared while it was being written", file=path, fix="run again"
            ) from err
        raise
    _discard(aside)
    if hasattr(os, "O_DIRECTORY"):  # the rename itself is only safe once the parent folder is on disk
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(working: Path, patience: float = 3.0) -> None:
    """Remove a folder, again if a thread that is about to end still wrote into it meanwhile."""
    deadline = time.monotonic() + patience
    shutil.rmtree(working, ignore_errors=True)
    while working.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(working, ignore_errors=True)


def _discard(aside: Path) -> None:
    if aside.is_symlink():  # what it points to is somebody else's
        aside.unlink()
    shutil.rmtree(aside, ignore_errors=True)


def _remove_abandoned(path: Path) -> None:
    # a store that was moved aside is all there is, where nothing has taken its place
    endings = ("part", "old") if path.exists() else ("part",)
    for left in [found for end in endings for found in path.parent.glob(f".{path.name}.*.*.{end}")]:
        process = left.name.removeprefix(f".{path.name}.").split(".")[0]
        if process.isdigit() and not _alive(int(process)):
            _discard(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
