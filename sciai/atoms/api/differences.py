"""Spreads of differences (barriers, surfaces, adsorption energies): what structures share cancels.

What is left of them was measured on pairs of structures that were not learned from, see
``sciai.atoms.train.differences``. Where nothing was measured, whole energies are taken as independent, which
is far too cautious, and the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sciai.atoms.api.engines import CalculatorEngine, Properties
from sciai.atoms.train.differences import NINETY, Told, told_of
from sciai.core.answer import Finding, Level

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["difference_of", "spread_of", "undecided"]

CHECK = "difference"


def difference_of(potential: Potential, parts: Sequence[tuple[float, Atoms]]) -> tuple[float, Finding]:
    """Spread of a sum of energies of structures, from the structures: they are asked about once more.

    Args:
        potential: what computed.
        parts: factor and structure; no atom is left over.

    Returns:
        Standard deviation, eV (NaN where nothing is known), and what it is, in words.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> pot = Potential.from_calculator(EMT())
        >>> sd, words = difference_of(pot, [(1, bulk("Cu", "bcc", a=2.87)), (-1, bulk("Cu"))])
        >>> sd, words.message
        (nan, 'this potential states no uncertainty, of differences neither')
    """
    engine = potential.engine
    if isinstance(engine, CalculatorEngine) and len(engine.members) < 2:
        return _unknown()  # asking again, of a DFT code say, would tell nothing
    values = engine.compute([atoms for _, atoms in parts])
    return spread_of(potential, [(f, v) for (f, _), v in zip(parts, values, strict=True)])


def spread_of(potential: Potential, parts: Sequence[tuple[float, Properties]]) -> tuple[float, Finding]:
    """Spread of a sum of energies, from what the potential says of each structure.

    Args:
        potential: what computed.
        parts: factor and answer; no atom is left over.

    Returns:
        Standard deviation, eV (NaN where nothing is known), and what it is, in words.
    """
    whole = math.sqrt(sum((factor * value.energy_sd) ** 2 for factor, value in parts))
    if any(value.heads is None for _, value in parts):
        return _unknown() if math.isnan(whole) else (whole, _independent(parts))
    known = potential.related
    if known is None or any(value.descriptor is None for _, value in parts):
        if not isinstance(potential.engine, CalculatorEngine):
            return whole, _independent(parts)
        members = np.sum([factor * np.asarray(value.heads) for factor, value in parts], axis=0)
        message = (
            f"its spread is how far {len(members)} calculators disagree on the difference; not calibrated"
        )
        return float(members.std(ddof=1)), Finding(CHECK, Level.OK, message)
    told = [
        (factor, Told(value.energy, np.asarray(value.heads), np.asarray(value.descriptor).sum(0)))
        for factor, value in parts
    ]
    _, change, heads = told_of(told, known.scale)
    sd = min(known.spread(change, heads), whole)
    message = (
        f"nine of ten differences like this one are within {NINETY * sd:.2g} eV of {known.against}'s: what "
        "its structures are off together cancels, and the rest was measured on "
        f"{known.pairs} pairs of {known.compositions} compositions that it did not learn from"
    )
    return sd, Finding(CHECK, Level.OK, message)


def undecided(value: float, sd: float, what: str) -> list[Finding]:
    """A finding where a difference is smaller than what it may be off.

    Args:
        value: the difference, in any unit.
        sd: its spread, in the same unit.
        what: it is, in words.
    """
    if not sd > 0 or abs(value) > NINETY * sd:
        return []
    message = f"the {what} is smaller than what it may be off ({NINETY * sd:.2g}): its sign is not known"
    return [Finding("undecided", Level.CAUTION, message)]


def _unknown() -> tuple[float, Finding]:
    message = "this potential states no uncertainty, of differences neither"
    return math.nan, Finding(CHECK, Level.OK, message)


def _independent(parts: Sequence[tuple[float, Properties]]) -> Finding:
    atoms = max(len(value.forces) for _, value in parts)
    message = (
        f"its spread adds those of whole structures (up to {atoms} atoms) as if their errors had nothing to "
        "do with each other; of structures that are alike they mostly cancel, so it is far too cautious"
    )
    return Finding(CHECK, Level.OK, message)
