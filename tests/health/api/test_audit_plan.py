"""Who counts as held out, and who as learned from, when a model of one's own is audited."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sciai.core.checkpoint import Card, Checkpoint
from sciai.health.api.audit import plan


def test_row_numbers_of_another_table_are_other_people(tmp_path: Path) -> None:
    """They were taken for the people of that row: some for held out, and the memory test for passed."""
    (tmp_path / "learned.csv").write_text("age,sbp\n40,120\n50,130\n60,140\n")
    (tmp_path / "other.csv").write_text("age,sbp\n41,121\n51,131\n61,141\n")
    digest = hashlib.sha256((tmp_path / "learned.csv").read_bytes()).hexdigest()
    split = {"parts": {"train": {"names": ["0", "1"]}, "test": {"names": ["2"]}}}
    card = Card("own", "health", data={"tables": [{"file": "learned.csv", "sha256": digest}]}, split=split)
    own = Checkpoint({}, card)
    asked = plan(own, [str(tmp_path / "learned.csv")]).arguments
    assert (asked["held"], asked["trained"]) == (["2"], ["0", "1"])
    asked = plan(own, [str(tmp_path / "other.csv")]).arguments
    assert (asked["held"], asked["trained"]) == ([], [])
    named = {"parts": {"train": {"names": ["2011-2012/1/1"]}, "test": {"names": ["2011-2012/2/1"]}}}
    places = Checkpoint({}, Card("own", "health", split=named))
    assert plan(places, [str(tmp_path / "other.csv")]).arguments["held"] == ["2011-2012/2/1"]
