"""The networks of the transform codec: a float analysis, an exact synthesis, a factorised prior (torch).

Only the encoder runs the analysis, so its last bits do not matter. The synthesis drives the entropy decoder
(it predicts the value of every gate *and* the table its residual is coded with), so every decoder must get
the same integers. It computes in fixed point: activations are multiples of 2^-4 in [0, 15.94], weights
multiples of 2^-9, so that every partial sum is a multiple of 2^-13; while it stays below 2^11 it has at
most 24 bits and float32 holds it *exactly*, whatever the order of summation, the number of threads, the batch
or the device (Balle, Johnston, Minnen, "Integer networks for data compression with latent-variable models",
ICLR 2019, do the same with integers). `Synthesis.check_exact` proves the bound from the trained weights.

Rounding has no gradient; training passes it straight through (Bengio et al. 2013).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciai.core.errors import CheckpointError
from sciai.radar.model.compressai_shim import load_compressai
from sciai.radar.model.transform_grid import ACT, ACT_MAX, LATENT, LATENT_MAX, SCALES, WEIGHT

__all__ = ["SCALE_0", "Analysis", "Synthesis", "TransformNet", "laplace_bits", "smooth_fill"]

SCALE_0 = 0.05  # Laplace scale of class 0, in 35 dB steps


def _ste_round(x: Tensor, grid: float) -> Tensor:
    """Round to multiples of 1/grid; the gradient passes as if nothing had happened."""
    rounded = torch.round(x * grid) / grid
    return x + (rounded - x).detach() if torch.is_grad_enabled() else rounded


def _activate(x: Tensor) -> Tensor:
    """ReLU, saturated and rounded to the activation grid."""
    return _ste_round(x.clamp(0.0, ACT_MAX), ACT)


def pad_polar(x: Tensor, full_circle: bool) -> Tensor:
    """Pad ``[batch, channel, rays, gates]`` by one: rays wrap (a sector's edge repeats), gates repeat."""
    x = (
        torch.cat((x[:, :, -1:], x, x[:, :, :1]), 2)
        if full_circle
        else F.pad(x, (0, 0, 1, 1), mode="replicate")
    )
    return F.pad(x, (1, 1, 0, 0), mode="replicate")


class PolarConv(nn.Module):
    """3 x 3 (or 1 x 1) convolution on a polar grid with one bias per class of variables.

    Args:
        inputs, outputs: channels.
        classes: number of classes of variables.
        kernel: 1 or 3.
        stride: of both axes.
        fixed: compute in fixed point (see the module).
    """

    def __init__(
        self, inputs: int, outputs: int, classes: int, kernel: int = 3, stride: int = 1, fixed: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.fixed = kernel, stride, fixed
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, a=0.1)
        self.bias = nn.Parameter(torch.zeros(classes, outputs))

    def parameters_used(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as the convolution sees them."""
        if not self.fixed:
            return self.weight, self.bias
        return _ste_round(self.weight.clamp(-1.0, 1.0), WEIGHT), _ste_round(self.bias, WEIGHT * ACT)

    def forward(self, x: Tensor, kind: Tensor, full_circle: bool) -> Tensor:
        """Convolve ``[batch, inputs, rays, gates]``; `kind` is the class of each item, ``[batch]``."""
        weight, bias = self.parameters_used()
        if self.kernel == 3:
            x = pad_polar(x, full_circle)
        return F.conv2d(x, weight, stride=self.stride) + bias[kind][:, :, None, None]

    def largest_sum(self) -> float:
        """Bound on the magnitude of any partial sum, for inputs within the activation range."""
        weight, bias = self.parameters_used()
        return float((weight.abs().sum((1, 2, 3)) * ACT_MAX + bias.abs().max(0).values).max().detach())


class Analysis(nn.Module):
    """Values and mask -> real-valued latents at an eighth of the resolution."""

    def __init__(self, latents: int, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                PolarConv(8, width, classes),
                PolarConv(width, width, classes, stride=2),
                PolarConv(width, 2 * width, classes, stride=2),
                PolarConv(2 * width, latents, classes),
            ]
        )

    def forward(self, values: Tensor, valid: Tensor, kind: Tensor, full_circle: bool) -> Tensor:
        """Latents ``[batch, latents, rays / 8, gates / 8]``.

        Args:
            values: normalised, invalid gates filled, ``[batch, 1, rays, gates]``, sides multiples of 8.
            valid: 1 where valid, same shape.
            kind: class of variables, ``[batch]``.
            full_circle: whether azimuth is periodic.
        """
        # a 2 x 2 block becomes channels: the full resolution costs no convolution
        x = F.pixel_unshuffle(torch.cat((values.clamp(-40.0, 40.0) / 4.0, valid), 1), 2)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x, kind, full_circle), 0.1)
        return torch.as_tensor(self.layers[-1](x, kind, full_circle) * LATENT)


class Synthesis(nn.Module):
    """Integer latents and mask -> predicted value and residual scale class of each gate, exactly."""

    def __init__(self, latents: int, widths: tuple[int, int, int, int], classes: int) -> None:
        super().__init__()
        w8, w4, w2, w1 = widths
        self.first = PolarConv(latents + 1, w8, classes, fixed=True)
        self.up = nn.ModuleList(
            [
                PolarConv(w8 + 1, 4 * w4, classes, fixed=True),
                PolarConv(w4 + 1, 4 * w2, classes, fixed=True),
                PolarConv(w2 + 1, 4 * w1, classes, fixed=True),
            ]
        )
        self.last = PolarConv(w1 + 1, w1, classes, fixed=True)
        self.head = PolarConv(w1, 2, classes, kernel=1, fixed=True)
        with torch.no_grad():
            self.head.bias[:, 1] = 3.0  # class 12: a scale of 0.4 steps to start from

    def forward(
        self, latents: Tensor, valid: Tensor, kind: Tensor, full_circle: bool
    ) -> tuple[Tensor, Tensor]:
        """Prediction in 35 dB steps (multiples of 1/16) and the residual's scale class (integers as floats).

        Args:
            latents: integers within +-127, ``[batch, latents, rays / 8, gates / 8]``.
            valid: 1 where valid, ``[batch, 1, rays, gates]``.
            kind: class of variables, ``[batch]``.
            full_circle: whether azimuth is periodic.

        Returns:
            Two tensors ``[batch, rays, gates]``.
        """
        shares = [valid]
        for _ in range(3):
            # averages of four multiples of 1/16 at most: exact; the last is rounded back to the grid
            shares.append(torch.round(F.avg_pool2d(shares[-1], 2) * ACT) / ACT)
        x = torch.cat((latents / LATENT, shares[3]), 1)
        x = _activate(self.first(x, kind, full_circle))
        for layer, share in zip(self.up, (shares[3], shares[2], shares[1]), strict=True):
            x = layer(torch.cat((x, share), 1), kind, full_circle)
            x = _activate(F.pixel_shuffle(x, 2))
        x = _activate(self.last(torch.cat((x, valid), 1), kind, full_circle))
        x = self.head(x, kind, full_circle)
        # clamped here too, so that no input drives the prediction out of the integers' range
        mean = _ste_round(x[:, 0].clamp(-64.0, 64.0), ACT)
        scale = (x[:, 1] * 4.0).clamp(0.0, SCALES - 1.0)
        return mean, _ste_round(scale, 1.0) if not self.training else scale

    def convolutions(self) -> list[PolarConv]:
        """All layers."""
        return [module for module in self.modules() if isinstance(module, PolarConv)]

    def check_exact(self) -> None:
        """Raise CheckpointError unless every partial sum of every layer is exact in float32."""
        for index, layer in enumerate(self.convolutions()):
            reach = layer.largest_sum()
            if not reach * WEIGHT * ACT < 2.0**24:  # also catches NaN
                raise CheckpointError(
                    f"layer {index} of the synthesis reaches sums of {reach:.0f}: more than the 2048 that "
                    "float32 adds exactly in every order; train with more weight decay"
                )


class TransformNet(nn.Module):
    """Analysis, synthesis, and compressai's entropy bottleneck per class of variables and density of echo.

    Args:
        latents: channels of the latents.
        width: channels of the analysis.
        widths: channels of the synthesis at 1/8, 1/4, 1/2 and full resolution.
        classes: classes of variables.
    """

    def __init__(
        self,
        latents: int = 16,
        width: int = 24,
        widths: tuple[int, int, int, int] = (32, 24, 16, 8),
        classes: int = 8,
    ) -> None:
        super().__init__()
        models: Any = load_compressai().entropy_models
        self.latents, self.classes = latents, classes
        self.analysis = Analysis(latents, width, classes)
        self.synthesis = Synthesis(latents, tuple(widths), classes)  # type: ignore[arg-type]
        # two priors per class: blocks mostly without and mostly with echo
        self.priors = nn.ModuleList(models.EntropyBottleneck(latents) for _ in range(2 * classes))

    def prior_index(self, valid: Tensor, kind: Tensor) -> Tensor:
        """Prior of each block of 8 x 8 gates, -1 where it has no valid gate; ``[batch, rays/8, gates/8]``."""
        share = F.avg_pool2d(valid, 8)[:, 0]
        index = 2 * kind[:, None, None] + (share > 0.5).long()
        return torch.where(share > 0, index, torch.full_like(index, -1))

    def latent_bits(self, noisy: Tensor, index: Tensor) -> Tensor:
        """Total bits of latents under their priors.

        Args:
            noisy: latents with the uniform noise of training, ``[batch, latents, h, w]``.
            index: of `prior_index`.
        """
        total = noisy.new_zeros(())
        columns = noisy.permute(1, 0, 2, 3).reshape(self.latents, -1)
        flat = index.reshape(-1)
        prior: Any
        for number, prior in enumerate(self.priors):
            chosen = flat == number
            if bool(chosen.any()):
                likelihood, *_ = prior._likelihood(columns[:, chosen][:, None, :])
                total = total - torch.log2(likelihood.clamp_min(1e-9)).sum()
        return total

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rate and distortion of a batch of patches.

        Args:
            batch: `values` (normalised to 35 dB steps, invalid gates filled) and `valid`, both float32
                ``[batch, rays, gates]``; `kind` int64 ``[batch]``.

        Returns:
            `latent_bits`, `residual_bits` (totals), `squared` (sum of squared quantisation errors in steps),
            `gates` (valid gates), all scalars.
        """
        values, valid, kind = batch["values"][:, None], batch["valid"][:, None], batch["kind"]
        latents = self.analysis(values, valid, kind, False)
        index = self.prior_index(valid, kind)
        coded = (index >= 0)[:, None].to(latents.dtype)
        latents = latents.clamp(-LATENT_MAX, LATENT_MAX)
        noisy = latents + (torch.rand_like(latents) - 0.5) if self.training else torch.round(latents)
        mean, scale = self.synthesis(_ste_round(latents, 1.0) * coded, valid, kind, False)
        error = values[:, 0] - mean
        mask = valid[:, 0]
        shift = torch.rand_like(error) - 0.5 if self.training else torch.round(error) - error
        bits = laplace_bits(error + shift, scale)
        # the gradient of this "saw tooth" is what a residual leaves of the error after rounding
        rest = error - torch.round(error).detach()
        return {
            "latent_bits": self.latent_bits(noisy, index),
            "residual_bits": (bits * mask).sum(),
            "squared": (rest.square() * mask).sum(),
            "gates": mask.sum(),
        }


def laplace_bits(residual: Tensor, scale_class: Tensor) -> Tensor:
    """Bits of a residual in steps under a Laplace distribution integrated over one step.

    Args:
        residual: any shape, in steps.
        scale_class: same shape; the scale is SCALE_0 * 2^(class / 4) steps.
    """
    scale = SCALE_0 * torch.exp2(scale_class / 4.0)
    size = residual.abs()
    # inside the middle bin the two tails are subtracted from 1; outside, the difference of two exponentials
    # is written as a product so that its logarithm does not cancel
    inside = 1.0 - 0.5 * (torch.exp(-(0.5 - size).clamp_min(0) / scale) + torch.exp(-(0.5 + size) / scale))
    outside = (size - 0.5).clamp_min(0) / scale - torch.log(-torch.expm1(-1.0 / scale)) + math.log(2.0)
    return torch.where(size < 0.5, -torch.log(inside.clamp_min(1e-9)), outside) / math.log(2.0)


def smooth_fill(values: Tensor, valid: Tensor, levels: int = 6) -> Tensor:
    """Fill invalid gates smoothly from ever coarser averages of valid ones (push-pull).

    Args:
        values: ``[batch, 1, rays, gates]``; what stands in invalid gates is ignored, finite.
        valid: 1 where valid, same shape.
        levels: of the pyramid; what even the coarsest cannot fill becomes the mean of all valid gates.

    Returns:
        Same shape; valid gates unchanged.

    Source: Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4.
    """
    count = valid.sum((2, 3), keepdim=True).clamp_min(1.0)
    overall = (values * valid).sum((2, 3), keepdim=True) / count
    return _pull(values * valid, valid, levels, overall)


def _pull(weighted: Tensor, weight: Tensor, levels: int, overall: Tensor) -> Tensor:
    if levels == 0 or min(weighted.shape[2:]) < 2:
        coarse = overall.expand_as(weighted)
    else:
        coarse = _pull(
            F.avg_pool2d(weighted, 2, ceil_mode=True),
            F.avg_pool2d(weight, 2, ceil_mode=True),
            levels - 1,
            overall,
        )
        coarse = F.interpolate(coarse, scale_factor=2, mode="nearest")
        coarse = coarse[:, :, : weighted.shape[2], : weighted.shape[3]]
    return torch.where(weight > 0, weighted / weight.clamp_min(1e-12), coarse)
