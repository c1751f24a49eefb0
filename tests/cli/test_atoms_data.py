"""`sciai atoms data`: a store from files, a look at it, and what is said of bad ones."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from sciai.atoms.data import published, teachers
from sciai.atoms.data.readers import read_structures
from sciai.cli import main
from tests.atoms.data.test_published import archive, as_pymatgen


@pytest.fixture
def frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []
    for seed in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces()
        made.append(atoms)
    write("cu.extxyz", made)
    return made


def figures(capsys):
    return json.loads(capsys.readouterr().out)


def test_read_then_show(frames, capsys):
    assert main(["atoms", "data", "read", "cu.extxyz", "--into", "store", "--source", "emt", "--json"]) == 0
    read = figures(capsys)
    assert (read["structures"], read["atoms"], read["by_element"]) == (4, 16, {"Cu": 4})
    assert main(["atoms", "data", "show", "store", "--json"]) == 0
    assert figures(capsys) == read
    assert main(["atoms", "data", "show", "store"]) == 0
    assert "cu.extxyz" in capsys.readouterr().out


def test_a_structure_in_another_unit_stops_it_or_is_left_out(frames, capsys):
    frames[2].calc = SinglePointCalculator(frames[2], energy=1e6)
    write("cu.extxyz", frames)
    words = ["atoms", "data", "read", "cu.extxyz", "--into", "store", "--source", "emt", "--json"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "structure 2" in said
    assert "Hartree?" in said
    assert main([*words, "--skip-bad"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["structures"] == 3
    assert "left out" in out.err


class Springs:
    """A teacher that needs no weights."""

    source = "springs"

    def knows(self, number):
        return True

    def label(self, records):
        done = []
        for record in records:
            n = len(record)
            done.append(record.with_labels(-1.0 * n, np.zeros((n, 3)), np.zeros((3, 3)), self.source))
        return done


def test_build_and_go_on(frames, monkeypatch, capsys):
    pytest.importorskip("pymatgen")
    monkeypatch.setitem(teachers.TEACHERS, "7net-0", Springs)
    words = ["atoms", "data", "build", "labels", "--largest", "4", "--json", "--quiet"]
    assert main([*words, "-n", "20"]) == 0
    first = figures(capsys)
    assert first["structures"] >= 20
    assert first["of_them_for_development"] == 0
    assert main([*words, "-n", str(first["structures"] + 5)]) == 0
    assert figures(capsys)["structures"] > first["structures"]
    assert main([*words, "-n", "9999", "--seed", "1"]) == 1
    assert "seed 0" in capsys.readouterr().err


def test_structures_around_ones_own(frames, monkeypatch, capsys):
    pytest.importorskip("pymatgen")
    monkeypatch.setitem(teachers.TEACHERS, "7net-0", Springs)
    words = ["atoms", "data", "build", "mine", "--family", "hot=1", "-n", "10", "--json", "-q"]
    assert main(words) == 1
    assert "--around" in capsys.readouterr().err
    assert main([*words, "--around", "cu.extxyz"]) == 0
    found = figures(capsys)
    assert {row["kind"] for row in found["rows"]} == {"hot"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", "nowhere"], 1, "no such store"),
        (["read", "none.xyz", "--into", "s", "--source", "x"], 1, "no such file"),
        (["build", "s", "--teacher", "oracle"], 1, "7net-0"),
        (["build", "s", "--family", "dragons=1"], 2, "families"),
    ],
)
def test_what_is_wrong(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    assert main(["atoms", "data", *words]) == code
    assert says in " ".join(capsys.readouterr().err.split())


def test_published_crystals_become_a_file_to_label_around(tmp_path, monkeypatch, capsys):
    """The packages are written here; fetching them is tested against a server of its own."""
    salt = json.dumps({"structure": {"0": as_pymatgen(bulk("NaCl", "rocksalt", 5.6))}}).encode()
    package = archive(tmp_path / "a.tar.gz", {"a/matbench_dielectric.json.gz": gzip.compress(salt)})
    asked = []
    monkeypatch.setattr(published, "fetched", lambda folder, step: asked.append(folder) or [package])
    out = tmp_path / "mp.extxyz"
    words = ["atoms", "data", "crystals", str(out), "--packages", str(tmp_path), "-q"]
    assert main(words) == 0
    assert asked == [tmp_path]
    assert "1 crystals, 2 atoms" in capsys.readouterr().err
    (found,) = read_structures(out)
    assert found.get_chemical_formula() == "ClNa"
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["atoms", "data", "crystals", str(tmp_path / "mp.cif"), "-q"]) == 1
    assert "mp.extxyz" in capsys.readouterr().err
    assert not (tmp_path / "mp.cif").exists()
    monkeypatch.setattr(published, "crystals", lambda *_: 1 / 0)
    assert main([*words, "--overwrite"]) != 0
    assert read_structures(out) == [found]  # what was there is still whole
