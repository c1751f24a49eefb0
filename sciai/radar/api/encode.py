"""Encoding a volume: plane by plane, each decoded and compared before the next one builds on it.

Induction makes that a proof for the whole store: a plane decoded with the true planes it depends on is
checked to be the true plane, so the decoder, which starts from nothing, meets true planes all along.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf

import numpy as np

from sciai.core.errors import DamagedStore
from sciai.radar.api import chunk as chunks
from sciai.radar.api.ends import ends_of
from sciai.radar.api.measure import correlation
from sciai.radar.api.needs import Needs, Plane, Task
from sciai.radar.api.planes import CHUNK, PlaneReader, array_of
from sciai.radar.api.plans import Coded, Try, VariablePlan, cost_of, judged, model_key, models_of
from sciai.radar.api.schedule import run_tasks
from sciai.radar.api.source import Source
from sciai.radar.api.stored import StoredSweep
from sciai.radar.api.strong import corrected, side_of, snapped
from sciai.radar.api.views import Planes, PreviousView, View
from sciai.radar.model.interface import F32, U8, Kind, QuantSpec, SweepCodec, SweepContext
from sciai.radar.model.plain import PlainCodec

__all__ = ["Encoder"]


class Encoder:
    """Codes the sweeps of a volume.

    Args:
        source: The volume.
        plans: Variable -> how.
        order: Codec whose order of variables is followed.
        write: Takes a key below the store's root and the bytes of a chunk, and gives the bytes back as
            written; None for a trial that keeps nothing.
        sweeps: Positions of the sweeps to code; all by default.
        previous: Reader of the previous volume's store.
        threads: How many planes are coded at once.
        progress: Called with the part done.
        keep: The `parts` of an earlier pass into the same store that stay, and a reader of it: then only what
            is not among them, the values of `again`, and what was coded with the help of either are coded.
        again: (position of the sweep, variable) of the planes whose plans have changed since.
        finer: Plans of single planes, in place of their variable's.
    """

    def __init__(
        self,
        source: Source,
        plans: Mapping[str, VariablePlan],
        order: SweepCodec,
        write: Callable[[str, bytes], bytes] | None,
        *,
        sweeps: Sequence[int] | None = None,
        previous: PlaneReader | None = None,
        threads: int = 2,
        progress: Callable[[float], None] | None = None,
        keep: tuple[Mapping[Task, Coded], PlaneReader] | None = None,
        again: Collection[Plane] = (),
        finer: Mapping[Plane, VariablePlan] | None = None,
    ) -> None:
        self.source = source
        self.plans = plans
        self.order = order
        self.write = write
        self.positions = list(range(len(source.sweeps)) if sweeps is None else sweeps)
        self.previous = previous
        self.threads = threads
        self.progress = progress
        self._lock = threading.Lock()
        self._plain = PlainCodec()
        self.models = models_of(plans)
        self.finer = dict(finer or {})
        self.codecs_used: dict[str, SweepCodec] = {}
        self._planes: dict[int, Planes] = {}
        self._needs = Needs(source, plans, order, self.positions)
        self.parts: dict[Task, Coded] = {}
        """What became of each plane."""
        self.looked_back = False
        """Whether a plane may have been coded with the help of the previous volume."""
        self._stored: PlaneReader | None = None
        if keep is not None:
            earlier, self._stored = keep
            anew = self._needs.affected(set(again), earlier)
            self.parts = {task: part for task, part in earlier.items() if task not in anew}

    def run(self) -> dict[str, Coded]:
        """Code everything; variable -> what became of it."""
        tasks = [task for task in self._needs.tasks() if task not in self.parts]
        needs = {task: self._needs.of(task) for task in tasks}
        last_use = self._needs.last_uses(tasks, needs)
        left = Counter(task[0] for task in tasks)
        total, count = len(tasks), 0

        def done(task: Task) -> None:
            nonlocal count
            count += 1
            left[task[0]] -= 1
            if not left[task[0]]:
                for at in [a for a, last in last_use.items() if all(left[k] == 0 for k in last)]:
                    self._planes.pop(at, None)
                    del last_use[at]
            if self.progress:
                self.progress(count / total)

        run_tasks(tasks, needs, self._run_task, threads=self.threads, done=done)
        result = {v: Coded() for v in self.source.variables}
        for task in self._needs.tasks():
            result[task[1]].add(self.parts[task])
        return result

    def _plan(self, at: int, var: str) -> VariablePlan:
        return self.finer.get((at, var), self.plans[var])

    def _view(self, codec: SweepCodec, task: Task) -> tuple[View, int | None, bool]:
        """What the codec may look at, the number of the sweep below, whether the previous volume is used."""
        at, var, kind = task
        granted = self._needs.granted(codec, task)

        def those(where: str) -> frozenset[tuple[str, Kind]]:
            return frozenset((o, p) for o, p, w in granted if w == where)

        own: frozenset[tuple[str, Kind]] = frozenset([(var, "mask")] if kind == "values" else [])
        here = those("here") | own
        below_view, number = None, None
        below = self._needs.below(at, var)
        if below is not None and those("below"):
            planes = self._planes_of(below)
            below_view, number = View(planes, those("below")), self.source.sweeps[below].number
        previous = self._previous_view(at, var, those("previous"))
        if previous is not None:
            self.looked_back = True
        return View(self._planes_of(at), here, below_view, previous), number, previous is not None

    def _planes_of(self, at: int) -> Planes:
        with self._lock:
            return self._planes.setdefault(at, Planes(self.source.sweeps[at], self._stored))

    def _previous_view(self, at: int, var: str, allowed: frozenset[tuple[str, Kind]]) -> PreviousView | None:
        if self.previous is None or not allowed:
            return None
        number = self.source.sweeps[at].number
        try:
            found = self.previous.chunk(number, var, "mask")
        except DamagedStore:
            if self.previous.fetch(f"sweep_{number}/{array_of(var, 'mask')}/{CHUNK}") is None:
                return None  # the previous volume has no such field
            raise
        if found.shape != self.source.sweeps[at].shape:
            return None
        stored = StoredSweep(self.previous, number, var, found, near=False)
        return PreviousView(stored, frozenset((v, k) for v, k in allowed if v in stored.variables))

    def _run_task(self, task: Task) -> None:
        if task[2] == "mask":
            self._code_mask(task)
        else:
            self._code_values(task)

    def _code_mask(self, task: Task) -> None:
        at, var, _ = task
        sweep = self.source.sweeps[at]
        planes = self._planes_of(at)
        values, validity = sweep.load(var)
        best: tuple[bytes, SweepCodec] | None = None
        failed = 0
        tried: dict[str, int] = {}
        for codec in dict.fromkeys([*self.plans[var].masks, self._plain]):
            if codec is self._plain and best is not None:
                break  # plain is the way out where nothing planned is exact
            data = self._try_mask(codec, task, validity)
            failed += data is None
            if data is not None:
                tried[codec.name] = len(data)
                if best is None or len(data) < len(best[0]):
                    best = data, codec
        if best is None:
            raise DamagedStore(f"no codec gives back the mask of {var} in {sweep.name} exactly")
        data, codec = best
        planes.masks[var] = validity
        planes.values[var] = values
        self._store(f"{sweep.name}/{array_of(var, 'mask')}", data)
        with self._lock:
            self.parts[task] = Coded(
                mask_bytes=len(data),
                mask_codecs={codec.name: 1},
                repaired=int(failed > 0 and codec is self._plain),
                tried_masks=tried,
            )
            self.codecs_used[codec.name] = codec

    def _try_mask(self, codec: SweepCodec, task: Task, validity: U8) -> bytes | None:
        at, var, _ = task
        sweep = self.source.sweeps[at]
        view, below, previous = self._view(codec, task)
        context: SweepContext = view
        try:
            payload = codec.encode_mask(var, validity, context)
        except OverflowError:
            return None  # so unlike what the codec expects that it would not be smaller than the plane itself
        data = self._pack(codec, task, payload, below, previous, None)
        found = chunks.unpack(data, f"{sweep.name}/{array_of(var, 'mask')}", lambda: self._said(at, var))
        return data if np.array_equal(codec.decode_mask(var, found.payload, context), validity) else None

    def _code_values(self, task: Task) -> None:
        at, var, _ = task
        sweep, plan = self.source.sweeps[at], self._plan(at, var)
        planes = self._planes_of(at)
        fresh = var in planes.values  # its mask was coded in this pass
        values, validity = (planes.values.pop(var), planes.masks[var]) if fresh else sweep.load(var)
        best: Try | None = None
        failed = 0
        tried: dict[str, Try] = {}
        for codec, spec in plan.values:
            result = self._try_values(codec, spec, task, values, validity)
            failed += result is None
            if result is not None:
                tried[codec.name] = result
                if best is None or (
                    len(result.data) < len(best.data) and cost_of(result, plan) < cost_of(best, plan)
                ):
                    best = result
        if best is None:
            best = self._repair(task, values, validity)
        planes.masks[var] = validity
        planes.coded[var] = best.indices, best.spec
        self._store(f"{sweep.name}/{var}", best.data)
        best.tally.pairs = list(correlation(values, validity))
        with self._lock:
            self.parts[task] = Coded(
                tally=best.tally,
                value_bytes=len(best.data),
                codecs={best.codec.name: 1},
                repaired=int(failed > 0 and failed == len(plan.values)),
                steps={best.spec.step},
                newer=best.mended or "values" in best.spec.extra,
                ends=ends_of(values, validity, var, sweep.variable(var)),
                tried={name: len(result.data) for name, result in tried.items()},
            )
            self.codecs_used[best.codec.name] = best.codec

    def _try_values(
        self, codec: SweepCodec, spec: QuantSpec, task: Task, values: F32, validity: U8
    ) -> Try | None:
        """Code, decode, compare; None where it cannot, the indices differ or the error exceeds the bound."""
        at, var, _ = task
        sweep, plan = self.source.sweeps[at], self._plan(at, var)
        view, below, previous = self._view(codec, task)
        try:
            strong = plan.target.strong or inf
            near = snapped(values, validity, spec, strong) if strong < inf else values
            payload, indices = codec.encode_values(var, near, validity, spec, view)
        except OverflowError:
            return None  # the quantiser was planned on other sweeps and does not reach this one's values
        data = self._pack(codec, task, payload, below, previous, spec)
        found = chunks.unpack(data, f"{sweep.name}/{var}", lambda: self._said(at, var))
        stored = found.spec or spec
        decoded = codec.decode_indices(var, found.payload, validity, stored, view)
        if not np.array_equal(decoded, indices):
            return None
        back = codec.reconstruct(var, decoded, validity, stored, view)
        side = b""
        if strong < inf:
            side = side_of(values, back, validity, strong, compiled=not isinstance(codec, PlainCodec))
        if side:
            data = self._pack(codec, task, payload, below, previous, spec, side)
            found = chunks.unpack(data, f"{sweep.name}/{var}", lambda: self._said(at, var))
            back = corrected(back, validity, found.side)
        tally = judged(values, back, validity, plan)
        return None if tally is None else Try(data, codec, stored, decoded, tally, bool(side))

    def _repair(self, task: Task, values: F32, validity: U8) -> Try:
        """A quantiser for this plane alone, then every bit of it."""
        plan = self._plan(*task[:2])
        target = plan.target
        own = self._plain.plan(
            task[1],
            [(values, validity)],
            psnr=target.psnr,
            max_error=target.bound_of_strong if target.bound_of_strong < inf else None,
            lossless=target.lossless,
            peak=plan.peak,
            period=plan.period,
            packings=plan.packings,
        )
        for spec in (own, QuantSpec(0.0, 0.0, bound=0.0)):
            result = self._try_values(self._plain, spec, task, values, validity)
            if result is not None:
                return result
        raise DamagedStore(
            f"no codec gives back {task[1]} in {self.source.sweeps[task[0]].name} within its bound"
        )

    def _pack(
        self,
        codec: SweepCodec,
        task: Task,
        payload: bytes,
        below: int | None,
        previous: bool,
        spec: QuantSpec | None,
        side: bytes = b"",
    ) -> bytes:
        at, var, kind = task
        sweep = self.source.sweeps[at]
        chunk = chunks.Chunk(
            codec=codec.name,
            kind=kind,
            shape=sweep.shape,
            full_circle=sweep.full_circle,
            names=chunks.names_hash(sweep.fields),
            payload=payload,
            below=below,
            previous=previous,
            model=model_key(codec),
            spec=spec,
            side=side,
        )
        return chunks.pack(chunk, f"{sweep.name}/{array_of(var, kind)}", self._said(at, var))

    def _said(self, at: int, var: str) -> chunks.Said:
        sweep = self.source.sweeps[at]
        specs = {codec.name: spec for codec, spec in self.plans[var].values}
        return chunks.Said(sweep.shape, chunks.names_hash(sweep.fields), self.models, specs)

    def _store(self, place: str, data: bytes) -> None:
        if self.write is not None and self.write(f"{place}/{CHUNK}", data) != data:
            raise DamagedStore(f"what was read back of {place} is not what was written: the disk is failing")
