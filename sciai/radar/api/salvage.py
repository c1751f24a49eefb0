"""What is left of a store whose coordinates are damaged: the same store without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from sciai.core.errors import DamagedStore
from sciai.radar.api.planes import array_of, file_fetcher
from sciai.radar.api.standalone import decode_standalone

__all__ = ["without_damaged_coordinates"]


def without_damaged_coordinates(path: Path) -> tuple[MemoryStore | Path, list[str]]:
    """A store to open instead, and what it leaves out; the store itself where every coordinate is whole.

    Fields are not looked at: whoever reads them finds out, and they are read from the store itself.

    Args:
        path: a store whose ``zarr.json`` is the one that was written (`check_store`).
    """
    fetch = file_fetcher(path)
    document = json.loads(fetch("zarr.json") or b"")
    nodes: dict[str, Any] = document["consolidated_metadata"]["metadata"]
    held, losses = {}, []
    for key in [k for k, node in nodes.items() if node["node_type"] == "array" and not _is_field(k, nodes)]:
        chunk = f"{key}/{'.'.join('0' * len(nodes[key]['shape'])) or '0'}"
        try:
            data = fetch(chunk)
            if nodes[key]["codecs"][0]["name"] == "sciai.radar":
                decode_standalone(data or b"")
        except DamagedStore as err:
            losses.append(f"{path}: chunk {chunk} is damaged: {err}; {key} is left out")
            _leave_out(key, nodes, document)
            continue
        if data is not None:
            held[chunk] = data
    if not losses:
        return path, []
    held["zarr.json"] = json.dumps(document).encode()
    buffer = default_buffer_prototype().buffer
    return MemoryStore({key: buffer.from_bytes(data) for key, data in held.items()}), losses


def _is_field(key: str, nodes: dict[str, Any]) -> bool:
    suffix = array_of("", "mask")
    return array_of(key, "mask") in nodes or (key.endswith(suffix) and key.removesuffix(suffix) in nodes)


def _leave_out(key: str, nodes: dict[str, Any], document: dict[str, Any]) -> None:
    """Take an array out of the metadata, and out of its group's list of coordinates."""
    del nodes[key]
    group, _, name = key.rpartition("/")
    attributes = (nodes[group] if group else document).get("attributes", {})
    left = [other for other in str(attributes.pop("coordinates", "")).split() if other != name]
    if left:
        attributes["coordinates"] = " ".join(left)
