"""How a variable is to be coded, and what became of it: what `writing` decides and `encode` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, log
from typing import Any

import numpy as np

from sciai.radar.api.ends import Ends
from sciai.radar.api.measure import Tally
from sciai.radar.model.interface import F32, I32, U8, QuantSpec, SweepCodec
from sciai.radar.model.registry import model_hash

__all__ = ["Coded", "Target", "Try", "VariablePlan", "cost_of", "judged", "model_key", "models_of"]


@dataclass(frozen=True)
class Target:
    """What is promised for one variable: at least this PSNR, at most this error, or every bit.

    Attributes:
        psnr: dB.
        max_error: in the variable's unit.
        lossless: every bit.
        strong: largest error of strong echo in dB (`strong`); None where the variable is no reflectivity, or
            where that was not asked for.
    """

    psnr: float | None
    max_error: float | None
    lossless: bool
    strong: float | None = None

    @property
    def bound(self) -> float:
        """Largest error of any gate; infinite where none was promised."""
        return 0.0 if self.lossless else inf if self.max_error is None else self.max_error

    @property
    def bound_of_strong(self) -> float:
        """Largest error of strong echo; infinite where none was promised."""
        return self.bound if self.strong is None else min(self.bound, self.strong)


@dataclass(frozen=True)
class VariablePlan:
    """How one variable is coded.

    Attributes:
        target: What is promised.
        peak: Of the PSNR.
        period: Of a circular variable.
        values: Codecs to try for the values, each with its quantiser; the first is the rule, another is
            taken for a plane where it is smaller at no worse quality.
        masks: Codecs to try for the mask.
        packings: (scale, offset) pairs of the source.
        reflectivity: Whether the variable is in dBZ.
    """

    target: Target
    peak: float
    period: float | None
    values: tuple[tuple[SweepCodec, QuantSpec], ...]
    masks: tuple[SweepCodec, ...]
    packings: tuple[tuple[float, float], ...] = ()
    reflectivity: bool = False


@dataclass
class Coded:
    """What became of one variable, or of one plane of it.

    Attributes:
        tally: What was measured.
        value_bytes: Bytes of the chunks of its values, headers included.
        mask_bytes: Bytes of the chunks of its masks.
        codecs: Name -> number of chunks of values.
        mask_codecs: Name -> number of chunks of masks.
        repaired: Chunks that the planned codec could not code within the bound.
        tried: Codec -> bytes it would have taken for all its chunks.
        tried_masks: The same for masks.
        steps: Quantiser steps that were used.
        newer: Whether a chunk needs format 4: corrections of strong echo, or a list of values.
        ends: What lies at the ends of its values.
    """

    tally: Tally = field(default_factory=Tally)
    value_bytes: int = 0
    mask_bytes: int = 0
    codecs: dict[str, int] = field(default_factory=dict)
    mask_codecs: dict[str, int] = field(default_factory=dict)
    repaired: int = 0
    tried: dict[str, int] = field(default_factory=dict)
    tried_masks: dict[str, int] = field(default_factory=dict)
    steps: set[float] = field(default_factory=set)
    newer: bool = False
    ends: Ends = field(default_factory=Ends)

    def add(self, other: Coded) -> None:
        """Add what became of more planes."""
        self.tally.merge(other.tally)
        self.ends.merge(other.ends)
        self.value_bytes += other.value_bytes
        self.mask_bytes += other.mask_bytes
        self.repaired += other.repaired
        self.newer |= other.newer
        self.steps |= other.steps
        for mine, more in (
            (self.codecs, other.codecs),
            (self.mask_codecs, other.mask_codecs),
            (self.tried, other.tried),
            (self.tried_masks, other.tried_masks),
        ):
            for name, count in more.items():
                mine[name] = mine.get(name, 0) + count


@dataclass
class Try:
    """One plane coded, decoded and measured."""

    data: bytes
    codec: SweepCodec
    spec: QuantSpec
    indices: I32
    tally: Tally
    mended: bool = False


def judged(values: F32, back: F32, validity: U8, plan: VariablePlan) -> Tally | None:
    """What was measured on a decoded plane; None where it breaks a promise that every plane has to keep.

    Args:
        values: of the source, ``[rays, gates]``.
        back: as decoded.
        validity: 0 where valid.
        plan: what was promised.
    """
    tally = Tally()
    tally.add(values, back, validity, reflectivity=plan.reflectivity)
    if not isfinite(tally.max_error) or tally.max_error > plan.target.bound or tally.stray:
        return None
    strong = plan.target.strong
    if strong is not None and tally.strong is not None and (tally.strong > strong or tally.crossed):
        return None
    if plan.target.lossless:
        valid = validity == 0
        if not np.array_equal(back[valid].view(np.int32), values[valid].view(np.int32)):
            return None
    return tally


def cost_of(result: Try, plan: VariablePlan) -> float:
    """Bytes, and what the squared error is worth in bytes where a PSNR is promised.

    A plane with larger errors leaves less room for the others of its variable. At the promised distortion D,
    rate falls by 1 / (2 ln 2 D) bit for each unit of squared error (Shannon: 1/2 log2 of variance over D).
    """
    size = float(len(result.data))
    if plan.target.psnr is None or plan.target.lossless:
        return size
    distortion = plan.peak**2 * 10 ** (-plan.target.psnr / 10)
    return size + result.tally.squares / (16 * log(2) * distortion)


_MODEL_KEYS: dict[int, tuple[Any, str]] = {}


def model_key(codec: SweepCodec) -> str:
    """First 16 hex digits of the hash of a codec's model; hashed once per codec object."""
    known = _MODEL_KEYS.get(id(codec))
    if known is None or known[0] is not codec:
        known = codec, model_hash(codec.model)[:16]
        _MODEL_KEYS[id(codec)] = known
    return known[1]


def models_of(plans: Mapping[str, VariablePlan]) -> dict[str, str]:
    """Codec -> `model_key`, of all codecs that may write and have a model."""
    codecs = [c for plan in plans.values() for c in (*(c for c, _ in plan.values), *plan.masks)]
    return {c.name: model_key(c) for c in codecs if c.model}
