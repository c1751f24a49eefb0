"""How good the estimates of one joint model are on people it has never seen: one implementation, used by
``sciai health evaluate`` and by the benchmarks, which score their peers with the same functions.

Every column is asked for once per person (``sciai.health.api.predictions``). Numbers are scored in nats over
bins of their marginal distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.api.predictions import LEVEL, Prediction, bin_edges, predict
from sciai.trust.score import coverage, ece

if TYPE_CHECKING:
    from sciai.health.data.columns import Schema
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Joint

__all__ = ["ColumnScore", "Evaluation", "auroc", "evaluate", "figures"]

Floats = npt.NDArray[np.float64]
_LEAST = 1e-6  # probability of a bin is at least this: one impossible value must not make every mean infinite
_MANY = 20_000


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


def _encoded(schema: Schema, table: Any) -> Floats:
    if isinstance(table, np.ndarray):
        if table.ndim != 2 or table.shape[1] != len(schema.columns):
            raise BadInput(f"values of shape {table.shape} for {len(schema.columns)} columns", field="table")
        return table.astype(float)
    from sciai.health.api.tables import measured

    return measured(schema, table)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
