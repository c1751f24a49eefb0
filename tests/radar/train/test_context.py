"""Training the context codec: gates, the loss, integers, and the one path from a config to a codec."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciai.core import run
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput
from sciai.radar.model.context import CLASSES, ContextCodec, class_of
from sciai.radar.model.context.features import FEATURES
from sciai.radar.model.context.values import DECISIONS, UNARY
from sciai.radar.model.interface import QuantSpec
from sciai.radar.train import context as training
from sciai.radar.train.context import Evaluate, Gates, Network, decisions, export, loss, metrics, restore
from sciai.radar.train.volumes import Sweep, VolumeSet
from tests.radar.synthetic import smooth, validity

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [
    "domain/radar@domain=context",
    "+domain.data.dataset.volumes._target_=sciai.radar.train.volumes.simulated",
    "+domain.data.dataset.volumes.seeds=[1,2,3]",
    "+domain.data.dataset.volumes.shape=[2,48,72]",
    "domain.data.dataset.per_plane=4",
    "domain.data.batch_size=4",
    "domain.data.fractions.train=0.34",
    "domain.data.fractions.val=0.33",
    "+domain.data.fractions.test=0.33",
    "domain.lit.scheduler.warmup=2",
    "domain.max_steps=12",
    "domain.evaluate=null",  # real volumes, if there are any here, are not what this model is tested on
    "trainer.enable_progress_bar=false",
    "trainer.log_every_n_steps=1",
]


def sweeps(seed: int, names: Sequence[str] = ("DBZH", "TH", "PHIDP", "ODD"), count: int = 2) -> list[Sweep]:
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        mask = validity(rng, 30, 60)
        base = smooth(rng, 30, 60)
        fields = {v: ((20 + 10 * base + 0.3 * i).astype(np.float32), mask) for i, v in enumerate(names)}
        out.append(Sweep(f"sweep_{k}", 0.5 + k, fields))
    return out


def gates(**more: Any) -> Gates:
    volumes = [(f"v{k}", f"g{k // 2}", sweeps(k)) for k in range(4)]
    return Gates(volumes=volumes, **{"block": 64, "per_plane": 3, **more})


def batch_of(data: Gates) -> dict[str, torch.Tensor]:
    items = [data[i] for i in range(len(data))]
    return {k: torch.from_numpy(np.stack([item[k] for item in items])) for k in items[0]}


# -- the whole path


def test_a_config_becomes_a_codec(tmp_path: Path) -> None:
    cfg = run.compose("radar", [*SMALL, f"out={tmp_path}"])
    done = run.train(cfg)
    saved = Checkpoint.load(done.path, expect=done.hash)
    assert saved.card.name == "radar-context"
    assert saved.card.known_limits
    assert 0 < done.metrics["test/network_bits_per_valid_gate"] < 40
    assert all(a.dtype.kind == "i" for a in saved.arrays.values()), "nothing but integers is shipped"
    parts = saved.card.split["parts"]
    assert all(parts[p]["groups"] == 1 for p in ("train", "val", "test")), "a storm is in one part only"
    codec = ContextCodec.from_checkpoint(saved)
    assert codec.model == ContextCodec.from_model(codec.model).model
    found = run.evaluate(run.compose("radar", [*SMALL, f"out={tmp_path}", f"checkpoint={done.path}"]))
    # the network that is tested again is the rounded one
    assert found.metrics["test/loss"] == pytest.approx(done.metrics["test/loss"], rel=0.02)


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        cfg = run.compose("radar", [*SMALL, f"out={tmp_path / name}", "domain.max_steps=3"])
        found.append(Checkpoint.load(run.train(cfg).path).arrays)
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_learning_lowers_the_loss_and_the_real_bits() -> None:
    data = gates(psnr=(35,))
    batch = batch_of(data)
    torch.manual_seed(0)
    net = Network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    first = float(loss(net, batch)["loss"].detach())
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(net, batch)["loss"]
        value.backward()
        optimizer.step()
    assert float(value.detach()) < 0.7 * first
    with torch.no_grad():
        same = metrics(net, batch)["network_bits_per_valid_gate"]
        assert float(same) == pytest.approx(float(loss(net, batch)["loss"]))
    values, mask = sweeps(9)[0].variables["DBZH"]
    spec = QuantSpec(1.5, 0.0)
    sizes = [
        len(codec.encode_values("DBZH", values, mask, spec, None)[0])
        for codec in (ContextCodec(export(net)), ContextCodec.untrained())
    ]
    assert sizes[0] < 0.95 * sizes[1], "the network saves bits on a storm it has not seen"


def test_real_bits_of_whole_planes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The figures of the card are of coded planes of the test part, and the worst volume is named first."""
    data = gates()
    kept = [i for i, n in enumerate(data.names) if n[0] in ("v2", "v3")]
    noisy = np.random.default_rng(0).normal(20, 10, (30, 60)).astype(np.float32)
    volumes = {"v1": sweeps(1), "v2": sweeps(2), "v3": sweeps(3)}
    mask = volumes["v3"][0].variables["DBZH"][1]
    volumes["v3"][0].variables["DBZH"] = (noisy, mask)
    sets = [VolumeSet(k, k, "", (), k) for k in volumes]
    monkeypatch.setattr(training, "volume_sets", lambda folder: sets)
    monkeypatch.setattr(training, "load_all", lambda sets: ((v, volumes[v.key]) for v in sets))
    part = torch.utils.data.Subset(data, kept)  # type: ignore[arg-type]
    module = SimpleNamespace(dataset=data, part=lambda name: part if name == "test" else [])
    found = Evaluate(tmp_path, planes=100)(Network(), module)
    assert [w["volume"] for w in found["worst"]] == ["v3", "v2"]
    assert set(found) == {
        "worst",
        "test/real_bits_per_valid_gate",
        *(f"test/real_bits_per_valid_gate/{c}" for c in ("DBZH", "PHIDP", "other")),
    }
    low, high = (w["bits_per_valid_gate"] for w in found["worst"][::-1])
    assert 0.05 < low < found["test/real_bits_per_valid_gate"] < high < 12
    monkeypatch.setattr(training, "volume_sets", lambda folder: [])
    assert Evaluate(tmp_path)(Network(), module) == {}


# -- gates


def test_items_and_their_groups() -> None:
    data = gates()
    assert len(data) == len(data.groups) == len(data.names) > 0
    assert set(data.groups) == {"g0", "g1"}
    assert {n[2] for n in data.names} == {"DBZH", "TH", "PHIDP", "ODD"}
    for i in (0, len(data) - 1):
        item = data[i]
        assert item["features"].shape == (64, FEATURES)
        assert item["features"].dtype == np.int16
        assert item["distances"].shape == item["kind"].shape == (64,)
        assert set(item["kind"]) == {class_of(data.names[i][2])}
    again = gates()
    for i in range(len(data)):
        np.testing.assert_array_equal(data[i]["features"], again[i]["features"])
    assert data.provenance == again.provenance != gates(seed=1).provenance


def test_names_are_hidden_now_and_then() -> None:
    data, rng = gates(), np.random.default_rng(0)
    at = [n[2] for n in data.names].index("DBZH")
    kinds = [int(data.item(at, rng)["kind"][0]) for _ in range(400)]
    assert set(kinds) == {0, class_of("DBZH")}
    assert 0.05 < np.mean(np.array(kinds) == 0) < 0.16


def test_all_features_fit_their_integers() -> None:
    """Wild values too: features are Q8 in int16, and the codec's sums rely on their limits."""
    rng = np.random.default_rng(1)
    wild = (10.0 ** rng.uniform(-3, 5, (30, 60)) * rng.choice([-1, 1], (30, 60))).astype(np.float32)
    mask = np.zeros(wild.shape, np.uint8)
    volume = [Sweep("s", 0.5, dict.fromkeys(("DBZH", "TH", "VRADH"), (wild, mask)))] * 2
    data = Gates(volumes=[("v", "g", volume), ("w", "g", volume)], block=64, seed=3)
    most = max(int(abs(data[i]["features"].astype(int)).max()) for i in range(len(data)))
    assert most > 2000
    assert FEATURES * most * 8191 + 2**28 < 2**31


@pytest.mark.parametrize("kind", ["empty", "nothing valid", "too few"])
def test_nothing_to_learn_from_is_said(kind: str) -> None:
    values, mask = np.zeros((20, 20), np.float32), np.full((20, 20), 2, np.uint8)
    if kind == "too few":
        mask[0, :9] = 0
    volumes = [] if kind == "empty" else [("v", "g", [Sweep("s", 0.0, {"DBZH": (values, mask)})])]
    with pytest.raises(BadInput, match="valid gates"):
        Gates(volumes=volumes)


# -- decisions


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=30))
def test_decisions_tell_distances_apart(distances: list[int]) -> None:
    outcome, asked = decisions(torch.tensor(distances))
    assert outcome.shape == asked.shape == (len(distances), DECISIONS)
    for d, o, a in zip(distances, outcome.tolist(), asked.tolist(), strict=True):
        assert a[0], "whether it is as predicted is always asked"
        if d == 0:
            assert o[0]
            assert sum(a) == 1
            continue
        assert not o[0]
        assert o[1] == (d > 0)
        steps = slice(2, 2 + UNARY) if d > 0 else slice(2 + UNARY, DECISIONS)
        other = slice(2 + UNARY, DECISIONS) if d > 0 else slice(2, 2 + UNARY)
        assert not any(a[other])
        answers = [o for o, a in zip(o[steps], a[steps], strict=True) if a]
        count = min(abs(d), UNARY)
        assert len(answers) == count
        assert answers == [True] * (count - 1) + [abs(d) > UNARY]


def test_bits_are_a_probability() -> None:
    """Over every distance, and all beyond the unary part together on each side, they sum to one."""
    torch.manual_seed(1)
    net = Network()
    distances = torch.arange(-UNARY - 1, UNARY + 2)
    features = torch.randint(-900, 900, (1, 1, FEATURES)).expand(1, len(distances), FEATURES).short()
    batch = {
        "features": features,
        "distances": distances[None],
        "kind": torch.full((1, len(distances)), 3),
    }
    total = 0.0
    for k in range(len(distances)):
        one = {name: value[:, k : k + 1] for name, value in batch.items()}
        total += 2 ** -float(loss(net, one)["loss"].detach())
    assert total == pytest.approx(1, abs=1e-5)


# -- integers


def random_net(seed: int, scale: float = 1.0) -> Network:
    torch.manual_seed(seed)
    net = Network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += scale * 0.2 * torch.randn_like(parameter)
    return net


def integer_logits(arrays: dict[str, Any], features: Any, kind: int) -> Any:
    """The codec's arithmetic, in wide integers: whether 32 bits are enough shows against the compiled one."""
    hidden = features.astype(np.int64)
    for layer in ("1", "2", "3"):
        sums = hidden @ arrays[f"w{layer}"].T.astype(np.int64) + arrays[f"b{layer}"][kind]
        assert abs(sums).max() < 2**31
        hidden = np.clip(sums >> 10, 0, 4095) if layer != "3" else np.clip(sums >> 10, -2816, 2816)
    return hidden[:, :DECISIONS]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", range(len(CLASSES)))
def test_the_integer_network_agrees_with_the_float_one(seed: int, kind: int) -> None:
    net = random_net(seed)
    features = np.random.default_rng(seed).integers(-600, 600, (300, FEATURES))
    with torch.no_grad():
        kinds = torch.full((len(features),), kind)
        wanted = net(torch.from_numpy(features / 256).float(), kinds).numpy()
    found = integer_logits(export(net), features, kind) / 256
    inside = (abs(wanted) < 10.9).all(1)
    assert inside.mean() > 0.5
    assert abs(found - wanted)[inside].max() < 0.1


def test_export_keeps_within_what_the_codec_accepts() -> None:
    arrays = export(random_net(0, 1e4))
    assert ContextCodec(arrays).arrays["w1"].max() == 8191
    assert not arrays["w3"][DECISIONS:].any()
    assert not arrays["b3"][:, DECISIONS:].any()


def test_export_and_restore_round_trip() -> None:
    arrays = export(random_net(5))
    again = Network()
    restore(again, Checkpoint(arrays, Card("radar-context", "radar")))
    for key, array in export(again).items():
        np.testing.assert_array_equal(array, arrays[key])


def test_a_perfect_guess_costs_nothing_and_a_blind_one_a_bit_each() -> None:
    net = Network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    batch = {
        "features": torch.zeros((1, 2, FEATURES), dtype=torch.int16),
        "distances": torch.tensor([[0, 2]]),
        "kind": torch.zeros((1, 2), dtype=torch.int64),
    }
    assert float(loss(net, batch)["loss"].detach()) == pytest.approx((1 + 4) / 2)
    with torch.no_grad():
        net.last.bias[0] = 50.0
    batch["distances"] = torch.zeros((1, 2), dtype=torch.int64)
    assert float(loss(net, batch)["loss"].detach()) == pytest.approx(0, abs=1e-9)
    assert math.isfinite(float(metrics(net, batch)["network_bits_per_valid_gate"].detach()))
