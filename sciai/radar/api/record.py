"""How a question about volumes goes into the ledger, and what a human needs to settle it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance, jsonable
from sciai.core.errors import BadInput
from sciai.core.listen import heard
from sciai.radar.api.distance import distance
from sciai.radar.api.source import Source
from sciai.radar.api.store import check_store
from sciai.radar.data.heritage import RECORD
from sciai.trust.gate import Standing
from sciai.trust.record import Question, file_record
from sciai.trust.replay import checkpoint_folder
from sciai.trust.stage import UNRELEASED, stage_findings, standing_of

__all__ = ["NEEDS", "UNRECORDED", "Asked", "asked", "of_store", "receipt", "stages"]

LEAVE_OUT: Final = ("path", "seconds", "previous", "metadata_bytes")

NEEDS: Final[Mapping[str, str]] = {
    "bound": "the volume: why no quantiser holds the bound; --lossless always does",
    "mask": "the store made anew from the volume: gates changed their validity",
    "damaged": "the store made anew from the volume, or restored from a copy",
    "missing_part": "the store made anew from the volume, or restored from a copy",
    "geometry": "ranges and angles, as the radar's operator has them",
    "unknown_name": "the FM301 name and the accuracy that the variable needs (--max-error)",
    "told_apart": "the raw file: which gates are below noise, and which were not measured",
    "noise": "the threshold below which gates of this variable say nothing",
    "unlike_training": "a look at the volume (`sciai radar view`): what is unlike the volumes learned from",
    "all_missing": "the radar's operator: was the variable measured at all?",
    "constant": "the radar's operator: was the variable measured at all?",
}
"""Check -> what would settle its finding."""


UNRECORDED: Final[Mapping[str, str]] = {
    "info": "what a store says of itself; nothing is estimated or decoded",
    "open_datatree": "Zarr decodes a chunk here and there, and no question is asked; record `verify` or "
    "`decompress` of the store where its values matter",
    "view": "a picture of what was decoded",
    "simulate": "data, not an answer",
    "fetch": "data, not an answer",
    "open_volume": "data, not an answer",
}
"""What hands out figures or pictures and is no entry of the ledger, and why."""


@dataclass(frozen=True)
class Asked:
    """A question as it was asked.

    Attributes:
        call: compress, decompress or verify.
        arguments: plain JSON types.
        distance: how far the volume lies from what was learned; None where that is not known.
    """

    call: str
    arguments: Mapping[str, Any]
    distance: float | None = None

    def record(self) -> Question:
        """For the ledger: files by path and sha256."""
        return Question(
            "radar",
            self.call,
            self.arguments,
            False,
            LEAVE_OUT,
            NEEDS,
            self.distance,
            self.arguments.get("volume", self.arguments.get("store")),
        )


def asked(call: str, volume: Any, source: Source, options: Mapping[str, Any]) -> Asked | None:
    """The question, where anybody listens; None else, since files are read once more for their sha256.

    Args:
        call: compress or verify.
        volume: as it was given.
        source: the volume that was opened.
        options: what else was asked for; the stores among it (``store``, ``previous``) by path.
    """
    if not heard():
        return None
    told: dict[str, Any] = {"volume": _volume(volume, source), **options}
    for name in ("store", "previous"):
        if told.get(name) is not None:
            told[name] = file_record(Path(told[name]) / RECORD)
    if isinstance(told.get("codec"), os.PathLike):
        told["model"], told["codec"] = os.path.abspath(told["codec"]), "auto"
    elif not isinstance(told.get("codec", ""), str):
        told["codec"] = told["codec"].name
    return Asked(call, jsonable(told), distance(source))


def of_store(call: str, store: str | os.PathLike[str], options: Mapping[str, Any]) -> Asked | None:
    """A question about a store alone, where anybody listens; None else.

    Args:
        call: decompress.
        store: folder; its record holds the digests of all its files.
        options: what else was asked for.

    Raises:
        BadInput: there is no such store.
    """
    if not heard():
        return None
    check_store(store)
    return Asked(call, {"store": file_record(Path(store) / RECORD), **options})


def receipt(volume: xr.DataTree, losses: Sequence[str], record: Mapping[str, Any]) -> Answer[Any]:
    """What the ledger gets of a decoded volume: one digest for each variable, exact to the last bit.

    Args:
        volume: as it is handed out.
        losses: what of it could not be read.
        record: of the store; the largest errors that it proved when it was made are the spread.
    """
    digests: dict[str, Any] = {}
    for node in volume.subtree:
        for name, variable in node.to_dataset(inherit=False).variables.items():
            if variable.dtype.kind in "fiub":
                own = digests.setdefault(str(name), hashlib.sha256())
                own.update(f"{node.path} {variable.shape} {variable.dtype}\n".encode())
                own.update(np.ascontiguousarray(variable.values).data)
    value = {name: found.hexdigest() for name, found in sorted(digests.items())}
    spread = {name: kept.get("max_error") for name, kept in record["variables"].items()} or 0.0
    models = record.get("models") or {}
    origin = Provenance(
        "radar store",
        "; ".join(f"{k} {v}" for k, v in models.items()),
        calibration="measured when the store was made",
    )
    found = tuple(Finding("damaged", Level.CAUTION, loss) for loss in losses)
    return Answer(Estimate(value, spread), found, origin)


def stages(codecs: Sequence[Any]) -> Callable[[Source], Iterable[Finding]]:
    """A check that says the release stage of the learned codecs, the lowest of them."""
    found = [_standing(str(c.checkpoint)) for c in codecs if getattr(c, "checkpoint", None) is not None]

    def stage(source: Source) -> Iterable[Finding]:
        return stage_findings(min(found, key=_rank)) if found else []

    return stage


def volume_again(record: Any, inputs: Sequence[Path]) -> Any:
    """The volume that a question names, or raises ``BadInput`` where it is gone or was changed."""
    from sciai.radar.data.volume import open_volume
    from sciai.trust.record import found_again

    if isinstance(record, list):
        files = [found_again(file, tuple(inputs)) for file in record]
        return files[0] if len(files) == 1 else files
    for path in inputs:
        tree = open_volume(path)
        if _content(tree) == record["content"]:
            return tree
    raise BadInput(
        "cannot be replayed: the volume was in memory only"
        + (", and none of the files given holds it" if inputs else ""),
        fix="give a file that holds it with --input",
    )


@cache
def _standing(checkpoint: str) -> Standing:
    try:
        folder = checkpoint_folder("radar", checkpoint) if checkpoint else None
    except BadInput:
        folder = None
    return UNRELEASED if folder is None else standing_of(None, folder)


def _rank(found: Standing) -> tuple[int, str]:
    return ("pilot", "limited", "production").index(found.stage), found.use_class


def _volume(volume: Any, source: Source) -> Any:
    if isinstance(volume, str | os.PathLike):
        return [file_record(volume)]
    if isinstance(volume, Sequence):
        return [file_record(path) for path in volume]
    return {"content": _content(source.tree), "name": source.name}


def _content(tree: xr.DataTree) -> str:
    """Sha256 of the numbers of every sweep."""
    found = hashlib.sha256()
    for node in tree.subtree:
        for name, variable in sorted(
            node.to_dataset(inherit=False).variables.items(), key=lambda kv: str(kv[0])
        ):
            if variable.dtype.kind in "fiub":
                found.update(f"{node.path}/{name} {variable.shape}\n".encode())
                found.update(np.ascontiguousarray(variable.values).tobytes())
    return found.hexdigest()
