"""Who hears of answers: a ledger, a monitor. Every answer that is given is told before it is given.

A question that asks many smaller ones (a relaxation asks about every step) is told once, as what the user
asked: its inner questions are asked quietly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from sciai.core.answer import Answer

__all__ = ["Listener", "as_one", "as_receipt", "heard", "listening", "quietly", "tell"]

P = ParamSpec("P")
A = TypeVar("A", bound="Answer[Any]")
R = TypeVar("R")

Listener = Callable[[Any, "Answer[Any]"], None]
_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While in the block, every answer that is given is told to somebody first (a ledger, a monitor).

    Args:
        listener: called with the question and the answer. What it raises, the asking raises: an answer that
            could not be recorded is not given.

    >>> from sciai.core.answer import Estimate, Provenance, ask
    >>> told = []
    >>> with listening(lambda query, answer: told.append((query, answer.level.name))):
    ...     _ = ask(4.0, lambda x: Estimate(x**0.5, 0.0), provenance=Provenance("root"))
    >>> told
    [(4.0, 'OK')]
    """
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


@contextmanager
def quietly() -> Iterator[None]:
    """While in the block, nobody is told: what is asked here is part of a larger question."""
    token = _LISTENERS.set(())
    try:
        yield
    finally:
        _LISTENERS.reset(token)


def heard() -> bool:
    """Whether anybody listens; what nobody hears need not be described."""
    return bool(_LISTENERS.get())


def tell(query: Any, answer: Answer[Any]) -> None:
    """Tell whoever listens.

    Args:
        query: the question; a ledger wants one that has a method ``record``.
        answer: the answer.
    """
    for listener in _LISTENERS.get():
        listener(query, answer)


def as_one(question: Callable[P, Any]) -> Callable[[Callable[P, A]], Callable[P, A]]:
    """A function that asks many questions is told as one, with its own answer.

    Args:
        question: makes, from the function's arguments, the question that listeners hear. It is called before
            the function, and only where somebody listens.

    >>> from sciai.core.answer import Estimate, Provenance, ask
    >>> @as_one(lambda x: f"{x} twice")
    ... def twice(x):
    ...     once = ask(x, lambda x: Estimate(2 * x, 0.0), provenance=Provenance("two"))
    ...     return ask(once.unwrap(), lambda x: Estimate(2 * x, 0.0), provenance=Provenance("two"))
    >>> told = []
    >>> with listening(lambda query, answer: told.append((query, answer.unwrap()))):
    ...     _ = twice(1.0)
    >>> told
    [('1.0 twice', 4.0)]
    """

    return as_receipt(question, lambda _, answer: answer)


def as_receipt(
    question: Callable[P, Any], receipt: Callable[[Any, Any], Answer[Any]]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that hands out figures which are no answer (a table, a volume) is told as one.

    A refusal that the function raises is told, too, before it goes on.

    Args:
        question: as for ``as_one``.
        receipt: makes, from that question and what the function gives, the answer that listeners hear.

    >>> from sciai.core.answer import Estimate, Provenance
    >>> @as_receipt(lambda n: f"{n} rows", lambda _, table: Answer(
    ...     Estimate(len(table), 0.0), (), Provenance("table")))
    ... def rows(n):
    ...     return [0.0] * n
    >>> from sciai.core.answer import Answer
    >>> told = []
    >>> with listening(lambda query, answer: told.append((query, answer.unwrap()))):
    ...     _ = rows(3)
    >>> told
    [('3 rows', 3)]
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            if not heard():
                return function(*args, **kwargs)
            from sciai.core.answer import Refused

            query = question(*args, **kwargs)
            try:
                with quietly():
                    given = function(*args, **kwargs)
            except Refused as refused:
                tell(query, refused.answer)
                raise
            tell(query, receipt(query, given))
            return given

        return asked

    return decorate
