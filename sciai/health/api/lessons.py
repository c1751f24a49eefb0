"""Whom a model learned from, and what its answers may say of them: the survey's adults, or one's own people.

The shipped model's sentences ("US adults", "nobody under 20") would be wrong about one made of another table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.answer import Finding, Level
from sciai.health import checks

if TYPE_CHECKING:
    from sciai.health.api.crowd import Conditions
    from sciai.health.api.human import VirtualHuman
    from sciai.health.checks import Question

__all__ = [
    "ages_asked",
    "ages_of",
    "before",
    "everybody",
    "meaning_of",
    "of_the_survey",
    "own_tables",
    "unheard",
]

_SURVEY: Final = "nhanes_2011_2018_"
_FEWEST: Final = 20  # people with a value
_ENDS: Final = (
    0.005,
    0.995,
)  # quantiles of age; beyond are tails that the model adds to what it saw
Look = Callable[["Question"], Iterable[Finding]]


def own_tables(human: VirtualHuman) -> tuple[str, ...]:
    """Names of the tables it learned from; empty where that is the shipped model's table alone.

    A model that does not say (one of invented people) counts as the shipped one's kind.
    """
    names = [str(t.get("file", "a table")) for t in human.card.data.get("tables") or ()]
    return () if all(name.startswith(_SURVEY) for name in names) else tuple(names)


def meaning_of(human: VirtualHuman) -> str:
    """What every answer of the model means, and does not."""
    tables = own_tables(human)
    if not tables:
        return checks.MEANING
    people = human.calibration.trained_on or human.card.data.get("people", "the")
    return (
        f"a reference value, not a diagnosis: what is usual among the {people} people of "
        f"{' and '.join(tables)} it learned from, of whom the same is known; for whom else that holds was "
        "not measured"
    )


def unheard(human: VirtualHuman) -> tuple[str, ...]:
    """Columns of which (nearly) nobody told in one's own tables, and what is calculated from them."""
    known = human.calibration.known if own_tables(human) else {}
    few = [name for name, people in known.items() if people < _FEWEST]
    return (*few, *(d.name for d in human.schema.derived if not set(few).isdisjoint(d.inputs)))


def everybody(human: VirtualHuman) -> str:
    """People of whom nothing is known, in words."""
    return "people" if own_tables(human) else "adults"


def of_the_survey(findings: Iterable[Finding]) -> bool:
    """Whether an answer is one of the shipped model's kind, by what it says of its meaning."""
    return all(f.check != "meaning" or f.message == checks.MEANING for f in findings)


def ages_of(human: VirtualHuman) -> tuple[float, float]:
    """Youngest and oldest that were learned from, in years; infinite where the model knows no age."""
    schema = human.schema
    if "age" not in schema:
        return -math.inf, math.inf
    if not own_tables(human):
        return checks.YOUNGEST, checks.OLDEST
    nobody = np.full((1, len(schema)), np.nan)
    ends = np.asarray(human.model.predictive(nobody, ["age"])["age"].quantile(np.array(_ENDS)), float)
    low, high = ends.reshape(-1)
    return float(np.floor(low)), float(np.ceil(high))


def before(human: VirtualHuman, usual: Iterable[Look]) -> tuple[Look, ...]:
    """The looks before a question, with those replaced that speak of the survey's people.

    Args:
        human: the model.
        usual: such as ``checks.BEFORE``.
    """
    if not own_tables(human):
        return tuple(usual)
    own: dict[Any, Look] = {checks.meaning: _meaning(human), checks.age: _age(human)}
    return (*(own.get(look, look) for look in usual), _apart, _told_of(unheard(human)))


def ages_asked(human: VirtualHuman, conditions: Conditions) -> Look:
    """Says of which ages a crowd is, where its range of age begins before anybody who was learned from."""

    def look(question: Question) -> Iterable[Finding]:
        low, high = conditions.ranges.get("age", (-math.inf, math.inf))
        youngest = ages_of(human)[0] if math.isfinite(low) else -math.inf
        if low < youngest:
            message = (
                f"nobody under {youngest:g} was learned from: of {low:g} to {high:g} the answer is about"
            )
            yield Finding("extrapolation", Level.CAUTION, f"{message} {youngest:g} to {high:g} only", "age")

    return look


def _apart(question: Question) -> Iterable[Finding]:
    """What was asked for and what is known stand in different tables: nobody told how they go together."""
    apart = question.calibration.apart
    for name in (n for n in question.targets if n in apart):
        idle = [n for n in question.known if n in apart[name]]
        if idle:
            said = (
                f"hardly anybody it learned from has {name} together with {', '.join(idle)}: what these say"
            )
            message = f"{said} of {name} was never seen, only what goes with both"
            yield Finding("extrapolation", Level.CAUTION, message, name)


def _told_of(few: tuple[str, ...]) -> Look:
    """What was asked for stands in the schema, but (nearly) nobody has it."""

    def look(question: Question) -> Iterable[Finding]:
        for name in (n for n in question.targets if n in few):
            message = f"fewer than {_FEWEST} of those it learned from have {name}, or what it is made of"
            yield Finding("few_cases", Level.REFUSE, f"{message}: nothing can be said of it", name)

    return look


def _meaning(human: VirtualHuman) -> Look:
    said = Finding("meaning", Level.OK, meaning_of(human))
    return lambda question: (said,)


def _age(human: VirtualHuman) -> Look:
    ages = cache(lambda: ages_of(human))  # asked of the model, when somebody's age is given

    def look(question: Question) -> Iterable[Finding]:
        if "age" not in human.schema:
            return
        years = question.given.get("age")
        if years is None:
            yield Finding(
                "nobody", Level.OK, "no age was given: the answer is about people of all ages", "age"
            )
        elif years < ages()[0]:
            message = f"{years:g} years: nobody under {ages()[0]:g} was learned from, so nothing can be said"
            yield Finding("age", Level.REFUSE, message, "age")
        elif years > ages()[1]:
            message = f"{years:g} years: nobody over {ages()[1]:g} was learned from"
            yield Finding("extrapolation", Level.CAUTION, message, "age")

    return look
