"""The Zarr v3 codec ``sciai.radar``: what makes ``xarray.open_datatree("out.zarr", engine="zarr")`` work.

Registered by the entry point group ``zarr.codecs``; importing this module loads zarr and numpy, nothing that
decodes.

Zarr gives an array-to-bytes codec only the bytes of the chunk at hand. A plane, however, is decoded with the
help of other planes (its mask at least). Zarr's pipeline takes another path where the codec is alone in it
and can decode partially (`zarr.core.codec_pipeline.BatchedCodecPipeline.read_batch`): then the codec receives
the chunk's `zarr.storage.StorePath`, and can read beside it. That path is used here.

Specification: Zarr v3 core, "codecs"; zarr-python 3.1 (`zarr.abc.codec`).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.core.buffer import default_buffer_prototype

from sciai.core.errors import BadInput, DamagedStore

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["RadarCodec"]

_SUFFIX = "_validity"
_pool: ThreadPoolExecutor | None = None
_POOL_LOCK = threading.Lock()


@dataclass(frozen=True)
class RadarCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Serializer of fields, validities and coordinates; needs no configuration, chunks describe themselves.

    Example:
        >>> RadarCodec().to_dict()
        {'name': 'sciai.radar'}
    """

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From the entry in ``zarr.json``; unknown configuration is ignored."""
        return cls()

    def to_dict(self) -> dict[str, Any]:
        """The entry in ``zarr.json``."""
        return {"name": "sciai.radar"}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before coding."""
        raise NotImplementedError

    async def _decode_partial_single(
        self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        store, path = getattr(byte_getter, "store", None), getattr(byte_getter, "path", None)
        if store is None or path is None:  # inside a shard: only the chunk's own bytes are at hand
            data = await byte_getter.get(prototype=chunk_spec.prototype)
            return None if data is None else _select(await self._decode_single(data, chunk_spec), selection)
        loop = asyncio.get_running_loop()

        def fetch(key: str) -> bytes | None:
            got = asyncio.run_coroutine_threadsafe(store.get(key, default_buffer_prototype()), loop).result()
            return None if got is None else bytes(got.to_bytes())

        read = functools.partial(_read_plane, fetch, store, path, chunk_spec)
        plane = await loop.run_in_executor(_readers(), contextvars.copy_context().run, read)
        return _select(chunk_spec.prototype.nd_buffer.from_numpy_array(plane), selection)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        from sciai.radar.api.standalone import decode_standalone

        plane = await asyncio.to_thread(decode_standalone, bytes(chunk_data.to_bytes()))
        _check(plane, chunk_spec, "a chunk")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(plane)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        from sciai.radar.api.standalone import encode_standalone

        data = await asyncio.to_thread(encode_standalone, chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(data)


def _readers() -> ThreadPoolExecutor:
    """Threads that read planes.

    Not the event loop's own: stores fetch keys on those, and readers that wait for them would leave none.
    """
    global _pool
    with _POOL_LOCK:
        if _pool is None:
            _pool = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), "sciai_radar")
        return _pool


def _after_fork() -> None:
    """Threads stay behind in the process that forked."""
    global _pool, _POOL_LOCK
    _pool, _POOL_LOCK = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _read_plane(fetch: Any, store: Any, path: str, chunk_spec: ArraySpec) -> np.ndarray[Any, Any]:
    from sciai.radar.api.planes import PlaneReader
    from sciai.radar.api.standalone import decode_standalone, is_standalone

    array_path = path.rpartition("/")[0]
    *above, sweep, array = ["", "", *array_path.split("/")]
    prefix = "/".join(part for part in above if part)
    label = f"{store}/{prefix}".rstrip("/")
    # a store on disk is named by its path, so that every way of opening it shares the cache
    folder = getattr(store, "root", None)
    root = Path(folder, prefix).resolve() if isinstance(folder, Path) else None
    label = str(root) if root else label
    own = fetch(path)
    if own is not None and is_standalone(own):
        try:
            plane = decode_standalone(own)
        except DamagedStore as err:
            place = path.removeprefix(prefix).strip("/")
            raise DamagedStore(f"{label}: chunk {place} is damaged: {err}") from err
    elif not (sweep.startswith("sweep_") and sweep[6:].isdecimal()):
        raise DamagedStore(f"{label}: {array_path} holds a chunk that belongs below sweep_<number>")
    else:
        seen: dict[str, bytes | None] = {
            path: own
        }  # one read fetches a key once, however many planes look at it

        def beside(key: str) -> bytes | None:
            full = f"{prefix}/{key}" if prefix else key
            if full not in seen:
                seen[full] = fetch(full)
            return seen[full]

        reader = PlaneReader(beside, label, root)
        number = int(sweep[6:])
        if array.endswith(_SUFFIX):
            plane = reader.mask(number, array[: -len(_SUFFIX)])
        else:
            plane = reader.values(number, array)
    _check(plane, chunk_spec, f"{label}: {array_path}")
    return plane


def _check(plane: np.ndarray[Any, Any], chunk_spec: ArraySpec, where: str) -> None:
    wanted = chunk_spec.dtype.to_native_dtype()
    if plane.shape != tuple(chunk_spec.shape) or plane.dtype != wanted:
        raise DamagedStore(
            f"{where} holds {plane.dtype}{plane.shape}, but zarr.json says "
            f"{wanted}{tuple(chunk_spec.shape)}: zarr.json was altered"
        )


def _select(plane: NDBuffer, selection: Any) -> NDBuffer:
    try:
        return plane[selection]
    except IndexError as err:
        raise BadInput(f"the selection {selection} does not fit {plane.shape}") from err
