"""Codecs by name, imported on first use, so that a store of plain chunks never loads a learned codec.

A learned codec is a class in its own module with two class methods beside `SweepCodec`:

- ``shipped() -> codec``: with the checkpoint that comes with the package; raises `CheckpointError` where it
  is absent;
- ``from_model(model: bytes) -> codec``: with the bytes that another instance gave as ``.model``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from functools import cache
from typing import Final, cast

from sciai.core.errors import BadInput, CheckpointError
from sciai.radar.model.interface import SweepCodec

__all__ = ["CODECS", "available_codecs", "load_codec", "model_hash", "shipped_codec", "trained_codec"]

CODECS: Final = ("plain", "context", "transform", "quick")
"""Names of the codecs; the position is the number that a chunk's header holds, so the order never changes."""

_CLASSES: Final = {
    "plain": ("sciai.radar.model.plain", "PlainCodec"),
    "context": ("sciai.radar.model.context", "ContextCodec"),
    "transform": ("sciai.radar.model.transform", "TransformCodec"),
    "quick": ("sciai.radar.model.context.quick_codec", "QuickCodec"),
}
_LOCK = threading.RLock()


def model_hash(model: bytes) -> str:
    """SHA-256 of a model's bytes, in hex; "" for a codec that learned nothing.

    Example:
        >>> model_hash(b"")
        ''
    """
    return hashlib.sha256(model).hexdigest() if model else ""


def shipped_codec(name: str) -> SweepCodec:
    """A codec with the checkpoint that comes with the package.

    Raises:
        BadInput: where there is no codec of that name.
        CheckpointError: where its checkpoint or a library it needs is absent.

    Example:
        >>> shipped_codec("plain").name
        'plain'
    """
    with _LOCK:
        return _shipped(name)


@cache
def _shipped(name: str) -> SweepCodec:
    cls = _class(name)
    return cast(SweepCodec, cls() if name == "plain" else cls.shipped())  # type: ignore[attr-defined]


def load_codec(name: str, model: bytes) -> SweepCodec:
    """A codec with the model that a store holds.

    Raises:
        BadInput: where there is no codec of that name.
        CheckpointError: where the model is not one of this codec.
    """
    if name in ("plain", "quick"):
        return shipped_codec(name)
    with _LOCK:
        return cast(SweepCodec, _class(name).from_model(model))  # type: ignore[attr-defined]


def trained_codec(folder: str | os.PathLike[str]) -> SweepCodec:
    """The codec of a checkpoint that `sciai train radar` wrote; stores hold its model, as nothing else does.

    Args:
        folder: Of the checkpoint.

    Raises:
        CheckpointError: where there is none, or one of another domain.

    Example:
        >>> from sciai.core.resources import checkpoints_dir
        >>> trained_codec(checkpoints_dir() / "radar").name
        'context'
    """
    from sciai.core.checkpoint import Checkpoint

    saved = Checkpoint.load(folder)
    if saved.card.domain != "radar":
        raise CheckpointError(f"{os.fspath(folder)} is a checkpoint of {saved.card.domain}, not of radar")
    name = "context" if {"w1", "b1", "w3"} <= saved.arrays.keys() else "transform"
    with _LOCK:
        return cast(SweepCodec, _class(name).from_checkpoint(saved))  # type: ignore[attr-defined]


def available_codecs() -> list[SweepCodec]:
    """Codecs that can encode here, learned ones first; the plain one always works.

    Example:
        >>> available_codecs()[-1].name
        'plain'
    """
    found = []
    for name in ("context", "transform", "plain"):
        try:
            found.append(shipped_codec(name))
        except CheckpointError:
            continue
    return found


def _class(name: str) -> type:
    if name not in _CLASSES:
        raise BadInput(f"no codec is called {name!r}", fix=f"use one of {', '.join(CODECS)}")
    module, cls = _CLASSES[name]
    try:
        return cast(type, getattr(importlib.import_module(module), cls))
    except ImportError as err:
        raise CheckpointError(
            f"the {name} codec needs {err.name or 'a module'} that is not installed"
        ) from err
    except AttributeError as err:
        raise CheckpointError(f"the {name} codec is not part of this installation") from err
