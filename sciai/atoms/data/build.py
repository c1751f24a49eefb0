"""Builds a store of labelled structures: many jobs side by side, one teacher, whole shards on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sciai.atoms.data.generate import Job, Plan, job
from sciai.atoms.data.records import Record
from sciai.atoms.data.store import Store, StoreWriter
from sciai.atoms.data.teachers import Teacher
from sciai.core.errors import BadInput

__all__ = ["Progress", "build"]


@dataclass(frozen=True)
class Progress:
    """Where a build stands.

    Attributes:
        records: records in the store and waiting for the next shard.
        jobs: jobs done, earlier runs included.
        asked: structures that the teacher was asked for in this run.
        seconds: time since this run began.
    """

    records: int
    jobs: int
    asked: int
    seconds: float


def build(
    folder: str | os.PathLike[str],
    teacher: Teacher,
    plan: Plan,
    *,
    structures: int,
    seed: int = 0,
    minutes: float | None = None,
    shard: int = 300,
    together: int = 32,
    report: Callable[[Progress], Any] = lambda progress: None,
) -> Store:
    """Generate structures, have them labelled, and write them; called again it goes on where it was killed.

    Args:
        folder: the store.
        teacher: labels them.
        plan: what to generate.
        structures: stop when the store holds so many.
        seed: seed of all jobs; the same seed, plan and teacher give the same store, up to the
            rounding of a teacher whose batches differ.
        minutes: stop after this time.
        shard: records per shard, at least; a shard ends with a round of jobs.
        together: jobs side by side, which is what the teacher's batches are filled from.
        report: called after each round of jobs.

    Raises:
        BadInput: when the folder holds a store of another seed, plan or teacher, or nothing can be made.
    """
    shares = ", ".join(f"{name} {share:g}" for name, share in sorted(plan.shares.items()))
    note = (
        f"{teacher.source}; seed {seed}; {shares}; at most {plan.largest} atoms; {len(plan.around)} own; "
        f"rounds of {together}"
    )
    start, asked, idle = time.monotonic(), 0, 0
    with StoreWriter(folder, shard=shard, note=note) as out:
        waiting = 0
        while out.written + waiting < structures:
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                break
            first = out.reached
            kept, count = run_jobs([job(first + k, seed, plan) for k in range(together)], teacher)
            asked += count
            idle = 0 if kept else idle + 1
            if idle == 20:
                raise BadInput(
                    f"{20 * together} jobs gave no structure", field="plan",
                    fix="check the families, the elements that the teacher knows, and your own structures",
                )  # fmt: skip
            before = out.written
            out.add(kept, first + together)
            waiting = 0 if out.written > before else waiting + len(kept)
            report(Progress(out.written + waiting, out.reached, asked, time.monotonic() - start))
    return Store(folder)


def run_jobs(jobs: list[Job], teacher: Teacher) -> tuple[list[Record], int]:
    """Run jobs side by side: one structure of each goes to the teacher at a time.

    Returns:
        What the jobs kept, in their order, and how many structures were labelled.
    """
    results: dict[int, list[Record]] = {}
    wanted: dict[int, Record] = {}
    asked = 0

    def advance(k: int, answer: Record | None, begin: bool = False) -> None:
        try:
            wanted[k] = next(jobs[k]) if begin else jobs[k].send(answer)
        except StopIteration as end:
            results[k] = end.value
        except BadInput:
            results[k] = []  # an invented structure that is none (atoms on one spot): the next one will do

    for k in range(len(jobs)):
        advance(k, None, begin=True)
    while wanted:
        # of much the same size together: batches fill evenly
        order = sorted(wanted, key=lambda k: (len(wanted[k]), k))
        answers = teacher.label([wanted[k] for k in order])
        asked += len(order)
        wanted = {}
        for k, answer in zip(order, answers, strict=True):
            advance(k, answer)
    return [record for k in sorted(results) for record in results[k]], asked
