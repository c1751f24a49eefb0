"""A codec for tests that looks at everything a codec may look at, under the name of the learned one.

It codes the difference to what other planes say, so that a wrong plane in decoding gives a wrong result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sciai.core.errors import CheckpointError
from sciai.radar.model.interface import Dependency, Kind, QuantSpec
from sciai.radar.model.plain import PlainCodec

MODEL = b"a model of no use" * 3


class NeighbourCodec(PlainCodec):
    name = "context"
    installed = True

    def __init__(self, model: bytes = MODEL) -> None:
        self.model = model

    @classmethod
    def shipped(cls) -> NeighbourCodec:
        if not cls.installed:
            raise CheckpointError("the context checkpoint is not installed")
        return cls()

    @classmethod
    def from_model(cls, model: bytes) -> NeighbourCodec:
        return cls(model)

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        if kind == "mask":
            return [*super().depends(var, kind, variables), (var, "mask", "below"), (var, "mask", "previous")]
        before = [v for v in self.order(variables) if v < var][-1:]
        here: list[Dependency] = [(var, "mask", "here"), *((v, "values", "here") for v in before)]
        return [*here, (var, "values", "below"), (var, "values", "previous")]

    def encode_mask(self, var: str, validity: Any, ctx: Any) -> bytes:
        return super().encode_mask(var, (validity + self._mask_guess(var, ctx)) % np.uint8(3), ctx)

    def decode_mask(self, var: str, payload: bytes, ctx: Any) -> Any:
        coded = super().decode_mask(var, payload, ctx)
        return (coded + np.uint8(6) - self._mask_guess(var, ctx)) % np.uint8(3)

    def _mask_guess(self, var: str, ctx: Any) -> Any:
        guess = np.zeros(ctx.shape, np.uint8)
        for other in (ctx.below, ctx.previous):
            if other is not None and other.shape == ctx.shape:
                guess = guess + other.mask(var)
        return guess % np.uint8(3)

    def encode_values(self, var: str, values: Any, validity: Any, spec: QuantSpec, ctx: Any) -> Any:
        payload, indices = super().encode_values(var, values, validity, spec, ctx)
        return self._digest(var, ctx) + payload, indices

    def decode_indices(self, var: str, payload: bytes, validity: Any, spec: QuantSpec, ctx: Any) -> Any:
        if payload[:8] != self._digest(var, ctx):
            raise ValueError("other planes than in encoding")
        return super().decode_indices(var, payload[8:], validity, spec, ctx)

    def _digest(self, var: str, ctx: Any) -> bytes:
        total = np.int64(sum(self.model))
        for v in [v for v in self.order(ctx.variables) if v < var][-1:]:
            total += ctx.indices(v).astype(np.int64).sum() + int(1000 * ctx.spec(v).step)
        for weight, other in ((3, ctx.below), (7, ctx.previous)):
            if other is not None:
                assert other.below is None
                total += weight * (other.indices(var).astype(np.int64).sum() + other.shape[0])
        return bytes(np.int64(total + 5 * ctx.full_circle).tobytes())
