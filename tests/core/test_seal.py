"""An edited metric, or an edited label, is found."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from omegaconf import OmegaConf

from sciai.core.answer import Level
from sciai.core.data import DataModule
from sciai.core.errors import CheckpointError
from sciai.core.run import compose, evaluate, train
from sciai.core.seal import compare, other_parts, same_groups, seal_code, seal_data
from sciai.core.split import split_by_group
from sciai.core.tutorial import Sine


def module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("made_metric", file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["made_metric"] = made
    spec.loader.exec_module(made)
    return made


def test_an_edited_metric_changes_its_seal(tmp_path: Path) -> None:
    file = tmp_path / "made_metric.py"
    file.write_text(
        "def error(a, b):\n    return a - b\n\nclass Report:\n    def __call__(self):\n        return 1\n"
    )
    made = module(file)
    before = seal_code([partial(made.error, 1), made.Report()])
    assert list(before) == ["made_metric"]
    assert compare({"code": before}, before, "") == []
    file.write_text(file.read_text().replace("a - b", "0.9 * (a - b)"))
    found = compare({"code": before}, seal_code([made.error]), "")
    assert [f.check for f in found] == ["evaluation-code"]
    del sys.modules["made_metric"]


def test_an_edited_item_changes_the_seal_of_the_data() -> None:
    def data(seed: int = 0) -> DataModule:
        return DataModule(Sine(64, seed=seed), 8, seed=1)

    assert seal_data(data()) == seal_data(data())
    assert seal_data(data()) != seal_data(data(1))
    one = data()
    place = int(one.split.parts["test"][0])
    item = one.dataset[place]
    one.dataset = Edited(one.dataset, place, item)
    assert seal_data(one) != seal_data(data())
    assert seal_data(DataModule(Sine(64), 8, {"train": 1.0})) == ""
    found = compare({"data": "a"}, {}, "b")
    assert [f.check for f in found] == ["evaluation-data"]


class Edited:
    """A dataset with one label moved."""

    def __init__(self, dataset: Any, place: int, item: Any) -> None:
        self._dataset, self._place, self._item = dataset, place, item

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        item = self._dataset[index]
        if index != self._place:
            return item
        return {**item, "y": item["y"] + 1} if isinstance(item, dict) else (item[0], item[1] + 1)


def test_evaluate_says_when_the_metric_code_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"out={tmp_path}/run", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"]
    cfg = compose("tutorial", words)
    train(cfg)
    assert [f for f in evaluate(cfg).findings if f.level > Level.OK] == []
    import sciai.core.run as run

    monkeypatch.setattr(run, "seal_code", lambda functions: {"sciai.core.tutorial": "edited"})
    found = evaluate(cfg).findings
    assert [f.check for f in found] == ["evaluation-code"]
    assert "sciai.core.tutorial" in found[0].message


def test_of_many_groups_those_that_were_trained_on_are_known(tmp_path: Path) -> None:
    """The card names the first 200 only; a test part of others passed with a caution."""
    names = [f"person {i:05}" for i in range(12_000)]
    trained = split_by_group(names, {"train": 0.9, "test": 0.1}, seed=0)
    card = trained.record()
    assert len(card["parts"]["train"]["names"]) == 200
    assert len(str(card)) < 80_000
    known = set(card["parts"]["train"]["names"])
    late = sorted({names[i] for i in trained.parts["train"]} - known)[-40:]
    now = split_by_group(["new", *late], {"test": 1.0}, seed=0, hold_out={"train": ["new"]})
    assert [f.level for f in same_groups(card, now)] == [Level.REFUSE]
    fresh = split_by_group(["new", "newer", "newest"], {"test": 1.0}, seed=0, hold_out={"train": ["new"]})
    assert [f.level for f in same_groups(card, fresh)] == [Level.CAUTION]


def test_what_chose_the_weights_is_no_test() -> None:
    split = split_by_group(list("abcdef"), {"train": 0.4, "val": 0.3, "test": 0.3}, seed=0)
    used = [split.groups[i] for i in split.parts["val"]]
    now = split_by_group(["x", *used], {"test": 1.0}, seed=0, hold_out={"train": ["x"]})
    (found,) = same_groups(split.record(), now)
    assert found.level is Level.CAUTION
    assert "chose the weights" in found.message


def test_settings_that_change_no_shape_are_named() -> None:
    then = compose("tutorial", ["+domain.loss.weight=2"])
    card = {"domain": OmegaConf.to_container(then.domain, resolve=True)}
    assert other_parts(card, then) == []
    (found,) = other_parts(card, compose("tutorial", ["+domain.loss.weight=3", "domain.max_epochs=1"]))
    assert "loss.weight (2, now 3)" in found.message
    assert other_parts(card, compose("tutorial")) == []  # a key that one of the two lacks may be younger


def test_another_domain_s_checkpoint_is_named(tmp_path: Path) -> None:
    quiet = ["trainer.enable_progress_bar=false", "trainer.max_epochs=1", f"out={tmp_path}"]
    train(compose("tutorial", quiet))
    with pytest.raises(CheckpointError, match="of tutorial, not of other"):
        evaluate(compose("tutorial", [*quiet, "domain.name=other"]))
