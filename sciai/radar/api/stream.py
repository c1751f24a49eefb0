"""Volumes as a stream of questions: how far each lies from what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sciai.core.errors import BadInput
from sciai.radar.api.distance import distance, learned
from sciai.radar.api.source import open_source

__all__ = ["distances"]


def distances(files: Sequence[Path], model: str | None = None) -> tuple[list[float], list[float]]:
    """Distances of the volumes learned from, each from those of other radars; and of the files.

    Args:
        files: one volume each, in the order in which they come.
        model: not used; codecs come with the package.

    Raises:
        BadInput: a file that cannot be read.
    """
    if model is not None:
        raise BadInput("codecs come with the package", field="--model", fix="leave it out")
    found = [distance(open_source(path)) for path in files]
    return learned().held_out.tolist(), [d for d in found if d is not None]
