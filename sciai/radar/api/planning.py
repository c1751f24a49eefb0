"""How each variable is to be coded: its codecs, and the quantiser of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sciai.radar.api import choosing
from sciai.radar.api.plans import Target, VariablePlan
from sciai.radar.api.source import Planned, Source
from sciai.radar.data.names import psnr_peak
from sciai.radar.model.interface import QuantSpec, SweepCodec, Twinned
from sciai.radar.model.plain import PlainCodec

__all__ = ["Planner"]


@dataclass(frozen=True)
class Planner:
    """Plans for the variables of a volume.

    Attributes:
        source: The volume.
        targets: Variable -> what is promised.
        codecs: Those that may be tried.
    """

    source: Source
    targets: Mapping[str, Target]
    codecs: Sequence[SweepCodec]

    def plan(self, var: str) -> VariablePlan:
        """How a variable is coded at first: with the codecs that are planned quickly."""
        target, period = self.targets[var], self.source.period(var)
        peak = psnr_peak(var, self.source.some_values(var))
        packings = tuple(self.source.packings(var))
        tried = choosing.cheap(self.codecs)
        values = tuple((c, self.spec(c, var, target, peak, period, packings)) for c in tried)
        reflective = self.source.is_reflectivity(var)
        return VariablePlan(target, peak, period, values, choosing.for_masks(tried), packings, reflective)

    def share_steps(self, plans: dict[str, VariablePlan]) -> dict[str, VariablePlan]:
        """Give variables that predict each other (TH and DBZH) one step, where that costs either little.

        With unequal steps the cells of the two disagree, and most of what one tells about the other is lost.
        """
        plans = dict(plans)
        for var in self.source.variables:
            for position, (codec, spec) in enumerate(plans[var].values):
                twin = codec.twin(var, self.source.variables) if isinstance(codec, Twinned) else None
                if twin is None or self.targets[var] != self.targets[twin]:
                    continue
                if len(plans[twin].values) <= position or plans[twin].values[position][0] is not codec:
                    continue
                other = plans[twin].values[position][1]
                step = min(spec.step, other.step)
                if step <= 0.93 * max(spec.step, other.step) or spec.step == other.step:
                    continue
                common = QuantSpec(step, 0.0)
                for name in (var, twin):
                    values = list(plans[name].values)
                    if isinstance(codec, Twinned):
                        values[position] = (codec, self._respec(codec, name, plans[name], common))
                    plans[name] = replace(plans[name], values=tuple(values))
        return plans

    def _respec(self, codec: Twinned, var: str, plan: VariablePlan, like: QuantSpec) -> QuantSpec:
        return codec.plan(
            var,
            Planned(self.source, var),
            psnr=plan.target.psnr,
            max_error=plan.target.max_error,
            lossless=plan.target.lossless,
            peak=plan.peak,
            period=plan.period,
            like=like,
        )

    def spec(
        self,
        codec: SweepCodec,
        var: str,
        target: Target,
        peak: float,
        period: float | None,
        packings: Sequence[tuple[float, float]],
    ) -> QuantSpec:
        """The quantiser of one codec for a variable.

        Args:
            codec: The codec.
            var: The variable.
            target: What is promised.
            peak: Of the PSNR.
            period: Of a circular variable.
            packings: (scale, offset) pairs of the source.
        """
        more: dict[str, Any] = {"packings": packings} if isinstance(codec, PlainCodec | Twinned) else {}
        return codec.plan(
            var,
            Planned(self.source, var),
            psnr=target.psnr,
            max_error=target.max_error,
            lossless=target.lossless,
            peak=peak,
            period=period,
            **more,
        )

    def aim_higher(self, plan: VariablePlan, var: str, missing: float, left: int) -> VariablePlan:
        """A plan for a little more than was missed; then plain rounding with room; in the end every bit.

        Args:
            plan: That fell short.
            var: Of this variable.
            missing: By so many dB, or more.
            left: Attempts that are left after this one.
        """
        if left == 0:
            return replace(plan, values=((PlainCodec(), QuantSpec(0.0, 0.0, bound=0.0)),))
        codecs = [c for c, _ in plan.values]
        target = replace(plan.target, psnr=(plan.target.psnr or 0.0) + missing + 0.005)
        if left == 1:
            codecs, target = [PlainCodec()], replace(target, psnr=(self.targets[var].psnr or 0.0) + 0.3)
        values = tuple((c, self.spec(c, var, target, plan.peak, plan.period, plan.packings)) for c in codecs)
        return replace(plan, target=target, values=values)
