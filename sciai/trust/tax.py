"""What safety costs and buys: error against coverage when the least trusted answers are withheld.

El-Yaniv and Wiener 2010, JMLR 11 (the risk-coverage curve); Geifman and El-Yaniv 2017, NeurIPS (its area).
And what checks cost in time: the same question answered with and without them, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Cost", "Curve", "cost_of_checks", "error_against_coverage"]

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


@dataclass(frozen=True)
class Cost:
    """How long an answer takes, and how much of that its checks take.

    Attributes:
        answer_ms: median latency with the checks.
        bare_ms: median latency of the same question without them.
        share: of ``answer_ms`` what the checks take: the median difference of pairs over the median latency,
            not below 0.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        mean: the mean difference over the mean latency: what rare, slow checks add.
        answers: pairs that were timed.
    """

    answer_ms: float
    bare_ms: float
    share: float
    low: float
    high: float
    mean: float
    answers: int


def cost_of_checks(
    ask: Callable[[int], object],
    bare: Callable[[int], object],
    rounds: int,
    *,
    warm: int = 4,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Time the same questions with and without checks, one after the other, in changing order.

    What a machine does beside (other programs, a clock that changes) then meets both alike.

    Args:
        ask: asks question number k as users do.
        bare: asks it without checks; everything else has to be the same work.
        rounds: pairs that count; 2 or more.
        warm: pairs before those, which do not.
        clock: seconds; of a busy machine processor time is steadier (``time.process_time``).

    Raises:
        BadInput: on fewer than 2 rounds.

    >>> cost = cost_of_checks(lambda k: sum(range(40_000)), lambda k: sum(range(20_000)), 30)
    >>> 0.2 < cost.share < 0.8, cost.low <= cost.share <= cost.high
    (True, True)
    """
    if rounds < 2:
        raise BadInput(f"{rounds} rounds", field="rounds", fix="time 2 or more")
    spent = np.empty((rounds + warm, 2))
    for number in range(rounds + warm):
        turn = (0, 1) if number % 2 else (1, 0)
        for which in turn:
            began = clock()
            (ask, bare)[which](number)
            spent[number, which] = clock() - began
    spent = spent[warm:]
    off = spent[:, 0] - spent[:, 1]

    def share(rows: npt.NDArray[np.int64]) -> Floats:
        return np.asarray(np.median(off[rows], axis=-1) / np.median(spent[rows, 0], axis=-1))

    drawn = share(np.random.default_rng(0).integers(rounds, size=(1000, rounds)))
    low, high = np.quantile(np.maximum(drawn, 0.0), [0.025, 0.975])
    middle = float(np.clip(share(np.arange(rounds)), 0.0, 1.0))
    with_, without = np.median(spent, axis=0) * 1000
    mean = float(off.mean() / max(float(spent[:, 0].mean()), 1e-12))
    return Cost(float(with_), float(without), middle, float(low), float(high), max(mean, 0.0), rounds)
