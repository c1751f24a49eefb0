"""Fingerprints of what a figure was computed with: the metric code, and the held-out data.

They go on the card with the figures. Whoever evaluates again learns when either was edited since, on purpose
or not: a figure is only worth something together with how it was made.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Finding, Level
from sciai.core.resume import flat
from sciai.core.split import Split, fingerprint, shared

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sciai.core.data import DataModule

__all__ = ["compare", "other_parts", "same_groups", "seal_code", "seal_data"]


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


def same_groups(recorded: Mapping[str, Any], now: Split) -> list[Finding]:
    """Was the test part of today trained on?

    Args:
        recorded: ``card.split``. Of many groups it holds a sample of digests (``core.split.sampled``).
        now: the split of the data that is at hand.

    Returns:
        A finding that refuses where a group was trained on; one of caution where the split is not that of
        the card, and no such group is known; nothing where it is the same.
    """
    if recorded.get("hash") == now.hash:
        return []
    test = {now.groups[i] for i in now.parts["test"]}
    parts = recorded.get("parts", {})

    def common(part: str) -> list[str]:
        then = parts.get(part, {})
        return sorted(test & set(then.get("names", ())) | set(shared(then.get("digests", ""), test)))

    if trained := common("train"):
        return [
            Finding(
                "split",
                Level.REFUSE,
                f"{len(trained)} groups of the test part were trained on ({', '.join(trained[:5])}); "
                "evaluate with the data, fractions and seed of the card",
                where="test",
            )
        ]
    message = "the split is not the one on the card; make sure that none of this data was trained on"
    if used := sorted({*common("val"), *common("calibrate")}):
        message = (
            f"{len(used)} groups of the test part chose the weights or their calibration "
            f"({', '.join(used[:5])}), so the figures flatter; evaluate with the split of the card"
        )
    return [Finding("split", Level.CAUTION, message, where="test")]


def other_parts(recorded: Mapping[str, Any], cfg: DictConfig) -> list[Finding]:
    """Are network and loss those that the card tells of? Settings that change no shape load all the same.

    Args:
        recorded: ``card.config``.
        cfg: what ``compose`` gives.

    Returns:
        A finding of caution that names what differs; keys that only one of the two has are left out, as they
        may be younger than the card.
    """
    from omegaconf import OmegaConf

    then: Any = recorded.get("domain") or {}
    now: Any = OmegaConf.to_container(cfg.domain, resolve=True)
    told = []
    for part in ("net", "loss"):
        # what weights began with, and what a network was fitted to, are in the weights that were loaded
        was, is_ = (
            flat({k: v for k, v in (side.get(part) or {}).items() if k not in ("start", "data")}, part)
            for side in (then, now)
        )
        told += [f"{key} ({was[key]}, now {is_[key]})" for key in was if key in is_ and was[key] != is_[key]]
    if not told:
        return []
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    text = f"not the network or loss of the card: {', '.join(told[:5])}{more}; evaluate with its settings"
    return [Finding("config", Level.CAUTION, text, where="test")]
