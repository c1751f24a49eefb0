"""CPU time and peak memory of one structure with 64 to 16,384 atoms: both have to grow linearly.

Each size runs in a process of its own, so that the peak is its own.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_scaling
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time


def one(checkpoint: str, atoms_wanted: int) -> dict[str, float]:
    """Seconds and memory for rock salt with about this many atoms, in this process."""
    import torch
    from ase.build import bulk

    from sciai.atoms.data.graph import graphs_of
    from sciai.atoms.model.interface import load_net, predict
    from sciai.core.checkpoint import Checkpoint

    torch.set_num_threads(1)
    net = load_net(Checkpoint.load(checkpoint))
    shape = {
        64: (2, 2, 2),
        512: (4, 4, 4),
        2048: (8, 8, 4),
        4096: (8, 8, 8),
        8192: (16, 8, 8),
        16384: (16, 16, 8),
    }
    cell = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    predict(net, graphs_of([cell], net.cutoff))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    atoms = cell.repeat(shape[atoms_wanted])
    atoms.rattle(0.05, seed=1)
    start = time.process_time()
    predict(net, graphs_of([atoms], net.cutoff))
    took = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"atoms": len(atoms), "seconds": took, "peak_mb": peak, "before_mb": before}


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="checkpoints/atoms")
    parser.add_argument("--one", type=int, help="run one size in this process and print JSON")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.checkpoint, options.one)))
        return
    rows = []
    if not options.json:
        print(f"{'atoms':>7} {'CPU s':>8} {'atoms/CPU s':>12} {'peak MB':>9} {'of it before':>13}")
    for size in (64, 512, 2048, 4096, 8192, 16384):
        command = [sys.executable, "-m", "benchmarks.atoms_scaling", "--checkpoint", options.checkpoint]
        command += ["--one", str(size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        if not options.json:
            rate = row["atoms"] / row["seconds"]
            memory = f"{row['peak_mb']:9.0f} {row['before_mb']:13.0f}"
            print(f"{row['atoms']:7d} {row['seconds']:8.3f} {rate:12.0f} {memory}")
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
