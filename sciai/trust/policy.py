"""A runtime policy: what is known to go wrong for somebody is withheld, widened, referred or answered
otherwise.

No retraining: rules stand in ``conf/guard/<domain>.yaml`` under ``actions``, each with the slice of questions
it is for, the harm it is against, and the reason. Their price is part of the audit: ``before_and_after``
compares the slice x harm matrices with and without them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import yaml

from sciai.core.answer import Answer, Estimate, Finding, Level, Policy, read_policy
from sciai.core.errors import BadInput
from sciai.core.resources import conf_dir
from sciai.trust.slices import Cell

__all__ = [
    *("Action", "apply", "before_and_after", "guard_file", "read_actions", "shipped_actions"),
    *("shipped_policy", "widened"),
]

V = TypeVar("V")
Do = Literal["withhold", "widen", "refer", "fall_back"]


@dataclass(frozen=True)
class Action:
    """One rule.

    Attributes:
        when: fact of the question -> what it has to be: a value, a list of values, or ``{min, max}``
            (inclusive). All have to hold; an absent fact does not.
        do: "withhold" (refuse), "widen" (a larger spread), "refer" (to a human), "fall_back" (another
            estimate).
        harm: what it is against, as the slice x harm matrix calls it.
        why: the reason, in words a user understands.
        by: factor of the spread, where it widens; > 1.
    """

    when: Mapping[str, Any]
    do: Do
    harm: str
    why: str
    by: float = 1.0

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Does the rule concern a question with these facts?"""
        return all(name in facts and _holds(facts[name], wanted) for name, wanted in self.when.items())


def _holds(fact: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        try:
            low, high = float(wanted.get("min", -np.inf)), float(wanted.get("max", np.inf))
            return bool(low <= float(fact) <= high)
        except (TypeError, ValueError):
            return False
    if isinstance(fact, list | tuple | set | frozenset):
        return any(_holds(each, wanted) for each in fact)
    return fact in wanted if isinstance(wanted, list | tuple) else bool(fact == wanted)


def read_actions(
    config: Sequence[Mapping[str, Any]] | None, facts: Sequence[str] | None = None
) -> list[Action]:
    """Rules from the ``actions`` part of a guard config.

    Args:
        config: a list of mappings; None is no rule.
        facts: names of the facts that the domain's questions have, where the caller knows them.

    Raises:
        BadInput: on an unknown key, action or fact, a rule without reason, or a widening by less than 1.

    >>> read_actions([{"when": {"age": {"min": 75}}, "do": "widen", "by": 1.5, "harm": "overconfident",
    ...                "why": "intervals of people over 75 were too narrow"}])[0].matches({"age": 80})
    True
    """
    rules: list[Action] = []
    for number, entry in enumerate(config or ()):
        where = f"actions[{number}]"
        unknown = sorted(set(entry) - {f.name for f in dataclasses.fields(Action)})
        if unknown:
            raise BadInput(f"unknown keys {unknown}", field=where)
        if entry.get("do") not in get_args(Do):
            raise BadInput(
                f"cannot do {entry.get('do')!r}", field=where, fix=f"one of {', '.join(get_args(Do))}"
            )
        if not entry.get("why") or not entry.get("harm") or not isinstance(entry.get("when"), Mapping):
            raise BadInput("a rule needs when, harm and why", field=where)
        odd = sorted(set(entry["when"]) - set(facts)) if facts is not None else []
        if odd:
            known = ", ".join(facts or ())
            raise BadInput(f"questions have no {odd}", field=f"{where}.when", fix=f"they have {known}")
        by = float(entry.get("by", 1.0))
        if entry["do"] == "widen" and not by > 1:
            raise BadInput(
                f"a spread cannot be widened by {by:g}", field=f"{where}.by", fix="give more than 1"
            )
        rules.append(
            Action(dict(entry["when"]), entry["do"], str(entry["harm"]), str(entry["why"]).strip(), by)
        )
    return rules


def guard_file(name: str) -> dict[str, Any]:
    """What ``conf/guard/<name>.yaml`` holds.

    Raises:
        BadInput: the file is missing, or no mapping in YAML.

    >>> sorted(guard_file("health"))
    ['actions', 'defaults', 'policy']
    """
    file = conf_dir() / "guard" / f"{name}.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadInput(f"cannot read this guard: {error.strerror}", file=file) from error
    except yaml.YAMLError as error:
        raise BadInput("this guard is not YAML", file=file) from error
    if not isinstance(content, dict):
        raise BadInput("a guard is a mapping (policy, actions, limits)", file=file)
    return content


def shipped_policy(checks: Collection[str], *names: str) -> Policy:
    """Check -> level, from ``conf/guard/default.yaml`` and the guards named, each over those before.

    Args:
        checks: the domain's checks; a guard may name these and the default's.
        names: of the guards.

    Raises:
        BadInput: a level or the name of a check does not exist; with the file.

    >>> shipped_policy({"overlap"}).get("overlap"), shipped_policy(())["use"].name
    (None, 'CAUTION')
    """
    policy = read_policy(None)
    for name in ("default", *names):
        known = None if name == "default" else {*checks, *policy}
        try:
            policy = policy | read_policy(guard_file(name).get("policy"), known)
        except BadInput as error:
            file = error.file or conf_dir() / "guard" / f"{name}.yaml"
            raise BadInput(error.problem, file=file, field=error.field, fix=error.fix) from error
    return policy


def shipped_actions(domain: str, facts: Sequence[str]) -> list[Action]:
    """The rules of ``conf/guard/<domain>.yaml``; none where it has no ``actions``.

    Args:
        domain: its name.
        facts: what its questions say of themselves.

    Raises:
        BadInput: as ``read_actions``, with the file.
    """
    try:
        return read_actions(guard_file(domain).get("actions"), facts)
    except BadInput as error:
        file = error.file or conf_dir() / "guard" / f"{domain}.yaml"
        raise BadInput(error.problem, file=file, field=error.field, fix=error.fix) from error


def apply(
    actions: Sequence[Action],
    facts: Mapping[str, Any],
    answer: Answer[V],
    *,
    widen: Callable[[Estimate[V], float], Estimate[V]] | None = None,
    fall_back: Callable[[], Estimate[V]] | None = None,
) -> Answer[V]:
    """The answer after the rules that concern it.

    Args:
        actions: the rules, in the order in which they act.
        facts: of the question.
        answer: as the domain gave it.
        widen: how a spread of this domain is widened; ``widened`` where it is a number, an array or an
            interval.
        fall_back: another, safer estimate (a baseline); needed where a rule falls back.

    Returns:
        An answer that says in its findings what was done and why. One that was refused stays refused.

    Raises:
        BadInput: where a rule falls back and there is nothing to fall back on.
    """
    for rule in actions:
        if not rule.matches(facts) or answer.estimate is None:
            continue
        estimate, level, what = answer.estimate, Level.CAUTION, ""
        if rule.do == "withhold":
            level, what = Level.REFUSE, "withheld"
        elif rule.do == "refer":
            what = "to be looked at by a human before it is used"
        elif rule.do == "widen":
            estimate, what = (widen or widened)(estimate, rule.by), f"its spread was widened by {rule.by:g}"
        elif fall_back is None:
            raise BadInput("the policy falls back, but this question has no other estimate", field="actions")
        else:
            estimate, what = fall_back(), "a simpler estimate is given instead"
        finding = Finding("policy", level, f"{what}: {rule.why}", rule.harm)
        answer = dataclasses.replace(answer, estimate=estimate, findings=(*answer.findings, finding))
    return answer


def widened(estimate: Estimate[V], factor: float) -> Estimate[V]:
    """An estimate with a wider spread.

    Args:
        estimate: its spread is a standard deviation (number or array), an interval (low, high) around the
            value, or a mapping with ``low`` and ``high``.
        factor: > 1.

    Raises:
        BadInput: where the spread is of another form.

    >>> widened(Estimate(2.0, (1.0, 4.0)), 1.5).spread
    (0.5, 5.0)
    """
    spread, value = estimate.spread, estimate.value
    if isinstance(spread, Mapping) and {"low", "high"} <= set(spread):
        low, high = widened(Estimate(value, (spread["low"], spread["high"])), factor).spread
        return dataclasses.replace(estimate, spread={**spread, "low": low, "high": high})
    if isinstance(spread, tuple) and len(spread) == 2:
        ends = tuple(np.asarray(value) + factor * (np.asarray(end) - np.asarray(value)) for end in spread)
        return dataclasses.replace(estimate, spread=tuple(e.item() if e.ndim == 0 else e for e in ends))
    if isinstance(spread, int | float | np.ndarray):
        return dataclasses.replace(estimate, spread=spread * factor)
    raise BadInput(f"a spread of type {type(spread).__name__} cannot be widened", fix="give apply() `widen`")


def before_and_after(before: Sequence[Cell], after: Sequence[Cell]) -> list[dict[str, Any]]:
    """What a policy changed, cell by cell: the side effects beside the cure.

    Args:
        before: the matrix without the policy.
        after: with it, of the same questions, slices and harms.

    Returns:
        One mapping for each cell: slice, harm, n, rate and verdict before and after, and the change of the
            rate.

    Raises:
        BadInput: where the two are not of the same slices and harms.
    """
    later = {(cell.slice, cell.harm): cell for cell in after}
    if set(later) != {(cell.slice, cell.harm) for cell in before}:
        raise BadInput("the two matrices are not of the same slices and harms")
    rows = []
    for cell in before:
        then = later[cell.slice, cell.harm]
        rates = {"before": cell.rate, "after": then.rate, "change": then.rate - cell.rate}
        verdicts = {"verdict_before": cell.verdict, "verdict_after": then.verdict}
        rows.append({"slice": cell.slice, "harm": cell.harm, "n": then.n, **rates, **verdicts})
    return rows
