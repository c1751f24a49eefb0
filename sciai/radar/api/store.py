"""What a store holds beside its fields, and the record that ties everything together."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import xarray as xr

from sciai.core.errors import BadInput, DamagedStore
from sciai.radar.api import layout
from sciai.radar.api.atomic import FolderWriter
from sciai.radar.api.common import QUANTISERS, quantisers_document
from sciai.radar.api.planes import MODEL_DIR, array_of
from sciai.radar.api.plans import Coded, VariablePlan, models_of
from sciai.radar.api.source import Source
from sciai.radar.data.heritage import RECORD
from sciai.radar.model.registry import model_hash

__all__ = [
    "check_store",
    "digest_of",
    "is_intact",
    "read_record",
    "write_metadata",
    "write_models",
    "write_quantisers",
    "write_record",
]

FORMAT = 4  # 2: what chunks share is said once; 3: a second look in reconstruction; 4: strong echo, lists


def write_metadata(source: Source, writer: FolderWriter) -> tuple[int, int]:
    """Write everything but fields, masks, models and the record.

    Returns:
        Bytes of metadata, bytes of coordinates and other variables.
    """
    nodes: dict[str, layout.Node] = {}
    coordinates = 0
    by_path = {f"/{s.name}": s for s in source.sweeps}
    root_attrs: dict[str, Any] = {}
    for node in source.tree.subtree:
        path = "/" + node.path.removeprefix(source.tree.path).strip("/")
        prefix = path.strip("/")
        sweep = by_path.get(path)
        dataset = node.to_dataset(inherit=False) if sweep is None else sweep.others()
        attrs = _with_coordinates(node.to_dataset(inherit=False))
        if prefix:
            nodes[prefix] = layout.group_node(attrs, prefix)
        else:
            root_attrs = attrs
        if sweep is not None:
            for var in sweep.fields:
                variable = sweep.variable(var)
                validity = sweep.validity_attrs(var)
                with layout.concerning(f"{prefix}/{var}"):
                    nodes[f"{prefix}/{var}"] = layout.field_node(_referring(variable, var))
                nodes[f"{prefix}/{array_of(var, 'mask')}"] = layout.validity_node(
                    variable.dims, variable.shape, validity
                )
        for name, array, chunks in layout.dataset_nodes(dataset):
            key = f"{prefix}/{name}".lstrip("/")
            nodes[key] = array
            for chunk, data in chunks.items():
                writer.write(f"{key}/{chunk}", data)
                coordinates += len(data)
    document = layout.root_document(root_attrs, nodes)
    writer.write("zarr.json", document)
    return len(document), coordinates


def _referring(variable: xr.Variable, var: str) -> xr.Variable:
    """The field with the attribute that points to its companion (CF ancillary variables)."""
    attrs = {
        **variable.attrs,
        "ancillary_variables": variable.attrs.get("ancillary_variables", array_of(var, "mask")),
    }
    return xr.Variable(variable.dims, variable._data, attrs, fastpath=True)


def _with_coordinates(dataset: xr.Dataset) -> dict[Any, Any]:
    """Attributes of the group, with the list of its auxiliary coordinates; reading takes it off again."""
    names = [str(n) for n in dataset.coords if n not in dataset.dims]
    if any(" " in n for n in names):
        raise BadInput(
            "a coordinate whose name has a blank cannot be stored", field=str(names), fix="rename it"
        )
    return {**dataset.attrs, **({"coordinates": " ".join(names)} if names else {})}


def write_models(
    codecs: Mapping[str, Any], writer: FolderWriter, payload: int, embed: bool | None
) -> tuple[int, dict[str, str]]:
    """Put models into the store, or leave them to the installed checkpoint where that holds the very same
    bytes.

    Args:
        codecs: Name -> codec that coded a chunk.
        writer: The store.
        payload: Bytes of values and masks.
        embed: True: always inside; False: never where the installed checkpoint has it; None: inside where it
            costs at most 2 % of the payload.

    Returns:
        Bytes of models inside, codec -> SHA-256.
    """
    from sciai.core.errors import CheckpointError
    from sciai.radar.model.registry import shipped_codec

    inside, hashes = 0, {}
    for name, codec in codecs.items():
        if not codec.model:
            continue
        digest = model_hash(codec.model)
        hashes[name] = digest
        try:
            installed = model_hash(shipped_codec(name).model) == digest
        except CheckpointError:
            installed = False
        wanted = embed if embed is not None else len(codec.model) <= 0.02 * payload
        if wanted or not installed:
            writer.write(f"{MODEL_DIR}/{digest[:16]}", codec.model)
            inside += len(codec.model)
    return inside, hashes


def write_quantisers(
    writer: FolderWriter, plans: Mapping[str, VariablePlan], coded: Mapping[str, Coded] | None = None
) -> int:
    """Write what all chunks of a variable have in common.

    Args:
        writer: The store.
        plans: Variable -> how it is coded.
        coded: What became of each, once all is written: quantisers that no chunk uses are left out, and what
            the others take is added to the bytes of the variable's values.

    Returns:
        Bytes of the file that are of no variable.
    """
    specs = {
        var: {c.name: spec for c, spec in plan.values if coded is None or c.name in coded[var].codecs}
        for var, plan in plans.items()
    }
    document, sizes = quantisers_document(models_of(plans), {v: those for v, those in specs.items() if those})
    writer.write(QUANTISERS, document)
    for var, size in sizes.items():
        if coded is not None:
            coded[var].value_bytes += size
    return len(document) - sum(sizes.values())


def write_record(writer: FolderWriter, content: Mapping[str, Any], *, newer: bool = True) -> int:
    """Write the record, last of all: `content`, and digests of ``zarr.json``, of all files and of itself.

    Args:
        writer: The store.
        content: What else it keeps.
        newer: Whether a chunk needs format 4; else readers of format 3 can read the store.
    """
    digest = digest_of(sorted(writer.sizes), lambda key: writer.read(key))
    record = {
        "format": FORMAT if newer else FORMAT - 1,
        "zarr": hashlib.sha256(writer.read("zarr.json")).hexdigest(),
        "files": digest,
        **content,
    }
    data = _dumped({**record, "record": _digest_of_record(record)})
    writer.write(RECORD, data)
    return len(data)


def _dumped(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _digest_of_record(record: Mapping[str, Any]) -> str:
    """SHA-256 of all that a record says, but for this digest."""
    return hashlib.sha256(_dumped({k: v for k, v in record.items() if k != "record"})).hexdigest()


def digest_of(keys: list[str], read: Callable[[str], bytes]) -> str:
    """SHA-256 over the names and checksums of files, the record left out."""
    total = hashlib.sha256()
    for key in keys:
        if key != RECORD:
            total.update(f"{key} {zlib.crc32(read(key)):08x}\n".encode())
    return total.hexdigest()


def is_intact(path: Path, sizes: Mapping[str, int], record: Mapping[str, Any]) -> bool:
    """Whether every file of a store still has its checksum; files that are not of the store do not count.

    Args:
        path: the store, its ``zarr.json`` being the one that was written (`check_store`).
        sizes: its files by key.
        record: its record.
    """
    nodes = json.loads((path / "zarr.json").read_bytes())["consolidated_metadata"]["metadata"]
    own = [
        key
        for key in sorted(sizes)
        if key in ("zarr.json", QUANTISERS)
        or key.startswith(f"{MODEL_DIR}/")
        or key.rpartition("/")[0] in nodes
    ]
    try:
        return digest_of(own, lambda key: (path / key).read_bytes()) == record.get("files")
    except OSError:
        return False


def read_record(store: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of a store.

    Raises:
        BadInput: where there is no store.
        DamagedStore: where the record is absent or unreadable.
    """
    path = Path(store)
    if not path.exists():
        raise BadInput("no such store", file=path, fix="check the path")
    if not path.is_dir() or not (path / "zarr.json").is_file():
        if (path / RECORD).is_file():
            raise DamagedStore(f"{path}: zarr.json is gone")
        fix = "unzip it, and give the folder" if is_zipfile(path) else "give the folder that compress wrote"
        raise BadInput("this is not a store", file=path, fix=fix)
    try:
        record = json.loads((path / RECORD).read_bytes())
        if not isinstance(record, dict) or not isinstance(record["variables"], dict):
            raise TypeError("no list of variables")
        if int(record["format"]) > FORMAT:
            raise DamagedStore(f"{path}: written by a newer sciai (format {record['format']}); update sciai")
        if record.get("record", "") not in ("", _digest_of_record(record)):  # older stores have none
            raise ValueError("it does not have its checksum")
    except FileNotFoundError:
        raise BadInput(
            f"a Zarr store without {RECORD}",
            file=path,
            fix="only stores that sciai wrote can be decoded here; open it with xarray",
        ) from None
    except OSError as err:
        raise _unreadable(err, path / RECORD) from err
    except (ValueError, KeyError, TypeError) as err:
        raise DamagedStore(f"{path}: {RECORD} was altered ({err}); restore it from a copy") from err
    return record


def _unreadable(err: OSError, file: Path) -> BadInput:
    return BadInput(f"cannot read the store: {err.strerror or err}", file=file, fix="check its permissions")


def check_store(store: str | os.PathLike[str]) -> dict[str, Any]:
    """The record, after making sure that ``zarr.json`` is the one that was written.

    Raises:
        BadInput, DamagedStore: see `read_record`.
    """
    record = read_record(store)
    document = Path(store) / "zarr.json"
    try:
        digest = hashlib.sha256(document.read_bytes()).hexdigest()
    except OSError as err:
        raise _unreadable(err, document) from err
    if digest != record.get("zarr"):
        raise DamagedStore(
            f"{store}: zarr.json was altered since it was written; restore it from a copy "
            "(xarray may still read the store, at your own risk)"
        )
    return record
