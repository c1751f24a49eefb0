"""The one LightningModule. It is final: a domain hands it functions, it does not subclass it.

What a domain hands over::

    loss(net, batch) -> {"loss": scalar, ...}      other scalars are logged; "n" is the number of samples
    metrics(net, batch) -> {"name": scalar, ...}   on validation and test batches, averaged over samples
    predict(net, batch) -> anything                for ``Trainer.predict``

Randomness inside a step (noise, dropout) is seeded by (seed, batch number, rank), so a run that was killed
and resumed draws the same numbers as one that was not.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sciai.core.errors import BadInput, CheckpointError, SciaiError
from sciai.core.resume import differing

__all__ = ["Group", "Lit", "Loss", "WarmupCosine", "diverged"]

Loss = Callable[[nn.Module, Any], Mapping[str, Tensor]]
_TRAIN, _EVAL = 0, 1


@dataclass(frozen=True)
class Group:
    """Parameters that are optimised differently.

    Attributes:
        pattern: regular expression, searched in the parameter's name; the first group that matches wins.
        lr: learning rate; None keeps the optimizer's.
        weight_decay: weight decay; None keeps the optimizer's.
        clip: whether its gradients count in, and are scaled by, gradient clipping. An entropy model's
            quantile ("aux") loss has to be outside, or its large gradients shrink everybody else's.
    """

    pattern: str
    lr: float | None = None
    weight_decay: float | None = None
    clip: bool = True


@dataclass(frozen=True)
class WarmupCosine:
    """Learning-rate factor: linear warm-up, then half a cosine down to a floor.

    Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR (without restarts);
    warm-up as in Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677.

    Attributes:
        warmup: optimizer steps until the full rate is reached.
        floor: fraction of the full rate at the end.
        steps: optimizer steps of the whole run; None takes the trainer's own estimate, and stays at the
            full rate where the trainer has none (a run limited by ``max_time`` alone).

    >>> rate = WarmupCosine(warmup=2, floor=0.1, steps=12)
    >>> [round(rate.factor(step, 12), 3) for step in (0, 1, 2, 7, 12)]
    [0.5, 1.0, 1.0, 0.55, 0.1]
    """

    warmup: int = 0
    floor: float = 0.0
    steps: int | None = None

    def factor(self, step: int, total: float) -> float:
        """The factor at a step (0 is the first) of a run of ``total`` steps (may be infinite)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if not math.isfinite(total):
            return 1.0
        done = min(1.0, (step - self.warmup) / max(1.0, total - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


@final
class Lit(pl.LightningModule):
    """Trains any network with any loss.

    Args:
        net: the network.
        loss: see the module's text.
        optimizer: makes the optimizer from parameter groups (``functools.partial(AdamW, lr=...)``; in a
            config, ``_partial_: true``). None: AdamW with lr 1e-3.
        metrics: see the module's text.
        predict: see the module's text; None calls ``net(batch)``.
        groups: parameters with their own rate, decay or clipping; what no pattern matches is the rest.
        scheduler: learning-rate schedule, or None for a constant rate.
        clip: largest gradient norm, over the groups that take part; None does not clip. A
            ``gradient_clip_val`` of the trainer takes precedence.
        ema: decay of an exponential moving average of the weights (0.999, say), used for validation, test,
            prediction and the saved checkpoint; None has none. Polyak & Juditsky 1992, SIAM J. Control Optim.
            30(4); the decay starts low, min(ema, (1 + n) / (10 + n)), so that early weights are forgotten.
        grad_in_eval: whether loss and metrics need gradients in validation, test and prediction (forces are
            gradients of an energy). The trainer must then have ``inference_mode=False``.
        seed: seed of the randomness inside steps.
        fingerprint: identifies data, network and loss; a resume with a different one is refused, where its
            state is older than ``made_of``.
        made_of: the same key by key, so that the refusal can name what differs.

    Raises:
        BadInput: when a group matches no parameter.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
        *,
        metrics: Loss | None = None,
        predict: Callable[[nn.Module, Any], Any] | None = None,
        groups: Sequence[Group] = (),
        scheduler: WarmupCosine | None = None,
        clip: float | None = None,
        ema: float | None = None,
        grad_in_eval: bool = False,
        seed: int = 0,
        fingerprint: str = "",
        made_of: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if ema is not None and not 0 < ema < 1:
            raise BadInput(f"the decay of the moving average is {ema}", field="ema", fix="use 0.99 to 0.9999")
        self.net = net
        self.average = None if ema is None else copy.deepcopy(net).requires_grad_(False)
        self._loss, self._metrics, self._predict = loss, metrics, predict
        self._optimizer, self._scheduler, self._groups = optimizer, scheduler, tuple(groups)
        self._clip, self._ema, self._grad_in_eval = clip, ema, grad_in_eval
        self._seed, self._fingerprint, self._made_of = seed, fingerprint, dict(made_of or {})
        self.parameter_groups()  # a pattern that matches nothing has to fail now, not after loading the data

    @property
    def best_net(self) -> nn.Module:
        """The network to evaluate and to ship: the averaged one where there is one."""
        return self.net if self.average is None else self.average

    @property
    def grad_in_eval(self) -> bool:
        """Whether validation, test and prediction need gradients."""
        return self._grad_in_eval

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimizer's parameter groups: those given, in order, then the rest; empty ones left out.

        Raises:
            BadInput: when a pattern matches no parameter, or there is nothing to train.
        """
        members: list[list[nn.Parameter]] = [[] for _ in range(len(self._groups) + 1)]
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                first = (i for i, group in enumerate(self._groups) if re.search(group.pattern, name))
                members[next(first, len(self._groups))].append(parameter)
        for group, own in zip(self._groups, members, strict=False):
            if not own:
                raise BadInput(
                    f"the parameter group {group.pattern!r} matches no trainable parameter",
                    field="groups",
                    fix="names are those of net.named_parameters(), and the first group that matches wins",
                )
        result: list[dict[str, Any]] = []
        for group, own in zip((*self._groups, Group("")), members, strict=True):
            if own:
                entry: dict[str, Any] = {"params": own, "name": group.pattern or "rest", "clip": group.clip}
                if group.lr is not None:
                    entry["lr"] = group.lr
                if group.weight_decay is not None:
                    entry["weight_decay"] = group.weight_decay
                result.append(entry)
        if not result:
            raise BadInput("the network has no trainable parameter", field="net")
        return result

    def configure_optimizers(self) -> Any:
        """Optimizer and, where there is one, the schedule per step."""
        make = self._optimizer or (lambda groups: torch.optim.AdamW(groups, lr=1e-3))
        try:
            optimizer = make(self.parameter_groups())
        except (TypeError, ValueError) as error:  # a rate below 0, say, or one that is no number
            raise BadInput(f"the optimizer cannot be made: {error}", field="domain.lit.optimizer") from error
        if self._scheduler is None:
            return optimizer
        schedule = self._scheduler
        steps = _length(self.trainer) if schedule.steps is None else float(schedule.steps)
        # a plain function: LambdaLR would save an object's fields and, on resume, undo a changed length
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the groups that take part; the others are neither counted nor scaled."""
        limit = gradient_clip_val if gradient_clip_val is not None else self._clip
        if not limit:
            return
        taking_part = [p for group in optimizer.param_groups if group["clip"] for p in group["params"]]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(taking_part, limit)
        else:
            norm = nn.utils.clip_grad_norm_(taking_part, limit)
            self.log("train/grad_norm", norm)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One batch through the loss.

        Raises:
            SciaiError: when the loss is not a number: from there on nothing is learned any more.
        """
        loss = self._run_loss(self.net, batch, "train")
        # in half precision the gradient scaler skips a step that overflowed, and goes on; and a look at each
        # loss would make a GPU wait for it
        looked_at = loss.device.type == "cpu" or batch_idx % 16 == 0
        scaled = str(self.trainer.precision).startswith("16")
        if looked_at and not scaled and not bool(torch.isfinite(loss.detach()).all()):
            raise diverged(self.trainer.global_step)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and metrics of the averaged network."""
        self._evaluate(batch, batch_idx, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """As validation, on the test part."""
        self._evaluate(batch, batch_idx, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """Whatever the domain's ``predict`` gives."""
        with self._grad():
            net = self.best_net
            return net(batch) if self._predict is None else self._predict(net, batch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step, so that its randomness does not depend on what ran before."""
        self._seed_step(_TRAIN, self.trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and move the average.

        Here, not at the batch's end: there the state is saved before this module's hook runs, and a resumed
        run would lack one step of the average.
        """
        super().optimizer_step(*args, **kwargs)
        if self.average is None or self._ema is None:
            return
        step = self.trainer.global_step + 1  # it is counted once this method has returned
        decay = min(self._ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for average, ours in zip(self.average.parameters(), self.net.parameters(), strict=True):
                average.lerp_(ours, 1 - decay)
            for buffer, current in zip(self.average.buffers(), self.net.buffers(), strict=True):
                buffer.copy_(current)  # running statistics and counters are averages, or integers, already

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember what this run was trained on."""
        checkpoint["sciai_fingerprint"] = self._fingerprint
        checkpoint["sciai_made_of"] = self._made_of

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on from a run on other data or another network.

        Args:
            checkpoint: the training state, as Lightning read it.

        Raises:
            CheckpointError: when it was made of something else.
        """
        if then := checkpoint.get("sciai_made_of"):
            told = differing(then, self._made_of)
        else:
            told = ["a part of it"] * (checkpoint.get("sciai_fingerprint", "") != self._fingerprint)
        if told:
            more = f" and {len(told) - 5} more" if len(told) > 5 else ""
            raise CheckpointError(
                "the run to resume had another domain config, seed or data: "
                f"{', '.join(told[:5])}{more} differ; give a new output folder (out=...), "
                "set resume=false to start over, or restore what it had"
            )

    def is_finite(self) -> bool:
        """Whether every weight that would be shipped is a finite number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.best_net.parameters())

    def _evaluate(self, batch: Any, batch_idx: int, part: str) -> None:
        self._seed_step(_EVAL, batch_idx)  # noise in a validation loss is the same in every epoch
        with self._grad():
            self._run_loss(self.best_net, batch, part)
            if self._metrics is not None:
                self._log(self._metrics(self.best_net, batch), part)

    def _run_loss(self, net: nn.Module, batch: Any, part: str) -> Tensor:
        parts = self._loss(net, batch)
        if "loss" not in parts:
            raise SciaiError(f"the loss function returned {sorted(parts)}; it has to return 'loss'")
        self._log(parts, part)
        return parts["loss"]

    def _log(self, values: Mapping[str, Any], part: str) -> None:
        size = int(values["n"]) if "n" in values else None
        named = {f"{part}/{k}": torch.as_tensor(v).detach() for k, v in values.items() if k != "n"}
        bar, training = f"{part}/loss" in named, part == "train"
        self.log_dict(
            named, prog_bar=bar, on_step=training, on_epoch=not training, batch_size=size, sync_dist=True
        )

    def _grad(self) -> Any:
        if not self._grad_in_eval:
            return torch.no_grad()
        if torch.is_inference_mode_enabled():
            raise SciaiError("this model needs gradients in evaluation: use Trainer(inference_mode=False)")
        return torch.enable_grad()

    def _seed_step(self, kind: int, number: int) -> None:
        entropy = [self._seed, kind, number, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))


def diverged(step: int) -> SciaiError:
    """What to say when a training left the numbers.

    Args:
        step: number of optimizer steps by then.
    """
    return SciaiError(
        f"the training diverged: after {step} steps the loss or a weight is no finite number; lower the "
        "learning rate (domain.lit.optimizer.lr), clip gradients (domain.lit.clip), or look for values in "
        "the data that are not finite; then start over (resume=false)"
    )


def _length(trainer: pl.Trainer) -> float:
    """Optimizer steps of the whole run; infinite where nothing but time limits it.

    ``Trainer.estimated_stepping_batches`` starts the loader to find out, before a resumed run knows where it
    is: loader processes would already have fetched the first batches of the first epoch.
    """
    data: pl.LightningDataModule | None = getattr(trainer, "datamodule", None)
    if data is None:  # loaders of another making; they cannot be resumed in mid-epoch anyway
        return float(trainer.estimated_stepping_batches)
    limit = float("inf") if trainer.max_steps == -1 else float(trainer.max_steps)
    if trainer.max_epochs in (None, -1):
        return limit
    batches, share = len(data.train_dataloader()), trainer.limit_train_batches
    batches = min(batches, share) if isinstance(share, int) else int(batches * share)
    return min(limit, float(trainer.max_epochs or 0) * math.ceil(batches / trainer.accumulate_grad_batches))
