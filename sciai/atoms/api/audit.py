"""The potential's side of an audit: it answers what ``sciai.atoms.checks.audit`` asks, and never judges.

Runs in a process of its own (``sciai.trust.audit.sealed``), apart from the one that compares with labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.potential import Potential
from sciai.atoms.checks import actions
from sciai.atoms.checks import audit as asked
from sciai.atoms.checks import defects as probed
from sciai.atoms.data.levels import answers_on_one_zero
from sciai.atoms.data.readers import records_from
from sciai.atoms.train.digests import learned_among
from sciai.core.answer import Level, Refused
from sciai.core.errors import BadInput
from sciai.trust.audit.probe import probe
from sciai.trust.audit.subject import Context, remembered
from sciai.trust.audit.whole import Claim, Plan
from sciai.trust.tax import cost_of_checks

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.core.checkpoint import Checkpoint

__all__ = ["answers", "asking", "defects", "plan"]

Floats = npt.NDArray[np.float64]
Step = Callable[[float, str], None]


def answers(
    checkpoint: str, files: Sequence[str], quick: bool, step: Step, one_zero: bool = False
) -> dict[str, Any]:
    """Energies and forces with their spread for every structure asked, and what an answer costs.

    Args:
        checkpoint: folder.
        files: of ``checks.audit.material``; textbook crystals where empty.
        quick: fewer structures.
        step: progress.
        one_zero: as of ``checks.audit.material``.
    """
    step(0.0, "structures")
    frames = [r.to_atoms() for r in asked.material(files, quick, one_zero)] if files else textbook()
    potential = Potential.load(checkpoint)
    told: dict[str, list[Any]] = {name: [] for name in ("energy", "energy_sd", "forces", "force_sd")}
    levels = {level.name.lower(): 0 for level in Level}
    for start in range(0, len(frames), 32):
        step(0.9 * start / len(frames), f"{start} of {len(frames)} structures")
        for atoms, answer in zip(
            frames[start : start + 32], potential.batch(frames[start : start + 32]), strict=True
        ):
            levels[answer.level.name.lower()] += 1
            if answer.estimate is None or answer.level >= Level.REFUSE:
                told["energy"].append(np.nan)
                told["energy_sd"].append(np.nan)
                told["forces"].append(np.full((len(atoms), 3), np.nan))
                told["force_sd"].append(np.full(len(atoms), np.nan))
                continue
            told["energy"].append(answer.estimate.value.energy)
            told["energy_sd"].append(answer.estimate.spread["energy"])
            told["forces"].append(answer.estimate.value.forces)
            told["force_sd"].append(np.asarray(answer.estimate.spread["forces"], float))
    step(0.9, "latency")
    return {
        **{name: np.asarray(told[name], float) for name in ("energy", "energy_sd")},
        **{name: np.concatenate(told[name]) for name in ("forces", "force_sd")},
        "costs": _costs(potential, frames, 8 if quick else 24) | {"levels": levels},
    }


def _costs(potential: Potential, frames: Sequence[Atoms], count: int) -> dict[str, Any]:
    """Latency with and without checks: held-out structures of middle size, three sizes of a crystal.

    The share that is said is the largest of the four.
    """
    bare = potential.with_guard("off")
    order = np.argsort(np.abs(np.array([len(atoms) for atoms in frames]) - 32), kind="stable")
    # the smaller a structure the more pairs: their median has to stand what else the machine does
    middle = [frames[int(order[k % len(order)])] for k in range(4 * count + 4)]
    sizes = sorted(len(atoms) for atoms in middle)
    rows = [
        {"what": f"held-out structures of {sizes[0]} to {sizes[-1]} atoms", **_cost(potential, bare, middle)}
    ]
    for times in (1, 2, 4):
        crystals = [_shaken(times, seed) for seed in range(max(12, 10 * count // times**2) + 4)]
        words = f"a crystal of {len(crystals[0])} atoms"
        rows.append({"what": words, **_cost(potential, bare, crystals)})
    worst = max(rows, key=lambda row: row["checks_share"])
    return {**rows[0], "checks_share": worst["checks_share"], "worst": worst["what"], "by_size": rows}


def _cost(potential: Potential, bare: Potential, frames: Sequence[Atoms]) -> dict[str, Any]:
    def asking_of(which: Potential) -> Callable[[int], None]:
        def once(number: int) -> None:
            which.engine.forget()
            which(frames[number])

        return once

    cost = asdict(cost_of_checks(asking_of(potential), asking_of(bare), len(frames) - 4))
    return {"checks_share": cost.pop("share"), **cost}


def _shaken(times: int, seed: int) -> Atoms:
    """Rock salt, every atom a little off its place."""
    from ase.build import bulk

    atoms: Atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (times, times, times)
    atoms.positions += np.random.default_rng(seed).normal(size=atoms.positions.shape) * 0.02
    return atoms


def defects(
    checkpoint: str, files: Sequence[str], quick: bool, step: Step, one_zero: bool = False
) -> dict[str, Any]:
    """Laws, contexts, tags and motifs, with planted defects beside them.

    Args:
        checkpoint: folder.
        files: of ``checks.audit.material``; textbook crystals where empty.
        quick: fewer questions.
        step: progress.
        one_zero: as of ``checks.audit.material``.
    """
    step(0.0, "structures")
    frames = [r.to_atoms() for r in asked.material(files, quick, one_zero)] if files else textbook()
    small = [atoms for atoms in frames if 2 <= len(atoms) <= 8 and atoms.pbc.all()]
    real = bool(files) and len(small) >= 20
    if not real:
        small = textbook()
    potential = Potential.load(checkpoint)
    known = [
        atoms.calc.results["energy"] / len(atoms)
        if atoms.calc is not None and "energy" in atoms.calc.results
        else 0.0
        for atoms in small
    ]
    of = probed.subject(small, _bounded(np.array(known)).tolist(), asking(potential), quick)
    subjects = {"energy per atom": (of, probed.unused(real))}
    return probe(subjects, times=1 if quick else 3, step=step)


def asking(potential: Potential) -> Callable[[Floats, Context], Floats]:
    """How the auditor asks: in one batch, one by one, or through the ASE calculator that users run.

    Args:
        potential: the model; its guard is off here, since odd structures are what is asked on purpose.
    """
    bare = potential.with_guard("off")

    def answer(rows: Floats, context: Context) -> Floats:
        return _bounded(raw(rows, context))

    def raw(rows: Floats, context: Context) -> Floats:
        frames = [probed.atoms_of(row) for row in rows]
        if context.get("asked") == "as an ASE calculator":
            return np.array([_by_calculator(bare, atoms) for atoms in frames])
        if context.get("asked") == "one by one":
            told = []
            for atoms in frames:
                bare.engine.forget()
                told.append(bare(atoms).unwrap().energy / len(atoms))
            return np.array(told)
        return np.array([a.unwrap().energy / len(f) for a, f in zip(bare.batch(frames), frames, strict=True)])

    return remembered(answer)


def _bounded(energies: Floats) -> Floats:
    """Energies an atom, eV, compressed beyond 12: atoms that lie in each other have any energy."""
    size = np.abs(energies)
    beyond = np.maximum(size - 12, 0.0)
    return np.asarray(np.sign(energies) * (size - beyond + np.log1p(beyond)))


def _by_calculator(potential: Potential, atoms: Atoms) -> float:
    atoms.calc = potential.calculator()
    try:
        return float(atoms.get_potential_energy()) / len(atoms)
    except Refused:
        return float("nan")


def textbook() -> list[Atoms]:
    """Crystals that anybody can make: where no labelled structure is there, laws can still be tried."""
    from ase.build import bulk

    found = []
    for cation in ("Li", "Na", "K", "Mg", "Ca"):
        for anion, constant in (("F", 4.6), ("Cl", 5.6), ("O", 4.8), ("S", 5.4)):
            found.append(bulk(cation + anion, "rocksalt", constant))
    found += [
        bulk(name, "zincblende", a)
        for name, a in (("GaAs", 5.65), ("ZnS", 5.41), ("SiC", 4.36), ("BN", 3.62))
    ]
    found += [bulk(name, "diamond", a) for name, a in (("C", 3.57), ("Si", 5.43), ("Ge", 5.66))]
    return found


def plan(checkpoint: Checkpoint, files: Sequence[str] = ()) -> Plan:
    """How this checkpoint is audited.

    Args:
        checkpoint: with its card.
        files: labelled structures (extxyz ...); where empty, the real DFT data beside the checkout, and
            without that textbook crystals, of which no truth is known.

    Raises:
        BadInput: the potential was trained on structures of these files.
    """
    chosen = [str(file) for file in files]
    if not chosen:
        root = os.environ.get("SCIAI_SHARED")
        folder = (Path(root) if root else Path(__file__).resolve().parents[4] / "shared") / "data" / "atoms"
        chosen = [str(folder / name) for name in asked.SHARED if (folder / name).is_file()]
    _not_learned([file for file in files if Path(file).name not in asked.SHARED], checkpoint)
    metrics = checkpoint.card.metrics
    claims = []
    for source in ("alexandria", "mattersim"):  # of MPtrj the card's test part holds other frames too
        for figure in ("forces", "energy"):
            said = metrics.get(f"test/{source}/{figure}")
            if isinstance(said, int | float):
                # large structures and unusual pressures were left out there, by other rules than here
                claims.append(Claim(f"test/{source}/{figure}", f"{figure} {source}", 0.2 * abs(said)))
    nothing = (
        "No labelled structures were there (none ship): laws and motifs were tried on textbook crystals, so "
        "nothing is known of errors, of harm in any slice, or of the spread. Give a file with --data."
    )
    own = "The card knows only part of what was learned from: that these were not in it is yours to know."
    foreign = bool(files) and not any(Path(file).name in asked.SHARED for file in files)
    return Plan(
        domain="atoms",
        answers="sciai.atoms.api.audit:answers",
        judge="sciai.atoms.checks.audit:judge" if chosen else "",
        defects="sciai.atoms.api.audit:defects",
        arguments={"one_zero": answers_on_one_zero(checkpoint.card.config)},
        files=chosen,
        code=[
            "sciai.atoms.checks.audit",
            "sciai.atoms.checks.defects",
            "sciai.atoms.data.records",
            "sciai.atoms.data.readers",
            "sciai.atoms.data.levels",
        ],
        actions=[asdict(rule) for rule in actions()],
        packages=("sciai.atoms.model", "sciai.atoms.checks"),
        claims=claims,
        cannot=(own,) if foreign else () if chosen else (nothing,),
    )


def _not_learned(files: Sequence[str], checkpoint: Checkpoint) -> None:
    """Structures that were trained on are no test of what they taught."""
    learned = str(checkpoint.card.data.get("learned") or "")
    for file in files if learned else ():
        records = records_from(file, "yours", skip=lambda error: None)
        if count := learned_among(records, learned):
            raise BadInput(
                f"{count} of {len(records)} structures were trained on: an audit wants some that were not",
                file=file,
                field="--data",
                fix="give structures that were kept aside",
            )
