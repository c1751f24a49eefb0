"""Every answer into the ledger: what was asked, what was said, by which model. ``trust.replay`` asks again.

A domain's question says how it can be asked again: it has a method ``record()`` that gives the domain, the
call and its arguments as plain JSON types, and whether they are about a person. Personal questions and their
answers go into the ledger as salted digests unless somebody asks otherwise; whoever has the question can
still prove what was answered.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sciai.core.answer import Answer, Level, jsonable
from sciai.core.errors import BadInput
from sciai.trust import said as parts
from sciai.trust.ledger import Ledger
from sciai.trust.referral import Queue
from sciai.trust.stage import use_class

__all__ = [
    "Question",
    "Recorder",
    "Replayable",
    "checks_of",
    "file_record",
    "found_again",
    "needs_of",
    "question_of",
    "said_of",
]


@dataclass(frozen=True)
class Question:
    """A question as the ledger keeps it.

    Attributes:
        domain: whose.
        call: what was called.
        arguments: with what; plain JSON types. Large inputs (a volume, a structure) by path and sha256.
        personal: it is about a person.
        leave_out: fields of the estimate that are no part of what was said: time taken, paths.
        needs: check -> what would settle its finding, for the human who gets a refused answer.
        distance: how far the question lies from what was learned, for ``trust.drift``; None where it has
            none.
        subject: who or what it is about; kept as a salted digest, so that questions about the same one are
            recognised. None is told apart by its distance alone.
    """

    domain: str
    call: str
    arguments: Mapping[str, Any]
    personal: bool = False
    leave_out: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    distance: float | None = None
    subject: Any = None


@runtime_checkable
class Replayable(Protocol):
    """A domain's question that says how it can be asked again."""

    def record(self) -> Question:
        """The question."""
        ...


class Recorder:
    """Writes answers into a ledger, or refers them, or both; give it to ``core.listen.listening``.

    >>> import tempfile
    >>> from sciai.core.answer import Estimate, Provenance, ask
    >>> from sciai.core.listen import listening
    >>> from sciai.trust.sign import Signer
    >>> ledger = Ledger.create(tempfile.mkdtemp() + "/ledger", Signer.new("service"))
    >>> with listening(Recorder(ledger, use="teaching")):
    ...     _ = ask(4.0, lambda x: Estimate(x**0.5, 0.0), provenance=Provenance("root"))
    >>> ledger.find("0").body["level"], ledger.find("0").body["use"]
    ('ok', 'teaching')
    """

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        use: str = "",
        queue: Queue | None = None,
        refer: Level = Level.REFUSE,
        in_clear: bool = False,
    ) -> None:
        """Where to write.

        Args:
            ledger: opened with its key; None records nothing.
            use: what the answers are used for, as declared by whoever runs this.
            queue: where answers are referred to; None refers nothing.
            refer: the level from which answers are referred.
            in_clear: keep personal questions and answers as they are, not as digests.
        """
        self.ledger, self.use, self.queue, self.refer, self.in_clear = ledger, use, queue, refer, in_clear

    def __call__(self, query: Any, answer: Answer[Any]) -> None:
        """Record one answer."""
        asked = question_of(query)
        hide = asked.personal and not self.in_clear
        if self.ledger is not None:
            self.ledger.append("answer", _body(self.ledger, asked, answer, hide, self.use))
        if self.queue is not None and answer.level >= max(self.refer, Level.CAUTION):
            question = {"call": asked.call, "arguments": asked.arguments, "use": self.use}
            self.queue.refer(asked.domain, question, answer, needs_of(asked, answer), personal=hide)


def _body(ledger: Ledger, asked: Question, answer: Answer[Any], hide: bool, use: str) -> dict[str, Any]:
    return {
        "domain": asked.domain,
        "call": asked.call,
        "arguments": ledger.hide(asked.arguments) if hide else asked.arguments,
        "level": answer.level.name.lower(),
        # names of checks only: their sentences may hold the values
        "checks": checks_of(answer),
        "said": said_of(ledger, asked, answer, hide),
        "hidden": hide,
        "leave_out": asked.leave_out,
        "provenance": jsonable(answer.provenance),
        "use": use,
        "use_class": use_class(),
        "personal": asked.personal,
        "distance": asked.distance,
        "subject": "" if asked.subject is None else ledger.hide(asked.subject)[-16:],
    }


def said_of(ledger: Ledger, asked: Question, answer: Answer[Any], hide: bool) -> dict[str, Any]:
    """What was said, in the clear or as salted digests."""
    if hide:
        return parts.hidden(answer, asked.leave_out, ledger.hiding())
    return parts.said(answer, asked.leave_out)


def checks_of(answer: Answer[Any]) -> list[str]:
    """Names of the checks that found something."""
    return sorted({f.check for f in answer.findings if f.level > Level.OK})


def needs_of(asked: Question, answer: Answer[Any]) -> list[str]:
    """What would settle an answer that was refused or doubted: the domain's words, else the check's own."""
    doubts = sorted((f for f in answer.findings if f.level > Level.OK), key=lambda f: -f.level)
    said = [asked.needs.get(f.check, f"look into: {f.message}") for f in doubts]
    return list(dict.fromkeys(said))


def question_of(query: Any) -> Question:
    """The question as the ledger keeps it; for one that cannot say so, its type and content."""
    if isinstance(query, Replayable):
        return query.record()
    kind = type(query)
    names = kind.__module__.split(".")
    domain = names[1] if names[0] == "sciai" and len(names) > 1 else kind.__module__
    return Question(domain, kind.__qualname__, {"query": jsonable(query)}, personal=domain == "health")


def file_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file as a question keeps it: where it lies, how long it is, and its sha256.

    Args:
        path: the file; of a folder all files count.

    Raises:
        BadInput: where it cannot be read.
    """
    file = Path(path)
    try:
        if file.is_dir():
            members = sorted(p for p in file.rglob("*") if p.is_file())
            total, found = sum(p.stat().st_size for p in members), hashlib.sha256()
            for member in members:
                found.update(f"{member.relative_to(file).as_posix()} {_sha256(member)}\n".encode())
            return {"path": str(file.resolve()), "bytes": total, "sha256": found.hexdigest()}
        return {"path": str(file.resolve()), "bytes": file.stat().st_size, "sha256": _sha256(file)}
    except OSError as error:
        raise BadInput(f"cannot read it: {error.strerror}", file=file) from error


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def found_again(record: Mapping[str, Any], others: tuple[Path, ...] = ()) -> Path:
    """The file that a question names, unchanged.

    Args:
        record: as ``file_record`` made it.
        others: files to look among where it is not where it was.

    Raises:
        BadInput: it is gone, or it was changed.
    """
    there = Path(record["path"])
    for file in (there, *others):
        if file.exists() and file_record(file)["sha256"] == record["sha256"]:
            return file
    if there.exists():
        fix = "give the file as it was with --input"
        raise BadInput("cannot be replayed: the input was changed since", file=there, fix=fix)
    fix = "give it with --input" if not others else "none of the files given is the one that was asked about"
    raise BadInput("cannot be replayed: the input is gone", file=there, fix=fix)
