"""Real volumes for training and benchmarks: which files are one volume, which radar it is, and its planes.

A *volume set* is what a user would hand to `sciai.radar.open_volume`: one file, or the files that together
hold one volume. Every set names its radar and its event. Volumes of one radar look alike, and so do volumes
of one night at neighbouring radars; `VolumeSet.group` is what a split must never tear apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
ByteArray = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class VolumeSet:
    """One volume.

    Attributes:
        key: unique name.
        radar: what leave-one-radar-out leaves out.
        event: the date, as far as the name tells.
        paths: the files to open together.
        group: what a split keeps together: the radar, or the night where several radars saw the same one.
    """

    key: str
    radar: str
    event: str
    paths: tuple[Path, ...]
    group: str


@dataclass
class Sweep:
    """One sweep: per variable the values (rays, gates) float32 and the ternary validity uint8."""

    name: str
    elevation: float
    variables: dict[str, tuple[FloatArray, ByteArray]] = field(default_factory=dict)


def shared_radar() -> Path | None:
    """Folder of the real volumes: `$SCIAI_SHARED/data/radar`, else `../shared/data/radar`; or None."""
    root = os.environ.get("SCIAI_SHARED")
    base = Path(root) if root else Path(__file__).resolve().parents[4] / "shared"
    folder = base / "data" / "radar"
    return folder if folder.is_dir() else None


# (pattern of the file name, key template, radar). Several files with one key are one volume.
_GROUPS: tuple[tuple[str, str, str], ...] = (
    (r"Goa_(\d+)_(\d+)__.*", r"Goa_\1_\2", "Goa"),
    (r"DX50_20191021_(\d+)__.*", r"DX50_20191021_\1", "DX50-Payerne"),
    (r"DX50_20231127_(\d+)__.*", r"DX50_20231127_\1", "DX50-Winterthur"),
    (r"Albis_([A-Z0-9]+)__.*", r"Albis_\1", "Albis"),
    (r"wl_(\d{14})\.rad\.behel\..*", r"behel_\1", "behel"),
    (r"wl_40_(\d+)_(\d+)\..*", r"AU40_\1_\2", "AU40"),
    (r"wl_2014-08-10--182000.*", r"BoXPol_20140810_1820", "BoXPol"),
    (r"(?:wl|or)_SUR(\d+)\..*", r"SUR\1", "SUR"),
    (r"or_sample_rainbow_5_59.*", r"rainbow_5_59", "rainbow"),
    (r"dn_([KT][A-Z]{3})(\d+)_(\d+).*", r"\1\2_\3", r"\1"),
    (r"([KT][A-Z]{3})(\d{8})_(\d+).*", r"\1\2_\3", r"\1"),
    (r"([A-Za-z]+)_([a-z]{5})_(\d{8})\.h5", r"\1_\2_\3", r"\2"),
    (r"([A-Za-z]+)_(?:MF_|RHI_)?(\d{8})_(\d+)\.(?:nc|h5)", r"\1_\2_\3", r"\1"),
)


def _classify(name: str) -> tuple[str, str] | None:
    for pattern, key, radar in _GROUPS:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(key), match.expand(radar)
    return None


def volume_sets(shared: Path | str) -> list[VolumeSet]:
    """Group the files of the folder of real volumes into volumes.

    Args:
        shared: the folder that holds the radar files.

    Returns:
        One VolumeSet per volume, sorted by key. A file no rule knows becomes a volume and a radar of its own.
    """
    groups: dict[str, tuple[str, list[Path]]] = {}
    for path in sorted(Path(shared).iterdir()):
        if path.name == "README.md" or not path.is_file():
            continue
        key, radar = _classify(path.name) or (path.name, path.name)
        groups.setdefault(key, (radar, []))[1].append(path)
    dates = {key: re.search(r"\d{8}", key) for key in groups}
    events = {key: date.group(0) if date else key for key, date in dates.items()}
    radars: dict[str, set[str]] = {}
    for key, (radar, _) in groups.items():
        radars.setdefault(events[key], set()).add(radar)
    return [
        VolumeSet(key, radar, event, tuple(paths), f"night-{event}" if len(radars[event]) > 1 else radar)
        for key, (radar, paths) in sorted(groups.items())
        for event in [events[key]]
    ]


def next_volume_pairs(sets: Sequence[VolumeSet]) -> list[tuple[VolumeSet, VolumeSet]]:
    """Consecutive volumes of one radar and one event: (previous, next), what `radar_next_volume` codes."""
    pairs = []
    for first, second in pairwise(sets):
        if first.radar == second.radar and first.event == second.event:
            pairs.append((first, second))
    return pairs


def peak_of(variable: str, sweeps: Sequence[Sweep]) -> float:
    """PSNR peak of a variable, in its unit; for unknown names the robust range of the data.

    Args:
        variable: the FM301 name.
        sweeps: the volume, looked at only for unknown names.

    Returns:
        A positive peak.
    """
    from sciai.radar.data.names import psnr_peak

    seen = [s.variables[variable] for s in sweeps if variable in s.variables]
    values = np.concatenate([v[m == 0] for v, m in seen]) if seen else None
    return psnr_peak(variable, values)


def sweeps_of(tree: Any) -> list[Sweep]:
    """Take the ray-by-gate fields with their validity out of a DataTree of `open_volume`."""
    names = [n for n in tree.children if re.fullmatch(r"sweep_\d+", n)]
    out = []
    for name in sorted(names, key=lambda n: int(n.split("_")[1])):
        dataset = tree[name].to_dataset()
        fixed = dataset.get("sweep_fixed_angle")
        sweep = Sweep(name, float(fixed) if fixed is not None and fixed.size == 1 else float("nan"))
        for variable in dataset.data_vars:
            companion = f"{variable}_validity"
            if companion not in dataset or dataset[variable].ndim != 2:
                continue
            values = np.ascontiguousarray(dataset[variable].values, dtype=np.float32)
            validity = np.ascontiguousarray(dataset[companion].values, dtype=np.uint8)
            sweep.variables[str(variable)] = (values, validity)
        if sweep.variables:
            out.append(sweep)
    return out


def load(volume: VolumeSet) -> list[Sweep]:
    """Open one volume set through `sciai.radar.data.open_volume`."""
    from sciai.radar.data import open_volume

    paths: Any = volume.paths[0] if len(volume.paths) == 1 else list(volume.paths)
    return sweeps_of(open_volume(paths))


def load_all(sets: Sequence[VolumeSet]) -> Iterator[tuple[VolumeSet, list[Sweep]]]:
    """Open volume after volume, one in memory at a time; one that does not open is named and skipped."""
    for volume in sets:
        try:
            yield volume, load(volume)
        except Exception as error:  # a benchmark over sixty files must say what failed and go on
            print(f"{volume.key}: not opened: {type(error).__name__}: {error}", flush=True)


def simulated(
    seeds: Sequence[int], shape: Sequence[int] = (4, 160, 200)
) -> list[tuple[str, str, list[Sweep]]]:
    """Simulated storms as volumes to train on, each a group of its own: for tutorials and tests.

    Args:
        seeds: one storm each.
        shape: elevations, rays, gates.

    Returns:
        (key, group, sweeps) triples.
    """
    from sciai.radar.data import simulate

    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    return [(f"simulated-{s}", f"storm-{s}", sweeps_of(simulate(seed=s, shape=size))) for s in seeds]
