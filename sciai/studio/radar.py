"""The radar part of the demo: compress a volume, decode it in a new process, measure, picture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.answer import Finding, Level
from sciai.core.errors import DamagedStore, SciaiError
from sciai.studio.report import Picture, Section, Table, Tile, png_of

if TYPE_CHECKING:
    import xarray as xr

Step = Callable[[float, str], None]

PUBLIC_VOLUME: Final = ("KHGX", "2017-08-26T12:00")
"""Hurricane Harvey over Houston, from NOAA's public archive; a radar that the shipped model was not trained on."""
SIMULATED: Final[Mapping[str, Any]] = {"seed": 20, "shape": (40, 300, 600)}
RATES: Final = (30.0, 35.0, 40.0, 45.0)
STREAM_MBPS: Final = 355.0

LIMITS: Final = (
    "The bounds hold for this volume because they were measured on it; how small the next one gets is not promised.",
    "PSNR is a mean over gates. Where single gates matter (hail cores, velocity couplets), ask for max_error too.",
    "Products made from the decoded fields (rain rate, hydrometeor classes) inherit the stated errors; they were not "
    "measured here.",
    "Keep the original stream where rules or research demand it, or compress with --lossless.",
)


@dataclass(frozen=True)
class Demonstration:
    """A section of the report, and the same figures as data."""

    section: Section
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class _Source:
    volume: xr.DataTree
    words: str
    banner: str
    command: str


def demonstrate(out: Path, files: Sequence[Path], *, offline: bool, step: Step) -> Demonstration:
    """Run radar's main job.

    Args:
        out: folder for the store.
        files: the user's volume; empty to fetch or simulate one.
        offline: do not look for a network.
        step: progress callback.

    Raises:
        BadInput: a volume that cannot be read.
        DamagedStore: where the new process decodes anything but what this one does.
    """
    from sciai.radar import api

    step(0.02, "radar: getting a volume")
    source = _source(out, files, offline)
    store = out / "radar.zarr"
    step(0.15, "radar: compressing")
    answer = api.compress(source.volume, store, psnr=35, overwrite=True)
    if answer.level is Level.REFUSE:
        return _refused(source, answer.findings)
    figures = api.info(store)
    step(0.5, "radar: decoding in a new process")
    child = _reread(store)
    step(0.6, "radar: comparing")
    decoded = api.decompress(store)
    _same(decoded, child["fields"])
    step(0.7, "radar: drawing")
    pictures = _pictures(source.volume, decoded)
    step(0.8, "radar: other rates")
    rates = _rates(source.volume, out)
    step(1.0, "radar: done")
    return _section(source, store, answer, figures, child, pictures, rates)
