"""Training of the transform codec: loss, tables, evaluation, export. The data are `planes`.

The loss is the rate in bits per valid gate, of latents and residuals at the 35 dB step, plus the squared
error that is left, weighted with the slope of the rate-distortion curve there: for a uniform quantiser at
high rate R = -log2(D) / 2 + const, so dR/dD = -1 / (2 ln 2 D), and D = 1/12 in steps. The quantiles of the
entropy bottlenecks only set the range of the tables; they have a loss and a parameter group of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciai.core.checkpoint import Checkpoint
from sciai.radar.model.transform import TransformCodec
from sciai.radar.model.transform_net import SCALE_0, TransformNet
from sciai.radar.model.transform_quantise import SCALE_CLASSES, STEPS_PER_PEAK
from sciai.radar.model.transform_run import CodecNets
from sciai.radar.model.transform_scale import CLASSES
from sciai.radar.model.transform_tables import class_statistics, row_costs

__all__ = [
    "Evaluate",
    "calibrate",
    "default_rows",
    "export",
    "loss",
    "metrics",
    "network",
    "restore",
]

SLOPE = 1.0 / (2.0 * math.log(2.0) / 12.0)  # bits per squared step


class _Trained(TransformNet):
    """The network with the tables that calibration fills in."""

    default_rows: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        start = np.tile(default_rows(), (self.classes, 1))
        self.register_buffer("default_rows", torch.from_numpy(start))


def network(
    latents: int = 16, width: int = 24, widths: Sequence[int] = (32, 24, 16, 8), classes: int = len(CLASSES)
) -> nn.Module:
    """The network to train; arguments as `sciai.radar.model.transform_net.TransformNet`."""
    w8, w4, w2, w1 = widths
    return _Trained(latents=latents, width=width, widths=(w8, w4, w2, w1), classes=classes)


def loss(net: nn.Module, batch: Mapping[str, Tensor], slope: float = SLOPE) -> dict[str, Any]:
    """Rate plus weighted distortion, per valid gate; see the module.

    Args:
        net: of `network`.
        batch: of `Planes`.
        slope: weight of the squared error, bits per squared step.
    """
    parts = net(batch)
    gates = parts["gates"].clamp_min(1.0)
    latent, residual, left = (parts[k] / gates for k in ("latent_bits", "residual_bits", "squared"))
    total = latent + residual + slope * left
    aux = total.new_zeros(())
    if net.training:  # hundreds at first, and no measure of the codec: kept out of what validation compares
        aux = torch.stack([prior.loss() for prior in net.priors]).sum()  # type: ignore[union-attr]
    return {
        "loss": total + aux,
        "rate_distortion": total,
        "latent_bits": latent,
        "residual_bits": residual,
        "squared": left,
        "n": len(batch["values"]),
    }


def metrics(net: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Bits per valid gate at the 35 dB step, and what they cost: bits per gate of the patch."""
    parts = net(batch)
    bits = parts["latent_bits"] + parts["residual_bits"]
    return {
        "bits_per_valid_gate": bits / parts["gates"].clamp_min(1.0),
        "bits_per_gate": bits / batch["values"].numel(),
        "n": len(batch["values"]),
    }


def default_rows() -> NDArray[np.int32]:
    """For each class of residual scale the row of the grid that is nearest to its Laplace distribution."""
    scale = SCALE_0 * 2.0 ** (np.arange(SCALE_CLASSES) / 4.0)
    zero, ratio = 1.0 - np.exp(-0.5 / scale), np.exp(-1.0 / scale)
    # expected statistics of one symbol under the Laplace distribution; the cheapest row codes it
    others = 1.0 - zero
    return row_costs(np.stack((zero, others, others / (1.0 - ratio)), 1)).argmin(1).astype(np.int32)


def calibrate(net: nn.Module, data: Any, planes: int = 200, seed: int = 0) -> dict[str, Any]:
    """Fit the default tables of residuals, per class of variables and of scale, on training planes.

    Args:
        net: trained; its buffer ``default_rows`` is filled in.
        data: the data module.
        planes: how many to look at.
        seed: of their choice.
    """
    codec = TransformCodec(export(net))
    part = data.part("train")
    chosen = np.random.default_rng(seed).permutation(len(part))[:planes]
    totals = np.zeros((len(CLASSES), SCALE_CLASSES, 3))
    for number in chosen:
        image, valid, kind = data.dataset.plane(part.indices[number])
        mean, scale = predict_plane(codec, image, valid, kind)
        residual = np.rint(image[valid] - mean[valid])
        totals[kind] += class_statistics(residual, scale[valid], SCALE_CLASSES)
    rows = net.default_rows.numpy().copy()  # type: ignore[union-attr,operator]
    for kind in range(len(CLASSES)):
        seen = totals[kind, :, :2].sum(1) > 1000
        rows[kind, seen] = row_costs(totals[kind])[seen].argmin(1)
    net.default_rows.copy_(torch.from_numpy(rows))  # type: ignore[union-attr,operator]
    return {"data": "split part 'train'", "planes": len(chosen), "gates": float(totals[..., :2].sum())}


def predict_plane(
    codec: TransformCodec, image: NDArray[np.float32], valid: NDArray[np.bool_], kind: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Prediction and scale class of a plane in 35 dB steps, through the codec's own path."""
    nets: CodecNets = codec._net
    latents = nets.analyse(np.where(valid, image, np.float32(0)), valid, kind, True)
    return nets.synthesise(latents, valid, kind, True)


class Evaluate:
    """Real bits of whole planes of the test part (or val, where there is no test part).

    Args:
        planes: how many planes at most.
        psnr: target in dB.
    """

    def __init__(self, planes: int = 60, psnr: float = 35.0) -> None:
        self.planes, self.psnr = planes, psnr

    def __call__(self, net: nn.Module, data: Any) -> dict[str, Any]:
        """Bits per gate and per valid gate, by class, and the worst volumes."""
        codec = TransformCodec(export(net))
        part = data.part("test") if len(data.part("test")) else data.part("val")
        if not len(part):
            return {}
        chosen = np.random.default_rng(0).permutation(len(part))[: self.planes]
        by_volume: dict[str, list[float]] = {}
        by_class: dict[str, list[float]] = {}
        for number in chosen:
            index = part.indices[number]
            image, valid, _ = data.dataset.plane(index)
            volume, _, name = data.dataset.names[index]
            bits = plane_bits(codec, name, image, valid, self.psnr)
            for table, key in ((by_volume, volume), (by_class, CLASSES[data.dataset.kinds[index]])):
                entry = table.setdefault(key, [0.0, 0.0, 0.0])
                entry[0] += bits
                entry[1] += valid.sum()
                entry[2] += valid.size
        sums = np.array(list(by_volume.values())).sum(0)
        worst = sorted(by_volume.items(), key=lambda kv: -kv[1][0] / kv[1][1])[:5]
        return {
            "test/real_bits_per_valid_gate": float(sums[0] / sums[1]),
            "test/real_bits_per_gate": float(sums[0] / sums[2]),
            **{f"test/real_bits_per_valid_gate/{k}": float(v[0] / v[1]) for k, v in sorted(by_class.items())},
            "worst": [
                {"volume": k, "bits_per_valid_gate": float(v[0] / v[1]), "bits_per_gate": float(v[0] / v[2])}
                for k, v in worst
            ],
        }


class _Alone:
    """The context of a plane that stands alone."""

    below = previous = None

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape, self.full_circle = shape, True


def plane_bits(
    codec: TransformCodec, name: str, image: NDArray[np.float32], valid: NDArray[np.bool_], psnr: float
) -> float:
    """Bits of a plane (in 35 dB steps) in the codec, without its mask."""
    validity = np.where(valid, 0, 2).astype(np.uint8)
    values = np.where(valid, image, np.nan).astype(np.float32)
    spec = codec.plan(name, [(values, validity)], psnr=psnr, peak=STEPS_PER_PEAK, period=None)
    context: Any = _Alone(valid.shape)
    payload, _ = codec.encode_values(name, values, validity, spec, context)
    return 8.0 * len(payload)


def export(net: nn.Module) -> dict[str, NDArray[Any]]:
    """Arrays of a checkpoint: weights of both networks (the synthesis on its grid), tables, known answer.

    Args:
        net: of `network`, trained.

    Raises:
        CheckpointError: when the synthesis could round (weights too large).
    """
    arrays: dict[str, NDArray[Any]] = {}
    synthesis: Any = net.synthesis
    synthesis.check_exact()
    for name, layer in synthesis.named_modules():
        if hasattr(layer, "parameters_used"):
            weight, bias = layer.parameters_used()
            arrays[f"synthesis.{name}.weight"] = weight.detach().cpu().numpy().astype(np.float32)
            arrays[f"synthesis.{name}.bias"] = bias.detach().cpu().numpy().astype(np.float32)
    learned = {name for name, _ in net.named_parameters()}
    for name, tensor in net.state_dict().items():
        # the priors' parameters only for `restore`: the codec looks at the tables made from them
        if name.startswith("analysis.") or (name.startswith("priors.") and name in learned):
            arrays[name] = tensor.detach().cpu().numpy().astype(np.float32)
    arrays.update(_latent_tables(net))
    rows: Any = net.default_rows
    arrays["default_rows"] = rows.cpu().numpy().astype(np.int32)
    first, up, last, head = synthesis.first, synthesis.up, synthesis.last, synthesis.head
    layout = [
        net.latents,
        net.analysis.layers[0].weight.shape[0],  # type: ignore[union-attr,index]
        first.weight.shape[0],
        *(layer.weight.shape[0] // 4 for layer in up[:2]),
        last.weight.shape[0],
        head.bias.shape[0],
    ]
    arrays["layout"] = np.array(layout, np.int32)
    arrays["known_answer"] = CodecNets.answer_of(layout, arrays)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def restore(net: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the arrays of `export` back.

    Args:
        net: of `network`.
        checkpoint: of a run.
    """
    own = net.state_dict()
    for name, array in checkpoint.arrays.items():
        if name in own:
            own[name] = torch.from_numpy(np.array(array))
    net.load_state_dict(own)


def _latent_tables(net: nn.Module) -> dict[str, NDArray[np.int32]]:
    """Integer tables of the priors: their probabilities at integers, within the learned quantiles."""
    from compressai._CXX import pmf_to_quantized_cdf

    rows, offsets = [], []
    for prior in net.priors:  # type: ignore[union-attr]
        quantiles: Tensor = prior.quantiles.detach()[:, 0]  # type: ignore[union-attr,index,operator]
        for channel in range(quantiles.shape[0]):
            low = int(quantiles[channel, 0].floor().clamp(-127, 0))
            high = int(quantiles[channel, 2].ceil().clamp(0, 127))
            grid = torch.zeros(quantiles.shape[0], 1, high - low + 1)
            grid[channel, 0] = torch.arange(low, high + 1, dtype=torch.float32)
            with torch.no_grad():
                likelihood = prior._likelihood(grid)[0][channel, 0]  # type: ignore[union-attr,operator]
            tail = max(1.0 - float(likelihood.sum()), 1e-6)
            rows.append(pmf_to_quantized_cdf([*likelihood.clamp_min(1e-9).tolist(), tail], 16))
            offsets.append(low)
    cdf = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for i, row in enumerate(rows):
        cdf[i, : len(row)] = row
    return {
        "latent_cdf": cdf,
        "latent_length": np.array([len(r) for r in rows], np.int32),
        "latent_offset": np.array(offsets, np.int32),
    }
