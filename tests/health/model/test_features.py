"""What the network sees beside scores, and the columns whose bins have weights of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciai.core.checkpoint import Card, Checkpoint
from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.model.copula import fit_copula
from sciai.health.model.features import ZERO_TOGETHER
from sciai.health.model.interface import load_joint
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet

pytestmark = pytest.mark.usefixtures("one_thread")


def _people(n: int = 4000) -> tuple[Schema, np.ndarray]:
    """Red cells, a count that many have at 0, and a number that was rounded to tenths in one era only."""
    rng = np.random.default_rng(0)
    era = rng.integers(0, 2, n).astype(float)
    mcv, full = 90 + 5 * rng.normal(size=n), 3.3 + 0.05 * rng.normal(size=n)
    rbc = 4.8 + 0.4 * rng.normal(size=n)
    hemoglobin = rbc * mcv * full / 100
    drinks = np.where(rng.random(n) < 0.4, 0, 1 + rng.poisson(3, n)).astype(float)
    salt = 4 + 0.3 * rng.normal(size=n)
    salt = np.where(era == 1, np.round(salt, 1), np.round(salt, 2))
    columns = (
        Column("cycle", Kind.CATEGORICAL, levels=("a", "b", "c"), codes=("a", "b", "c")),
        Column("mcv", Kind.CONTINUOUS, decimals=1, low=50, high=150),
        Column("rbc", Kind.CONTINUOUS, decimals=2, low=1, high=10),
        Column("hemoglobin", Kind.CONTINUOUS, decimals=1, low=3, high=25),
        Column("drinks", Kind.COUNT, low=0, high=40, decimals=0),
        Column("salt", Kind.CONTINUOUS, decimals=2, low=1, high=9),
    )
    return Schema(columns), np.column_stack(
        [era, mcv.round(1), rbc.round(2), hemoglobin.round(1), drinks, salt]
    )


SCHEMA, PEOPLE = _people()
COPULA = fit_copula(SCHEMA, PEOPLE, rounds=2)


def _features(values: np.ndarray, net: JointNet) -> np.ndarray:
    prepared = net.prepare(COPULA.scores(values), np.isfinite(values))
    return net.features(prepared).numpy()


def test_counts_and_what_was_rounded_otherwise_in_another_era_are_rough() -> None:
    net = JointNet(COPULA, 8, 1, 1)
    own = [SCHEMA.names[i] for i, row in zip(net.numeric, net.own, strict=True) if (row < net.bins).any()]
    assert own == ["drinks", "salt"]
    assert JointNet(COPULA, 8, 1, 1, plain=True).bins == 0


def test_a_value_that_very_many_share_is_marked_where_it_is_known() -> None:
    net = JointNet(COPULA, 8, 1, 1)
    assert [SCHEMA.names[net.numeric[j]] for j in net.features.shared] == ["drinks"]
    rows = PEOPLE[:3].copy()
    rows[:, 4] = [0, 2, np.nan]
    assert _features(rows, net)[:, -1].tolist() == [1, 0, 0]


def test_ratios_are_seen_where_all_their_columns_are_known() -> None:
    net = JointNet(COPULA, 8, 1, 1)
    assert len(net.features.powers) == 3  # of the red cells: the others' columns are not in this schema
    rows = PEOPLE[:500].copy()
    rows[::2, 1] = np.nan  # mcv
    seen = _features(rows, net)[:, -1 - 2 * 3 : -1]
    assert not seen[::2, 0].any()
    true = np.log(rows[1::2, 3] / rows[1::2, 1])
    assert np.corrcoef(seen[1::2, 0], true)[0, 1] > 0.995
    assert seen[1::2, 0].std() == pytest.approx(1, abs=0.25)
    assert (seen[::2, 3] == -0.5).all()
    assert (seen[1::2, 3] == 0.5).all()


def test_the_era_alone_moves_the_bins_of_a_rough_column() -> None:
    net = JointNet(COPULA, 8, 1, 1)
    tenths = np.isclose(np.round(net.copula.layout.margins[5].edges[:-1] + 0.005, 2) * 10 % 1, 0)
    assert tenths.any()
    with torch.no_grad():
        net.members[0].habit[:, 1] = torch.linspace(-1, 1, net.bins)
    joint, known = NeuralJoint(net), np.full((2, 6), np.nan)
    known[:, 0] = [0, 1]
    p = joint.bins(known, [5])[0][0]
    plain = NeuralJoint(JointNet(COPULA, 8, 1, 1)).bins(known, [5])[0][0]
    assert np.abs(p[0] / p[1] - plain[0] / plain[1]).max() > 0.2
    assert p.sum(1) == pytest.approx(1)


def test_some_columns_are_answered_as_all_are() -> None:
    torch.manual_seed(0)
    net = JointNet(COPULA, 8, 1, 2)
    for member in net.members:
        for weight in (member.leave.weight, member.bins, member.habit, member.straight):
            torch.nn.init.normal_(weight, std=0.3)
    joint, known = NeuralJoint(net), PEOPLE[:5].copy()
    known[:, 2:] = np.nan
    every = joint.bins(known, [2, 3, 4, 5])
    for k, i in enumerate((2, 3, 4, 5)):
        np.testing.assert_allclose(joint.bins(known, [i])[0][0], every[k][0], atol=1e-6)
    turned = joint.bins(known, [5, 2, 4])
    np.testing.assert_allclose(turned[0][0], every[3][0], atol=1e-6)


def test_a_checkpoint_of_before_there_were_rough_columns_still_answers() -> None:
    torch.manual_seed(0)
    net = JointNet(COPULA, 8, 1, 1, plain=True).eval()
    torch.nn.init.normal_(net.members[0].leave.weight, std=0.1)
    joint = NeuralJoint(net)
    arrays = joint.to_arrays()
    assert not any(name.endswith(("bins", "habit", "straight")) for name in arrays if name.startswith("net"))
    arrays["net.shape"] = arrays["net.shape"][:4]
    old = Checkpoint(arrays, Card("old", "health", extra={"model": "joint"}))
    known = np.where(np.arange(6) < 3, PEOPLE[:4], np.nan)
    ours, theirs = (j.predictive(known, ["salt"])["salt"].mean() for j in (load_joint(old), joint))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_two_answers_to_one_question_are_both_0_or_neither() -> None:
    schema = Schema(tuple(Column(n, Kind.COUNT, low=0, high=366, decimals=0) for n in ZERO_TOGETHER[0]))
    rng = np.random.default_rng(0)
    some = rng.random(3000) < 0.6
    values = np.column_stack([some * (1 + rng.poisson(20, 3000)), some * (1 + rng.poisson(1, 3000))])
    joint = NeuralJoint(JointNet(fit_copula(schema, values.astype(float)), 8, 1, 1))
    known = np.array([[np.nan, 0], [np.nan, 3], [np.nan, np.nan], [0, np.nan], [9, np.nan]])
    days = joint.bins(known[:3], [0])[0][0][:, 0]
    drinks = joint.bins(known[3:], [1])[0][0][:, 0]
    assert days[0] > 0.99
    assert 0 < days[1] < 0.001
    assert days[2] == pytest.approx(0.4, abs=0.03)
    assert drinks[0] > 0.99
    assert drinks[1] < 0.001
    drawn = joint.sample(np.full((2000, 2), np.nan), rng)
    assert ((drawn[:, 0] == 0) == (drawn[:, 1] == 0)).mean() > 0.998
