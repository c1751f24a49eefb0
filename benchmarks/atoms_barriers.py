"""Barriers of molecules against DFT on the same paths, and whether their spread covers the error.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_barriers --cache runs/atoms

The path is the potential's own (``neb``, five images, climbing); beginning and top are asked again with
PBE/def2-TZVP (pyscf, density fitting). What is compared is the difference of the same two structures, so an
error of the path itself is not in it. Inversions, methyl groups that turn, hydrogen that moves from one atom
to another. The network learned labels of another potential for molecules of the G2 set, none of these paths.

Where a methyl group turns, the network hardly sees that anything changes, and so does the spread of the
difference: what barriers are off beyond it is measured on some of these, and asked of the others. Paths that
break bonds are asked as well; too few to calibrate on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule

from benchmarks.atoms_card import weights_of
from benchmarks.atoms_differences import told
from benchmarks.atoms_reactions import HARTREE
from benchmarks.kept import kept
from sciai.atoms.api.paths import neb
from sciai.atoms.api.potential import Potential
from sciai.atoms.train.differences import told_of
from sciai.core.checkpoint import Checkpoint

NINETY = 1.645


def turned(name: str, axis: tuple[int, int], moved: list[int], degrees: float) -> tuple[Atoms, Atoms]:
    """A molecule, and with some atoms turned about the bond between two."""
    first = molecule(name)
    last = first.copy()
    part = last[moved]
    part.rotate(degrees, last.positions[axis[1]] - last.positions[axis[0]], center=last.positions[axis[0]])
    last.positions[moved] = part.positions
    return first, last


def inverted(name: str) -> tuple[Atoms, Atoms]:
    """A molecule, and its mirror image along z."""
    first = molecule(name)
    last = first.copy()
    last.positions[:, 2] *= -1
    return first, last


def methyl(name: str) -> tuple[Atoms, Atoms]:
    """A third of a turn of the hydrogens of a methyl group."""
    atoms = molecule(name)
    apart = atoms.get_all_distances()
    for carbon in np.flatnonzero(atoms.numbers == 6):
        near = [int(k) for k in np.flatnonzero(apart[carbon] < 1.3) if atoms.numbers[k] == 1]
        if len(near) == 3:
            heavy = [int(k) for k in np.flatnonzero(atoms.numbers > 1) if k != carbon]
            other = min(heavy, key=lambda k: float(apart[carbon, k]))
            return turned(name, (other, int(carbon)), near, 120.0)
    raise SystemExit(f"{name} has no methyl group")


def cyanide() -> tuple[Atoms, Atoms]:
    """HCN and HNC."""
    first = Atoms("CNH", [[0, 0, 0], [0, 0, 1.156], [0, 0.05, -1.07]])
    return first, Atoms("CNH", [[0, 0, 0], [0, 0, 1.170], [0, 0.05, 2.165]])


def acid(name: str) -> tuple[Atoms, Atoms]:
    """An acid whose hydrogen goes to the other oxygen: its mirror image, the oxygens' numbers swapped."""
    first = molecule(name)
    apart = first.get_all_distances()
    oxygens = [int(k) for k in np.flatnonzero(first.numbers == 8)]
    hydrogens = [int(k) for k in np.flatnonzero(first.numbers == 1)]
    acidic = min(hydrogens, key=lambda k: float(apart[k, oxygens].min()))
    here, there = sorted(oxygens, key=lambda o: float(apart[acidic, o]))
    carbon = min(np.flatnonzero(first.numbers == 6), key=lambda c: float(apart[c, oxygens].sum()))
    normal = first.positions[here] - first.positions[there]
    normal /= np.linalg.norm(normal)
    last = first.copy()
    last.positions -= 2 * np.outer((last.positions - first.positions[carbon]) @ normal, normal)
    order = np.arange(len(last))
    order[[here, there]] = there, here
    last.positions = last.positions[order]
    return first, last


METHYL = (
    *("C2H6", "CH3OH", "CH3SH", "CH3CHO", "CH3OCH3", "CH3SiH3", "C3H8", "isobutane", "trans-butane"),
    *("CH3COF", "CH3CH2Cl", "CH3CH2OH", "CH3CH2NH2", "CH3CH2OCH3", "CH3CH2SH", "CH3SCH3", "CH3COCH3"),
    *("C3H6_Cs", "CH3COCl", "CH3CONH2", "CH3NO2", "CH3ONO"),
)
PATHS: dict[str, Callable[[], tuple[Atoms, Atoms]]] = {
    "HCN to HNC": cyanide,
    **{f"{name} inverts": partial(inverted, name) for name in ("NH3", "PH3", "H2O", "SH2")},
    **{f"{name}, H to the other O": partial(acid, name) for name in ("HCOOH", "CH3COOH")},
    **{f"{name} turns": partial(methyl, name) for name in METHYL},
}


def kind(name: str) -> str:
    """What moves: a group that turns (of which one of three is kept for the question), or bonds."""
    if not name.endswith("turns"):
        return "bonds"
    return "turns, asked" if hashlib.sha256(name.encode()).digest()[0] % 3 == 0 else "turns"


def unseen(rows: Sequence[dict[str, Any]], alpha: float = 0.1) -> float:
    """What barriers are off beyond their spread, eV: in quadrature with it, 1.645 of both cover 1 - alpha."""
    needed = np.sort([(row["barrier"] - row["pbe"]) ** 2 / NINETY**2 - row["spread"] ** 2 for row in rows])
    rank = math.ceil((len(needed) + 1) * (1 - alpha))
    return math.sqrt(max(float(needed[min(rank, len(needed)) - 1]), 0.0))


def figures(rows: Sequence[dict[str, Any]], more: float) -> dict[str, float]:
    """Error, spread and coverage of barriers."""
    off = np.array([abs(row["barrier"] - row["pbe"]) for row in rows])
    sd = np.hypot([row["spread"] for row in rows], more)
    return {
        "n": len(rows),
        "error": float(np.median(off)),
        "spread": float(np.median(sd)),
        "within_68": float(np.mean(off <= sd)),
        "within_90": float(np.mean(off <= NINETY * sd)),
    }


def pbe(atoms: Atoms) -> float:
    """PBE/def2-TZVP, eV."""
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    places = [(symbol, tuple(place)) for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)]
    field = dft.RKS(gto.M(atom=places, basis="def2-tzvp", verbose=0), xc="pbe").density_fit()
    energy = float(field.kernel())
    if not field.converged:
        raise SystemExit(f"pyscf did not converge for {atoms.symbols}")
    return energy * HARTREE


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps paths and DFT energies")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/atoms"))
    parser.add_argument("--write", action="store_true", help="put what was fitted onto the card")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    saved = Checkpoint.load(options.checkpoint)
    potential = Potential.load(options.checkpoint, dtype="float64", guard="off")

    known = potential.related
    if known is None:
        raise SystemExit("write what benchmarks.atoms_differences finds first")

    def ask(name: str) -> dict[str, Any]:
        first, last = PATHS[name]()
        answer = neb(first, last, potential, images=5, fmax=0.08, steps=300)
        if answer.estimate is None:
            return {"failed": str(answer.findings[0].message)}
        path = answer.estimate.value
        # where the potential sees no barrier, DFT may: then the image in the middle is compared
        at = path.top if 0 < path.top < len(path.images) - 1 else len(path.images) // 2
        energies = [pbe(path.images[k].atoms) for k in (0, at)]
        said = told(potential, [path.images[k].atoms for k in (0, at)])
        _, change, heads = told_of([(1, said[1]), (-1, said[0])], known.scale)
        return {
            "barrier": float(path.energies[at]),
            "change": change,
            "heads": heads,
            "whole": math.hypot(said[0].sd, said[1].sd),
            "pbe": energies[1] - energies[0],
            "converged": path.converged,
        }

    file = options.cache / f"barriers-{weights_of(options.checkpoint)}.json" if options.cache else None
    rows = kept(file, list(PATHS), ask, "barriers")
    for row in rows.values():
        if "failed" not in row:
            row["spread"] = min(known.spread(row["change"], row["heads"]), row["whole"])
    each: dict[str, list[dict[str, Any]]] = {}
    for name, row in rows.items():
        if "failed" not in row:
            each.setdefault(kind(name), []).append(row)
    path = {"sd": unseen(each["turns"]), "n": len(each["turns"]), "against": "PBE"}
    report = {p: figures(lot, path["sd"]) for p, lot in each.items()}
    before = {p: figures(lot, 0.0) for p, lot in each.items()}
    if options.json:
        print(json.dumps({"paths": rows, "path": path, "before": before, **report}))
    else:
        print(f"{'eV':28s} {'ours':>7s} {'spread':>7s} {'PBE':>7s}")
        for name, row in rows.items():
            said = row.get("failed") or f"{row['barrier']:7.3f} {row['spread']:7.3f} {row['pbe']:7.3f}"
            held = "  asked" if kind(name) == "turns, asked" else ""
            print(f"{name:28s} {said}{held}{'' if row.get('converged', True) else '  (not converged)'}")
        print(f"beyond their spread barriers are off by {path['sd']:.3f} eV")
        for title, found in (("without it", before), ("with it", report)):
            for p, row in found.items():
                print(
                    f"{title:11s} {p:12s} {row['n']:3d} paths: median error {row['error']:.3f} eV, spread "
                    f"{row['spread']:.3f}; within one {100 * row['within_68']:.0f} %, within 1.645 of it "
                    f"{100 * row['within_90']:.0f} %"
                )
    if options.write:
        said = dict(saved.card.calibration["differences"])
        metrics = {k: v for k, v in saved.card.metrics.items() if not k.startswith("barriers/")}
        for name, short in (("turns, asked", "turns"), ("bonds", "bonds")):
            keys = ("n", "error", "within_68", "within_90")
            metrics |= {f"barriers/{short}/{key}": report[name][key] for key in keys}
        calibration = {**saved.card.calibration, "differences": {**said, "path": path}}
        card = replace(saved.card, calibration=calibration, metrics=metrics)
        again = Checkpoint(saved.arrays, card).save(options.checkpoint, overwrite=True)
        print("written:", again.hash, file=sys.stderr)


if __name__ == "__main__":
    main()
