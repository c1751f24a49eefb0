"""Calibrate a yes/no probability where cases are few, and say how sure the calibration is.

Isotonic regression (``recalibrate.Isotonic``) needs hundreds of cases; a straight line in log-odds needs
tens, keeps the ranking, and comes with a covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Platt"]

Floats = npt.NDArray[np.float64]

_EDGE = 1e-9


@dataclass(frozen=True)
class Platt:
    """Log-odds that are shifted and stretched: ``offset + slope * logit(p)``.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin Classifiers; as
    a posterior mode with Gaussian priors around "already calibrated" (offset 0, slope 1), so that few cases
    change little.

    Attributes:
        offset: added log-odds.
        slope: factor of the log-odds; below 1 the model was too sure.
        covariance: of (offset, slope), shape (2, 2); the Laplace approximation.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random(4000) ** 2
    >>> stretched = 1 / (1 + (1 / truth - 1) ** 2)  # twice the true log-odds: too sure
    >>> fitted = Platt.fit(stretched, rng.random(4000) < truth)
    >>> 0.45 < fitted.slope < 0.55
    True
    """

    offset: float
    slope: float
    covariance: Floats

    @classmethod
    def fit(cls, p: npt.ArrayLike, outcomes: npt.ArrayLike, prior: tuple[float, float] = (1.0, 0.3)) -> Platt:
        """From held-out cases.

        Args:
            p: predicted probabilities, shape (n,), 0 to 1.
            outcomes: 0 or 1, shape (n,).
            prior: standard deviations of offset and slope before any case was seen.

        Raises:
            BadInput: on shapes that differ, no cases at all, or numbers outside of 0 to 1.
        """
        x, y = np.asarray(p, float), np.asarray(outcomes, float)
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            raise BadInput(f"probabilities of shape {x.shape} for outcomes of shape {y.shape}", field="p")
        if not ((x >= 0) & (x <= 1)).all() or not np.isin(y, (0.0, 1.0)).all() or min(prior) <= 0:
            raise BadInput("probabilities have to be 0 to 1, outcomes 0 or 1, priors above 0", field="p")
        z = np.stack([np.ones_like(x), _logit(x)], 1)
        start, precision = np.array([0.0, 1.0]), np.diag(1 / np.square(prior))
        beta, hessian = start.copy(), precision
        for _ in range(100):  # Newton on a strictly convex function; a halved step where it overshoots
            fitted = _expit(z @ beta)
            gradient = z.T @ (fitted - y) + precision @ (beta - start)
            hessian = (z * (fitted * (1 - fitted))[:, None]).T @ z + precision
            step = np.linalg.solve(hessian, gradient)
            scale, here = 1.0, _loss(beta, z, y, start, precision)
            while _loss(beta - scale * step, z, y, start, precision) > here + 1e-12 and scale > 1e-6:
                scale /= 2
            beta = beta - scale * step
            if np.abs(step).max() < 1e-10:
                break
        return cls(float(beta[0]), float(beta[1]), np.asarray(np.linalg.inv(hessian), float))

    def __call__(self, p: npt.ArrayLike) -> Floats:
        """Calibrated probabilities, same shape."""
        return np.asarray(_expit(self.offset + self.slope * _logit(np.asarray(p, float))))

    def interval(
        self, p: npt.ArrayLike, spread: npt.ArrayLike = 0.0, z: float = 1.6449
    ) -> tuple[Floats, Floats]:
        """How sure a calibrated probability is: from the calibration's own error and the model's spread.

        Args:
            p: predicted probabilities before calibration, shape (...).
            spread: standard deviation of ``p`` among the model's members, shape (...).
            z: half-width in standard deviations; 1.6449 for 90 %.

        Returns:
            Lower and upper end of the calibrated probability, shape (...).
        """
        x = np.asarray(p, float)
        logit = _logit(x)
        inside = np.clip(x, _EDGE, 1 - _EDGE)
        members = self.slope * np.asarray(spread, float) / (inside * (1 - inside))
        c = self.covariance
        own = c[0, 0] + 2 * c[0, 1] * logit + c[1, 1] * logit**2
        half = z * np.sqrt(np.maximum(own, 0.0) + members**2)
        middle = self.offset + self.slope * logit
        return _expit(middle - half), _expit(middle + half)


def _logit(p: Floats) -> Floats:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _expit(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _loss(beta: Floats, z: Floats, y: Floats, start: Floats, precision: Floats) -> float:
    eta = z @ beta
    away = beta - start
    return float((np.logaddexp(0.0, eta) - y * eta).sum() + away @ precision @ away / 2)
