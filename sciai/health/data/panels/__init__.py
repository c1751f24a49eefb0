"""Laboratory sheets -> panels: names in two languages, codes, units, dates; nothing dropped silently."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciai.health.data.panels.analytes import Analyte, analyte_of_column, table
    from sciai.health.data.panels.panel import Panel, Reading, Unknown
    from sciai.health.data.panels.person import parse_sex
    from sciai.health.data.panels.reading import read_panels
    from sciai.health.data.panels.units import Quantity, parse_quantity

__all__ = [
    "Analyte",
    "Panel",
    "Quantity",
    "Reading",
    "Unknown",
    "analyte_of_column",
    "parse_quantity",
    "parse_sex",
    "read_panels",
    "table",
]

_HOME = {
    "Analyte": "analytes",
    "analyte_of_column": "analytes",
    "table": "analytes",
    "Panel": "panel",
    "Reading": "panel",
    "Unknown": "panel",
    "parse_sex": "person",
    "read_panels": "reading",
    "Quantity": "units",
    "parse_quantity": "units",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
