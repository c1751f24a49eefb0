"""How far a volume lies from those that the codecs learned from, by a few features of its lowest sweep.

The volumes learned from are in ``data/radar/learned.json``, with the distance of each from all volumes of
other radars (``benchmarks/radar_drift.py`` writes it): what a radar that was not learned from looks like.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import SciaiError
from sciai.core.resources import data_dir
from sciai.radar.api.source import Source
from sciai.radar.model.context import CLASSES, class_of
from sciai.radar.model.interface import F32, U8
from sciai.trust.support import Knn

__all__ = ["FEATURES", "Learned", "distance", "features", "learned"]

Floats = npt.NDArray[np.float64]

FEATURES: Final = ("valid", "middle", "width", "rough along", "rough across", "gates")
"""Share of valid gates (log-odds), median and interquartile range of the values, roughness (0 smooth, 1
noise) along and across rays, log10 of gates per ray."""

NEIGHBOURS: Final = 3


@dataclass(frozen=True)
class Learned:
    """What was learned from.

    Attributes:
        measure: distance from it.
        held_out: distance of each of its volumes from those of other radars, sorted, shape (n,).
    """

    measure: Knn
    held_out: Floats

    @classmethod
    def of(cls, rows: npt.ArrayLike, radars: Sequence[str]) -> Learned:
        """From features of volumes and the radar of each.

        Args:
            rows: shape (n, features).
            radars: n names.
        """
        known, names = np.asarray(rows, float), np.asarray(radars)
        apart = [
            Knn.fit(known[names != name], NEIGHBOURS).distance(known[k : k + 1])[0]
            for k, name in enumerate(names)
        ]
        return cls(Knn.fit(known, NEIGHBOURS), np.sort(apart))


def features(values: F32, validity: U8) -> Floats:
    """Features of one plane.

    Args:
        values: [rays, gates], NaN where invalid.
        validity: 0 where valid.

    Returns:
        As ``FEATURES``; of a plane without valid gates all but the first and the last are 0.

    >>> plane = np.linspace(0, 40, 2000, dtype=np.float32).reshape(20, 100)
    >>> features(plane, np.zeros((20, 100), np.uint8)).round(1).tolist()
    [7.6, 20.0, 20.0, 0.0, 0.2, 2.0]
    """
    valid = validity == 0
    count = int(valid.sum())
    share = (count + 1) / (valid.size + 2)
    told = [np.log(share / (1 - share)), 0.0, 0.0, 0.0, 0.0, np.log10(values.shape[1])]
    if count:
        low, middle, high = np.percentile(values[valid].astype(float), [25, 50, 75])
        spread = float(values[valid].astype(float).std()) or 1.0
        told[1:5] = [middle, high - low, _rough(values, 1) / spread, _rough(values, 0) / spread]
    return np.array(told, float)


def distance(source: Source) -> float | None:
    """How far a volume lies from what was learned; None where it has no reflectivity.

    Args:
        source: the volume; one sweep of it is read.
    """
    row = of_source(source)
    return None if row is None else float(learned().measure.distance(row[None])[0])


def of_source(source: Source) -> Floats | None:
    """Features of the lowest sweep's reflectivity; None where there is none."""
    names = [v for v in source.variables if CLASSES[class_of(v)] == CLASSES[class_of("DBZH")]]
    name = "DBZH" if "DBZH" in names else names[0] if names else None
    if name is None:
        return None
    return features(*source.having(name)[0].load(name))


@cache
def learned() -> Learned:
    """What the shipped codecs learned from.

    Raises:
        SciaiError: the file that ships with the package is gone.
    """
    file = data_dir() / "radar" / "learned.json"
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SciaiError(f"{file} cannot be read: {error}; reinstall sciai") from error
    return Learned.of(content["rows"], content["radars"])


def _rough(values: F32, axis: int) -> float:
    """Median step between neighbours in one direction over 0.954, that of noise with standard deviation 1."""
    steps = np.abs(np.diff(values.astype(float), axis=axis))
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) / 0.954 if steps.size else 0.0
