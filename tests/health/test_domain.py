"""The health domain passes what every domain has to pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sciai.core.answer import Answer
from sciai.core.resources import checkpoints_dir
from tests.domain_suite import DomainSuite

pytestmark = pytest.mark.usefixtures("one_thread")


class TestHealth(DomainSuite):
    domain = "health"
    fast = (
        "domain/health@domain=joint",
        "domain.data.dataset._target_=sciai.health.data.synthetic.Synthetic",
        "+domain.data.dataset.n=200",
        "domain.data.batch_size=64",
        "domain.data.aside=0.2",
        "domain.net.rounds=1",
        "domain.net.width=16",
        "domain.net.blocks=1",
        "domain.calibrate.passes=1",
    )

    def shipped(self) -> Path | None:
        return checkpoints_dir() / "health"

    def good(self) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
        return [
            ({"age": 64, "sex": "male", "hba1c": "5.5 %"}, ("dx_diabetes", "egfr")),
            ({"age": 45, "sex": "F", "ldl": 120, "weight_kg": 70, "height_cm": 165}, ("sbp",)),
        ]

    def bad(self) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
        return [({"age": 12, "sex": "male"}, ("sbp",))]

    def answer(self, question: Any, checkpoint: Path, seed: int) -> Answer[Any]:
        from sciai.health import VirtualHuman

        values, targets = question
        return VirtualHuman.load(path=checkpoint).given(values).ask(*targets)
