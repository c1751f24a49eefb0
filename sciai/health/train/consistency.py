"""One distribution, whichever column is asked first: what training pays where it is not so.

In a joint distribution log P(a | known) + log P(b | a, known) and log P(b | known) + log P(a | b, known) are
the same number. A network that learned each conditional by itself keeps to that only as far as its data told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sciai.health.model.network import JointNet

__all__ = ["log_probabilities", "order_gap"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SMALL = 0.05  # nats; below, a gap counts by its square


def log_probabilities(net: JointNet, told: tuple[Tensor, Tensor], bins: Tensor) -> Tensor:
    """Log probability of each value's bin.

    Args:
        net: the network.
        told: what it says, see ``JointNet.forward``.
        bins: of the values, shape (n, d).

    Returns:
        Shape (members, n, d).
    """
    members = len(told[0])
    found = torch.zeros(members, *bins.shape)
    for logs, columns in zip(told, (net.numeric, net.discrete), strict=True):
        if columns:
            places = bins[None, :, columns, None].expand(members, -1, -1, -1)
            found[:, :, columns] = logs.float().gather(-1, places)[..., 0]
    return found


def order_gap(
    net: JointNet,
    values: Floats,
    told: Mask,
    asked: Mask,
    bins: Tensor,
    rng: np.random.Generator,
    share: float = 0.25,
) -> Tensor:
    """How far the two orders of random pairs of columns are apart; 0 where no row has two columns to ask for.

    It is the gap of the answers that are given, of all members and with no unit left out: noise of dropout
    would count as a gap, and could be lowered by telling less.

    Args:
        net: the network.
        values: shape (n, d), NaN where unknown.
        told: what is known of each row, shape (n, d).
        asked: what is there but not told, shape (n, d).
        bins: of the values, shape (n, d).
        rng: chooses rows and pairs.
        share: of the rows for which a pair is asked.

    Returns:
        Mean over pairs of the smoothed absolute gap in nats, shape ().
    """
    design = np.array([c.group == "design" for c in net.copula.schema.columns])
    usable = asked & ~design
    rows = np.flatnonzero(usable.sum(1) >= 2)
    rows = rng.permutation(rows)[: max(1, round(share * len(values)))]
    if not len(rows):
        return torch.zeros(())
    a, b = np.argsort(np.where(usable[rows], rng.random((len(rows), len(design))), 2.0), 1)[:, :2].T
    more = np.repeat(told[rows][None], 3, 0)
    here = np.arange(len(rows))
    more[1, here, a], more[2, here, b] = True, True
    scores = np.tile(net.copula.scores(values[rows]), (3, 1))
    net.eval()
    said = net(net.prepare(scores, more.reshape(-1, len(design))))
    net.train()
    members = log_probabilities(net, said, bins[rows].repeat(3, 1))
    first, with_a, with_b = (members.logsumexp(0) - np.log(len(members))).chunk(3)
    one = first[here, a] + with_a[here, b]
    two = first[here, b] + with_b[here, a]
    return torch.nn.functional.smooth_l1_loss(one, two, beta=_SMALL)
