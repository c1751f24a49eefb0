"""What a store says once and its chunks need not repeat: shapes and names, models, quantisers.

Shapes and names of fields are in the consolidated ``zarr.json`` anyway. Models and quantisers are in
``quantisers.json`` beside it: a quantiser takes some fifty bytes, a sweep's plane hundreds to thousands.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sciai.core.errors import DamagedStore
from sciai.radar.api.chunk import Said, names_hash, pack_spec, unpack_spec
from sciai.radar.model.interface import QuantSpec

__all__ = ["QUANTISERS", "Table", "quantiser_bytes", "quantisers_document", "read_table"]

QUANTISERS: Final = "quantisers.json"
"""Beside zarr.json: codec -> model, variable -> codec -> quantiser."""


@dataclass(frozen=True)
class Table:
    """What is said of all arrays of a store.

    Attributes:
        names: Number of a sweep -> names of its fields, sorted.
        shapes: Path of an array -> its shape.
        models: Codec -> first 16 hex digits of its model's SHA-256.
        specs: Variable -> codec -> quantiser.
    """

    names: Mapping[int, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    models: Mapping[str, str] = field(default_factory=dict)
    specs: Mapping[str, Mapping[str, QuantSpec]] = field(default_factory=dict)

    def said(self, sweep: int, var: str, place: str) -> Said:
        """What is said of one array.

        Raises:
            DamagedStore: where the store knows no such array.
        """
        shape = self.shapes.get(place, ())
        if len(shape) != 2 or not all(0 <= n < 1 << 32 for n in shape):
            raise DamagedStore("zarr.json says nothing of it (zarr.json altered)")
        names = names_hash(self.names.get(sweep, ()))
        return Said((shape[0], shape[1]), names, self.models, self.specs.get(var, {}))


def quantisers_document(
    models: Mapping[str, str], specs: Mapping[str, Mapping[str, QuantSpec]]
) -> tuple[bytes, dict[str, int]]:
    """The bytes of ``quantisers.json``, and how many of them each variable takes.

    Example:
        >>> document, sizes = quantisers_document({}, {"ZDR": {"plain": QuantSpec(0.5, 0.0)}})
        >>> document.decode(), sizes
        ('{"models":{},"quantisers":{"ZDR":{"plain":"AAAAAD8AAAAA"}}}', {'ZDR': 31})
    """
    entries = {
        var: {name: base64.b64encode(pack_spec(spec)).decode() for name, spec in those.items()}
        for var, those in specs.items()
    }
    sizes = {var: len(_compact({var: those})) - 1 for var, those in entries.items()}
    return _compact({"models": dict(models), "quantisers": entries}), sizes


def quantiser_bytes(fetch: Callable[[str], bytes | None]) -> dict[str, int]:
    """How many bytes of ``quantisers.json`` each variable takes; empty where there is none to be read."""
    try:
        entries = json.loads(fetch(QUANTISERS) or b"")["quantisers"]
        return {str(var): len(_compact({var: those})) - 1 for var, those in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def read_table(fetch: Callable[[str], bytes | None], label: str) -> Table:
    """What a store says once.

    Raises:
        DamagedStore: where ``zarr.json`` or ``quantisers.json`` cannot be read.
    """
    try:
        nodes = json.loads(fetch("zarr.json") or b"")["consolidated_metadata"]["metadata"]
        shapes = {
            path: tuple(int(n) for n in node["shape"]) for path, node in nodes.items() if "shape" in node
        }
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise DamagedStore(f"{label}: zarr.json is absent or altered") from err
    fields: dict[int, list[str]] = {}
    for path in nodes:
        sweep, _, array = path.partition("/")
        if array.endswith("_validity") and f"{sweep}/{array[:-9]}" in nodes and sweep[6:].isdecimal():
            fields.setdefault(int(sweep[6:]), []).append(array[:-9])
    names = {number: tuple(sorted(found)) for number, found in fields.items()}
    raw = fetch(QUANTISERS)
    if raw is None:  # a store whose chunks say everything themselves
        return Table(names, shapes)
    try:
        said = json.loads(raw)
        models = {str(name): str(key) for name, key in said["models"].items()}
        specs = {var: dict(_specs(those)) for var, those in said["quantisers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as err:
        raise DamagedStore(f"{label}: {QUANTISERS} was altered ({err})") from err
    return Table(names, shapes, models, specs)


def _specs(those: Mapping[str, str]) -> Iterator[tuple[str, QuantSpec]]:
    for name, text in those.items():
        packed = base64.b64decode(text, validate=True)
        try:
            yield name, unpack_spec(packed, 0)[0]
        except Exception as err:  # struct.error and whatever a wrong byte leads to
            raise ValueError(f"a quantiser that cannot be read: {err}") from err


def _compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
