from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sciai.atoms.model.interface import load_net, predict
from sciai.atoms.model.network import Network
from sciai.atoms.model.potential import closest_seen, support
from sciai.atoms.train.calibrate import Calibrate, binned_quantiles
from sciai.atoms.train.data import collate, module
from sciai.atoms.train.differences import Related
from sciai.atoms.train.figures import Evaluate
from sciai.atoms.train.loss import Loss, take_offsets
from sciai.atoms.train.setup import network
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.data import DataModule
from sciai.core.errors import CheckpointError
from tests.atoms.toy import records

OPTIONS = {
    "channels": 16, "layers": 2, "lmax": 1, "carried": 1, "triples": [], "heads": 4,
    "reach": [3.4, 0.66, 6.5], "sources": {"mptrj": 0},
}  # fmt: skip
FRACTIONS = {"train": 0.6, "val": 0.2, "calibrate": 0.2}


@pytest.fixture(scope="module")
def data() -> DataModule:
    return module(records(per_system=2), OPTIONS["sources"], OPTIONS["reach"], 8, FRACTIONS)


@pytest.fixture(scope="module")
def learned(data: DataModule) -> tuple[Network, list[float]]:
    """A tiny network, and its errors of forces before and after a hundred steps."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net, loss = network(**OPTIONS), Loss()
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    test = collate([data.part("test")[k] for k in range(len(data.part("test")))])
    errors = [loss(net, test)["f"].item()]
    stream = iter(data.train_dataloader())
    for _ in range(100):
        optimizer.zero_grad()
        loss(net, next(stream))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
    errors.append(loss(net, test)["f"].item())
    return net.requires_grad_(False), errors


@pytest.fixture(scope="module")
def saved(
    learned: tuple[Network, list[float]], data: DataModule, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("atoms") / "model"
    calibration = Calibrate()(learned[0], data)
    card = Card("toy", "atoms", config={"domain": {"net": OPTIONS}}, calibration=calibration)
    Checkpoint.from_net(learned[0], card).save(folder)
    return folder


def test_it_learns_systems_it_never_saw(learned: tuple[Network, list[float]]) -> None:
    before, after = learned[1]
    assert after < 0.65 * before


def test_offsets_come_from_the_training_part(learned: tuple[Network, list[float]], data: DataModule) -> None:
    torch.testing.assert_close(learned[0].offsets, data.dataset.offsets)


def test_a_checkpoint_answers_as_the_network_did(
    learned: tuple[Network, list[float]], saved: Path, data: DataModule
) -> None:
    graph = data.part("test")[0].graph
    net = load_net(Checkpoint.load(saved))
    ours, theirs = predict(learned[0], graph), predict(net, graph)
    torch.testing.assert_close(ours.energy, theirs.energy)
    torch.testing.assert_close(ours.forces, theirs.forces)
    assert not theirs.forces.requires_grad


def test_intervals_cover_and_support_is_there(saved: Path, data: DataModule) -> None:
    checkpoint = Checkpoint.load(saved)
    force = checkpoint.card.calibration["force"]
    assert 0.88 <= force["coverage"] <= 0.95
    assert len(force["quantiles"]) == len(force["edges"]) + 1
    net = load_net(checkpoint)
    known = support(net)
    graph = data.part("calibrate")[0].graph
    p = known.p_value(np.column_stack([predict(net, graph).descriptor.numpy(), graph.numbers.numpy()]))
    assert p.min() > 0.01  # one of the structures that set the scale
    strange = np.append(np.full(OPTIONS["channels"], 50.0), 13.0)[None]
    assert known.p_value(strange)[0] <= 1.0 / len(known.held_out)
    closest = closest_seen(net)
    assert 1.8 < closest[13, 29] < 3.2
    assert np.isinf(closest[1, 8])


def test_a_network_without_calibration_has_no_support() -> None:
    with pytest.raises(CheckpointError, match="not calibrated"):
        support(network(**OPTIONS))


def test_figures_by_source_and_tiers(learned: tuple[Network, list[float]], data: DataModule) -> None:
    found = Evaluate(worst=3)(learned[0], data)
    assert found["test/mptrj/force_relative"] < 1
    assert len(found["worst"]) == 3
    forces = [case["force_mae"] for case in found["worst"]]
    assert forces == sorted(forces, reverse=True)
    tiers = found["extra"]["tiers"]
    assert {"Al", "Cu"} <= {symbol for symbols in tiers.values() for symbol in symbols}


def test_going_on_from_a_checkpoint_with_another_source(saved: Path, data: DataModule) -> None:
    fresh = network(start=str(saved), **{**OPTIONS, "sources": {"mine": 1, "mptrj": 0}})
    old = load_net(Checkpoint.load(saved))
    graph = data.part("test")[0].graph
    graph.source[:] = 1
    theirs = predict(fresh, graph)
    graph.source[:] = 0
    torch.testing.assert_close(theirs.energy, predict(old, graph).energy)
    assert not fresh.offsets[0].any()  # to be fitted when the first batch comes
    batch = collate([data.part("train")[0]])
    batch.offsets = torch.ones(2, 119, dtype=torch.float64)
    Loss()(fresh, batch)
    assert bool((fresh.offsets[0] == 1).all())
    assert bool((fresh.offsets[1] != 1).any())


def test_a_new_source_of_one_zero_with_known_ones_gets_their_zero(data: DataModule) -> None:
    net = network(**OPTIONS | {"sources": {"mptrj": 0, "old": 0, "new": 0, "apart": 0}})
    net.offsets[0], net.offsets[1] = 2.5, 2.0  # the first was moved by calibration
    batch = collate([data.part("train")[0]])
    batch.offsets = torch.tensor([[1.0], [1.0], [1.0], [4.0]], dtype=torch.float64).expand(4, 119).clone()
    take_offsets(net, batch)
    assert net.offsets[:, 8].tolist() == [2.5, 2.0, 2.0, 4.0]


def test_a_batch_without_stress_or_forces_counts_energies_alone(data: DataModule) -> None:
    net = network(**OPTIONS)
    batch = collate([data.part("train")[k] for k in range(2)])
    batch.forces[:] = torch.nan
    batch.stress[:] = torch.nan
    found = Loss()(net, batch)
    assert float(found["f"]) == 0
    assert float(found["s"]) == 0
    assert torch.isfinite(found["loss"])


def test_not_a_potential(tmp_path: Path) -> None:
    other = Checkpoint({"w": np.ones(2, "f4")}, Card("x", "radar")).save(tmp_path / "x")
    with pytest.raises(CheckpointError, match="no potential"):
        load_net(other)


def test_differences_are_calibrated_where_there_are_pairs(learned: tuple[Network, list[float]]) -> None:
    data = module(records(per_system=5), OPTIONS["sources"], OPTIONS["reach"], 8, FRACTIONS)
    said = Calibrate()(learned[0], data)
    known = Related.of(said["differences"], learned[0].support_scale.numpy())
    assert known is not None
    assert known.pairs > known.compositions >= 10
    assert known.spread(1.0, 0.1) > 0


def test_without_pairs_nothing_is_said_of_differences(
    learned: tuple[Network, list[float]], data: DataModule
) -> None:
    assert "differences" not in Calibrate()(learned[0], data)


def test_distances_that_rehearsed_weights_had_seen_stay_seen(
    learned: tuple[Network, list[float]], data: DataModule
) -> None:
    net = learned[0]
    gold = (79, 79)
    Calibrate()(net, data)
    of_data = float(net.closest[gold])
    for before in (of_data - 0.3, of_data + 0.3):
        for rehearsed in (True, False):
            net.closest[gold] = before
            Calibrate(rehearsed=rehearsed)(net, data)
            told = min(before, of_data) if rehearsed else of_data
            assert float(net.closest[gold]) == pytest.approx(told)


def test_few_structures_give_a_wide_spread_and_no_infinite_one() -> None:
    """Errors that are normal: nine of ten fresh ones are within what three of them promise."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(400):
        few = np.abs(rng.normal(size=3))
        (factor,) = binned_quantiles(np.ones(3), few, alpha=0.1, bins=1)["quantiles"]
        assert np.isfinite(factor)
        inside.append(np.mean(np.abs(rng.normal(size=50)) <= factor))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)


def test_labels_of_one_kind_alone_calibrate_what_they_can(
    data: DataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forces without energies, and energies without forces, once ended a training without its checkpoint."""
    net = Network(sources={"mptrj": 0}, channels=8, lmax=1, carried=1, triples=())
    records = list(data.dataset.records)
    for name in ("energy", "forces"):
        bare = [replace(r, **{name: None}) for r in records]
        monkeypatch.setattr(data.dataset, "records", bare)
        told = Calibrate(structures=20)(net, data)
        assert ("energy" in told, "force" in told) == (name != "energy", name != "forces")
        assert bool(told["zero"]["elements"]) == (name != "energy")
    monkeypatch.setattr(data.dataset, "records", [replace(r, energy=None, forces=None) for r in records])
    assert Calibrate(structures=20)(net, data)["set"].startswith("none")


def test_equal_spreads_are_one_class() -> None:
    found = binned_quantiles(np.ones(30), np.linspace(0, 1, 30), alpha=0.1, bins=5)
    assert np.isfinite(found["quantiles"]).all()
