"""What to code again where a variable's PSNR is not what was planned on a sample of its gates.

Most misses are hundredths of a decibel. A few large planes with a narrower step make up for them; the others
stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite, sqrt
from typing import Final

from sciai.radar.api.needs import Plane, Task
from sciai.radar.api.plans import Coded, Target, VariablePlan
from sciai.radar.api.source import Source
from sciai.radar.model.interface import Twinned

__all__ = ["finer_planes", "missing"]

_SHARE: Final = 0.93  # of the step, at least
_LEAST: Final = 0.98  # a smaller change may change nothing
_SURE: Final = 0.8  # of what a narrower step should take away from the squared error
_MOST: Final = 0.4  # of the squared error of a variable: beyond it, all of it is better coded again


def missing(
    coded: Mapping[str, Coded], plans: Mapping[str, VariablePlan], targets: Mapping[str, Target]
) -> dict[str, float]:
    """Variable -> dB that it misses; `targets` are what was promised first."""
    short = {}
    for var, plan in plans.items():
        if plan.target.psnr is not None and not plan.target.lossless:
            gap = (targets[var].psnr or 0.0) - coded[var].tally.psnr(plan.peak)
            if gap > 0:
                short[var] = float(gap)
    return short


def finer_planes(
    source: Source,
    var: str,
    target: Target,
    plans: Mapping[str, VariablePlan],
    parts: Mapping[Task, Coded],
    finer: Mapping[Plane, VariablePlan],
) -> dict[Plane, VariablePlan]:
    """Plans with narrower steps for a few planes of a variable and, there, of those that share its step.

    Args:
        source: The volume.
        var: The variable that misses its PSNR.
        target: What is promised for it.
        plans: Variable -> how it is coded.
        parts: What became of each plane.
        finer: Planes that have narrower steps already.

    Returns:
        Nothing where too much is missing, or where a codec cannot narrow its quantiser.
    """
    plan = plans[var]
    squares = {
        at: part.tally.squares for (at, v, kind), part in parts.items() if v == var and kind == "values"
    }
    valid = sum(part.tally.valid for (_, v, kind), part in parts.items() if v == var and kind == "values")
    total = sum(squares.values())
    allowed = plan.peak**2 * valid * 10 ** (-(target.psnr or 0.0) / 10)
    if not isfinite(total):
        return {}
    excess = total - allowed
    chosen: list[int] = []
    used = 0.0
    for at in sorted((a for a in squares if (a, var) not in finer), key=lambda a: -squares[a]):
        if used * _SURE * (1 - _SHARE**2) >= excess:
            break
        chosen.append(at)
        used += squares[at]
    if not chosen or used * _SURE * (1 - _SHARE**2) < excess or used > _MOST * total:
        return {}  # nothing to narrow (short by rounding only), or not enough to be had from a few planes
    share = min(sqrt(1 - excess / (_SURE * used)), _LEAST)
    found: dict[Plane, VariablePlan] = {}
    for name in _sharing(source, var, plans):
        values = []
        for codec, spec in plans[name].values:
            if not isinstance(codec, Twinned) or spec.step <= 0:
                return {}
            values.append((codec, codec.scaled(name, spec, share, plans[name].period)))
        better = replace(plans[name], values=tuple(values))
        found |= {(at, name): better for at in chosen if name in source.sweeps[at].fields}
    return found


def _sharing(source: Source, var: str, plans: Mapping[str, VariablePlan]) -> list[str]:
    """The variable, and those that have its step because one predicts the other."""
    names = [var]
    for other in source.variables:
        for (codec, spec), (_, own) in zip(plans[other].values, plans[var].values, strict=False):
            if other == var or not isinstance(codec, Twinned) or spec.step != own.step:
                continue
            if other == codec.twin(var, source.variables) or var == codec.twin(other, source.variables):
                names.append(other)
                break
    return names
