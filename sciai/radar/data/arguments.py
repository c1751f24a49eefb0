"""Arguments that a caller handed over, checked where they arrive: what is wrong with them is said, and how to
mend it, before anything is read or written.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sciai.core.errors import BadInput

__all__ = ["flag_of", "function_of", "path_of", "shown", "whole_number"]


def shown(given: Any) -> str:
    """What was given, short enough for a message: values as they are, other things by their type.

    Example:
        >>> shown("2"), shown(None), shown({"a": 1})
        ("'2'", 'None', 'a dict')
    """
    if given is None or isinstance(given, str | bytes | bool | int | float | np.number):
        return f"{given!r:.80}"
    return f"a {type(given).__name__}"


def path_of(given: Any, field: str, example: str) -> Path:
    """A path.

    Args:
        given: as it was handed over.
        field: name of the argument.
        example: of a path that would do.

    Raises:
        BadInput: it is no path.

    Example:
        >>> path_of("out.zarr", "store", "out.zarr").name
        'out.zarr'
        >>> path_of(None, "store", "out.zarr")
        Traceback (most recent call last):
        sciai.core.errors.BadInput: None is no path (field store); give one, such as 'out.zarr'
    """
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        if isinstance(path, str) and path:
            return Path(path)
    raise BadInput(f"{shown(given)} is no path", field=field, fix=f"give one, such as {example!r}")


def whole_number(given: Any, field: str, least: int, example: int) -> int:
    """A whole number from `least` on: not a text that looks like one, not 2.0, not True.

    Raises:
        BadInput: it is none.

    Example:
        >>> whole_number(np.int64(3), "threads", 1, 2)
        3
        >>> whole_number("2", "threads", 1, 2)
        Traceback (most recent call last):
        sciai.core.errors.BadInput: threads of '2' (field threads); give a whole number from 1 on, such as 2
    """
    number: int | None = None
    if not isinstance(given, bool | np.bool_):
        try:
            number = operator.index(given)
        except TypeError:
            number = None
    if number is None or number < least:
        raise BadInput(
            f"{field} of {shown(given)}",
            field=field,
            fix=f"give a whole number from {least} on, such as {example}",
        )
    return number


def flag_of(given: Any, field: str) -> bool:
    """True or False; a text would count as True whatever it says.

    Raises:
        BadInput: it is neither.

    Example:
        >>> flag_of("no", "overwrite")
        Traceback (most recent call last):
        sciai.core.errors.BadInput: overwrite of 'no' (field overwrite); give True or False
    """
    if not isinstance(given, bool | np.bool_):
        raise BadInput(f"{field} of {shown(given)}", field=field, fix="give True or False")
    return bool(given)


def function_of(given: Any, field: str, takes: str) -> Callable[..., Any] | None:
    """A function or None.

    Args:
        given: as it was handed over.
        field: name of the argument.
        takes: what it is called with, for the message.

    Raises:
        BadInput: it cannot be called.
    """
    if given is not None and not callable(given):
        raise BadInput(
            f"{field} of {shown(given)}", field=field, fix=f"give a function of {takes}, or leave it out"
        )
    return given  # type: ignore[no-any-return]
