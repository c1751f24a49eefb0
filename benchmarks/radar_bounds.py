"""What bounds the two radar figures that miss their targets: masks, and the next volume of a known radar.

Masks: bits per gate-value of each volume, by variables whose mask has no other to look at (the first of a
sweep) and the rest, as the codec writes them (payloads only, a few sweeps of each volume).

Next volume: what *any* linear prediction could take from the volume before, and from neighbours that a
decoder does not have yet. Gates whose neighbours are all valid are predicted by least squares, in twelve
classes of roughness, from (a) six neighbours that a decoder has, (b) these and nine gates of the volume
before, shifted to fit best, (c) ten neighbours on all sides, (d) all of (b) and (c). The errors' variances
give bits per gate at 35 dB (reverse water-filling over the classes, Gaussian; Cover & Thomas, Elements of
Information Theory, 10.3): no code length, but their ratios say what the volume before is worth.

    python -m benchmarks.radar_bounds [masks | next] [KEY ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.radar_volumes import Sweep, load, next_volume_pairs, peak_of, shared_radar, volume_sets

PSNR = 35.0
CLASSES = 12
FEWEST = 3000  # surrounded gates of a plane, below which it says little
SPATIAL = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))  # rays, gates back: known to a decoder
AROUND = (*((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x), (0, 2), (0, -2))
BEFORE = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1))


def some(sweeps: Sequence[Sweep], most: int) -> list[int]:
    """Positions of a few sweeps, spread over the elevations."""
    return sorted(set(np.linspace(0, len(sweeps) - 1, most).round().astype(int).tolist()))


def mask_bits(sweeps: Sequence[Sweep]) -> tuple[float, float]:
    """Bits per gate-value of masks that have no other to look at, and of the rest."""
    from sciai.radar.model.context import ContextCodec

    codec = ContextCodec.untrained()
    bits, gates = [0.0, 0.0], 0
    for sweep in (sweeps[k] for k in some(sweeps, 4)):
        masks = {name: validity for name, (_, validity) in sweep.variables.items()}
        names = codec.order(sorted(masks))
        for at, name in enumerate(names):
            known = {"variables": tuple(sorted(masks)), "mask": masks.__getitem__}
            context: Any = SimpleNamespace(shape=masks[name].shape, previous=None, **known)
            bits[at > 0] += 8.0 * len(codec.encode_mask(name, masks[name], context))
            gates += masks[name].size
    return bits[0] / gates, bits[1] / gates


def water_filling(variances: np.ndarray[Any, Any], counts: np.ndarray[Any, Any], allowed: float) -> float:
    """Bits per gate of Gaussian classes at a mean squared error."""
    low, high = 0.0, float(variances.max())
    for _ in range(60):
        level = (low + high) / 2
        above = (np.minimum(variances, level) * counts).sum() / counts.sum() > allowed
        low, high = (low, level) if above else (level, high)
    bits = np.maximum(0.0, 0.5 * np.log2(variances / max(high, 1e-30)))
    return float((bits * counts).sum() / counts.sum())


def shifted(plane: np.ndarray[Any, Any], rays: int, gates: int) -> np.ndarray[Any, Any]:
    """The plane moved onwards; azimuth and, harmlessly at its edges, range wrap round."""
    return np.roll(np.roll(plane, rays, 0), gates, 1)


def best_shift(now: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Rays and gates by which the plane before fits best (mean difference, large ones cut)."""
    found = {}
    for rays in range(-3, 4):
        for gates in range(-6, 7):
            gap = np.abs(now - shifted(before, rays, gates))
            gap = gap[np.isfinite(gap)]
            if gap.size >= 1000:
                found[rays, gates] = float(np.minimum(gap, 10 * np.median(gap) + 1e-9).mean())
    return min(found, key=found.__getitem__) if found else (0, 0)


def errors(now: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> list[list[tuple[float, int]]]:
    """For each of the four predictions the (variance, gates) of each class of roughness."""
    planes = [shifted(now, *d) for d in (*SPATIAL, *AROUND)] + [shifted(before, *d) for d in BEFORE]
    seen = np.stack(planes, -1)
    whole = np.isfinite(now) & np.isfinite(seen).all(-1)
    whole[:, :3] = whole[:, -3:] = False
    if whole.sum() < FEWEST:
        return [[], [], [], []]
    inputs = seen[whole] - seen[whole][:, :1]  # relative to the gate before
    goal = now[whole] - seen[whole][:, 0]
    rough = np.abs(inputs[:, 1 : len(SPATIAL)]).sum(1)
    of_class = np.digitize(rough, np.quantile(rough, np.linspace(0, 1, CLASSES + 1)[1:-1]))
    spatial, around = list(range(6)), list(range(6, 16))
    last = list(range(16, 25))
    out: list[list[tuple[float, int]]] = []
    for columns in (spatial, spatial + last, around, around + last):
        found = []
        for k in range(CLASSES):
            rows = of_class == k
            if rows.sum() >= 200:
                given = np.c_[inputs[rows][:, columns], np.ones(rows.sum())]
                left = goal[rows] - given @ np.linalg.lstsq(given, goal[rows], rcond=None)[0]
                found.append((float(np.mean(left**2)) + 1e-12, int(rows.sum())))
        out.append(found)
    return out


def next_volume(first: Sequence[Sweep], second: Sequence[Sweep]) -> dict[str, list[float]]:
    """Variable -> bits per surrounded gate of predictions (a) to (d)."""
    found: dict[str, list[list[tuple[float, int]]]] = {}
    for k in some(second, 5):
        shift = (0, 0)
        for name in sorted(second[k].variables):  # reflectivity comes first: its shift is everybody's
            if k >= len(first) or name not in first[k].variables:
                continue
            now, before = (
                np.where(m == 0, v, np.nan).astype(np.float64)
                for v, m in (second[k].variables[name], first[k].variables[name])
            )
            if now.shape != before.shape:
                continue
            if name in ("DBZH", "TH"):
                shift = best_shift(now, before)
            kept = found.setdefault(name, [[], [], [], []])
            for old, new in zip(kept, errors(now, shifted(before, *shift)), strict=True):
                old += new
    out = {}
    for name, kinds in found.items():
        if all(kinds):
            allowed = peak_of(name, second) ** 2 * 10 ** (-PSNR / 10)
            out[name] = [
                water_filling(*(np.array(c, float) for c in zip(*k, strict=True)), allowed) for k in kinds
            ]
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="next", choices=("masks", "next"))
    parser.add_argument("keys", nargs="*")
    given = parser.parse_args()
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    sets = volume_sets(folder)
    if given.what == "masks":
        print("volume".ljust(30) + "  first    others    bits of masks per gate-value")
        rows = []
        for volume in sets:
            if not given.keys or volume.key in given.keys:
                rows.append(mask_bits(load(volume)))
                print(f"{volume.key:30s}{rows[-1][0]:8.4f}{rows[-1][1]:9.4f}", flush=True)
        print("mean".ljust(30) + "".join(f"{m:9.4f}" for m in np.mean(rows, axis=0)))
        return
    print(
        "volume".ljust(24)
        + "variable     causal  + before         all round  + before   bits per gate at 35 dB"
    )
    for first, second in next_volume_pairs(sets):
        if not given.keys or second.key in given.keys:
            for name, (a, b, c, d) in next_volume(load(first), load(second)).items():
                gain = f"({100 * (b / a - 1):+.1f} %)" if a else ""
                print(f"{second.key:24s}{name:12s}{a:7.3f}{b:10.3f} {gain:10s}{c:8.3f}{d:10.3f}", flush=True)


if __name__ == "__main__":
    main()
