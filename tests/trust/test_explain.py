"""Shares add up, follow the axioms, agree with closed forms, and notice an untrained model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.trust.explain import integrated_gradients, sanity, shapley


def game(seed: int, n: int):  # type: ignore[no-untyped-def]
    table = dict(
        zip(
            itertools.product([False, True], repeat=n),
            np.random.default_rng(seed).normal(size=2**n),
            strict=True,
        )
    )
    return lambda masks: [table[tuple(bool(b) for b in mask)] for mask in masks]


@given(st.integers(0, 1000), st.integers(1, 5))
def test_exact_shares_add_up_and_equal_the_mean_over_orders(seed: int, n: int) -> None:
    answer, names = game(seed, n), [f"x{k}" for k in range(n)]
    told = shapley(answer, names)
    assert told.gap < 1e-9
    mean = np.zeros(n)
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        mask = np.zeros((1, n), bool)
        before = answer(mask)[0]
        for part in order:
            mask[0, part] = True
            after = answer(mask)[0]
            mean[part] += (after - before) / len(orders)
            before = after
    np.testing.assert_allclose(told.share, mean, atol=1e-9)


def test_a_part_that_changes_nothing_gets_nothing_and_equal_parts_the_same() -> None:
    told = shapley(lambda m: np.maximum(m[:, 0], m[:, 1]) * 3.0, ["a", "b", "idle"])
    np.testing.assert_allclose(told.share, [1.5, 1.5, 0.0], atol=1e-12)


def test_sampled_shares_agree_with_exact_ones_within_their_error() -> None:
    rng = np.random.default_rng(0)
    linear, pair = rng.normal(size=12), rng.normal()

    def answer(masks: np.ndarray) -> np.ndarray:
        return masks @ linear + pair * (masks[:, 0] & masks[:, 5] & masks[:, 7])

    exact, sampled = (
        shapley(answer, [str(k) for k in range(12)], exact=20),
        shapley(answer, [str(k) for k in range(12)], orders=400),
    )
    assert sampled.gap < 1e-9, "each walk adds up, so their mean does"
    assert (np.abs(sampled.share - exact.share) <= 4 * sampled.error + 1e-9).all()
    assert sampled.error.max() > 0


def test_integrated_gradients_are_complete_and_exact_where_the_function_is_additive() -> None:
    def answer(x: torch.Tensor) -> torch.Tensor:
        return (x**2).sum(-1) + 3 * x[:, 0]

    share, gap = integrated_gradients(answer, [1.0, 2.0], [0.0, 0.5])
    np.testing.assert_allclose(share, [4.0, 3.75])
    assert gap < 1e-12
    smooth = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    assert integrated_gradients(lambda x: smooth(x)[:, 0], [1.0, -2.0], [0.0, 0.0])[1] < 1e-6


def fitted(train: bool) -> torch.nn.Module:
    """A network that, trained, looks at the first of six inputs only."""
    torch.manual_seed(0 if train else 1)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    x = torch.randn(256, 6, dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(150 if train else 0):
        optimizer.zero_grad()
        ((net(x)[:, 0] - 3 * x[:, 0]) ** 2).mean().backward()
        optimizer.step()
    return net


def test_an_untrained_model_is_explained_otherwise() -> None:
    questions = np.random.default_rng(0).normal(size=(20, 6))
    shares = {
        train: [integrated_gradients(lambda x, net=net: net(x)[:, 0], q, np.zeros(6))[0] for q in questions]
        for train in (True, False)
        if (net := fitted(train))
    }
    assert sanity(shares[True], shares[False])[0].level == Level.OK
    # an explanation that only looks at the question is found out
    assert sanity(questions, questions * 1.01)[0].level == Level.CAUTION


def test_bad_input() -> None:
    with pytest.raises(BadInput, match="nothing is known"):
        shapley(lambda m: np.zeros(len(m)), [])
    with pytest.raises(BadInput, match="finite"):
        shapley(lambda m: np.full(len(m), np.nan), ["a"])
    with pytest.raises(BadInput, match="shape"):
        integrated_gradients(lambda x: x.sum(-1), [1.0], [1.0, 2.0])
    with pytest.raises(BadInput, match="three parts"):
        sanity([[1.0, 2.0]], [[1.0, 2.0]])
