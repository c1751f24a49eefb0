"""Units: converted by the table and said so, questioned where impossible, refused where of another kind."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.data.panels import parse_quantity, table
from sciai.health.data.panels.numbers import parse_number
from sciai.health.data.panels.units import convert, guess_unit, parse_unit


@pytest.mark.parametrize(
    ("text", "of", "value"),
    [
        ("140 mg/dL", "ldl", 140.0),
        ("3.62 mmol/L", "ldl", 140.0),
        ("88.4 µmol/L", "creatinine", 1.0),
        ("42 mmol/mol", "hba1c", 5.995),
        ("0.3 mg/dL", "crp_hs", 3.0),
        ("548 万/μL", "rbc", 5.48),
        ("5.48 10^12/L", "rbc", 5.48),
        ("8,200 /μL", "wbc", 8.2),
        ("8.2 G/L", "wbc", 8.2),
        ("145 G/L", "hemoglobin", 14.5),
        ("31.8 ×10⁴/µL", "platelets", 318.0),
        ("5.0 mmol/L", "bun", 14.005),
        ("140 mEq/L", "sodium", 140.0),
        ("2.5 mmol/L", "calcium", 10.02),
        ("0.45 L/L", "hematocrit", 45.0),
        ("16 kPa", "sbp", 120.01),
        ("5 ft", "height_cm", 152.4),
        ("1.72 m", "height_cm", 172.0),
        ("154 lbs", "weight_kg", 69.853),
        ("3.4 mg/mmol", "uacr", 30.056),
        ("5.5", "potassium", 5.5),
    ],
)
def test_conversions(text: str, of: str, value: float) -> None:
    quantity = parse_quantity(text, of)
    assert quantity is not None
    assert quantity.usable
    assert quantity.value == pytest.approx(value, rel=1e-3)
    said = [f for f in quantity.findings if f.check == "unit-conversion"]
    number = parse_number(text)
    assert number is not None
    assert bool(said) == (abs(number.value - value) > 1e-9 * value)  # whatever changed the number is said


@pytest.mark.parametrize(
    ("text", "of", "asked"),
    [
        ("88 mg/dL", "creatinine", "88 umol/L"),
        ("5.5 mg/dL", "glucose_fasting", "5.5 mmol/L"),
        ("42 %", "hba1c", "42 mmol/mol"),
        ("140 g/dL", "hemoglobin", "140 g/L"),
        ("548", "rbc", "548 10*4/uL"),
        (1.72, "height_cm", "1.72 m"),
        ("350 mg/dL", "uric_acid", "350 umol/L"),
    ],
)
def test_an_impossible_value_is_asked_about_and_not_used(text: str | float, of: str, asked: str) -> None:
    quantity = parse_quantity(text, of)
    assert quantity is not None
    assert not quantity.usable
    (finding,) = quantity.findings
    assert finding.check == "unit-suspicion"
    assert f"did you mean {asked}" in finding.message


def test_an_impossible_value_without_another_reading_is_refused() -> None:
    quantity = parse_quantity("400", "sodium")
    assert quantity is not None
    assert [(f.check, f.level) for f in quantity.findings] == [("implausible", Level.REFUSE)]
    negative = parse_quantity("-3", "ldl")
    assert negative is not None
    assert not negative.usable


def test_a_strange_but_possible_value_is_used_with_a_question() -> None:
    quantity = parse_quantity("25 10*3/uL", "platelets")
    assert quantity is not None
    assert quantity.usable
    assert quantity.findings[0].level == Level.CAUTION
    assert "25 10*4/uL" in quantity.findings[0].message


@pytest.mark.parametrize(
    ("text", "of", "words"),
    [
        ("80 kg", "creatinine", ["not measured in kg", "mg/dL or umol/L"]),
        ("5 furlong", "ldl", ["'5 furlong' is not a number with a unit", "mg/dL or mmol/L"]),
        ("about 5", "ldl", ["not a number"]),
        ("1.2.3", "ldl", ["not one number"]),
        ("5,4", "ldl", ["not one number"]),
        ("120/80", "sbp", ["not one number"]),
        ("5", "cholestrol", ["no test is called"]),
    ],
)
def test_bad_input_names_the_way_out(text: str, of: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        parse_quantity(text, of)
    assert all(word in str(caught.value) for word in words)


def test_bounds() -> None:
    below, above = parse_quantity("<0.3 mg/L", "crp_hs"), parse_quantity("300以上", "ldl")
    assert below is not None
    assert below.value == pytest.approx(0.3 / 2**0.5)
    assert below.findings[0].check == "bound"
    assert above is not None
    assert above.value == 300
    assert above.findings[0].level == Level.CAUTION


@pytest.mark.parametrize("text", ["", " ", "-", "---", "N/A", "未実施", "nan", float("nan")])
def test_nothing_measured(text: str | float) -> None:
    assert parse_quantity(text, "ldl") is None


@pytest.mark.parametrize(
    ("text", "value", "flag", "unit"),
    [
        ("H 31", 31, "H", ""),
        ("31 H", 31, "H", ""),
        ("31(L)", 31, "L", ""),
        ("31 U/L H", 31, "H", "U/L"),
        ("*31", 31, "", ""),
        ("１２．４", 12.4, "", ""),
        ("1,234.5", 1234.5, "", ""),
        ("1.2e3 /uL", 1200, "", "/uL"),
        ("31↑", 31, "H", ""),
    ],
)
def test_numbers_as_sheets_print_them(text: str, value: float, flag: str, unit: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert (number.value, number.flag, number.unit) == (value, flag, unit)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("ＭＧ／ＤＬ", "mg/dL"),
        ("x10E3/uL", "10*3/uL"),
        ("10^3/mm3", "10*3/uL"),
        ("(mg/dl)", "mg/dL"),
        ("mL/min/1.73m²", "mL/min/{1.73_m2}"),
        ("mL/分/1.73m2", "mL/min/{1.73_m2}"),
        ("mg/g・Cr", "mg/g"),
        ("bpm", "/min"),
    ],
)
def test_spellings(text: str, unit: str) -> None:
    assert parse_unit(text) == unit


def test_a_sheet_without_units() -> None:
    rbc, crp, platelets = (table().analytes[key] for key in ("rbc", "crp", "platelets"))
    assert guess_unit(548, rbc, "ja") == ("10*4/uL", None)
    assert guess_unit(0.05, crp, "ja") == ("mg/dL", None)
    assert guess_unit(0.5, crp, "en") == ("mg/L", None)
    unit, finding = guess_unit(548, rbc, "en")
    assert unit == "10*4/uL"
    assert finding is not None
    assert finding.level == Level.CAUTION
    # two readings are possible: asked, not guessed
    _, finding = guess_unit(31.8, platelets, "en")
    assert finding is not None
    assert finding.level == Level.REFUSE
    # the printed range decides
    unit, finding = guess_unit(31.8, platelets, "en", (15.8, 34.8))
    assert unit == "10*4/uL"
    assert finding is not None
    assert finding.level == Level.CAUTION


@given(st.sampled_from(sorted(table().analytes)), st.floats(0.01, 0.99))
def test_every_unit_of_every_test_comes_back(key: str, part: float) -> None:
    analyte = table().analytes[key]
    low, high = analyte.plausible
    value = low + part * (high - low)
    for unit in analyte.units:
        factor, offset = analyte.units[unit]
        assert convert((value - offset) / factor, unit, analyte) == pytest.approx(value)


def test_factors_agree_with_the_shared_table(shared_data: Path) -> None:
    """The SI factors of an independent table, to 1 %."""
    with open(shared_data / "health" / "analytes.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    compared = 0
    for row in rows:
        analyte = table().analytes[row["key"]]
        if row["si_unit"] in ("", row["unit"]) or row["key"] in ("hba1c", "rdw"):
            continue
        unit = parse_unit(row["si_unit"], analyte)
        shared = convert(float(row["factor"]), unit, analyte)  # one of the table's own unit
        there = convert(1.0, parse_unit(row["unit"], analyte), analyte)
        assert shared == pytest.approx(there, rel=0.01), row["key"]
        compared += 1
    assert compared > 25
