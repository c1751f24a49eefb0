"""Who is harmed, and how: every slice of the questions against every kind of harm, with its statistics.

A pooled score hides a subgroup that is served badly. For each slice and harm this gives the difference to
everybody else, a bootstrap interval, how many questions it rests on, whether so many could have shown a
harm that matters (power; "cannot tell" is a result), a permutation p-value, and its correction for having
looked at many: Benjamini-Yekutieli (2001) to explore, Holm (1979) to block a release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Cell", "benjamini_yekutieli", "holm", "matrix", "worst"]

Floats = npt.NDArray[np.float64]
_BEYOND = 7.0  # standard deviations of the shuffles beyond which none of some ten thousand will come
_FEWEST = 5  # questions below which nothing is said of a slice, unless it is surely harmed
_FEWEST_GROUPS = 3  # the same of independent groups
_ENOUGH, _MOST = 20, 20  # shuffles at least as bad after which p is clear; times `draws` at the most
Verdict = Literal["harmed", "suspect", "no harm found", "cannot tell"]


@dataclass(frozen=True)
class Cell:
    """One slice, one harm.

    Attributes:
        slice: name of the slice.
        harm: name of the harm.
        n: questions in the slice for which the harm is defined.
        rate: mean harm in the slice.
        elsewhere: mean harm outside of it.
        effect: rate - elsewhere; positive is worse.
        low, high: bootstrap interval of the effect (percentile, 95 %).
        p: one-sided permutation p-value of "not worse than elsewhere".
        p_explore: the same after Benjamini-Yekutieli over all cells (false discovery rate).
        p_block: the same after Holm over all cells (family-wise error).
        detectable: smallest effect that n questions show with 80 % power at the 5 % level.
        verdict: "harmed" (holds after Holm), "suspect" (holds after Benjamini-Yekutieli), "no harm found" (an
            effect that matters would have been seen, and the interval rules it out), or "cannot tell" (else,
            and of fewer than five questions or three independent groups).
    """

    slice: str
    harm: str
    n: int
    rate: float
    elsewhere: float
    effect: float
    low: float
    high: float
    p: float
    p_explore: float
    p_block: float
    detectable: float
    verdict: Verdict


def matrix(
    harms: Mapping[str, npt.ArrayLike],
    slices: Mapping[str, npt.ArrayLike],
    matters: float | Mapping[str, float],
    *,
    groups: npt.ArrayLike | None = None,
    draws: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
) -> list[Cell]:
    """Compare every slice with everybody outside of it, harm by harm.

    Args:
        harms: name -> harm of each question, shape (n,), larger is worse (0 / 1 for an event, else a size);
            NaN where it is not defined (a false alarm needs somebody who is well).
        slices: name -> membership of each question, shape (n,), bool. They may overlap.
        matters: the smallest effect worth acting on, in the harm's unit; one for all, or one for each harm.
        groups: questions of one group (a cluster of people, a radar volume, a chemical system) are not
            independent: they are resampled and permuted together. Shape (n,); None treats each as its own.
        draws: bootstrap and permutation draws.
        alpha: level of the verdicts.
        seed: of the draws.

    Returns:
        One cell for each slice and harm, the slices in the order given.

    Raises:
        BadInput: on arrays of different lengths, a slice that is not boolean, or nothing to compare.

    >>> rng = np.random.default_rng(0)
    >>> north = rng.random(2000) < 0.3
    >>> missed = rng.random(2000) < np.where(north, 0.3, 0.1)
    >>> cells = matrix({"missed": missed}, {"north": north, "odd": np.arange(2000) % 2 == 1}, 0.05)
    >>> [(cell.slice, cell.verdict) for cell in cells]
    [('north', 'harmed'), ('odd', 'no harm found')]
    """
    if not harms or not slices:
        raise BadInput("nothing to compare", fix="give at least one harm and one slice")
    values = {name: _vector(harm, f"harm {name}") for name, harm in harms.items()}
    length = len(next(iter(values.values())))
    members: dict[str, npt.NDArray[np.bool_]] = {}
    for name, mask in slices.items():
        inside = np.asarray(mask)
        if inside.dtype != np.bool_:
            raise BadInput("a slice says yes or no for each question", field=name, fix="give booleans")
        members[name] = inside
    labels = np.arange(length) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    lengths = {**{k: v.shape for k, v in (values | members).items()}, "groups": labels.shape}
    wrong = {k: s for k, s in lengths.items() if s != (length,)}
    if wrong:
        raise BadInput(f"{length} questions, but {wrong}", fix="give one value for each question")
    rng = np.random.default_rng(seed)
    raw: list[tuple[str, str, int, float, float, float, float, float, float, int]] = []
    for slice_name, inside in members.items():
        for harm_name, harm in values.items():
            raw.append((slice_name, harm_name, *_compare(harm, inside, labels.astype(np.int64), draws, rng)))
    p = np.array([row[7] for row in raw])
    explore, block = benjamini_yekutieli(p), holm(p)
    cells: list[Cell] = []
    for row, one, two in zip(raw, explore, block, strict=True):
        slice_name, harm_name, n, rate, elsewhere, low, high, p_value, detectable, apart = row
        limit = matters if isinstance(matters, int | float) else matters[harm_name]
        verdict: Verdict
        if two <= alpha:
            verdict = "harmed"
        elif one <= alpha:
            verdict = "suspect"
        elif not detectable <= limit or n < _FEWEST or apart < _FEWEST_GROUPS:
            verdict = "cannot tell"  # so few have no spread that a bootstrap could see
        elif not high <= limit:
            verdict = "cannot tell"  # chance may explain it, but one that matters is not ruled out either
        else:
            verdict = "no harm found"
        effect = rate - elsewhere
        figures = (n, rate, elsewhere, effect, low, high, p_value, float(one), float(two), detectable)
        cells.append(Cell(slice_name, harm_name, *figures, verdict))
    return cells


def worst(cells: list[Cell], count: int = 10) -> list[dict[str, Any]]:
    """The worst slices for a card, worst first: by verdict, then by how far the effect surely goes.

    Those with fewer than five questions come last: of so few nothing is sure.

    Args:
        cells: what ``matrix`` gave.
        count: how many.

    Returns:
        Plain mappings (slice, harm, n, rate, elsewhere, low, high, verdict).
    """
    order = {"harmed": 0, "suspect": 1, "cannot tell": 2, "no harm found": 3}
    ranked = sorted(
        (c for c in cells if math.isfinite(c.effect)),
        key=lambda c: (order[c.verdict] > 1 and c.n < _FEWEST, order[c.verdict], -c.low, -c.effect),
    )
    keep = ("slice", "harm", "n", "rate", "elsewhere", "low", "high", "verdict")
    return [
        {k: round(v, 4) if isinstance(v := getattr(c, k), float) else v for k in keep} for c in ranked[:count]
    ]


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the chance of any false finding (Holm 1979, Scand. J. Statist. 6).

    Args:
        p: p-values, any shape (n,); NaN stays NaN and counts for nothing.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjust(p, lambda rank, m: m - rank, np.maximum.accumulate, ascending=True)


def benjamini_yekutieli(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the share of false findings under any dependence.

    Benjamini and Yekutieli 2001, Annals of Statistics 29(4).

    Args:
        p: p-values, shape (n,); NaN stays NaN and counts for nothing.

    >>> benjamini_yekutieli([0.01, 0.04, 0.03]).round(4).tolist()
    [0.055, 0.0733, 0.0733]
    """

    def factor(rank: Floats, m: int) -> Floats:
        return np.asarray(m * sum(1.0 / k for k in range(1, m + 1)) / (rank + 1.0))

    return _adjust(p, factor, np.minimum.accumulate, ascending=False)


def _adjust(p: npt.ArrayLike, factor: Any, accumulate: Any, *, ascending: bool) -> Floats:
    values = np.asarray(p, float)
    out = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    scaled = values[order] * factor(np.arange(len(order), dtype=float), len(order))
    out[order] = np.minimum(accumulate(scaled) if ascending else accumulate(scaled[::-1])[::-1], 1.0)
    return out


def _vector(values: npt.ArrayLike, what: str) -> Floats:
    try:
        array = np.asarray(values, float)
    except (ValueError, TypeError):
        raise BadInput("harms are numbers", field=what) from None
    if array.ndim != 1 or np.isinf(array).any():
        raise BadInput("harms are one finite number (or NaN) for each question", field=what)
    return array


def _compare(
    harm: Floats,
    inside: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
) -> tuple[int, float, float, float, float, float, float, int]:
    """n, rate, rate elsewhere, low, high, p, detectable effect, groups in or outside of it (the fewer)."""
    defined = ~np.isnan(harm)
    n = int((defined & inside).sum())
    if not n or not (defined & ~inside).any():
        nan = float("nan")
        return n, nan, nan, nan, nan, nan, math.inf, 0
    # everything below works on sums by group, so that a draw costs one product and no loop
    count = int(labels.max()) + 1

    def sums(mask: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        total = np.bincount(labels[mask], harm[mask], minlength=count).astype(np.float64)
        return total, np.bincount(labels[mask], minlength=count).astype(np.float64)

    in_sum, in_n = sums(defined & inside)
    out_sum, out_n = sums(defined & ~inside)
    used = (in_n + out_n) > 0
    in_sum, in_n, out_sum, out_n = in_sum[used], in_n[used], out_sum[used], out_n[used]
    size = len(in_n)

    def effect(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(a / b - c / d)

    observed = float(effect(in_sum.sum(), in_n.sum(), out_sum.sum(), out_n.sum()))
    boot = np.empty(draws)
    for first in range(0, draws, 256):
        last = min(first + 256, draws)
        # the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9): exponential weights, quick to draw
        weight = rng.standard_exponential((last - first, size), dtype=np.float32)
        boot[first:last] = effect(weight @ in_sum, weight @ in_n, weight @ out_sum, weight @ out_n)
    boot = boot[np.isfinite(boot)]
    low, high = np.quantile(boot, [0.025, 0.975]) if boot.size else (math.nan, math.nan)
    spread = float(boot.std()) if boot.size else math.inf
    p = _permuted(harm, inside, labels, defined, observed, draws, rng)
    # one-sided 5 % level, 80 % power: 1.645 + 0.842 standard errors
    detectable = 2.487 * spread
    rate, elsewhere = float(in_sum.sum() / in_n.sum()), float(out_sum.sum() / out_n.sum())
    apart = int(min((in_n > 0).sum(), (out_n > 0).sum()))
    return n, rate, elsewhere, float(low), float(high), p, detectable, apart


def _far(
    harm: Floats, inside: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], size: npt.NDArray[np.int64]
) -> float:
    """How far the slice's sum lies above its mean under shuffles within groups, in standard deviations.

    Mean and variance of a sum of m values drawn without replacement (Cochran 1977, "Sampling Techniques").
    """
    chosen, mean = np.bincount(labels, inside), np.bincount(labels, harm) / size
    spread = np.bincount(labels, (harm - mean[labels]) ** 2) / np.maximum(size - 1, 1)
    variance = float((chosen * (1 - chosen / size) * spread).sum())
    above = float(harm[inside].sum() - (chosen * mean).sum())
    return above / math.sqrt(variance) if variance > 0 else 0.0


def _permuted(
    harm: Floats,
    inside: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
    defined: npt.NDArray[np.bool_],
    observed: float,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """P-value of shuffling who is in the slice.

    An event among independent questions has an exact one (Fisher's). Otherwise it is drawn until it is clear
    (Besag and Clifford 1991, Biometrika 78): one that has to survive a correction for hundreds of cells needs
    many draws, one that is large few.

    Where the slice cuts through groups, memberships are shuffled within them (what a group has in common then
    cancels); where every group is wholly inside or outside, whole groups are shuffled.
    """
    harm, inside, labels = harm[defined], inside[defined], labels[defined]
    singles = len(np.unique(labels)) == len(labels)
    if singles and np.isin(harm, (0.0, 1.0)).all():
        from scipy.stats import hypergeom

        events, members = int(harm.sum()), int(inside.sum())
        return float(hypergeom.sf(int(harm[inside].sum()) - 1, len(harm), events, members))
    order = np.argsort(labels, kind="stable")
    harm, inside, labels = harm[order], inside[order], np.unique(labels[order], return_inverse=True)[1]
    size = np.bincount(labels)
    share = np.bincount(labels, inside) / size
    mixed = bool(((share > 0) & (share < 1)).any())
    total, whole = np.bincount(labels, harm), singles or not mixed
    member, larger = share > 0, 0
    if not whole and _far(harm, inside, labels, size) > _BEYOND:
        return 1.0 / (_MOST * draws + 1)  # what so many shuffles would give of which none is as bad
    for drawn in range(1, _MOST * draws + 1):
        if whole:
            chosen = rng.permutation(member)
            a, b = total[chosen].sum(), size[chosen].sum()
            larger += a / b - (total.sum() - a) / (size.sum() - b) >= observed - 1e-12
        else:
            # a random key within each group, then sort: a shuffle inside every group at once
            shuffled = inside[np.lexsort((rng.random(len(labels)), labels))]
            larger += harm[shuffled].mean() - harm[~shuffled].mean() >= observed - 1e-12
        if larger == _ENOUGH:
            return float(larger / drawn)
        if drawn >= draws and larger > 1:  # so many draws more would not make it small enough to matter
            break
    return float((larger + 1) / (drawn + 1))
