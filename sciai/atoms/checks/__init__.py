"""What is looked at before and after a structure is answered: plain functions that give findings.

Levels given in code are defaults; ``conf/guard/atoms.yaml`` decides, ``conf/guard/atoms_strict.yaml`` is for
work that must not go on beyond what was learned. Numbers that a check compares with are ``limits`` there.
"""

from __future__ import annotations

from sciai.atoms.checks.estimate import after
from sciai.atoms.checks.evidence import TIERS, Evidence, Surroundings
from sciai.atoms.checks.limits import CHECKS, GUARDS, Guard, guard
from sciai.atoms.checks.rules import FACTS, actions, govern, of_motion
from sciai.atoms.checks.scene import Scene
from sciai.atoms.checks.structure import before

__all__ = [
    "CHECKS",
    "FACTS",
    "GUARDS",
    "TIERS",
    "Evidence",
    "Guard",
    "Scene",
    "Surroundings",
    "actions",
    "after",
    "before",
    "govern",
    "guard",
    "of_motion",
]
