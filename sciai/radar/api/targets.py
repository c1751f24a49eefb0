"""What is asked of `compress`: qualities, codecs, a previous store; read and checked."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Final

import numpy as np

from sciai.core.errors import BadInput, CheckpointError
from sciai.radar.api.planes import PlaneReader
from sciai.radar.api.plans import Target
from sciai.radar.api.source import Source
from sciai.radar.api.store import check_store
from sciai.radar.api.strong import LEAST_BOUND
from sciai.radar.data.arguments import path_of, shown
from sciai.radar.model.interface import SweepCodec
from sciai.radar.model.registry import CODECS, available_codecs, shipped_codec, trained_codec

__all__ = ["DEFAULT_PSNR", "EFFORTS", "PerVariable", "codecs_of", "previous_of", "targets_of"]

DEFAULT_PSNR: Final = 35.0
EFFORTS: Final = ("best", "fast")

PerVariable = float | Mapping[str, float] | None


def targets_of(
    source: Source,
    psnr: PerVariable,
    max_error: PerVariable,
    lossless: bool | Collection[str],
    strong_echo: float | None = None,
) -> dict[str, Target]:
    """What is promised for each variable of a volume; the arguments are those of `compress`.

    Raises:
        BadInput: a number that is no quality, or a variable that the volume does not have.
    """
    known = source.variables
    for name, given in (("psnr", psnr), ("max_error", max_error)):
        for key, number in given.items() if isinstance(given, Mapping) else [("", given)]:
            if key and key not in known:
                raise BadInput(
                    f"{name} for {key}, which the volume does not have",
                    field=name,
                    fix=f"it has {', '.join(known)}",
                )
            if number is not None and not (_is_number(number) and number > 0):
                raise BadInput(f"{name} of {number!r}", field=key or name, fix="give a positive number")
    if strong_echo and not (_is_number(strong_echo) and strong_echo >= LEAST_BOUND):
        raise BadInput(
            f"strong_echo of {strong_echo}",
            field="strong_echo",
            fix=f"give dB, {LEAST_BOUND:g} or more, or None for no bound",
        )
    if isinstance(lossless, str):
        lossless = [lossless]
    if isinstance(lossless, np.bool_):
        lossless = bool(lossless)
    if not isinstance(lossless, bool | Collection):
        raise BadInput(
            f"lossless of {shown(lossless)}", field="lossless", fix="give True, False or names of variables"
        )
    exact = set(known) if lossless is True else set() if lossless is False else set(lossless)
    if exact - set(known):
        raise BadInput(
            f"lossless for {sorted(map(str, exact - set(known)))}, which the volume does not have",
            field="lossless",
            fix=f"it has {', '.join(known)}",
        )
    named = {v for given in (psnr, max_error) if isinstance(given, Mapping) for v in given}
    exact |= set(source.categories) - named
    targets = {
        var: Target(
            psnr=_of(psnr, var, DEFAULT_PSNR), max_error=_of(max_error, var, None), lossless=var in exact
        )
        for var in known
    }
    if strong_echo:
        for var, target in targets.items():
            if source.is_reflectivity(var) and target.bound > strong_echo:  # else all of it is closer anyway
                targets[var] = replace(target, strong=strong_echo)
    return targets


def _is_number(given: Any) -> bool:
    """Whether it is a finite number: not a text that looks like one, not a list, not True."""
    if isinstance(given, bool) or not isinstance(given, Real):
        return False
    return bool(np.isfinite(float(given)))


def _of(given: PerVariable, var: str, default: float | None) -> float | None:
    if isinstance(given, Mapping):
        number = given.get(var, given.get("", default))
        return None if number is None else float(number)
    return default if given is None else float(given)


def codecs_of(codec: str | os.PathLike[str] | SweepCodec, effort: str = "best") -> list[SweepCodec]:
    """The codecs that ``codec=`` and ``effort=`` name; a path is the folder of a checkpoint.

    Raises:
        BadInput: no codec or effort is called so, or the two do not go together.
        CheckpointError: its checkpoint is absent or altered.
    """
    if effort not in EFFORTS:
        raise BadInput(f"no effort is called {effort!r}", field="effort", fix=f"use {' or '.join(EFFORTS)}")
    if effort == "fast":
        if codec not in ("auto", "quick"):
            raise BadInput(
                "effort='fast' chooses the codec", field="codec", fix="leave codec= out, or use effort='best'"
            )
        codec = "quick"
    if isinstance(codec, os.PathLike):
        return [trained_codec(codec)]
    if not isinstance(codec, str):
        _must_be_codec(codec)
        return [codec]
    if codec == "auto":
        return available_codecs()
    if codec not in CODECS:
        own = f"; one of your own as a path (Path({codec!r}), --model)" if os.path.isdir(codec) else ""
        fix = f"use auto, {', '.join(CODECS)}{own}"
        raise BadInput(f"no codec is called {codec!r}", field="codec", fix=fix)
    try:
        return [shipped_codec(codec)]
    except CheckpointError as err:
        raise CheckpointError(f"codec={codec!r}: {err}; codec='plain' always works") from err


def _must_be_codec(given: Any) -> None:
    if isinstance(given, type) or not isinstance(given, SweepCodec):
        names = ", ".join(CODECS)
        fix = f"use auto, {names}, the Path of a checkpoint, or a codec object"
        raise BadInput(f"codec of {shown(given)}", field="codec", fix=fix)


def previous_of(store: str | os.PathLike[str] | None, target: Path) -> PlaneReader | None:
    """Reader of the store that ``previous=`` names.

    Args:
        store: as it was given.
        target: the store to write.

    Raises:
        BadInput, DamagedStore: there is none, or it was altered; or the store to write would replace it or
            one that it needs.
    """
    if store is None:
        return None
    path = path_of(store, "previous", "t0.zarr")
    check_store(path)
    reader = PlaneReader.of_folder(path)
    for needed in reader.chain():
        if needed.exists() and target.exists() and needed.samefile(target):
            raise BadInput(
                "the store to write would replace the previous volume, or one that it needs, and nobody "
                "could read either",
                file=target,
                field="previous",
                fix="write to another name",
            )
    return reader
