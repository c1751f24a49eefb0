"""Training the neural joint model: any subset told, all that was hidden asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sciai.core.checkpoint import Checkpoint
from sciai.health.model.copula import fit_copula
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet
from sciai.health.train.copula import calibration_of
from sciai.health.train.figures import figures
from sciai.health.train.masks import masks
from sciai.health.train.source import training_people

__all__ = ["calibrate", "evaluate", "export", "loss", "network", "restore"]

Floats = npt.NDArray[np.float64]


def network(
    data: Mapping[str, Any],
    width: int = 384,
    blocks: int = 3,
    members: int = 2,
    dropout: float = 0.1,
    rounds: int = 8,
    shrink: float = 0.02,
    fewest: int = 20,
) -> JointNet:
    """The network, over a copula that is fitted to the training part first.

    Args:
        data: config of the data module (``${domain.data}``).
        width: of the residual stream.
        blocks: residual blocks.
        members: of the ensemble.
        dropout: share of units left out in training.
        rounds: as for the copula.
        shrink: as for the copula.
        fewest: as for the copula.
    """
    people = training_people(data)
    copula = fit_copula(people.schema, people.values, rounds=rounds, shrink=shrink, fewest=fewest)
    return JointNet(copula, width, blocks, members, dropout)


def loss(net: JointNet, batch: Mapping[str, Tensor], diagnoses: float = 1.0) -> dict[str, Any]:
    """Mean NLL in nats over bins of the values that were hidden.

    Args:
        net: the network.
        batch: ``values`` (n, d) and ``weight`` (n, d), of each value in the loss.
        diagnoses: factor on columns of levels, whose NLL is small beside that of numbers.
    """
    values = batch["values"].double().numpy()
    # the shared path seeds torch for each step; masks follow it, so a resumed run hides the same
    rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
    told = masks(net.copula.schema, len(values), rng, net.plan)
    there = np.isfinite(values)
    prepared = net.prepare(net.copula.scores(values), told & there)
    numbers, levels = net(prepared)
    bins = torch.from_numpy(net.copula.layout.bins_of(values))
    asked = torch.from_numpy(there & ~told).float() * batch["weight"]
    parts = []
    for logs, columns, factor in ((numbers, net.numeric, 1.0), (levels, net.discrete, diagnoses)):
        if columns:
            own = logs.gather(-1, bins[None, :, columns, None].expand(len(logs), -1, -1, -1))[..., 0]
            parts.append((-own * asked[:, columns], factor))
    total = sum(p.sum() * f for p, f in parts)
    count = asked.sum().clamp_min(1.0) * len(numbers)
    plain = torch.cat([p for p, _ in parts], -1).detach()
    told_of = {"nll": plain.sum() / count}
    if net.discrete:
        share = asked[:, net.discrete].sum().clamp_min(1.0) * len(numbers)
        told_of["nll_levels"] = parts[-1][0].detach().sum() / share
    return {"loss": total / count, "n": len(values), **told_of}


def calibrate(net: JointNet, data: Any, passes: int = 4) -> dict[str, Any]:
    """Intervals, risks and counts from the calibration part (``sciai.health.model.calibration``), and what
    was done in training so that memory can be measured (``sciai.health.data.watched``)."""
    watch = getattr(data, "watch", None)
    return {**calibration_of(NeuralJoint(net), data, passes), **({"privacy": dict(watch)} if watch else {})}


def evaluate(net: JointNet, data: Any) -> dict[str, float]:
    """NLL and AUROC on the test part (``sciai.health.train.figures``)."""
    return figures(NeuralJoint(net), data)


def export(net: JointNet) -> dict[str, npt.NDArray[Any]]:
    """Copula and weights, these in half precision."""
    return NeuralJoint(net).to_arrays()


def restore(net: JointNet, checkpoint: Checkpoint) -> None:
    """The way back; margins and correlation become those of the checkpoint."""
    fresh = NeuralJoint.load(checkpoint).net
    net.__dict__.update(fresh.__dict__)
