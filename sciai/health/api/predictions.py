"""What one joint model says about columns of many people, each given an input set without what gives it away
(``sciai.health.data.leaks``), and the bins in which numbers are compared.

Bins' edges lie between recorded values, so that densities, histograms and classifiers can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.data.leaks import inputs_of, leaks_of
from sciai.health.model.calibration import groups_of

if TYPE_CHECKING:
    from sciai.health.data.columns import Schema
    from sciai.health.model.calibration import Calibration
    from sciai.health.model.interface import Joint, Predictive

__all__ = ["LEVEL", "Prediction", "bin_edges", "predict"]

Floats = npt.NDArray[np.float64]
LEVEL: Final = 0.9  # what intervals are to cover


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
            who = list(groups_of(schema, values[some])) if calibration is not None else ()
            for target, column in zip(members, columns, strict=True):
                part = _predicted(found[target], some, values[some, column], edges.get(target))
                parts[target].append(_calibrated(part, found[target], calibration, who, schema, known))
        for target in members:
            if sum(len(part.rows) for part in parts[target]):
                result[target] = _joined(parts[target])
    return {target: result[target] for target in targets if target in result}


def _inputs(schema: Schema, which: str | Sequence[str], target: str) -> Sequence[str]:
    out = leaks_of(target) | {target}
    if not isinstance(which, str):
        return [name for name in which if name not in out]
    if which == "all":
        return [c.name for c in schema.columns if c.name not in out and c.group != "design"]
    return inputs_of(which, target, [(c.name, c.group) for c in schema.columns])


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


def _joined(parts: Sequence[Prediction]) -> Prediction:
    def all_of(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    first = parts[0]
    arrays = {name: all_of(name) for name in ("rows", "truth", "bins", "probabilities", "lower", "upper")}
    return Prediction(first.target, first.kind, **arrays)
