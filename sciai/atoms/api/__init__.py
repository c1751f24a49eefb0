"""What a user of the atoms domain imports and calls. Loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.atoms.api.adsorption import adsorb
    from sciai.atoms.api.dynamics import md
    from sciai.atoms.api.elasticity import elastic
    from sciai.atoms.api.equation import eos
    from sciai.atoms.api.evaluation import evaluate
    from sciai.atoms.api.files import read
    from sciai.atoms.api.paths import neb
    from sciai.atoms.api.potential import Potential
    from sciai.atoms.api.relaxation import relax
    from sciai.atoms.api.screening import screen
    from sciai.atoms.api.surfaces import surface
    from sciai.atoms.api.vibrations import phonons

_HOME = {
    "Potential": "potential",
    "adsorb": "adsorption",
    "elastic": "elasticity",
    "eos": "equation",
    "evaluate": "evaluation",
    "md": "dynamics",
    "neb": "paths",
    "phonons": "vibrations",
    "read": "files",
    "relax": "relaxation",
    "screen": "screening",
    "surface": "surfaces",
}

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
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
