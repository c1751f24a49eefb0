"""The user's own structures: from scratch, and taught to a potential that exists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from sciai.atoms.api.evaluation import evaluate
from sciai.atoms.api.potential import Potential
from sciai.atoms.data.readers import records_from
from sciai.atoms.data.store import Store
from sciai.atoms.train.data import load, module
from sciai.atoms.train.repulsion import encounters
from sciai.atoms.train.setup import network
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.core.run import compose, train

TINY = [
    "domain.net.channels=16",
    "domain.net.lmax=1",
    "domain.net.carried=1",
    "domain.net.triples=[]",
    "domain.data.batch_size=4",
    "domain.data.records.encounters=0",
    "domain.lit.optimizer.lr=0.005",
    "domain.lit.scheduler.warmup=5",
    "trainer.enable_progress_bar=false",
]


@pytest.fixture(scope="module")
def own(mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential from scratch."""
    out = tmp_path_factory.mktemp("scratch")
    cfg = compose(
        "atoms", ["+experiment=atoms_own", f"mine={mine}", f"out={out}", *TINY, "domain.max_steps=80"]
    )
    done = train(cfg)
    assert done.metrics["test/mine/forces"] > 0
    return out / "model"


def test_one_compound_is_enough_to_learn_from(own: Path, mine: Path) -> None:
    card = Checkpoint.load(own).card
    parts = {name: part["items"] for name, part in card.split["parts"].items()}
    assert set(parts) == {"train", "val", "calibrate", "test"} & set(parts)
    assert parts["train"] > 20
    assert parts["test"] >= 2
    pot = Potential.load(own)
    from ase.io import read

    atoms = read(mine, "3")
    value = pot(atoms).estimate
    assert value is not None
    assert value.value.energy == pytest.approx(atoms.get_potential_energy(), abs=0.3)


def test_an_evaluation_on_its_own_lessons_says_so(own: Path, mine: Path, tmp_path: Path) -> None:
    """Errors on what was learned by heart once came with the verdict OK."""
    pot = Potential.load(own, guard="off")
    (said,) = [f for f in evaluate(mine, pot).findings if f.check == "labels" and "learned from" in f.message]
    assert mine.name in said.message
    other = tmp_path / "other.extxyz"
    other.write_bytes(mine.read_bytes())
    said_of = [f.message for f in evaluate(other, pot).findings if f.check == "labels"]
    assert any("it was trained on" in text for text in said_of), "the same structures by another name"
    assert not any("learned from" in text for text in said_of)
    from ase.io import read

    unseen = read(mine, "0")
    labels = {"energy": unseen.get_potential_energy(), "forces": unseen.get_forces()}
    unseen.positions += 0.01
    unseen.calc = SinglePointCalculator(unseen, **labels)
    assert not any("trained on" in f.message for f in evaluate([unseen], pot).findings)


def test_another_level_of_theory_is_what_it_answers_at(own: Path, mine: Path, tmp_path: Path) -> None:
    from ase.io import read

    frames = read(mine, ":")
    for atoms in frames:
        forces, energy = 0.5 * atoms.get_forces(), 0.5 * atoms.get_potential_energy() - 1000.0
        atoms.calc = None
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = energy, forces
    write(tmp_path / "other.extxyz", frames)
    more = ["+experiment=atoms_finetune", f"mine={tmp_path / 'other.extxyz'}", f"out={tmp_path / 'run'}"]
    cfg = compose("atoms", [*more, *TINY, "domain.max_steps=60", f"domain.net.start={own}"])
    train(cfg)
    after = Potential.load(tmp_path / "run" / "model", guard="off")
    assert after.engine.level == list(cfg.domain.sources).index("mine")
    atoms = frames[7]
    assert after(atoms).unwrap().energy == pytest.approx(atoms.info["REF_energy"], abs=0.5)
    before = Potential.load(own, guard="off")(atoms).unwrap()
    wrong = [
        np.abs(found.forces - atoms.arrays["REF_forces"]).mean() for found in (before, after(atoms).unwrap())
    ]
    assert wrong[1] < wrong[0]


def test_the_shipped_potential_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # as from an installed package: no checkpoints/ here
    options = Checkpoint.load(Path(__file__).parents[3] / "checkpoints" / "atoms").card.config["domain"][
        "net"
    ]
    plain = {k: v for k, v in options.items() if k not in ("_target_", "start")}
    assert bool(network(start="atoms", **plain).offsets.any())
    with pytest.raises(CheckpointError):
        network(start="nowhere", **plain)


def test_of_few_structures_it_is_said_what_they_are_worth(
    mine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One structure was learned by heart for 5,000 steps, and answers had a spread, without a word."""
    from ase.io import read

    frames = read(mine, ":5")
    lone = bulk("Cu")
    lone.calc = EMT()
    lone.get_forces()
    none = "answers will state no spread"
    for count, said in ((0, none), (1, none), (5, "1 to measure the spread on, 1 to test")):
        write(tmp_path / f"{count}.extxyz", frames[:count] or [lone])  # and of one atom there is no scale
        caplog.clear()
        files, out = (
            [f"mine={tmp_path / f'{count}.extxyz'}", f"out={tmp_path / str(count)}"],
            "domain.max_steps=2",
        )
        train(compose("atoms", ["+experiment=atoms_own", *files, *TINY, out]))
        assert said in caplog.text
        card = Checkpoint.load(tmp_path / str(count) / "model").card
        assert card.name == "atoms-own"
        assert "Materials Project" not in card.summary + " ".join(card.known_limits)
        answer = Potential.load(tmp_path / str(count) / "model")(frames[0] if count else lone)
        assert answer.estimate is not None
        assert np.isfinite(answer.estimate.spread["energy"]) == (count == 5)
        assert count == 5 or {"no_spread", "no_support"} & {f.check for f in answer.findings}


def test_structures_that_are_all_left_out_are_not_passed_over(mine: Path, tmp_path: Path) -> None:
    from ase.io import read

    frames = read(mine, ":3")
    for atoms in frames:
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = 0.0, np.full((len(atoms), 3), 90.0)
        atoms.calc = None
    write(tmp_path / "strong.extxyz", frames)
    more = [f"mine={tmp_path / 'strong.extxyz'}", f"out={tmp_path / 'run'}", *TINY, "domain.max_steps=2"]
    cfg = compose("atoms", ["+experiment=atoms_own", *more, "domain.data.records.encounters=1"])
    with pytest.raises(BadInput, match=r"no structure .*left.*force above 50.*limits"):
        train(cfg)


def test_own_structures_may_be_a_store_or_several_files(mine: Path, tmp_path: Path) -> None:
    Store.write(tmp_path / "store", records_from(mine, "pbe"))
    files = [{"path": [str(tmp_path / "store"), str(mine)], "source": "mine", "weight": 2.0}]
    found = load(files=files)
    assert len(found) == 80
    assert {(record.source, record.weight) for record in found} == {("mine", 2.0)}


def test_a_source_that_is_not_known_is_named(mine: Path) -> None:
    """A store read as the README says, ``--source pbe``, ended in an error of torch."""
    strange = [*records_from(mine, "pbe"), *encounters(1)[:50]]
    with pytest.raises(BadInput, match=r"unknown source pbe': 40.*sources are mptrj, zbl.*mine="):
        module(strange, {"mptrj": 0, "zbl": 0}, (1.0, 1.0, 5.0), 4, {"train": 1.0}, train_only=["zbl"])


def test_labels_that_are_lacking_are_told(mine: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Forces of a name that nobody knows were left out without a word, and energies alone were learned."""
    found = [replace(record, source="mine") for record in records_from(mine, "pbe")]
    bare = [
        replace(record, forces=None, stress=None if k % 2 else record.stress)
        for k, record in enumerate(found)
    ]
    module(bare, {"mine": 0}, (1.0, 1.0, 5.0), 4, {"train": 0.9, "calibrate": 0.1}, own=["mine"])
    assert "no structure of mine has forces" in caplog.text
    assert "of mine, 50 % have a stress" in caplog.text
    assert "energy" not in caplog.text


def test_a_start_of_another_width_is_told(own: Path) -> None:
    with pytest.raises(BadInput, match=r"16 channels, this one 24.*domain.net.channels=16"):
        network(start=str(own), sources={"mine": 0}, channels=24, lmax=1, carried=1, triples=())


def test_a_checkpoint_of_another_domain_is_no_start() -> None:
    with pytest.raises(BadInput, match="start from is of health"):
        network(start="health")
