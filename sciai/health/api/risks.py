"""Every disease at once: a person's risk beside their peers', what drives it, or that it cannot be told."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate, Finding, Level
from sciai.core.errors import BadInput
from sciai.health import checks
from sciai.health.api.describe import Blend, line_of, risk_of
from sciai.health.api.distribution import percent
from sciai.health.api.infer import State, state_of
from sciai.health.api.lessons import everybody
from sciai.health.api.words import column_named
from sciai.health.data.columns import Kind

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.person import Person
    from sciai.health.model.interface import Predictive

__all__ = ["Driver", "Risk", "RiskList", "diseases", "risks"]

Floats = npt.NDArray[np.float64]
_SMALL: Final = 0.05  # log-odds: what moves a risk by less is not worth a name


@dataclass(frozen=True)
class Driver:
    """What one known value does to a risk.

    Attributes:
        name: the column.
        label: its name in words.
        value: the value as people read it.
        logodds: change of the log-odds; the mean of adding the value to what peers share and of taking it
            away from everything known (a Shapley value over these two orders; Shapley 1953).
    """

    name: str
    label: str
    value: str
    logodds: float

    def __str__(self) -> str:
        return f"{self.label} {self.value} ({'+' if self.logodds > 0 else '−'}{abs(self.logodds):.1f})"


@dataclass(frozen=True)
class Risk:
    """The risk of one disease: how often people like this one say that they were told they have it.

    Attributes:
        name: the column.
        label: its name in words.
        risk: probability; None where it is known or cannot be told.
        low: lower end of the 90 % interval; None likewise.
        high: upper end.
        peers: the same for peers; None where it cannot be told.
        ratio: risk / peers.
        drivers: what moves it most, strongest first.
        status: estimated, known (it was given), treated (a treatment reveals it) or cannot tell.
        reason: for a status other than estimated, and for doubts about an estimated one, a sentence.
        outcome: whether it is a prospective outcome (death within 5 years) and no prevalent diagnosis.
    """

    name: str
    label: str
    risk: float | None
    low: float | None
    high: float | None
    peers: float | None
    ratio: float | None
    drivers: tuple[Driver, ...] = ()
    status: str = "estimated"
    reason: str = ""
    outcome: bool = False

    def __str__(self) -> str:
        if self.risk is None or self.low is None or self.high is None:
            return f"{self.label}: {self.status} ({self.reason})"
        beside = f", peers {percent(self.peers)}, × {self.ratio:.1f}" if self.peers and self.ratio else ""
        return f"{self.label}: {percent(self.risk)} ({percent(self.low)} to {percent(self.high)}){beside}"


class RiskList(Sequence[Risk]):
    """Risks, those most above the peers' first; known and withheld ones last, outcomes apart at the end.

    Attributes:
        peers: who the peers are.
        doubts: what makes single risks doubtful: few cases, a group they did not fit, a treatment.
    """

    def __init__(self, risks: Sequence[Risk], peers: str, doubts: Sequence[Finding] = ()) -> None:
        def place(risk: Risk) -> tuple[bool, bool, float]:
            return risk.outcome, risk.risk is None, -(risk.ratio or 0.0)

        self._risks = tuple(sorted(risks, key=place))
        self.peers = peers
        self.doubts = tuple(doubts)

    @overload
    def __getitem__(self, key: int | str) -> Risk: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Risk, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Risk | tuple[Risk, ...]:
        """By place, or by the name of the disease.

        Raises:
            BadInput: when it is no disease of the list.
        """
        if not isinstance(key, str):
            return self._risks[key]
        for risk in self._risks:
            if risk.name == key:
                return risk
        raise BadInput(f"{key} is not among the risks", fix=", ".join(r.name for r in self._risks))

    def __len__(self) -> int:
        return len(self._risks)

    def __iter__(self) -> Iterator[Risk]:
        return iter(self._risks)

    @property
    def withheld(self) -> Mapping[str, str]:
        """Disease -> why its risk cannot be told."""
        return {r.name: r.reason for r in self._risks if r.status == "cannot tell"}

    def to_frame(self) -> pd.DataFrame:
        """One row for each disease."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "name": r.name, "label": r.label, "risk": r.risk, "low": r.low, "high": r.high,
                    "peers": r.peers, "ratio": r.ratio, "status": r.status, "reason": r.reason,
                    "drivers": "; ".join(map(str, r.drivers)), "outcome": r.outcome,
                }
                for r in self._risks
            ]
        ).set_index("name")  # fmt: skip

    def __str__(self) -> str:
        return "\n".join([f"peers: {self.peers}", *map(str, self._risks)])

    def _repr_html_(self) -> str:
        from sciai.health.api.html import risks_html

        return risks_html(self)


def diseases(person: Person) -> list[str]:
    """Columns that are diagnoses or outcomes."""
    wanted = ("diagnosis", "outcome")
    return [c.name for c in person.schema.columns if c.group in wanted and c.kind is Kind.BINARY]


def risks(person: Person, peers: Sequence[str], drivers: int) -> Estimate[RiskList]:
    """See ``Person.risks``."""
    if drivers < 0:
        raise BadInput(f"{drivers} drivers", field="drivers", fix="use 0 or more")
    schema, joint, calibration = person.schema, person.human.model, person.human.calibration
    names = diseases(person)
    if not names:
        raise BadInput("the model has no diagnoses", fix="use ask for its columns")
    shared = [n for n in dict.fromkeys(column_named(schema, p) for p in peers) if n in schema]
    beside = State(_kept(person, shared), np.ones(1))
    reasons = {name: _refusal(person, name) for name in names}
    open_ = [n for n in names if not reasons[n] and person.known.value(n) is None]
    mine = joint.predictive(person.state.rows, open_) if open_ else {}
    theirs = joint.predictive(beside.rows, names)
    moved = _drivers(person, open_, beside, shared, drivers) if drivers and open_ else {}
    question = person.question(tuple(names), strange=False)

    def risk(told: Predictive, state: State, name: str) -> tuple[float, float, float]:
        return risk_of(Blend(told, state.weights), line_of(calibration, schema, state, name))

    told = []
    doubts: list[Finding] = []
    for name in names:
        column = schema[name]
        outcome = column.group == "outcome"
        other = None if reasons[name] else risk(theirs[name], beside, name)[0]
        known = person.known.value(name)
        if known is not None:
            reason = f"given: {column.levels[int(known)]}"
            told.append(
                Risk(
                    name, column.label_en or name, None, None, None, other, None, (), "known", reason, outcome
                )
            )
        elif reasons[name]:
            told.append(
                Risk(
                    name,
                    column.label_en or name,
                    None,
                    None,
                    None,
                    None,
                    None,
                    (),
                    "cannot tell",
                    reasons[name],
                    outcome,
                )
            )
        else:
            p, low, high = risk(mine[name], person.state, name)
            revealed = list(checks.revealed(question, name))
            own = [*revealed, *checks.few_cases(question, name), *checks.subgroup(question, name)]
            doubts += own
            told.append(
                Risk(
                    name, column.label_en or name, p, low, high, other, p / other if other else None,
                    moved.get(name, ()), "treated" if revealed else "estimated",
                    "; ".join(f.message for f in own), outcome,
                )
            )  # fmt: skip
    value = RiskList(told, _peers(person, shared), doubts)
    return Estimate(value, {r.name: (r.low, r.high) for r in value if r.risk is not None} or 0.0)


def _refusal(person: Person, name: str) -> str:
    question = person.question((name,), strange=False)
    policy = checks.policy()
    for finding in (*checks.few_cases(question, name), *checks.subgroup(question, name)):
        if policy.get(finding.check, finding.level) >= Level.REFUSE:
            return finding.message
    return ""


def _kept(person: Person, names: Sequence[str]) -> Floats:
    """The person's row with only some columns known, shape (1, d)."""
    row = np.full((1, len(person.schema)), np.nan)
    for name in names:
        i = person.schema.index(name)
        row[0, i] = person.known.values[i]
    return row


def _peers(person: Person, shared: Sequence[str]) -> str:
    known = [f"{name} {person.known.shown(name)}" for name in shared if person.known.value(name) is not None]
    return "people of the same " + ", ".join(known) if known else f"all {everybody(person.human)}"


def _drivers(
    person: Person, names: Sequence[str], beside: State, shared: Sequence[str], most: int
) -> dict[str, tuple[Driver, ...]]:
    """Each known value added to what peers share, and taken away from everything known."""
    joint, calibration = person.human.model, person.human.calibration
    given = [n for n in person.known.given if n not in shared]
    if not given:
        return {}
    apart: list[tuple[str, State, State]] = []
    for name in given:
        with contextlib.suppress(BadInput):  # what is left contradicts itself: it has no risk to compare with
            alone = state_of(joint, _only(person, [*shared, name]).known, 8)
            apart.append((name, alone, state_of(joint, person.without(name).known, 8)))
    given = [name for name, _, _ in apart]
    alone_, without = [a for _, a, _ in apart], [w for _, _, w in apart]
    states = [person.state, beside, *alone_, *without]
    told = joint.predictive(np.concatenate([s.rows for s in states]), list(names))
    ends = np.cumsum([0, *(len(s.rows) for s in states)])
    result = {}
    for name in names:
        # one line for all: with several, a value would seem to act where only the line changes
        risk = line_of(calibration, person.schema, person.state, name)(told[name].probabilities()[:, 1])
        p = [float(s.weights @ risk[a:b]) for s, a, b in zip(states, ends[:-1], ends[1:], strict=True)]
        z = [math.log(max(q, 1e-9) / max(1 - q, 1e-9)) for q in p]
        first, last = z[2 : 2 + len(given)], z[2 + len(given) :]
        found = [
            Driver(n, _label(person, n), person.known.shown(n), ((a - z[1]) + (z[0] - b)) / 2)
            for n, a, b in zip(given, first, last, strict=True)
        ]
        found = [d for d in found if abs(d.logodds) >= _SMALL]
        result[name] = tuple(sorted(found, key=lambda d: -abs(d.logodds))[:most])
    return result


def _only(person: Person, names: Sequence[str]) -> Person:
    away = [n for n in person.known.given if n not in names]
    return person.without(*away) if away else person


def _label(person: Person, name: str) -> str:
    schema = person.schema
    column: Any = schema[name] if name in schema else schema.derived_named(name)
    return str(column.label_en or name or name)
