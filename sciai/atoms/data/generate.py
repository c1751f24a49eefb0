"""Structures to be labelled, invented while their labels come in.

Each job is a generator: it yields a structure, is sent the same structure with the teacher's labels (None
where the teacher could not), and returns the records worth keeping. Many jobs run side by side, so that the
teacher gets batches. A job depends on its own seed and the teacher alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from ase import Atoms

from sciai.atoms.data import perturb
from sciai.atoms.data.chemistry import KNOWN, compound, electronegativity, similar
from sciai.atoms.data.metals import alloy, meeting, surface
from sciai.atoms.data.offspring import Job, Plan, bulk, offspring, relaxing
from sciai.atoms.data.prototypes import Prototype, prototypes, substituted
from sciai.atoms.data.records import Record
from sciai.atoms.data.salts import liquid, salt
from sciai.atoms.data.settle import ask, downhill, plausible, sliding, thinned
from sciai.atoms.data.textbook import VOLUMES, cell, compounds

__all__ = ["FAMILIES", "Job", "Plan", "job"]

Floats = npt.NDArray[np.float64]


def job(number: int, seed: int, plan: Plan) -> Job:
    """The job of this number; the same whenever and wherever it runs."""
    rng = np.random.default_rng([seed, number])
    names = sorted(plan.shares)
    weights = np.array([plan.shares[name] for name in names])
    return FAMILIES[str(rng.choice(names, p=weights / weights.sum()))](rng, replace(plan, number=number))


def _elements(proto: Prototype, rng: np.random.Generator) -> dict[int, int]:
    """Elements for a prototype: like those it was found with, or drawn anew."""
    if rng.random() < 0.5 and max(proto.kinds) < 97:
        new: dict[int, int] = {}
        for old in proto.kinds:
            for _ in range(20):
                z = similar(old, rng)
                if rng.random() < 0.5:
                    z = similar(z, rng)
                if z not in new.values():
                    break
            new[old] = z
        if len(set(new.values())) == len(new):
            return new
    drawn = compound(proto.counts, rng)
    if rng.random() < 0.08:  # cations on anion sites: rare in nature, instructive for a network
        drawn = [int(z) for z in rng.permutation(drawn)]
    return dict(zip(proto.kinds, drawn, strict=True))


def _crystal(rng: np.random.Generator, plan: Plan) -> Job:
    """An AFLOW prototype with other elements."""
    library = prototypes(plan.largest)
    for _ in range(50):
        proto = library[int(rng.integers(len(library)))]
        if len(proto.kinds) == 1 and rng.random() < 0.75:
            continue  # a fifth of the library are elements, a fiftieth of nature's compounds
        atoms = substituted(proto.atoms, _elements(proto, rng))
        if rng.random() < 0.2:
            atoms = _mixed(atoms, rng, plan.largest)
        if plan.allowed(atoms) and perturb.closeness(atoms) > 0.5:
            return (yield from bulk(atoms, rng, plan, int(rng.integers(3, 6))))
    return []


def _archetype(rng: np.random.Generator, plan: Plan) -> Job:
    """The next prototype with the elements it is named for: quartz is silica, and people ask for that."""
    library = prototypes(plan.largest)
    atoms = library[plan.number % len(library)].atoms.copy()
    if not plan.allowed(atoms):
        return []
    return (yield from bulk(atoms, rng, plan, int(rng.integers(4, 8))))


def _mixed(atoms: Atoms, rng: np.random.Generator, largest: int) -> Atoms:
    """A part of one kind of site in a small supercell taken by a similar element."""
    new = perturb.grown(atoms, rng, largest)
    sites = np.flatnonzero(new.numbers == rng.choice(np.unique(new.numbers)))
    if len(sites) < 2:
        return new
    chosen = rng.choice(sites, len(sites) // 2, replace=False)
    numbers = np.array(new.numbers)
    numbers[chosen] = similar(int(numbers[chosen[0]]), rng)
    new.numbers = numbers
    return new


def _element(rng: np.random.Generator, plan: Plan) -> Job:
    """A pure element in a prototype with one kind of atom: fcc, bcc, simple cubic, diamond and others."""
    library = [proto for proto in prototypes(plan.largest) if len(proto.kinds) == 1]
    proto = library[int(rng.integers(len(library)))]
    atoms = substituted(proto.atoms, {proto.kinds[0]: int(rng.choice(KNOWN))})
    return (yield from bulk(atoms, rng, plan, int(rng.integers(4, 8))))


def _oxide(rng: np.random.Generator, plan: Plan) -> Job:
    """Any element with oxygen, in a prototype of two kinds, at several volumes."""
    library = [proto for proto in prototypes(plan.largest) if len(proto.kinds) == 2]
    for _ in range(50):
        proto = library[int(rng.integers(len(library)))]
        other = int(rng.choice([z for z in KNOWN if z != 8]))
        # the more electronegative site is oxygen's, or all but always
        sites = proto.kinds if rng.random() < 0.95 else proto.kinds[::-1]
        atoms = substituted(proto.atoms, {sites[0]: other, sites[1]: 8})
        if not plan.allowed(atoms) or perturb.closeness(atoms) < 0.5:
            continue
        frames = yield from downhill(atoms, 6)
        kept = [replace(frame, kind="settling") for frame in thinned(frames, 3)]
        for _ in range(4 if kept else 0):
            child = perturb.pressed(frames[-1].to_atoms(), float(rng.uniform(0.9, 1.12)) ** (1 / 3))
            record = yield from ask(child, "eos")
            if record is not None and plausible(record):
                kept.append(record)
        return kept
    return []


def _textbook(rng: np.random.Generator, plan: Plan) -> Job:
    """The next compound of the textbook: at rest at several volumes, then with its atoms moved."""
    library = compounds()
    atoms = cell(*library[plan.number % len(library)])
    if not plan.allowed(atoms) or len(atoms) > plan.largest:
        return []
    frames = yield from downhill(atoms, 6)
    if not frames:
        return []
    settled = frames[-1].to_atoms()
    kept: list[Record] = []
    for volume in (*VOLUMES, 1.0):
        child = perturb.pressed(settled, (volume * float(rng.uniform(0.985, 1.015))) ** (1 / 3))
        if len(kept) == len(VOLUMES):
            child = perturb.rattled(perturb.grown(child, rng, min(16, plan.largest)), rng, 0.06)
        record = yield from ask(child, "textbook")
        if record is not None and plausible(record):
            kept.append(record)
    return kept


def _sheared(rng: np.random.Generator, plan: Plan) -> Job:
    """A crystal settled, then sheared a little both ways, its atoms otherwise at rest: how stiff it is.

    Rattled cells hide it: stresses of moved atoms are many times those of a strain of two per cent.
    """
    own = [atoms for atoms in plan.around if len(atoms) <= plan.largest]
    library = compounds()
    for _ in range(30):
        way = rng.random()
        if own and way < 0.5:
            weights = np.array([1.0 / len(atoms) for atoms in own])
            atoms = own[int(rng.choice(len(own), p=weights / weights.sum()))].copy()
        elif way < 0.75:
            atoms = cell(*library[int(rng.integers(len(library)))])
        else:
            found = prototypes(plan.largest)
            proto = found[int(rng.integers(len(found)))]
            atoms = substituted(proto.atoms, _elements(proto, rng))
        if len(atoms) > plan.largest or not plan.allowed(atoms) or perturb.closeness(atoms) < 0.5:
            continue
        frames = yield from downhill(atoms, 9)
        if not frames or not plausible(frames[-1], 3.0, 0.1):
            return []
        kept = [replace(frames[-1], kind="settling")]
        settled = frames[-1].to_atoms()
        for _ in range(2):
            for child in perturb.sheared(settled, rng, float(rng.uniform(0.008, 0.035))):
                record = yield from ask(child, "sheared")
                if record is not None and plausible(record):
                    kept.append(record)
        return kept
    return []


def _around(rng: np.random.Generator, plan: Plan) -> Job:
    """One of the user's own structures, half of the time with an element replaced by a similar one."""
    own = [atoms for atoms in plan.around if len(atoms) <= 2 * plan.largest]
    if not own:
        return (yield from _crystal(rng, plan))
    # small cells more often: the teacher's time goes with the atoms
    weights = np.array([1.0 / len(atoms) for atoms in own])
    for _ in range(30):
        atoms = own[int(rng.choice(len(own), p=weights / weights.sum()))].copy()
        if rng.random() < 0.5:
            kinds = np.unique(atoms.numbers)
            swap = {int(z): similar(int(z), rng) for z in kinds if rng.random() < 0.7}
            if len({swap.get(int(z), int(z)) for z in kinds}) == len(kinds):
                atoms = substituted(atoms, swap)
        if plan.allowed(atoms) and perturb.closeness(atoms) > 0.4:
            return (yield from bulk(atoms, rng, plan, int(rng.integers(2, 5))))
    return []


def _hot(rng: np.random.Generator, plan: Plan) -> Job:
    """One's own structures as they are, perhaps hot or pressed, and moved some more; nothing settles."""
    own = [atoms for atoms in plan.around if len(atoms) <= 2 * plan.largest]
    for _ in range(30 if own else 0):
        atoms = own[int(rng.integers(len(own)))].copy()
        if rng.random() < 0.6:
            kinds = np.unique(atoms.numbers)
            swap = {int(z): similar(int(z), rng) for z in kinds if rng.random() < 0.6}
            if len({swap.get(int(z), int(z)) for z in kinds}) == len(kinds):
                atoms = substituted(atoms, swap)
        if not plan.allowed(atoms) or perturb.closeness(atoms) < 0.4:
            continue
        kept: list[Record] = []
        for _ in range(3):
            child = perturb.pressed(atoms, float(rng.normal(1.0, 0.02)))
            child = perturb.strained(perturb.rattled(child, rng, float(rng.uniform(0.03, 0.25))), rng, 0.02)
            record = yield from ask(child, "hot")
            if record is not None and plausible(record, 50.0, 5.0):
                kept.append(record)
        return kept
    return []


def _melt(rng: np.random.Generator, plan: Plan) -> Job:
    """Hot and pressed: any elements on a lattice, in a crystal, or thrown together; shaken, cooled a little.

    Thermal frames have smaller forces than shaken ones, so some steps downhill follow, in positions alone.
    """
    for _ in range(30):
        way = rng.random()
        if way < 0.4:  # as many elements as there is room for
            atoms = perturb.lattice([int(z) for z in rng.choice(KNOWN, min(16, plan.largest))], rng)
        elif way < 0.5:
            some = rng.choice(KNOWN, int(rng.integers(2, 6)), replace=False)
            numbers = [int(z) for z in rng.choice(some, int(rng.integers(4, min(16, plan.largest) + 1)))]
            found = perturb.packed(numbers, rng, float(rng.uniform(0.5, 1.2)))
            if found is None:
                continue
            atoms = found
        elif way < 0.8 or not plan.around:
            library = prototypes(plan.largest)
            proto = library[int(rng.integers(len(library)))]
            atoms = substituted(proto.atoms, _elements(proto, rng))
        else:
            own = [a for a in plan.around if len(a) <= 2 * plan.largest]
            atoms = own[int(rng.integers(len(own)))].copy()
            kinds = np.unique(atoms.numbers)
            swap = {int(z): similar(int(z), rng) for z in kinds if rng.random() < 0.6}
            if len({swap.get(int(z), int(z)) for z in kinds}) == len(kinds):
                atoms = substituted(atoms, swap)
        if not plan.allowed(atoms) or perturb.closeness(atoms) < 0.45:
            continue
        frames = yield from downhill(perturb.rattled(atoms, rng, 0.05), int(rng.integers(3, 7)))
        if not frames:
            return []
        kept = [replace(frame, kind="melt") for frame in thinned(frames, 2)]
        parent = perturb.grown(frames[-1].to_atoms(), rng, min(12, plan.largest))
        for _ in range(3):
            # up to a few hundred GPa for half of them
            size = float(rng.uniform(0.72, 0.97) if rng.random() < 0.6 else rng.normal(1.01, 0.02))
            child = perturb.strained(perturb.pressed(parent, size), rng, 0.02)
            frames = yield from _cooling(perturb.rattled(child, rng, float(rng.uniform(0.05, 0.45))), rng)
            kept += [replace(frame, kind="melt") for frame in frames]
        return kept
    return []


def _cooling(atoms: Atoms, rng: np.random.Generator) -> Job:
    """The last frame of some steps downhill in positions; now and then the middle one as well."""
    frames = yield from sliding(atoms, int(rng.integers(1, 5)), "melt", 0.03, 0.2)
    usable = [record for record in frames if plausible(record, 50.0, 5.0)]
    return usable[-1:] if rng.random() < 0.6 else usable[-1:-4:-2]


def _packing(rng: np.random.Generator, plan: Plan) -> Job:
    """Random elements thrown together, cooled a little."""
    for _ in range(30):
        kinds = rng.choice(KNOWN, int(rng.integers(2, 6)), replace=False)
        if rng.random() < 0.5:
            kinds = np.array(compound([1] * len(kinds), rng))
        numbers = [int(z) for z in rng.choice(kinds, int(rng.integers(4, plan.largest + 1)))]
        metal = float(np.mean(electronegativity[numbers])) < 2.0
        atoms = perturb.packed(numbers, rng, float(rng.uniform(*((0.7, 1.3) if metal else (0.4, 0.9)))))
        if atoms is not None and plan.allowed(atoms):
            frames = yield from downhill(atoms, int(rng.integers(3, 9)))
            return [replace(frame, kind="packing") for frame in thinned(frames, 4)]
    return []


def _pair(rng: np.random.Generator, plan: Plan) -> Job:
    """Two atoms in vacuum at several distances."""
    a, b = (int(z) for z in rng.choice(KNOWN, 2))
    kept: list[Record] = []
    for _ in range(3):
        atoms = perturb.dimer(a, b, rng)
        record = yield from ask(atoms, "dimer")
        if record is not None and plausible(record, 25.0) and plan.allowed(atoms):
            kept.append(record)
    return kept


def _molecule(rng: np.random.Generator, plan: Plan) -> Job:
    """A small molecule or complex, rattled; now and then two of them beside each other."""
    atoms = perturb.molecule(rng)
    if rng.random() < 0.25:
        other = perturb.molecule(rng)
        other.rotate(float(rng.uniform(0, 360)), rng.normal(size=3))
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        other.positions += atoms.positions.mean(0) - other.positions.mean(0)
        for _ in range(40):
            other.positions += 0.4 * direction
            if perturb.closeness(atoms + other) > 1.9:
                break
        atoms = atoms + other
    if len(atoms) > 2 * plan.largest or not plan.allowed(atoms):
        return []
    kept: list[Record] = []
    for _ in range(4):
        record = yield from ask(perturb.rattled(atoms, rng, float(rng.uniform(0.0, 0.15))), "molecule")
        if record is not None and plausible(record):
            kept.append(record)
    return kept


def _salt(rng: np.random.Generator, plan: Plan) -> Job:
    """Oxyanions, hydrates, carbonyls and the like, settled some way, and what is near."""
    for _ in range(30):
        atoms = salt(rng, plan.largest)
        if atoms is None or not plan.allowed(atoms):
            continue
        frames = yield from downhill(atoms, int(rng.integers(10, 19)))
        kept = [replace(frame, kind="salt") for frame in thinned(frames[len(frames) // 3 :], 5)]
        return kept + (yield from offspring(kept[-1].to_atoms(), rng, plan, 3)) if kept else []
    return []


def _liquid(rng: np.random.Generator, plan: Plan) -> Job:
    """Molecules as in a liquid, settled a little, then moved."""
    for _ in range(30):
        atoms = liquid(rng, plan.largest)
        if atoms is None or not plan.allowed(atoms):
            continue
        frames = yield from downhill(atoms, int(rng.integers(6, 15)))
        kept = [replace(frame, kind="liquid") for frame in thinned(frames[len(frames) // 3 :], 3)]
        for _ in range(3 if kept else 0):
            child = perturb.strained(kept[-1].to_atoms(), rng, 0.015)
            record = yield from ask(perturb.rattled(child, rng, float(rng.uniform(0.02, 0.1))), "liquid")
            if record is not None and plausible(record):
                kept.append(record)
        return kept
    return []


def _alloy(rng: np.random.Generator, plan: Plan) -> Job:
    """A metal's supercell with guests, gaps or both, settled a little, then moved."""
    for _ in range(30):
        atoms = alloy(rng, plan.largest)
        if plan.allowed(atoms):
            frames = yield from downhill(atoms, int(rng.integers(4, 8)))
            kept = [replace(frame, kind="alloy") for frame in thinned(frames, 3)]
            return kept + (yield from offspring(kept[-1].to_atoms(), rng, plan, 3)) if kept else []
    return []


def _surface(rng: np.random.Generator, plan: Plan) -> Job:
    """A metal's usual surface, bare and with what chemists put on it."""
    for _ in range(30):
        bare = surface(rng, plan.largest)
        if bare is None or not plan.allowed(bare):
            continue
        kept = yield from relaxing(bare, "slab", rng)
        for _ in range(2):
            both = perturb.adsorbed(bare, rng)
            if plan.allowed(both):
                kept += yield from relaxing(both, "adsorbate", rng)
        return kept
    return []


def _meeting(rng: np.random.Generator, plan: Plan) -> Job:
    """Oxygen or fluorine on or in a metal with a Hubbard U; ask a teacher that has both on one zero."""
    for _ in range(30):
        atoms = meeting(rng, plan.largest)
        if atoms is not None and plan.allowed(atoms):
            return (yield from relaxing(atoms, "meeting", rng))
    return []


FAMILIES: dict[str, Callable[[np.random.Generator, Plan], Job]] = {
    "crystal": _crystal,
    "archetype": _archetype,
    "element": _element,
    "oxide": _oxide,
    "textbook": _textbook,
    "sheared": _sheared,
    "around": _around,
    "hot": _hot,
    "melt": _melt,
    "packing": _packing,
    "salt": _salt,
    "liquid": _liquid,
    "alloy": _alloy,
    "surface": _surface,
    "meeting": _meeting,
    "pair": _pair,
    "molecule": _molecule,
}
"""Name -> what makes a job."""
