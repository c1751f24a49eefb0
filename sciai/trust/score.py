"""Proper scores and calibration errors. Lower is better; coverage should be what was promised.

Gneiting & Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102(477).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = [
    "coverage",
    "crps_ensemble",
    "crps_gaussian",
    "crps_quantile",
    "ece",
    "energy_score",
    "nll_binned",
    "nll_gaussian",
    "pit_ensemble",
    "pit_gaussian",
    "wilson",
]

Floats = npt.NDArray[np.float64]


def nll_gaussian(y: npt.ArrayLike, mean: npt.ArrayLike, sd: npt.ArrayLike) -> Floats:
    """Negative log likelihood, in nats, of a Gaussian: the logarithmic score. Good 1952, JRSS B 14(1).

    Args:
        y: truth, shape (...).
        mean: shape (...).
        sd: standard deviation, shape (...), > 0.

    Returns:
        Shape (...).

    Raises:
        BadInput: where sd <= 0.

    >>> round(float(nll_gaussian(0.0, 0.0, 1.0)), 4)
    0.9189
    """
    z, scale = _standardise(y, mean, sd)
    return np.asarray(0.5 * z**2 + np.log(scale) + 0.5 * math.log(2 * math.pi))


def nll_binned(y: npt.ArrayLike, probabilities: npt.ArrayLike, edges: npt.ArrayLike) -> Floats:
    """Negative log density, in nats per unit of y, of a histogram; comparable with ``nll_gaussian``.

    Args:
        y: truth, shape (n,).
        probabilities: of each bin, shape (n, bins) or (bins,), summing to 1.
        edges: ascending, shape (bins + 1,). The last bin includes its right edge.

    Returns:
        Shape (n,); infinite outside of the edges and where the bin has probability 0.

    Raises:
        BadInput: on edges that do not ascend, or probabilities that do not fit them or do not sum to 1.

    >>> nll_binned([0.5, 9.0], [0.5, 0.5], [0.0, 1.0, 2.0]).round(4).tolist()
    [0.6931, inf]
    """
    truth, borders, p = np.asarray(y, float), np.asarray(edges, float), np.asarray(probabilities, float)
    width = np.diff(borders)
    if not (width > 0).all() or p.shape[-1] != len(width):
        raise BadInput(f"{len(borders)} edges for {p.shape[-1]} bins; edges have to ascend", field="edges")
    if (p < 0).any() or not np.allclose(p.sum(-1), 1, atol=1e-6):
        raise BadInput("probabilities have to be zero or more and sum to 1", field="probabilities")
    place = np.searchsorted(borders, truth, side="right") - 1
    place = np.where(truth == borders[-1], len(width) - 1, place)
    inside = (place >= 0) & (place < len(width))
    place = np.clip(place, 0, len(width) - 1)
    rows = np.broadcast_to(p, (len(truth), len(width)))
    density = np.where(inside, np.take_along_axis(rows, place[:, None], 1)[:, 0] / width[place], 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(density))


def crps_gaussian(y: npt.ArrayLike, mean: npt.ArrayLike, sd: npt.ArrayLike) -> Floats:
    """Continuous ranked probability score of a Gaussian, in the unit of y.

    Closed form of Gneiting et al. 2005, "Calibrated Probabilistic Forecasting Using Ensemble Model Output
    Statistics and Minimum CRPS Estimation", Monthly Weather Review 133(5).

    Args:
        y: truth, shape (...).
        mean: shape (...).
        sd: standard deviation, shape (...), > 0.

    Returns:
        Shape (...).

    >>> round(float(crps_gaussian(0.0, 0.0, 1.0)), 4)
    0.2337
    """
    z, scale = _standardise(y, mean, sd)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return np.asarray(scale * (z * (2 * _normal_cdf(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def crps_ensemble(y: npt.ArrayLike, members: npt.ArrayLike, fair: bool = False) -> Floats:
    """Continuous ranked probability score of an ensemble, in the unit of y: E|X - y| - E|X - X'| / 2.

    Hersbach 2000, "Decomposition of the Continuous Ranked Probability Score for Ensemble Prediction Systems",
    Weather and Forecasting 15(5); fair: Ferro 2014, "Fair Scores for Ensemble Forecasts", QJRMS 140(683).

    Args:
        y: truth, shape (...).
        members: shape (..., m).
        fair: unbiased for the distribution the members were drawn from (needs m >= 2), instead of the score
            of the members themselves.

    Returns:
        Shape (...).

    Raises:
        BadInput: on shapes that do not fit, or a fair score of one member.

    >>> float(crps_ensemble(0.0, [-1.0, 1.0]))
    0.5
    """
    truth, x = np.asarray(y, float), np.sort(np.asarray(members, float), axis=-1)
    m = x.shape[-1] if x.ndim else 0
    if m < (2 if fair else 1) or x.shape[:-1] != truth.shape:
        raise BadInput(f"members of shape {x.shape} for truth of shape {truth.shape}", field="members")
    distance = np.abs(x - truth[..., None]).mean(-1)
    # sum over pairs |x_i - x_j| from the sorted members, in m log m instead of m^2
    pairs = (x * (2 * np.arange(m) - m + 1)).sum(-1)
    return np.asarray(distance - pairs / (m * (m - 1) if fair else m * m))


def crps_quantile(y: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """CRPS from predicted quantiles: twice the mean pinball loss over the levels, in the unit of y.

    Laio & Tamea 2007, "Verification Tools for Probabilistic Forecasts of Continuous Hydrological Variables",
    HESS 11(4). With evenly spaced levels it approaches the CRPS as they become dense.

    Args:
        y: truth, shape (...).
        quantiles: shape (..., k).
        levels: of the quantiles, shape (k,), between 0 and 1.

    Returns:
        Shape (...).

    Raises:
        BadInput: on levels outside of (0, 1), or another number of quantiles.

    >>> float(crps_quantile(2.0, [1.0], [0.5]))
    1.0
    """
    truth, q, tau = np.asarray(y, float), np.asarray(quantiles, float), np.asarray(levels, float)
    if tau.ndim != 1 or q.shape != (*truth.shape, len(tau)) or not ((tau > 0) & (tau < 1)).all():
        raise BadInput(f"quantiles of shape {q.shape} for {tau.shape} levels", field="levels")
    above = truth[..., None] - q
    return np.asarray(2 * np.maximum(tau * above, (tau - 1) * above).mean(-1))


def energy_score(y: npt.ArrayLike, members: npt.ArrayLike, fair: bool = False) -> Floats:
    """Energy score, the CRPS of vectors: E||X - y|| - E||X - X'|| / 2.

    Gneiting & Raftery 2007, section 4.3; Szekely & Rizzo 2013, J. Stat. Planning and Inference 143(8).

    Args:
        y: truth, shape (..., d), components in comparable units.
        members: shape (..., m, d).
        fair: divide the second term by m (m - 1) instead of m^2.

    Returns:
        Shape (...).

    Raises:
        BadInput: on shapes that do not fit, or a fair score of one member.

    >>> float(energy_score([0.0, 0.0], [[3.0, 4.0]]))
    5.0
    """
    truth, x = np.asarray(y, float), np.asarray(members, float)
    m = x.shape[-2] if x.ndim >= 2 else 0
    if m < (2 if fair else 1) or x.shape != (*truth.shape[:-1], m, truth.shape[-1]):
        raise BadInput(f"members of shape {x.shape} for truth of shape {truth.shape}", field="members")
    distance = np.linalg.norm(x - truth[..., None, :], axis=-1).mean(-1)
    pairs = np.zeros(distance.shape)
    for i in range(m):  # one row of pairs at a time: m^2 d numbers at once would not fit for large ensembles
        pairs += np.linalg.norm(x - x[..., i : i + 1, :], axis=-1).sum(-1)
    return np.asarray(distance - pairs / (2 * (m * (m - 1) if fair else m * m)))


def ece(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error with bins of equal width.

    Naeini, Cooper & Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI;
    Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML. Biased upwards for few cases per bin.

    Args:
        probabilities: of label 1, shape (n,); or of every class, shape (n, classes): then that of the most
            likely class is held against whether it was right.
        labels: shape (n,): 0 or 1; or class numbers.
        bins: number of bins over 0 to 1.

    Returns:
        Mean absolute difference of confidence and frequency, weighted by the number of cases; 0 to 1.

    Raises:
        BadInput: on shapes that differ, no cases, or probabilities outside of [0, 1].

    >>> round(ece([0.9, 0.9, 0.1, 0.1], [1, 1, 0, 0]), 3)
    0.1
    """
    p, truth = np.asarray(probabilities, float), np.asarray(labels)
    if p.ndim not in (1, 2) or truth.shape != p.shape[:1] or not len(truth) or bins < 1:
        raise BadInput(f"probabilities of shape {p.shape} for labels of shape {truth.shape}", field="labels")
    if not ((p >= 0) & (p <= 1)).all():
        raise BadInput("probabilities have to be from 0 to 1", field="probabilities")
    confidence, hit = (p, truth == 1) if p.ndim == 1 else (p.max(1), p.argmax(1) == truth)
    if p.ndim == 1 and not np.isin(truth, (0, 1)).all():
        raise BadInput("labels have to be 0 or 1", field="labels")
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, confidence - hit, minlength=bins)
    return float(np.abs(gap).sum() / len(truth))


def coverage(y: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> float:
    """Share of cases inside of their intervals, ends included. Give it with its ``wilson`` interval.

    Args:
        y: truth, shape (n,).
        lower: shape (n,).
        upper: shape (n,).

    Raises:
        BadInput: when there are no cases.

    >>> coverage([1.0, 5.0], [0.0, 0.0], [2.0, 2.0])
    0.5
    """
    truth = np.asarray(y, float)
    if not truth.size:
        raise BadInput("no cases", field="y")
    return float(np.mean((truth >= np.asarray(lower, float)) & (truth <= np.asarray(upper, float))))


def wilson(hits: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Interval of a share from ``hits`` of ``n``. Wilson 1927, JASA 22(158).

    Args:
        hits: number of successes.
        n: number of trials.
        alpha: the interval covers the true share with probability of about 1 - alpha.

    Raises:
        BadInput: when hits are not between 0 and n, or n is 0.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    from statistics import NormalDist

    if n < 1 or not 0 <= hits <= n or not 0 < alpha < 1:
        raise BadInput(f"{hits} hits of {n}, alpha {alpha}", field="hits")
    z, share = NormalDist().inv_cdf(1 - alpha / 2), hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def pit_gaussian(y: npt.ArrayLike, mean: npt.ArrayLike, sd: npt.ArrayLike) -> Floats:
    """Probability integral transform of a Gaussian forecast: uniform on 0 to 1 where it is calibrated.

    Dawid 1984, "Statistical Theory: The Prequential Approach", JRSS A 147(2).

    Args:
        y: truth, shape (...).
        mean: shape (...).
        sd: standard deviation, shape (...), > 0.

    >>> float(pit_gaussian(1.0, 1.0, 2.0))
    0.5
    """
    return _normal_cdf(_standardise(y, mean, sd)[0])


def pit_ensemble(y: npt.ArrayLike, members: npt.ArrayLike, rng: np.random.Generator) -> Floats:
    """Randomised rank of the truth among members, 0 to 1: uniform where the ensemble is calibrated.

    Czado, Gneiting & Held 2009, "Predictive Model Assessment for Count Data", Biometrics 65(4); the histogram
    is Hamill 2001, "Interpretation of Rank Histograms", Monthly Weather Review 129(3).

    Args:
        y: truth, shape (...).
        members: shape (..., m).
        rng: breaks ties and spreads each rank over its share.

    >>> p = pit_ensemble([5.0], [[1.0, 2.0, 3.0]], np.random.default_rng(0))
    >>> bool(p[0] > 0.75)
    True
    """
    truth, x = np.asarray(y, float)[..., None], np.asarray(members, float)
    below, equal = (x < truth).sum(-1), (x == truth).sum(-1)
    return np.asarray((below + rng.uniform(size=below.shape) * (equal + 1)) / (x.shape[-1] + 1))


def _standardise(y: npt.ArrayLike, mean: npt.ArrayLike, sd: npt.ArrayLike) -> tuple[Floats, Floats]:
    scale = np.asarray(sd, float)
    if not (scale > 0).all():
        raise BadInput("standard deviations have to be above 0", field="sd")
    return np.asarray((np.asarray(y, float) - np.asarray(mean, float)) / scale), scale


def _normal_cdf(z: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(z), float)
