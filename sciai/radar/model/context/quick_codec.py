"""The codec of ``effort="fast"``: masks as the context codec codes them, values without a network.

Its streams need no model. It does not look at the previous volume's values.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from math import floor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import CheckpointError
from sciai.radar.model.context.codec import SPREAD_MOST, ContextCodec
from sciai.radar.model.context.compiled import costs
from sciai.radar.model.context.order import NONE8, NONE32, plane_of, twin_of
from sciai.radar.model.context.payload import every, expand, pack_head, repetition
from sciai.radar.model.context.plan import Planner
from sciai.radar.model.context.quick import code_quick
from sciai.radar.model.context.steps import steps_and_range
from sciai.radar.model.context.tables import rates, squash, stretch
from sciai.radar.model.interface import F32, I32, U8, Dependency, Kind, QuantSpec, SweepContext
from sciai.radar.model.quantise import LARGEST_INDEX, quantise

__all__ = ["QuickCodec"]

_PRICE: Final = 0.06  # of a bit, in squared steps; measured
_TWIN_PRICE: Final = 0.03
_KNOWN_ANSWER: Final = 0xB5463314  # of `_check_quick`; changes only with the format of the streams
_GATES, _MARGIN = 60_000, 0.05  # planning: gates to look at, dB above the target
_NONEF: F32 = np.zeros((0, 0), np.float32)


class QuickCodec(ContextCodec):
    """Context codec without a network; see the module.

    Example:
        >>> codec = QuickCodec()
        >>> values = np.float32([[1.0, 1.5, np.nan], [1.2, 1.4, 9.0]])
        >>> validity = np.uint8([[0, 0, 1], [0, 0, 0]])
        >>> spec = codec.plan("DBZH", [(values, validity)], max_error=0.1, peak=70.0, period=None)
        >>> payload, indices = codec.encode_values("DBZH", values, validity, spec, None)
        >>> back = codec.decode_indices("DBZH", payload, validity, spec, None)
        >>> bool((back == indices).all())
        True
    """

    name = "quick"
    model = b""

    def __init__(self) -> None:
        super().__init__(dict(ContextCodec.untrained().arrays))
        self._quick_tables = (squash(), stretch(), rates())
        _check_quick()

    @classmethod
    def shipped(cls) -> QuickCodec:
        """A codec; there is nothing to load."""
        return cls()

    def depends(self, var: str, kind: Kind, variables: Sequence[str]) -> list[Dependency]:
        """Values: own mask and a twin; masks as in the context codec."""
        found = super().depends(var, kind, variables)
        return found if kind == "mask" else [d for d in found if d[2] != "previous"]

    def encode_values(
        self,
        var: str,
        values: F32,
        validity: U8,
        spec: QuantSpec,
        ctx: SweepContext | None,
    ) -> tuple[bytes, I32]:
        """See `ContextCodec.encode_values`."""
        if spec.step <= 0:
            raise OverflowError("values on no grid: the context codec codes indices")
        mask = np.ascontiguousarray(validity, np.uint8)
        target, count, least, most = steps_and_range(values, mask, spec)
        indices = np.zeros(values.shape, np.int32)
        if not count:
            return b"", indices
        if not max(most, -least) < LARGEST_INDEX or most - least > SPREAD_MOST or spec.period > SPREAD_MOST:
            raise OverflowError("the values spread too wide for this step")
        low, high = floor(least + 0.5), floor(most + 0.5)
        beside_twin = ctx is not None and twin_of(var, ctx.variables) is not None
        price = 0.0 if "f" not in spec.extra else _TWIN_PRICE if beside_twin else _PRICE
        thin = repetition(mask, target)
        if not price:  # plain rounding, of more digits than float32 has
            indices, target = quantise(values, mask, spec), _NONEF
            low, high = int(indices[mask == 0].min()), int(indices[mask == 0].max())
        data = np.empty(count * 10 + 4096, np.uint8)
        size = self._values(var, indices, mask, spec, ctx, target, price, (low, high, thin), data, False)
        if size > data.size:
            raise OverflowError("a plane took more bits than it has values")
        return pack_head(low, high, thin) + data[:size].tobytes(), indices

    def _values(
        self,
        var: str,
        indices: I32,
        validity: U8,
        spec: QuantSpec,
        ctx: SweepContext | None,
        target: F32,
        price: float,
        head: tuple[int, int, int],
        data: U8,
        decoding: bool,
    ) -> int:
        low, high, thin = head
        twin, twin_mask = NONE32, NONE8
        other = None if ctx is None else twin_of(var, ctx.variables)
        if ctx is not None and other is not None:
            twin, twin_mask = plane_of(ctx, other, spec, indices.shape)
        few = every(indices, thin)
        size = int(
            code_quick(
                few,
                every(np.ascontiguousarray(validity, np.uint8), thin),
                every(target, thin),
                np.float32(price),
                low,
                high,
                max(spec.period, high - low + 1) if spec.period else 0,
                every(twin, thin),
                every(twin_mask, thin),
                self._quick_tables,
                costs(),
                data,
                decoding,
            )
        )
        if thin > 1:
            indices[...] = expand(few, thin, indices.shape[1])
            indices[validity != 0] = 0
        return size

    def _planner(self) -> Planner:
        return Planner(
            lambda v, x, m, spec: self.encode_values(v, x, m, spec, None)[1], gates=_GATES, margin=_MARGIN
        )


@cache
def _check_quick() -> None:
    """As `compiled.check_compiled`, for the functions of `quick`."""
    y, x = np.mgrid[0:24, 0:40]
    mask = ((x * x + 3 * y * x + y * y) % 11 > 7).astype(np.uint8) * np.uint8(2)
    plane: NDArray[Any] = np.where(mask == 0, (x // 5 + y // 7 + (x * y) % 3 + (x * y % 97 == 0) * 60), 0)
    tables, data, found = (squash(), stretch(), rates()), np.zeros(8192, np.uint8), 0
    code: Any = code_quick
    for period, twin in ((0, 0), (90, 0), (0, 1)):
        other = (np.roll(plane, 1, 0).astype(np.int32), mask) if twin else (NONE32, NONE8)
        size = code(
            plane.astype(np.int32), mask, _NONEF, np.float32(0), 0, 89, period, *other, tables, costs(), data,
            False,
        )  # fmt: skip
        found = zlib.crc32(data[: int(size)].tobytes(), found)
    if found != _KNOWN_ANSWER:
        raise CheckpointError(
            f"the compiled quick coder gives {found:#010x} where this version gives {_KNOWN_ANSWER:#010x}: "
            "machine code of another version is in numba's cache; delete the __pycache__ folder of "
            "sciai/radar/model/context, or set NUMBA_CACHE_DIR to an empty folder"
        )
