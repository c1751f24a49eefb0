"""What a decoder of one chunk may look at: planes of its store that are decoded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciai.core.errors import DamagedStore
from sciai.radar.api import chunk as chunks
from sciai.radar.api.chain import decode_chain
from sciai.radar.model.interface import I32, U8, QuantSpec

if TYPE_CHECKING:
    from sciai.radar.api.planes import PlaneReader

__all__ = ["StoredSweep"]


class StoredSweep:
    """`SweepContext` over a store: what a decoder of one chunk may look at."""

    def __init__(
        self, reader: PlaneReader, sweep: int, var: str, found: chunks.Chunk, near: bool = True
    ) -> None:
        self._reader = reader
        self._sweep = sweep
        self._var = var
        self._chunk = found
        self._near = near  # only the sweep being coded sees further: what is below sees nothing below itself

    @property
    def shape(self) -> tuple[int, int]:
        """Rays, gates."""
        return self._chunk.shape

    @property
    def full_circle(self) -> bool:
        """Whether azimuth is periodic."""
        return self._chunk.full_circle

    @property
    def variables(self) -> tuple[str, ...]:
        """Fields of the sweep, sorted."""
        return self._reader.names(self._sweep, self._chunk.names)

    def mask(self, var: str) -> U8:
        """Mask of a field of this sweep."""
        self._known(var)
        return self._reader.mask(self._sweep, var)

    def indices(self, var: str) -> I32:
        """Indices of a field of this sweep."""
        self._known(var)
        return self._reader.indices(self._sweep, var)

    def spec(self, var: str) -> QuantSpec:
        """Quantiser of a field of this sweep."""
        self._known(var)
        return self._reader.chunk(self._sweep, var, "values").spec or QuantSpec(0.0, 0.0)

    @property
    def below(self) -> StoredSweep | None:
        """The sweep that the chunk was coded against."""
        number = self._chunk.below
        if not self._near or number is None:
            return None
        if number >= self._sweep:
            raise DamagedStore(
                f"{self._reader.label}: sweep_{self._sweep} refers to a sweep that comes after it"
            )
        found = self._reader.chunk(number, self._var, "mask")
        return StoredSweep(self._reader, number, self._var, found, near=False)

    @property
    def previous(self) -> StoredSweep | None:
        """The same sweep of the previous volume."""
        if not self._near or not self._chunk.previous:
            return None
        reader = self._reader.previous()
        decode_chain(reader, self._sweep, self._var, self._chunk.kind)
        return StoredSweep(
            reader, self._sweep, self._var, reader.chunk(self._sweep, self._var, "mask"), near=False
        )

    def _known(self, var: str) -> None:
        if var not in self.variables:
            raise KeyError(f"sweep_{self._sweep} has no {var}")
