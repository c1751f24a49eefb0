"""Our potential against DFT on the same structure and machine, one thread: CPU time and difference of the
forces.

    python -m benchmarks.atoms_speed_against_dft --model atoms
    python -m benchmarks.atoms_speed_against_dft --model atoms --cp2k cp2k.psmp

A molecule: PBE/def2-SVP with pyscf (density fitting), energy and gradient. Crystals: PBE with CP2K, a
Gaussian and plane-wave code (Debian package cp2k; GTH pseudopotentials, DZVP-MOLOPT-SR, 600 Ry, 3x3x3
k-points). Without --cp2k the crystal is left out. Levels differ (basis, pseudopotentials), so the
difference of the forces is not our error alone. CPU seconds, which other work on the machine does not
change much; ours is the median of twenty calls.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from benchmarks.atoms_judges import judge
from sciai.atoms.data.records import from_atoms

HARTREE, BOHR = 27.211386, 0.52917721
Forces = np.ndarray


def pyscf_pbe(atoms: Atoms) -> tuple[float, Forces, float]:
    """Energy (eV), forces (eV/Å) and CPU seconds of PBE/def2-SVP."""
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    start = time.process_time()
    places = [(symbol, tuple(place)) for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)]
    cell = gto.M(atom=places, basis="def2-svp", verbose=0)
    field = dft.RKS(cell, xc="pbe").density_fit()
    energy = field.kernel()
    gradient = field.nuc_grad_method().kernel()
    return energy * HARTREE, -gradient * HARTREE / BOHR, time.process_time() - start


CP2K = """&GLOBAL
  PROJECT a
  RUN_TYPE ENERGY_FORCE
&END
&FORCE_EVAL
  METHOD QS
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    &MGRID
      CUTOFF {cutoff}
      REL_CUTOFF 60
    &END
    &SCF
      EPS_SCF 1e-6
      MAX_SCF 80
      SCF_GUESS ATOMIC
      &MIXING
        METHOD BROYDEN_MIXING
        ALPHA 0.4
      &END
    &END
    &XC
      &XC_FUNCTIONAL PBE
      &END
    &END
    &KPOINTS
      SCHEME MONKHORST-PACK 3 3 3
    &END
  &END
  &PRINT
    &FORCES
    &END
  &END
  &SUBSYS
    &CELL
{cell}
    &END
    &COORD
{places}
    &END
{kinds}
  &END
&END
"""


def cp2k_pbe(atoms: Atoms, command: str, cutoff: float = 600) -> tuple[float, Forces, float]:
    """Energy (eV), forces (eV/Å) and CPU seconds of PBE with CP2K."""
    rows = "\n".join(
        f"      {name} " + " ".join(f"{x:.8f}" for x in row)
        for name, row in zip("ABC", atoms.cell.array, strict=True)
    )
    places = "\n".join(
        f"      {symbol} " + " ".join(f"{x:.8f}" for x in place)
        for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)
    )
    kinds = "\n".join(
        f"    &KIND {symbol}\n      BASIS_SET DZVP-MOLOPT-SR-GTH\n      POTENTIAL GTH-PBE\n    &END"
        for symbol in sorted(set(atoms.symbols))
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.inp").write_text(CP2K.format(cutoff=cutoff, cell=rows, places=places, kinds=kinds))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            [*shlex.split(command), "-i", "a.inp"], cwd=folder, capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    energy = re.search(r"Total FORCE_EVAL.*?(-?\d+\.\d+)\s*$", ran.stdout, re.MULTILINE)
    found = re.findall(
        r"^\s+\d+\s+\d+\s+\w+\s+(-?\d+\.\d+)\s+(-?\d+\.\d+)\s+(-?\d+\.\d+)$", ran.stdout, re.MULTILINE
    )
    if energy is None or len(found) < len(atoms) or "SCF run NOT converged" in ran.stdout:
        sys.exit(f"CP2K gave no forces:\n{ran.stdout[-2000:]}\n{ran.stderr[-1000:]}")
    forces = np.array(found[-len(atoms) :], float) * HARTREE / BOHR
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(energy[1]) * HARTREE, forces, seconds


def cases(cp2k: str | None) -> dict[str, tuple[Atoms, Callable[[Atoms], tuple[float, Forces, float]]]]:
    """Name -> structure and the DFT to ask."""
    ethanol = molecule("CH3CH2OH")
    ethanol.rattle(0.05, seed=1)
    found = {"ethanol, PBE/def2-SVP (pyscf)": (ethanol, pyscf_pbe)}
    if cp2k is not None:
        for name, atoms in (
            ("Si, 8 atoms, PBE (CP2K)", bulk("Si", cubic=True)),
            ("SiC, 8 atoms, PBE (CP2K)", bulk("SiC", "zincblende", 4.36, cubic=True)),
        ):
            atoms.rattle(0.08, seed=1)
            found[name] = (atoms, lambda a: cp2k_pbe(a, cp2k))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", required=True, help="checkpoint, 7net-0, chgnet")
    parser.add_argument("--cp2k", help="command of CP2K")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = {name: judge(name) for name in options.model}
    rows = []
    for name, (atoms, dft) in cases(options.cp2k).items():
        _, forces, seconds = dft(atoms)
        record, net = from_atoms(atoms, "none"), 1000 * float(np.abs(forces.sum(0)).max())
        for model, asked in models.items():
            times = []
            for _ in range(21):
                start = time.process_time()
                label = asked.label([record])[0]
                times.append(time.process_time() - start)
            if label is None:
                continue
            row = {
                "case": name,
                "model": model,
                "dft_cpu_s": seconds,
                "ours_cpu_s": float(np.median(times[1:])),
                "times_faster": seconds / float(np.median(times[1:])),
                "force_mae_mev_A": 1000 * float(np.abs(label.forces - forces).mean()),
                "force_mean_mev_A": 1000 * float(np.abs(forces).mean()),
            }
            rows.append(row)
            print(
                f"{name:30s} {model[-20:]:20s} {seconds:.1f} CPU-s, ours {1000 * row['ours_cpu_s']:.1f} ms: "
                f"{row['times_faster']:6.0f} times; forces differ by {row['force_mae_mev_A']:.0f} of "
                f"{row['force_mean_mev_A']:.0f} meV/Å (net force of the DFT {net:.0f})",
                file=sys.stderr if options.json else sys.stdout,
                flush=True,
            )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
