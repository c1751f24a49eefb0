"""What safety costs and buys: error against coverage when the least trusted answers are withheld.

El-Yaniv and Wiener 2010, JMLR 11 (the risk-coverage curve); Geifman and El-Yaniv 2017, NeurIPS (its area).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Curve", "error_against_coverage"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Mean error of the answers that are kept, at each share kept.

    Attributes:
        coverage: shares kept, ascending to 1. Shape (n,).
        error: mean error of those, in the error's unit. Shape (n,).
        oracle: the same if the worst answers were known and withheld: no doubt can do better. Shape (n,).
        everything: mean error of all answers, what a doubt that knows nothing would keep at any coverage.
    """

    coverage: Floats
    error: Floats
    oracle: Floats
    everything: float

    def at(self, coverage: float) -> float:
        """Mean error when this share of the answers is kept."""
        return float(np.interp(coverage, self.coverage, self.error))

    @property
    def area(self) -> float:
        """Area under the curve; smaller is better."""
        return float(np.trapezoid(self.error, self.coverage))

    @property
    def gain(self) -> float:
        """Of what withholding could gain at best, the share that this doubt gains.

        1 is the oracle, 0 is chance, below 0 the doubt misleads.
        """
        best = float(np.trapezoid(self.oracle, self.coverage))
        chance = self.everything * float(self.coverage[-1] - self.coverage[0])
        return (chance - self.area) / (chance - best) if chance > best else 0.0

    def summary(self) -> dict[str, Any]:
        """Figures for a card."""
        at = {f"error_at_{share:.0%}": self.at(share) for share in (0.5, 0.8, 0.9, 1.0)}
        return {**at, "area": self.area, "gain": self.gain, "answers": len(self.coverage)}


def error_against_coverage(error: npt.ArrayLike, doubt: npt.ArrayLike) -> Curve:
    """The curve when answers are withheld from the most doubted on.

    Args:
        error: size of the error of each answer, >= 0, shape (n,); what a user feels (absolute error, 0 / 1
            for right / wrong).
        doubt: how doubtful each answer was said to be (its spread, or its level), shape (n,). Answers of the
            same doubt are kept or withheld together, as a mean over their order.

    Raises:
        BadInput: where the two differ in length, are empty, or hold what is not finite.

    >>> curve = error_against_coverage([0.1, 0.2, 0.9, 1.0], [1, 2, 3, 4])
    >>> curve.error.round(2).tolist(), round(curve.gain, 2)
    ([0.1, 0.15, 0.4, 0.55], 1.0)
    """
    errors, doubts = np.asarray(error, float), np.asarray(doubt, float)
    if errors.ndim != 1 or errors.shape != doubts.shape or not errors.size:
        raise BadInput(f"errors of shape {errors.shape}, doubts of shape {doubts.shape}", fix="give one each")
    if not (np.isfinite(errors).all() and np.isfinite(doubts).all()):
        raise BadInput("errors and doubts have to be finite", fix="leave out what has no reference")
    order = np.argsort(doubts, kind="stable")
    _, level, count = np.unique(doubts[order], return_inverse=True, return_counts=True)
    tied = (np.bincount(level, errors[order]) / count)[level]
    kept = np.arange(1, errors.size + 1)
    return Curve(
        kept / errors.size, np.cumsum(tied) / kept, np.cumsum(np.sort(errors)) / kept, float(errors.mean())
    )
