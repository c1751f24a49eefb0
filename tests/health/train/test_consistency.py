"""Asking a before b, or b before a: what training pays where it makes a difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.model.copula import fit_copula
from sciai.health.model.network import JointNet
from sciai.health.train.consistency import log_probabilities, order_gap

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMA = Schema(tuple(Column(n, Kind.CONTINUOUS, decimals=3, low=-1e9, high=1e9) for n in "abc"))
VALUES = np.random.default_rng(0).multivariate_normal(np.zeros(3), 0.4 * np.eye(3) + 0.6, 2000)


def _net(dropout: float = 0.0) -> JointNet:
    torch.manual_seed(0)
    return JointNet(fit_copula(SCHEMA, VALUES), width=16, blocks=1, members=2, dropout=dropout)


def _gap(net: JointNet, n: int = 200) -> torch.Tensor:
    rows = VALUES[:n]
    nothing, bins = np.zeros((n, 3), bool), torch.from_numpy(net.copula.layout.bins_of(rows))
    return order_gap(net, rows, nothing, ~nothing, bins, np.random.default_rng(1), share=1.0)


def test_a_copula_of_numbers_needs_next_to_nothing() -> None:
    assert float(_gap(_net()).detach()) < 0.05


def test_a_conditional_that_contradicts_the_other_is_seen_and_mended() -> None:
    net = _net(dropout=0.3)
    for member in net.members:
        torch.nn.init.normal_(member.leave.weight, std=0.4)
    net.train()
    before = _gap(net)
    assert float(before.detach()) > 0.2
    assert torch.equal(before, _gap(net))  # no unit is left out, and training goes on as it was
    assert net.training
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        _gap(net).backward()
        optimizer.step()
    assert float(_gap(net).detach()) < float(before.detach()) / 2


def test_without_two_columns_to_ask_for_there_is_no_gap() -> None:
    net, rows = _net(), VALUES[:5]
    told = np.array([[True, True, False]] * 5)
    bins = torch.from_numpy(net.copula.layout.bins_of(rows))
    assert float(order_gap(net, rows, told, ~told, bins, np.random.default_rng(0))) == 0.0


def test_log_probabilities_are_those_of_the_values_bins() -> None:
    net, rows = _net().eval(), VALUES[:4]
    there = np.zeros((4, 3), bool)
    said = net(net.prepare(net.copula.scores(rows), there))
    bins = torch.from_numpy(net.copula.layout.bins_of(rows))
    found = log_probabilities(net, said, bins)
    for row in range(4):
        for column in range(3):
            own = said[0][0, row, column, bins[row, column]]
            assert float(found[0, row, column]) == pytest.approx(float(own))
