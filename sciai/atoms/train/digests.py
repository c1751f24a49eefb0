"""What was learned from, as digests: enough to tell a structure again, and to notice labels that changed.

A card holds a sample of them (``sciai.core.split.sampled``), so that who audits a potential learns whether
the structures they call held out were trained on, whatever their file is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sciai.atoms.data.records import Record
from sciai.core.split import sampled, shared

__all__ = ["contents", "digest_of", "learned_among", "twins_together"]


def digest_of(record: Record) -> str:
    """Digest of a structure without its labels: elements, places and cell to .0001 Å, in the order given.

    Args:
        record: any structure.

    Returns:
        64 hex digits.
    """
    state = hashlib.sha256(np.asarray(record.numbers, np.uint8).tobytes())
    for places in (record.positions, record.cell):
        state.update(np.rint(np.asarray(places, float) * 1e4).astype(np.int64).tobytes())
    state.update(np.asarray(record.pbc, bool).tobytes())
    return state.hexdigest()


def contents(records: Iterable[Record], trained: Iterable[Record]) -> dict[str, Any]:
    """For the card: one digest of everything with its labels, and a sample of what is trained on.

    Args:
        records: all structures, in their order.
        trained: those of the training part.
    """
    state = hashlib.sha256()
    for record in records:
        labels = (record.energy, record.forces, record.stress)
        known = [np.nan if label is None else label for label in labels]
        state.update(digest_of(record).encode())
        state.update(b"".join(np.asarray(label, np.float64).tobytes() for label in known))
    return {"sha256": state.hexdigest(), "learned": sampled(digest_of(record) for record in trained)}


def learned_among(records: Iterable[Record], learned: str) -> int:
    """How many structures are in a card's sample; of those that the sample left out nothing can be told.

    Args:
        records: structures that somebody holds for held out.
        learned: of ``contents``; empty on a card of before there was one.
    """
    return len(shared(learned, (digest_of(record) for record in records)))


def twins_together(records: Sequence[Record], own: Sequence[str]) -> list[Record]:
    """Structures of the user's that are there twice get the group of the first: a copy tests nothing.

    Args:
        records: with their groups.
        own: the user's sources; of the others a chemical system is never split.
    """
    home: dict[str, str] = {}
    return [
        replace(r, group=home.setdefault(digest_of(r), r.group)) if r.source in own else r for r in records
    ]
