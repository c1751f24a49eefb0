"""Rate against distortion, 30 to 50 dB, of our codecs and the classical ones, on real volumes.

Prints a table at 35 dB, writes ``benchmarks/out/radar_rate_distortion.json`` and one PNG for each variable.
Bits are those of the values over all gates of the variable, masks excluded; for ours they include chunk
headers. A few sweeps of each volume are used, spread over the elevations, so that the slow codecs finish.
Each volume and target is written down when it is done; ``--resume`` goes on from there, and measures only the
codecs that are not there yet.

    python -m benchmarks.radar_rate_distortion [--psnr 30 35 40 45 50] [--sweeps 2] [--resume] [KEY ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.radar_classical import codecs, reach
from benchmarks.radar_volumes import Sweep, load, peak_of, shared_radar, volume_sets

OUT = Path(__file__).parent / "out"
FOUND = OUT / "radar_rate_distortion.json"
KEYS = (
    "behel_20200207130000",
    "KSRX20200805_154019",
    "DX50_20231127_1740",
    "Goa_20210516_0241",
    "KLOT20210625_075154",
)
OURS = ("context", "transform", "plain")


def tree_of(sweeps: Sequence[Sweep]) -> Any:
    """A DataTree of some sweeps, as a user would hand it over."""
    import xarray as xr

    nodes: dict[str, Any] = {}
    for number, sweep in enumerate(sweeps):
        data: dict[str, Any] = {}
        for name, (values, validity) in sweep.variables.items():
            data[name] = (("azimuth", "range"), values)
            data[f"{name}_validity"] = (("azimuth", "range"), validity)
        rays = next(iter(sweep.variables.values()))[0].shape[0]
        turn = {"azimuth": np.arange(rays) * (360.0 / rays)}
        nodes[f"/sweep_{number}"] = xr.Dataset(data, coords=turn)
    return xr.DataTree.from_dict(nodes)


def ours(sweeps: Sequence[Sweep], codec: str, psnr: float) -> dict[str, dict[str, float]]:
    """Bits, PSNR and largest error of each variable in one of our codecs; {} where it is not to be had."""
    from sciai.core.errors import CheckpointError
    from sciai.radar import compress

    with tempfile.TemporaryDirectory() as folder:
        try:
            answer = compress(tree_of(sweeps), f"{folder}/out.zarr", psnr=psnr, codec=codec)
        except CheckpointError as error:
            print(f"  {codec}: not here ({error})")
            return {}
        done = answer.unwrap()
    return {
        name: {"bits": v.bits_per_value, "psnr": v.psnr, "max_error": v.max_error}
        for name, v in done.variables.items()
    }


def run(
    keys: Sequence[str],
    targets: Sequence[float],
    most: int,
    only: Sequence[str] = (),
    rows: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One row for each volume, variable, codec and target; those in `rows` are not measured again."""
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    found, missing = codecs()
    for name, why in missing.items():
        print(f"{name}: {why}")
    rows = list(rows)
    known = {(r["volume"], r["target"], r["codec"]) for r in rows}
    OUT.mkdir(exist_ok=True)
    for volume in [v for v in volume_sets(folder) if v.key in keys]:
        full = load(volume)
        sweeps = [full[i] for i in sorted(set(np.linspace(0, len(full) - 1, most).round().astype(int)))]
        names = [n for n in sorted({n for s in sweeps for n in s.variables}) if not only or n in only]
        for psnr in targets:
            for own in OURS:
                if (volume.key, psnr, f"sciai {own}") in known:
                    continue
                for name, result in ours(sweeps, own, psnr).items():
                    if name in names:
                        rows.append({"volume": volume.key, "variable": name, "codec": f"sciai {own}",
                                     "target": psnr, **result})  # fmt: skip
            for name in names:
                planes = [s.variables[name] for s in sweeps if name in s.variables]
                if not any((m == 0).any() for _, m in planes):
                    continue
                for codec in found:
                    if (volume.key, psnr, codec.name) in known:
                        continue
                    best = reach(codec, planes, peak_of(name, full), psnr)
                    if best:
                        rows.append({"volume": volume.key, "variable": name, "codec": codec.name,
                                     "target": psnr, **best})  # fmt: skip
            FOUND.write_text(json.dumps(rows, indent=1))
            print(f"{volume.key} {psnr:g} dB done", flush=True)
    return rows


def table(rows: Sequence[dict[str, Any]], target: float) -> str:
    """Mean bits at a target: variables across, codecs down."""
    chosen = [r for r in rows if r["target"] == target]
    names = sorted({r["variable"] for r in chosen})
    lines = [
        f"mean bits per gate at {target:g} dB",
        "codec".ljust(28) + "".join(n[:9].rjust(10) for n in names) + "  all",
    ]
    for codec in dict.fromkeys(r["codec"] for r in chosen):
        means = []
        for name in names:
            bits = [r["bits"] for r in chosen if r["codec"] == codec and r["variable"] == name]
            means.append(float(np.mean(bits)) if bits else float("nan"))
        lines.append(codec.ljust(28) + "".join(f"{m:10.3f}" for m in means) + f"{np.nanmean(means):7.3f}")
    return "\n".join(lines)


def plot(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """One picture for each variable: PSNR reached against bits per gate, averaged over volumes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    for name in sorted({r["variable"] for r in rows}):
        figure, axes = plt.subplots(figsize=(7, 5))
        for codec in dict.fromkeys(r["codec"] for r in rows):
            points = []
            for target in sorted({r["target"] for r in rows}):
                some = [r for r in rows if (r["variable"], r["codec"], r["target"]) == (name, codec, target)]
                if some:
                    points.append((np.mean([r["bits"] for r in some]), target))
            if points:
                style = (
                    {"linewidth": 2.2} if codec.startswith("sciai") else {"linewidth": 1, "linestyle": "--"}
                )
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=codec, **style)
        axes.set(
            xlabel="bits per gate-value (mask excluded)", ylabel="PSNR promised, dB", title=name, xscale="log"
        )
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        path = folder / f"rate_distortion_{name}.png"
        figure.savefig(path, dpi=110, bbox_inches="tight")
        plt.close(figure)
        written.append(path)
    return written


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--psnr", type=float, nargs="+", default=[30.0, 35.0, 40.0, 45.0, 50.0])
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--variables", nargs="*", default=[])
    parser.add_argument("keys", nargs="*")
    parser.add_argument("--resume", action="store_true", help="keep what the last run wrote down")
    given = parser.parse_args()
    before = json.loads(FOUND.read_text()) if given.resume and FOUND.is_file() else []
    rows = run(given.keys or KEYS, given.psnr, given.sweeps, given.variables, before)
    for target in given.psnr:
        print(table(rows, target))
    for path in plot(rows, OUT):
        print(path)


if __name__ == "__main__":
    main()
