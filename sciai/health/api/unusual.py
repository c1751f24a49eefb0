"""How usual a body's values are: each among peers, each given the others, and all together.

The combination is scored by how much less likely each value is beside the others than among peers, summed:
``sum_i log p(x_i | peers) - log p(x_i | all other values)``, in nats. That is the log-odds (in
pseudo-likelihood; Besag 1975, The Statistician 24(3)) of "each value is somebody else's" against "all are one
body's". Values that are odd one by one add nothing to it; values that do not go together do. A calculated
value whose inputs are not all known (an LDL without total cholesterol) is one of them, by draws (``beside``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Estimate
from sciai.core.errors import BadInput
from sciai.health import checks
from sciai.health.api.beside import Peers, Placed, draws_of, inputs_of
from sciai.health.api.constraints import show
from sciai.health.api.describe import Blend, line_of, risk_of
from sciai.health.api.infer import State, each, state_of
from sciai.health.api.lessons import everybody
from sciai.health.api.seen import seen
from sciai.health.api.typicality import Pair, Resemblance, Typicality, ValueCheck
from sciai.health.api.words import column_named
from sciai.health.data.columns import Kind
from sciai.health.model.calibration import JUDGED, middle

if TYPE_CHECKING:
    from sciai.health.api.person import Person
    from sciai.health.model.interface import Joint

__all__ = ["combination_score", "enough", "judged", "strangeness", "unusual"]

Floats = npt.NDArray[np.float64]
VIRTUAL: Final = 199  # virtual peers behind the p-value: the smallest one is 1/200
_CLEAR: Final = 0.5  # nats: a pair that is less likely by less than this is not worth a word
_SHOWN: Final = 5  # pairs
_DRAWS: Final = 4  # of the first inputs of a calculated value, for each virtual peer
_OF_ONE: Final = 16  # the same for the person
_OF_PEERS: Final = 42  # the same of all peers together


def judged(person: Person, shared: Sequence[str]) -> list[str]:
    """Columns whose combination is judged: numbers of the body and of blood that are known."""
    known = set(person.known.names) - set(shared)
    return [c.name for c in person.schema.columns if c.numeric and c.group in JUDGED and c.name in known]


def enough(person: Person, shared: Sequence[str]) -> bool:
    """Whether ``unusual`` has a combination to judge: two numbers, one of which is no calculated one."""
    names = judged(person, shared)
    return len(names) > 0 and len(names) + len(person.known.waiting) > 1


def unusual(person: Person, peers: Sequence[str], seed: int) -> Estimate[Typicality]:
    """See ``Person.unusual``.

    Raises:
        BadInput: when fewer than two numbers are known, or only calculated ones.
    """
    schema, joint = person.schema, person.human.model
    shared = [n for n in dict.fromkeys(column_named(schema, p) for p in peers) if n in schema]
    names = judged(person, shared)
    if not enough(person, shared):
        both = [*names, *person.known.waiting]
        some = f"only {both[0]} is" if len(both) == 1 else f"only calculated values ({', '.join(both)}) are"
        raise BadInput(
            f"{some if both else 'nothing is'} known of body and blood",
            field="given",
            fix="a combination needs two numbers, one of them measured itself, such as a weight or HDL",
        )
    row = _only(person, [*shared, *names])
    beside = _only(person, shared)
    rng = np.random.default_rng(seed)
    needed = [*names, *inputs_of(schema, list(person.known.waiting))]
    virtual = joint.sample(np.repeat(beside, VIRTUAL, 0), rng, needed)
    people = np.vstack([row, np.where(np.isnan(row), np.nan, virtual)])
    scores = combination_score(joint, people, names, shared)
    waiting = _waiting(person, beside, people, virtual, rng)
    for told in waiting:
        scores = scores + told.surprise
    p = float((1 + (scores[1:] >= scores[0]).sum()) / (VIRTUAL + 1))
    values = _values(person, row, beside, names) + [_value_of(person, told) for told in waiting]
    pairs = _pairs(person, beside, names) + _pairs_of(person, beside, names, waiting, rng)
    who = ", ".join(f"{n} {person.known.shown(n)}" for n in shared if person.known.value(n) is not None)
    low, high = np.quantile(scores[1:], [0.05, 0.95]).tolist()
    value = Typicality(
        p, float(scores[0]), (low, high), tuple(sorted(values, key=lambda v: -v.surprise)),
        tuple(sorted(pairs, key=lambda p: -p.nats)[:_SHOWN]), _resembles(person, row, beside, shared),
        f"virtual people of the same {who}" if who else f"virtual {everybody(person.human)}",
    )  # fmt: skip
    half = 1.645 * math.sqrt(p * (1 - p) / VIRTUAL)
    return Estimate(value, {"p_value": (max(p - half, 0.0), min(p + half, 1.0))})


@dataclass(frozen=True)
class _Waiting:
    """A calculated value whose inputs are not all known.

    ``surprise`` is that of the person's own and then of each virtual peer's, shape (1 + VIRTUAL,).
    """

    name: str
    value: float
    peers: Peers
    placed: Placed
    surprise: Floats


def _waiting(
    person: Person, beside: Floats, people: Floats, virtual: Floats, rng: np.random.Generator
) -> list[_Waiting]:
    wanted = person.known.waiting
    if not wanted:
        return []
    joint = person.human.model
    drawn, truth = draws_of(joint, list(wanted), people, _DRAWS, rng), person.schema.compute(virtual)
    mine = draws_of(joint, list(wanted), people[:1], _OF_ONE, rng)
    all_peers = draws_of(joint, list(wanted), beside, _OF_PEERS, rng)
    found = []
    for name, x in wanted.items():
        peers = Peers.of(all_peers[name][0])
        surprise = peers.surprise(np.append(x, truth[name]), drawn[name])
        found.append(_Waiting(name, x, peers, peers.place(x, mine[name][0]), np.nan_to_num(surprise)))
    return found


def _value_of(person: Person, told: _Waiting) -> ValueCheck:
    derived = person.schema.derived_named(told.name)
    width, _ = person.human.calibration.width(told.name, person.group)
    low, half, high = np.quantile(told.placed.draws, [(1 - width) / 2, 0.5, (1 + width) / 2]).tolist()
    return ValueCheck(
        told.name, derived.label_en or told.name, told.value, "" if derived.unit == "1" else derived.unit,
        100 * told.peers.share_below(told.value), half, low, high, 100 * told.placed.given_others,
        float(told.surprise[0]),
    )  # fmt: skip


def _pairs_of(
    person: Person,
    beside: Floats,
    names: Sequence[str],
    waiting: Sequence[_Waiting],
    rng: np.random.Generator,
) -> list[Pair]:
    """Pairs of a calculated value whose inputs are not known with each that is."""
    if not waiting:
        return []
    schema = person.schema
    rows = np.repeat(beside, len(names), 0)
    for k, b in enumerate(names):
        rows[k, schema.index(b)] = person.known.values[schema.index(b)]
    drawn = draws_of(person.human.model, [w.name for w in waiting], rows, _OF_ONE, rng)
    found = []
    for told in waiting:
        for b, own in zip(names, drawn[told.name], strict=True):
            placed = told.peers.place(told.value, own)
            if placed.surprise >= _CLEAR:
                middle = float(np.median(placed.draws))
                words = _in_words(person, told.name, b, told.value, middle)
                found.append(Pair(told.name, b, words, placed.surprise))
    return found


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


def _values(person: Person, row: Floats, beside: Floats, names: Sequence[str]) -> list[ValueCheck]:
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
    return found


def _pairs(person: Person, beside: Floats, names: Sequence[str]) -> list[Pair]:
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
    return found


def _in_words(person: Person, a: str, b: str, x: float, middle: float) -> str:
    schema = person.schema
    own = schema[a] if a in schema else schema.derived_named(a)
    way = "high" if x > middle else "low"
    return (
        f"{own.label_en or a} {show(schema, a, x)} is {way} for {schema[b].label_en or b} "
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
    mine = state_of(joint, replace(person.known, values=row[0]))  # calculated values kept as constraints
    with_values, without = joint.predictive(mine.rows, names), joint.predictive(beside, names)
    found = []
    for name in names:
        column = schema[name]
        if column.kind is Kind.BINARY:
            # whether it rises is judged by one line: with two, it might where only the line changes
            line = line_of(calibration, schema, State(row, np.ones(1)), name)
            mixed, plain = Blend(with_values[name], mine.weights), Blend(without[name], np.ones(1))
            if not _risen(risk_of(mixed, line)[0], risk_of(plain, line)[0]):
                continue
            # told as the list of risks tells it, each by its own line: a page has one figure for one thing
            here = risk_of(mixed, line_of(calibration, schema, mine, name))[0]
            theirs = risk_of(plain, line_of(calibration, schema, State(beside, np.ones(1)), name))[0]
            found.append(Resemblance(name, column.label_en or name, here, theirs))
        else:
            pairs = zip(
                column.levels,
                Blend(with_values[name], mine.weights).probabilities(),
                without[name].probabilities()[0],
                strict=True,
            )
            found += [
                Resemblance(name, f"{column.label_en or name}: {level}", float(p), float(q))
                for level, p, q in pairs
            ]
    risen = [r for r in found if _risen(r.share, r.peers)]
    return tuple(sorted(risen, key=lambda r: -_logit(r.share) + _logit(r.peers))[:most])


def _risen(share: float, peers: float) -> bool:
    return share >= 1.25 * peers and share - peers >= 0.02


def _logit(p: float) -> float:
    inside = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(inside) - math.log1p(-inside)


def strangeness(person: Person) -> float:
    """Share of people whose values go together more strangely; ``chain_p`` in one call of the model."""
    from scipy.special import chdtrc, ndtri  # not scipy.stats: importing it takes half a second

    model, values = person.human.model, person.known.values
    places = np.flatnonzero(np.isfinite(values) & seen(model).judged)
    if len(places) < 2:
        return 1.0
    rows = np.repeat(values[None, :], len(places), 0)
    for k, i in enumerate(places):
        rows[: k + 1, i] = np.nan
    told = each(model, rows, [person.schema.names[i] for i in places])
    u = np.array([middle(one, values[i : i + 1])[0] for one, i in zip(told, places, strict=True)])
    total = float((ndtri(np.clip(u, 1e-9, 1 - 1e-9)) ** 2).sum())
    return person.human.calibration.share_stranger(float(chdtrc(len(places), total)))
