"""Splits that never tear a group apart, and the proof that they did not leak."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

__all__ = ["Split", "blocks", "fingerprint", "leaks", "sampled", "shared", "split_by_group"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Which item belongs to which part.

    Attributes:
        parts: part name -> sorted item numbers; parts do not overlap.
        groups: the group of every item, as text.
        seed: seed that drew it.
    """

    parts: Mapping[str, Indices]
    groups: tuple[str, ...]
    seed: int

    @property
    def hash(self) -> str:
        """sha256 over the parts and the group of each of their items; equal for equal splits."""
        content = {part: [[int(i), self.groups[i]] for i in items] for part, items in self.parts.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def record(self, most: int = 200) -> dict[str, Any]:
        """What goes into a checkpoint's card: sizes, groups by part (as many as ``most``), hash, seed.

        Of a part with more groups a sample of their digests comes beside the first names (``sampled``).
        """
        parts: dict[str, Any] = {}
        for part, items in self.parts.items():
            names = sorted({self.groups[i] for i in items})
            parts[part] = {"items": len(items), "groups": len(names), "names": names[:most]}
            if len(names) > most:
                parts[part]["digests"] = sampled(names)
        return {"parts": parts, "hash": self.hash, "seed": self.seed}


_SAMPLE, _DIGITS = 2048, 10  # 40 bits: of 100,000 names one in thousands is taken for another


def sampled(names: Iterable[str]) -> str:
    """Digests of names, in one text: all of them, or of many those that come first when sorted.

    Which ones these are depends on the names alone, so of two lists that share a share of their names the
    samples do, too (Broder 1997, "On the resemblance and containment of documents"). Who can guess a name
    can tell whether it is among them, as with the names themselves.

    >>> len(sampled(map(str, range(10**4))).split())
    2048
    """
    return " ".join(sorted({_short(name) for name in names})[:_SAMPLE])


def shared(sample: str, names: Iterable[str]) -> list[str]:
    """Which names are in a sample, sorted; of those that it left out nothing can be told.

    >>> shared(sampled(["a", "b"]), ["b", "c"])
    ['b']
    """
    known = set(sample.split())
    return sorted(name for name in set(names) if _short(name) in known)


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]


def split_by_group(
    groups: Sequence[Hashable],
    fractions: Mapping[str, float],
    seed: int,
    hold_out: Mapping[str, Sequence[Hashable]] | None = None,
) -> Split:
    """Deal whole groups to parts.

    Groups are shuffled with the seed and dealt one by one to the part that is furthest below its share of the
    items. The result depends on the groups and the seed only, not on the order of the items' files.

    Args:
        groups: the group of each item (patient, radar, trajectory): what must not be on both sides.
        fractions: part -> share of the items; shares are normalised.
        seed: seed of the shuffle.
        hold_out: part -> groups that go there whatever the shuffle says (leave one radar out). They come on
            top of that part's share.

    Raises:
        BadInput: when a part ends up empty, a share is negative, or a held-out group does not exist.

    >>> split = split_by_group(["a", "a", "b", "c", "c", "d"], {"train": 0.7, "test": 0.3}, seed=0)
    >>> {part: sorted({"aabccd"[i] for i in items}) for part, items in split.parts.items()}
    {'train': ['a', 'c'], 'test': ['b', 'd']}
    """
    names = tuple(str(group) for group in groups)
    if any(not math.isfinite(share) or share < 0 for share in fractions.values()) or not fractions:
        raise BadInput(f"shares have to be zero or more, not {dict(fractions)}", field="fractions")
    members: dict[str, list[int]] = {}
    for item, name in enumerate(names):
        members.setdefault(name, []).append(item)
    dealt: dict[str, list[int]] = {part: [] for part in (*fractions, *(hold_out or {}))}
    free = set(members)
    for part, held in (hold_out or {}).items():
        for group in map(str, held):
            if group not in free:
                known = "was held out twice" if group in members else "does not exist"
                raise BadInput(
                    f"the group {group!r} {known}", field="hold_out", fix=f"known: {sorted(members)[:20]}"
                )
            free.remove(group)
            dealt[part] += members[group]
    order = np.random.default_rng(seed).permutation(sorted(free)) if free else np.empty(0, "U1")
    total, shares = sum(len(members[g]) for g in free), sum(fractions.values())
    room = {part: total * share / shares for part, share in fractions.items() if share > 0}
    for group in map(str, order):
        neediest = max(room, key=lambda part: room[part])
        dealt[neediest] += members[group]
        room[neediest] -= len(members[group])
    wanted = {part for part, share in fractions.items() if share > 0} | set(hold_out or {})
    if empty := sorted(part for part in wanted if not dealt[part]):
        raise BadInput(
            f"{len(members)} groups leave {', '.join(empty)} empty",
            field="fractions",
            fix="use fewer parts, finer groups, or more data",
        )
    return Split({part: np.array(sorted(items), np.int64) for part, items in dealt.items()}, names, seed)


def blocks(times: npt.ArrayLike, length: float) -> list[int]:
    """Groups for a sequence: neighbours in time share a block, because they are not exchangeable.

    Args:
        times: time of each item, in any unit.
        length: length of a block, in that unit; longer than the memory of the process.

    Returns:
        The number of each item's block.

    >>> blocks([0, 10, 35, 61], 30)
    [0, 0, 1, 2]
    """
    time = np.asarray(times, float)
    if length <= 0 or not np.isfinite(time).all():
        raise BadInput("times have to be finite and the length positive", field="times")
    return [int(number) for number in (time - time.min(initial=math.inf)) // length] if time.size else []


def fingerprint(item: Any) -> str:
    """sha256 of an item's content: arrays, tensors, mappings, sequences, objects with fields, plain values.

    >>> fingerprint({"x": np.zeros(2)}) == fingerprint({"x": np.zeros(2)})
    True
    """
    digest = hashlib.sha256()
    for part in _walk(item):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _walk(item: Any) -> Iterable[bytes]:
    if hasattr(item, "detach"):
        item = item.detach().cpu().numpy()
    if isinstance(item, np.ndarray):
        yield f"{item.dtype.str}{item.shape}".encode()
        yield np.ascontiguousarray(item).tobytes() if item.dtype.kind != "O" else repr(item.tolist()).encode()
    elif isinstance(item, Mapping):
        for key in sorted(item, key=str):
            yield str(key).encode()
            yield from _walk(item[key])
    elif isinstance(item, list | tuple):
        yield f"[{len(item)}]".encode()
        for member in item:
            yield from _walk(member)
    elif hasattr(item, "to_dict"):
        yield from _walk(item.to_dict())
    elif hasattr(item, "__dict__"):
        yield from _walk(vars(item))
    else:
        yield repr(item).encode()


def leaks(
    items: Sequence[Any] | Any, split: Split, key: Callable[[Any], Hashable] = fingerprint
) -> list[Finding]:
    """Items with equal content in different parts of a split.

    Args:
        items: anything with ``items[i]``.
        split: the split to check.
        key: what makes two items the same; the default is their whole content. A coarser key (rounded
            values, a patient's number) finds near duplicates.

    Returns:
        One finding per pair of parts that share items; it refuses, and names some of them.

    >>> split = split_by_group(list("abcd"), {"train": 0.5, "test": 0.5}, seed=0)
    >>> [f.check for f in leaks([7, 7, 7, 7], split)]
    ['leakage']
    """
    home: dict[Hashable, tuple[str, int]] = {}
    shared: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for part, members in split.parts.items():
        for item in map(int, members):
            first, twin = home.setdefault(key(items[item]), (part, item))
            if first != part:
                shared.setdefault((first, part), []).append((twin, item))
    return [
        Finding(
            "leakage",
            Level.REFUSE,
            f"{len(pairs)} items of {b} are also in {a} (items {pairs[:5]}); put copies into one group",
            where=f"{a} and {b}",
        )
        for (a, b), pairs in shared.items()
    ]
