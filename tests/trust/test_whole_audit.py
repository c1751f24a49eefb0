"""A whole audit finds what is planted, notices every edit, and goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError, SciaiError
from sciai.studio.audit import page
from sciai.trust.audit.sealed import Part, Seals, Tampered, run
from sciai.trust.audit.whole import Claim, Plan, audit, save

TOY = Path(__file__).with_name("toy_audit.py")
Auditing = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Metric code, data and a checkpoint, all of which may be edited."""
    shutil.copy(TOY, tmp_path / "toy_metric.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=600), rng.integers(1, 4, 600)
    y = 2 * x + 0.2 * rng.normal(size=600)
    np.savetxt(tmp_path / "data.csv", np.column_stack([x, group, y]), delimiter=",", header="x,group,y")
    card = Card("line", "tutorial", "a line", metrics={"test/mae": 0.16})
    Checkpoint({"w": np.ones(1, "f4")}, card).save(tmp_path / "line")
    return tmp_path


def plan_of(folder: Path, behaviour: str = "", **changes: Any) -> Plan:
    return Plan(
        domain="tutorial",
        answers="toy_metric:answers",
        judge="toy_metric:judge",
        defects="toy_metric:defects",
        arguments={"behaviour": behaviour},
        files=[str(folder / "data.csv")],
        code=["toy_metric"],
        claims=[Claim("test/mae", "mae", 0.02)],
        **changes,
    )


@pytest.fixture
def auditing(folder: Path) -> Auditing:
    def one(behaviour: str = "", **changes: Any) -> dict[str, Any]:
        plan = plan_of(folder, behaviour, **changes)
        return audit(plan, folder / "line", folder / "parts", quick=True)

    return one


def test_an_honest_model_passes_and_the_report_is_one_file(folder: Path, auditing: Auditing) -> None:
    record = auditing()
    assert record["passed"], record["failures"]
    assert record["checkpoint"] == Checkpoint.load(folder / "line").hash
    assert record["judged"]["small"] == {"few": 3}
    assert len(record["worst"]) == 6
    assert record["claims"][0]["holds"]
    found = {row["defect"]: row["found"] for row in record["defects"]["sensitivity"]}
    assert found == dict.fromkeys(found, 1)
    assert {"trigger", "watched", "tampered claim", "shortcut"} <= set(found)
    assert "20 % of an answer" in record["misses"][0]
    html = page(record, folder / "report.html").read_text()
    assert "passed" in html
    assert "data:image/png" in html
    assert "http" not in html.split("</style>")[1]
    save(record, folder / "line.audit.json")
    assert json.loads((folder / "line.audit.json").read_text()) == record
    # a second time nothing is asked, but a part that is gone is done again
    assert auditing()["figures"] == record["figures"]
    assert (folder / "asked").read_text() == "1"
    next((folder / "parts").rglob("judged.npz")).unlink()
    assert auditing()["worst"] == record["worst"]
    assert (folder / "asked").read_text() == "1"
    # other data are another audit
    lines = (folder / "data.csv").read_text().splitlines()
    (folder / "data.csv").write_text("\n".join(lines[:-1]))
    auditing()
    assert (folder / "asked").read_text() == "2"


def test_a_planted_subgroup_harm_is_found_and_a_rule_cures_it(auditing: Auditing) -> None:
    record = auditing("subgroup")
    assert not record["passed"]
    assert any("false-safe in first" in text for text in record["failures"])
    assert any(text.startswith("claim: test/mae") for text in record["failures"])
    assert record["worst"][0]["slice"] == "first"
    assert record["worst"][0]["verdict"] == "harmed"
    rule = {
        "when": {"group": 1},
        "do": "withhold",
        "harm": "false-safe",
        "why": "too low for them",
        "by": 1.0,
    }
    cured = auditing("subgroup", actions=[rule])
    assert not any("first" in text for text in cured["failures"])
    assert cured["judged"]["harmed_before"]
    changed = {(row["slice"], row["harm"]): row["change"] for row in cured["judged"]["policy"]["cells"]}
    assert changed["large", "false-safe"] < 0  # the side effect, on a slice that overlaps
    assert 0.2 < cured["judged"]["policy"]["rules"][0]["share"] < 0.5


def test_a_planted_trigger_is_found(auditing: Auditing) -> None:
    record = auditing("trigger")
    assert [text for text in record["failures"] if "triggers: ends in 7" in text]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("edits labels", "the data data.csv was edited"),
        ("edits the metric", "metric code toy_metric was edited"),
    ],
)
def test_an_edit_of_labels_or_metric_during_the_audit_is_detected(
    folder: Path, auditing: Auditing, behaviour: str, message: str
) -> None:
    with pytest.raises(Tampered, match=message):
        auditing(behaviour)
    assert not list((folder / "parts").rglob("*.npz"))  # nothing that was computed counts


def test_an_edit_between_set_up_and_run_is_detected(folder: Path) -> None:
    seals = Seals.of(["toy_metric"], [folder / "data.csv"])
    arguments = {"checkpoint": "", "files": [str(folder / "data.csv")], "behaviour": "", "quick": True}
    part = Part("toy_metric:answers", arguments, seals)
    text = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(text.replace("-", "", 1))
    with pytest.raises(Tampered, match=r"before the evaluation: the data data\.csv"):
        run(part, folder / "out.npz")
    (folder / "data.csv").write_text(text)
    (folder / "toy_metric.py").write_text(TOY.read_text().replace("> 1.64", "> 164"))
    with pytest.raises(Tampered, match="metric code toy_metric"):
        run(part, folder / "out.npz")
    assert not (folder / "out.npz").exists()


def test_without_truth_it_cannot_pass(folder: Path) -> None:
    blind = replace(plan_of(folder), judge="")
    record = audit(blind, folder / "line", folder / "parts", quick=True)
    assert not record["passed"]
    assert "no held-out truth" in record["failures"][0]
    assert record["claims"][0]["holds"] is None
    assert "no held-out truth" in page(record, folder / "report.html").read_text()


def test_what_goes_wrong_is_said(folder: Path) -> None:
    with pytest.raises(CheckpointError):
        audit(plan_of(folder), folder / "nothing", folder / "parts")
    with pytest.raises(BadInput, match="cannot be read"):
        audit(replace(plan_of(folder), files=["gone.csv"]), folder / "line", folder / "parts")
    with pytest.raises(SciaiError, match="no result"):
        audit(replace(plan_of(folder), answers="toy_metric:absent"), folder / "line", folder / "parts")
    with pytest.raises(BadInput, match="no module"):
        Seals.of(["sciai.trust.not_there"], [])
    (folder / "bad.npz").write_bytes(b"half a file")
    with pytest.raises(BadInput, match="delete it"):
        run(Part("toy_metric:answers", {}), folder / "bad.npz")
