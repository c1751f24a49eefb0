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

__all__ = ["QUANTITIES", "Typical", "own_error", "size_of", "typical_of"]

QUANTITIES: Final = {
    "volume": ("volumes", "Å^3/atom"),
    "bulk_modulus": ("bulk moduli", "GPa"),
    "derivative": ("pressure derivatives of the bulk modulus", ""),
    "shear_modulus": ("shear moduli", "GPa"),
    "elastic": ("elastic constants", "GPa"),
    "frequencies": ("frequencies", "THz"),
}
"""What errors are known of: in words, and their unit."""

# soft crystals are off by as many GPa as those of this modulus
_SOFT: Final = {"bulk_modulus": 60.0, "shear_modulus": 30.0}
_DERIVATIVE: Final = 4.0


def size_of(quantity: str, value: float) -> float:
    """What the error of a quantity is proportional to, in its unit.

    Args:
        quantity: one of ``QUANTITIES``.
        value: of the figure; of elastic constants the largest, of frequencies the highest.

    >>> size_of("volume", 20.0), size_of("bulk_modulus", 80.0), size_of("derivative", 0.1)
    (20.0, 100.0, 4.0)
    """
    return _DERIVATIVE if quantity == "derivative" else math.hypot(value, _SOFT.get(quantity, 0.0))


@dataclass(frozen=True)
class Typical:
    """The error that a quantity usually has.

    Attributes:
        quantity: one of ``QUANTITIES``.
        sd: standard deviation relative to ``size_of``; nine of ten crystals were off by at most 1.645 of it.
        n: crystals it was measured on.
        against: what they were compared with.
    """

    quantity: str
    sd: float
    n: int
    against: str

    def spread(self, value: float, noise: float = 0.0) -> float:
        """Standard deviation of a figure, with the noise of its fit, in its unit.

        >>> Typical("volume", 0.03, 60, "PBE").spread(20.0, 0.8)
        1.0
        """
        return math.hypot(self.sd * size_of(self.quantity, value), 0.0 if math.isnan(noise) else noise)


def typical_of(card: Card | None) -> Mapping[str, Typical]:
    """What a card says of derived figures; nothing where it was never measured."""
    said: Any = {} if card is None else card.extra.get("properties", {})
    return {
        name: Typical(name, float(row["sd"]), int(row["n"]), str(row["against"]))
        for name, row in said.items()
    }


def own_error(known: Typical | None, quantity: str, value: float, guard: Guard) -> Finding:
    """What an answer says of the potential's own error in a derived figure.

    Args:
        known: as measured; None where it was not.
        quantity: one of ``QUANTITIES``.
        value: of the figure.
        guard: decides what it means that it was not measured.
    """
    name, unit = QUANTITIES[quantity]
    if known is None:
        message = f"how far its {name} are off was never measured: the spread is that of the fit alone"
        return Finding("own_error", guard.level("own_error"), message)
    limit = f"{1.645 * known.spread(value):.2g} {unit}".rstrip()
    message = (
        f"nine of ten of its {name} are within {limit} of {known.against}'s, for crystals like this one "
        f"(measured on {known.n} that it did not learn from)"
    )
    return Finding("own_error", Level.OK, message)
