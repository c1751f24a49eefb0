"""The table of tests: complete against the shared one, names found as sheets write them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sciai.core.errors import BadInput
from sciai.health.data.columns import default_schema
from sciai.health.data.panels import analyte_of_column, table
from sciai.health.data.panels.analytes import load_table


def test_it_holds_the_shared_table(shared_data: Path) -> None:
    with open(shared_data / "health" / "analytes.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            analyte = table().analytes[row["key"]]
            assert row["loinc"] in analyte.loinc
            assert [a.key for a in table().find(row["name_ja"])][-1:] or row["key"] == "crp"
            assert analyte in table().find(row["name_ja"]), row["name_ja"]
            assert analyte.cv_within == (float(row["cvi_pct"]) if row["cvi_pct"] else analyte.cv_within)


def test_columns_are_those_of_the_model() -> None:
    schema = default_schema()
    known = {c.name: c.unit for c in schema.columns} | {d.name: d.unit for d in schema.derived}
    for analyte in table().analytes.values():
        if analyte.column is not None:
            assert known.get(analyte.column) == analyte.unit, analyte.key
    laboratory = {c.name for c in schema.columns if c.group in ("lab", "blood_count")}
    assert laboratory - {a.column for a in table().analytes.values()} <= {"chol_serum"}


@pytest.mark.parametrize(
    ("label", "keys"),
    [
        ("AST(GOT)", ["ast"]),
        ("ＡＳＴ（ＧＯＴ）", ["ast"]),
        ("乳酸デヒドロゲナーゼ(LD・LDH IFCC)", ["ldh"]),
        ("LDL-コレステロール(LDL-C)", ["ldl"]),
        ("中性脂肪(TG・トリグリセリド・トリグリセライド)", ["trig_fasting", "trig_serum"]),
        ("グルコース（血糖・空腹時血糖）(BS・GLU)", ["glucose_fasting"]),
        ("血糖(随時)", ["glucose_serum"]),
        ("eGFR(推算式)", ["egfr", "egfr_japan"]),
        ("HbA1c (NGSP)", ["hba1c"]),
        ("HbA1c(JDS)", ["hba1c_jds"]),
        ("ALP(JSCC)", ["alp_jscc"]),
        ("ＡＬＰ（ＪＳＣＣ法）", ["alp_jscc"]),
        ("ALP (IFCC)", ["alp"]),
        ("クレアチニン(尿)", ["urine_creatinine"]),
        ("血清クレアチニン", ["creatinine"]),
        ("Creatinine, Serum", ["creatinine"]),
        ("Cholesterol, Total", ["chol_total"]),
        ("LDL (mg/dL)", ["ldl"]),
        ("Hemoglobin A1c", ["hba1c"]),
        ("血圧(上)", ["sbp"]),
        ("non-HDLコレステロール", ["non_hdl"]),
        ("2160-0", ["creatinine"]),
        ("3D010000001926101", ["glucose_fasting"]),
        ("好中球(%)", ["neut_pct"]),
        ("crp_hs", ["crp"]),
        ("コリンエステラーゼ(ChE)", ["che"]),
        ("架空検査", []),
        ("", []),
    ],
)
def test_names(label: str, keys: list[str]) -> None:
    assert sorted(a.key for a in table().find(label)) == sorted(keys)


def test_change_limit_and_ranges() -> None:
    ggt = table().analytes["ggt"]
    assert ggt.change_limit() == pytest.approx(2.77 * (8.9**2 + 3.0**2) ** 0.5)
    assert ggt.range_of("M") == (13, 64)
    assert ggt.range_of() == (9, 64)
    assert table().analytes["sbp"].change_limit() is None
    assert analyte_of_column("age") is None


def test_what_was_not_checked_is_marked() -> None:
    for analyte in table().analytes.values():
        assert analyte.cv_within is None or "cv" in analyte.unverified, analyte.key


def test_a_faulty_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("analytes: {x: {column: x}}", encoding="utf-8")
    with pytest.raises(BadInput, match=r"mine\.yaml"):
        load_table(path)
