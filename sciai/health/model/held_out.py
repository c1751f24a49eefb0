"""Learn from held-out people what a joint model cannot know of itself: intervals that cover, risks that fit.

``calibrate`` is called once, after training; its result goes on the model card. It holds counts, quantiles
and fitted coefficients of groups, never anybody's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import chi2

from sciai.health.data.columns import Kind, Schema
from sciai.health.data.leaks import inputs_of, leaks_of
from sciai.health.model.calibration import (
    ALPHA,
    JUDGED,
    SHARES,
    VERSION,
    ages,
    decade,
    groups_of,
    illness_known,
    level_names,
    middle,
)
from sciai.trust.conformal import quantile
from sciai.trust.platt import Platt

if TYPE_CHECKING:
    from sciai.health.model.interface import Joint, Predictive

__all__ = ["calibrate", "chain_p", "hide_like_a_panel", "off_centre"]

Floats = npt.NDArray[np.float64]

FEWEST = 60  # people in a group before it gets a quantile of its own; below, everybody's is used
DRAWS = 49  # joint draws behind the interval of a calculated column
MOST = 1000  # people whose calculated columns are drawn: it is the slow part
_TOLD = "|told"
_PANELS = {"basic": "", "check-up": "|measured"}  # what people come with, and the line that learns from it
# A model's log-odds are trusted to about a tenth: people of one place are alike, so the few places of the
# calibration part tell less than their number of people does, and a freer line fitted new places worse.
_PRIOR = (0.1, 0.1)
FEWEST_TOGETHER = 20  # people who have both of two columns
_FEWEST_STRANGE = 300  # people behind the scale of strange combinations


def hide_like_a_panel(
    schema: Schema, values: Floats, rng: np.random.Generator, always: Sequence[str] = ("age", "sex")
) -> Floats:
    """The same people with parts hidden as in real questions: whole groups of columns, and single ones.

    Args:
        schema: the columns.
        values: shape (n, d), NaN where unknown.
        rng: the source of chance.
        always: columns that are never hidden.

    Returns:
        A copy, shape (n, d), with more NaN.
    """
    n = len(values)
    hidden = rng.random(values.shape) < rng.uniform(0.1, 0.6, (n, 1))
    groups = [c.group for c in schema.columns]
    for group in sorted(set(groups)):
        # whether somebody has blood drawn, or is asked about illnesses, comes for the whole group at once
        share = 0.75 if group in ("diagnosis", "medication", "outcome") else 0.4
        away = rng.random(n) < share
        hidden |= away[:, None] & np.array([g == group for g in groups])
    for name in (n for n in always if n in schema):
        hidden[:, schema.index(name)] = False
    return np.where(hidden, np.nan, values)


def calibrate(
    joint: Joint,
    values: Floats,
    train: Floats,
    *,
    weights: Floats | None = None,
    seed: int = 0,
    passes: int = 4,
    chunk: int = 512,
) -> dict[str, Any]:
    """Learn intervals, risks and counts; the result is plain JSON for the card's ``calibration``.

    Risks are learned from what people come with: basic data, and a check-up (``sciai.health.data.leaks``), a
    line for each. For the rest each held-out person is seen with random parts hidden; a column of theirs is
    scored in the first of the passes that hides it, so that everybody counts once for each column.

    Args:
        joint: the trained model.
        values: held-out people, encoded, shape (n, d), NaN where unknown; not among those it learned from.
        train: people it learned from, for counts only, shape (m, d).
        weights: their survey weights, shape (m,); None for a model whose sample is the population.
        seed: of what is hidden.
        passes: how often each person is looked at.
        chunk: people per call of the model.

    Returns:
        ``{"health": {...}}``.
    """
    schema, rng = joint.schema, np.random.default_rng(seed)
    names = [c.name for c in schema.columns]
    endings = (*_PANELS.values(), _TOLD)
    scored: dict[str, dict[int, tuple[float, float]]] = {n + e: {} for n in names for e in endings}
    for panel, ending in _PANELS.items():
        _score_panel(joint, values, panel, ending, chunk, scored)
    for _ in range(passes):
        known = hide_like_a_panel(schema, values, rng)
        for start in range(0, len(values), chunk):
            rows = slice(start, start + chunk)
            _score(joint, known[rows], values[rows], start, scored)
    groups = groups_of(schema, values)
    ethnic = level_names(schema, values, "race_eth")
    widths: dict[str, dict[str, float]] = {}
    fits: dict[str, dict[str, list[float]]] = {}
    lines: dict[str, dict[str, dict[str, Any]]] = {ending: {} for ending in endings}
    for column in schema.columns:
        for ending in endings if column.kind is Kind.BINARY else ():
            if len(scored[column.name + ending]) >= FEWEST:
                first, second = np.array(list(scored[column.name + ending].values())).T
                lines[ending][column.name] = _plain(Platt.fit(np.clip(first, 0, 1), second, _PRIOR))
        seen = scored[column.name]
        if not seen:
            continue
        people = np.fromiter(seen, int)
        first, second = np.array(list(seen.values())).T
        if column.kind is Kind.BINARY:
            line = Platt.fit(np.clip(first, 0, 1), second, _PRIOR)
            fits[column.name] = _fits(line(np.clip(first, 0, 1)), second, groups[people], ethnic[people])
        elif column.kind is not Kind.CATEGORICAL:
            widths[column.name] = _widths(first, groups[people])
    hidden = hide_like_a_panel(schema, values, rng)
    widths |= _calculated(joint, hidden, values, groups, rng)
    content = {
        "version": VERSION,
        "people": len(values),
        "trained_on": len(train),
        "widths": widths,
        "risks": lines[""],
        "measured": lines[_PANELS["check-up"]],
        "told": lines[_TOLD],
        "groups": fits,
        "cases": {
            c.name: [int(np.nansum(train[:, i])), int(np.isfinite(train[:, i]).sum())]
            for i, c in enumerate(schema.columns)
            if c.kind is Kind.BINARY
        },
        "known": {c.name: int(np.isfinite(train[:, i]).sum()) for i, c in enumerate(schema.columns)},
        "population": _population(schema, train, weights),
        "strangeness": _strangeness(joint, hidden),
    }
    if apart := _apart(schema, train):
        content["apart"] = apart
    return {"health": content}


def _score(
    joint: Joint, known: Floats, values: Floats, start: int, scored: dict[str, dict[int, tuple[float, float]]]
) -> None:
    """(P(yes), outcome) of yes/no columns of people of whom an illness is known, (|2 cdf - 1|, 0) of numbers;
    each person once for each column."""
    fresh: dict[str, npt.NDArray[np.intp]] = {}
    schema = joint.schema
    for i, column in enumerate(schema.columns):
        due = np.flatnonzero(np.isnan(known[:, i]) & np.isfinite(values[:, i]))
        if column.kind is Kind.CATEGORICAL or column.group == "design":
            continue
        if column.kind is Kind.BINARY:
            ill = illness_known(schema, known, column.name)
            # a treatment that tells the diagnosis makes risks of 0 and 1: no line in log-odds can follow
            by = [n for n in leaks_of(column.name) if n in schema and schema[n].kind is Kind.BINARY]
            clear = np.isfinite(known[:, [schema.index(n) for n in by]]).any(1)
            key, own = column.name + _TOLD, ill & ~clear
            fresh[key] = np.array([k for k in due if own[k] and k + start not in scored[key]], int)
        else:
            fresh[column.name] = np.array([k for k in due if k + start not in scored[column.name]], int)
    wanted = dict.fromkeys(key.removesuffix(_TOLD) for key, due in fresh.items() if len(due))
    told = joint.predictive(known, list(wanted)) if wanted else {}
    for key, due in fresh.items():
        if not len(due):
            continue
        name = key.removesuffix(_TOLD)
        x = values[:, schema.index(name)]
        truth = np.where(np.isfinite(x), x, 0.0)
        if schema[name].kind is Kind.BINARY:
            first, second = told[name].probabilities()[:, 1], truth
        else:
            first, second = off_centre(told[name], truth), np.zeros(len(truth))
        for k in due:
            scored[key][int(k) + start] = (float(first[k]), float(second[k]))


def _score_panel(
    joint: Joint,
    values: Floats,
    panel: str,
    ending: str,
    chunk: int,
    scored: dict[str, dict[int, tuple[float, float]]],
) -> None:
    """(P(yes), outcome) of every yes/no column, given what a panel tells but what gives the answer away."""
    schema = joint.schema
    columns = [(c.name, c.group) for c in schema.columns]
    together: dict[tuple[str, ...], list[str]] = {}
    for column in schema.columns:
        if column.kind is Kind.BINARY and column.group not in ("person", "design"):
            together.setdefault(tuple(inputs_of(panel, column.name, columns)), []).append(column.name)
    for inputs, names in together.items():
        known = np.where(np.isin(schema.names, inputs), values, np.nan)
        for start in range(0, len(values), chunk):
            rows = slice(start, start + chunk)
            told = joint.predictive(known[rows], names)
            for name in names:
                truth = values[rows, schema.index(name)]
                p = told[name].probabilities()[:, 1]
                for k in np.flatnonzero(np.isfinite(truth)):
                    scored[name + ending][int(k) + start] = (float(p[k]), float(truth[k]))


def _plain(line: Platt) -> dict[str, Any]:
    return {"offset": line.offset, "slope": line.slope, "covariance": line.covariance.tolist()}


def _calculated(
    joint: Joint, hidden: Floats, values: Floats, groups: npt.NDArray[np.str_], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Widths of the intervals of calculated columns, from joint draws of their hidden inputs."""
    schema = joint.schema
    hidden, values, groups = hidden[:MOST], values[:MOST], groups[:MOST]
    truth = schema.compute(values)
    rank = {d.name: np.full(len(values), np.nan) for d in schema.derived}
    for start in range(0, len(values), 64):
        rows = np.repeat(hidden[start : start + 64], DRAWS, 0)  # side by side: they share a pattern of gaps
        drawn = schema.compute(joint.sample(rows, rng))
        for name, own in rank.items():
            x, y = drawn[name].reshape(-1, DRAWS), truth[name][start : start + 64, None]
            own[start : start + 64] = (x < y).sum(1) + (x == y).sum(1) / 2
    result = {}
    for derived in schema.derived:
        inputs = [schema.index(n) for n in derived.inputs]
        due = np.isfinite(truth[derived.name]) & np.isnan(hidden[:, inputs]).any(1)
        if due.sum() >= FEWEST:
            u = (rank[derived.name] + 0.5) / (DRAWS + 1)
            result[derived.name] = _widths(np.abs(2 * u - 1)[due], groups[due])
    return result


def off_centre(told: Predictive, x: Floats) -> Floats:
    """Smallest central probability whose quantile interval holds x: ``min |2 u - 1|`` over x's share of cdf.

    Distributional conformal prediction (Chernozhukov, Wuethrich & Zhu 2021, PNAS 118(48)), with the jump of a
    discrete distribution at x counted in x's favour, as its quantiles do.

    Args:
        told: predictive distributions of n rows.
        x: values, shape (n,).

    Returns:
        Shape (n,), 0 to 1.
    """
    upper = np.asarray(told.cdf(x), float)
    if told.column.kind is Kind.CONTINUOUS:
        return np.abs(2 * upper - 1)
    lower = upper - np.exp(told.log_prob(x))
    return np.where((lower <= 0.5) & (upper >= 0.5), 0.0, np.maximum(2 * lower - 1, 1 - 2 * upper))


def chain_p(joint: Joint, rows: Floats, skip: Sequence[str] = ("age", "sex")) -> Floats:
    """How well the numbers of each row go together: p-value of a chain of conditional percentiles.

    Each number's percentile given everything that is no judged number, and the judged numbers before it, is
    uniform if the model is right (Rosenblatt 1952, Annals of Mathematical Statistics 23(3)), so the sum of
    their squared normal scores is chi-squared with one degree of freedom for each.

    Args:
        joint: the model.
        rows: shape (n, d); NaN where unknown.
        skip: columns that are conditioned on instead of judged.

    Returns:
        Shape (n,); 1 where fewer than two numbers are judged.
    """
    schema = joint.schema
    judged = [
        i for i, c in enumerate(schema.columns) if c.numeric and c.group in JUDGED and c.name not in skip
    ]
    known, total, count = rows.copy(), np.zeros(len(rows)), np.zeros(len(rows))
    known[:, judged] = np.nan
    for i in judged:
        own = np.flatnonzero(np.isfinite(rows[:, i]))
        if len(own):
            u = middle(joint.predictive(known[own], [schema.names[i]])[schema.names[i]], rows[own, i])
            total[own] += ndtri(np.clip(u, 1e-9, 1 - 1e-9)) ** 2
            count[own] += 1
            known[own, i] = rows[own, i]
    return np.where(count > 1, chi2.sf(total, np.maximum(count, 1)), 1.0)


def _strangeness(joint: Joint, rows: Floats) -> list[float]:
    p = chain_p(joint, rows)
    p = p[p < 1.0]
    if len(p) < _FEWEST_STRANGE:
        return []
    # an infinitely strange person would flatten the scale beyond; 1e-300 is strange enough
    return [float(f"{max(q, 1e-300):.4g}") for q in np.quantile(p, SHARES)]


def _widths(scores: Floats, groups: npt.NDArray[np.str_]) -> dict[str, float]:
    told = {"all": scores} | {str(g): scores[groups == g] for g in np.unique(groups)}
    return {
        g: round(min(quantile(own, ALPHA), 1.0), 5)
        for g, own in told.items()
        if len(own) >= FEWEST or g == "all"
    }


def _fits(
    risk: Floats, outcome: Floats, groups: npt.NDArray[np.str_], ethnic: npt.NDArray[np.str_]
) -> dict[str, list[float]]:
    told: dict[str, list[float]] = {}
    for names in (np.full(len(risk), "all"), groups, ethnic):
        for g in np.unique(names):
            own = names == g
            told[str(g)] = [int(own.sum()), int(outcome[own].sum()), round(float(risk[own].sum()), 3)]
    return told


def _apart(schema: Schema, train: Floats) -> dict[str, list[str]]:
    """Of each column those that too few people have together with it: nothing tells how they go together."""
    there = np.isfinite(train).astype(float)
    few = there.T @ there < FEWEST_TOGETHER
    pairs = {c: [schema.names[j] for j in np.flatnonzero(few[i])] for i, c in enumerate(schema.names)}
    return {name: others for name, others in pairs.items() if others}


def _population(schema: Schema, train: Floats, weights: Floats | None) -> dict[str, list[float]]:
    sex, ethnic = level_names(schema, train, "sex"), level_names(schema, train, "race_eth")
    age = ages(schema, train)
    heavy = np.ones(len(train)) if weights is None else np.asarray(weights, float)
    cells: dict[str, list[float]] = {}
    for s, a, e, w in zip(sex, age, ethnic, heavy / heavy.mean(), strict=True):
        if (np.isfinite(a) or "age" not in schema) and s != "unknown":
            cell = cells.setdefault(f"{s}|{decade(a) if np.isfinite(a) else 'all'}|{e}", [0, 0.0])
            cell[0] += 1
            cell[1] += float(w)
    return {name: [n, round(w / n, 5)] for name, (n, w) in sorted(cells.items())}
