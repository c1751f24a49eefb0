"""What a potential learned from, as far as its checks need it: elements, pairs, distances, surroundings.

It is made from the labelled structures of a training run and lies in the checkpoint, as arrays whose names
begin with ``evidence.``; a checkpoint without them answers all the same, with a finding that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput, CheckpointError
from sciai.trust.conformal import p_values, quantile
from sciai.trust.support import Mahalanobis

if TYPE_CHECKING:
    from sciai.atoms.checks.scene import Scene

__all__ = ["PREFIX", "TIERS", "Evidence", "Surroundings"]

PREFIX: Final = "evidence."
TIERS: Final = ("unknown", "experimental", "limited", "supported")
"""How well an element is known: by nothing, by equations of state only, a little, well."""

HEAVIEST: Final = 118
LEAST_ATOMS: Final = 200
"""Elements with fewer labelled atoms are measured with the distance that all elements share."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """How far an atom's surroundings, as the network sees them, lie from those learned.

    Mahalanobis distance in the leading directions of the descriptor, per element, in units of what 95 % of
    held-out atoms stay below; the limit is such that ``rate`` of held-out *structures* have any atom beyond.

    Attributes:
        center: shape (d,), subtracted from descriptors.
        directions: shape (d, k), leading directions, scaled to unit variance.
        means: shape (119, k), per element; row 0 is all elements together.
        whitens: shape (119, k, k).
        scales: shape (119,), the distance that 95 % of held-out atoms stay below; NaN where the shared row
            counts.
        worst: largest distance in each held-out structure, shape (m,).
        rate: share of known structures that may raise an alarm.
    """

    center: Floats
    directions: Floats
    means: Floats
    whitens: Floats
    scales: Floats
    worst: Floats
    rate: float = 0.01

    @property
    def limit(self) -> float:
        """Distance beyond which an atom is called far."""
        return quantile(self.worst, self.rate)

    def distance(self, numbers: npt.ArrayLike, descriptor: npt.ArrayLike) -> Floats:
        """Distance of each atom, shape (n,); infinite where the descriptor is not finite.

        Args:
            numbers: atomic numbers, shape (n,).
            descriptor: shape (n, d).
        """
        z, x = np.asarray(numbers, np.int64), np.asarray(descriptor, np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.center):
            raise CheckpointError(
                f"descriptors of shape {x.shape} for evidence of {len(self.center)} numbers"
            )
        usual = np.asarray(np.isfinite(x).all(1))
        low = np.where(usual[:, None], x - self.center, 0.0) @ self.directions
        row = np.where(np.isfinite(self.scales[np.minimum(z, HEAVIEST)]), np.minimum(z, HEAVIEST), 0)
        out = np.empty(len(z))
        for own in np.unique(row):
            at = row == own
            measured = Mahalanobis(self.means[own], self.whitens[own]).distance(low[at])
            out[at] = measured / self.scales[own]
        return np.where(usual, out, np.inf)

    def p_value(self, numbers: npt.ArrayLike, descriptor: npt.ArrayLike) -> float:
        """How usual a structure is among held-out ones, by its farthest atom."""
        return float(p_values(self.worst, self.distance(numbers, descriptor).max(initial=0.0)))

    @classmethod
    def fit(
        cls,
        learned: tuple[npt.ArrayLike, npt.ArrayLike],
        held_out: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
        *,
        directions: int = 24,
        rate: float = 0.01,
    ) -> Surroundings:
        """From atoms that were learned, and structures that were not.

        Args:
            learned: atomic numbers (n,) and descriptors (n, d).
            held_out: atomic numbers (m,), descriptors (m, d), and the structure of each atom (m,).
            directions: how many leading directions count.
            rate: share of known structures that may raise an alarm.

        Raises:
            BadInput: on too few atoms or structures.
        """
        z, x = np.asarray(learned[0], np.int64), np.asarray(learned[1], np.float64)
        zh, xh, group = (np.asarray(part) for part in held_out)
        if len(z) < 10 or len(zh) < 10 or len(z) != len(x) or not len(zh) == len(xh) == len(group):
            raise BadInput(f"{len(z)} learned and {len(zh)} held-out atoms", field="learned")
        center = x.mean(0)
        values, vectors = np.linalg.eigh(np.cov((x - center).T) + 1e-12 * np.eye(x.shape[1]))
        keep = np.argsort(values)[::-1][: min(directions, x.shape[1])]
        project = vectors[:, keep] / np.sqrt(np.maximum(values[keep], values[keep[0]] * 1e-6))
        k = len(keep)
        means, whitens = np.zeros((HEAVIEST + 1, k)), np.tile(np.eye(k), (HEAVIEST + 1, 1, 1))
        scales = np.full(HEAVIEST + 1, np.nan)
        low, low_held = (x - center) @ project, (xh - center) @ project
        for row in range(HEAVIEST + 1):
            mine, check = (z == row) | (row == 0), (zh == row) | (row == 0)
            if row and (np.count_nonzero(mine) < LEAST_ATOMS or np.count_nonzero(check) < 20):
                continue
            measure = Mahalanobis.fit(low[mine])
            means[row], whitens[row] = measure.mean, measure.whiten
            scales[row] = max(float(np.percentile(measure.distance(low_held[check]), 95)), 1e-9)
        unlimited = cls(center, project, means, whitens, scales, np.zeros(1), rate)
        each = unlimited.distance(zh, xh)
        _, place = np.unique(group, return_inverse=True)
        worst = np.zeros(place.max() + 1)
        np.maximum.at(worst, place, each)
        if (len(worst) + 1) * rate < 1:
            raise BadInput(f"a rate of {rate} from {len(worst)} held-out structures", field="rate")
        return replace(unlimited, worst=worst)


@dataclass(frozen=True)
class Evidence:
    """What a potential learned from.

    Attributes:
        learned: whether the potential is a learned one that ought to have evidence.
        tiers: tier of each atomic number (index into ``TIERS``), shape (119,); None: every element is known.
        closest: smallest distance of each pair of elements in training, Å, symmetric, shape (119, 119);
            infinite where they never were neighbours; None where not known.
        counts: labelled atoms of each element, shape (119,); None where not known.
        support: distances to the surroundings learned; None where not known.
        elements: atomic numbers a foreign potential knows; None where it does not say.

    Example:
        >>> Evidence.none().knows(1), Evidence.none().knows(0)
        (True, False)
    """

    learned: bool = False
    tiers: npt.NDArray[np.int64] | None = None
    closest: Floats | None = None
    counts: npt.NDArray[np.int64] | None = None
    support: Surroundings | None = None
    elements: frozenset[int] | None = None

    @classmethod
    def none(cls, elements: frozenset[int] | None = None) -> Evidence:
        """For a potential of which nothing is known."""
        return cls(elements=elements)

    def knows(self, z: int) -> bool:
        """Whether the potential knows an element at all."""
        if not 1 <= z <= HEAVIEST:
            return False
        if self.tiers is not None:
            return bool(self.tiers[z] > 0)
        return self.elements is None or z in self.elements

    def tier(self, z: int) -> str:
        """Tier of an element; supported where the potential has no tiers."""
        if self.tiers is None:
            return TIERS[3] if self.knows(z) else TIERS[0]
        return TIERS[int(self.tiers[z])] if 0 < z <= HEAVIEST else TIERS[0]

    def known_text(self) -> str:
        """Which elements are known, for a message.

        Example:
            >>> Evidence.none(frozenset({1, 2, 3, 8})).known_text()
            'H-Li, O'
        """
        from ase.data import chemical_symbols

        known = [z for z in range(1, HEAVIEST + 1) if self.knows(z)]
        runs: list[list[int]] = []
        for z in known:
            if runs and z == runs[-1][-1] + 1:
                runs[-1].append(z)
            else:
                runs.append([z])
        names = [
            chemical_symbols[r[0]] if len(r) == 1 else f"{chemical_symbols[r[0]]}-{chemical_symbols[r[-1]]}"
            for r in runs
        ]
        return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")

    def reason(self, scene: Scene, atom: int) -> str:
        """Why an atom's surroundings are unlike those learned, where distances show it."""
        from sciai.atoms.checks.scene import name_atom

        if self.closest is None or not len(scene.distances):
            return ""
        mine = np.flatnonzero((scene.first == atom) | (scene.second == atom))
        if not len(mine):
            return "it has no neighbour"
        z1, z2 = scene.numbers[scene.first[mine]], scene.numbers[scene.second[mine]]
        seen, d = self.closest[z1, z2], scene.distances[mine]
        other = np.where(scene.first[mine] == atom, scene.second[mine], scene.first[mine])
        new = np.flatnonzero(np.isinf(seen))
        if len(new):
            near = int(new[np.argmin(d[new])])
            return f"{name_atom(scene.atoms, int(other[near]))} beside it: a pair never seen together"
        ratio = d / seen
        if ratio.min() < 1.0:
            near = int(np.argmin(ratio))
            who = name_atom(scene.atoms, int(other[near]))
            return f"{who} at {d[near]:.2f} Å: closer than any such pair seen ({seen[near]:.2f} Å)"
        return "its pairs and distances are known, their arrangement is not"

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint stores."""
        out: dict[str, npt.NDArray[Any]] = {}
        for name in ("tiers", "counts", "closest"):
            value = getattr(self, name)
            if value is not None:
                kind = {"tiers": np.uint8, "counts": np.int64, "closest": np.float32}[name]
                out[PREFIX + name] = np.asarray(value).astype(kind)
        if self.support is not None:
            for name in _SURROUNDINGS:
                out[f"{PREFIX}support.{name}"] = np.asarray(getattr(self.support, name), np.float32)
            out[f"{PREFIX}support.rate"] = np.asarray(self.support.rate, np.float64)
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Evidence:
        """The evidence of a checkpoint; empty, and marked as learned, where it has none.

        Args:
            arrays: the checkpoint's arrays.
        """
        own = {name.removeprefix(PREFIX): a for name, a in arrays.items() if name.startswith(PREFIX)}
        support = None
        if "support.center" in own:
            parts = {name: np.asarray(own[f"support.{name}"], np.float64) for name in _SURROUNDINGS}
            support = Surroundings(**parts, rate=float(own["support.rate"]))
        return cls(
            learned=True,
            tiers=np.asarray(own["tiers"], np.int64) if "tiers" in own else None,
            closest=np.asarray(own["closest"], np.float64) if "closest" in own else None,
            counts=np.asarray(own["counts"], np.int64) if "counts" in own else None,
            support=support,
        )


_SURROUNDINGS: Final = ("center", "directions", "means", "whitens", "scales", "worst")
