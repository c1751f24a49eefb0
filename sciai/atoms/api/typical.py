"""How far a potential's own derived figures (volumes, moduli, frequencies) usually are off, as measured.

The heads of a network agree on curvatures that are wrong together, and a fit of points without noise has no
error of its own. So the spread of derived figures comes from crystals that the network never learned
(``benchmarks/atoms_properties.py`` measures it and puts it on the card), with the noise of the fit on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciai.atoms.checks import Guard
from sciai.core.answer import Finding, Level

if TYPE_CHECKING:
    from sciai.core.checkpoint import Card

__all__ = ["QUANTITIES", "Typical", "own_error", "typical_of"]

QUANTITIES: Final = {
    "volume": "volumes",
    "bulk_modulus": "bulk moduli",
    "derivative": "pressure derivatives of the bulk modulus",
    "shear_modulus": "shear moduli",
    "elastic": "elastic constants (relative to the largest)",
    "frequencies": "frequencies (relative to the highest)",
}


@dataclass(frozen=True)
class Typical:
    """The error that a quantity usually has.

    Attributes:
        sd: relative standard deviation; nine of ten crystals were off by at most 1.645 of it.
        n: crystals it was measured on.
        against: what they were compared with.
    """

    sd: float
    n: int
    against: str

    def spread(self, size: float, noise: float = 0.0) -> float:
        """Standard deviation of a figure of this size, with the noise of its fit.

        >>> Typical(0.03, 60, "PBE").spread(-20.0, 0.8)
        1.0
        """
        return math.hypot(self.sd * abs(size), 0.0 if math.isnan(noise) else noise)


def typical_of(card: Card | None) -> Mapping[str, Typical]:
    """What a card says of derived figures; nothing where it was never measured."""
    said: Any = {} if card is None else card.extra.get("properties", {})
    return {name: Typical(float(row["sd"]), int(row["n"]), str(row["against"])) for name, row in said.items()}


def own_error(known: Typical | None, quantity: str, guard: Guard) -> Finding:
    """What an answer says of the potential's own error in a derived figure.

    Args:
        known: as measured; None where it was not.
        quantity: one of ``QUANTITIES``.
        guard: decides what it means that it was not measured.
    """
    name = QUANTITIES[quantity]
    if known is None:
        message = f"how far its {name} are off was never measured: the spread is that of the fit alone"
        return Finding("own_error", guard.level("own_error"), message)
    message = (
        f"nine of ten of its {name} are within {100 * 1.645 * known.sd:.2g} % of {known.against} "
        f"({known.n} crystals it did not learn from); the spread, one standard deviation, says so"
    )
    return Finding("own_error", Level.OK, message)
