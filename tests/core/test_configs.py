"""Every config in conf/ composes and instantiates; new files are found by themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from sciai.core.answer import read_policy
from sciai.core.resources import conf_dir
from sciai.core.run import build_data, build_lit, compose
from sciai.trust.conditions import Conditions

GROUPS = ("domain", "trainer", "guard", "experiment")
OVERRIDES = {"trainer": ["trainer.accelerator=cpu", "trainer.devices=1"]}  # the test machine has no more


ASKED = {
    "atoms_finetune": ["mine=structures.extxyz"],  # what a user has to say
    "atoms_own": ["mine=structures.extxyz"],
    "health_dp": [
        "domain.net.steps=1"
    ],  # this network is trained where it is made: see sciai.health.train.dp
    "domain/health@domain=private": ["domain.net.steps=1"],
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def domains() -> list[list[str]]:
    """Overrides that compose each domain, and each choice inside a domain (domain/NAME/CHOICE.yaml)."""
    choices = sorted((conf_dir() / "domain").glob("*/*.yaml"))
    inner = [[f"domain={c.parent.name}", f"domain/{c.parent.name}@domain={c.stem}"] for c in choices]
    return [[f"domain={name}"] for name in names("domain")] + inner


def domain_of(experiment: str) -> str:
    """An experiment's name starts with that of its domain."""
    (domain,) = [name for name in names("domain") if experiment == name or experiment.startswith(f"{name}_")]
    return domain


def targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted name that a config will import."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node["_target_"]
            if node["_target_"] in (
                "hydra.utils.get_method",
                "hydra.utils.get_class",
                "hydra.utils.get_object",
            ):
                yield path, node["path"]
        for key, child in node.items():
            yield from targets(child, f"{path}.{key}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from targets(child, f"{path}[{number}]")


def check_targets(cfg: DictConfig) -> None:
    """Each target exists and can be called: a wrong name fails here, not after hours of training."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    for path, target in targets(plain):
        thing = get_object(target)
        assert callable(thing), f"{path}: {target} cannot be called"


def test_there_is_nothing_that_no_test_sees() -> None:
    found = {path.relative_to(conf_dir()) for path in conf_dir().rglob("*.y*ml")}
    known = {Path(group, f"{name}.yaml") for group in GROUPS for name in names(group)}
    known |= {path.relative_to(conf_dir()) for path in (conf_dir() / "domain").glob("*/*.yaml")}
    # not of Hydra: read, and checked, by sciai.trust (tests/trust/test_risk.py, and below)
    known |= {path for path in found if path.parts[0] in ("release", "risk")}
    assert found == known | {Path("config.yaml")}
    assert all(names(group) for group in ("domain", "trainer", "guard"))


@pytest.mark.parametrize("overrides", domains(), ids=" ".join)
def test_domain_without_its_data(overrides: list[str]) -> None:
    cfg = compose(None, [*overrides, *ASKED.get(overrides[-1], [])])
    check_targets(cfg)
    assert cfg.domain.name
    assert build_lit(cfg).parameter_groups()
    for key in ("metrics", "predict", "calibrate", "evaluate", "export", "restore"):
        if cfg.domain.get(key) is not None:
            assert callable(instantiate(cfg.domain[key])), key


@pytest.mark.slow
@pytest.mark.parametrize("overrides", domains(), ids=" ".join)
def test_domain_data(overrides: list[str], shared_data: Path) -> None:
    if overrides[0] == "domain=atoms":  # learns from files that its user names
        own = shared_data / "atoms" / "alexandria-random-1k.extxyz"
        overrides = [*overrides, f"domain.data.records.files=[{{path: {own}, source: alexandria}}]"]
    assert len(build_data(compose(None, overrides)).part("train")) > 0


@pytest.mark.parametrize("name", names("trainer"))
def test_trainer(name: str) -> None:
    cfg = compose("tutorial", [f"trainer={name}", *OVERRIDES["trainer"], "trainer.precision=32-true"])
    assert cfg.trainer.use_distributed_sampler is False
    trainer = instantiate(cfg.trainer, logger=False, enable_checkpointing=False)
    assert isinstance(trainer, pl.Trainer)
    known = set(inspect.signature(pl.Trainer).parameters)
    assert set(cfg.trainer) - {"_target_"} <= known


@pytest.mark.parametrize("name", names("guard"))
def test_guard(name: str) -> None:
    cfg = compose("tutorial", [f"guard={name}"])
    assert read_policy(OmegaConf.to_container(cfg.guard.policy, resolve=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", names("experiment"))
def test_experiment(name: str) -> None:
    domain = domain_of(name)
    cfg = compose(domain, [f"+experiment={name}", *ASKED.get(name, [])])
    check_targets(cfg)
    assert cfg != compose(domain)  # an experiment that changes nothing is a mistake
    assert build_lit(cfg).parameter_groups()


@pytest.mark.parametrize("domain", [name for name in names("domain") if name != "tutorial"])
def test_release_conditions(domain: str) -> None:
    assert Conditions.load(conf_dir() / "release" / f"{domain}.yaml").domain == domain
