"""Attacks on a joint model by somebody who may query it freely and wants to learn who was in its training.

Each attack is run on people who were in the training data and on others, who are alike otherwise:
what it achieves on the second group is no leak but statistics. Intervals are of 99 %, because several attacks
are tried. No attack proves that a model is private; a stronger one may exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.api.evaluate import auroc
from sciai.health.api.predictions import bin_edges, predict
from sciai.trust.score import wilson

if TYPE_CHECKING:
    from sciai.health.model.interface import Joint

__all__ = [
    "Attribute",
    "Exposure",
    "Membership",
    "SinglingOut",
    "attribute_inference",
    "exposure",
    "features",
    "learned_score",
    "membership",
    "singling_out",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Membership:
    """How well one score tells members from others.

    Attributes:
        attack: name of the score.
        auc: area under the ROC curve; 0.5 is guessing.
        low: lower end of its bootstrap interval.
        high: upper end.
        tpr: share of members found while 1 % of the others are accused; 0.01 is guessing.
        members: number of members attacked.
        others: number of others.
    """

    attack: str
    auc: float
    low: float
    high: float
    tpr: float
    members: int
    others: int


@dataclass(frozen=True)
class Exposure:
    """Whether planted canaries are more likely to the model than equal ones that were not planted.

    Attributes:
        planted: number of planted canaries.
        compared: number of those compared with.
        mean: mean exposure in bits, log2(compared + 1) - log2(rank); 1.44 is expected where nothing is kept.
        most: highest exposure of one canary; it is at most log2(compared + 1).
        exposed: planted canaries that are more likely than every one they are compared with; by chance
            planted / (compared + 1) of them.
        p: one-sided p-value that the planted ones rank no higher (Mann and Whitney's test).
    """

    planted: int
    compared: int
    mean: float
    most: float
    exposed: int
    p: float


@dataclass(frozen=True)
class SinglingOut:
    """How often a description, read off virtual humans, fits exactly one real person.

    Attributes:
        attempts: descriptions tried.
        members: share that fits exactly one member.
        others: share that fits exactly one of as many people who were not in the training.
        blind: share among members of descriptions with every value from another virtual human.
        risk: (members - others) / (1 - others): what is due to having been in the training.
        low: lower end of its interval.
        high: upper end.
    """

    attempts: int
    members: float
    others: float
    blind: float
    risk: float
    low: float
    high: float


@dataclass(frozen=True)
class Attribute:
    """How much better a secret is guessed with the model than without it.

    Attributes:
        target: the secret column.
        members: mean gain in nats over guessing by its frequency alone, for members.
        others: the same for people who were not in the training: what the model knows of anybody.
        excess: members - others: what is due to having been in the training.
        low: lower end of its interval.
        high: upper end.
    """

    target: str
    members: float
    others: float
    excess: float
    low: float
    high: float


def membership(
    attack: str,
    inside: Floats,
    outside: Floats,
    groups: tuple[Sequence[object], Sequence[object]] | None = None,
    seed: int = 0,
    draws: int = 500,
) -> Membership:
    """Judge a score by how it separates members from others.

    Args:
        attack: what the score is called.
        inside: scores of members, larger for "was in the training", shape (m,).
        outside: scores of others, shape (n,).
        groups: sampling unit of each member and each other (people of one place are alike); whole units are
            redrawn for the interval, members and others of a unit together where they share units. None
            redraws people.
        seed: of the redraws.
        draws: number of redraws.

    Raises:
        BadInput: without members or others.

    >>> membership("loss", np.array([2.0, 3.0]), np.array([0.0, 1.0])).auc
    1.0
    """
    if not len(inside) or not len(outside):
        raise BadInput(f"{len(inside)} members and {len(outside)} others", field="members")
    label = np.r_[np.ones(len(inside), bool), np.zeros(len(outside), bool)]
    score = np.r_[inside, outside]
    rng = np.random.default_rng(seed)
    together = groups is not None and not set(map(str, groups[0])).isdisjoint(map(str, groups[1]))
    if together and groups is not None:
        redraw = _redraw([*groups[0], *groups[1]])
    else:
        redraw_in = _redraw(groups[0] if groups else range(len(inside)))
        redraw_out = _redraw(groups[1] if groups else range(len(outside)))
    aucs = []
    for _ in range(draws):
        rows = redraw(rng) if together else np.r_[redraw_in(rng), len(inside) + redraw_out(rng)]
        if label[rows].any() and not label[rows].all():
            aucs.append(auroc(score[rows], label[rows]))
    low, high = np.quantile(aucs, [0.005, 0.995])
    bar = np.quantile(outside, 0.99, method="higher")
    return Membership(
        attack,
        auroc(score, label),
        float(low),
        float(high),
        float((inside > bar).mean()),
        len(inside),
        len(outside),
    )


def features(joint: Joint, values: Floats, edges: dict[str, Floats]) -> Floats:
    """Log probability of each known value given all others of the person, shape (n, d); 0 where unknown.

    Args:
        joint: the attacked model.
        values: people, shape (n, d), NaN where unknown.
        edges: bins of the numbers.
    """
    result = np.zeros(values.shape)
    for column in range(values.shape[1]):
        name = joint.schema.columns[column].name
        others = [other for other in joint.schema.names if other != name]
        found = predict(joint, values, others, [name], edges).get(name)
        if found is not None:
            own = found.probabilities[np.arange(len(found.rows)), found.bins]
            result[found.rows, column] = np.log(np.maximum(own, 1e-6))
    return result


def learned_score(inside: Floats, outside: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Scores of a logistic attacker who learns on half of the people which columns give a member away.

    Args:
        inside: features of members, shape (m, f).
        outside: features of others, shape (n, f).
        seed: of the two halves; each half is scored by what was learned on the other.

    Returns:
        Scores of members, shape (m,), and of others, shape (n,).
    """
    x = np.r_[inside, outside]
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    x = np.c_[x, np.ones(len(x))]
    y = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    half = np.random.default_rng(seed).random(len(x)) < 0.5
    score = np.empty(len(x))
    for own in (half, ~half):
        weight = _logistic(x[~own], y[~own], ridge=float(x.shape[1]))
        score[own] = x[own] @ weight
    return score[: len(inside)], score[len(inside) :]


def exposure(planted: Floats, compared: Floats) -> Exposure:
    """Exposure of canaries from their scores. Carlini et al. 2019, "The Secret Sharer", USENIX Security.

    Args:
        planted: log probability of each planted canary, shape (k,).
        compared: of canaries of the same making that were not planted, shape (r,).

    Raises:
        BadInput: without canaries of either kind.

    >>> round(exposure(np.array([9.0]), np.arange(7.0)).most, 2)
    3.0
    """
    from scipy.stats import mannwhitneyu

    if not len(planted) or not len(compared):
        raise BadInput(f"{len(planted)} canaries planted, {len(compared)} to compare", field="canaries")
    ranks = 1 + (compared[None] >= planted[:, None]).sum(1)
    bits = np.log2(len(compared) + 1) - np.log2(ranks)
    p = float(mannwhitneyu(planted, compared, alternative="greater").pvalue)
    return Exposure(
        len(planted), len(compared), float(bits.mean()), float(bits.max()), int((ranks == 1).sum()), p
    )


def singling_out(
    joint: Joint, members: Floats, others: Floats, attempts: int = 1000, columns: int = 4, seed: int = 0
) -> SinglingOut:
    """Describe virtual humans by some of their values, and count the descriptions that fit one person only.

    As the multivariate attack of Giomi et al. 2023, "A Unified Framework for Quantifying Privacy Risk in
    Synthetic Data" (Anonymeter), PoPETs, but with a window around each number (a tenth of the standard
    deviation to either side) instead of a half-line: it asks more of a coincidence. Levels have to be equal.

    Args:
        joint: the attacked model; it is sampled with nothing known.
        members: shape (m, d), NaN where unknown.
        others: shape (n, d).
        attempts: number of descriptions.
        columns: values per description.
        seed: of samples and choices.
    """
    rng = np.random.default_rng(seed)
    size = min(len(members), len(others))
    inside = members[rng.permutation(len(members))[:size]]
    outside = others[rng.permutation(len(others))[:size]]
    virtual = joint.sample(np.full((attempts, members.shape[1]), np.nan), rng)
    numeric = np.array([c.numeric for c in joint.schema.columns])
    usable = [i for i, c in enumerate(joint.schema.columns) if c.group != "design"]
    window = 0.1 * np.nanstd(virtual, 0)
    shuffled = np.column_stack([rng.permutation(column) for column in virtual.T])
    chosen = [rng.choice(usable, min(columns, len(usable)), replace=False) for _ in range(attempts)]

    def hits(people: Floats, described: Floats) -> int:
        found = 0
        for row, some in zip(described, chosen, strict=True):
            fits = np.ones(len(people), bool)
            for i in some:
                fits &= np.abs(people[:, i] - row[i]) <= (window[i] if numeric[i] else 0)
            found += int(fits.sum()) == 1
        return found

    a, b = hits(inside, virtual), hits(outside, virtual)
    share_in, share_out = a / attempts, b / attempts
    low_in, high_in = wilson(a, attempts, alpha=0.01)
    low_out, high_out = wilson(b, attempts, alpha=0.01)
    scale = 1 - share_out if share_out < 1 else 1.0
    # Newcombe 1998, Statistics in Medicine 17: an interval of the difference of two shares from their own
    gap = share_in - share_out
    low = gap - math.hypot(share_in - low_in, high_out - share_out)
    high = gap + math.hypot(high_in - share_in, share_out - low_out)
    blind = hits(inside, shuffled) / attempts
    return SinglingOut(attempts, share_in, share_out, blind, gap / scale, low / scale, high / scale)


def attribute_inference(
    joint: Joint, members: Floats, others: Floats, secret: str, known: Sequence[str]
) -> Attribute:
    """Guess a secret column of people whose other values the attacker knows.

    Args:
        joint: the attacked model.
        members: shape (m, d), NaN where unknown.
        others: shape (n, d).
        secret: the column to guess.
        known: columns that the attacker knows.

    Raises:
        BadInput: when the secret is unknown in all members, or in all others.
    """
    column = joint.schema.index(secret)
    # of both together: bins and frequencies of one group alone would fit that group better
    drawn = np.r_[members[:, column], others[:, column]]
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        raise BadInput("it is unknown in everybody", field=secret)
    number = joint.schema.columns[column].numeric
    edges = {secret: bin_edges(drawn)} if number else {}
    gains = []
    for people in (members, others):
        found = predict(joint, people, known, [secret], edges).get(secret)
        if found is None:
            raise BadInput("it is unknown in everybody", field=secret)
        bins = found.probabilities.shape[1]
        place = np.searchsorted(edges[secret], drawn) if number else drawn.astype(int)
        frequency = (np.bincount(place, minlength=bins) + 0.5) / (len(drawn) + 0.5 * bins)
        own = np.maximum(found.probabilities[np.arange(len(found.rows)), found.bins], 1e-6)
        gains.append(np.log(own) - np.log(frequency[found.bins]))
    inside, outside = gains
    error = math.sqrt(inside.var() / len(inside) + outside.var() / len(outside))
    excess = float(inside.mean() - outside.mean())
    return Attribute(
        secret,
        float(inside.mean()),
        float(outside.mean()),
        excess,
        excess - 2.576 * error,
        excess + 2.576 * error,
    )


def _redraw(groups: Sequence[object]) -> Callable[[np.random.Generator], npt.NDArray[np.int64]]:
    units = np.unique([str(g) for g in groups], return_inverse=True)[1]
    order = np.argsort(units, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(units))[:-1])

    def draw(rng: np.random.Generator) -> npt.NDArray[np.int64]:
        return np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])

    return draw


def _logistic(x: Floats, y: Floats, ridge: float) -> Floats:
    """Weights of a ridge logistic regression by Newton's method."""
    weight = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weight, -30, 30)))
        gradient = x.T @ (p - y) + ridge * weight
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(weight)), gradient)
        weight -= step
        if np.abs(step).max() < 1e-8:
            break
    return weight
