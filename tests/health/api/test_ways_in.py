"""What people ask and write that is a little off: taken as meant, or refused with a reason; never a crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sciai.core.answer import Level, Refused
from sciai.core.errors import BadInput
from sciai.health import VirtualHuman
from sciai.health.api.evaluate import evaluate

VH = VirtualHuman.load()


@pytest.mark.parametrize(
    ("where", "check"),
    [
        ({"age": 15}, "age"),
        ({"sex": "male", "pregnant": True}, "contradiction"),
        ({"sbp": 100, "dbp": 150}, "contradiction"),
        ({"creatinine": 88}, "unit-suspicion"),
    ],
)
def test_crowds_have_the_guards_of_a_person(where: dict[str, Any], check: str) -> None:
    answer = VH.marginal("hba1c", where=where)
    assert answer.level == Level.REFUSE
    assert check in {f.check for f in answer.findings if f.level == Level.REFUSE}
    assert answer.estimate is None
    for ask in (VH.crowd, lambda where, n: VH.joint(["hba1c", "bmi"], where, n=n)):
        with pytest.raises(Refused, match=check):
            ask(where, n=5)


def test_a_crowd_of_its_own_target_is_told_so() -> None:
    assert VH.marginal("sbp", where={"sbp": 120}).level == Level.REFUSE
    assert VH.marginal("sbp", where={"sbp": (120, 130)}, n=200).level < Level.REFUSE


@pytest.mark.parametrize("n", [0, -4])
def test_a_marginal_of_nobody(n: int) -> None:
    with pytest.raises(BadInput, match="ask for 1 or more"):
        VH.marginal("sbp", where={"age": (60, 69)}, n=n)


def test_an_end_of_a_range_that_is_no_number_does_not_drop_the_condition() -> None:
    with pytest.raises(BadInput, match="no end of a range"):
        VH.marginal("sbp", where={"age": (float("nan"), 30)})


def test_names_as_a_list_and_one_name() -> None:
    me = VH.given(age=64, sex="male")
    assert set(me.ask(["sbp", "egfr"]).unwrap()) == {"sbp", "egfr"}
    with pytest.raises(BadInput, match="nothing was asked for"):
        me.ask([])
    assert list(VH.joint("sbp", n=5).table) == ["sbp"]
    assert list(VH.joint(["sbp", "age", "sbp"], n=5).table) == ["sbp", "age"]
    with pytest.raises(BadInput, match="no column is named"):
        VH.joint([], n=5)


def test_gaps_are_filled_in_the_words_of_the_table() -> None:
    table = pd.DataFrame(
        {
            "age": [50, 60, 30],
            "sex": ["male", None, "female"],
            "dx_diabetes": ["あり", None, "なし"],
            "rx_bp": [True, None, False],
            "dx_gout": pd.array([True, None, False], dtype="boolean"),
            "dx_copd": [1, np.nan, 0],
            "smoking": pd.Categorical(["never", None, None]),
        }
    )
    full = VH.impute(table)
    assert set(full["sex"]) <= {"male", "female"}
    assert set(full["dx_diabetes"]) <= {"あり", "なし"}
    assert all(isinstance(value, bool) for value in [*full["rx_bp"], *full["dx_gout"]])
    assert set(full["dx_copd"]) <= {0.0, 1.0}
    assert set(full["smoking"]) <= {"never", "former", "current"}
    coded = VH.impute(pd.DataFrame({"age": [50, 60], "sex": ["M", None]}))
    assert set(coded["sex"]) <= {"M", "F"}


def test_a_change_of_a_level_is_named() -> None:
    me = VH.given(age=64, sex="male", rx_bp=True)
    assert me.what_if(["hba1c"], rx_bp=False).unwrap().changes == "rx_bp no"
    assert me.what_if(["hba1c"], sex="女").unwrap().changes == "sex female"
    with pytest.raises(BadInput, match=r"plain number of kg"):
        me.what_if(weight_kg="-2 kg")
    with pytest.raises(BadInput, match=r"it is 60 here, and can be 10 to 350"):
        me.given(weight_kg=60).what_if(weight_kg=-55)


def test_numbers_with_the_columns_own_unit() -> None:
    assert VH.given(age="64歳", sleep_hours="7 h").known.given == {"age": 64, "sleep_hours": 7}
    with pytest.raises(BadInput, match="in years"):
        VH.given(age=-3)


def test_a_table_of_ones_own_is_scored_as_people_write_it() -> None:
    people = VH.sample(60, seed=3)
    own = people.assign(
        sex=people["sex"].map({"M": "男", "F": "女"}),
        dx_diabetes=people["dx_diabetes"].map({0: "No", 1: "Yes"}),
        age=people["age"].where(people["age"] < 80, 91),
    )
    wanted = ["dx_diabetes", "sbp"]
    # as text: what is not defined (the coverage of a yes or no) is no number, and equals nothing
    assert str(evaluate(VH, own, targets=wanted)) == str(evaluate(VH, people, targets=wanted))
    with pytest.raises(BadInput, match=r"row 1 \(index 'b'\): 'perhaps' is not a level"):
        evaluate(VH, pd.DataFrame({"age": [50, 60], "sex": ["M", "perhaps"]}, index=["a", "b"]))
    with pytest.raises(BadInput, match="no column that the model knows"):
        evaluate(VH, pd.DataFrame({"foo": [1, 2]}))


@pytest.mark.parametrize("seed", [None, 1])
def test_gaps_of_children_stay(seed: int | None) -> None:
    table = pd.DataFrame({"age": [19, 50], "sex": ["male", "male"], "sbp": [np.nan, np.nan]})
    full = VH.impute(table, seed=seed)
    assert full["sbp"].isna().tolist() == [True, False]
    assert "under 20 years" in str(full.attrs["findings"])


@pytest.mark.parametrize("range_", [(69, 60), {60, 69}])
def test_a_range_that_runs_backwards_is_none(range_: Any) -> None:
    with pytest.raises(BadInput, match=r"lower end first|is no range"):
        VH.marginal("sbp", where={"age": range_})


def test_a_range_of_ages_that_nobody_told_of_is_said() -> None:
    asked = VH.marginal("sbp", where={"age": (15, 30)}, n=64)
    (said,) = [f for f in asked.findings if f.check == "extrapolation"]
    assert said.level is Level.CAUTION
    assert "20 to 30 only" in said.message
    assert not [f for f in VH.marginal("sbp", where={"age": (None, 30)}, n=64).findings if f.where == "age"]


def test_a_list_of_columns_is_no_column_and_one_target_is_one() -> None:
    with pytest.raises(BadInput, match="no name of a column"):
        VH.predict(pd.DataFrame({"age": [50]}), ["sbp"])  # type: ignore[arg-type]
    assert set(VH.given(age=50, hba1c=6).what_if("hdl", hba1c=-0.5).unwrap().here) == {"hdl"}
