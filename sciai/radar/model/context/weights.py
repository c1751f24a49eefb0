"""Weights of the context codec: their shapes and limits, and how they become bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import CheckpointError
from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.order import CLASSES
from sciai.radar.model.context.values import HIDDEN

__all__ = ["checked", "from_bytes", "to_bytes"]

_WEIGHT_MOST, _BIAS_MOST = 8191, 2**28  # 48 products of 2048 and a weight, and a bias: below 2^31
_MAGIC = b"SCM2"
_LAYOUT: Final = (
    ("w1", (HIDDEN, FEATURES), "<i2"),
    ("w2", (HIDDEN, HIDDEN), "<i2"),
    ("w3", (HIDDEN, HIDDEN), "<i2"),
    ("b1", (len(CLASSES), HIDDEN), "<i4"),
    ("b2", (len(CLASSES), HIDDEN), "<i4"),
    ("b3", (len(CLASSES), HIDDEN), "<i4"),
)


def checked(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int32]]:
    """The arrays as int32.

    Raises:
        CheckpointError: where one is absent, of another shape, or so large that sums would not be exact.
    """
    for key, shape, _ in _LAYOUT:
        if key not in arrays or tuple(arrays[key].shape) != shape:
            raise CheckpointError(
                f"the context model has no array {key} of shape {shape}: not one of this version"
            )
        most = _WEIGHT_MOST if key.startswith("w") else _BIAS_MOST
        if arrays[key].dtype.kind != "i" or not -most <= arrays[key].min() <= arrays[key].max() <= most:
            raise CheckpointError(
                f"the context model's {key} is not integers up to {most}: its sums would not be exact"
            )
    return {k: np.ascontiguousarray(arrays[k], np.int32) for k, _, _ in _LAYOUT}


def from_bytes(model: bytes) -> dict[str, NDArray[Any]]:
    """The inverse of `to_bytes`.

    Raises:
        CheckpointError: where the bytes are not a context model.
    """
    size = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for _, shape, kind in _LAYOUT)
    if model[:4] != _MAGIC or len(model) != 8 + size:
        raise CheckpointError("these bytes are no context model, or one of another version")
    if struct.unpack_from("<I", model, 4)[0] != zlib.crc32(model[8:]):
        raise CheckpointError("the context model is damaged: its checksum differs")
    at, arrays = 8, {}
    for key, shape, kind in _LAYOUT:
        count = int(np.prod(shape))
        arrays[key] = np.frombuffer(model, kind, count, at).reshape(shape).astype(np.int32)
        at += count * np.dtype(kind).itemsize
    return arrays


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Magic, CRC-32, weights, biases: four kilobytes."""
    body = b"".join(arrays[key].astype(kind).tobytes() for key, _, kind in _LAYOUT)
    return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body
