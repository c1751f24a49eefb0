"""The runtime policy of a potential: rules of ``conf/guard/atoms.yaml`` that act on answers, without
retraining."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from sciai.atoms.checks.scene import Scene
from sciai.core.answer import Answer, Estimate
from sciai.trust.policy import Action, apply, shipped_actions

__all__ = ["FACTS", "Facts", "actions", "govern", "of_motion"]

FACTS: Final = ("elements", "atoms", "volume_per_atom", "periodic", "mean_force")
"""What a rule may name; ``mean_force`` is the mean length of the forces that the answer tells, eV/Å."""


@cache
def actions() -> tuple[Action, ...]:
    """The rules that ship: what is withheld, widened or referred, for which structures.

    Raises:
        BadInput: a rule cannot be read, or names what structures do not have.
    """
    return tuple(shipped_actions("atoms", FACTS))


class Facts(Mapping[str, Any]):
    """What rules may ask of a structure and its answer; each fact is found out when a rule asks for it.

    Args:
        scene: the structure.
        forces: that the answer tells, eV/Å, shape (n, 3); none where there is no answer.

    >>> from ase.build import bulk
    >>> Facts(Scene(bulk("NaCl", "rocksalt", 5.64)))["elements"]
    ('Cl', 'Na')
    """

    def __init__(self, scene: Scene, forces: npt.ArrayLike = ()) -> None:
        self.scene, self.forces = scene, forces
        self.found: dict[str, Any] = {"atoms": len(scene.numbers), "periodic": all(scene.pbc)}

    def __contains__(self, name: object) -> bool:
        if name == "volume_per_atom":
            return bool(self.found["periodic"] and self.found["atoms"])
        return name in FACTS and (name != "mean_force" or len(np.asarray(self.forces)) > 0)

    def __getitem__(self, name: str) -> Any:
        if name not in self.found:
            if name not in self:
                raise KeyError(name)
            self.found[name] = self._find(name)
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in FACTS if name in self)

    def __len__(self) -> int:
        return sum(name in self for name in FACTS)

    def _find(self, name: str) -> Any:
        if name == "elements":
            return tuple(sorted(chemical_symbols[z] for z in self.scene.kinds.tolist()))
        if name == "volume_per_atom":
            return self.scene.volume / self.found["atoms"]
        from sciai.atoms.checks.look import mean_length

        return float(mean_length(np.ascontiguousarray(self.forces, np.float64)))


def govern(scene: Scene, answer: Answer[Any]) -> Answer[Any]:
    """The answer after the rules that concern its structure; every one says what was done, and why.

    Args:
        scene: the structure.
        answer: as it would be given.
    """
    rules = actions()
    if not rules or answer.estimate is None:
        return answer
    told = Facts(scene, answer.estimate.value.forces)
    # the size of forces is soon known, and most rules are for some sizes only
    size = told.get("mean_force", np.nan)
    near = [rule for rule in rules if _of_size(rule.when.get("mean_force"), size)]
    return apply(near, told, answer, widen=_wider) if near else answer


def of_motion(answer: Answer[Any]) -> Answer[Any]:
    """The answer to a structure that is known not to be at rest, without what rules say of those that are.

    Args:
        answer: of a frame of dynamics, or of a path between two structures at rest.
    """
    kept = tuple(f for f in answer.findings if (f.check, f.where) != ("policy", "false-alarm"))
    return answer if len(kept) == len(answer.findings) else replace(answer, findings=kept)


def _of_size(wanted: Any, size: float) -> bool:
    """Whether a rule may concern an answer with forces of this size; where in doubt it may."""
    return type(wanted) is not dict or wanted.get("min", -np.inf) <= size <= wanted.get("max", np.inf)


def _wider(estimate: Estimate[Any], by: float) -> Estimate[Any]:
    spread: Mapping[str, Any] = estimate.spread
    wide = {
        name: by * np.asarray(part) if np.ndim(part) else by * float(part) for name, part in spread.items()
    }
    return Estimate(estimate.value, wide, estimate.unit)
