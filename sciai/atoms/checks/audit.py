"""What the audit of a potential asks, and how it judges: held-out structures, slices, harms.

Made from labelled structures alone; the answers come from ``sciai.atoms.api.audit``. Chemical systems that
nothing is ever trained on (``sciai.atoms.data.records.is_dev``) are the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.checks.rules import FACTS
from sciai.atoms.data.levels import on_one_zero
from sciai.atoms.data.readers import labelled, records_from
from sciai.atoms.data.records import Record, is_dev
from sciai.core.errors import BadInput
from sciai.trust.audit.exam import Answers, Exam
from sciai.trust.audit.exam import judge as judged
from sciai.trust.policy import Action, read_actions

__all__ = ["SHARED", "exam", "judge", "material"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SHARED: Final = {
    "mptrj-random-1k.extxyz": "mptrj",
    "alexandria-random-1k.extxyz": "alexandria",
    "mpf-TP.extxyz": "mattersim",
    "random-TP.extxyz": "mattersim",
}
"""Files of the team's real data -> level of theory."""
MATTERS: Final = {
    "false-safe": 0.15,
    "false-alarm": 0.15,
    "unphysical": 0.01,
    "missed-extreme": 0.2,
    "overconfident": 0.05,
}
MEANINGS: Final = {
    "false-safe": "large forces (mean above 0.5 eV/Å) told as less than half: it looks calmer than it is",
    "false-alarm": "a structure near rest (mean force under 0.1 eV/Å) told as having more than 0.3",
    "unphysical": "not finite, forces that do not cancel (0.01 eV/Å per atom), or above 100 eV/Å",
    "missed-extreme": "of the tenth of structures with the largest forces, the share told under 70 % of it",
    "overconfident": "share of force components outside the 90 % interval; a tenth is what was promised",
}
Z90: Final = 1.6448536
_METALS: Final = frozenset(
    [3, 4, 11, 12, 13, *range(19, 32), *range(37, 51), *range(55, 84), *range(87, 104)]
)
_FAMILIES: Final[Mapping[str, frozenset[int]]] = {
    "hydrogen": frozenset({1}),
    "alkali metals": frozenset({3, 11, 19, 37, 55, 87}),
    "alkaline earths": frozenset({4, 12, 20, 38, 56, 88}),
    "3d metals": frozenset(range(21, 31)),
    "4d and 5d metals": frozenset([*range(39, 49), *range(72, 81)]),
    "lanthanides": frozenset(range(57, 72)),
    "actinides": frozenset(range(89, 104)),
    "halogens": frozenset({9, 17, 35, 53, 85}),
    "oxygen": frozenset({8}),
    "heavier chalcogens": frozenset({16, 34, 52, 84}),
    "pnictogens": frozenset({7, 15, 33, 51, 83}),
    "boron and carbon groups": frozenset({5, 6, 13, 14, 31, 32, 49, 50, 81, 82}),
    "noble gases": frozenset({2, 10, 18, 36, 54, 86}),
}


def material(files: Sequence[str], quick: bool, one_zero: bool = False) -> list[Record]:
    """Held-out structures with forces.

    Args:
        files: labelled files; of the team's real data only the chemical systems that are kept for tests.
        quick: fewer structures.
        one_zero: whether the model answers on the zero of PBE without U, where energies of the team's real
            data are moved to (``sciai.atoms.data.levels``).

    Raises:
        BadInput: where a file cannot be read, or holds nothing that was held out.
    """
    found: list[Record] = []
    for file in files:
        name = Path(file).name
        # a frame that cannot be used is left out, as it was in training
        records = records_from(file, SHARED.get(name, "yours"), kind=name, skip=lambda error: None)
        known = name in SHARED
        found += [
            on_one_zero(r) if one_zero and known else r
            for r in records
            if r.forces is not None and labelled(r) and (is_dev(r.group) or not known)
        ]
    calm = [r for r in found if r.forces is not None and np.abs(r.forces).max() < 50 and len(r) <= 200]
    if len(calm) < 30:
        raise BadInput(
            f"{len(calm)} held-out structures with forces; 30 are needed", file=", ".join(map(str, files))
        )
    most = 150 if quick else 1200
    if len(calm) <= most:
        return calm
    chosen = np.sort(np.random.default_rng(0).choice(len(calm), most, replace=False))
    return [calm[int(k)] for k in chosen]


def judge(
    files: Sequence[str],
    quick: bool,
    answers: str,
    actions: Sequence[Mapping[str, Any]],
    draws: int,
    step: Callable[[float, str], None],
    one_zero: bool = False,
) -> dict[str, Any]:
    """What the labels say of the answers; called in a process that never loads the model.

    Args:
        files: as of ``material``.
        quick: fewer structures.
        answers: ``.npz`` of ``sciai.atoms.api.audit.answers``.
        actions: the runtime policy.
        draws: of bootstrap and permutations.
        step: progress.
        one_zero: as of ``material``.
    """
    step(0.0, "held-out structures")
    asked = exam(material(files, quick, one_zero))
    with np.load(Path(answers), allow_pickle=False) as content:
        told = {name[2:]: content[name] for name in content.files if name != "json"}
    return judged(asked, told, read_actions(actions, FACTS), draws=draws, step=step)


def exam(records: Sequence[Record]) -> Exam:
    """Slices, harms and figures of these structures.

    Answers are arrays: ``energy`` and ``energy_sd`` (n,) in eV, ``forces`` (atoms, 3) and ``force_sd``
    (atoms,) in eV/Å, all structures one after the other; NaN where an answer was refused.

    Args:
        records: labelled structures.
    """
    sizes = np.array([len(r) for r in records])
    which = np.repeat(np.arange(len(records)), sizes)
    truth = np.concatenate([np.asarray(r.forces, float) for r in records])
    length = np.linalg.norm(truth, axis=1)
    mean, largest = _each(length, which, np.add) / sizes, _each(length, which, np.maximum)
    energy = np.array([np.nan if r.energy is None else r.energy for r in records], float)
    source = np.array([r.source for r in records])
    top = largest >= np.quantile(largest, 0.9)

    def harms(answers: Answers) -> dict[str, Floats]:
        forces, sd = answers["forces"], answers["force_sd"]
        told = np.linalg.norm(forces, axis=1)
        own, most = _each(told, which, np.add) / sizes, _each(told, which, np.maximum)
        answered = np.isfinite(answers["energy"])
        out = (np.abs(forces - truth) > Z90 * sd[:, None]).mean(1)
        net = np.abs([_each(forces[:, k], which, np.add) for k in range(3)]).max(0) / sizes
        odd = ~np.isfinite(own) | (net > 0.01) | (most > 100)
        return {
            "false-safe": np.where(answered & (mean > 0.5), own < 0.5 * mean, np.nan),
            "false-alarm": np.where(answered & (mean < 0.1), own > 0.3, np.nan),
            "unphysical": np.where(answered, odd, np.nan),
            "missed-extreme": np.where(answered & top, most < 0.7 * largest, np.nan),
            "overconfident": np.where(answered, _each(out, which, np.add) / sizes, np.nan),
        }

    def errors(answers: Answers) -> tuple[Floats, Floats]:
        return np.linalg.norm(answers["forces"] - truth, axis=1), np.asarray(answers["force_sd"], float)

    def figures(answers: Answers) -> dict[str, float]:
        off, sd = np.abs(answers["forces"] - truth), answers["force_sd"]
        good = np.isfinite(off).all(1)
        found = {
            "forces": 1000 * float(off[good].mean()),
            "coverage": float((off[good] <= Z90 * sd[good, None]).mean()),
            "answered": float(np.isfinite(answers["energy"]).mean()),
        }
        error = np.abs(answers["energy"] - energy) / sizes
        for name in np.unique(source):
            mine = (source == name)[which] & good
            if mine.any():
                found[f"forces {name}"] = 1000 * float(off[mine].mean())
                scale = float(np.abs(truth[mine]).mean())
                found[f"force_relative {name}"] = float(off[mine].mean()) / max(scale, 1e-9)
            known = (source == name) & np.isfinite(error)
            if known.any():
                found[f"energy {name}"] = 1000 * float(error[known].mean())
        return found

    def change(answers: Answers, rows: Mask, rule: Action) -> Answers:
        told = {name: np.array(array, float) for name, array in answers.items()}
        if rule.do in ("withhold", "refer"):
            for name in told:
                told[name][rows if len(told[name]) == len(rows) else rows[which]] = np.nan
        elif rule.do == "widen":
            told["energy_sd"][rows] *= rule.by
            told["force_sd"][rows[which]] *= rule.by
        else:
            raise BadInput("a potential has nothing to fall back on", field="actions")
        return told

    return Exam(
        about=f"{len(records)} structures of {len({r.group for r in records})} chemical systems that were "
        f"held out ({', '.join(sorted({r.kind or r.source for r in records}))})",
        slices=_slices(records, mean),
        facts=_facts(records),
        groups=np.array([r.group for r in records]),
        harms=harms,
        matters=MATTERS,
        errors=errors,
        figures=figures,
        change=change,
        cannot=(
            "Temperatures are not on the labels: the size of the forces stands for them.",
            "Privacy does not apply: no structure belongs to a person.",
        ),
        meanings=MEANINGS,
        told=lambda answers: {
            "mean_force": _each(np.linalg.norm(answers["forces"], axis=1), which, np.add) / sizes
        },
    )


def _each(values: Floats, which: npt.NDArray[np.int64], how: np.ufunc) -> Floats:
    """Sum or maximum over the atoms of each structure."""
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    return np.asarray(how.reduceat(values, starts), float)


def _slices(records: Sequence[Record], mean: Floats) -> dict[str, Mask]:
    kinds = [{int(z) for z in r.numbers} for r in records]
    size = np.array([len(r) for r in records])
    volume = np.array([r.volume / len(r) if r.volume > 0 else np.nan for r in records])
    found = {name: np.array([bool(k & family) for k in kinds]) for name, family in _FAMILIES.items()}
    metals = np.array([k <= _METALS for k in kinds])
    none = np.array([not (k & _METALS) for k in kinds])
    hard = np.array([bool(k & _METALS) and bool(k & {8, 9, 17, 35, 53}) for k in kinds])
    found |= {
        "metallic": metals,
        "covalent": none,
        "ionic": hard,
        "metal with soft non-metal": ~(metals | none | hard),
    }
    found |= {
        "near rest": mean < 0.1,
        "warm": (mean >= 0.1) & (mean < 1.0),
        "hot": mean >= 1.0,
        "dense (under 10 Å^3 per atom)": volume < 10,
        "10 to 25 Å^3 per atom": (volume >= 10) & (volume < 25),
        "open (over 25 Å^3 per atom)": volume >= 25,
        "up to 4 atoms": size <= 4,
        "5 to 20 atoms": (size > 4) & (size <= 20),
        "over 20 atoms": size > 20,
    }
    count = np.array([len(k) for k in kinds])
    found |= {"1 or 2 elements": count <= 2, "3 elements": count == 3, "4 and more elements": count >= 4}
    files = [r.kind or r.source for r in records]
    return found | {f"from {name}": np.array([f == name for f in files]) for name in sorted(set(files))}


def _facts(records: Sequence[Record]) -> dict[str, npt.NDArray[Any]]:
    from ase.data import chemical_symbols

    elements = np.empty(len(records), object)
    elements[:] = [tuple(sorted({chemical_symbols[z] for z in r.numbers})) for r in records]
    return {
        "elements": elements,
        "atoms": np.array([len(r) for r in records]),
        "volume_per_atom": np.array([r.volume / len(r) for r in records]),
        "periodic": np.array([bool(np.all(r.pbc)) for r in records]),
    }
