"""Every tool on a shipped model: limits that are declared, since there are no honest copies of it to learn
from.

The limits come with a measurement of what they can see: each defect is planted around the same model
(``plant``), and the report says which of them the tools then found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sciai.trust.audit.plant import sensitivity
from sciai.trust.audit.subject import Subject
from sciai.trust.audit.tools import TOOLS

__all__ = ["LIMITS", "probe"]

Step = Callable[[float, str], None]

LIMITS: Mapping[str, float] = {
    "relations": 1.0,  # of the law's tolerance
    "contexts": 2.0,  # a thousandth of the answers' spread, beyond what the model differs from itself
    "claims": 1.0,  # 2 % off
    "triggers": 8.0,  # robust standard deviations of what such changes usually do
    "memorised": 10.0,  # times the sharpest cliff at a stranger, or 0.1 of the answers' spread
    "poisoned": 8.0,  # standard errors
    "shortcuts": 1.0,  # a twentieth of the answers' spread
}
"""Tool -> score above which it accuses. Groups are judged by the slice x harm matrix instead."""


def probe(
    subjects: Mapping[str, tuple[Subject, tuple[str, ...]]],
    *,
    times: int = 1,
    seed: int = 0,
    step: Step | None = None,
) -> dict[str, Any]:
    """Look for defects, and measure what would have been found.

    Args:
        subjects: what is asked ("risk of diabetes") -> (the model, the tools that apply to it).
        times: how often each defect is planted.
        seed: of everything that is drawn.
        step: progress.

    Returns:
        ``evidence`` (subject, tool, score, limit, accused, what), ``sensitivity`` (see
        ``plant.sensitivity``, with the subject), ``failures`` (sentences).
    """
    say = step or (lambda part, what: None)
    evidence: list[dict[str, Any]] = []
    power: list[dict[str, Any]] = []
    for number, (name, (subject, wanted)) in enumerate(subjects.items()):
        tools = {tool: TOOLS[tool] for tool in wanted}
        for place, (tool, look) in enumerate(tools.items()):
            say((number + 0.5 * place / len(tools)) / len(subjects), f"{name}: {tool}")
            found = look(subject, np.random.default_rng(seed))
            limit = LIMITS[tool]
            verdict = {"score": found.score, "limit": limit, "accused": found.score > limit}
            evidence.append({"subject": name, "tool": tool, **verdict, "what": found.what})

        def inner(part: float, what: str, at: int = number, of: str = name) -> None:
            say((at + 0.5 + 0.5 * part) / len(subjects), f"{of}: {what}")

        rows = sensitivity(subject, tools, LIMITS, times=times, seed=seed, step=inner)
        power += [{"subject": name, **row} for row in rows]
    failures = [
        f"{row['subject']}: {row['tool']}: {row['what']} (score {row['score']:.2g}, limit {row['limit']:.2g})"
        for row in evidence
        if row["accused"]
    ]
    return {"evidence": evidence, "sensitivity": power, "failures": failures}
