"""The joint model under differential privacy: margins, copula and weights, all with noise, one epsilon.

Lit optimises by itself, on batches of a fixed size; DP-SGD needs gradients of single people, people drawn
independently (Poisson), and a sum over several passes before it steps. So the network is trained here,
before the only step of the shared path, as the copula is fitted there. Abadi et al. 2016, "Deep Learning
with Differential Privacy", CCS; the accountant is opacus' (Renyi; Mironov 2017, CSF; Mironov et al. 2019,
arXiv:1908.10530).

What is protected: adding or removing one training person, in everything that is learned from the training
part. Not protected: the number of people, taken as public; settings that were chosen by looking at results;
and the calibration on the card, which is counts and quantiles of the people of the calibration part.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.health.data.canaries import canaries
from sciai.health.data.columns import Column, Schema
from sciai.health.model.copula import Copula
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.margins import Layout, Margin, fit_margin
from sciai.health.model.network import JointNet
from sciai.health.train.copula import calibration_of
from sciai.health.train.masks import masks
from sciai.health.train.source import training_people

__all__ = ["PrivateNet", "calibrate", "export", "loss", "network", "private_copula", "restore", "spent"]

Floats = npt.NDArray[np.float64]
_GRID = 80  # cells of a private histogram


class PrivateNet(nn.Module):
    """A network that is done: its weights are frozen, the shared path finds one that does nothing.

    Attributes:
        net: the network.
        account: epsilon, delta and what was spent, for the card.
    """

    def __init__(self, net: JointNet, account: Mapping[str, Any]) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.net = net.requires_grad_(False)
        self.account = dict(account)


def network(
    data: Mapping[str, Any],
    *,
    width: int = 96,
    blocks: int = 2,
    steps: int = 150,
    batch: int = 512,
    lr: float = 0.002,
    clip: float = 1.0,
    noise: float = 1.1,
    margin_noise: float = 2.5,
    copula_noise: float = 2.0,
    delta: float = 1e-5,
    planted: int = 0,
    chunk: int = 128,
    seed: int = 0,
) -> PrivateNet:
    """Train under differential privacy.

    Args:
        data: config of the data module (``${domain.data}``).
        width: of the residual stream; small, since noise grows with the number of weights.
        blocks: residual blocks.
        steps: of DP-SGD.
        batch: people per step, in expectation.
        lr: learning rate of Adam, which sees only noisy gradients.
        clip: largest gradient norm of one person.
        noise: of the gradients, in units of ``clip``. All three 0: no privacy, the twin it is compared with.
        margin_noise: of all histograms together, in units of what one person changes.
        copula_noise: of the correlation, likewise.
        delta: for which epsilon is computed.
        planted: canaries that are added to the training people.
        chunk: people whose gradients are held at once.
        seed: of masks, batches and start. Noise is drawn afresh: whoever knew its seed could take it off.

    Raises:
        BadInput: where only some of the noises are 0: there is no epsilon then.
    """
    noises = (noise, margin_noise, copula_noise)
    if any(n < 0 for n in noises) or len({n > 0 for n in noises}) > 1:
        raise BadInput(f"noises {noises}", field="noise", fix="all above 0, or all 0 (no privacy)")
    people = training_people(data)
    values = people.values
    if planted:
        values = np.concatenate([values, canaries(values, planted, seed)])
    torch.manual_seed(seed)
    copula = private_copula(people.schema, values, margin_noise, copula_noise, np.random.default_rng())
    # plain: gradients of single people are taken layer by layer, and what is not there needs no noise
    net = JointNet(copula, width, blocks, members=1, dropout=0.0, plain=True)
    rate = min(1.0, batch / len(values))
    _train(net, values, rate, steps, lr, clip, noise, chunk, np.random.default_rng(seed))
    account: dict[str, Any] = {
        "epsilon": spent(noises, rate, steps, delta) if noise else None,
        "delta": delta,
        "noise": {"gradients": noise, "margins": margin_noise, "copula": copula_noise},
        "steps": steps,
        "canaries": {"n": planted, "seed": seed} if planted else None,
    }
    return PrivateNet(net, account)


def spent(noises: tuple[float, float, float], rate: float, steps: int, delta: float) -> float:
    """Epsilon of gradients, margins and copula together.

    Args:
        noises: noise of gradients, margins and copula, each in units of one person's largest influence.
        rate: chance of a person to be in a batch.
        steps: of DP-SGD.
        delta: for which it holds.

    >>> 1.0 < spent((1.0, 4.0, 4.0), 0.05, 200, 1e-5) < 8.0
    True
    """
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    # one release of margins and one of the copula: the Gaussian mechanism, everybody takes part
    accountant.history = [(noises[1], 1.0, 1), (noises[2], 1.0, 1), (noises[0], rate, steps)]
    return float(accountant.get_epsilon(delta))


def private_copula(
    schema: Schema, values: Floats, margin_noise: float, copula_noise: float, rng: np.random.Generator
) -> Copula:
    """Margins from noisy histograms, correlation from a noisy moment matrix.

    Args:
        schema: the columns; cells of histograms come from its limits, not from the data.
        values: shape (n, d), NaN where unknown.
        margin_noise: standard deviation on each count, in units of sqrt(d): a person changes one count in
            each column.
        copula_noise: standard deviation on each moment, in units of the squared norm to which a person's
            scores are clipped.
        rng: of the noise.
    """
    scale = margin_noise * np.sqrt(len(schema))
    margins, shares = [], []
    for i, column in enumerate(schema.columns):
        margin, known = _private_margin(column, values[:, i], scale, rng)
        margins.append(margin)
        shares.append(min(1.0, max(known / len(values), 0.01)))
    size = sum(len(c.levels) if str(c.kind) == "categorical" else 1 for c in schema.columns)
    blank = Copula(schema, Layout.of(tuple(margins)), np.eye(size))
    z = np.nan_to_num(blank.scores(values))
    bound = np.sqrt(len(schema))
    z *= np.minimum(1.0, bound / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9))
    moment = z.T @ z
    upper = np.triu(rng.normal(0, 1, moment.shape)) * copula_noise * bound**2
    moment += upper + np.triu(upper, 1).T
    share = np.array(shares)[blank.owner]
    # who lacks a column mostly lacks those of the same visit too: as many have both as have the rarer one
    estimate = moment / (len(values) * np.minimum(share[:, None], share[None, :]))
    own = np.sqrt(np.clip(np.diag(estimate), 0.3, None))
    estimate = estimate / np.outer(own, own)
    np.fill_diagonal(estimate, 1.0)
    # eigenvalues that noise alone explains are no dependence: the random matrix reaches 2 sd sqrt(size)
    level = 2 * np.sqrt(size) * copula_noise * bound**2 / len(values)
    found, vectors = np.linalg.eigh(estimate)
    fixed = (vectors * np.maximum(found, max(0.02, min(0.3, level)))) @ vectors.T
    own = np.sqrt(np.diag(fixed))
    return Copula(schema, blank.layout, fixed / np.outer(own, own))


def _private_margin(
    column: Column, values: Floats, scale: float, rng: np.random.Generator
) -> tuple[Margin, float]:
    """A margin from a noisy histogram, and about how many people have the column."""
    known = values[np.isfinite(values)]
    if not column.numeric:
        count = len(column.levels)
        counts = np.bincount(known.astype(int), minlength=count) + rng.normal(0, scale, count)
        counts = np.maximum(counts, 1.0).round()
        return fit_margin(column, np.repeat(np.arange(count), counts.astype(int))), float(counts.sum())
    edges = _grid(column)
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0]
    counts = counts + rng.normal(0, scale, len(counts))
    total = max(float(counts.sum()), 1.0)
    counts = np.where(counts < 2.5 * scale, 0.0, counts)
    if counts.sum() <= 0:
        return fit_margin(column, np.empty(0)), total
    # the margin is fitted to as many values as the cells say, spread evenly, rounded as the table rounds
    spread = [
        a + (b - a) * (np.arange(m) + 0.5) / m
        for a, b, m in zip(edges[:-1], edges[1:], counts.round().astype(int), strict=True)
        if m > 0
    ]
    return fit_margin(column, np.round(np.concatenate(spread), column.decimals)), total


def _grid(column: Column) -> Floats:
    """Cells over the plausible limits: even, or even in the logarithm where the limits are far apart."""
    step = 10.0**-column.decimals
    low, high = column.low, column.high
    if high <= 20 * max(low, step) or (high - low) / step <= 2 * _GRID:
        inner = np.linspace(low - step / 2, high + step / 2, _GRID + 1)
    else:
        start = max(low, step)
        inner = np.geomspace(start, high + step / 2, _GRID) - step / 2
        if low < start:  # what is zero, or as good as, has a cell of its own
            inner = np.concatenate([[low - step / 2], inner])
    # an edge on a value would make a value of its own of rounding
    inner = np.floor(inner / step) * step + step / 2
    return np.unique(np.round(inner, 9))


def _train(
    net: JointNet,
    values: Floats,
    rate: float,
    steps: int,
    lr: float,
    clip: float,
    noise: float,
    chunk: int,
    rng: np.random.Generator,
) -> None:
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    net.train()
    # the inputs need no gradient, and opacus' hooks say so at each pass
    warnings.filterwarnings("ignore", "Full backward hook is firing")
    adam = torch.optim.Adam(net.parameters(), lr=lr)
    # not strict: the buffers are the (private) copula, not statistics of a batch
    wrapped: Any = GradSampleModule(net, strict=False, loss_reduction="sum")
    fresh = torch.Generator()
    fresh.seed()
    optimizer: Any = DPOptimizer(
        adam,
        noise_multiplier=noise,
        max_grad_norm=clip if noise else 1e9,
        expected_batch_size=max(1, round(rate * len(values))),
        loss_reduction="sum",
        generator=fresh,
    )
    scores, bins = net.copula.scores(values), torch.from_numpy(net.copula.layout.bins_of(values))
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * 0.5 * (1 + np.cos(np.pi * step / steps))
        rows = np.flatnonzero(rng.random(len(values)) < rate)
        # nobody drawn: one pass with weight 0, so that the step still gets its noise
        parts = [rows[k : k + chunk] for k in range(0, len(rows), chunk)] or [np.array([0])]
        for k, part in enumerate(parts):
            own = _loss_of_each(wrapped, net, scores[part], bins[part], values[part], rng)
            (own.sum() if len(rows) else 0.0 * own.sum()).backward()
            optimizer.signal_skip_step(do_skip=k < len(parts) - 1)
            optimizer.step()
            optimizer.zero_grad()
    wrapped.remove_hooks()
    for parameter in net.parameters():
        for left in ("grad_sample", "summed_grad"):
            if hasattr(parameter, left):
                delattr(parameter, left)
    net.eval()


def _loss_of_each(
    model: nn.Module, net: JointNet, scores: Floats, bins: Tensor, values: Floats, rng: np.random.Generator
) -> Tensor:
    """Mean NLL of each person's hidden values, in nats, shape (n,)."""
    told = masks(net.copula.schema, len(values), rng)
    there = np.isfinite(values)
    numbers, levels = model(net.prepare(scores, told & there))
    asked = torch.from_numpy((there & ~told).astype("f4"))
    total = torch.zeros(len(values))
    for logs, columns, factor in ((numbers[0], net.numeric, 1.0), (levels[0], net.discrete, 2.0)):
        own = -logs.gather(-1, bins[:, columns, None])[..., 0]
        total = total + factor * (own * asked[:, columns]).sum(1)
    return total / asked.sum(1).clamp_min(1.0)


def loss(net: PrivateNet, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean NLL of hidden values; nothing is learned from it."""
    values = batch["values"].double().numpy()
    bins = torch.from_numpy(net.net.copula.layout.bins_of(values))
    with torch.no_grad():
        rng = np.random.default_rng(len(values))
        own = _loss_of_each(net.net, net.net, net.net.copula.scores(values), bins, values, rng)
    return {"loss": net.nothing.sum() * 0 + own.mean(), "n": len(values)}


def calibrate(net: PrivateNet, data: Any) -> dict[str, Any]:
    """As every model's, from people who are not in the training; and what privacy was spent."""
    return {**calibration_of(NeuralJoint(net.net), data), "privacy": net.account}


def export(net: PrivateNet) -> dict[str, npt.NDArray[Any]]:
    """Copula and weights."""
    return NeuralJoint(net.net).to_arrays()


def restore(net: PrivateNet, checkpoint: Checkpoint) -> None:
    """The way back."""
    net.net = NeuralJoint.load(checkpoint).net
