"""What held-out people taught about a joint model, as its card holds it: intervals, risks, counts.

``sciai.health.model.held_out.calibrate`` makes it once, after training; ``Calibration.read`` is the way back.
It holds counts, quantiles and fitted coefficients of groups, never anybody's record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import CheckpointError
from sciai.health.data.columns import Kind, Schema
from sciai.trust.platt import Platt

if TYPE_CHECKING:
    from sciai.health.model.interface import Predictive

__all__ = [
    "ALPHA",
    "JUDGED",
    "SHARES",
    "VERSION",
    "Calibration",
    "Group",
    "age_band",
    "ages",
    "decade",
    "group_of",
    "groups_of",
    "illness_known",
    "labs_known",
    "level_names",
    "middle",
]

Floats = npt.NDArray[np.float64]

ALPHA = 0.1
JUDGED = ("body", "lab", "blood_count")  # groups whose numbers make a combination
VERSION = 1
_MUCH = 1 / 3  # of the laboratory: from there on risks are those of a check-up
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Group:
    """How well a risk fits a group of held-out people.

    Attributes:
        n: people.
        cases: of them with a yes.
        expected: sum of their calibrated risks.
    """

    n: int
    cases: int
    expected: float

    @property
    def gap(self) -> float:
        """Mean risk minus observed share."""
        return (self.expected - self.cases) / max(self.n, 1)

    @property
    def z(self) -> float:
        """The gap in standard errors of the count."""
        mean = min(max(self.expected / max(self.n, 1), 1e-6), 1 - 1e-6)
        return (self.expected - self.cases) / float(np.sqrt(self.n * mean * (1 - mean)))


@dataclass(frozen=True)
class Calibration:
    """The calibration of a model, as its card holds it.

    Attributes:
        people: number of people it was calibrated on; 0 for a model that was not calibrated.
        trained_on: number of people the model learned from.
        widths: column -> group ("female|20-39", ..., "all") -> quantile of ``|2 cdf - 1|``.
        risks: yes/no column -> its line in log-odds, for people of whom no illness or drug is known.
        measured: the same where much of the laboratory is known, too (``labs_known``).
        told: the same for people of whom an illness or drug is known: risks are then so clear that they need
            another line.
        groups: yes/no column -> group -> how well the risk fits it.
        cases: yes/no column -> (cases, people who were asked) among those the model learned from.
        known: column -> how many of those the model learned from have a value.
        population: "sex|decade|ethnicity" -> (people, mean survey weight) of those the model learned from.
        strangeness: quantiles of the model's p-value of held-out people's combinations, at ``SHARES``.
        apart: column -> columns that (nearly) nobody learned from has together with it, as tables that were
            put under each other have.
    """

    people: int = 0
    trained_on: int = 0
    widths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    risks: Mapping[str, Platt] = field(default_factory=dict)
    measured: Mapping[str, Platt] = field(default_factory=dict)
    told: Mapping[str, Platt] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)
    cases: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    population: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    strangeness: tuple[float, ...] = ()
    apart: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, card: Mapping[str, Any]) -> Calibration:
        """From a card's ``calibration``; an empty one where the model was not calibrated.

        Args:
            card: the card's ``calibration``; what ``held_out.calibrate`` gave stands under ``health``.

        Raises:
            CheckpointError: when it is there but cannot be read.
        """
        content = card.get("health")
        if not content:
            return cls()
        try:
            if int(content["version"]) != VERSION:
                raise ValueError(f"version {content['version']}")
            return cls(
                int(content["people"]),
                int(content["trained_on"]),
                {c: {g: float(q) for g, q in row.items()} for c, row in content["widths"].items()},
                {c: _line(r) for c, r in content["risks"].items()},
                {c: _line(r) for c, r in content.get("measured", {}).items()},
                {c: _line(r) for c, r in content.get("told", {}).items()},
                {
                    c: {g: Group(int(n), int(k), float(e)) for g, (n, k, e) in row.items()}
                    for c, row in content["groups"].items()
                },
                {c: (int(k), int(n)) for c, (k, n) in content["cases"].items()},
                {c: int(n) for c, n in content["known"].items()},
                {g: (int(n), float(w)) for g, (n, w) in content["population"].items()},
                tuple(float(q) for q in content.get("strangeness", ())),
                {c: frozenset(map(str, others)) for c, others in content.get("apart", {}).items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the calibration on the card cannot be read: {error!r}") from error

    def plain(self) -> Calibration:
        """Without the widths of intervals: for a whole group of people, whose spread is its own."""
        return replace(self, widths={})

    def width(self, column: str, group: str) -> tuple[float, bool]:
        """Central probability that the 90 % interval of a column has to span, and whether it was calibrated.

        Args:
            column: its name.
            group: as ``group_of`` names it.
        """
        row = self.widths.get(column, {})
        found = row.get(group, row.get("all"))
        return (1 - ALPHA, False) if found is None else (min(found, 0.9999), True)

    def share_stranger(self, p: float) -> float:
        """Share of held-out people whose values go together more strangely, from the model's own p-value.

        Real bodies have more outliers than a model expects. Between the recorded quantiles of held-out
        people's p-values it is interpolated in logarithms; beyond the strangest the gap to it is kept.

        Args:
            p: by the model, 0 to 1.
        """
        own, share = np.log(np.maximum(self.strangeness, 1e-300)), np.log(SHARES)
        if not len(own):
            return p
        x = float(np.log(max(p, 1e-300)))
        if x < own[0]:  # as steeply as among the strangest that were seen
            slope = (share[3] - share[0]) / max(own[3] - own[0], 1e-9)
            return float(np.exp(share[0] + (x - own[0]) * min(slope, 1.0)))
        return float(min(np.exp(np.interp(x, own, share)), 1.0))

    def risk(self, column: str, told: bool = False, measured: bool = True) -> Platt:
        """The line in log-odds of a yes/no column; one that changes nothing where there is none.

        Lines move single risks, not the joint distribution: samples and ``log_prob`` are as the model has
        them. A line keeps the order of people who are known equally well.

        Args:
            column: its name.
            told: whether an illness or drug of the person is known (``illness_known``).
            measured: whether much of the laboratory is (``labs_known``).
        """
        line = self.told.get(column) if told else self.measured.get(column) if measured else None
        # sd 0.15 in log-odds: without calibration nothing is known of the error, so it is not called zero
        return line or self.risks.get(column) or Platt(0.0, 1.0, np.diag([0.15**2, 0.05**2]))

    def lines(
        self, schema: Schema, rows: Floats, column: str
    ) -> Iterator[tuple[Platt, npt.NDArray[np.bool_]]]:
        """The lines of a yes/no column for people of whom different things are known, and whose each is.

        Args:
            schema: the columns.
            rows: what is known, shape (n, d).
            column: its name.

        Yields:
            A line, and whether it goes with each row, shape (n,); every row has one.
        """
        ill, labs = illness_known(schema, rows, column), labs_known(schema, rows)
        for told in (False, True):
            for measured in (False, True):
                own = (ill == told) & (labs == measured)
                if own.any():
                    yield self.risk(column, told, measured), own


def labs_known(schema: Schema, rows: Floats) -> npt.NDArray[np.bool_]:
    """Whether much of the laboratory and the blood count is known, shape (n,).

    Args:
        schema: the columns.
        rows: shape (n, d).
    """
    places = [i for i, c in enumerate(schema.columns) if c.group in ("lab", "blood_count")]
    return np.asarray(np.isfinite(rows[:, places]).sum(1) >= max(_MUCH * len(places), 1))


def illness_known(schema: Schema, rows: Floats, but: str = "") -> npt.NDArray[np.bool_]:
    """Whether any illness, drug or outcome is known, shape (n,).

    Args:
        schema: the columns.
        rows: shape (n, d).
        but: a column that does not count.
    """
    groups = ("diagnosis", "medication", "outcome")
    places = [i for i, c in enumerate(schema.columns) if c.group in groups and c.name != but]
    return np.asarray(np.isfinite(rows[:, places]).any(1))


def age_band(age: float) -> str:
    """The age band of the groups that are calibrated apart.

    >>> age_band(44.0)
    '40-59'
    """
    return "20-39" if age < 40 else "40-59" if age < 60 else "60+"


def decade(age: float) -> str:
    """The decade of an age, 20s to 80s.

    >>> decade(64.0)
    '60s'
    """
    return f"{int(min(max(age, 20), 80)) // 10 * 10}s"


def group_of(sex: str | None, age: float | None) -> str:
    """The group whose quantiles a person gets; "all" where sex or age are unknown.

    >>> group_of("female", 71.0), group_of(None, 71.0)
    ('female|60+', 'all')
    """
    return "all" if sex is None or age is None or not np.isfinite(age) else f"{sex}|{age_band(age)}"


def _line(content: Mapping[str, Any]) -> Platt:
    return Platt(float(content["offset"]), float(content["slope"]), np.asarray(content["covariance"], float))


def middle(told: Predictive, x: Floats) -> Floats:
    """P(value < x) + P(value = x) / 2 of each row, shape (n,)."""
    upper = np.asarray(told.cdf(x), float)
    if told.column.kind is Kind.CONTINUOUS:
        return upper
    return np.asarray(upper - np.exp(told.log_prob(x)) / 2)


def level_names(schema: Schema, values: Floats, column: str) -> npt.NDArray[np.str_]:
    """Level of a column in each row by its name, "unknown" where it is not known, shape (n,)."""
    if column not in schema.names:
        return np.full(len(values), "all")
    i = schema.index(column)
    levels = np.array([*schema.columns[i].levels, "unknown"])
    codes = values[:, i]
    return levels[np.where(np.isfinite(codes), codes, len(levels) - 1).astype(int)]


def groups_of(schema: Schema, values: Floats) -> npt.NDArray[np.str_]:
    """The group of each row, as ``group_of`` names it, shape (n,).

    Args:
        schema: the columns; without age or sex among them everybody is of one group.
        values: shape (n, d).
    """
    if "sex" not in schema:
        return np.full(len(values), "all")
    sex, age = level_names(schema, values, "sex"), ages(schema, values)
    return np.array(
        [group_of(None if s == "unknown" else str(s), a) for s, a in zip(sex, age, strict=True)], dtype=str
    )


def ages(schema: Schema, values: Floats) -> Floats:
    """Age in years of each row, NaN where it is not known or there is no such column, shape (n,)."""
    return values[:, schema.index("age")] if "age" in schema else np.full(len(values), np.nan)
