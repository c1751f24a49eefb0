"""Rows without a unit: in SI where the rest of the sheet is, else as they were read before."""

from __future__ import annotations

import pytest

from sciai.core.answer import Level
from sciai.health.data.panels import Panel, read_panels


def read(**rows: object) -> Panel:
    return read_panels(rows)[0]


def test_beside_rows_in_si_units_ordinary_values_are_in_si_units() -> None:
    """Urea nitrogen of 5.5 was read as mg/dL, without a word, beside glucose of 5.5 mmol/L."""
    panel = read(glucose=5.5, cholesterol=5.2, HDL=1.4, BUN=5.5, bilirubin=12, phosphate=1.1)
    assert panel.values["bun"] == pytest.approx(15.4, abs=0.1)
    assert panel.values["bilirubin_total"] == pytest.approx(0.70, abs=0.01)
    assert panel.values["phosphorus"] == pytest.approx(3.41, abs=0.01)
    said = [f for f in panel.findings if "as the rest of the sheet" in f.message]
    assert len(said) == 3
    assert all(f.level is Level.CAUTION for f in said)
    assert not any(f.check == "no-unit" for f in panel.findings)  # "the usual units" they are not


def test_units_that_are_written_speak_for_the_sheet() -> None:
    panel = read(glucose="5.5 mmol/L", cholesterol="5.2 mmol/L", BUN=5.5)
    assert panel.values["bun"] == pytest.approx(15.4, abs=0.1)


@pytest.mark.parametrize(
    "others",
    [
        {"glucose": "99 mg/dL", "cholesterol": "200 mg/dL"},
        {"glucose": 99, "cholesterol": 200},
        {"glucose": 5.5, "cholesterol": 200, "HDL": 1.4},  # of both kinds: no sheet to follow
        {"sodium": "140 mmol/L", "potassium": "4 mmol/L", "chloride": "101 mmol/L"},  # told so everywhere
        {},
    ],
)
def test_other_sheets_are_read_as_before(others: dict[str, object]) -> None:
    assert read(**others, BUN=5.5).values["bun"] == 5.5


def test_a_unit_in_the_name_or_a_printed_range_wins() -> None:
    both = {"glucose": "5.5 mmol/L", "cholesterol": "5.2 mmol/L"}
    assert read(**both, **{"BUN (mg/dL)": 5.5}).values["bun"] == 5.5
    ranged = read_panels(both | {"BUN": {"value": 7, "range": "8-20"}})[0]
    assert ranged.values["bun"] == 7
