"""Integer tables of the transform codec and the range coder that runs on them.

Every probability a decoder uses is a row of integers that travels in the checkpoint: latents use one row per
prior and channel (of compressai's entropy bottleneck), residuals one row of a grid of two-sided geometric
distributions with a free zero,

    P(0) = p,    P(+-k) = (1 - p) / 2 * (1 - q) * q^(k - 1),

which is what a Laplace distribution becomes under any uniform quantiser with a dead zone (Sullivan,
"Efficient scalar quantization of exponential and Laplacian random variables", IEEE Trans. Inf. Theory 1996).
The encoder fits (p, q) for each class of residual scale in each plane and sends the row's number where the
default of the class would cost more: that keeps the codec from blowing up on a radar it has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.radar.model.compressai_shim import load_compressai

__all__ = ["P_ZERO", "RATIO", "Tables", "class_statistics", "fit_rows", "geometric_tables", "row_costs"]

I32 = NDArray[np.int32]
F64 = NDArray[np.float64]

# The grid, in 1/65536: P(0) evenly in log-odds, the ratio evenly in the logarithm of the mean magnitude
# beyond 1. Integers, written out: tables made of them are the same on every machine, and need not be stored.
# fmt: off
_P: tuple[int, ...] = (
    1986, 2547, 3259, 4156, 5279, 6673, 8383, 10455, 12922, 15804, 19096, 22760, 26723,
    30877, 35094, 39234, 43170, 46798, 50049, 52889, 55314, 57346, 59021, 60385, 61483, 62359,
    63053, 63601, 64030, 64366, 64628, 64832, 64991, 65114, 65209, 65283, 65340, 65385, 65419,
    65446,
)
_Q: tuple[int, ...] = (
    261, 1285, 3710, 5126, 7022, 9508, 12684, 16607, 21255, 26499, 32099, 37739, 43092,
    47896, 51996, 55345, 57986, 60011, 61530, 62652, 63470, 64061, 64486, 64790,
)
# fmt: on
P_ZERO: F64 = np.array(_P) / 65536.0
RATIO: F64 = np.array(_Q) / 65536.0
ROWS = P_ZERO.size * RATIO.size
MOST = 160  # largest magnitude with a symbol of its own; what lies beyond is escaped


@dataclass(frozen=True)
class Tables:
    """Cumulative frequencies (16 bits) as compressai's rANS coder takes them.

    Attributes:
        cdf: ``[rows, longest]``, padded with zeros.
        length: entries used of each row, ``[rows]``.
        offset: symbol of the first entry of each row, ``[rows]``.
    """

    cdf: I32
    length: I32
    offset: I32

    def encode(self, symbols: I32, rows: I32) -> bytes:
        """Code symbols, each with its row; both ``[n]``. Nothing is coded as nothing."""
        if symbols.size == 0:
            return b""
        at = symbols.astype(np.int64) - self.offset[rows]
        if symbols.size <= 2 and ((at >= 0) & (at < self.length[rows] - 2)).all():
            return self._encode_few(at, rows)
        encoder: Any = load_compressai().ans.RansEncoder()  # type: ignore[attr-defined]
        used, local = np.unique(rows, return_inverse=True)
        return bytes(
            encoder.encode_with_indexes(
                symbols.tolist(), local.ravel().tolist(), *self._lists(used.astype(np.int64))
            )
        )

    def _encode_few(self, at: NDArray[np.int64], rows: I32) -> bytes:
        """The same bytes as compressai's coder, for one or two symbols that are not escaped.

        It keeps one word of 32 bits for each symbol, ends with two, and so wrote beyond its memory: the
        process crashed. Source: F. Giesen, rans64.h.
        """
        state, words = 1 << 31, []
        for entry, row in zip(at[::-1].tolist(), rows[::-1].tolist(), strict=True):
            begin, end = (int(self.cdf[row, k]) for k in (entry, entry + 1))
            if state >= (end - begin) << 47:
                words.append(state & 0xFFFFFFFF)
                state >>= 32
            whole, rest = divmod(state, end - begin)
            state = (whole << 16) + rest + begin
        words += [state >> 32, state & 0xFFFFFFFF]
        return np.array(words[::-1], "<u4").tobytes()

    def bits(self, symbols: I32, rows: I32) -> float:
        """Bits that `encode` takes, but for rounding.

        Example:
            >>> tables = geometric_tables()
            >>> symbols, rows = np.arange(-400, 400, dtype=np.int32), np.full(800, 700, np.int32)
            >>> round(tables.bits(symbols, rows) / (8 * len(tables.encode(symbols, rows))), 2)
            1.0
        """
        if symbols.size == 0:
            return 0.0
        at = symbols.astype(np.int64) - self.offset[rows]
        last = self.length[rows] - 2  # the entry of what has none of its own
        beyond = np.where(at < 0, -2 * at - 1, 2 * (at - last))[(at < 0) | (at >= last)]
        at = np.where((at < 0) | (at > last), last, at)
        shares = (self.cdf[rows, at + 1] - self.cdf[rows, at]) / 65536.0
        # what lies beyond goes in pieces of four bits, their number before them
        escaped = 4.0 * (1 + np.ceil(np.log2(beyond + 1.0) / 4))
        return float(-np.log2(shares).sum() + escaped.sum() + 32.0)

    def decode(self, payload: bytes, rows: I32) -> I32:
        """The inverse of `encode`."""
        if rows.size == 0:
            return np.zeros(0, np.int32)
        decoder: Any = load_compressai().ans.RansDecoder()  # type: ignore[attr-defined]
        used, local = np.unique(rows, return_inverse=True)
        symbols = decoder.decode_with_indexes(
            payload, local.ravel().tolist(), *self._lists(used.astype(np.int64))
        )
        return np.asarray(symbols, dtype=np.int32)

    def _lists(self, rows: NDArray[np.int64]) -> tuple[list[list[int]], list[int], list[int]]:
        # only the rows in use: handing over all of them costs more than coding a small plane
        return (
            [self.cdf[r, : self.length[r]].tolist() for r in rows],
            self.length[rows].tolist(),
            self.offset[rows].tolist(),
        )


def geometric_tables() -> Tables:
    """The grid of residual distributions; row = index of P(0) * RATIO.size + index of the ratio.

    Example:
        >>> tables = geometric_tables()
        >>> symbols, rows = np.array([0, -3, 500], np.int32), np.array([5, 600, 7], np.int32)
        >>> tables.decode(tables.encode(symbols, rows), rows).tolist()
        [0, -3, 500]
    """
    rows = [_cumulative(p, q) for p in _P for q in _Q]
    longest = max(map(len, rows))
    cdf = np.zeros((len(rows), longest), np.int32)
    for i, row in enumerate(rows):
        cdf[i, : len(row)] = row
    length = np.array([len(r) for r in rows], np.int32)
    return Tables(cdf, length, (-((length - 3) // 2)).astype(np.int32))


def _cumulative(p: int, q: int) -> list[int]:
    """Cumulative frequencies of one row, in integer arithmetic; the last entry is the escape."""
    rest = (65536 - p) // 2  # mass of one side that is not dealt out yet
    side: list[int] = []
    # 3: one each for this symbol, for what comes after it, and half of the escape
    while len(side) < MOST and rest >= 3:
        share = min(max(rest * (65536 - q) >> 16, 1), rest - 1)
        side.append(share)
        rest -= share
    escape = 2 * rest
    frequencies = [*side[::-1], 65536 - 2 * sum(side) - escape, *side, escape]
    return [0, *accumulate(frequencies)]


def class_statistics(residual: NDArray[Any], scale_class: NDArray[Any], classes: int) -> F64:
    """Zeros, non-zeros and summed magnitudes of the residuals of each class, ``[classes, 3]``."""
    magnitude = np.abs(residual).astype(np.float64)
    kind = scale_class.astype(np.int64)
    zeros = np.bincount(kind, magnitude == 0, minlength=classes)
    others = np.bincount(kind, magnitude > 0, minlength=classes)
    return np.stack((zeros, others, np.bincount(kind, magnitude, minlength=classes)), 1)


def row_costs(statistics: F64) -> F64:
    """Bits of each class under each row of the grid, ``[classes, rows]``."""
    p, q = (a.ravel() for a in np.meshgrid(P_ZERO, RATIO, indexing="ij"))
    zeros, others, total = (statistics[:, i, None] for i in range(3))
    with np.errstate(divide="ignore"):
        return np.asarray(
            -zeros * np.log2(p) - others * np.log2(0.5 * (1 - p) * (1 - q)) - (total - others) * np.log2(q)
        )


def fit_rows(statistics: F64, default: I32, price: float = 26.0) -> tuple[I32, float]:
    """Choose a row for each class.

    Args:
        statistics: of `class_statistics`.
        default: the row a class has unless another is sent, ``[classes]``.
        price: bits that sending another row costs.

    Returns:
        The rows ``[classes]``, and the total bits, those of the rows included.
    """
    costs = row_costs(statistics)
    best = costs.argmin(1).astype(np.int32)
    each = np.arange(len(best))
    kept, fitted = costs[each, default], costs[each, best] + price
    rows = np.where(fitted < kept, best, default).astype(np.int32)
    return rows, float(np.minimum(fitted, kept).sum())
