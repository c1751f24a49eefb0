"""Tables of people, their groups, and the prospective outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciai.core.data import DataModule
from sciai.core.errors import BadInput
from sciai.health.data.columns import default_schema
from sciai.health.data.synthetic import invent
from sciai.health.data.tables import People, Table, death_within, read_table


def _table(folder: Path, n: int = 60) -> Path:
    schema = default_schema()
    frame = schema.decode(invent(schema, n, missing=0.0))
    frame["seqn"], frame["strata"], frame["psu"] = range(n), np.arange(n) // 6, 1
    file = folder / "people.csv"
    frame.to_csv(file, index=False)
    return file


def test_people_come_in_groups(tmp_path: Path) -> None:
    file = _table(tmp_path)
    people = People([Table(str(file))])
    assert len(people) == 60
    assert people[0]["values"].shape == (len(people.schema),)
    assert people.provenance["tables"][0]["people"] == 60
    module = DataModule(people, 8, {"train": 0.5, "test": 0.5})
    ours, others = ({people.groups[i] for i in module.split.parts[p]} for p in ("train", "test"))
    assert not ours & others


def test_a_table_of_the_survey_tells_who_fasted_by_its_gaps(tmp_path: Path) -> None:
    """Fasting values exist for one half only. In a table of one's own a gap says nothing of the kind."""
    blood = {"trig_serum": [90.0, 80.0, np.nan], "trig_fasting": [91.0, np.nan, np.nan]}
    table = {"w_mec": [2e4] * 3, **blood, "glucose_fasting": [np.nan] * 3}
    for left_out, told in (([], [1.0, 0.0, np.nan]), (["w_mec"], [np.nan] * 3)):
        file = tmp_path / f"{len(left_out)}.csv"
        pd.DataFrame(table).drop(columns=left_out).to_csv(file, index=False)
        people = People([Table(str(file))])
        np.testing.assert_array_equal(people.values[:, people.schema.index("fasted")], told)


def test_tables_with_different_columns_are_put_under_each_other(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    pd.DataFrame({"sex": ["F", "M"], "grip": [30.5, 44.0], "clinic": ["a", "b"]}).to_csv(mine, index=False)
    schema = tmp_path / "mine.yaml"
    schema.write_text(
        "columns:\n"
        "  - {name: sex, kind: binary, levels: [female, male], codes: [F, M]}\n"
        "  - {name: grip, kind: continuous, unit: kg, decimals: 1}\n"
    )
    people = People(
        [{"path": str(_table(tmp_path))}, {"path": str(mine), "schema": str(schema), "group_by": ["clinic"]}]
    )
    assert people.schema.names[-1] == "grip"
    assert np.isnan(people.values[:60, -1]).all()
    assert people.values[60:, people.schema.index("sex")].tolist() == [0, 1]
    assert np.isnan(people.values[60:, people.schema.index("age")]).all()
    assert people.groups[-1] == "1:b"


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        People([Table(str(tmp_path / "none.csv"))])
    empty = tmp_path / "empty.csv"
    empty.write_text("age,sex\n")
    with pytest.raises(BadInput, match="no rows"):
        People([Table(str(empty))])
    strange = tmp_path / "strange.csv"
    strange.write_text("age,sex\nyoung,F\n")
    with pytest.raises(BadInput, match="row 0") as caught:
        People([Table(str(strange))])
    assert "strange.csv" in str(caught.value)
    other = tmp_path / "other.csv"
    other.write_text("colour\nred\n")
    with pytest.raises(BadInput, match="none of the schema"):
        People([Table(str(other))])


def test_deaths_are_joined_by_key(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths.csv"
    pd.DataFrame(
        {"seqn": range(60), "mort_stat": [1] * 10 + [0] * 50, "permth_exm": [12] * 10 + [90] * 50}
    ).to_csv(deaths, index=False)
    people = People([Table(str(_table(tmp_path)), deaths=str(deaths))])
    outcome = people.values[:, people.schema.index("death_5y")]
    assert outcome.tolist() == [1.0] * 10 + [0.0] * 50


def test_an_era_that_ended_early_tells_nothing() -> None:
    """Where nobody could be followed for five years, only the dead would be known."""
    months = [70.0] * 8 + [10.0, 20.0] + [30.0] * 8 + [10.0, 20.0]
    died = ([0] * 8 + [1, 1]) * 2
    outcome, weight = death_within(months, died, ["old"] * 10 + ["new"] * 10)
    assert outcome[:10].tolist() == [0.0] * 8 + [1.0, 1.0]
    assert np.isnan(outcome[10:]).all()
    assert (weight[10:] == 0).all()


def test_weights_undo_the_loss_of_follow_up() -> None:
    """People lost at random: the weighted share of deaths is that of everybody."""
    rng = np.random.default_rng(0)
    death, lost = rng.exponential(150, 40_000), rng.uniform(0, 160, 40_000)
    outcome, weight = death_within(np.minimum(death, lost), death <= lost, ["all"] * 40_000)
    known = np.isfinite(outcome)
    plain, weighted = outcome[known].mean(), np.average(outcome[known], weights=weight[known])
    truth = 1 - np.exp(-60 / 150)
    assert abs(weighted - truth) < 0.01 < abs(plain - truth)
    assert abs(weight.sum() / 40_000 - 1) < 0.02


def test_the_real_table(shared_data: Path) -> None:
    folder = shared_data / "health"
    people = People(
        [
            Table(
                str(folder / "nhanes_2011_2018_adults.parquet"),
                deaths=str(folder / "nhanes_2011_2018_mortality.parquet"),
            )
        ]
    )
    assert people.values.shape == (17865, len(default_schema()))
    frame = pd.read_parquet(folder / "nhanes_2011_2018_adults.parquet")
    told = people.schema.compute(people.values)
    for name, most in {"egfr": 0.001, "bmi": 0.051, "ldl": 0.41, "osmolality": 2.3}.items():
        gap = np.abs(told[name] - frame[name].to_numpy(float))
        assert np.nanmax(gap) < most, name
    assert 600 < np.nansum(people.values[:, people.schema.index("death_5y")]) < 640


def test_a_table_that_excel_saved_in_japan(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes("sex,age,メモ\n男性,64,なし\n女性,50,\n".encode("cp932"))
    table = read_table(file)
    assert table["sex"].tolist() == ["男性", "女性"]
    assert "read as Shift_JIS" in table.attrs["reading"][0]["message"]
    file.write_bytes(b"sex,age\n\xff\xfe\x81,64\n")
    with pytest.raises(BadInput, match="cannot be read"):
        read_table(file)


def test_a_table_that_excel_saved_in_germany(tmp_path: Path) -> None:
    file = tmp_path / "leute.csv"
    file.write_bytes("age;sex;Größe in cm;bmi;hba1c\n50;male;178;25,5;5,4\n61;female;;31;\n".encode("cp1252"))
    table = read_table(file)
    assert table.columns.tolist() == ["age", "sex", "Größe in cm", "bmi", "hba1c"]
    assert table["bmi"].tolist() == [25.5, 31.0]
    assert table["hba1c"].tolist()[:1] == [5.4]
    assert "read as Latin-1" in table.attrs["reading"][0]["message"]


@pytest.mark.parametrize(
    ("field", "name"), [("group_by", ["patiant"]), ("weight", "wt"), ("key", "id"), ("era", "year")]
)
def test_columns_that_are_named_have_to_be_there(tmp_path: Path, field: str, name: object) -> None:
    """With a slip in group_by people were split by row: visits of one were learned from and tested on."""
    with pytest.raises(BadInput, match=rf"there is no column.*field {field}"):
        People([{"path": str(_table(tmp_path)), field: name}])
    with pytest.raises(BadInput, match="patiant"):
        People([{"path": str(_table(tmp_path)), "group_by": ["psu", "patiant"]}])
    assert len(People([{"path": str(_table(tmp_path)), "weight": None}])) == 60
    one = People([{"path": str(_table(tmp_path)), "group_by": "strata"}])  # not its letters
    assert len(set(one.groups)) == 10
