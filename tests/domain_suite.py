"""What every domain has to pass. A domain inherits the suite and fills in the hooks::

class TestRadar(DomainSuite):
    domain = "radar"
    fast = ["domain.data.dataset.n=8"]

    def good(self): return [a_volume()]
    def bad(self): return [an_empty_volume()]
    def answer(self, question, checkpoint, seed): return compress(question, ..., checkpoint=checkpoint)
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from sciai.core.answer import Answer, Level, Refused, jsonable
from sciai.core.checkpoint import CARD, MANIFEST, MODEL, Checkpoint
from sciai.core.errors import CheckpointError
from sciai.core.run import Trained, compose, train


class DomainSuite:
    """Inherit it in a class whose name starts with Test."""

    domain: ClassVar[str]
    """Name of the config in conf/domain."""

    fast: ClassVar[Sequence[str]] = ()
    """Overrides that make the rehearsal (one training step) small: synthetic data, a narrow network."""

    # hooks

    def good(self) -> Iterable[Any]:
        """At least one question that has to be answered."""
        raise NotImplementedError

    def bad(self) -> Iterable[Any]:
        """At least one question that has to be refused, not crash."""
        raise NotImplementedError

    def answer(self, question: Any, checkpoint: Path, seed: int) -> Answer[Any]:
        """Ask through the domain's public api, with this checkpoint, which the api itself loads."""
        raise NotImplementedError

    def shipped(self) -> Path | None:
        """The checkpoint to test; None tests the one that the rehearsal trains."""
        return None

    def same(self, a: Any, b: Any) -> bool:
        """Whether two estimates (value or spread) are exactly equal."""
        return bool(json.dumps(jsonable(a, 10**9)) == json.dumps(jsonable(b, 10**9)))

    # fixtures

    @pytest.fixture(scope="class")
    @classmethod
    def rehearsal(cls, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        """One batch of everything through the shared path."""
        out = tmp_path_factory.mktemp(cls.domain)
        options = ["trainer.fast_dev_run=true", "trainer.enable_progress_bar=false", f"out={out}"]
        return train(compose(cls.domain, [*options, *cls.fast]))

    @pytest.fixture
    def checkpoint(self, request: pytest.FixtureRequest) -> Path:
        """The domain's checkpoint."""
        return self.shipped() or request.getfixturevalue("rehearsal").path

    # the suite

    def test_rehearsal_trains_and_writes_a_card(self, rehearsal: Trained) -> None:
        card = Checkpoint.load(rehearsal.path, expect=rehearsal.hash).card
        assert card.domain == self.domain
        assert card.split["hash"]
        assert "train" in card.split["parts"]
        assert "run" in card.seeds
        assert card.config["domain"]["name"] == self.domain
        assert card.known_limits, "a model without known limits has not been looked at"
        assert card.summary
        assert all(math.isfinite(v) for v in rehearsal.metrics.values() if isinstance(v, float))

    def test_checkpoint_round_trip(self, checkpoint: Path, tmp_path: Path) -> None:
        loaded = Checkpoint.load(checkpoint)
        again = loaded.save(tmp_path / "again")
        back = Checkpoint.load(tmp_path / "again", expect=again.hash)
        assert back.card == loaded.card
        assert back.arrays.keys() == loaded.arrays.keys()
        for name, array in loaded.arrays.items():
            assert back.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(back.arrays[name], array)

    @pytest.mark.parametrize("name", [MODEL, CARD, MANIFEST])
    def test_tampering_is_detected(self, checkpoint: Path, tmp_path: Path, name: str) -> None:
        copy = shutil.copytree(checkpoint, tmp_path / "copy")
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 0x20
        (copy / name).write_bytes(data)
        with pytest.raises(CheckpointError):
            Checkpoint.load(copy, expect=Checkpoint.verify(checkpoint))
        if name != MANIFEST:  # a changed manifest is another checkpoint: only who knows the hash can tell
            with pytest.raises(CheckpointError):
                self.answer(next(iter(self.good())), copy, 0)

    def test_answers_carry_spread_verdict_and_provenance(self, checkpoint: Path) -> None:
        answered = 0
        for question in self.good():
            answer = self.answer(question, checkpoint, 0)
            assert answer.estimate is not None, [str(f) for f in answer.findings]
            assert answer.estimate.spread is not None
            assert answer.level in (Level.OK, Level.CAUTION), [str(f) for f in answer.findings]
            answer.unwrap()
            origin = answer.provenance
            assert origin.checkpoint == Checkpoint.verify(checkpoint)
            assert origin.model
            assert origin.version
            assert origin.calibration, "say how the spread was calibrated or measured"
            assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))["level"] in ("ok", "caution")
            answered += 1
        assert answered

    def test_refusal_has_a_reason(self, checkpoint: Path) -> None:
        refused = 0
        for question in self.bad():
            answer = self.answer(question, checkpoint, 0)
            assert answer.level is Level.REFUSE
            reasons = [f for f in answer.findings if f.level is Level.REFUSE]
            assert all(len(f.message.split()) >= 3 for f in reasons), reasons
            with pytest.raises(Refused) as caught:
                answer.unwrap()
            assert all(f.message in str(caught.value) for f in reasons)
            assert answer.to_dict()["estimate"] is None
            assert answer.provenance.model
            refused += 1
        assert refused

    def test_same_seed_same_answer(self, checkpoint: Path) -> None:
        for question in self.good():
            first, second = (self.answer(question, checkpoint, 7) for _ in range(2))
            assert first.estimate is not None
            assert second.estimate is not None
            assert self.same(first.estimate.value, second.estimate.value)
            assert self.same(first.estimate.spread, second.estimate.spread)
            assert first.findings == second.findings
            assert first.provenance == second.provenance
