"""What grows from one structure: the same settled, rattled, strained, cut, and with something on top."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from sciai.atoms.data import perturb
from sciai.atoms.data.records import Record, group_of, is_dev
from sciai.atoms.data.settle import ask, downhill, plausible, sliding, thinned

__all__ = ["Job", "Plan", "bulk", "offspring", "relaxing"]

Job = Generator[Record, Record | None, list[Record]]


@dataclass(frozen=True)
class Plan:
    """What jobs draw from.

    Attributes:
        shares: family -> share of the jobs.
        largest: atoms in a cell at most.
        around: structures of the user's own, for the family "around".
        keep_dev_out: leave out every chemical system of the development part.
        number: of the job, for families that go through a list.
    """

    shares: dict[str, float]
    largest: int = 16
    around: tuple[Atoms, ...] = ()
    keep_dev_out: bool = True
    number: int = 0

    def allowed(self, atoms: Atoms) -> bool:
        """Whether a structure may be generated."""
        return not (self.keep_dev_out and is_dev(group_of(atoms.numbers, atoms.pbc)))


def offspring(parent: Atoms, rng: np.random.Generator, plan: Plan, count: int) -> Job:
    """Structures near a crystal close to equilibrium."""
    kept: list[Record] = []
    for _ in range(count):
        way = rng.random()
        if way < 0.40:
            kind, size, strain = "near", rng.uniform(0.01, 0.08), 0.012
        elif way < 0.58:
            kind, size, strain = "rattled", rng.uniform(0.08, 0.2), 0.02
        elif way < 0.66:
            kind, size, strain = "hot", rng.uniform(0.2, 0.4), 0.03
        elif way < 0.78:
            kind, size, strain = "strained", 0.03, rng.uniform(0.02, 0.06)
        elif way < 0.88:
            kind, size, strain = "pressed", 0.03, 0.0
        else:
            kind, size, strain = "defect", 0.04, 0.01
        child = parent
        if kind == "pressed":
            ranges = [(0.93, 1.07), (0.85, 0.95), (1.05, 1.2)]
            child = perturb.pressed(parent, float(rng.uniform(*ranges[int(rng.integers(3))])))
        elif kind == "defect":
            child = perturb.defective(perturb.grown(parent, rng, plan.largest), rng)
        child = perturb.strained(perturb.rattled(child, rng, float(size)), rng, float(strain))
        if not plan.allowed(child):
            continue
        record = yield from ask(child, kind)
        if record is not None and plausible(record):
            kept.append(record)
    return kept


def bulk(start: Atoms, rng: np.random.Generator, plan: Plan, children: int) -> Job:
    """Settle a crystal, keep some of the way, and have offspring; now and then a surface or a cluster too."""
    frames = yield from downhill(perturb.rattled(start, rng, 0.02), int(rng.integers(5, 9)))
    kept = [replace(frame, kind="settling") for frame in thinned(frames, 5)]
    if not kept:
        return []
    parent = kept[-1].to_atoms()
    kept += yield from offspring(parent, rng, plan, children)
    way = rng.random()
    if way < 0.22 and len(parent) <= plan.largest:
        surface = perturb.slab(parent, rng, plan.largest)
        kept += yield from relaxing(surface, "slab", rng)
        if rng.random() < 0.6:
            both = perturb.adsorbed(surface, rng)
            if plan.allowed(both):
                kept += yield from relaxing(both, "adsorbate", rng)
    elif way < 0.28:
        cut = perturb.rattled(perturb.cluster(parent, rng, int(rng.integers(2, 11))), rng, 0.08)
        if plan.allowed(cut):
            kept += yield from relaxing(cut, "cluster", rng)
    return kept


def relaxing(atoms: Atoms, kind: str, rng: np.random.Generator) -> Job:
    """One or three frames of a structure whose atoms, not its cell, go downhill."""
    here = perturb.rattled(atoms, rng, float(rng.uniform(0.01, 0.1)))
    frames = yield from sliding(here, int(rng.choice([1, 3])), kind, 0.04, 0.15)
    return thinned(frames, 2)
