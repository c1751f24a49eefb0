"""How answers and results show themselves: a line in a list, a few lines when printed, a table in a notebook.

Arrays are shown by their shape and range, long collections by their beginning; what was refused is not shown.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from sciai.core.answer import Answer

__all__ = ["Brief", "as_html", "as_line", "as_text", "brief"]

FEW: Final = 6
WIDTH: Final = 88
_WORDS: Final = ("answered", "answered, with care", "refused")
_COLOURS: Final = ("#2f855a", "#b7791f", "#c53030")


class Brief:
    """A result whose ``repr`` is short however long its arrays are; with ``@dataclass(repr=False)``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({brief(self)})"


def brief(value: Any, depth: int = 2) -> str:
    """A value in a few words.

    Args:
        value: anything; dataclasses by their fields, unless they know how to print themselves.
        depth: how many levels of parts are opened.

    >>> brief({"energy": -26.99791152, "forces": np.linspace(-1, 1, 24).reshape(8, 3)})
    'energy -26.998, forces (8, 3) from -1 to 1'
    >>> brief([0.25, 0.5]), brief(np.array([np.nan, 1.0])), brief(None), brief("PBE")
    ('[0.25, 0.5]', '[nan, 1]', 'none', 'PBE')
    """
    if value is None:
        return "none"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, np.ndarray):
        return _array(value)
    if _prints_itself(value):
        return _cut(str(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.repr}
        return _named(told, depth) if depth else type(value).__name__
    if isinstance(value, Mapping):
        return _named(value, depth) if depth else f"{len(value)} parts"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not depth:
            return f"{len(value)} parts"
        parts = [brief(item, depth - 1) for item in value[:FEW]]
        return f"[{', '.join(parts)}{_more(len(value))}]"
    return _cut(str(value))


def as_line(answer: Answer[Any]) -> str:
    """An answer in one line, as lists of answers show it.

    Args:
        answer: any.
    """
    told = "" if _hidden(answer) else f" {brief(answer.estimate.value)}"  # type: ignore[union-attr]
    doubts = [f.check for f in answer.findings if f.level > 0]
    why = f" ({', '.join(dict.fromkeys(doubts))})" if doubts else ""
    return f"<{answer.level.name}{why}:{_cut(told, 3 * WIDTH) or ' no value'}>"


def as_text(answer: Answer[Any]) -> str:
    """An answer as it is printed: verdict, value, spread, reasons, and where it comes from.

    Args:
        answer: any.
    """
    lines = [f"{answer.level.name}: {_WORDS[answer.level]}"]
    rows = _rows(answer)
    wide = max((len(name) for name, _ in rows), default=0)
    lines += [f"  {name:<{wide}}  {shown}" for name, shown in rows]
    lines += [str(f) for f in _doubts(answer)]
    return "\n".join([*lines, _origin(answer)])


def as_html(answer: Answer[Any]) -> str:
    """An answer as a notebook shows it.

    Args:
        answer: any.
    """
    head = f"<p><b style='color:{_COLOURS[answer.level]}'>{_WORDS[answer.level]}</b></p>"
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(shown)}</td></tr>"
        for name, shown in _rows(answer)
    )
    doubts = "".join(
        f"<li><b style='color:{_COLOURS[f.level]}'>{f.level.name.lower()}</b> "
        f"{html.escape(f.where + ': ' if f.where else '')}{html.escape(f.message)}</li>"
        for f in _doubts(answer)
    )
    table = f"<table>{rows}</table>" if rows else ""
    listed = f"<ul>{doubts}</ul>" if doubts else ""
    return f"{head}{table}{listed}<p style='color:#718096'>{html.escape(_origin(answer))}</p>"


def _rows(answer: Answer[Any]) -> list[tuple[str, str]]:
    if answer.estimate is None or _hidden(answer):
        return []
    value, spread = answer.estimate.value, answer.estimate.spread
    parts = None if _prints_itself(value) else _parts(value)
    rows = [("value", brief(value))] if parts is None else [(n, brief(v)) for n, v in parts]
    rows.append(("spread", brief(spread)))
    return [*rows, ("unit", answer.estimate.unit)] if answer.estimate.unit else rows


def _parts(value: Any) -> list[tuple[str, Any]] | None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr]
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    return None


def _doubts(answer: Answer[Any]) -> list[Any]:
    return sorted((f for f in answer.findings if f.level > 0), key=lambda f: -f.level)


def _hidden(answer: Answer[Any]) -> bool:
    return answer.estimate is None or answer.level >= 2


def _origin(answer: Answer[Any]) -> str:
    source = answer.provenance
    notes = sum(f.level == 0 for f in answer.findings)
    parts = [f"from {source.model} {source.checkpoint[:12]}".rstrip()]
    parts += [f"spread: {source.calibration}"] if source.calibration else []
    parts += [f"seed {source.seed}"] if source.seed is not None else []
    parts += [f"{notes} note{'s' if notes > 1 else ''} in .findings"] if notes else []
    return "; ".join(parts)


def _array(value: np.ndarray[Any, Any]) -> str:
    if value.size <= FEW and value.ndim <= 1:
        return f"[{', '.join(brief(x) for x in value.tolist())}]" if value.ndim else brief(value.item())
    shape = f"({', '.join(str(n) for n in value.shape)}{',' if value.ndim == 1 else ''})"
    if value.dtype.kind not in "iuf":
        return f"{shape} of {value.dtype}"
    known = value[np.isfinite(value)]
    if not known.size:
        return f"{shape}, no number"
    gaps = f", {value.size - known.size} of {value.size} are no number" if known.size < value.size else ""
    return f"{shape} from {brief(known.min())} to {brief(known.max())}{gaps}"


def _named(parts: Mapping[Any, Any], depth: int) -> str:
    shown = [f"{name} {brief(item, depth - 1)}" for name, item in list(parts.items())[: 2 * FEW]]
    return ", ".join(shown) + _more(len(parts), 2 * FEW)


def _more(count: int, shown: int = FEW) -> str:
    return f" and {count - shown} more" if count > shown else ""


def _prints_itself(value: Any) -> bool:
    """Whether its class says how it is printed; plain data do not."""
    own = next(c for c in type(value).__mro__ if "__str__" in vars(c))
    return own is not object and own.__module__ != "builtins"


def _cut(text: str, width: int = WIDTH) -> str:
    first, *rest = text.splitlines() or [""]
    return first if not rest and len(first) <= width else first[: width - 4].rstrip() + " ..."
