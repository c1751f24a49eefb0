"""Files appear whole or not at all, also when the program is told to stop half-way."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sciai.core.errors import BadInput

__all__ = ["nothing_in", "terminable", "whole_file"]


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends well, else remove it.

    Args:
        path: where the file goes; its folder is made.
        overwrite: replace an existing file.

    Raises:
        BadInput: ``path`` exists (and may not be replaced), or cannot be written to (no room, no permission).

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with whole_file(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("done")
        >>> sorted(p.name for p in folder.iterdir())
        ['a.txt']
    """
    final = Path(path)
    if final.exists() and (final.is_dir() or not overwrite):
        raise BadInput(
            "the output exists", file=final, fix="choose another name, or overwrite=True (--overwrite)"
        )
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, final)
    except OSError as e:
        raise BadInput(
            f"cannot write: {e.strerror or e}", file=final, fix="check the room on the disk"
        ) from e
    finally:
        with contextlib.suppress(NotADirectoryError):  # a file stands where the folder should be
            temporary.unlink(missing_ok=True)


def nothing_in(folder: Path) -> bool:
    """Whether a folder holds nothing, but for files that a program which was killed had not finished.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".a.txt.0123abcd.part").touch()
        >>> nothing_in(folder)
        True
    """
    return all(path.name.startswith(".") and path.suffix == ".part" for path in folder.iterdir())


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """While in the block, SIGTERM and SIGHUP unwind the stack (as Ctrl-C does) so that clean-up runs.

    Only the main thread can install handlers; elsewhere, and where the program has its own, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
