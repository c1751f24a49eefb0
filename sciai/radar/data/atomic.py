"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from sciai.core.errors import BadInput


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
        raise BadInput("the output exists", file=final, fix="choose another name, or overwrite=True")
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
        temporary.unlink(missing_ok=True)
