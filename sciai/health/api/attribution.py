"""Which known values carry an answer about a person: Shapley values, where what is not told is not known.

What a share means: among people like those learned from, by how much the expected value (of a yes/no column
its log-odds) moves when this value is told too, averaged over the orders in which the values can be told. It
says what the model leans on, not what causes what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer, Estimate, Finding
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.health.api.distribution import HealthAnswer
from sciai.health.api.infer import state_of
from sciai.health.api.record import recorded
from sciai.health.api.words import column_named
from sciai.health.data.columns import Kind
from sciai.trust.explain import Attribution, randomised, sanity, shapley

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.person import Person
    from sciai.health.model.interface import Joint

__all__ = ["attribution_figure", "check_sanity", "explain", "untrained"]

Floats = npt.NDArray[np.float64]
EXACT = 8
"""Up to so many known values all their subsets are asked; beyond, random orders."""
DRAWS = 8
"""Rows that stand for a person of whom a calculated value is known without its inputs."""


@recorded
def explain(person: Person, target: str, orders: int = 60, seed: int = 0) -> HealthAnswer:
    """Share the answer to one question among the known values.

    Args:
        person: of whom something is known.
        target: a free column that is not known.
        orders: random orders, where more than ``EXACT`` values are known.
        seed: of the orders.

    Returns:
        An answer whose value is an ``Attribution`` in the target's unit, of a yes/no target in log-odds; its
        spread is the standard error of each share (0 where all subsets were asked).

    Raises:
        BadInput: nothing is known, or the target has no mean.

    >>> from sciai.health import VirtualHuman
    >>> me = VirtualHuman.load().given(age=70, sex="male", bmi=24)
    >>> told = explain(me, "sbp").unwrap()
    >>> told.ranked()[0][0], round(told.gap, 9)
    ('age', 0.0)
    """
    schema, name = person.schema, column_named(person.schema, target)
    if name not in schema:
        parts = ", ".join(schema.derived_named(name).inputs)
        problem = f"{name} cannot be explained, as it is calculated from {parts}"
        raise BadInput(problem, field=name, fix="choose one of these")
    if schema[name].kind is Kind.CATEGORICAL:
        raise BadInput(f"{name} cannot be explained", field=name, fix="choose a number or a yes/no column")

    def predict(_: object) -> Estimate[Attribution]:
        shares = _shares(person, name, orders, seed)
        return Estimate(
            shares, dict(zip(shares.names, shares.error.tolist(), strict=True)), _unit(person, name)
        )

    return HealthAnswer.of(person._answer((name,), predict, seed=seed))


def _unit(person: Person, name: str) -> str:
    column = person.schema[name]
    return "log-odds" if column.kind is Kind.BINARY else "" if column.unit == "1" else column.unit


def _shares(person: Person, name: str, orders: int, seed: int) -> Attribution:
    schema, joint = person.schema, person.human.model
    parts = {n: [schema.index(n)] for n in person.known.names if n != name}
    for n in person.known.waiting:  # a calculated value stands for its unknown inputs, drawn to keep it
        inputs = [schema.index(i) for i in schema.derived_named(n).inputs]
        parts[n] = [i for i in inputs if np.isnan(person.known.values[i])]
    state = state_of(joint, person.known, DRAWS)
    columns = np.array([np.isin(np.arange(len(schema)), own) for own in parts.values()], bool)

    def answer(masks: npt.NDArray[np.bool_]) -> Floats:
        told = masks.astype(int) @ columns.astype(int) > 0
        rows = np.where(told[:, None, :], state.rows[None], np.nan).reshape(-1, len(schema))
        return _middle(joint, rows, name, state.weights)

    return shapley(answer, list(parts), exact=EXACT, orders=orders, seed=seed)


def _middle(joint: Joint, rows: Floats, name: str, weights: Floats) -> Floats:
    """Expected value of a column, of a yes/no column its log-odds, over each k rows of (m k) with weights."""
    told = joint.predictive(rows, [name])[name]
    yes_no = told.column.kind is Kind.BINARY
    each = np.asarray(told.probabilities()[:, 1] if yes_no else told.mean(), float)
    mean = np.asarray(each.reshape(-1, len(weights)) @ weights)
    if not yes_no:
        return mean
    p = np.clip(mean, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p))


def untrained(checkpoint: Checkpoint, seed: int = 0) -> VirtualHuman:
    """The same model with its learned weights shuffled: it has learned nothing.

    Args:
        checkpoint: of the health domain.
        seed: of the shuffling.
    """
    from dataclasses import replace

    from sciai.health.api.human import VirtualHuman

    arrays = randomised(checkpoint.arrays, lambda name: name.startswith("net.") and name != "net.shape", seed)
    if "copula.correlation" in arrays:  # a correlation has to stay one: columns trade places
        order = np.random.default_rng(seed).permutation(len(arrays["copula.correlation"]))
        arrays["copula.correlation"] = checkpoint.arrays["copula.correlation"][np.ix_(order, order)]
    return VirtualHuman.from_checkpoint(replace(checkpoint, arrays=arrays))


def check_sanity(person: Person, target: str, others: Sequence[VirtualHuman]) -> list[Finding]:
    """Does the explanation change when the model has learned nothing?

    Args:
        person: of whom at least three values are known.
        target: as for ``explain``.
        others: untrained models of the same columns; several, since ranks of few values agree by chance.

    Returns:
        A finding, of caution where the explanations rank the values alike.
    """
    name = column_named(person.schema, target)
    mine = _shares(person, name, 40, 0).share
    theirs = [_shares(type(person)(other, person.known), name, 40, 0).share for other in others]
    return sanity(np.tile(mine, (len(theirs), 1)), theirs)


def attribution_figure(answer: Answer[Any], person: Person, target: str, most: int = 15) -> Figure:
    """Bars: what each known value adds to the answer, largest first.

    Args:
        answer: of ``explain``.
        person: the same person.
        target: likewise.
        most: bars to draw; the rest is one bar.
    """
    from matplotlib.figure import Figure

    from sciai.health.api.risks import _label

    value: Attribution = answer.unwrap()
    ranked = value.ranked()
    shown = ranked[:most]
    rest = sum(share for _, share in ranked[most:])
    names = [f"{_label(person, n)}  {person.known.shown(n)}" for n, _ in shown]
    shares = [share for _, share in shown]
    error = dict(zip(value.names, value.error.tolist(), strict=True))
    errors = [1.96 * error[n] for n, _ in shown]
    if len(ranked) > most:
        names, shares, errors = [*names, f"{len(ranked) - most} others"], [*shares, rest], [*errors, 0.0]
    figure = Figure(figsize=(8.0, 1.4 + 0.3 * len(names)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    colors = ["#b3261e" if share > 0 else "#1f6fb2" for share in shares]
    axes.barh(range(len(names)), shares, xerr=errors, color=colors, height=0.7, ecolor="#8894a0")
    axes.axvline(0.0, color="#1d2733", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
    unit = answer.estimate.unit if answer.estimate is not None else ""
    label = _label(person, column_named(person.schema, target))
    axes.set_title(
        f"{label}: from {value.base:.3g} (nothing known) to {value.total:.3g} {unit}", loc="left", fontsize=11
    )
    axes.set_xlabel(f"what each value adds, {unit or 'levels'}", fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
