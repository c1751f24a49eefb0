"""What a volume says of the lossy store it was decoded from, and how that stays with it through files.

A decoded volume looks like any other. Compressed again, its errors add up, and the PSNR told is against the
decoded volume. So decoding appends a line to the root's ``history`` (CF-1.11 section 2.6.2), which CfRadial
keeps, and ODIM_H5 in ``how/comment``; a store without losses leaves none. Trees that a user makes of decoded
fields have lost the root; so in memory each field has the lines too, in its encoding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # Zarr finds the codec by way of this module, and must not pay for xarray by that
    import xarray as xr

__all__ = ["RECORD", "heritage_of", "history_lines", "line_of", "noted", "with_heritage"]

RECORD: Final = "record.json"
"""Beside zarr.json: what was promised and measured, and where the previous volume is."""
_BEGINS: Final = "decoded by sciai.radar from a lossy store: "


def history_lines(attrs: Mapping[Any, Any]) -> list[str]:
    """Lines of ``history`` that tell of lossy stores, the oldest first.

    Example:
        >>> history_lines({"history": "made\\ndecoded by sciai.radar from a lossy store: DBZH 36.0 dB"})
        ['decoded by sciai.radar from a lossy store: DBZH 36.0 dB']
    """
    return [line for line in str(attrs.get("history", "")).splitlines() if line.startswith(_BEGINS)]


def line_of(store: str | os.PathLike[str]) -> str:
    """What the record of a store says of its losses; "" of one without, or where there is no record."""
    try:
        variables = json.loads((Path(store) / RECORD).read_bytes())["variables"]
        lossy = {name: kept for name, kept in sorted(variables.items()) if not kept["lossless"]}
        each = [
            f"{v} {float(k['psnr']):.1f} dB, largest error {float(k['max_error']):.3g}"
            for v, k in lossy.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return _BEGINS + "; ".join(each) if each else ""


def heritage_of(volume: Any) -> list[str]:
    """Lines that tell of the lossy stores a volume came out of, the oldest first.

    Args:
        volume: Tree or dataset as handed over; also one that xarray opened from a store, which has no line
            yet, or one made of decoded fields. Of anything else nothing is known.
    """
    if not hasattr(volume, "attrs") or not hasattr(volume, "encoding"):
        return []
    lines = history_lines(volume.attrs)
    for node in getattr(volume, "subtree", [volume]):
        for variable in node.variables.values():
            lines += [line for line in history_lines(variable.encoding) if line not in lines]
    place = volume.encoding.get("source")
    line = line_of(place) if isinstance(place, str | os.PathLike) else ""
    return lines if not line or line in lines[-1:] else [*lines, line]


def noted(tree: xr.DataTree) -> xr.DataTree:
    """The same tree; the encoding of its fields has the lines of its root from now on."""
    lines = "\n".join(history_lines(tree.attrs))
    for node in tree.subtree if lines else ():
        for variable in node.variables.values():
            if variable.ndim == 2:
                variable.encoding["history"] = lines
    return tree


def with_heritage(tree: xr.DataTree, lines: Sequence[str]) -> xr.DataTree:
    """The tree, or a shallow copy of it whose ``history`` has those of the lines that it lacks."""
    lacking = [line for line in lines if line not in history_lines(tree.attrs)]
    if not lacking:
        return tree
    marked = tree.copy(deep=False)
    marked.attrs["history"] = "\n".join([*str(tree.attrs.get("history", "")).splitlines(), *lacking])
    return marked
