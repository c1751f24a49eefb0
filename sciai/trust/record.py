"""Every answer into the ledger, and out of it again: what was asked, what was said, by which model; and
replay.

A domain's question says how it can be asked again: it has a method ``record()`` that gives the domain, the
call and its arguments as plain JSON types, and whether they are about a person. Personal questions and their
answers go into the ledger as salted digests unless somebody asks otherwise; whoever has the question can
still prove what was answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sciai.core.answer import Answer, Finding, Level, jsonable
from sciai.core.errors import BadInput
from sciai.trust.ledger import Entry, Ledger
from sciai.trust.referral import Queue
from sciai.trust.sign import digest

__all__ = ["Question", "Recorder", "Replayable", "replay"]


@dataclass(frozen=True)
class Question:
    """A question as the ledger keeps it.

    Attributes:
        domain: whose.
        call: what was called.
        arguments: with what; plain JSON types. Large inputs (a volume, a structure) by path and sha256.
        personal: it is about a person.
    """

    domain: str
    call: str
    arguments: Mapping[str, Any]
    personal: bool = False


@runtime_checkable
class Replayable(Protocol):
    """A domain's question that says how it can be asked again."""

    def record(self) -> Question:
        """The question."""
        ...


class Recorder:
    """Writes answers into a ledger; give it to ``core.answer.listening``.

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
        self, ledger: Ledger, *, use: str = "", queue: Queue | None = None, in_clear: bool = False
    ) -> None:
        """Where to write.

        Args:
            ledger: opened with its key.
            use: what the answers are used for, as declared by whoever runs this.
            queue: refused answers are referred there too; None refers nothing.
            in_clear: keep personal questions and answers as they are, not as digests.
        """
        self.ledger, self.use, self.queue, self.in_clear = ledger, use, queue, in_clear

    def __call__(self, query: Any, answer: Answer[Any]) -> None:
        """Record one answer."""
        asked = question_of(query)
        hidden = asked.personal and not self.in_clear
        said = said_of(answer)
        body = {
            "domain": asked.domain,
            "call": asked.call,
            "arguments": self.ledger.hide(asked.arguments) if hidden else asked.arguments,
            "level": answer.level.name.lower(),
            # names of checks only: their sentences may hold the values
            "checks": sorted({f.check for f in answer.findings if f.level > Level.OK}),
            "said": self.ledger.hide(said) if hidden else digest(said),
            "provenance": jsonable(answer.provenance),
            "use": self.use,
            "personal": asked.personal,
        }
        self.ledger.append("answer", body)
        if self.queue is not None and answer.level >= Level.REFUSE:
            self.queue.refer(asked.domain, asked.arguments, answer, personal=hidden)


def question_of(query: Any) -> Question:
    """The question as the ledger keeps it; for one that cannot say so, its type and content."""
    if isinstance(query, Replayable):
        return query.record()
    kind = type(query)
    parts = kind.__module__.split(".")
    domain = parts[1] if parts[0] == "sciai" and len(parts) > 1 else kind.__module__
    return Question(domain, kind.__qualname__, {"query": jsonable(query)}, personal=domain == "health")


def said_of(answer: Answer[Any]) -> dict[str, Any]:
    """What an answer said: level and estimate, numbers to four digits (machines differ in the last ones)."""
    told = answer.to_dict(max_items=10**9, show_refused=True)
    return {"level": told["level"], "estimate": _rounded(told["estimate"])}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(np.format_float_positional(value, precision=4, fractional=False)) if value else 0.0
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def replay(
    ledger: Ledger,
    id: str,
    ask_again: Mapping[str, Callable[[Question], Answer[Any]]],
    *,
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Entry, Answer[Any], list[Finding]]:
    """Ask again what an entry records, and compare.

    Args:
        ledger: where the entry is.
        id: of the entry.
        ask_again: domain -> function that answers a question.
        arguments: what was asked, where the ledger keeps a digest only.

    Returns:
        The entry, today's answer, and a finding: OK where it is the same, refuse where it is not, with what
        differs in provenance.

    Raises:
        BadInput: where the entry is no answer, its domain cannot be asked, or the arguments are missing or
            not those that were asked.
    """
    entry = ledger.find(id)
    if entry.kind != "answer":
        raise BadInput(f"entry {entry.id} is a {entry.kind}, not an answer", file=ledger.folder)
    body = entry.body
    if body["domain"] not in ask_again:
        raise BadInput(f"answers of {body['domain']!r} cannot be asked again", field="domain")
    hidden = isinstance(body["arguments"], str)
    if hidden and arguments is None:
        raise BadInput(
            f"entry {entry.id} keeps a digest of a personal question",
            fix="give the question: --arguments FILE",
        )
    asked = arguments if hidden and arguments is not None else body["arguments"]
    if hidden and ledger.hide(asked) != body["arguments"]:
        raise BadInput("these are not the arguments that were asked: their digest differs", field="arguments")
    answer = ask_again[body["domain"]](Question(body["domain"], body["call"], asked, bool(body["personal"])))
    said = ledger.hide(said_of(answer)) if str(body["said"]).startswith("hmac") else digest(said_of(answer))
    if said == body["said"]:
        same = Finding("replay", Level.OK, f"entry {entry.id}: the answer is the same today")
        return entry, answer, [same]
    now, then = jsonable(answer.provenance), body["provenance"]
    changed = [f"{key}: {then.get(key)!r} then, {now[key]!r} now" for key in now if now[key] != then.get(key)]
    why = "; ".join(changed) or "model and version are the same, so look at seeds and at the machine"
    return entry, answer, [Finding("replay", Level.REFUSE, f"entry {entry.id}: another answer today: {why}")]
