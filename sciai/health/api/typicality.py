"""What ``Person.unusual`` answers: each value among peers, the combination, pairs, states it resembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciai.health.api.distribution import percent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pair", "Resemblance", "Typicality", "ValueCheck"]


@dataclass(frozen=True)
class ValueCheck:
    """One value among peers, and given all other values (calculated ones: those that follow).

    Attributes:
        name: the column.
        label: its name in words.
        value: in ``unit``.
        unit: UCUM unit.
        percentile: share of peers below it, 0 to 100.
        expected: median given all other values.
        low: lower end of the 90 % interval given all other values.
        high: upper end.
        given_others: percentile given all other values.
        surprise: how much less likely the value is beside the others than among peers, in nats; what it
            adds to the score.
    """

    name: str
    label: str
    value: float
    unit: str
    percentile: float
    expected: float
    low: float
    high: float
    given_others: float
    surprise: float

    @property
    def usual(self) -> bool:
        """Inside of the middle 95 % of peers."""
        return 2.5 <= self.percentile <= 97.5


@dataclass(frozen=True)
class Pair:
    """Two values that seldom go together.

    Attributes:
        first: a column.
        second: another.
        text: what is unusual, in words.
        nats: how much less likely they are together than each by itself.
    """

    first: str
    second: str
    text: str
    nats: float


@dataclass(frozen=True)
class Resemblance:
    """A state that is commoner among people with these values than among peers: association, no diagnosis.

    Attributes:
        name: the column.
        label: the state in words.
        share: among people with these values.
        peers: among peers.
    """

    name: str
    label: str
    share: float
    peers: float

    @property
    def ratio(self) -> float:
        """Share / peers."""
        return self.share / max(self.peers, 1e-9)

    def __str__(self) -> str:
        return f"{self.label}: {percent(self.share)}, peers {percent(self.peers)}"


@dataclass(frozen=True)
class Typicality:
    """How usual a body's values are.

    Attributes:
        p_value: share of virtual peers whose values go together as badly or worse; from 1 / 200 on.
        score: nats by which the combination is less likely than its values one by one; above 0 they fit
            together worse than those of strangers, far below 0 as those of one body do.
        usual_score: the middle 90 % of the peers' scores.
        values: every value, the most surprising first.
        pairs: what seldom goes together, worst first.
        resembles: states that are commoner with these values than among peers, most so first.
        peers: who the peers are.
        outside: values outside of their peers' middle 95 %.
    """

    p_value: float
    score: float
    usual_score: tuple[float, float]
    values: tuple[ValueCheck, ...]
    pairs: tuple[Pair, ...]
    resembles: tuple[Resemblance, ...]
    peers: str

    @property
    def outside(self) -> tuple[str, ...]:
        """Names of the values outside of their peers' middle 95 %."""
        return tuple(v.name for v in self.values if not v.usual)

    @property
    def verdict(self) -> str:
        """One sentence."""
        odd = ", ".join(v.label for v in self.values if not v.usual)
        single = f"unusual by itself: {odd}" if odd else "every value is usual by itself"
        share = percent(self.p_value)
        if self.p_value <= 0.01:
            return f"{single}; the combination is rare: {share} of peers have a stranger one"
        if self.p_value <= 0.05:
            return f"{single}; the combination is unusual: {share} of peers have a stranger one"
        return f"{single}; the combination is not unusual: {share} of peers have a stranger one"

    def to_frame(self) -> pd.DataFrame:
        """One row for each value."""
        from dataclasses import asdict

        import pandas as pd

        return pd.DataFrame([asdict(v) for v in self.values]).set_index("name")

    def __str__(self) -> str:
        pairs = [f"- {p.text}" for p in self.pairs]
        states = [f"- {r}" for r in self.resembles]
        return "\n".join([self.verdict, *(["seldom together:"] if pairs else []), *pairs,
                          *(["commoner with these values:"] if states else []), *states])  # fmt: skip

    def _repr_html_(self) -> str:
        from sciai.health.api.html import typicality_html

        return typicality_html(self)
