"""Variables of a netCDF-4 file from their compressed chunks, so that several threads can unpack them.

The HDF5 library unpacks one chunk at a time, whatever the number of threads. Here it only tells where the
chunks lie; zlib-ng, in half the time of zlib, unpacks them (HDF5 file format specification 3.0, filters 1
and 2: deflate and shuffle).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

__all__ = ["chunk_reader"]

_DEFLATE, _SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
_MOST = 64  # chunks of a variable: looking each up takes longer, the more there are


def chunk_reader(found: h5py.h5d.DatasetID, data: bytes) -> Callable[[], NDArray[Any]] | None:
    """What gives a whole variable when called, on any thread; None where the library has to read it.

    The result is what the library would give, bit for bit.

    Args:
        found: the variable, in an open file.
        data: that whole file.
    """
    if sys.byteorder != "little":
        return None
    plist = found.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED:
        return None
    dtype, shape, chunk = found.dtype, found.shape, plist.get_chunk()
    if dtype.kind not in "iuf" or not dtype.isnative or dtype.itemsize > 8:
        return None
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if filters not in ([_DEFLATE], [_SHUFFLE, _DEFLATE]):
        return None
    starts = list(product(*(range(0, n, c) for n, c in zip(shape, chunk, strict=True))))
    if not 0 < len(starts) == found.get_num_chunks() <= _MOST:
        return None  # chunks that were never written hold the fill value
    view, pieces = memoryview(data), []
    for i in range(len(starts)):
        info = found.get_chunk_info(i)
        if info.filter_mask:
            return None
        pieces.append((info.chunk_offset, view[info.byte_offset : info.byte_offset + info.size]))

    def read() -> NDArray[Any]:
        out = np.empty(shape, dtype)
        for start, packed in pieces:
            block = _unpacked(packed, chunk, dtype, len(filters) > 1)
            ends = [min(s + c, n) for s, c, n in zip(start, chunk, shape, strict=True)]
            place = tuple(slice(s, e) for s, e in zip(start, ends, strict=True))
            out[place] = block[tuple(slice(0, e - s) for s, e in zip(start, ends, strict=True))]
        return out

    return read


def _unpacked(
    packed: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any], shuffled: bool
) -> NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    try:
        raw = zlib_ng.decompress(packed, bufsize=size)
    except zlib_ng.error as err:  # type: ignore[misc]  # its stub calls the class an instance
        raise OSError(f"a compressed chunk is damaged: {err}") from err
    if len(raw) != size:
        raise OSError("a compressed chunk is cut short")
    if not shuffled or dtype.itemsize == 1:
        return np.frombuffer(raw, dtype).reshape(shape)
    # first the lowest bytes of all elements, then the next ones
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
    whole = np.dtype(f"u{dtype.itemsize}")
    out = planes[0].astype(whole)
    for k in range(1, dtype.itemsize):
        out |= planes[k].astype(whole) << whole.type(8 * k)
    return out.view(dtype).reshape(shape)
