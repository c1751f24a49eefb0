"""Every guard: what sets it off, how much it weighs, and that it stays silent otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sciai.core.answer import Estimate, Finding, Level
from sciai.health import checks
from sciai.health.api.distribution import Distribution, Told
from sciai.health.api.known import Known
from sciai.health.data.columns import default_schema
from sciai.health.model.calibration import Calibration, Group

SCHEMA = default_schema()
PLAIN = {"age": 50, "sex": "F"}


def _question(
    targets: tuple[str, ...] = (), options: dict[str, Any] | None = None, **values: Any
) -> checks.Question:
    known = Known.nothing(SCHEMA).add(PLAIN | values)
    more = {"group": "female|40-59"} | (options or {})
    calibration = more.pop("calibration", Calibration(widths={"sbp": {"all": 0.9}}))
    return checks.Question(
        SCHEMA, known.free, known.given, targets, calibration, known.findings, waiting=known.waiting, **more
    )


def _found(question: checks.Question) -> dict[str, Finding]:
    found = [f for check in checks.BEFORE for f in check(question)]
    assert all(f.check in checks.CHECKS for f in found)
    return {f.check: f for f in found}


def test_an_ordinary_question_only_gets_its_meaning() -> None:
    (finding,) = _found(_question(("sbp",))).values()
    assert finding.check == "meaning"
    assert finding.level is Level.OK
    for words in ("not a diagnosis", "US adults", "self-reported", "prevalent"):
        assert words in finding.message


@pytest.mark.parametrize(
    ("values", "check", "level", "says"),
    [
        ({"age": 19}, "age", Level.REFUSE, "20 and over"),
        ({"age": 85}, "extrapolation", Level.CAUTION, "80 and over"),
        ({"pregnant": True, "age": 30}, "pregnant", Level.CAUTION, "pregnan"),
        ({"pregnant": True, "sex": "M"}, "contradiction", Level.REFUSE, "sex or age"),
        ({"hdl": 150, "chol_total": 140}, "contradiction", Level.REFUSE, "hdl 150 is part of chol_total 140"),
        ({"ldl": 220, "chol_total": 180}, "contradiction", Level.REFUSE, "ldl"),
        ({"albumin": 6, "protein_total": 5.5}, "contradiction", Level.REFUSE, "albumin"),
        ({"sbp": 80, "dbp": 95}, "contradiction", Level.REFUSE, "dbp"),
        ({"lymph_pct": 60, "neut_pct": 70}, "contradiction", Level.REFUSE, "percentages sum"),
        ({"height_cm": 170, "weight_kg": 60, "bmi": 35}, "contradiction", Level.REFUSE, "35.0 kg/m2"),
        ({"waist_cm": 210, "height_cm": 150}, "contradiction", Level.CAUTION, "waist"),
        ({"smoking": "never", "cig_per_day": 20}, "contradiction", Level.CAUTION, "does not smoke"),
        ({"alcohol_days_per_year": 0, "alcohol_drinks_per_day": 4}, "contradiction", Level.CAUTION, "drink"),
        ({"rx_insulin": True, "dx_diabetes": False}, "contradiction", Level.CAUTION, "rx_insulin is yes"),
        ({"creatinine": 88}, "unit-suspicion", Level.REFUSE, "did you mean 88 umol/L"),
        ({"phq9": 40}, "implausible", Level.REFUSE, "not possible"),
        ({"ldl": 120}, "constraint", Level.OK, "chol_total, hdl, trig_fasting"),
        ({"age": None}, "nobody", Level.OK, "all ages"),
        ({"cycle": "2023"}, "era", Level.OK, "not learned"),
    ],
)  # fmt: skip
def test_of_the_person(values: dict[str, Any], check: str, level: Level, says: str) -> None:
    finding = _found(_question(**values))[check]
    assert finding.level is level
    assert says in finding.message


def test_few_cases() -> None:
    def of(cases: int) -> dict[str, Finding]:
        calibration = Calibration(cases={"dx_gout": (cases, 5000)}, widths={"dx_gout": {"all": 0.9}})
        return _found(_question(("dx_gout",), {"calibration": calibration}))

    assert of(49)["few_cases"].level is Level.REFUSE
    assert of(150)["few_cases"].level is Level.CAUTION
    assert "few_cases" not in of(200)


def test_subgroup() -> None:
    def of(n: int, cases: int, expected: float, **values: Any) -> dict[str, Finding]:
        fits = {
            "dx_gout": {"female|40-59": Group(n, cases, expected), "non-Hispanic Black": Group(400, 80, 40.0)}
        }
        calibration = Calibration(groups=fits, widths={"dx_gout": {"all": 0.9}})
        return _found(_question(("dx_gout",), {"calibration": calibration}, **values))

    assert "too high" in of(400, 20, 45.0)["subgroup"].message
    assert "too low" in of(400, 80, 45.0)["subgroup"].message
    assert "subgroup" not in of(400, 40, 45.0)
    assert "subgroup" not in of(30, 10, 1.0)
    assert "non-Hispanic Black" in of(400, 45, 45.0, race_eth="nh_black")["subgroup"].message


def test_targets() -> None:
    assert _found(_question(("sbp",), sbp=120))["target_given"].level is Level.REFUSE
    assert _found(_question(("weight_kg",), height_cm=170, bmi=25))["target_given"].level is Level.REFUSE
    assert _found(_question(("ldl",), ldl=120))["target_given"].level is Level.REFUSE
    assert "never calibrated" in _found(_question(("hba1c",)))["uncalibrated"].message
    assert "uncalibrated" not in _found(_question(("smoking",)))
    assert "rx_bp" in _found(_question(("dx_hypertension",), rx_bp=True))["revealed"].message


def test_outliers_and_similar_people_are_only_looked_at_where_asked() -> None:
    options = {"strangeness": lambda: 1e-5, "similar": lambda: 2.4}
    found = _found(_question(("sbp",), options))
    assert found["outlier"].level is Level.CAUTION
    assert found["similar"].level is Level.REFUSE
    assert "about 2 of" in found["similar"].message
    calm = {"strangeness": lambda: 0.3, "similar": lambda: 300.0}
    assert set(_found(_question(("sbp",), calm))) == {"meaning"}


def test_of_the_estimate() -> None:
    def of(**changes: Any) -> set[str]:
        told = {"name": "dx_gout", "label": "Gout", "unit": "", "kind": "binary", "mean": 0.2, "sd": 0.4,
                "interval": (0.1, 0.3)} | changes  # fmt: skip
        estimate = Estimate(Told({"dx_gout": Distribution(**told)}), 0.1)
        return {f.check for check in checks.AFTER for f in check(_question(), estimate)}

    assert of() == set()
    assert of(mean=np.nan) == {"finite"}
    assert of(probabilities={"no": np.nan, "yes": 0.5}) == {"finite"}
    assert of(spread=0.15) == {"spread"}


def test_policy_names_checks_that_there_are() -> None:
    policy = checks.policy()
    assert policy["target_given"] is Level.REFUSE
    assert policy["finite"] is Level.REFUSE
    assert set(policy) - {"leakage", "stage", "use", "grave_use"} <= checks.CHECKS  # those of every domain
