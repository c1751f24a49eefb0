"""The health part of the demo: virtual people, one of them at the laboratory, and a course over dates.

Everything in it is drawn from the shipped model or invented: it belongs to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciai.core.answer import Level
from sciai.core.resources import checkpoints_dir, data_dir
from sciai.studio.health import FOOTER, panel_section, timeline_section
from sciai.studio.report import Section, Table, Tile

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health import VirtualHuman

__all__ = ["HealthDemo", "available", "demonstrate"]

Step = Callable[[float, str], None]
PEOPLE: Final = 2000
SEED: Final = 7
CHECKUP: Final = (
    "height_cm", "weight_kg", "sbp", "dbp", "albumin", "alt", "ast", "ggt", "bun", "creatinine", "uric_acid",
    "chol_total", "hdl", "trig_serum", "hba1c", "wbc", "rbc", "hemoglobin", "mcv", "platelets",
)  # fmt: skip
SHOWN: Final = ("bmi", "sbp", "hba1c", "chol_total", "egfr", "dx_diabetes", "dx_hypertension", "rx_bp")


@dataclass(frozen=True)
class HealthDemo:
    """Sections of the report, and the same figures as data."""

    sections: tuple[Section, ...]
    figures: Mapping[str, Any]


def available(model: str = "health") -> bool:
    """Whether a model ships with this installation."""
    return (checkpoints_dir() / model).is_dir()


def demonstrate(out: Path, *, step: Step, human: VirtualHuman | None = None) -> HealthDemo:
    """Run health's main jobs.

    Args:
        out: folder for the virtual people (``people.csv``).
        step: progress callback.
        human: the model; the shipped one when None.
    """
    from sciai.health.api.human import VirtualHuman
    from sciai.health.api.report import panel_report
    from sciai.health.api.timeline import timeline
    from sciai.health.data.panels import read_panels

    step(0.05, "health: loading the model")
    vh = human or VirtualHuman.load()
    step(0.2, "health: drawing virtual people")
    start = time.perf_counter()
    people = vh.sample(PEOPLE, SEED)
    drawn = time.perf_counter() - start
    people.to_csv(out / "people.csv", index=False)
    step(0.5, "health: one of them at the laboratory")
    start = time.perf_counter()
    person = vh.given(_visit(vh, people))
    report = panel_report(person)
    asked = time.perf_counter() - start
    step(0.8, "health: a course over four dates")
    panels = read_panels(data_dir() / "health" / "example_course_ja.csv")
    course = timeline(vh, panels, vh.given())
    step(1.0, "health: done")
    first, last = panel_section(report), timeline_section(course)
    sections = (
        _people(people, drawn),
        _renamed(
            first,
            "Health: a virtual person's check-up among peers",
            "VIRTUAL PERSON. Drawn from the model itself, so nothing here is anybody's record.",
            ("sciai health example", "sciai health risk example_panel.csv --html risk.html"),
        ),
        _renamed(
            last,
            "Health: a course over the dates",
            "INVENTED VALUES. The sheet ships with sciai; its person does not exist.",
            ("sciai health timeline example_course_ja.csv --html course.html",),
        ),
    )
    figures = {
        "people": PEOPLE,
        "people_per_second": PEOPLE / drawn,
        "seconds_for_a_panel": asked,
        "risks": [] if report.risks.level >= Level.REFUSE else list(report.risks.unwrap()),
        "unusual": None if report.unusual is None else report.unusual.to_dict(),
        "timeline": course.to_dict(),
    }
    return HealthDemo(sections, figures)


def _visit(vh: VirtualHuman, people: pd.DataFrame) -> dict[str, Any]:
    """What a check-up would show of the first virtual person of middle age."""
    one = people[(people["age"] >= 55) & (people["age"] < 75)].iloc[0]
    names = [n for n in ("age", "sex", *CHECKUP) if n in people.columns and n in vh.schema]
    return {name: one[name] for name in names}


def _people(people: pd.DataFrame, seconds: float) -> Section:
    rows = []
    for name in (n for n in SHOWN if n in people.columns):
        column = people[name]
        if set(column.dropna().unique()) <= {0, 1}:
            rows.append([name, f"{100 * column.astype(float).mean():.0f} %", ""])
        else:
            low, middle, high = column.quantile([0.05, 0.5, 0.95])
            rows.append([name, f"{middle:.4g}", f"{low:.4g} to {high:.4g}"])
    return Section(
        title="Health: virtual people",
        lead=f"{len(people):,} people drawn from the joint model of {people.shape[1]} columns: anyone's "
        "demo data, because they are nobody's. How close they come to real people, and what the model gives "
        "away about those it learned from, is measured on the model's card.",
        level=Level.OK,
        tiles=(
            Tile(f"{len(people) / seconds:,.0f}", "virtual people per second", "this machine, one process"),
            Tile(f"{people.shape[1]}", "columns each", "calculated ones consistent"),
        ),
        tables=(Table("Some columns of theirs", ["column", "median or share", "middle 90 %"], rows),),
        commands=("sciai health sample -n 2000 -o people.csv",),
        words="drawn from the model",
        limits=(FOOTER,),
    )


def _renamed(section: Section, title: str, banner: str, commands: tuple[str, ...]) -> Section:
    from dataclasses import replace

    return replace(section, title=title, banner=banner, commands=commands)
