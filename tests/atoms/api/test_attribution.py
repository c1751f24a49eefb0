"""Shares of atoms add up, follow symmetry, and change when the network has learned nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule

from sciai.atoms.api.attribution import attribution_figure, check_sanity, explain, untrained
from sciai.atoms.api.potential import Potential
from sciai.core.answer import Level
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.core.resources import checkpoints_dir


@pytest.fixture(scope="module")
def shipped() -> Potential:
    return Potential.load(dtype="float64", device="cpu")


def test_shares_add_up_and_follow_symmetry(shipped: Potential) -> None:
    atoms = molecule("CH4")
    told = explain(atoms, shipped).estimate
    assert told is not None
    value = told.value
    assert value.energy.gap < 1e-6
    assert value.energy.share[1:] == pytest.approx(value.energy.share[1], abs=1e-4), "hydrogens are alike"
    assert value.doubt.sum() == pytest.approx(1)
    assert value.far.shape == (5,)
    assert np.isfinite(value.far).all()
    assert len(attribution_figure(atoms, value).axes) == 6


def test_one_kind_of_atom_and_a_calculator_without_energies(shipped: Potential, emt: Potential) -> None:
    value = explain(bulk("Cu"), shipped).unwrap()
    assert value.energy.share[0] < 0, "copper binds"
    lone = Potential.from_calculator([emt.engine.members[0]] * 2)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="no energies of single atoms"):
        explain(bulk("Cu"), lone)


def test_a_refused_structure_is_not_explained(shipped: Potential) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.positions[1] = atoms.positions[0] + 0.1
    assert explain(atoms, shipped).level == Level.REFUSE


def test_the_shipped_network_leans_on_what_it_learned(shipped: Potential, tmp_path: Path) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(0.15, seed=2)
    others = []
    for seed in range(6):
        untrained(Checkpoint.load(checkpoints_dir() / "atoms"), seed).save(tmp_path / str(seed))
        others.append(Potential.load(tmp_path / str(seed), dtype="float64"))
    found = check_sanity(atoms, shipped, others)
    assert found[0].where == "energies"
    assert found[0].level == Level.OK, found[0].message
    same = check_sanity(atoms, shipped, [shipped])
    assert {f.level for f in same} == {Level.CAUTION}, "the trained one beside itself must fail"
