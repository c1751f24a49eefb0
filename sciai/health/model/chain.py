"""What every joint model here has in common: bins in, answers out (``Joint``).

A model says how likely each bin of each column is, given what is known; predictive distributions, joint
samples and likelihoods follow from that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.data.columns import Schema
from sciai.health.model.binned import Binned
from sciai.health.model.interface import Predictive
from sciai.health.model.margins import Layout

__all__ = ["BinnedJoint", "patterns"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def patterns(known: Mask) -> tuple[Mask, npt.NDArray[np.int64]]:
    """The distinct rows of a mask, and which of them each row is.

    Args:
        known: shape (n, d).

    Returns:
        Shape (p, d), and shape (n,).
    """
    packed = np.packbits(known, axis=1)
    rows = np.ascontiguousarray(packed).view([("", packed.dtype)] * packed.shape[1])[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return known[first], which.reshape(-1).astype(np.int64)


class BinnedJoint:
    """Base of the models whose answer is a probability for each bin.

    Args:
        schema: the columns.
        layout: their margins and bins.
        chunk: rows per pass; bounds memory.
    """

    def __init__(self, schema: Schema, layout: Layout, chunk: int = 512) -> None:
        self.schema, self.layout, self.chunk = schema, layout, chunk

    def bins(self, known: Floats, columns: Sequence[int]) -> list[tuple[Floats, Floats | None]]:
        """Probability of each bin of some columns, given the known values of all others.

        Args:
            known: shape (n, d), NaN where unknown; the columns asked for are unknown in every row.
            columns: their places.

        Returns:
            For each, shape (n, k), and of each member of an ensemble (members, n, k) where there is one.
        """
        raise NotImplementedError

    def sample(self, known: Floats, rng: np.random.Generator, only: Sequence[str] | None = None) -> Floats:
        """See ``Joint``."""
        raise NotImplementedError

    def predictive(self, known: Floats, targets: Sequence[str]) -> dict[str, Predictive]:
        """See ``Joint``."""
        values = self._checked(known)
        places = [self.schema.index(name) for name in targets]
        result: dict[str, Predictive] = {}
        free = [i for i in places if np.isnan(values[:, i]).all()]
        told = dict(zip(free, self.shared(values, free), strict=True)) if free else {}
        # a target that is known somewhere is hidden for itself, but stays known for the other targets
        mixed = [i for i in places if i not in told]
        if mixed:
            some = np.asarray(np.isnan(values[:, mixed]).any(1))
            shared = dict(zip(mixed, self.shared(values[some], mixed), strict=True)) if some.any() else {}
            for i in mixed:
                told[i] = self._alone(values, i, some, shared.get(i))
        for i, name in zip(places, targets, strict=True):
            p, members = told[i]
            result[name] = Binned(self.layout.margins[i], p, members)
        return result

    def each(self, rows: Floats, names: Sequence[str]) -> list[Predictive]:
        """Row i's distribution of column names[i] alone, in one pass; the column's own value is not used.

        Args:
            rows: shape (k, d), NaN where unknown.
            names: k free columns.
        """
        values = self._checked(rows)
        places = [self.schema.index(name) for name in names]
        values[np.arange(len(places)), places] = np.nan
        # other rows may know a column: what the pass says of it there is not used
        told = self.shared(values, places)
        return [
            Binned(self.layout.margins[i], p[k : k + 1], None if m is None else m[:, k : k + 1])
            for k, (i, (p, m)) in enumerate(zip(places, told, strict=True))
        ]

    def _alone(
        self, values: Floats, i: int, some: Mask, shared: tuple[Floats, Floats | None] | None
    ) -> tuple[Floats, Floats | None]:
        """Column i of every row: from the shared pass where it is unknown, from one of its own elsewhere."""
        own = ~np.isnan(values[:, i])
        hidden = values[own]
        hidden[:, i] = np.nan
        p, members = self.shared(hidden, [i])[0]
        if own.all() or shared is None:
            return p, members
        # the shared pass saw rows `some`; those of them that know column i are not used from it
        full = np.empty((len(values), p.shape[1]))
        full[own] = p
        place = np.cumsum(some) - 1
        rest = ~own
        full[rest] = shared[0][place[rest]]
        if members is None or shared[1] is None:
            return full, None
        both = np.empty((len(members), *full.shape))
        both[:, own], both[:, rest] = members, shared[1][:, place[rest]]
        return full, both

    def shared(self, values: Floats, columns: Sequence[int]) -> list[tuple[Floats, Floats | None]]:
        """``bins`` in chunks of rows. A row that knows a column gets nothing meaningful for that column."""
        parts = [
            self.bins(values[start : start + self.chunk], columns)
            for start in range(0, max(len(values), 1), self.chunk)
        ]
        if len(parts) == 1:
            return parts[0]
        result: list[tuple[Floats, Floats | None]] = []
        for k in range(len(columns)):
            members = [part[k][1] for part in parts]
            joined = None if members[0] is None else np.concatenate([m for m in members if m is not None], 1)
            result.append((np.concatenate([part[k][0] for part in parts]), joined))
        return result

    def log_prob(
        self,
        values: Floats,
        given: Mask | None = None,
        orders: int = 1,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """See ``Joint``."""
        rows = self._checked(values)
        if orders < 1:
            raise BadInput(f"{orders} orders", field="orders", fix="use 1 or more")
        fixed = np.zeros(rows.shape, bool) if given is None else np.broadcast_to(given, rows.shape)
        asked = ~np.isnan(rows) & ~fixed
        told = []
        for _ in range(orders):
            order = np.arange(rows.shape[1]) if rng is None else rng.permutation(rows.shape[1])
            told.append(self._chain(np.where(fixed, rows, np.nan), rows, asked, order))
        return np.asarray(np.logaddexp.reduce(np.stack(told), 0) - np.log(orders))

    def _chain(self, known: Floats, rows: Floats, asked: Mask, order: npt.NDArray[np.int64]) -> Floats:
        total, known = np.zeros(len(rows)), known.copy()
        for i in order:
            own = np.flatnonzero(asked[:, i])
            if len(own):
                hidden = known[own]
                hidden[:, i] = np.nan
                p, _ = self.shared(hidden, [int(i)])[0]
                total[own] += Binned(self.layout.margins[i], p).log_prob(rows[own, i])
                known[own, i] = rows[own, i]
        return total

    def _checked(self, values: Floats) -> Floats:
        array = np.array(values, float)
        if array.ndim != 2 or array.shape[1] != len(self.schema):
            raise BadInput(
                f"values have shape {array.shape}, the model has {len(self.schema)} columns", field="known"
            )
        return array
