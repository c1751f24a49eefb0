"""Runs tasks that need one another's results on a few threads, earliest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["run_tasks"]

K = TypeVar("K", bound=Hashable)


def run_tasks(
    tasks: Sequence[K],
    needs: Mapping[K, set[K]],
    run: Callable[[K], None],
    *,
    threads: int,
    done: Callable[[K], None] | None = None,
) -> None:
    """Run every task after those it needs; of the ready ones the first in `tasks` goes first.

    That order bounds memory: work on later sweeps begins only while earlier ones leave a thread idle.

    Args:
        tasks: All tasks, in an order in which they could run one by one.
        needs: Task -> tasks it waits for.
        run: Does one task; called on a thread.
        threads: How many at once.
        done: Called on the calling thread after each task.

    Raises:
        BaseException: the first failure; no further task starts, and those under way are waited for.

    Example:
        >>> order = []
        >>> run_tasks(["a", "b", "c"], {"b": {"c"}}, order.append, threads=1)
        >>> order
        ['a', 'c', 'b']
    """
    rank = {task: k for k, task in enumerate(tasks)}
    waiting = {task: {n for n in needs.get(task, ()) if n in rank} for task in tasks}
    users: dict[K, list[K]] = {}
    for task, open_needs in waiting.items():
        for need in open_needs:
            users.setdefault(need, []).append(task)
    ready = [rank[task] for task, open_needs in waiting.items() if not open_needs]
    heapq.heapify(ready)
    running: dict[Future[None], K] = {}
    left = len(tasks)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while left:
                # one more than there are threads: the next is there when one of them is done
                while ready and len(running) < threads + (threads > 1):
                    task = tasks[heapq.heappop(ready)]
                    running[pool.submit(run, task)] = task
                if not running:
                    raise RuntimeError("tasks need one another in a circle")
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    task = running.pop(future)
                    future.result()
                    left -= 1
                    if done:
                        done(task)
                    for user in users.get(task, ()):
                        waiting[user].discard(task)
                        if not waiting[user]:
                            heapq.heappush(ready, rank[user])
        except BaseException:
            for future in running:
                future.cancel()
            raise
