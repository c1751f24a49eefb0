"""Checks of the question: is this a structure, and one of the kind that was learned?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from sciai.atoms.checks.evidence import HEAVIEST, TIERS, Evidence
from sciai.atoms.checks.limits import Guard
from sciai.atoms.checks.scene import Scene, free_memory, name_atom
from sciai.core.answer import Finding, Level

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["before"]

Check = Callable[[Scene], Iterable[Finding]]
Floats = npt.NDArray[np.float64]
MOST_NAMED = 3


def before(guard: Guard, evidence: Evidence) -> tuple[Check, ...]:
    """The checks of a structure, for ``sciai.core.answer.ask``.

    Args:
        guard: limits.
        evidence: what the potential learned from; says which elements it knows.

    Example:
        >>> from ase import Atoms
        >>> from sciai.atoms.checks import guard
        >>> scene = Scene(Atoms("H2", [[0, 0, 0], [0, 0, 0.0]]))
        >>> [f.check for check in before(guard(), Evidence.none()) for f in check(scene)]
        ['overlap']
    """
    # here, as it loads a compiler, and who only asks for help needs none
    from sciai.atoms.checks.look import BOX, NUMBER, PLACE, ROOM

    limits = guard.limits

    def position(scene: Scene) -> Iterable[Finding]:
        bad = np.flatnonzero(~np.isfinite(scene.atoms.positions).all(1))
        if len(bad):
            message = f"{len(bad)} atoms have a position that is NaN or infinite; correct the file"
            yield Finding("position", Level.REFUSE, message, _named(scene, bad))

    def element(scene: Scene) -> Iterable[Finding]:
        present = scene.kinds.tolist()
        unknown = [z for z in present if not (0 <= z <= HEAVIEST and known[z])]
        if unknown:
            strange = ", ".join(_symbol(z) for z in unknown)
            where = _named(scene, np.flatnonzero(np.isin(scene.numbers, unknown)))
            has = evidence.known_text()
            message = (
                f"the potential does not know {strange}; it knows {has}. Use another potential for these"
            )
            yield Finding("element", Level.REFUSE, message, where)
        for tier, reason in _TIER_WORDS.items():
            names = ", ".join(chemical_symbols[z] for z in present if z <= HEAVIEST and tiers[z] == tier)
            if names:
                yield Finding("tier", Level.CAUTION, f"{names}: {tier}. {reason}", names)

    def cell(scene: Scene) -> Iterable[Finding]:
        if scene.cell_problem:
            yield Finding("cell", Level.REFUSE, scene.cell_problem, "cell")
            return
        atoms = scene.atoms
        if not any(scene.pbc):
            return
        each = scene.volume / len(atoms)
        low, high = limits.volume_per_atom[0], limits.volume_per_atom[1] if all(scene.pbc) else math.inf
        if not low <= each <= high:
            message = (
                f"{each:.3g} Å^3 per atom in the cell; matter has {low:g} to {limits.volume_per_atom[1]:g}. "
                "Is the cell in Å, and does it hold all atoms (set pbc to False for a molecule)?"
            )
            yield Finding("cell", Level.REFUSE, message, "cell")
        skew = math.prod(scene.lengths) / scene.volume if all(scene.pbc) else 1.0
        if skew > limits.skew:
            message = (
                f"the cell is nearly flat: its lengths' product is {skew:.0f} times its volume; reduce it"
            )
            yield Finding("cell", Level.REFUSE, message, "cell")

    def size(scene: Scene) -> Iterable[Finding]:
        if scene.cell_problem or not scene.finite:
            return
        if not scene.fits(scene.memory, limits.memory):
            free = free_memory()
            message = (
                f"{len(scene.atoms):,} atoms have about {scene.pairs_expected:.1e} pairs within "
                f"{scene.reach:g} Å, which takes about {scene.memory / 1e9:.1f} GB; {free / 1e9:.1f} GB "
                "are free. Use a smaller cell or a machine with more memory"
            )
            yield Finding("size", Level.REFUSE, message)

    def distance(scene: Scene) -> Iterable[Finding]:
        d = scene.distances
        z1, z2 = scene.numbers[scene.first], scene.numbers[scene.second]
        ratio = d / (covalent_radii[z1] + covalent_radii[z2])
        for check, level, limit, words in (
            ("overlap", Level.REFUSE, limits.overlap, "overlap: no chemistry has them so close"),
            ("close", Level.CAUTION, limits.close, "are unusually close"),
        ):
            low = limits.overlap if check == "close" else -1.0
            bad = np.flatnonzero((ratio < limit) & (ratio >= low))
            if len(bad):
                worst = int(bad[np.argmin(ratio[bad])])
                a, b = int(scene.first[worst]), int(scene.second[worst])
                spot = d[worst] < 1e-3
                first, other = name_atom(scene.atoms, a), name_atom(scene.atoms, b)
                pair = f"{first} and an image of itself" if a == b else f"{first} and {other}"
                told = "are on one spot" if spot else f"{words} ({d[worst]:.2f} Å)"
                more = f"; {len(bad)} pairs in all" if len(bad) > 1 else ""
                message = f"{pair} {told}{more}. Remove duplicates or relax with another method first"
                yield Finding(check, level, message, pair)

    def isolated(scene: Scene, alone: npt.NDArray[np.int64]) -> Iterable[Finding]:
        message = (
            f"{len(alone)} of {len(scene.numbers)} atoms have no neighbour within {scene.cutoff:g} Å: the "
            "potential sees free atoms there, no interaction"
        )
        yield Finding("isolated", Level.CAUTION, message, _named(scene, alone))

    def pairs(scene: Scene) -> Iterable[Finding]:
        if evidence.closest is None:
            return
        z1, z2 = scene.numbers[scene.first], scene.numbers[scene.second]
        top = len(evidence.closest) - 1
        known = (z1 <= top) & (z2 <= top)
        seen = np.where(known, evidence.closest[np.minimum(z1, top), np.minimum(z2, top)], np.inf)
        new = np.flatnonzero(known & np.isinf(seen))
        if len(new):
            names = sorted({_pair(int(z1[k]), int(z2[k])) for k in new})
            atoms = np.unique(np.concatenate([scene.first[new], scene.second[new]]))
            message = (
                f"never seen together in training: {', '.join(names[:6])}; forces between them are a guess"
            )
            yield Finding("pair_unseen", Level.CAUTION, message, _named(scene, atoms))
        short = np.flatnonzero(np.isfinite(seen) & (scene.distances < seen * (1 - limits.pair_margin)))
        if len(short):
            worst = int(short[np.argmin(scene.distances[short] / seen[short])])
            a, b = int(scene.first[worst]), int(scene.second[worst])
            message = (
                f"{name_atom(scene.atoms, a)} and {name_atom(scene.atoms, b)} are "
                f"{scene.distances[worst]:.2f} Å apart; the closest {_pair(int(z1[worst]), int(z2[worst]))} "
                f"in training were {seen[worst]:.2f} Å"
            )
            atoms = np.unique(np.concatenate([scene.first[short], scene.second[short]]))
            yield Finding("pair_short", Level.CAUTION, message, _named(scene, atoms))

    def neighbours(scene: Scene) -> Iterable[Finding]:
        if not scene.sane:
            return
        near, alone = scene.look(close)
        if near:
            yield from distance(scene)
            yield from pairs(scene)
        # of a single atom without a cell that is what was asked; in a cell it is a crystal, far too wide
        many = len(scene.numbers) > 1 or any(scene.pbc)
        if len(alone) and many and scene.cutoff is not None:
            yield from isolated(scene, alone)

    def two_levels(scene: Scene) -> Iterable[Finding]:
        if evidence.levels is None or not scene.sane or scene.kinds[0] < 0 or scene.kinds[-1] > HEAVIEST:
            return
        metals, partners = evidence.levels
        if not (metals[scene.kinds].any() and partners[scene.kinds].any()):
            return
        from sciai.atoms.data.levels import between

        places = np.ascontiguousarray(scene.atoms.positions, np.float64)
        apart = between(places, scene.numbers, *scene.directed, metals, partners)
        if not len(apart):
            return
        kinds = " and ".join(_symbol(z) for z in np.unique(scene.numbers[apart]).tolist())
        beside = " or ".join(_symbol(z) for z in scene.kinds.tolist() if partners[z])
        message = (
            f"{len(apart)} atoms of {kinds} see {beside} and are not bonded to it. The data compute {kinds} "
            f"beside {beside} with PBE+U and elsewhere with PBE{evidence.between or _ZEROS_APART}"
        )
        yield Finding("two_levels", guard.level("two_levels"), message, _named(scene, apart))

    def unused(scene: Scene) -> Iterable[Finding]:
        atoms = scene.atoms
        charge = _charge(atoms)
        if abs(charge) > 0.1:  # partial charges are rounded
            message = (
                f"the charge of {charge:+g} e is not used: the potential learned neutral matter and answers "
                "as if this were; use DFT, or leave the charge out if it is none of the whole system"
            )
            yield Finding("charge", Level.CAUTION, message)
        moments = atoms.arrays.get("initial_magmoms")
        if moments is not None and moments.any():
            message = (
                "the magnetic moments are not used: of each structure the potential knows one magnetic "
                "state, mostly the ferromagnetic one of its data; others get the same energy"
            )
            yield Finding("moments", Level.OK, message)

    known, tiers = zip(*((evidence.knows(z), evidence.tier(z)) for z in range(HEAVIEST + 1)), strict=True)
    clear = np.array([here and tier == TIERS[-1] for here, tier in zip(known, tiers, strict=True)])
    close = evidence.near(limits.close, limits.pair_margin)

    def question(scene: Scene) -> Iterable[Finding]:
        if not len(scene.atoms):
            yield Finding("empty", Level.REFUSE, "the structure has no atoms; read another file or frame")
            return
        # nearly always nothing is amiss: one glance and one look tell, and nothing has to be named
        odd = scene.glance(clear, limits)
        if odd & PLACE:
            yield from position(scene)
        if odd & NUMBER:
            yield from element(scene)
        if odd & BOX and (wrong := list(cell(scene))):
            yield from wrong
            return  # of a cell that cannot be, pairs are without number
        if odd & ROOM:
            large = list(size(scene))
            yield from large
            if large:
                return  # looking for the pairs would take minutes, and the memory that there is not
        if evidence.learned:  # a code of others may well use them
            yield from unused(scene)
            yield from two_levels(scene)
        if not odd & NUMBER or scene.kinds[-1] <= HEAVIEST:
            yield from neighbours(scene)

    return (question,)


_ZEROS_APART = (
    ", whose zeros lie eV for each metal atom apart: energies and forces here are those of neither, and may "
    "be off by eV (oxygen on such a metal binds by some 2 eV, and is told to be repelled). Use a potential "
    "without U, or DFT"
)
_TIER_WORDS = {
    TIERS[1]: "Only equations of state of its elemental crystals stand behind it",
    TIERS[2]: "Little was learned about it, or errors on held-out structures are large",
}


def _charge(atoms: Atoms) -> float:
    """Charge of the whole, as ASE, extxyz and other potentials write it; partial ones sum to nothing."""
    for name in ("charge", "total_charge"):
        if name in atoms.info:
            try:
                return float(atoms.info[name])
            except (TypeError, ValueError):
                return 0.0  # a word, or a list: nothing that could be meant for the whole
    partial = atoms.arrays.get("initial_charges")
    return 0.0 if partial is None else float(partial.sum())


def _symbol(z: int) -> str:
    if 0 < z < len(chemical_symbols):
        return chemical_symbols[z]
    return f"atomic number {z}" if z else "X (a placeholder, atomic number 0)"


def _pair(z1: int, z2: int) -> str:
    return "-".join(sorted((_symbol(z1), _symbol(z2)), key=lambda s: atomic_numbers.get(s, 0)))


def _named(scene: Scene, indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> str:
    names = [name_atom(scene.atoms, int(k)) for k in indices[:MOST_NAMED]]
    more = f" and {len(indices) - MOST_NAMED} more" if len(indices) > MOST_NAMED else ""
    return ", ".join(names) + more
