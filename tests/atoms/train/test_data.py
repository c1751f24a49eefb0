from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111

from sciai.atoms.data.records import Record, from_atoms, is_dev
from sciai.atoms.train.curves import unaries
from sciai.atoms.train.data import Structures, collate, load, module, part_of
from sciai.atoms.train.offsets import GPA, fit_offsets
from sciai.core.data import DataModule
from sciai.core.errors import BadInput
from tests.atoms.toy import records

SOURCES = {"mptrj": 0, "other": 0, "electrons": 1}
REACH = (3.4, 0.66, 6.5)
FRACTIONS = {"train": 0.6, "val": 0.2, "calibrate": 0.2}


def test_a_chemical_system_has_one_part_whatever_else_is_there() -> None:
    many, few = records(per_system=1), records(per_system=1, elements=2)
    build = lambda given: module(given, SOURCES, REACH, 4, FRACTIONS)  # noqa: E731
    homes = []
    for data in (build(many), build(few)):
        groups = data.dataset.groups
        homes.append({groups[i]: part for part, items in data.split.parts.items() for i in items})
    assert set(homes[0].values()) == {"train", "val", "calibrate", "test"}
    assert all(homes[0][group] == part for group, part in homes[1].items())
    assert all((part == "test") == is_dev(group) for group, part in homes[0].items())
    assert all(part_of(group, FRACTIONS) == "train" for group in ("Cu", "Al"))


def test_labels_of_other_models_are_trained_on_and_nothing_else() -> None:
    taught = [replace(record, source="other") for record in records(per_system=1)]
    data = module(records(per_system=1) + taught, SOURCES, REACH, 4, FRACTIONS, train_only=["other"])
    for part, items in data.split.parts.items():
        sources = {data.dataset.records[i].source for i in items}
        assert sources == ({"mptrj", "other"} if part == "train" else {"mptrj"})


def test_share_repeats_training_structures_only() -> None:
    plain = module(records(per_system=1), SOURCES, REACH, 4, FRACTIONS)
    often = module(records(per_system=1), SOURCES, REACH, 4, FRACTIONS, share={"mptrj": 3})
    for part, items in plain.split.parts.items():
        assert len(often.split.parts[part]) == len(items) * (3 if part == "train" else 1)


def test_most_takes_evenly_spaced_structures() -> None:
    given = records(per_system=1)
    kept = Structures(given, SOURCES, REACH, most={"mptrj": 10}).records
    places = [next(k for k, r in enumerate(given) if r is one) for one in kept]
    assert len(places) == 10
    assert max(np.diff(places)) - min(np.diff(places)) <= 1


def test_of_a_source_with_an_unknown_zero_only_forces_are_learned() -> None:
    strange = [replace(r, source="other", energy=r.energy + 70) for r in records(per_system=1)]
    data = module(records(per_system=1) + strange, SOURCES, REACH, 4, FRACTIONS, forces_only=["other"])
    alone = module(records(per_system=1), SOURCES, REACH, 4, FRACTIONS)
    torch.testing.assert_close(data.dataset.offsets[0], alone.dataset.offsets[0])
    for record in data.dataset.records:
        assert (record.energy is None) == (record.source == "other")
        assert record.forces is not None


def test_what_is_no_physics_is_left_out_and_counted() -> None:
    good = records(per_system=1)
    torn = replace(good[0], stress=60 * GPA * np.eye(3))
    hot = replace(good[1], forces=np.full((4, 3), 80.0))
    far = replace(good[2], energy=good[2].energy + 4 * 90)
    foreign = replace(good[3], source="unheard of")
    data = module(
        [*good, torn, hot, far, foreign], SOURCES, REACH, 2, {"train": 1}, limits={"mptrj": (50, -40, 300)}
    )
    assert len(data.dataset) == len(good)
    assert sorted(data.provenance["left_out"].values()) == [1, 1, 1, 1]


def test_nothing_to_learn_from() -> None:
    with pytest.raises(BadInput, match="no labelled structures"):
        load()
    with pytest.raises(BadInput, match="no structure to learn from"):
        Structures([replace(records(1, elements=1)[0], source="x")], SOURCES, REACH)


def test_offsets_recover_the_elements_and_survive_lies() -> None:
    given = records(per_system=1)
    truth = np.linspace(-8, -1, 119)
    told = [replace(r, energy=float(truth[r.numbers].sum()), stress=None) for r in given]
    told[5] = replace(told[5], energy=told[5].energy + 400.0)
    found = fit_offsets(told, {"mptrj": 0})[0]
    seen = np.unique(np.concatenate([r.numbers for r in given]))
    np.testing.assert_allclose(found[seen], truth[seen], atol=0.15)


def test_sources_of_one_zero_give_a_structure_one_target() -> None:
    """A teacher asked about squeezed oxides only must not move oxygen away from where DFT has it."""
    rng = np.random.default_rng(1)

    def record(source: str, z: int, energy: float, k: int) -> Record:
        return Record(
            numbers=np.array([z, 8], np.uint8), positions=np.array([[0, 0, 0], [2.0, 0, 0]]),
            cell=np.zeros((3, 3)), pbc=np.zeros(3, bool), energy=energy, forces=None, stress=None,
            source=source, group=f"{source}{z}{k}",
        )  # fmt: skip

    dft = [record("dft", z, -7.0 - z / 10, k) for k, z in enumerate(rng.integers(11, 30, 80))]
    taught = [record("taught", z, -5.0 - z / 10, k) for k, z in enumerate(rng.integers(11, 30, 300))]
    sources = {"dft": 0, "taught": 0}
    apart = fit_offsets([*dft, *taught], sources)
    assert abs(apart[0, 8] - apart[1, 8]) > 0.3
    together = fit_offsets([*dft, *taught], sources, same_zero=[["dft", "taught"]])
    np.testing.assert_array_equal(together[0], together[1])


def test_offsets_of_all_electron_totals_are_exact_for_rare_elements() -> None:
    given = records(per_system=1)
    truth = -(np.arange(119.0) ** 2.3)
    told = [replace(r, energy=float(truth[r.numbers].sum()), stress=None, source="electrons") for r in given]
    gold = [k for k, r in enumerate(told) if 79 in r.numbers]
    few = [r for k, r in enumerate(told) if k not in gold[1:]]
    np.testing.assert_allclose(fit_offsets(few, {"electrons": 1})[0, 79], truth[79], rtol=1e-4)


def test_batches_keep_structures_apart() -> None:
    dataset = Structures(records(per_system=1, elements=2), SOURCES, REACH)
    batch = collate([dataset[k] for k in range(3)])
    assert batch.graph.n_graphs == 3
    assert bool((batch.graph.batch[batch.graph.edges[0]] == batch.graph.batch[batch.graph.edges[1]]).all())
    again = dataset[2]
    mine = batch.graph.batch == 2
    torch.testing.assert_close(batch.graph.positions[mine], again.graph.positions)
    torch.testing.assert_close(batch.forces[mine], again.forces)


def test_curves_of_the_elements(shared_data: Path) -> None:
    found = unaries(shared_data / "atoms" / "acwf-unaries-PBE-AE-average.json")
    assert {int(r.numbers[0]) for r in found} >= {84, 85, 86, 87, 88, 95, 96}
    calm = [r for r in found if abs(np.trace(r.stress)) < 1e-9]
    assert len(calm) == len(found) / 7  # one of the seven volumes is the equilibrium
    assert all(r.energy is None and r.forces is None for r in found)


def test_no_curves(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(BadInput, match="equations of state"):
        unaries(tmp_path / "x.json")


def test_systems_that_only_other_models_labelled_are_trained_on() -> None:
    real, taught = records(per_system=1, elements=2), records(per_system=1)
    held = {record.group for record in real}
    taught = [replace(record, source="other") for record in taught]
    data = module(real + taught, SOURCES, REACH, 4, FRACTIONS, train_only=["other"])
    groups = data.dataset.groups
    trained = {groups[i] for i in data.split.parts["train"]}
    fresh = {record.group for record in taught} - held
    assert any(part_of(group, FRACTIONS) == "test" for group in fresh)
    assert fresh <= trained
    assert all(part_of(group, FRACTIONS) == "train" for group in trained & held)


def test_metals_with_and_without_a_u_come_to_one_zero() -> None:
    def labelled(atoms: Atoms, source: str) -> Record:
        return from_atoms(atoms, source).with_labels(-5.0, np.zeros((len(atoms), 3)), None, source)

    oxide, metal = bulk("NiO", "rocksalt", 4.18), bulk("Ni")
    slab = fcc111("Ni", (2, 2, 3), vacuum=6)
    slab.pbc = True
    add_adsorbate(slab, "O", 1.2, "fcc")
    given = [labelled(atoms, source) for source in ("mptrj", "other") for atoms in (oxide, metal, slab)]
    plain = module(records(per_system=1) + given, SOURCES, REACH, 4, FRACTIONS, train_only=["other"])
    moved = module(
        records(per_system=1) + given,
        SOURCES,
        REACH,
        4,
        FRACTIONS,
        train_only=["other"],
        one_zero=["mptrj", "other"],
    )

    def energies(data: DataModule, size: int) -> list[float]:
        return sorted(r.energy for r in data.dataset.records if len(r) == size and set(r.numbers) <= {8, 28})

    assert energies(plain, 1) == energies(moved, 1)  # metal alone
    assert energies(moved, 2) == [energy - 2.541 for energy in energies(plain, 2)]
    # of the label by another model that lies between both levels nothing is learned
    assert len(energies(plain, 13)) - len(energies(moved, 13)) == 1


@pytest.mark.parametrize("field", ["forces_only", "one_zero"])
def test_a_source_that_there_is_not_is_named(field: str) -> None:
    with pytest.raises(BadInput, match="no source is called mptrjj") as caught:
        module(records(per_system=1), SOURCES, REACH, 4, FRACTIONS, **{field: ["mptrjj"]})  # type: ignore[arg-type]
    assert caught.value.field == f"domain.data.{field}"
