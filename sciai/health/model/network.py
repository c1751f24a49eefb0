"""The neural part of the joint model: a residual MLP on top of the copula's exact conditionals.

For a person of whom some columns are known, the copula gives every hidden column a normal of its latent
score: that is the start. The network sees the known scores (also bent, through hinges), which columns are
known, and those normals; for each numeric column it shifts and widens the normal and adds a few smooth bumps
over the score and weights of the most frequent values, for each other column it rescales the copula's log
probabilities and adds to them. All its outputs start at zero: untrained, it is the copula.

Some columns are told in round numbers, or were asked for or rounded otherwise in another year: which values
occur then depends on the person and the era in ways no smooth shape follows. Every bin of such a column has a
weight of its own besides, which also depends on the era directly. And everything the network sees shifts the
normals directly, too: that much is learned fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from sciai.health.data.columns import Kind
from sciai.health.model.copula import Copula
from sciai.health.model.features import Features
from sciai.health.model.margins import Margin
from sciai.health.model.plan import drawing_plan

__all__ = ["RARE", "JointNet", "Prepared"]

Floats = npt.NDArray[np.float64]

_BUMPS = 8
_HEAVY = 3  # most frequent values that get a weight of their own
_ROUGH, _OUT = 0.14, 1.4  # share of people in bins that stand out by a factor: a column is rough from it
RARE = 9.0  # log-odds against one of two answers being 0 that are 0 together
_FAR = 8.0  # scores beyond are as good as infinite in single precision


class _Member(nn.Module):
    """One residual MLP: features -> everything the heads need.

    He et al. 2016, "Identity Mappings in Deep Residual Networks", ECCV; Gorishniy et al. 2021, "Revisiting
    Deep Learning Models for Tabular Data", NeurIPS.
    """

    def __init__(
        self,
        features: Features,
        outputs: int,
        numbers: int,
        bins: int,
        width: int,
        blocks: int,
        dropout: float,
        plain: bool,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(features.size, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.ups = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(blocks))
        self.downs = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(blocks))
        self.last = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        if not plain:  # these start at zero, too
            self.bins = nn.Parameter(torch.zeros(bins, width + 1))
            self.habit = nn.Parameter(torch.zeros(bins, len(features.habits)))
            self.straight = nn.Parameter(torch.zeros(numbers, features.size))
        self.habits, self.dropout, self.plain = features.habits, dropout, plain

    def forward(
        self, x: Tensor, outputs: Tensor | None, numbers: Tensor, bins: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Features (n, features) -> what the heads take of the wanted columns (n, outputs; None is all),
        direct shifts of wanted numbers (n, numbers), weights of wanted bins of rough columns (n, bins)."""
        h = self.enter(x)
        for norm, up, down in zip(self.norms, self.ups, self.downs, strict=True):
            inner = nn.functional.silu(up(norm(h)))
            h = h + down(nn.functional.dropout(inner, self.dropout, self.training))
        h = nn.functional.dropout(self.last(h), self.dropout, self.training)
        if outputs is None:
            told = self.leave(h)
        else:
            told = nn.functional.linear(h, self.leave.weight[outputs], self.leave.bias[outputs])
        if self.plain:
            return told, None, None
        own = nn.functional.linear(h, self.bins[bins, 1:], self.bins[bins, 0])
        own = own + nn.functional.linear(x[:, self.habits], self.habit[bins])
        return told, nn.functional.linear(x, self.straight[numbers]), own


class Prepared:
    """A batch as the network takes it.

    Attributes:
        scores: shape (n, D), 0 where unknown or hidden.
        known: latents that are known, shape (n, D), 0 or 1.
        mean: of the copula's conditional latents, shape (n, D); 0 where known.
        sd: shape (n, D); 1 where known.
    """

    def __init__(self, scores: Tensor, known: Tensor, mean: Tensor, sd: Tensor) -> None:
        self.scores, self.known, self.mean, self.sd = scores, known, mean, sd


class JointNet(nn.Module):
    """An ensemble of residual MLPs over one copula.

    Args:
        copula: where it starts from.
        width: of the residual stream.
        blocks: residual blocks.
        members: networks whose probabilities are averaged; each is trained by itself.
        dropout: share of units left out in training.
        plain: as it was made at first: no rough columns, and ``Features`` without what goes with them.

    Attributes:
        drawn: what ``NeuralJoint.settle`` learned; None before.
    """

    drawn: Floats | None
    edges: Tensor
    real: Tensor
    bumps: Tensor
    level: Tensor
    thresholds: Tensor
    is_categorical: Tensor
    place: Tensor
    own: Tensor
    numeric_at: Tensor
    every_number: Tensor
    every_level: Tensor
    correlation: Tensor
    scale: Tensor
    least_sd: Tensor

    def __init__(
        self,
        copula: Copula,
        width: int = 384,
        blocks: int = 3,
        members: int = 2,
        dropout: float = 0.1,
        plain: bool = False,
    ) -> None:
        super().__init__()
        self.drawn = None
        self.copula = copula
        self.plan = drawing_plan(copula)
        self.shape = {"width": width, "blocks": blocks, "members": members, "dropout": dropout}
        self.shape |= {"plain": plain}
        columns, layout = copula.schema.columns, copula.layout
        self.numeric = [i for i, c in enumerate(columns) if c.numeric]
        self.discrete = [i for i, c in enumerate(columns) if not c.numeric]
        self.kinds = [columns[i].kind is Kind.CATEGORICAL for i in self.discrete]
        # pads: numeric columns have up to k bins, the others up to l levels
        tables = [_numeric_tables(layout.margins[i]) for i in self.numeric]
        self._buffer("edges", _padded([edges for edges, _ in tables], _FAR, 2))
        self._buffer("real", _padded([np.ones(len(edges) - 1) for edges, _ in tables], 0.0, 1))
        self._buffer("bumps", _padded3([bumps for _, bumps in tables]))
        levels = [np.diff(layout.margins[i].bin_edges) for i in self.discrete]
        thresholds = [
            ndtri(1 - p) if c else np.clip(ndtri(np.concatenate([[0], np.cumsum(p)])), -_FAR, _FAR)
            for p, c in zip(levels, self.kinds, strict=True)
        ]
        self._buffer("level", _padded([np.ones(len(p)) for p in levels], 0.0, 2))
        self._buffer("thresholds", _padded(thresholds, _FAR, self.level.shape[1] + 1))
        self._buffer("is_categorical", np.array(self.kinds, float))
        place = np.zeros((len(self.discrete), self.level.shape[1]), np.int64)
        for j, i in enumerate(self.discrete):
            size = self.level.shape[1]
            span = copula.span(i)
            place[j] = np.minimum(span.start + np.arange(size), span.stop - 1)
        self.register_buffer("place", torch.from_numpy(place), persistent=False)
        self.register_buffer("every_number", torch.arange(len(self.numeric)), persistent=False)
        self.register_buffer("every_level", torch.arange(len(self.discrete)), persistent=False)
        starts = torch.from_numpy(copula.starts[:-1][self.numeric].astype(np.int64))
        self.register_buffer("numeric_at", starts, persistent=False)
        self._buffer("correlation", copula.correlation)
        self._buffer("scale", copula.scale)
        self._buffer("least_sd", copula.least_sd)
        margins = [layout.margins[i] for i in self.numeric]
        bins = [0 if plain or not _rough(m) else m.n_bins for m in margins]
        self.bins = sum(bins)
        # place of each bin's own weight among all of them, one past the last where it has none
        places = np.split(np.arange(self.bins, dtype=float), np.cumsum(bins)[:-1])
        own = _padded(places, float(self.bins), self.edges.shape[1] - 1).astype(np.int64)
        self.register_buffer("own", torch.from_numpy(own), persistent=False)
        self.features = Features(copula, self.numeric, plain)
        self.per_number = 2 + self.bumps.shape[2]
        outputs = self.per_number * len(self.numeric) + (1 + self.level.shape[1]) * len(self.discrete)
        self.members = nn.ModuleList(
            _Member(self.features, outputs, len(self.numeric), self.bins, width, blocks, dropout, plain)
            for _ in range(members)
        )

    def _buffer(self, name: str, array: Any) -> None:
        # not persistent: they follow from the copula, which the checkpoint holds
        self.register_buffer(name, torch.as_tensor(np.asarray(array), dtype=torch.float32), persistent=False)

    def weaken(self, shares: Floats) -> None:
        """Leave of what the members add to the copula only a share, column by column; changes the weights.

        Args:
            shares: of each column, shape (d,); 1 changes nothing, 0 leaves the copula.
        """
        numbers, levels = np.asarray(shares)[self.numeric], np.asarray(shares)[self.discrete]
        outputs = np.r_[np.repeat(numbers, self.per_number), np.repeat(levels, 1 + self.level.shape[1])]
        own = np.ones(self.bins)
        for share, places in zip(numbers, self.own.numpy(), strict=True):
            own[places[places < self.bins]] = share
        by_name = {"leave.weight": outputs, "leave.bias": outputs, "bins": own, "habit": own}
        by_name["straight"] = numbers
        with torch.no_grad():
            for member in self.members:
                for name, weight in member.named_parameters():
                    if name in by_name:
                        factor = torch.as_tensor(by_name[name], dtype=weight.dtype)
                        weight.mul_(factor.reshape(-1, *[1] * (weight.dim() - 1)))

    def prepare(self, scores: Floats, known: npt.NDArray[np.bool_]) -> Prepared:
        """The copula's conditionals for a batch, each row with a mask of its own.

        Args:
            scores: standardised, shape (n, D), NaN where unknown.
            known: columns told, shape (n, d).
        """
        seen = known[:, self.copula.owner] & np.isfinite(scores)
        m = torch.from_numpy(seen.astype("f4"))
        z = torch.from_numpy(np.where(seen, scores, 0).astype("f4"))
        cross = self.correlation * m[:, :, None]
        system = cross * m[:, None, :] + torch.diag_embed(1 - m + 1e-4 * m)
        factor = torch.linalg.cholesky_ex(system)[0]
        half = torch.linalg.solve_triangular(factor, cross, upper=False)
        own = torch.linalg.solve_triangular(factor, z[:, :, None], upper=False)
        mean = (half * own).sum(1) / self.scale
        sd = (1 - half.square().sum(1) / self.scale**2).clamp_max(1.0)
        sd = torch.maximum(sd, self.least_sd.square()).sqrt()
        return Prepared(z, m, mean * (1 - m), torch.where(m > 0, torch.ones_like(sd), sd))

    def prepare_alike(self, scores: Floats, known: npt.NDArray[np.bool_]) -> Prepared:
        """As ``prepare``, faster where many rows share a mask."""
        mean, sd = self.copula.conditional(scores, known)
        seen = known[:, self.copula.owner]
        z, m = np.where(seen, np.nan_to_num(scores), 0), seen.astype("f4")
        arrays = (z, m, np.where(seen, 0, mean), np.where(seen, 1, sd))
        return Prepared(*(torch.from_numpy(np.asarray(a, "f4")) for a in arrays))

    def forward(
        self,
        batch: Prepared,
        numeric: Tensor | None = None,
        discrete: Tensor | None = None,
        members: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Log probabilities, very low in the padding.

        Args:
            batch: see ``Prepared``.
            numeric: which of the numeric columns; None is all of them.
            discrete: which of the others; None is all of them.
            members: which members of the ensemble; None is all of them.

        Returns:
            Of the bins of numeric columns (members, n, numeric, k), and of the levels of the others
            (members, n, discrete, l).
        """
        x = self.features(batch)
        every = numeric is None and discrete is None
        numeric = self.every_number if numeric is None else numeric
        discrete = self.every_level if discrete is None else discrete
        size = 1 + self.level.shape[1]
        first = numeric[:, None] * self.per_number + torch.arange(self.per_number)
        rest = self.per_number * len(self.numeric) + discrete[:, None] * size + torch.arange(size)
        outputs = None if every else torch.cat([first.flatten(), rest.flatten()])
        own = self.own[numeric]
        rough = own < self.bins
        told = []
        for m in range(len(self.members)) if members is None else members:
            found = self.members[m](x, outputs, numeric, own[rough])
            told.append(self._heads(found, batch, numeric, discrete, rough))
        return torch.stack([t[0] for t in told]), torch.stack([t[1] for t in told])

    def _heads(
        self,
        found: tuple[Tensor, Tensor | None, Tensor | None],
        batch: Prepared,
        numeric: Tensor,
        discrete: Tensor,
        rough: Tensor,
    ) -> tuple[Tensor, Tensor]:
        (out, shift, own), count = found, len(numeric)
        out = out.float()
        numbers = out[:, : count * self.per_number].reshape(len(out), count, self.per_number)
        rest = out[:, count * self.per_number :].reshape(len(out), len(discrete), 1 + self.level.shape[1])
        at = self.numeric_at[numeric]
        mean, sd = batch.mean[:, at], batch.sd[:, at]
        middle = mean + sd * (numbers[..., 0] if shift is None else numbers[..., 0] + shift)
        width = sd * numbers[..., 1].clamp(-3, 3).exp()
        ends = torch.special.ndtr((self.edges[numeric] - middle[..., None]) / width[..., None])
        base = (ends[..., 1:] - ends[..., :-1]).clamp_min(1e-7).log()
        extra = torch.einsum("njc,jkc->njk", numbers[..., 2:], self.bumps[numeric])
        logits = base + extra
        if own is not None:
            flat = logits.reshape(len(out), -1).index_add(1, rough.flatten().nonzero()[:, 0], own.float())
            logits = flat.reshape(base.shape)
        if (self.features.partner[numeric] >= 0).any():
            zero, more = self.features.zero(batch, numeric)
            # not forbidden: somebody may say that it is so, and then has to have some likelihood
            logits = logits - RARE * zero[..., None]
            first = logits[..., :1] + RARE * (zero.float() - more.float())[..., None]
            logits = torch.cat([first, logits[..., 1:]], -1)
        logits = logits.masked_fill(self.real[numeric] == 0, -1e4)
        return logits.log_softmax(-1), self.levels(rest, batch, discrete)

    def levels(self, rest: Tensor, batch: Prepared, discrete: Tensor) -> Tensor:
        """Log probabilities of levels: intervals of one latent, or for a categorical column one latent each.

        Args:
            rest: what a member says of the columns, shape (n, discrete, 1 + levels).
            batch: see ``Prepared``.
            discrete: which of the columns that are no numbers.

        Returns:
            Shape (n, discrete, levels).
        """
        place = self.place[discrete]
        thresholds, level_mean, level_sd = self.thresholds[discrete], batch.mean[:, place], batch.sd[:, place]
        passed = torch.special.ndtr((thresholds - level_mean[..., :1]) / level_sd[..., :1])
        interval = (passed[..., 1:] - passed[..., :-1]).clamp_min(1e-6)
        apart = torch.special.ndtr((level_mean - thresholds[:, :-1]) / level_sd).clamp_min(1e-6)
        p = torch.where(self.is_categorical[discrete][:, None] > 0, apart, interval)
        told = p.log() * rest[..., :1].clamp(-3, 1).exp() + rest[..., 1:]
        told = told.masked_fill(self.level[discrete] == 0, -1e4)
        return told.log_softmax(-1)


def _rough(margin: Margin) -> bool:
    """Whether it is a count, or many people are in bins a good deal fuller, per unit, than those around."""
    share = np.diff(margin.bin_edges)[1:-1]
    density = share / np.diff(margin.edges[margin.bins])
    around = [np.median(density[max(0, k - 2) : k + 3]) for k in range(len(density))]
    return margin.column.kind is Kind.COUNT or bool(share[density > _OUT * np.array(around)].sum() >= _ROUGH)


def _numeric_tables(margin: Margin) -> tuple[Floats, Floats]:
    """Scores at the bins' bounds (k + 1,), and the shapes that can be added over the bins (k, c)."""
    bounds = margin.bin_edges
    edges = np.clip(ndtri(bounds), -_FAR, _FAR)
    z = ndtri(np.clip((bounds[1:] + bounds[:-1]) / 2, 1e-4, 1 - 1e-4))
    centres = np.linspace(-2.4, 2.4, _BUMPS)
    bumps = np.exp(-0.5 * ((z[:, None] - centres) / (centres[1] - centres[0])) ** 2)
    share = np.diff(bounds)
    heavy = np.zeros((len(z), _HEAVY))
    for j, k in enumerate(np.argsort(share)[::-1][:_HEAVY]):
        heavy[k, j] = 1.0 if share[k] > 0.06 else 0.0
    return edges, np.concatenate([bumps, 0.3 * z[:, None], heavy], 1)


def _padded(rows: list[Floats], fill: float, size: int) -> Floats:
    """Rows of different lengths as one array; at least ``size`` wide, also without any row."""
    size = max([size, *(len(r) for r in rows)])
    padded = [np.concatenate([r, np.full(size - len(r), fill)]) for r in rows]
    return np.stack(padded) if padded else np.empty((0, size))


def _padded3(rows: list[Floats]) -> Floats:
    size = max([1, *(len(r) for r in rows)])
    padded = [np.concatenate([r, np.zeros((size - len(r), r.shape[1]))]) for r in rows]
    return np.stack(padded) if padded else np.empty((0, size, _BUMPS + 1 + _HEAVY))
