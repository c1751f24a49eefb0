"""An empty, stale or dangling row of the register is found."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.core.resources import conf_dir
from sciai.trust.risk import Register, check

ROOT = Path(__file__).resolve().parents[2]
ROW: dict[str, Any] = {
    "id": "doubt", "idea": "doubt", "risk": "taken for a fact", "control": "a spread",
    "artefacts": ["sciai.core.answer:Answer.unwrap", "README.md"], "measured": ["tests/core/test_answer.py"],
    "accepted": "yes", "state": "kept",
}  # fmt: skip
CONTENT: dict[str, Any] = {"owner": "us", "review_by": date(2030, 1, 1), "risks": [ROW]}
MAPS: dict[str, Any] = {
    "frameworks": [{"name": "F", "source": "S", "items": [{"id": 1, "title": "T", "risks": ["doubt"]}]}]
}


def register(folder: Path, content: dict[str, Any] = CONTENT, maps: dict[str, Any] = MAPS) -> Register:
    (folder / "register.yaml").write_text(yaml.safe_dump(content))
    (folder / "frameworks.yaml").write_text(yaml.safe_dump(maps))
    return Register.load(folder)


def test_the_shipped_register_holds_today() -> None:
    found = check(Register.load(conf_dir() / "risk"), [ROOT])
    assert [str(f) for f in found if f.level > Level.OK] == []


def test_every_promise_has_a_row(shared_data: Path) -> None:
    """Each row of the platform's table of promises is named by some row of the register."""
    facts = (shared_data.parent / "facts" / "trust.md").read_text()
    table = [line.split("|")[1].strip().lower() for line in facts.splitlines() if line.startswith("| ")]
    promises = [row for row in table if row not in ("idea", "---")]
    assert len(promises) >= 15
    ideas = {risk.idea.lower() for risk in Register.load(conf_dir() / "risk").risks}
    assert [promise for promise in promises if promise not in ideas] == []


def test_a_good_register_is_fine_and_a_stale_one_is_not(tmp_path: Path) -> None:
    good = register(tmp_path)
    assert check(good, [ROOT], date(2029, 12, 31)) == []
    stale = check(good, [ROOT], date(2030, 1, 2))
    assert "was to be reviewed" in stale[0].message


@pytest.mark.parametrize(
    ("artefact", "message"),
    [
        ("sciai.core.answer:Nothing", "does not exist"),
        ("sciai.nowhere:Thing", "does not exist"),
        ("conf/nowhere.yaml", "does not exist"),
    ],
)
def test_a_dangling_artefact_is_found(tmp_path: Path, artefact: str, message: str) -> None:
    row = {**ROW, "artefacts": [artefact]}
    found = check(register(tmp_path, {**CONTENT, "risks": [row]}), [ROOT], date(2029, 1, 1))
    assert [f.level for f in found] == [Level.REFUSE]
    assert message in found[0].message


def test_an_installed_package_has_no_tests(tmp_path: Path) -> None:
    row = {**ROW, "artefacts": ["sciai.core.answer:Answer"]}
    found = check(register(tmp_path, {**CONTENT, "risks": [row]}), [tmp_path], date(2029, 1, 1))
    assert [f.level for f in found] == [Level.OK]


@pytest.mark.parametrize("key", list(ROW))
def test_an_empty_or_missing_field_is_refused(tmp_path: Path, key: str) -> None:
    for change in ("empty", "missing"):
        content = copy.deepcopy(CONTENT)
        if change == "empty":
            content["risks"][0][key] = [] if isinstance(ROW[key], list) else ""
        else:
            del content["risks"][0][key]
        with pytest.raises(BadInput, match=key):
            register(tmp_path, content)


def test_other_bad_registers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="yes, partly or no"):
        register(tmp_path, {**CONTENT, "risks": [{**ROW, "accepted": "maybe"}]})
    with pytest.raises(BadInput, match="twice"):
        register(tmp_path, {**CONTENT, "risks": [ROW, ROW]})
    with pytest.raises(BadInput, match="not a date"):
        register(tmp_path, {**CONTENT, "review_by": "soon"})
    with pytest.raises(BadInput, match="register has not"):
        register(
            tmp_path,
            maps={
                "frameworks": [
                    {"name": "F", "source": "S", "items": [{"id": 1, "title": "T", "risks": ["x"]}]}
                ]
            },
        )
    with pytest.raises(BadInput, match="cannot read"):
        Register.load(tmp_path / "nowhere")
