"""Spreads of differences (barriers, surfaces, adsorption energies): what structures share cancels.

What is left of them was measured on pairs of structures that were not learned from, see
``sciai.atoms.train.differences``. Where nothing was measured, whole energies are taken as independent, which
is far too cautious, and the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.atoms.api.engines import CalculatorEngine, Properties
from sciai.atoms.train.differences import NINETY, Related, Told, told_of
from sciai.core.answer import Finding, Level

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["USELESS", "between", "difference_of", "kept", "spread_of", "undecided"]

CHECK = "difference"
USELESS: Final = 1.0
"""eV; a barrier, or what a molecule binds with, that is less certain is no answer."""


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


def spread_of(
    potential: Potential, parts: Sequence[tuple[float, Properties]], *, path: bool = False
) -> tuple[float, Finding]:
    """Spread of a sum of energies, from what the potential says of each structure.

    Args:
        potential: what computed.
        parts: factor and answer; no atom is left over.
        path: whether it is a difference along a reaction path, as of a barrier.

    Returns:
        Standard deviation, eV (NaN where nothing is known), and what it is, in words.
    """
    whole = math.sqrt(sum((factor * value.energy_sd) ** 2 for factor, value in parts))
    if any(value.heads is None for _, value in parts):
        return _unknown() if math.isnan(whole) else (whole, _independent(parts))
    known = potential.related
    if known is None or any(value.descriptor is None for _, value in parts):
        if not isinstance(potential.engine, CalculatorEngine):
            return _unknown() if math.isnan(whole) else (whole, _independent(parts))
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
    sd = math.hypot(min(known.spread(change, heads), whole), known.path if path else 0.0)
    message = (
        f"nine of ten differences like this one are within {NINETY * sd:.2g} eV of {known.against}'s: what "
        "its structures are off together cancels, and the rest was measured on "
        f"{known.pairs} pairs of {known.compositions} compositions that it did not learn from"
    )
    if path and known.path:
        message += f", with {known.path:.2g} eV more for groups that turn, which it hardly sees"
    return sd, Finding(CHECK, Level.OK, message)


def kept(value: Properties) -> dict[str, Any] | None:
    """What has to be kept of an answer so that it can be compared with others later; per atom, plain numbers.

    Args:
        value: the potential's answer.
    """
    if value.heads is None or value.descriptor is None:
        return None
    n = len(value.forces)
    heads = (np.asarray(value.heads) - np.mean(value.heads)) / n
    return {
        "heads": [float(f"{x:.5g}") for x in heads],
        "surroundings": [float(f"{x:.6g}") for x in np.asarray(value.descriptor).mean(0)],
        "sd": value.energy_sd / n,
    }


def between(known: Related | None, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> float:
    """Spread of the difference of two structures of one composition, eV per atom; NaN where nothing is known.

    Args:
        known: of the potential.
        one: as ``kept``.
        other: the like.
    """
    if known is None or not one or not other:
        return math.nan
    told = [
        (sign, Told(0.0, np.asarray(row["heads"], float), np.asarray(row["surroundings"], float)))
        for sign, row in ((1.0, one), (-1.0, other))
    ]
    _, change, heads = told_of(told, known.scale)
    return min(known.spread(change, heads), math.hypot(float(one["sd"]), float(other["sd"])))


def undecided(value: float, sd: float, what: str, most: float = math.inf) -> list[Finding]:
    """A finding where a difference is smaller than what it may be off, or where that is of no use.

    Args:
        value: the difference, in any unit.
        sd: its spread, in the same unit.
        what: it is, in words.
        most: spread beyond which the difference is of no use.

    >>> [f.message for f in undecided(-8.0, 2.0, "adsorption energy", 1.0)]
    ['the adsorption energy may be off by 3.3: surroundings like these are beyond it; use DFT']
    """
    if not 0 < sd < math.inf:
        return []
    off = f"{NINETY * sd:.2g}"
    if sd > most:
        message = f"the {what} may be off by {off}: surroundings like these are beyond it; use DFT"
    elif abs(value) <= NINETY * sd:
        message = f"the {what} is smaller than what it may be off ({off}): it is not told from none"
    else:
        return []
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
