"""The runtime policy of a potential: rules of ``conf/guard/atoms.yaml`` that act on answers, without
retraining."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols

from sciai.atoms.checks.scene import Scene
from sciai.core.answer import Answer, Estimate
from sciai.trust.policy import Action, apply, shipped_actions

__all__ = ["FACTS", "actions", "facts", "govern"]

FACTS: Final = ("elements", "atoms", "volume_per_atom", "periodic", "mean_force")
"""What a rule may name; ``mean_force`` is the mean length of the forces that the answer tells, eV/Å."""


@cache
def actions() -> tuple[Action, ...]:
    """The rules that ship: what is withheld, widened or referred, for which structures.

    Raises:
        BadInput: a rule cannot be read, or names what structures do not have.
    """
    return tuple(shipped_actions("atoms", FACTS))


def facts(scene: Scene) -> dict[str, Any]:
    """What rules may ask of a structure.

    Args:
        scene: the structure.

    >>> from ase.build import bulk
    >>> facts(Scene(bulk("NaCl", "rocksalt", 5.64)))["elements"]
    ('Cl', 'Na')
    """
    periodic, count = all(scene.pbc), len(scene.numbers)
    found: dict[str, Any] = {
        "elements": tuple(sorted(chemical_symbols[z] for z in scene.kinds.tolist())),
        "atoms": count,
        "periodic": periodic,
    }
    if periodic and count:
        found["volume_per_atom"] = scene.volume / count
    return found


def govern(scene: Scene, answer: Answer[Any]) -> Answer[Any]:
    """The answer after the rules that concern its structure; every one says what was done, and why.

    Args:
        scene: the structure.
        answer: as it would be given.
    """
    rules = actions()
    if not rules or answer.estimate is None:
        return answer
    told = facts(scene)
    forces = np.asarray(answer.estimate.value.forces, float)
    if len(forces):
        told["mean_force"] = float(np.sqrt(np.einsum("ij,ij->i", forces, forces)).mean())
    return apply(rules, told, answer, widen=_wider)


def _wider(estimate: Estimate[Any], by: float) -> Estimate[Any]:
    spread: Mapping[str, Any] = estimate.spread
    wide = {
        name: by * np.asarray(part) if np.ndim(part) else by * float(part) for name, part in spread.items()
    }
    return Estimate(estimate.value, wide, estimate.unit)
