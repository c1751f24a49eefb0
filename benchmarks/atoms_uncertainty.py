"""Does the spread mean what it says, and is the unknown noticed?

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_uncertainty --data ../shared/data/atoms [--model FOLDER]

On the development systems (chemical systems that were not trained on): coverage of 90 % intervals of force
components, Spearman's rank correlation of spread and error over atoms, and over structures for energies per
atom. False alarms: share of these structures with any atom beyond the support's limit.

Out of distribution: an element family is taken out of what the support check knows (its prototypes), and
structures with and without the family are told apart by their farthest atom: area under the ROC curve. The
shipped network itself *has* seen the family: only a network trained without it (``--model``, with
``--family``) makes this a full test, and the output says which of the two it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from benchmarks.atoms_accuracy import development
from sciai.atoms.api.evaluation import Z90, evaluate
from sciai.atoms.api.foreign import named
from sciai.atoms.api.potential import Potential
from sciai.trust.score import wilson
from sciai.trust.support import KnnOfKind

FAMILIES = {
    "halogens": ("F", "Cl", "Br", "I"),
    "alkali metals": ("Li", "Na", "K", "Rb", "Cs"),
    "rare earths": (
        *("La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd"),
        *("Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Sc", "Y"),
    ),
    "noble metals": ("Cu", "Ag", "Au", "Pd", "Pt"),
}


def auroc(known: np.ndarray[Any, Any], strange: np.ndarray[Any, Any]) -> float:
    """Probability that a strange case scores higher than a known one."""
    both = np.concatenate([known, strange])
    rank = np.empty(len(both))
    order = np.argsort(both, kind="stable")
    rank[order] = np.arange(1, len(both) + 1)
    for value in np.unique(both):  # ties share their mean rank
        same = both == value
        rank[same] = rank[same].mean()
    n, m = len(known), len(strange)
    return float((rank[n:].sum() - m * (m + 1) / 2) / (n * m))


def spread_figures(frames: list[Atoms], potential: Potential) -> dict[str, Any]:
    """Coverage, rank correlations, false alarms."""
    value = evaluate(frames, potential.with_guard("off"), offsets=True).unwrap()
    answers = potential.with_guard("off").batch(frames)
    around = potential.evidence.support
    alarms, sizes, errors = 0, [], []
    for atoms, answer in zip(frames, answers, strict=True):
        estimate = answer.estimate
        if estimate is None or estimate.value.descriptor is None:
            continue
        if around is not None:
            alarms += bool((around.distance(estimate.value.descriptor, atoms.numbers) > around.limit).any())
        sizes.append(float(np.mean(estimate.spread["forces"])))
        errors.append(float(np.abs(atoms.get_forces() - estimate.value.forces).mean()))
    from scipy.stats import spearmanr

    inside = None
    if value.coverage is not None:
        inside = {"share": value.coverage[0], "low": value.coverage[1], "high": value.coverage[2]}
    sd, error = value.pairs["force_sd"], value.pairs["force_error"]
    return {
        "structures": value.structures,
        "coverage": inside,
        "spearman_atoms": value.rank,
        "spearman_structures": float(spearmanr(sizes, errors).statistic),
        "mean_half_width": float(Z90 * sd.mean()),
        "mean_error": float(error.mean() / np.sqrt(3)),
        "false_alarms": alarms / max(len(frames), 1),
        "false_alarms_interval": wilson(alarms, len(frames)),
    }


def ood_figures(
    frames: list[Atoms], potential: Potential, family: tuple[str, ...], seed: int = 0
) -> dict[str, Any]:
    """AUROC with a family taken out of the prototypes, by support distance and by spread."""
    numbers = {atomic_numbers[symbol] for symbol in family}
    has = np.array([bool(numbers & set(atoms.numbers.tolist())) for atoms in frames])
    quiet = potential.with_guard("off")
    estimates = [a.estimate for a in quiet.batch(frames)]
    rng = np.random.default_rng(seed)
    without = np.flatnonzero(~has)
    half = rng.permutation(without)
    learned, known = half[: len(half) // 2], half[len(half) // 2 :]
    strange = np.flatnonzero(has)
    rows = {
        k: np.column_stack([e.value.descriptor, frames[k].numbers])
        for k, e in enumerate(estimates)
        if e is not None
    }
    measure = KnnOfKind.fit(np.concatenate([rows[k] for k in learned if k in rows]), 3)

    def far(chosen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array([measure.distance(rows[k]).max() for k in chosen if k in rows])

    def loud(chosen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array([float(np.max(estimates[k].spread["forces"])) for k in chosen if k in rows])

    return {
        "known": len(known),
        "strange": len(strange),
        "auroc_support": auroc(far(known), far(strange)),
        "auroc_spread": auroc(loud(known), loud(strange)),
    }


def line(name: str, row: dict[str, Any]) -> str:
    """A row of spread figures as text."""
    inside = row["coverage"]
    share = "-" if inside is None else f"{100 * inside['share']:.1f} %"
    return (
        f"{name:24s} {row['structures']:4d}  coverage {share}  rho {row['spearman_atoms'] or 0:.2f} (atoms) "
        f"{row['spearman_structures']:.2f} (structures)  half width {row['mean_half_width']:.3f} eV/Å  "
        f"error {row['mean_error']:.3f}  alarms {100 * row['false_alarms']:.0f} %"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--family", help="the family that --model was trained without")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    potential = named(options.model, device="cpu")
    sets = development(options.data, options.cache)
    frames = {name: [record.to_atoms() for record in found] for name, found in sets.items()}
    labelled = {
        name: [a for a in found if "forces" in a.calc.results] for name, found in frames.items() if found
    }
    out: dict[str, Any] = {"model": potential.provenance.model, "hash": potential.provenance.checkpoint}
    out["spread"] = {name: spread_figures(found, potential) for name, found in labelled.items() if found}
    everything = [atoms for found in labelled.values() for atoms in found]
    out["spread"]["all"] = spread_figures(everything, potential)
    out["ood"] = {name: ood_figures(everything, potential, family) for name, family in FAMILIES.items()}
    out["full_test"] = options.family is not None
    if options.json:
        print(json.dumps(out))
        return
    for name, row in out["spread"].items():
        print(line(name, row))
    kind = (
        f"network trained without {options.family}"
        if out["full_test"]
        else "prototypes only: NOT a full test"
    )
    for name, row in out["ood"].items():
        print(
            f"without {name:16s} {row['known']:4d} known {row['strange']:4d} strange  "
            f"AUROC {row['auroc_support']:.3f} by support, {row['auroc_with_elements']:.3f} with the "
            f"check of elements, {row['auroc_spread']:.3f} by spread  ({kind})"
        )


if __name__ == "__main__":
    main()
