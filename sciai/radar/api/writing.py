"""`compress`: a volume into a store whose error is measured on what was written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from sciai.core.answer import Answer, Estimate, Level, Provenance, ask
from sciai.core.atomic import terminable
from sciai.radar import checks
from sciai.radar.api import choosing
from sciai.radar.api.atomic import FolderWriter, check_target, new_folder
from sciai.radar.api.encode import Encoder
from sciai.radar.api.figures import compressed, variable_report, with_record
from sciai.radar.api.guards import concerning_previous, infinite_once_loaded
from sciai.radar.api.mend import finer_planes, missing
from sciai.radar.api.needs import Plane, Task
from sciai.radar.api.planes import PlaneReader
from sciai.radar.api.planning import Planner
from sciai.radar.api.plans import Coded, Target, VariablePlan, model_key
from sciai.radar.api.record import asked, stages
from sciai.radar.api.report import Compressed
from sciai.radar.api.source import Source, open_source
from sciai.radar.api.store import write_metadata, write_models, write_quantisers, write_record
from sciai.radar.api.strong import STRONG_BOUND
from sciai.radar.api.targets import PerVariable, codecs_of, previous_of, targets_of
from sciai.radar.data.arguments import flag_of, function_of, path_of, whole_number
from sciai.radar.data.memory import hand_back
from sciai.radar.model.interface import SweepCodec

__all__ = ["compress"]

_ATTEMPTS = 7
_IN_PART = 2  # of them may code a few planes only

Volume = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | xr.DataTree


def compress(
    volume: Volume,
    store: str | os.PathLike[str],
    *,
    psnr: PerVariable = None,
    max_error: PerVariable = None,
    lossless: bool | Collection[str] = False,
    strong_echo: float | None = STRONG_BOUND,
    previous: str | os.PathLike[str] | None = None,
    codec: str | os.PathLike[str] | SweepCodec = "auto",
    effort: str = "best",
    overwrite: bool = False,
    embed_model: bool | None = None,
    threads: int = 2,
    progress: Callable[[float, str], None] | None = None,
) -> Answer[Compressed]:
    """Compress a radar volume into a Zarr store with a guaranteed quality.

    What was written is decoded and measured; a plane that misses its bound is coded again, in the end bit for
    bit. The mask (valid, below noise, missing) is always exact. The store is written atomically.

    Args:
        volume: Path or paths that `open_volume` reads, or a tree.
        store: Folder to write, usually ``something.zarr``.
        psnr: Least PSNR in dB of every variable, or of those named (the others keep 35, or have what stands
            under ``""``). Peaks are those of `sciai.radar.data.names.PSNR_PEAK`; default 35.
        max_error: Largest absolute error, in the variable's unit, of every variable or of those named; holds
            together with the PSNR.
        lossless: Every valid value comes back bit for bit; or the names of the variables for which it does.
            Categories (flags, classes; see `sciai.radar.data.categories`) always do, unless `psnr` or
            `max_error` names them.
        strong_echo: Largest error in dB of strong echo, in every variable in dBZ: of each gate that has 45
            dBZ or more before or after and, in a sweep that stays below, of its strongest echo. None leaves
            it to the other promises.
        previous: Store of the volume before this one. It saves bits; reading this store will need that one
            (unless nothing of it was of use: the answer's `previous` is None then).
        codec: ``auto`` takes for each variable what measures smallest; or ``context``, ``transform``,
            ``plain``, ``quick``, a codec object, or the path of a checkpoint that ``sciai train radar`` wrote
            (a ``Path``: a text is a name).
        effort: ``best`` takes the time that the smallest store needs; ``fast`` leaves networks out (codec
            ``quick``): some 60 % of the time, some 5 % more bits, the same promises, all of it decoded and
            measured too.
        overwrite: Replace an existing store.
        embed_model: Put the learned model inside the store: always, never, or (None) where it costs at most 2
            %.
        threads: Planes coded at once.
        progress: Called with the part done and what is being done.

    Returns:
        Answer with `Compressed`; its spread is the measured largest error of each variable, in its unit.
        Its findings also say what of the volume is better put right first: fill values and codes for no echo
        left among the values, values that cannot be, a volume that was decoded from a lossy store.
        Nothing is written where the answer refuses.

    Raises:
        BadInput: volume, targets or output cannot be used.
        DamagedStore, CheckpointError: the previous store or a model is unusable.

    Example:
        >>> import tempfile, numpy as np, xarray as xr
        >>> from sciai.radar import compress
        >>> ramp = np.linspace(0, 40, 36 * 50, dtype=np.float32).reshape(36, 50)
        >>> dbz = xr.DataArray(ramp, dims=("azimuth", "range"))
        >>> tree = xr.DataTree.from_dict({"/sweep_0": xr.Dataset({"DBZH": dbz})})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     answer = compress(tree, f"{folder}/out.zarr", codec="plain")
        ...     back = xr.open_datatree(f"{folder}/out.zarr", engine="zarr")
        ...     error = float(abs(back["sweep_0/DBZH"] - dbz).max())
        >>> answer.estimate.value.variables["DBZH"].psnr >= 35, error <= answer.estimate.spread["DBZH"]
        (True, True)
    """
    started = time.perf_counter()
    target_path = path_of(store, "store", "out.zarr")
    threads = whole_number(threads, "threads", 1, 2)
    flag_of(False if embed_model is None else embed_model, "embed_model")
    check_target(target_path, overwrite=flag_of(overwrite, "overwrite"))
    say = function_of(progress, "progress", "(part done, what)") or (lambda part, what: None)
    say(-1.0, "reading")
    source = open_source(volume)
    targets = targets_of(source, psnr, max_error, lossless, strong_echo)
    codecs = codecs_of(codec, effort)
    before = previous_of(previous, target_path)
    options: dict[str, Any] = {
        "psnr": psnr,
        "max_error": max_error,
        "lossless": lossless,
        "strong_echo": strong_echo,
        "previous": previous,
    }
    options |= {"codec": codec, "effort": effort, "embed_model": embed_model}
    question = asked("compress", volume, source, options)
    job = _Job(
        source,
        targets,
        codecs,
        before,
        target_path,
        embed_model,
        threads,
        say,
        started,
    )
    with terminable():
        try:
            with new_folder(target_path, overwrite=overwrite) as writer:
                answer = ask(
                    source,
                    lambda _: job.run(writer),
                    before=(*checks.BEFORE, concerning_previous(before), stages(codecs)),
                    after=(infinite_once_loaded, *checks.AFTER),
                    policy=checks.policy(),
                    provenance=job.provenance,
                    told=question,
                    govern=checks.govern,
                )
                if answer.level >= Level.REFUSE:
                    raise _Discard(answer)
        except _Discard as refused:
            return refused.answer
    return answer


class _Discard(Exception):
    def __init__(self, answer: Answer[Compressed]) -> None:
        self.answer = answer


@dataclass
class _Job:
    source: Source
    targets: Mapping[str, Target]
    codecs: list[SweepCodec]
    previous: PlaneReader | None
    path: Path
    embed: bool | None
    threads: int
    say: Callable[[float, str], None]
    started: float
    models: Mapping[str, str] | None = None

    @cached_property
    def planner(self) -> Planner:
        return Planner(self.source, self.targets, self.codecs)

    def provenance(self) -> Provenance:
        # hashes of the checkpoints, which have cards; of the model alone where it came out of a store
        known = {c.name: getattr(c, "checkpoint", "") for c in self.codecs}
        hashes = [known.get(name) or digest for name, digest in sorted((self.models or {}).items())]
        return Provenance(
            model="radar " + "+".join(c.name for c in self.codecs),
            checkpoint="; ".join(hashes),
            calibration="measured on this volume, decoded from the written store",
        )

    def run(self, writer: FolderWriter) -> Estimate[Compressed]:
        self.say(-1.0, "planning")
        with ThreadPoolExecutor(self.threads) as pool:
            # metadata come first: what they cannot hold is found before the work, and planes kept from a
            # first pass are read with their help
            described = pool.submit(write_metadata, self.source, writer)
            found = pool.map(self.planner.plan, self.source.variables)
            plans = dict(zip(self.source.variables, found, strict=True))
        plans = self.planner.share_steps(plans)
        hand_back()
        metadata, coordinates = described.result()
        trial: dict[str, Coded] = {}
        used: dict[str, SweepCodec] = {}
        parts: dict[Task, Coded] = {}
        if len(self.codecs) > 1:
            comparing = self._comparing(plans, self._writing(writer))
            trial, used, tried = comparing.run(), dict(comparing.codecs_used), plans
            plans = self._choose(plans, trial)
            parts = choosing.staying(self.source, comparing.parts, tried, plans)
            hand_back()
        write_quantisers(writer, plans)
        kept = (parts, self._reader(writer, used)) if parts else None
        encoder = self._encoder(plans, self._writing(writer), "encoding", keep=kept)
        coded = encoder.run()
        used |= encoder.codecs_used
        looked_back = encoder.looked_back or (bool(parts) and comparing.looked_back)
        finer: dict[Plane, VariablePlan] = {}
        for attempt in range(_ATTEMPTS):
            short = missing(coded, plans, self.targets)
            if not short:
                break
            before, plans = plans, dict(plans)
            # the planned step was a little too wide for the whole volume: a few planes get a narrower one
            more: dict[Plane, VariablePlan] = {}
            for var, gap in short.items():
                few = finer_planes(self.source, var, self.targets[var], before, encoder.parts, finer)
                if few and attempt < _IN_PART:
                    more |= few
                else:  # aim higher, at last for every bit
                    plans[var] = self.planner.aim_higher(
                        plans[var], var, gap * (1.2 + max(0, attempt - _IN_PART)), _ATTEMPTS - 1 - attempt
                    )
            plans = self.planner.share_steps(plans)
            changed = {v for v in plans if plans[v] != before[v]}
            finer = {at: plan for at, plan in {**finer, **more}.items() if at[1] not in changed}
            again = {(at, v) for at, s in enumerate(self.source.sweeps) for v in s.fields if v in changed}
            write_quantisers(writer, plans)
            encoder = self._encoder(
                plans,
                self._writing(writer),
                "encoding again",
                keep=(encoder.parts, self._reader(writer, used)),
                again=again | set(more),
                finer=finer,
            )
            coded = encoder.run()
            used |= encoder.codecs_used
            looked_back |= encoder.looked_back
        metadata += write_quantisers(writer, plans, coded)
        fields = sum(c.value_bytes + c.mask_bytes for c in coded.values())
        inside, self.models = write_models(_in_use(used, coded), writer, fields, self.embed)
        variables = {
            v: variable_report(v, self.targets[v], coded[v], plans[v], trial.get(v))
            for v in self.source.variables
        }
        sizes = metadata, coordinates, inside
        needed = self.previous if looked_back else None
        value = compressed(self.source, self.path, needed, variables, coded, sizes, self.models or {})
        content: dict[str, Any] = {"variables": value.record(), "interval_s": round(value.interval_s, 3)}
        if self.models:
            content["models"] = dict(self.models)
        if value.previous is not None and needed is not None:
            content["previous"] = {"path": value.previous, "hash": needed.identity()}
        record = write_record(writer, content, newer=any(c.newer for c in coded.values()))
        value = with_record(value, record, time.perf_counter() - self.started)
        return Estimate(value, {v: r.max_error for v, r in variables.items()})

    def _encoder(
        self,
        plans: Mapping[str, VariablePlan],
        write: Callable[[str, bytes], bytes] | None,
        what: str,
        sweeps: Sequence[int] | None = None,
        **more: Any,
    ) -> Encoder:
        return Encoder(
            self.source,
            plans,
            self.codecs[0],
            write,
            sweeps=sweeps,
            previous=self.previous,
            threads=self.threads,
            progress=lambda part: self.say(part, what),
            **more,
        )

    @staticmethod
    def _writing(writer: FolderWriter) -> Callable[[str, bytes], bytes]:
        def write(key: str, data: bytes) -> bytes:
            writer.write(key, data)
            return writer.read(key)

        return write

    def _reader(self, writer: FolderWriter, used: Mapping[str, SweepCodec]) -> PlaneReader:
        """A reader of what is written so far."""
        known = {(c.name, model_key(c)): c for c in used.values()}
        return PlaneReader.of_folder(writer.folder, known, self.previous)

    def _comparing(self, plans: Mapping[str, VariablePlan], write: Callable[[str, bytes], bytes]) -> Encoder:
        """Codes a few sweeps with every codec."""
        return self._encoder(plans, write, "comparing codecs", choosing.trial_sweeps(self.source))

    def _choose(
        self, plans: Mapping[str, VariablePlan], trial: Mapping[str, Coded]
    ) -> dict[str, VariablePlan]:
        """Keep, for each variable, what took the fewest bytes in a trial."""
        at = choosing.trial_sweeps(self.source)
        chosen = {}
        for var, plan in plans.items():
            sizes, masks = trial[var].tried, trial[var].tried_masks
            candidates = [codec for codec, _ in plan.values]
            last = choosing.costly(self.codecs, var, plan, trial[var])
            if last is not None:
                reached = trial[var].tally
                size = choosing.size_at_equal_error(last, var, self.source, at, plan, reached, self.threads)
                if size is not None:
                    sizes[last.name] = size
                    candidates.append(last)
            weighed = [choosing.handicapped(sizes.get(c.name), c) for c in candidates]
            how = var, plan.target, plan.peak, plan.period, plan.packings
            planned = {c.name: spec for c, spec in plan.values}
            values = tuple(
                (c, planned[c.name] if c.name in planned else self.planner.spec(c, *how))
                for c in choosing.worth_trying(candidates, weighed)
            )
            few = choosing.worth_trying(plan.masks, [masks.get(c.name) for c in plan.masks])
            chosen[var] = replace(plan, values=values, masks=tuple(few))
        return chosen


def _in_use(codecs: Mapping[str, SweepCodec], coded: Mapping[str, Coded]) -> dict[str, SweepCodec]:
    """Codecs that a chunk of the final store was written by; a first pass may have used others."""
    names = {n for c in coded.values() for n in (*c.codecs, *c.mask_codecs)}
    return {name: codec for name, codec in codecs.items() if name in names}
