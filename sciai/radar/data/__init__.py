"""Radar files and simulated storms -> xarray DataTree in FM301 / CfRadial2 naming, and back.

Lazy (PEP 562): the name conventions and validity flags can be used without importing xarray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.radar.data.archive import fetch
    from sciai.radar.data.cfradial1_write import write_cfradial1
    from sciai.radar.data.odim_write import write_odim
    from sciai.radar.data.pawr_write import write_pawr
    from sciai.radar.data.simulator import simulate
    from sciai.radar.data.volume import open_volume
    from sciai.radar.data.write import write_cfradial2

__all__ = [
    "BASE_URL",
    "FetchFailed",
    "fetch",
    "open_volume",
    "simulate",
    "write_cfradial1",
    "write_cfradial2",
    "write_odim",
    "write_pawr",
]

# No module here has the name of a function: importing such a module would bind it over the function.
_HOME = {
    "BASE_URL": "sciai.radar.data.archive",
    "FetchFailed": "sciai.radar.data.archive",
    "fetch": "sciai.radar.data.archive",
    "open_volume": "sciai.radar.data.volume",
    "simulate": "sciai.radar.data.simulator",
    "write_cfradial1": "sciai.radar.data.cfradial1_write",
    "write_cfradial2": "sciai.radar.data.write",
    "write_odim": "sciai.radar.data.odim_write",
    "write_pawr": "sciai.radar.data.pawr_write",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
