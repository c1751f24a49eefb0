"""What a potential learned from, as far as its checks need it: elements, pairs, distances, surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.trust.conformal import quantile
from sciai.trust.support import Distance, KnnOfKind, Support

if TYPE_CHECKING:
    from sciai.atoms.checks.scene import Scene

__all__ = ["TIERS", "Evidence", "Surroundings"]

TIERS: Final = ("unknown", "experimental", "limited", "supported")
"""How well an element is known: by nothing, by equations of state only, a little, well."""

HEAVIEST: Final = 118
Floats = npt.NDArray[np.float64]
NOBODY: Final = np.zeros(0, np.int64)
NOWHERE: Final = np.zeros(0)


@dataclass(frozen=True)
class Surroundings:
    """How far an atom's surroundings, as the network sees them, lie from those learned around its element.

    Attributes:
        measure: distance of descriptors to those learned of atoms of the same element, which is the last
            feature (``sciai.trust.support.KnnOfKind``).
        held_out: distances of atoms that were held out, shape (m,).
        rate: share of known atoms that may raise an alarm.

    Example:
        >>> from sciai.trust.support import KnnOfKind
        >>> known = np.column_stack([np.linspace(0, 1, 200), np.full(200, 8)])
        >>> around = Surroundings.of(Support.fit(KnnOfKind.fit(known, 3), known + [0.001, 0]), rate=0.01)
        >>> (around.distance([[0.5], [9.0]], [8, 8]) > around.limit).tolist()
        [False, True]
    """

    measure: Distance
    held_out: Floats
    rate: float = 0.001

    @classmethod
    def of(cls, support: Support, rate: float = 0.001) -> Surroundings:
        """From a calibrated support, whose held-out cases are atoms.

        A structure has many atoms, so the rate for each is lower than one would take for a single case.

        Args:
            support: distance and held-out distances.
            rate: share of known atoms that may raise an alarm; where too few were held out to promise it,
                the largest held-out distance is the limit.
        """
        return cls(support.measure, support.held_out, rate)

    @cached_property
    def limit(self) -> float:
        """Distance beyond which an atom is called far."""
        found = quantile(self.held_out, self.rate)
        return found if np.isfinite(found) else float(self.held_out.max())

    def distance(self, descriptor: npt.ArrayLike, numbers: npt.ArrayLike) -> Floats:
        """Distance of each atom, shape (n,); infinite where its descriptor is not finite or its element new.

        Args:
            descriptor: of atoms, shape (n, d).
            numbers: their atomic numbers, shape (n,).
        """
        return self.measure.distance(np.column_stack([np.asarray(descriptor, float), np.asarray(numbers)]))

    def far(self, descriptor: npt.ArrayLike, numbers: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], Floats]:
        """Atoms beyond the limit, the farthest first, and their distances; both of shape (far,).

        Args:
            descriptor: of all atoms, shape (n, d).
            numbers: their atomic numbers, shape (n,).
        """
        rows, kinds = np.asarray(descriptor, float), np.asarray(numbers, np.int64)
        if isinstance(self.measure, KnnOfKind):
            beyond = self.measure.beyond(rows, kinds, self.limit)
            if not np.count_nonzero(beyond):
                return NOBODY, NOWHERE
            found = np.flatnonzero(beyond)
        else:
            found = np.arange(len(rows))
        distance = self.distance(rows[found], kinds[found])
        out = np.flatnonzero(distance > self.limit)
        order = out[np.argsort(-distance[out], kind="stable")]
        return found[order].astype(np.int64), distance[order]


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
        levels: which atomic numbers its data compute at another level of theory (PBE+U), and beside which
            others, each bool (119,); None where all is one level (see ``sciai.atoms.data.levels``).

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
    levels: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None

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

    def near(self, close: float, margin: float) -> Floats:
        """Squared distance below which a pair of elements is worth a word, Å^2, shape (119, 119).

        Infinite where the two were never seen together; to be sure, one that is at its limit counts.

        Args:
            close: share of the sum of covalent radii that is unusually close.
            margin: a pair may be this share closer than the closest one learned from.
        """
        from ase.data import covalent_radii

        radii = np.asarray(covalent_radii[: HEAVIEST + 1], float)
        limits = close * (radii[:, None] + radii)
        if self.closest is not None:
            seen = np.full(limits.shape, np.inf)
            seen[: len(self.closest), : len(self.closest)] = self.closest
            limits = np.maximum(limits, seen * (1 - margin))
        return np.asarray(limits**2 * (1 + 1e-9))

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
