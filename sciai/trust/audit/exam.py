"""Trusted questions with their truths, and the judge of the answers: who is harmed, how, and what rules
change.

A domain makes the ``Exam`` from held-out data alone, never from the model. ``judge`` gets the answers as
arrays, so that it can run in a process in which no model is ever loaded (``sciai.trust.audit.sealed``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.trust.policy import Action, before_and_after
from sciai.trust.slices import Cell, matrix, worst
from sciai.trust.tax import error_against_coverage

__all__ = ["HARMS", "Exam", "crossed", "judge"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Answers = Mapping[str, npt.NDArray[Any]]
Step = Callable[[float, str], None]

HARMS = ("false-safe", "false-alarm", "unphysical", "missed-extreme", "overconfident", "privacy")
_POINTS = 60  # of a curve in a report


@dataclass(frozen=True)
class Exam:
    """Questions that were held out, with what is true of them.

    Attributes:
        about: which data, in a sentence.
        slices: name -> membership of each question, shape (n,).
        facts: what rules of a policy may name: fact -> value of each question, shape (n,).
        groups: questions of one group are not independent, shape (n,).
        harms: answers -> harm -> size for each question, shape (n,), larger is worse; NaN where not defined.
        matters: harm -> smallest difference between a slice and the rest that is worth acting on.
        errors: answers -> (error, doubt), both of shape (m,): what a user feels, and what was said of it.
        figures: answers -> name -> figure.
        change: (answers, rows, rule) -> answers after a rule was applied to some rows.
        cannot: what this data cannot tell, one sentence each.
        meanings: harm -> what it means here, in a sentence.
        told: answers -> more facts that rules may name, which only the answer tells (how large its forces
            are); None where there are none.
    """

    about: str
    slices: Mapping[str, Mask]
    facts: Mapping[str, npt.NDArray[Any]]
    groups: npt.NDArray[Any]
    harms: Callable[[Answers], Mapping[str, Floats]]
    matters: Mapping[str, float]
    errors: Callable[[Answers], tuple[Floats, Floats]]
    figures: Callable[[Answers], Mapping[str, float]]
    change: Callable[[Answers, Mask, Action], Answers]
    cannot: tuple[str, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    told: Callable[[Answers], Mapping[str, npt.NDArray[Any]]] | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.matters) - set(HARMS))
        if unknown or not self.slices:
            raise BadInput(f"harms {unknown} are not known, or there is no slice", field="exam")


def crossed(*parts: Mapping[str, Mask]) -> dict[str, Mask]:
    """Every combination of one slice of each part.

    >>> a = np.array([True, False])
    >>> list(crossed({"women": a}, {"young": a, "old": ~a}))
    ['women, young', 'women, old']
    """
    found: dict[str, Mask] = dict(parts[0])
    for part in parts[1:]:
        found = {f"{a}, {b}": one & two for a, one in found.items() for b, two in part.items()}
    return found


def judge(
    exam: Exam,
    answers: Answers,
    actions: Sequence[Action] = (),
    *,
    draws: int = 1000,
    fewest: int = 5,
    step: Step | None = None,
) -> dict[str, Any]:
    """The slice x harm matrix, with and without the policy; the worst slices; error against coverage;
    figures.

    Args:
        exam: the questions and their truths.
        answers: what the model said.
        actions: the runtime policy.
        draws: of bootstrap and permutations.
        fewest: slices with fewer questions are counted, not judged.
        step: progress.

    Returns:
        Plain values: ``cells`` (one mapping each), ``worst`` (ten), ``small`` (slices with too few),
        ``policy`` (before and after), ``harmed`` and ``harmed_before`` (cells that block a release), ``tax``,
        ``figures``, ``about``, ``cannot``, ``matters``, ``meanings``.
    """
    say = step or (lambda part, what: None)
    small = {name: int(mask.sum()) for name, mask in exam.slices.items() if mask.sum() < fewest}
    slices = {name: mask for name, mask in exam.slices.items() if name not in small}
    harms = _defined(exam.harms(answers))
    if not harms or not slices:
        raise BadInput("the data has no truth to compare answers with", field="data")
    matters = {name: exam.matters[name] for name in harms}
    say(0.1, "slices and harms")
    cells = matrix(harms, slices, matters, groups=exam.groups, draws=draws)
    changed, counts = _governed(exam, answers, actions, slices)
    say(0.6, "the policy")
    later = exam.harms(changed) if actions else harms
    after = (
        matrix({name: later[name] for name in harms}, slices, matters, groups=exam.groups, draws=draws)
        if actions
        else cells
    )
    say(0.95, "error against coverage")
    return {
        "about": exam.about,
        "cannot": list(exam.cannot),
        "matters": matters,
        "meanings": {name: exam.meanings.get(name, "") for name in harms},
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "small": small,
        "worst": worst(cells, 10),
        "harmed": _blocking(after, matters),
        "harmed_before": _blocking(cells, matters),
        "policy": {"rules": counts, "cells": before_and_after(cells, after) if actions else []},
        "tax": _tax(*exam.errors(answers)),
        "figures": {name: float(value) for name, value in exam.figures(answers).items()},
        "questions": len(exam.groups),
        "groups": len(np.unique(exam.groups)),
    }


def _defined(harms: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: values for name, values in harms.items() if np.isfinite(values).any()}


def _blocking(cells: Sequence[Cell], matters: Mapping[str, float]) -> list[str]:
    """Cells whose harm holds after Holm's correction and is large enough to matter."""
    return [
        f"{cell.harm} in {cell.slice}: {cell.rate:.3g} against {cell.elsewhere:.3g} elsewhere "
        f"({cell.low:+.3g} to {cell.high:+.3g}, {cell.n} questions)"
        for cell in cells
        if cell.verdict == "harmed" and cell.effect >= matters[cell.harm]
    ]


def _governed(
    exam: Exam, answers: Answers, actions: Sequence[Action], slices: Mapping[str, Mask]
) -> tuple[Answers, list[dict[str, Any]]]:
    """Answers after every rule; how many questions each concerned, and what it changes by itself."""
    rows = []
    total, before = len(exam.groups), answers
    facts = {**exam.facts, **(exam.told(answers) if exam.told is not None else {})}
    usual = _defined(exam.harms(before)) if actions else {}
    for rule in actions:
        chosen = np.fromiter(
            (rule.matches({name: values[k] for name, values in facts.items()}) for k in range(total)),
            bool,
            total,
        )
        answers = exam.change(answers, chosen, rule)
        alone = exam.harms(exam.change(before, chosen, rule))
        said = {name: getattr(rule, name) for name in ("do", "harm", "why", "by")}
        share = float(chosen.mean()) if total else 0.0
        changes = _changes(usual, alone, slices)
        rows.append({**said, "when": dict(rule.when), "share": share, "alone": changes})
    return answers, rows


def _changes(
    before: Mapping[str, Floats], after: Mapping[str, Floats], slices: Mapping[str, Mask]
) -> list[dict[str, Any]]:
    """The ten cells whose rate or number of answered questions one rule changes most."""
    found: list[dict[str, Any]] = []
    for harm, values in before.items():
        for name, inside in slices.items():
            own, then = values[inside], after[harm][inside]
            kept, left = np.isfinite(own), np.isfinite(then)
            if not kept.any() or (np.array_equal(kept, left) and np.allclose(own[kept], then[kept])):
                continue
            rate = float(then[left].mean()) if left.any() else None
            row = {"slice": name, "harm": harm, "before": float(own[kept].mean()), "after": rate}
            found.append({**row, "n_before": int(kept.sum()), "n_after": int(left.sum())})
    return sorted(found, key=_moved, reverse=True)[:10]


def _moved(row: Mapping[str, Any]) -> float:
    if row["after"] is None:
        return 1.0 + float(row["before"])
    return abs(float(row["before"]) - float(row["after"]))


def _tax(error: Floats, doubt: Floats) -> dict[str, Any]:
    good = np.isfinite(error) & np.isfinite(doubt)
    if good.sum() < 20:
        return {}
    curve = error_against_coverage(error[good], doubt[good])
    shown = np.unique(np.linspace(0.02, 1, _POINTS))
    return {
        **curve.summary(),
        "everything": curve.everything,
        "coverage": shown.tolist(),
        "error": np.interp(shown, curve.coverage, curve.error).tolist(),
        "oracle": np.interp(shown, curve.coverage, curve.oracle).tolist(),
    }
