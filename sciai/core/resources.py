"""Where configs, checkpoints and small data live: inside the wheel when installed, else in the checkout."""

from __future__ import annotations

from pathlib import Path

from sciai.core.errors import SciaiError

__all__ = ["checkpoints_dir", "conf_dir", "data_dir"]

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
