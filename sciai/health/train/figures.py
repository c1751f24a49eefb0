"""Figures of a joint model on the test part, for its card."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.health.data.columns import Kind
from sciai.health.model.chain import BinnedJoint
from sciai.health.train.masks import PANELS, panel

__all__ = ["figures"]

Floats = npt.NDArray[np.float64]
_FEWEST = 20  # cases in the test part for an AUROC to be worth a line


def figures(
    joint: BinnedJoint, data: Any, panels: tuple[str, ...] = ("basic", "check-up")
) -> dict[str, float]:
    """NLL of hidden columns and AUROC of diagnoses, given each of some panels.

    Args:
        joint: the model.
        data: the data module; its dataset is ``People`` or like it.
        panels: names of ``PANELS``.

    Returns:
        ``"test/<panel>/nll"``: mean over columns of the mean NLL in nats over bins;
        ``"test/<panel>/auroc <column>"`` for each yes/no column with enough cases, and their mean.
    """
    schema, rows = joint.schema, np.asarray(data.split.parts.get("test", []), int)
    values = data.dataset.values[rows]
    bins, result = joint.layout.bins_of(values), {}
    for name in panels:
        told = panel(schema, PANELS[name])
        hidden = [i for i in range(len(schema)) if not told[i] and schema.columns[i].group != "design"]
        nll, auroc = [], {}
        for i, (p, _) in zip(hidden, joint.shared(np.where(told, values, np.nan), hidden), strict=True):
            known = np.isfinite(values[:, i])
            if known.any():
                nll.append(-np.log(p[known, bins[known, i]]).mean())
            cases = values[known, i]
            if schema.columns[i].kind is Kind.BINARY and _FEWEST <= cases.sum() <= len(cases) - _FEWEST:
                auroc[schema.names[i]] = _auroc(p[known, 1], cases > 0)
        if nll:
            result[f"test/{name}/nll"] = float(np.mean(nll))
        if auroc:
            result[f"test/{name}/auroc"] = float(np.mean(list(auroc.values())))
            result |= {f"test/{name}/auroc {column}": a for column, a in auroc.items()}
    return result


def _auroc(score: Floats, yes: npt.NDArray[np.bool_]) -> float:
    """Probability that a case scores above a control, ties count half (Mann & Whitney 1947)."""
    ordered, place = np.unique(score, return_inverse=True)
    cases, controls = (np.bincount(place, who, len(ordered)) for who in (yes, ~yes))
    below = np.concatenate([[0.0], np.cumsum(controls)[:-1]])
    return float((cases * (below + controls / 2)).sum() / (cases.sum() * controls.sum()))
