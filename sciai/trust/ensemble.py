"""Mean and spread of several models' predictions.

Lakshminarayanan, Pritzel & Blundell 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles", NeurIPS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate
from sciai.core.errors import BadInput

__all__ = ["Mixture", "combine", "mixture"]

Floats = npt.NDArray[np.float64]


def combine(members: npt.ArrayLike, unit: str = "") -> Estimate[Floats]:
    """The members' mean, with their standard deviation as spread.

    The spread is only the disagreement of the members; calibrate it (``conformal``) before promising
    coverage.

    Args:
        members: shape (members, ...), at least two, in ``unit``.
        unit: unit of the values.

    Returns:
        Value and spread (sample standard deviation, n - 1), both of shape (...).

    Raises:
        BadInput: with fewer than two members: one model alone has no spread.

    >>> estimate = combine([[1.0, 2.0], [3.0, 2.0]], unit="eV")
    >>> estimate.value.tolist(), estimate.spread.round(3).tolist()
    ([2.0, 2.0], [1.414, 0.0])
    """
    values = np.asarray(members, float)
    if values.ndim < 1 or len(values) < 2:
        raise BadInput("an ensemble needs at least two members", field="members")
    return Estimate(values.mean(0), values.std(0, ddof=1), unit)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians, one per member, by its moments; all of shape (...), in the unit of the values.

    Attributes:
        mean: mean of the mixture.
        sd: standard deviation of the mixture.
        noise: the part that the members predict themselves (root of the mean variance; aleatoric).
        disagreement: the part from members that differ (standard deviation of their means; epistemic).
    """

    mean: Floats
    sd: Floats
    noise: Floats
    disagreement: Floats


def mixture(means: npt.ArrayLike, sds: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Mixture:
    """Moments of a mixture by the law of total variance: sd^2 = noise^2 + disagreement^2.

    Args:
        means: mean of each member, shape (members, ...).
        sds: standard deviation of each member, shape (members, ...), >= 0.
        weights: weight of each member, shape (members,), >= 0; None weighs them equally.

    Raises:
        BadInput: on shapes that differ, or negative spreads or weights.

    >>> m = mixture([0.0, 2.0], [1.0, 1.0])
    >>> round(float(m.sd), 3), float(m.noise), float(m.disagreement)
    (1.414, 1.0, 1.0)
    """
    mu, sd = np.asarray(means, float), np.asarray(sds, float)
    if mu.shape != sd.shape or mu.ndim < 1 or len(mu) == 0:
        raise BadInput(f"means have shape {mu.shape}, spreads {sd.shape}", field="sds")
    w = np.ones(len(mu)) if weights is None else np.asarray(weights, float)
    if w.shape != (len(mu),) or not np.all(w >= 0) or not w.sum() > 0 or not np.all(sd >= 0):
        raise BadInput("spreads and weights have to be zero or more, one weight per member", field="weights")
    w = w / w.sum()
    mean = np.tensordot(w, mu, 1)
    noise, disagreement = np.tensordot(w, sd**2, 1), np.tensordot(w, (mu - mean) ** 2, 1)
    return Mixture(
        np.asarray(mean), np.sqrt(noise + disagreement), np.sqrt(noise), np.sqrt(np.asarray(disagreement))
    )
