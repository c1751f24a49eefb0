"""Structures as a stream of questions: how far each lies from what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sciai.core.errors import BadInput
from sciai.core.listen import quietly

__all__ = ["distances"]


def distances(files: Sequence[Path], model: str | None = None) -> tuple[list[float], list[float]]:
    """Distances of held-out atoms; and of one atom of each structure, picked by its content.

    Args:
        files: structures, any number in each file, in the order in which they come.
        model: a checkpoint's name or folder; None takes the shipped one.

    Raises:
        BadInput: a potential without evidence, or a file that cannot be read.
    """
    from sciai.atoms.api.files import read_all
    from sciai.atoms.api.potential import Potential

    potential = Potential.load(model)
    around = potential.evidence.support
    if around is None:
        raise BadInput("the potential was never calibrated: it has no held-out distances", field="model")
    structures = [atoms for path in files for atoms in read_all(path)]
    with quietly():
        answers = potential.batch(structures)
    told = [potential.distance(atoms, answer) for atoms, answer in zip(structures, answers, strict=True)]
    return around.held_out.tolist(), [d for d in told if d is not None]
