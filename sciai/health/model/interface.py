"""What a joint model of a body can be asked, whatever it is made of.

Values are float64, in the order of ``schema.columns``; NaN is unknown, levels are their numbers
(``sciai.health.data.columns``). ``load_joint`` opens any checkpoint of the domain: the copula or the neural
one. What calibration a checkpoint carries is read with ``sciai.health.model.calibration``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from sciai.core.errors import CheckpointError
from sciai.health.data.columns import Column, Schema

if TYPE_CHECKING:
    from sciai.core.checkpoint import Checkpoint

__all__ = ["Joint", "Predictive", "load_joint"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Predictive(Protocol):
    """The distribution of ONE column for n rows, each row given what is known of it.

    Attributes:
        column: the column.
        rows: n.
    """

    column: Column
    rows: int

    def probabilities(self) -> Floats:
        """Of each level, shape (n, levels); binary, ordinal and categorical columns only."""
        ...

    def cdf(self, x: npt.ArrayLike) -> Floats:
        """P(value <= x); x has shape (n,) or (n, k), or is one number."""
        ...

    def log_prob(self, x: npt.ArrayLike) -> Floats:
        """Nats, shape (n,): density per unit of a continuous column, mass of any other."""
        ...

    def quantile(self, p: float | npt.ArrayLike) -> Floats:
        """Shape (n,) for one p, (n, k) for k of them; levels by their number."""
        ...

    def mean(self) -> Floats:
        """Shape (n,); of a binary column P(level 1), of an ordinal one the mean level number."""
        ...

    def sd(self) -> Floats:
        """Shape (n,)."""
        ...

    def sample(self, rng: np.random.Generator, k: int = 1) -> Floats:
        """Shape (n, k)."""
        ...

    def spread(self) -> Floats:
        """Shape (n,): how far the members of an ensemble disagree: the standard deviation of P(yes), of the
        mean of a number, or of the likeliest level's probability. 0 for a model of one member."""
        ...


class Joint(Protocol):
    """One distribution over all columns."""

    schema: Schema

    def predictive(self, known: Floats, targets: Sequence[str]) -> dict[str, Predictive]:
        """Each target's distribution given what is known.

        Args:
            known: shape (n, d), NaN where unknown. A target's own value is masked out for that target; the
                values of other targets stay known (hide them, if that is not what you want).
            targets: names of free columns.
        """
        ...

    def sample(self, known: Floats, rng: np.random.Generator, only: Sequence[str] | None = None) -> Floats:
        """Every unknown value filled in, jointly; shape (n, d). Known ones come back as they are.

        Args:
            known: shape (n, d), NaN where unknown.
            rng: the source of chance.
            only: columns that are needed, which can be had sooner; others may then stay unknown. None: all.
        """
        ...

    def log_prob(
        self,
        values: Floats,
        given: Mask | None = None,
        orders: int = 1,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """Log density of the known values that are not given, by the chain rule; shape (n,), nats.

        Args:
            values: shape (n, d); NaN is unknown, and integrated out.
            given: what is conditioned on, shape (d,) or (n, d); None is nothing.
            orders: number of random orders, whose likelihoods are averaged (an ensemble).
            rng: draws the orders; None takes the schema's order first.
        """
        ...


def load_joint(checkpoint: Checkpoint, **options: Any) -> Joint:
    """The joint model in a checkpoint.

    Args:
        checkpoint: of the domain health.
        options: passed to the model (``threads`` ...).

    Raises:
        CheckpointError: when it is no such checkpoint.
    """
    kind = checkpoint.card.extra.get("model")
    if kind == "copula":
        from sciai.health.model.copula import CopulaJoint

        return CopulaJoint.load(checkpoint)
    if kind == "joint":
        from sciai.health.model.joint import NeuralJoint

        return NeuralJoint.load(checkpoint)
    raise CheckpointError(
        f"checkpoint {checkpoint.card.name!r} of domain {checkpoint.card.domain!r} is no model of a body"
    )
