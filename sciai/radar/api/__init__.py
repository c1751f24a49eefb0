"""What a user of the radar domain calls: compress, decompress, verify, info, view.

Lazy (PEP 562): Zarr imports this package to find the codec, and must not pay for xarray or numba by that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.radar.api.about import info
    from sciai.radar.api.reading import decompress, verify
    from sciai.radar.api.report import Compressed, VariableReport
    from sciai.radar.api.writing import compress

__all__ = ["Compressed", "VariableReport", "compress", "decompress", "info", "verify"]

_HOME = {
    "compress": "sciai.radar.api.writing",
    "decompress": "sciai.radar.api.reading",
    "info": "sciai.radar.api.about",
    "verify": "sciai.radar.api.reading",
    "Compressed": "sciai.radar.api.report",
    "VariableReport": "sciai.radar.api.report",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
