"""Health pages and the health part of the demo: what must be on a page is on it, refused figures are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sciai.core.answer import Level, jsonable
from sciai.health.api.panel import person_at
from sciai.health.api.report import panel_report
from sciai.health.api.timeline import timeline
from sciai.health.data.panels import read_panels
from sciai.studio.health import panel_section, timeline_section, write_panel, write_timeline
from sciai.studio.health_demo import demonstrate
from tests.health.api.exact import human

VH = human()
PANEL = read_panels({"HbA1c": 6.4, "HDL": 40, "体重": 88, "身長": 171, "ChE": 300, "<b>": 3})[0]
PANELS = read_panels({"2023-01-10": {"HbA1c": 5.5, "HDL": 50}, "2024-01-10": {"HbA1c": 6.9, "HDL": 51}})


def test_a_panel_page_says_what_it_has_to(tmp_path: Path) -> None:
    report = panel_report(person_at(VH.given(age=60, sex="male"), PANEL), PANEL)
    page = write_panel(tmp_path / "a.html", report, PANEL).read_text(encoding="utf-8")
    for words in (
        "not a diagnosis", "US adults", "self-reported", "Japanese adults", "association", "90 % interval",
        "peers", "exact", "500 held-out people", "What drives the risks", "On the sheet, but not used", "ChE",
        "&lt;b&gt;", "CAUTION",
    ):  # fmt: skip
        assert words in page
    assert "<b>:" not in page
    section = panel_section(report, PANEL)
    assert section.tiles[0].value == "4 of 4"
    # what was merely done is at the end, what needs care in front
    assert all(f.level > Level.OK for f in section.findings)
    assert any(table.title == "Notes" for table in section.after)


def test_a_refused_panel_shows_the_reason_and_no_figure(tmp_path: Path) -> None:
    report = panel_report(person_at(VH.given(age=12, sex="male"), PANEL), PANEL)
    page = write_panel(tmp_path / "a.html", report, PANEL).read_text(encoding="utf-8")
    assert "only adults" in page
    assert "REFUSE" in page
    assert "<svg" not in page
    assert "Diabetes" not in page


def test_a_timeline_page(tmp_path: Path) -> None:
    answer = timeline(VH, PANELS, VH.given(age=60, sex="male"))
    page = write_timeline(tmp_path / "a.html", answer).read_text(encoding="utf-8")
    for words in (
        "2 dates, 2023-01-10 to 2024-01-10",
        "more than chance",
        "were not checked at their source",
    ):
        assert words in page
    assert page.count("<svg") == 2
    assert timeline_section(answer).tiles[0].value == "1 of 2"
    refused = timeline(VH, PANELS, VH.given(age=12, sex="male"))
    page = write_timeline(tmp_path / "b.html", refused).read_text(encoding="utf-8")
    assert "only adults" in page
    assert "<svg" not in page


def test_the_demo_is_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciai.studio.health_demo.PEOPLE", 60)
    done = demonstrate(tmp_path, step=lambda part, text: None, human=VH)
    people, panel, course = done.sections
    assert (tmp_path / "people.csv").read_text().count("\n") == 61
    assert "VIRTUAL PERSON" in panel.banner
    assert "INVENTED" in course.banner
    assert len(panel.pictures) == 3
    assert people.tiles[1].value == str(len(VH.schema.columns) + len(VH.schema.derived))
    json.dumps(jsonable(done.figures))
    assert {risk.name for risk in done.figures["risks"]} == {"dx_diabetes", "death_5y"}
