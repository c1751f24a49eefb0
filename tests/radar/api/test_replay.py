"""Questions about volumes go into the ledger by the hashes of their files, and can be asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.core.listen import listening
from sciai.radar import compress, decompress
from sciai.radar.api import verify
from sciai.radar.api.planes import CHUNK
from sciai.radar.api.record import stages
from sciai.radar.api.replay import replay as ask_again
from sciai.radar.data import write_cfradial2
from sciai.trust.ledger import Ledger
from sciai.trust.record import Recorder
from sciai.trust.replay import replay
from sciai.trust.sign import Signer
from tests.radar.synthetic import volume

AGAIN = {"radar": ask_again}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", Signer.new("service"))


def test_compress_and_verify_can_be_asked_again(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "in.nc"
    write_cfradial2(volume(36, ((36, 50),), ("DBZH", "VRADH")), file)
    with listening(Recorder(ledger)):
        compress(file, tmp_path / "a.zarr", psnr={"DBZH": 40.0}, codec="plain")
        verify(file, tmp_path / "a.zarr")
    assert [e.body["call"] for e in ledger.entries()] == ["compress", "verify"]
    for number in ("0", "1"):
        assert [f.level for f in replay(ledger, number, AGAIN)[2]] == [Level.OK]
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BadInput, match="changed since"):
        replay(ledger, "0", AGAIN)


def test_a_decoded_volume_is_told_by_digests_and_can_be_decoded_again(ledger: Ledger, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    compress(volume(36, ((36, 50), (36, 50)), ("DBZH", "VRADH")), store, codec="plain")
    with listening(Recorder(ledger)):
        decompress(store)
    (entry,) = ledger.entries()
    assert entry.body["call"] == "decompress"
    assert {"value.DBZH", "value.VRADH_validity"} <= set(entry.body["said"])
    assert [f.level for f in replay(ledger, "0", AGAIN)[2]] == [Level.OK]


def test_what_could_not_be_read_is_told(ledger: Ledger, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    compress(volume(36, ((36, 50),), ("DBZH", "VRADH")), store, codec="plain")
    chunk = store / "sweep_0" / "VRADH" / CHUNK
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    with listening(Recorder(ledger)), pytest.warns(UserWarning, match="VRADH"):
        decompress(store, damaged="missing")
    (entry,) = ledger.entries()
    assert (entry.body["level"], entry.body["checks"]) == ("caution", ["damaged"])
    assert [f.level for f in replay(ledger, "0", AGAIN)[2]] == [Level.OK]


def test_a_volume_in_memory_has_to_be_given_again(ledger: Ledger, tmp_path: Path) -> None:
    tree = volume(36, ((36, 50),), ("DBZH",))
    with listening(Recorder(ledger)):
        compress(tree, tmp_path / "a.zarr", codec="plain")
    with pytest.raises(BadInput, match="in memory only"):
        replay(ledger, "0", AGAIN)


def test_a_ledger_that_cannot_be_written_leaves_no_store(ledger: Ledger, tmp_path: Path) -> None:
    readers = Ledger(ledger.folder)
    with listening(Recorder(readers)), pytest.raises(BadInput, match="without its key"):
        compress(volume(36, ((36, 50),), ("DBZH",)), tmp_path / "a.zarr", codec="plain")
    assert not (tmp_path / "a.zarr").exists()


def test_learned_codecs_say_their_stage_and_others_do_not() -> None:
    class Learned:
        checkpoint = "0" * 64

    (found,) = stages([Learned()])(None)  # type: ignore[arg-type]
    assert found.check == "stage"
    assert "pilot" in found.message
    assert list(stages([object()])(None)) == []  # type: ignore[arg-type]
