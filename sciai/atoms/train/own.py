"""The user's own structures: often frames of one system, or few; how they are split, what is said of few."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.data.records import Record
from sciai.atoms.train.doubts import doubts
from sciai.core.errors import BadInput

__all__ = ["BLOCKS", "in_blocks", "parts", "tell"]

log = logging.getLogger(__name__)

BLOCKS: Final = 40
"""Blocks of a source; of fewer structures each is one by itself, and a warning is due."""


def in_blocks(records: Sequence[Record], blocks: int = BLOCKS) -> list[Record]:
    """Records with blocks of neighbours as their groups: frames of a trajectory are alike.

    Args:
        records: in the order of their file.
        blocks: how many at least, of so many records.
    """
    size = max(1, len(records) // blocks)
    return [replace(record, group=f"own:{record.source}/{k // size}") for k, record in enumerate(records)]


def parts(records: Sequence[Record], own: Sequence[str], home: Mapping[str, str]) -> dict[str, str]:
    """Blocks that change their part, so that few structures are calibrated and tested, too.

    A block's part is a hash of its name, and of the first six none would be for calibration.

    Args:
        records: all that will be used.
        own: the user's sources.
        home: part of each group.

    Returns:
        Group -> its new part; mostly empty.

    >>> from types import SimpleNamespace as Of
    >>> home = {"a": "train", "b": "test", "c": "test"}
    >>> parts([Of(source="mine", group=g) for g in home], ["mine"], home)
    {'c': 'calibrate'}
    """
    moved: dict[str, str] = {}
    for source in own:
        blocks = list(dict.fromkeys(r.group for r in records if r.source == source))
        of = {part: [b for b in blocks if home[b] == part] for part in ("train", "calibrate", "test")}
        if not of["calibrate"]:
            spare = of["test"] if len(of["test"]) > 1 else of["train"] if len(of["train"]) > 2 else []
            moved |= dict.fromkeys(spare[-1:], "calibrate")
    return moved


def tell(
    records: Sequence[Record],
    own: Sequence[str],
    home: Mapping[str, str],
    dropped: Mapping[str, int],
    offsets: Mapping[str, npt.NDArray[np.float64]],
) -> None:
    """Refuse a source of which nothing is left to learn from; warn where it is few, or labels are doubtful.

    Args:
        records: all that will be used, some of them several times.
        own: the user's sources.
        home: part of each group.
        dropped: what was left out and why.
        offsets: energies of the elements of each source, eV, shape (119,).

    Raises:
        BadInput: no structure of a source is in the training part.
    """
    for source in own:
        once = list({id(record): record for record in records if record.source == source}.values())
        counts = Counter(home[record.group] for record in once)
        if not counts["train"]:
            raise BadInput(
                f"no structure of {source} is left to learn from; left out: {dict(dropped)}",
                field="domain.data.records",
                fix="give more structures, or other domain.data.limits, most_pairs or most_energy",
            )
        _tell_of_labels(source, once)
        for said in doubts(once, offsets[source]):
            log.warning("of %s: %s", source, said)
        if counts.total() < BLOCKS:
            log.warning(
                "%s has %d structures: %d to learn from, %d to measure the spread on, %d to test. So few are "
                "learned by heart, and what is then said of others is a guess%s",
                *(source, counts.total(), counts["train"], counts["calibrate"], counts["test"]),
                "" if counts["calibrate"] else "; answers will state no spread",
            )


def _tell_of_labels(source: str, records: Sequence[Record]) -> None:
    """Labels that none has, or only some: of a name that is not known, or never computed."""
    whole = [record for record in records if record.pbc.all()]  # others have no stress
    for name, what, among in (
        ("energy", "an energy: energies are a guess", records),
        ("forces", "forces: they follow from energies alone, and are rough", records),
        ("stress", "a stress: pressures, and cells that relax, are a guess", whole),
    ):
        having = sum(getattr(record, name) is not None for record in among)
        if among and not having:
            log.warning("no structure of %s has %s. Is the label of another name?", source, what)
        elif having < len(among):
            log.warning("of %s, %d %% have %s", source, 100 * having // len(among), what.partition(":")[0])
