"""The suite passes a sound domain and fails each way of being unsound."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciai.core import tutorial
from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance, ask
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError
from tests.domain_suite import DomainSuite

FAST = ("domain.data.dataset.n=128", "domain.net.width=8")


def predict_sine(x: float, checkpoint: Path, seed: int) -> Answer[float]:
    """What a domain's api does: load, check, predict with a calibrated spread."""
    saved = Checkpoint.load(checkpoint)
    net = tutorial.network(8)
    saved.load_into(net)

    def known(x: float) -> list[Finding]:
        if -3 <= x <= 3:
            return []
        return [Finding("range", Level.REFUSE, f"x = {x} is outside of -3 ... 3; nothing was learned there")]

    def predict(x: float) -> Estimate[float]:
        with torch.no_grad():
            mean, log_sd = tutorial.mean_and_log_sd(net, torch.tensor([[x]]))
        half = saved.card.calibration["scale"] * float(log_sd.exp())
        return Estimate(float(mean), half)

    return ask(x, predict, [known], provenance=saved.provenance(seed))


class TestTutorial(DomainSuite):
    domain = "tutorial"
    fast = FAST

    def good(self) -> list[float]:
        return [0.0, 1.5]

    def bad(self) -> list[float]:
        return [9.0]

    def answer(self, question: float, checkpoint: Path, seed: int) -> Answer[float]:
        return predict_sine(question, checkpoint, seed)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = tutorial.network(8)
    folder = tmp_path_factory.mktemp("c") / "m"
    from sciai.core.checkpoint import Card

    card = Card("tutorial", "tutorial", calibration={"data": "here", "scale": 2.0})
    Checkpoint.from_net(net, card).save(folder)
    return folder


class _Forgetful(TestTutorial):
    """Its provenance does not name the checkpoint."""

    def answer(self, question: float, checkpoint: Path, seed: int) -> Answer[float]:
        answer = super().answer(question, checkpoint, seed)
        return dataclasses.replace(answer, provenance=Provenance("m"))


class _Gullible(TestTutorial):
    """It answers everything."""

    def answer(self, question: float, checkpoint: Path, seed: int) -> Answer[float]:
        return super().answer(0.0, checkpoint, seed)


class _Mute(TestTutorial):
    """It refuses without saying why."""

    def answer(self, question: float, checkpoint: Path, seed: int) -> Answer[float]:
        return Answer(None, (Finding("c", Level.REFUSE, "no"),), Provenance("m"))


class _Moody(TestTutorial):
    """Its answers depend on more than the seed."""

    rng = np.random.default_rng(0)

    def answer(self, question: float, checkpoint: Path, seed: int) -> Answer[float]:
        answer = super().answer(question, checkpoint, seed)
        return dataclasses.replace(answer, estimate=Estimate(self.rng.normal(), 1.0))


class _Trusting(TestTutorial):
    """It does not verify what it loads."""

    def answer(self, question: Any, checkpoint: Path, seed: int) -> Answer[float]:
        try:
            return super().answer(question, checkpoint, seed)
        except CheckpointError:
            return Answer(Estimate(0.0, 1.0), (), Provenance("m"))


def test_unsound_domains_fail(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        _Forgetful().test_answers_carry_spread_verdict_and_provenance(checkpoint)
    with pytest.raises(AssertionError):
        _Gullible().test_refusal_has_a_reason(checkpoint)
    with pytest.raises(AssertionError):
        _Mute().test_refusal_has_a_reason(checkpoint)
    with pytest.raises(AssertionError):
        _Mute().test_answers_carry_spread_verdict_and_provenance(checkpoint)
    with pytest.raises(AssertionError):
        _Moody().test_same_seed_same_answer(checkpoint)
    with pytest.raises(pytest.fail.Exception):
        _Trusting().test_tampering_is_detected(checkpoint, tmp_path, "model.safetensors")
