"""Potentials by one name and one question, for the benchmarks: ours, and the teachers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sciai.atoms.data.graph import graphs_of
from sciai.atoms.data.records import Record
from sciai.atoms.data.teachers import TEACHERS, Teacher, teacher
from sciai.atoms.model.interface import load_net, predict
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir


class Ours:
    """A checkpoint, asked as a teacher is.

    Args:
        folder: of the checkpoint.
        at_once: structures in one pass.
    """

    def __init__(self, folder: str, at_once: int = 32) -> None:
        self._net = load_net(Checkpoint.load(folder))
        self._at_once, self.source = at_once, folder

    def knows(self, number: int) -> bool:
        """Whether it can be asked for an element."""
        return 1 <= number <= 96

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its energies, forces and stresses."""
        done: list[Record | None] = []
        for first in range(0, len(records), self._at_once):
            chunk = records[first : first + self._at_once]
            out = predict(self._net, graphs_of([r.to_atoms() for r in chunk], self._net.cutoff))
            ends = np.cumsum([len(r) for r in chunk])
            for k, record in enumerate(chunk):
                forces = out.forces[ends[k] - len(record) : ends[k]].double().numpy()
                stress = out.stress[k].double().numpy() if record.pbc.all() else None
                done.append(record.with_labels(float(out.energy[k]), forces, stress, self.source))
        return done


def judge(name: str) -> Teacher:
    """A teacher by name, or a checkpoint: a folder, or the name of a shipped one."""
    torch.set_num_threads(1)
    if name in TEACHERS:
        return teacher(name)
    return Ours(str(checkpoints_dir() / name) if (checkpoints_dir() / name).is_dir() else name)
