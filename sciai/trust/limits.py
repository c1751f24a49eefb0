"""Reusable checks of values and spreads. Each returns findings; an empty list says that nothing was found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

__all__ = ["finite", "spread_below", "within_range"]


def finite(values: npt.ArrayLike, what: str, level: Level = Level.REFUSE) -> list[Finding]:
    """NaN or infinity where a number should be.

    Args:
        values: any shape.
        what: name of the values, for the message.
        level: how much it weighs.

    >>> [str(f) for f in finite([1.0, float("nan")], "energy")]
    ['[REFUSE] finite (energy): 1 of 2 values of energy are NaN or infinite, the first at index 1']
    """
    array = np.asarray(values)
    bad = ~np.isfinite(array)
    return _found("finite", bad, what, f"of {what} are NaN or infinite", level)


def within_range(
    values: npt.ArrayLike,
    low: float,
    high: float,
    what: str,
    unit: str = "",
    level: Level = Level.CAUTION,
) -> list[Finding]:
    """Values outside of [low, high]; NaN is not in any range.

    Args:
        values: any shape, in ``unit``.
        low: smallest value allowed.
        high: largest value allowed.
        what: name of the values, for the message.
        unit: their unit, for the message.
        level: how much it weighs.

    Raises:
        BadInput: when low > high.

    >>> [f.message for f in within_range([300.0, -5.0], 0.0, 1000.0, "temperature", "K")]
    ['1 of 2 values of temperature are outside of 0 to 1000 K (found -5 to 300 K), the first at index 1']
    """
    if not low <= high:
        raise BadInput(f"the range {low} to {high} is empty", field="low")
    array = np.asarray(values, float)
    bad = ~((array >= low) & (array <= high))
    tail = f" {unit}" if unit else ""
    numbers = array[~np.isnan(array)]
    found = f"found {numbers.min():g} to {numbers.max():g}{tail}" if numbers.size else "all are NaN"
    text = f"of {what} are outside of {low:g} to {high:g}{tail} ({found})"
    return _found("within_range", bad, what, text, level)


def spread_below(
    spread: npt.ArrayLike, limit: npt.ArrayLike, what: str, unit: str = "", level: Level = Level.CAUTION
) -> list[Finding]:
    """Spreads above a limit; NaN is not below anything.

    Args:
        spread: any shape, >= 0, in ``unit``.
        limit: the largest spread that is still useful; a number, or of the same shape.
        what: name of the values, for the message.
        unit: their unit, for the message.
        level: how much it weighs.

    >>> [f.where for f in spread_below([0.1, 0.3], 0.2, "force", "eV/A")]
    ['force']
    """
    array, most = np.asarray(spread, float), np.asarray(limit, float)
    bad = ~(array <= most)
    tail = f" {unit}" if unit else ""
    numbers = array[~np.isnan(array)]
    worst = f"{numbers.max():g}{tail}" if numbers.size else "NaN"
    allowed = f"{most:g}{tail}" if most.ndim == 0 else "their limits"
    text = f"of {what} are less certain than {allowed} (worst {worst}); use another method or more data"
    return _found("spread_below", bad, what, text, level)


def _found(check: str, bad: npt.NDArray[np.bool_], what: str, text: str, level: Level) -> list[Finding]:
    bad = np.asarray(bad)
    if not bad.any():
        return []
    first = np.argwhere(bad)[0].tolist() if bad.ndim else []
    at = f", the first at index {first[0] if len(first) == 1 else tuple(first)}" if first else ""
    return [Finding(check, level, f"{int(bad.sum())} of {bad.size} values {text}{at}", where=what)]
