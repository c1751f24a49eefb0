"""Weather-radar volumes: read, simulate, compress with a guaranteed bound, decompress, verify.

Everything heavy is loaded on first use (PEP 562), so that ``import sciai.radar`` stays instant and does
not bring torch, xarray or a sibling domain with it.

Example:
    >>> import sciai.radar
    >>> volume = sciai.radar.simulate(seed=1, shape=(2, 36, 60))
    >>> sorted(volume.children)
    ['sweep_0', 'sweep_1']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.radar.api import compress, decompress, info, verify
    from sciai.radar.data import fetch, open_volume, simulate

__all__ = ["compress", "decompress", "fetch", "info", "open_volume", "simulate", "verify"]

_HOME = {
    "fetch": "sciai.radar.data",
    "open_volume": "sciai.radar.data",
    "simulate": "sciai.radar.data",
    "compress": "sciai.radar.api",
    "decompress": "sciai.radar.api",
    "info": "sciai.radar.api",
    "verify": "sciai.radar.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
