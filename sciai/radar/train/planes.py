"""Planes of real or simulated volumes as a dataset of patches for the transform codec."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciai.core.errors import BadInput
from sciai.radar.data.names import circular_period
from sciai.radar.model.transform_net import smooth_fill
from sciai.radar.model.transform_scale import fold_of, normalised, origin_of, variable_class
from sciai.radar.train.volumes import Sweep, load_all, peak_of, shared_radar, volume_sets

__all__ = ["Planes"]

_EMPTY = 0.005  # planes with fewer valid gates than this share teach nothing


class Planes:
    """Planes (one variable of one sweep) as a dataset of patches.

    Args:
        folder: with the volumes; None takes ``$SCIAI_SHARED/data/radar`` or ``../shared/data/radar``.
        volumes: ``(key, radar, sweeps)`` already in memory, instead of a folder.
        patch: side of the square patches, a multiple of 8.
        max_sweeps: of each volume, evenly chosen, so that long volumes do not dominate.
        group_by: ``group`` (radar, or night where several radars saw the same) or ``radar``.
        only: keys of volumes to use; None uses all.

    Raises:
        BadInput: when there is no plane to learn from.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        volumes: Sequence[tuple[str, str, Sequence[Sweep]]] | None = None,
        *,
        patch: int = 128,
        max_sweeps: int = 3,
        group_by: str = "group",
        only: Sequence[str] | None = None,
    ) -> None:
        self.patch = patch
        self.groups: list[str] = []
        self.names: list[tuple[str, str, str]] = []  # volume, sweep, variable
        self.kinds: list[int] = []
        self._planes: list[tuple[NDArray[Any], NDArray[Any]]] = []  # float16 values, bool valid
        digests: dict[str, str] = {}
        if volumes is None:
            where = Path(folder) if folder else shared_radar()
            if where is None:
                raise BadInput(
                    "no folder of radar volumes to train on",
                    field="domain.data.dataset.folder",
                    fix="set it, or SCIAI_SHARED",
                )
            wanted = [v for v in volume_sets(where) if only is None or v.key in only]
            stream: Any = (
                (v.key, v.group if group_by == "group" else v.radar, s) for v, s in load_all(wanted)
            )
        else:
            stream = volumes
        for key, group, sweeps in stream:
            crc = 0
            for sweep in [sweeps[i] for i in _spread(len(sweeps), max_sweeps)]:
                for name, (values, validity) in sweep.variables.items():
                    if (validity == 0).mean() < _EMPTY:
                        continue
                    self._add(key, group, sweep.name, name, values, validity, peak_of(name, sweeps))
                    crc = zlib.crc32(self._planes[-1][0].tobytes(), crc)
            digests[key] = f"{crc:08x}"
        if not self._planes:
            raise BadInput("no volume has a plane with valid gates", field="domain.data.dataset")
        self.provenance = {"volumes": digests, "planes": len(self), "patch": patch, "max_sweeps": max_sweeps}

    def _add(
        self,
        key: str,
        group: str,
        sweep: str,
        name: str,
        values: NDArray[np.float32],
        validity: NDArray[np.uint8],
        peak: float,
    ) -> None:
        valid = validity == 0
        turn = fold_of(name, values[valid], circular_period(name, values=values[valid]))
        image = normalised(values, validity, origin_of(name, values[valid], turn), peak, turn)
        side = self.patch
        filled = smooth_fill(
            torch.from_numpy(image)[None, None], torch.from_numpy(valid.astype("f4"))[None, None]
        )
        grown = [max(0, side - n) for n in valid.shape]  # a plane smaller than a patch ends in nothing
        image = np.pad(filled[0, 0].numpy().clip(-64, 64).astype(np.float16), [(0, g) for g in grown], "edge")
        self._planes.append((image, np.pad(valid, [(0, g) for g in grown])))
        self.groups.append(group)
        self.names.append((key, sweep, name))
        self.kinds.append(variable_class(name))

    def __len__(self) -> int:
        return len(self._planes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A patch that is always the same: the fullest of a few."""
        return self.item(index, np.random.default_rng(index))

    def item(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """A random patch with echo in it, perhaps mirrored in azimuth: ``values``, ``valid``, ``kind``."""
        image, valid = self._planes[index]
        side, best = self.patch, (-1.0, 0, 0)
        for _ in range(6):
            at = [int(rng.integers(0, n - side + 1)) for n in valid.shape]
            share = float(valid[at[0] : at[0] + side, at[1] : at[1] + side].mean())
            best = max(best, (share, at[0], at[1]))
            if share > 0.1:
                break
        window = np.s_[best[1] : best[1] + side, best[2] : best[2] + side]
        values, mask = image[window].astype(np.float32), valid[window].astype(np.float32)
        if rng.random() < 0.5:
            values, mask = values[::-1], mask[::-1]
        return {"values": values.copy(), "valid": mask.copy(), "kind": self.kinds[index]}

    def plane(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
        """A whole plane: values in 35 dB steps, valid, class."""
        image, valid = self._planes[index]
        return image.astype(np.float32), valid, self.kinds[index]


def _spread(count: int, most: int) -> list[int]:
    return (
        sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
    )
