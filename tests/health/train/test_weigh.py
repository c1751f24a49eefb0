"""Of what a network says, as much counts as people need whom it did not learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.model.copula import CopulaJoint, fit_copula
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet
from sciai.health.train.joint import loss
from sciai.health.train.weigh import _losses, weigh

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMA = Schema(
    (
        Column("a", Kind.CONTINUOUS, decimals=3, low=-1e9, high=1e9),
        Column("curved", Kind.CONTINUOUS, decimals=3, low=-1e9, high=1e9),
        Column("tired", Kind.BINARY, levels=("no", "yes")),
    )
)


def _people(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    curved = a**2 + 0.3 * rng.standard_normal(n)
    return np.column_stack([a, curved, rng.random(n) < 0.4]).astype(float)


def _net() -> JointNet:
    torch.manual_seed(0)
    return JointNet(fit_copula(SCHEMA, _people(1500, 0)), width=24, blocks=1, members=1, dropout=0.0)


def _noisy() -> JointNet:
    net = _net()
    for member in net.members:
        torch.nn.init.normal_(member.leave.weight, std=0.25)
        torch.nn.init.normal_(member.straight, std=0.1)
    return net


def _told(net: JointNet, n: int = 40) -> list[np.ndarray]:
    known = _people(n, 9)
    known[:, 1] = np.nan
    known[::2, 2] = np.nan
    return [p for p, _ in NeuralJoint(net).shared(known, range(3))]


def test_all_of_it_changes_nothing_and_nothing_of_it_is_the_copula() -> None:
    net = _noisy()
    before = _told(net)
    net.weaken(np.ones(3))
    for one, two in zip(before, _told(net), strict=True):
        np.testing.assert_array_equal(one, two)
    net.weaken(np.array([1.0, 0.0, 1.0]))
    changed, plain = _told(net), _told(_net())
    for i, same in ((0, False), (1, True), (2, False)):
        assert np.allclose(changed[i], before[i], atol=1e-7) is not same
        assert np.allclose(changed[i], plain[i], atol=1e-7) is same


def test_noise_is_taken_back() -> None:
    net, held = _noisy(), _people(600, 1)
    nothing = [np.zeros(held.shape, bool)]
    before = np.nanmean(_losses(NeuralJoint(net), held, nothing))
    shares = weigh(net, held)
    assert (shares[:2] < 0.5).all()
    assert np.nanmean(_losses(NeuralJoint(net), held, nothing)) < before


def test_what_was_learned_is_kept() -> None:
    net, values = _net(), _people(1500, 0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    rows = torch.from_numpy(values)
    for step in range(100):
        torch.manual_seed(step)
        part = rows[torch.randint(len(rows), (256,))]
        optimizer.zero_grad()
        loss(net, {"values": part, "weight": torch.ones(part.shape)})["loss"].backward()
        optimizer.step()
    held = _people(600, 1)
    a_told = [np.broadcast_to([True, False, False], held.shape)]
    first = np.nanmean(_losses(NeuralJoint(net), held, a_told)[:, 1])
    shares = weigh(net, held)
    after = np.nanmean(_losses(NeuralJoint(net), held, a_told)[:, 1])
    assert shares[1] >= 0.7
    assert shares[2] < 1.0  # there was nothing to learn
    copula = CopulaJoint(net.copula)
    known = np.where(a_told[0], held, np.nan)
    bins = copula.layout.bins_of(held)[:, 1]
    plain = -np.log(np.maximum(copula.shared(known, [1])[0][0][np.arange(len(held)), bins], 1e-6)).mean()
    assert after < plain - 0.1
    assert after - first < (plain - first) / 4


def test_of_columns_of_few_people_all_counts() -> None:
    net, held = _noisy(), _people(60, 1)
    held[15:, 1] = np.nan
    assert weigh(net, held)[1] == 1.0


def test_of_a_column_with_a_twin_all_counts() -> None:
    """Noise would be taken back; but what its twin tells of a column has to stay tight in virtual humans."""
    columns = (replace(SCHEMA.columns[0], twin="curved"), *SCHEMA.columns[1:])
    net = _noisy()
    net.copula.schema = Schema(columns)
    shares = weigh(net, _people(600, 1))
    assert shares[0] == 1.0
    assert shares[1] < 0.5
