"""What an answer holds: the whole distribution of a quantity for one person, not a point."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer
from sciai.core.errors import BadInput

__all__ = ["QUANTILES", "Distribution", "HealthAnswer", "Told"]

Floats = npt.NDArray[np.float64]

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""The quantiles that an answer lists."""


@dataclass(frozen=True)
class Distribution:
    """How a quantity is distributed for a person of whom some things are known.

    Attributes:
        name: the column.
        label: its name in words.
        unit: UCUM unit of all numbers here; empty for yes/no and categories.
        kind: continuous, count, ordinal, binary or categorical.
        mean: expected value; P(yes) for yes/no; NaN for a category.
        sd: standard deviation; NaN for a category.
        interval: the 90 % interval; for yes/no of the probability itself (how sure the risk is), for a
            category NaN (see ``likely``).
        coverage: what the interval is meant to cover.
        conformal: whether the interval was calibrated on held-out people (else it is the model's own).
        quantiles: level -> value, for numbers.
        probabilities: level's name -> probability, for yes/no, ordinal and categorical columns.
        grid: values at which ``density`` is given, shape (k,), for pictures of numbers.
        density: per unit, shape (k,).
        spread: epistemic standard deviation of ``mean``: how much the model's members disagree.

    >>> told = Distribution("dx_gout", "Gout", "", "binary", 0.1, 0.3, (0.07, 0.14),
    ...                     probabilities={"no": 0.9, "yes": 0.1})
    >>> print(told)
    Gout: 10 % (7 % to 14 %)
    """

    name: str
    label: str
    unit: str
    kind: str
    mean: float
    sd: float
    interval: tuple[float, float]
    coverage: float = 0.9
    conformal: bool = False
    quantiles: Mapping[float, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    grid: Floats = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    density: Floats = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    spread: float = 0.0

    @property
    def median(self) -> float:
        """The 50 % quantile; NaN for yes/no and categories."""
        return float(self.quantiles.get(0.5, math.nan))

    @property
    def probability(self) -> float:
        """P(yes).

        Raises:
            BadInput: when the column is not a yes/no one.
        """
        if self.kind != "binary":
            raise BadInput(f"{self.name} is not a yes/no column", field=self.name, fix="use .probabilities")
        return self.mean

    @property
    def likely(self) -> tuple[str, ...]:
        """The fewest levels that together reach the coverage, most likely first; empty for numbers."""
        chosen: list[str] = []
        total = 0.0
        for name, p in sorted(self.probabilities.items(), key=lambda item: -item[1]):
            if total >= self.coverage - 1e-9:
                break
            chosen.append(name)
            total += p
        return tuple(chosen)

    def percentile(self, value: float) -> float:
        """Share of people like this one who lie below a value, 0 to 100; NaN without a density.

        It agrees with ``quantiles``; between two of them it follows the density.

        Args:
            value: in ``unit``.
        """
        if len(self.grid) < 2:
            return math.nan
        steps = np.diff(self.grid) * (self.density[1:] + self.density[:-1]) / 2
        below = np.concatenate([[0.0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-300)
        ends = [min(value, float(self.grid[0])), *self.quantiles.values(), max(value, float(self.grid[-1]))]
        shares = [0.0, *self.quantiles, 1.0]
        k = min(max(int(np.searchsorted(ends, value, "right")), 1), len(ends) - 1)
        low, here, high = np.interp([ends[k - 1], value, ends[k]], self.grid, below).tolist()
        if high - low <= 1e-6:  # the picture is too coarse here
            low, here, high = ends[k - 1], value, ends[k]
        inside = (here - low) / (high - low) if high > low else 0.5
        return 100 * float(shares[k - 1] + inside * (shares[k] - shares[k - 1]))

    def __str__(self) -> str:
        low, high = self.interval
        if self.kind == "binary":
            return f"{self.label}: {percent(self.mean)} ({percent(low)} to {percent(high)})"
        if math.isnan(self.mean):
            parts = (f"{name} {percent(self.probabilities[name])}" for name in self.likely)
            return f"{self.label}: {', '.join(parts)}"
        if self.probabilities:  # levels in an order: the number of a level means nothing to a reader
            names = list(self.probabilities)
            likely, first, last = names[round(self.median)], names[round(low)], names[round(high)]
            return f"{self.label}: {likely} ({first} to {last})"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.label}: {self.median:.4g}{unit} ({low:.4g} to {high:.4g})"

    def _repr_html_(self) -> str:
        from sciai.health.api.html import distribution_html

        return distribution_html(self)


class Told(Mapping[str, Distribution]):
    """Column -> its distribution; what ``ask`` answers."""

    def __init__(self, parts: Mapping[str, Distribution]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Distribution:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def items(self) -> ItemsView[str, Distribution]:
        """Columns and their distributions."""
        return self._parts.items()  # Mapping's own looks each name up

    def __str__(self) -> str:
        return "\n".join(str(part) for part in self.values())


class HealthAnswer(Answer[Any]):
    """An answer that shows itself in a notebook; ``answer["egfr"]`` is the distribution of one target."""

    @classmethod
    def of(cls, answer: Answer[Any]) -> HealthAnswer:
        """The same answer, able to show itself."""
        return cls(answer.estimate, answer.findings, answer.provenance)

    def __getitem__(self, name: str) -> Any:
        """One part of the value.

        Raises:
            Refused: when the answer was refused.
            BadInput: when it is no part of the answer.
        """
        value = self.unwrap()
        if isinstance(value, Mapping) and name not in value:
            raise BadInput(f"{name} is not in this answer", fix=f"it has {', '.join(value)}")
        return value[name]

    def __str__(self) -> str:
        shown = [str(self.unwrap())] if self.level < 2 else ["no answer"]
        return "\n".join([*shown, *(str(f) for f in self.findings if f.level > 0)])

    def _repr_html_(self) -> str:
        from sciai.health.api.html import answer_html

        return answer_html(self)


def percent(p: float) -> str:
    """A probability as people read it.

    >>> percent(0.1234), percent(0.004), percent(0.0001)
    ('12 %', '0.4 %', '< 0.1 %')
    """
    if not math.isfinite(p):
        return "?"
    if p < 0.001:
        return "< 0.1 %"
    return f"{100 * p:.0f} %" if p >= 0.0995 else f"{100 * p:.1f} %".replace(".0 %", " %")
