"""Intervals that cover, from residuals of data that was held out.

A score says how wrong a prediction was (``abs(y - mean)``, say). With scores of n held-out cases that are
exchangeable with the new one, ``mean +- quantile(scores, alpha)`` covers the new case with probability at
least 1 - alpha, whatever the model and the distribution. Time series are not exchangeable: split them by
block (``sciai.core.data.blocks``), or use ``Online``.

Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World", Springer; for a tutorial Angelopoulos
& Bates 2023, "Conformal Prediction: A Gentle Introduction", Foundations and Trends in Machine Learning 16(4).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = [
    "Mondrian",
    "Online",
    "cqr_interval",
    "cqr_scores",
    "interval",
    "p_values",
    "quantile",
    "weighted_quantile",
]

Floats = npt.NDArray[np.float64]


def quantile(scores: npt.ArrayLike, alpha: float) -> float:
    """The split-conformal quantile: the ceil((n + 1)(1 - alpha))-th smallest score.

    Papadopoulos et al. 2002, "Inductive Confidence Machines for Regression", ECML; Lei et al. 2018,
    "Distribution-Free Predictive Inference for Regression", JASA 113(523).

    Args:
        scores: shape (n,), of held-out cases; larger is worse; any unit. May be infinite, not NaN.
        alpha: allowed share of misses, between 0 and 1.

    Returns:
        In the unit of the scores; infinite where n is too small to promise 1 - alpha (n < 1 / alpha - 1).

    Raises:
        BadInput: on NaN, or alpha outside (0, 1).

    >>> quantile([3.0, 1.0, 2.0, 4.0], alpha=0.2), quantile([1.0, 2.0], alpha=0.1)
    (4.0, inf)
    """
    values = _scores(scores)
    _check_alpha(alpha)
    rank = _rank(len(values), alpha)
    return math.inf if rank > len(values) else float(np.partition(values, rank - 1)[rank - 1])


def interval(
    center: npt.ArrayLike, half_width: npt.ArrayLike, scale: npt.ArrayLike = 1.0
) -> tuple[Floats, Floats]:
    """``center -+ half_width * scale``; with scores ``abs(y - center) / scale`` a locally adaptive interval.

    Papadopoulos et al. 2008, "Normalized Nonconformity Measures for Regression Conformal Prediction", AIA.

    Args:
        center: predictions, shape (...).
        half_width: a quantile of the scores.
        scale: predicted difficulty of each case, shape (...), > 0.

    Returns:
        Lower and upper end, shape (...).

    >>> [end.tolist() for end in interval([1.0, 2.0], 0.5, [1.0, 2.0])]
    [[0.5, 1.0], [1.5, 3.0]]
    """
    middle, half = np.asarray(center, float), np.asarray(half_width, float)
    with np.errstate(invalid="ignore"):
        # infinite where nothing can be promised, also for a case that is said to be no difficulty at all
        width = np.where(half == np.inf, np.inf, half * np.asarray(scale, float))
    return middle - width, middle + width


def p_values(scores: npt.ArrayLike, new: npt.ArrayLike) -> Floats:
    """Conformal p-values: (1 + number of held-out scores >= the new one) / (n + 1).

    For a new case that is exchangeable with the held-out ones, P(p <= t) <= t for every t. Bates et al. 2023,
    "Testing for Outliers with Conformal p-values", Annals of Statistics 51(1).

    Args:
        scores: shape (n,), of held-out cases; larger is stranger.
        new: shape (...), of new cases; NaN counts as infinitely strange.

    Returns:
        Shape (...), each from 1 / (n + 1) to 1.

    >>> p_values([1.0, 2.0, 3.0], [0.5, 2.0, 9.0]).tolist()
    [1.0, 0.75, 0.25]
    """
    held, fresh = np.sort(_scores(scores)), np.asarray(new, float)
    fresh = np.where(np.isnan(fresh), np.inf, fresh)
    return np.asarray((1 + len(held) - np.searchsorted(held, fresh, side="left")) / (len(held) + 1))


@dataclass(frozen=True)
class Mondrian:
    """One quantile per group, so that each group is covered, not only the mean over groups.

    Vovk et al. 2003, "Mondrian Confidence Machine"; Vovk 2012, "Conditional Validity of Inductive Conformal
    Predictors", ACML.

    Attributes:
        quantiles: group -> quantile; infinite for a group with too few held-out cases to promise anything.
        counts: group -> number of held-out cases.

    >>> fitted = Mondrian.fit([1.0, 2.0, 3.0, 9.0], ["a", "a", "a", "b"], alpha=0.25)
    >>> fitted.of(["a", "b", "never seen"]).tolist()
    [3.0, inf, inf]
    """

    quantiles: Mapping[Hashable, float]
    counts: Mapping[Hashable, int]

    @classmethod
    def fit(cls, scores: npt.ArrayLike, groups: Iterable[Hashable], alpha: float) -> Mondrian:
        """Take one quantile per group.

        Args:
            scores: of held-out cases, shape (n,).
            groups: the group of each of them.
            alpha: allowed share of misses, in every group.

        Raises:
            BadInput: when their numbers differ, or as ``quantile``.
        """
        members: dict[Hashable, list[float]] = {}
        values, names = _scores(scores), list(groups)
        if len(values) != len(names):
            raise BadInput(f"{len(values)} scores, {len(names)} groups", field="groups")
        for value, name in zip(values, names, strict=True):
            members.setdefault(name, []).append(float(value))
        quantiles = {name: quantile(own, alpha) for name, own in members.items()}
        return cls(quantiles, {name: len(own) for name, own in members.items()})

    def of(self, groups: Iterable[Hashable]) -> Floats:
        """The quantile of each case's group; infinite for a group that was never seen."""
        return np.array([self.quantiles.get(group, math.inf) for group in groups], float)


def cqr_scores(y: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Floats:
    """How far outside a predicted interval each case is; negative inside.

    Romano, Patterson & Candes 2019, "Conformalized Quantile Regression", NeurIPS.

    Args:
        y: truth, shape (n,).
        lower: predicted lower end, shape (n,).
        upper: predicted upper end, shape (n,).

    >>> cqr_scores([0.0, 5.0], [1.0, 1.0], [4.0, 6.0]).tolist()
    [1.0, -1.0]
    """
    truth = np.asarray(y, float)
    return np.asarray(np.maximum(np.asarray(lower, float) - truth, truth - np.asarray(upper, float)))


def cqr_interval(lower: npt.ArrayLike, upper: npt.ArrayLike, q: float) -> tuple[Floats, Floats]:
    """Widen (or, with a negative quantile, narrow) predicted intervals by a quantile of ``cqr_scores``.

    Ends that would cross meet in the middle: a point covers no less than nothing.

    >>> [end.tolist() for end in cqr_interval([1.0, 1.0], [4.0, 1.5], -0.5)]
    [[1.5, 1.25], [3.5, 1.25]]
    """
    low, high = np.asarray(lower, float) - q, np.asarray(upper, float) + q
    middle = (np.asarray(lower, float) + np.asarray(upper, float)) / 2
    crossed = low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)


def weighted_quantile(
    scores: npt.ArrayLike, weights: npt.ArrayLike, new_weight: npt.ArrayLike, alpha: float
) -> Floats:
    """The quantile under covariate shift: held-out cases count as much as the new population has of them.

    Tibshirani et al. 2019, "Conformal Prediction Under Covariate Shift", NeurIPS: the 1 - alpha quantile of
    sum_i p_i delta(score_i) + p_new delta(inf), with p proportional to the likelihood ratios.

    Args:
        scores: shape (n,), of held-out cases.
        weights: likelihood ratio new / held-out population of each of them, shape (n,), >= 0.
        new_weight: likelihood ratio of the new case or cases, shape (...).
        alpha: allowed share of misses.

    Returns:
        Shape (...), in the unit of the scores; infinite where the new case outweighs the rest.

    Raises:
        BadInput: on shapes that differ, weights that are negative, not finite, or all zero.

    >>> float(weighted_quantile([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1], 1.0, alpha=0.2))
    4.0
    """
    values, ratio, fresh = _scores(scores), np.asarray(weights, float), np.asarray(new_weight, float)
    _check_alpha(alpha)
    if ratio.shape != values.shape:
        raise BadInput(f"{values.size} scores, {ratio.size} weights", field="weights")
    for given in (ratio, fresh):
        if not np.isfinite(given).all() or (given < 0).any():
            raise BadInput("weights have to be finite and not negative", field="weights")
    if ratio.sum() <= 0:
        raise BadInput("all weights are zero: the populations do not overlap", field="weights")
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(ratio[order])
    # smallest score whose cumulated share reaches 1 - alpha; the slack absorbs rounding in the sums
    needed = (1 - alpha) * (mass[-1] + fresh)
    place = np.searchsorted(mass, needed * (1 - 1e-12), side="left")
    padded = np.append(values[order], np.inf)
    return np.asarray(padded[np.minimum(place, len(values))])


@dataclass
class Online:
    """Intervals for a stream that drifts: each miss widens the next interval, each hit narrows it.

    Gibbs & Candes 2021, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS:
    alpha_t+1 = alpha_t + gamma (alpha - miss_t). For *any* sequence, the share of misses after T steps
    differs from alpha by at most (max(alpha, 1 - alpha) + gamma) / (gamma T).

    Attributes:
        alpha: allowed share of misses.
        gamma: step; larger adapts faster and is less steady.
        window: number of latest scores the quantile is taken from.

    >>> stream = Online(alpha=0.1, gamma=0.05)
    >>> for score in [1.0, 2.0, 1.5, 1.0]:
    ...     half_width = stream.quantile()  # use it for the interval, then learn the truth
    ...     missed = stream.update(score)
    >>> stream.steps, stream.misses
    (4, 0)
    """

    alpha: float
    gamma: float = 0.01
    window: int = 500
    level: float = field(init=False)
    steps: int = field(init=False, default=0)
    misses: int = field(init=False, default=0)
    _scores: deque[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)
        if self.gamma <= 0 or self.window < 1:
            raise BadInput("gamma has to be above 0 and the window at least 1", field="gamma")
        self.level, self._scores = self.alpha, deque(maxlen=self.window)

    def quantile(self) -> float:
        """The quantile for the next case: infinite (certain to cover) to -infinite (certain to miss)."""
        if self.level <= 0 or not self._scores:
            return math.inf
        if self.level >= 1:
            return -math.inf
        return quantile(list(self._scores), self.level)

    def update(self, score: float) -> bool:
        """Learn the score of the case that ``quantile`` was used for.

        Args:
            score: how wrong the prediction was; in the unit of the quantile.

        Returns:
            Whether it was missed.

        Raises:
            BadInput: on NaN.
        """
        if math.isnan(score):
            raise BadInput("the score is NaN", field="score")
        missed = score > self.quantile()
        self.level += self.gamma * (self.alpha - missed)
        self.steps, self.misses = self.steps + 1, self.misses + int(missed)
        self._scores.append(float(score))
        return missed


def _rank(n: int, alpha: float) -> int:
    # 1 - alpha is not exact in binary: 10 * (1 - 0.7) is 3.0000000000000004, but the rank is 3
    return max(1, math.ceil((n + 1) * (1 - alpha) - 1e-9))


def _scores(scores: Any) -> Floats:
    values = np.asarray(scores, float)
    if values.ndim != 1 or np.isnan(values).any():
        raise BadInput(f"scores have shape {values.shape}, {np.isnan(values).sum()} are NaN", field="scores")
    return values


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise BadInput(f"alpha is {alpha}", field="alpha", fix="give the allowed share of misses, e.g. 0.1")
