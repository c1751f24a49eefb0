"""A question about one person, as the guards see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sciai.core.answer import Estimate, Finding
from sciai.health.data.columns import Kind, Schema
from sciai.health.model.calibration import Calibration
from sciai.trust.gate import Standing

__all__ = ["BINARY", "Question", "parts_of"]

BINARY: Final = str(Kind.BINARY)


@dataclass(frozen=True)
class Question:
    """A question about one person, as the guards see it.

    Attributes:
        schema: the columns.
        known: free columns that are known, and their values.
        given: what was given, free and calculated, in the columns' units.
        targets: what is asked for.
        calibration: what held-out people taught.
        notes: what happened to the values on the way in.
        group: sex and age band of the person.
        strangeness: gives the share of people with a stranger combination of values; None is not checked.
        similar: gives the expected number of similar people among those learned from; None is not checked.
        waiting: calculated values that are kept by weighted draws, and how many draws carry the weight.
        standing: release stage of the model; None for one that was never saved.
        plain: gives whether a quick look already tells that the combination is no rare one; None looks no
            quicker way.
    """

    schema: Schema
    known: Mapping[str, float]
    given: Mapping[str, float]
    targets: tuple[str, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)
    notes: tuple[Finding, ...] = ()
    group: str = "all"
    strangeness: Callable[[], float] | None = None
    similar: Callable[[], float] | None = None
    waiting: Mapping[str, float] = field(default_factory=dict)
    standing: Standing | None = None
    plain: Callable[[], bool] | None = None

    def value(self, name: str) -> float | None:
        """A free column's value, or None where it is unknown or there is no such column."""
        return self.known.get(name)

    def level(self, name: str) -> str | None:
        """The name of a free column's level, or None."""
        own = self.value(name)
        return None if own is None else self.schema[name].levels[int(own)]


def parts_of(estimate: Estimate[Any]) -> Iterable[tuple[str, Any]]:
    """The parts of an estimate that has some, and their names."""
    return estimate.value.items() if isinstance(estimate.value, Mapping) else ()
