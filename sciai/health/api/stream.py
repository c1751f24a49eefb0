"""People as a stream of questions: how unlike those learned from each is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciai.core.resources import checkpoint_named
from sciai.health.api.record import distance_of
from sciai.health.data.tables import read_table

__all__ = ["distances"]

HELD_OUT = 1000


def distances(files: Sequence[Path], model: str | None = None) -> tuple[list[float], list[float]]:
    """Distances of people like the held-out ones; and of the rows of tables.

    A distance is 1 - the share of held-out people with a stranger combination of values, so it is even
    between 0 and 1 for people like them; that is what the calibration of the model makes of it.

    Args:
        files: tables (.csv, .parquet) with the model's columns, one person a row, in their order.
        model: a shipped model or a folder; None takes the shipped one.

    Raises:
        BadInput: a table that cannot be read, or a value that does not fit.
    """
    from sciai.health import VirtualHuman

    folder = checkpoint_named(model or "health")
    human = VirtualHuman.load(path=folder) if folder.is_dir() else VirtualHuman.load(model or "health")
    known = ((np.arange(HELD_OUT) + 0.5) / HELD_OUT).tolist()
    found: list[float | None] = []
    for file in files:
        table = read_table(file)
        found += [distance_of(human.given(row)) for _, row in table.iterrows()]
    return known, [d for d in found if d is not None]
