"""Tests of urine on sheets that also hold tests of blood."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.health.data.panels import Panel, read_panels, table


def read(folder: Path, text: str) -> Panel:
    path = folder / "sheet.csv"
    path.write_text(text, "utf-8")
    return read_panels(path)[0]


@pytest.mark.parametrize(
    "head", ["URINALYSIS,,", "Urinalysis (UA),,", "[Urine],,", "尿検査,,", "【尿一般検査】,,"]
)
def test_below_urinalysis_nothing_is_of_blood(tmp_path: Path, head: str) -> None:
    rows = f"Test,Result,Unit\nHDL,50,mg/dL\n{head}\nGlucose,500,mg/dL\nSodium,120,mmol/L\nWBC,0-5,/HPF\n"
    panel = read(tmp_path, rows)
    assert panel.values == {"hdl": 50}
    said = " ".join(f.message for f in panel.findings)
    assert "Glucose (urine)" in said
    assert "WBC (urine)" in said


def test_the_part_ends_with_the_next_heading(tmp_path: Path) -> None:
    of_urine = "尿検査,,\n糖,(-),\nクレアチニン,100,mg/dL\n"
    rows = f"検査項目,結果,単位\n{of_urine}血液検査,,\nクレアチニン,0.9,mg/dL\nAST,20,U/L\n"
    assert read(tmp_path, rows).values == {"creatinine": 0.9, "ast": 20}


def test_a_cell_beside_the_name_may_name_the_specimen(tmp_path: Path) -> None:
    rows = "Test,Specimen,Result,Unit\nCreatinine,Urine,120,mg/dL\nCreatinine,Serum,0.9,mg/dL\n"
    assert read(tmp_path, rows).values == {"creatinine": 0.9}


def test_a_sheet_of_blood_alone_is_read_as_before(tmp_path: Path) -> None:
    rows = "Test,Result,Unit\nUric acid,5,mg/dL\nUrea nitrogen,15,mg/dL\nLipids,,\nHDL,50,mg/dL\n"
    assert read(tmp_path, rows).values == {"uric_acid": 5, "bun": 15, "hdl": 50}


@pytest.mark.parametrize("label", ["Glucose (CSF)", "糖(髄液)", "LDH (pleural fluid)", "総蛋白(胸水)"])
def test_another_fluid_in_the_name_is_not_blood(label: str) -> None:
    assert not any(test.modelled for test in table().find(label))
