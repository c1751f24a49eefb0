"""Where configs, checkpoints and small data live: inside the wheel when installed, else in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from sciai.core.errors import BadInput, SciaiError

__all__ = ["checkpoint_named", "checkpoints_dir", "conf_dir", "data_dir"]

_PACKAGE = Path(__file__).resolve().parent.parent  # the folder sciai/


def conf_dir() -> Path:
    """The Hydra config tree.

    >>> (conf_dir() / "config.yaml").is_file()
    True
    """
    return _find("conf")


def checkpoints_dir() -> Path:
    """The folder with one sub-folder per shipped model."""
    return _find("checkpoints")


def checkpoint_named(name: str | os.PathLike[str]) -> Path:
    """The folder that somebody means by a name: a shipped checkpoint's, else a folder of their own.

    A folder that happens to be called ``atoms`` or ``health`` where a program runs must not take the shipped
    model's place.

    Args:
        name: as it was given. A path object is a folder, and so is a text with a separator in it.

    Returns:
        The folder; it may not be there.

    Raises:
        BadInput: the name is that of a shipped checkpoint, and a folder here holds another one.

    >>> checkpoint_named("health") == checkpoints_dir() / "health", str(checkpoint_named("./runs/mine"))
    (True, 'runs/mine')
    """
    folder = Path(name)
    shipped = checkpoints_dir() / folder
    if not isinstance(name, str) or not name or Path(name).name != name or not shipped.is_dir():
        return folder
    if (folder / "MANIFEST.json").is_file() and not folder.samefile(shipped):
        raise BadInput(
            f"{name!r} is a shipped checkpoint, and a folder here is called so, too",
            file=folder.resolve(),
            fix=f"give ./{name} for the folder, or the whole path of the one that is meant",
        )
    return shipped


def data_dir() -> Path:
    """The folder with the small samples that ship with the package."""
    return _find("data")


def _find(name: str) -> Path:
    # a wheel carries sciai/_shipped/<name>; a checkout (also an editable install) has it beside sciai/
    for folder in (_PACKAGE / "_shipped" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise SciaiError(
        f"the folder {name!r} is neither in the package ({_PACKAGE / '_shipped'}) nor beside it "
        f"({_PACKAGE.parent}); reinstall sciai, or work from a complete checkout"
    )
