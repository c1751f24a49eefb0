"""Answers that were refused or doubted go to a human; what the human decided is kept, and how often they
overrule.

A queue is one SQLite file, safe with several processes. A case holds what somebody needs to decide without
the
program: the question, the answer with the estimate that was withheld, the reasons, where it came from, and
what would settle it. Where a ledger is given, cases and decisions are recorded there too (personal questions
as digests).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from sciai.core.answer import Answer, Level, jsonable
from sciai.core.errors import BadInput, DamagedStore, SciaiError
from sciai.trust.ledger import Ledger
from sciai.trust.score import wilson

__all__ = ["Case", "Queue", "Rates"]

Decision = Literal["uphold", "override"]

_SCHEMA = """
create table if not exists cases (
  id integer primary key autoincrement, time text not null, domain text not null, level text not null,
  question text not null, answer text not null, needs text not null,
  decided text, by text, decision text, reason text
) strict
"""


@dataclass(frozen=True)
class Case:
    """One referred answer.

    Attributes:
        id: number of the case.
        time: when it was referred, UTC.
        domain: whose answer.
        level: "refuse" or "caution".
        question: what was asked, plain JSON types.
        answer: ``Answer.to_dict(show_refused=True)``: a reviewer sees the estimate that users do not.
        needs: what would settle it, in sentences.
        decision: "uphold" (the verdict stands), "override" (the answer may be used after all), None while
        open. by, reason, decided: who decided, why, when.
    """

    id: int
    time: str
    domain: str
    level: str
    question: Any
    answer: Mapping[str, Any]
    needs: tuple[str, ...]
    decision: Decision | None
    by: str
    reason: str
    decided: str


@dataclass(frozen=True)
class Rates:
    """How the queue is used.

    Attributes:
        open: cases that wait.
        decided: cases that were decided.
        overridden: of those, how many verdicts were overruled.
        override_rate: share overruled; NaN when none was decided.
        low, high: its 95 % Wilson interval. Near 0 with hasty decisions people may only nod (over-reliance);
            near 1 the check is wrong more often than right.
    """

    open: int
    decided: int
    overridden: int
    override_rate: float
    low: float
    high: float


class Queue:
    """Cases that wait for a human.

    >>> import tempfile
    >>> from sciai.core.answer import Estimate, Finding, Provenance
    >>> queue = Queue(tempfile.mkdtemp() + "/queue.db")
    >>> doubt = Finding("support", Level.REFUSE, "far from what was learned")
    >>> answer = Answer(Estimate(1.0, 0.1), (doubt,), Provenance("ruler", version="1"))
    >>> case = queue.refer("tutorial", {"x": 9}, answer, ["a measurement at x = 9"])
    >>> queue.decide(case.id, "uphold", by="Ada", reason="nobody ever measured there").decision
    'uphold'
    >>> queue.rates().override_rate
    0.0
    """

    def __init__(self, path: str | os.PathLike[str], ledger: Ledger | None = None) -> None:
        """Open a queue; it is made where there is none.

        Args:
            path: the SQLite file.
            ledger: where cases and decisions are recorded as well.

        Raises:
            DamagedStore: where the file is no queue.
        """
        self.path, self.ledger = Path(path), ledger
        fresh = not self.path.exists()
        with self._connection() as connection:
            connection.execute(_SCHEMA)
        if fresh:
            self.path.chmod(0o600)  # cases of people are in it, in the clear

    def refer(
        self,
        domain: str,
        question: Any,
        answer: Answer[Any],
        needs: list[str] | tuple[str, ...] = (),
        *,
        personal: bool = False,
    ) -> Case:
        """Hand an answer to a human.

        Args:
            domain: whose answer.
            question: what was asked; anything ``jsonable`` takes.
            answer: refused or cautioned.
            needs: what would settle it (a repeat measurement, a reference calculation ...).
            personal: keep a question about a person out of the ledger, which then gets a salted digest of it.

        Raises:
            BadInput: where the answer needs no referral.
        """
        if answer.level < Level.CAUTION:
            raise BadInput("the answer stands; there is nothing to refer")
        record = answer.to_dict(show_refused=True)
        row = (
            _now(), domain, answer.level.name.lower(), json.dumps(jsonable(question, 10**6)),
            json.dumps(record), json.dumps(list(needs)),
        )  # fmt: skip
        with self._connection() as connection:
            cursor = connection.execute(
                "insert into cases (time, domain, level, question, answer, needs) values (?, ?, ?, ?, ?, ?)",
                row,
            )
            number = int(cursor.lastrowid or 0)
            if self.ledger is not None:  # in the transaction: what the ledger did not take is not referred
                told = json.loads(row[3])
                shown = self.ledger.hide(told) if personal else told
                findings = [finding["check"] for finding in record["findings"]]
                entry = {"case": number, "domain": domain, "question": shown, "checks": findings}
                self.ledger.append("referral", entry)
        return self.case(number)

    def decide(self, id: int, decision: Decision, *, by: str, reason: str) -> Case:
        """Record what a human decided; once, and never silently changed.

        Args:
            id: number of the case.
            decision: "uphold" or "override".
            by: who decides.
            reason: why; an override without a reason is not taken.

        Raises:
            BadInput: no such case, decided already, another decision, or no name or reason.
        """
        if decision not in get_args(Decision):
            raise BadInput(f"no decision {decision!r}", fix="choose uphold or override")
        if not by.strip() or not reason.strip():
            raise BadInput("a decision needs a name and a reason", field="by, reason")
        with self._connection() as connection:
            changed = connection.execute(
                "update cases set decision = ?, by = ?, reason = ?, decided = ? "
                "where id = ? and decision is null",
                (decision, by, reason, _now(), id),
            ).rowcount
            if changed and self.ledger is not None:  # as above: else it could never be recorded any more
                entry = {"case": id, "decision": decision, "by": by, "reason": reason}
                self.ledger.append("decision", entry)
        case = self.case(id)
        if not changed:
            raise BadInput(
                f"case {id} was decided by {case.by} on {case.decided}: {case.decision}",
                fix="refer the answer again if it has to be looked at once more",
            )
        return case

    def case(self, id: int) -> Case:
        """The case with this number.

        Raises:
            BadInput: where there is none.
        """
        with self._connection() as connection:
            row = connection.execute("select * from cases where id = ?", (id,)).fetchone()
        if row is None:
            raise BadInput(f"no case {id}", file=self.path)
        return _case(row)

    def cases(self, *, open_only: bool = False) -> list[Case]:
        """All cases, oldest first."""
        where = "where decision is null" if open_only else ""
        with self._connection() as connection:
            return [_case(row) for row in connection.execute(f"select * from cases {where} order by id")]

    def rates(self) -> Rates:
        """How many wait, and how often verdicts are overruled."""
        cases = self.cases()
        decided = [case for case in cases if case.decision]
        overridden = sum(case.decision == "override" for case in decided)
        rate = overridden / len(decided) if decided else float("nan")
        low, high = wilson(overridden, len(decided)) if decided else (0.0, 1.0)
        return Rates(len(cases) - len(decided), len(decided), overridden, rate, low, high)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=30)
        except sqlite3.Error as error:
            raise BadInput(f"cannot open the queue: {error}", file=self.path) from error
        connection.row_factory = sqlite3.Row
        try:
            with connection:
                yield connection
        except sqlite3.OperationalError as error:  # a full disk, a lock that nobody frees, a read-only file
            raise SciaiError(f"{self.path}: {error}; the queue is as it was before") from error
        except sqlite3.DatabaseError as error:
            raise DamagedStore(f"{self.path} cannot be used as a queue: {error}") from error
        finally:
            connection.close()


def _case(row: sqlite3.Row) -> Case:
    return Case(
        id=row["id"],
        time=row["time"],
        domain=row["domain"],
        level=row["level"],
        question=json.loads(row["question"]),
        answer=json.loads(row["answer"]),
        needs=tuple(json.loads(row["needs"])),
        decision=row["decision"],
        by=row["by"] or "",
        reason=row["reason"] or "",
        decided=row["decided"] or "",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
