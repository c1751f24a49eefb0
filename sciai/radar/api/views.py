"""What a codec may look at while encoding: planes that it declared and that are already coded, no others.

A codec that looks at an undeclared plane would work while everything is in memory and fail, or fetch half the
store, when one plane is read; so it fails here, at once.
"""

from __future__ import annotations

from sciai.radar.api.planes import PlaneReader
from sciai.radar.api.source import SweepSource
from sciai.radar.api.stored import StoredSweep
from sciai.radar.model.interface import F32, I32, U8, Kind, QuantSpec

__all__ = ["Planes", "PreviousView", "View"]


class Planes:
    """Planes of one sweep as the decoder will see them.

    Args:
        source: The sweep.
        stored: Reader of planes that an earlier pass has written and this one keeps.
    """

    def __init__(self, source: SweepSource, stored: PlaneReader | None = None) -> None:
        self.source = source
        self.masks: dict[str, U8] = {}
        self.coded: dict[str, tuple[I32, QuantSpec]] = {}
        self.values: dict[str, F32] = {}  # of the source, dropped once coded
        self._stored = stored

    def mask(self, var: str) -> U8:
        """Mask of a field that is coded already."""
        if var not in self.masks and self._stored is not None:
            self.masks[var] = self._stored.mask(self.source.number, var)
        return self.masks[var]

    def indices(self, var: str) -> tuple[I32, QuantSpec]:
        """Indices and quantiser of a field that is coded already."""
        if var not in self.coded and self._stored is not None:
            found = self._stored.chunk(self.source.number, var, "values")
            indices = self._stored.indices(self.source.number, var, found)
            self.coded[var] = indices, found.spec or QuantSpec(0.0, 0.0)
        return self.coded[var]


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
        return self._planes.mask(var)

    def indices(self, var: str) -> I32:
        """Indices of a field."""
        if (var, "values") not in self._allowed:
            raise KeyError(f"the values of {var} were not declared, or are coded later")
        return self._planes.indices(var)[0]

    def spec(self, var: str) -> QuantSpec:
        """Quantiser of a field."""
        if (var, "values") not in self._allowed:
            raise KeyError(f"the values of {var} were not declared, or are coded later")
        return self._planes.indices(var)[1]


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
