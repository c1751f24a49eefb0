"""Training the neural joint model: any subset told, all that was hidden asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.health.model.copula import fit_copula
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet
from sciai.health.train.consistency import log_probabilities, order_gap
from sciai.health.train.copula import calibration_of, held_out
from sciai.health.train.figures import figures
from sciai.health.train.masks import little, masks
from sciai.health.train.source import training_people
from sciai.health.train.weigh import weigh

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
    spare: float = 1.0,
    fewest: int = 20,
    smoothed: bool = False,
    start: str | None = None,
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
        spare: see ``fit_copula``.
        fewest: as for the copula.
        smoothed: see ``fit_margin``.
        start: checkpoint of a network of the same shape to go on from; None starts at the copula.

    Raises:
        BadInput: ``smoothed`` is neither true nor false.
        CheckpointError: when ``start`` is of another shape, or of people with other columns.
    """
    if not isinstance(smoothed, bool):  # a text would count as true, whatever it says
        raise BadInput(f"smoothed of {smoothed!r}", field="domain.net.smoothed", fix="give true or false")
    people = training_people(data)
    copula = fit_copula(
        people.schema,
        people.values,
        rounds=rounds,
        shrink=shrink,
        spare=spare,
        fewest=fewest,
        smoothed=smoothed,
    )
    net = JointNet(copula, width, blocks, members, dropout)
    if start is not None:
        before = NeuralJoint.load(Checkpoint.load(start)).net
        theirs, ours = (
            {**{k: n.shape[k] for k in ("width", "blocks", "members")}, "columns": n.copula.schema.names}
            for n in (before, net)
        )
        other = [k for k in ours if ours[k] != theirs[k]]
        try:
            net.load_state_dict(before.state_dict())
        except RuntimeError:  # shapes: some follow from the margins, of other people
            other = other or ["margins"]
        if other:
            raise CheckpointError(f"training cannot go on from {start}: it has other {', '.join(other)}")
    return net


def loss(
    net: JointNet,
    batch: Mapping[str, Tensor],
    diagnoses: float = 1.0,
    consistency: float = 0.0,
    short: float = 0.0,
) -> dict[str, Any]:
    """Mean NLL in nats over bins of the values that were hidden.

    Args:
        net: the network.
        batch: ``values`` (n, d) and ``weight`` (n, d), of each value in the loss.
        diagnoses: factor on columns of levels, whose NLL is small beside that of numbers.
        consistency: factor on the gap between two orders of asking (``order_gap``), in training only.
        short: share of people who are asked a second time, with little told, in training only.

    Raises:
        BadInput: ``short`` is no share.
    """
    if not 0 <= short <= 1:
        raise BadInput(f"a share of {short:g}", field="domain.loss.short", fix="give 0 to 1")
    values, weight = batch["values"].double().numpy(), batch["weight"]
    # the shared path seeds torch for each step; masks follow it, so a resumed run hides the same
    rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
    told = masks(net.copula.schema, len(values), rng, net.plan)
    if short and net.training:
        again = slice(round(short * len(values)))
        told = np.concatenate([told, little(net.copula.schema, len(values[again]), rng)])
        values, weight = np.concatenate([values, values[again]]), torch.cat([weight, weight[again]])
    there = np.isfinite(values)
    prepared = net.prepare(net.copula.scores(values), told & there)
    bins = torch.from_numpy(net.copula.layout.bins_of(values))
    own = log_probabilities(net, net(prepared), bins)
    asked = torch.from_numpy(there & ~told).float() * weight
    factors = torch.ones(asked.shape[1])
    factors[net.discrete] = diagnoses
    lost = -own * asked
    count = asked.sum().clamp_min(1.0) * len(own)
    plain = lost.detach()
    told_of = {"nll": plain.sum() / count}
    if net.discrete:
        share = asked[:, net.discrete].sum().clamp_min(1.0) * len(own)
        told_of["nll_levels"] = plain[..., net.discrete].sum() / share
    total = (lost * factors).sum() / count
    if consistency and net.training:
        gap = order_gap(net, values, told & there, there & ~told, bins, rng)
        told_of["order_gap"] = gap.detach()
        total = total + consistency * gap
    return {"loss": total, "n": len(values), **told_of}


def calibrate(net: JointNet, data: Any, passes: int = 4) -> dict[str, Any]:
    """What the card holds of held-out people (``sciai.health.model.calibration``: intervals, risks, counts).

    Before, the network is weakened where these people need less of it (``sciai.health.train.weigh``), and
    virtual humans are put right from the margins of the training part (``NeuralJoint.settle``). The card also
    says what was done in training so that memory can be measured (``sciai.health.data.watched``).
    """
    watch, joint, held = getattr(data, "watch", None), NeuralJoint(net), held_out(data)
    shares = weigh(net, data.dataset.values[held]) if len(held) else None
    joint.settle()
    told = calibration_of(joint, data, passes)
    if shares is not None:
        named = zip(net.copula.schema.names, shares.round(2).tolist(), strict=True)
        told["network_share"] = {name: share for name, share in named if share < 1}
    return {**told, **({"privacy": dict(watch)} if watch else {})}


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
