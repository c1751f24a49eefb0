"""A larger network begins as the smaller one it goes on from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ase.build import bulk

from sciai.atoms.data.graph import Graph, graphs_of
from sciai.atoms.model.interface import predict
from sciai.atoms.train.setup import network
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput

OPTIONS: dict[str, Any] = {
    "channels": 8, "layers": 2, "lmax": 2, "carried": 2, "triples": [[1, 1, 2]], "radial": 4, "hidden": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    arrays = {name: value.numpy() for name, value in network(**OPTIONS).state_dict().items()}
    card = Card("small", "atoms", config={"domain": {"net": OPTIONS}})
    folder: Path = tmp_path_factory.mktemp("grow") / "model"
    Checkpoint(arrays, card).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def salt() -> Graph:
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    return graphs_of([atoms], 6.5)


@pytest.mark.parametrize(
    "larger",
    [{"layers": 3}, {"layers": 4, "hidden": [2, 3, 1, 2]}, {"hidden": 5}, {"layers": 3, "hidden": [4, 2, 1]}],
)
def test_it_answers_as_its_start_and_all_of_it_learns(
    small: str, salt: Graph, larger: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        start, net = network(small, **OPTIONS), network(small, **OPTIONS | larger)
    assert not caplog.records  # nothing was left behind
    old, new = predict(start, salt), predict(net, salt)
    torch.testing.assert_close(new.energies, old.energies, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(new.forces, old.forces, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(new.descriptor, old.descriptor, atol=1e-5, rtol=1e-5)
    optimizer = torch.optim.SGD(net.parameters(), 1e-2)
    for _ in range(2):  # what comes out as zero moves first, what goes into it after that
        optimizer.zero_grad()
        out = net(salt, learn=True)
        (out.heads.square().sum() + out.forces.square().sum()).backward()
        optimizer.step()
    still = [name for name, p in net.interactions.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_a_smaller_network_says_what_it_does_not_take(small: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        network(small, **OPTIONS | {"layers": 1, "hidden": 1})
    assert "interactions.1.update.0.weight" in caplog.text
    assert "readout.0.weight" in caplog.text


def test_other_invariants_are_not_taken_for_a_wider_update(
    small: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        network(small, **OPTIONS | {"triples": [[1, 1, 2], [2, 2, 2]]})
    assert "interactions.0.update.0.weight" in caplog.text


@pytest.mark.parametrize("hidden", [[2, 2, 2], [2], [2, 0], 0, 2.5, "wide", [2, 1.5]])
def test_one_width_for_each_interaction(hidden: Any) -> None:
    with pytest.raises(BadInput, match=r"one whole number from 1 up, or 2, one for each of the layers"):
        network(**OPTIONS | {"hidden": hidden})
