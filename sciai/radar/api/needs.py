"""Which planes a plane may be coded with the help of, and so which have to be coded before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf

from sciai.radar.api.plans import VariablePlan
from sciai.radar.api.source import Source
from sciai.radar.model.interface import Dependency, Kind, SweepCodec
from sciai.radar.model.plain import PlainCodec

__all__ = ["Needs", "Plane", "Task"]

Plane = tuple[int, str]  # position of the sweep, variable
Task = tuple[int, str, Kind]


class Needs:
    """The planes of a volume, in the order of coding, and what each needs.

    Args:
        source: The volume.
        plans: Variable -> how.
        order: Codec whose order of variables is followed.
        positions: Of the sweeps that are coded.
    """

    def __init__(
        self,
        source: Source,
        plans: Mapping[str, VariablePlan],
        order: SweepCodec,
        positions: Sequence[int],
    ) -> None:
        self.source = source
        self.plans = plans
        self.order = order
        self.positions = positions
        self._plain = PlainCodec()
        self._positions_below: dict[Plane, int | None] = {}
        self._grants: dict[tuple[str, Task], list[Dependency]] = {}

    def tasks(self) -> list[Task]:
        """All planes, in the order of coding."""
        tasks: list[Task] = []
        for at in self.positions:
            names = self._names(at)
            tasks += [(at, v, "mask") for v in names]
            tasks += [(at, v, "values") for v in names]
        return tasks

    def affected(self, again: set[Plane], earlier: Collection[Task]) -> set[Task]:
        """What is not there yet, values of the planes `again`, and what was coded with the help of either."""
        found: set[Task] = set()
        for task in self.tasks():
            new = task not in earlier or (task[2] == "values" and task[:2] in again)
            if new or not found.isdisjoint(self.of(task)):
                found.add(task)
        return found

    def _names(self, at: int) -> list[str]:
        return self.order.order(self.source.sweeps[at].fields)

    def below(self, at: int, var: str) -> int | None:
        """Position of the sweep below, among those that are coded."""
        key = at, var
        if key not in self._positions_below:
            sweep = self.source.below(self.source.sweeps[at], var)
            position = None if sweep is None else self.source.sweeps.index(sweep)
            self._positions_below[key] = position if position in self.positions else None
        return self._positions_below[key]

    def of(self, task: Task) -> set[Task]:
        """Planes that have to be coded before this one."""
        at, var, kind = task
        needs: set[Task] = {(at, var, "mask")} if kind == "values" else set()
        below = self.below(at, var)
        for codec in self._candidates(var, kind):
            for other, plane, where in self.granted(codec, task):
                if where == "here":
                    needs.add((at, other, plane))
                elif where == "below" and below is not None:
                    needs.add((below, other, plane))
        return needs

    def last_uses(self, tasks: Sequence[Task], needs: Mapping[Task, set[Task]]) -> dict[int, set[int]]:
        """Sweep -> sweeps after which its planes are not looked at any more."""
        uses: dict[int, set[int]] = {at: {at} for at in self.positions}
        for task in tasks:
            for need in needs[task]:
                uses[need[0]].add(task[0])
        return uses

    def _candidates(self, var: str, kind: Kind) -> list[SweepCodec]:
        plan = self.plans[var]
        chosen = list(plan.masks) if kind == "mask" else [codec for codec, _ in plan.values]
        return [*chosen, self._plain]

    def granted(self, codec: SweepCodec, task: Task) -> list[Dependency]:
        """What a codec declares, less what is coded later (the codec that sets the order has it all)."""
        if (codec.name, task) in self._grants:
            return self._grants[codec.name, task]
        at, var, kind = task
        names = self._names(at)
        rank = {(v, "mask"): k for k, v in enumerate(names)}
        rank |= {(v, "values"): k + len(names) for k, v in enumerate(names)}
        below = self.below(at, var)
        fields_below = self.source.sweeps[below].fields if below is not None else ()
        granted: list[Dependency] = []
        for other, plane, where in codec.depends(var, kind, self.source.sweeps[at].fields):
            earlier = where == "here" and rank.get((other, plane), inf) < rank[var, kind]
            if earlier or where == "previous" or (where == "below" and other in fields_below):
                granted.append((other, plane, where))
        self._grants[codec.name, task] = granted
        return granted
