"""Check the question, estimate, check the estimate, say how sure: the one shape every answer has."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import PurePath
from typing import Any, Generic, TypeVar

import numpy as np

from sciai.core.errors import BadInput, SciaiError
from sciai.core.listen import tell
from sciai.core.shown import as_html, as_line, as_text, brief

__all__ = [
    "Answer",
    "Estimate",
    "Finding",
    "Level",
    "Policy",
    "Provenance",
    "Refused",
    "ask",
    "findings",
    "jsonable",
    "read_policy",
]

Q = TypeVar("Q")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Level(IntEnum):
    """How much a finding weighs; an answer is as good as its worst finding."""

    OK = 0
    CAUTION = 1
    REFUSE = 2

    @classmethod
    def parse(cls, text: str | int | Level) -> Level:
        """Read a level as configs write it.

        Args:
            text: ok, caution or refuse in any case; a number 0 to 2; or a level.

        Raises:
            BadInput: when it is none of ok, caution, refuse.

        >>> Level.parse("refuse")
        <Level.REFUSE: 2>
        """
        try:
            return cls[text.upper()] if isinstance(text, str) else cls(text)
        except (KeyError, ValueError):
            raise BadInput(f"unknown level {text!r}", fix="use one of ok, caution, refuse") from None


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: name of the check; the key by which a policy can change the level.
        level: how much it weighs.
        message: a sentence that helps: what, where, what to do.
        where: the part of the question or the estimate it concerns ("sweep 3, DBZH"); may be empty.
    """

    check: str
    level: Level
    message: str
    where: str = ""

    def __post_init__(self) -> None:
        if not self.check or not self.message.strip():
            raise BadInput("a finding needs the name of its check and a message", field=self.check or "check")
        if type(self.level) is not Level:
            object.__setattr__(self, "level", Level.parse(self.level))

    def __str__(self) -> str:
        return f"[{self.level.name}] {self.check}{f' ({self.where})' if self.where else ''}: {self.message}"


@dataclass(frozen=True)
class Estimate(Generic[V_co]):
    """A value and how far off it may be.

    Attributes:
        value: what was estimated.
        spread: an interval or standard deviation, shaped like the value or a mapping of named parts,
            in the value's unit. It may be zero (an exact result), never absent.
        unit: unit of value and spread; empty where they carry their own.
    """

    value: V_co
    spread: Any
    unit: str = ""

    def __post_init__(self) -> None:
        if self.spread is None or (isinstance(self.spread, Mapping) and not self.spread):
            raise BadInput("an estimate without its spread", fix="give an interval or a standard deviation")

    def __repr__(self) -> str:
        unit = f", {self.unit!r}" if self.unit else ""
        return f"Estimate({brief(self.value)}, spread={brief(self.spread)}{unit})"


@dataclass(frozen=True)
class Provenance:
    """Where an answer comes from, so that it can be replayed.

    Attributes:
        model: name of the model or algorithm.
        checkpoint: hash of the checkpoint (``Checkpoint.hash``), "" where nothing was learned.
        version: version of sciai.
        seed: seed of everything random in the answer; None where nothing is.
        calibration: which held-out data the spread was calibrated on, or how it was measured.
    """

    model: str
    checkpoint: str = ""
    version: str = ""
    seed: int | None = None
    calibration: str = ""

    def __post_init__(self) -> None:
        if not self.model:
            raise BadInput("provenance without the name of the model", field="model")
        if not self.version:
            object.__setattr__(self, "version", _version())


@dataclass(frozen=True)
class Answer(Generic[V_co]):
    """An estimate with its verdict and its provenance.

    >>> answer = Answer(Estimate(2.0, 0.1, "m"), (), Provenance("ruler", version="1"))
    >>> answer.level, answer.unwrap()
    (<Level.OK: 0>, 2.0)
    """

    estimate: Estimate[V_co] | None
    findings: tuple[Finding, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(self.findings))
        if self.estimate is None and self.level < Level.REFUSE:
            raise BadInput("an answer without an estimate has to say why", fix="add a finding that refuses")

    @property
    def level(self) -> Level:
        """The worst finding's level; OK where nothing was found."""
        return max((finding.level for finding in self.findings), default=Level.OK)

    def unwrap(self) -> V_co:
        """The value.

        Raises:
            Refused: when a finding refuses; it says why.
        """
        if self.estimate is None or self.level >= Level.REFUSE:
            raise Refused(self)
        return self.estimate.value

    def __repr__(self) -> str:
        return as_line(self)

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self, *, max_items: int = 1000, show_refused: bool = False) -> dict[str, Any]:
        """The answer as plain JSON types, as ``--json`` prints it.

        Args:
            max_items: larger arrays are summarised (shape, dtype, min, max) instead of listed.
            show_refused: give the estimate of a refused answer too; for a reviewer, not for use.
        """
        hide = self.estimate is None or (self.level >= Level.REFUSE and not show_refused)
        return {
            "level": self.level.name.lower(),
            "estimate": None if hide else jsonable(self.estimate, max_items),
            "findings": [jsonable(finding) for finding in self.findings],
            "provenance": jsonable(self.provenance),
        }


class Refused(SciaiError):
    """Raised where a refused answer is used as if it were one; carries the answer and its reasons."""

    def __init__(self, answer: Answer[Any]) -> None:
        self.answer = answer
        super().__init__("; ".join(str(f) for f in answer.findings if f.level >= Level.REFUSE))


Policy = Mapping[str, Level]
"""Check name -> the level its findings get, whatever level the check itself gave."""


class Levels(dict[str, Level]):
    """A policy that ``read_policy`` read; it is not read again with every answer."""

    def __or__(self, other: Mapping[str, Any]) -> Levels:  # type: ignore[override]
        return read_policy({**self, **other})


def read_policy(config: Mapping[str, Any] | None, known: Collection[str] | None = None) -> Levels:
    """A policy from the ``policy`` part of a guard config.

    Args:
        config: check name -> level as text; None is an empty policy.
        known: names of the checks that there are, where the caller knows them: a misspelt name would
            otherwise change nothing, and silently.

    Raises:
        BadInput: on a level that does not exist, or a name that is not known.

    >>> read_policy({"support": "refuse"})
    {'support': <Level.REFUSE: 2>}
    """
    policy = Levels({str(check): Level.parse(level) for check, level in (config or {}).items()})
    if known is not None:
        for check in (c for c in policy if c not in known):
            near = difflib.get_close_matches(check, sorted(known), 1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            raise BadInput(f"no check is called {check!r}", field=f"policy.{check}", fix=fix)
    return policy


def ask(
    query: Q,
    predict: Callable[[Q], Estimate[V]],
    before: Iterable[Callable[[Q], Iterable[Finding]]] = (),
    after: Iterable[Callable[[Q, Estimate[V]], Iterable[Finding]]] = (),
    policy: Mapping[str, Level | str] | None = None,
    *,
    provenance: Provenance | Callable[[], Provenance],
    told: Any = None,
    govern: Callable[[Q, Answer[V]], Answer[V]] | None = None,
) -> Answer[V]:
    """Check the question, estimate, check the estimate.

    Args:
        query: the question, whatever type the domain uses.
        predict: gives the estimate. Never runs when a finding of ``before`` refuses.
        before: checks of the question, ``check(query) -> findings``. All of them run, so that a caller
            learns everything that is wrong at once.
        after: checks of the estimate, ``check(query, estimate) -> findings``.
        policy: check name -> level; overrides the level of a finding worse than OK (a finding that is OK
            says that a check passed and stays OK).
        provenance: where the answer comes from; a function where that is known only after predicting.
        told: what listeners hear as the question (see ``core.listen``); the query itself where None.
        govern: a runtime policy that may change the answer before anybody hears it (``trust.policy``).

    Returns:
        The answer. An estimate that was refused afterwards stays in ``answer.estimate`` for a reviewer;
        ``unwrap`` and ``to_dict`` withhold it.

    Raises:
        Exception: whatever a check or ``predict`` raises. A check that breaks must not count as passed.

    >>> def positive(x):
    ...     if x < 0:
    ...         yield Finding("positive", Level.REFUSE, f"{x} is negative; give a length of 0 or more")
    >>> answer = ask(-1.0, lambda x: Estimate(x**0.5, 0.0), [positive], provenance=Provenance("root"))
    >>> answer.level.name, answer.estimate
    ('REFUSE', None)
    """
    levels = _levels(policy)
    found = findings(before, query, policy=levels)
    estimate: Estimate[V] | None = None
    if all(finding.level < Level.REFUSE for finding in found):
        estimate = predict(query)
        if not isinstance(estimate, Estimate):
            raise TypeError(f"predict returned {type(estimate).__name__}, not an Estimate with a spread")
        found += findings(after, query, estimate, policy=levels)
    origin = provenance if isinstance(provenance, Provenance) else provenance()
    answer = Answer(estimate, tuple(found), origin)
    if govern is not None:
        answer = govern(query, answer)
    tell(query if told is None else told, answer)
    return answer


def findings(
    checks: Iterable[Callable[..., Iterable[Finding]]],
    *of: Any,
    policy: Mapping[str, Level | str] | None = None,
) -> list[Finding]:
    """What checks find, as a policy weighs it; ``ask`` without the estimate.

    Args:
        checks: all of them run.
        of: what each is given.
        policy: check name -> level, as for ``ask``.

    >>> big = lambda x: [Finding("big", Level.CAUTION, f"{x} is big")]
    >>> [str(finding) for finding in findings([big], 9, policy={"big": "refuse"})]
    ['[REFUSE] big: 9 is big']
    """
    levels = _levels(policy)
    return [finding for check in checks for finding in _judge(check(*of), levels)]


def _levels(policy: Mapping[str, Level | str] | None) -> Mapping[str, Level]:
    return policy if isinstance(policy, Levels) else read_policy(policy)


def _judge(findings: Iterable[Finding], levels: Mapping[str, Level]) -> Iterable[Finding]:
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"a check gave {type(finding).__name__}, not a Finding")
        level = finding.level
        if level is not Level.OK and levels.get(finding.check, level) is not level:
            finding = Finding(finding.check, levels[finding.check], finding.message, finding.where)
        yield finding


def jsonable(value: Any, max_items: int = 1000) -> Any:
    """Plain JSON types for any value: NaN becomes null, infinities "inf" / "-inf", a Level its name.

    Args:
        value: dataclasses, mappings, sequences, numpy arrays and scalars, paths; others as their text.
        max_items: larger arrays become a summary.

    >>> jsonable({"a": np.float32(0.5), "b": float("nan"), "c": (1, np.arange(2))})
    {'a': 0.5, 'b': None, 'c': [1, [0, 1]]}
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Level):
        return value.name.lower()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, np.generic):
        return jsonable(value.item(), max_items)
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, np.ndarray):
        if value.size <= max_items:
            return jsonable(value.tolist(), max_items)
        summary: dict[str, Any] = {"shape": list(value.shape), "dtype": str(value.dtype)}
        if value.dtype.kind in "iuf":
            finite = value[np.isfinite(value)]
            if finite.size:
                summary |= {"min": jsonable(finite.min()), "max": jsonable(finite.max())}
        return summary
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name), max_items) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, max_items) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return [jsonable(item, max_items) for item in sorted(value, key=str)]
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [jsonable(item, max_items) for item in value]
    return value.as_posix() if isinstance(value, PurePath) else str(value)


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sciai")
    except PackageNotFoundError:
        return "checkout"  # run from the source tree without an install
