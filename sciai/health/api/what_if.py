"""People who are like this one but for some values: a comparison of groups, never the effect of a change."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Estimate, Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.constraints import show
from sciai.health.api.distribution import Distribution, HealthAnswer, percent
from sciai.health.api.infer import tell
from sciai.health.api.known import read_value
from sciai.health.api.words import column_named

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.person import Person

__all__ = ["ASSOCIATION", "Comparison", "what_if"]

ASSOCIATION = (
    "two groups of people are compared who differ in what was changed and in whatever goes with it; it is "
    "not what would happen to one person who changes it"
)


@dataclass(frozen=True)
class Comparison:
    """Two groups of people: like this person, and like this person but for some values.

    Attributes:
        changes: what differs, in words.
        here: column -> distribution among people like this one.
        there: column -> distribution among people who differ in the changes.
    """

    changes: str
    here: Mapping[str, Distribution]
    there: Mapping[str, Distribution]

    def to_frame(self) -> pd.DataFrame:
        """One row for each column: mean here, there, and their difference (P(yes) for yes/no)."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"name": n, "label": a.label, "unit": a.unit, "here": a.mean, "there": self.there[n].mean,
                 "difference": self.there[n].mean - a.mean}
                for n, a in self.here.items()
            ]
        ).set_index("name")  # fmt: skip

    def __str__(self) -> str:
        lines = [f"people like this one, beside people who differ in: {self.changes}", f"({ASSOCIATION})"]
        for name, here in self.here.items():
            there = self.there[name]
            if here.kind == "binary":
                lines.append(f"{here.label}: {percent(here.mean)} | {percent(there.mean)}")
            else:
                lines.append(f"{here.label}: {here.mean:.4g} | {there.mean:.4g} {here.unit}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from sciai.health.api.html import comparison_html

        return comparison_html(self)


def what_if(person: Person, targets: Sequence[str], changes: Mapping[str, Any]) -> HealthAnswer:
    """See ``Person.what_if``.

    Raises:
        BadInput: nothing changes, or a number beyond what is possible.
    """
    if not changes:
        raise BadInput("nothing was changed", field="changes", fix="e.g. what_if(weight_kg=-2)")
    schema = person.schema
    other: dict[str, Any] = {}
    start: dict[str, float] = {}  # values that are not known, where the change begins
    words = []
    for raw, change in changes.items():
        name = column_named(schema, raw)
        column = schema[name] if name in schema else schema.derived_named(name)
        now = person.known.value(name)
        said = ""
        if name in schema and not schema[name].numeric:
            level, _ = read_value(schema, name, change)
            if math.isnan(level):
                fix = "name a level: " + ", ".join(schema[name].levels)
                raise BadInput(f"{change!r} is no change of {name}", field=name, fix=fix)
            other[name] = change
            said = f"{name} {show(schema, name, level)}"
        elif isinstance(change, numbers.Real) and not isinstance(change, bool):
            if now is None:
                now = start[name] = _expected(person, name)
            other[name] = now + float(change)
            if math.isnan(change):
                raise BadInput(f"{name} would change by nothing known", field=name, unit=column.unit)
            if not column.low <= other[name] <= column.high:
                fix = f"it is {now:g} here, and can be {column.low:g} to {column.high:g}"
                problem = f"{name} would become {other[name]:g}"
                raise BadInput(problem, field=name, unit=column.unit, fix=fix)
        else:
            fix = f"give what is added, as a plain number of {column.unit}"
            raise BadInput(f"{change!r} is no change of a number", field=name, unit=column.unit, fix=fix)
        words.append(said or f"{name} {change:+g}")
    if start:
        person = person.given(start)
    # a calculated value that was given may follow from what changes: it moves with it
    moved = [
        d.name
        for d in schema.derived
        if d.name in person.known.given and d.name not in other and set(d.inputs) & set(other)
    ]
    fixed = {
        n: person.known.value(n) for n, d in person.known.solved.items() if d in moved and n not in other
    }
    # a calculated value whose inputs are all known cannot change alone: one of them gives way
    gives_way = {}
    for derived in (d for d in schema.derived if d.name in other and not set(d.inputs) & set(other)):
        if all(person.known.value(n) is not None for n in derived.inputs):
            gives_way[derived.solved or derived.inputs[-1]] = derived.name
    there = person.without(*moved, *gives_way) if moved or gives_way else person
    solved = (
        person.known.solved.items()
    )  # what followed from it stays as it was: nobody grows by weighing less
    fixed |= {n: person.known.value(n) for n, d in solved if d in gives_way.values()}
    there = there.given({n: v for n, v in fixed.items() if n not in gives_way} | other)
    wanted = [column_named(schema, t) for t in targets] or _usual(person, {*other, *gives_way})

    def predict(_: object) -> Estimate[Comparison]:
        model, calibration = person.human.model, person.human.calibration
        here = tell(model, person.state, wanted, calibration, person.group)
        moved = tell(model, there.state, wanted, calibration, there.group)
        value = Comparison(", ".join(words), here.value, moved.value)
        return Estimate(value, {name: (here.spread[name], moved.spread[name]) for name in wanted})

    answer = person._answer(tuple(wanted), predict)
    note = Finding("association", Level.OK, ASSOCIATION)
    begun = [
        Finding("association", Level.OK, f"{n} is not known: the change starts at {person.known.shown(n)}, "
                "the middle of people like this one", n)
        for n in start
    ]  # fmt: skip
    begun += [
        Finding(
            "association",
            Level.OK,
            f"{n} moves with {d}: {person.known.shown(n)} | {there.known.shown(n)}",
            n,
        )
        for n, d in gives_way.items()
    ]
    doubts = [f for f in there.findings if f.level > Level.OK and f not in answer.findings]
    return HealthAnswer(answer.estimate, (*answer.findings, note, *begun, *doubts), answer.provenance)


def _expected(person: Person, name: str) -> float:
    """The median of a number for people like this one, rounded as the table rounds."""
    column = person.schema[name] if name in person.schema else person.schema.derived_named(name)
    told = tell(person.human.model, person.state, [name], person.human.calibration, person.group)
    return round(told.value[name].median, column.decimals)


def _usual(person: Person, changed: set[str]) -> list[str]:
    """Diagnoses with enough cases, and the numbers that check-ups are about."""
    from sciai.health.api.risks import _refusal, diseases

    numbers_ = ("sbp", "hba1c", "ldl", "hdl", "trig_serum", "egfr", "uric_acid", "alt")
    columns = [n for n in diseases(person) if not _refusal(person, n)]
    known = [n for n in numbers_ if n in person.schema or n in {d.name for d in person.schema.derived}]
    return [n for n in (*known, *columns) if person.known.value(n) is None and n not in changed]
