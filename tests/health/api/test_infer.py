"""Several calculated values at once: their draws must not be tied to each other, nor stop too soon."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health import VirtualHuman
from sciai.health.api.infer import state_of
from sciai.health.api.table_notes import found_in

pytestmark = pytest.mark.usefixtures("one_thread")

VH = VirtualHuman.load()


def test_inputs_of_one_constraint_are_not_tied_to_those_of_another() -> None:
    person = VH.given(age=64, sex="male", bmi=31, non_hdl=160)
    state = state_of(VH.model, person.known, draws=512)
    height, hdl = (state.rows[:, VH.schema.index(name)] for name in ("height_cm", "hdl"))
    ranks = [np.argsort(np.argsort(x)) for x in (height, hdl)]
    assert abs(np.corrcoef(ranks)[0, 1]) < 0.15  # of women and men apart they hardly go together; it was -.76
    above = [rank > len(rank) / 2 for rank in ranks]
    quarters = [np.mean((above[0] == a) & (above[1] == b)) for a in (True, False) for b in (True, False)]
    assert min(quarters) > 0.2


def test_virtual_people_under_constraints_are_not_the_same_body_twice() -> None:
    people = VH.given(age=64, sex="male", ldl=140).sample(60)
    shared = people[["chol_total", "hdl", "trig_fasting"]]
    assert not shared.duplicated().any()
    assert found_in(people) == []


def test_what_bodies_have_in_common_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciai.health.api.person.MANY", (16, 16))
    people = VH.given(age=64, sex="male", ldl=140).sample(40)
    (said,) = found_in(people)
    assert said.check == "repeated"
    assert "of 40 people share chol_total, hdl, trig_fasting with" in said.message


@pytest.mark.parametrize(
    ("known", "name"), [({"mch": 28}, "mchc"), ({"non_hdl": 160}, "ldl"), ({"mch": 28}, "hematocrit")]
)
def test_a_calculated_value_beside_a_constraint_reaches_as_far_as_in_virtual_people(
    known: dict[str, float], name: str
) -> None:
    person = VH.given(age=64, sex="male", **known)
    told = person.ask(name)[name]
    drawn = person.sample(1500, seed=1)[name].dropna()
    low, high = drawn.quantile([0.05, 0.95])
    assert told.quantiles[0.95] - told.quantiles[0.05] == pytest.approx(high - low, rel=0.12)
    assert told.sd == pytest.approx(drawn.std(), rel=0.15)  # it was .6 of it for mchc


def test_people_are_counted_in_whole_numbers() -> None:
    with pytest.raises(BadInput, match="a whole number"):
        VH.sample(2.5)  # type: ignore[arg-type]


def test_a_calculated_value_counts_in_the_density_of_a_person() -> None:
    """A BMI of 80 was as likely as one of 31; summed over all of them, density is one."""
    bare = VH.given(age=64, sex="male")
    densities = np.exp([bare.given(bmi=x).log_prob() - bare.log_prob() for x in range(14, 80, 6)])
    assert 6 * densities.sum() == pytest.approx(1.0, abs=0.1)
    ages = np.exp([VH.given(age=x, bmi=31).log_prob(given=["bmi"]) for x in range(22, 80, 6)])
    assert 6 * ages.sum() == pytest.approx(0.92, abs=0.1)  # the others are 80 and over


def test_that_few_draws_carry_an_answer_is_said() -> None:
    usual = VH.given(age=50, sex="female", bmi=25, ldl=120).ask("sbp")
    assert all(f.level is Level.OK for f in usual.findings if f.check == "constraint")
    odd = VH.given(age=50, sex="female", neut_pct=92).ask("sbp")
    assert any(f.check == "constraint" and "rough" in f.message for f in odd.findings)
    assert odd.level >= Level.CAUTION
