"""Sheets as people have them: layouts, encodings, units, what is not kept, and what is wrong with them."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.data.panels import Panel, read_panels
from sciai.health.data.panels.dates import parse_date

ACROSS = """氏名,架空花子,,
患者ID,12345,,
性別,女,,
生年月日,1960/3/1,,
検査日,2024/1/10,R6.4.10,2024年7月10日
【生化学】,,,
γ-GTP,31,H 64,29
LDL-コレステロール,１３１,128,140
CRP,0.05,<0.02,0.1
赤血球数,445,450,439
未知の検査,5,6,7
尿蛋白,(-),(-),(+)
コリンエステラーゼ,300,,310
"""
LONG = """# exported 2024
Test,Value,Unit,Range,Flag
Glucose (fasting),99,mg/dL,70-99,
Creatinine,88,umol/L,60-110,
WBC,8.2,10^3/uL,4.0-11.0,
Neutrophils,60,%,,
Neutrophils,4.9,10^3/uL,,
Hemoglobin,9.1,g/dL,12-16,L
Comment,fasted overnight,,,
"""


def _write(folder: Path, text: str, encoding: str = "utf-8", name: str = "panel.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_dates_across_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    panels = read_panels(_write(tmp_path, ACROSS, encoding))
    assert [p.date for p in panels] == [dt.date(2024, 1, 10), dt.date(2024, 4, 10), dt.date(2024, 7, 10)]
    assert panels[0].values == pytest.approx({"ggt": 31, "ldl": 131, "crp_hs": 0.5, "rbc": 4.45})
    assert panels[1].values["ggt"] == 64
    assert panels[1].values["crp_hs"] == pytest.approx(0.2 / 2**0.5)
    assert panels[0].person == {"age": 63.0, "sex": "F"}
    assert panels[1].person["age"] == 64.0


def test_nothing_is_dropped_silently_and_nobody_is_named(tmp_path: Path) -> None:
    panel = read_panels(_write(tmp_path, ACROSS))[0]
    assert [u.label for u in panel.unknown] == ["未知の検査"]
    said = " ".join(f.message for f in panel.findings)
    for words in ("未知の検査", "コリンエステラーゼ", "does not know", "no unit on the sheet for 4 of"):
        assert words in said
    for name in ("架空花子", "12345", "1960"):
        assert name not in repr(read_panels(_write(tmp_path, ACROSS)))


def test_lines_of_test_value_unit(tmp_path: Path) -> None:
    (panel,) = read_panels(_write(tmp_path, LONG))
    assert panel.values == pytest.approx(
        {"glucose_fasting": 99, "creatinine": 0.995, "wbc": 8.2, "neut_pct": 60, "hemoglobin": 9.1}, rel=1e-3
    )
    assert panel.readings[0].range == (70, 99)
    counts = [r for r in panel.readings if r.analyte == "neut_count"]
    assert counts[0].why.startswith("the model does not know")


def test_other_layouts(tmp_path: Path) -> None:
    across = "date,age,sex,LDL,HDL,HbA1c\n2023-01-05,50,male,130,50,5.5\n2024-01-05,51,male,128,52,5.6\n"
    first, second = read_panels(_write(tmp_path, across))
    assert second.values == {"ldl": 128, "hdl": 52, "hba1c": 5.6}
    assert first.person == {"age": 50.0, "sex": "M"}
    above = "検査日,2024/5/18\n検査項目,測定値\nALT,30\n"
    (dated,) = read_panels(_write(tmp_path, above))
    assert (dated.date, dated.values) == (dt.date(2024, 5, 18), {"alt": 30})
    (pairs,) = read_panels(_write(tmp_path, "LDL\t130\tmg/dL\nHDL\t1.3\tmmol/L\n"))
    assert pairs.values == pytest.approx({"ldl": 130, "hdl": 50.27}, rel=1e-3)
    with_dates = "test,date,result,units\nALT,2024-01-01,22,U/L\nALT,2024-06-01,31,U/L\n"
    assert [p.values["alt"] for p in read_panels(_write(tmp_path, with_dates))] == [22, 31]
    coded = "code,name,value,unit\n2160-0,whatever they call it,0.9,mg/dL\n3F077000002391901,x,120,mg/dL\n"
    assert read_panels(_write(tmp_path, coded))[0].values == {"creatinine": 0.9, "ldl": 120}
    head = "項目,単位,基準値,2024/1/10,判定,2024/7/10,判定\n"
    named = head + "ALT,U/L,10-42,45,H,30,\n血小板数,万/μL,15.8-34.8,20.1,,19.0,\n"
    panels = read_panels(_write(tmp_path, named))
    assert [p.values for p in panels] == [{"alt": 45, "platelets": 201}, {"alt": 30, "platelets": 190}]
    assert panels[0].readings[0].range == (10, 42)


def test_a_check_up_with_two_blood_pressures_and_the_results_of_last_year(tmp_path: Path) -> None:
    text = (
        "健診結果票,,,,\n年齢 64歳,,,,\n性別：男,,,,\n受診日：令和6年5月18日,,,,\nNo,項目,今回,前回,単位\n"
        "1,血圧（1回目）,142/90,,mmHg\n2,血圧（2回目）,138/86,,mmHg\n3,LDLコレステロール,＊139,121,mg/dL\n"
    )
    (panel,) = read_panels(_write(tmp_path, text))
    assert (panel.date, panel.person) == (dt.date(2024, 5, 18), {"age": 64.0, "sex": "M"})
    assert panel.values == {"sbp": 140, "dbp": 88, "ldl": 139}
    said = " ".join(f.message for f in panel.findings)
    assert "2 readings of one day, the mean 140" in said
    assert "'前回' was not read" in said
    assert "'No'" not in said


def test_a_sheet_from_excel_in_europe(tmp_path: Path) -> None:
    text = (
        '\ufeff"Test";"01.02.2024";"15.08.2024"\r\n"Hemoglobin (g/dL)";13,5;13,1\r\n'
        '"Total Cholesterol, mmol/L";5,6;5,9\r\n"HDL-C mmol/L";1,3;1,25\r\n"Platelets";245,000;251,000\r\n'
    )
    first, second = read_panels(_write(tmp_path, text))
    # the second date shows that days come first, so the first is no 2nd of January
    assert [first.date, second.date] == [dt.date(2024, 2, 1), dt.date(2024, 8, 15)]
    assert first.values == pytest.approx(
        {"hemoglobin": 13.5, "chol_total": 216.6, "hdl": 50.3, "platelets": 245}, rel=1e-3
    )


def test_an_american_report(tmp_path: Path) -> None:
    text = (
        "Patient: Jane Roe,DOB: 07/04/1961,Sex: F\nCollected: 05/28/2024 09:12\n"
        'Component,Your Value,Standard Range,Flag\n"Urea Nitrogen (BUN)",14 mg/dL,7 - 25 mg/dL,\n'
        '"Cholesterol, Total",232 mg/dL,<200 mg/dL,H\nLDL-Cholesterol,152 mg/dL (calc),,H\n'
        "Hemoglobin A1c,5.7 % of total Hgb,<5.7,H\n"
    )
    (panel,) = read_panels(_write(tmp_path, text))
    assert panel.person == {"age": 62.0, "sex": "F"}
    assert panel.date == dt.date(2024, 5, 28)
    assert panel.values == {"bun": 14, "chol_total": 232, "ldl": 152, "hba1c": 5.7}
    assert panel.readings[1].range == (None, 200)
    assert not panel.unknown
    assert "Roe" not in repr(panel)


def test_mappings_and_frames() -> None:
    (panel,) = read_panels({"LDL": "3.6 mmol/L", "egfr": 70, "age": 64, "sex": "男"})
    assert panel.values == pytest.approx({"ldl": 139.2, "egfr": 70}, rel=1e-3)
    assert panel.person == {"age": 64.0, "sex": "M"}
    two = read_panels({"2024-01-01": {"LDL": 130}, "2023-01-01": {"LDL": 120}})
    assert [p.values["ldl"] for p in two] == [120, 130]
    assert read_panels(two) == two
    frame = pd.DataFrame({"test": ["LDL", "TG"], "value": [130.0, 99.0], "unit": ["mg/dL", "mg/dL"]})
    assert read_panels(frame, fasting=True)[0].values == {"ldl": 130, "trig_fasting": 99}
    dated = pd.DataFrame(
        {"LDL": [130.0, None], "HDL": [50.0, 51.0]}, index=pd.to_datetime(["2024-01-01", "2024-02-01"])
    )
    assert [p.values for p in read_panels(dated.rename_axis("date"))] == [
        {"ldl": 130, "hdl": 50},
        {"hdl": 51},
    ]


def test_fasting_is_taken_from_the_sheet_or_the_caller_and_said(tmp_path: Path) -> None:
    sheet = _write(tmp_path, "test,value\nTG,120\nGlucose,99\n")
    assert set(read_panels(sheet)[0].values) == {"trig_serum", "glucose_serum"}
    assert any(f.check == "fasting" for f in read_panels(sheet)[0].findings)
    assert set(read_panels(sheet, fasting=True)[0].values) == {"trig_fasting", "glucose_fasting"}
    other = _write(tmp_path, "test,value\nTG,120\nFasting glucose,99\n")
    assert set(read_panels(other)[0].values) == {"trig_fasting", "glucose_fasting"}


def test_what_one_name_means_in_two_countries(tmp_path: Path) -> None:
    japanese = _write(tmp_path, "検査項目,測定値\neGFR,70\n尿酸,6\n")
    assert read_panels(japanese)[0].values["egfr_japan"] == 70
    english = _write(tmp_path, "test,value\neGFR,70\nALT,20\n")
    assert read_panels(english)[0].values["egfr"] == 70
    # beside creatinine it is not needed, and said to be left out
    both = read_panels(_write(tmp_path, "検査項目,測定値\neGFR,70\nクレアチニン,0.8\n"))[0]
    assert both.values == {"creatinine": 0.8}
    assert any(f.check == "derived" for f in both.findings)


def test_both_blood_pressures_in_one_cell(tmp_path: Path) -> None:
    (panel,) = read_panels(_write(tmp_path, "検査項目,測定値\n血圧,135/82\n"))
    assert panel.values == {"sbp": 135, "dbp": 82}
    (panel,) = read_panels({"Blood pressure": "120/75 mmHg"})
    assert panel.values == {"sbp": 120, "dbp": 75}


_CELLS = [
    *(
        "検査項目",
        "測定値",
        "単位",
        "基準値",
        "検査日",
        "test",
        "value",
        "unit",
        "range",
        "date",
        "LDL",
        "HDL",
        "HbA1c",
    ),
    *(
        "γ-GTP",
        "血糖(随時)",
        "中性脂肪",
        "クレアチニン",
        "CRP",
        "2024/1/1",
        "R5.3.4",
        "1/2/2024",
        "23/1/1",
        "mg/dL",
        "%",
    ),
    *(
        "万/μL",
        "kg",
        "120",
        "5.5",
        "<0.3",
        "12o",
        "1,234",
        "(-)",
        "-",
        "未実施",
        "氏名",
        "性別",
        "男",
        "年齢",
        "64",
    ),
    *(
        "生年月日",
        "【生化学】",
        "#c",
        "120/80",
        "40-149",
        "99999",
        "-3",
        "1e400",
        "nan",
        "∞",
        "判定",
        "H",
        "loinc",
    ),
    *("2160-0", "3F077000002391901", "メモ", "血圧", "呪文", "", ""),
]


@given(st.lists(st.lists(st.sampled_from(_CELLS), min_size=1, max_size=5), min_size=1, max_size=6))
def test_any_table_is_read_or_refused_in_words(rows: list[list[str]]) -> None:
    width = max(map(len, rows))
    full = [row + [""] * (width - len(row)) for row in rows]
    frame = pd.DataFrame(full[1:], columns=full[0])
    with contextlib.suppress(BadInput):  # anything else would fail
        panels = read_panels(frame)
        assert any(panel.readings for panel in panels)
        for panel in panels:
            assert all(np.isfinite(v) for v in panel.values.values())


def test_a_suspicious_unit_holds_the_value_back_and_keeps_the_rest(tmp_path: Path) -> None:
    (panel,) = read_panels(_write(tmp_path, "test,value,unit\nCreatinine,88,mg/dL\nALT,22,U/L\n"))
    assert panel.values == {"alt": 22}
    (finding,) = [f for f in panel.findings if f.check == "unit-suspicion"]
    assert finding.level == Level.CAUTION
    assert "did you mean 88 umol/L" in finding.message
    assert "row 2" in finding.message


def test_one_row_is_read_in_one_unit(tmp_path: Path) -> None:
    # by itself 12.1 could be 10*3/uL; beside the others it is 10*4/uL
    text = "検査名,2024/1/1,2024/2/1,2024/3/1\n血小板数,21.8,20.9,12.1\n"
    assert [p.values["platelets"] for p in read_panels(_write(tmp_path, text))] == [218, 209, 121]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty", "panel.csv"]),
        ("a,b\n1,2\n", ["no known test"]),
        ("test,value\nLDL,\n", ["no known test"]),
        ("test,value\nLDL,12o\n", ["'12o' is not a number", "row 2", "LDL"]),
        ("test,value,unit\nLDL,120,kg\n", ["row 2", "kg", "mg/dL or mmol/L"]),
        ("test,value\nLDL,120\nLDL-C,130\n", ["ldl is given twice", "row 2", "row 3"]),
        (
            "検査日,2024/1/1,2024/1/1\nLDL,120,130\n",
            ["two columns for one date, 2024-01-01", "columns 2 and 3"],
        ),
        ("date,LDL,HDL\n2024-01-01,120,50\n2024-01-01,130,50\n", ["two rows for one date"]),
        ("LDL,HDL\n120,50\n130,51\n", ["2 rows of values without dates", "sciai health predict"]),
        ("年齢,-3\nLDL,120\n", ["'-3' is not an age"]),
        ("Age,30 months\nLDL,120\n", ["'30 months' is not an age", "years"]),
        ("年齢,60代\nLDL,120\n", ["'60代' is not an age"]),
        ("性別,X\nLDL,120\n", ["unknown sex 'X'"]),
        ("検査日,2024/2/30\nLDL,120\n", ["not a day that exists"]),
        ("検査日,1/2/2024\nLDL,120\n", ["day of month"]),
        ('{"resourceType": "Patient"}', ["without an Observation"]),
        ("[1, 2]", ["JSON list"]),
        ("{", ["not valid JSON"]),
    ],
)
def test_bad_input(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        read_panels(_write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for data, word in (
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"%PDF-1.7", "PDF"),
        (b"\x81\xff\xfe\x00", "none of the encodings"),
    ):
        path = tmp_path / "x"
        path.write_bytes(data)
        with pytest.raises(BadInput, match=word):
            read_panels(path)
    with pytest.raises(BadInput, match="no such file"):
        read_panels(tmp_path / "nowhere.csv")


def test_the_shared_sheets(shared_data: Path) -> None:
    folder = shared_data / "health" / "panels"
    (one,) = read_panels(folder / "all_in_range_ja.csv")
    assert len(one.values) == 20
    assert one.values["rbc"] == pytest.approx(5.48)
    assert "glucose_serum" in one.values
    assert all(f.level < Level.CAUTION for f in one.findings)
    four = read_panels(folder / "quarterly_ja.csv")
    assert len(four) == 4
    assert "ldh" not in four[1].values  # empty cell
    assert {len(p.values) for p in four} == {11, 12}
    assert "架空" not in repr(four)


@pytest.mark.parametrize(
    ("text", "day"), [("2023-08-12T09:30:00Z", 12), ("H31.4.30", 30), ("令和元年5月1日", 1), ("20230812", 12)]
)
def test_dates(text: str, day: int) -> None:
    assert parse_date(text).day == day


def _bundle() -> dict[str, Any]:
    def quantity(value: float, unit: str) -> dict[str, Any]:
        return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}

    def observation(code: str, when: str, **rest: Any) -> dict[str, Any]:
        coding = {"coding": [{"system": "http://loinc.org", "code": code}]}
        resource = {
            "resourceType": "Observation",
            "status": "final",
            "code": coding,
            "effectiveDateTime": when,
            **rest,
        }
        return {"resource": resource}

    bp = [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": quantity(value, "mm[Hg]"),
        }
        for code, value in (("8480-6", 135), ("8462-4", 82))
    ]
    below = quantity(22, "U/L") | {"comparator": "<"}
    entries: list[dict[str, Any]] = [
        {"resource": {"resourceType": "Patient", "gender": "male", "birthDate": "1960-01-31",
                      "name": [{"family": "Nobody"}]}},
        observation("2160-0", "2024-05-01", valueQuantity=quantity(88, "umol/L")),
        observation("1742-6", "2024-05-01T08:00:00Z", valueQuantity=below),
        observation("85354-9", "2024-05-01", component=bp),
        observation("99999-9", "2024-05-01", valueQuantity=quantity(1, "mg/dL")),
        observation("1920-8", "2024-05-01", valueQuantity=quantity(22, "U/L")),
    ]  # fmt: skip
    entries[-1]["resource"]["status"] = "entered-in-error"
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def test_fhir(tmp_path: Path) -> None:
    path = _write(tmp_path, json.dumps(_bundle()), name="bundle.json")
    (panel,) = read_panels(path)
    assert panel.values == pytest.approx(
        {"creatinine": 0.995, "alt": 22 / 2**0.5, "sbp": 135, "dbp": 82}, rel=1e-3
    )
    assert panel.person == {"age": 64.0, "sex": "M"}
    assert [u.label for u in panel.unknown] == ["99999-9"]
    assert any(f.check == "withdrawn" for f in panel.findings)
    assert not any(f.check == "fhir-conformity" for f in panel.findings)
    assert "Nobody" not in repr(panel)
    assert read_panels(_bundle())[0].values == panel.values


def test_fhir_that_does_not_conform_is_said() -> None:
    pytest.importorskip("fhir.resources")
    bundle = _bundle()
    del bundle["entry"][1]["resource"]["status"]
    (panel,) = read_panels(bundle)
    assert any(f.check == "fhir-conformity" and f.level == Level.CAUTION for f in panel.findings)
    assert "creatinine" in panel.values


def test_fhir_of_two_patients() -> None:
    bundle = _bundle()
    for number, entry in enumerate(bundle["entry"][1:3]):
        entry["resource"]["subject"] = {"reference": f"Patient/{number}"}
    with pytest.raises(BadInput, match="2 patients"):
        read_panels(bundle)
    bundle = _bundle()
    other = {
        "resource": {"resourceType": "Patient", "id": "b", "gender": "female", "birthDate": "1990-01-01"}
    }
    bundle["entry"].append(other)
    with pytest.raises(BadInput, match="do not say whose they are"):
        read_panels(bundle)
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Observation":
            entry["resource"]["subject"] = {"reference": "Patient/b"}
    assert read_panels(bundle)[0].person["sex"] == "F"


def test_other_types_are_refused() -> None:
    for source in (3, [1, 2]):
        with pytest.raises(BadInput):
            read_panels(source)  # type: ignore[arg-type]
    assert isinstance(read_panels({"LDL": 1e2})[0], Panel)
