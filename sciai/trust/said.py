"""What an answer said, kept so that it can be compared later: figures to four digits, or digests of them.

Machines differ in the last digits, and a rounded number flips where it lies at the edge of a step. Digests
are therefore taken on two grids whose edges lie apart; a part is the same where either of them agrees.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer
from sciai.trust.sign import digest

__all__ = ["differences", "fingerprint", "hidden", "said"]

NEAR: Final = 1e-4  # relative difference that is none
NOISE: Final = 1e-5  # absolute difference that is none, in whatever unit: rounding of float32 sums
FEW: Final = 12  # longer lists of numbers are kept as digests
MOST: Final = 500  # an estimate of more parts is kept as digests of groups of them
GRIDS: Final = {"one": 0.25, "two": 0.75}  # zero lies at the edge of neither
Hide = Callable[[Any], str]


def said(answer: Answer[Any], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parts of an answer's estimate: name of the part -> figure, text, or digests of many figures.

    Args:
        answer: the answer; of a refused one what it withheld.
        leave_out: fields that say nothing about the question (time taken, where it was written).

    >>> from sciai.core.answer import Estimate, Provenance
    >>> said(Answer(Estimate({"a": 1.234567}, 0.1, "m"), (), Provenance("ruler", version="1")))
    {'value.a': 1.2346, 'spread': 0.1, 'unit': 'm'}
    """
    parts: dict[str, Any] = {}
    leaves = _leaves(_estimate(answer), "", leave_out)
    if len(leaves) > MOST:
        return hidden(answer, leave_out, digest)
    for name, value in leaves:
        if isinstance(value, list):
            parts[name] = _on_two_grids(value, digest)
        elif isinstance(value, float):
            parts[name] = _rounded(value)
        else:
            parts[name] = value
    return parts


def hidden(answer: Answer[Any], leave_out: tuple[str, ...], hide: Hide) -> dict[str, Any]:
    """The same with nothing in the clear: digests of each target or risk.

    Args:
        answer: the answer.
        leave_out: as for ``said``.
        hide: gives a salted digest.
    """
    groups: dict[str, list[tuple[str, Any]]] = {}
    for name, value in _leaves(_estimate(answer), "", leave_out):
        groups.setdefault(".".join(name.split(".")[:2]), []).append((name, value))
    return {group: _on_two_grids(parts, hide) for group, parts in groups.items()}


def fingerprint(values: npt.ArrayLike) -> dict[str, str]:
    """Of a column of a table, or of a field: digests on the two grids, to stand for it in an answer.

    Of any size and in little memory; a digest of its content, so personal values go through ``hidden``.

    Args:
        values: numbers, yes / no, or texts, any shape.

    >>> fingerprint([0.5, 0.25, np.nan]) == fingerprint([0.5, 0.25 + 1e-9, np.nan])
    True
    >>> fingerprint(["no", "yes"]) == fingerprint(["yes", "no"])
    False
    """
    array = np.asarray(values)
    if array.dtype.kind == "f":
        flat = array.astype(np.float64, copy=False).ravel()
        return {grid: _sha256(_marks(flat, shift)) for grid, shift in GRIDS.items()}
    plain = array.tolist()
    if array.dtype.kind == "O":
        plain = [None if item is None or item != item else item for item in array.ravel().tolist()]
    told = json.dumps(plain, default=str, separators=(",", ":")).encode()
    return dict.fromkeys(GRIDS, _sha256(told))


def _marks(flat: npt.NDArray[np.float64], shift: float) -> bytes:
    """Numbers of steps as bytes; what is no number has marks of its own."""
    step = _step(flat, shift)
    with np.errstate(invalid="ignore"):
        steps = np.floor(flat / step + shift)
    for mark, which in ((1, np.isnan), (2, np.isposinf), (3, np.isneginf)):
        steps[which(flat)] = np.iinfo(np.int64).min + 1024 * mark
    return f"{flat.size} {round(math.log10(step), 3)} ".encode() + steps.astype("<i8").tobytes()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:40]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, in words; nothing where it is the same.

    Args:
        then: as the ledger keeps it.
        now: of the answer of today.

    >>> differences({"value.a": 1.0, "unit": "m"}, {"value.a": 1.00005, "unit": "m"})
    []
    >>> differences({"value.a": 1.0}, {"value.a": 1.1})
    ['value.a: 1.0 then, 1.1 now']
    """
    if ("estimate" in then) != ("estimate" in now):
        return [f"the estimate: {'none' if 'estimate' in then else 'one'} then, not so now"]
    found = []
    for name in [*then, *(n for n in now if n not in then)]:
        if name not in now or name not in then:
            found.append(f"{name}: only {'then' if name in then else 'now'}")
        elif not _same(then[name], now[name]):
            if isinstance(then[name], Mapping) or isinstance(now[name], Mapping):
                found.append(f"{name} is another one")
            else:
                found.append(f"{name}: {then[name]} then, {now[name]} now")
    return found


def _estimate(answer: Answer[Any]) -> Any:
    return answer.to_dict(max_items=10**9, show_refused=True)["estimate"]


def _leaves(value: Any, name: str, leave_out: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Name and content of each part; lists of many numbers (of numbers) are one part."""
    if _is_fingerprint(value):
        return [(name, value)]
    if isinstance(value, Mapping):
        kept = [(key, item) for key, item in value.items() if key not in leave_out]
    elif isinstance(value, list) and not (_numeric(value) and _count(value) > FEW):
        kept = [(_name_of(item, number), item) for number, item in enumerate(value)]
    else:
        return [(name or "estimate", value)]
    return [part for key, item in kept for part in _leaves(item, f"{name}.{key}".lstrip("."), leave_out)]


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == GRIDS.keys()


def _name_of(item: Any, number: int) -> str:
    told = item.get("name") if isinstance(item, Mapping) else None
    return told if isinstance(told, str) and told else str(number)


def _numeric(value: Any) -> bool:
    if isinstance(value, float) or value is None:
        return True
    if isinstance(value, list):
        return all(_numeric(item) for item in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: Any) -> int:
    return sum(_count(item) for item in value) if isinstance(value, list) else 1


def _rounded(value: float) -> float:
    # one digit more than is compared
    return float(np.format_float_positional(value, precision=5, fractional=False)) if value else 0.0


def _same(then: Any, now: Any) -> bool:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        return any(then.get(grid) == now.get(grid) for grid in ("one", "two"))
    if isinstance(then, float | int) and isinstance(now, float | int):
        return math.isclose(then, now, rel_tol=NEAR, abs_tol=NOISE)
    return bool(then == now)


def _on_two_grids(value: Any, hide: Hide) -> dict[str, str]:
    return {grid: hide(_steps(value, grid))[:40] for grid in GRIDS}


def _steps(value: Any, grid: str) -> Any:
    """Numbers as numbers of steps: a thousandth of the largest number they stand with, or coarser than noise.

    Shape is kept; everything that is no float stays.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return math.floor(value / _step_up_to(abs(value), GRIDS[grid]) + GRIDS[grid])
    if value is None or isinstance(value, str | int):
        return value
    if _is_fingerprint(value):
        return value[grid]
    if isinstance(value, list) and _numeric(value) and _count(value):
        flat = np.array([math.nan if item is None else float(item) for item in _flat(value)])
        return [_count(value), *_step_of(flat, GRIDS[grid])]
    if isinstance(value, list | tuple):
        return [_steps(item, grid) for item in value]
    return value


def _flat(value: Any) -> list[Any]:
    return [part for item in value for part in _flat(item)] if isinstance(value, list) else [value]


def _step_of(numbers: npt.NDArray[np.float64], shift: float) -> list[Any]:
    step = _step(numbers, shift)
    steps: list[Any] = [
        math.floor(x / step + shift) if math.isfinite(x) else str(x) for x in numbers.tolist()
    ]
    return [*steps, round(math.log10(step), 3)]


def _step(numbers: npt.NDArray[np.float64], shift: float) -> float:
    return _step_up_to(float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)), shift)


def _step_up_to(largest: float, shift: float) -> float:
    return max(10 * NOISE, 10.0 ** math.floor(math.log10(largest) + shift) / 1000 if largest else 0.0)
