"""One member of the network, made ready for drawing many people: a draw need not be as exact as an answer.

The same function as ``JointNet`` of the columns of one block: column by column, in half precision where the
processor multiplies that faster, without what only answers need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sciai.health.model.network import RARE, JointNet, Prepared

__all__ = ["Drawer"]

_HALF = torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32


class Drawer:
    """How likely each bin is, for drawing.

    Args:
        net: the network; changes of its weights are not followed.
        member: of the ensemble.
        half: precision of products; None takes what the processor is good at.
    """

    def __init__(self, net: JointNet, member: int, half: torch.dtype | None = None) -> None:
        own: Any = net.members[member]
        self.net, self._own, self._half = net, own, half or _HALF
        self._enter = self._weights(own.enter)
        self._blocks = [
            (norm, self._weights(up), self._weights(down))
            for norm, up, down in zip(own.norms, own.ups, own.downs, strict=True)
        ]

    def _weights(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        return layer.weight.detach().to(self._half), layer.bias.detach().to(self._half)

    def ends(
        self, batch: Prepared, numeric: Sequence[int], discrete: Sequence[int]
    ) -> list[npt.NDArray[Any]]:
        """Probability up to the end of each bin.

        Args:
            batch: see ``Prepared``.
            numeric: which of the numeric columns.
            discrete: which of the others.

        Returns:
            For each number, then for each other column: shape (n, bins).
        """
        with torch.inference_mode():
            x = self.net.features(batch)
            h = self._residual(x)
            told = self._numbers(x, h, batch, numeric) if len(numeric) else []
            if len(discrete):
                told += self._levels(h, batch, torch.as_tensor(discrete, dtype=torch.long))
            return [t.numpy() for t in told]

    def _residual(self, x: Tensor) -> Tensor:
        product = nn.functional.linear
        h = product(x.to(self._half), *self._enter).float()
        for norm, up, down in self._blocks:
            inner = nn.functional.silu(product(norm(h).to(self._half), *up), inplace=True)
            h += product(inner, *down)
        return self._own.last(h).to(self._half)  # type: ignore[no-any-return]

    def _out(self, h: Tensor, rows: Tensor, more: tuple[Tensor, Tensor] | None = None) -> Tensor:
        weight, bias = self._own.leave.weight[rows], self._own.leave.bias[rows]
        if more is not None:
            weight, bias = torch.cat([weight, more[0]]), torch.cat([bias, more[1]])
        return nn.functional.linear(h, weight.to(self._half), bias.to(self._half)).float()

    def _numbers(self, x: Tensor, h: Tensor, batch: Prepared, numeric: Sequence[int]) -> list[Tensor]:
        net, own, size = self.net, self._own, self.net.per_number
        chosen = torch.as_tensor(numeric, dtype=torch.long)
        rows = (chosen[:, None] * size + torch.arange(size)).flatten()
        places = [net.own[j][net.own[j] < net.bins] for j in numeric]
        if own.plain:
            out, shift, habit = self._out(h, rows), None, None
        else:
            every = torch.cat(places)
            out = self._out(h, rows, (own.bins[every, 1:], own.bins[every, 0]))
            shift = nn.functional.linear(x, own.straight[chosen])
            habit = nn.functional.linear(x[:, own.habits], own.habit[every])
            out[:, len(rows) :] += habit
        at = net.numeric_at[chosen]
        mean, sd = batch.mean[:, at], batch.sd[:, at]
        heads = out[:, : len(rows)].reshape(len(out), len(chosen), size)
        middle = mean + sd * (heads[..., 0] if shift is None else heads[..., 0] + shift)
        narrow = 1 / (np.sqrt(2.0) * sd * heads[..., 1].clamp(-3, 3).exp())
        lost = -middle * narrow
        tied = (net.features.partner[chosen] >= 0).tolist()
        zero, more = net.features.zero(batch, chosen) if any(tied) else (None, None)
        told, begin = [], len(rows)
        for k, j in enumerate(numeric):
            bins = int(net.real[j].sum())
            edges = net.edges[j, : bins + 1]
            up_to = torch.erf(torch.addcmul(lost[:, k, None], narrow[:, k, None], edges))
            p = (up_to[:, 1:] - up_to[:, :-1]).clamp_min_(2e-7)
            logs = heads[:, k, 2:] @ net.bumps[j, :bins].T
            if len(places[k]):
                logs += out[:, begin : begin + bins]
                begin += bins
            if zero is not None and more is not None and tied[k]:
                # as in the network: not forbidden, but hardly ever
                logs[:, 0] += RARE * (zero[:, k].float() - more[:, k].float())
                logs -= RARE * zero[:, k, None]
            logs -= logs.amax(1, keepdim=True)
            told.append(_cumulative(p.mul_(logs.exp_())))
        return told

    def _levels(self, h: Tensor, batch: Prepared, discrete: Tensor) -> list[Tensor]:
        net = self.net
        size = 1 + net.level.shape[1]
        first = net.per_number * len(net.numeric)
        rows = (first + discrete[:, None] * size + torch.arange(size)).flatten()
        out = self._out(h, rows).reshape(len(h), len(discrete), size)
        logs = net.levels(out, batch, discrete)
        counts = net.level[discrete].sum(1).long().tolist()
        return [_cumulative(logs[:, k, :n].exp()) for k, n in enumerate(counts)]


def _cumulative(p: Tensor) -> Tensor:
    ends = p.cumsum(1)
    return ends / ends[:, -1:]
