"""What a ledger is made of (entries that hold the hash of the one before, a signed head); what is wrong.

Nothing is written here; ``trust.ledger`` appends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sciai.core.answer import Finding, Level
from sciai.core.errors import DamagedStore
from sciai.trust.sign import BadSignature, Keyring, canonical, digest

__all__ = ["FORMAT", "GENESIS", "VERSION", "Entry", "Head", "examine", "parsed"]

FORMAT, VERSION = "sciai-ledger", 1
GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        number: 0, 1, 2 ... without gaps.
        time: UTC, ISO 8601.
        kind: what it records: "answer", "referral", "decision", "release", "audit" ...
        body: the record, plain JSON types.
        previous: hash of the entry before; 64 zeros for the first.
        hash: sha256 of the five fields above.
        signature: of the hash, by the ledger's key.
    """

    number: int
    time: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str
    signature: str

    @property
    def id(self) -> str:
        """What people quote: the first 12 digits of the hash."""
        return self.hash[:12]

    def expected_hash(self) -> str:
        """What the hash has to be."""
        return digest([self.number, self.time, self.kind, self.body, self.previous])


@dataclass(frozen=True)
class Head:
    """The end of a ledger at one moment, signed; small enough to keep anywhere (a mail, another machine).

    Attributes:
        entries: how many there are.
        size: bytes of ``entries.jsonl``.
        hash: of the last entry; 64 zeros when there is none.
        time: when it was written.
        key: id of the key.
        signature: of the fields above.
    """

    entries: int
    size: int
    hash: str
    time: str
    key: str
    signature: str

    def message(self) -> bytes:
        """What is signed."""
        return canonical([FORMAT, self.entries, self.size, self.hash, self.time, self.key])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Head:
        """Read a head or an anchor.

        Args:
            path: JSON file.

        Raises:
            DamagedStore: where it is missing or not of that form.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.keys() != {f.name for f in fields(cls)}:
                raise ValueError("it lacks fields; `sciai ledger anchor` prints one")
            return cls(**_typed(cls, content))
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedStore(f"{path} is not the head of a ledger: {error}") from error


def _typed(kind: type[Entry] | type[Head], content: Any) -> dict[str, Any]:
    """The fields of what was read; who verifies must not stumble over a number where a text belongs."""
    types = {"int": int, "str": str}  # annotations are texts here
    for field in fields(kind):
        wanted = types.get(str(field.type), dict)
        if field.name in content and type(content[field.name]) is not wanted:
            raise ValueError(f"{field.name!r} is not of type {wanted.__name__}")
    return dict(content)


def parsed(line: bytes, file: Path, number: int) -> Entry:
    """One line of a ledger's file.

    Args:
        line: with its end of line.
        file: where it is from, for the message.
        number: of the line, from 0.

    Raises:
        DamagedStore: it is no entry.
    """
    try:
        if not line.endswith(b"\n"):
            raise ValueError("the line is cut off")
        return Entry(**_typed(Entry, json.loads(line)))
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedStore(f"{file}, line {number + 1}: {error}") from error


def examine(
    entries: Iterable[Entry],
    read_head: Callable[[], Head],
    keyring: Keyring,
    name: str,
    anchor: Head | None = None,
) -> list[Finding]:
    """Check everything there is to check of a chain.

    Args:
        entries: from the first one on.
        read_head: gives the head as it lies beside them.
        keyring: the key they have to be signed by, and no other.
        name: whose key that is.
        anchor: a head of this ledger that was kept elsewhere.

    Returns:
        Findings that refuse, one for each thing that is wrong; or a single one that is OK.
    """
    found: list[Finding] = []

    def wrong(message: str, where: str = "") -> None:
        found.append(Finding("ledger", Level.REFUSE, message, where))

    key = next(iter(keyring.keys))
    previous, number, anchored = GENESIS, 0, anchor is None or anchor.entries == 0
    try:
        for entry in entries:
            where = f"line {number + 1}"
            if entry.number != number or entry.previous != previous:
                wrong(
                    f"entry {entry.number} does not follow the one before it: entries were deleted, "
                    "moved, inserted or altered",
                    where,
                )
            if entry.hash != entry.expected_hash():
                wrong(f"entry {entry.number} was altered: its content does not give its hash", where)
            else:
                try:
                    keyring.check(entry.hash.encode(), entry.signature, key)
                except BadSignature:
                    wrong(f"entry {entry.number} was not signed by {name}: forged", where)
            if anchor is not None and entry.number == anchor.entries - 1 and entry.hash == anchor.hash:
                anchored = True
            previous, number = entry.hash, number + 1
    except DamagedStore as error:
        wrong(str(error), f"line {number + 1}")
    try:
        head = read_head()
    except DamagedStore as error:
        wrong(str(error), "head.json")
    else:
        if number < head.entries:
            wrong(f"the head knows {head.entries} entries, {number} are there: the end was removed")
        elif number > head.entries:
            wrong(f"{number - head.entries} entries stand behind the head: a writer died, or forged ones")
        elif previous != head.hash:
            wrong("the head is not the last entry's: the ledger was exchanged", "head.json")
    if anchor is not None:
        try:
            keyring.check(anchor.message(), anchor.signature, anchor.key)
        except BadSignature as error:
            wrong(f"the anchor is not of this ledger: {error}", "anchor")
        if not anchored:
            wrong(
                f"entry {anchor.entries - 1}, which the anchor saw on {anchor.time}, is not there: "
                "the ledger was cut back or rewritten since (a fork)",
                "anchor",
            )
    if not found:
        found.append(Finding("ledger", Level.OK, f"{number} entries, unbroken, signed by {name}"))
    return found
