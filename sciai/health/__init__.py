"""The virtual human: one joint distribution over a body, asked any question.

Everything heavy is loaded on first use (PEP 562), so that ``import sciai.health`` stays instant and brings
neither torch nor a sibling domain with it.

Example:
    >>> from sciai.health import VirtualHuman
    >>> me = VirtualHuman.load().given(age=64, sex="male", rx_bp=True)
    >>> me.ask("sbp")["sbp"].unit
    'mm[Hg]'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.health.api import Person, VirtualHuman
    from sciai.health.data.panels import read_panels

__all__ = ["Person", "VirtualHuman", "read_panels"]

_HOME = {
    "Person": "sciai.health.api",
    "VirtualHuman": "sciai.health.api",
    "read_panels": "sciai.health.data.panels",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
