"""Potentials against DFT on the development systems: energy, forces, stress, set by set.

    python -m benchmarks.atoms_dft_store ../shared/data/atoms runs/dft
    python -m benchmarks.atoms_teachers runs/dft --model atoms --model 7net-0 --model chgnet

Development systems (15 % of the chemical systems, by a hash of the name) are not trained on by ours.
SevenNet-0 and CHGNet trained on MPtrj, these frames included. Energies are compared after a shift by the
median of the set, since zeros differ (CHGNet's are MP2020-corrected: its energies on MPtrj cannot be
compared). One thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

from benchmarks.atoms_judges import judge
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.data.store import Store
from sciai.atoms.data.teachers import Teacher

KINDS = ("mptrj-random-1k", "random-TP", "mpf-TP", "alexandria-random-1k", "mptrj-highest-stress-1k")
GPA = 160.21766208


def figures(records: list[Record], asked: Teacher) -> dict[str, float]:
    """Mean absolute errors: meV/atom, meV/Å and relative to the mean force, GPa; atoms per CPU second."""
    start = time.process_time()
    labels = [label for k in range(0, len(records), 16) for label in asked.label(records[k : k + 16])]
    seconds = time.process_time() - start
    pairs = [(r, a) for r, a in zip(records, labels, strict=True) if a is not None]
    energy = np.array([(a.energy - r.energy) / len(r) for r, a in pairs])
    forces = np.concatenate([(a.forces - r.forces).ravel() for r, a in pairs])
    size = np.concatenate([r.forces.ravel() for r, _ in pairs])
    stress = np.array([(a.stress - r.stress)[np.triu_indices(3)] for r, a in pairs if r.stress is not None])
    return {
        "structures": len(pairs),
        "energy_mae_mev_atom": 1000 * float(np.abs(energy - np.median(energy)).mean()),
        "energy_shift_mev_atom": 1000 * float(np.median(energy)),
        "force_mae_mev_A": 1000 * float(np.abs(forces).mean()),
        "force_relative": float(np.abs(forces).mean() / np.abs(size).mean()),
        "stress_mae_gpa": GPA * float(np.abs(stress).mean()),
        "atoms_per_cpu_second": sum(len(r) for r, _ in pairs) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", help="store of the real DFT")
    parser.add_argument(
        "--model", action="append", required=True, help="checkpoint, 7net-0, 7net-l3i5, mattersim-1m, chgnet"
    )
    parser.add_argument("--kind", action="append", help="sets; all five by default")
    parser.add_argument("--largest", type=int, default=64, help="atoms in a cell at most")
    parser.add_argument("--limit", type=int, help="structures of each set at most (evenly spaced)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dev = [r for r in Store(options.store) if is_dev(r.group) and len(r) <= options.largest]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for model in options.model:
        asked = judge(model)
        for kind in options.kind or KINDS:
            records = [r for r in dev if r.kind == kind]
            if options.limit:
                records = records[:: max(1, len(records) // options.limit)][: options.limit]
            row = table.setdefault(kind, {})[model] = figures(records, asked)
            print(
                f"{kind:24s} {model[-24:]:24s} n {row['structures']:3.0f}  "
                f"E {row['energy_mae_mev_atom']:6.0f} meV/atom (shift {row['energy_shift_mev_atom']:+.0f})  "
                f"F {row['force_mae_mev_A']:6.0f} meV/Å = {row['force_relative']:.2f} |F|  "
                f"S {row['stress_mae_gpa']:5.2f} GPa  {row['atoms_per_cpu_second']:6.0f} atoms/CPU-s",
                file=sys.stderr if options.json else sys.stdout,
                flush=True,
            )
    if options.json:
        print(json.dumps(table))


if __name__ == "__main__":
    main()
