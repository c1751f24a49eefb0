"""What training the radar codecs needs: volumes, losses, metrics, export; a module for each codec.

Lazy: importing this package loads none of them. ``conf/domain/radar/*.yaml`` names their functions.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["context", "planes", "transform", "volumes"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
