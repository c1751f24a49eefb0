"""Which elements a potential knows, and how well: a periodic table as picture and as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciai.atoms.api.pictures import INK, QUIET, new_figure
from sciai.atoms.checks import TIERS

if TYPE_CHECKING:
    from sciai.atoms.api.potential import Potential

__all__ = ["Element", "elements", "elements_figure"]

COLORS: Final = {
    "supported": "#9fcfa8",
    "limited": "#f2d48a",
    "experimental": "#eeb09a",
    "unknown": "#eef1f4",
}
MEANING: Final = {
    "supported": "learned from many structures",
    "limited": "learned from few, or large errors",
    "experimental": "equations of state only",
    "unknown": "refused",
}


@dataclass(frozen=True)
class Element:
    """One element.

    Attributes:
        symbol: such as Fe.
        number: atomic number.
        tier: supported, limited, experimental or unknown.
        atoms: labelled atoms in training; None where the potential does not say.
    """

    symbol: str
    number: int
    tier: str
    atoms: int | None


def elements(potential: Potential) -> list[Element]:
    """Every element up to 118, with its tier.

    Example:
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> known = elements(Potential.from_calculator(EMT(), elements=["Cu", "Au"]))
        >>> [e.symbol for e in known if e.tier != "unknown"]
        ['Cu', 'Au']
    """
    from ase.data import chemical_symbols

    evidence = potential.evidence
    return [
        Element(
            chemical_symbols[z],
            z,
            evidence.tier(z),
            None if evidence.counts is None else int(evidence.counts[z]),
        )
        for z in range(1, 119)
    ]


def elements_figure(potential: Potential) -> Any:
    """The periodic table, coloured by tier."""
    from matplotlib.patches import Patch, Rectangle

    figure = new_figure(10.0, 6.0)
    axes = figure.subplots()
    known = elements(potential)
    for element in known:
        column, row = place(element.number)
        color = COLORS[element.tier]
        axes.add_patch(Rectangle((column, -row), 0.94, 0.94, color=color, linewidth=0))
        faint = QUIET if element.tier == "unknown" else INK
        axes.text(
            column + 0.47, -row + 0.52, element.symbol, ha="center", va="center", color=faint, fontsize=11
        )
        axes.text(
            column + 0.06, -row + 0.84, str(element.number), ha="left", va="top", color=QUIET, fontsize=5.5
        )
        if element.atoms:
            count = f"{element.atoms / 1000:.0f}k" if element.atoms >= 1000 else str(element.atoms)
            axes.text(column + 0.47, -row + 0.12, count, ha="center", va="bottom", color=QUIET, fontsize=5.5)
    axes.set_xlim(-0.2, 18.2)
    axes.set_ylim(-9.3, 0.2 + 0.94)
    axes.set_aspect("equal")
    axes.set_axis_off()
    counts = {tier: sum(e.tier == tier for e in known) for tier in TIERS}
    handles = [
        Patch(color=COLORS[tier], label=f"{tier} ({counts[tier]}): {MEANING[tier]}")
        for tier in reversed(TIERS)
        if counts[tier]
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.42, 1.0), frameon=False, fontsize=9)
    figure.suptitle(
        f"Elements that the potential {potential.provenance.model!r} knows", color=INK, fontsize=13
    )
    return figure


def place(number: int) -> tuple[int, float]:
    """Column and row of an element in the 18-column table; lanthanides and actinides stand below.

    Example:
        >>> place(1), place(2), place(26), place(57), place(118)
        ((0, 0), (17, 0), (7, 3), (2, 7.5), (17, 6))
    """
    if 57 <= number <= 71:
        return number - 55, 7.5
    if 89 <= number <= 103:
        return number - 87, 8.5
    noble = (0, 2, 10, 18, 36, 54, 86, 118)
    row = next(k for k in range(7) if noble[k] < number <= noble[k + 1])
    inside = number - noble[row] - 1
    length = noble[row + 1] - noble[row]
    if inside < 2 and not (row == 0 and inside == 1):
        return inside, row
    return 18 - (length - inside), row
