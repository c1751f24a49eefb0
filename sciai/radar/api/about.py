"""`info`: what a store says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from sciai.radar.api.planes import array_of
from sciai.radar.api.sizes import bytes_of, parts_of, sizes_of, weights_of
from sciai.radar.api.store import check_store, is_intact
from sciai.radar.data.arguments import path_of

__all__ = ["info"]


def info(store: str | os.PathLike[str]) -> dict[str, Any]:
    """What a store says of itself, without decoding anything.

    Returns:
        path, sweeps, variables (name -> codec, psnr, max_error, bounds, bits_per_value, mask_bits_per_value),
        gates, bits_per_value, total_bits_per_value, bytes by kind, interval_s, models, previous, intact
        (whether every file still has its checksum), attributes.

    Raises:
        BadInput: there is no store.
        DamagedStore: ``zarr.json`` or the record was altered.
    """
    path = path_of(store, "store", "out.zarr")
    record = check_store(path)
    sizes = sizes_of(path)
    weights = weights_of(path, sizes)
    # not through xarray, which reads coordinates: what a store says of itself stands when one is damaged
    document = json.loads((path / "zarr.json").read_bytes())
    sweeps, shapes = _arrays(document["consolidated_metadata"]["metadata"])
    attrs = {k: v for k, v in document.get("attributes", {}).items() if k != "coordinates"}
    gates = sum(rays * count for rays, count in shapes.values())
    variables = {}
    for var, kept in record["variables"].items():
        own = sum(rays * count for (n, v), (rays, count) in shapes.items() if v == var)
        values, masks = bytes_of(weights, var)
        variables[var] = {
            **kept,
            "bits_per_value": 8 * values / max(1, own),
            "mask_bits_per_value": 8 * masks / max(1, own),
        }
    parts = parts_of(weights, record["variables"])
    return {
        "path": str(path),
        "sweeps": len(sweeps),
        "shapes": {n: list(next((s for (m, _), s in shapes.items() if m == n), ())) for n in sweeps},
        "variables": variables,
        "gates": gates,
        "bits_per_value": 8 * parts["fields"] / max(1, gates),
        "total_bits_per_value": 8 * sum(parts.values()) / max(1, gates),
        "bytes": parts,
        "interval_s": record.get("interval_s"),
        "models": record.get("models", {}),
        "previous": (record.get("previous") or {}).get("path"),
        "intact": is_intact(path, sizes, record),
        "attributes": attrs,
    }


def _arrays(nodes: Mapping[str, Any]) -> tuple[list[str], dict[tuple[str, str], tuple[int, int]]]:
    """Names of the sweeps, and (sweep, field) -> rays, gates."""
    sweeps = [n for n, node in nodes.items() if n.startswith("sweep_") and node["node_type"] == "group"]
    shapes = {}
    for path, node in nodes.items():
        sweep, _, var = path.partition("/")
        if sweep in sweeps and f"{sweep}/{array_of(var, 'mask')}" in nodes:
            rays, gates = node["shape"]
            shapes[sweep, var] = (int(rays), int(gates))
    return [s for s in sweeps if s[6:].isdecimal()], shapes
