"""What a codec may look at while encoding: planes that it declared and that are already coded, no others.

A codec that looks at an undeclared plane would work while everything is in memory and fail, or fetch half the
store, when one plane is read; so it fails here, at once.
"""

from __future__ import annotations

from sciai.radar.api.planes import StoredSweep
from sciai.radar.api.source import SweepSource
from sciai.radar.model.interface import F32, I32, U8, Kind, QuantSpec

__all__ = ["Planes", "PreviousView", "View"]


class Planes:
    """Planes of one sweep as the decoder will see them."""

    def __init__(self, source: SweepSource) -> None:
        self.source = source
        self.masks: dict[str, U8] = {}
        self.indices: dict[str, I32] = {}
        self.specs: dict[str, QuantSpec] = {}
        self.values: dict[str, F32] = {}  # of the source, dropped once coded


class View:
    """`SweepContext` while encoding: what was declared and is already coded, nothing else."""

    def __init__(
        self,
        planes: Planes,
        allowed: frozenset[tuple[str, Kind]],
        below: View | None = None,
        previous: PreviousView | None = None,
    ) -> None:
        self._planes = planes
        self._allowed = allowed
        self.below = below
        self.previous = previous
        self.shape = planes.source.shape
        self.full_circle = planes.source.full_circle
        self.variables = planes.source.fields

    def mask(self, var: str) -> U8:
        """Mask of a field."""
        if (var, "mask") not in self._allowed:
            raise KeyError(f"the mask of {var} was not declared, or is coded later")
        return self._planes.masks[var]

    def indices(self, var: str) -> I32:
        """Indices of a field."""
        if (var, "values") not in self._allowed:
            raise KeyError(f"the values of {var} were not declared, or are coded later")
        return self._planes.indices[var]

    def spec(self, var: str) -> QuantSpec:
        """Quantiser of a field."""
        if (var, "values") not in self._allowed:
            raise KeyError(f"the values of {var} were not declared, or are coded later")
        return self._planes.specs[var]


class PreviousView:
    """A sweep of the previous volume, limited to what was declared."""

    def __init__(self, stored: StoredSweep, allowed: frozenset[tuple[str, Kind]]) -> None:
        self._stored = stored
        self._allowed = allowed
        self.shape = stored.shape
        self.full_circle = stored.full_circle
        self.variables = stored.variables
        self.below = None
        self.previous = None

    def mask(self, var: str) -> U8:
        """Mask of a field."""
        self._check(var, "mask")
        return self._stored.mask(var)

    def indices(self, var: str) -> I32:
        """Indices of a field."""
        self._check(var, "values")
        return self._stored.indices(var)

    def spec(self, var: str) -> QuantSpec:
        """Quantiser of a field."""
        self._check(var, "values")
        return self._stored.spec(var)

    def _check(self, var: str, kind: Kind) -> None:
        if (var, kind) not in self._allowed:
            raise KeyError(f"{kind} of {var} of the previous volume was not declared")
