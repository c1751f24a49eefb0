"""Values among peers, given each other, and together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sciai.core.errors import BadInput
from sciai.health.api.human import VirtualHuman
from sciai.health.api.unusual import combination_score
from tests.health.api.exact import COVARIANCE, NUMBERS, SCHEMA, centre, human

VH = human()
FIXED = {"sex": "M", "dx_diabetes": 0, "rx_insulin": 0, "death_5y": 0}
PEERS = tuple(FIXED)
USUAL = {"height_cm": 178, "weight_kg": 87, "chol_total": 185, "hdl": 45}
ODD = {"height_cm": 188, "weight_kg": 63, "chol_total": 132, "hdl": 63}  # each within 1.96 sd of its mean


def test_each_value_among_peers_and_given_the_others() -> None:
    told = VH.given(FIXED | ODD).unusual(peers=PEERS).unwrap()
    value = {v.name: v for v in told.values}["weight_kg"]
    i = NUMBERS.index("weight_kg")
    others = [NUMBERS.index(n) for n in ODD if n != "weight_kg"]
    m, x = centre((1, 0, 0, 0)), np.array([ODD[NUMBERS[k]] for k in others])
    gain = COVARIANCE[i, others] @ np.linalg.inv(COVARIANCE[np.ix_(others, others)])
    mean = m[i] + gain @ (x - m[others])
    sd = np.sqrt(COVARIANCE[i, i] - gain @ COVARIANCE[others, i])
    assert value.percentile == pytest.approx(100 * norm.cdf((63 - m[i]) / COVARIANCE[i, i] ** 0.5), abs=1e-6)
    assert value.given_others == pytest.approx(100 * norm.cdf((63 - mean) / sd), abs=1e-6)
    assert value.expected == pytest.approx(mean, abs=1e-6)
    assert (value.low, value.high) == pytest.approx((mean - 1.6449 * sd, mean + 1.6449 * sd), abs=1e-3)


def test_a_rare_combination_of_usual_values() -> None:
    usual, odd = (VH.given(FIXED | values).unusual(peers=PEERS).unwrap() for values in (USUAL, ODD))
    assert odd.outside == ()
    assert odd.p_value <= 0.02 < 0.2 < usual.p_value
    assert odd.score > odd.usual_score[1]
    assert "rare" in odd.verdict
    assert "every value is usual" in odd.verdict
    assert {odd.pairs[0].first, odd.pairs[0].second} in ({"height_cm", "weight_kg"}, {"chol_total", "hdl"})
    assert "is high for" in odd.pairs[0].text or "is low for" in odd.pairs[0].text
    assert "seldom together" in str(odd)


def test_the_p_value_is_uniform_for_people_of_the_model() -> None:
    known = VH.given(FIXED).sample(24, seed=8)
    p = [
        VH.given(FIXED | {n: row[n] for n in USUAL}).unusual(peers=PEERS, seed=k).unwrap().p_value
        for k, row in known.iterrows()
    ]
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) <= 0.1) <= 0.3


def test_it_resembles_a_state() -> None:
    told = VH.given(age=60, sex="M", hba1c=7.4, weight_kg=98).unusual().unwrap()
    (state,) = told.resembles
    assert state.name == "dx_diabetes"
    assert state.share > 2 * state.peers


def test_swapped_values_are_found() -> None:
    # half of the values of another person of the same kind: the planted anomaly of the benchmark
    joint, names = VH.model, list(USUAL)
    people = SCHEMA.encode(VH.given(FIXED).sample(300, seed=9))
    swapped = people.copy()
    places = [SCHEMA.index(n) for n in ("weight_kg", "hdl")]
    swapped[:, places] = people[np.ix_(np.roll(np.arange(300), 1), places)]
    own, other = (combination_score(joint, rows, names, PEERS) for rows in (people, swapped))
    assert (other[:, None] > own[None]).mean() > 0.7
    alone = np.abs(people[:, places] - people[:, places].mean(0)).max(1)
    alone_other = np.abs(swapped[:, places] - people[:, places].mean(0)).max(1)
    assert abs((alone_other[:, None] > alone[None]).mean() - 0.5) < 0.05


def test_gaps_add_nothing() -> None:
    row = VH.given(FIXED | USUAL).known.values[None]
    hole = row.copy()
    hole[0, SCHEMA.index("hdl")] = np.nan
    names = list(USUAL)
    without = combination_score(VH.model, hole, names, PEERS)
    assert without == pytest.approx(
        combination_score(VH.model, hole, [n for n in names if n != "hdl"], PEERS)
    )


def test_a_combination_needs_two() -> None:
    with pytest.raises(BadInput, match="needs two"):
        VH.given(age=50, hdl=50).unusual()


def test_strangeness_is_a_guard_of_every_question() -> None:
    odd = {"height_cm": 195, "weight_kg": 45, "chol_total": 120, "hdl": 85}
    assert "outlier" in {f.check for f in VH.given(FIXED | odd).ask("hba1c").findings}
    assert "outlier" not in {f.check for f in VH.given(FIXED | USUAL).ask("hba1c").findings}
    assert VH.given(FIXED | USUAL).strangeness > 0.2


def test_similar_people_are_counted() -> None:
    # 400 in each cell of sex and decade, of whom a fifth have diabetes
    assert VH.given(age=55, sex="M").similar == pytest.approx(400)
    share = VH.given(age=55, sex="M").ask("dx_diabetes")["dx_diabetes"].mean
    assert VH.given(age=55, sex="M", dx_diabetes=True).similar == pytest.approx(400 * share)
    rare = human(population={"male|50s|all": (10, 1.0)}).given(age=55, sex="M").ask("hba1c")
    assert {"similar"} == {f.check for f in rare.findings if f.level == 1}
    none = human(population={"female|50s|all": (10, 1.0)}).given(age=55, sex="M").ask("hba1c")
    assert none.level == 2


def test_shows_itself() -> None:
    answer = VH.given(FIXED | ODD).unusual(peers=PEERS)
    assert "<img" in answer._repr_html_()
    assert len(answer.unwrap().to_frame()) == 4


def test_a_calculated_value_whose_inputs_are_unknown_is_judged_with_the_others() -> None:
    told = VH.given(FIXED | {"hba1c": 5.6, "non_hdl": 200}).unusual(peers=PEERS).unwrap()
    value = {v.name: v for v in told.values}["non_hdl"]
    m, sd = centre((1, 0, 0, 0)), np.array([1.0, -1.0])
    pair = [NUMBERS.index("chol_total"), NUMBERS.index("hdl")]
    spread = float(np.sqrt(sd @ COVARIANCE[np.ix_(pair, pair)] @ sd))
    share = norm.cdf((200 - (m[pair[0]] - m[pair[1]])) / spread)
    assert value.percentile == pytest.approx(100 * share, abs=7)
    assert value.unit == "mg/dL"
    assert value.low < value.expected < value.high


def test_the_issue_example_and_a_body_mass_that_does_not_fit_the_waist() -> None:
    human = VirtualHuman.load()
    me = human.given(age=64, sex="male", hba1c="5.5 %", ldl="140 mg/dL", rx_bp=True)
    told = me.unusual().unwrap()
    assert {v.name for v in told.values} == {"hba1c", "ldl"}
    assert told.p_value > 0.05
    odd = human.given(age=64, sex="male", bmi=38, waist_cm=80).unusual().unwrap()
    assert odd.p_value <= 0.02
    assert "Body mass index 38.0 kg/m2 is high for Waist circumference 80.0 cm" in odd.pairs[0].text


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({}, "nothing is"),
        ({"weight_kg": 80}, "only weight_kg is"),
        ({"bmi": 31, "non_hdl": 150}, "bmi, non_hdl"),
    ],
)
def test_too_little_for_a_combination(known: dict[str, float], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        VH.given(FIXED | known).unusual(peers=PEERS)
    assert "two numbers" in str(caught.value)


def test_a_state_is_told_as_the_list_of_risks_tells_it() -> None:
    me = VirtualHuman.load().given(age=58, sex="female", bmi=33, hba1c=6.3, trig_fasting=210, alt=44, ggt=60)
    told, risks = me.unusual().unwrap(), {r.name: r for r in me.risks(drivers=0).unwrap()}
    ill = [state for state in told.resembles if state.name.startswith("dx_")]
    assert ill
    for state in ill:
        assert state.share == pytest.approx(risks[state.name].risk, rel=1e-6)
        assert state.peers == pytest.approx(risks[state.name].peers, rel=1e-6)
