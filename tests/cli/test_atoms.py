"""`sciai atoms`: each command as a person uses it, with a potential that answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from sciai.cli import main

Run = Callable[..., tuple[int, str, str]]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    write("Cu.cif", bulk("Cu", a=3.65, cubic=True))
    write("spot.xyz", Atoms("Cu2", np.zeros((2, 3))))

    def call(*words: str, model: str | None = "emt") -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["atoms", *words, *([] if model is None else ["--model", model])])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_relax_from_file_to_report(run: Run) -> None:
    code, out, _ = run("relax", "Cu.cif")
    assert code == 0
    for word in ("energy per atom", "volume per atom", "Fm-3m", "verdict", "CAUTION"):
        assert word in out
    page = Path("Cu-relax/report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert Path("Cu-relax/structure.png").read_bytes().startswith(PNG)
    code, out, _ = run("relax", "Cu.cif", "--json")
    answer = json.loads(out)
    assert answer["level"] == "caution"
    assert answer["estimate"]["value"]["converged"] is True
    assert answer["provenance"]["model"] == "EMT"


def test_exit_codes_and_sentences(run: Run) -> None:
    code, out, _ = run("energy", "spot.xyz")
    assert code == 3
    assert "on one spot" in out
    assert "eV" not in out.split("verdict")[0]
    code, out, _ = run("relax", "spot.xyz", "--json")
    assert code == 3
    assert json.loads(out)["estimate"] is None
    code, _, err = run("relax", "nowhere.cif")
    assert code == 1
    assert "no such file" in err
    code, _, err = run("energy", "Cu.cif", "--guard", "loose")
    assert code == 1
    assert "default, strict, off" in err
    code, _, err = run("md", "Cu.cif", "--supercell", "2by2")
    assert code == 2
    code, _, err = run("energy", "Cu.cif", model="nothing-of-that-name")
    assert code == 1
    assert "no checkpoint" in err


def test_another_system_in_the_folder(run: Run) -> None:
    assert run("relax", "Cu.cif", "--out", "same")[0] == 0
    write("Au.cif", bulk("Au", cubic=True))
    code, _, err = run("relax", "Au.cif", "--out", "same")
    assert code == 1
    assert "another system" in err
    assert run("relax", "Au.cif", "--out", "same", "--overwrite")[0] == 0


def test_energy_with_a_picture(run: Run) -> None:
    code, out, _ = run("energy", "Cu.cif", "--picture", "cu.png")
    assert code == 0
    assert "pressure" in out
    assert Path("cu.png").read_bytes().startswith(PNG)


def test_md_goes_on(run: Run) -> None:
    words = ("md", "Cu.cif", "--ensemble", "nve", "--every", "5", "--out", "run")
    assert run(*words, "--steps", "5")[0] == 0
    code, out, _ = run(*words, "--steps", "15", "--json")
    assert code == 0
    value = json.loads(out)["estimate"]["value"]
    assert value["steps"] == 15
    assert value["frames"] == 4
    assert Path("run/table.csv").read_text().count("\n") == 5


@pytest.mark.parametrize(
    ("words", "has"),
    [
        (("eos", "Cu.cif"), "bulk modulus"),
        (("elastic", "Cu.cif", "--clamped"), "C44"),
        (("phonons", "Cu.cif", "--supercell", "1x1x1"), "highest frequency"),
        (("surface", "Cu.cif", "111", "--layers", "2"), "surface energy"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_workflows_print_their_figures(run: Run, words: tuple[str, ...], has: str) -> None:
    code, out, err = run(*words, "--out", "out")
    assert code == 0, err
    assert has in out
    assert Path("out/report.html").is_file()
    assert json.loads(Path("out/result.json").read_text())["level"] in ("ok", "caution")


def test_neb_and_adsorb(run: Run) -> None:
    slab = fcc100("Cu", (1, 1, 2), a=3.59, vacuum=6.0)
    write("slab.extxyz", slab)
    code, out, err = run("adsorb", "slab.extxyz", "O", "--most", "1", "--out", "ads")
    assert code == 0, err
    assert "adsorption energy" in out
    start = bulk("Cu", cubic=True)
    start.positions[3] += [0, 0, 0.2]
    end = bulk("Cu", cubic=True)
    end.positions[3] -= [0, 0, 0.2]
    write("a.extxyz", start)
    write("b.extxyz", end)
    code, out, err = run("neb", "a.extxyz", "b.extxyz", "--keep-ends", "--images", "3", "--steps", "5")
    assert code == 0, err
    assert "barrier" in out
    code, _, err = run("adsorb", "slab.extxyz", "unobtainium")
    assert code == 1
    assert "unobtainium" in err


def test_screen_and_evaluate(run: Run) -> None:
    code, out, _ = run("screen", "Cu.cif", "spot.xyz", "--out", "screened")
    assert code == 0
    assert "1 answered, 1 refused" in out
    assert Path("screened/report.html").is_file()
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05)
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **results)
    write("dft.extxyz", atoms)
    code, out, err = run("evaluate", "dft.extxyz", "--picture", "parity.png")
    assert code == 0, err
    assert "force MAE" in out
    assert Path("parity.png").read_bytes().startswith(PNG)


def test_what_did_not_converge_can_go_on(run: Run) -> None:
    """Each command that relaxes says "allow more steps"; each takes them."""
    for words in (
        ("surface", "Cu.cif", "100", "--layers", "2"),
        ("adsorb", "slab.extxyz", "O", "--most", "1"),
    ):
        write("slab.extxyz", fcc100("Cu", (2, 2, 2), vacuum=6, periodic=True))
        assert "allow more" in run(*words, "--steps", "1")[1]
        code, out, _ = run(*words, "--steps", "200")
        assert code == 0
        assert "allow more" not in out
    run("screen", "Cu.cif", "--relax", "--steps", "1", "--fmax", "1e-4", "--out", "few")
    assert "allow more" in Path("few/table.csv").read_text(encoding="utf-8")


def test_elements(run: Run) -> None:
    code, out, _ = run("elements", "-o", "elements.png")
    assert code == 0
    assert "supported" in out
    assert Path("elements.png").read_bytes().startswith(PNG)
    listed = json.loads(run("elements", "--json")[1])
    assert len(listed) == 118


def test_help_is_light() -> None:
    code = (
        "import sys; from sciai.cli import main; code = main(['atoms', '--help']); "
        "heavy = {'torch', 'ase', 'matplotlib', 'scipy', 'phonopy'} & set(sys.modules); "
        "print(heavy, file=sys.stderr); sys.exit(code or len(heavy))"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "relax" in done.stdout
    assert time.perf_counter() - begin < 30


def test_of_several_structures_the_last_is_taken_and_it_is_said(run: Run) -> None:
    write("two.extxyz", [bulk("Au"), bulk("Cu")])
    code, out, err = run("energy", "two.extxyz")
    assert code == 0
    assert "two.extxyz: Cu" in out
    assert "2 structures; the last is taken" in err
    code, out, err = run("energy", "two.extxyz@0")
    assert "Au" in out
    assert "the last is taken" not in err
    code, _, err = run("energy", "two.extxyz@5")
    assert code == 1
    assert "no structure 5" in err
    assert run("relax", "two.extxyz@0", "--steps", "1")[0] == 0
    assert Path("two-0-relax/job.json").is_file()
