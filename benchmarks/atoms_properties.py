"""How far volumes, moduli, elastic constants and frequencies are off, on crystals that were not learned from.

    python -m benchmarks.atoms_properties --data ../shared/data/atoms --cache runs/atoms/properties

Volumes: relaxed Alexandria cells (PBE), relaxed again with the potential. The rest: the smaller of these
cells, each potential from its own minimum, against a potential of another size (``--judge``), as there is no
DFT for them. What is learned is never asked: the cells of the calibration part give the errors (so that nine
of ten are within 1.645 standard deviations, with the correction for their number), those of the development
part say whether that holds. With --write the former go onto the card, where answers read them.

An earlier answer of the judge is kept in the cache. A cell that ours does not hold together where the judge
does (no minimum, no moduli of what is not stable) is counted and left out of the errors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from benchmarks.kept import kept
from sciai.atoms.api.elasticity import elastic
from sciai.atoms.api.equation import eos
from sciai.atoms.api.foreign import named
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.typical import size_of
from sciai.atoms.api.vibrations import phonons
from sciai.atoms.data.readers import records_from
from sciai.atoms.data.records import group_of
from sciai.atoms.train.data import part_of
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import SciaiError

Floats = npt.NDArray[np.float64]
PARTS = {"calibrate": ("calibrate", "val"), "development": ("test",)}
NINETY = 1.645


def cells(data: Path, part: str, fractions: dict[str, float]) -> list[Atoms]:
    """Alexandria's relaxed cells of a part, small ones first."""
    found = records_from(data / "alexandria-random-1k.extxyz", "alexandria")
    kept = [r.to_atoms() for r in found if part_of(group_of(r.numbers, r.pbc), fractions) in PARTS[part]]
    return sorted(kept, key=len)


def properties(atoms: Atoms, potential: Potential, depth: int) -> dict[str, Any]:
    """Volume, and for a depth of 2 and 3 moduli and frequencies, from the potential's own minimum."""
    rest = relax(atoms, potential, fmax=0.003, steps=300)
    if rest.estimate is None or not rest.estimate.value.converged:
        return {}
    here, found = rest.estimate.value.atoms, {"volume": rest.estimate.value.volume}
    if depth > 1:
        curve = eos(here, potential, points=7, strain=0.06)
        if curve.estimate is not None:
            value = curve.estimate.value
            found |= {"bulk_modulus": value.bulk_modulus, "derivative": value.derivative}
    if depth > 2:
        stiff = elastic(here, potential)
        if stiff.estimate is not None:
            found["elastic"] = stiff.estimate.value.constants.tolist()
            if stiff.estimate.value.stable:
                found["shear_modulus"] = stiff.estimate.value.shear[0]
        waves = phonons(here, potential, mesh=10.0)
        if waves.estimate is not None:  # imaginary ones count, as negative
            found["frequencies"] = np.sort(waves.estimate.value.frequencies, axis=1).tolist()
    return found


def asked(
    potential: Potential, who: str, lot: list[Atoms], depths: list[int], keep: Path | None
) -> list[dict[str, Any]]:
    """The properties of every cell; those already in the file are not computed again."""
    each = {
        f"{atoms.symbols} {atoms.get_volume():.6f} {depth}": (atoms, depth)
        for atoms, depth in zip(lot, depths, strict=True)
    }

    def ask(key: str) -> dict[str, Any]:
        atoms, depth = each[key]
        try:
            return properties(atoms, potential, depth)
        except SciaiError as error:
            return {"failed": str(error)}

    known = kept(keep, each, ask, who)
    return [known[key] for key in each]


def errors(ours: dict[str, Any], other: dict[str, Any]) -> dict[str, Floats]:
    """Errors of whatever both have, relative to what they are proportional to."""
    out: dict[str, Floats] = {}
    for name in set(ours) & set(other) - {"failed"}:
        a, b = np.asarray(ours[name], float), np.asarray(other[name], float)
        if name == "frequencies":  # paths of cells a little different have other points: the spectrum, then
            a, b = (np.quantile(x, np.linspace(0, 1, 33)) for x in (a, b))
        # what symmetry makes zero is no achievement
        at = np.abs(b) > 0.01 * np.abs(b).max()
        out[name] = np.atleast_1d(a - b)[np.atleast_1d(at)] / size_of(name, float(np.abs(a).max()))
    return out


def relative_sd(each: list[Floats]) -> float:
    """Such that nine of ten errors are within 1.645 of it; every crystal counts once, however many it has."""
    values = np.concatenate([np.abs(e) for e in each])
    weights = np.concatenate([np.full(len(e), 1 / len(e)) for e in each])
    order = np.argsort(values)
    # one crystal more that may be anything: the finite-sample correction of split conformal prediction
    reached = np.cumsum(weights[order]) >= 0.9 * (len(each) + 1)
    at = int(np.argmax(reached)) if reached.any() else len(values) - 1
    return float(values[order][at]) / NINETY


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the extxyz sets")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the judge's answers")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/atoms"))
    parser.add_argument("--judge", default="mattersim-1m", help="mattersim-1m, 7net-0 or chgnet")
    parser.add_argument("--moduli", type=int, default=48, help="cells of each part with moduli, small ones")
    parser.add_argument("--tensors", type=int, default=48, help="cells with elastic constants and phonons")
    parser.add_argument("--write", action="store_true", help="put errors and figures onto the card")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    saved = Checkpoint.load(options.checkpoint)
    said: Any = saved.card.config
    fractions = said["domain"]["data"]["fractions"]
    ours: Potential = Potential.load(options.checkpoint, dtype="float64", guard="off")
    judge = named(options.judge, guard="off")
    found: dict[str, dict[str, list[Floats]]] = {}
    missing: dict[str, dict[str, int]] = {}
    for part in PARTS:
        lot = cells(options.data, part, fractions)
        depths = [1 + (k < options.moduli) + (k < options.tensors) for k in range(len(lot))]
        mine = asked(ours, f"{part}: ours", lot, depths, None)
        deep = [k for k, depth in enumerate(depths) if depth > 1]
        file = options.cache / f"{options.judge}-{part}.json"
        theirs = asked(judge, options.judge, [lot[k] for k in deep], [depths[k] for k in deep], file)
        by = dict(zip(deep, theirs, strict=True))
        rows: dict[str, list[Floats]] = {}
        lost: dict[str, int] = {}
        for k, atoms in enumerate(lot):
            other = {**by.get(k, {}), "volume": atoms.get_volume() / len(atoms)}
            each = errors(mine[k], other)
            for name, value in each.items():
                rows.setdefault(name, []).append(value)
            for name in set(other) - set(each) - {"failed"}:
                lost[name] = lost.get(name, 0) + 1
        found[part], missing[part] = rows, lost
    report: dict[str, Any] = {}
    for name, rows_ in found["calibrate"].items():
        sd, test = relative_sd(rows_), found["development"].get(name, [])
        report[name] = {
            "sd": sd,
            "n": len(rows_),
            "against": "PBE" if name == "volume" else options.judge,
            "development_n": len(test),
            "development_median": float(np.median([np.median(np.abs(e)) for e in test])),
            "development_bias": float(np.median([np.median(e) for e in test])),
            "development_coverage": float(np.mean([np.mean(np.abs(e) <= NINETY * sd) for e in test])),
            "not_held": missing["development"].get(name, 0),
        }
    if options.json:
        print(json.dumps(report))
    else:
        _print(report, print)
    if options.write:
        extra = {
            **saved.card.extra,
            "properties": {
                name: {key: row[key] for key in ("sd", "n", "against")} for name, row in report.items()
            },
        }
        metrics = {k: v for k, v in saved.card.metrics.items() if not k.startswith("properties/")}
        for name, row in report.items():
            for key in ("development_median", "development_bias", "development_coverage"):
                metrics[f"properties/{name}/{key.removeprefix('development_')}"] = row[key]
        card = replace(saved.card, extra=extra, metrics=metrics)
        kept = Checkpoint(saved.arrays, card).save(options.checkpoint, overwrite=True)
        print("written:", kept.hash, file=sys.stderr)


def _print(report: dict[str, Any], say: Callable[[str], None]) -> None:
    head = f"{'sd':>7s} {'n':>4s}   development: {'n':>4s} {'median':>8s} {'bias':>8s} {'within':>7s} lost"
    say(f"{'':16s} {head}")
    for name, row in report.items():
        say(
            f"{name:16s} {100 * row['sd']:6.2f}% {row['n']:4d}   {'':12s} {row['development_n']:4d} "
            f"{100 * row['development_median']:7.2f}% {100 * row['development_bias']:+7.2f}% "
            f"{100 * row['development_coverage']:6.0f}% {row['not_held']:4d}   against {row['against']}"
        )


if __name__ == "__main__":
    main()
