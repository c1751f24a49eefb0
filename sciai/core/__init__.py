"""What every answer and every training run is made of; knows no domain.

Importing this package loads neither torch nor Lightning: names are fetched where they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.core.answer import Answer, Estimate, Finding, Level, Policy, Provenance, Refused, ask
    from sciai.core.checkpoint import Card, Checkpoint
    from sciai.core.data import DataModule, Split, split_by_group
    from sciai.core.errors import BadInput, CheckpointError, DamagedStore, SciaiError
    from sciai.core.lit import Group, Lit
    from sciai.core.run import compose, evaluate, train

_HOME = {
    "answer": ("Answer", "Estimate", "Finding", "Level", "Policy", "Provenance", "Refused", "ask"),
    "checkpoint": ("Card", "Checkpoint"),
    "data": ("DataModule", "Split", "split_by_group"),
    "errors": ("BadInput", "CheckpointError", "DamagedStore", "SciaiError"),
    "lit": ("Group", "Lit"),
    "run": ("compose", "evaluate", "train"),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Answer",
    "BadInput",
    "Card",
    "Checkpoint",
    "CheckpointError",
    "DamagedStore",
    "DataModule",
    "Estimate",
    "Finding",
    "Group",
    "Level",
    "Lit",
    "Policy",
    "Provenance",
    "Refused",
    "SciaiError",
    "Split",
    "ask",
    "compose",
    "evaluate",
    "split_by_group",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
