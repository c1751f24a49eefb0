"""The radar domain passes what every domain has to pass."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Answer
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir
from sciai.radar import compress
from sciai.radar.api import verify
from sciai.radar.api.planes import CHUNK
from sciai.radar.api.report import Compressed
from sciai.radar.model.context import ContextCodec
from tests.domain_suite import DomainSuite
from tests.radar.synthetic import one_field, volume

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Question:
    """A volume to compress; or one to hold against a store of another, or against a damaged one."""

    tree: xr.DataTree
    stored: xr.DataTree | None = None
    damage: bool = False


class TestContext(DomainSuite):
    domain = "radar"
    fast = (
        "domain/radar@domain=context",
        "+domain.data.dataset.volumes._target_=sciai.radar.train.volumes.simulated",
        "+domain.data.dataset.volumes.seeds=[1,2,3]",
        "+domain.data.dataset.volumes.shape=[2,40,60]",
        "domain.data.dataset.per_plane=2",
        "domain.data.fractions.train=0.34",
        "domain.data.fractions.val=0.33",
        "+domain.data.fractions.test=0.33",
        "domain.evaluate=null",
    )

    def good(self) -> list[Question]:
        odd = np.random.default_rng(1).normal(5, 3, (1, 300)).astype(np.float32)
        return [
            Question(volume(1, variables=("DBZH", "TH", "VRADH", "PHIDP"))),
            Question(one_field(odd, "SOMETHING")),
        ]

    def bad(self) -> list[Question]:
        first, other = volume(2), volume(3)
        few = first.copy(deep=True)
        few["sweep_0"] = xr.DataTree(few["sweep_0"].to_dataset().drop_vars(["ZDR", "ZDR_validity"]))
        return [Question(first, other), Question(first, few), Question(first, first, damage=True)]

    def answer(self, question: Question, checkpoint: Path, seed: int) -> Answer[Compressed]:
        codec = ContextCodec.from_checkpoint(Checkpoint.load(checkpoint))
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "a.zarr"
            tree = question.tree if question.stored is None else question.stored
            answer = compress(tree, store, codec=codec, threads=1)
            if question.stored is None:
                return answer
            if question.damage:
                chunk = store / "sweep_1" / "DBZH" / CHUNK
                data = bytearray(chunk.read_bytes())
                data[-1] ^= 1
                chunk.write_bytes(data)
            return verify(question.tree, store, threads=1)

    def same(self, a: Any, b: Any) -> bool:
        """All but where the store was and how long it took."""
        if isinstance(a, Compressed):
            a, b = (replace(x, path="", seconds=0.0) for x in (a, b))
        return super().same(a, b)


class TestShipped(TestContext):
    """The checkpoint that comes with the package."""

    def shipped(self) -> Path:
        return checkpoints_dir() / "radar"


def test_two_runs_write_the_same_store(tmp_path: Path) -> None:
    """Threads, too, change nothing: the files are equal byte for byte."""
    codec = ContextCodec.shipped()
    for name, threads in (("a", 1), ("b", 2)):
        compress(volume(4), tmp_path / name, codec=codec, threads=threads).unwrap()
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
