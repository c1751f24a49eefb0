"""How a question about a person goes into the ledger, and what a human needs to settle it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from sciai.core.answer import Finding, Level, jsonable
from sciai.core.errors import BadInput
from sciai.core.listen import as_one
from sciai.trust.record import Question

if TYPE_CHECKING:
    from sciai.health.api.distribution import HealthAnswer
    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.person import Person

__all__ = ["NEEDS", "Asked", "distance_of", "person_again", "recorded"]

P = ParamSpec("P")
S = TypeVar("S")

NEEDS: Final[Mapping[str, str]] = {
    "age": "a physician: nobody under 20 was learned from",
    "extrapolation": "a physician's judgement for people over 80",
    "pregnant": "reference values of pregnancy, from a physician or midwife",
    "implausible": "the value and its unit, as the laboratory printed them",
    "contradiction": "the sheet: which of the values that contradict each other is right",
    "unit-guess": "the unit that the laboratory used",
    "unit-suspicion": "the unit that the laboratory used",
    "outlier": "a second measurement of the unusual values (`sciai health unusual` names them)",
    "similar": "a source on people of this age, sex and answers: few were learned from",
    "few_cases": "another risk score for this disease: too few cases were learned from",
    "subgroup": "how far this group's risks were off (`sciai audit health`), before the risk is used",
    "revealed": "whether the treatment is taken because of the diagnosis: then it is known, not estimated",
    "spread": "more of the person's values: the members of the model disagree",
    "cannot_tell": "another risk score for the diseases that were withheld",
}
"""Check -> what would settle its finding."""


@dataclass(frozen=True)
class Asked:
    """A question as it was asked.

    Attributes:
        subject: the person, or the model where it is about a crowd.
        call: name of the method.
        options: its arguments.
    """

    subject: Any
    call: str
    options: Mapping[str, Any]

    def record(self) -> Question:
        """For the ledger; personal."""
        about: dict[str, Any] = {}
        distance = None
        if hasattr(self.subject, "known"):
            about, distance = _person(self.subject), distance_of(self.subject)
        arguments = jsonable({**about, **self.options})
        left_out = ("grid", "density")
        return Question("health", self.call, arguments, True, left_out, NEEDS, distance, about.get("given"))


def recorded(
    method: Callable[Concatenate[S, P], HealthAnswer],
) -> Callable[Concatenate[S, P], HealthAnswer]:
    """A method of a person, or of the virtual human, whose answers are told as one, and can be replayed."""
    import inspect

    signature = inspect.signature(method)

    def question(subject: S, /, *args: P.args, **kwargs: P.kwargs) -> Asked:
        bound = signature.bind(subject, *args, **kwargs)
        bound.apply_defaults()
        _, *names = signature.parameters
        options = {name: value for name, value in bound.arguments.items() if name in names}
        if "panels" in options:
            options["panels"] = _panels(options["panels"])
        return Asked(subject, method.__name__, options)

    return as_one(question)(method)


def person_again(human: VirtualHuman, arguments: Mapping[str, Any]) -> Person:
    """The person that a question was about.

    Args:
        human: the model.
        arguments: of the question, as recorded.

    Raises:
        BadInput: where they are not of that form.
    """
    from sciai.health.api.known import Known, read_value
    from sciai.health.api.person import Person

    try:
        given = {str(name): value for name, value in arguments["given"].items()}
        notes = tuple(
            Finding(str(n["check"]), Level.parse(str(n["level"])), str(n["message"]), str(n["where"]))
            for n in arguments["notes"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput("these are not the arguments of a question about a person", field="given") from error
    numbers = {
        name: float(value) if isinstance(value, int | float) else read_value(human.schema, name, value)[0]
        for name, value in given.items()
    }
    return Person(human, Known.again(human.schema, numbers, notes))


def _person(person: Person) -> dict[str, Any]:
    schema = person.schema
    given = {
        name: value if name not in schema or schema[name].numeric else schema[name].levels[int(value)]
        for name, value in person.known.given.items()
    }
    notes = [f for f in person.known.findings if f.check not in ("calculated", "contradiction")]
    return {"given": given, "notes": notes}


def distance_of(person: Person) -> float | None:
    """1 - share of people with a stranger combination: even between 0 and 1 for people like those learned."""
    from sciai.health.api.unusual import judged

    if len(judged(person, ("age", "sex"))) < 2:
        return None  # nothing that could be strange
    return round(1.0 - person.strangeness, 4)


def _panels(panels: Any) -> Any:
    if not isinstance(panels, list | tuple):
        return panels
    return [{"date": panel.date, "values": panel.values, "person": panel.person} for panel in panels]
