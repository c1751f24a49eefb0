"""Shares of an answer add up, find what matters, and change when the model has learned nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sciai.core.answer import Level, Refused
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.core.resources import checkpoints_dir
from sciai.health.api.attribution import attribution_figure, check_sanity, explain, untrained
from sciai.health.api.human import VirtualHuman
from tests.health.api.exact import human

VH = human()
ME = VH.given(age=70, sex="male", hba1c=7.2, hdl=40)


def test_shares_add_up_to_the_answer_itself() -> None:
    told = explain(ME, "dx_diabetes").unwrap()
    p = ME.human.model.predictive(ME.known.values[None], ["dx_diabetes"])["dx_diabetes"].mean()[0]
    assert told.total == pytest.approx(math.log(p / (1 - p)), abs=1e-9)
    assert told.gap < 1e-9
    assert told.ranked()[0][0] == "hba1c"
    assert (told.error == 0).all()


def test_a_number_is_explained_in_its_unit() -> None:
    answer = explain(VH.given(sex="F", height_cm=180), "weight_kg")
    assert answer.estimate is not None
    assert answer.estimate.unit == "kg"
    assert answer.unwrap().ranked()[0][0] == "height_cm"
    assert answer.unwrap().ranked()[0][1] > 0


def test_a_calculated_value_has_a_share_though_its_inputs_are_unknown() -> None:
    told = explain(VH.given(age=60, bmi=38), "hba1c").unwrap()
    assert set(told.names) == {"age", "bmi"}
    assert dict(told.ranked())["bmi"] > 0.1


def test_many_values_are_sampled_with_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = explain(ME, "dx_diabetes").unwrap()
    monkeypatch.setattr("sciai.health.api.attribution.EXACT", 2)
    told = explain(ME, "dx_diabetes", orders=100).unwrap()
    assert told.gap < 1e-9
    assert (np.abs(told.share - exact.share) < 4 * told.error + 1e-3).all()


def test_what_cannot_be_explained() -> None:
    with pytest.raises(BadInput, match="cannot be explained, as it is calculated from weight_kg, height_cm"):
        explain(ME, "bmi")
    with pytest.raises(BadInput, match="nothing is known"):
        explain(VH.given(), "hba1c")
    with pytest.raises(Refused):
        explain(VH.given(age=12), "hba1c").unwrap()


def test_the_picture_shows_every_value() -> None:
    figure = attribution_figure(explain(ME, "dx_diabetes"), ME, "dx_diabetes")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 4
    assert any("7.2 %" in label for label in labels)


def test_the_shipped_model_leans_on_what_it_learned() -> None:
    checkpoint = Checkpoint.load(checkpoints_dir() / "health")
    me = VirtualHuman.from_checkpoint(checkpoint).given(
        age=64, sex="male", hba1c=6.1, sbp=150, hdl=38, creatinine=1.1
    )
    others = [untrained(checkpoint, seed) for seed in range(6)]
    found = check_sanity(me, "dx_diabetes", others)
    assert [f.level for f in found] == [Level.OK], found[0].message
    same = check_sanity(me, "dx_diabetes", [me.human])
    assert [f.level for f in same] == [Level.CAUTION], "the trained one beside itself must fail"
