"""How far a question lies from what was learned, with a known rate of false alarms.

Distances are turned into conformal p-values with held-out questions of the known kind: alarming where p <=
rate alarms on at most that share of them (Bates et al. 2023, "Testing for Outliers with Conformal p-values",
Annals of Statistics 51(1)). What lies near by this measure may still be unknown in a way the features do not
show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.trust.conformal import p_values

__all__ = ["Distance", "Knn", "KnnOfKind", "Mahalanobis", "Support", "ledoit_wolf"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


class Distance(Protocol):
    """Anything that says how far rows of features, shape (n, d), are from what was learned; shape (n,)."""

    def distance(self, x: npt.ArrayLike) -> Floats:
        """Shape (n,), >= 0, larger is farther; infinite where a feature is not finite."""
        ...


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the mean in units of the (shrunk) covariance.

    Mahalanobis 1936, Proc. Natl. Inst. Sci. India 2; for networks' features Lee et al. 2018, "A Simple
    Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS.

    Attributes:
        mean: shape (d,).
        whiten: shape (d, d); ``norm((x - mean) @ whiten)`` is the distance.

    >>> known = np.random.default_rng(0).normal(size=(500, 2))
    >>> Mahalanobis.fit(known).distance([[0.0, 0.0], [9.0, 0.0]]).round().tolist()
    [0.0, 9.0]
    """

    mean: Floats
    whiten: Floats

    @classmethod
    def fit(cls, x: npt.ArrayLike, shrinkage: float | None = None) -> Mahalanobis:
        """From features of what was learned.

        Args:
            x: shape (n, d), finite, n >= 2.
            shrinkage: share of the covariance replaced by a multiple of the identity, 0 to 1; None estimates
                it (``ledoit_wolf``).

        Raises:
            BadInput: on too few or non-finite rows, or rows that are all equal.
        """
        rows = _rows(x)
        covariance, _ = ledoit_wolf(rows)
        if shrinkage is not None:
            if not 0 <= shrinkage <= 1:
                raise BadInput(f"shrinkage is {shrinkage}", field="shrinkage", fix="use 0 to 1")
            covariance = _shrink(np.cov(rows, rowvar=False, bias=True).reshape(covariance.shape), shrinkage)
        values, vectors = np.linalg.eigh(covariance)
        if values[-1] <= 0:
            raise BadInput("all rows are equal: there is no spread to measure a distance in", field="x")
        # a direction without any spread: leaving it is extremely strange, but not a division by zero
        values = np.maximum(values, values[-1] * np.finfo(float).eps * len(values))
        return cls(rows.mean(0), vectors / np.sqrt(values))

    def distance(self, x: npt.ArrayLike) -> Floats:
        """Shape (n,), >= 0; infinite where a feature is not finite.

        Args:
            x: shape (n, d).
        """
        rows, finite = _query(x, len(self.mean))
        return np.where(finite, np.linalg.norm((rows - self.mean) @ self.whiten, axis=1), np.inf)

    def arrays(self) -> dict[str, Floats]:
        """What a checkpoint has to store; ``Mahalanobis(**arrays)`` is the way back."""
        return {"mean": self.mean, "whiten": self.whiten}


@dataclass(frozen=True)
class Knn:
    """Mean distance to the k nearest known rows, each feature in units of its standard deviation.

    Angiulli & Pizzuti 2002, "Fast Outlier Detection in High Dimensional Spaces", PKDD; for networks' features
    Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML. Unlike Mahalanobis it
    follows clusters and curved sets.

    Attributes:
        known: scaled known rows, shape (m, d).
        scale: what features are divided by, shape (d,).
        k: number of neighbours.

    >>> known = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> Knn.fit(known, k=1).distance([[1.0], [30.0]]).round(1).tolist()
    [0.0, 24.1]
    """

    known: Floats
    scale: Floats
    k: int

    @classmethod
    def fit(cls, x: npt.ArrayLike, k: int = 10) -> Knn:
        """From features of what was learned.

        Args:
            x: shape (n, d), finite, n >= k.
            k: number of neighbours.

        Raises:
            BadInput: on too few or non-finite rows.
        """
        rows = _rows(x)
        if not 1 <= k <= len(rows):
            raise BadInput(f"{k} neighbours of {len(rows)} rows", field="k")
        spread = rows.std(0)
        scale = np.where(spread > 0, spread, 1.0)  # a constant feature: distance in its own unit
        return cls(rows / scale, scale, int(k))

    def distance(self, x: npt.ArrayLike) -> Floats:
        """Shape (n,), >= 0; infinite where a feature is not finite.

        Args:
            x: shape (n, d).
        """
        rows, finite = _query(x, len(self.scale))
        rows = rows / self.scale
        center, known, half = self._single
        out = np.full(len(rows), np.inf)
        # who is nearest is found in single precision by one matrix product (trees are no faster in so many
        # dimensions); how near, in double
        for part in np.array_split(np.flatnonzero(finite), max(1, len(rows) // 4096)):
            mine = rows[part]
            far = half - (mine - center).astype(np.float32) @ known
            total = np.zeros(len(part))
            for _ in range(self.k):
                nearest = far.argmin(1)
                far[np.arange(len(part)), nearest] = np.inf
                total += np.sqrt(((mine - self.known[nearest]) ** 2).sum(1))
            out[part] = total / self.k
        return out

    @cached_property
    def _single(self) -> tuple[Floats, Singles, Singles]:
        """Center of the known rows; they, from there, as columns in single precision; half their squares."""
        center = self.known.mean(0)
        known = np.ascontiguousarray((self.known - center).T, np.float32)
        return center, known, (known**2).sum(0) / 2

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint has to store; ``Knn(**arrays)`` is the way back."""
        return {"known": self.known, "scale": self.scale, "k": np.asarray(self.k)}

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", int(self.k))


@dataclass(frozen=True)
class KnnOfKind:
    """As ``Knn``, but among known rows of the same kind alone; the kind is the last feature, a whole number.

    Where kinds overlap in features, what is strange for its own kind hides among the others.

    Attributes:
        known: scaled known rows without the kind, shape (m, d).
        kinds: kind of each, shape (m,).
        scale: what features are divided by, shape (d,).
        k: number of neighbours; kinds with fewer known rows go by all they have.

    >>> measure = KnnOfKind(np.array([[0.0], [0.1], [5.0]]), np.array([1, 1, 2]), np.ones(1), 1)
    >>> measure.distance([[5.0, 2], [5.0, 1], [5.0, 3]]).tolist()
    [0.0, 4.9, inf]
    """

    known: Floats
    kinds: npt.NDArray[np.int64]
    scale: Floats
    k: int

    @classmethod
    def fit(cls, x: npt.ArrayLike, k: int = 10) -> KnnOfKind:
        """From features of what was learned; all kinds share one scale.

        Args:
            x: shape (n, d + 1), finite, n >= k; the kind last.
            k: number of neighbours.

        Raises:
            BadInput: on too few or non-finite rows.
        """
        rows = _rows(x)
        plain = Knn.fit(rows[:, :-1], k)
        return cls(plain.known, rows[:, -1].astype(np.int64), plain.scale, plain.k)

    def distance(self, x: npt.ArrayLike) -> Floats:
        """Shape (n,), >= 0; infinite where a feature is not finite or the kind was never seen.

        Args:
            x: shape (n, d + 1), the kind last.
        """
        rows = _shaped(x, len(self.scale) + 1)
        out = np.full(len(rows), np.inf)
        for kind in np.unique(rows[:, -1]):
            if kind in self._of:
                mine = np.flatnonzero(rows[:, -1] == kind)
                out[mine] = self._of[kind].distance(rows[mine, :-1])
        return out

    def beyond(self, x: npt.ArrayLike, kinds: npt.NDArray[np.int64], limit: float) -> npt.NDArray[np.bool_]:
        """Which rows lie further out than a limit, shape (n,); the same as ``distance > limit``, sooner.

        Of a row with k known ones of its kind within the limit the k nearest are, too, and so is their mean.
        Nearly all rows are cleared by that, as soon as k are found.

        Args:
            x: features without the kind, shape (n, d).
            kinds: kind of each row, shape (n,).
            limit: a distance.

        >>> measure = KnnOfKind(np.array([[0.0], [0.1], [5.0]]), np.array([1, 1, 2]), np.ones(1), 1)
        >>> measure.beyond([[5.0], [5.0], [5.0], [np.nan]], np.array([2, 1, 3, 1]), 0.5).tolist()
        [False, True, True, True]
        """
        from sciai.trust.near import without_company

        rows = np.ascontiguousarray(_shaped(x, len(self.scale)))
        out = np.empty(len(rows), np.bool_)
        square = limit * limit * (1 - 1e-9)  # rounding must not clear a row that is out
        if without_company(rows, kinds, *self._together, self.k, square, out):
            doubtful = np.flatnonzero(out)
            out[doubtful] = self.distance(np.column_stack([rows[doubtful], kinds[doubtful]])) > limit
        return out

    @cached_property
    def _together(self) -> tuple[Floats, Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Scale; known rows by kind; the kinds, ascending; where each begins, and the end."""
        order = np.argsort(self.kinds, kind="stable")
        labels, starts = np.unique(self.kinds[order], return_index=True)
        rows = np.ascontiguousarray(self.known[order], np.float64)
        ends = np.append(starts, len(order)).astype(np.int64)
        return np.ascontiguousarray(self.scale, np.float64), rows, labels.astype(np.int64), ends

    @cached_property
    def _of(self) -> dict[float, Knn]:
        found = {}
        for kind in np.unique(self.kinds):
            rows = self.known[self.kinds == kind]
            found[float(kind)] = Knn(rows, self.scale, min(self.k, len(rows)))
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint has to store; ``KnnOfKind(**arrays)`` is the way back."""
        return {"known": self.known, "kinds": self.kinds, "scale": self.scale, "k": np.asarray(self.k)}

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", int(self.k))


@dataclass(frozen=True)
class Support:
    """A distance with its scale: held-out questions of the known kind.

    Attributes:
        measure: the distance.
        held_out: distances of held-out questions, shape (n,); they must not have been used to fit the
            measure.
        rate: share of known questions that may raise a false alarm.

    >>> rng = np.random.default_rng(0)
    >>> learned, held_out = rng.normal(size=(2, 300, 2))
    >>> support = Support.fit(Mahalanobis.fit(learned), held_out, rate=0.01)
    >>> [finding.level.name for finding in support.check([[0.0, 0.0], [8.0, 8.0]])]
    ['CAUTION']
    """

    measure: Distance
    held_out: Floats
    rate: float

    @classmethod
    def fit(cls, measure: Distance, held_out: npt.ArrayLike, rate: float = 0.01) -> Support:
        """Calibrate with held-out questions.

        Args:
            measure: the distance.
            held_out: features of held-out questions, shape (n, d).
            rate: share of known questions that may raise a false alarm.

        Raises:
            BadInput: when there are too few of them for the rate: with n the smallest p is 1 / (n + 1).
        """
        distances = measure.distance(held_out)
        if not 0 < rate < 1 or (len(distances) + 1) * rate < 1:
            raise BadInput(
                f"a false-alarm rate of {rate} from {len(distances)} held-out questions",
                field="rate",
                fix="a rate r needs at least 1 / r - 1 of them",
            )
        return cls(measure, distances, rate)

    def p_value(self, x: npt.ArrayLike) -> Floats:
        """Shape (n,): how usual each row of features, shape (n, d), is among the known kind."""
        return p_values(self.held_out, self.measure.distance(x))

    def check(self, x: npt.ArrayLike, level: Level = Level.CAUTION, where: str = "") -> list[Finding]:
        """One finding where rows, shape (n, d), lie further out than the rate allows; none otherwise."""
        p = self.p_value(x)
        far = np.flatnonzero(p <= self.rate)
        if not len(far):
            return []
        message = (
            f"{len(far)} of {len(p)} lie further out than {1 - self.rate:.3g} of what was learned (smallest "
            f"p = {p.min():.2g}, the first is number {far[0]}); do not rely on the spread there"
        )
        return [Finding("support", level, message, where)]

    def summary(self) -> Mapping[str, Any]:
        """For the card: rate, number of held-out questions, and their distances' quantiles."""
        quantiles = {f"q{q}": float(np.percentile(self.held_out, q)) for q in (50, 90, 99)}
        return {"rate": self.rate, "held_out": len(self.held_out), "distance": quantiles}


def ledoit_wolf(x: npt.ArrayLike) -> tuple[Floats, float]:
    """A covariance that is well conditioned also where features outnumber rows.

    Ledoit & Wolf 2004, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices", Journal of
    Multivariate Analysis 88(2).

    Args:
        x: shape (n, d), n >= 2, finite.

    Returns:
        The shrunk covariance, shape (d, d), and the shrinkage, 0 to 1.

    >>> covariance, shrinkage = ledoit_wolf([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    >>> covariance.shape, 0 <= shrinkage <= 1
    ((2, 2), True)
    """
    rows = _rows(x)
    n, d = rows.shape
    centered = rows - rows.mean(0)
    covariance = centered.T @ centered / n
    mu = np.trace(covariance) / d
    spread = ((covariance - mu * np.eye(d)) ** 2).sum() / d
    # mean squared distance of the single outer products from their mean, without forming n matrices of (d, d)
    noise = ((np.einsum("ij,ij->i", centered, centered) ** 2).sum() / n - (covariance**2).sum()) / (n * d)
    share = 0.0 if spread == 0 else float(min(max(noise, 0.0), spread) / spread)
    return _shrink(covariance, share), share


def _shrink(covariance: Floats, share: float) -> Floats:
    d = len(covariance)
    return np.asarray((1 - share) * covariance + share * np.trace(covariance) / d * np.eye(d))


def _rows(x: npt.ArrayLike) -> Floats:
    rows = np.asarray(x, float)
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 1 or not np.isfinite(rows).all():
        raise BadInput(
            f"features of shape {rows.shape}", field="x", fix="give at least 2 finite rows, (n, d)"
        )
    return rows


def _shaped(x: npt.ArrayLike, d: int) -> Floats:
    rows = np.asarray(x, float)
    if rows.ndim != 2 or rows.shape[1] != d:
        raise BadInput(f"features of shape {rows.shape}", field="x", fix=f"give rows of {d} features")
    return rows


def _query(x: npt.ArrayLike, d: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    rows = _shaped(x, d)
    finite: npt.NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(1))
    return np.where(finite[:, None], rows, 0.0), finite
