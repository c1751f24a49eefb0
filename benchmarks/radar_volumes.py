"""The real volumes of the radar benchmarks: those of `sciai.radar.train.volumes`, and where they lie."""

from __future__ import annotations

from sciai.radar.train.volumes import (
    Sweep,
    VolumeSet,
    load,
    load_all,
    next_volume_pairs,
    peak_of,
    shared_radar,
    sweeps_of,
    volume_sets,
)

__all__ = [
    "Sweep",
    "VolumeSet",
    "load",
    "load_all",
    "next_volume_pairs",
    "peak_of",
    "shared_radar",
    "sweeps_of",
    "volume_sets",
]
