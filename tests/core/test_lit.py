"""Groups, schedule, clipping, averaging, gradients in evaluation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from sciai.core.data import DataModule
from sciai.core.errors import BadInput, CheckpointError, SciaiError
from sciai.core.lit import Group, Lit, WarmupCosine

pytestmark = pytest.mark.usefixtures("one_thread")


class Line:
    """y = 2 x, sixty points."""

    def __init__(self) -> None:
        self.x = np.linspace(-1, 1, 60, dtype="f4")

    def __len__(self) -> int:
        return 60

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"x": self.x[i : i + 1], "y": 2 * self.x[i : i + 1]}


def loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {"loss": ((net(batch["x"]) - batch["y"]) ** 2).mean(), "n": len(batch["x"])}


def fit(lit: Lit, steps: int = 5, **options: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        enable_checkpointing=False,
        inference_mode=False,
        **quiet,
        **options,
    )
    trainer.fit(lit, datamodule=DataModule(Line(), 8, {"train": 0.8, "val": 0.2}))
    return trainer


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))


def test_groups_take_what_they_match_first_wins_rest_follows() -> None:
    groups = (Group("^0.weight", lr=0.5, weight_decay=0.0, clip=False), Group("weight", lr=0.1))
    lit = Lit(net(), loss, groups=groups)
    made = {g["name"]: g for g in lit.parameter_groups()}
    assert list(made) == ["^0.weight", "weight", "rest"]
    assert made["^0.weight"]["params"] == [lit.net[0].weight]
    assert made["weight"]["params"] == [lit.net[1].weight]
    assert made["rest"]["params"] == [lit.net[0].bias, lit.net[1].bias]
    optimizer = partial(torch.optim.AdamW, lr=0.01, weight_decay=0.3)(lit.parameter_groups())
    settings = [(g["lr"], g["weight_decay"], g["clip"]) for g in optimizer.param_groups]
    assert settings == [(0.5, 0.0, False), (0.1, 0.3, True), (0.01, 0.3, True)]


def test_frozen_parameters_stay_out() -> None:
    network = net()
    network[0].requires_grad_(False)
    (group,) = Lit(network, loss).parameter_groups()
    assert len(group["params"]) == 2
    with pytest.raises(BadInput, match="no trainable"):
        Lit(network.requires_grad_(False), loss)


def test_a_pattern_without_a_match_fails_at_once() -> None:
    with pytest.raises(BadInput, match="quantiles"):
        Lit(net(), loss, groups=[Group("quantiles$")])
    with pytest.raises(BadInput, match="moving average"):
        Lit(net(), loss, ema=1.5)


class Watch(pl.Callback):
    """Gradients after clipping, and learning rates, of every step."""

    def __init__(self) -> None:
        self.norms: list[dict[str, float]] = []
        self.rates: list[list[float]] = []

    def on_before_zero_grad(self, trainer: Any, module: Any, optimizer: Any) -> None:
        if all(p.grad is not None for p in module.net.parameters()):
            norms = {
                g["name"]: float(torch.norm(torch.stack([p.grad.norm() for p in g["params"]])))
                for g in optimizer.param_groups
            }
            self.norms.append(norms)

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self.rates.append([g["lr"] for g in trainer.optimizers[0].param_groups])


def _huge_aux(network: nn.Module, batch: Any) -> dict[str, Any]:
    parts = loss(network, batch)
    return parts | {"loss": parts["loss"] + 1e4 * network[1].bias.sum()}


def test_a_group_outside_clipping_neither_shrinks_nor_is_shrunk() -> None:
    """The entropy bottleneck's quantile loss: large gradients that are nobody else's business."""
    options: dict[str, Any] = {
        "groups": [Group("1.bias", clip=False)],
        "optimizer": partial(torch.optim.SGD, lr=0.0),
    }
    watch, small = Watch(), Watch()
    fit(Lit(net(), _huge_aux, clip=0.25, **options), callbacks=[watch])
    fit(Lit(net(), loss, clip=None, **options), callbacks=[small])
    assert watch.norms
    for clipped, free in zip(watch.norms, small.norms, strict=True):
        assert clipped["1.bias"] > 9e3
        assert clipped["rest"] == pytest.approx(min(0.25, free["rest"]), rel=1e-4)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_the_trainer_may_set_the_limit(algorithm: str) -> None:
    watch = Watch()
    options = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm}
    fit(Lit(net(), loss, clip=100.0), callbacks=[watch], **options)
    count = sum(p.numel() for p in net().parameters())
    limit = 1e-3 * (1 if algorithm == "norm" else count**0.5)
    assert all(n["rest"] <= limit * 1.001 for n in watch.norms)


def test_schedule_reaches_the_optimizer() -> None:
    watch = Watch()
    schedule = WarmupCosine(warmup=3, floor=0.1)
    groups = [Group("bias", lr=0.5)]
    fit(
        Lit(net(), loss, partial(torch.optim.SGD, lr=0.1), groups=groups, scheduler=schedule),
        steps=9,
        callbacks=[watch],
    )
    expected = [schedule.factor(step, 9) for step in range(9)]
    np.testing.assert_allclose([r[0] for r in watch.rates], 0.5 * np.array(expected))
    np.testing.assert_allclose([r[1] for r in watch.rates], 0.1 * np.array(expected))
    assert WarmupCosine(warmup=1).factor(500, float("inf")) == 1.0


def test_average_is_the_recursion_of_the_weights() -> None:
    class Follow(pl.Callback):
        def __init__(self) -> None:
            self.weights: list[torch.Tensor] = []

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            self.weights.append(module.net[0].weight.detach().clone())

    follow = Follow()
    lit = Lit(net(), loss, partial(torch.optim.SGD, lr=0.1), ema=0.9)
    expected = lit.net[0].weight.detach().clone()
    fit(lit, steps=12, callbacks=[follow])
    for step, weight in enumerate(follow.weights, start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(lit.average[0].weight.detach(), expected)
    assert lit.best_net is lit.average
    assert Lit(net(), loss).best_net is not None


def test_validation_uses_the_average_and_metrics_are_logged() -> None:
    seen = []

    def metrics(network: nn.Module, batch: Any) -> dict[str, Any]:
        seen.append(network)
        return {"mae": (network(batch["x"]) - batch["y"]).abs().mean(), "n": len(batch["x"])}

    lit = Lit(net(), loss, ema=0.5, metrics=metrics)
    trainer = fit(lit, steps=12, val_check_interval=6)
    assert seen
    assert all(network is lit.average for network in seen)
    assert {"val/loss", "val/mae", "train/loss"} <= set(trainer.callback_metrics)


def force_loss(network: nn.Module, batch: Any) -> dict[str, Any]:
    x = batch["x"].requires_grad_(True)
    (force,) = torch.autograd.grad(network(x).sum(), x, create_graph=torch.is_grad_enabled())
    return {"loss": ((force - 2) ** 2).mean() + 0 * network(x).sum(), "n": len(x)}


def test_gradients_in_evaluation_when_asked() -> None:
    lit = Lit(net(), force_loss, grad_in_eval=True, predict=force_loss)
    trainer = fit(lit, steps=6)
    assert "val/loss" in trainer.callback_metrics
    data = DataModule(Line(), 8, {"train": 0.8, "test": 0.2})
    assert trainer.predict(lit, datamodule=data)
    with pytest.raises(RuntimeError, match="grad"):
        fit(Lit(net(), force_loss), steps=6)
    strict = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, inference_mode=True)
    with pytest.raises(SciaiError, match="inference_mode=False"):
        strict.validate(lit, datamodule=DataModule(Line(), 8, {"train": 0.8, "val": 0.2}), verbose=False)


def test_a_loss_function_has_to_return_a_loss() -> None:
    with pytest.raises(SciaiError, match="has to return 'loss'"):
        fit(Lit(net(), lambda n, b: {"error": torch.zeros(())}))


def test_noise_in_validation_is_the_same_every_time() -> None:
    def noisy(network: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": loss(network, batch)["loss"] + torch.randn(()), "n": len(batch["x"])}

    lit = Lit(net(), noisy, partial(torch.optim.SGD, lr=0.0))
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    data = DataModule(Line(), 8, {"train": 0.8, "val": 0.2})
    first, second = (trainer.validate(lit, datamodule=data, verbose=False)[0] for _ in range(2))
    assert first == second


def test_resuming_another_run_is_refused() -> None:
    lit = Lit(net(), loss, fingerprint="a")
    state: dict[str, Any] = {}
    lit.on_save_checkpoint(state)
    lit.on_load_checkpoint(state)
    with pytest.raises(CheckpointError, match="another domain config"):
        Lit(net(), loss, fingerprint="b").on_load_checkpoint(state)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_epochs": 3}, 18),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 6),
        ({"max_epochs": 3, "limit_train_batches": 2}, 6),
        ({"max_epochs": 3, "limit_train_batches": 0.5}, 9),
        ({"max_epochs": 3, "max_steps": 7}, 7),
        ({"max_epochs": -1, "max_steps": 7}, 7),
        ({"fast_dev_run": True}, 1),
    ],
)
def test_the_schedule_ends_with_the_run(options: dict[str, Any], steps: int) -> None:
    """Forty-eight training items in batches of eight: the last step has the lowest rate, and no other."""
    watch = Watch()
    schedule = WarmupCosine(floor=0.1)
    lit = Lit(net(), loss, partial(torch.optim.SGD, lr=1.0), scheduler=schedule, clip=0.01)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(accelerator="cpu", enable_checkpointing=False, callbacks=[watch], **quiet, **options)
    trainer.fit(lit, datamodule=DataModule(Line(), 8, {"train": 0.8, "val": 0.2}))
    assert trainer.global_step == steps
    assert watch.rates[-1][0] == pytest.approx(schedule.factor(steps - 1, steps))
