"""Generated structures: sound, of the same seed the same, and what a build keeps when it is stopped."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from sciai.atoms.data import perturb
from sciai.atoms.data.build import build, run_jobs
from sciai.atoms.data.chemistry import KNOWN, balanced, compound, electronegativity
from sciai.atoms.data.generate import FAMILIES, Plan, job
from sciai.atoms.data.prototypes import prototypes, substituted
from sciai.atoms.data.records import check_structure, is_dev
from sciai.atoms.data.settle import plausible
from sciai.atoms.data.store import Store
from sciai.core.errors import BadInput

pytest.importorskip("pymatgen")


class Springs:
    """A teacher that needs no weights."""

    source = "springs"

    def __init__(self, dies_after: int | None = None, size: float = 1.8) -> None:
        self.asked, self.dies_after, self.size = 0, dies_after, size

    def knows(self, number):
        return True

    def label(self, records):
        self.asked += len(records)
        if self.dies_after is not None and self.asked > self.dies_after:
            raise KeyboardInterrupt
        done = []
        for record in records:
            atoms = record.to_atoms()
            atoms.calc = LennardJones(sigma=self.size, epsilon=0.02, rc=4.0)
            stress = atoms.get_stress(voigt=False) if record.pbc.all() else None
            done.append(
                record.with_labels(
                    float(atoms.get_potential_energy()), atoms.get_forces(), stress, self.source
                )
            )
        return done


OWN = (bulk("NaCl", "rocksalt", 5.64), bulk("Si"))


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "molecule"])
def test_every_family_gives_sound_structures(family):
    plan = Plan({family: 1.0}, largest=6, around=OWN)
    kept, asked = run_jobs([job(k, 3, plan) for k in range(8)], Springs())
    assert 0 < len(kept) <= asked
    for record in kept:
        check_structure(record.to_atoms())
        assert plausible(record)
        assert not is_dev(record.group)
        assert record.source == "springs"
        assert record.kind
        # a slab of a cell of six plus a molecule of four on it
        assert len(record) <= 12


def test_molecules_are_sound():
    kept, _ = run_jobs([job(k, 0, Plan({"molecule": 1.0})) for k in range(6)], Springs(size=0.6))
    assert kept
    assert all(record.group.startswith("mol:") and record.stress is None for record in kept)


def test_the_same_seed_gives_the_same_store_however_often_it_was_stopped(tmp_path):
    plan = Plan({"crystal": 0.5, "around": 0.5}, largest=4, around=OWN)
    whole = build(tmp_path / "a", Springs(), plan, structures=40, seed=5, shard=10, together=4)
    asked = []
    for _ in range(20):
        teacher = Springs(dies_after=60)
        try:
            build(tmp_path / "b", teacher, plan, structures=40, seed=5, shard=10, together=4)
            break
        except KeyboardInterrupt:
            asked.append(teacher.asked)
    assert asked  # it was stopped at least once
    parts = Store(tmp_path / "b")
    assert len(parts) == len(whole)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(whole, parts, strict=True))
    other = build(tmp_path / "c", Springs(), plan, structures=10, seed=6, shard=10, together=4)
    assert not np.array_equal(other[0].positions, whole[0].positions)


def test_a_build_stops_on_time_and_refuses_another_seed(tmp_path):
    plan = Plan({"element": 1.0}, largest=2)
    build(tmp_path, Springs(), plan, structures=10**6, seed=1, minutes=0.01, shard=5, together=2)
    assert 0 < len(Store(tmp_path)) < 1000
    with pytest.raises(BadInput, match="seed 1"):
        build(tmp_path, Springs(), plan, structures=10**6, seed=2, together=2)


def test_nothing_to_make_is_an_error(tmp_path):
    class Ignorant(Springs):
        def label(self, records):
            return [None] * len(records)

    with pytest.raises(BadInput, match="gave no structure"):
        build(tmp_path, Ignorant(), Plan({"pair": 1.0}), structures=10, together=1)


def test_a_settled_crystal_is_nearer_to_rest():
    plan = Plan({"around": 1.0}, largest=8, around=(bulk("Ar", "fcc", 3.0, cubic=True),), keep_dev_out=False)
    kept, _ = run_jobs([job(k, 1, plan) for k in range(6)], Springs())
    # of each path the first frame kept and the last one, by the pressure they are under
    paths = [r for r in kept if r.kind == "settling"]
    pressures = np.array([abs(np.trace(r.stress)) for r in paths])
    assert np.median(pressures) < 0.5 * pressures.max()


def test_prototypes_keep_their_shape_and_take_the_bonds_of_their_elements():
    library = prototypes(8)
    assert len(library) > 100
    assert all(len(proto.atoms) <= 8 and sum(proto.counts) == len(proto.atoms) for proto in library)
    salt = bulk("NaCl", "rocksalt", 5.64)
    large = substituted(salt, {11: 55, 17: 53})
    assert 6.5 < (4 * large.get_volume()) ** (1 / 3) < 9.0  # CsI in rock salt: 7.6 Å
    np.testing.assert_allclose(large.get_scaled_positions(), salt.get_scaled_positions(), atol=1e-12)


def test_compounds_are_mostly_balanced_and_cover_the_table():
    rng = np.random.default_rng(0)
    drawn = [compound([1, 2, 4], rng) for _ in range(300)]
    assert {z for row in drawn for z in row} == set(KNOWN)
    assert all(list(row) == sorted(row, key=lambda z: electronegativity[z]) for row in drawn)
    assert np.mean([balanced(row, [1, 2, 4]) for row in drawn]) > 0.3


def test_perturbations():
    rng = np.random.default_rng(0)
    cell = bulk("MgO", "rocksalt", 4.2, cubic=True)
    assert np.abs(perturb.rattled(cell, rng, 0.05).positions - cell.positions).mean() == pytest.approx(
        0.04, rel=0.3
    )
    assert perturb.pressed(cell, 0.9).get_volume() == pytest.approx(0.729 * cell.get_volume())
    one, other = perturb.sheared(cell, rng, 0.02)
    for sheared in (one, other):  # to second order in the strain
        assert sheared.get_volume() == pytest.approx(cell.get_volume(), rel=3e-4)
        strain = np.linalg.solve(cell.cell.array, sheared.cell.array) - np.eye(3)
        assert np.linalg.norm(strain) == pytest.approx(0.02)
        assert sheared.get_scaled_positions() == pytest.approx(cell.get_scaled_positions(), abs=1e-9)
    assert one.cell.array + other.cell.array == pytest.approx(2 * cell.cell.array)
    assert perturb.closeness(cell) == pytest.approx(2.1 / (1.41 + 0.66), rel=1e-6)
    surface = perturb.slab(cell, rng, 16)
    heights = surface.positions @ (surface.cell.array[2] / np.linalg.norm(surface.cell.array[2]))
    assert surface.cell.lengths()[2] - np.ptp(heights) == pytest.approx(8.0, abs=1e-6)
    assert perturb.closeness(surface) > 0.9  # cut, not crushed
    both = perturb.adsorbed(surface, rng)
    assert len(surface) < len(both) <= len(surface) + 4
    assert perturb.closeness(both) > 0.5
    assert len(perturb.cluster(cell, rng, 7)) == 7
    packed = perturb.packed([26] * 6 + [8] * 6, rng, 0.6)
    assert packed is not None
    assert perturb.closeness(packed) > 0.55
    assert perturb.closeness(Atoms("H2", [[0, 0, 0], [0, 0, 50]])) == np.inf
