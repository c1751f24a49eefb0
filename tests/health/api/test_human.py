"""The virtual human asked about many people at once, and how it is loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.health.api import VirtualHuman
from sciai.health.api.crowd import Conditions
from sciai.health.data.columns import Schema
from sciai.health.model.copula import CopulaJoint, fit_copula
from tests.health.api.exact import COVARIANCE, NUMBERS, SCHEMA, human

VH = human()


def test_marginal_of_everybody_is_the_mixture() -> None:
    told = VH.marginal("dx_diabetes")["dx_diabetes"]
    assert told.probability == pytest.approx(0.2, abs=1e-9)
    assert VH.marginal("height_cm")["height_cm"].mean == pytest.approx(162 + 13 / 2, abs=1e-6)


def test_marginal_where_a_number_is_in_a_range() -> None:
    told = VH.marginal("weight_kg", where={"height_cm": (180, 190), "sex": "male"}, n=64)["weight_kg"]
    table = VH.given(sex="M").sample(8000, seed=1)
    own = table[(table["height_cm"] >= 180) & (table["height_cm"] <= 190)]["weight_kg"]
    assert told.mean == pytest.approx(own.mean(), abs=3 * own.std() / len(own) ** 0.5)
    assert told.sd == pytest.approx(own.std(), rel=0.1)


@pytest.mark.parametrize("name", ["crp_hs", "ggt", "hba1c"])
def test_a_percentile_is_that_of_the_model_where_values_are_skewed_too(name: str) -> None:
    me = VirtualHuman.load().given(age=66, sex="male")
    told = me.ask(name)[name]
    shares = (0.03, 0.1, 0.3, 0.6, 0.93)
    exact = np.asarray(me.human.model.predictive(me.known.values[None], [name])[name].quantile(shares))[0]
    for share, value in zip(shares, exact, strict=True):
        assert told.percentile(float(value)) == pytest.approx(100 * share, abs=1)
    assert (told.percentile(-1), told.percentile(1e6)) == (0, 100)


def test_a_table_says_what_it_could_not_use_and_what_contradicts_itself() -> None:
    table = pd.DataFrame(
        {"sex": ["male", "女性", "F"], "age": [50, 60, 70], "height_cm": [170, None, None],
         "weight_kg": [70, None, 60], "bmi": [40, 24, None], "hdl": [40, 220, 50],
         "chol_total": [200, 180, 190]}
    )  # fmt: skip
    told = VH.predict(table, "dx_diabetes")
    assert told["p"].notna().all()
    assert VH.predict(table.assign(sex=["M", "F", "F"]), "dx_diabetes").equals(told)
    said = {(f["check"], f["where"]): f["message"] for f in told.attrs["findings"]}
    assert "bmi: 40 was given, weight_kg, height_cm make 24.22" in said["contradiction", "bmi"]
    assert "(1 row)" in said["contradiction", "bmi"]
    assert "hdl 220 is not below chol_total 180" in said["contradiction", "hdl"]
    assert "what is expected of them stands for all but one" in said["expected", "bmi"]
    weight = {
        (f["check"], f["where"]): f["message"] for f in VH.predict(table, "weight_kg").attrs["findings"]
    }
    assert "calculated from weight_kg, so it is not used (2 rows" in weight["ignored", "bmi"]
    with pytest.raises(BadInput, match=r"index 1.*'other' is not a level"):
        VH.predict(table.assign(sex=["M", "other", "F"]), "dx_diabetes")


def test_levels_and_calculated_conditions() -> None:
    both = VH.marginal("height_cm", where={"sex": ["F", "M"]})["height_cm"]
    assert both.mean == pytest.approx(168.5, abs=0.1)
    heavy = VH.crowd({"bmi": (30, 60)}, n=600, seed=2)
    assert (heavy.table["bmi"] >= 30).all()
    assert heavy.distribution("dx_diabetes").probability > 0.2


def test_the_population_is_not_the_sample() -> None:
    # the survey's weight grows with age, so the population is older than the sample
    sample, people = (VH.marginal("age", population=p, n=4000, seed=3)["age"].mean for p in (False, True))
    i, j = NUMBERS.index("age"), NUMBERS.index("w_mec")
    assert people - sample == pytest.approx(COVARIANCE[i, j] / 3.0, abs=0.6)
    assert people > sample + 0.3


def test_joint() -> None:
    crowd = VH.joint(["height_cm", "weight_kg"], where={"sex": "F"}, n=1500, seed=4)
    assert list(crowd.table.columns) == ["height_cm", "weight_kg"]
    assert crowd.correlation().iloc[0, 1] == pytest.approx(0.5, abs=0.08)
    assert "nobody" in crowd._repr_html_()
    assert repr(crowd).startswith(f"{len(crowd)} virtual people")
    assert "Schema" not in repr(crowd)
    assert len(crowd.figure().axes) == 1


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"height_cm": (500, 600)}, "nobody|not possible|implausible"),
        ({"height_cm": (1, 2, 3)}, "no range"),
        ({"sex": []}, "no level"),
        ({"sexx": "F"}, "did you mean sex"),
        ({"bmi": 31}, "range"),
    ],
)
def test_conditions_that_cannot_be(where: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        VH.marginal("age", where=where, n=64)


def test_a_condition_reads_units_and_open_ends() -> None:
    read = Conditions.read(SCHEMA, {"hba1c": ("42 mmol/mol", None)})
    assert read.ranges["hba1c"][0] == pytest.approx(0.0915 * 42 + 2.152)
    assert read.ranges["hba1c"][1] == np.inf


def test_columns_and_description() -> None:
    assert VH.columns.loc["bmi", "calculated_from"] == "weight_kg, height_cm"
    assert VH.columns.loc["sex", "levels"] == "female, male"
    assert "not a diagnosis" in VH.describe()
    assert VH.provenance(3).seed == 3


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = VH.sample(300, seed=5)
    copula = fit_copula(SCHEMA, SCHEMA.encode(table), rounds=2)
    extra = {"model": "copula", "schema": SCHEMA.to_dict()}
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    Checkpoint(copula.to_arrays(), Card("tiny", "health", extra=extra)).save(folder)
    return folder


def test_load(saved: Path) -> None:
    vh = VirtualHuman.load(path=saved)
    answer = vh.given(sex="M", height_cm=180).ask("weight_kg")
    i = NUMBERS.index("weight_kg")
    assert answer["weight_kg"].mean == pytest.approx(85, abs=2.5 * COVARIANCE[i, i] ** 0.5)
    assert answer.provenance.checkpoint == vh.hash
    assert "uncalibrated" in {f.check for f in answer.findings}
    assert isinstance(vh.model, CopulaJoint)


def test_a_checkpoint_of_other_columns_is_refused(saved: Path) -> None:
    whole = Checkpoint.load(saved)
    lacking = {k: v for k, v in whole.arrays.items() if not k.startswith("margin.hba1c.")}
    with pytest.raises(CheckpointError, match="hba1c"):
        VirtualHuman.from_checkpoint(dataclasses.replace(whole, arrays=lacking))
    with pytest.raises(BadInput, match="no column 'creatinine'"):
        VirtualHuman.from_checkpoint(whole).given(creatinine=1.0)


def test_no_such_checkpoint(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint is called"):
        VirtualHuman.load("healthy")
    with pytest.raises(CheckpointError, match="does not exist"):
        VirtualHuman.load(path=tmp_path / "nothing")
    radar = dataclasses.replace(Checkpoint.load(saved), card=Card("x", "radar"))
    with pytest.raises(CheckpointError, match="not health"):
        VirtualHuman.from_checkpoint(radar)


# ---- tables


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    frame = VH.sample(60, seed=6)[["age", "sex", "height_cm", "weight_kg", "hba1c", "dx_diabetes"]]
    frame.loc[::3, "hba1c"] = np.nan
    frame.loc[1::3, "height_cm"] = np.nan
    return frame.set_index(pd.Index([f"p{i}" for i in range(60)]))


def test_predict_is_ask_row_by_row(table: pd.DataFrame) -> None:
    told = VH.predict(table, "dx_diabetes")
    assert list(told.columns) == ["p", "low", "high"]
    assert (told.index == table.index).all()
    for name in ("p0", "p1", "p2"):
        row = table.loc[name].drop("dx_diabetes")
        assert told.loc[name, "p"] == pytest.approx(
            VH.given(row).ask("dx_diabetes")["dx_diabetes"].probability
        )
    number = VH.predict(table.drop(columns="hba1c"), "hba1c")
    asked = VH.given(table.loc["p4"].drop("hba1c")).ask("hba1c")["hba1c"]
    assert number.loc["p4", ["mean", "sd", "low", "high"]].tolist() == pytest.approx(
        [asked.mean, asked.sd, *asked.interval], rel=1e-6
    )


def test_the_columns_own_value_is_not_used(table: pd.DataFrame) -> None:
    other = table.assign(dx_diabetes=1 - table["dx_diabetes"])
    assert VH.predict(table, "dx_diabetes").equals(VH.predict(other, "dx_diabetes"))
    assert any(
        "own dx_diabetes is not used" in f["message"]
        for f in VH.predict(table, "dx_diabetes").attrs["findings"]
    )


def test_extra_columns_are_named_and_ignored(table: pd.DataFrame) -> None:
    told = VH.predict(table.assign(blood_type="A", seqn=1), "dx_diabetes")
    assert "blood_type, seqn" in told.attrs["findings"][0]["message"]
    assert told.equals(VH.predict(table, "dx_diabetes"))


def test_calculated_columns_of_a_table(table: pd.DataFrame) -> None:
    told = VH.predict(table, "bmi")
    exact = table["weight_kg"] / (table["height_cm"] / 100) ** 2
    known = exact.notna()
    assert told.loc[known, "mean"].to_numpy() == pytest.approx(exact[known].to_numpy())
    assert (told.loc[~known, "sd"] > 0).all()
    solved = table.assign(bmi=25.0)
    gap = solved.index[solved["height_cm"].isna()][0]
    person = VH.given(weight_kg=solved.loc[gap, "weight_kg"], bmi=25, age=solved.loc[gap, "age"],
                      sex=solved.loc[gap, "sex"], hba1c=solved.loc[gap, "hba1c"])  # fmt: skip
    assert VH.predict(solved, "dx_diabetes").loc[gap, "p"] == pytest.approx(
        person.ask("dx_diabetes")["dx_diabetes"].probability, rel=1e-4
    )


def test_impute(table: pd.DataFrame) -> None:
    full = VH.impute(table)
    assert not full.isna().any().any()
    known = table["hba1c"].notna()
    assert (full.loc[known, "hba1c"] == table.loc[known, "hba1c"]).all()
    drawn = VH.impute(table, seed=1)
    assert drawn.loc[~known, "hba1c"].std() > full.loc[~known, "hba1c"].std()
    assert drawn.equals(VH.impute(table, seed=1))
    assert list(full.columns) == list(table.columns)


def test_log_prob_of_a_table(table: pd.DataFrame) -> None:
    told = VH.log_prob(table.iloc[:3])
    assert told["p1"] == pytest.approx(VH.given(table.loc["p1"]).log_prob(), abs=1e-9)


def test_several_orders_of_the_chain_rule_are_several() -> None:
    human = VirtualHuman.load()
    who = {"age": 64, "sex": "male", "sbp": 150, "hdl": 40, "hba1c": 6.1}
    one, four, eight = (human.log_prob(who, orders=k) for k in (1, 4, 8))
    assert len({one, four, eight}) == 3  # a network's orders disagree a little
    assert four == pytest.approx(one, abs=0.5)
    rows = human.log_prob(pd.DataFrame([who, {"age": 30}, who]), orders=4)
    assert rows[[0, 2]].tolist() == pytest.approx([four, four], abs=1e-5)


@pytest.mark.parametrize("seed", [-1, 1.5, "x"])
def test_what_is_no_seed_is_said(table: pd.DataFrame, seed: Any) -> None:
    for ask in (
        lambda: VH.sample(3, seed=seed),
        lambda: VH.crowd(n=3, seed=seed),
        lambda: VH.marginal("hdl", where={"age": (60, 69)}, seed=seed),
        lambda: VH.impute(table, seed=seed),
    ):
        with pytest.raises(BadInput, match=r"the seed is .*a whole number"):
            ask()


def test_a_progress_bar_goes_to_stderr(table: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    VH.predict(table, "dx_diabetes", progress=True)
    told = capsys.readouterr()
    assert "predict dx_diabetes" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight_kg": ["a lot", *[80.0] * 59]}, "row 0 .*'p0'.*a lot"),
        ({"age": [*[50.0] * 59, -3.0]}, "row 59.*-3"),
        ({"sex": ["X", *["F"] * 59]}, "row 0 .*'X'"),
    ],
)
def test_a_bad_cell_is_named(table: pd.DataFrame, change: dict[str, list[object]], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        VH.predict(table.assign(**change), "dx_diabetes")


def test_rows_that_cannot_be_answered_are_counted(table: pd.DataFrame) -> None:
    odd = table.assign(age=[15.0, *[50.0] * 58, 90.0], hba1c=[*[5.5] * 57, 42.0, 40.0, 5.5])
    told = VH.predict(odd, "dx_diabetes")
    assert told["p"].isna().tolist() == [True, *[False] * 59]
    found = {f["check"]: f["message"] for f in told.attrs["findings"]}
    assert "(1 row)" in found["age"]
    assert "2 rows, the first is 57" in found["implausible"]
    known = table.assign(hba1c=np.nan, age=50.0)
    assert told["p"].iloc[57] == pytest.approx(VH.predict(known, "dx_diabetes")["p"].iloc[57])
    with pytest.raises(BadInput, match="row 1: age is 500"):
        VH.predict(table.assign(age=[50.0, 500.0, *[50.0] * 58]), "dx_diabetes")


def test_impossible_calculated_values_are_set_aside_and_named() -> None:
    people = pd.DataFrame({"age": [50, 60], "sex": ["male", "female"], "hdl": [45, 60]})
    plain = VH.predict(people, "dx_diabetes")
    told = VH.predict(people.assign(bmi=[2.4, -1.0]), "dx_diabetes")  # a unit that is none
    assert told.equals(plain)
    said = {f["check"]: f["message"] for f in told.attrs["findings"]}
    assert said["implausible"].startswith("bmi: 2.4 kg/m2 is not possible (10 to 100); it counts as unknown")
    tall = people.assign(bmi=[95.0, 25.0], height_cm=[240.0, 160.0])  # it would take 547 kg
    said = {f["check"]: f["message"] for f in VH.predict(tall, "dx_diabetes").attrs["findings"]}
    assert said["contradiction"] == "bmi is not used where no possible weight_kg makes it (1 row)"


def test_columns_in_another_unit_are_asked_about() -> None:
    human = VirtualHuman.load()
    people = pd.DataFrame({"age": [50.0] * 40, "sex": "male", "ldl": 120.0, "platelets": 240.0})
    assert "unit-suspicion" not in {f["check"] for f in human.predict(people, "sbp").attrs["findings"]}
    mixed = people.assign(ldl=[120.0] * 37 + [3.1] * 3, platelets=24.0)  # a few rows; a whole column
    for told in (human.predict(mixed, "sbp"), human.impute(mixed), human.log_prob(mixed)):
        found = {f["where"]: f for f in told.attrs["findings"] if f["check"] == "unit-suspicion"}
        assert {f["level"] for f in found.values()} == {"caution"}
        assert "ldl may hold another unit" in found["ldl"]["message"]
        assert "did you mean 3.1 mmol/L, which is 120 mg/dL?" in found["ldl"]["message"]
        assert "did you mean 24 10*4/uL, which is 240" in found["platelets"]["message"]
        assert found["platelets"]["message"].endswith("were used as written")
    about = human.predict(mixed, "platelets").attrs["findings"]  # its own values are not used
    assert {f["where"] for f in about if f["check"] == "unit-suspicion"} == {"ldl"}


def test_tables_that_are_none(table: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match="no column"):
        VH.predict(pd.DataFrame({"x": [1]}), "bmi")
    with pytest.raises(BadInput, match="named twice"):
        VH.predict(pd.concat([table, table[["age"]]], axis=1), "bmi")
    with pytest.raises(BadInput, match="no table"):
        VH.predict({"age": [50]}, "bmi")  # type: ignore[arg-type]
    assert VH.predict(table.iloc[:0], "dx_diabetes").shape == (0, 3)


def test_normal_quantiles_of_the_exact_body() -> None:
    # the test's own model is right: otherwise nothing above means much
    told = VH.model.predictive(
        VH.given(sex="F", dx_diabetes=0, rx_insulin=0, death_5y=0).known.values[None], ["hdl"]
    )
    assert told["hdl"].quantile(0.9)[0] == pytest.approx(56 + 10 * norm.ppf(0.9))
    assert Schema.from_dict(SCHEMA.to_dict()) == SCHEMA


def test_columns_of_a_table_under_other_names_are_pointed_out() -> None:
    table = pd.DataFrame({"age": [50], "Sex": ["male"], "HbA1c": [5.4], "LDL-C": [140], "seqn": [1]})
    human = VirtualHuman.load()
    said = {f["check"]: f for f in human.predict(table, "dx_diabetes").attrs["findings"]}
    assert said["misnamed"]["level"] == "caution"
    for pair in ("sex (Sex)", "hba1c (HbA1c)", "ldl (LDL-C)"):
        assert pair in said["misnamed"]["message"]
    assert "seqn" not in said["misnamed"]["message"]
    with pytest.raises(BadInput, match="name 年齢 as age, LDL as ldl"):
        human.predict(
            table[["LDL-C"]].rename(columns={"LDL-C": "LDL"}).assign(年齢=50)[["年齢", "LDL"]], "sbp"
        )
