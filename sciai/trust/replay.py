"""Ask again what the ledger records, and say what differs: the figures, the verdict, the findings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sciai.core.answer import Answer, Finding, Level, jsonable
from sciai.core.errors import BadInput
from sciai.core.listen import listening, quietly
from sciai.core.resources import checkpoint_named, checkpoints_dir
from sciai.trust.ledger import Entry, Ledger
from sciai.trust.record import Question, checks_of, question_of, said_of
from sciai.trust.said import differences
from sciai.trust.sign import BadSignature
from sciai.trust.stage import declared

__all__ = ["checkpoint_folder", "compare", "match", "replay", "witness"]


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
        The entry, today's answer, and findings: one that is OK where it is the same, else one that refuses
        for each thing that differs.

    Raises:
        BadInput: where the entry is no answer, its domain cannot be asked, the arguments are missing or not
            those that were asked, or model or input are not the ones they were.
    """
    entry = _answer_entry(ledger, id)
    body = entry.body
    if body["domain"] not in ask_again:
        raise BadInput(f"answers of {body['domain']!r} cannot be asked again", field="domain")
    if body["hidden"] and arguments is None:
        fix = "repeat the command behind --, or give the question with --arguments FILE"
        raise BadInput(f"entry {entry.id} keeps a digest of a personal question", fix=fix)
    asked = arguments if body["hidden"] and arguments is not None else body["arguments"]
    if body["hidden"] and ledger.hide(asked) != body["arguments"]:
        raise BadInput("these are not the arguments that were asked: their digest differs", field="arguments")
    question = Question(body["domain"], body["call"], asked, bool(body["personal"]))
    with quietly(), declared(str(body.get("use_class") or "")):  # a replay is no new answer
        answer = ask_again[body["domain"]](question)
    return entry, answer, compare(ledger, entry, answer)


def compare(ledger: Ledger, entry: Entry, answer: Answer[Any]) -> list[Finding]:
    """What differs between an entry and an answer of today.

    Args:
        ledger: where the entry is.
        entry: of an answer.
        answer: to the same question.

    Returns:
        As ``replay``.

    Raises:
        BadInput: the answer is another model's.
    """
    body, then, now = entry.body, entry.body["provenance"], jsonable(answer.provenance)
    if then.get("checkpoint") != now["checkpoint"]:
        raise BadInput(
            f"cannot be replayed: the model is another one now ({_short(now['checkpoint'])}, it was "
            f"{_short(then.get('checkpoint'))})",
            fix="give the checkpoint as it was with --model",
        )
    asked = Question(body["domain"], body["call"], {}, bool(body["personal"]), tuple(body["leave_out"]))
    told = differences(body["said"], said_of(ledger, asked, answer, bool(body["hidden"])))
    level = answer.level.name.lower()
    if level != body["level"]:
        told.insert(0, f"verdict: {body['level']} then, {level} now")
    if checks_of(answer) != body["checks"]:
        was, is_ = ", ".join(body["checks"]) or "none", ", ".join(checks_of(answer)) or "none"
        told.insert(0, f"findings: {was} then, {is_} now")
    if not told:
        return [Finding("replay", Level.OK, f"entry {entry.id}: the same answer today")]
    changed = [f"{k}: {then.get(k)!r} then, {now[k]!r} now" for k in now if now[k] != then.get(k)]
    why = "; ".join(changed) or "model and version are the same, so look at seeds, guards and the machine"
    found = [Finding("replay", Level.REFUSE, f"entry {entry.id}: another answer today ({why})")]
    return found + [Finding("replay", Level.REFUSE, text) for text in told[:20]]


def checkpoint_folder(domain: str, wanted: str, given: str | Path | None = None) -> Path:
    """The folder of the checkpoint with a hash.

    Args:
        domain: whose shipped checkpoints to look among.
        wanted: the hash; empty takes the first shipped one.
        given: a folder, or the name of a shipped checkpoint, that has to be it; None looks for it.

    Raises:
        BadInput: it is not here.
    """
    shipped = checkpoints_dir()
    if given is not None:
        places = [checkpoint_named(given)]
    else:
        places = sorted(shipped.glob(f"{domain}*"))
    for place in places:
        manifest = place / "MANIFEST.json"
        if manifest.is_file() and (not wanted or hashlib.sha256(manifest.read_bytes()).hexdigest() == wanted):
            return place
    where = "there" if given else "among the shipped ones"
    raise BadInput(
        f"cannot be replayed: checkpoint {wanted[:12]} is not {where}",
        file=given,
        fix="give the checkpoint as it was with --model",
    )


@contextmanager
def witness() -> Iterator[list[tuple[Question, Answer[Any]]]]:
    """While in the block, questions and answers are kept in a list, and in no ledger."""
    kept: list[tuple[Question, Answer[Any]]] = []
    with quietly(), listening(lambda query, answer: kept.append((question_of(query), answer))):
        yield kept


def match(
    ledger: Ledger, id: str, answers: list[tuple[Question, Answer[Any]]]
) -> tuple[Entry, Answer[Any], list[Finding]]:
    """Compare an entry with answers that were given again, as ``witness`` kept them.

    Args:
        ledger: where the entry is.
        id: of the entry.
        answers: among which the same question has to be.

    Raises:
        BadInput: as ``replay``; and where none of them is to the question of the entry.
    """
    entry = _answer_entry(ledger, id)
    body = entry.body
    for asked, answer in answers:
        shown = ledger.hide(asked.arguments) if body["hidden"] else jsonable(asked.arguments, 10**9)
        if (asked.domain, asked.call, shown) == (body["domain"], body["call"], body["arguments"]):
            return entry, answer, compare(ledger, entry, answer)
    calls = ", ".join(f"{asked.domain} {asked.call}" for asked, _ in answers) or "nothing"
    raise BadInput(
        f"that is not what entry {entry.id} records ({body['domain']} {body['call']}): it asked {calls}, "
        "or the same with other values",
        fix="give every value as it was given then",
    )


def _answer_entry(ledger: Ledger, id: str) -> Entry:
    entry = ledger.find(id)
    if entry.kind != "answer":
        raise BadInput(f"entry {entry.id} is a {entry.kind}, not an answer", file=ledger.folder)
    if not isinstance(entry.body.get("said"), Mapping):
        raise BadInput(
            f"cannot be replayed: entry {entry.id} was recorded by an older sciai, which kept too little",
            file=ledger.folder,
        )
    if entry.hash != entry.expected_hash():
        raise BadInput(
            f"entry {entry.id} was altered: its content does not give its hash",
            file=ledger.folder,
            fix="sciai ledger verify tells more",
        )
    try:
        ledger.keyring.check(entry.hash.encode(), entry.signature, next(iter(ledger.keyring.keys)))
    except BadSignature as error:
        raise BadInput(
            f"entry {entry.id} was not signed by {ledger.name}: forged",
            file=ledger.folder,
            fix="sciai ledger verify tells more",
        ) from error
    return entry


def _short(hashes: Any) -> str:
    return "; ".join(str(part)[:12] for part in str(hashes or "none").split("; "))
