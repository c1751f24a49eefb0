"""How far differences of energies are off, and whether their spread says so.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_differences --data ../shared/data/atoms \\
        --metals mlearn/data --cache runs/atoms

A barrier, a surface, an adsorption energy, one polymorph against another: sums of energies that leave no atom
over. Their spread comes from how much the surroundings of the atoms change and how far the heads disagree on
the difference (``sciai.atoms.train.differences``); what these are worth is fitted to pairs of structures of
one composition that were not learned from (calibration part of the chemical systems, half of the metals,
frames of CO2 on nickel that were left out) and written onto the card with --write. The rest is asked whether
it holds: development systems, other metals, slabs and molecules at other levels of theory, reactions.

``--metals``: folder ``data`` of github.com/materialsvirtuallab/mlearn (BSD-3, PBE; Zuo et al. 2020, J. Phys.
Chem. A 124, 731): AIMD, strained cells, vacancies, surfaces of Li, Ni, Ge (calibration), Cu and Mo; left out
where it is not given. Single elements are always lessons as such, these frames are not.
``--cache``: where ``benchmarks.atoms_reactions``
kept its DFT energies; without it reactions are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from benchmarks.atoms_reactions import REACTIONS, boxed
from sciai.atoms.api.potential import Potential
from sciai.atoms.data.readers import records_from
from sciai.atoms.data.records import group_of
from sciai.atoms.train.data import GPA, part_of, thinned
from sciai.atoms.train.differences import Pair, Related, Told, fit, pairs_of, told_of, weights
from sciai.core.checkpoint import Checkpoint
from sciai.trust.support import KnnOfKind

Floats = npt.NDArray[np.float64]
NINETY = 1.645
PARTS = {"calibrate": "calibrate", "val": "calibrate", "test": "development"}
CRYSTALS = {
    "mpf-TP": "mattersim",
    "random-TP": "mattersim",
    "mptrj-random-1k": "mptrj",
    "mptrj-highest-stress-1k": "mptrj",
    "molecules/singleatom_oer": "oer-slabs",
}
METALS = {"Li": "calibrate", "Ni": "calibrate", "Ge": "calibrate", "Cu": "development", "Mo": "development"}
FRAMES = {
    "molecules/co2_ni100": ("co2-ni100", "calibrate"),
    "molecules/oc20_style_samples": ("rpbe", "development"),
    "molecules/ch3_cu_beef": ("beef-vdw", "development"),
    "molecules/rmd17": ("pbe-svp", "development"),
    "molecules/s66x8": ("wb97x", "development"),
}
"""File -> source and part: sets of few compositions, or of none that is at the level of answers."""
FEW = 160

Labelled = tuple[str, Atoms, float]


def crystals(data: Path, fractions: dict[str, float]) -> dict[str, list[Labelled]]:
    """Structures of chemical systems that were not trained on, by part."""
    out: dict[str, list[Labelled]] = {"calibrate": [], "development": []}
    for name, source in CRYSTALS.items():
        for record in records_from(_file(data, name), source, skip=lambda error: None):
            part = PARTS.get(part_of(group_of(record.numbers, record.pbc), fractions))
            tension = float(np.trace(record.stress)) / 3 / GPA if record.stress is not None else 0.0
            if part and record.energy is not None and not (source == "mptrj" and tension > 35):
                out[part].append((name.split("/")[-1], record.to_atoms(), float(record.energy)))
    return out


def frames(data: Path, most: dict[str, int], known: Sequence[str]) -> dict[str, list[Labelled]]:
    """Sets of few compositions; frames that were lessons are left out."""
    out: dict[str, list[Labelled]] = {"calibrate": [], "development": []}
    for name, (source, part) in FRAMES.items():
        records = records_from(_file(data, name), source, skip=lambda error: None)
        if source in known:
            learned = {id(record) for record in thinned(records, most)} if source in most else set()
            records = [record for record in records if id(record) not in learned]
        chosen = records[:: max(1, len(records) // FEW)]
        out[part] += [
            (name.split("/")[-1], r.to_atoms(), float(r.energy)) for r in chosen if r.energy is not None
        ]
    return out


def metals(folder: Path) -> dict[str, list[tuple[str, Atoms, float]]]:
    """Part -> structures; a name says element and kind."""
    out: dict[str, list[Labelled]] = {"calibrate": [], "development": []}
    for element, part in METALS.items():
        for row in json.loads((folder / element / "test.json").read_text()):
            sites, cell = row["structure"]["sites"], row["structure"]["lattice"]["matrix"]
            symbols = [site["species"][0]["element"] for site in sites]
            atoms = Atoms(symbols, scaled_positions=[site["abc"] for site in sites], cell=cell, pbc=True)
            kind = {"AIMD-NVT": "hot", "Elastic": "strained"}.get(row["group"], row["group"].lower())
            out[part].append((kind, atoms, float(row["outputs"]["energy"])))
    return out


def told(potential: Potential, lot: Sequence[Atoms]) -> list[Told]:
    """What the potential says of each; those that it cannot answer raise."""
    out = []
    for value in potential.engine.compute(list(lot)):
        if value.heads is None or value.descriptor is None:
            raise SystemExit("the potential has no heads")
        out.append(Told(value.energy, value.heads, value.descriptor.sum(0), value.energy_sd))
    return out


def pairs(potential: Potential, labelled: Sequence[Labelled], scale: Floats, most: int = 40) -> list[Pair]:
    """Pairs of one composition in each set."""
    said = told(potential, [atoms for _, atoms, _ in labelled])
    rows = [(name, atoms.numbers, energy, t) for (name, atoms, energy), t in zip(labelled, said, strict=True)]
    return pairs_of(rows, scale, most)


def metal_pairs(potential: Potential, labelled: Sequence[Labelled], scale: Floats) -> list[Pair]:
    """Pairs of one metal, named by what they compare: hot cells, a vacancy with a crystal ..."""
    out: list[Pair] = []
    said = told(potential, [atoms for _, atoms, _ in labelled])
    kinds = sorted({name for name, _, _ in labelled})
    for kind, other in [(k, k) for k in kinds] + list(combinations(kinds, 2)):
        rows = [
            ("x", atoms.numbers, energy, t)
            for (name, atoms, energy), t in zip(labelled, said, strict=True)
            if name in (kind, other)
        ]
        names = [name for name, _, _ in labelled if name in (kind, other)]
        if kind == other:
            found = pairs_of(rows, scale, 40)
        elif "strained" in (kind, other):
            found = _across(rows, names, scale)
        else:
            continue
        title = f"metals: {kind}" if kind == other else f"metals: {kind} against {other}"
        out += [replace(pair, name=title) for pair in found]
    return out


def _across(rows: list[Any], names: list[str], scale: Floats) -> list[Pair]:
    out: list[Pair] = []
    for i, j in combinations(range(len(rows)), 2):
        if names[i] != names[j]:
            out += pairs_of([rows[i], rows[j]], scale)
    return out


def reactions(potential: Potential, cache: Path, scale: Floats) -> list[Pair]:
    """Reactions of the gas phase against PBE."""
    dft = json.loads((cache / "pbe_def2-tzvp.json").read_text())
    names = sorted(dft)
    said = dict(zip(names, told(potential, [boxed(name) for name in names]), strict=True))
    out = []
    for reaction, parts in REACTIONS.items():
        energy, change, heads = told_of([(n, said[each]) for each, n in parts.items()], scale)
        wrong = energy - sum(n * dft[each] for each, n in parts.items())
        whole = math.hypot(*(n * said[each].sd for each, n in parts.items()))
        out.append(Pair("reactions", reaction, change, heads, wrong, 1, whole))
    return out


def figures(found: Sequence[Pair], known: Related) -> dict[str, float]:
    """Errors, spreads and coverage of a set; every composition counts the same."""
    from scipy.stats import spearmanr

    share = weights(found)
    error = np.abs([p.error for p in found])
    old = np.array([p.whole for p in found])
    # as answers have it: never more than if both were off by themselves
    sd = np.minimum([known.spread(p.change, p.heads) for p in found], old)
    return {
        "pairs": len(found),
        "compositions": len({p.composition for p in found}),
        "error": _median(error, share),
        "spread": _median(sd, share),
        "within_68": float(share @ (error <= sd)),
        "within_90": float(share @ (error <= NINETY * sd)),
        "rank": float(spearmanr(sd, error).statistic) if len(found) > 2 else float("nan"),
        "whole_spread": _median(old, share),
        "whole_within_68": float(share @ (error <= old)),
        "whole_within_90": float(share @ (error <= NINETY * old)),
    }


def _median(values: Floats, share: Floats) -> float:
    order = np.argsort(values)
    return float(values[order][int(np.searchsorted(np.cumsum(share[order]), 0.5 * share.sum()))])


def _file(data: Path, name: str) -> Path:
    plain = data / f"{name}.extxyz"
    return plain if plain.is_file() else data / f"{name}.extxyz.gz"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the extxyz sets")
    parser.add_argument("--metals", type=Path, help="folder data of mlearn; needed to write")
    parser.add_argument("--cache", type=Path, help="where DFT energies of molecules are kept")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/atoms"))
    parser.add_argument("--write", action="store_true", help="put what was fitted onto the card")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.write and options.metals is None:
        parser.error("what is written is fitted to metals as well: give --metals")
    saved = Checkpoint.load(options.checkpoint)
    config: Any = saved.card.config["domain"]
    potential = Potential.load(options.checkpoint, dtype="float64", guard="off")
    around = potential.evidence.support
    if around is None or not isinstance(around.measure, KnnOfKind):
        raise SystemExit("the potential was never calibrated")
    scale = np.asarray(around.measure.scale)
    lots = crystals(options.data, config["data"]["fractions"])
    for part, lot in frames(options.data, config["data"].get("most") or {}, list(config["sources"])).items():
        lots[part] += lot
    own = metals(options.metals) if options.metals else {}
    found: dict[str, list[Pair]] = {part: pairs(potential, lot, scale) for part, lot in lots.items()}
    for part, lot in own.items():
        found[part] += metal_pairs(potential, lot, scale)
    lessons = [replace(p, name="metals") if p.name.startswith("metals") else p for p in found["calibrate"]]
    fitted = fit(lessons, "DFT")
    known = Related.of(fitted)
    if fitted is None or known is None:
        raise SystemExit("too few compositions")
    if options.cache is not None and (options.cache / "pbe_def2-tzvp.json").is_file():
        found["development"] += reactions(potential, options.cache, scale)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for part, lot in found.items():
        names = list(dict.fromkeys(p.name for p in lot))
        rows[part] = {name: figures([p for p in lot if p.name == name], known) for name in names}
        rows[part]["all"] = figures(lot, known)
    if options.json:
        print(json.dumps({"fitted": fitted, **rows}))
    else:
        _print(fitted, rows)
    if options.write:
        metrics = {k: v for k, v in saved.card.metrics.items() if not k.startswith("differences/")}
        for name, row in rows["development"].items():
            short = name.replace(": ", "/").replace(" ", "_")
            metrics |= {f"differences/{short}/{k}": row[k] for k in ("error", "within_68", "within_90")}
        old = saved.card.calibration.get("differences") or {}
        barriers = {"path": old["path"]} if "path" in old else {}  # of benchmarks.atoms_barriers
        calibration = {**saved.card.calibration, "differences": {**fitted, **barriers}}
        card = replace(saved.card, calibration=calibration, metrics=metrics)
        kept = Checkpoint(saved.arrays, card).save(options.checkpoint, overwrite=True)
        print("written:", kept.hash, file=sys.stderr)


def _print(fitted: dict[str, Any], rows: dict[str, dict[str, dict[str, float]]]) -> None:
    print(
        f"a change of surroundings of 1: {fitted['surroundings']:.3f} eV; heads' disagreement: "
        f"{fitted['heads']:.2f} times; {fitted['pairs']} pairs of {fitted['compositions']} compositions"
    )
    for part, sets in rows.items():
        head = f"{'comp.':>5s} {'error':>7s} {'spread':>7s}  68 %  90 %  rank   before: spread  68 %  90 %"
        print(f"\n{part:36s} {'pairs':>5s} {head}")
        for name, row in sets.items():
            print(
                f"{name:36s} {row['pairs']:5d} {row['compositions']:5d} {row['error']:7.3f} "
                f"{row['spread']:7.3f} {100 * row['within_68']:5.0f} {100 * row['within_90']:5.0f} "
                f"{row['rank']:5.2f} {row['whole_spread']:16.2f} {100 * row['whole_within_68']:5.0f} "
                f"{100 * row['whole_within_90']:5.0f}"
            )


if __name__ == "__main__":
    main()
