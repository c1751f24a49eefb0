"""The runtime policy of the codec: rules of ``conf/guard/radar.yaml`` that act on answers, not on models.

A codec's error is measured, so there is nothing to widen and nothing to fall back on: rules withhold (nothing
is written) or refer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol, TypeVar

from sciai.core.answer import Answer
from sciai.core.errors import BadInput
from sciai.core.resources import conf_dir
from sciai.radar.data.names import base_name
from sciai.trust.policy import Action, apply, shipped_actions

__all__ = ["FACTS", "REACHES", "actions", "facts", "govern"]

V = TypeVar("V")
FACTS: Final = ("variable", "reaches", "bounded", "sweeps")
"""What a rule may name: FM301 name of the variable; the highest of ``REACHES`` that its echo gets to, dBZ
(reflectivity only); whether the largest error of its strong echo is bounded (``strong_echo``, ``max_error``,
``lossless``); sweeps of the volume."""
REACHES: Final = (20.0, 35.0, 45.0)


class Volume(Protocol):
    """What rules need of a volume."""

    @property
    def sweeps(self) -> Sequence[Any]:
        """Its sweeps."""
        ...


class Measured(Protocol):
    """What rules need of one variable's report."""

    @property
    def name(self) -> str:
        """FM301 name."""
        ...

    @property
    def max_error_bound(self) -> float | None:
        """What was promised, None where no bound was."""
        ...

    @property
    def strong_bound(self) -> float | None:
        """What was promised for strong echo, None where no bound was."""
        ...

    @property
    def csi(self) -> Mapping[str, float | None]:
        """Critical success index at some dBZ; None where nothing reaches it."""
        ...


@cache
def actions() -> tuple[Action, ...]:
    """The rules that ship: what is withheld or referred, for which variables.

    Raises:
        BadInput: a rule cannot be read, names what volumes do not have, or does what cannot be done here.
    """
    rules = tuple(shipped_actions("radar", FACTS))
    for number, rule in enumerate(rules):
        if rule.do not in ("withhold", "refer"):
            raise BadInput(
                f"a codec's error is measured, so nothing can be done by {rule.do!r}",
                file=conf_dir() / "guard" / "radar.yaml",
                field=f"actions[{number}]",
                fix="withhold or refer",
            )
    return rules


def facts(source: Volume, report: Measured) -> dict[str, Any]:
    """What rules may ask of one variable of a volume.

    Args:
        source: the volume.
        report: of the variable, as it was measured.
    """
    found: dict[str, Any] = {
        "variable": base_name(report.name),
        "bounded": report.max_error_bound is not None or report.strong_bound is not None,
        "sweeps": len(source.sweeps),
    }
    reached = [level for level in REACHES if report.csi.get(f"{level:g}") is not None]
    return found | ({"reaches": reached[-1]} if reached else {})


def govern(source: Volume, answer: Answer[V]) -> Answer[V]:
    """The answer after the rules that concern its variables; every one says what was done, where, and why.

    Args:
        source: the volume.
        answer: as it would be given.
    """
    rules = actions()
    if not rules or answer.estimate is None:
        return answer
    reports: Mapping[str, Measured] = getattr(answer.estimate.value, "variables", {})
    of = {name: facts(source, report) for name, report in reports.items()}
    for rule in rules:
        concerned = [name for name, known in of.items() if rule.matches(known)]
        if concerned:
            answer = apply([rule], of[concerned[0]], answer)
            said = dataclasses.replace(answer.findings[-1], where=f"{rule.harm}: {', '.join(concerned)}")
            answer = dataclasses.replace(answer, findings=(*answer.findings[:-1], said))
    return answer
