"""Pictures of a report: every figure is in it as text, marks lie where the values are, any script is kept."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest

from sciai.health.api.panel import person_at
from sciai.health.api.report import panel_report, timeline_pictures
from sciai.health.api.report_charts import course_grid, peer_grid, risk_bars
from sciai.health.api.report_svg import Canvas, number, ticks
from sciai.health.api.risks import Risk
from sciai.health.api.timeline import timeline
from sciai.health.data.panels import read_panels
from tests.health.api.exact import human

VH = human()
ME = VH.given(age=60, sex="male")


def _words(svg: str) -> str:
    return " ".join(ET.fromstring(svg).itertext())


def test_risk_bars_are_as_long_as_the_risks() -> None:
    risks = [
        Risk("a", "Apples (ever told)", 0.2, 0.1, 0.3, 0.1, 2.0),
        Risk("b", "<Bees>", 0.05, 0.02, 0.09, 0.1, 0.5),
    ]
    svg = risk_bars(risks)
    words = _words(svg)
    for text in ("Apples", "<Bees>", "20 % (10–30)", "peers 10 %", "×2.0", "×0.5", "90 % interval"):
        assert text in words
    assert "ever told" not in words
    bars = [float(w) for w, h in re.findall(r'width="([\d.]+)" height="([\d.]+)"', svg) if h == "9.0"][1:]
    assert bars[0] / bars[1] == pytest.approx(4, rel=0.01)


def test_peer_grid_says_where_a_value_lies() -> None:
    told = VH.given(age=60, sex="male").ask("hba1c", "hdl").unwrap()
    svg = peer_grid(told, {"hba1c": 6.4, "hdl": 40.0}, {"hba1c": (4.9, 6.0)})
    words = _words(svg)
    assert f"above {told['hba1c'].percentile(6.4):.0f} % of peers" in words
    assert "HDL" in words
    # a value far outside of all peers is still inside of the picture
    far = peer_grid(told, {"hba1c": 19.0}, {})
    xs = [float(x) for x in re.findall(r'x1="([\d.]+)"', far)]
    assert max(xs) <= 1060


def test_courses_mark_what_changed() -> None:
    panels = read_panels({"2023-01-10": {"HbA1c": 5.5, "HDL": 50}, "2024-01-10": {"HbA1c": 6.9, "HDL": 51}})
    value = timeline(VH, panels, ME).unwrap()
    words = _words(course_grid(value.courses))
    assert "▲ +25 %, more than chance" in words
    assert "+2 %, within chance" in words
    assert words.count("▲") == 1
    once = read_panels({"2023-01-10": {"HbA1c": 5.5}, "2024-01-10": {"HDL": 51}})
    assert "measured once" in _words(course_grid(timeline(VH, once, ME).unwrap().courses))
    pictures = timeline_pictures(value)
    assert len(pictures) == 2
    assert "Diabetes" in _words(pictures[1][0])


def test_a_report_asks_everything_once() -> None:
    (panel,) = read_panels({"HbA1c": "6.4 %", "HDL": 40, "BMI": 31, "ChE": 300})
    report = panel_report(person_at(ME, panel), panel)
    assert set(report.peers) == {"hba1c", "hdl", "bmi"}
    assert report.references["hba1c"] == (4.9, 6.0)
    assert report.references["hdl"] == (38, 90)  # of men
    assert any(f.check == "not-modelled" for f in report.risks.findings)
    captions = " ".join(caption for _, caption in report.pictures())
    assert len(report.pictures()) == 3  # diagnoses, outcome, values
    assert "not a forecast" in captions
    for svg, _ in report.pictures():
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_a_refused_report_shows_no_risk() -> None:
    (panel,) = read_panels({"HbA1c": 6.4})
    report = panel_report(person_at(VH.given(age=12, sex="male"), panel), panel)
    assert report.risks.level.name == "REFUSE"
    assert report.pictures() == []


def test_the_printed_range_wins_over_the_common_one() -> None:
    (panel,) = read_panels({"HbA1c": 6.4})
    reading = panel.readings[0]
    printed = dataclasses.replace(panel, readings=(dataclasses.replace(reading, range=(4.6, 6.2)),))
    assert panel_report(person_at(ME, printed), printed).references["hba1c"] == (4.6, 6.2)


def test_one_value_is_no_combination() -> None:
    (panel,) = read_panels({"HbA1c": 6.4})
    report = panel_report(person_at(ME, panel), panel)
    assert report.unusual is None
    assert len(report.pictures()) == 3


def test_texts_are_escaped_and_cut() -> None:
    canvas = Canvas(100, 20, "<title>")
    canvas.text(0, 10, "乳酸デヒドロゲナーゼ", room=60)
    canvas.text(0, 10, "short", room=60)
    words = _words(canvas.render())
    assert "<title>" in words
    assert "乳酸" in words
    assert "…" in words
    assert "short" in words


def test_ticks_and_numbers() -> None:
    assert ticks(0, 1) == [0.0, 0.5, 1.0]
    assert ticks(3, 3) == [3]
    assert number(0.123456) == "0.123"
