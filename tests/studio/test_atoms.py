"""The atoms section of the demo, and reports of runs, with a potential that answers at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.studio import atoms_demo
from sciai.studio.atoms import report_of
from sciai.studio.report import Report, render


def test_the_section_shows_what_was_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(atoms_demo, "MD_STEPS", 10)
    calculator = LennardJones(sigma=2.4, epsilon=0.4, rc=5.5, ro=4.5, smooth=True)
    done = atoms_demo.demonstrate(
        tmp_path, step=lambda part, text: None, potential=Potential.from_calculator(calculator)
    )
    section = done.sections[0]
    assert {tile.label for tile in section.tiles} >= {"energy per atom", "bulk modulus", "temperature"}
    assert len(section.pictures) == 4
    page = render(Report("demo", "now", done.sections))
    assert page.count("data:image/png;base64,") == 4
    assert "sciai atoms relax NaCl.cif" in page
    assert json.loads(json.dumps(done.figures, default=str))["relax"]["level"] == "caution"


def test_a_refused_start_is_a_section_too(tmp_path: Path) -> None:
    pot = Potential.from_calculator(EMT(), elements=["Cu"])
    section = atoms_demo.demonstrate(tmp_path, step=lambda part, text: None, potential=pot).sections[0]
    assert section.level.name == "REFUSE"
    assert not section.tiles
    assert any("does not know Na" in str(finding) or "Na" in finding.message for finding in section.findings)


def test_the_report_of_a_refused_run_has_no_figures(tmp_path: Path) -> None:
    answer = relax(Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]), Potential.from_calculator(EMT()), tmp_path / "run")
    page = report_of(answer, "relax", tmp_path / "run").read_text(encoding="utf-8")
    assert "REFUSE" in page
    assert "All figures" not in page
