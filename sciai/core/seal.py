"""Fingerprints of what a figure was computed with: the metric code, and the held-out data.

They go on the card with the figures. Whoever evaluates again learns when either was edited since, on purpose
or
not: a figure is only worth something together with how it was made.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Finding, Level
from sciai.core.split import fingerprint

if TYPE_CHECKING:
    from sciai.core.data import DataModule

__all__ = ["compare", "seal_code", "seal_data"]


def seal_code(functions: Iterable[Callable[..., Any] | None]) -> dict[str, str]:
    """Sha256 of the source files in which functions (partials, instances of classes) are written.

    Args:
        functions: what computes the figures; None is left out.

    Returns:
        Module name -> 64 hex digits. What has no source file (a lambda of a shell) is left out.

    >>> list(seal_code([seal_code, None]))
    ['sciai.core.seal']
    """
    found: dict[str, str] = {}
    for function in functions:
        if function is None:
            continue
        while isinstance(function, functools.partial):
            function = function.func
        owner: Any = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
        file = inspect.getsourcefile(owner)
        if file is not None and Path(file).is_file():
            found[owner.__module__] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return dict(sorted(found.items()))


def seal_data(data: DataModule, part: str = "test", most: int = 2000) -> str:
    """Sha256 of the items of a part, as the model gets to see them.

    Args:
        data: the data.
        part: which part.
        most: so many items at most, the first ones.

    Returns:
        64 hex digits; empty where the part is.
    """
    items = data.part(part)
    if not len(items):
        return ""
    state = hashlib.sha256(str(len(items)).encode())
    for index in range(min(len(items), most)):
        state.update(str(fingerprint(items[index])).encode())
    return state.hexdigest()


def compare(recorded: Mapping[str, Any], code: Mapping[str, str], data: str) -> list[Finding]:
    """What differs from the seals on a card.

    Args:
        recorded: ``card.extra["evaluation"]``; a card of before there were seals has none.
        code: of ``seal_code`` now.
        data: of ``seal_data`` now.

    Returns:
        Findings of caution: the figures of then and now are not of the same thing.
    """
    found: list[Finding] = []
    then = dict(recorded.get("code", {}))
    changed = sorted(name for name in then if code.get(name) != then[name])
    if changed:
        text = (
            f"the code that computes the figures was edited since the card was written: {', '.join(changed)}"
        )
        found.append(Finding("evaluation-code", Level.CAUTION, text, "test"))
    if recorded.get("data") and data != recorded["data"]:
        text = "the held-out data is not what the figures were computed on: items were edited or exchanged"
        found.append(Finding("evaluation-data", Level.CAUTION, text, "test"))
    return found
