"""Values on the way in: words, units, calculated ones, and everything that cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.api.constraints import solve_for
from sciai.health.api.human import VirtualHuman
from sciai.health.api.known import Known, read_value
from sciai.health.data.columns import default_schema

SCHEMA = default_schema()
NOBODY = Known.nothing(SCHEMA)


def _add(**values: Any) -> Known:
    return NOBODY.add(values)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sex", "male", 1.0), ("sex", "女性", 0.0), ("sex", "Ｍ", 1.0), ("rx_bp", True, 1.0),
        ("rx_bp", "いいえ", 0.0), ("rx_bp", np.bool_(False), 0.0), ("dx_gout", 1.0, 1.0),
        ("education", 5, 4.0), ("smoking", "禁煙", 1.0),
        ("self_rated_health", "very good", 1.0), ("age", "64", 64.0), ("age", 64.7, 64.0),
        ("hba1c", "5.5 %", 5.5), ("hba1c", "37 mmol/mol", 0.0915 * 37 + 2.152), ("height_cm", "1.7 m", 170.0),
        ("creatinine", "88 umol/L", 88 * 0.01131), ("phq9", 7.2, 7.0), ("cycle", "2013-2014", 1.0),
    ],
)  # fmt: skip
def test_read(name: str, value: Any, expected: float) -> None:
    assert read_value(SCHEMA, name, value)[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"age": -5}, "age", "negative"),
        ({"age": 400}, "age", "in years"),
        ({"sex": "other"}, "sex", "female, male"),
        ({"sex": True}, "sex", "female, male"),
        ({"rx_bp": 3}, "rx_bp", "no, yes"),
        ({"smoking": "currnt"}, "smoking", "did you mean current"),
        ({"weight_kg": "heavy"}, "weight_kg", "not a number"),
        ({"weight_kg": [80]}, "weight_kg", "not a number"),
        ({"weight_kg": True}, "weight_kg", "not a number"),
        ({"phq9": "many"}, "phq9", "not a number"),
        ({"age": "60-69"}, "age", "60..69 on the command line"),
        ({"weight_kg": math.inf}, "weight_kg", "infinite"),
        ({"wieght_kg": 80}, "wieght_kg", "did you mean weight_kg"),
        ({"creatinine": "88 kg"}, "creatinine", "mg/dL"),
        ({"ggt": -1}, "ggt", "negative"),
        ({"height_cm": 170, "bmi": 400}, "bmi", "contradicts"),
        ({"completely": 1}, "completely", "lists what there is"),
    ],
)
def test_bad_input_names_field_and_way_out(values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as error:
        NOBODY.add(values)
    assert error.value.field == field


def test_a_conversion_is_a_finding() -> None:
    (found,) = _add(hba1c="37 mmol/mol").findings
    assert (found.check, found.where, found.level) == ("unit-conversion", "hba1c", Level.OK)
    assert _add(hba1c="5.5 %").findings == ()


def test_another_unit_is_asked_about_and_not_converted() -> None:
    known = _add(creatinine=88)
    (found,) = known.findings
    assert "did you mean 88 umol/L" in found.message
    assert found.level is Level.REFUSE
    assert known.value("creatinine") == 88


def test_an_impossible_value_of_a_questionnaire() -> None:
    (found,) = _add(phq9=30).findings
    assert (found.check, found.level) == ("implausible", Level.REFUSE)


def test_unknown_means_unknown() -> None:
    known = _add(age=50, sex="F", ggt=None, alt=float("nan"), ast="不明", smoking="", dx_gout=np.nan)
    assert known.names == ("age", "sex")
    assert known.add({"age": None}).names == ("sex",)


def test_a_column_that_is_left_out_is_said_to_be() -> None:
    (found,) = _add(chol_serum=200).findings
    assert "second analyser" in found.message


def test_tests_by_their_common_names() -> None:
    known = NOBODY.add({"γ-GTP": 59, "ＧＯＴ": 28, "中性脂肪(空腹時)": 139})
    assert known.given == {"ggt": 59, "ast": 28, "trig_fasting": 139}
    with pytest.raises(BadInput, match="not modelled"):
        NOBODY.add({"コリンエステラーゼ": 340})


def test_an_unseen_era_is_marginalised() -> None:
    known = _add(cycle="2021-2022")
    assert known.names == ()
    assert known.findings[0].check == "era"


def test_over_80_counts_as_80() -> None:
    known = _add(age=91)
    assert known.value("age") == 80
    assert known.given["age"] == 91


def test_calculated_values_agree_or_contradict() -> None:
    assert _add(height_cm=170, weight_kg=80, bmi=27.7).findings[0].level is Level.OK
    assert _add(height_cm=170, weight_kg=80, bmi=29).findings[0].level is Level.CAUTION
    assert _add(height_cm=170, weight_kg=80, bmi=35).findings[0].level is Level.REFUSE


def test_a_chain_of_calculated_values() -> None:
    known = _add(rbc=5.48, hematocrit=49.2, mch=30.1)
    assert known.value("mcv") == pytest.approx(89.8, abs=0.1)
    assert known.value("hemoglobin") == pytest.approx(16.5, abs=0.05)
    assert known.solved == {"mcv": "hematocrit", "hemoglobin": "mch"}


def test_a_measured_ldl_does_not_fix_triglycerides() -> None:
    known = _add(chol_total=224, hdl=47, ldl=139)
    assert known.value("trig_fasting") is None
    assert "does not fix" in known.findings[0].message


def test_a_replaced_value_takes_its_findings_along() -> None:
    assert _add(creatinine=88).add({"creatinine": 0.9}).findings == ()
    assert _add(height_cm=170, weight_kg=80, bmi=35).drop("bmi").findings == ()


@given(st.sampled_from(SCHEMA.derived), st.integers(0, 3), st.floats(0.2, 0.8))
def test_solving_is_the_way_back(derived: Any, which: int, place: float) -> None:
    typical = {
        "weight_kg": 80, "height_cm": 170, "creatinine": 0.9, "age": 50, "sex": 1, "rbc": 5, "mcv": 90,
        "hemoglobin": 15, "protein_total": 7, "albumin": 4.2, "sodium": 140, "glucose_serum": 95, "bun": 14,
        "chol_total": 200, "hdl": 50, "trig_fasting": 120, "lymph_pct": 30, "mono_pct": 8, "eos_pct": 3,
        "baso_pct": 1,
    }  # fmt: skip
    inputs = {n: float(typical[n]) * (0.9 + 0.2 * place if n != "sex" else 1.0) for n in derived.inputs}
    name = derived.inputs[which % len(derived.inputs)]
    if not SCHEMA[name].numeric or name == "age" or (derived.name == "ldl" and name == "trig_fasting"):
        return
    found = solve_for(SCHEMA, derived, inputs, name, derived.compute(inputs))
    assert float(found) == pytest.approx(inputs[name], rel=1e-6)


def test_an_ldl_and_a_total_cholesterol_leave_room_for_the_rest() -> None:
    human = VirtualHuman.load()
    me = human.given(age=64, sex="male", chol_total=220, ldl=140)
    told = me.ask("hdl", "trig_fasting")
    assert told["hdl"].interval[1] < 75  # 220 = 140 + HDL + triglycerides / 5
    assert told["hdl"].mean + told["trig_fasting"].mean / 5 == pytest.approx(80, abs=0.5)


def test_calculated_values_about_the_same_thing() -> None:
    known = _add(ldl=140, non_hdl=170)
    assert list(known.waiting) == ["non_hdl"]  # total and HDL first: an LDL alone fixes no triglycerides
    assert any("ldl is ignored" in f.message for f in known.findings)
    known = _add(hematocrit=44, mch=30, mchc=33.5)
    assert list(known.waiting) == ["hematocrit", "mch"]
    (said,) = [f for f in known.findings if f.where == "mchc"]
    assert "mchc is ignored" in said.message
    known = _add(ldl=140, non_hdl=130)
    assert [f.level for f in known.findings if f.check == "contradiction"] == [Level.REFUSE]


def test_one_column_under_two_names_is_no_last_word() -> None:
    with pytest.raises(BadInput, match="age is given twice, as age and as 年齢"):
        NOBODY.add({"age": 64, "年齢": 30})
    with pytest.raises(BadInput, match="given twice"):
        NOBODY.add({"LDL": 140, "age": 50, "ldl": 90})
    assert NOBODY.add({"age": 64, "年齢": "64 years"}).given == {"age": 64.0}
    assert NOBODY.add({"age": 64, "年齢": None}).given == {"age": 64.0}
    assert NOBODY.add({"age": 64}).add({"年齢": 30}).given == {"age": 30.0}  # said anew
