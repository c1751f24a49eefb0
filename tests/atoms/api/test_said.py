"""What workflows have to say of themselves: what did not come to rest, what was doubtful on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read as ase_read

from sciai.atoms.api import adsorption, relaxation
from sciai.atoms.api.adsorption import adsorb
from sciai.atoms.api.dynamics import md
from sciai.atoms.api.elasticity import elastic
from sciai.atoms.api.equation import eos
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.surfaces import surface
from sciai.atoms.api.vibrations import phonons
from sciai.core.answer import Answer, Finding, Level


def test_the_force_that_is_left_is_that_on_what_may_move(emt: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 4), vacuum=8.0)
    slab.set_constraint(FixAtoms([0, 1]))
    done = relax(slab, emt, cell=False, fmax=0.01).unwrap()
    held = np.linalg.norm(emt(done.atoms).unwrap().forces, axis=1)[:2].max()
    assert done.converged
    assert held > 0.05  # the constraint carries it
    assert done.max_force <= 0.01


@pytest.mark.parametrize("workflow", ["elastic", "eos"])
def test_strained_cells_that_do_not_come_to_rest_are_told(
    emt: Potential, monkeypatch: pytest.MonkeyPatch, workflow: str
) -> None:
    alloy = bulk("Cu", a=3.6, cubic=True)
    alloy.set_chemical_symbols(["Cu", "Cu", "Cu", "Au"])
    alloy.set_cell(alloy.cell[:] * 1.03, scale_atoms=True)
    alloy.rattle(0.1, seed=3)
    impatient = relaxation.relax

    def one_step(*args: object, **how: object) -> object:
        return impatient(*args, **{**how, "steps": 1})

    monkeypatch.setattr(relaxation, "relax", one_step)
    if workflow == "elastic":
        answer = elastic(alloy, emt, points=2)
    else:
        answer = eos(alloy, emt, points=5, strain=0.1, relax_atoms=True)  # type: ignore[assignment]
    (said,) = (f for f in answer.findings if f.check == "converged" and "did not come to rest" in f.message)
    assert said.level is Level.CAUTION
    assert "eV/Å left" in said.message


def test_a_layer_is_held_with_and_without_the_molecule(
    emt: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle one of three layers lies on the limit, and sinks below it as the slab relaxes."""
    slab = fcc111("Cu", (1, 1, 3), vacuum=8.0)
    slab.positions[1, 2] -= 0.05
    slab.positions[2, 2] -= 0.3
    held: list[list[int]] = []
    plain = relaxation.relax

    def watched(atoms: Atoms, *args: object, **how: object) -> object:
        if len(atoms) >= 3:
            held.append(sorted(int(k) for c in atoms.constraints for k in c.get_indices()))
        return plain(atoms, *args, **how)

    monkeypatch.setattr(adsorption, "relax", watched)
    adsorb(slab, Atoms("Cu"), emt, most=1, steps=60).unwrap()
    assert len(held) == 2
    assert held[0] == held[1]


def test_what_was_doubtful_on_the_way_is_told_at_the_end(tmp_path: Path) -> None:
    """Two atoms that collide are too close for a while; after it nothing is left to see of that."""
    pair = Atoms("Cu2", positions=[[0, 0, 0], [2.6, 0, 0]], cell=[20, 20, 20], pbc=False)
    pair.set_momenta([[30, 0, 0], [-30, 0, 0]])
    potential = Potential.from_calculator(EMT())
    how = {"ensemble": "nve", "timestep": 1.0, "every": 2}
    answer = md(pair, potential, tmp_path / "whole", steps=60, **how)  # type: ignore[arg-type]
    frames = ase_read(tmp_path / "whole" / "path.traj", ":")
    apart = np.array([f.get_distance(0, 1) for f in frames])
    assert apart.min() < 0.65 * 2 * 1.32 < apart[-1]  # of the sum of covalent radii
    (said,) = (f for f in answer.findings if f.check == "close")
    assert said.level is Level.CAUTION
    assert "not at the end" in said.message
    assert f"of {len(frames)} frames" in said.where
    md(pair, potential, tmp_path / "parts", steps=40, **how)  # type: ignore[arg-type]
    again = md(pair, potential, tmp_path / "parts", steps=60, **how)  # type: ignore[arg-type]
    assert [str(f) for f in again.findings] == [str(f) for f in answer.findings]


def test_phonons_of_ions_say_that_they_lack_the_splitting(lj: Potential) -> None:
    emt = Potential.from_calculator(EMT())
    metal = phonons(bulk("Cu", a=3.59), emt, supercell=(2, 2, 2))
    assert not [f for f in metal.findings if f.check == "polar"]
    oxide = phonons(bulk("CuO", "rocksalt", a=4.2), emt, supercell=(1, 1, 1))
    (said,) = (f for f in oxide.findings if f.check == "polar")
    assert said.level is Level.OK
    assert "LO-TO" in said.message


def test_what_is_doubtful_of_the_crystal_is_told_of_its_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = Potential.from_calculator(EMT())
    plain = Potential.batch

    def doubting(self: Potential, structures: list[Atoms], **how: object) -> list[Answer[Any]]:
        """The crystal, which comes first, and not the slab."""
        first, *others = plain(self, structures, **how)  # type: ignore[arg-type]
        if not others:
            return [first]
        doubt = Finding("support", Level.CAUTION, "unlike what was learned")
        return [Answer(first.estimate, (*first.findings, doubt), first.provenance), *others]

    monkeypatch.setattr(Potential, "batch", doubting)
    told = surface(bulk("Cu", a=3.59, cubic=True), potential, (1, 1, 1), layers=3)
    (said,) = (f for f in told.findings if f.check == "support")
    assert said.where == "crystal by itself"
