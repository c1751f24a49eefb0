"""Questions that a model is known to get wrong: its card names them, and they are not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciai.core.answer import Finding

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["CHECK", "known_gaps"]

CHECK = "known_gap"


def known_gaps(
    potential: Potential, question: str, atoms: Atoms, beside: Atoms | None = None
) -> list[Finding]:
    """Findings where the card says that this model is wrong about such a question on such elements.

    Args:
        potential: its card may have ``calibration.gaps``, entries of ``question``, ``elements``, ``why`` and
            perhaps ``beside``, elements of which one has to be there as well.
        question: such as ``adsorption``.
        atoms: what it is about; one of the elements is enough.
        beside: what comes to it, such as the molecule that adsorbs.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> known_gaps(Potential.from_calculator(EMT()), "adsorption", bulk("Ni"))
        []
    """
    card = potential.card
    told = card.calibration.get("gaps", ()) if card is not None else ()
    here = set(atoms.get_chemical_symbols())
    others = here | set(() if beside is None else beside.get_chemical_symbols())
    found = []
    for gap in told:
        concerned = sorted(here & set(gap["elements"]))
        partners = sorted(others & set(gap.get("beside", ())))
        if gap["question"] == question and concerned and (partners or "beside" not in gap):
            of = f"{question} of {' and '.join(partners)}" if partners else question
            message = f"{of} on {' and '.join(concerned)} is known to come out wrong: {gap['why']}"
            found.append(Finding(CHECK, potential.guard.level(CHECK), message))
    return found
