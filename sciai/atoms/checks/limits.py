"""Policy and limits of the atoms guards, read from ``conf/guard``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final

from sciai.core.answer import Level, Policy
from sciai.core.errors import BadInput
from sciai.trust.policy import guard_file, shipped_policy

__all__ = ["CHECKS", "GUARDS", "Guard", "Limits", "guard"]

CHECKS: Final = frozenset(
    {
        *("empty", "position", "element", "tier", "cell", "size"),
        *("overlap", "close", "isolated", "pair_unseen", "pair_short", "two_levels"),
        *("support", "no_support", "energy_spread", "force_spread", "no_spread", "force_large"),
        *(
            "converged",
            "uphill",
            "symmetry",
            "volume",
            "fit",
            "unstable",
            "imaginary",
            "endpoint",
            "desorbed",
        ),
        *("left_domain", "drift", "temperature", "labels", "skipped", "own_error", "known_gap"),
    }
)
"""Names of all findings on structures and workflows; ``conf/guard/atoms*.yaml`` may name these."""

GUARDS: Final = ("default", "strict", "off")


@dataclass(frozen=True)
class Limits:
    """Numbers that the checks compare with.

    Attributes:
        overlap: distances below this share of the sum of two covalent radii are an overlap.
        close: below this share they are unusually close.
        pair_margin: a pair may be this share closer than the closest one learned from.
        volume_per_atom: smallest and largest volume per atom of a periodic cell, Å^3.
        skew: largest ratio of the product of the cell's lengths to its volume.
        energy_spread: largest useful standard deviation of the energy, eV per atom.
        force_spread: largest useful standard deviation of a force component, eV/Å.
        force_large: forces above this are not those of any matter one meets, eV/Å.
        memory: share of the free memory that one structure may take.
        drift: largest drift of the conserved energy in MD, eV per atom per ps.
        temperature: MD is out of hand where the temperature exceeds the wanted one by this factor.
    """

    overlap: float = 0.45
    close: float = 0.65
    pair_margin: float = 0.05
    volume_per_atom: tuple[float, float] = (1.0, 50000.0)
    skew: float = 100.0
    energy_spread: float = 0.15
    force_spread: float = 0.6
    force_large: float = 200.0
    memory: float = 0.8
    drift: float = 0.001
    temperature: float = 10.0

    @classmethod
    def read(cls, config: Mapping[str, Any] | None) -> Limits:
        """From the ``limits`` part of a guard config.

        Args:
            config: name -> number (or pair of numbers); None keeps the defaults.

        Raises:
            BadInput: on a name that does not exist, or something that is no number.

        Example:
            >>> Limits.read({"overlap": 0.5}).overlap
            0.5
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in (config or {}).items():
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise BadInput(f"no limit is called {name!r}", field=f"limits.{name}", fix=fix)
            try:
                pair = isinstance(getattr(cls, name), tuple)
                values[name] = (float(value[0]), float(value[1])) if pair else float(value)
            except (TypeError, ValueError, IndexError):
                raise BadInput(f"{value!r} is not what this limit needs", field=f"limits.{name}") from None
        return cls(**values)


@dataclass(frozen=True)
class Guard:
    """Which checks weigh how much, and the numbers they compare with.

    Attributes:
        name: default, strict, off, or a name of one's own.
        policy: check -> level.
        limits: the numbers.
        active: whether anything is checked at all.
    """

    name: str = "default"
    policy: Policy = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    active: bool = True

    def level(self, check: str, own: Level = Level.CAUTION) -> Level:
        """The level of a check's findings."""
        return self.policy.get(check, own)


@cache
def guard(name: str = "default") -> Guard:
    """A guard by name.

    Args:
        name: ``default`` (conf/guard/atoms.yaml), ``strict`` (conf/guard/atoms_strict.yaml) or ``off``.

    Raises:
        BadInput: there is no guard of that name, or its config is wrong.

    Example:
        >>> guard("default").policy["overlap"].name, guard("off").active
        ('REFUSE', False)
    """
    if name not in GUARDS:
        raise BadInput(f"no guard is called {name!r}", field="guard", fix=f"use one of {', '.join(GUARDS)}")
    if name == "off":
        return Guard("off", active=False)
    files = ["atoms", *(["atoms_strict"] if name == "strict" else [])]
    limits: dict[str, Any] = {}
    for file in files:
        limits |= guard_file(file).get("limits") or {}
    return Guard(name, shipped_policy(CHECKS, *files), Limits.read(limits))
