"""Calculated values whose inputs are not all known (an LDL without total cholesterol) beside values that are.

The model has no density of them. They are drawn with their inputs, and placed on the scale on which peers are
normally distributed (their normal scores); there the draws given other values are told by mean and spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from sciai.health.api.infer import at_quantile

if TYPE_CHECKING:
    from sciai.health.data.columns import Schema
    from sciai.health.model.interface import Joint

__all__ = ["Peers", "Placed", "draws_of", "inputs_of"]

Floats = npt.NDArray[np.float64]
_NARROWEST: Final = 0.05  # of the spread among peers: fewer draws cannot tell less
LAST: Final = 12  # quantiles of the input that is drawn last, for each draw of the others
_LEAST: Final = -30.0  # nats: one value that is called impossible must not outweigh all others


@dataclass(frozen=True)
class Placed:
    """Where one calculated value stands, given what else is known.

    Attributes:
        given_others: share of the draws below it, 0 to 1.
        surprise: how much less likely it is than among peers, in nats.
        draws: shape (m,), sorted.
    """

    given_others: float
    surprise: float
    draws: Floats


@dataclass(frozen=True)
class Peers:
    """A calculated quantity among peers.

    Attributes:
        drawn: of virtual peers, sorted, shape (m,).
    """

    drawn: Floats

    @classmethod
    def of(cls, drawn: Floats) -> Peers:
        """From draws in any order, gaps left out."""
        return cls(np.sort(drawn[np.isfinite(drawn)]))

    def share_below(self, x: float) -> float:
        """Share of peers below a value, with those that have the same counted by half."""
        low, high = np.searchsorted(self.drawn, x, "left"), np.searchsorted(self.drawn, x, "right")
        return float((low + high) / 2 / len(self.drawn))

    def scores(self, x: Floats) -> Floats:
        """Normal scores; beyond the outermost peers with the slope of the middle, same shape."""
        n = len(self.drawn)
        z = ndtri((np.arange(n) + 0.5) / n)
        slope = 2.0 / max(float(np.diff(np.quantile(self.drawn, [0.1587, 0.8413]))[0]), 1e-12)
        inside = np.interp(x, self.drawn, z)
        beyond = np.minimum(x - self.drawn[0], 0.0) + np.maximum(x - self.drawn[-1], 0.0)
        return np.asarray(inside + slope * beyond)

    def surprise(self, x: Floats, draws: Floats) -> Floats:
        """How much less likely values are given what their draws were given than among peers, in nats.

        Args:
            x: values, shape (n,).
            draws: of the same quantity given other values, shape (n, m); NaN where not defined.

        Returns:
            Shape (n,).

        >>> rng = np.random.default_rng(0)
        >>> peers = Peers.of(rng.normal(140, 30, 999))
        >>> near, far = peers.surprise(np.array([140.0, 200.0]), rng.normal(140, 5, (2, 99)))
        >>> bool(near < -1), bool(far > 20)
        (True, True)
        """
        z, there = self.scores(draws), np.isfinite(draws)
        mean = np.where(there, z, 0.0).sum(1) / np.maximum(there.sum(1), 1)
        spread = np.sqrt(
            np.where(there, (z - mean[:, None]) ** 2, 0.0).sum(1) / np.maximum(there.sum(1) - 1, 1)
        )
        spread, own = np.maximum(spread, _NARROWEST), self.scores(x)
        told = np.maximum(-np.log(spread) - ((own - mean) / spread) ** 2 / 2, _LEAST)
        return np.where(there.sum(1) > 1, -(own**2) / 2 - told, 0.0)

    def place(self, x: float, draws: Floats) -> Placed:
        """One value, given draws of it, shape (m,)."""
        own = Peers.of(draws)
        gap = float(self.surprise(np.array([x]), draws[None, :])[0])
        return Placed(own.share_below(x), gap, own.drawn)


def inputs_of(schema: Schema, names: Sequence[str]) -> list[str]:
    """Free columns that some calculated quantities are made of."""
    return list(dict.fromkeys(n for name in names for n in schema.derived_named(name).inputs))


def draws_of(
    joint: Joint, names: Sequence[str], rows: Floats, times: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Draws of calculated quantities given each row, spread evenly rather than at random.

    All unknown inputs but one are drawn, each given the ones before, in strata of equal probability; of the
    last one, evenly spread quantiles are taken for each draw.

    Args:
        joint: the model.
        names: the quantities, of which one input at least is a number that no row knows.
        rows: what is known, shape (n, d).
        times: draws of the first inputs for each row.
        rng: the source of chance.

    Returns:
        name -> shape (n, times * ``LAST``).
    """
    schema = joint.schema
    drawn = {}
    for name in names:
        derived = schema.derived_named(name)
        gaps = {n: np.isnan(rows[:, schema.index(n)]) for n in derived.inputs}
        end = [n for n in derived.inputs if gaps[n].all() and schema[n].numeric][-1]
        some, levels = np.repeat(rows, times, 0), (np.arange(times) + 0.5) / times
        for place, other in enumerate(n for n in derived.inputs if n != end and gaps[n].any()):
            i = schema.index(other)
            gap = np.isnan(some[:, i])
            if place == 0 and schema[other].numeric:  # nothing before it differs between draws of a row
                told = joint.predictive(rows, [other])[other]
                found = np.asarray(told.quantile(levels), float).reshape(-1)
            else:
                strata = rng.permuted(np.tile(levels, (len(rows), 1)), axis=1).reshape(-1)
                found = at_quantile(joint.predictive(some, [other])[other], strata)
            some[:, i] = np.where(gap, found, some[:, i])
        told = joint.predictive(some, [end])[end]
        last = np.asarray(told.quantile((np.arange(LAST) + 0.5) / LAST), float)
        inputs = {n: some[:, schema.index(n), None] for n in derived.inputs}
        drawn[name] = np.asarray(derived.compute({**inputs, end: last})).reshape(len(rows), -1)
    return drawn
