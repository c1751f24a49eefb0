"""What was trained on is known again: by an audit, by a run that goes on, and by the split."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from sciai.atoms.api.audit import plan
from sciai.atoms.train.digests import digest_of
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.core.resume import made_of
from sciai.core.run import build_data, compose, train

TINY = [
    "domain.net.channels=8",
    "domain.net.lmax=1",
    "domain.net.carried=1",
    "domain.net.triples=[]",
    "domain.data.batch_size=4",
    "domain.data.records.encounters=0",
    "trainer.enable_progress_bar=false",
]


def test_what_was_trained_on_is_no_audit(mine: Path, tmp_path: Path) -> None:
    """It was audited as held out."""
    words = ["+experiment=atoms_own", f"mine={mine}", f"out={tmp_path / 'run'}", *TINY]
    train(compose("atoms", [*words, "domain.max_steps=2"]))
    card = Checkpoint.load(tmp_path / "run" / "model")
    with pytest.raises(BadInput, match=r"\d+ of 40 structures were trained on.*kept aside"):
        plan(card, [str(mine)])
    some = read(mine, ":")[::-1]
    for atoms in some:
        atoms.rattle(0.05, seed=9)
        atoms.calc = EMT()
        atoms.get_forces()
    write(tmp_path / "others.extxyz", some)
    assert plan(card, [str(tmp_path / "others.extxyz")]).files == [str(tmp_path / "others.extxyz")]


def test_a_run_does_not_go_on_with_other_labels_of_as_many_structures(tmp_path: Path) -> None:
    file = tmp_path / "my.extxyz"
    frames = [bulk("CuAu", "rocksalt", 5.0 + 0.01 * k) for k in range(40)]
    for atoms in frames:
        atoms.calc = EMT()
        atoms.get_forces()
    write(file, frames)
    words = ["+experiment=atoms_own", f"mine={file}", f"out={tmp_path / 'run'}", *TINY]
    before = made_of(cfg := compose("atoms", words), build_data(cfg))
    assert made_of(cfg, build_data(cfg)) == before
    write(file, read(file, ":")[::-1])  # blocks hold other structures now: tests had been trained on
    assert made_of(cfg, build_data(cfg)) != before


def test_copies_of_a_structure_are_on_one_side(tmp_path: Path) -> None:
    frames = [bulk("CuAu", "rocksalt", 5.0 + 0.01 * (k % 40)) for k in range(80)]
    for atoms in frames:
        atoms.calc = EMT()
        atoms.get_forces()
    write(tmp_path / "twice.extxyz", frames)
    words = ["+experiment=atoms_own", f"mine={tmp_path / 'twice.extxyz'}", f"out={tmp_path / 'run'}", *TINY]
    data = build_data(compose("atoms", words))
    home = {p: {digest_of(data.dataset.records[i]) for i in rows} for p, rows in data.split.parts.items()}
    assert home["train"]
    assert not home["train"] & home["test"]
