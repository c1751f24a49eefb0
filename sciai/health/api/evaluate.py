"""How good the estimates of one joint model are on people it has never seen: one implementation, used by
``sciai health evaluate`` and by the benchmarks, which score their peers with the same functions.

Every column is asked for once per person, given the known values of an input set without what gives it away
(``sciai.health.data.leaks``). Numbers are scored in nats over bins of their marginal distribution, whose
edges lie between recorded values, so that densities, histograms and classifiers can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.data.leaks import inputs_of, leaks_of
from sciai.trust.score import coverage, ece

if TYPE_CHECKING:
    from sciai.health.data.columns import Schema
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Joint, Predictive

__all__ = [
    "ColumnScore",
    "Evaluation",
    "Prediction",
    "auroc",
    "bin_edges",
    "evaluate",
    "figures",
    "predict",
]

Floats = npt.NDArray[np.float64]
_LEAST = 1e-6  # probability of a bin is at least this: one impossible value must not make every mean infinite
_MANY = 20_000
LEVEL = 0.9  # what intervals are to cover


@dataclass(frozen=True)
class Prediction:
    """What was said about one column, for the people in whom it is known.

    Attributes:
        target: the column.
        kind: its kind, as in the schema.
        rows: which rows of the table these are, shape (n,).
        truth: shape (n,), in the column's unit; level codes of discrete columns.
        bins: the bin or level of the truth, shape (n,).
        probabilities: of the bins or levels, shape (n, bins).
        lower: lower end of the interval, shape (n,); NaN for columns without order.
        upper: upper end, likewise.
    """

    target: str
    kind: str
    rows: npt.NDArray[np.int64]
    truth: Floats
    bins: npt.NDArray[np.int64]
    probabilities: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True)
class ColumnScore:
    """Figures of one column.

    Attributes:
        target: the column.
        kind: its kind.
        n: people it was scored on.
        nll: mean negative log probability of the true bin, in nats.
        marginal: the same for the marginal distribution, which knows nothing of the person.
        coverage: share inside of the interval; NaN for columns that are no numbers.
        auroc: of the risk; NaN but for yes/no columns with both answers, as are the next three.
        brier: mean squared error of the risk.
        ece: expected calibration error of the risk, ten bins.
        cases: number of people with a yes.
    """

    target: str
    kind: str
    n: int
    nll: float
    marginal: float
    coverage: float
    auroc: float
    brier: float
    ece: float
    cases: int


@dataclass(frozen=True)
class Evaluation:
    """Figures of all columns, given one set of inputs.

    Attributes:
        inputs: name of the input set.
        columns: one score per column that could be scored.
        skipped: column -> why it could not.
        level: share that the intervals promise to cover.
    """

    inputs: str
    columns: tuple[ColumnScore, ...]
    skipped: Mapping[str, str]
    level: float

    def summary(self) -> dict[str, float]:
        """Means over columns; of the figures of risks, over yes/no columns with at least 20 yes.

        >>> one = ColumnScore("sbp", "continuous", 9, 3.0, 3.5, 0.9, *[float("nan")] * 3, cases=0)
        >>> Evaluation("basic", (one,), {}, 0.9).summary()["nll"]
        3.0
        """
        risks = [c for c in self.columns if c.cases >= 20 and c.n - c.cases >= 20]
        numbers = [c for c in self.columns if not np.isnan(c.coverage)]
        return {
            "columns": float(len(self.columns)),
            "nll": _mean(c.nll for c in self.columns),
            "gain over marginal": _mean(c.marginal - c.nll for c in self.columns),
            "coverage": _mean(c.coverage for c in numbers),
            "auroc": _mean(c.auroc for c in risks),
            "brier": _mean(c.brier for c in risks),
            "ece": _mean(c.ece for c in risks),
            "worst ece": max((c.ece for c in risks), default=float("nan")),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "inputs": self.inputs,
            "level": self.level,
            "summary": self.summary(),
            "columns": [asdict(c) for c in self.columns],
            "skipped": dict(self.skipped),
        }


def bin_edges(values: npt.ArrayLike, most: int = 50) -> Floats:
    """Inner edges of bins with about equally many values each.

    An edge lies half-way between two neighbouring recorded values, never on one: whether a recorded 4.2 means
    4.2 or 4.15 to 4.25 then makes no difference to the bin it falls into.

    Args:
        values: shape (n,); NaN is left out.
        most: bins are at most so many; fewer where values repeat.

    Returns:
        Ascending, shape (bins - 1,); in the unit of the values.

    Raises:
        BadInput: when no value is known.

    >>> bin_edges([1, 1, 2, 3], most=50).tolist()
    [1.5, 2.5]
    """
    known = np.asarray(values, float).ravel()
    known = known[~np.isnan(known)]
    if not len(known):
        raise BadInput("no values to cut into bins", field="values")
    distinct = np.unique(known)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if not len(middles):
        return np.empty(0)
    cuts = np.quantile(known, np.linspace(0, 1, most + 1)[1:-1], method="inverted_cdf")
    return np.unique(middles[np.minimum(np.searchsorted(distinct, cuts), len(middles) - 1)])


def predict(
    joint: Joint,
    values: Floats,
    inputs: str | Sequence[str],
    targets: Sequence[str],
    edges: Mapping[str, Floats],
    calibration: Calibration | None = None,
    rows_at_once: int = 2048,
) -> dict[str, Prediction]:
    """Ask for columns, each in the people in whom it is known, given an input set.

    Args:
        joint: the model.
        values: people, shape (n, columns of the schema); NaN where unknown.
        inputs: "basic", "check-up" or "all" (whatever else is known), or names of columns.
        targets: names of columns.
        edges: inner edges of each target's bins; discrete columns need none.
        calibration: of the model's card; it shifts risks, and widens or narrows the 90 % intervals by sex and
            age band. None: as the model says them itself.
        rows_at_once: bounds the memory.

    Returns:
        Target -> prediction; targets that nobody has are left out.

    Raises:
        BadInput: on an unknown input set or column.
    """
    schema = joint.schema
    groups: dict[tuple[str, ...], list[str]] = {}
    for target in targets:
        groups.setdefault(tuple(_inputs(schema, inputs, target)), []).append(target)
    result: dict[str, Prediction] = {}
    for names, members in groups.items():
        shown = np.zeros(values.shape[1], bool)
        shown[[schema.index(name) for name in names]] = True
        columns = [schema.index(target) for target in members]
        rows = np.flatnonzero((~np.isnan(values[:, columns])).any(1))
        parts: dict[str, list[Prediction]] = {target: [] for target in members}
        for start in range(0, len(rows), rows_at_once):
            some = rows[start : start + rows_at_once]
            known = np.where(shown, values[some], np.nan)
            found = joint.predictive(known, members)
            who = _groups(schema, values[some]) if calibration is not None else ()
            for target, column in zip(members, columns, strict=True):
                part = _predicted(found[target], some, values[some, column], edges.get(target))
                parts[target].append(_calibrated(part, found[target], calibration, who, schema, known))
        for target in members:
            if sum(len(part.rows) for part in parts[target]):
                result[target] = _joined(parts[target])
    return {target: result[target] for target in targets if target in result}


def figures(prediction: Prediction, reference: npt.ArrayLike | None = None) -> ColumnScore:
    """Score a prediction, whoever made it.

    Args:
        prediction: of one column.
        reference: bins (or levels) of other people, shape (m,), from which the marginal distribution is
            counted; None counts it from the truth itself, which flatters the marginal.
    """
    count, bins = prediction.probabilities.shape
    p = np.maximum(prediction.probabilities, _LEAST)
    p /= p.sum(1, keepdims=True)
    own = p[np.arange(count), prediction.bins]
    seen = prediction.bins if reference is None else np.asarray(reference, np.int64)
    frequency = (np.bincount(seen, minlength=bins) + 0.5) / (len(seen) + 0.5 * bins)
    covered = float("nan")
    if not np.isnan(prediction.lower).all():
        covered = coverage(prediction.truth, prediction.lower, prediction.upper)
    roc = brier = calibration = float("nan")
    cases = 0
    if prediction.kind == "binary":
        risk, yes = np.clip(prediction.probabilities[:, 1], 0, 1), prediction.bins == 1
        cases, brier = int(yes.sum()), float(np.mean((risk - yes) ** 2))
        calibration = ece(risk, yes.astype(int))
        if 0 < cases < count:
            roc = auroc(risk, yes)
    nll, marginal = float(-np.log(own).mean()), float(-np.log(frequency[prediction.bins]).mean())
    return ColumnScore(
        prediction.target, prediction.kind, count, nll, marginal, covered, roc, brier, calibration, cases
    )


def evaluate(
    joint: Joint,
    table: Any,
    inputs: str = "check-up",
    targets: Iterable[str] | None = None,
    reference: Any = None,
    calibration: Calibration | None = None,
    least: int = 20,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Figures of a model on people it has never seen.

    Args:
        joint: the model, or anything with one as ``.model`` (a ``VirtualHuman``).
        table: DataFrame with the schema's columns, or encoded values of shape (n, columns).
        inputs: "basic", "check-up" or "all".
        targets: names of columns; None: every column but those of the survey's design.
        reference: other people, as ``table``, whose marginal distributions cut the bins; None uses the
            table's own.
        calibration: of the model's card; None takes that of a ``VirtualHuman``, and for a bare model none.
        least: a column known in fewer people is skipped.
        progress: gets one line per column.

    Raises:
        BadInput: on an empty table, an unknown column or input set.
    """
    model: Joint = joint if hasattr(joint, "predictive") else getattr(joint, "model")  # noqa: B009
    settings = calibration if calibration is not None else getattr(joint, "calibration", None)
    schema = model.schema
    values = _encoded(schema, table)
    if not len(values):
        raise BadInput("the table has no rows", field="table")
    others = values if reference is None else _encoded(schema, reference)
    asked = [c.name for c in schema.columns if c.group != "design"] if targets is None else list(targets)
    skipped, edges, reported = {}, {}, []
    for name in asked:
        column = schema.index(name)
        known = int((~np.isnan(values[:, column])).sum())
        if known < least or np.isnan(others[:, column]).all():
            skipped[name] = f"known in {known} people, {least} are needed"
            continue
        reported.append(name)
        if schema[name].numeric:
            edges[name] = bin_edges(others[:, column])
    scores = {}
    # a column at a time where the people are many: all their probabilities at once would not fit
    for some in [reported] if len(values) <= _MANY else [[name] for name in reported]:
        for name, prediction in predict(model, values, inputs, some, edges, settings).items():
            outside = others[~np.isnan(others[:, schema.index(name)]), schema.index(name)]
            place = np.searchsorted(edges[name], outside) if name in edges else outside.astype(np.int64)
            scores[name] = figures(prediction, place)
            if progress is not None:
                progress(f"{name}: {scores[name].nll:.3f} nat, marginal {scores[name].marginal:.3f}")
    return Evaluation(inputs, tuple(scores[name] for name in reported), skipped, LEVEL)


def auroc(score: npt.ArrayLike, yes: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a yes has the higher score than a no; ties count half.

    Hanley & McNeil 1982, "The Meaning and Use of the Area under a ROC Curve", Radiology 143(1).

    Args:
        score: shape (n,).
        yes: true for cases, shape (n,).

    Raises:
        BadInput: without both a yes and a no.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    from scipy.stats import rankdata

    truth = np.asarray(yes, bool)
    positive = int(truth.sum())
    if not 0 < positive < len(truth):
        raise BadInput(f"{positive} yes among {len(truth)}; both answers are needed", field="yes")
    ranks = rankdata(np.asarray(score, float))
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))


def _inputs(schema: Schema, which: str | Sequence[str], target: str) -> Sequence[str]:
    out = leaks_of(target) | {target}
    if not isinstance(which, str):
        return [name for name in which if name not in out]
    if which == "all":
        return [c.name for c in schema.columns if c.name not in out and c.group != "design"]
    return inputs_of(which, target, [(c.name, c.group) for c in schema.columns])


def _encoded(schema: Schema, table: Any) -> Floats:
    if isinstance(table, np.ndarray):
        if table.ndim != 2 or table.shape[1] != len(schema.columns):
            raise BadInput(f"values of shape {table.shape} for {len(schema.columns)} columns", field="table")
        return table.astype(float)
    return schema.encode(table)


def _predicted(found: Predictive, rows: npt.NDArray[Any], truth: Floats, edges: Floats | None) -> Prediction:
    column, n = found.column, len(truth)
    lower = upper = np.full(n, np.nan)
    if column.numeric:
        if edges is None:
            raise BadInput(f"no bins for {column.name}", field="edges")
        inner = found.cdf(np.broadcast_to(edges, (n, len(edges)))) if len(edges) else np.empty((n, 0))
        p = np.diff(np.column_stack([np.zeros(n), inner, np.ones(n)]), axis=1)
        place = np.searchsorted(edges, truth)
        ends = found.quantile(np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        lower, upper = ends[:, 0], ends[:, 1]
    else:
        p = np.asarray(found.probabilities(), float)
        place = np.nan_to_num(truth).astype(np.int64)
    return Prediction(column.name, str(column.kind), rows, truth, place, np.clip(p, 0, 1), lower, upper)


def _calibrated(
    part: Prediction,
    found: Predictive,
    calibration: Calibration | None,
    groups: Sequence[str],
    schema: Schema,
    known: Floats,
) -> Prediction:
    """Risks and intervals as the card's calibration moves them; people without the column left out."""
    p, lower, upper = part.probabilities, part.lower, part.upper
    if calibration is not None and found.column.numeric:
        for width in {calibration.width(part.target, group)[0] for group in groups}:
            own = np.array([calibration.width(part.target, group)[0] == width for group in groups])
            ends = found.quantile(np.array([(1 - width) / 2, (1 + width) / 2]))
            lower, upper = np.where(own, ends[:, 0], lower), np.where(own, ends[:, 1], upper)
    elif calibration is not None and part.kind == "binary":
        risk = np.empty(len(p))
        for line, own in calibration.lines(schema, known, part.target):
            risk[own] = line(p[own, 1])
        p = np.column_stack([1 - risk, risk])
    keep = ~np.isnan(part.truth)
    names = ("rows", "truth", "bins")
    kept = {name: getattr(part, name)[keep] for name in names}
    return replace(part, probabilities=p[keep], lower=lower[keep], upper=upper[keep], **kept)


def _groups(schema: Schema, values: Floats) -> list[str]:
    from sciai.health.model.calibration import group_of

    names, sex = schema["sex"].levels, values[:, schema.index("sex")]
    age = values[:, schema.index("age")]
    return [
        group_of(None if np.isnan(s) else names[int(s)], None if np.isnan(a) else float(a))
        for s, a in zip(sex, age, strict=True)
    ]


def _joined(parts: Sequence[Prediction]) -> Prediction:
    def all_of(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    first = parts[0]
    arrays = {name: all_of(name) for name in ("rows", "truth", "bins", "probabilities", "lower", "upper")}
    return Prediction(first.target, first.kind, **arrays)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
