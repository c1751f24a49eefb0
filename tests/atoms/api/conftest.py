"""Potentials with known answers: effective medium theory and Lennard-Jones, wrapped."""

from __future__ import annotations

import pytest
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from sciai.atoms.api.potential import Potential


@pytest.fixture
def emt() -> Potential:
    return Potential.from_calculator(EMT())


@pytest.fixture
def lj() -> Potential:
    """Argon with a smooth cutoff: a pair potential, whose laws are known."""
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, ro=6.0, smooth=True)
    return Potential.from_calculator(calculator, "argon", elements=["Ar"], cutoff=8.0)
