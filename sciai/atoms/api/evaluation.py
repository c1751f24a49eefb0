"""Evaluate a potential against labelled structures: errors, and whether its spread means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import read_all
from sciai.atoms.api.folder import Step, quiet
from sciai.atoms.api.labels import (
    check_energies,
    check_units,
    fit_offsets,
    labels_of,
    left_out,
    odd_units,
    odd_zero,
)
from sciai.atoms.api.learned import lessons_among
from sciai.atoms.api.pictures import ACCENT, QUIET, WARM, new_figure, tidy
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import GPA
from sciai.atoms.data.levels import answers_on_one_zero, shift_of
from sciai.atoms.data.records import Record
from sciai.atoms.train.digests import learned_among
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput
from sciai.trust.score import coverage, wilson

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["Evaluation", "evaluate", "fit_offsets"]

Floats = npt.NDArray[np.float64]
Z90: Final = 1.6448536
"""Half width of the central 90 % of a normal distribution, in standard deviations."""
REST: Final = 1e-3
"""eV/Å; labelled forces below this are what a relaxation left, and no scale of anything."""


@dataclass(frozen=True)
class Evaluation:
    """How a potential does on labelled structures.

    Attributes:
        structures: number of labelled structures that were answered.
        refused: number that were refused.
        atoms: atoms in those answered.
        energy_mae: eV per atom; where element offsets were asked for, each structure's by offsets that were
            fitted to the others; None without labels, or where no structure has another to go by.
        force_mae: eV/Å per component; None without labels.
        force_scale: mean length of the labelled forces, eV/Å.
        force_relative: mean error vector's length over that; None where all labels are at rest (1 meV/Å).
        force_cosine: mean cosine between forces and labels (labels above 0.05 eV/Å).
        stress_mae: GPa per component; None without labels.
        coverage: share of labelled force components in the 90 % interval; with its own 95 % interval.
        rank: Spearman's correlation of force spread and force error, over atoms.
        worst: file, frame, formula, error of the worst structures, worst first.
        offsets: element -> eV, where they were fitted.
    """

    structures: int
    refused: int
    atoms: int
    energy_mae: float | None
    force_mae: float | None
    force_scale: float | None
    force_relative: float | None
    force_cosine: float | None
    stress_mae: float | None
    coverage: tuple[float, float, float] | None
    rank: float | None
    worst: tuple[dict[str, Any], ...]
    offsets: dict[str, float] | None
    pairs: dict[str, Floats] = field(repr=False)


@recorded
def evaluate(
    files: str | Path | Sequence[str | Path] | Sequence[Atoms],
    potential: Potential,
    *,
    offsets: bool = False,
    plus_u: bool = False,
    batch: int = 32,
    progress: Step | None = None,
) -> Answer[Evaluation]:
    """Compare with labels.

    Args:
        files: labelled files (extxyz, ase.db, OUTCAR, ...), or ASE atoms that carry results.
        potential: what is evaluated.
        offsets: fit one energy offset per element first: labels of another code or level of theory have
            another zero.
        plus_u: energies are as the Materials Project computes them, with a Hubbard U on V, Cr, Mn, Fe, Co,
            Ni, Mo and W beside O or F; they are moved to the zero without (``sciai.atoms.data.levels``).
        batch: structures per pass.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread is the 95 % bootstrap half width of each error, over structures.

    Raises:
        BadInput: no labels at all, or labels in what must be the wrong unit.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> labelled = bulk("Cu", cubic=True)
        >>> labelled.rattle(0.1)
        >>> labelled.calc = EMT()
        >>> _ = labelled.get_forces()
        >>> done = evaluate([labelled], Potential.from_calculator(EMT())).unwrap()
        >>> done.structures, done.force_mae < 1e-9
        (1, True)
    """
    step = progress or quiet
    frames, places = _frames(files)
    labels = [labels_of(atoms) for atoms in frames]
    if not any(label for label in labels):
        fix = "in extxyz name them energy= and forces:R:3, or REF_energy, REF_forces"
        raise BadInput("no structure has an energy or forces", field="energy", fix=fix)
    check_units(frames, labels)
    if plus_u:
        for atoms, label in zip(frames, labels, strict=True):
            if "energy" in label:
                label["energy"] = label["energy"] + shift_of(atoms.numbers)
    answers: list[Answer[Any]] = []
    for begin in range(0, len(frames), batch):
        step(begin / len(frames), f"{begin} of {len(frames)} structures")
        answers += potential.batch(frames[begin : begin + batch])
    good = [
        k for k, a in enumerate(answers) if a.estimate is not None and a.level < Level.REFUSE and labels[k]
    ]
    refused = sum(a.level >= Level.REFUSE for a in answers)
    findings: list[Finding] = []
    if refused:
        message = f"{refused} of {len(frames)} structures were refused and do not count"
        findings.append(Finding("skipped", potential.guard.level("skipped"), message))
    if not good:
        worst = next((a.findings for a in answers if a.level >= Level.REFUSE), ())
        return Answer(None, (*findings, *worst), potential.provenance)
    value, spread = _compare(frames, labels, answers, good, places, offsets, refused)
    step(1.0, "done")
    if value.energy_mae is not None and value.energy_mae > 1.0 and not offsets:
        message = (
            f"energies are off by {value.energy_mae:.1f} eV/atom: labels of another code or level of "
            "theory have another zero; fit offsets"
        )
        findings.append(Finding("labels", potential.guard.level("labels"), message))
    odd = _odd(value)
    given = [files] if isinstance(files, str | Path) else [f for f in files if isinstance(f, str | Path)]
    if lessons := lessons_among(potential.card, [Path(f) for f in given]):
        odd.append(
            f"it learned from {', '.join(lessons)}, or a file of that name: how far it is off there says "
            "little of anything else (`sciai evaluate atoms` asks about what was held out)"
        )
    elif count := _learned([frames[k] for k in good], potential):
        odd.append(
            f"it was trained on {count} of these structures, or more: how far it is off there says little of "
            "anything else"
        )
    if not plus_u and potential.card is not None and answers_on_one_zero(potential.card.config):
        odd += _with_u(frames, labels, answers, good)
    findings += [Finding("labels", potential.guard.level("labels"), text) for text in odd]
    return Answer(Estimate(value, spread, "eV, eV/Å, GPa"), tuple(findings), potential.provenance)


def evaluation_figure(value: Evaluation) -> Any:
    """Labels against answers, and error against spread."""
    pairs = value.pairs
    has_spread = np.isfinite(pairs["force_sd"]).any() if len(pairs["force_sd"]) else False
    panels = [name for name in ("energy", "force") if len(pairs[f"{name}_label"])]
    figure = new_figure(4.2 * (len(panels) + has_spread), 4.2)
    axes_of = np.atleast_1d(figure.subplots(1, len(panels) + int(has_spread)))
    units = {"energy": "eV/atom", "force": "eV/Å"}
    for axes, name in zip(axes_of, panels, strict=False):
        label, answer = pairs[f"{name}_label"], pairs[f"{name}_answer"]
        tidy(axes, f"labelled {name}, {units[name]}", f"answered, {units[name]}")
        axes.plot(label, answer, ".", color=ACCENT, ms=2, alpha=0.4, rasterized=True)
        ends = [min(label.min(), answer.min()), max(label.max(), answer.max())]
        axes.plot(ends, ends, color=QUIET, linewidth=0.8)
        mae = value.energy_mae if name == "energy" else value.force_mae
        axes.set_title(f"MAE {1000 * (mae or 0):.0f} m{units[name]}", loc="left", fontsize=10)
    if has_spread:
        axes = tidy(axes_of[-1], "spread of the force, eV/Å", "error, eV/Å")
        sd, error = pairs["force_sd"], pairs["force_error"]
        low = 1e-4
        axes.loglog(np.maximum(sd, low), np.maximum(error, low), ".", color=ACCENT, ms=2, alpha=0.3)
        line = np.array([max(sd.min(), low), sd.max()])
        axes.loglog(line, line, color=WARM, linewidth=1)
        axes.set_title(f"rank correlation {value.rank or 0:.2f}", loc="left", fontsize=10)
    return figure


def _frames(files: Any) -> tuple[list[Atoms], list[str]]:
    given: list[Any] = [files] if isinstance(files, str | Path) else list(files)
    if given and not isinstance(given[0], str | Path):
        return given, [f"structure {k}" for k in range(len(given))]
    frames: list[Atoms] = []
    places: list[str] = []
    for path in given:
        found = read_all(path)
        frames += found
        places += [f"{path}#{k}" for k in range(len(found))]
    return frames, places


def _learned(frames: Sequence[Atoms], potential: Potential) -> int:
    """How many structures are in the sample of what was trained on, which its card holds."""
    learned = "" if potential.card is None else str(potential.card.data.get("learned") or "")
    bare = ((a.numbers, a.positions, a.cell.array * a.pbc.any(), a.pbc) for a in frames if learned)
    return learned_among([Record(*parts, None, None, None, "", "") for parts in bare], learned)


def _odd(value: Evaluation) -> list[str]:
    """What is strange about labels beside the answers."""
    told = [
        odd_units(name, value.pairs[f"{kind}_label"], value.pairs[f"{kind}_answer"])
        for name, kind in (("forces", "force"), ("stress", "stress"))
    ]
    alone = len(value.pairs["energy_alone"])
    if alone:
        count = alone + len(value.pairs["energy_label"])
        told.append(
            f"{alone} of {count} structures are the only ones to say what an element's offset is; they "
            "do not count in the energy error"
        )
    return [text for text in told if text]


def _with_u(
    frames: list[Atoms], labels: list[dict[str, Any]], answers: list[Answer[Any]], good: list[int]
) -> list[str]:
    """Whether energies look like those of PBE+U, which the answers are not."""
    chosen = [k for k in good if "energy" in labels[k]]
    size = np.array([len(frames[k]) for k in chosen], float)
    shift = np.array([shift_of(frames[k].numbers) for k in chosen])
    off = np.array([_value(answers[k].estimate).energy - float(labels[k]["energy"]) for k in chosen])
    told = odd_zero(shift / size, off / size) if len(chosen) else ""
    return [told] if told else []


def _compare(
    frames: list[Atoms],
    labels: list[dict[str, Any]],
    answers: list[Answer[Any]],
    good: list[int],
    places: list[str],
    offsets: bool,
    refused: int,
) -> tuple[Evaluation, dict[str, float]]:
    estimates = {k: answers[k].estimate for k in good}
    with_energy = [k for k in good if "energy" in labels[k]]
    with_forces = [k for k in good if "forces" in labels[k]]
    with_stress = [k for k in good if "stress" in labels[k] and _stress(estimates[k]) is not None]
    energy_label = np.array([float(labels[k]["energy"]) / len(frames[k]) for k in with_energy])
    energy = np.array([_value(estimates[k]).energy / len(frames[k]) for k in with_energy])
    check_energies(energy, energy_label, np.array([len(frames[k]) for k in with_energy], float))
    fitted = None
    if offsets and len(with_energy):
        fitted, energy_label = _offset(frames, with_energy, energy, energy_label)
    pairs: dict[str, list[Floats]] = {name: [] for name in ("label", "answer", "sd", "error")}
    each: list[float] = []
    for k in with_forces:
        estimate = estimates[k]
        got, want = _value(estimate).forces, labels[k]["forces"]
        error = np.linalg.norm(got - want, axis=1)
        pairs["label"].append(want)
        pairs["answer"].append(got)
        pairs["error"].append(error)
        pairs["sd"].append(np.asarray(estimate.spread["forces"] if estimate is not None else [], float))
        each.append(float(np.abs(got - want).mean()))
    flat = {
        n: np.concatenate(v) if v else np.zeros((0, 3) if n in ("label", "answer") else 0)
        for n, v in pairs.items()
    }
    stress = [np.abs(_stress(estimates[k]) - labels[k]["stress"]).mean() * GPA for k in with_stress]
    energy_error = np.abs(energy - energy_label)
    size = np.linalg.norm(flat["label"], axis=1)
    large = size > 0.05
    dot = (flat["label"] * flat["answer"]).sum(1)[large]
    lengths = size[large] * np.maximum(np.linalg.norm(flat["answer"], axis=1)[large], 1e-12)
    value = Evaluation(
        structures=len(good),
        refused=int(refused),
        atoms=int(sum(len(frames[k]) for k in good)),
        energy_mae=_mean(energy_error[np.isfinite(energy_error)]),
        force_mae=_mean(np.abs(flat["label"] - flat["answer"])),
        force_scale=_mean(size),
        force_relative=float(flat["error"].mean() / size.mean())
        if len(size) and size.mean() > REST
        else None,
        force_cosine=_mean(dot / lengths),
        stress_mae=_mean(np.array(stress)),
        coverage=_coverage(flat),
        rank=_rank(flat),
        worst=_worst(frames, places, with_energy, energy_error, with_forces, each),
        offsets=fitted,
        pairs={
            "energy_label": energy_label[np.isfinite(energy_error)],
            "energy_answer": energy[np.isfinite(energy_error)],
            "energy_alone": np.flatnonzero(~np.isfinite(energy_error)).astype(float),
            "stress_label": np.concatenate([labels[k]["stress"] for k in with_stress] or [np.zeros(0)]),
            "stress_answer": np.concatenate([_stress(estimates[k]) for k in with_stress] or [np.zeros(0)]),
            "force_label": flat["label"].ravel(),
            "force_answer": flat["answer"].ravel(),
            "force_sd": flat["sd"],
            "force_error": flat["error"],
        },
    )
    spread = {
        "energy_mae": _bootstrap(energy_error[np.isfinite(energy_error)]),
        "force_mae": _bootstrap(np.array(each)),
        "stress_mae": _bootstrap(np.array(stress)),
    }
    return value, spread


def _offset(
    frames: list[Atoms], chosen: list[int], energy: Floats, label: Floats
) -> tuple[dict[str, float], Floats]:
    from ase.data import chemical_symbols

    present = sorted({int(z) for k in chosen for z in frames[k].numbers})
    counts = np.array([[int((frames[k].numbers == z).sum()) for z in present] for k in chosen])
    size = counts.sum(1)
    found = fit_offsets(counts, (label - energy) * size)
    # what a structure says of itself is no test: of as many elements as structures nothing would be left
    rest = left_out(counts, (label - energy) * size)
    return dict(zip([chemical_symbols[z] for z in present], found.tolist(), strict=True)), energy + rest


def _coverage(flat: dict[str, Floats]) -> tuple[float, float, float] | None:
    if not len(flat["sd"]) or not np.isfinite(flat["sd"]).all():
        return None
    half = Z90 * flat["sd"][:, None]
    share = coverage(flat["label"], flat["answer"] - half, flat["answer"] + half)
    count = flat["label"].size
    return share, *wilson(round(share * count), count)


def _rank(flat: dict[str, Floats]) -> float | None:
    from scipy.stats import spearmanr

    if len(flat["sd"]) < 3 or not np.isfinite(flat["sd"]).all() or np.ptp(flat["sd"]) == 0:
        return None
    return float(spearmanr(flat["sd"], flat["error"]).statistic)


def _worst(
    frames: list[Atoms],
    places: list[str],
    with_energy: list[int],
    energy_error: Floats,
    with_forces: list[int],
    each: list[float],
) -> tuple[dict[str, Any], ...]:
    by_energy, by_force = (
        dict(zip(with_energy, energy_error, strict=True)),
        dict(zip(with_forces, each, strict=True)),
    )
    of = by_force or by_energy
    order = sorted(of, key=lambda k: -np.nan_to_num(of[k], nan=-1.0))[:10]
    return tuple(
        {
            "where": places[k],
            "formula": frames[k].get_chemical_formula(),
            "force_mae": by_force.get(k),
            "energy_error": None if k not in by_energy else float(by_energy[k]),
        }
        for k in order
    )


def _value(estimate: Any) -> Any:
    return estimate.value


def _stress(estimate: Any) -> Any:
    return estimate.value.stress


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _bootstrap(values: Floats, draws: int = 400) -> float:
    if len(values) < 2:
        return float("nan")
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    return float(np.diff(np.percentile(means, [2.5, 97.5]))[0] / 2)
