"""The suite that every domain passes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from sciai.atoms import Potential
from sciai.core.answer import Answer
from tests.domain_suite import DomainSuite


class TestAtoms(DomainSuite):
    domain = "atoms"
    fast = (
        "domain.data.records._target_=tests.atoms.toy.records",
        "~domain.data.records.stores",
        "~domain.data.records.files",
        "~domain.data.records.curves",
        "~domain.data.records.encounters",
        "domain.data.fractions={train: 0.6, val: 0.2, calibrate: 0.2}",
        "domain.data.batch_size=4",
        "domain.net.channels=16",
        "domain.net.heads=4",
    )

    def good(self) -> Iterable[Any]:
        alloy = bulk("Cu", "fcc", 3.8, cubic=True)
        alloy.symbols[0] = "Au"
        alloy.rattle(0.05, seed=0)
        return [alloy]

    def bad(self) -> Iterable[Any]:
        overlapping = bulk("Cu", "fcc", 3.8, cubic=True)
        overlapping.positions[1] = overlapping.positions[0] + 0.01
        nowhere = bulk("Cu", "fcc", 3.8)
        nowhere.positions[0, 0] = np.nan
        return [overlapping, nowhere, Atoms("X2", [[0, 0, 0], [0, 0, 2]])]

    def answer(self, question: Atoms, checkpoint: Path, seed: int) -> Answer[Any]:
        return Potential.load(checkpoint)(question)
