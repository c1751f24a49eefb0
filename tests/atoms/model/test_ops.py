"""The compiled sums are torch's own, with first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sciai.atoms.model import ops
from sciai.atoms.model.ops import Couplings, Pairs

CENTRE, NEIGHBOUR = [0, 0, 1, 1, 1, 3], [1, 2, 0, 3, 1, 2]  # atom 2 has no pairs, atom 1 sees its own image
TRIPLES = [(1, 1, 2), (2, 2, 2), (1, 2, 3), (2, 3, 3)]


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _cases() -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[Tensor, ...]]]:
    torch.manual_seed(0)
    n, e, k, c = 4, len(CENTRE), 4, 3
    pairs = Pairs.of(torch.tensor(CENTRE), torch.tensor(NEIGHBOUR), n)
    couplings = Couplings.of(3, TRIPLES)

    def bind(name: str, *more: Any) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
        fast, plain = getattr(ops, name), getattr(ops, f"{name}_plain")
        return (lambda *x: fast(*x, *more)), (lambda *x: plain(*x, *more))

    return {
        "density": (
            *bind("density", pairs),
            (_random(e, k), _random(k, 4 * c), _random(n, c), _random(e, 16)),
        ),
        "carry": (*bind("carry", pairs), (_random(e, k), _random(k, 2 * c), _random(n, 8, c))),
        "products": (*bind("products", couplings), (_random(n, 16, c), _random(n, 16, c))),
    }


@pytest.mark.parametrize("name", ["density", "carry", "products"])
def test_compiled_equals_plain(name: str) -> None:
    fast, plain, inputs = _cases()[name]
    torch.testing.assert_close(fast(*inputs), plain(*inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["density", "carry", "products"])
def test_first_and_second_derivatives(name: str) -> None:
    fast, _, inputs = _cases()[name]
    assert torch.autograd.gradcheck(fast, inputs)
    assert torch.autograd.gradgradcheck(fast, inputs)


@pytest.mark.parametrize("name", ["density", "carry", "products"])
def test_single_precision(name: str) -> None:
    fast, _, inputs = _cases()[name]
    single = fast(*(x.detach().float() for x in inputs))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), fast(*inputs).detach(), rtol=1e-4, atol=1e-4)


def test_a_third_derivative_is_refused() -> None:
    fast, _, inputs = _cases()["products"]
    a, b = inputs
    (first,) = torch.autograd.grad(fast(a, b).sin().sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_products_are_invariant_under_rotation() -> None:
    from scipy.spatial.transform import Rotation

    from sciai.atoms.model.harmonics import harmonics

    torch.manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(12, 3, dtype=torch.float64), dim=1)
    turned = vectors @ torch.as_tensor(Rotation.random(random_state=0).as_matrix())
    weights = torch.randn(12, 4, 5, dtype=torch.float64)  # of each vector, level and channel

    def answer(u: Tensor) -> Tensor:
        rows = [level for level in range(4) for _ in range(2 * level + 1)]
        a = (harmonics(u, 3)[:, :, None] * weights[:, rows]).sum(0, keepdim=True)
        return ops.products(a, a.flip(2), Couplings.of(3, TRIPLES))

    torch.testing.assert_close(answer(vectors), answer(turned), rtol=1e-10, atol=1e-10)
    assert float(answer(vectors).abs().min()) > 1e-6  # none of them vanishes by symmetry
