"""What everybody tries first: crystals that have names, surfaces and vacancies of common metals.

    python -m benchmarks.atoms_known --judges chgnet 7net-0 mattersim-1m --cache runs/atoms/known

Volumes of crystals at rest against measured ones (room temperature; PBE lies about 3 % above most of them,
layered ones more, as it knows no dispersion). Energies of the close-packed surface and of a vacancy are
shown beside those of the other potentials: no experiment measures either well. Crystals marked * are of
chemical systems that were held out; most of the others are among the labels that the network learned, and so
much the worse where it is far off.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bcc110, bulk, fcc111
from ase.spacegroup import crystal

from benchmarks.kept import kept
from sciai.atoms.api.foreign import named
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import Relaxed, relax
from sciai.atoms.data.records import group_of, is_dev
from sciai.core.errors import BadInput, SciaiError

JOULE_PER_M2 = 16.021766
_RIGHT = [90.0, 90.0, 90.0]
_HEX = [90.0, 90.0, 120.0]


def _spaced(
    group: int, cell: list[float], sites: dict[str, tuple[float, float, float]], **more: Any
) -> Atoms:
    names = [name.rstrip("0123456789") for name in sites]
    atoms: Atoms = crystal(names, list(sites.values()), spacegroup=group, cellpar=cell, **more)
    return atoms


def crystals() -> dict[str, Atoms]:
    """Name -> cell as measured (Wyckoff 1963, Crystal Structures; CRC Handbook of Chemistry and Physics)."""
    third = 1 / 3
    found = {
        name: bulk(formula, kind, a)
        for name, formula, kind, a in (
            ("diamond", "C", "diamond", 3.567), ("silicon", "Si", "diamond", 5.431),
            ("germanium", "Ge", "diamond", 5.658), ("copper", "Cu", "fcc", 3.615),
            ("aluminium", "Al", "fcc", 4.050), ("gold", "Au", "fcc", 4.078), ("iron", "Fe", "bcc", 2.866),
            ("tungsten", "W", "bcc", 3.165), ("sodium", "Na", "bcc", 4.291),
            ("rock salt", "NaCl", "rocksalt", 5.640), ("LiF", "LiF", "rocksalt", 4.027),
            ("KBr", "KBr", "rocksalt", 6.600), ("MgO", "MgO", "rocksalt", 4.212),
            ("TiN", "TiN", "rocksalt", 4.240), ("CsCl", "CsCl", "cesiumchloride", 4.123),
            ("NiTi", "NiTi", "cesiumchloride", 3.015), ("GaAs", "GaAs", "zincblende", 5.653),
            ("SiC", "SiC", "zincblende", 4.360), ("cubic BN", "BN", "zincblende", 3.616),
            ("fluorite", "CaF2", "fluorite", 5.463), ("ceria", "CeO2", "fluorite", 5.411),
            ("urania", "UO2", "fluorite", 5.470),
        )
    }  # fmt: skip
    found["GaN"], found["ZnO"] = bulk("GaN", "wurtzite", 3.189, 5.185), bulk("ZnO", "wurtzite", 3.250, 5.207)
    found |= {
        "rutile": _spaced(136, [4.594, 4.594, 2.959, *_RIGHT], {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)}),
        "quartz": _spaced(
            154, [4.913, 4.913, 5.405, *_HEX], {"Si": (0.4697, 0, 2 * third), "O": (0.4135, 0.2669, 0.7858)}
        ),
        "corundum": _spaced(167, [4.759, 4.759, 12.991, *_HEX], {"Al": (0, 0, 0.352), "O": (0.306, 0, 0.25)}),
        "hematite": _spaced(167, [5.035, 5.035, 13.747, *_HEX], {"Fe": (0, 0, 0.355), "O": (0.306, 0, 0.25)}),
        "calcite": _spaced(
            167, [4.990, 4.990, 17.061, *_HEX], {"Ca": (0, 0, 0), "C": (0, 0, 0.25), "O": (0.257, 0, 0.25)}
        ),
        "LiCoO2": _spaced(
            166, [2.816, 2.816, 14.054, *_HEX], {"Li": (0, 0, 0.5), "Co": (0, 0, 0), "O": (0, 0, 0.2605)}
        ),
        "Bi2Te3": _spaced(
            166, [4.386, 4.386, 30.50, *_HEX], {"Bi": (0, 0, 0.4), "Te": (0, 0, 0), "Te2": (0, 0, 0.2095)}
        ),
        "WC": _spaced(187, [2.906, 2.906, 2.837, *_HEX], {"W": (0, 0, 0), "C": (third, 2 * third, 0.5)}),
        "pyrite": _spaced(205, [5.418] * 3 + _RIGHT, {"Fe": (0, 0, 0), "S": (0.385, 0.385, 0.385)}),
        "SrTiO3": _spaced(
            221, [3.905] * 3 + _RIGHT, {"Sr": (0.5, 0.5, 0.5), "Ti": (0, 0, 0), "O": (0.5, 0, 0)}
        ),
        "CsPbI3": _spaced(
            221, [6.289] * 3 + _RIGHT, {"Cs": (0.5, 0.5, 0.5), "Pb": (0, 0, 0), "I": (0.5, 0, 0)}
        ),
        "cuprite": _spaced(224, [4.270] * 3 + _RIGHT, {"O": (0, 0, 0), "Cu": (0.25, 0.25, 0.25)}),
        "spinel": _spaced(
            227, [8.083] * 3 + _RIGHT,
            {"Mg": (0.125, 0.125, 0.125), "Al": (0.5, 0.5, 0.5), "O": (0.2624, 0.2624, 0.2624)},
            setting=2, primitive_cell=True,
        ),
        "LiFePO4": _spaced(
            62, [10.332, 6.010, 4.692, *_RIGHT],
            {
                "Li": (0, 0, 0), "Fe": (0.2822, 0.25, 0.9747), "P": (0.0948, 0.25, 0.4182),
                "O": (0.0968, 0.25, 0.7428), "O2": (0.4571, 0.25, 0.2060), "O3": (0.1656, 0.0465, 0.2848),
            },
        ),
    }  # fmt: skip
    return found


METALS = {"Al": "fcc", "Ni": "fcc", "Cu": "fcc", "Ag": "fcc", "Pt": "fcc", "Fe": "bcc", "W": "bcc"}


def at_rest(atoms: Atoms, potential: Potential, *, cell: bool) -> Relaxed:
    """What ``relax`` found; an error where it did not come to rest."""
    found = relax(atoms, potential, cell=cell, fmax=0.02, steps=300).unwrap()
    if not found.converged:
        raise BadInput(f"{atoms.symbols} did not come to rest in 300 steps")
    return found


def metal(name: str, lattice: str, potential: Potential) -> dict[str, float]:
    """Energy of the close-packed surface, J/m², and of a vacancy in 26 (fcc) or 53 (bcc) atoms, eV."""
    whole = at_rest(bulk(name, lattice, cubic=True), potential, cell=True)
    each, a = whole.energy / len(whole.atoms), float(whole.atoms.cell.lengths()[0])
    cut = fcc111 if lattice == "fcc" else bcc110
    slab = at_rest(cut(name, (1, 1, 6), a=a, vacuum=8.0, periodic=True), potential, cell=False)
    area = float(np.linalg.norm(np.cross(*slab.atoms.cell.array[:2])))
    gap = bulk(name, lattice, a, cubic=True).repeat(3)
    del gap[0]
    hole = at_rest(gap, potential, cell=False)
    return {
        "surface": (slab.energy - len(slab.atoms) * each) / (2 * area) * JOULE_PER_M2,
        "vacancy": hole.energy - len(gap) * each,
    }


def asked(potential: Potential, who: str, file: Path | None) -> dict[str, Any]:
    """Volumes per atom (Å³) of the crystals, energies of the metals; None where one did not come to rest."""
    cells = crystals()

    def ask(name: str) -> Any:
        try:
            if name in METALS:
                return metal(name, METALS[name], potential)
            return at_rest(cells[name], potential, cell=True).volume
        except SciaiError as error:
            print(f"{who}: {name}: {error}", file=sys.stderr)
            return None

    return kept(file, [*cells, *METALS], ask, who)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="atoms", help="a shipped checkpoint, or a folder")
    parser.add_argument("--judges", nargs="*", default=[], help="other potentials: chgnet, 7net-0 ...")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the others said")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    options = parser.parse_args()
    ours = Potential.load(None if options.model == "atoms" else options.model, guard="off")
    found = {"sciai": asked(ours, "sciai", None)}
    for name in options.judges:
        file = options.cache / f"{name}.json" if options.cache else None
        found[name] = asked(named(name, guard="off"), name, file)
    measured = {name: atoms.get_volume() / len(atoms) for name, atoms in crystals().items()}
    off = {
        who: {name: 100 * (told[name] / v - 1) for name, v in measured.items() if told[name] is not None}
        for who, told in found.items()
    }
    report: dict[str, Any] = {
        "volume_percent_off": off,
        "metals": {who: {name: told[name] for name in METALS} for who, told in found.items()},
        "summary": {
            who: {
                "median": float(np.median(np.abs([*row.values()]))),
                "worst": max(row, key=lambda n: abs(row[n])),
            }
            for who, row in off.items()
        },
    }
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        return
    held = {name for name, atoms in crystals().items() if is_dev(group_of(atoms.numbers, atoms.pbc))}
    print("volume against measurement, per cent")
    print(f"{'':12s}" + "".join(f"{who:>14s}" for who in found))
    for name in measured:
        star = "*" if name in held else ""
        print(f"{name + star:12s}" + "".join(f"{off[who].get(name, np.nan):14.1f}" for who in found))
    print(f"{'median':12s}" + "".join(f"{report['summary'][who]['median']:14.1f}" for who in found))
    for what, unit in (("surface", "J/m²"), ("vacancy", "eV")):
        print(f"\nenergy of a {what}, {unit}")
        for name in METALS:
            row = [(found[who][name] or {}).get(what, np.nan) for who in found]
            print(f"{name:12s}" + "".join(f"{value:14.2f}" for value in row))


if __name__ == "__main__":
    main()
