"""Fixtures of the store's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sciai.radar.api import planes
from sciai.radar.model import registry
from tests.radar.api.neighbours import NeighbourCodec


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """No plane, model or codec of one test is seen by the next."""
    planes.forget_planes()
    yield
    planes.forget_planes()


@pytest.fixture
def neighbour_codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[NeighbourCodec]]:
    """`NeighbourCodec` in place of the learned codec."""
    place = ("tests.radar.api.neighbours", "NeighbourCodec")
    monkeypatch.setitem(registry._CLASSES, "context", place)  # type: ignore[arg-type]
    monkeypatch.setattr(NeighbourCodec, "installed", True)
    registry._shipped.cache_clear()
    yield NeighbourCodec
    registry._shipped.cache_clear()
