"""A codec that somebody trained: named by its folder, and inside the stores that it writes."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sciai.cli import main
from sciai.core.answer import Level
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.core.listen import listening
from sciai.radar import compress, decompress, simulate
from sciai.radar.api import verify
from sciai.radar.api.planes import forget_planes
from sciai.radar.api.replay import replay as ask_again
from sciai.radar.data import write_cfradial2
from sciai.radar.model.context import ContextCodec
from sciai.trust.ledger import Ledger
from sciai.trust.record import Recorder
from sciai.trust.replay import replay
from sciai.trust.sign import Signer


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that no package has."""
    arrays = {name: array.copy() for name, array in ContextCodec.untrained().arrays.items()}
    arrays["b1"] += 7
    folder = tmp_path_factory.mktemp("runs") / "model"
    Checkpoint(arrays, Card("my radar", "radar")).save(folder)
    return folder


def test_a_store_holds_the_model_of_its_writer(mine: Path, tmp_path: Path) -> None:
    volume = simulate(seed=3, shape=(2, 60, 80))
    done = compress(volume, tmp_path / "a.zarr", codec=mine).unwrap()
    assert {v.codec for v in done.variables.values() if not v.lossless} == {"context"}
    (kept,) = (tmp_path / "a.zarr" / "model").iterdir()
    assert kept.read_bytes() == ContextCodec.from_checkpoint(Checkpoint.load(mine)).model
    forget_planes()
    back = decompress(tmp_path / "a.zarr")
    error = np.nanmax(np.abs(back["sweep_0/DBZH"].values - volume["sweep_0/DBZH"].values))
    assert error <= done.variables["DBZH"].max_error
    assert verify(volume, tmp_path / "a.zarr").level < 2


def test_what_is_no_codec_is_named(mine: Path, tmp_path: Path) -> None:
    volume = simulate(seed=3, shape=(1, 40, 40))
    Checkpoint({"w": np.ones(3, "f4")}, Card("other", "health")).save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="of health, not of radar"):
        compress(volume, tmp_path / "a.zarr", codec=tmp_path / "other")
    with pytest.raises(CheckpointError, match="does not exist"):
        compress(volume, tmp_path / "a.zarr", codec=tmp_path / "none")
    with pytest.raises(BadInput, match="one of your own as a path"):
        compress(volume, tmp_path / "a.zarr", codec=str(mine))
    assert not (tmp_path / "a.zarr").exists()


def test_the_command_takes_it_and_the_ledger_asks_it_again(mine: Path, tmp_path: Path) -> None:
    file, moved = tmp_path / "in.nc", tmp_path / "elsewhere"
    write_cfradial2(simulate(seed=3, shape=(1, 40, 60)), file)
    ledger = Ledger.create(tmp_path / "ledger", Signer.new("service"))
    with listening(Recorder(ledger)):
        assert (
            main(["radar", "compress", str(file), str(tmp_path / "a.zarr"), "--model", str(mine), "-q"]) == 0
        )
    shutil.copytree(mine, moved)
    (entry,) = ledger.entries()
    assert entry.body["provenance"]["checkpoint"] == Checkpoint.load(mine).hash
    assert [f.level for f in replay(ledger, "0", {"radar": ask_again})[2]] == [Level.OK]
    mine.rename(mine.with_name("away"))
    with pytest.raises(CheckpointError, match="does not exist"):
        replay(ledger, "0", {"radar": ask_again})
    elsewhere = partial(ask_again, model=moved)
    assert [f.level for f in replay(ledger, "0", {"radar": elsewhere})[2]] == [Level.OK]
