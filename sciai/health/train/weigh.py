"""How much of the network's word counts: of every column as much as held-out people need, and no more.

Where few people tell, a network still learns something of each, and says it of nobody else. So what it adds
to the copula is weakened, column by column, as far as people who were not learned from do not clearly lose.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet
from sciai.health.train.masks import PANELS, little, masks, panel

__all__ = ["weigh"]

Floats = npt.NDArray[np.float64]

_SHARES: Final = (0.2, 0.4, 0.55, 0.7, 0.85, 1.0)
_SLACK_NUMBERS: Final = 2.0  # standard errors of the paired difference to the best share
_SLACK_LEVELS: Final = 1.0  # less: of a rare disease few cases tell, and much would pass for no loss
_FEWEST: Final = 20  # people with a value; with fewer, all of the network counts
_ASKED: Final = 0.12  # share of a panel that is asked for


def weigh(net: JointNet, held: Floats, seed: int = 5) -> Floats:
    """Weaken the network where held-out people lose nothing by it; changes its weights.

    People are asked from basic data, from a check-up, with random gaps and with little told. Of each column
    the smallest share is kept whose mean loss is not clearly larger than that of the best one (Breiman et al.
    1984, "Classification and Regression Trees", section 3.4.3, on the rule of one standard error). Of a
    column with a twin (``Column.twin``) all counts.

    Args:
        net: the trained network.
        held: people it did not learn from, shape (n, d), NaN where unknown.
        seed: of the gaps.

    Returns:
        The share of each column that counts, shape (d,).
    """
    schema, trained = net.copula.schema, {k: v.clone() for k, v in net.state_dict().items()}
    there, rng = np.isfinite(held), np.random.default_rng(seed)
    panels = [panel(schema, PANELS[name]) for name in ("basic", "check-up")]
    told = [own & (rng.random(held.shape) > _ASKED) & there for own in panels]
    told += [own & there for own in (masks(schema, len(held), rng), little(schema, len(held), rng))]
    losses = []
    for share in _SHARES:
        net.load_state_dict(trained)
        net.weaken(np.full(len(schema), share))
        losses.append(_losses(NeuralJoint(net), held, told))
    shares = np.ones(len(schema))
    for i, column in enumerate(schema.columns):
        own = np.stack([loss[:, i] for loss in losses])
        own = own[:, np.isfinite(own[0])]
        # what all but gives a column away is told tightly; a weakened network would blur it in virtual humans
        if own.shape[1] >= _FEWEST and column.twin is None:
            worse = own - own[own.mean(1).argmin()]
            slack = _SLACK_NUMBERS if column.numeric else _SLACK_LEVELS
            allowed = slack * worse.std(1) / np.sqrt(worse.shape[1])
            shares[i] = _SHARES[int((worse.mean(1) <= allowed + 1e-12).argmax())]
    net.load_state_dict(trained)
    net.weaken(shares)
    return shares


def _losses(joint: NeuralJoint, held: Floats, told: list[npt.NDArray[np.bool_]]) -> Floats:
    """Mean over the ways of asking of -log p of each value's bin, NaN where it was always told; (n, d)."""
    bins = joint.layout.bins_of(held)
    total, count = np.zeros(held.shape), np.zeros(held.shape)
    for own in told:
        known, asked = np.where(own, held, np.nan), np.isfinite(held) & ~own
        for i, (p, _) in enumerate(joint.shared(known, range(held.shape[1]))):
            rows = np.flatnonzero(asked[:, i])
            total[rows, i] -= np.log(np.maximum(p[rows, bins[rows, i]], 1e-6))
            count[rows, i] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
