"""Make predicted probabilities mean what they say, with held-out cases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Isotonic", "softmax", "temperature"]

Floats = npt.NDArray[np.float64]


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities from logits, shape (..., classes), divided by a temperature.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    scaled = np.asarray(logits, float) / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature that makes held-out labels most likely; above 1 the model was too sure.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML. It changes no ranking of classes.

    Args:
        logits: shape (n, classes); or, for two classes, shape (n,): logit of label 1.
        labels: class numbers, shape (n,).

    Returns:
        Between 0.01 and 100. (Where every case is right, the likelihood grows for ever towards 0.)

    Raises:
        BadInput: on shapes or labels that do not fit.

    >>> round(temperature([4.0, 4.0, 4.0, -4.0], [1, 1, 0, 0]), 2)  # right 3 of 4 times: logit log(3)
    3.64
    """
    z, truth = np.asarray(logits, float), np.asarray(labels)
    if z.ndim == 1:
        z = np.stack([np.zeros_like(z), z], 1)
    if z.ndim != 2 or truth.shape != z.shape[:1] or not len(truth) or not np.isfinite(z).all():
        raise BadInput(f"logits of shape {z.shape} for labels of shape {truth.shape}", field="labels")
    if not np.isin(truth, np.arange(z.shape[1])).all():
        raise BadInput(f"labels have to be from 0 to {z.shape[1] - 1}", field="labels")
    own = np.take_along_axis(z, truth[:, None].astype(int), 1)[:, 0]

    def slope(log_inverse: float) -> float:
        # derivative of the mean negative log likelihood by b = 1 / T: E_p[z] - z_own. It is convex in b
        p = softmax(z * math.exp(log_inverse))
        return float(((p * z).sum(1) - own).mean())

    low, high = -math.log(100.0), math.log(100.0)
    if slope(low) >= 0:
        return 100.0
    if slope(high) <= 0:
        return 0.01
    for _ in range(60):  # bisection: 60 halvings are below rounding
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


@dataclass(frozen=True)
class Isotonic:
    """The monotone function of a score that fits held-out outcomes best (least squares).

    Zadrozny & Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates",
    KDD; pool-adjacent-violators of Ayer et al. 1955, Annals of Mathematical Statistics 26(4).

    Attributes:
        x: ascending scores, shape (k,).
        y: fitted outcome at each of them, not descending, shape (k,). In between it is linear, outside
            constant.

    >>> Isotonic.fit([1, 2, 3, 4], [0, 1, 0, 1])([0, 2.5, 9]).tolist()
    [0.0, 0.5, 1.0]
    """

    x: Floats
    y: Floats

    @classmethod
    def fit(
        cls, scores: npt.ArrayLike, outcomes: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> Isotonic:
        """Pool adjacent violators.

        Args:
            scores: of held-out cases, shape (n,), any order.
            outcomes: 0 or 1, or any number, shape (n,).
            weights: of the cases, shape (n,), > 0; None weighs them equally.

        Raises:
            BadInput: on shapes that differ, no cases, values that are not finite, or weights <= 0.
        """
        s, o = np.asarray(scores, float), np.asarray(outcomes, float)
        w = np.ones(s.shape) if weights is None else np.asarray(weights, float)
        if s.ndim != 1 or s.shape != o.shape or s.shape != w.shape or not len(s):
            raise BadInput(f"scores of shape {s.shape} for outcomes of shape {o.shape}", field="outcomes")
        if not (np.isfinite(s).all() and np.isfinite(o).all() and np.isfinite(w).all() and (w > 0).all()):
            raise BadInput("scores and outcomes have to be finite, weights above 0", field="scores")
        x, place = np.unique(s, return_inverse=True)
        weight = np.bincount(place, w)
        level = np.bincount(place, w * o) / weight  # equal scores get one value
        blocks: list[list[float]] = []  # value, weight, number of scores
        for value, heavy in zip(level, weight, strict=True):
            blocks.append([value, heavy, 1])
            while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
                v2, w2, n2 = blocks.pop()
                v1, w1, n1 = blocks.pop()
                blocks.append([(v1 * w1 + v2 * w2) / (w1 + w2), w1 + w2, n1 + n2])
        return cls(x, np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks]))

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """The fitted outcome of scores, any shape."""
        return np.asarray(np.interp(np.asarray(scores, float), self.x, self.y))
