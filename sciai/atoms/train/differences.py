"""How far differences of energies are off: errors of structures that are alike cancel.

A difference is a sum of energies with factors that leave no atom over: a barrier (top minus beginning), a
surface (slab minus bulk), an adsorption energy, one polymorph against another. Two things that the network
says of it tell its error better than the spreads of the whole energies do: how much the surroundings of the
atoms change, and how far the heads of the readout disagree *on the difference*. What they are worth in eV is
measured on pairs of structures that were not learned from (``fit``).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sciai.core.errors import BadInput

__all__ = ["Pair", "Related", "Told", "composition", "fit", "pairs_of", "told_of", "weights"]

Floats = NDArray[np.float64]
NINETY: Final = 1.645
"""Standard deviations to either side that hold nine of ten cases of a normal distribution."""
LEAST: Final = 0.001
"""eV; added in quadrature: labels themselves are not better than that."""
SAME: Final = 1e-5
"""Change of surroundings below which two structures are one; what their labels differ by is not our error."""
FEWEST: Final = 10
"""Compositions below which nine of ten cannot be told."""


@dataclass(frozen=True)
class Told:
    """What a network says of one structure, as far as differences need it.

    Attributes:
        energy: eV.
        heads: by each head of the readout, eV; only their differences among each other count.
        surroundings: descriptors summed over the atoms, shape (d,).
        sd: standard deviation of the whole energy, eV; NaN where it is not asked for.
    """

    energy: float
    heads: Floats
    surroundings: Floats
    sd: float = math.nan


@dataclass(frozen=True)
class Pair:
    """A difference of two structures of one composition, and how far it is off.

    Attributes:
        name: set of data that it is from.
        composition: what both consist of.
        change: of the surroundings, in spreads of descriptors.
        heads: standard deviation of the heads' differences, eV.
        error: predicted minus labelled difference, eV.
        atoms: in the larger structure, to which the smaller one is scaled.
        whole: what the spreads of both whole energies would make of it, eV.
    """

    name: str
    composition: Hashable
    change: float
    heads: float
    error: float
    atoms: int
    whole: float = math.nan


@dataclass(frozen=True)
class Related:
    """The error that differences usually have, from what a network says of them.

    Attributes:
        surroundings: eV for a change of surroundings of 1.
        heads: factor on the heads' disagreement.
        pairs: it was measured on.
        compositions: that these are of.
        against: what they were compared with.
        scale: spread of each descriptor, which a change is counted in, shape (d,).
        path: what barriers are off beyond that, eV: where a molecule turns about a bond, hardly anything that
            the network sees changes.

    >>> Related(0.3, 4.0, 700, 50, "DFT").spread(1.0, 0.1)
    0.5
    """

    surroundings: float
    heads: float
    pairs: int
    compositions: int
    against: str
    scale: Floats = field(default_factory=lambda: np.ones(1), repr=False, compare=False)
    path: float = 0.0

    @classmethod
    def of(cls, said: Mapping[str, Any] | None, scale: ArrayLike = 1.0) -> Related | None:
        """From what ``fit`` wrote; None where it was never measured.

        Args:
            said: as on the card.
            scale: spread of each descriptor, shape (d,).
        """
        if not said:
            return None
        return cls(
            float(said["surroundings"]),
            float(said["heads"]),
            int(said["pairs"]),
            int(said["compositions"]),
            str(said["against"]),
            np.asarray(scale, float),
            float((said.get("path") or {}).get("sd", 0.0)),
        )

    def spread(self, change: float, heads: float) -> float:
        """Standard deviation of a difference, eV.

        Args:
            change: of the surroundings, as ``told_of`` gives it.
            heads: disagreement of the heads on it, eV.
        """
        return math.hypot(self.surroundings * change, self.heads * heads)


def told_of(parts: Sequence[tuple[float, Told]], scale: ArrayLike) -> tuple[float, float, float]:
    """Energy of a sum of structures (eV), change of the surroundings, disagreement of the heads (eV).

    Args:
        parts: factor and what the network says; the factors leave no atom over.
        scale: spread of each descriptor over what was learned, shape (d,).

    >>> one = Told(1.0, np.array([0.9, 1.1]), np.array([2.0, 0.0]))
    >>> two = Told(0.5, np.array([0.5, 0.5]), np.array([0.0, 0.0]))
    >>> energy, change, heads = told_of([(1, one), (-2, two)], [1.0, 1.0])
    >>> energy, round(change, 3), round(heads, 3)
    (0.0, 1.414, 0.141)
    """
    energy = sum(factor * told.energy for factor, told in parts)
    moved = np.sum([factor * told.surroundings for factor, told in parts], axis=0) / np.asarray(scale, float)
    heads = np.sum([factor * told.heads for factor, told in parts], axis=0)
    apart = float(heads.std(ddof=1)) if len(heads) > 1 else 0.0
    return float(energy), float(np.sqrt(np.mean(moved**2))), apart


def composition(numbers: ArrayLike) -> tuple[tuple[int, int], ...]:
    """What a structure consists of, whatever its size.

    >>> composition([11, 17, 11, 17]), composition([17, 11])
    (((11, 1), (17, 1)), ((11, 1), (17, 1)))
    """
    elements, counts = np.unique(np.asarray(numbers, np.int64), return_counts=True)
    common = int(np.gcd.reduce(counts))
    return tuple((int(z), int(n) // common) for z, n in zip(elements, counts, strict=True))


def pairs_of(
    structures: Sequence[tuple[str, ArrayLike, float, Told]], scale: ArrayLike, most: int = 40, seed: int = 0
) -> list[Pair]:
    """Pairs of structures of one composition and one set.

    Args:
        structures: set, atomic numbers, labelled energy (eV), and what the network says.
        scale: spread of each descriptor.
        most: pairs of one composition; a long trajectory is not more evidence than a short one.
        seed: picks them.
    """
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, Hashable], list[int]] = {}
    for k, (name, numbers, energy, _) in enumerate(structures):
        if math.isfinite(energy):
            groups.setdefault((name, composition(numbers)), []).append(k)
    out = []
    for (name, what), members in groups.items():
        chosen = list(itertools.combinations(members, 2))
        if len(chosen) > most:
            chosen = [chosen[k] for k in rng.choice(len(chosen), most, replace=False)]
        for i, j in chosen:
            large, small = sorted((i, j), key=lambda k: -np.size(structures[k][1]))
            atoms = int(np.size(structures[large][1]))
            ratio = atoms / np.size(structures[small][1])
            told = told_of([(1.0, structures[large][3]), (-ratio, structures[small][3])], scale)
            if told[1] > SAME:
                wrong = told[0] - (structures[large][2] - ratio * structures[small][2])
                whole = math.hypot(structures[large][3].sd, ratio * structures[small][3].sd)
                out.append(Pair(name, what, told[1], told[2], float(wrong), atoms, float(whole)))
    return out


def weights(pairs: Sequence[Pair]) -> Floats:
    """Every set counts the same, in a set every composition, in a composition every pair; they sum to 1."""
    each = Counter((p.name, p.composition) for p in pairs)
    sets = Counter(name for name, _ in each)
    return np.array([1 / each[p.name, p.composition] / sets[p.name] for p in pairs]) / max(len(sets), 1)


def fit(pairs: Sequence[Pair], against: str, alpha: float = 0.1) -> dict[str, Any] | None:
    """What a change of surroundings and the heads' disagreement are worth, so that 1 - alpha are covered.

    Their ratio is the likeliest under Student's distribution with four degrees of freedom, as some labels are
    failures; the size of both is the conformal quantile, with a composition more that may be anything.

    Args:
        pairs: of structures that were not learned from.
        against: what the labels are.
        alpha: share that may be further off than 1.645 of the spread.

    Returns:
        As ``Related.of`` reads it, with the ``sets``; None for fewer than ten compositions.

    Raises:
        BadInput: errors that are no numbers.
    """
    from scipy.optimize import minimize
    from scipy.stats import t

    groups = {(p.name, p.composition) for p in pairs}
    if len(groups) < FEWEST:
        return None
    change, heads, error = (np.array([getattr(p, n) for p in pairs]) for n in ("change", "heads", "error"))
    if not np.isfinite(error).all():
        raise BadInput("an error of a difference is no number", field="pairs")
    share, error = weights(pairs), np.abs(error)

    def sd(logs: Floats) -> Floats:
        both = np.square([math.exp(logs[0]) * change, math.exp(logs[1]) * heads, np.full(len(error), LEAST)])
        return np.asarray(np.sqrt(both.sum(0)))

    def unlikely(logs: Floats) -> float:
        s = sd(logs)
        return float(share @ (np.log(s) - t.logpdf(error / s, 4)))

    start = [math.log(np.median(error) / max(float(np.median(x)), 1e-9) / 2) for x in (change, heads)]
    best = np.asarray(minimize(unlikely, start, method="Nelder-Mead").x)
    ratio = error / sd(best)
    order = np.argsort(ratio)
    reached = np.cumsum(share[order]) >= (1 - alpha) * (1 + 1 / len(groups))
    factor = float(ratio[order][int(np.argmax(reached)) if reached.any() else -1]) / NINETY
    return {
        "surroundings": factor * math.exp(best[0]),
        "heads": factor * math.exp(best[1]),
        "pairs": len(pairs),
        "compositions": len(groups),
        "sets": sorted({p.name for p in pairs}),
        "against": against,
    }
