"""Workflows against known answers of effective medium theory and of a pair potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixInternals
from ase.io import read as ase_read
from ase.io import write as ase_write

from sciai.atoms.api.adsorption import adsorb
from sciai.atoms.api.dynamics import md
from sciai.atoms.api.elasticity import elastic, voigt_reuss_hill
from sciai.atoms.api.equation import at_rest, birch_murnaghan, eos, fit_birch_murnaghan
from sciai.atoms.api.files import read
from sciai.atoms.api.folder import RunFolder
from sciai.atoms.api.paths import neb
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.screening import screen
from sciai.atoms.api.surfaces import surface
from sciai.atoms.api.vibrations import phonons
from sciai.core.answer import Answer, Level
from sciai.core.errors import BadInput

COPPER = 3.5902  # lattice constant at which EMT's copper is at rest, Å


def copper(a: float = COPPER) -> Atoms:
    return bulk("Cu", a=a, cubic=True)


def test_relax_finds_the_lattice_constant_and_keeps_the_symmetry(emt: Potential, tmp_path: Path) -> None:
    answer = relax(copper(3.7), emt, tmp_path / "run", fmax=0.001)
    done = answer.unwrap()
    assert done.converged
    assert done.structure.cell[0, 0] == pytest.approx(COPPER, abs=2e-3)
    assert done.spacegroup == ("Fm-3m", "Fm-3m")
    assert done.energy_change < 0
    assert done.stress is not None
    assert np.abs(done.stress).max() < 0.05
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"job.json", "result.json", "relaxed.cif", "relaxed.extxyz", "path.traj", "structure.png"} <= files
    assert len(ase_read(tmp_path / "run" / "path.traj", ":")) == done.steps + 1


def test_relax_goes_on_where_it_was_stopped(emt: Potential, tmp_path: Path) -> None:
    atoms = copper(3.7)
    atoms.rattle(0.1, seed=2)
    first = relax(atoms, emt, tmp_path / "run", steps=3)
    assert "converged" in {f.check for f in first.findings}
    done = relax(atoms, emt, tmp_path / "run", steps=200).unwrap()
    assert done.converged
    assert done.steps > 3
    assert done.history[0, 0] == pytest.approx(emt(atoms).unwrap().energy)
    assert len(done.history) == done.steps + 1


def test_a_relaxation_that_was_killed_leaves_no_step_twice(emt: Potential, tmp_path: Path) -> None:
    from ase.io import Trajectory

    atoms = copper(3.7)
    atoms.rattle(0.1, seed=2)
    relax(atoms, emt, tmp_path / "run", steps=3)
    path = tmp_path / "run" / "path.traj"
    with Trajectory(str(path), "a") as trajectory:  # killed at step 6: frames behind the last saved state
        for _ in range(3):
            trajectory.write(atoms)
    done = relax(atoms, emt, tmp_path / "run", steps=200).unwrap()
    energies = [frame.get_potential_energy() for frame in ase_read(path, ":")]
    np.testing.assert_allclose(energies, done.history[:, 0], atol=1e-12)


def test_a_restart_keeps_no_symmetry_that_the_start_had_not(emt: Potential, tmp_path: Path) -> None:
    atoms = copper(3.6)
    atoms.rattle(0.03, seed=1)
    settings = {"fmax": 1e-4, "cell": False}
    half = relax(atoms, emt, tmp_path / "run", steps=6, **settings).unwrap()  # type: ignore[arg-type]
    assert half.spacegroup == ("P1", "Fm-3m"), "it came near"
    answer = relax(atoms, emt, tmp_path / "run", **settings)  # type: ignore[arg-type]
    assert "symmetry" not in {f.check for f in answer.findings}
    assert 1e-9 < answer.unwrap().max_force < 1e-4, "at rest, but not put there"
    first = relax(copper(3.7), emt, tmp_path / "sym", steps=1)
    assert "the symmetry Fm-3m (225) was kept" in [f.message for f in first.findings]
    assert relax(copper(3.7), emt, tmp_path / "sym").unwrap().converged


def test_the_steps_of_a_band_that_was_killed_count(
    emt: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def save(self: RunFolder, arrays: dict[str, Any], name: str = "") -> None:
        saved.append(int(arrays["taken"]))

    monkeypatch.setattr(RunFolder, "save", save)
    done = neb(*_hop(), emt, tmp_path / "run", images=3, fmax=1e-6, relax_ends=False, steps=40).unwrap()
    assert saved[-1] == done.steps == 40
    assert np.diff(saved).max() <= 10, "what was saved on the way says how far it was"


def test_a_run_that_was_killed_as_it_began_begins(emt: Potential, tmp_path: Path) -> None:
    for name in ("run", "screen"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".job.json.0123abcd.part").touch()
    assert relax(copper(), emt, tmp_path / "run", steps=1).estimate is not None
    ase_write(tmp_path / "cu.cif", copper())
    assert screen([tmp_path / "cu.cif"], emt, tmp_path / "screen").unwrap().answered == 1


def test_the_same_structure_held_otherwise_is_another_run(emt: Potential, tmp_path: Path) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=3.7, vacuum=6.0)
    slab.set_constraint(FixAtoms([0]))
    relax(slab, emt, tmp_path / "run", cell=False)
    relax(slab, emt, tmp_path / "run", cell=False)
    for held in (FixAtoms([1]), []):
        slab.set_constraint(held)
        with pytest.raises(BadInput, match="another constraints"):
            relax(slab, emt, tmp_path / "run", cell=False)


def test_a_restart_from_another_system_is_refused_and_nothing_is_lost(emt: Potential, tmp_path: Path) -> None:
    relax(copper(), emt, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(BadInput, match=r"another system \(relax of Cu4, 4 atoms; this is Au4"):
        relax(bulk("Au", cubic=True), emt, tmp_path / "run")
    with pytest.raises(BadInput, match="another settings"):
        relax(copper(), emt, tmp_path / "run", fmax=0.5)
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert (
        relax(bulk("Au", cubic=True), emt, tmp_path / "run", overwrite=True).unwrap().structure.formula
        == "Au4"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(BadInput, match="other files"):
            relax(copper(), emt, tmp_path / "mine", overwrite=overwrite)


def test_relax_keeps_what_is_fixed_and_refuses_what_is_bad(emt: Potential) -> None:
    atoms = fcc111("Cu", (1, 1, 3), a=3.7, vacuum=6.0)
    atoms.set_constraint(FixAtoms([0]))
    done = relax(atoms, emt, cell=False).unwrap()
    np.testing.assert_array_equal(done.structure.positions[0], atoms.positions[0])
    assert not np.allclose(done.structure.positions[2], atoms.positions[2])
    refused = relax(Atoms("Cu2", np.zeros((2, 3))), emt)
    assert refused.level is Level.REFUSE
    for wrong in ({"fmax": 0.0}, {"optimizer": "newton"}, {"pressure": 1.0, "cell": False}, {"steps": -1}):
        with pytest.raises(BadInput):
            relax(copper(), emt, **wrong)
    with pytest.raises(BadInput, match="periodic"):
        relax(molecule("N2"), emt, cell=True)


def test_what_is_fixed_stays_so_for_the_next_command(emt: Potential, tmp_path: Path) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=3.7, vacuum=6.0)
    slab.set_constraint(FixAtoms([0]))
    done = relax(slab, emt, tmp_path / "run", steps=3)
    relaxed = read(tmp_path / "run" / "relaxed.extxyz")
    assert [list(c.get_indices()) for c in relaxed.constraints] == [[0]]  # all were free in it
    assert done.estimate is not None
    forces = emt(relaxed).unwrap().forces
    np.testing.assert_allclose(relaxed.calc.results["forces"], forces, atol=1e-6)
    md(slab, emt, tmp_path / "md", steps=2, temperature=50)
    assert len(read(tmp_path / "md" / "last.extxyz").constraints) == 1


def test_symmetry_moves_nothing_that_is_fixed(emt: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 4), a=3.7, vacuum=6.0, periodic=True)  # its two sides are equal by symmetry
    slab.set_constraint(FixAtoms([0, 1]))
    answer = relax(slab, emt, cell=False)
    done = answer.unwrap()
    np.testing.assert_array_equal(done.structure.positions[:2], slab.positions[:2])
    assert not np.allclose(done.structure.positions[3], slab.positions[3])
    assert any("P3m1" in f.message and "fixed" in f.message for f in answer.findings)
    slab.set_constraint(FixInternals(bonds=[[2.7, [2, 3]]]))  # nothing is promised that cannot be held
    said = {f.check: f.message for f in relax(slab, emt, cell=False, steps=1).findings}
    assert "was not kept, as FixInternals" in said["symmetry"]


def test_a_cell_of_vacuum_that_relaxes_is_told(emt: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 3), vacuum=6.0, periodic=True)
    told = {f.check: f for f in relax(slab, emt, steps=2).findings}
    assert "12 Å of vacuum along c" in told["volume"].message
    assert told["volume"].level is Level.CAUTION
    for atoms, cell in ((slab, False), (copper(), True)):
        assert "volume" not in {f.check for f in relax(atoms, emt, cell=cell, steps=2).findings}


def test_a_slab_in_vacuum_is_no_crystal_to_squeeze(emt: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=COPPER, vacuum=6.0, periodic=True)
    for answer in (
        eos(slab, emt, points=5, strain=0.02),  # all three were OK without a word
        elastic(slab, emt, relax_atoms=False),
        md(slab, emt, ensemble="npt", steps=2, temperature=10),
    ):
        told = {f.check: f for f in answer.findings}["volume"]
        assert told.level == Level.CAUTION
        assert "12 Å of vacuum along c" in told.message
    assert "volume" not in {f.check for f in eos(copper(), emt, points=5).findings}


def test_pressure_compresses(emt: Potential) -> None:
    free, pressed = (relax(copper(), emt, pressure=p, fmax=0.002).unwrap() for p in (0.0, 10.0))
    assert free.volume is not None
    assert pressed.volume is not None
    # 10 GPa on 134 GPa: Murnaghan with B' about 4.2
    assert pressed.volume / free.volume == pytest.approx((1 + 4.2 * 10 / 134) ** (-1 / 4.2), abs=2e-3)
    assert pressed.stress is not None
    assert pressed.stress[:3] == pytest.approx(-10, abs=0.1)


def test_equation_of_state_of_copper(emt: Potential, tmp_path: Path) -> None:
    answer = eos(copper(3.6), emt, tmp_path / "eos")
    found = answer.unwrap()
    assert (4 * found.volume) ** (1 / 3) == pytest.approx(COPPER, abs=1e-3)
    assert found.bulk_modulus == pytest.approx(134.4, abs=1.0)
    assert answer.estimate is not None
    assert 0 < answer.estimate.spread["bulk_modulus"] < 1
    assert (tmp_path / "eos" / "eos.png").is_file()
    far = eos(copper(4.2), emt, strain=0.02)
    assert far.level is Level.REFUSE
    assert "does not lie within" in far.findings[-1].message


def test_the_fit_gives_back_its_own_parameters() -> None:
    v = np.linspace(14, 22, 9)
    for truth in ((-3.0, 18.0, 0.6, 4.5), (2.0, 17.0, 0.02, 7.0)):
        assert fit_birch_murnaghan(v, birch_murnaghan(v, *truth)) == pytest.approx(truth, rel=1e-5)
    with pytest.raises(BadInput, match="no minimum"):
        fit_birch_murnaghan(v, -v)


def test_elastic_constants_agree_with_the_equation_of_state(emt: Potential) -> None:
    found = elastic(copper(), emt, relax_atoms=False).unwrap()
    c = found.constants
    assert found.stable
    assert (c[0, 0] + 2 * c[0, 1]) / 3 == pytest.approx(134.4, abs=1.5)
    np.testing.assert_allclose(c, c.T)
    assert c[0, 0] == pytest.approx(c[2, 2], rel=1e-4)
    assert c[3, 3] == pytest.approx(c[5, 5], rel=1e-4)


def test_a_pair_potential_obeys_cauchy(lj: Potential) -> None:
    """C12 = C44 for central forces in a crystal where every atom is an inversion centre, at rest."""
    rest = relax(bulk("Ar", a=5.3, cubic=True), lj, fmax=1e-5).unwrap().atoms
    c = elastic(rest, lj, relax_atoms=False, strain=0.002).unwrap().constants
    assert c[0, 1] == pytest.approx(c[3, 3], rel=5e-3)
    assert c[0, 0] > c[0, 1] > 0


def test_an_unstable_crystal_is_told(lj: Potential) -> None:
    answer = elastic(bulk("Ar", "sc", a=3.7), lj, relax_atoms=False)
    assert {"unstable", "converged"} & {f.check for f in answer.findings}
    assert answer.level >= Level.CAUTION


def test_moduli_of_an_isotropic_solid_have_equal_bounds() -> None:
    lam, mu = 50.0, 30.0
    c = np.diag([2 * mu] * 3 + [mu] * 3)
    c[:3, :3] += lam
    found = voigt_reuss_hill(c)
    assert found["bulk"] == pytest.approx([lam + 2 * mu / 3] * 3)
    assert found["shear"] == pytest.approx([mu] * 3)


def test_phonons_obey_the_acoustic_sum_rule_and_scale(emt: Potential, tmp_path: Path) -> None:
    answer = phonons(bulk("Cu", a=COPPER), emt, tmp_path / "ph", supercell=(2, 2, 2))
    found = answer.unwrap()
    assert found.acoustic < 1e-3
    assert not found.imaginary
    assert 7 < found.frequencies.max() < 9
    # Dulong-Petit at 1000 K: 3 R per atom
    assert found.thermal[-1, 3] == pytest.approx(3 * 8.314, rel=0.02)
    assert {"phonons.png", "phonopy.yaml"} <= {p.name for p in (tmp_path / "ph").iterdir()}


def test_a_stretched_crystal_has_imaginary_modes(lj: Potential) -> None:
    answer = phonons(bulk("Ar", "bcc", a=4.25), lj, supercell=(2, 2, 2))
    assert answer.unwrap().imaginary
    assert "imaginary" in {f.check for f in answer.findings}


def _hop() -> tuple[Atoms, Atoms]:
    """An adatom on fcc (100) from one hollow to the next: a path that is its own mirror image."""
    start = fcc100("Cu", (2, 2, 2), a=COPPER, vacuum=6.0, orthogonal=True)
    top = start.positions[:, 2].max()
    hollow = start.positions[start.positions[:, 2] > top - 0.1].mean(0)
    start.append("Cu")
    start.positions[-1] = hollow
    start.positions[-1, 2] += 1.6
    start.set_constraint(FixAtoms(range(8)))
    end = start.copy()
    end.positions[-1] += [COPPER / np.sqrt(2), 0, 0]
    return start, end


def test_a_symmetric_path_has_a_symmetric_barrier(emt: Potential, tmp_path: Path) -> None:
    start, end = _hop()
    found = neb(start, end, emt, tmp_path / "neb", images=5, fmax=0.05).unwrap()
    assert found.converged
    assert found.top == 2
    assert found.barrier == pytest.approx(found.reverse, abs=2e-3)
    assert 0.2 < found.barrier < 1.0
    np.testing.assert_allclose(found.energies, found.energies[::-1], atol=0.01)
    assert len(ase_read(tmp_path / "neb" / "band.traj", ":")) == 5


def test_ends_that_do_not_belong_together(emt: Potential) -> None:
    start, end = _hop()
    with pytest.raises(BadInput, match="9 atoms, the end 8"):
        neb(start, end[:8], emt)
    other = end.copy()
    other.symbols[3] = "Au"
    with pytest.raises(BadInput, match="atom 3 is Cu at the beginning and Au at the end"):
        neb(start, other, emt)
    wide = end.copy()
    wide.set_cell(wide.cell[:] * 1.1)
    with pytest.raises(BadInput, match="different cells"):
        neb(start, wide, emt)


def test_a_slab_that_the_boundary_cuts_is_one_slab(emt: Potential) -> None:
    slab = fcc111("Cu", (2, 2, 3), vacuum=6.0, periodic=True)
    whole = adsorb(slab, Atoms("O"), emt, most=1, fmax=0.3, steps=20).unwrap()
    cut = slab.copy()
    cut.positions[:, 2] -= 7.0  # the lowest layer goes to the other end of the cell
    cut.wrap()
    assert np.ptp(cut.positions[:, 2]) > 14
    found = adsorb(cut, Atoms("O"), emt, most=1, fmax=0.3, steps=20).unwrap()
    assert found.energy == pytest.approx(whole.energy, abs=1e-4)
    assert found.height == pytest.approx(whole.height, abs=1e-3)
    with pytest.raises(BadInput, match=r"4\.\d Å of vacuum"):
        adsorb(fcc111("Cu", (2, 2, 3), vacuum=2.0, periodic=True), Atoms("O"), emt)


def test_what_is_fixed_in_a_crystal_is_free_in_its_slab(emt: Potential) -> None:
    held = copper()
    held.set_constraint(FixAtoms([0, 1]))
    found, free = (surface(c, emt, (1, 0, 0), layers=2).unwrap() for c in (held, copper()))
    assert found.energy == pytest.approx(free.energy, abs=1e-6)
    assert len(held.constraints) == 1


def test_phonons_of_a_left_handed_cell(emt: Potential) -> None:
    left = bulk("Cu", a=COPPER)
    left.set_cell(left.cell[[1, 0, 2]])
    both = [phonons(c, emt, supercell=(2, 2, 2)).unwrap() for c in (left, bulk("Cu", a=COPPER))]
    assert both[0].frequencies.max() == pytest.approx(both[1].frequencies.max(), abs=1e-3)


def test_trajectories_hold_what_was_answered(emt: Potential, tmp_path: Path) -> None:
    found = eos(copper(3.6), emt, tmp_path / "eos").unwrap()
    energies = [
        frame.get_potential_energy() / 4 for frame in ase_read(tmp_path / "eos" / "volumes.traj", ":")
    ]
    np.testing.assert_allclose(energies, found.energies)
    elastic(copper(), emt, tmp_path / "elastic")
    strained = ase_read(tmp_path / "elastic" / "strains.traj", ":")
    assert len(strained) == 1 + 6 * 4
    assert np.abs(strained[1].get_stress()).max() > 1e-3


def test_a_surface_costs_energy_and_relaxing_lowers_it(emt: Potential) -> None:
    close, open_ = (
        surface(copper(), emt, hkl, layers=3, fmax=0.05).unwrap() for hkl in ((1, 1, 1), (1, 1, 0))
    )
    assert 0 < close.energy < open_.energy, "the close-packed face is the cheapest"
    assert open_.energy <= open_.unrelaxed
    with pytest.raises(BadInput, match="not all 0"):
        surface(copper(), emt, (0, 0, 0))


def test_indices_of_a_primitive_cell_and_sides_that_differ_are_told(emt: Potential) -> None:
    def said(crystal: Atoms, hkl: tuple[int, int, int]) -> str:
        answer = surface(crystal, emt, hkl, layers=2, steps=0)
        return " ".join(f.message for f in answer.findings if f.level == Level.CAUTION)

    primitive = bulk("Cu", a=COPPER)
    assert "in which (1 0 0) is (-1 1 1)" in said(primitive, (1, 0, 0))  # was told as (100)
    assert "not the conventional one" not in said(primitive, (1, 1, 1)) + said(copper() * 2, (1, 0, 0))
    polar = bulk("CuAu", "rocksalt", a=5.4, cubic=True)
    assert "the two sides of the slab are not equal" in said(polar, (1, 1, 1))
    assert "the two sides" not in said(polar, (1, 0, 0)) + said(copper(), (1, 1, 1))


def test_an_adatom_binds_in_the_hollow(emt: Potential) -> None:
    slab = fcc100("Cu", (2, 2, 2), a=COPPER, vacuum=6.0)
    found = adsorb(slab, Atoms("Cu"), emt, most=2, fmax=0.1).unwrap()
    assert found.energy < -1.0
    assert 1.0 < found.height < 2.5
    assert len(found.tried) == 2
    with pytest.raises(BadInput, match="vacuum"):
        adsorb(copper(), Atoms("Cu"), emt)
    with pytest.raises(BadInput, match="not periodic along a and b"):  # a molecule in the place of the slab
        adsorb(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]]), Atoms("Cu"), emt)


def test_settings_of_surfaces_that_make_no_sense(emt: Potential) -> None:
    for hkl in ((1.0, 1, 1), (1, 1), "111"):
        with pytest.raises(BadInput, match="three integers"):  # was a ValueError
            surface(copper(), emt, hkl)  # type: ignore[arg-type]
    slab = fcc100("Cu", (2, 2, 2), a=COPPER, vacuum=6.0)
    for settings in ({"most": 0}, {"height": -1.0}):
        with pytest.raises(BadInput, match=r"above the surface.*use one site or more"):  # started in the slab
            adsorb(slab, Atoms("Cu"), emt, **settings)  # type: ignore[arg-type]
    slab = fcc100("Cu", (2, 2, 2), a=COPPER, vacuum=4.0, periodic=True)
    tall = Atoms("C4", [[0, 0, 1.3 * k] for k in range(4)])
    with pytest.raises(BadInput, match=r"leaves 2\.1 Å to the next copy"):  # which it bound to
        adsorb(slab, tall, emt)


class Ridge(Calculator):
    """A pair on a curve that bends downwards first: LBFGS cycles or climbs there, BFGS and FIRE go down."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        way = self.atoms.positions[1] - self.atoms.positions[0]
        length = float(np.linalg.norm(way))
        # minimum at 4 Å, inflection at 3: between 2 and 3 Å the curvature is negative
        slope = np.pi / 4 * np.sin(np.pi * (length - 2) / 2)
        pull = slope * way / length
        self.results = {"energy": 0.5 * np.cos(np.pi * (length - 2) / 2), "forces": np.array([-pull, pull])}


def test_a_relaxation_goes_down_where_the_energy_curves_downwards() -> None:
    start = Atoms("Ar2", positions=[[0, 0, 0], [2.3, 0, 0]])
    done = relax(start, Potential.from_calculator(Ridge(), guard="off"), cell=False).unwrap()
    assert done.converged
    assert done.energy_change < 0
    assert done.atoms.get_distance(0, 1) == pytest.approx(4.0, abs=0.05)


def test_an_end_above_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sciai.atoms.api.relaxation as relaxation

    def climb(run: Any, *rest: Any) -> None:
        run.atoms.positions[1, 0] += 0.5
        run.history.append((run.atoms.get_potential_energy(), 1.0))

    monkeypatch.setattr(relaxation._Run, "go", climb)
    start = Atoms("Ar2", positions=[[0, 0, 0], [4.0, 0, 0]])
    answer = relax(start, Potential.from_calculator(Ridge()), cell=False)
    assert "uphill" in {f.check for f in answer.findings if f.level == Level.REFUSE}


def test_a_band_needs_two_ends(emt: Potential) -> None:
    rest = bulk("Cu", a=3.59, cubic=True) * (2, 2, 2)
    with pytest.raises(BadInput, match="both ends are the same structure"):
        neb(rest, rest.copy(), emt)
    pushed = rest.copy()
    pushed.positions[0] += 0.1  # it falls back
    answer = neb(rest, pushed, emt)
    assert answer.level is Level.REFUSE
    assert "relaxed to one structure" in str(answer.findings[0])


def test_what_differs_from_the_run_in_the_folder_is_named(emt: Potential, tmp_path: Path) -> None:
    relax(bulk("Cu"), emt, tmp_path / "run", steps=1)
    with pytest.raises(BadInput, match=r"another settings \(fmax 0.01 there, 0.1 here\)"):
        relax(bulk("Cu"), emt, tmp_path / "run", fmax=0.1)
    with pytest.raises(BadInput, match=r"another system \(relax of Cu, too, but of other positions"):
        relax(bulk("Cu", a=3.7), emt, tmp_path / "run")


def test_what_a_relaxation_writes_has_its_labels_and_names(emt: Potential, tmp_path: Path) -> None:
    """relaxed.extxyz once had positions alone; a label of where it began would be worse."""
    crystal = bulk("Cu", a=3.7, cubic=True)
    crystal.set_tags([1, 2, 3, 4])
    crystal.set_masses([63.0, 65.0, 63.0, 65.0])
    crystal.set_initial_magnetic_moments([1.0, 0.0, 0.0, 0.0])
    crystal.info = {"material_id": "mp-30", "charge": 0.0, "REF_energy": -99.0}
    crystal.arrays["REF_forces"] = np.ones((4, 3))
    done = relax(crystal, emt, tmp_path / "run").unwrap()
    written = ase_read(tmp_path / "run" / "relaxed.extxyz")
    for atoms in (written, done.atoms):
        assert atoms.get_tags().tolist() == [1, 2, 3, 4]
        assert atoms.get_masses().tolist() == [63.0, 65.0, 63.0, 65.0]
        assert atoms.get_initial_magnetic_moments()[0] == 1.0
        assert atoms.info == {"material_id": "mp-30", "charge": 0.0}
        assert "REF_forces" not in atoms.arrays
    value = emt(done.atoms).unwrap()
    assert written.get_potential_energy() == pytest.approx(done.energy, abs=1e-7)
    np.testing.assert_allclose(written.get_forces(), value.forces, atol=1e-7)
    np.testing.assert_allclose(written.get_stress(), value.stress, atol=1e-7)


def test_atoms_that_symmetry_moves_are_told(emt: Potential) -> None:
    crystal = bulk("Cu", a=3.6, cubic=True)
    exact = relax(crystal, emt, steps=0)
    crystal.positions[0, 0] += 0.003
    odd = relax(crystal, emt, steps=0)
    told = [next(f.message for f in answer.findings if f.check == "symmetry") for answer in (exact, odd)]
    assert "put where" not in told[0]
    assert "put where it has them, up to 0.00" in told[1]


@pytest.mark.parametrize(("axis", "angle"), [("y", 90), ("x", 30)])
def test_a_slab_that_lies_otherwise_is_turned(emt: Potential, axis: str, angle: int) -> None:
    """Sites were looked for along z: a slab turned by 30 degrees had its molecule at half its height."""
    slab = fcc100("Cu", (1, 1, 3), a=3.6, vacuum=8.0)
    straight = adsorb(slab, Atoms("O"), emt, most=1, steps=60).unwrap()
    slab.rotate(angle, axis, rotate_cell=True)
    turned = adsorb(slab, Atoms("O"), emt, most=1, steps=60).unwrap()
    assert turned.energy == pytest.approx(straight.energy, abs=1e-3)
    assert turned.height == pytest.approx(straight.height, abs=0.01)
    assert (turned.site, len(turned.tried)) == (straight.site, len(straight.tried))


def test_adsorption_and_phonons_leave_trajectories(
    emt: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "picture", lambda *_: None)  # slow, and tested elsewhere
    slab = fcc100("Cu", (1, 1, 3), a=3.6, vacuum=8.0)
    first = adsorb(slab, Atoms("O"), emt, tmp_path / "ads", most=1, steps=60).unwrap()
    folders = sorted(path.parent.name for path in (tmp_path / "ads").glob("*/path.traj"))
    assert folders == ["molecule", f"site-1-{first.site}", "slab"]
    again = adsorb(slab, Atoms("O"), emt, tmp_path / "ads", most=1, steps=60).unwrap()
    assert again.energy == pytest.approx(first.energy, abs=1e-6)
    written = ase_read(tmp_path / "ads" / "adsorbed.extxyz").get_potential_energy()
    assert written == pytest.approx(emt(first.atoms).unwrap().energy, abs=1e-6)
    phonons(bulk("Cu", a=3.59), emt, tmp_path / "ph", supercell=(2, 2, 2)).unwrap()
    frames = ase_read(tmp_path / "ph" / "displacements.traj", ":")
    assert [len(frame) for frame in frames] == [8]
    assert np.abs(frames[0].get_forces()).max() > 1e-3


def test_strained_cells_that_do_not_come_to_rest_are_told(
    emt: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elastic constants and an equation of state of cells that had not relaxed were told without a word."""
    crystal = bulk("CuAu", "cesiumchloride", a=3.1)
    crystal.rattle(0.05, seed=1)
    short: Any = lambda *of, **how: relax(*of, **{**how, "steps": 1})  # noqa: E731
    monkeypatch.setattr("sciai.atoms.api.relaxation.relax", short)
    for answer in (
        elastic(crystal, emt, points=2),
        eos(crystal, emt, points=5, relax_atoms=True, strain=0.2),
    ):
        assert any("did not come to rest" in f.message for f in answer.findings if f.check == "converged")
    stopped, asked = short(crystal, emt), emt(Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]))
    refused: Answer[Any] = Answer(None, asked.findings, asked.provenance)
    moved, said = at_rest([crystal] * 2, [stopped, refused], emt)
    assert moved[1] is crystal
    assert [f.level for f in said] == [Level.REFUSE]  # it once went on with the cell as it was strained


def test_ends_of_a_path_that_are_held_are_judged_by_what_is_free(emt: Potential) -> None:
    slab = fcc100("Cu", (1, 1, 3), a=3.6, vacuum=8.0)
    slab.set_constraint(FixAtoms([0]))
    high, low = slab.copy(), slab.copy()
    high.positions[2, 2] += 0.4
    found = neb(low, high, emt, images=3, steps=2, relax_ends=False)
    assert [f.where for f in found.findings if f.check == "endpoint" and "not at rest" in f.message] == [
        "end"
    ]


def test_the_force_that_is_left_is_that_on_free_atoms(emt: Potential) -> None:
    """A slab that had converged to 0.01 eV/Å once told 0.54, which its fixed atoms felt."""
    slab = fcc100("Cu", (1, 1, 3), a=3.6, vacuum=6.0)
    slab.positions[0, 2] -= 0.2
    slab.set_constraint(FixAtoms([0]))
    done = relax(slab, emt, fmax=0.01).unwrap()
    assert done.converged
    assert done.max_force <= 0.01


def test_what_is_fixed_in_a_crystal_does_not_stiffen_it(emt: Potential) -> None:
    """Selective dynamics left in a POSCAR once made C66 of hcp copper a third too large."""
    crystal = bulk("Cu", "hcp", a=2.54, c=4.15)
    free = elastic(crystal, emt, points=2).unwrap()
    crystal.set_constraint(FixAtoms([0, 1]))
    held = elastic(crystal, emt, points=2).unwrap()
    np.testing.assert_allclose(held.constants, free.constants, atol=0.5)
    stiff = elastic(crystal, emt, points=2, relax_atoms=False).unwrap()
    assert stiff.constants[5, 5] > 1.1 * free.constants[5, 5]


def test_isotopes_of_one_element_vibrate_each_by_itself(emt: Potential) -> None:
    """Phonopy took one mass for all that its symmetry calls equal: one heavy atom of four made all heavy."""
    crystal = bulk("Cu", a=3.59, cubic=True)
    top = {}
    for heavy in (0, 1, 4):
        crystal.set_masses([140.0] * heavy + [63.5] * (4 - heavy))
        found = phonons(crystal, emt, supercell=(1, 1, 1)).unwrap()
        top[heavy] = float(found.frequencies.max())
        assert found.formula == ("Cu4" if heavy == 1 else "Cu")
    assert top[4] == pytest.approx(top[0] * np.sqrt(63.5 / 140.0), rel=1e-6)
    assert top[4] * 1.1 < top[1] <= top[0] * 1.0001


class _Spins(EMT):
    """Says which moments it was given, by place."""

    def calculate(self, atoms: Any = None, *given: Any, **named: Any) -> None:
        super().calculate(atoms, *given, **named)
        seen.append((atoms.get_scaled_positions()[:, 2] * 2 % 1, atoms.get_initial_magnetic_moments()))


seen: list[tuple[Any, Any]] = []


def test_displaced_cells_keep_their_moments() -> None:
    """A magnetic crystal's displaced cells once went to the calculator without."""
    crystal = bulk("Cu", a=3.59, cubic=True)  # antiferromagnetic along c
    crystal.set_initial_magnetic_moments([1.0, -1.0, -1.0, 1.0])
    seen.clear()
    phonons(crystal, Potential.from_calculator(_Spins()), supercell=(1, 1, 2)).unwrap()
    for height, moments in seen[1:]:
        assert moments.tolist() == np.where(np.abs(height - 0.5) < 0.25, -1.0, 1.0).tolist()
