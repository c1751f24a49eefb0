"""Sheets of health checks in Japan, of laboratories that print two units, tables with pandas' gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health import read_panels
from sciai.health.data.panels.analytes import table
from sciai.health.data.panels.units import guess_unit

HEALTH_CHECK = """項目名,単位,基準値,今回 {now},前回 {before}
体重,kg,,68,70
腹囲,cm,84.9以下,86,88
血圧(最高),mmHg,129以下,132,128
血圧(最低),mmHg,84以下,80,82
HDL,mg/dl,40以上,50,52
γ-GTP,U/L,50以下,40,55
"""
NOW = {"weight_kg": 68, "waist_cm": 86, "sbp": 132, "dbp": 80, "hdl": 50, "ggt": 40}


def _sheet(folder: Path, text: str) -> Path:
    path = folder / "sheet.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("now", ["2024/05/10", "(令和6年5月10日)", "：R6.5.10"])
def test_words_beside_the_dates_of_the_columns(tmp_path: Path, now: str) -> None:
    text = HEALTH_CHECK.format(now=now, before="2023/05/12")
    first, second = read_panels(_sheet(tmp_path, text))
    assert [str(first.date), str(second.date)] == ["2023-05-12", "2024-05-10"]
    assert second.values == pytest.approx(NOW)
    assert first.values["waist_cm"] == 88
    assert next(r.range for r in second.readings if r.column == "waist_cm") == (None, 84.9)


def test_an_end_of_a_range_is_nobodys_value(tmp_path: Path) -> None:
    (panel,) = read_panels(_sheet(tmp_path, HEALTH_CHECK.format(now="A", before="B")))
    assert panel.values == pytest.approx(NOW)
    assert next(r.range for r in panel.readings if r.column == "hdl") == (40, None)
    assert "columns of results need their dates" in " ".join(f.message for f in panel.findings)


def test_each_visit_has_its_own_age(tmp_path: Path) -> None:
    text = "日付,年齢,性別,LDL,HDL\n2014/3/1,54,男,120,50\n2019/3/1,,男,121,50\n2024/3/1,64,男,122,50\n"
    panels = read_panels(_sheet(tmp_path, text))
    assert [panel.person["age"] for panel in panels] == [54, 59, 64]


def test_an_age_that_stands_once_is_that_of_the_last_visit(tmp_path: Path) -> None:
    first, last = read_panels(_sheet(tmp_path, "年齢,64歳\n検査項目,2014/3/1,2024/3/1\nLDL,120,122\n"))
    assert (first.person["age"], last.person["age"]) == (54, 64)


def test_one_result_in_two_units_is_one(tmp_path: Path) -> None:
    text = """test,value,unit
HbA1c,5.9,%
HbA1c (IFCC),41,mmol/mol
Creatinine,84,umol/L
Creatinine,0.95,mg/dL
Glucose,99,mg/dL
Glucose,5.5,mmol/L
"""
    (panel,) = read_panels(_sheet(tmp_path, text))
    assert panel.values["hba1c"] == 5.9
    assert panel.values["creatinine"] == pytest.approx(0.95, abs=0.001)
    assert panel.values["glucose_serum"] == pytest.approx(99, abs=0.1)
    with pytest.raises(BadInput, match="given twice"):
        read_panels(_sheet(tmp_path, text.replace(",41,", ",44,")))
    with pytest.raises(BadInput, match="given twice"):  # two results in one unit
        read_panels(_sheet(tmp_path, "test,value,unit\nLDL,140,mg/dL\nLDL,140.4,mg/dL\n"))


@pytest.mark.parametrize(
    ("name", "value", "language"),
    [("crp", 5.0, "en"), ("creatinine", 8.1, "ja"), ("trig_fasting", 520, "ja"), ("hba1c", 13.2, "en"),
     ("bun", 65, "ja"), ("glucose_fasting", 410, "en")],
)  # fmt: skip
def test_values_of_ill_people_are_read_without_a_unit(name: str, value: float, language: str) -> None:
    """The other unit in which they would be ordinary is one that no laboratory prints them in."""
    analyte = table().analytes[name]
    assert guess_unit(value, analyte, language) == (analyte.usual.get(language, analyte.unit), None)


@pytest.mark.parametrize(("name", "value"), [("bilirubin_total", 14), ("iron", 15), ("platelets", 31.8)])
def test_two_units_that_are_printed_are_asked_about(name: str, value: float) -> None:
    _, finding = guess_unit(value, table().analytes[name], "en")
    assert finding is not None
    assert finding.level == Level.REFUSE


def test_nothing_is_said_of_how_a_refused_value_was_used(tmp_path: Path) -> None:
    (panel,) = read_panels(_sheet(tmp_path, "test,value\nBilirubin,14\nLDL,140\n"))
    assert "bilirubin_total" not in panel.values
    assert not [f for f in panel.findings if "used as written" in f.message]


def test_gaps_of_pandas_are_gaps() -> None:
    frame = pd.DataFrame(
        {
            "test": pd.array(["AST", "ALT", "LDL"], dtype="string"),
            "value": pd.array([20, None, 140], dtype="Int64"),
            "unit": pd.Categorical(["U/L", None, "mg/dL"]),
        }
    )
    assert read_panels(frame)[0].values == {"ast": 20, "ldl": 140}
    given = {"AST": pd.NA, "ALT": pd.NaT, "LDL": np.int64(140), "age": pd.NA, "Gender": "male"}
    (panel,) = read_panels(given)
    assert panel.values == {"ldl": 140}
    assert panel.person == {"sex": "M"}


def test_one_date_over_tests_that_are_the_index() -> None:
    frame = pd.DataFrame({pd.Timestamp("2024-01-05"): [20, 30.0]}, index=["AST", "ALT"])
    (panel,) = read_panels(frame)
    assert str(panel.date) == "2024-01-05"
    assert panel.values == {"ast": 20, "alt": 30}


@pytest.mark.parametrize(
    "text",
    [
        "age,sex,LDL,HDL\n64,male,140,50\n",
        "性別,年齢,LDL,HDL\n男,64,140,50\n",
        "年齢,性別\n64,男\n検査項目,結果\nLDL,140\nHDL,50\n",
        "氏名：架空 太郎　性別：男　年齢：64歳\n検査項目,結果\nLDL,140\nHDL,50\n",
        "検査項目,LDL,HDL,年齢,性別\n単位,mg/dL,mg/dL,,\n基準値,119以下,40以上,,\n2024/5/1,140,50,64,男\n",
    ],
)
def test_heads_are_not_what_they_stand_over(tmp_path: Path, text: str) -> None:
    (panel,) = read_panels(_sheet(tmp_path, text))
    assert panel.person == {"age": 64, "sex": "M"}
    assert panel.values == {"ldl": 140, "hdl": 50}


@pytest.mark.parametrize("cell", ["（未実施）", "検査せず", "該当なし", "―", "[再検]", "測定中"])
def test_words_for_nothing_measured(tmp_path: Path, cell: str) -> None:
    (panel,) = read_panels(_sheet(tmp_path, f"検査項目,結果\nAST,{cell}\nLDL,140\n"))
    assert panel.values == {"ldl": 140}


def test_an_instant_and_international_units_of_fhir() -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1742-6"}]},
        "effectiveInstant": "2024-05-18T10:00:00Z",
        "valueQuantity": {"value": 30, "unit": "IU/L", "code": "[iU]/L"},
    }
    patient = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960-04-01"}
    entries = [{"resource": patient}, {"resource": observation}]
    (panel,) = read_panels({"resourceType": "Bundle", "type": "collection", "entry": entries})
    assert (str(panel.date), panel.values, panel.person["age"]) == ("2024-05-18", {"alt": 30}, 64)
