"""Rules of ``conf/guard/health.yaml`` that act on answers: whom they concern, and what they do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np

from sciai.core.answer import Answer, Estimate
from sciai.health.checks.question import BINARY, Question, parts_of
from sciai.trust.policy import Action, apply, shipped_actions

__all__ = ["FACTS", "actions", "facts", "govern"]

FACTS: Final = ("age", "sex", "race_eth", "era", "bmi", "pregnant", "target")
"""What a rule of ``conf/guard/health.yaml`` may name; ``target`` is the column asked for."""


@cache
def actions() -> tuple[Action, ...]:
    """The rules of ``conf/guard/health.yaml``: what is withheld, widened or referred, for whom.

    Raises:
        BadInput: a rule cannot be read, or names what questions do not have.
    """
    return tuple(shipped_actions("health", FACTS))


def govern(question: Question, answer: Answer[Any]) -> Answer[Any]:
    """The answer after the rules that concern it; every one says what was done, and why.

    Args:
        question: whose.
        answer: as it would be given.
    """
    rules = actions()
    told = facts(question, {name for rule in rules for name in rule.when}) if rules else {}
    for rule in (rule for rule in rules if rule.matches(told)):
        names = rule.when.get("target")
        wanted = (names,) if isinstance(names, str) else tuple(names or question.targets)

        def wider(estimate: Estimate[Any], by: float, wanted: tuple[str, ...] = wanted) -> Estimate[Any]:
            return _wider(estimate, by, wanted)

        answer = apply([rule], told, answer, widen=wider)
    return answer


def facts(question: Question, names: Iterable[str] = FACTS) -> dict[str, Any]:
    """What rules may ask of a question; only what is known of the person.

    Args:
        question: of a person.
        names: which facts are looked at.
    """
    found: dict[str, Any] = {}
    for name in names:
        if name == "target":
            found[name] = question.targets
            continue
        if name in ("age", "bmi"):
            value: Any = question.given.get(name)
        elif name == "pregnant":
            value = None if question.value(name) is None else question.value(name) == 1.0
        else:
            value = question.level("cycle" if name == "era" else name)
        if value is not None:
            found[name] = value
    return found


def _wider(estimate: Estimate[Any], by: float, names: tuple[str, ...]) -> Estimate[Any]:
    """Intervals of some targets, wider around the median (a risk's stays within 0 and 1)."""
    parts = dict(parts_of(estimate))
    for name in set(names) & set(parts):
        told = parts[name]
        binary = told.kind == BINARY
        middle = told.mean if binary else told.median
        if not np.isfinite(middle):
            continue  # a category has no interval
        low, high = (middle + by * (end - middle) for end in told.interval)
        ends = (max(low, 0.0), min(high, 1.0)) if binary else (low, high)
        parts[name] = replace(told, interval=ends)
    spread = {name: part.interval for name, part in parts.items()}
    return Estimate(type(estimate.value)(parts), spread, estimate.unit) if parts else estimate
