"""How usual a body's values are: each among peers, each given the others, and all together.

The combination is scored by how much less likely each value is beside the others than among peers, summed:
``sum_i log p(x_i | peers) - log p(x_i | all other values)``, in nats. That is the log-odds (in
pseudo-likelihood; Besag 1975, The Statistician 24(3)) of "each value is somebody else's" against "all are one
body's". Values that are odd one by one add nothing to it; values that do not go together do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate
from sciai.core.errors import BadInput
from sciai.health import checks
from sciai.health.api.describe import Blend, line_of, risk_of
from sciai.health.api.distribution import percent
from sciai.health.api.infer import State, each
from sciai.health.api.known import show
from sciai.health.api.words import column_named
from sciai.health.data.columns import Kind
from sciai.health.model.calibration import JUDGED, middle

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.person import Person
    from sciai.health.model.interface import Joint

__all__ = [
    "Pair",
    "Resemblance",
    "Typicality",
    "ValueCheck",
    "combination_score",
    "strangeness",
    "unusual",
]

Floats = npt.NDArray[np.float64]
VIRTUAL: Final = 199  # virtual peers behind the p-value: the smallest one is 1/200
_CLEAR: Final = 0.5  # nats: a pair that is less likely by less than this is not worth a word


@dataclass(frozen=True)
class ValueCheck:
    """One value among peers, and given all other values.

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


def judged(person: Person, shared: Sequence[str]) -> list[str]:
    """Columns whose combination is judged: numbers of the body and of blood that are known."""
    known = set(person.known.names) - set(shared)
    return [c.name for c in person.schema.columns if c.numeric and c.group in JUDGED and c.name in known]


def unusual(person: Person, peers: Sequence[str], seed: int) -> Estimate[Typicality]:
    """See ``Person.unusual``.

    Raises:
        BadInput: when fewer than two numbers are known.
    """
    schema, joint = person.schema, person.human.model
    shared = [n for n in dict.fromkeys(column_named(schema, p) for p in peers) if n in schema]
    names = judged(person, shared)
    if len(names) < 2:
        raise BadInput(
            f"{len(names)} numbers of body or blood are known", field="given", fix="a combination needs two"
        )
    row = _only(person, [*shared, *names])
    beside = _only(person, shared)
    scores = combination_score(joint, row, names, shared)
    virtual = joint.sample(np.repeat(beside, VIRTUAL, 0), np.random.default_rng(seed))
    others = np.where(np.isnan(row), np.nan, virtual)
    usual = combination_score(joint, others, names, shared)
    p = float((1 + (usual >= scores[0]).sum()) / (VIRTUAL + 1))
    values = _values(person, row, beside, names)
    told = ", ".join(f"{n} {person.known.shown(n)}" for n in shared if person.known.value(n) is not None)
    value = Typicality(
        p, float(scores[0]), (float(np.quantile(usual, 0.05)), float(np.quantile(usual, 0.95))), values,
        _pairs(person, beside, names), _resembles(person, row, beside, shared),
        f"virtual people of the same {told}" if told else "virtual adults",
    )  # fmt: skip
    half = 1.645 * math.sqrt(p * (1 - p) / VIRTUAL)
    return Estimate(value, {"p_value": (max(p - half, 0.0), min(p + half, 1.0))})


def combination_score(joint: Joint, rows: Floats, names: Sequence[str], given: Sequence[str]) -> Floats:
    """Nats by which each combination of values is less likely than its values one by one, among peers.

    Args:
        joint: the model.
        rows: people, shape (n, d); their values of ``names`` are judged, gaps add nothing.
        names: numeric columns that are judged.
        given: columns that the peers share; other columns are not used.

    Returns:
        Shape (n,); higher is stranger.
    """
    schema = joint.schema
    places = [schema.index(name) for name in names]
    kept = np.isin(np.arange(len(schema)), [*places, *(schema.index(name) for name in given)])
    rows = np.where(kept, rows, np.nan)
    beside = rows.copy()
    beside[:, places] = np.nan
    alone = joint.predictive(beside, list(names))
    total = np.zeros(len(rows))
    for i, name in zip(places, names, strict=True):
        own = np.isfinite(rows[:, i])
        if not own.any():
            continue
        x = np.where(own, rows[:, i], np.nanmedian(rows[:, i]))
        hidden = rows.copy()
        hidden[:, i] = np.nan
        told = joint.predictive(hidden, [name])[name]
        gap = _floored(alone[name].log_prob(x)) - _floored(told.log_prob(x))
        total += np.where(own, gap, 0.0)
    return total


def _floored(log_p: Floats) -> Floats:
    # one value that a model calls impossible must not outweigh all others
    return np.maximum(np.nan_to_num(log_p, neginf=-30.0), -30.0)


def _only(person: Person, names: Sequence[str]) -> Floats:
    keep = np.isin(person.schema.names, list(names))
    return np.where(keep, person.known.values, np.nan)[None, :]


def _values(person: Person, row: Floats, beside: Floats, names: Sequence[str]) -> tuple[ValueCheck, ...]:
    schema, joint = person.schema, person.human.model
    alone = joint.predictive(beside, list(names))
    told = each(joint, np.repeat(row, len(names), 0), names)
    found = []
    for name, given in zip(names, told, strict=True):
        column, x = schema[name], row[0, schema.index(name)]
        width, _ = person.human.calibration.width(name, person.group)
        low, half, high = np.asarray(given.quantile([(1 - width) / 2, 0.5, (1 + width) / 2]))[0].tolist()
        here = np.array([x])
        surprise = float(_floored(alone[name].log_prob(here))[0] - _floored(given.log_prob(here))[0])
        found.append(
            ValueCheck(
                name, column.label_en or name, float(x), "" if column.unit == "1" else column.unit,
                100 * float(middle(alone[name], here)[0]), half, low, high,
                100 * float(middle(given, here)[0]), surprise,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda v: -v.surprise))


def _pairs(person: Person, beside: Floats, names: Sequence[str], most: int = 5) -> tuple[Pair, ...]:
    """Pairs that are less likely together than apart: log p(a) - log p(a | b), among peers."""
    schema, joint = person.schema, person.human.model
    x = {name: np.array([person.known.values[schema.index(name)]]) for name in names}
    alone = {n: t.log_prob(x[n])[0] for n, t in joint.predictive(beside, list(names)).items()}
    found = []
    for k, b in enumerate(names[1:], 1):
        row = beside.copy()
        row[0, schema.index(b)] = x[b][0]
        for a, told in joint.predictive(row, list(names[:k])).items():
            nats = float(_floored(np.array([alone[a]]))[0] - _floored(told.log_prob(x[a]))[0])
            if nats >= _CLEAR:
                middle = float(np.asarray(told.quantile(0.5)).reshape(-1)[0])
                found.append(Pair(a, b, _in_words(person, a, b, float(x[a][0]), middle), nats))
    return tuple(sorted(found, key=lambda p: -p.nats)[:most])


def _in_words(person: Person, a: str, b: str, x: float, middle: float) -> str:
    schema = person.schema
    way = "high" if x > middle else "low"
    return (
        f"{schema[a].label_en} {show(schema, a, x)} is {way} for {schema[b].label_en} "
        f"{person.known.shown(b)} (half of such peers are below {show(schema, a, middle)})"
    )


def _resembles(
    person: Person, row: Floats, beside: Floats, shared: Sequence[str], most: int = 5
) -> tuple[Resemblance, ...]:
    """Diagnoses and habits that are commoner with these values than among peers."""
    schema, joint, calibration = person.schema, person.human.model, person.human.calibration
    question = person.question((), strange=False)
    names = [
        c.name
        for c in schema.columns
        if (c.kind is Kind.BINARY and c.group in ("diagnosis", "questionnaire"))
        or (c.kind is Kind.CATEGORICAL and c.group == "lifestyle")
        if person.known.value(c.name) is None and c.name not in shared
        if all(f.level < 2 for f in checks.few_cases(question, c.name))
    ]
    with_values, without = joint.predictive(row, names), joint.predictive(beside, names)
    found = []
    for name in names:
        column = schema[name]
        if column.kind is Kind.BINARY:
            # one line for both: with two, the values would seem to matter where only the line changes
            line = line_of(calibration, schema, State(row, np.ones(1)), name)
            mine, theirs = (
                risk_of(Blend(told[name], np.ones(1)), line)[0] for told in (with_values, without)
            )
            found.append(Resemblance(name, column.label_en or name, mine, theirs))
        else:
            pairs = zip(
                column.levels,
                with_values[name].probabilities()[0],
                without[name].probabilities()[0],
                strict=True,
            )
            found += [
                Resemblance(name, f"{column.label_en}: {level}", float(p), float(q)) for level, p, q in pairs
            ]
    risen = [r for r in found if r.ratio >= 1.25 and r.share - r.peers >= 0.02]
    return tuple(sorted(risen, key=lambda r: -_logit(r.share) + _logit(r.peers))[:most])


def _logit(p: float) -> float:
    inside = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(inside) - math.log1p(-inside)


def strangeness(person: Person) -> float:
    """Share of people whose values go together more strangely; ``chain_p`` in one call of the model."""
    from scipy.special import chdtrc, ndtri  # not scipy.stats: importing it takes half a second

    schema = person.schema
    names = judged(person, ("age", "sex"))
    if len(names) < 2:
        return 1.0
    rows = np.repeat(_only(person, [n for n in schema.names if n not in names]), len(names), 0)
    for k, name in enumerate(names):
        rows[k + 1 :, schema.index(name)] = person.known.values[schema.index(name)]
    u = np.array(
        [
            middle(told, np.array([person.known.values[schema.index(name)]]))[0]
            for told, name in zip(each(person.human.model, rows, names), names, strict=True)
        ]
    )
    total = float((ndtri(np.clip(u, 1e-9, 1 - 1e-9)) ** 2).sum())
    return person.human.calibration.share_stranger(float(chdtrc(len(names), total)))
