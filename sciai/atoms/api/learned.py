"""What a checkpoint learned from, as far as the checks need it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.checks import TIERS, Evidence, Surroundings
from sciai.core.checkpoint import Card
from sciai.core.errors import CheckpointError

__all__ = ["evidence_of"]


def evidence_of(net: Any, card: Card) -> Evidence:
    """What a checkpoint says it learned from.

    Args:
        net: the network of the checkpoint.
        card: its card.
    """
    from sciai.atoms.model.potential import closest_seen, support

    try:
        around = Surroundings.of(support(net))
    except CheckpointError:
        around = None  # never calibrated; every answer will say so
    closest = np.asarray(closest_seen(net))
    seen = np.asarray(np.isfinite(closest).any(1))
    return Evidence(
        learned=True,
        tiers=_tiers(card, seen),
        closest=closest if seen.any() else None,
        counts=_counts(card),
        support=around,
        levels=_levels(card),
    )


def _levels(card: Card) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """Metals that the data compute with a Hubbard U, and beside which elements, where the card says so."""
    from ase.data import atomic_numbers

    told = card.calibration.get("levels")
    if not told:
        return None
    metals, partners = np.zeros(119, bool), np.zeros(119, bool)
    metals[[atomic_numbers[symbol] for symbol in told["metals"]]] = True
    partners[[atomic_numbers[symbol] for symbol in told["partners"]]] = True
    return metals, partners


def _tiers(card: Card, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64] | None:
    """Tier of each element from the card (tier -> symbols); else supported is what was seen in training."""
    from ase.data import atomic_numbers

    told = card.extra.get("tiers")
    tiers = np.zeros(119, np.int64)
    if told:
        for tier, symbols in told.items():
            if tier in TIERS:
                tiers[[atomic_numbers[symbol] for symbol in symbols]] = TIERS.index(tier)
        return tiers
    if not seen.any():
        return None
    tiers[: len(seen)] = np.where(seen, TIERS.index("supported"), 0)[:119]
    return tiers


def _counts(card: Card) -> npt.NDArray[np.int64] | None:
    from ase.data import atomic_numbers

    told = card.extra.get("element_counts")
    if not told:
        return None
    counts = np.zeros(119, np.int64)
    for symbol, count in told.items():
        counts[atomic_numbers[symbol]] = int(count)
    return counts
