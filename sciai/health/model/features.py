"""What the neural joint model sees of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from torch import Tensor, nn

from sciai.health.model.copula import Copula

if TYPE_CHECKING:
    from sciai.health.model.network import Prepared

__all__ = ["RATIOS", "ZERO_TOGETHER", "Features"]

Floats = npt.NDArray[np.float64]

RATIOS: tuple[Mapping[str, int], ...] = (
    {"hemoglobin": 1, "mcv": -1},  # the red cells' number, were each as full as it usually is
    {"rbc": 1, "mcv": 1},  # haematocrit
    {"hemoglobin": 1, "rbc": -1},  # mean corpuscular haemoglobin
    {"weight_kg": 1, "height_cm": -2},  # body mass index
    {"waist_cm": 1, "height_cm": -1},
    {"sbp": 1, "dbp": -1},
    {"ast": 1, "alt": -1},  # De Ritis
    {"chol_total": 1, "hdl": -1},
    {"bun": 1, "creatinine": -1},
)
"""Products of powers of values, by name of the column."""

ZERO_TOGETHER: tuple[tuple[str, str], ...] = (("alcohol_days_per_year", "alcohol_drinks_per_day"),)
"""Pairs of counts that are two answers to one question: both are 0, or neither is."""

ERA = "cycle"
_KNOTS = (-2.0, -1.2, -0.4, 0.4, 1.2, 2.0)  # of the hinges, in scores
_GRID = np.linspace(-4.5, 4.5, 73)  # scores at which logarithms of values are tabled
_SHARED = 0.25  # share of people from which a value is one that very many share
_SAME = 1e-3  # scores that are equal


class Features(nn.Module):
    """Known scores, also bent through hinges; which columns are known; the copula's normals of the others;
    whether a known value is one that very many share (no alcohol, no cigarettes); and the logarithms of
    ``RATIOS`` whose columns are all known, since they are no sums of what single scores tell.

    Args:
        copula: what the network starts from.
        numeric: places of the numeric columns.
        plain: without shared values and ratios.

    Attributes:
        size: number of features.
        partner: of each number, the place of the one that is 0 together with it; -1 where there is none.
        habits: places of those that say how values are told and written down: the era, and shared values.
    """

    numeric_at: Tensor
    logs: Tensor
    powers: Tensor
    shared_at: Tensor
    partner: Tensor

    def __init__(self, copula: Copula, numeric: Sequence[int], plain: bool = False) -> None:
        super().__init__()
        self.register_buffer(
            "numeric_at",
            torch.from_numpy(copula.starts[:-1][list(numeric)].astype(np.int64)),
            persistent=False,
        )
        margins = [copula.layout.margins[i] for i in numeric]
        tops = [(j, np.diff(m.bin_edges)) for j, m in enumerate(margins)]
        shared = [] if plain else [(j, int(p.argmax())) for j, p in tops if p.max() >= _SHARED]
        self.shared = [j for j, _ in shared]
        self._buffer("shared_at", [_middle(copula, numeric[j], k) for j, k in shared])
        self.register_buffer("partner", _partners(copula, numeric, self.shared), persistent=False)
        logs, powers, self.taken = _ratios(copula, [] if plain else numeric)
        self._buffer("logs", logs)
        self._buffer("powers", powers)
        before = 4 * len(copula.owner) + len(_KNOTS) * len(numeric) + 2 * len(powers)
        self.size = before + len(shared)
        era = copula.span(copula.schema.index(ERA)) if ERA in copula.schema else slice(0, 0)
        self.habits = [*range(era.start, era.stop), *range(before, self.size)]

    def _buffer(self, name: str, array: Any) -> None:
        # not persistent: they follow from the copula, which the checkpoint holds
        self.register_buffer(name, torch.as_tensor(np.asarray(array), dtype=torch.float32), persistent=False)

    def forward(self, batch: Prepared) -> Tensor:
        """Shape (n, size)."""
        z = batch.scores[:, self.numeric_at]
        known = batch.known[:, self.numeric_at]
        hinges = [torch.relu(z - k if k >= 0 else k - z) * known for k in _KNOTS]
        log_sd = batch.sd.log() * (1 - batch.known)
        parts = [batch.scores, batch.known - 0.5, batch.mean, log_sd, *hinges]
        if self.taken:
            parts += self._of(z[:, self.taken], known[:, self.taken])
        if self.shared:
            same = ((z[:, self.shared] - self.shared_at).abs() < _SAME).float()
            parts.append(same * known[:, self.shared])
        return torch.cat(parts, 1)

    def zero(self, batch: Prepared, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Whether a number is 0, and whether it is not, as its partner tells where known; (n, numbers)."""
        partner = self.partner[numbers]
        at = self.numeric_at[partner.clamp_min(0)]
        zero_at = torch.full_like(self.numeric_at, torch.nan, dtype=torch.float32)
        zero_at[self.shared] = self.shared_at
        known = (batch.known[:, at] > 0) & (partner >= 0)
        zero = (batch.scores[:, at] - zero_at[partner.clamp_min(0)]).abs() < _SAME
        return known & zero, known & ~zero

    def _of(self, z: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the ratios whose columns are all known (else 0), and whether they are."""
        place = ((z - _GRID[0]) / (_GRID[1] - _GRID[0])).clamp(0, len(_GRID) - 1.001)
        low = place.long()
        columns = torch.arange(len(self.taken))
        below, above = self.logs[columns, low], self.logs[columns, low + 1]
        log = below + (place - low) * (above - below)
        all_known = ((1 - known) @ (self.powers != 0).float().T < 0.5).float()
        return (log @ self.powers.T) * all_known, all_known - 0.5


def _partners(copula: Copula, numeric: Sequence[int], shared: Sequence[int]) -> Tensor:
    """Of each number, the place of its partner of ``ZERO_TOGETHER``, if 0 is what very many share of both."""
    names = [copula.schema.names[i] for i in numeric]
    partner = torch.full((len(names),), -1)
    for pair in ZERO_TOGETHER:
        places = [names.index(name) for name in pair if name in names]
        first = [copula.layout.margins[numeric[j]].bin_of([0, 1]).tolist() == [0, 1] for j in places]
        if len(places) == 2 and all(first) and set(places) <= set(shared):
            partner[places[0]], partner[places[1]] = places[1], places[0]
    return partner


def _middle(copula: Copula, i: int, k: int) -> float:
    """Standardised score of the value in the middle of bin k of column i."""
    margin = copula.layout.margins[i]
    value = margin.quantile((margin.bin_edges[k] + margin.bin_edges[k + 1]) / 2)
    return float(copula.score(i, np.round([value], margin.column.decimals))[0, 0])


def _ratios(copula: Copula, numeric: Sequence[int]) -> tuple[Floats, Floats, list[int]]:
    """Ratios whose columns are all there.

    Returns:
        Logarithm of the value at each score of the grid (columns, grid), less its middle; powers, divided by
        the standard deviation that the ratio has in the copula (ratios, columns); places of the columns
        among the numbers.
    """
    names = [copula.schema.names[i] for i in numeric]
    usable = [r for r in RATIOS if all(name in names for name in r)]
    needed = sorted({name for r in usable for name in r})
    columns = [copula.schema.index(name) for name in needed]
    logs = np.empty((len(columns), len(_GRID)))
    for k, i in enumerate(columns):
        margin = copula.layout.margins[i]
        value = margin.quantile(ndtr(copula.unscaled(i, _GRID)))
        logs[k] = np.log(np.maximum(value, 0.5 * 10.0**-margin.column.decimals))
        logs[k] -= logs[k, len(_GRID) // 2]
    powers = np.array([[float(r.get(name, 0)) for name in needed] for r in usable])
    powers = powers.reshape(len(usable), len(needed))
    at = copula.starts[:-1][columns] if columns else np.empty(0, int)
    share = np.exp(-0.5 * _GRID**2)
    spread = np.sqrt((logs**2 * share).sum(1) / share.sum())
    covariance = copula.correlation[np.ix_(at, at)] * np.outer(spread, spread)
    sd = np.sqrt(np.maximum(np.einsum("rc,cd,rd->r", powers, covariance, powers), 1e-6))
    return logs, powers / sd[:, None], [names.index(name) for name in needed]
