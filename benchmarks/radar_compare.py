"""What the benchmarks against JPEG XL share: coding a volume with ours, and its cached peer beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.radar_peers import checksum, code_volume, read_cache
from benchmarks.radar_volumes import VolumeSet, load

OUT = Path(__file__).parent / "out"
PEERS = OUT / "peers_jxl9.json"


def peer_of(volume: VolumeSet, cache: Path, *, measure: bool = False) -> dict[str, Any] | None:
    """The peer's result for a volume as it is read today, from the cache or, where asked, measured now."""
    sweeps = load(volume)
    found = read_cache(cache).get(volume.key)
    if found is not None and found.get("data") == checksum(sweeps):
        return found
    return code_volume(sweeps, stacked=False) if measure else None


def ours(
    volume: VolumeSet,
    *,
    codec: Any = "auto",
    previous: str | os.PathLike[str] | None = None,
    store: Path | None = None,
) -> dict[str, Any]:
    """Bits per gate-value of a volume in our codec at 35 dB, and whether every promise held.

    Args:
        volume: what to code.
        codec: name or codec object, as `sciai.radar.compress` takes it.
        previous: store of the volume before.
        store: where to keep the store; None deletes it.
    """
    from sciai.radar import compress

    paths: Any = volume.paths[0] if len(volume.paths) == 1 else list(volume.paths)
    with tempfile.TemporaryDirectory() as folder:
        target = store or Path(folder) / "out.zarr"
        done = compress(paths, target, psnr=35.0, codec=codec, previous=previous).unwrap()
    return {
        "total": done.bits_per_value,
        "mask": done.mask_bits_per_value,
        "store": done.total_bits_per_value,
        "gates": done.gates,
        "seconds": done.seconds,
        "least_psnr": min((v.psnr for v in done.variables.values()), default=float("inf")),
        "codecs": sorted({v.codec for v in done.variables.values()}),
    }


def row(volume: VolumeSet, mine: dict[str, Any], peer: dict[str, Any]) -> dict[str, Any]:
    """Both side by side; `saved` is the share of the peer's bits that ours does not need."""
    return {
        "volume": volume.key,
        "radar": volume.radar,
        "ours": mine["total"],
        "ours_mask": mine["mask"],
        "peer": peer["total"],
        "peer_mask_apart": peer["separate"],
        "saved": 1.0 - mine["total"] / peer["total"] if peer["total"] else 0.0,
        "least_psnr": mine["least_psnr"],
        "codecs": "+".join(mine["codecs"]),
    }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A table of the volumes and the figures of the targets below it."""
    lines = ["volume".ljust(30) + "  ours   mask   JXL e9 (mask apart)    saved  least PSNR  codecs"]
    for r in sorted(rows, key=lambda r: r["saved"]):
        lines.append(
            f"{r['volume']:30s}{r['ours']:6.3f} {r['ours_mask']:6.3f} {r['peer']:8.3f} "
            f"({r['peer_mask_apart']:.3f})"
            f"{100 * r['saved']:13.1f} %{r['least_psnr']:10.2f}  {r['codecs']}"
        )
    if rows:
        radars = sorted({r["radar"] for r in rows})
        by_radar = [np.mean([r["saved"] for r in rows if r["radar"] == radar]) for radar in radars]
        lines += [
            f"mean over {len(rows)} volumes: {100 * np.mean([r['saved'] for r in rows]):.1f} % fewer bits; "
            f"mean over {len(radars)} radars: {100 * np.mean(by_radar):.1f} %",
            f"volumes where ours needs more: {sum(r['saved'] < 0 for r in rows)}; "
            f"mean rate {np.mean([r['ours'] for r in rows]):.3f} bit, "
            f"mean mask {np.mean([r['ours_mask'] for r in rows]):.3f} bit per gate-value; "
            f"least PSNR {min(r['least_psnr'] for r in rows):.2f} dB",
        ]
    return "\n".join(lines)
