"""Risks beside peers, what drives them, and what is withheld."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.model.calibration import Group
from sciai.trust.platt import Platt
from tests.health.api.exact import YES_NO, human

VH = human()
ME = {"age": 60, "sex": "M", "hba1c": 6.4, "weight_kg": 100}


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_risk_and_peers_are_what_ask_says() -> None:
    risks = VH.given(ME).risks().unwrap()
    asked = VH.given(ME).ask("dx_diabetes")["dx_diabetes"]
    peers = VH.given(age=60, sex="M").ask("dx_diabetes")["dx_diabetes"]
    risk = risks["dx_diabetes"]
    assert (risk.risk, risk.low, risk.high) == pytest.approx((asked.mean, *asked.interval))
    assert risk.peers == pytest.approx(peers.mean)
    assert risk.ratio == pytest.approx(asked.mean / peers.mean)
    assert risk.status == "estimated"
    assert [r.name for r in risks] == ["dx_diabetes", "death_5y"]
    assert risks["death_5y"].outcome


def test_drivers_are_the_mean_of_adding_first_and_last() -> None:
    drivers = {d.name: d for d in VH.given(ME).risks().unwrap()["dx_diabetes"].drivers}

    def p(**known: object) -> float:
        return _logit(VH.given(known).ask("dx_diabetes")["dx_diabetes"].mean)

    peers = {"age": 60, "sex": "M"}
    first = p(**peers, hba1c=6.4) - p(**peers)
    last = p(**ME) - p(**peers, weight_kg=100)
    assert drivers["hba1c"].logodds == pytest.approx((first + last) / 2)
    assert drivers["hba1c"].value == "6.4 %"
    assert "age" not in drivers


def test_a_known_diagnosis_is_said_to_be_known() -> None:
    risk = VH.given(ME, dx_diabetes=True).risks().unwrap()["dx_diabetes"]
    assert (risk.status, risk.risk) == ("known", None)
    assert "yes" in risk.reason


def test_a_treatment_reveals() -> None:
    answer = VH.given(ME, rx_insulin=True).risks()
    risk = answer.unwrap()["dx_diabetes"]
    assert risk.status == "treated"
    assert "rx_insulin" in risk.reason
    assert risk.risk is not None
    assert risk.risk > 0.9


def test_too_few_cases_are_withheld_everywhere() -> None:
    few = human(cases={n: (20 if n == "dx_diabetes" else 900, 5000) for n in YES_NO})
    answer = few.given(ME).risks()
    risk = answer.unwrap()["dx_diabetes"]
    assert (risk.status, risk.risk, risk.peers, risk.ratio) == ("cannot tell", None, None, None)
    assert "20 of the 5000" in risk.reason
    assert answer.level is Level.CAUTION
    assert "cannot_tell" in {f.check for f in answer.findings}
    frame = answer.unwrap().to_frame()
    assert np.isnan(frame.loc["dx_diabetes", "risk"])
    number = few.given(ME).ask("death_5y")["death_5y"].mean
    assert f"{number:.3f}"[:4] in str(frame.loc["death_5y", "risk"])
    page = answer._repr_html_()
    assert "cannot tell" in page
    assert few.given(ME).ask("dx_diabetes").level is Level.REFUSE


def test_a_badly_calibrated_group_is_named() -> None:
    off = {"dx_diabetes": {"male|60+": Group(400, 120, 60.0), "female|60+": Group(400, 60, 60.0)}}
    wrong = human(groups=off)
    listed = wrong.given(ME).risks()
    assert "too low" in listed.unwrap()["dx_diabetes"].reason
    assert ("subgroup", "dx_diabetes") in {(f.check, f.where) for f in listed.findings}
    answer = wrong.given(ME).ask("dx_diabetes")
    assert "subgroup" in {f.check for f in answer.findings if f.level is Level.CAUTION}
    assert "subgroup" not in {f.check for f in wrong.given(ME, sex="F").ask("dx_diabetes").findings}


def test_the_line_where_an_illness_is_known() -> None:
    shifted = human(told={"dx_diabetes": Platt(1.0, 1.0, np.eye(2) * 1e-3)})
    plain, ill = VH.given(ME), {"rx_insulin": False}
    assert shifted.given(ME).ask("dx_diabetes")["dx_diabetes"].mean == pytest.approx(
        plain.ask("dx_diabetes")["dx_diabetes"].mean
    )
    before = _logit(plain.given(ill).ask("dx_diabetes")["dx_diabetes"].mean)
    assert _logit(shifted.given(ME, **ill).ask("dx_diabetes")["dx_diabetes"].mean) == pytest.approx(
        before + 1
    )


def test_a_refused_person_gets_no_risks() -> None:
    answer = VH.given(age=12, sex="M").risks()
    assert answer.level is Level.REFUSE
    assert answer.estimate is None
    assert "%" not in str(answer)


def test_peers_and_bad_input() -> None:
    everybody = VH.given(ME).risks(peers=()).unwrap()
    assert everybody.peers == "all adults"
    assert everybody["dx_diabetes"].peers == pytest.approx(0.2)
    with pytest.raises(BadInput, match="no column"):
        VH.given(ME).risks(peers=("aeg",))
    with pytest.raises(BadInput, match="0 or more"):
        VH.given(ME).risks(drivers=-1)
    with pytest.raises(BadInput, match="not among"):
        everybody["dx_gout"]
    assert everybody["dx_diabetes"].name in str(everybody.to_frame())
    assert "Diabetes" in str(everybody)
