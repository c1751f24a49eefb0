"""A table of one's own: what is refused before training, and that answers do not speak of the survey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from omegaconf import open_dict

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.core.run import compose, train
from sciai.health import VirtualHuman
from sciai.health.data.panels import read_panels
from sciai.health.data.tables import People, Table
from sciai.health.train.own_table import agreed

pytestmark = pytest.mark.usefixtures("one_thread")

WARD = [
    {"name": "arm", "kind": "binary", "codes": ["A", "B"], "group": "person"},
    {
        "name": "temp_c",
        "kind": "continuous",
        "unit": "Cel",
        "decimals": 1,
        "low": 30,
        "high": 45,
        "group": "body",
    },
    {"name": "crp", "kind": "continuous", "unit": "mg/L", "decimals": 1, "low": 0, "high": 600},
    {"name": "infected", "kind": "binary", "codes": ["No", "Yes"], "group": "diagnosis"},
]
SCHOOL = [
    {"name": "age", "kind": "count", "unit": "a", "group": "person", "low": 0, "high": 110},
    {"name": "sex", "kind": "binary", "codes": ["F", "M"], "levels": ["female", "male"], "group": "person"},
    {"name": "creatinine", "kind": "continuous", "unit": "umol/L", "low": 10, "high": 2000},
]  # fmt: skip


def ward(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    load = rng.normal(size=n)
    return pd.DataFrame(
        {
            "pid": np.arange(n) // 2,
            "arm": pd.Categorical(rng.choice(["A", "B"], n)),
            "temp_c": np.round(36.8 + 0.3 * load + rng.normal(0, 0.2, n), 1),
            "crp": np.round(np.exp(1 + load), 1),
            "infected": np.where(rng.random(n) < 1 / (1 + np.exp(-2 * load)), "Yes", "No"),
        }
    )


def school(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age = rng.integers(5, 18, n)
    creatinine = np.round(20 + 3 * age + rng.normal(0, 4, n))
    return pd.DataFrame({"age": age, "sex": rng.choice(["F", "M"], n), "creatinine": creatinine})


def written(
    folder: Path, name: str, frame: pd.DataFrame, columns: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"columns": columns, **more}), "utf-8")
    return {"path": str(folder / f"{name}.csv"), "schema": str(folder / f"{name}.yaml")}


def trained(folder: Path, *tables: dict[str, Any]) -> VirtualHuman:
    options = ["domain/health@domain=copula", "domain.net.rounds=2", "trainer.enable_progress_bar=false"]
    cfg = compose("health", [*options, f"out={folder / 'run'}"])
    with open_dict(cfg):
        cfg.domain.data.dataset.tables = list(tables)
    return VirtualHuman.load(path=train(cfg).path)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> VirtualHuman:
    folder = tmp_path_factory.mktemp("both")
    first = written(folder, "ward", ward(), WARD) | {"group_by": ["pid"]}
    return trained(folder, first, written(folder, "school", school(), SCHOOL))


def test_a_table_without_age_and_sex_is_trained_and_answers(tmp_path: Path) -> None:
    vh = trained(tmp_path, written(tmp_path, "ward", ward(), WARD) | {"group_by": ["pid"]})
    me = vh.given(temp_c=37.6, crp=12)
    assert me.ask("infected")["infected"].probability > 0.6
    assert [risk.label for risk in me.risks().unwrap()] == ["infected"]
    assert me.risks().unwrap().peers == "all people"
    assert me.unusual().level < Level.REFUSE
    assert vh.calibration.widths["crp"].keys() == {"all"}
    assert me.similar == vh.calibration.trained_on
    assert vh.given(infected=True).known.value("infected") == 1


def test_no_answer_of_another_table_speaks_of_us_adults(both: VirtualHuman) -> None:
    answer = both.given(age=10, sex="male").ask("creatinine")
    said = " ".join(f.message for f in answer.findings)
    assert answer.level < Level.REFUSE
    assert "NHANES" not in said
    assert "under 20" not in said
    assert "ward.csv and school.csv" in said
    assert both.given(age=3).ask("creatinine").level is Level.REFUSE  # nobody of three was learned from
    table = both.predict(pd.DataFrame({"age": [3, 12]}), "creatinine")
    assert np.isnan(table["mean"][0])
    assert table["mean"][1] > 40
    assert "NHANES" not in " ".join(f.message for f in both.marginal("crp").findings)


def test_the_pages_of_another_table_do_not_either(both: VirtualHuman, tmp_path: Path) -> None:
    from sciai.health.api.report import panel_report
    from sciai.studio.health import write_panel

    person = both.given(age=12, sex="male", creatinine=50, temp_c=37)
    page = write_panel(tmp_path / "page.html", panel_report(person)).read_text("utf-8")
    assert "NHANES" not in page
    assert "US adults" not in page


def test_values_are_in_the_units_of_the_own_schema(both: VirtualHuman) -> None:
    schema = both.schema
    for said in (50, "50 umol/L", "0.5656 mg/dL"):
        known = both.given(age=12, sex="male", creatinine=said).known
        assert known.values[schema.index("creatinine")] == pytest.approx(50, abs=0.1), said
    sheet = {"2024-01-05": {"creatinine": "0.6 mg/dL"}, "2024-06-05": {"creatinine": "60 umol/L"}}
    course = both.timeline(read_panels(sheet), age=12, sex="male").unwrap().course("creatinine")
    assert course.values == pytest.approx((53.04, 60), abs=0.1)
    assert course.unit == "umol/L"
    assert course.reference == (None, None)  # ours is in mg/dL


def test_columns_that_were_never_measured_together_are_said(both: VirtualHuman) -> None:
    told = both.given(creatinine=50).ask("crp")
    assert any(f.check == "extrapolation" and "creatinine" in f.message for f in told.findings)
    assert told.level is Level.CAUTION
    assert not any(f.check == "extrapolation" for f in both.given(temp_c=37).ask("crp").findings)


def people(
    folder: Path, frame: pd.DataFrame, columns: list[dict[str, Any]], more: Any = None, **table: Any
) -> People:
    return People([Table(**written(folder, "mine", frame, columns, **(more or {})), **table)])


def test_what_would_train_and_answer_wrongly_is_refused_before(tmp_path: Path) -> None:
    turned = [dict(c) for c in SCHOOL]
    turned[1] |= {"codes": ["M", "F"], "levels": ["male", "female"]}
    with pytest.raises(BadInput, match=r"first\s+as female.*levels: \[female, male\]"):
        agreed(people(tmp_path, school(), turned))
    with pytest.raises(BadInput, match="creatinine in mg/dL, and the column is in umol/L"):
        agreed(people(tmp_path, school(), SCHOOL, {"derived": [{"name": "egfr"}]}))
    with pytest.raises(BadInput, match="bmi is calculated from weight_kg, which is no column"):
        agreed(people(tmp_path, school(), SCHOOL, {"derived": [{"name": "bmi"}]}))
    yes_first = [dict(c) for c in WARD]
    yes_first[3]["codes"] = ["Yes", "No"]
    with pytest.raises(BadInput, match=r"yes before no.*codes: \[No, Yes\]"):
        agreed(people(tmp_path, ward(), yes_first))
    in_months = [dict(c) for c in SCHOOL]
    in_months[0]["unit"] = "mo"
    with pytest.raises(BadInput, match="age is a count column in 'mo'"):
        agreed(people(tmp_path, school(), in_months))


def test_codes_of_refused_gaps_of_weights_and_people_in_two_parts_are_refused(tmp_path: Path) -> None:
    frame = ward()
    frame.loc[3:5, "crp"] = 777
    with pytest.raises(BadInput, match=r"3 values lie outside.*first is 777, of person 3"):
        agreed(people(tmp_path, frame, WARD))
    heavy = ward().assign(w=1.0)
    heavy.loc[7, "w"] = np.nan
    with pytest.raises(BadInput, match="weight of some people is missing"):
        agreed(people(tmp_path, heavy, WARD, weight="w"))
    with pytest.raises(BadInput, match=r"rows of one person \(0\) in different groups"):
        agreed(people(tmp_path, ward(), WARD, key="pid"))
    assert len(agreed(people(tmp_path, ward(), WARD, key="pid", group_by=["pid"]))) == 500


def test_a_few_odd_values_are_as_in_any_table(tmp_path: Path) -> None:
    frame = pd.concat([ward()] * 5, ignore_index=True)
    frame.loc[0, "crp"] = 777
    found = people(tmp_path, frame, WARD)
    assert agreed(found) is found


def test_of_a_column_that_nobody_has_nothing_is_said(tmp_path: Path) -> None:
    more = [*SCHOOL, {"name": "ferritin", "kind": "continuous", "unit": "ng/mL", "low": 1, "high": 5000}]
    vh = trained(tmp_path, written(tmp_path, "school", school(), more))
    assert vh.given(age=10).ask("ferritin").level is Level.REFUSE
    people = vh.given(age=10).sample(20)
    assert people["ferritin"].isna().all()
    assert people["creatinine"].notna().all()
    assert any("ferritin: left empty" in f["message"] for f in people.attrs["findings"])
    with pytest.raises(BadInput, match="hardly anybody that this model learned from has ferritin"):
        vh.predict(pd.DataFrame({"age": [10]}), "ferritin")
