"""Energies of gas-phase reactions against DFT that this script runs itself, beside other potentials.

    python -m benchmarks.atoms_reactions --model atoms --judges chgnet 7net-0 mattersim-1m --cache runs/atoms

PBE/def2-TZVP with pyscf (density fitting, unrestricted where a molecule has spin), at the geometries of the
G2 set, which every potential gets as well: each molecule alone in a periodic box. Materials' potentials learn
crystals; what they make of molecules is what a chemist tries first. Electronic energies: no zero-point
motion, no temperature. The network learned labels of MatterSim for molecules of the G2 set, but those whose
formulas are held out (marked *); no DFT energy of this script was learned.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule

from benchmarks.atoms_judges import judge
from benchmarks.kept import kept
from sciai.atoms.data.records import from_atoms, group_of, is_dev

HARTREE = 27.211386
BOX = 7.0  # Å on every side

REACTIONS: dict[str, dict[str, float]] = {
    "H2 + 1/2 O2 -> H2O": {"H2": -1, "O2": -0.5, "H2O": 1},
    "CO + 1/2 O2 -> CO2": {"CO": -1, "O2": -0.5, "CO2": 1},
    "CH4 + 2 O2 -> CO2 + 2 H2O": {"CH4": -1, "O2": -2, "CO2": 1, "H2O": 2},
    "N2 + 3 H2 -> 2 NH3": {"N2": -1, "H2": -3, "NH3": 2},
    "CO + H2O -> CO2 + H2": {"CO": -1, "H2O": -1, "CO2": 1, "H2": 1},
    "CO + 3 H2 -> CH4 + H2O": {"CO": -1, "H2": -3, "CH4": 1, "H2O": 1},
    "H2CO + H2 -> CH3OH": {"H2CO": -1, "H2": -1, "CH3OH": 1},
    "CH3OH + H2 -> CH4 + H2O": {"CH3OH": -1, "H2": -1, "CH4": 1, "H2O": 1},
    "C2H2 + H2 -> C2H4": {"C2H2": -1, "H2": -1, "C2H4": 1},
    "C2H4 + H2 -> C2H6": {"C2H4": -1, "H2": -1, "C2H6": 1},
    "HCN + 3 H2 -> CH4 + NH3": {"HCN": -1, "H2": -3, "CH4": 1, "NH3": 1},
    "H2O2 + H2 -> 2 H2O": {"H2O2": -1, "H2": -1, "H2O": 2},
    "N2H4 + H2 -> 2 NH3": {"N2H4": -1, "H2": -1, "NH3": 2},
    "N2 + O2 -> 2 NO": {"N2": -1, "O2": -1, "NO": 2},
    "H2 + F2 -> 2 HF": {"H2": -1, "F2": -1, "HF": 2},
    "H2 + Cl2 -> 2 HCl": {"H2": -1, "Cl2": -1, "HCl": 2},
    "CS2 + 3 O2 -> CO2 + 2 SO2": {"CS2": -1, "O2": -3, "CO2": 1, "SO2": 2},
    "C6H6 + 9 H2 -> 6 CH4": {"C6H6": -1, "H2": -9, "CH4": 6},
    "C3H8 + 2 H2 -> 3 CH4": {"C3H8": -1, "H2": -2, "CH4": 3},
    "HCOOH -> CO2 + H2": {"HCOOH": -1, "CO2": 1, "H2": 1},
}
"""Reaction -> molecules of ASE's G2 set and how many come to be."""


def pbe(name: str) -> float:
    """Energy of a molecule of the G2 set, eV: PBE/def2-TZVP with pyscf."""
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    atoms = molecule(name)
    places = [(symbol, tuple(place)) for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)]
    spin = round(abs(float(atoms.get_initial_magnetic_moments().sum())))
    cell = gto.M(atom=places, basis="def2-tzvp", spin=spin, verbose=0)
    field = (dft.UKS if spin else dft.RKS)(cell, xc="pbe").density_fit()
    energy = float(field.kernel())
    if not field.converged:
        raise SystemExit(f"pyscf did not converge for {name}")
    return energy * HARTREE


def boxed(name: str) -> Atoms:
    """The same molecule as the potentials get it."""
    atoms = molecule(name, vacuum=BOX)
    atoms.pbc = True
    return atoms


def of_potential(name: str, names: list[str]) -> dict[str, float]:
    """Energies of the molecules by a potential, eV; those that it cannot are absent."""
    labelled = judge(name).label([from_atoms(boxed(each), "none") for each in names])
    return {
        each: float(record.energy)
        for each, record in zip(names, labelled, strict=True)
        if record is not None and record.energy is not None
    }


def energy_of(parts: dict[str, float], energies: dict[str, float]) -> float:
    """Energy of a reaction; NaN where a molecule's is unknown."""
    return sum(count * energies.get(each, np.nan) for each, count in parts.items())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="atoms", help="a shipped checkpoint, or a folder")
    parser.add_argument("--judges", nargs="*", default=[], help="other potentials: chgnet, 7net-0 ...")
    parser.add_argument("--cache", type=Path, help="folder that keeps the DFT energies")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    options = parser.parse_args()
    names = sorted({each for parts in REACTIONS.values() for each in parts})
    file = options.cache / "pbe_def2-tzvp.json" if options.cache else None
    known: dict[str, float] = kept(file, names, pbe, "pyscf")
    found = {"PBE": known, "sciai": of_potential(options.model, names)}
    found |= {name: of_potential(name, names) for name in options.judges}
    rows = {
        reaction: {who: energy_of(parts, energies) for who, energies in found.items()}
        for reaction, parts in REACTIONS.items()
    }
    report: dict[str, Any] = {"reactions": rows, "mean_absolute_error": {}}
    for who in found:
        off = np.array([row[who] - row["PBE"] for row in rows.values()])
        report["mean_absolute_error"][who] = float(np.nanmean(np.abs(off)))
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        return
    held = {n for n in names if is_dev(group_of(molecule(n).numbers, molecule(n).pbc))}
    print(f"energies of reactions, eV; held out: {', '.join(sorted(held)) or 'none'}")
    print(f"{'':30s}" + "".join(f"{who:>14s}" for who in found))
    for reaction, row in rows.items():
        star = "*" if held & set(REACTIONS[reaction]) else " "
        print(f"{reaction + star:30s}" + "".join(f"{row[who]:14.2f}" for who in found))
    errors = report["mean_absolute_error"]
    print(f"{'mean absolute error':30s}" + "".join(f"{errors[who]:14.2f}" for who in found))


if __name__ == "__main__":
    main()
