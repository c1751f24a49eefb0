"""What is hidden in training, and that training learns what the copula cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.core.run import compose, evaluate, train
from sciai.health.data.columns import Column, Kind, Schema, default_schema
from sciai.health.data.synthetic import invent
from sciai.health.model.copula import CopulaJoint, fit_copula
from sciai.health.model.interface import load_joint
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet
from sciai.health.train.figures import _auroc
from sciai.health.train.joint import loss, network
from sciai.health.train.masks import PANELS, hide, little, masks, panel

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMA = default_schema()
TINY = (
    "domain.data.dataset._target_=sciai.health.data.synthetic.Synthetic",
    "+domain.data.dataset.n=300",
    "+domain.data.dataset.columns=[age,sex,race_eth,sbp,hdl,dx_gout,phq9]",
    "domain.data.batch_size=64",
    "domain.net.rounds=2",
    "trainer.enable_progress_bar=false",
)


@pytest.mark.parametrize("name", PANELS)
def test_panels_are_made_of_columns_that_exist(name: str) -> None:
    told = panel(SCHEMA, PANELS[name])
    assert 2 <= told.sum() < len(SCHEMA)
    for entry in PANELS[name]:
        if not entry.startswith("group:"):
            assert entry.removeprefix("-") in SCHEMA


def test_a_check_up_tells_no_diagnosis() -> None:
    told = panel(SCHEMA, PANELS["check-up"])
    assert not any(
        t for t, c in zip(told, SCHEMA.columns, strict=True) if c.group in ("diagnosis", "outcome")
    )


@given(st.integers(0, 1000))
def test_what_is_hidden_was_there(seed: int) -> None:
    values = invent(SCHEMA, 30, seed, missing=0.3)
    known, asked = hide(SCHEMA, values, np.random.default_rng(seed))
    there = ~np.isnan(values)
    assert not (asked & ~there).any()
    assert not (asked & ~np.isnan(known)).any()
    np.testing.assert_array_equal(known[~np.isnan(known)], values[~np.isnan(known)])
    assert ((~np.isnan(known)) ^ asked == there).all()


def test_masks_reach_from_nothing_to_all_but_a_few() -> None:
    told = masks(SCHEMA, 4000, np.random.default_rng(0)).mean(1)
    assert (told < 0.1).mean() > 0.05
    assert (told > 0.9).mean() > 0.05
    era = masks(SCHEMA, 4000, np.random.default_rng(1))[:, SCHEMA.index("cycle")].mean()
    assert 0.15 < era < 0.5


def test_some_questions_come_without_all_that_gives_the_answer_away() -> None:
    told = masks(SCHEMA, 6000, np.random.default_rng(2))
    pair = told[:, [SCHEMA.index("trig_fasting"), SCHEMA.index("trig_serum")]]
    checked_up = told[:, SCHEMA.index("hdl")] & told[:, SCHEMA.index("sodium")]
    assert (~pair[checked_up]).all(1).mean() > 0.05


def test_short_questions_tell_a_few_columns_mostly_beside_age_and_sex() -> None:
    told = little(SCHEMA, 4000, np.random.default_rng(3))
    person = told[:, [SCHEMA.index("age"), SCHEMA.index("sex")]]
    assert 0.7 < person.all(1).mean() < 0.8
    others = told.sum(1) - person.sum(1)
    assert (others == 0).mean() > 0.1
    assert 1.5 < others.mean() < 3.5
    assert told.any(0).all()


def test_short_questions_are_asked_besides_and_in_training_only() -> None:
    values = invent(SCHEMA, 60, 0, missing=0.3)
    torch.manual_seed(0)
    net = JointNet(fit_copula(SCHEMA, values, rounds=1), width=8, blocks=1, members=1, dropout=0.0)
    batch = {"values": torch.tensor(values), "weight": torch.ones(values.shape)}
    seen: list[int] = []
    net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0].scores)))
    told: list[float] = []
    for training in (True, False):
        net.train(training)
        for short in (0.0, 0.5):
            torch.manual_seed(1)
            told.append(float(loss(net, batch, short=short)["loss"]))
    assert seen == [60, 90, 60, 60]
    assert told[0] != told[1]
    assert told[0] == pytest.approx(told[2]) == pytest.approx(told[3])
    with pytest.raises(BadInput, match=r"domain\.loss\.short.*0 to 1"):
        loss(net, batch, short=2.0)


def test_whether_margins_are_smoothed_is_true_or_false() -> None:
    with pytest.raises(BadInput, match=r"domain\.net\.smoothed.*true or false"):
        network({}, smoothed="no")  # type: ignore[arg-type]


def test_the_copula_through_the_shared_path(tmp_path: Path) -> None:
    options = ("domain/health@domain=copula", *TINY, f"out={tmp_path}")
    done = train(compose("health", options))
    joint = load_joint(Checkpoint.load(done.path))
    told = joint.predictive(np.full((1, len(joint.schema)), np.nan), ["sbp"])["sbp"]
    assert 50 < told.mean()[0] < 280
    assert done.calibration["health"]["people"] > 0
    assert evaluate(compose("health", options)).metrics["test/loss"] == pytest.approx(
        done.metrics["test/loss"], rel=1e-5
    )


def test_auroc_against_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    score, yes = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[yes] for b in score[~yes]]
    assert _auroc(score, yes) == pytest.approx(np.mean(pairs))


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    options = [
        "domain/health@domain=joint",
        *TINY,
        "domain.data.aside=0.1",
        "domain.net.width=16",
        "domain.net.blocks=1",
        "domain.net.members=1",
        "domain.calibrate=null",
        "+domain.lit.scheduler.steps=12",
        "keep=last",
    ]
    whole = train(compose("health", [*options, "trainer.max_steps=9", f"out={tmp_path / 'a'}"]))
    train(compose("health", [*options, "trainer.max_steps=5", f"out={tmp_path / 'b'}"]))
    resumed = train(compose("health", [*options, "trainer.max_steps=9", f"out={tmp_path / 'b'}"]))
    first, second = (Checkpoint.load(run.path).arrays for run in (whole, resumed))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], atol=1e-3, err_msg=name)
    again = evaluate(compose("health", [*options, f"out={tmp_path / 'b'}"]))
    assert again.metrics["test/nll"] == pytest.approx(resumed.metrics["test/nll"], abs=0.01)  # half precision


def test_training_goes_on_from_a_network_of_the_same_shape(tmp_path: Path) -> None:
    options = ["domain/health@domain=joint", *TINY, "domain.data.aside=0.1", "domain.calibrate=null"]
    small = ["domain.net.width=16", "domain.net.blocks=1", "domain.net.members=1", "trainer.max_steps=2"]
    first = train(compose("health", [*options, *small, f"out={tmp_path / 'a'}"]))
    more = [f"domain.net.start={first.path}", "domain.lit.optimizer.lr=1e-9", "domain.net.shrink=0.5"]
    second = train(compose("health", [*options, *small, *more, f"out={tmp_path / 'b'}"]))
    before, after = (Checkpoint.load(run.path).arrays for run in (first, second))
    for name in (n for n in before if n.startswith("net.m")):
        np.testing.assert_allclose(before[name], after[name], atol=1e-3, err_msg=name)
    assert not np.allclose(before["copula.correlation"], after["copula.correlation"])
    with pytest.raises(CheckpointError, match="it has other width"):
        train(compose("health", [*options, *small, more[0], "domain.net.width=24", f"out={tmp_path / 'c'}"]))


def test_it_learns_what_a_copula_cannot(tmp_path: Path) -> None:
    """A column that depends on the square of another: no correlation at all, but plain to see."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    values = np.stack([x, x**2 + 0.3 * rng.normal(size=3000)], 1)
    schema = Schema(tuple(Column(n, Kind.CONTINUOUS, decimals=3) for n in "xy"))
    torch.manual_seed(0)
    net = JointNet(fit_copula(schema, values), width=32, blocks=1, members=1, dropout=0.0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(150):
        rows = values[rng.integers(3000, size=128)]
        batch = {"values": torch.tensor(rows, dtype=torch.float32), "weight": torch.ones(128, 2)}
        optimizer.zero_grad()
        loss(net, batch)["loss"].backward()
        optimizer.step()
    fresh = rng.normal(size=400)
    truth = np.stack([fresh, fresh**2 + 0.3 * rng.normal(size=400)], 1)
    known = np.stack([fresh, np.full(400, np.nan)], 1)
    ours = NeuralJoint(net).predictive(known, ["y"])["y"].log_prob(truth[:, 1]).mean()
    theirs = CopulaJoint(net.copula).predictive(known, ["y"])["y"].log_prob(truth[:, 1]).mean()
    assert ours > theirs + 0.3
