"""The user's own structures: from scratch, and taught to a potential that exists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from sciai.atoms.api.potential import Potential
from sciai.atoms.train.setup import network
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError
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
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of one compound: fewer chemical systems one cannot have."""
    frames = []
    for seed in range(40):
        atoms = bulk("CuAu", "rocksalt", 5.0 + 0.4 * (seed % 5) / 4)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("own") / "my.extxyz"
    write(path, frames)
    return path


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
