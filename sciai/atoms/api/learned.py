"""What a checkpoint learned from, as far as the checks need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.engines import DISPERSED, Calibration
from sciai.atoms.checks import TIERS, Evidence, Surroundings
from sciai.core.answer import Finding, Level
from sciai.core.checkpoint import Card
from sciai.core.errors import CheckpointError

__all__ = ["evidence_of", "lessons_among", "unmeasured", "with_dispersion", "with_energies", "without_zero"]


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
        between=str((card.calibration.get("levels") or {}).get("between", "")),
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


def lessons_among(card: Card | None, files: Sequence[Path]) -> list[str]:
    """Names of files that a potential of a user's own learned from, as its card names them.

    Args:
        card: None for a foreign calculator.
        files: files to be looked up, by name.
    """
    config: Any = {} if card is None else card.config
    for key in ("domain", "data", "records"):
        config = config.get(key) or {}
    told: set[str] = set()
    for entry in config.get("files") or ():
        given = entry.get("path") or ()
        told |= {Path(path).name for path in ([given] if isinstance(given, str) else given)}
    return sorted(told & {path.name for path in files})


def with_dispersion(evidence: Evidence) -> Evidence:
    """Where dispersion is added, only elements are known that it is known for.

    Args:
        evidence: of the potential without it.

    >>> with_dispersion(Evidence.none()).known_text()
    'H-Pu'
    """
    if evidence.tiers is not None:
        tiers = evidence.tiers.copy()
        tiers[DISPERSED + 1 :] = 0
        return replace(evidence, tiers=tiers)
    known = range(1, 119) if evidence.elements is None else evidence.elements
    return replace(evidence, elements=frozenset(z for z in known if z <= DISPERSED))


def with_energies(card: Card | None) -> npt.NDArray[np.bool_] | None:
    """Elements whose energies training had at the level that answers are given at, bool (119,).

    None where the card does not say: checkpoints that were made before cards said so, and foreign ones.
    """
    from ase.data import atomic_numbers

    told = (card.calibration.get("zero") or {}).get("elements") if card is not None else None
    if told is None:
        return None
    known = np.zeros(119, bool)
    known[[atomic_numbers[symbol] for symbol in told]] = True
    return known


def without_zero(known: npt.NDArray[np.bool_] | None, numbers: npt.NDArray[np.int64]) -> list[Finding]:
    """What is to be said of a structure with elements whose zero of energy nothing tells; mostly nothing.

    Args:
        known: of ``with_energies``.
        numbers: of the structure's atoms.
    """
    from ase.data import chemical_symbols

    if known is None or known[numbers].all():
        return []
    names = ", ".join(chemical_symbols[z] for z in sorted(set(numbers[~known[numbers]].tolist())))
    message = (
        f"no energy of {names} was learned at the level of theory that is answered: the zero of this energy "
        f"is a guess; only differences mean something, between structures with as many atoms of {names}"
    )
    return [Finding("energy_spread", Level.CAUTION, message, "energy")]


def unmeasured(calibration: Calibration) -> list[Finding]:
    """What is to be said where one of both spreads was measured and the other was not.

    Args:
        calibration: of the network.
    """
    gone = {"energies": np.isnan(calibration.energy_factor), "forces": np.isnan(calibration.factors).all()}
    lacking = [name for name, unknown in gone.items() if unknown]
    if len(lacking) != 1:
        return []  # where both are unknown the checks say so
    message = f"how far its {lacking[0]} are off was never measured: no labels of them were held out"
    return [Finding("no_spread", Level.CAUTION, message)]
