"""What a sweep codec is: the one seam between the store and the codecs.

A *volume* is a list of sweeps; a sweep holds variables of one shape (rays, gates). Each variable has two
planes: the ternary *mask* (valid / below noise / missing) and the *values*, quantised to integer indices.
A codec turns one plane into bytes and back, and may look at planes that were coded before it: the mask of
the same variable, other variables of the same sweep, the sweep below, the same sweep of the previous
volume. What it looks at it declares (`SweepCodec.depends`), so that a reader of one plane fetches those
planes and no others.

Shapes are written ``[rays, gates]``. Indices are int32, masks uint8 (`sciai.radar.data.validity`), values
float32 in the variable's own unit with NaN wherever the mask is not *valid*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dependency", "Kind", "QuantSpec", "SweepCodec", "SweepContext", "Twinned", "Where"]

Kind = Literal["mask", "values"]
Where = Literal["here", "below", "previous"]
Dependency = tuple[str, Kind, Where]

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class QuantSpec:
    """How one variable of one volume is quantised; JSON-able, stored with every chunk it applies to.

    Attributes:
        step: Quantiser step in the variable's unit; 0 means float-exact (raw) coding.
        origin: Value of index 0, in the variable's unit.
        period: If > 0, indices are circular modulo `period` (PHIDP, VRADH).
        bound: Largest absolute error allowed, in the variable's unit; `inf` where only the PSNR is promised.
        extra: Private to the codec (rate-distortion weight, reconstruction offsets, ...); JSON-able values
            only.

    Example:
        >>> QuantSpec.from_json(QuantSpec(step=0.5, origin=-32.0).to_json()) == QuantSpec(0.5, -32.0)
        True
    """

    step: float
    origin: float
    period: int = 0
    bound: float = inf
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values, defaults left out (metadata counts against the rate)."""
        out: dict[str, Any] = {"step": self.step, "origin": self.origin}
        if self.period:
            out["period"] = self.period
        if self.bound != inf:
            out["bound"] = self.bound
        if self.extra:
            out["extra"] = dict(self.extra)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QuantSpec:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: where a field is absent or of another type.
        """
        return cls(
            step=float(data["step"]),
            origin=float(data["origin"]),
            period=int(data.get("period", 0)),
            bound=float(data.get("bound", inf)),
            extra=dict(data.get("extra", {})),
        )


class SweepContext(Protocol):
    """What a codec may look at while it codes a plane; everything is decoded lazily and cached."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rays, gates."""
        ...

    @property
    def full_circle(self) -> bool:
        """Whether the first ray follows the last (azimuth is periodic)."""
        ...

    @property
    def variables(self) -> tuple[str, ...]:
        """All fields of this sweep, sorted; the same when coding and when decoding."""
        ...

    def mask(self, var: str) -> U8:
        """Mask of `var` in this sweep, ``[rays, gates]``.

        Raises:
            KeyError: where this sweep has no such variable, or it is coded only later.
        """
        ...

    def indices(self, var: str) -> I32:
        """Quantised indices of another variable of this sweep, ``[rays, gates]``, 0 where invalid.

        Raises:
            KeyError: where this sweep has no such variable, or it is coded only later.
        """
        ...

    def spec(self, var: str) -> QuantSpec:
        """How `var` is quantised."""
        ...

    @property
    def below(self) -> SweepContext | None:
        """A sweep already coded that has the variable being coded (nearest in elevation), or None.

        It may have another shape and other variables (see its `shape` and `variables`).
        """
        ...

    @property
    def previous(self) -> SweepContext | None:
        """The same sweep of the previous volume, or None."""
        ...


@runtime_checkable
class SweepCodec(Protocol):
    """Turns planes into bytes and back; holds no state that depends on the volume being coded."""

    @property
    def name(self) -> str:
        """``plain``, ``context`` or ``transform``."""
        ...

    @property
    def model(self) -> bytes:
        """The model as bytes, all that decoding needs beside the code; b"" where nothing was learned.

        The store keeps them (or their SHA-256, where the shipped checkpoint holds the very same bytes) and
        gives them to `sciai.radar.model.registry.load_codec` to decode.
        """
        ...

    def order(self, variables: Sequence[str]) -> list[str]:
        """The order in which the variables of a sweep are coded."""
        ...

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """Planes that coding this plane may look at; `variables` are all those of the sweep."""
        ...

    def plan(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        *,
        psnr: float | None = None,
        max_error: float | None = None,
        lossless: bool = False,
        peak: float,
        period: float | None,
    ) -> QuantSpec:
        """Choose the quantiser of one variable of one volume.

        Args:
            var: FM301 name.
            sweeps: (values, validity) of all or of some sweeps, each ``[rays, gates]``.
            psnr: Wanted PSNR in dB over valid gates, or None.
            max_error: Wanted largest absolute error in the variable's unit, or None.
            lossless: Every value must come back exactly.
            peak: Peak of the PSNR in the variable's unit.
            period: Period of a circular variable in its unit, or None.
        """
        ...

    def encode_mask(self, var: str, validity: U8, ctx: SweepContext) -> bytes:
        """Code a mask ``[rays, gates]``, exactly."""
        ...

    def decode_mask(self, var: str, payload: bytes, ctx: SweepContext) -> U8:
        """The inverse of `encode_mask`."""
        ...

    def encode_values(
        self, var: str, values: F32, validity: U8, spec: QuantSpec, ctx: SweepContext
    ) -> tuple[bytes, I32]:
        """Code the valid values of one plane; also the indices exactly as the decoder will see them."""
        ...

    def decode_indices(
        self, var: str, payload: bytes, validity: U8, spec: QuantSpec, ctx: SweepContext
    ) -> I32:
        """Indices ``[rays, gates]``, 0 where invalid."""
        ...

    def reconstruct(self, var: str, indices: I32, validity: U8, spec: QuantSpec, ctx: SweepContext) -> F32:
        """Values ``[rays, gates]``, NaN where invalid."""
        ...


@runtime_checkable
class Twinned(SweepCodec, Protocol):
    """A codec that predicts a variable from another of the same quantity, best where both have one step."""

    def twin(self, var: str, variables: Sequence[str]) -> str | None:
        """The variable that `var` is predicted from, or None."""
        ...

    def scaled(self, var: str, spec: QuantSpec, share: float, period: float | None) -> QuantSpec:
        """The quantiser with a step that is this share of its own, otherwise alike."""
        ...

    def plan(
        self,
        var: str,
        sweeps: Sequence[tuple[F32, U8]],
        *,
        psnr: float | None = None,
        max_error: float | None = None,
        lossless: bool = False,
        peak: float,
        period: float | None,
        packings: Sequence[tuple[float, float]] = (),
        like: QuantSpec | None = None,
    ) -> QuantSpec:
        """As `SweepCodec.plan`; with `like`, take the step of that quantiser where it reaches the target.

        Args:
            var: FM301 name.
            sweeps: (values, validity), each ``[rays, gates]``.
            psnr: Wanted PSNR in dB over valid gates, or None.
            max_error: Wanted largest absolute error in the variable's unit, or None.
            lossless: Every value must come back exactly.
            peak: Peak of the PSNR in the variable's unit.
            period: Period of a circular variable in its unit, or None.
            packings: (scale, offset) pairs of the source, for lossless coding.
            like: The quantiser whose step to prefer.
        """
        ...
