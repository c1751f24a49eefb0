"""A check that the compiled coder is this version's, and the settings that a stream depends on."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import CheckpointError
from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.mask import code_mask
from sciai.radar.model.context.order import NONE8, NONE32
from sciai.radar.model.context.tables import compander, rates, squash, stretch
from sciai.radar.model.context.values import HIDDEN, code_values

__all__ = ["MASK_PACE", "MIXER_PACE", "check_compiled", "costs"]

MIXER_PACE: Final = 17
"""Shift of the mixer's learning step for values."""
MASK_PACE: Final = 15
"""The same for masks."""
_KNOWN_ANSWER: Final = 0x22A9052A  # of `check_compiled`; changes only with the format of the streams


@cache
def check_compiled() -> None:
    """Code a known plane and mask with the compiled functions and compare.

    numba keeps machine code and takes it for current while a source file's date and size are the same. Code
    of another version would write streams that nobody else can read; it is found out here, once per process.
    """
    y, x = np.mgrid[0:24, 0:40]
    mask = ((x * x + 3 * y * x + y * y) % 11 > 7).astype(np.uint8) * np.uint8(2)
    mask[(x + y) % 13 == 0] = 1
    plane = np.where(mask == 0, (x // 5 + y // 7 + (x * y) % 3), 0).astype(np.int32)
    tables = (compander(), squash(), stretch(), rates())
    square, bias = np.zeros((HIDDEN, HIDDEN), np.int32), np.zeros(HIDDEN, np.int32)
    net = (np.ones((HIDDEN, FEATURES), np.int32), bias, square + 300, bias, square - 200, bias)
    data = np.zeros(8192, np.uint8)
    none = (NONE32, NONE8, NONE32, NONE8)
    free = np.float32(0), np.float32(np.inf)
    size = code_values(
        plane,
        mask,
        np.zeros((0, 0), np.float32),
        *free,
        0,
        20,
        0,
        *none,
        net,
        tables,
        costs(),
        MIXER_PACE,
        data,
        False,
    )
    found = zlib.crc32(data[: int(size)].tobytes())
    data[:] = 0
    size = code_mask(mask, NONE8, NONE8, NONE8, tables[1:], MASK_PACE, data, False)
    found = zlib.crc32(data[: int(size)].tobytes(), found)
    if found != _KNOWN_ANSWER:
        raise CheckpointError(
            f"the compiled coder gives {found:#010x} where this version gives {_KNOWN_ANSWER:#010x}: machine "
            "code of another version is in numba's cache; delete the __pycache__ folder of "
            "sciai/radar/model/context, or set NUMBA_CACHE_DIR to an empty folder"
        )


_COSTS: list[NDArray[np.float32]] = []


def costs() -> NDArray[np.float32]:
    """Bits by logit; only the encoder's choice of indices depends on it, so floats will do."""
    if not _COSTS:
        x = np.arange(-2816, 2817) / 256
        _COSTS.append(np.log2(1 + np.exp(-x)).astype(np.float32))
    return _COSTS[0]
