"""Draws of calculated quantities: few and evenly spread, they say what many joint ones say."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.health.api.beside import LAST, draws_of, inputs_of
from sciai.health.api.human import VirtualHuman

VH = VirtualHuman.load()
KNOWN = {"age": 64, "sex": "male", "sbp": 135, "hdl": 50, "hba1c": 5.6, "ggt": 40}


@pytest.mark.parametrize("name", ["bmi", "ldl", "egfr", "non_hdl", "neut_pct"])
def test_few_even_draws_say_what_many_joint_ones_say(name: str) -> None:
    row = VH.given(KNOWN).known.values[None]
    few = draws_of(VH.model, [name], row, 16, np.random.default_rng(0))[name]
    assert few.shape == (1, 16 * LAST)
    needed = inputs_of(VH.schema, [name])
    many = VH.schema.compute(VH.model.sample(np.repeat(row, 3000, 0), np.random.default_rng(0)))[name]
    only = VH.schema.compute(VH.model.sample(np.repeat(row, 3000, 0), np.random.default_rng(1), needed))[name]
    for other in (only, many):
        sd = np.nanstd(other)
        assert abs(np.nanmedian(few) - np.nanmedian(other)) < 0.12 * sd
        assert np.nanstd(few) / sd == pytest.approx(1, abs=0.15)


def test_rows_with_other_gaps_each_keep_what_they_know() -> None:
    rows = np.vstack([VH.given(KNOWN | more).known.values for more in ({}, {"trig_fasting": 90})])
    both = draws_of(VH.model, ["ldl"], rows, 16, np.random.default_rng(0))["ldl"]
    alone = draws_of(VH.model, ["ldl"], rows[1:], 16, np.random.default_rng(0))["ldl"][0]
    assert np.nanstd(alone) < np.nanstd(both[0])
    assert np.nanmedian(both[1]) == pytest.approx(np.nanmedian(alone), abs=2)


def test_only_what_is_needed_is_drawn() -> None:
    rows = np.repeat(VH.given(KNOWN).known.values[None], 50, 0)
    drawn = VH.model.sample(rows, np.random.default_rng(0), ["height_cm", "weight_kg"])
    there = np.flatnonzero(np.isfinite(drawn).all(0))
    assert {VH.schema.names[i] for i in there} == {*KNOWN, "height_cm", "weight_kg"}
    assert np.isnan(np.delete(drawn, there, 1)).all()


def test_the_same_question_has_the_same_answer_for_other_seeds() -> None:
    me = VH.given(KNOWN | {"bmi": 24, "ldl": 140, "chol_total": 205})
    told = [me.unusual(seed=seed).unwrap() for seed in range(3)]
    assert np.ptp([t.p_value for t in told]) < 0.1
    assert np.ptp([next(v for v in t.values if v.name == "bmi").expected for t in told]) < 0.3
