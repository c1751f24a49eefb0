"""Integer tables of the entropy coder: stretch, squash, logarithm, adaptation rates.

Everything that drives the arithmetic decoder is an integer, and the tables are computed with `decimal`,
whose `exp` and `ln` are correctly rounded: the same numbers on every machine, for as long as the archive
must be read.

Units: logits and features are fixed point with 8 fractional bits (``Q8``: 256 is 1.0); probabilities have
16 bits in the coder and 22 bits in the counters.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["COUNT_LIMIT", "LOGIT_MAX", "compander", "rates", "squash", "stretch"]

LOGIT_MAX = 2816  # Q8; squash(2816) leaves 1.1 of 65536
COUNT_LIMIT = 255
_COMPANDED = 4096  # differences of up to 256 indices, in sixteenths


@cache
def squash() -> NDArray[np.int32]:
    """P(1) in 1/65536 of a logit x in Q8, at ``x + LOGIT_MAX``: int32 ``[2 LOGIT_MAX + 1]``, 1 to 65535."""
    with localcontext() as digits:
        digits.prec = 20
        half = [
            int((Decimal(65536) / (1 + (Decimal(-x) / 256).exp())).to_integral_value())
            for x in range(LOGIT_MAX + 1)
        ]
    return np.array([65536 - p for p in half[:0:-1]] + half, np.int32).clip(1, 65535)


@cache
def stretch() -> NDArray[np.int32]:
    """The logit in Q8 of a probability with 12 bits (bin centres): int32 ``[4096]``."""
    with localcontext() as digits:
        digits.prec = 20
        upper = [
            int((256 * ((Decimal(2 * i + 1)) / Decimal(8191 - 2 * i)).ln()).to_integral_value())
            for i in range(2048, 4096)
        ]
    return np.array([-x for x in upper[::-1]] + upper, np.int32)


@cache
def compander() -> NDArray[np.int32]:
    """``log2(1 + d / 16)`` in Q8 for a difference of d sixteenths of an index: int32 ``[4096]``."""
    with localcontext() as digits:
        digits.prec = 20
        two = Decimal(2).ln()
        return np.array(
            [int((256 * (1 + Decimal(d) / 16).ln() / two).to_integral_value()) for d in range(_COMPANDED)],
            np.int32,
        )


@cache
def rates() -> NDArray[np.int32]:
    """Step of a counter that has seen n bits, ``65536 / (n + 1.6)``: int32 ``[COUNT_LIMIT + 1]``."""
    return np.array([(655360 + 5 * n + 8) // (10 * n + 16) for n in range(COUNT_LIMIT + 1)], np.int32)
