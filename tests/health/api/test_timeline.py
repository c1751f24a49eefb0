"""Courses against reference change values and exactly known peers."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.api.human import VirtualHuman
from sciai.health.api.panel import latest, person_at, with_findings
from sciai.health.api.timeline import timeline
from sciai.health.data.panels import read_panels, table
from tests.health.api.exact import human

VH = human()
DATES = ("2023-01-10", "2023-07-10", "2024-01-10")


def _panels(**values: tuple[float | None, ...]) -> Any:
    return read_panels(
        {day: {name: v[i] for name, v in values.items() if v[i] is not None} for i, day in enumerate(DATES)}
    )


def test_a_change_is_judged_by_the_reference_change_value() -> None:
    limit = table().analytes["hba1c"].change_limit()
    assert limit is not None
    last = 5.5 * (1 + (limit + 0.5) / 100)
    answer = timeline(VH, _panels(hba1c=(5.5, 5.6, last), hdl=(50, 51, 52)), VH.given(age=60, sex="male"))
    value = answer.unwrap()
    hba1c, hdl = value.course("hba1c"), value.course("hdl")
    assert hba1c.limit == pytest.approx(limit)
    assert hba1c.change == pytest.approx(limit + 0.5)
    assert (hba1c.changed, hdl.changed) == (True, False)
    assert value.courses[0] is hba1c  # what changed comes first
    assert "more than chance" in hba1c.verdict
    assert "within chance" in hdl.verdict
    assert "HbA1c" in value.verdict


def test_a_steady_trend_is_seen_where_first_and_last_alone_do_not_show_it() -> None:
    days = [f"2023-{month:02d}-01" for month in range(1, 13)]
    rising = [50 * 1.013**i for i in range(12)]
    panels = read_panels({day: {"HDL": v} for day, v in zip(days, rising, strict=True)})
    course = timeline(VH, panels, VH.given(age=60, sex="male")).unwrap().course("hdl")
    assert course.changed is False
    assert course.steady_trend
    assert "within chance for two values" in course.verdict
    assert "but rising over all 12 dates, by more than chance" in course.verdict
    years = [(dt.date.fromisoformat(day) - dt.date(2023, 1, 1)).days / 365.25 for day in days]
    assert course.slope == pytest.approx(100 * math.expm1(np.polyfit(years, np.log(rising), 1)[0]))


def test_a_limit_of_detection_is_shown_as_one() -> None:
    days = ("2023-01-10", "2023-07-10")
    panels = read_panels({days[0]: {"HDL": "<20 mg/dL"}, days[1]: {"HDL": 52}})
    course = timeline(VH, panels, VH.given(age=60, sex="male")).unwrap().course("hdl")
    assert course.shown == ("<20", "52")
    assert course.values[0] == pytest.approx(20 / math.sqrt(2))
    assert course.change == pytest.approx(160)  # it was below 20, so it rose by that at least


def test_the_band_is_that_of_people_of_the_same_age_and_sex() -> None:
    person = VH.given(age=60, sex="male", rx_insulin=True)
    course = timeline(VH, _panels(hba1c=(5.5, 5.6, 7.9)), person).unwrap().course("hba1c")
    for i, years in enumerate((59, 59, 60)):
        told = VH.given(age=years, sex="male").ask("hba1c")["hba1c"]
        assert course.mean[i] == pytest.approx(told.mean)
        assert course.low[i] == pytest.approx(told.quantiles[0.05])
        assert course.percentile[i] == pytest.approx(told.percentile(course.values[i]))
    assert course.percentile[-1] > 95


def test_risks_follow_the_values_of_each_date() -> None:
    person = VH.given(age=60, sex="male")
    value = timeline(VH, _panels(hba1c=(5.2, 5.9, 7.2)), person).unwrap()
    (risk,) = [r for r in value.risks if r.name == "dx_diabetes"]
    expected = VH.given(age=60, sex="male", hba1c=7.2).ask("dx_diabetes")["dx_diabetes"]
    assert risk.risk[-1] == pytest.approx(expected.probability)
    assert risk.risk[0] < risk.risk[1] < risk.risk[2]  # type: ignore[operator]
    peers = VH.given(age=60, sex="male").ask("dx_diabetes")["dx_diabetes"]
    assert risk.peers[-1] == pytest.approx(peers.probability)
    # the outcome is there too, apart from the diagnoses
    assert {r.name for r in value.risks} == {"dx_diabetes", "death_5y"}


def test_gaps_unknown_tests_and_one_date_are_told() -> None:
    panels = read_panels(
        {DATES[0]: {"HbA1c": 5.5, "コリンエステラーゼ": 300}, DATES[1]: {"HbA1c": 5.6, "HDL": 50, "呪文": 3}}
    )
    answer = timeline(VH, panels, VH.given(age=60, sex="female"))
    value = answer.unwrap()
    assert value.aside == ("コリンエステラーゼ",)
    assert value.course("hdl").verdict == "measured once"
    assert value.course("hdl").change is None
    said = " ".join(f.message for f in answer.findings)
    assert "呪文" in said
    assert "コリンエステラーゼ" in said
    assert answer.level == Level.CAUTION
    assert len(value.to_frame()) == 3
    assert "HbA1c" in str(value)
    with pytest.raises(BadInput, match="sbp was not measured"):
        value.course("sbp")


def test_a_test_left_out_does_not_move_the_risk() -> None:
    panels = read_panels({DATES[0]: {"HbA1c": 6.4, "HDL": 50}, DATES[1]: {"HDL": 50}})
    answer = timeline(VH, panels, VH.given(age=60, sex="male"))
    (risk,) = [r for r in answer.unwrap().risks if r.name == "dx_diabetes"]
    expected = VH.given(age=60, sex="male", hba1c=6.4, hdl=50).ask("dx_diabetes")["dx_diabetes"]
    assert risk.risk[1] == pytest.approx(expected.probability)
    assert any(f.check == "carried" and "2023-07-10: hba1c" in f.message for f in answer.findings)
    # the course of the value itself is not made up
    assert answer.unwrap().course("hba1c").values == (6.4,)


@pytest.mark.parametrize(
    ("first", "second", "as_if"),
    [
        ({"weight_kg": 80, "height_cm": 170}, {"bmi": 24.0}, {"height_cm": 170, "bmi": 24.0}),
        ({"weight_kg": 80}, {"height_cm": 170, "bmi": 24.0}, {"height_cm": 170, "bmi": 24.0}),
        ({"creatinine": 0.9}, {"egfr": 50}, {"egfr": 50}),
    ],
)
def test_what_is_calculated_today_is_not_held_against_what_was_measured_last_year(
    first: dict[str, float], second: dict[str, float], as_if: dict[str, float]
) -> None:
    human = VirtualHuman.load()
    sheet = {DATES[0]: first | {"hba1c": 5.5}, DATES[1]: second | {"hba1c": 5.6}, DATES[2]: {"hba1c": 5.7}}
    answer = timeline(human, read_panels(sheet), human.given(age=60, sex="male"))
    assert not any(f.check == "contradiction" for f in answer.findings)
    (risk,) = [r for r in answer.unwrap().risks if r.name == "dx_diabetes"]
    for place, (age, hba1c) in enumerate(((59, 5.6), (60, 5.7)), 1):  # and it is carried from there on
        known = human.given(sex="male", age=age, hba1c=hba1c)
        alike = known.given(as_if) if place == 1 else known.given(human_values(human, as_if))
        assert risk.risk[place] == pytest.approx(alike.ask("dx_diabetes")["dx_diabetes"].probability)


def human_values(human: VirtualHuman, given: dict[str, float]) -> dict[str, float]:
    """What follows from some values at 59, which is what is carried to the next year."""
    free = human.given(sex="male", age=59).given(given).known.free
    return {name: value for name, value in free.items() if name not in ("age", "sex")}


def test_age_and_sex_may_come_from_the_sheet() -> None:
    panels = read_panels({"age": 60, "sex": "男", DATES[0]: {"HDL": 50}, DATES[1]: {"HDL": 52}})
    value = timeline(VH, panels, VH.given()).unwrap()
    assert "male" in value.peers
    assert value.course("hdl").mean[1] == pytest.approx(VH.given(age=60, sex="male").ask("hdl")["hdl"].mean)


def test_without_peers_the_answer_is_refused_and_says_why() -> None:
    answer = timeline(VH, _panels(hdl=(50, 51, 52)), VH.given(age=12, sex="male"))
    assert answer.level == Level.REFUSE
    assert answer.estimate is None
    assert "only adults" in " ".join(f.message for f in answer.findings)


def test_visits_of_a_youth_are_left_out_and_do_not_refuse_the_rest() -> None:
    values = {"2012-01-10": 48, "2016-01-10": 50, "2020-01-10": 52, "2024-01-10": 45}
    panels = read_panels({day: {"HDL": hdl} for day, hdl in values.items()})
    answer = timeline(VH, panels, VH.given(age=25, sex="male"))  # 13, 17, 21 and 25
    assert [str(day) for day in answer.unwrap().dates] == ["2020-01-10", "2024-01-10"]
    assert answer.unwrap().course("hdl").values == (52, 45)
    (left,) = (f for f in answer.findings if f.check == "young")
    assert left.level is Level.CAUTION
    assert "2012-01-10, 2016-01-10" in left.message
    alone = timeline(VH, panels, VH.given(age=23, sex="male"))  # 19 four years before
    assert alone.level is Level.REFUSE
    assert "19 years: only adults" in " ".join(f.message for f in alone.findings)


@pytest.mark.parametrize(
    ("panels", "words"),
    [
        (read_panels({"HDL": 50}), "without a date"),
        (read_panels({DATES[0]: {"HDL": 50}}), "a course needs two"),
        (read_panels({DATES[0]: {"HDL": 50}}) * 2, "two panels of 2023-01-10"),
    ],
)
def test_bad_input(panels: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        timeline(VH, panels, VH.given(age=60, sex="male"))


def test_a_date_whose_results_are_awaited_is_not_the_last_one() -> None:
    panels = read_panels({DATES[0]: {"HbA1c": 5.5}, DATES[1]: {"HbA1c": 5.9}, DATES[2]: {"HbA1c": "検査中"}})
    chosen = latest(panels)
    assert (str(chosen.date), chosen.values) == (DATES[1], {"hba1c": 5.9})
    (said,) = (f for f in chosen.findings if f.check == "other-date")
    assert said.level is Level.CAUTION
    assert f"no values of {DATES[2]} could be used" in said.message
    assert latest(panels, DATES[2]).values == {}


def test_panels_become_people() -> None:
    first, last = read_panels({DATES[0]: {"HbA1c": 5.5}, DATES[2]: {"HbA1c": 6.5, "HDL": 40}})
    assert latest([first, last]) is last
    assert latest([first, last], DATES[0]).readings == first.readings
    with pytest.raises(BadInput, match="there are 2023-01-10, 2024-01-10"):
        latest([first, last], "2024-02-01")
    with pytest.raises(BadInput, match="no panel"):
        latest([])
    me = VH.given(age=60, sex="male", hdl=45)
    at = person_at(me, first, last.date)
    assert at.known.given["age"] == 59
    assert person_at(me, last).known.given["hdl"] == 45  # what the caller says wins
    answer = with_findings(me.ask("hba1c"), first.findings)
    assert answer["hba1c"].mean == pytest.approx(me.ask("hba1c")["hba1c"].mean)


@pytest.mark.parametrize(("first", "last"), [("<60", "40"), ("40", "<60"), ("<60", "<30"), (">60", "90")])
def test_a_value_beyond_a_limit_has_not_changed_by_what_the_limit_is(first: str, last: str) -> None:
    """Below 60 may be 40: it was called a fall by a third, more than chance allows."""
    sheet = {"2023-01-10": {"HDL": first}, "2023-06-10": {"HDL": last}, "2024-01-10": {"HDL": last}}
    course = VH.timeline(read_panels(sheet), age=64, sex="male").unwrap().course("hdl")
    assert course.change is None
    assert course.slope is None
    assert not course.changed
    assert "cannot be told" in course.verdict


def test_a_change_away_from_a_limit_is_at_least_that_far() -> None:
    sheet = {"2023-01-10": {"HDL": "<30"}, "2024-01-10": {"HDL": "60"}}
    course = VH.timeline(read_panels(sheet), age=64, sex="male").unwrap().course("hdl")
    assert course.change == pytest.approx(100)
