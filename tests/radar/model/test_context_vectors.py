"""The network's layers as vector code give what plain sums give."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.vectors import LANES, layer, plainly
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
