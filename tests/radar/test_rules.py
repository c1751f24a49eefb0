"""Rules act on what is compressed: unbounded strong echo is referred; what is withheld is not written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import compress
from sciai.radar.checks import audit, rules
from sciai.trust.policy import Action
from tests.radar.synthetic import one_field


def _storm(top: float) -> Any:
    ray = np.linspace(0, top, 40 * 50, dtype=np.float32).reshape(40, 50)
    return one_field(ray)


def _said(answer: Any) -> list[tuple[str, Level]]:
    return [(f.where, f.level) for f in answer.findings if f.check == "policy"]


def test_strong_echo_without_a_bound_is_referred(tmp_path: Path) -> None:
    assert not _said(compress(_storm(52.0), tmp_path / "0.zarr", codec="plain"))
    strong = compress(_storm(52.0), tmp_path / "a.zarr", codec="plain", strong_echo=None)
    assert _said(strong) == [("missed-extreme: DBZH", Level.CAUTION)]
    assert "max_error" in next(f.message for f in strong.findings if f.check == "policy")
    assert (tmp_path / "a.zarr").is_dir()
    off = {"codec": "plain", "strong_echo": None}
    assert not _said(compress(_storm(52.0), tmp_path / "b.zarr", max_error=1.0, **off))
    assert not _said(compress(_storm(52.0), tmp_path / "c.zarr", lossless=True, **off))
    assert not _said(compress(_storm(30.0), tmp_path / "d.zarr", **off))


def test_a_rule_that_withholds_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Action({"variable": "DBZH", "reaches": {"max": 20}}, "withhold", "missed-extreme", "a test")
    monkeypatch.setattr(rules, "actions", lambda: (rule,))
    answer = compress(_storm(30.0), tmp_path / "a.zarr", codec="plain")
    assert answer.level == Level.REFUSE
    assert not (tmp_path / "a.zarr").exists()


def test_a_codec_can_only_withhold_or_refer(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Action({}, "widen", "overconfident", "a test", 2.0)
    monkeypatch.setattr(rules, "shipped_actions", lambda domain, facts: [rule])
    rules.actions.cache_clear()
    with pytest.raises(BadInput, match="nothing can be done by 'widen'"):
        rules.actions()
    monkeypatch.undo()
    rules.actions.cache_clear()


def test_the_audit_sees_the_facts_that_answers_go_by(tmp_path: Path) -> None:
    answer = compress(_storm(52.0), tmp_path / "a.zarr", codec="plain")
    assert answer.estimate is not None
    report = answer.estimate.value.variables["DBZH"]
    source: Any = SimpleNamespace(sweeps=[0])
    own = rules.facts(source, report)
    values = np.linspace(0, 52, 400, dtype=np.float32).reshape(20, 20)
    piece = audit.Piece("v", "r", "sweep_0", "DBZH", 0.5, True, 10.0, values, np.zeros((20, 20), np.uint8))
    told = {name: column[0] for name, column in audit._facts([piece], ["DBZH"]).items()}
    assert set(told) == set(own) == set(rules.FACTS)
    assert told == own
