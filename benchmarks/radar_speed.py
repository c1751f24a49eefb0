"""Speed and memory on a simulated 114 x 300 x 800 volume, as multiples of the radar's 355 Mbps stream.

The stream is 355 Mbps of 16-bit words. `at 16 bit` counts a gate-value as the two bytes it has in the stream;
`at float32` as the four bytes it has in memory. Encoding is the whole of `compress`, reading the file and
measuring what was written included; decoding is the whole of `decompress` to a tree in memory. Every
measurement runs in a process of its own, so that its peak memory is its own; the volume is read from a file.
Simulated storms are smooth: their rates say nothing. ``--real`` measures rate, PSNR and processor time of
both efforts on real volumes (``../shared/data/radar``), with the models that have seen them.

CPU seconds are those of all threads: on a machine that others use too, they say more than the clock.

    python -m benchmarks.radar_speed [--codecs fast auto context transform plain] [--shape 114 300 800]
    python -m benchmarks.radar_speed --real KLBB behel
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STREAM = 355e6  # bits per second
OUT = Path(__file__).parent / "out"


def prepare(path: Path, shape: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """Simulate a volume and write it to a file; its size in gate-values."""
    from sciai.radar import simulate
    from sciai.radar.data import write_cfradial2

    volume = simulate(seed=seed, shape=shape)
    values = sum(
        int(volume[sweep][name].size)
        for sweep in volume.children
        for name in volume[sweep].data_vars
        if f"{name}_validity" in volume[sweep].data_vars
    )
    write_cfradial2(volume, path)
    return {"values": values}


def encode(source: Path, store: Path, codec: str, threads: int) -> dict[str, float]:
    """Compress once, warm (compiled code is loaded, or made, on a small volume first)."""
    from sciai.radar import compress, simulate

    how = {"effort": "fast"} if codec == "fast" else {"codec": codec}
    with tempfile.TemporaryDirectory() as folder:
        compress(simulate(seed=0, shape=(2, 40, 64)), f"{folder}/warm.zarr", **how).unwrap()
    start, busy = time.perf_counter(), time.process_time()
    done = compress(source, store, threads=threads, **how).unwrap()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "peak_mb": _peak(),
        "bits_per_value": done.bits_per_value,
        "least_psnr": min(v.psnr for v in done.variables.values()),
    }


def decode(store: Path) -> dict[str, float]:
    """Decompress once, everything loaded."""
    from sciai.radar import compress, decompress, simulate

    with tempfile.TemporaryDirectory() as folder:
        for effort in ("best", "fast"):
            compress(simulate(seed=0, shape=(2, 40, 64)), f"{folder}/{effort}.zarr", effort=effort).unwrap()
            decompress(f"{folder}/{effort}.zarr").load()
    start, busy = time.perf_counter(), time.process_time()
    decompress(store).load()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "peak_mb": _peak(),
    }


def real(keys: list[str], threads: int) -> list[dict[str, Any]]:
    """Both efforts on real volumes whose key contains one of `keys`, side by side."""
    from benchmarks.radar_volumes import shared_radar, volume_sets
    from sciai.radar import compress, open_volume, simulate

    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    rows = []
    print(
        "volume                        effort   bit/value  mask   least PSNR  cpu s  x355 at 16 bit, 2 cores"
    )
    for volume in volume_sets(folder):
        if not any(key in volume.key for key in keys):
            continue
        tree = open_volume(list(volume.paths) if len(volume.paths) > 1 else volume.paths[0])
        for effort in ("best", "fast"):
            with tempfile.TemporaryDirectory() as out:
                compress(
                    simulate(seed=0, shape=(2, 40, 64)), f"{out}/warm.zarr", codec=_codec(effort)
                ).unwrap()
                busy = time.process_time()
                done = compress(tree, f"{out}/a.zarr", codec=_codec(effort), threads=threads).unwrap()
                busy = time.process_time() - busy
            row = {
                "volume": volume.key,
                "effort": effort,
                "bits_per_value": done.bits_per_value,
                "mask": done.mask_bits_per_value,
                "least_psnr": min(v.psnr for v in done.variables.values()),
                "cpu_seconds": busy,
                "times_stream_16_bit": 2 * 16 * done.gates / busy / STREAM,
            }
            rows.append(row)
            print(
                f"{volume.key:30s}{effort:9s}{row['bits_per_value']:9.4f}{row['mask']:8.4f}{row['least_psnr']:10.2f}"
                f"{busy:9.1f}{row['times_stream_16_bit']:12.2f}",
                flush=True,
            )
    for name in ("bits_per_value", "cpu_seconds"):
        best, fast = ([r[name] for r in rows if r["effort"] == e] for e in ("best", "fast"))
        shares = sorted(f / b for f, b in zip(fast, best, strict=True))
        if shares:
            mean = sum(shares) / len(shares)
            print(f"{name}, fast over best: mean {mean:.3f}, {shares[0]:.3f} to {shares[-1]:.3f}")
    return rows


def _codec(effort: str) -> str:
    """Without the comparison of codecs that ``auto`` begins with."""
    return "quick" if effort == "fast" else "context"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _child(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.radar_speed", "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codecs", nargs="+", default=["fast", "auto", "context", "transform", "plain"])
    parser.add_argument("--shape", type=int, nargs=3, default=[114, 300, 800])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", nargs="+", metavar="KEY", help="parts of the keys of real volumes")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        what, *rest = given.child
        if what == "encode":
            print(json.dumps(encode(Path(rest[0]), Path(rest[1]), rest[2], int(rest[3]))))
        else:
            print(json.dumps(decode(Path(rest[0]))))
        return
    if given.real:
        found = real(given.real, given.threads)
        OUT.mkdir(exist_ok=True)
        (OUT / "radar_efforts.json").write_text(json.dumps(found, indent=1))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "volume.nc"
        values = prepare(source, tuple(given.shape), given.seed)["values"]
        print(
            f"{values / 1e6:.1f} M gate-values, simulated; 16-bit stream of 355 Mbps; {given.threads} threads"
        )
        print("codec       what     seconds  cpu s   MB/s f32   x355 at 16 bit   x355 at float32   peak MB")
        for codec in given.codecs:
            store = Path(folder) / f"{codec}.zarr"
            try:
                steps = {"encode": _child("encode", str(source), str(store), codec, str(given.threads))}
                steps["decode"] = _child("decode", str(store))
            except RuntimeError as error:
                print(f"{codec:12s} not measured: {error}")
                continue
            for what, found in steps.items():
                second = found["seconds"]
                row = {
                    "codec": codec,
                    "what": what,
                    "seconds": second,
                    "cpu_seconds": found["cpu_seconds"],
                    "mb_per_s_float32": 4e-6 * values / second,
                    "times_stream_16_bit": 16 * values / second / STREAM,
                    "times_stream_float32": 32 * values / second / STREAM,
                    "peak_mb": found["peak_mb"],
                }
                rows.append(row)
                print(
                    f"{codec:12s}{what:9s}{second:7.1f}{found['cpu_seconds']:8.1f}{row['mb_per_s_float32']:11.1f}"
                    f"{row['times_stream_16_bit']:17.2f}{row['times_stream_float32']:18.2f}{row['peak_mb']:10.0f}",
                    flush=True,
                )
    OUT.mkdir(exist_ok=True)
    (OUT / "radar_speed.json").write_text(
        json.dumps({"shape": given.shape, "values": values, "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main()
