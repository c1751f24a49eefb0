"""In which order a person is drawn, and what is drawn together."""

from __future__ import annotations

import numpy as np

from sciai.health.data.columns import Kind
from sciai.health.model.copula import Copula

__all__ = ["BLOCKS", "drawing_plan"]

BLOCKS = 12
# Everything else depends on them, in curved ways. Ethnicity comes before age, not with it: levels without
# order are drawn independently of their block, and the old are other people than the young.
_FIRST = (("cycle",), ("race_eth", "sex", "fasted"), ("age",))


def drawing_plan(copula: Copula, blocks: int = BLOCKS) -> list[list[int]]:
    """Blocks of columns, one after the other; what is alike goes to different blocks.

    The survey cycle comes first, then a person's ethnicity, sex and whether they fasted, then age. The
    others are taken in the order of how much they hang together with the rest, each into the block in which
    it correlates least with those already there. A column whose levels have no order is drawn independently
    of its block, so it should share one with nothing like it. Columns that only some people were asked for,
    by design, come last: that one is known tells the era, or that the person fasted, and what is drawn after
    it would follow.

    Args:
        copula: gives the correlation.
        blocks: how many after the first three.

    Returns:
        Places of the columns, block by block.
    """
    schema = copula.schema
    count = len(schema)
    latent = np.abs(copula.correlation) - np.eye(len(copula.correlation))
    strength = np.zeros((count, count))
    np.maximum.at(strength, (copula.owner[:, None], copula.owner[None, :]), latent)
    plan = [[schema.index(name) for name in names if name in schema] for names in _FIRST]
    placed = {i for block in plan for i in block}
    last = [i for i, c in enumerate(schema.columns) if c.partial and i not in placed]
    placed |= set(last)
    rest = [int(i) for i in np.argsort(-strength.sum(1), kind="stable") if int(i) not in placed]
    room = -(-len(rest) // max(blocks, 1))
    bins: list[list[int]] = [[] for _ in range(max(blocks, 1))]
    for i in rest:
        free = [b for b in bins if len(b) < room]
        weight = 3.0 if schema.columns[i].kind is Kind.CATEGORICAL else 1.0
        cost = [weight * float((strength[i, b] ** 2).sum()) for b in free]
        free[int(np.argmin(cost))].append(i)
    return [block for block in [*plan, *bins, last] if block]
