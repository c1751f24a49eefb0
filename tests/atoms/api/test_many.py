"""Many structures: screening, evaluation, files, the periodic table."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write as ase_write

from sciai.atoms.api.evaluation import evaluate, evaluation_figure
from sciai.atoms.api.files import read, read_all, write
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.screening import screen
from sciai.atoms.api.tiers import elements, elements_figure, place
from sciai.atoms.data.levels import shift_of
from sciai.core.answer import Level
from sciai.core.errors import BadInput


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for a in (3.5, 3.6, 3.8):
        ase_write(folder / f"Cu-{a}.cif", bulk("Cu", a=a, cubic=True))
    ase_write(folder / "two.extxyz", [bulk("Au"), Atoms("Au2", np.zeros((2, 3)), cell=[9, 9, 9], pbc=True)])
    (folder / "broken.cif").write_text("data_\n_cell_length_a what\n")
    return folder


def test_screen_ranks_and_one_bad_file_stops_nothing(
    emt: Potential, candidates: Path, tmp_path: Path
) -> None:
    answer = screen([candidates], emt, tmp_path / "out", batch=2)
    done = answer.unwrap()
    assert (done.answered, done.refused, done.skipped) == (4, 2, 0)
    copper = [row["file"] for row in done.rows if row.get("formula") == "Cu" and row.get("rank")]
    assert copper[0].endswith("Cu-3.6.cif")
    assert next(row for row in done.rows if row["file"].endswith("broken.cif"))["level"] == "refuse"
    with open(tmp_path / "out" / "table.csv", newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 6
    assert rows[0]["rank"] == "1"
    assert (tmp_path / "out" / "ranking.png").is_file()


def test_screen_goes_on_and_takes_new_files(emt: Potential, candidates: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    screen([candidates], emt, out)
    lines = (out / "results.jsonl").read_text().splitlines()
    (out / "results.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])  # killed in a line
    ase_write(candidates / "new.cif", bulk("Ag", cubic=True))
    done = screen([candidates], emt, out).unwrap()
    assert done.skipped + sum("broken" in line for line in lines[:3]) == 3
    assert done.answered == 5
    assert len({row["key"] for row in done.rows}) == len(done.rows) == 7
    with pytest.raises(BadInput, match="another model"):
        screen([candidates], Potential.from_calculator(EMT(), "other"), out)


class Moody(EMT):
    """Fails on gold, as a code whose cycles do not converge."""

    def calculate(self, atoms: Any = None, *args: Any, **kwargs: Any) -> None:
        if "Au" in atoms.symbols:
            raise RuntimeError("no convergence\nafter 60 cycles")
        super().calculate(atoms, *args, **kwargs)


@pytest.mark.parametrize("relaxed", [False, True])
def test_a_structure_on_which_a_calculator_fails_stops_no_screen(
    candidates: Path, tmp_path: Path, relaxed: bool
) -> None:
    done = screen(
        [candidates], Potential.from_calculator(Moody()), tmp_path / "out", relaxed=relaxed
    ).unwrap()
    assert (done.answered, done.refused) == (3, 3)
    gold = next(row for row in done.rows if row.get("formula") == "Au")
    assert (gold["level"], gold["why"]) == (
        "refuse",
        "Moody failed on Au (1 atoms): RuntimeError: no convergence",
    )
    with pytest.raises(BadInput, match="fmax"):  # what is wrong with the question is no answer
        screen([candidates], Potential.from_calculator(EMT()), tmp_path / "x", relaxed=True, fmax=-1)


def test_screen_takes_a_mended_file_in_place_of_what_it_was(
    emt: Potential, candidates: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    screen([candidates], emt, out)
    ase_write(candidates / "broken.cif", bulk("Ag", cubic=True))
    ase_write(candidates / "two.extxyz", bulk("Pt"))  # another structure, and one fewer
    for _ in range(2):
        done = screen([candidates], emt, out).unwrap()
        assert (done.answered, done.refused) == (5, 0)
        assert sorted(row["formula"] for row in done.rows) == ["Ag", "Cu", "Cu", "Cu", "Pt"]
    alone = screen([candidates / "Cu-3.5.cif"], emt, out).unwrap()  # what is not asked about stays as it was
    assert (alone.answered, alone.refused) == (5, 0)


def test_screen_of_other_settings_does_not_mix(emt: Potential, tmp_path: Path) -> None:
    ase_write(tmp_path / "a.cif", bulk("Cu", a=3.8, cubic=True))
    screen([tmp_path / "a.cif"], emt, tmp_path / "out", relaxed=True, fmax=0.5)
    with pytest.raises(BadInput, match="another fmax"):
        screen([tmp_path / "a.cif"], emt, tmp_path / "out", relaxed=True, fmax=0.001)


def test_screen_relaxes(emt: Potential, tmp_path: Path) -> None:
    ase_write(tmp_path / "a.cif", bulk("Cu", a=3.8, cubic=True))
    done = screen([tmp_path / "a.cif"], emt, tmp_path / "out", relaxed=True).unwrap()
    assert done.rows[0]["volume"] == pytest.approx(3.59**3 / 4, rel=0.01)
    assert len(list((tmp_path / "out" / "relaxed").iterdir())) == 1


class Stressless(EMT):
    """A calculator that has energies and forces alone."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]  # type: ignore[misc]

    def calculate(self, *given: Any, **named: Any) -> None:
        super().calculate(*given, **named)
        self.results.pop("stress", None)


def test_without_stresses_no_screen_relaxes_and_no_folder_is_spoilt(tmp_path: Path) -> None:
    potential = Potential.from_calculator(Stressless())
    ase_write(tmp_path / "a.xyz", molecule("N2"))
    ase_write(tmp_path / "b.cif", bulk("Cu", cubic=True))
    with pytest.raises(BadInput, match="screen without relaxing"):  # it said: relax with cell=False
        screen([tmp_path / "a.xyz", tmp_path / "b.cif"], potential, tmp_path / "out", relaxed=True)
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["formula"] for line in lines] == ["N"]  # what was done is noted
    with pytest.raises(BadInput, match="--fixed-cell"):
        relax(bulk("Cu"), potential, tmp_path / "run")
    assert relax(bulk("Cu"), potential, tmp_path / "run", cell=False).estimate is not None


def test_screen_wants_files_and_a_rank(emt: Potential, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such"):
        screen([tmp_path / "nothing"], emt, tmp_path / "out")
    with pytest.raises(BadInput, match="rank"):
        screen([tmp_path], emt, tmp_path / "out", rank="beauty")


def labelled(scale: float = 1.0, count: int = 6, shift: float = 0.0) -> list[Atoms]:
    frames = []
    for k in range(count):
        symbol = ("Cu", "Au", "Pt")[k % 3]
        atoms = bulk(symbol, cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        results = {"energy": scale * energy + shift * len(atoms), "forces": forces, "stress": stress}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def test_evaluate_finds_no_error_in_its_own_labels(emt: Potential, tmp_path: Path) -> None:
    ase_write(tmp_path / "labels.extxyz", labelled())
    value = evaluate(tmp_path / "labels.extxyz", emt).unwrap()
    assert value.structures == 6
    assert value.force_mae is not None
    assert value.force_mae < 1e-6
    assert value.stress_mae is not None
    assert value.stress_mae < 1e-4
    assert value.force_cosine == pytest.approx(1.0)
    assert value.coverage is None  # EMT states no spread: there is nothing to cover
    assert len(evaluation_figure(value).axes) == 2


def test_evaluate_fits_offsets_and_says_where_they_are_needed(emt: Potential) -> None:
    answer = evaluate(labelled(shift=-50.0), emt)
    assert "labels" in {f.check for f in answer.findings}
    value = evaluate(labelled(shift=-50.0), emt, offsets=True).unwrap()
    assert value.energy_mae == pytest.approx(0, abs=0.05)
    assert value.offsets is not None
    assert value.offsets["Cu"] == pytest.approx(-50.0, abs=0.1)


def oxides(emt: Potential) -> list[Atoms]:
    """Nickel, its oxide and copper's, with energies of nickel as PBE+U would have them beside oxygen."""
    frames = [bulk(name, "rocksalt", a) for name in ("NiO", "CuO") for a in (3.9, 4.1, 4.3)] + [bulk("Ni")]
    for atoms in frames:
        energy = emt(atoms).unwrap().energy - shift_of(atoms.numbers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return frames


def test_labels_of_the_materials_project_are_moved_to_the_zero_without_u(emt: Potential) -> None:
    assert evaluate(oxides(emt), emt).unwrap().energy_mae == pytest.approx(3 * 2.541 / 2 / 7)
    assert evaluate(oxides(emt), emt, plus_u=True).unwrap().energy_mae == pytest.approx(0, abs=1e-9)


def test_labels_with_u_are_told_where_the_potential_answers_without(emt: Potential) -> None:
    shipped = Potential.load().card
    assert shipped is not None
    for moved in ([], ["mptrj"]):
        domain = {**shipped.config["domain"], "answers": None}
        domain["data"] = {**domain["data"], "one_zero": moved}
        emt.card = replace(shipped, config={**shipped.config, "domain": domain})
        said = [f.message for f in evaluate(oxides(emt), emt).findings if f.check == "labels"]
        assert [("--plus-u" in text, text[:8]) for text in said] == [(True, "3 labels")] * len(moved)
        assert not [f for f in evaluate(oxides(emt), emt, plus_u=True).findings if f.check == "labels"]


def test_labels_in_the_wrong_unit() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for k in range(8):
        atoms = bulk("Cu", cubic=True, a=3.4 + 0.1 * k)
        atoms.calc = EMT()
        energy = float(atoms.get_potential_energy()) / 27.2114
        atoms.calc = SinglePointCalculator(atoms, energy=energy + 1e-6 * rng.normal())
        frames.append(atoms)
    with pytest.raises(BadInput, match="Hartree"):
        evaluate(frames, Potential.from_calculator(EMT()))
    total = bulk("Cu")
    total.calc = SinglePointCalculator(total, energy=-45000.0)
    with pytest.raises(BadInput, match="Hartree"):
        evaluate([total], Potential.from_calculator(EMT()))
    pressed = bulk("Cu")
    pressed.calc = SinglePointCalculator(pressed, energy=0.0, stress=np.full(6, 120.0))
    with pytest.raises(BadInput, match="GPa"):
        evaluate([pressed], Potential.from_calculator(EMT()))
    with pytest.raises(BadInput, match="no structure has an energy"):
        evaluate([bulk("Cu")], Potential.from_calculator(EMT()))


@pytest.mark.parametrize(
    ("name", "factor", "says"),
    [
        ("forces", 23.06, "kcal/mol/Å"),
        ("forces", 96.485, "kJ/mol/Å"),
        ("forces", 0.529177 / 27.2114, r"Hartree/Bohr.*51\.42"),
        ("forces", 0.529177 / 13.6057, "Rydberg/Bohr"),
        ("forces", -1.0, "gradients"),
        ("stress", 160.218, "GPa"),
        ("stress", -160.218, "GPa, with the other sign"),
        ("stress", -1.0, "pressures"),
    ],
)
def test_labels_that_are_a_multiple_of_the_answers(
    emt: Potential, name: str, factor: float, says: str
) -> None:
    frames = labelled()
    for atoms in frames:
        atoms.calc.results[name] = factor * np.asarray(atoms.calc.results[name])
    if abs(factor) > 100 and name == "stress":  # only where they are not so large that they are refused
        frames = [atoms for atoms in frames if np.abs(atoms.calc.results[name]).max() < 9]
    said = [f for f in evaluate(frames, emt).findings if f.check == "labels"]
    assert len(said) == 1
    assert said[0].level is Level.CAUTION
    assert re.search(says, said[0].message)


def test_of_structures_at_rest_in_dft_neither_sign_nor_ratio_of_forces_is_told(emt: Potential) -> None:
    """Relaxed structures, as an OUTCAR ends with them: what is left of forces points anywhere."""
    frames = labelled()
    for atoms in frames:
        atoms.calc.results["forces"] = -1e-5 * np.asarray(atoms.calc.results["forces"])
    answer = evaluate(frames, emt)
    assert answer.estimate is not None
    assert [f for f in answer.findings if f.check == "labels"] == []
    assert answer.estimate.value.force_relative is None
    assert answer.estimate.value.force_mae is not None


@pytest.mark.parametrize(("factor", "unit"), [(23.06, "kcal/mol"), (96.485, "kJ/mol"), (1000.0, "meV")])
def test_energies_in_other_units(emt: Potential, factor: float, unit: str) -> None:
    frames = [bulk("Cu", cubic=True, a=3.2 + 0.1 * k) for k in range(8)]
    for atoms in frames:
        energy = emt(atoms).unwrap().energy
        atoms.calc = SinglePointCalculator(atoms, energy=factor * energy)
    with pytest.raises(BadInput, match=unit):
        evaluate(frames, emt)


def test_energies_of_one_atom_instead_of_all(emt: Potential) -> None:
    frames = [bulk("Cu", cubic=True, a=3.2 + 0.02 * k) * (1, 1, 1 + k % 2) for k in range(4)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=emt(atoms).unwrap().energy / len(atoms))
    with pytest.raises(BadInput, match="of one atom"):
        evaluate(frames, emt)


def test_offsets_do_not_explain_what_they_were_fitted_to(emt: Potential) -> None:
    frames = [bulk(symbol, cubic=True) for symbol in ("Cu", "Cu", "Ag", "Au")]
    for atoms, off in zip(frames, (0.1, 0.3, 5.0, 7.0), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=emt(atoms).unwrap().energy + off * len(atoms))
    answer = evaluate(frames, emt, offsets=True)
    assert answer.unwrap().energy_mae == pytest.approx(0.2)  # each copper by the other; fitted to both .1
    assert "2 of 4 structures are the only ones" in str(answer.findings)
    one = evaluate(frames[2:], emt, offsets=True)
    assert one.unwrap().energy_mae is None  # it was 0
    evaluation_figure(answer.unwrap())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def error(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(BadInput) as caught:
            read(path)
        assert name in str(caught.value)
        return str(caught.value)

    assert "empty" in error("a.cif", "")
    error("b.cif", b"\x00\x01\x02")
    error("c.unknown", "what is this")
    assert "Qq" in error("d.xyz", "1\n\nQq 0 0 0\n")
    error("e.xyz", "2\n\nH 0 0 0\n")
    assert "no atoms" in error("f.xyz", "0\n\n")
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path / "nowhere.cif")
    with pytest.raises(BadInput, match="folder"):
        read(tmp_path)


def test_partly_occupied_sites_are_refused(tmp_path: Path) -> None:
    cif = (
        "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1'\nloop_\n"
        "_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Cu1 Cu 0 0 0 0.5\nAu1 Au 0 0 0 0.5\n"
    )
    (tmp_path / "alloy.cif").write_text(cif)
    with pytest.raises(BadInput, match="partly occupied"):
        read(tmp_path / "alloy.cif")


def test_structures_survive_a_round_trip(tmp_path: Path) -> None:
    atoms = bulk("NaCl", "rocksalt", 5.64)
    for name in ("a.cif", "a.extxyz", "POSCAR.vasp"):
        back = read(write(atoms, tmp_path / name))
        assert sorted(back.symbols) == sorted(atoms.symbols)
        assert back.get_volume() == pytest.approx(atoms.get_volume())
    with pytest.raises(BadInput, match="no format"):
        write(atoms, tmp_path / "a.nothing")
    ase_write(tmp_path / "many.extxyz", [atoms, molecule("H2O")])
    assert len(read_all(tmp_path / "many.extxyz")) == 2
    assert len(read(tmp_path / "many.extxyz", 0)) == 2
    with pytest.raises(BadInput, match="no frame 7"):
        read(tmp_path / "many.extxyz", 7)


def test_the_periodic_table() -> None:
    pot = Potential.from_calculator(EMT(), elements=["Cu", "Au"])
    tiers = {e.symbol: e.tier for e in elements(pot)}
    assert len(tiers) == 118
    assert tiers["Cu"] == "supported"
    assert tiers["Na"] == "unknown"
    assert len({place(z) for z in range(1, 119)}) == 118, "no two elements on one field"
    assert place(2)[0] == place(10)[0] == place(86)[0] == 17
    assert len(elements_figure(pot).axes[0].texts) >= 2 * 118


def test_everything_refused_is_an_answer_without_an_estimate(emt: Potential) -> None:
    bad = Atoms("Cu2", np.zeros((2, 3)))
    bad.calc = SinglePointCalculator(bad, energy=1.0)
    answer = evaluate([bad], emt)
    assert answer.level is Level.REFUSE
    assert json.loads(json.dumps(answer.to_dict()))["estimate"] is None


def test_what_a_screen_does_not_look_at_is_said(emt: Potential, candidates: Path) -> None:
    (candidates / "notes.txt").write_text("nothing")
    out = candidates / "screen"
    first = screen([candidates], emt, out, relaxed=True)
    said = [f for f in first.findings if f.level is Level.OK]
    assert "1 files were not looked at" in said[0].message
    assert "notes.txt" in said[0].where
    again = screen([candidates], emt, out, relaxed=True)  # its own relaxed structures are no questions
    assert len(again.unwrap().rows) == len(first.unwrap().rows)


def test_a_file_is_one_file_wherever_it_is_named_from(
    emt: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A screen that went on under absolute paths counted every structure twice."""
    (tmp_path / "in").mkdir()
    ase_write(tmp_path / "in" / "a.extxyz", [bulk("Cu", a=3.6), bulk("Cu", a=3.7)])
    monkeypatch.chdir(tmp_path)
    screen(["in"], emt, "out")
    lines = (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8")
    (tmp_path / "out" / "results.jsonl").write_text(lines.replace(str(tmp_path) + "/", ""), encoding="utf-8")
    names = [tmp_path / "in" / "a.extxyz", "in/../in/a.extxyz", "in"]
    again = screen(names, emt, "out").unwrap()  # and of rows as earlier versions wrote them
    assert (again.answered, again.skipped) == (2, 2)
    monkeypatch.chdir(tmp_path / "in")
    once_more = screen(["a.extxyz"], emt, tmp_path / "out").unwrap()
    assert (once_more.answered, once_more.skipped) == (2, 2)
