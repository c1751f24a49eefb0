"""The classical peers of the radar codecs, each given its best chance.

The one that counts is *quantise + JPEG XL lossless*: values are rounded to multiples of the step that gives
the target PSNR for uniformly distributed errors (step = sqrt(12) * peak / 10^(psnr/20)), the integers go to
JPEG XL as uint8 (uint16 where they need it), and the ternary mask goes along as cheaply as JPEG XL, zstd or
LZMA can.

What is tried for each unit, where a unit is one sweep, or all sweeps of equal shape stacked into one tall
image:

- filling of invalid gates: the last valid value of the ray, or the index of zero;
- the mask inside the values, as indices out of their range (below noise under the smallest, missing over the
  largest), which needs no mask besides;
- masks: a JPEG XL image for each variable; one base mask and the differences to it (identical ones free); all
  masks as bit planes with zstd-19 or LZMA.

The cheapest combination of a unit counts; side information about the choices is not charged to the peer.
Tried and of no use: all variables as channels of one image (3 % larger).

Run `python -m benchmarks.radar_peers --out FILE.json` to code every volume (slow, resumes where it stopped).
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.radar_volumes import Sweep, load, peak_of, shared_radar, volume_sets

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
IntArray = np.ndarray[Any, np.dtype[np.int32]]


def step_for(peak: float, psnr: float = 35.0) -> float:
    """Quantiser step whose uniform error (variance step^2 / 12) gives `psnr` dB against `peak`.

    Args:
        peak: peak in the variable's unit.
        psnr: target in dB.

    Returns:
        Step in the variable's unit.

    Example:
        >>> round(step_for(70.0), 3)
        4.312
    """
    return float(np.sqrt(12.0) * peak / 10.0 ** (psnr / 20.0))


def quantise(values: np.ndarray[Any, Any], validity: ByteArray, step: float) -> IntArray:
    """Index of each valid gate (nearest multiple of the step), 0 where invalid."""
    safe = np.where(validity == 0, values, 0.0).astype(np.float64)
    return np.rint(safe / step).astype(np.int32)


def fill_along_ray(indices: IntArray, validity: ByteArray) -> IntArray:
    """Give invalid gates the last valid index of their ray; before the first valid one, that one."""
    valid = validity == 0
    gates = np.arange(indices.shape[1])
    last = np.maximum.accumulate(np.where(valid, gates, -1), axis=1)
    first = np.where(valid.any(axis=1), valid.argmax(axis=1), 0)
    source = np.where(last >= 0, last, first[:, None])
    filled = np.take_along_axis(indices, source, axis=1)
    # a ray without any valid gate repeats the ray before it
    empty = ~valid.any(axis=1)
    rows = np.maximum.accumulate(np.where(empty, -1, np.arange(len(empty))))
    start = int(np.argmin(empty)) if not empty.all() else 0
    return np.ascontiguousarray(filled[np.where(rows >= 0, rows, start)])


def jxl(image: np.ndarray[Any, Any], effort: int = 9) -> bytes:
    """JPEG XL lossless of an integer image shifted to start at 0; a constant image costs nothing."""
    import imagecodecs

    low = int(image.min())
    span = int(image.max()) - low
    if span == 0:
        return b""
    if span > 0xFFFF:
        raise ValueError(f"an index range of {span} does not fit the peer's 16-bit images")
    shifted = (image - low).astype(np.uint8 if span <= 0xFF else np.uint16)

    return bytes(imagecodecs.jpegxl_encode(shifted, effort=effort, lossless=True, distance=0, numthreads=1))


def unjxl(data: bytes) -> np.ndarray[Any, Any]:
    """Decode an image of `jxl` (shifted to start at 0)."""
    import imagecodecs

    return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))


def inband(indices: IntArray, validity: ByteArray) -> IntArray:
    """Indices with the mask inside: below noise under the smallest valid index, missing over the largest."""
    valid = validity == 0
    low, high = (int(indices[valid].min()), int(indices[valid].max())) if valid.any() else (0, 0)
    return np.where(valid, indices, np.where(validity == 1, low - 1, high + 1)).astype(np.int32)


def _planes(masks: Sequence[ByteArray]) -> bytes:
    parts = []
    for mask in masks:
        parts.append(np.packbits(mask == 0).tobytes())
        if (mask == 1).any() and (mask == 2).any():
            parts.append(np.packbits(mask == 2).tobytes())
    return b"".join(parts)


def packed_masks(masks: Sequence[ByteArray]) -> int:
    """Bytes of all masks as bit planes: smaller of zstd-19 and LZMA, plain or as differences to the first."""
    import imagecodecs

    plain = _planes(masks)
    others = _planes([masks[0], *[((m.astype(np.int8) - masks[0]) % 3).astype(np.uint8) for m in masks[1:]]])
    return min(
        size
        for raw in (plain, others)
        for size in (
            len(imagecodecs.zstd_encode(raw, 19)),
            len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
        )
    )


def _base(masks: dict[str, ByteArray]) -> str:
    """The variable whose mask differs least from all others."""
    names = list(masks)
    cost = [sum(int(np.count_nonzero(masks[a] != masks[b])) for b in names) for a in names]
    return names[int(np.argmin(cost))]


def code_unit(unit: Sweep, steps: dict[str, float], effort: int) -> dict[str, Any]:
    """Code one unit (a sweep or a stack of sweeps) in every way and keep the sizes.

    Args:
        unit: the fields.
        steps: quantiser step of each variable.
        effort: JPEG XL effort.

    Returns:
        JSON-able dict: `variables` (per variable bytes of ray-filled, zero-filled, in-band values, of its own
        mask and of its difference to the base mask), `base`, `packed`, and `total`, `values`, `mask` of the
        cheapest combination (`mask` is 0 where it lies in the values).
    """
    masks = {name: validity for name, (_, validity) in unit.variables.items()}
    base = _base(masks)
    rows: dict[str, dict[str, int]] = {}
    for name, (values, validity) in unit.variables.items():
        indices = quantise(values, validity, steps[name])
        valid = validity == 0
        if valid.any():
            low, high = int(indices[valid].min()), int(indices[valid].max())
            flat = np.where(valid, indices, np.clip(0, low, high)).astype(np.int32)
            ray = len(jxl(fill_along_ray(indices, validity), effort))
            zero = len(jxl(flat, effort))
        else:
            ray = zero = 0
        own = len(jxl(validity.astype(np.int32), effort))
        same = bool((validity == masks[base]).all())
        # mod 3 because a ternary difference has three values
        change = ((validity.astype(np.int32) - masks[base]) % 3).astype(np.int32)
        rows[name] = {
            "ray": ray,
            "zero": zero,
            "inband": len(jxl(inband(indices, validity), effort)),
            "own": own,
            "change": own if name == base else (0 if same else len(jxl(change, effort))),
            "gates": int(validity.size),
            "valid": int(np.count_nonzero(valid)),
        }
    value = {n: min(r["ray"], r["zero"]) for n, r in rows.items()}
    packed = packed_masks(list(masks.values()))
    # (values, mask) of the ways to spend a unit's bytes
    based = rows[base]["own"] + sum(r["change"] for n, r in rows.items() if n != base)
    ways = [(sum(value.values()), min(packed, based, sum(r["own"] for r in rows.values())))]
    separate_mask = ways[0][1]

    def mixed(mask_of: dict[str, int]) -> tuple[int, int]:
        inside = {n: rows[n]["inband"] <= value[n] + mask_of[n] for n in rows}
        return (
            sum(rows[n]["inband"] if inside[n] else value[n] for n in rows),
            sum(0 if inside[n] else mask_of[n] for n in rows),
        )

    ways.append(mixed({n: r["own"] for n, r in rows.items()}))
    # the base mask is known whether it is sent as an image or inside its variable's values
    ways.append(mixed({n: r["change"] if n != base else r["own"] for n, r in rows.items()}))
    values_bytes, mask_bytes = min(ways, key=sum)
    return {
        "variables": rows,
        "base": base,
        "packed": packed,
        "values": values_bytes,
        "mask": mask_bytes,
        "total": values_bytes + mask_bytes,
        "separate_values": sum(value.values()),
        "separate_mask": separate_mask,
    }


def stacks(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Sweeps with equal gates and variables on top of each other, as one tall image each."""
    groups: dict[tuple[Any, ...], list[Sweep]] = {}
    for sweep in sweeps:
        gates = {validity.shape[1] for _, validity in sweep.variables.values()}
        groups.setdefault((tuple(sorted(gates)), tuple(sweep.variables)), []).append(sweep)
    out = []
    for members in groups.values():
        if len(members) == 1:
            out.append(members[0])
            continue
        fields = {
            name: (
                np.concatenate([m.variables[name][0] for m in members]),
                np.concatenate([m.variables[name][1] for m in members]),
            )
            for name in members[0].variables
        }
        out.append(Sweep("+".join(m.name for m in members), float("nan"), fields))
    return out


def code_volume(
    sweeps: Sequence[Sweep],
    psnr: float = 35.0,
    effort: int = 9,
    limit: float = float("inf"),
    stacked: bool = True,
) -> dict[str, Any]:
    """Code one volume, sweep by sweep and stacked.

    Args:
        sweeps: the volume.
        psnr: target of the steps in dB.
        effort: JPEG XL effort.
        limit: seconds after which the stacked variant is left out (the sweeps are always finished).
        stacked: whether to try stacks at all.

    Returns:
        JSON-able dict with bits per gate-value over all gates: `total`, `values`, `mask` (cheapest),
        `sweepwise` (cheapest without stacking), `separate_*` (mask apart from the values), `variables`
        (per variable value bits over that variable's gates, fill and mask), `gates`, `steps`, `seconds`.
    """
    started = time.perf_counter()
    names = sorted({n for s in sweeps for n in s.variables})
    steps = {n: step_for(peak_of(n, sweeps), psnr) for n in names}
    gates = sum(v.size for s in sweeps for _, v in s.variables.values())

    def summed(units: Sequence[dict[str, Any]]) -> dict[str, float]:
        return {
            k: 8.0 * sum(u[k] for u in units) / gates
            for k in ("total", "values", "mask", "separate_values", "separate_mask")
        }

    by_sweep = [code_unit(s, steps, effort) for s in sweeps]
    candidates = [summed(by_sweep)]
    units = [by_sweep]
    together = stacks(sweeps)
    tall_allowed = stacked and len(together) < len(sweeps) and 2.0 * (time.perf_counter() - started) < limit
    if tall_allowed:
        units.append([code_unit(s, steps, effort) for s in together])
        candidates.append(summed(units[1]))
    best = min(range(len(candidates)), key=lambda i: candidates[i]["total"])
    variables: dict[str, dict[str, Any]] = {}
    for name in names:
        sums = []
        for coded in units:
            rows = [u["variables"][name] for u in coded if name in u["variables"]]
            sums.append({k: sum(r[k] for r in rows) for k in rows[0]})
        count = sums[0]["gates"]
        kinds = {f"{k}{'_stacked' if i else ''}": s[k] for i, s in enumerate(sums) for k in ("ray", "zero")}
        fill = min(kinds, key=lambda k: kinds[k])
        variables[name] = {
            "value_bits": 8.0 * kinds[fill] / count,
            "value_bits_sweepwise": 8.0 * min(sums[0]["ray"], sums[0]["zero"]) / count,
            "fill": fill,
            "own_mask_bits": 8.0 * min(s["own"] for s in sums) / count,
            "inband_bits": 8.0 * min(s["inband"] for s in sums) / count,
            "gates": count,
            "valid": sums[0]["valid"] / count,
            "psnr": measured_psnr(sweeps, name, steps[name]),
        }
    result: dict[str, Any] = dict(candidates[best])
    result.update(
        sweepwise=candidates[0]["total"],
        separate=min(c["separate_values"] + c["separate_mask"] for c in candidates),
        separate_mask=min(c["separate_mask"] for c in candidates),
        stacked=bool(best),
        stacked_tried=len(candidates) > 1,
        psnr_of_steps=psnr,
        effort=effort,
        gates=gates,
        steps=steps,
        variables=variables,
        bytes=round(candidates[best]["total"] * gates / 8),
        seconds=time.perf_counter() - started,
    )
    return result


def checksum(sweeps: Sequence[Sweep]) -> str:
    """Of all values and masks, so that a cached result is known to be of the data as it is read now."""
    crc = 0
    for sweep in sweeps:
        for name, (values, validity) in sorted(sweep.variables.items()):
            crc = zlib.crc32(name.encode(), crc)
            crc = zlib.crc32(np.where(validity == 0, values, np.float32(0)).tobytes(), crc)
            crc = zlib.crc32(validity.tobytes(), crc)
    return f"{crc:08x}"


def measured_psnr(sweeps: Sequence[Sweep], variable: str, step: float) -> float:
    """PSNR in dB that the peer's quantiser reaches over all valid gates; infinite where it is exact."""
    total, count = 0.0, 0
    for sweep in sweeps:
        if variable in sweep.variables:
            values, validity = sweep.variables[variable]
            valid = values[validity == 0].astype(np.float64)
            total += float(((valid - np.rint(valid / step) * step) ** 2).sum())
            count += valid.size
    peak = peak_of(variable, sweeps)
    return float(10 * np.log10(peak**2 * count / total)) if total > 0 else float("inf")


def read_cache(path: Path | str) -> dict[str, Any]:
    """The results of earlier runs, keyed by volume; empty where there is no such file."""
    path = Path(path)
    return dict(json.loads(path.read_text())) if path.exists() else {}


def peer_results(
    path: Path | str, keys: Iterable[str] | None = None, effort: int = 9, limit: float = 360.0
) -> None:
    """Code all volumes not in the cache yet; the cache is written after each, so a stop loses one volume."""
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    path = Path(path)
    wanted = set(keys or ())
    for volume in volume_sets(folder):
        done = read_cache(path)
        if wanted and volume.key not in wanted:
            continue
        try:
            sweeps = load(volume)
            digest = checksum(sweeps)
            if done.get(volume.key, {}).get("data") == digest:
                continue
            result = code_volume(sweeps, effort=effort, limit=limit)
        except Exception as error:  # name what failed and go on with the next volume
            print(f"{volume.key}: {type(error).__name__}: {error}", flush=True)
            continue
        result.update(radar=volume.radar, data=digest)
        done = read_cache(path)
        done[volume.key] = result
        part = path.with_suffix(".part")
        part.write_text(json.dumps(done, indent=1))
        part.replace(path)
        print(
            f"{volume.key:28s} total {result['total']:.4f} values {result['values']:.4f} "
            f"mask {result['mask']:.4f} separate mask {result['separate_mask']:.4f} "
            f"sweepwise {result['sweepwise']:.4f} {result['seconds']:.0f} s",
            flush=True,
        )


def main() -> None:
    """Command line: code the volumes into a cache file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/peers_jxl9.json"))
    parser.add_argument("--effort", type=int, default=9)
    parser.add_argument(
        "--limit", type=float, default=360.0, help="seconds per volume beyond which stacks are left out"
    )
    parser.add_argument("keys", nargs="*", help="volumes (default: all)")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    peer_results(given.out, given.keys, given.effort, given.limit)


if __name__ == "__main__":
    main()
