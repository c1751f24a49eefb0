"""Does dynamics conserve energy? NVE at 300 K on a metal, a salt, a semiconductor and a molecule.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_nve [--model FOLDER] [--ps 10] [--double]

Each is relaxed, heated to 300 K (velocities are drawn for 600 K, half of which goes into the springs), and
run without a thermostat. Drift is the slope of total energy times the time, in meV per atom; the target is 1.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from ase import Atoms
from ase.build import bulk, molecule

from sciai.atoms.api.dynamics import md
from sciai.atoms.api.foreign import named
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax

TARGET = 1.0
STEPS: dict[str, float] = {"Cu": 2.0, "NaCl": 2.0, "Si": 2.0, "C6H6": 0.5}


def start(name: str) -> Atoms:
    """A structure near its equilibrium, some tens of atoms."""
    if name == "Cu":
        return bulk("Cu", cubic=True) * (2, 2, 2)
    if name == "NaCl":
        return bulk("NaCl", "rocksalt", 5.64, cubic=True) * (2, 2, 1)
    if name == "Si":
        return bulk("Si", cubic=True) * (2, 2, 1)
    return molecule(name)


def measure(name: str, potential: Potential, ps: float) -> dict[str, Any]:
    """Relax and run one material.

    Args:
        name: of `STEPS`.
        potential: what drives it.
        ps: length.
    """
    atoms = relax(start(name), potential.with_guard("off"), steps=300).unwrap().atoms
    step = STEPS[name]
    begin = time.process_time()
    done = md(
        atoms,
        potential,
        ensemble="nve",
        temperature=600.0,
        steps=round(1000 * ps / step),
        timestep=step,
        every=max(1, round(20 / step)),
        on_refusal="mark",
    ).unwrap()
    spent = time.process_time() - begin
    assert done.drift is not None
    assert done.wander is not None
    return {
        "material": name,
        "atoms": len(atoms),
        "timestep_fs": step,
        "temperature_K": done.temperature,
        "drift_meV": 1000 * done.drift * done.time,
        "wander_meV": 1000 * done.wander,
        "frames_refused": len(done.marked),
        "atom_steps_per_cpu_s": done.steps * len(atoms) / max(spent, 1e-9),
    }


def line(row: dict[str, Any], ps: float) -> str:
    """A row as text."""
    return (
        f"{row['material']:6s} {row['atoms']:4d} atoms  {row['temperature_K']:4.0f} K  "
        f"drift over {ps:g} ps {row['drift_meV']:+8.4f} meV/atom (target {TARGET:g})  "
        f"wander {row['wander_meV']:.4f}  refused {row['frames_refused']}  "
        f"{row['atom_steps_per_cpu_s']:.0f} atom-steps per CPU-second"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--ps", type=float, default=10.0)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--only", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    potential = named(options.model, dtype="float64" if options.double else "float32", device="cpu")
    rows = []
    for name in options.only:
        row = measure(name, potential, options.ps)
        rows.append(row)
        if not options.json:
            print(line(row, options.ps), flush=True)
    if options.json:
        print(json.dumps({"model": potential.provenance.model, "ps": options.ps, "rows": rows}))


if __name__ == "__main__":
    main()
