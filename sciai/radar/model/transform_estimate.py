"""The networks of the transform codec in numpy: what coding would cost, without torch.

Whether the transform codec is worth its time is asked of many variables, and for most the answer is no.
Importing torch and compressai for that takes two seconds and a third of a gigabyte; the same sums over small
matrices take a tenth of a second. What these networks say is used for estimates only: the analysis may differ
from torch's in the last bits. (The synthesis, in fixed point, gives the same numbers.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciai.core.errors import CheckpointError
from sciai.radar.model.interface import F32, I32
from sciai.radar.model.transform_grid import (
    ACT,
    ACT_MAX,
    LATENT,
    LATENT_MAX,
    SCALES,
    WEIGHT,
    padded,
    prior_index,
)

__all__ = ["Estimator"]

_BLOCK = 4096  # positions of a layer that are multiplied at once: what they look at stays in the cache


class Estimator:
    """Analysis and synthesis of a checkpoint, as `transform_run.CodecNets`.

    Args:
        layout: latents, width of the analysis, four widths of the synthesis, classes.
        arrays: of the checkpoint.

    Raises:
        CheckpointError: when arrays are missing, as those of the analysis are in a model out of a store.
    """

    def __init__(self, layout: Sequence[int], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._latents = layout[0]
        try:
            self._analysis = [_layer(arrays, f"analysis.layers.{k}", k in (1, 2)) for k in range(4)]
            names = ("first", "up.0", "up.1", "up.2", "last", "head")
            self._synthesis = [_layer(arrays, f"synthesis.{name}", fixed=True) for name in names]
        except KeyError as error:
            raise CheckpointError(f"this model of the transform codec does not encode: {error}") from error

    def analyse(self, image: F32, valid: NDArray[np.bool_], kind: int, full_circle: bool) -> I32:
        """See `CodecNets.analyse`."""
        mask = padded(valid).astype(np.float32)
        values = _smooth_fill(padded(image), mask, 6, None)
        x = _unshuffled(np.stack((np.clip(values, -40.0, 40.0) / np.float32(4.0), mask)))
        for layer in self._analysis[:-1]:
            x = layer(x, kind, full_circle)
            x = np.maximum(x, np.float32(0.1) * x)
        x = np.rint(self._analysis[-1](x, kind, full_circle) * np.float32(LATENT))
        latents = np.clip(x, -LATENT_MAX, LATENT_MAX).astype(np.int32)
        return np.where(prior_index(valid, kind) >= 0, latents, 0).astype(np.int32)

    def synthesise(
        self, latents: I32 | None, valid: NDArray[np.bool_], kind: int, full_circle: bool
    ) -> tuple[F32, F32]:
        """See `CodecNets.synthesise`."""
        mask = padded(valid).astype(np.float32)
        shares = [mask]
        for _ in range(3):
            shares.append(np.rint(_halved(shares[-1]) * np.float32(ACT)) / np.float32(ACT))
        if latents is None:
            latents = np.zeros((self._latents, *shares[3].shape), np.int32)
        first, *up, last, head = self._synthesis
        x = np.concatenate((latents.astype(np.float32) / np.float32(LATENT), shares[3][None]))
        x = _activated(first(x, kind, full_circle))
        for layer, share in zip(up, (shares[3], shares[2], shares[1]), strict=True):
            x = _activated(_shuffled(layer(np.concatenate((x, share[None])), kind, full_circle)))
        x = _activated(last(np.concatenate((x, mask[None])), kind, full_circle))
        x = head(x, kind, full_circle)
        mean = np.rint(np.clip(x[0], -64.0, 64.0) * np.float32(ACT)) / np.float32(ACT)
        scale = np.rint(np.clip(x[1] * np.float32(4.0), 0.0, SCALES - 1.0))
        rays, gates = valid.shape
        return mean[:rays, :gates], scale[:rays, :gates]


class _Layer:
    """A convolution on a polar grid: see `transform_net.PolarConv`."""

    def __init__(self, weight: F32, bias: F32, stride: int) -> None:
        outputs, inputs, self._kernel, _ = weight.shape
        # columns in the order in which `_columns` stacks what a position looks at
        self._weight = np.ascontiguousarray(weight.transpose(0, 2, 3, 1).reshape(outputs, -1))
        self._bias, self._stride, self._inputs = bias, stride, inputs

    def __call__(self, x: F32, kind: int, full_circle: bool) -> F32:
        _, rays, gates = x.shape
        bias, side, stride = self._bias[kind][:, None], self._kernel, self._stride
        if side == 3:
            edges = x[:, [-1, 0]] if full_circle else x[:, [0, -1]]
            x = np.concatenate((edges[:, :1], x, edges[:, 1:]), 1)
            x = np.concatenate((x[:, :, :1], x, x[:, :, -1:]), 2)
        high, wide = -(-rays // stride), -(-gates // stride)
        out = np.empty((self._weight.shape[0], high, wide), np.float32)
        some = max(1, _BLOCK // wide)
        columns = np.empty((side, side, self._inputs, some, wide), np.float32)
        for top in range(0, high, some):
            count = min(some, high - top)
            for i in range(side):
                first = top * stride + i
                rows = x[:, first : first + (count - 1) * stride + 1 : stride]
                for j in range(side):
                    columns[i, j, :, :count] = rows[:, :, j : j + (wide - 1) * stride + 1 : stride]
            flat = columns.reshape(-1, some * wide)[:, : count * wide]
            out[:, top : top + count] = (self._weight @ flat + bias).reshape(-1, count, wide)
        return out


def _layer(
    arrays: Mapping[str, NDArray[Any]], name: str, halves: bool = False, fixed: bool = False
) -> _Layer:
    weight, bias = (arrays[f"{name}.{k}"].astype(np.float32) for k in ("weight", "bias"))
    if fixed:
        weight = np.rint(np.clip(weight, -1.0, 1.0) * np.float32(WEIGHT)) / np.float32(WEIGHT)
        bias = np.rint(bias * np.float32(WEIGHT * ACT)) / np.float32(WEIGHT * ACT)
    return _Layer(weight, bias, 2 if halves else 1)


def _activated(x: F32) -> F32:
    return np.asarray(np.rint(np.clip(x, 0.0, ACT_MAX) * np.float32(ACT)) / np.float32(ACT))


def _unshuffled(x: F32) -> F32:
    """Blocks of 2 x 2 to channels."""
    channels, rays, gates = x.shape
    blocks = x.reshape(channels, rays // 2, 2, gates // 2, 2).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(blocks).reshape(channels * 4, rays // 2, gates // 2)


def _shuffled(x: F32) -> F32:
    """Channels to blocks of 2 x 2."""
    channels, rays, gates = x.shape
    blocks = x.reshape(channels // 4, 2, 2, rays, gates).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(blocks).reshape(channels // 4, rays * 2, gates * 2)


def _halved(x: F32) -> F32:
    """Means of blocks of 2 x 2; of what is left at the sides where they are odd."""
    rows = np.add.reduceat(x, np.arange(0, x.shape[0], 2), 0)
    sums = np.add.reduceat(rows, np.arange(0, x.shape[1], 2), 1)
    high = np.full(sums.shape[0], 2.0, np.float32)
    wide = np.full(sums.shape[1], 2.0, np.float32)
    high[-1] -= x.shape[0] % 2
    wide[-1] -= x.shape[1] % 2
    return np.asarray(sums / (high[:, None] * wide))


def _smooth_fill(values: F32, weight: F32, levels: int, overall: np.floating[Any] | None) -> F32:
    """See `transform_net.smooth_fill`."""
    if overall is None:
        values = values * weight
        overall = np.float32(values.sum(dtype=np.float64) / max(float(weight.sum(dtype=np.float64)), 1.0))
    if levels == 0 or min(values.shape) < 2:
        coarse = np.full_like(values, overall)
    else:
        coarse = _smooth_fill(_halved(values), _halved(weight), levels - 1, overall)
        coarse = np.repeat(np.repeat(coarse, 2, 0), 2, 1)[: values.shape[0], : values.shape[1]]
    return np.where(weight > 0, values / np.maximum(weight, np.float32(1e-12)), coarse)
