"""Sums over neighbours and products of their components: differentiable twice, compiled on the CPU.

Each operation has a plain torch version (``*_plain``), which is what a GPU runs and what tests compare with,
and a compiled one behind the same name. The compiled ones are ``autograd.Function``s whose backward is again
a ``Function``, so a loss that contains forces can be differentiated. A third derivative is not there: asking
for it raises an error.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Couplings",
    "Pairs",
    "carry",
    "carry_plain",
    "compiled",
    "density",
    "density_plain",
    "products",
    "products_plain",
]


@dataclass(frozen=True)
class Pairs:
    """Directed pairs, sorted by centre.

    Attributes:
        centre: int64 [e].
        neighbour: int64 [e].
        pointers: int64 [n + 1]: pairs ``pointers[i]:pointers[i + 1]`` are atom i's.
    """

    centre: Tensor
    neighbour: Tensor
    pointers: Tensor

    @classmethod
    def of(cls, centre: Tensor, neighbour: Tensor, n: int) -> Pairs:
        """Pairs of n atoms.

        >>> Pairs.of(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 0]), 3).pointers.tolist()
        [0, 2, 2, 3]
        """
        ends = torch.cumsum(torch.bincount(centre, minlength=n), 0)
        return cls(centre, neighbour, torch.cat([ends.new_zeros(1), ends]))

    @property
    def n(self) -> int:
        """Number of atoms."""
        return int(self.pointers.shape[0]) - 1


@dataclass(frozen=True)
class Couplings:
    """Which products of components are invariant under rotation, and with what factors.

    Attributes:
        lmax: highest level; components are numbered level by level, (lmax + 1)^2 in all.
        outputs: number of invariants.
        two: (p, q, output) of products a[p] b[q], int64 [t, 3].
        two_f: their factors [t].
        three: (p, q, r, output) of products a[p] a[q] b[r], int64 [t, 4].
        three_f: their factors [t].
    """

    lmax: int
    outputs: int
    two: NDArray[np.int64]
    two_f: NDArray[np.float64]
    three: NDArray[np.int64]
    three_f: NDArray[np.float64]

    @classmethod
    def of(cls, lmax: int, triples: Sequence[Sequence[int]]) -> Couplings:
        """One invariant per level from two factors, and one per triple of levels from three.

        Args:
            lmax: highest level, 0 to 3.
            triples: levels (l1, l2, l3) whose sum is even; the third belongs to b.

        >>> Couplings.of(2, [(1, 1, 2)]).outputs
        4
        """
        from sciai.atoms.model.harmonics import invariant

        two = [(m, m, level) for level in range(lmax + 1) for m in range(level**2, (level + 1) ** 2)]
        three, factors = [], []
        for k, (l1, l2, l3) in enumerate(triples):
            tensor = invariant(l1, l2, l3)
            terms: dict[tuple[int, int, int], float] = {}
            for p, q, r in np.argwhere(np.abs(tensor) > 1e-9):
                # a[p] a[q] is symmetric where both come from one level: one term for both orders
                first, second = sorted((int(p) + l1**2, int(q) + l2**2))
                key = (first, second, int(r) + l3**2)
                terms[key] = terms.get(key, 0.0) + float(tensor[p, q, r])
            for key, factor in terms.items():
                if abs(factor) > 1e-9:
                    three.append((*key, lmax + 1 + k))
                    factors.append(factor)
        return cls(
            lmax,
            lmax + 1 + len(triples),
            np.array(two, np.int64).reshape(-1, 3),
            np.ones(len(two)),
            np.array(three, np.int64).reshape(-1, 4),
            np.array(factors, float),
        )

    @functools.cached_property
    def typed(self) -> dict[torch.dtype, tuple[NDArray[Any], ...]]:
        """The tables with factors in each precision."""
        return {
            t: (self.two, self.two_f.astype(d), self.three, self.three_f.astype(d))
            for t, d in ((torch.float32, np.float32), (torch.float64, np.float64))
        }


def density(radial: Tensor, filters: Tensor, phi: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
    """What surrounds each atom: a[i, m, c] = sum over neighbours of (radial filters)[l(m), c] phi[j, c] y[m].

    Args:
        radial: radial functions of each pair [e, K], K a multiple of four.
        filters: weights [K, (lmax + 1) C], level by level.
        phi: what neighbours send [n, C].
        y: angular functions [e, (lmax + 1)^2].
        pairs: the pairs.

    Returns:
        [n, (lmax + 1)^2, C].
    """
    if compiled(radial):
        result: Tensor = _Density.apply(radial, filters, phi, y, pairs)
        return result
    return density_plain(radial, filters, phi, y, pairs)


def density_plain(radial: Tensor, filters: Tensor, phi: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
    """As ``density``, in torch's own operations; holds [e, (lmax + 1)^2, C] in memory."""
    channels = phi.shape[1]
    weight = (radial @ filters).view(len(radial), -1, channels) * phi[pairs.neighbour][:, None]
    spread = weight[:, _levels(weight.shape[1], 0, y.device)] * y[:, :, None]
    return _sum(spread, pairs)


def carry(radial: Tensor, filters: Tensor, v: Tensor, pairs: Pairs) -> Tensor:
    """Tensors handed on: b[i, m, c] = sum over neighbours of (radial filters)[l(m), c] v[j, m, c].

    Args:
        radial: as for ``density``.
        filters: weights [K, L C] of the levels 1 ... L.
        v: components of the levels 1 ... L [n, (L + 1)^2 - 1, C].
        pairs: the pairs.

    Returns:
        Shape of v.
    """
    if compiled(radial):
        result: Tensor = _Carry.apply(radial, filters, v, pairs)
        return result
    return carry_plain(radial, filters, v, pairs)


def carry_plain(radial: Tensor, filters: Tensor, v: Tensor, pairs: Pairs) -> Tensor:
    """As ``carry``, in torch's own operations."""
    weight = (radial @ filters).view(len(radial), -1, v.shape[2])
    spread = weight[:, _levels(weight.shape[1], 1, v.device)] * v[pairs.neighbour]
    return _sum(spread, pairs)


def products(a: Tensor, b: Tensor, couplings: Couplings) -> Tensor:
    """Invariant products of two and three components, channel by channel.

    Args:
        a: [n, (lmax + 1)^2, C].
        b: same shape.
        couplings: which products.

    Returns:
        [n, outputs, C].
    """
    if compiled(a):
        result: Tensor = _Products.apply(a, b, couplings)
        return result
    return products_plain(a, b, couplings)


def products_plain(a: Tensor, b: Tensor, couplings: Couplings) -> Tensor:
    """As ``products``, in torch's own operations."""
    out = a.new_zeros(a.shape[0], couplings.outputs, a.shape[2])
    two, three = (torch.as_tensor(table, device=a.device) for table in (couplings.two, couplings.three))
    two_f = torch.as_tensor(couplings.two_f, dtype=a.dtype, device=a.device)[:, None]
    three_f = torch.as_tensor(couplings.three_f, dtype=a.dtype, device=a.device)[:, None]
    out = out.index_add(1, two[:, 2], two_f * a[:, two[:, 0]] * b[:, two[:, 1]])
    if len(three):
        triple = three_f * a[:, three[:, 0]] * a[:, three[:, 1]] * b[:, three[:, 2]]
        out = out.index_add(1, three[:, 3], triple)
    return out


def _kernels() -> Any:
    """The compiled module; loaded at first use, as compiling takes seconds."""
    from sciai.atoms.model import kernels

    return kernels


def compiled(x: Tensor) -> bool:
    """Whether sums are compiled here: on a CPU, unless ``SCIAI_ATOMS_PLAIN=1`` asks for torch's own."""
    return x.device.type == "cpu" and os.environ.get("SCIAI_ATOMS_PLAIN", "") != "1"


def _levels(levels: int, first: int, device: torch.device) -> Tensor:
    """The level's row of every component: [0, 1, 1, 1, 2, ...] for first = 0."""
    rows = [row for row in range(levels) for _ in range(2 * (row + first) + 1)]
    return torch.tensor(rows, device=device)


def _sum(values: Tensor, pairs: Pairs) -> Tensor:
    return values.new_zeros(pairs.n, *values.shape[1:]).index_add(0, pairs.centre, values)


def _np(x: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = x.detach().contiguous().numpy()
    return array


def _filled(grad: Tensor | None, like: Tensor) -> NDArray[Any]:
    return _np(torch.zeros_like(like) if grad is None else grad)


class _Density(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, radial: Tensor, filters: Tensor, phi: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
        kernels = _kernels()
        ctx.save_for_backward(radial, filters, phi, y)
        ctx.pairs = pairs
        out = phi.new_empty(pairs.n, y.shape[1], phi.shape[1])
        at, nbr = pairs.pointers.numpy(), pairs.neighbour.numpy()
        kernels.density(_np(radial), _np(filters), _np(phi), _np(y), at, nbr, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        radial, filters, phi, y = ctx.saved_tensors
        weights = bool(ctx.needs_input_grad[1])
        return *_DensityBack.apply(radial, filters, phi, y, grads[0], ctx.pairs, weights), None


class _DensityBack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        radial: Tensor,
        filters: Tensor,
        phi: Tensor,
        y: Tensor,
        g: Tensor,
        pairs: Pairs,
        weights: bool,
    ) -> tuple[Tensor, ...]:
        kernels = _kernels()
        ctx.save_for_backward(radial, filters, phi, y, g)
        ctx.pairs = pairs
        ctx.set_materialize_grads(False)
        dr, df, dphi, dy = (make(x) for make, x in _outputs(radial, filters, phi, y))
        at, nbr = pairs.pointers.numpy(), pairs.neighbour.numpy()
        inputs = [_np(x) for x in (radial, filters, phi, y, g)]
        kernels.density_back(*inputs, at, nbr, weights, dr.numpy(), df.numpy(), dphi.numpy(), dy.numpy())
        return dr, df, dphi, dy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, hr: Tensor, hf: Tensor | None, hphi: Tensor, hy: Tensor) -> Any:
        kernels = _kernels()
        radial, filters, phi, y, g = ctx.saved_tensors
        dr, df, dphi, dy = (make(x) for make, x in _outputs(radial, filters, phi, y))
        dg = torch.empty_like(g, memory_format=torch.contiguous_format)
        at, nbr = ctx.pairs.pointers.numpy(), ctx.pairs.neighbour.numpy()
        inputs = [_np(x) for x in (radial, filters, phi, y, g)]
        hs = [_filled(h, x) for h, x in ((hr, radial), (hphi, phi), (hy, y))]
        outs = [x.numpy() for x in (dr, df, dphi, dy, dg)]
        kernels.density_second(*inputs, *hs, at, nbr, *outs)
        if hf is not None:  # a second derivative with respect to the weights; training on forces has none
            with torch.enable_grad():
                args = [x.detach().requires_grad_() for x in (radial, phi, y, g)]
                again = (density_plain(args[0], hf, args[1], args[2], ctx.pairs) * args[3]).sum()
            more = torch.autograd.grad(again, args)
            dr, dphi, dy, dg = (x + m for x, m in zip((dr, dphi, dy, dg), more, strict=True))
        return dr, df, dphi, dy, dg, None, None


def _outputs(radial: Tensor, filters: Tensor, phi: Tensor, y: Tensor) -> Any:
    """Which outputs are summed into, and have to start at zero."""
    return (
        (torch.zeros_like, radial),
        (torch.zeros_like, filters),
        (torch.zeros_like, phi),
        (torch.empty_like, y),
    )


class _Carry(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, radial: Tensor, filters: Tensor, v: Tensor, pairs: Pairs) -> Tensor:
        kernels = _kernels()
        v = v.contiguous()
        ctx.save_for_backward(radial, filters, v)
        ctx.pairs = pairs
        out = torch.zeros_like(v)
        at, nbr = pairs.pointers.numpy(), pairs.neighbour.numpy()
        kernels.carry(_np(radial), _np(filters), _np(v), at, nbr, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        weights = bool(ctx.needs_input_grad[1])
        return *_CarryBack.apply(*ctx.saved_tensors, grads[0], ctx.pairs, weights), None


class _CarryBack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, radial: Tensor, filters: Tensor, v: Tensor, g: Tensor, pairs: Pairs, weights: bool
    ) -> tuple[Tensor, ...]:
        kernels = _kernels()
        g = g.contiguous()
        ctx.save_for_backward(radial, filters, v, g)
        ctx.pairs = pairs
        ctx.set_materialize_grads(False)
        dr, df, dv = torch.zeros_like(radial), torch.zeros_like(filters), torch.zeros_like(v)
        at, nbr = pairs.pointers.numpy(), pairs.neighbour.numpy()
        inputs = [_np(x) for x in (radial, filters, v, g)]
        kernels.carry_back(*inputs, at, nbr, weights, dr.numpy(), df.numpy(), dv.numpy())
        return dr, df, dv

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, hr: Tensor, hf: Tensor | None, hv: Tensor) -> Any:
        kernels = _kernels()
        radial, filters, v, g = ctx.saved_tensors
        dr, df = torch.zeros_like(radial), torch.zeros_like(filters)
        dv, dg = torch.zeros_like(v), torch.empty_like(g)
        at, nbr = ctx.pairs.pointers.numpy(), ctx.pairs.neighbour.numpy()
        inputs = [_np(x) for x in (radial, filters, v, g)]
        outs = [x.numpy() for x in (dr, df, dv, dg)]
        kernels.carry_second(*inputs, _filled(hr, radial), _filled(hv, v), at, nbr, *outs)
        if hf is not None:
            with torch.enable_grad():
                args = [x.detach().requires_grad_() for x in (radial, v, g)]
                again = (carry_plain(args[0], hf, args[1], ctx.pairs) * args[2]).sum()
            more = torch.autograd.grad(again, args)
            dr, dv, dg = (x + m for x, m in zip((dr, dv, dg), more, strict=True))
        return dr, df, dv, dg, None, None


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, couplings: Couplings) -> Tensor:
        kernels = _kernels()
        a, b = a.contiguous(), b.contiguous()
        ctx.save_for_backward(a, b)
        ctx.couplings = couplings
        out = a.new_empty(a.shape[0], couplings.outputs, a.shape[2])
        kernels.products(_np(a), _np(b), *couplings.typed[a.dtype], out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return *_ProductsBack.apply(*ctx.saved_tensors, grads[0], ctx.couplings), None


class _ProductsBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, g: Tensor, couplings: Couplings) -> tuple[Tensor, Tensor]:
        kernels = _kernels()
        g = g.contiguous()
        ctx.save_for_backward(a, b, g)
        ctx.couplings = couplings
        da, db = torch.empty_like(a), torch.empty_like(b)
        tables = couplings.typed[a.dtype]
        kernels.products_back(_np(a), _np(b), _np(g), *tables, da.numpy(), db.numpy())
        return da, db

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, ha: Tensor, hb: Tensor) -> Any:
        kernels = _kernels()
        a, b, g = ctx.saved_tensors
        da, db, dg = torch.empty_like(a), torch.empty_like(b), torch.empty_like(g)
        inputs = [_np(x) for x in (a, b, g, ha, hb)]
        kernels.products_second(*inputs, *ctx.couplings.typed[a.dtype], da.numpy(), db.numpy(), dg.numpy())
        return da, db, dg, None
