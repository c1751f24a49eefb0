"""Known answers of the context codec: planes from integer arithmetic alone, and payloads kept in a file.

Stores must be readable for decades, so what was written once has to decode for ever. Where the format changes
on purpose (before a first release, or with a new payload version), write the file anew:

    python -m tests.radar.model.frozen_context
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sciai.radar.model.context import CLASSES, ContextCodec
from sciai.radar.model.context.quick_codec import QuickCodec
from sciai.radar.model.context.smooth import CLASSES as ROUGHNESS
from sciai.radar.model.context.smooth import TERMS, Filter
from sciai.radar.model.interface import QuantSpec

FILE = Path(__file__).parent / "frozen" / "context.json"
QUICK = Path(__file__).parent / "frozen" / "quick.json"
SHAPE = (9, 14)
CASES = ("DBZH", "TH", "PHIDP", "SOMETHING")


def numbers(count: int, seed: int) -> np.ndarray[Any, Any]:
    """Pseudo-random int64 in 0 to 65535 that are the same for ever: a linear congruential generator."""
    out, state = np.zeros(count, np.int64), seed
    for i in range(count):
        state = (1103515245 * state + 12345) % 2**31
        out[i] = state >> 15
    return out


def seeded() -> ContextCodec:
    """A codec with small weights out of `numbers`: it predicts nothing, but every term of its sums counts."""

    def weights(shape: tuple[int, ...], most: int, seed: int) -> np.ndarray[Any, Any]:
        found = numbers(int(np.prod(shape)), seed) % (2 * most + 1) - most
        return found.reshape(shape).astype(np.int32)

    classes = len(CLASSES)
    return ContextCodec(
        {
            "w1": weights((16, 48), 300, 1),
            "w2": weights((16, 16), 500, 2),
            "w3": weights((16, 16), 500, 3),
            "b1": weights((classes, 16), 90_000, 4),
            "b2": weights((classes, 16), 90_000, 5),
            "b3": weights((classes, 16), 90_000, 6),
        }
    )


def mask_of(var: str) -> np.ndarray[Any, Any]:
    """A ternary mask of `SHAPE` with areas and specks."""
    k = CASES.index(var)
    r, g = np.indices(SHAPE)
    noise = numbers(SHAPE[0] * SHAPE[1], 10 + k).reshape(SHAPE)
    mask = np.where((r - 4) ** 2 + (g - 5 - k) ** 2 < 30, 0, np.where(g > 11, 2, 1))
    return np.where(noise % 23 == 0, noise % 3, mask).astype(np.uint8)


def spec_of(var: str) -> QuantSpec:
    """Step 1 from 0, so that values are indices."""
    return QuantSpec(1.0, 0.0, period=30 if var == "PHIDP" else 0)


def indices_of(var: str) -> np.ndarray[Any, Any]:
    """A sloping plane with some noise and an outlier, circular for PHIDP, alike for DBZH and TH; int32."""
    r, g = np.indices(SHAPE)
    noise = numbers(SHAPE[0] * SHAPE[1], 20 + CASES.index(var)).reshape(SHAPE) % 4
    plane = (r * r) // 5 + 2 * g + noise - 10
    if var == "PHIDP":
        plane = plane % 30
    plane[4, 5] += 900 if var == "DBZH" else 0
    return np.where(mask_of(var) == 0, plane, 0).astype(np.int32)


def surroundings() -> Any:
    """What the codec may look at: all of `CASES`, and a previous volume with everything shifted by a gate."""
    before = SimpleNamespace(
        shape=SHAPE, full_circle=True, variables=CASES, below=None, previous=None, spec=spec_of,
        mask=lambda v: np.roll(mask_of(v), 1, 1), indices=lambda v: np.roll(indices_of(v), 1, 1),
    )  # fmt: skip
    return SimpleNamespace(
        shape=SHAPE, full_circle=True, variables=CASES, below=None, previous=before, spec=spec_of,
        mask=mask_of, indices=indices_of,
    )  # fmt: skip


def coded(codec: ContextCodec) -> dict[str, dict[str, str]]:
    """Variable -> payloads of its mask and its values, base64."""
    ctx, out = surroundings(), {}
    for var in CASES:
        values = indices_of(var).astype(np.float32)
        mask = codec.encode_mask(var, mask_of(var), ctx)
        payload, _ = codec.encode_values(var, values, mask_of(var), spec_of(var), ctx)
        out[var] = {"mask": base64.b64encode(mask).decode(), "values": base64.b64encode(payload).decode()}
    return out


def decoded(codec: ContextCodec, payloads: dict[str, dict[str, str]]) -> dict[str, list[Any]]:
    """Variable -> mask and indices of payloads as `coded` gives them."""
    ctx, out = surroundings(), {}
    for var, both in payloads.items():
        mask = codec.decode_mask(var, base64.b64decode(both["mask"]), ctx)
        values = codec.decode_indices(var, base64.b64decode(both["values"]), mask, spec_of(var), ctx)
        out[var] = [mask.tolist(), values.tolist()]
    return out


def a_filter() -> Filter:
    """A reconstruction filter in which every weight counts."""
    weights = numbers(ROUGHNESS * TERMS, 7) % 81 - 40
    return Filter(weights.reshape(ROUGHNESS, TERMS).astype(np.int8), (2, 6))


def reconstructed(codec: ContextCodec) -> list[int]:
    """Bits of the float32 values of DBZH under `a_filter`."""
    spec = QuantSpec(0.3, -1.7, extra={"f": a_filter().to_text()})
    values = codec.reconstruct("DBZH", indices_of("DBZH"), mask_of("DBZH"), spec, surroundings())
    return [int(b) for b in values.view(np.int32)[mask_of("DBZH") == 0]]


def large(codec: ContextCodec) -> list[str]:
    """SHA-256 of the payloads of a mask and of values large enough that contexts meet and counters settle."""
    shape = (40, 400)
    r, g = np.indices(shape)
    noise = numbers(shape[0] * shape[1], 30).reshape(shape)
    mask = np.where((r * 7 + g) % 90 < 60, np.where(noise % 5 == 0, noise % 3, 0), 1 + (g > 300)).astype(
        np.uint8
    )
    before = np.roll(mask, 1, 1)
    masks = {"DBZH": np.roll(mask, 1, 0), "ZDR": np.where(noise % 7 == 0, 2, mask).astype(np.uint8)}
    indices = np.where(mask == 0, (r * g) // 300 + noise % 6 + (noise % 211 == 0) * 3000, 0).astype(np.int32)
    previous = SimpleNamespace(
        shape=shape, mask=lambda v: before, indices=lambda v: np.roll(indices, 1, 1), spec=spec_of
    )
    ctx: Any = SimpleNamespace(
        shape=shape, variables=(*masks, "RHOHV"), mask=lambda v: masks[v], previous=previous
    )
    values = indices.astype(np.float32)
    payloads = [
        codec.encode_mask("RHOHV", mask, ctx),
        codec.encode_values("RHOHV", values, mask, spec_of("RHOHV"), ctx)[0],
    ]
    np.testing.assert_array_equal(codec.decode_mask("RHOHV", payloads[0], ctx), mask)
    back = codec.decode_indices("RHOHV", payloads[1], mask, spec_of("RHOHV"), ctx)
    np.testing.assert_array_equal(back, indices)
    return [hashlib.sha256(p).hexdigest() for p in payloads]


def frozen() -> dict[str, Any]:
    """What the file holds."""
    codec = seeded()
    return {
        "model": base64.b64encode(codec.model).decode(),
        "payloads": coded(codec),
        "reconstructed": reconstructed(codec),
        "large": large(codec),
    }


def frozen_quick() -> dict[str, Any]:
    """What the file of the quick codec holds."""
    return {"payloads": coded(QuickCodec()), "large": large(QuickCodec())}


if __name__ == "__main__":
    for file, content in ((FILE, frozen()), (QUICK, frozen_quick())):
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {file}")
