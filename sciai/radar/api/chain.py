"""Long chains of previous volumes, decoded from the oldest on.

A plane may need its like in the volume before, that one in the volume before it, and so on. Each asking the
next would nest deeper than Python allows from some 150 volumes on: an hour of 30-second volumes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sciai.radar.api.planes import PlaneReader
    from sciai.radar.model.interface import Kind

__all__ = ["LONG", "decode_chain"]

LONG: Final = 12
"""Volumes that may ask one another, and from how many on an answer says that reading will be slow."""
_THREAD = threading.local()


def decode_chain(newest: PlaneReader, sweep: int, var: str, kind: Kind) -> None:
    """Decode a plane, and what it is coded with, in each volume of a long chain; a short one is left alone.

    Args:
        newest: Reader of the volume whose plane is asked for.
        sweep: Number of the sweep.
        var: The field.
        kind: Its mask, or its values (which need masks).

    Raises:
        DamagedStore: where a volume of the chain is gone or altered.
    """
    if getattr(_THREAD, "busy", False):
        return
    waiting: list[PlaneReader] = []
    reader: PlaneReader | None = newest
    while reader is not None and not _is_decoded(reader, sweep, var, kind):
        waiting.append(reader)
        looks_back = any(reader.chunk(sweep, var, k).previous for k in _kinds(kind))
        reader = reader.previous() if looks_back else None
    if len(waiting) <= LONG:
        return
    _THREAD.busy = True
    try:
        for reader in reversed(waiting):
            for other, its in reader.coded_with(sweep, var, kind):
                if its == "mask":
                    reader.mask(sweep, other)
                else:
                    reader.indices(sweep, other)
    finally:
        _THREAD.busy = False


def _kinds(kind: Kind) -> tuple[Kind, ...]:
    return ("mask",) if kind == "mask" else ("mask", "values")


def _is_decoded(reader: PlaneReader, sweep: int, var: str, kind: Kind) -> bool:
    return all(reader.holds(sweep, other, its) for other, its in reader.coded_with(sweep, var, kind))
