"""Which codecs a variable is coded with: those that measure smallest on a few of its sweeps.

The transform codec needs torch and is slow, and it was ahead on smooth fields only. So it is asked only about
those, after the others and without torch: what would it take for the same planes at the error that they came
out with?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, cast

from sciai.radar.api.measure import Tally
from sciai.radar.api.needs import Task
from sciai.radar.api.plans import Coded, VariablePlan
from sciai.radar.api.source import Planned, Source
from sciai.radar.data.names import family
from sciai.radar.model.interface import SweepCodec

if TYPE_CHECKING:
    from sciai.radar.model.transform import TransformCodec

__all__ = [
    "cheap",
    "costly",
    "for_masks",
    "handicapped",
    "size_at_equal_error",
    "staying",
    "trial_sweeps",
    "worth_trying",
]

_SMOOTH: Final = frozenset({"VRADH"})  # families for which the transform codec was ever measured ahead
_ROUGH: Final = 0.25  # roughness beyond which it was 14 % behind at least (50 real volumes: ahead up to 0.15)
_NEAR: Final = 1.08  # sweeps differ: what takes up to so much more than the best may be it for some


def cheap(codecs: Sequence[SweepCodec]) -> list[SweepCodec]:
    """The codecs that are compared on every variable: all but the transform codec, where there are others."""
    return [c for c in codecs if len(codecs) == 1 or c.name != "transform"]


def for_masks(codecs: Sequence[SweepCodec]) -> tuple[SweepCodec, ...]:
    """The codecs that are compared on masks: the plain one saved 30 bytes of 808 kB (46 real volumes)."""
    return tuple(c for c in codecs if len(codecs) == 1 or c.name != "plain")


def costly(codecs: Sequence[SweepCodec], var: str, plan: VariablePlan, trial: Coded) -> TransformCodec | None:
    """The transform codec, where it may be ahead on a variable after what a trial of the others has shown."""
    known = cast("TransformCodec | None", next((c for c in codecs if c not in cheap(codecs)), None))
    rough = trial.tally.roughness() or 0.0
    possible = family(var) in _SMOOTH and rough <= _ROUGH and not plan.target.lossless
    return known if possible and trial.value_bytes and isfinite(trial.tally.psnr(plan.peak)) else None


def trial_sweeps(source: Source) -> list[int]:
    """Positions of sweeps to compare codecs on: one low and one high, and such of variables in neither."""
    chosen = _low_and_high(range(len(source.sweeps)))
    for var in source.variables:
        having = [at for at, sweep in enumerate(source.sweeps) if var in sweep.fields]
        if chosen.isdisjoint(having):
            chosen |= _low_and_high(having)
    return sorted(chosen)


def _low_and_high(positions: Sequence[int]) -> set[int]:
    return {positions[len(positions) // 4], positions[3 * len(positions) // 4]}


def size_at_equal_error(
    codec: TransformCodec,
    var: str,
    source: Source,
    at: Sequence[int],
    plan: VariablePlan,
    reached: Tally,
    threads: int,
) -> int | None:
    """Bytes for a variable's values on some sweeps at the error that others reached there, None: not known.

    Args:
        codec: the transform codec.
        var: the variable.
        source: the volume.
        at: positions of the sweeps.
        plan: of the variable.
        reached: what was measured there with other codecs.
        threads: sweeps looked at at once.
    """
    sweeps = [source.sweeps[k] for k in at if var in source.sweeps[k].fields]
    bits = codec.expected_bits(
        var,
        Planned(source, var, only=sweeps),
        psnr=reached.psnr(plan.peak),
        max_error=plan.target.max_error,
        peak=plan.peak,
        period=plan.period,
        threads=threads,
    )
    return round(bits / 8) if isfinite(bits) else None


def staying(
    source: Source,
    parts: Mapping[Task, Coded],
    tried: Mapping[str, VariablePlan],
    chosen: Mapping[str, VariablePlan],
) -> dict[Task, Coded]:
    """The planes of a trial that would be written again byte for byte; there is no need to.

    Args:
        source: the volume.
        parts: what became of each plane in the trial.
        tried: plans of the trial.
        chosen: plans after it.
    """
    found = {}
    for task, part in parts.items():
        at, var, kind = task
        old, new = tried[var], chosen[var]
        codecs = list(new.masks) if kind == "mask" else [c for c, _ in new.values]
        if any(d[2] == "below" for c in codecs for d in c.depends(var, kind, source.sweeps[at].fields)):
            continue  # a trial has another sweep below
        if (old.masks == new.masks) if kind == "mask" else (old.values == new.values):
            found[task] = part
        elif kind == "values" and len(codecs) == 1 and new.values[0] in old.values and not part.repaired:
            name = codecs[0].name
            if name in part.codecs:  # the only one left is the one that was smallest here
                found[task] = replace(part, tried={name: part.tried[name]})
    return found


def handicapped(size: float | None, codec: SweepCodec) -> float | None:
    """A codec whose stores need torch to be read has to save a tenth to be worth that."""
    return size if size is None or codec.name != "transform" else size / 0.9


def worth_trying(items: Sequence[Any], sizes: Sequence[float | None]) -> list[Any]:
    """The best first, and any within 8 % of it: sweeps differ, and each keeps what is smallest for it."""
    known = [(size, k) for k, size in enumerate(sizes) if size is not None]
    if not known:
        return list(items)
    best = min(known)[0]
    return [items[k] for size, k in sorted(known) if size <= _NEAR * best]
