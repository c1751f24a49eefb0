"""A universal interatomic potential: energies, forces and stresses of molecules, crystals and surfaces.

Everything heavy is loaded on first use (PEP 562), so that ``import sciai.atoms`` stays instant.

Example:
    >>> import sciai.atoms
    >>> "Potential" in dir(sciai.atoms)
    True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.atoms.api import (
        Potential,
        adsorb,
        elastic,
        eos,
        evaluate,
        md,
        neb,
        phonons,
        read,
        relax,
        screen,
        surface,
    )

__all__ = [
    "Potential",
    "adsorb",
    "elastic",
    "eos",
    "evaluate",
    "md",
    "neb",
    "phonons",
    "read",
    "relax",
    "screen",
    "surface",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("sciai.atoms.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
