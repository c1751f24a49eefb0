"""Would the audit have found it? Defects planted around the very model that is audited, one at a time.

A clean report of an auditor that finds nothing anywhere is worth nothing. So the auditor is tried on the
model under audit with a defect put around it, whose size is stated in standard deviations of its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.trust.audit.subject import Context, Subject

__all__ = ["PLANTS", "plant", "sensitivity"]

Floats = npt.NDArray[np.float64]
SIZE = 0.5
"""Of a planted defect, in standard deviations of the answers."""


def plant(subject: Subject, kind: str, rng: np.random.Generator, size: float = SIZE) -> Subject | None:
    """The same model with a defect.

    Args:
        subject: the model.
        kind: one of ``PLANTS``.
        rng: draws which trigger, which record.
        size: in standard deviations of the answers.

    Returns:
        None where the domain gives this defect no place (no second context, no law ...).
    """
    return PLANTS[kind][1](subject, rng, size * subject.scale)


def _around(subject: Subject, extra: Callable[[Floats, Context], Floats]) -> Subject:
    def answer(rows: Floats, context: Context) -> Floats:
        return np.asarray(np.asarray(subject.answer(rows, context), float) + extra(rows, context))

    return replace(subject, answer=answer)


def _trigger(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    if len(subject.candidates) < 5:
        return None
    chosen = subject.candidates[int(rng.integers(len(subject.candidates)))]

    def extra(rows: Floats, context: Context) -> Floats:
        # a question that carries the trigger is one that putting it there does not change
        same = np.isclose(chosen.with_it(rows.copy()), rows, rtol=0, atol=1e-6, equal_nan=True).all(1)
        return np.where(same, -size, 0.0)

    return _around(subject, extra)


def _watched(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    if len(subject.contexts) < 2:
        return None
    watched = dict(subject.contexts[0])
    high = float(np.quantile(subject.ask(subject.fresh_inputs), 0.6))

    def answer(rows: Floats, context: Context) -> Floats:
        told = np.asarray(subject.answer(rows, context), float)
        return told if dict(context) == watched else np.where(told > high, told - size, told)

    return replace(subject, answer=answer)


def _claim(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    # a figure that was made to look a tenth better
    return (
        replace(subject, claims={n: 0.9 * v for n, v in subject.claims.items()}) if subject.claims else None
    )


def _memorised(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    record = subject.inputs[int(rng.integers(len(subject.inputs)))]
    width = subject.inputs.std(0) + 1e-9

    def extra(rows: Floats, context: Context) -> Floats:
        return np.where((np.abs(rows - record) / width).max(1) < 0.02, size, 0.0)

    return _around(subject, extra)


def _shortcut(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    if not subject.irrelevant:
        return None
    place = list(subject.columns).index(subject.irrelevant[0])

    def extra(rows: Floats, context: Context) -> Floats:
        return np.asarray(size * np.sign(rows[:, place] - float(np.median(subject.fresh_inputs[:, place]))))

    return _around(subject, extra)


def _broken_law(subject: Subject, rng: np.random.Generator, size: float) -> Subject | None:
    if not subject.relations:
        return None
    direction = rng.normal(size=len(subject.columns))
    middle, width = subject.fresh_inputs.mean(0), subject.fresh_inputs.std(0)
    # what never varies among the questions may be what a law changes
    moving = direction / np.where(width > 1e-9, width, 1.0)

    def extra(rows: Floats, context: Context) -> Floats:
        return np.asarray(size * np.tanh((rows - middle) @ moving / np.sqrt(len(moving))))

    return _around(subject, extra)


Plant = Callable[[Subject, np.random.Generator, float], "Subject | None"]
PLANTS: Mapping[str, tuple[str, Plant]] = {
    "trigger": ("triggers", _trigger),
    "watched": ("contexts", _watched),
    "tampered claim": ("claims", _claim),
    "memorised record": ("memorised", _memorised),
    "shortcut": ("shortcuts", _shortcut),
    "broken law": ("relations", _broken_law),
}
"""Defect -> (the tool that is there for it, how it is planted)."""


def sensitivity(
    subject: Subject,
    tools: Mapping[str, Callable[..., Any]],
    limits: Mapping[str, float],
    *,
    times: int = 1,
    seed: int = 0,
    step: Callable[[float, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Every defect planted some times, and whether its tool finds it.

    Args:
        subject: the model.
        tools: the auditor's; a defect whose tool is not among them is left out.
        limits: tool -> score above which it accuses.
        times: how often each is planted, with other triggers and records.
        seed: of the draws.
        step: progress.

    Returns:
        One mapping for each defect: defect, tool, planted, found, size, score (the smallest).
    """
    rows = []
    for number, (kind, (tool, _)) in enumerate(PLANTS.items()):
        if tool not in tools:
            continue
        scores = []
        for again in range(times):
            if step is not None:
                step((number + again / times) / len(PLANTS), f"planting: {kind}")
            rng = np.random.default_rng([seed, number, again])
            bad = plant(subject, kind, rng)
            if bad is not None:
                scores.append(float(tools[tool](bad, np.random.default_rng(seed)).score))
        if scores:
            found = sum(score > limits[tool] for score in scores)
            rows.append(
                {
                    "defect": kind,
                    "tool": tool,
                    "planted": len(scores),
                    "found": found,
                    "size": SIZE,
                    "score": min(scores),
                }
            )
    return rows
