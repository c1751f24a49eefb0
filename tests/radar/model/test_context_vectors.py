"""The network's layers and the mixer as vector code give what plain sums give."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.vectors import (
    LANES,
    MIXED,
    WEIGHT_MAX,
    layer,
    plainly,
    teach,
    teach_plainly,
    weigh,
    weigh_plainly,
)
from sciai.radar.model.context.weights import _WEIGHT_MOST


@pytest.mark.parametrize("inputs", [FEATURES, LANES])
def test_layer_is_exact(inputs: int) -> None:
    """Largest features and weights included; one weight, feature or bias more or less is seen."""
    apply = layer(inputs)

    @njit
    def run(x, w, b, out):  # type: ignore[no-untyped-def]
        apply(x, w, b, out)

    rng = np.random.default_rng(0)
    slow = plainly(inputs)
    for most in (20, 300, _WEIGHT_MOST):
        x = rng.integers(-2048, 2049, inputs).astype(np.int32)
        w = rng.integers(-most, most + 1, (inputs, LANES)).astype(np.int32)
        b = rng.integers(-(2**20), 2**20, LANES).astype(np.int32)
        got, wanted = np.zeros((2, LANES), np.int32)
        run(x, w, b, got)
        slow(x, w, b, wanted)
        exact = np.clip((x.astype(np.int64) @ w + b) >> 10, 0, 4095)
        assert (got == exact).all()
        assert (wanted == exact).all()
    assert 0 in got or 4095 in got  # both ends were met


def test_mixer_is_exact() -> None:
    """Sums and steps of random and of extreme weights; only the rows that were named move."""

    @njit
    def run(w, r, v, r2, x, error):  # type: ignore[no-untyped-def]
        dot = weigh(w, r, v, r2, x)
        teach(w, r, v, r2, x, error, 17)
        return dot

    rng = np.random.default_rng(1)
    clipped = 0
    for _ in range(200):
        edge = rng.random() < 0.3
        w = rng.integers(-WEIGHT_MAX, WEIGHT_MAX + 1, (5, MIXED)).astype(np.int32)
        v = rng.integers(-WEIGHT_MAX, WEIGHT_MAX + 1, (3, MIXED)).astype(np.int32)
        if edge:
            w[2], v[1] = WEIGHT_MAX, -WEIGHT_MAX
        x = rng.integers(-2300, 2301, MIXED).astype(np.int32)
        error = int(rng.integers(-65535, 65536))
        mine, more = w.copy(), v.copy()
        dot = run(w, 2, v, 1, x, error)
        assert dot == weigh_plainly(mine, 2, more, 1, x)
        assert dot == int((((mine[2].astype(np.int64) + more[1]) >> 2) * x).sum())
        teach_plainly(mine, 2, more, 1, x, error, 17)
        assert (w == mine).all()
        assert (v == more).all()
        clipped += int((abs(w[2]) == WEIGHT_MAX).any())
    assert clipped > 10
