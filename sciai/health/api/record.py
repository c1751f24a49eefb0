"""How a question about a person goes into the ledger, and what a human needs to settle it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer, Estimate, Finding, Level, Refused, jsonable
from sciai.core.errors import BadInput
from sciai.core.listen import as_one, as_receipt
from sciai.health.api.table_notes import found_in
from sciai.health.checks import policy
from sciai.trust.record import Question
from sciai.trust.said import fingerprint
from sciai.trust.stage import stage_findings

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.distribution import HealthAnswer
    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.person import Person
    from sciai.health.data.panels.panel import Panel

__all__ = [
    *(
        "NEEDS",
        "UNRECORDED",
        "Asked",
        "digest_of",
        "distance_of",
        "handed_out",
        "panels_again",
        "person_again",
    ),
    *("receipt", "recorded"),
]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
NOT_ASKED: Final = ("progress",)

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


UNRECORDED: Final[Mapping[str, str]] = {
    "evaluate": "figures about the model, on people whose outcomes are known; audits are sealed instead",
    "privacy": "figures about the model; the same",
    "question": "the question as guards see it",
    "provenance": "said with each answer",
    "describe": "what the card says",
}
"""What hands out figures and is no entry of the ledger, and why."""


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
    return as_one(_question_of(method))(method)


def handed_out(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The same for one that hands out figures and no answer: a table, a crowd, a density.

    The ledger gets digests of what came in and of what went out. A use that the release of the model does
    not cover refuses it, as it refuses an answer.

    Raises:
        Refused: in the method, on such a use.
    """
    question = _question_of(method)

    @wraps(method)
    def allowed(subject: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        said = _stage(subject)
        if any(f.level >= Level.REFUSE for f in said):
            raise Refused(Answer(None, said, _human(subject).provenance()))
        return method(subject, *args, **kwargs)

    return as_receipt(
        question, lambda asked, given: receipt(asked.subject, given, asked.options.get("seed"))
    )(allowed)


def receipt(subject: Any, given: Any, seed: int | None = None) -> Answer[Any]:
    """What the ledger gets of figures that are no answer: a digest of each column, and what was found.

    Args:
        subject: the person or the virtual human that was asked.
        given: the table, crowd or number that went out.
        seed: of the draws; None where nothing was drawn.
    """
    found = (*found_in(given), *_stage(subject))
    value: Any
    if isinstance(given, float):
        value = {"log_prob": given}
    else:
        table = given.table if hasattr(given, "table") else given
        columns = {str(n): table[n] for n in table} if table.ndim == 2 else {str(table.name): table}
        value = {name: fingerprint(_plain(column)) for name, column in columns.items()}
        if hasattr(given, "weights"):
            value["weights"] = fingerprint(given.weights)
    # a digest has no spread: each row's own stands in the table
    return Answer(Estimate(value, 0.0), found, _human(subject).provenance(seed))


def digest_of(table: pd.DataFrame) -> dict[str, Any]:
    """A table as a question keeps it: its size, and the sha256 of its columns' names and values.

    Args:
        table: one person a row.
    """
    from pandas.util import hash_array

    found = hashlib.sha256()
    for name in table:
        own = table[name]
        values = own.to_numpy(float, na_value=np.nan) if own.dtype.kind in "fiub" else _plain(own)
        found.update(f"{name} {values.dtype.kind}\n".encode())
        found.update(values.tobytes() if values.dtype.kind == "f" else hash_array(values).tobytes())
    return {"rows": len(table), "columns": table.shape[1], "sha256": found.hexdigest()}


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


def panels_again(kept: Any) -> list[Panel]:
    """The visits that a question about a course was about.

    Args:
        kept: as recorded.

    Raises:
        BadInput: where they are not of that form.
    """
    import datetime as dt

    from sciai.health.data.panels.panel import Panel, Reading

    def reading(told: Mapping[str, Any]) -> Reading:
        ends = told["range"]
        return Reading(**{**told, "range": (ends[0], ends[1])}, analyte="", written="")

    try:
        return [
            Panel(
                dt.date.fromisoformat(one["date"]),
                tuple(reading(told) for told in one["readings"]),
                person=one["person"],
                notes=tuple(Finding(**note) for note in one["notes"]),
            )
            for one in kept
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInput("these are not the arguments of a question about a course", field="panels") from error


def _panels(panels: Any) -> Any:
    """What a course depends on: values, what was set aside, and what was found on the sheets."""
    if not isinstance(panels, list | tuple):
        return panels
    kept = ("column", "label", "value", "unit", "range", "used", "bound")
    return [
        {
            "date": panel.date,
            "person": panel.person,
            "readings": [{name: getattr(r, name) for name in kept} for r in panel.readings],
            "notes": [f for f in panel.findings if f.check != "not-modelled"],  # said again by the readings
        }
        for panel in panels
    ]


def _question_of(method: Callable[..., Any]) -> Callable[..., Asked]:
    signature = inspect.signature(method)
    _, *names = signature.parameters

    def question(subject: Any, /, *args: Any, **kwargs: Any) -> Asked:
        bound = signature.bind(subject, *args, **kwargs)
        bound.apply_defaults()
        options = {n: v for n, v in bound.arguments.items() if n in names and n not in NOT_ASKED}
        told = {"on" if name == "given" else name: _option(name, v) for name, v in options.items()}
        return Asked(subject, method.__name__, told)  # what is "given" is what is known of the person

    return question


def _option(name: str, value: Any) -> Any:
    if name == "panels":
        return _panels(value)
    if hasattr(value, "known"):
        return _person(value)
    return digest_of(value) if hasattr(value, "iloc") and value.ndim == 2 else value


def _plain(column: pd.Series) -> npt.NDArray[Any]:
    """Numbers as numbers, all else as objects with None where there is nothing."""
    if column.dtype.kind == "f":
        return np.asarray(column, float)
    return np.asarray(column.astype(object).where(column.notna(), None), object)


def _human(subject: Any) -> VirtualHuman:
    found: VirtualHuman = getattr(subject, "human", subject)
    return found


def _stage(subject: Any) -> tuple[Finding, ...]:
    """What is said of the model's release and of the declared use, at the guard's levels."""
    levels = policy()
    return tuple(
        replace(f, level=levels.get(f.check, f.level)) for f in stage_findings(_human(subject).standing)
    )
