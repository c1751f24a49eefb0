"""The Lightning trainer of a config, and what its parts are made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciai.core.errors import BadInput, CheckpointError, SciaiError

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from omegaconf import DictConfig

    from sciai.core.data import DataModule
    from sciai.core.lit import Lit

__all__ = ["fit", "made", "pick_precision", "trainer_of"]


_WHOLE = ("16-true", "bf16-true", "64", "64-true", "transformer-engine", "transformer-engine-float16")


def pick_precision(wanted: str | int, accelerator: str = "auto") -> str | int:
    """Turn precision ``auto`` into bf16 where the device has it, else single; others stay as they are.

    Raises:
        BadInput: a precision of the weights themselves. Data, calibration and what is shipped are in single.

    >>> pick_precision("auto", "cpu")
    '32-true'
    """
    if str(wanted) in _WHOLE:
        raise BadInput(
            f"weights cannot be kept in {wanted}",
            field="trainer.precision",
            fix="use 32-true, bf16-mixed or 16-mixed",
        )
    if wanted != "auto":
        return wanted
    import torch

    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def fit(trainer: pl.Trainer, lit: Lit, data: DataModule, resume: str | None) -> None:
    """Train, from a saved state where one is given.

    Args:
        trainer: of ``trainer_of``.
        lit: what learns.
        data: what from.
        resume: path of the state; None starts over.

    Raises:
        CheckpointError: the state holds more than tensors and plain values.
    """
    import pickle

    try:
        # weights_only: a training state is a pickle, and one that was tampered with must not run code
        trainer.fit(lit, datamodule=data, ckpt_path=resume, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{resume} holds more than tensors and plain values, and was not opened; delete it to start over"
        ) from error


def trainer_of(cfg: DictConfig, lit: Lit, out: Path | None) -> pl.Trainer:
    """The trainer of a config; with an output folder it logs and saves there."""
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import CSVLogger

    precision = pick_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    options: dict[str, Any] = {
        "precision": precision,
        "inference_mode": not lit.grad_in_eval,
        "logger": False,
    }
    callbacks: list[pl.Callback] = []
    if out is not None:
        options["logger"] = CSVLogger(out, name="", version=_fresh_log(out))
        state: dict[str, Any] = {"dirpath": out / "state", "enable_version_counter": False}
        callbacks.append(ModelCheckpoint(filename="last", every_n_train_steps=cfg.save_every, **state))
        if cfg.keep == "best":
            callbacks.append(ModelCheckpoint(filename="best", monitor="val/loss", **state))
        elif cfg.keep != "last":
            raise BadInput(f"keep is {cfg.keep!r}", field="keep", fix="use best or last")
    options["enable_checkpointing"] = bool(callbacks)
    if not isinstance(cfg.trainer.get("max_time"), str | Mapping | None):
        raise BadInput(
            f"max_time is {cfg.trainer.max_time!r}",
            field="trainer.max_time",
            unit="DD:HH:MM:SS",
            fix="write 00:01:30:00 for 90 minutes",
        )
    trainer: pl.Trainer = made(cfg.trainer, callbacks=callbacks, **options)
    return trainer


def _fresh_log(out: Path) -> str:
    """A resumed run gets a log of its own: the logger would delete the one that is there."""
    number = 1
    while (out / (name := f"log-{number}")).exists():
        number += 1
    return name


def made(config: Any, **more: Any) -> Any:
    """What a part of the configuration stands for; an error on purpose comes as it was raised."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(config, **more)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException):  # a part inside a part
            cause = cause.__cause__
        if isinstance(cause, SciaiError):
            raise cause from None
        place = config.get("_target_", "") if hasattr(config, "get") else ""
        reason = str(error).splitlines()[0] if cause is None else f"{type(cause).__name__}: {cause}"
        raise BadInput(
            f"the configuration of {place or 'a part'} does not work: {reason}",
            field=str(getattr(error, "full_key", "") or "") or None,
            fix="look at the overrides; --debug shows the traceback",
        ) from error
