"""Has the stream of questions left what was learned? An alarm with a known rate of false ones.

Each question's distance to training is ranked among those of held-out questions and of all questions before
it: a smoothed conformal p-value, independent and uniform as long as the stream is like the held-out part.
(Ranked among the held-out ones only, p-values would share that sample's chance error, and a long stream would
raise an alarm for it.) A martingale bets against uniformity: it grows when p-values are too small (questions
too far) or too large (too near: somebody asks the same thing again and again), and by Ville's inequality it
ever exceeds 1 / rate with probability at most `rate`, however long the stream.

Vovk, Gammerman, Shafer 2022, "Algorithmic Learning in a Random World", 2nd ed., chapter 8; the mixture of
bets is Vovk's (2003, ICML, "Testing exchangeability on-line").
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

__all__ = ["Drift"]

# bets p -> eps p^(eps - 1) win on small p-values, mirrored ones on large; 0.3 fast on a clear drift, 0.9
# slowly on a faint one
_BETS = (0.3, 0.5, 0.7, 0.9)


@dataclass
class Drift:
    """Watches a stream of questions.

    Attributes:
        known: distances of held-out questions; those of the stream are added as they come.
        rate: probability of ever raising a false alarm.
        seed: of the breaking of ties.
        seen: questions so far.
        log_capital: log of each bet's capital, small p-values first, then large.
        alarmed_at: number of the question that raised the alarm; None as long as there is none.

    >>> rng = np.random.default_rng(0)
    >>> drift = Drift(rng.normal(size=200).tolist())
    >>> drift.observe(rng.normal(size=300))
    >>> drift.alarmed_at is None
    True
    >>> drift.observe(rng.normal(size=100) + 2)
    >>> drift.alarmed_at is None
    False
    """

    known: list[float]
    rate: float = 0.01
    seed: int = 0
    seen: int = 0
    log_capital: list[float] = field(default_factory=lambda: [0.0] * (2 * len(_BETS)))
    alarmed_at: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise BadInput(f"a rate of {self.rate}", field="rate", fix="give one between 0 and 1")
        if len(self.known) < 20 or not np.isfinite(self.known).all():
            raise BadInput("too few distances of held-out questions", field="known", fix="give 20 or more")
        self.known = sorted(float(distance) for distance in self.known)

    def observe(self, distances: npt.ArrayLike) -> None:
        """More questions, oldest first.

        Args:
            distances: how far each is from training, as ``Support.measure.distance`` gives it; infinity for
                one that has no features.

        Raises:
            BadInput: on NaN.
        """
        for distance in np.asarray(distances, float).ravel():
            if np.isnan(distance):
                raise BadInput("a distance that is not a number", field="distances")
            left, right = bisect.bisect_left(self.known, distance), bisect.bisect_right(self.known, distance)
            tie = np.random.default_rng([self.seed, self.seen]).random()
            p = (len(self.known) - right + tie * (right - left + 1)) / (len(self.known) + 1)
            self.known.insert(right, float(distance))
            self._bet(float(p))

    def _bet(self, p: float) -> None:
        self.seen += 1
        for index, value in enumerate((p, 1.0 - p)):
            for position, bet in enumerate(_BETS):
                self.log_capital[index * len(_BETS) + position] += math.log(bet) + (bet - 1.0) * math.log(
                    max(value, 1e-12)
                )
        if self.alarmed_at is None and self.log_evidence >= math.log(1.0 / self.rate):
            self.alarmed_at = self.seen

    @property
    def log_evidence(self) -> float:
        """Log of the capital of all bets together; 0 at the start, grows with drift."""
        return float(np.logaddexp.reduce(self.log_capital) - math.log(len(self.log_capital)))

    def check(self) -> list[Finding]:
        """A finding of caution once the alarm was raised, none before."""
        if self.alarmed_at is None:
            return []
        far = max(self.log_capital[: len(_BETS)]) >= max(self.log_capital[len(_BETS) :])
        what = "farther from what was learned" if far else "more alike than they should be"
        return [
            Finding(
                "drift",
                Level.CAUTION,
                f"at question {self.alarmed_at} of {self.seen} it was clear that they are {what}: published "
                f"figures may not hold for them (a false alarm in at most {self.rate:.2g} of all streams). "
                "Measure on cases like these, and calibrate anew",
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """The state, to go on later."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Drift:
        """Back from ``to_dict``.

        Args:
            state: its content.

        Raises:
            BadInput: where it is not of that form.
        """
        try:
            drift = cls(**state)
        except TypeError as error:
            raise BadInput(f"not the state of a drift monitor: {error}") from error
        if len(drift.log_capital) != 2 * len(_BETS):
            raise BadInput("the state is of another version", field="log_capital", fix="begin a new one")
        return drift
