"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sciai.core import checkpoint as module
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import CheckpointError

FILES = ("model.safetensors", "card.yaml", "MANIFEST.json")
CARD = Card(
    "tiny",
    "toy",
    summary="Ein Prüfstück.",
    config={"lr": 0.1, "nested": {"a": [1, 2]}},
    metrics={"val/loss": 0.25},
    known_limits=("knows nothing",),
    worst=({"case": 3, "loss": 9.0},),
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Checkpoint({"w": np.arange(6.0, dtype="f4").reshape(2, 3), "n": np.array(3)}, CARD).save(tmp_path / "m")
    return tmp_path / "m"


def test_round_trip(saved: Path, tmp_path: Path) -> None:
    loaded = Checkpoint.load(saved)
    assert loaded.card == CARD
    assert loaded.arrays["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded.arrays["n"].shape == ()
    assert sorted(os.listdir(saved)) == sorted(FILES)
    assert Checkpoint.verify(saved) == loaded.hash
    again = loaded.save(tmp_path / "again")
    assert again.hash == loaded.hash  # the same content has the same hash, wherever and whenever it is saved
    assert loaded.provenance(seed=1).checkpoint == loaded.hash


@given(
    array=arrays(st.sampled_from(["f4", "f8", "f2", "i4", "u1", "?"]), array_shapes(max_dims=3, max_side=4)),
    transpose=st.booleans(),
)
def test_arrays_of_any_layout_come_back(tmp_path_factory, array: np.ndarray, transpose: bool) -> None:
    given_array = array.T if transpose else array[::-1]
    folder = tmp_path_factory.mktemp("c") / "m"
    Checkpoint({"a": given_array}, CARD).save(folder)
    back = Checkpoint.load(folder).arrays["a"]
    assert back.dtype == given_array.dtype
    np.testing.assert_array_equal(back, given_array)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_any_flipped_byte_is_noticed(saved: Path, name: str, where: float) -> None:
    expected = Checkpoint.verify(saved)
    data = bytearray((saved / name).read_bytes())
    data[int(where * (len(data) - 1))] ^= 0x01
    (saved / name).write_bytes(data)
    with pytest.raises(CheckpointError):
        Checkpoint.load(saved, expect=expected)


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_missing_files_are_named(saved: Path, name: str) -> None:
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[:-3])
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        Checkpoint.load(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        Checkpoint.load(saved)


class _Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "pytorch_model.bin", "__init__.py", ".hidden"])
def test_a_malicious_pickle_in_the_folder_never_runs(saved: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "was_run"
    bomb = pickle.dumps(_Bomb(target))
    pickle.loads(bomb).close()
    assert target.exists()  # it is a real bomb
    target.unlink()
    (saved / name).write_bytes(bomb)
    with pytest.raises(CheckpointError, match="none of them was opened"):
        Checkpoint.load(saved)
    assert not target.exists()


def test_a_pickle_in_place_of_the_weights_never_runs(saved: Path, tmp_path: Path) -> None:
    """Even with a manifest forged to match."""
    target = tmp_path / "was_run"
    _forge(saved, "model.safetensors", pickle.dumps(_Bomb(target)))
    with pytest.raises(CheckpointError):
        Checkpoint.load(saved)
    assert not target.exists()


def test_a_card_cannot_run_code(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "was_run"
    _forge(saved, "card.yaml", f"name: !!python/object/apply:builtins.open ['{target}', 'w']\n".encode())
    with pytest.raises(CheckpointError):
        Checkpoint.load(saved)
    assert not target.exists()


def test_a_folder_or_link_among_the_files_is_refused(saved: Path, tmp_path: Path) -> None:
    (saved / "more").mkdir()
    with pytest.raises(CheckpointError, match="more"):
        Checkpoint.load(saved)
    (saved / "more").rmdir()
    elsewhere = tmp_path / "elsewhere"
    (saved / "card.yaml").rename(elsewhere)
    (saved / "card.yaml").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="ordinary file"):
        Checkpoint.load(saved)


def test_manifests_that_lie(saved: Path) -> None:
    manifest = json.loads((saved / "MANIFEST.json").read_text())
    for change in (
        {"version": module.FORMAT_VERSION + 1},
        {"version": 0},
        {"format": "other"},
        {"files": {}},
        {"files": {"../card.yaml": "", "model.safetensors": ""}},
        {"files": {"card.yaml": 5, "model.safetensors": None}},
        {"version": None},
    ):
        (saved / "MANIFEST.json").write_text(json.dumps(manifest | change))
        with pytest.raises(CheckpointError):
            Checkpoint.load(saved)
    for text in ("", "[]", "nonsense"):
        (saved / "MANIFEST.json").write_text(text)
        with pytest.raises(CheckpointError, match="manifest"):
            Checkpoint.load(saved)


def test_the_expected_hash_is_held(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="is needed"):
        Checkpoint.load(saved, expect="0" * 64)


def test_version_1_still_loads() -> None:
    old = Checkpoint.load(Path(__file__).parent / "checkpoint_v1")
    assert old.card.known_limits == ("knows nothing",)
    assert old.card.stage == "pilot"
    assert old.arrays["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert old.hash == "fa857a6895ebec4b1a8205aac0adc57123183b99240c1ec79085d12e0e639753"


def test_every_older_version_has_an_upgrade() -> None:
    assert sorted(module._UPGRADES) == list(range(1, module.FORMAT_VERSION))


def test_an_existing_folder_is_kept_unless_told(saved: Path) -> None:
    other = Checkpoint({"w": np.zeros(1)}, CARD)
    before = Checkpoint.verify(saved)
    with pytest.raises(CheckpointError, match="exists"):
        other.save(saved)
    assert Checkpoint.verify(saved) == before
    assert other.save(saved, overwrite=True).hash == Checkpoint.verify(saved) != before
    assert os.listdir(saved.parent) == [saved.name]


def test_overwriting_never_deletes_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Checkpoint({}, CARD).save(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_save_that_fails_leaves_nothing_new(saved: Path, monkeypatch, overwrite: bool) -> None:
    """A full disk, as seen by fsync."""
    before, target = Checkpoint.verify(saved), saved if overwrite else saved.parent / "other"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Checkpoint({"w": np.zeros(9)}, CARD).save(target, overwrite=overwrite)
    assert os.listdir(saved.parent) == [saved.name]
    assert Checkpoint.verify(saved) == before


def test_a_card_with_unknown_or_missing_fields_is_refused() -> None:
    with pytest.raises(CheckpointError, match="colour"):
        Card.from_dict({"name": "a", "domain": "b", "colour": "red"})
    with pytest.raises(CheckpointError, match="domain"):
        Card.from_dict({"name": "a"})
    with pytest.raises(CheckpointError, match="stage"):
        Card("a", "b", stage="finished")  # type: ignore[arg-type]


def test_a_network_goes_in_and_out(tmp_path: Path) -> None:
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    net(torch.randn(8, 3))
    Checkpoint.from_net(net, CARD).save(tmp_path / "m")
    twin = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    loaded = Checkpoint.load(tmp_path / "m")
    loaded.load_into(twin)
    x = torch.randn(5, 3)
    assert torch.equal(net.eval()(x), twin.eval()(x))
    with torch.no_grad():
        twin[0].weight.zero_()  # the network owns its copy
    assert loaded.arrays["0.weight"].any()
    with pytest.raises(CheckpointError, match="does not fit"):
        loaded.load_into(nn.Linear(3, 4))


def test_loading_needs_no_torch(saved: Path) -> None:
    code = (
        "import sys; from sciai.core.checkpoint import Checkpoint;"
        f"Checkpoint.load({str(saved)!r});"
        "print(sorted({'torch', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _forge(folder: Path, name: str, data: bytes) -> None:
    import hashlib

    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


def test_another_save_while_loading_is_waited_for(saved: Path) -> None:
    """Between its two renames there is no folder, and files read then may be of both."""
    stop = threading.Event()

    def save() -> None:
        for number in range(10**6):
            if stop.is_set():
                return
            Checkpoint({"w": np.full(3, number, "f4")}, CARD).save(saved, overwrite=True)

    saving = threading.Thread(target=save)
    saving.start()
    try:
        loaded = [Checkpoint.load(saved).arrays["w"].size for _ in range(150)]
    finally:
        stop.set()
        saving.join()
    assert set(loaded) <= {3, 6}


def test_a_save_that_was_killed_says_where_the_earlier_one_is(saved: Path) -> None:
    old = saved.with_name(".m.old.abc")
    saved.rename(old)
    with pytest.raises(CheckpointError, match=r"interrupted.*\.m\.old\.abc"):
        Checkpoint.load(saved)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("MANIFEST.json", b"[" * 200_000, "not a checkpoint manifest"),
        ("MANIFEST.json", b'{"format": "sciai-checkpoint", "version": Infinity, "files": {}}', "manifest"),
        ("card.yaml", b"name: a\ndomain: b\nextra: " + b"[" * 20_000, "cannot be parsed"),
        (
            "card.yaml",
            b"name: a\ndomain: [b]\nmetrics: 7\nknown_limits: none",
            "domain is no str; known_limits",
        ),
    ],
)
def test_odd_texts_are_named(saved: Path, name: str, content: bytes, message: str) -> None:
    (saved / name).write_bytes(content)
    manifest = json.loads((saved / "MANIFEST.json").read_text()) if name == "card.yaml" else None
    if manifest is not None:
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (saved / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(saved)


def test_arrays_that_have_no_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be stored"):
        Checkpoint({"w": np.array(["a"])}, CARD).save(tmp_path / "m")
    half = torch.nn.Linear(2, 2).to(torch.bfloat16)
    assert Checkpoint.from_net(half, CARD).arrays["weight"].dtype == np.float32
