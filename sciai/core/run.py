"""Train and evaluate, one path for all domains: compose the config, instantiate, fit, calibrate, save.

What a domain's config (``conf/domain/<name>.yaml``) provides, each with its ``_target_``:

=============  =========================================================================================
``name``       the domain's name
``data``       a ``sciai.core.data.DataModule`` (with its dataset inside)
``net``        a ``torch.nn.Module``
``loss``       ``(net, batch) -> {"loss": scalar, ...}`` (a function with ``_partial_: true``)
``lit``        how to train: optimizer, scheduler, groups, clip, ema, grad_in_eval (see ``Lit``); optional
``metrics``    ``(net, batch) -> {"name": scalar}``; optional
``predict``    ``(net, batch) -> anything``; optional
``calibrate``  ``(net, data) -> mapping``, goes into the card's ``calibration``; optional
``evaluate``   ``(net, data) -> mapping`` of more test figures; a list under ``worst`` goes to the card's
               worst cases, a mapping under ``extra`` to the card's extra; optional
``export``     ``(net) -> {"name": array}``, where more or other arrays than the weights ship; optional
``restore``    ``(net, checkpoint) -> None``, the way back from ``export``; optional
``card``       summary, known_limits, data, stage, extra: text for the model card; optional
=============  =========================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciai.core.answer import Finding, Level, jsonable
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError, SciaiError
from sciai.core.resources import conf_dir
from sciai.core.resume import alone, begin, folder_of, made_of, old_fingerprint
from sciai.core.seal import compare, other_parts, same_groups, seal_code, seal_data
from sciai.core.trainer import fit, made, trainer_of

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from omegaconf import DictConfig

    from sciai.core.data import DataModule
    from sciai.core.lit import Lit

__all__ = [
    "Evaluation",
    "Trained",
    "build_data",
    "build_lit",
    "compose",
    "evaluate",
    "train",
]


@dataclass(frozen=True)
class Trained:
    """What a training run leaves behind.

    Attributes:
        path: the checkpoint's folder.
        hash: the checkpoint's hash.
        metrics: figures on the validation and test parts, as on the card.
        calibration: as on the card.
        seconds: wall time.
    """

    path: Path
    hash: str
    metrics: Mapping[str, Any]
    calibration: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: figures on the test part.
        findings: what to know before believing them; a refusal means that they are not a fair test.
        worst: the worst cases, worst first, where the domain names them.
        hash: hash of the checkpoint.
    """

    metrics: Mapping[str, Any]
    findings: tuple[Finding, ...]
    worst: tuple[Mapping[str, Any], ...]
    hash: str

    @property
    def level(self) -> Level:
        """The worst finding's level."""
        return max((finding.level for finding in self.findings), default=Level.OK)


def compose(
    domain: str | None = None, overrides: Sequence[str] = (), folder: Path | None = None
) -> DictConfig:
    """The config of a run, from ``conf/``.

    Args:
        domain: name of the domain config; None takes the default of ``config.yaml``.
        overrides: Hydra overrides (``trainer=gpu``, ``domain.data.batch_size=8``, ``+experiment=...``).
        folder: config tree; None takes the one that ships.

    Raises:
        BadInput: when Hydra cannot compose it; the message says why.

    >>> compose("tutorial", ["seed=3"]).seed
    3
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    where = folder or conf_dir()
    chosen = [f"domain={domain}"] if domain else []
    try:
        with initialize_config_dir(str(where), version_base="1.3", job_name="sciai"):
            return hydra_compose("config", [*chosen, *overrides])
    except HydraException as error:
        # where Hydra looked is folders of this machine, and no help
        reason = str(error.__cause__ or error).split("Config search path")[0]
        words = " ".join(reason.split())
        fix = "check its spelling; a key that is not there yet is added with a + before it"
        raise BadInput(
            f"the configuration cannot be composed: {words}",
            file=where,
            fix=fix if "not in struct" in words else None,
        ) from error


def train(cfg: DictConfig) -> Trained:
    """Train, calibrate, evaluate and save a model as its config says.

    Files go to ``cfg.out``: ``model/`` (the checkpoint), ``state/last.ckpt`` (to resume; read with
    ``weights_only=True``) and ``log-N/metrics.csv`` (N counts resumes). A run that was killed goes on from
    ``last.ckpt`` when called again with the same config, with the same loss curve as if it had not been; its
    length may be another. A rehearsal (``trainer.fast_dev_run``) writes to ``rehearsal/`` only.

    Args:
        cfg: what ``compose`` gives.

    Raises:
        BadInput: when the config cannot be used, nothing can be written to ``cfg.out``, or another run is
            writing there.
        CheckpointError: when ``last.ckpt`` is damaged, or comes from another config or other data.
        SciaiError: when parts of the split share items, the training diverges, or not one step was taken.
    """
    _seed(cfg)
    out = folder_of(cfg)
    with alone(out):
        return _train(cfg, out)


def _train(cfg: DictConfig, out: Path) -> Trained:
    from sciai.core.lit import diverged

    started = time.monotonic()
    rehearsal = bool(cfg.trainer.get("fast_dev_run", False))
    # a rehearsal has learned nothing: its model must not replace one that has
    path, last = out / ("rehearsal" if rehearsal else "model"), out / "state" / "last.ckpt"
    resume = begin(path, last, again=bool(cfg.resume) and not rehearsal, keep_states=rehearsal)
    data = build_data(cfg)
    lit = build_lit(cfg, data)
    trainer = trainer_of(cfg, lit, out)
    fit(trainer, lit, data, resume)
    if not trainer.global_step:
        raise SciaiError(
            "the run ended before its first step, so nothing was learned and no model is kept: give it "
            "longer (trainer.max_steps, trainer.max_epochs, trainer.max_time)"
        )
    if not rehearsal:
        trainer.save_checkpoint(last)  # also where max_time ended the run between two saves
        best = out / "state" / "best.ckpt"
        if cfg.keep == "best" and best.is_file():
            import torch

            lit.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    if not lit.is_finite():
        raise diverged(trainer.global_step)
    metrics: dict[str, Any] = {}
    for part, run in (("val", trainer.validate), ("test", trainer.test)):
        if len(data.part(part)):
            told = run(lit, datamodule=data, verbose=False, weights_only=True)
            metrics |= told[0] if told else {}  # nothing where limit_test_batches=0 says so
    digest, calibration = "", {}
    if trainer.is_global_zero:
        net = lit.best_net.cpu().eval()
        calibrate, more, export = (_optional(cfg, key) for key in ("calibrate", "evaluate", "export"))
        calibration = dict(calibrate(net, data)) if calibrate else {}
        extra = dict(more(net, data)) if more else {}
        worst, found = tuple(extra.pop("worst", ())), dict(extra.pop("extra", {}))
        found["evaluation"] = _sealed(lit, more, data)
        metrics |= extra
        card = _card(cfg, data, trainer, metrics, calibration, worst, found)
        saved = Checkpoint(export(net), card) if export else Checkpoint.from_net(net, card)
        digest = saved.save(path, overwrite=True).hash
    digest = trainer.strategy.broadcast(digest)
    return Trained(path, digest, metrics, calibration, time.monotonic() - started)


def _seed(cfg: DictConfig) -> None:
    import pytorch_lightning as pl
    from omegaconf import OmegaConf

    # those of the root only: a look at all keys stumbles over the ones that point to a missing one
    if missing := [str(key) for key in cfg if OmegaConf.is_missing(cfg, str(key))]:
        raise BadInput(
            f"no value for {', '.join(missing)}", field=missing[0], fix=f"give one: {missing[0]}=..."
        )
    if not isinstance(cfg.seed, int) or not 0 <= cfg.seed < 2**32:
        raise BadInput(f"the seed is {cfg.seed!r}", field="seed", fix="use a whole number from 0 to 2^32 - 1")
    pl.seed_everything(cfg.seed, workers=True, verbose=False)


def evaluate(cfg: DictConfig) -> Evaluation:
    """Test a checkpoint on the test part of its domain's data.

    Args:
        cfg: as for ``train``; ``cfg.checkpoint`` is the folder, by default ``<out>/model``.

    Returns:
        Figures and findings. Where a group of the test part was in the model's training part the finding
        refuses; where the split is not the recorded one, or the network or loss is not, it warns.

    Raises:
        CheckpointError: when the checkpoint is damaged, of another domain, or does not fit its network.
        BadInput: when there is no test part.
    """
    _seed(cfg)
    saved = Checkpoint.load(cfg.checkpoint)
    if saved.card.domain != cfg.domain.name:
        raise CheckpointError(
            f"{cfg.checkpoint} is a checkpoint of {saved.card.domain}, not of {cfg.domain.name}"
        )
    data, lit = build_data(cfg), build_lit(cfg)
    if not len(data.part("test")):
        raise BadInput("the split has no test part", field="domain.data.fractions")
    restore = _optional(cfg, "restore")
    net = lit.best_net
    if restore:
        restore(net, saved)
    else:
        saved.load_into(net)
    trainer = trainer_of(cfg, lit, None)
    metrics: dict[str, Any] = dict(trainer.test(lit, datamodule=data, verbose=False, weights_only=True)[0])
    worst: tuple[Mapping[str, Any], ...] = ()
    more = _optional(cfg, "evaluate")
    if more and trainer.is_global_zero:
        extra = dict(more(net.cpu().eval(), data))
        worst = tuple(extra.pop("worst", ()))
        extra.pop("extra", None)
        metrics |= extra
    findings = other_parts(saved.card.config, cfg) + same_groups(saved.card.split, data.split)
    if not findings:  # on another split there is nothing to compare
        findings = compare(saved.card.extra.get("evaluation", {}), **_sealed(lit, more, data))
    return Evaluation(metrics, tuple(findings), worst, saved.hash)


def _sealed(lit: Lit, more: Any, data: DataModule) -> dict[str, Any]:
    return {"code": seal_code([lit._loss, lit._metrics, more]), "data": seal_data(data)}


def build_data(cfg: DictConfig) -> DataModule:
    """Data module of a config.

    Args:
        cfg: what ``compose`` gives.

    Raises:
        BadInput: when the domain's config lacks it.
    """
    _demand(cfg, "name", "data")
    data: DataModule = made(cfg.domain.data)
    return data


def build_lit(cfg: DictConfig, data: DataModule | None = None) -> Lit:
    """Network, loss and how to train them.

    Args:
        cfg: what ``compose`` gives.
        data: what it will learn from, so that a resume with other data is refused.

    Raises:
        BadInput: when the domain's config lacks a part.
    """
    from sciai.core.lit import Lit

    _demand(cfg, "name", "net", "loss")
    options = made(cfg.domain.lit, _convert_="all") if "lit" in cfg.domain else {}
    return Lit(
        made(cfg.domain.net),
        made(cfg.domain.loss),
        metrics=_optional(cfg, "metrics"),
        predict=_optional(cfg, "predict"),
        seed=cfg.seed,
        fingerprint=old_fingerprint(cfg),
        made_of=made_of(cfg, data),
        **options,
    )


def _demand(cfg: DictConfig, *keys: str) -> None:
    for key in keys:
        if key not in cfg.domain:
            raise BadInput(f"the domain's config has no {key!r}", field=f"domain.{key}")


def _optional(cfg: DictConfig, key: str) -> Any:
    return made(cfg.domain[key]) if cfg.domain.get(key) is not None else None


def _card(
    cfg: DictConfig,
    data: DataModule,
    trainer: pl.Trainer,
    metrics: Mapping[str, Any],
    calibration: Mapping[str, Any],
    worst: tuple[Mapping[str, Any], ...],
    found: Mapping[str, Any],
) -> Card:
    from omegaconf import OmegaConf

    config: Any = OmegaConf.to_container(cfg, resolve=True)
    text = _words(cfg, dict(config["domain"].get("card") or {}))
    provenance = {**text.pop("data", {}), **data.provenance}
    run = {"steps": trainer.global_step, "epochs": trainer.current_epoch, "precision": str(trainer.precision)}
    return Card(
        name=text.pop("name", config["domain"]["name"]),
        domain=config["domain"]["name"],
        config=config,
        data=provenance,
        split=data.split.record(),
        seeds={"run": cfg.seed, "split": data.split.seed, "order": data.seed},
        metrics=jsonable(metrics),
        calibration=jsonable(calibration),
        worst=tuple(jsonable(worst)),
        software={name: _version(name) for name in ("sciai", "torch", "pytorch-lightning", "numpy")},
        extra={**text.pop("extra", {}), **jsonable(found, 10**4), "run": run},
        **text,
    )


def _words(cfg: DictConfig, text: dict[str, Any]) -> dict[str, Any]:
    """A card's text; where the run learned from other data than it tells of, that is its first limit.

    ``domain.card.unless`` lists settings that name other data, such as ``data.dataset.folder``.
    """
    from omegaconf import OmegaConf

    if not any(OmegaConf.select(cfg.domain, key) for key in text.pop("unless", None) or ()):
        return text
    text.pop("data", None)  # terms of data that it did not see
    said = (
        "It learned from data of its owner's (see data). Summary and the limits below were written for the "
        "recipe and the data it came with; domain.card.summary and domain.card.known_limits replace them."
    )
    return {**text, "known_limits": [said, *(text.get("known_limits") or ())]}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "checkout"
