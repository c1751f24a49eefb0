"""A BMI or an LDL in a table that lacks what it is made of: used as it is for one person, and said to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sciai.core.errors import BadInput
from sciai.health import VirtualHuman

VH = VirtualHuman.load()
PEOPLE = pd.DataFrame(
    {
        "age": [45, 52, 60, 64, 71, 38],
        "sex": ["female", "male"] * 3,
        "bmi": [22, 27, 31, 36, 41, 19],
        "ldl": [90, 120, 150, 180, 60, 110],
        "hdl": [70, None, 40, 50, 45, 60],
    }
)


def _one_by_one(column: str) -> list[float]:
    rows = [{k: v for k, v in row.items() if v == v} for row in PEOPLE.to_dict("records")]
    return [VH.given(row).ask(column)[column].mean for row in rows]


@pytest.mark.parametrize(
    ("column", "near"), [("dx_diabetes", 0.04), ("dx_chd", 0.02), ("waist_cm", 1.5), ("sbp", 1)]
)
def test_a_table_is_told_what_one_person_is(column: str, near: float) -> None:
    told = VH.predict(PEOPLE, column)
    mean = told["p"] if "p" in told else told["mean"]
    alone = np.array(_one_by_one(column))
    assert np.abs(mean - alone).max() < near
    without = VH.predict(PEOPLE.drop(columns=["bmi", "ldl"]), column)
    ignored = without["p"] if "p" in without else without["mean"]
    assert np.std(mean - alone) < 0.2 * np.std(ignored - alone)
    said = {(f["check"], f["where"]): f for f in told.attrs["findings"]}
    assert "(6 rows, the first is 0)" in said["expected", "bmi"]["message"]
    assert said["expected", "ldl"]["level"] == "ok"
    assert not [key for key in said if key[0] == "ignored"]


def test_what_is_asked_for_is_not_made_of_what_stands_in() -> None:
    told = VH.predict(PEOPLE, "non_hdl")  # shares total cholesterol and HDL with LDL
    assert (told["sd"] > 5).all()
    said = {(f["check"], f["where"]) for f in told.attrs["findings"]}
    assert ("ignored", "ldl") in said
    assert ("expected", "bmi") in said
    weight = VH.predict(PEOPLE, "weight_kg")
    assert (weight["sd"] > 5).all()


def test_gaps_are_filled_so_that_the_body_mass_holds() -> None:
    gaps = PEOPLE.assign(height_cm=np.nan, weight_kg=np.nan)
    for seed in (None, 3):
        full = VH.impute(gaps, seed=seed)
        np.testing.assert_allclose(
            full["weight_kg"] / (full["height_cm"] / 100) ** 2, PEOPLE["bmi"], rtol=2e-3
        )
    drawn = [VH.impute(gaps, seed=s)["height_cm"][0] for s in (1, 2)]
    assert drawn[0] != drawn[1]


def test_a_body_mass_that_nobody_can_have_with_that_height_is_left_out() -> None:
    odd = pd.DataFrame(
        {"age": [50], "sex": [None], "egfr": [70.0]}
    )  # sex is no number: nothing stands for it
    told = VH.predict(odd, "sbp")
    assert any(f["check"] == "ignored" and f["where"] == "egfr" for f in told.attrs["findings"])


def test_a_word_in_a_calculated_column_is_named_with_its_row() -> None:
    with pytest.raises(BadInput, match=r"row 1 \(index 1\): 'twenty' is not a number \(field bmi"):
        VH.predict(pd.DataFrame({"age": [50, 60], "sex": ["male", "male"], "bmi": ["25", "twenty"]}), "sbp")
    read = VH.predict(pd.DataFrame({"age": [50], "sex": ["male"], "bmi": ["25"]}), "sbp")
    assert read.equals(VH.predict(pd.DataFrame({"age": [50], "sex": ["male"], "bmi": [25]}), "sbp"))
