"""Questions about one person, against exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sciai.core.answer import Level, Refused
from sciai.core.errors import BadInput
from tests.health.api.exact import COVARIANCE, NUMBERS, SCHEMA, STATES, YES_NO, centre, human, share

VH = human()


def _posterior(**known: float) -> tuple[np.ndarray, np.ndarray]:
    """P(state) and the states' mean weights of density, straight from Bayes' rule."""
    logs = []
    for state in STATES:
        names = [n for n in known if n in NUMBERS]
        places = [NUMBERS.index(n) for n in names]
        fit = np.log(share(state))
        if places:
            gap = np.array([known[n] for n in names]) - centre(state)[places]
            fit -= 0.5 * gap @ np.linalg.solve(COVARIANCE[np.ix_(places, places)], gap)
        fits = all(known[n] == s for n, s in zip(YES_NO, state, strict=True) if n in known)
        logs.append(fit if fits else -np.inf)
    weights = np.exp(np.array(logs) - max(logs))
    return weights / weights.sum(), np.array(STATES)


def test_a_risk_is_bayes_rule() -> None:
    weights, states = _posterior(age=60.0, hba1c=6.4, sex=1)
    expected = float(weights @ states[:, YES_NO.index("dx_diabetes")])
    told = VH.given(age=60, hba1c=6.4, sex="male").ask("dx_diabetes")["dx_diabetes"]
    assert told.probability == pytest.approx(expected, abs=1e-9)
    assert told.interval[0] < expected < told.interval[1]
    assert told.probabilities == pytest.approx({"no": 1 - expected, "yes": expected})


def test_a_number_is_the_conditional_gaussian() -> None:
    answer = VH.given(sex="F", dx_diabetes=False, rx_insulin=0, death_5y=0, height_cm=170).ask("weight_kg")
    told = answer["weight_kg"]
    i, j = NUMBERS.index("weight_kg"), NUMBERS.index("height_cm")
    m = centre((0, 0, 0, 0))
    mean = m[i] + COVARIANCE[i, j] / COVARIANCE[j, j] * (170 - m[j])
    sd = np.sqrt(COVARIANCE[i, i] - COVARIANCE[i, j] ** 2 / COVARIANCE[j, j])
    assert (told.mean, told.sd) == pytest.approx((mean, sd))
    assert told.interval == pytest.approx((mean - 1.6449 * sd, mean + 1.6449 * sd), abs=1e-3)
    assert told.median == pytest.approx(mean, abs=1e-6)
    assert told.percentile(mean + sd) == pytest.approx(100 * norm.cdf(1), abs=0.7)
    assert (np.diff(told.grid) * (told.density[1:] + told.density[:-1]) / 2).sum() == pytest.approx(
        0.996, abs=4e-3
    )
    assert told.conformal


def test_a_width_from_held_out_people_is_used() -> None:
    wide = human(widths={"hba1c": {"all": 0.9, "female|40-59": 0.99}})
    narrow, own = (wide.given(age=50, sex=s).ask("hba1c")["hba1c"] for s in ("M", "F"))
    assert own.interval[1] - own.interval[0] > 1.3 * (narrow.interval[1] - narrow.interval[0])


def test_a_calculated_target_is_exact_with_one_unknown() -> None:
    told = VH.given(height_cm=180, sex="M", dx_diabetes=0, rx_insulin=0, death_5y=0).ask("bmi", "weight_kg")
    assert told["bmi"].median == pytest.approx(told["weight_kg"].median / 1.8**2, rel=1e-3)
    assert told["bmi"].sd == pytest.approx(told["weight_kg"].sd / 1.8**2, rel=0.02)


def test_a_calculated_target_with_two_unknowns() -> None:
    told = VH.given(sex="M", dx_diabetes=0, rx_insulin=0, death_5y=0).ask("non_hdl")["non_hdl"]
    i, j = NUMBERS.index("chol_total"), NUMBERS.index("hdl")
    m = centre((1, 0, 0, 0))
    sd = np.sqrt(COVARIANCE[i, i] + COVARIANCE[j, j] - 2 * COVARIANCE[i, j])
    assert told.mean == pytest.approx(m[i] - m[j], abs=1.0)
    assert told.sd == pytest.approx(sd, rel=0.08)


def test_a_constraint_is_kept() -> None:
    known = {"sex": "M", "dx_diabetes": 0, "rx_insulin": 0, "death_5y": 0}
    answer = VH.given(known).given(non_hdl=200).ask("hba1c", "chol_total")
    i, j, k = (NUMBERS.index(n) for n in ("chol_total", "hdl", "hba1c"))
    m = centre((1, 0, 0, 0))
    spread = COVARIANCE[i, i] + COVARIANCE[j, j] - 2 * COVARIANCE[i, j]
    with_hba1c = m[k] + (COVARIANCE[i, k] - COVARIANCE[j, k]) / spread * (200 - m[i] + m[j])
    assert answer["hba1c"].mean == pytest.approx(with_hba1c, abs=0.03)
    assert {f.check for f in answer.findings} >= {"constraint", "meaning"}


def test_a_solved_input_is_known() -> None:
    me = VH.given(height_cm=180, bmi=25)
    assert me.values["weight_kg"] == pytest.approx(81)
    assert me.ask("hba1c")["hba1c"].mean == pytest.approx(
        VH.given(height_cm=180, weight_kg=81).ask("hba1c")["hba1c"].mean
    )


@given(st.sets(st.sampled_from([n for n in SCHEMA.names if n != "dx_diabetes"]), max_size=6))
def test_any_subset_answers(names: set[str]) -> None:
    values = {"age": 55, "sex": "M", "height_cm": 175, "weight_kg": 85, "hba1c": 5.9, "chol_total": 200,
              "hdl": 45, "rx_insulin": 0, "death_5y": 0, "w_mec": 3.0}  # fmt: skip
    answer = VH.given({n: values[n] for n in names}).ask("dx_diabetes")
    assert 0 < answer["dx_diabetes"].probability < 1
    known = {n: {"M": 1.0}.get(str(values[n]), values[n]) for n in names}
    weights, states = _posterior(**known)  # type: ignore[arg-type]
    expected = float(weights @ states[:, YES_NO.index("dx_diabetes")])
    assert answer["dx_diabetes"].probability == pytest.approx(expected, abs=1e-9)


def test_immutable() -> None:
    me = VH.given(age=50)
    more = me.given(sex="F")
    assert "sex" not in me.values
    assert more.without("sex").values == me.values
    assert "sex" not in more.given(sex=None).values


def test_a_given_target_is_refused() -> None:
    answer = VH.given(age=50, hba1c=5.5).ask("hba1c")
    assert answer.level is Level.REFUSE
    with pytest.raises(Refused, match=r"without\('hba1c'\)"):
        answer.unwrap()
    assert "no answer" in str(answer)
    assert VH.given(height_cm=170, bmi=24).ask("weight_kg").level is Level.REFUSE


def test_what_if_says_association() -> None:
    me = VH.given(age=50, sex="M", weight_kg=100, height_cm=175)
    answer = me.what_if(["hba1c", "dx_diabetes"], weight_kg=-10)
    frame = answer.unwrap().to_frame()
    assert frame.loc["hba1c", "difference"] < 0
    assert "not what would happen" in " ".join(f.message for f in answer.findings)
    assert "not what would happen" in str(answer)
    with pytest.raises(BadInput, match="nothing was changed"):
        me.what_if()


def test_what_if_of_a_number_that_is_not_known_starts_in_the_middle() -> None:
    me = VH.given(age=50, sex="M")
    middle = me.ask("weight_kg")["weight_kg"].median
    answer = me.what_if(["hba1c"], weight_kg=-10)
    told = answer.unwrap()
    expected = me.given(weight_kg=round(middle, 1) - 10).ask("hba1c")["hba1c"].mean
    assert told.there["hba1c"].mean == pytest.approx(expected)
    assert any(f"starts at {middle:.1f} kg" in f.message for f in answer.findings)


def test_a_column_that_a_constraint_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciai.health.api.infer.FINE", 150)
    known = {"sex": "M", "dx_diabetes": 0, "rx_insulin": 0, "death_5y": 0}
    me = VH.given(known).given(non_hdl=200)
    i, j = NUMBERS.index("chol_total"), NUMBERS.index("hdl")
    m, var = centre((1, 0, 0, 0)), COVARIANCE[[i, j]][:, [i, j]]
    gap = np.array([1.0, -1.0])
    gain = var @ gap / (gap @ var @ gap)
    mean = m[[i, j]] + gain * (200 - gap @ m[[i, j]])
    sd = np.sqrt(np.diag(var - np.outer(gain, gap @ var)))
    told = me.ask("chol_total", "hdl")
    for k, name in enumerate(("chol_total", "hdl")):
        assert told[name].mean == pytest.approx(mean[k], abs=1.0)
        assert told[name].sd == pytest.approx(sd[k], rel=0.1)
    people = me.sample(150)
    assert people["hdl"].nunique() > 24
    assert np.allclose(people["chol_total"] - people["hdl"], 200, atol=1.01)


def test_what_if_moves_a_calculated_value_along() -> None:
    me = VH.given(height_cm=175, bmi=31)
    answer = me.what_if(["hba1c"], weight_kg=-10)
    expected = VH.given(height_cm=175, weight_kg=31 * 1.75**2 - 10).ask("hba1c")["hba1c"].mean
    assert answer.unwrap().there["hba1c"].mean == pytest.approx(expected)


def test_sample_keeps_what_is_known_and_what_is_calculated() -> None:
    table = VH.given(sex="M", height_cm=180).sample(200, seed=3)
    assert (table["sex"] == "M").all()
    assert (table["height_cm"] == 180).all()
    assert np.allclose(table["bmi"], table["weight_kg"] / 1.8**2)
    assert table.equals(VH.given(sex="M", height_cm=180).sample(200, seed=3))


def test_log_prob_is_the_gaussians() -> None:
    me = VH.given(sex="F", dx_diabetes=0, rx_insulin=0, death_5y=0, hba1c=5.4)
    state = (0, 0, 0, 0)
    density = norm.logpdf(5.4, centre(state)[3], np.sqrt(COVARIANCE[3, 3]))
    assert me.log_prob() == pytest.approx(np.log(share(state)) + density)
    assert me.log_prob(given=YES_NO) == pytest.approx(density)
    assert VH.log_prob(me) == VH.log_prob(
        {"sex": "F", "dx_diabetes": 0, "rx_insulin": 0, "death_5y": 0, "hba1c": 5.4}
    )


def test_shows_itself() -> None:
    me = VH.given(age=50, sex="F", hba1c="5.5 %")
    assert "hba1c 5.5 %" in str(me)
    page = me.ask("weight_kg", "dx_diabetes")._repr_html_()
    assert page.count("<img") == 2
    assert "not a diagnosis" in page
    assert "HbA1c" not in VH.given(hba1c=5.5).ask("hba1c")._repr_html_().split("<ul>")[0]
    assert "exact" in VH._repr_html_()
    assert "<table" in me._repr_html_()


def test_an_ordinal_answer_names_its_levels() -> None:
    from sciai.health.api.distribution import Distribution

    p = {"excellent": 0.1, "good": 0.6, "poor": 0.3}
    told = Distribution(
        "h", "Health", "", "ordinal", 1.2, 0.6, (0.0, 2.0), quantiles={0.5: 1.0}, probabilities=p
    )
    assert str(told) == "Health: good (excellent to poor)"
    assert told.likely == ("good", "poor")


@pytest.mark.parametrize(
    "known",
    [
        {"weight_kg": 90, "height_cm": 175},
        {"weight_kg": 90, "bmi": 90 / 1.75**2},
        {"height_cm": 175, "bmi": 90 / 1.75**2},
        {"height_cm": 175, "weight_kg": 90, "bmi": 90 / 1.75**2},
    ],
)
def test_what_if_of_a_calculated_value_moves_the_weight_not_the_height(known: dict[str, float]) -> None:
    me = VH.given(age=64, sex="male", **known)
    there = 27 * 1.75**2
    by_bmi = me.what_if(["hba1c"], bmi=27 - 90 / 1.75**2)
    by_weight = VH.given(age=64, sex="male", height_cm=175, weight_kg=90).what_if(
        ["hba1c"], weight_kg=there - 90
    )
    for side in ("here", "there"):
        told, expected = (getattr(a.unwrap(), side)["hba1c"].mean for a in (by_bmi, by_weight))
        assert told == pytest.approx(expected, rel=1e-6)
    assert any(f"weight_kg moves with bmi: 90.0 kg | {there:.1f} kg" in f.message for f in by_bmi.findings)
    assert by_bmi.unwrap().here["hba1c"].mean != by_bmi.unwrap().there["hba1c"].mean
