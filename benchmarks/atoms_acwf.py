"""Equilibrium volume and bulk modulus of the elements against all-electron PBE (ACWF unaries,
96 elements in 4 structures).

    python -m benchmarks.atoms_acwf acwf-unaries-PBE-AE-average.json --model atoms --model 7net-0

Energies at seven volumes, 94 to 106 % of the reference's V0, a Birch-Murnaghan fit, and its V0 and B0
against the reference's (Bosoni et al. 2024, Nat. Rev. Phys. 6, 45). Medians are over all 384 curves; one
that a model cannot give (unknown element, no minimum) counts as infinitely wrong. "unseen": curves that
ours was not trained on, which are 15 % by a hash of the name, and those of Cr, Mn, Fe, Co and Ni: the
reference is not spin-polarised and differs from what magnetic labels teach. Their elements it knows from
other structures, mostly at other volumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import numpy as np
from ase.build import bulk

from benchmarks.atoms_judges import judge
from sciai.atoms.api.equation import fit_birch_murnaghan
from sciai.atoms.data.records import from_atoms, is_dev
from sciai.atoms.data.teachers import Teacher
from sciai.atoms.train.curves import MAGNETIC
from sciai.core.errors import BadInput

ATOMS = {"BCC": 1, "FCC": 1, "SC": 1, "Diamond": 2}
ONLY_CURVES = ("Po", "At", "Rn", "Fr", "Ra", "Am", "Cm")
RATIOS = np.linspace(0.94, 1.06, 7)


def curve(asked: Teacher, symbol: str, kind: str, volume: float) -> tuple[float, float]:
    """V0 (Å³ per cell) and B0 (eV/Å³) near a volume; infinite where there are none."""
    records = []
    for ratio in RATIOS:
        atoms = bulk(symbol, kind.lower(), a=1.0)
        atoms.set_cell(atoms.cell.array * (ratio * volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        records.append(from_atoms(atoms, "none"))
    labels = [label for label in asked.label(records) if label is not None]
    if len(labels) < len(RATIOS):
        return np.inf, np.inf
    try:
        _, v0, b0, _ = fit_birch_murnaghan(RATIOS * volume, [label.energy for label in labels])
    except BadInput:
        return np.inf, np.inf
    # a minimum far outside the volumes asked is extrapolation: wrong, however it comes out
    return (v0, b0) if 0.8 < v0 / volume < 1.25 else (np.inf, np.inf)


def unseen(name: str) -> bool:
    """Whether ours was not trained on a curve ("Cu/FCC")."""
    return is_dev(f"eos:{name.split('/')[0]}/{name.split('/')[1].lower()}") or name.split("/")[0] in MAGNETIC


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="acwf-unaries-PBE-AE-average.json of acwf-verification-scripts")
    parser.add_argument(
        "--model", action="append", required=True, help="checkpoint, 7net-0, 7net-l3i5, mattersim-1m, chgnet"
    )
    parser.add_argument("--worst", type=int, default=12, help="curves to name")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open(options.table) as file:
        reference = {name: fit for name, fit in json.load(file)["BM_fit_data"].items() if fit is not None}
    out = sys.stderr if options.json else sys.stdout
    table = {}
    for model in options.model:
        asked = judge(model)
        rows = {}
        for name, fit in sorted(reference.items()):
            symbol, kind = name.split("-X/")
            v0, b0 = curve(asked, symbol, kind, fit["min_volume"])
            rows[f"{symbol}/{kind}"] = (
                100 * abs(v0 / fit["min_volume"] - 1),
                100 * abs(b0 / fit["bulk_modulus_ev_ang3"] - 1),
            )
        parts: dict[str, Callable[[str], bool]] = {
            "all": lambda name: True,
            "seen by ours": lambda name: not unseen(name),
            "unseen by ours": unseen,
            "the 89 elements": lambda name: name.split("/")[0] not in ONLY_CURVES,
            "curves only (7)": lambda name: name.split("/")[0] in ONLY_CURVES,
            "fcc and bcc": lambda name: name.endswith(("FCC", "BCC")),
            "sc and diamond": lambda name: name.endswith(("SC", "Diamond")),
        }
        for part, belongs in parts.items():
            v, b = np.array([row for name, row in rows.items() if belongs(name)]).T
            table.setdefault(model, {})[part] = {
                "curves": len(v),
                "volume_percent": float(np.median(v)),
                "bulk_modulus_percent": float(np.median(b)),
                "failed": int(np.isinf(v).sum()),
            }
            print(
                f"{model[-20:]:20s} {part:16s} n {len(v):3d}  median error of V0 {np.median(v):6.2f} %, "
                f"of B0 {np.median(b):6.1f} %; without a minimum {np.isinf(v).sum()}",
                file=out, flush=True,
            )  # fmt: skip
        worst = sorted((row[0], name) for name, row in rows.items() if np.isfinite(row[0]))[-options.worst :]
        print("   largest:", ", ".join(f"{name} {v:.0f} %" for v, name in reversed(worst)), file=out)
    if options.json:
        print(json.dumps(table))


if __name__ == "__main__":
    main()
