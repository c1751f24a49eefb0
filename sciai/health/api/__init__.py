"""What a user of the health domain imports."""

from __future__ import annotations

from sciai.health.api.crowd import Crowd
from sciai.health.api.distribution import Distribution, HealthAnswer, Told
from sciai.health.api.human import VirtualHuman
from sciai.health.api.person import Person

__all__ = ["Crowd", "Distribution", "HealthAnswer", "Person", "Told", "VirtualHuman"]
