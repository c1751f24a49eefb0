"""Reading planes of a store: chunk -> mask, indices, values, with whatever other planes that needs.

One synchronous implementation serves the Zarr codec (which hands in a function that fetches a key of its
store) and `decompress` (which reads files). Decoded planes are kept in one bounded cache, keyed by place,
checksum and the store's record, so that a store rewritten at the same path is never answered from the old
one's planes. (The checksum alone does not tell: a mask that is coded as "the same as DBZH's" has the same
bytes in both.)
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

import numpy as np

from sciai.core.errors import CheckpointError, DamagedStore, SciaiError
from sciai.radar.api import chunk as chunks
from sciai.radar.api.cache import PlaneCache
from sciai.radar.api.common import Table, read_table
from sciai.radar.api.stored import StoredSweep
from sciai.radar.api.strong import corrected
from sciai.radar.data.heritage import RECORD
from sciai.radar.model.interface import F32, I32, U8, Kind, QuantSpec, SweepCodec
from sciai.radar.model.registry import load_codec, model_hash, shipped_codec

__all__ = [
    "CHUNK",
    "MODEL_DIR",
    "PlaneReader",
    "array_of",
    "file_fetcher",
    "forget_planes",
]

MODEL_DIR: Final = "model"
"""Beside zarr.json: one file per model that travels inside, named by its SHA-256."""
CHUNK: Final = "0.0"
"""Key of the one chunk of a plane below its array: Zarr's v2 chunk keys need no folders of their own."""
CACHE_BYTES: Final = 160 << 20

Fetch = Callable[[str], bytes | None]


def array_of(var: str, kind: Kind) -> str:
    """Name of the array that holds a plane.

    Example:
        >>> array_of("ZDR", "mask")
        'ZDR_validity'
    """
    return f"{var}_validity" if kind == "mask" else var


def file_fetcher(root: str | os.PathLike[str]) -> Fetch:
    """A function that reads a key below a folder; None where there is no such file.

    It raises `DamagedStore` where there is one that cannot be read.
    """
    base = Path(root)

    def fetch(key: str) -> bytes | None:
        try:
            return (base / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as err:
            raise DamagedStore(f"{base / key}: cannot be read: {err.strerror or err}") from err

    return fetch


_CACHE = PlaneCache(CACHE_BYTES)
_COUNTER = itertools.count()
_CODECS: dict[tuple[str, str], SweepCodec] = {}
_TABLES: dict[str, Table] = {}
_LOCK = threading.RLock()


def forget_planes() -> None:
    """Empty the caches of decoded planes, models and field names (tests, and after deleting a store)."""
    with _LOCK:
        _CACHE.clear()
        _CODECS.clear()
        _TABLES.clear()


class PlaneReader:
    """Planes of one store.

    Args:
        fetch: Gives the bytes of a key relative to the store's root, None where there is none.
        label: The store as messages name it, and as the cache tells it from others.
        root: The store's folder where it has one; needed only to find the previous volume.
        codecs: (name, first 16 digits of the model's hash) -> codec, for a store that is still being written.
        previous: Reader of the previous volume, for a store that is still being written.
    """

    def __init__(
        self,
        fetch: Fetch,
        label: str,
        root: Path | None = None,
        codecs: Mapping[tuple[str, str], SweepCodec] | None = None,
        previous: PlaneReader | None = None,
    ) -> None:
        self.codecs = dict(codecs or {})
        self.fetch = fetch
        self.label = label
        self.root = root
        self._previous: PlaneReader | None = previous
        self._version = ""

    @classmethod
    def of_folder(
        cls,
        root: str | os.PathLike[str],
        codecs: Mapping[tuple[str, str], SweepCodec] | None = None,
        previous: PlaneReader | None = None,
    ) -> PlaneReader:
        """A reader of a store in a folder."""
        path = Path(root).resolve()
        return cls(file_fetcher(path), str(path), path, codecs, previous)

    def chunk(self, sweep: int, var: str, kind: Kind) -> chunks.Chunk:
        """Fetch and check one chunk.

        Raises:
            DamagedStore: where it is absent or altered; names store, sweep, variable and chunk.
        """
        place = f"sweep_{sweep}/{array_of(var, kind)}"
        data = self.fetch(f"{place}/{CHUNK}")
        if data is None:
            raise DamagedStore(self._say(sweep, var, kind, "the chunk is not there"))
        with _LOCK:
            known = _TABLES.get(self.label)
        try:
            try:
                found = chunks.unpack(data, place, lambda: (known or self._table()).said(sweep, var, place))
            except DamagedStore:
                if known is None:
                    raise
                # what is remembered may be of a store that was there before, at the same path
                found = chunks.unpack(data, place, lambda: self._table().said(sweep, var, place))
        except DamagedStore as err:
            raise DamagedStore(self._say(sweep, var, kind, str(err))) from err
        if found.kind != kind:
            raise DamagedStore(self._say(sweep, var, kind, f"it holds {found.kind}"))
        return found

    def mask(self, sweep: int, var: str) -> U8:
        """The ternary mask, ``[rays, gates]``, read-only."""
        found = self.chunk(sweep, var, "mask")

        def decode() -> U8:
            codec = self._codec(found)
            view = StoredSweep(self, sweep, var, found)
            plane = self._guard(sweep, var, "mask", lambda: codec.decode_mask(var, found.payload, view))
            return self._shaped(plane, np.uint8, sweep, var, found)

        return cast(U8, _CACHE.get((self.label, self.version, sweep, var, "mask", found.crc), decode))

    def indices(self, sweep: int, var: str, found: chunks.Chunk | None = None) -> I32:
        """Quantised indices, ``[rays, gates]``, read-only."""
        found = found or self.chunk(sweep, var, "values")

        def decode() -> I32:
            codec, spec = self._codec(found), found.spec or QuantSpec(0.0, 0.0)
            view = StoredSweep(self, sweep, var, found)
            validity = self._needs_mask(sweep, var)
            plane = self._guard(
                sweep,
                var,
                "values",
                lambda: codec.decode_indices(var, found.payload, validity, spec, view),
            )
            return self._shaped(plane, np.int32, sweep, var, found)

        return cast(I32, _CACHE.get((self.label, self.version, sweep, var, "values", found.crc), decode))

    def values(self, sweep: int, var: str) -> F32:
        """Values, ``[rays, gates]``, NaN where invalid; the caller's own copy."""
        found = self.chunk(sweep, var, "values")
        indices, validity = self.indices(sweep, var, found), self._needs_mask(sweep, var)
        codec, spec = self._codec(found), found.spec or QuantSpec(0.0, 0.0)
        view = StoredSweep(self, sweep, var, found)
        plane = self._guard(
            sweep,
            var,
            "values",
            lambda: corrected(codec.reconstruct(var, indices, validity, spec, view), validity, found.side),
        )
        return cast(F32, self._shaped(plane, np.float32, sweep, var, found))

    def holds(self, sweep: int, var: str, kind: Kind) -> bool:
        """Whether a plane (mask or indices) is in memory, decoded."""
        crc = self.chunk(sweep, var, kind).crc
        return _CACHE.holds((self.label, self.version, sweep, var, kind, crc))

    def coded_with(self, sweep: int, var: str, kind: Kind) -> list[tuple[str, Kind]]:
        """A plane, and the planes of its own sweep that it may have been coded with, in order of decoding."""
        found = self.chunk(sweep, var, kind)
        codec, names = self._codec(found), self.names(sweep, found.names)
        needed: dict[tuple[str, Kind], None] = {}

        def add(plane: tuple[str, Kind]) -> None:
            for other, its, where in codec.depends(*plane, names):
                if where == "here" and (other, its) not in needed:
                    add((other, its))
            needed[plane] = None

        add((var, kind))
        return list(needed)

    def names(self, sweep: int, check: int) -> tuple[str, ...]:
        """Fields of a sweep, sorted; `check` (`names_hash`) tells whether a cached list is it."""
        with _LOCK:
            known = _TABLES.get(self.label)
        found = known.names.get(sweep, ()) if known is not None else ()
        if known is None or chunks.names_hash(found) != check:
            found = self._table().names.get(sweep, ())
        if chunks.names_hash(found) != check:
            raise DamagedStore(
                f"{self.label}: zarr.json lists other fields of sweep_{sweep} than were stored"
            )
        return found

    def _table(self) -> Table:
        """What the store says once, as it is now."""
        table = read_table(self.fetch, self.label)
        with _LOCK:
            if len(_TABLES) > 64:
                _TABLES.clear()
            _TABLES[self.label] = table
        return table

    def previous(self) -> PlaneReader:
        """The reader of the previous volume, checked to be the one that was coded against.

        Raises:
            DamagedStore: where it is gone or altered.
        """
        if self._previous is None:
            try:
                link = json.loads(self.fetch(RECORD) or b"")["previous"]
                path, digest = str(link["path"]), str(link["hash"])
            except (ValueError, KeyError, TypeError) as err:
                raise DamagedStore(
                    f"{self.label}: {RECORD} does not say where the previous volume is"
                ) from err
            if self.root is None:
                raise DamagedStore(
                    f"{self.label}: it was coded against the previous volume {path}, only found from "
                    "a store in a folder; copy both stores to disk and read them there"
                )
            reader = PlaneReader.of_folder(self.root / path)
            found = reader.identity()
            if not found:
                raise DamagedStore(
                    f"{self.label}: coded against the previous volume {path}, which is gone: put it back at "
                    f"{reader.label}"
                )
            if found != digest:
                raise DamagedStore(
                    f"{self.label}: the previous volume {path} was altered or replaced since this was coded"
                )
            self._previous = reader
        return self._previous

    def chain(self) -> list[Path]:
        """Folders of this store and of those that it needs, the nearest first, as far as they are there."""
        found: list[Path] = []
        reader: PlaneReader | None = self
        while reader is not None and reader.root is not None and reader.root not in found:
            found.append(reader.root)
            try:
                link = json.loads(reader.fetch(RECORD) or b"").get("previous")
                reader = PlaneReader.of_folder(reader.root / link["path"]) if link else None
            except (ValueError, KeyError, TypeError, AttributeError):
                reader = None
        return found

    @property
    def version(self) -> str:
        """What tells this store from another one at the same place; without a record only this reader knows.

        A store that is being written has none: its planes change between passes.
        """
        if not self._version:
            self._version = self.identity() or f"reader {next(_COUNTER)}"
        return self._version

    def identity(self) -> str:
        """SHA-256 of the record, which holds the digest of every file; "" where there is none."""
        record = self.fetch(RECORD)
        return model_hash(record) if record else ""

    def _codec(self, found: chunks.Chunk) -> SweepCodec:
        key = (found.codec, found.model)
        if key in self.codecs:
            return self.codecs[key]
        with _LOCK:
            if key in _CODECS:
                return _CODECS[key]
            codec = self._load(found)
            _CODECS[key] = codec
            return codec

    def _load(self, found: chunks.Chunk) -> SweepCodec:
        if not found.model:
            return shipped_codec(found.codec)
        inside = self.fetch(f"{MODEL_DIR}/{found.model}")
        if inside is not None:
            if not model_hash(inside).startswith(found.model):
                raise CheckpointError(f"{self.label}: the model {found.model} inside the store was altered")
            return load_codec(found.codec, inside)
        try:
            shipped = shipped_codec(found.codec)
        except CheckpointError as err:
            raise CheckpointError(
                f"{self.label}: the model {found.model} is neither inside the store nor installed ({err})"
            ) from err
        if not model_hash(shipped.model).startswith(found.model):
            raise CheckpointError(
                f"{self.label}: it needs the model {found.model}, which is not inside the store, and the "
                f"installed {found.codec} checkpoint is {model_hash(shipped.model)[:16]}; "
                "install the sciai that wrote it"
            )
        return shipped

    def _needs_mask(self, sweep: int, var: str) -> U8:
        return self.mask(sweep, var)

    def _guard(self, sweep: int, var: str, kind: Kind, decode: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            return decode()
        except DamagedStore as err:
            if str(err).startswith((self.label, "sweep_")) or self.label in str(err):
                raise DamagedStore(
                    f"sweep_{sweep}/{array_of(var, kind)} depends on a damaged chunk: {err}"
                ) from err
            raise DamagedStore(self._say(sweep, var, kind, str(err))) from err
        except SciaiError:
            raise
        except Exception as err:  # a codec fed with bytes it did not write may fail in any way
            raise DamagedStore(self._say(sweep, var, kind, f"{type(err).__name__}: {err}")) from err

    def _shaped(
        self, plane: np.ndarray, dtype: type, sweep: int, var: str, found: chunks.Chunk
    ) -> np.ndarray:
        if plane.shape != found.shape or plane.dtype != dtype:
            raise DamagedStore(self._say(sweep, var, found.kind, f"it decodes to {plane.dtype}{plane.shape}"))
        return plane

    def _say(self, sweep: int, var: str, kind: Kind, problem: str) -> str:
        where = f"sweep_{sweep}/{array_of(var, kind)}"
        return f"{self.label}: chunk {where}/{CHUNK} ({kind} of {var} in sweep_{sweep}) is damaged: {problem}"
