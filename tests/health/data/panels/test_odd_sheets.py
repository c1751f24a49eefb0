"""Sheets as people really send them: read as they are meant, or refused with a way out; nothing is mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health import VirtualHuman, read_panels
from sciai.health.api.panel import latest, person_of
from sciai.health.data.panels.analytes import table

VISITS = """氏名;患者番号;検査日;性別;生年月日;HbA1c(NGSP) %;LDL-C;HDL-C;クレアチニン;尿蛋白;CRP
架空太郎;1;令和5年4月10日;男;昭和34年3月2日;６．２;１４０ H;４５;0,9;1+;<0.3
架空太郎;1;R5.10.10;男性;S34.3.2;5,9;131;48;0,88;(-);0,1
"""


def _sheet(folder: Path, text: str) -> Path:
    path = folder / "sheet.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_visits_down_with_a_date_of_birth_in_each(tmp_path: Path) -> None:
    first, second = read_panels(_sheet(tmp_path, VISITS))
    assert [str(first.date), str(second.date)] == ["2023-04-10", "2023-10-10"]
    assert first.person == {"age": 64.0, "sex": "M"}
    assert first.values == pytest.approx(
        {"hba1c": 6.2, "ldl": 140, "hdl": 45, "creatinine": 0.9, "crp_hs": 3 / 2**0.5}
    )
    assert second.values["hba1c"] == 5.9
    assert "架空太郎" not in repr((first, second))


@pytest.mark.parametrize(
    "text",
    [
        "PatientID,Date,LDL,HDL\nA,2024-01-05,140,55\nB,2024-02-05,150,45\n",
        "PatientID,Date,LDL,HDL\nA,2024-01-05,140,55\nB,2024-01-05,150,45\n",
        "Date,Sex,LDL,HDL\n2024-01-05,F,140,55\n2024-02-05,M,150,45\n",
        "Date,DOB,LDL,HDL\n2024-01-05,1960-01-02,140,55\n2024-02-05,1961-01-02,150,45\n",
        "患者番号,検査項目,結果,検査日\n1,LDL-C,140,2024-01-05\n2,LDL-C,150,2024-02-05\n",
    ],
)
def test_several_people_are_no_course_of_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"several people.*sciai health predict"):
        read_panels(_sheet(tmp_path, text))


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("AST(U/L)", "ast"),
        ("ALT (U/L)", "alt"),
        ("γ-GTP（U/L）", "ggt"),
        ("CK [U/L]", "ck"),
        ("HbA1c %", "hba1c"),
        ("Neut%", "neut_pct"),
        ("Lymph %", "lymph_pct"),
        ("尿酸 mg/dL", "uric_acid"),
        ("ＨｂＡ１ｃ（ＮＧＳＰ）％", "hba1c"),
    ],
)
def test_units_in_names(tmp_path: Path, label: str, column: str) -> None:
    panel = read_panels(_sheet(tmp_path, f"test,value\n{label},5.5\nAlbumin,4.2\n"))[0]
    assert panel.values[column] == 5.5
    assert not panel.unknown


def test_a_unit_of_enzymes_is_no_urine() -> None:
    assert [a.key for a in table().find("クレアチニン(尿)")] == ["urine_creatinine"]
    assert [a.key for a in table().find("ALT(U/L)")] == ["alt"]


def test_a_line_with_more_cells_than_columns_is_not_read(tmp_path: Path) -> None:
    text = "検査項目,2024-01-05,2024-04-05\nLDL-C,140,131\n尿酸,5,4,5.5\nHDL-C,50,52\n"
    panels = read_panels(_sheet(tmp_path, text))
    assert [p.values for p in panels] == [{"ldl": 140, "hdl": 50}, {"ldl": 131, "hdl": 52}]
    said = next(f for f in panels[0].findings if f.check == "stray-column")
    assert said.level == Level.CAUTION
    assert "row 3 (尿酸)" in said.message
    remarks = "検査項目,2024-01-05,2024-04-05\nLDL-C,140,131,高め\n"
    assert read_panels(_sheet(tmp_path, remarks))[1].values == {"ldl": 131}


def test_one_impossible_value_does_not_refuse_the_others(tmp_path: Path) -> None:
    panel = read_panels(_sheet(tmp_path, "test,value,unit\nLDL,140,mg/dL\nPlatelets,1.234,10^3/uL\n"))[0]
    assert panel.values == {"ldl": 140}
    assert "not used (row 3)" in next(f.message for f in panel.findings if f.check == "set-aside")
    answer = person_of(VirtualHuman.load().given(age=64, sex="male"), panel).risks()
    assert answer.level == Level.CAUTION
    assert answer.estimate is not None


def test_a_limit_of_detection_is_in_the_usual_unit(tmp_path: Path) -> None:
    panel = read_panels(_sheet(tmp_path, "検査項目,結果\nCRP,<0.3\nLDL,140\n"))[0]
    assert panel.values["crp_hs"] == pytest.approx(3 / 2**0.5)
    unsure = read_panels(_sheet(tmp_path, "検査項目,結果\nCRP,0.9\nLDL,140\n"))[0]
    assert "which is it" in " ".join(f.message for f in unsure.findings)
    assert not [f for f in unsure.findings if f.check == "unit-conversion"]  # nothing was done with it


def test_a_sheet_of_somebody_else_is_asked_about(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path, "検査項目,結果\n性別,女\n年齢,58\n検査日,2024-01-05\nLDL,140\n")
    human, panel = VirtualHuman.load(), read_panels(sheet)[0]
    said = [
        f
        for f in person_of(human.given(age=64, sex="male"), panel).known.findings
        if f.check == "another-person"
    ]
    assert [f.where for f in said] == ["sex", "age"]
    assert "a female person, but male was given" in said[0].message
    same = person_of(human.given(age=58, sex="female"), panel).known.findings
    assert not [f for f in same if f.check == "another-person"]


def test_a_value_that_differs_from_the_sheet_s_is_said(tmp_path: Path) -> None:
    text = "test,unit,2023-01-05,2024-01-05\nHbA1c,%,5.6,5.9\nLDL,mg/dL,140,120\n"
    human, panels = VirtualHuman.load(), read_panels(_sheet(tmp_path, text))
    given = human.given(age=64, sex="male", hba1c=7.5, ldl="3.1033 mmol/L")
    for findings in (
        person_of(given, latest(panels)).known.findings,
        human.timeline(panels, age=64, sex="male", hba1c=7.5).findings,
    ):
        (said,) = (f for f in findings if f.check == "another-value")
        assert said.level is Level.CAUTION
        assert "the sheet says hba1c 5.9, but 7.5 was given and is used" in said.message


def test_dates_with_a_year_of_two_digits_are_asked_about(tmp_path: Path) -> None:
    for head in ("1/5/24,4/9/24", "24/1/5,24/4/9"):
        with pytest.raises(BadInput, match=r"year of two digits.*2023-08-12"):
            read_panels(_sheet(tmp_path, f"test,{head}\nLDL,140,131\n"))


def test_a_second_number_without_a_date_is_said_to_be_left_out(tmp_path: Path) -> None:
    panel = read_panels(_sheet(tmp_path, "LDL,140,131\nHDL,50,mg/dL,40-90\n"))[0]
    assert panel.values == {"ldl": 140, "hdl": 50}
    assert "only the first number was read in row 1:" in " ".join(f.message for f in panel.findings)
    shifted = read_panels(_sheet(tmp_path, "test,value\nLDL,140\nGlucose,5,4\n"))[0]
    assert shifted.values == {"ldl": 140}
    assert "row 3 (Glucose)" in " ".join(f.message for f in shifted.findings)


def test_limits_as_an_american_laboratory_prints_them(tmp_path: Path) -> None:
    text = (
        "Test\tResult\tUnits\tRange\neGFR\t> OR = 60\tmL/min/1.73m2\t> OR = 60\nHDL\t48\tmg/dL\t> OR = 40\n"
    )
    text += "ALT\tQNS\tU/L\t\nBUN/CREATININE RATIO\tNOT APPLICABLE\t(calc)\t6-22\n"
    panel = read_panels(_sheet(tmp_path, text))[0]
    assert panel.values["hdl"] == 48
    assert {r.column: r.bound for r in panel.readings} == {"egfr": ">", "hdl": ""}
    assert next(r.range for r in panel.readings if r.column == "hdl") == (40, None)


@pytest.mark.parametrize("sex", ["unknown", "不明", "other", ""])
def test_a_sex_that_is_not_said(tmp_path: Path, sex: str) -> None:
    panel = read_panels(_sheet(tmp_path, f"test,value\nLDL,140\nage,64\nsex,{sex}\n"))[0]
    assert panel.person == {"age": 64.0}


@pytest.mark.parametrize(
    "label",
    [
        "BUN/Creatinine Ratio",
        "BUN/Cre比",
        "Cholesterol/HDL ratio",
        "LDL/HDL比",
        "AST/ALT ratio",
        "Creatinine clearance",
    ],
)
def test_a_ratio_of_two_tests_is_neither(tmp_path: Path, label: str) -> None:
    panel = read_panels(_sheet(tmp_path, f"test,value\n{label},18\nAlbumin,4.2\n"))[0]
    assert panel.values == {"albumin": 4.2}
    assert [u.label for u in panel.unknown] == [label]
    for known, column in (("リンパ球比率(%)", "lymph_pct"), ("Albumin/Creatinine ratio", "uacr")):
        assert table().find(known)[0].column == column


def test_what_was_measured_on_another_date_only_is_said(tmp_path: Path) -> None:
    panels = read_panels(_sheet(tmp_path, "test,2024-01-05,2024-04-05\nLDL,140,131\nHbA1c,5.5,\n"))
    assert "hba1c: measured on another date only" in " ".join(f.message for f in latest(panels).findings)
    assert not [f for f in latest(panels, "2024-01-05").findings if f.check == "other-date"]


def test_a_mapping_may_hold_value_and_unit_of_each_test() -> None:
    one = {
        "AST": {"value": 20, "unit": "U/L", "range": "13-30"},
        "creatinine": {"value": 88.4, "unit": "umol/L"},
    }
    panel = read_panels(one)[0]
    assert panel.values == {"ast": 20, "creatinine": pytest.approx(1.0, abs=1e-3)}
    assert panel.readings[0].range == (13, 30)
    dated = read_panels({"2024-01-02": {"AST": {"value": 20, "unit": "U/L"}}, "2024-02-02": {"AST": 22}})
    assert [p.values for p in dated] == [{"ast": 20}, {"ast": 22}]


@pytest.mark.parametrize(
    "heads", ["2024年1月,2024年2月", "2024-01,2024-02", "Jan 2024,Feb 2024", "令和6年1月,令和6年2月"]
)
def test_heads_may_be_months(tmp_path: Path, heads: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(f"Test,Unit,{heads}\nAST,U/L,20,25\nALT,U/L,22,24\n", "utf-8")
    first, second = read_panels(path)
    assert (str(first.date), str(second.date)) == ("2024-01-01", "2024-02-01")
    assert (first.values["ast"], second.values["ast"]) == (20, 25)
    assert any(f.check == "date" and "first of the month" in f.message for f in first.findings)


def test_a_comma_behind_a_zero_stands_before_decimals(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("Test;Result;Unit\nCreatinine;0,912;mg/dL\nPotassium;4,125;mmol/L\n", "utf-8")
    assert read_panels(path)[0].values == {"creatinine": 0.912, "potassium": 4.125}


@pytest.mark.parametrize("sign", ["1+", "(2+)", "3(+)", "２＋", "+1", "(+)"])
def test_plus_signs_of_a_dipstick_are_no_numbers(tmp_path: Path, sign: str) -> None:
    panel = read_panels(_sheet(tmp_path, f"test,value\nBilirubin,{sign}\nAlbumin,{sign}\nAST,22\n"))[0]
    assert panel.values == {"ast": 22}
    assert [r.why for r in panel.readings if not r.used] == ["not a number"] * 2
    with pytest.raises(BadInput, match="not a number"):
        VirtualHuman.load().given(age=50, bilirubin_total=sign)
    flagged = read_panels(_sheet(tmp_path, "test,value\nAST,82 +\nALT,9.1 +\n"))[0]
    assert flagged.values == {"ast": 82, "alt": 9.1}


def test_line_ends_of_an_old_macintosh_and_quotes_that_never_end(tmp_path: Path) -> None:
    text = "test,value,unit\rAST,20,U/L\rLDL,120,mg/dL\r"
    assert read_panels(_sheet(tmp_path, text))[0].values == {"ast": 20, "ldl": 120}
    with pytest.raises(BadInput, match=r"cannot be read as CSV.*a quote that never ends"):
        read_panels(_sheet(tmp_path, 'test,value\n"AST,20\n' + "LDL,120\n" * 20_000))


@pytest.mark.parametrize("head", ["date,LDL", "検査日,LDL-C (mg/dL)", "Date,Age,LDL", "LDL,date"])
def test_one_test_beside_its_dates(tmp_path: Path, head: str) -> None:
    lines = [head] + [
        ",".join(value if "LDL" in name else "64" if name == "Age" else day for name in head.split(","))
        for day, value in (("2024-05-10", "120"), ("2024-08-10", "131"))
    ]
    panels = read_panels(_sheet(tmp_path, "\n".join(lines)))
    assert [(str(p.date), p.values) for p in panels] == [
        ("2024-05-10", {"ldl": 120}),
        ("2024-08-10", {"ldl": 131}),
    ]
    pair = read_panels(_sheet(tmp_path, "検査日,2024-05-10\nLDL,120\n"))[0]
    assert (str(pair.date), pair.values) == ("2024-05-10", {"ldl": 120})


def test_why_no_line_was_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no known test.*values may be shifted.*write 5\.4"):
        read_panels(_sheet(tmp_path, "test,unit,2024-08-10\nHbA1c,%,5,4\nAST,U/L,21,5\n"))


def test_marks_and_units_of_japanese_sheets(tmp_path: Path) -> None:
    text = (
        "項目,結果,単位\n白血球数,52,×100/μL\nAST,▲45,U/L\nHDL,▼35,mg/dL\nLDL,160▲,mg/dL\nTG,(H) 188,mg/dL\n"
    )
    panel = read_panels(_sheet(tmp_path, text))[0]
    assert panel.values == {"wbc": 5.2, "ast": 45, "hdl": 35, "ldl": 160, "trig_serum": 188}


def test_short_eras_and_lines_about_the_person_beside_groups_of_tests(tmp_path: Path) -> None:
    text = "性別,男,年齢,64歳,\n,,検査日,,\n分類,項目,単位,令6.5.10,平31-4-30\n"
    text += "肝機能,AST,U/L,20,21\n,ALT,U/L,22,23\n"
    first, last = read_panels(_sheet(tmp_path, text))
    assert [str(p.date) for p in (first, last)] == ["2019-04-30", "2024-05-10"]
    assert last.values == {"ast": 20, "alt": 22}
    assert last.person == {"age": 64, "sex": "M"}
    assert not last.unknown  # the sex of the person is no test with the age as its result
