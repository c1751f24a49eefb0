"""Record structures as batches of graphs, split so that no chemical system is in two parts.

The part of a group is decided by a hash of its name, not by its place in a list: labels that arrive later
never move a chemical system from the training part to another one, so a model can go on learning from more
of them. The exception are systems of which only other models' labels are there: they test nothing, and are
trained on.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sciai.atoms.data.graph import Graph, graph_of_arrays, join, neighbours
from sciai.atoms.data.levels import on_one_zero, split
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.model.network import ELEMENTS
from sciai.atoms.train import own as own_structures
from sciai.atoms.train.digests import contents, twins_together
from sciai.atoms.train.doubts import charged
from sciai.atoms.train.offsets import GPA, fit_offsets
from sciai.atoms.train.repulsion import ENCOUNTER
from sciai.core.data import DataModule
from sciai.core.errors import BadInput

__all__ = ["GPA", "Batch", "Structures", "collate", "load", "module", "part_of", "thinned"]

log = logging.getLogger(__name__)


@dataclass
class Batch:
    """Structures with labels; what a structure lacks is NaN.

    Attributes:
        graph: the structures.
        energy: eV, float64 [g].
        forces: eV/Å, [n, 3].
        stress: eV/Å^3, [g, 3, 3].
        weight: of each structure in the loss [g].
        offsets: each source's elements' energies, eV, float64 [sources, 119].
    """

    graph: Graph
    energy: Tensor
    forces: Tensor
    stress: Tensor
    weight: Tensor
    offsets: Tensor

    def to(self, device: Any) -> Batch:
        """The same batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class Structures(Dataset[Batch]):
    """Record structures whose neighbours are found once, and kept.

    Args:
        records: the structures.
        sources: data source -> level of theory, in the network's order; records of other sources are left
            out.
        reach: as the network's.
        most_pairs: structures with more pairs than this are left out; they would be a batch by themselves.
        limits: source (or ``default``) -> (largest |force| in eV/Å, lowest and highest pressure in GPa) that
            count as physics.
        most: source -> how many of its structures to use at most, spread evenly over what there is.

    Raises:
        BadInput: when nothing is left.
    """

    def __init__(
        self,
        records: Iterable[Record],
        sources: Mapping[str, int],
        reach: Sequence[float],
        most_pairs: int = 12000,
        limits: Mapping[str, Sequence[float]] | None = None,
        most: Mapping[str, int] | None = None,
    ) -> None:
        self.sources, self.reach, self.most_pairs = dict(sources), tuple(reach), most_pairs
        self._order = {name: k for k, name in enumerate(self.sources)}
        self.dropped: Counter[str] = Counter()
        self.contents: dict[str, Any] = {}
        self.records: list[Record] = []
        for record in thinned(list(records), most or {}):
            why = self._unfit(record, limits or {})
            if why:
                self.dropped[why] += 1
            else:
                self.records.append(record)
        if not self.records:
            raise BadInput(f"no structure to learn from; left out: {dict(self.dropped)}", field="data")
        self._kept: dict[int, tuple[NDArray[np.int32], NDArray[np.int8]]] = {}
        self.offsets = torch.zeros(len(self.sources), ELEMENTS, dtype=torch.float64)

    @property
    def groups(self) -> list[str]:
        """Chemical system of each structure."""
        return [record.group for record in self.records]

    @property
    def provenance(self) -> dict[str, Any]:
        """For the card: how many structures of which source, and what was left out."""
        counts = Counter(record.source for record in self.records)
        atoms = sum(len(record.numbers) for record in self.records)
        return {"structures": dict(counts), "atoms": atoms, "left_out": dict(self.dropped), **self.contents}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Batch:
        record = self.records[index]
        key = id(record)
        if key not in self._kept:
            self._kept[key] = self._neighbours(record)
        pairs, images = self._kept[key]
        source = self._order[record.source]
        graph = graph_of_arrays(
            record.numbers, record.positions, record.cell, record.pbc, pairs, images.astype(np.int32), source
        )
        n = len(record.numbers)
        forces = np.full((n, 3), np.nan) if record.forces is None else record.forces
        stress = np.full((3, 3), np.nan) if record.stress is None else record.stress
        return Batch(
            graph=graph,
            energy=torch.tensor(
                [np.nan if record.energy is None else float(record.energy)], dtype=torch.float64
            ),
            forces=torch.as_tensor(np.asarray(forces, np.float32).reshape(n, 3)),
            stress=torch.as_tensor(np.asarray(stress, np.float32).reshape(1, 3, 3)),
            weight=torch.tensor([float(record.weight)]),
            offsets=self.offsets,
        )

    def forget_outliers(self, most: float) -> None:
        """Leave out structures whose energy is more than ``most`` eV/atom off their elements'."""
        kept = []
        for record in self.records:
            rest = 0.0
            if record.energy is not None:
                row = self.offsets[self._order[record.source]].numpy()
                rest = (record.energy - row[np.asarray(record.numbers)].sum()) / len(record.numbers)
            if abs(rest) > most:
                self.dropped[f"{record.source}: energy {most:g} eV/atom off its elements"] += 1
            else:
                kept.append(record)
        self.records = kept

    def _neighbours(self, record: Record) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        from ase.data import covalent_radii

        cell, numbers = np.asarray(record.cell, float), np.asarray(record.numbers)
        positions = np.asarray(record.positions, float)
        a, b, most = self.reach
        largest = min(most, a + 2 * b * float(covalent_radii[numbers].max()))
        pairs, images = neighbours(positions, cell, [bool(flag) for flag in record.pbc], largest)
        vectors = positions[pairs[1]] - positions[pairs[0]] + images @ cell
        reach = np.minimum(
            most, a + b * (covalent_radii[numbers[pairs[0]]] + covalent_radii[numbers[pairs[1]]])
        )
        near = (vectors**2).sum(1) < reach**2
        return np.ascontiguousarray(pairs[:, near]), images[near].astype(np.int8)

    def _unfit(self, record: Record, limits: Mapping[str, Sequence[float]]) -> str:
        if record.source not in self._order:
            return f"unknown source {record.source}"
        most, low, high = limits.get(record.source, limits.get("default", (np.inf, -np.inf, np.inf)))
        if record.forces is not None and np.abs(record.forces).max(initial=0.0) > most:
            return f"{record.source}: force above {most:g} eV/Å"
        if record.stress is not None:
            pressure = -float(np.trace(record.stress)) / 3 / GPA
            if not low <= pressure <= high:
                return f"{record.source}: pressure outside {low:g} to {high:g} GPa"
        if any(pbc for pbc in record.pbc):
            volume = abs(np.linalg.det(np.asarray(record.cell, float)))
            density = len(record.numbers) / volume if all(record.pbc) and volume > 0 else 0.0
            if len(record.numbers) * density * 4 / 3 * np.pi * 5.0**3 > self.most_pairs:
                return f"more than about {self.most_pairs} pairs"
        elif len(record.numbers) > 400:
            return "more than 400 atoms"
        return ""


def thinned(records: list[Record], most: Mapping[str, int]) -> list[Record]:
    """At most so many of each source, evenly spaced: frames of a trajectory are alike.

    Args:
        records: of all sources, in their order.
        most: source -> how many.
    """
    counts = Counter(record.source for record in records)
    seen: Counter[str] = Counter()
    kept = []
    for record in records:
        have, wanted, k = counts[record.source], most.get(record.source), seen[record.source]
        seen[record.source] += 1
        if wanted is None or (k * wanted) // have != ((k - 1) * wanted) // have:
            kept.append(record)
    return kept


def collate(items: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    joined = {
        k: torch.cat([getattr(item, k) for item in items]) for k in ("energy", "forces", "stress", "weight")
    }
    return Batch(graph=join(item.graph for item in items), offsets=items[0].offsets, **joined)


def part_of(group: str, fractions: Mapping[str, float]) -> str:
    """The part of a chemical system: a function of its name alone.

    Development systems (``sciai.atoms.data.records.is_dev``) are the test part. Single elements are always
    trained on, as nothing else teaches what they are.

    Args:
        group: the chemical system.
        fractions: part -> share of the systems that are not for development.

    >>> part_of("Cl-Na", {"train": 1.0}), part_of("Fe-O", {"train": 1.0})
    ('train', 'test')
    """
    if is_dev(group):
        return "test"
    if "-" not in group and ":" not in group:
        return "train"
    digest = hashlib.sha256(f"sciai atoms parts {group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64 * sum(fractions.values())
    for part, share in fractions.items():
        place -= share
        if place < 0:
            return part
    return "train"


def load(
    stores: Sequence[str] = (),
    files: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[str] = (),
    encounters: int = 0,
) -> list[Record]:
    """Labelled structures from disk.

    Args:
        stores: folders that ``sciai atoms data build`` wrote.
        files: each with ``path`` (extxyz, ase.db, OUTCAR ..., or a store; several as a list), ``source``, by
            which all of them go, and optionally ``weight``.
        encounters: close pairs of atoms for each pair of elements (``sciai.atoms.train.repulsion``).
        curves: tables of equations of state of the elements (``sciai.atoms.train.curves.unaries``).

    Raises:
        BadInput: when there is nothing, or a file cannot be read.
    """
    from sciai.atoms.data.readers import records_from
    from sciai.atoms.data.store import Store
    from sciai.atoms.train import repulsion
    from sciai.atoms.train.curves import unaries

    records: list[Record] = list(Store(*stores)) if stores else []
    for entry in files:
        given = entry["path"]
        for path in [given] if isinstance(given, str | Path) else given:
            source, weight = entry["source"], float(entry.get("weight", 1.0))
            if Path(path).is_dir():
                records += [replace(record, source=source, weight=weight) for record in Store(path)]
            else:
                records += records_from(path, source, weight=weight)
                if said := charged(Path(path)):
                    log.warning("%s", said)
    for path in curves:
        records += unaries(path)
    if not records:
        raise BadInput(
            "no labelled structures",
            field="domain.data.records",
            fix="name files, or stores built by sciai atoms data",
        )
    return records + (repulsion.encounters(encounters) if encounters else [])


def module(
    records: Sequence[Record],
    sources: Mapping[str, int],
    reach: Sequence[float],
    batch_size: int,
    fractions: Mapping[str, float],
    seed: int = 0,
    *,
    share: Mapping[str, int] | None = None,
    most: Mapping[str, int] | None = None,
    most_pairs: int = 12000,
    limits: Mapping[str, Sequence[float]] | None = None,
    most_energy: float = 40.0,
    train_only: Sequence[str] = (),
    own: Sequence[str] = (),
    same_zero: Sequence[Sequence[str]] = (),
    forces_only: Sequence[str] = (),
    one_zero: Sequence[str] = (),
    eval_batch_size: int | None = None,
    num_workers: int = 0,
) -> DataModule:
    """The data module of a training run.

    Args:
        records: labelled structures.
        sources: data source -> level of theory; the first is what the network answers at.
        reach: the network's.
        batch_size: structures per step.
        fractions: part -> share of the chemical systems; the same system is always in the same part.
        seed: seed of the order.
        share: source -> how often its training structures are seen per epoch (whole numbers).
        most: source -> how many of its structures to use at most.
        most_pairs: larger structures are left out.
        limits: what counts as physics, see ``Structures``.
        most_energy: structures that are more than this off their elements' energies are left out, eV/atom.
        train_only: sources that are no test (labels by other models). Systems that only they have are trained
            on, whatever their name says; of the others, only what is in the training part.
        own: sources that are the user's, who may have one chemical system only: blocks of their neighbouring
            structures are in one part, whatever the elements.
        same_zero: sources whose energies count from one zero, see ``fit_offsets``.
        forces_only: sources whose energies are not learned: of few compositions and with a zero of their own,
            so that nothing tells an element's energy from a bond's. Forces say all the same how bonds differ.
        one_zero: sources whose energies of metals with a Hubbard U are moved onto the zero of those without
            (``sciai.atoms.data.levels``); of those that are no test, structures between the two are left out.
        eval_batch_size: structures per batch elsewhere.
        num_workers: loader processes.

    Raises:
        BadInput: ``forces_only`` or ``one_zero`` names a source that there is not.
    """
    for field, names in (("forces_only", forces_only), ("one_zero", one_zero)):
        if strange := set(names) - set(sources):
            raise BadInput(
                f"no source is called {', '.join(sorted(strange))}",
                field=f"domain.data.{field}", fix=f"there are {', '.join(sources)}",
            )  # fmt: skip
    records = [
        *own_structures.in_blocks([r for r in records if r.source in own]),
        *(r for r in records if r.source not in own),
    ]
    records = twins_together(records, own)
    records = [_without_energy(r) if r.source in forces_only else r for r in records]
    records = [
        on_one_zero(r) if r.source in one_zero else r
        for r in records
        if not (r.source in one_zero and r.source in train_only and split(r))
    ]
    real = {r.group for r in records if r.source not in train_only}
    home = {r.group: part_of(r.group, fractions) if r.group in real else "train" for r in records}
    keep = [r for r in records if r.source not in train_only or home[r.group] == "train"]
    dataset = Structures(keep, sources, reach, most_pairs, limits, most)
    if all(record.kind == ENCOUNTER for record in dataset.records):
        raise BadInput(
            f"no structure to learn from; left out: {dict(dataset.dropped)}",
            field="domain.data.records",
            fix=f"sources are {', '.join(sources)}; your own go by +experiment=atoms_finetune mine=..."
            if any(record.source not in sources for record in records)
            else "give other structures, or other domain.data.limits or most_pairs",
        )
    home |= own_structures.parts(dataset.records, own, home)
    training = [r for r in dataset.records if home[r.group] == "train"]
    dataset.offsets = torch.as_tensor(fit_offsets(training, dataset.sources, same_zero=same_zero))
    dataset.forget_outliers(most_energy)
    again = [r for r in dataset.records if home[r.group] == "train"]
    dataset.contents = contents(dataset.records, again)
    dataset.records += [r for r in again for _ in range(int((share or {}).get(r.source, 1)) - 1)]
    parts: dict[str, list[str]] = {}
    for group in sorted(set(dataset.groups)):
        parts.setdefault(home[group], []).append(group)
    for why, count in dataset.dropped.items():
        log.warning("left out, %d structures: %s", count, why)
    offsets = dict(zip(dataset.sources, dataset.offsets.numpy(), strict=True))
    own_structures.tell(dataset.records, own, home, dataset.dropped, offsets)
    return DataModule(
        dataset,
        batch_size,
        {"train": 1.0},
        seed,
        hold_out=dict(parts),
        collate=collate,
        num_workers=num_workers,
        eval_batch_size=eval_batch_size,
        check_leaks=False,  # copies of a crystal may be there, but a chemical system is never split
    )


def _without_energy(record: Record) -> Record:
    return record.with_labels(None, record.forces, record.stress, record.source)


def without(batch: Batch, source: int) -> Batch:
    """The same structures asked for at another level of theory."""
    return replace(batch, graph=replace(batch.graph, source=torch.full_like(batch.graph.source, source)))
