"""Which part of a question carries the answer, and whether the explanation itself can be believed.

Shapley values share an answer among what is known; they add up to it exactly. Integrated gradients do the
same for a differentiable function of many inputs. Both are tested by giving the model random weights: an
explanation that does not change then explains the question, not the model (Adebayo et al. 2018, NeurIPS,
"Sanity Checks for Saliency Maps").
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    import torch

__all__ = ["Attribution", "integrated_gradients", "randomised", "sanity", "shapley"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Attribution:
    """Shares of an answer.

    Attributes:
        names: the parts of the question.
        share: how much each adds to the answer, in its unit. Shape (n,).
        error: standard error of each share, where they were sampled; 0 where they are exact. Shape (n,).
        base: the answer without any of them.
        total: the answer with all of them; base + sum(share), up to the error.
    """

    names: tuple[str, ...]
    share: Floats
    error: Floats
    base: float
    total: float

    @property
    def gap(self) -> float:
        """How far the shares miss adding up: |base + sum(share) - total|."""
        return abs(self.base + float(self.share.sum()) - self.total)

    def ranked(self) -> list[tuple[str, float]]:
        """Names and shares, largest in size first."""
        order = np.argsort(-np.abs(self.share), kind="stable")
        return [(self.names[i], float(self.share[i])) for i in order]


def shapley(
    answer: Callable[[Mask], npt.ArrayLike],
    names: Sequence[str],
    *,
    exact: int = 10,
    orders: int = 200,
    seed: int = 0,
) -> Attribution:
    """Share an answer among the known parts of a question (Shapley 1953; Strumbelj and Kononenko 2014, KAIS
    41).

    Args:
        answer: masks of what is told, shape (k, n) -> answers, shape (k,). What is masked is not known: a
            joint model marginalises it, which is what makes the shares mean something.
        names: of the n parts.
        exact: up to so many parts all 2^n subsets are asked; beyond, random orders (each with its reverse,
            which halves the noise) are walked.
        orders: how many orders.
        seed: of the orders.

    Raises:
        BadInput: without parts, or where an answer is not finite.

    >>> told = shapley(lambda masks: masks @ [1.0, -2.0] + 5, ["a", "b"])
    >>> told.ranked(), told.base
    ([('b', -2.0), ('a', 1.0)], 5.0)
    """
    n = len(names)
    if n == 0:
        raise BadInput("nothing is known, so nothing can be explained", field="names")
    if n <= exact:
        return _all_subsets(answer, tuple(names))
    rng = np.random.default_rng(seed)
    rounds = max(2, orders // 2)
    deltas = np.zeros((rounds, n))
    base = total = 0.0
    for number in range(rounds):
        order = rng.permutation(n)
        for walk in (order, order[::-1]):
            masks = np.zeros((n + 1, n), bool)
            for step, part in enumerate(walk):
                masks[step + 1 :, part] = True
            values = _asked(answer, masks)
            deltas[number, walk] += np.diff(values) / 2
            base, total = float(values[0]), float(values[-1])
    error = deltas.std(0, ddof=1) / math.sqrt(rounds)
    return Attribution(tuple(names), deltas.mean(0), error, base, total)


def _all_subsets(answer: Callable[[Mask], npt.ArrayLike], names: tuple[str, ...]) -> Attribution:
    n = len(names)
    masks = np.array(list(itertools.product([False, True], repeat=n)), bool)
    values = _asked(answer, masks)
    size = masks.sum(1)
    code = masks @ (1 << np.arange(n)[::-1])
    position = np.empty(2**n, int)
    position[code] = np.arange(2**n)
    weight = np.array([math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)])
    share = np.zeros(n)
    for part in range(n):
        without = np.flatnonzero(~masks[:, part])
        joined = position[code[without] + (1 << (n - 1 - part))]
        share[part] = (weight[size[without]] * (values[joined] - values[without])).sum()
    return Attribution(names, share, np.zeros(n), float(values[position[0]]), float(values[position[-1]]))


def _asked(answer: Callable[[Mask], npt.ArrayLike], masks: Mask) -> Floats:
    values = np.asarray(answer(masks), float)
    if values.shape != (len(masks),) or not np.isfinite(values).all():
        raise BadInput(f"{len(masks)} finite answers are needed, not an array of shape {values.shape}")
    return values


def integrated_gradients(
    answer: Callable[[torch.Tensor], torch.Tensor],
    question: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    steps: int = 64,
) -> tuple[Floats, float]:
    """Gradients along the straight way from a baseline (Sundararajan et al. 2017, ICML).

    Args:
        answer: questions, shape (k, ...) -> answers, shape (k,), differentiable.
        question: shape (...).
        baseline: a question that says nothing, of the same shape.
        steps: points on the way (Gauss-Legendre).

    Returns:
        Shares of the question's shape; and the gap, how far they miss adding up to answer(question) -
        answer(baseline).

    Raises:
        BadInput: where the shapes differ.
    """
    import torch

    end = torch.as_tensor(np.asarray(question, float))
    start = torch.as_tensor(np.asarray(baseline, float))
    if end.shape != start.shape:
        raise BadInput(f"a question of shape {tuple(end.shape)}, a baseline of {tuple(start.shape)}")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    at = torch.as_tensor((nodes + 1) / 2).reshape(-1, *[1] * end.ndim)
    points = (start + at * (end - start)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(answer(points).sum(), points)
    weight = torch.as_tensor(weights / 2).reshape(at.shape)
    share = ((weight * gradient).sum(0) * (end - start)).numpy()
    with torch.no_grad():
        ends = answer(torch.stack([start, end]))
    return share, abs(float(share.sum()) - float(ends[1] - ends[0]))


def sanity(trained: npt.ArrayLike, untrained: npt.ArrayLike, limit: float = 0.5) -> list[Finding]:
    """Does an explanation notice that the model was replaced by one with random weights?

    Args:
        trained: shares that the model's answers were explained with, shape (questions, parts).
        untrained: shares for the same questions and an untrained model.
        limit: largest rank correlation of the sizes of the shares, averaged over the questions.

    Returns:
        A finding of caution where the two are as good as the same; else one that is OK, with the correlation.

    Raises:
        BadInput: where the shapes differ or there are fewer than three parts.
    """
    one, two = np.atleast_2d(np.asarray(trained, float)), np.atleast_2d(np.asarray(untrained, float))
    if one.shape != two.shape:
        raise BadInput(
            f"explanations of shape {one.shape} and {two.shape}", fix="explain the same parts by both"
        )
    if one.shape[1] < 3:
        raise BadInput(
            f"orders of {one.shape[1]} parts agree by chance, so the sanity test says nothing",
            fix="give three parts or more, or leave the sanity test out",
        )
    ranks = [np.argsort(np.argsort(np.abs(part), axis=1), axis=1).astype(float) for part in (one, two)]
    centred = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    correlation = float(((centred[0] * centred[1]).sum(1) / scale).mean())
    if correlation > limit:
        text = (
            f"explanations of the trained and of an untrained model rank the parts alike (correlation "
            f"{correlation:.2f}): they tell of the question, not of the model; do not show them as reasons"
        )
        return [Finding("explanation", Level.CAUTION, text)]
    text = f"explanations change with the model (rank correlation with an untrained one {correlation:.2f})"
    return [Finding("explanation", Level.OK, text)]


def randomised(
    arrays: Mapping[str, npt.NDArray[Any]], learned: Callable[[str], bool], seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a checkpoint with the learned ones shuffled, each in itself: weights of the same sizes
    that have learned nothing.

    Args:
        arrays: name -> array.
        learned: whether the array of this name is to be shuffled.
        seed: of the shuffling.

    >>> randomised({"w": np.arange(5), "edges": np.arange(3)}, lambda name: name == "w")["edges"].tolist()
    [0, 1, 2]
    """
    rng = np.random.default_rng(seed)
    # by name, as files list their arrays in an order of their own
    return {
        name: rng.permutation(np.asarray(arrays[name]).ravel()).reshape(np.shape(arrays[name]))
        if learned(name)
        else arrays[name]
        for name in sorted(arrays)
    }
