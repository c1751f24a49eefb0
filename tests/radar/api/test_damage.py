"""Bytes altered, files gone, disks full, processes stopped: a clear error, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.core.answer import Level
from sciai.core.errors import BadInput, CheckpointError, DamagedStore, SciaiError
from sciai.radar import compress, decompress, open_volume, simulate
from sciai.radar.api import info, verify
from sciai.radar.api.atomic import FolderWriter, new_folder
from sciai.radar.api.planes import PlaneReader, forget_planes
from sciai.radar.api.store import read_record
from tests.radar.synthetic import one_field, volume


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


def test_any_flipped_byte_of_a_chunk_is_named(tmp_path: Path) -> None:
    compress(volume(30, ((9, 11),), ("DBZH",)), tmp_path / "a.zarr", codec="plain")
    for array in ("DBZH", "DBZH_validity"):
        path = tmp_path / "a.zarr/sweep_0" / array / "0.0"
        whole = path.read_bytes()
        for at in range(len(whole)):
            flip(path, at, at % 8)
            tree = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
            with pytest.raises(DamagedStore, match=rf"a\.zarr.*sweep_0/{array}/0\.0.*DBZH in sweep_0"):
                tree[f"sweep_0/{array}"].load()
            path.write_bytes(whole)
        for cut in (0, 3, len(whole) - 1):
            path.write_bytes(whole[:cut])
            with pytest.raises(DamagedStore, match=f"sweep_0/{array}"):
                decompress(tmp_path / "a.zarr")
        path.unlink()
        with pytest.raises(DamagedStore, match=f"sweep_0/{array}.*not there"):
            decompress(tmp_path / "a.zarr")
        path.write_bytes(whole)
    decompress(tmp_path / "a.zarr")


def test_the_rest_still_reads(tmp_path: Path, neighbour_codec: Any) -> None:
    compress(volume(31, ((20, 30),) * 4), tmp_path / "a.zarr", codec="context")
    whole = decompress(tmp_path / "a.zarr")
    forget_planes()
    flip(tmp_path / "a.zarr/sweep_1/VRADH/0.0", 40)
    tree = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    # the damaged plane, and those that were coded with its help, name it; all others read
    affected = {(s, v) for s in (1, 2, 3) for v in ("ZDR", "VRADH")}
    for sweep in range(4):
        for var in ("DBZH", "ZDR", "VRADH"):
            array = tree[f"sweep_{sweep}/{var}"]
            if (sweep, var) in affected:
                with pytest.raises(DamagedStore, match=r"sweep_1/VRADH/0\.0"):
                    array.load()
            else:
                np.testing.assert_array_equal(array.values, whole[f"sweep_{sweep}/{var}"].values)
            flags = tree[f"sweep_{sweep}/{var}_validity"].values
            np.testing.assert_array_equal(flags, whole[f"sweep_{sweep}/{var}_validity"].values)
    forget_planes()
    with pytest.raises(DamagedStore, match=r"sweep_1/VRADH"):
        decompress(tmp_path / "a.zarr")
    with pytest.warns(UserWarning, match=r"sweep_1/VRADH"):
        rest = decompress(tmp_path / "a.zarr", damaged="missing")
    assert np.isnan(rest["sweep_2/VRADH"].values).all()
    np.testing.assert_array_equal(rest["sweep_3/DBZH"].values, whole["sweep_3/DBZH"].values)
    refused = verify(volume(31, ((20, 30),) * 4), tmp_path / "a.zarr")
    assert refused.level == Level.REFUSE
    assert {f.where for f in refused.findings if f.check == "damaged"} == {
        f"sweep_{s}/{v}" for s, v in affected
    }
    assert not info(tmp_path / "a.zarr")["intact"]


def test_exchanged_chunks_are_found_out(tmp_path: Path) -> None:
    compress(volume(32), tmp_path / "a.zarr", codec="plain")
    one, two = (tmp_path / f"a.zarr/sweep_{k}/DBZH/0.0" for k in (0, 1))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with pytest.raises(DamagedStore, match=r"sweep_[01]/DBZH.*checksum"):
        decompress(tmp_path / "a.zarr")


def test_damaged_coordinate(tmp_path: Path) -> None:
    compress(volume(33), tmp_path / "a.zarr", codec="plain")
    flip(tmp_path / "a.zarr/sweep_0/azimuth/0", 30)
    with pytest.raises(DamagedStore, match=r"^/.*a\.zarr: chunk sweep_0/azimuth/0 is damaged: its checksum"):
        decompress(tmp_path / "a.zarr")
    proof = verify(volume(33), tmp_path / "a.zarr")
    assert proof.level == Level.REFUSE
    assert [(f.check, f.where) for f in proof.findings if f.level == Level.REFUSE] == [
        ("damaged", "coordinates")
    ]
    said = info(tmp_path / "a.zarr")  # what the store says of itself still stands
    assert (said["intact"], said["sweeps"]) == (False, 3)


@pytest.mark.parametrize("how", ["altered", "gone", "cut"])
def test_the_rest_of_a_store_with_damaged_coordinates(tmp_path: Path, how: str) -> None:
    compress(volume(33), tmp_path / "a.zarr", codec="plain")
    before = decompress(tmp_path / "a.zarr")
    for name in ("azimuth", "time"):
        chunk = tmp_path / f"a.zarr/sweep_1/{name}/0"
        if how == "gone":
            chunk.unlink()
        elif how == "cut":
            chunk.write_bytes(chunk.read_bytes()[:9])
        else:
            flip(chunk, 30)
    with pytest.raises(DamagedStore, match=r"sweep_1/(azimuth|time)"):
        decompress(tmp_path / "a.zarr")
    with pytest.warns(UserWarning, match=r"chunk sweep_1/.* is left out") as told:
        rest = decompress(tmp_path / "a.zarr", damaged="missing")
    assert len(told) == 2
    xr.testing.assert_identical(rest["sweep_0"].to_dataset(), before["sweep_0"].to_dataset())
    lost = before["sweep_1"].to_dataset().drop_vars(["azimuth", "time"])
    xr.testing.assert_identical(rest["sweep_1"].to_dataset(), lost)


def test_what_has_no_checksum_of_its_own(tmp_path: Path) -> None:
    tree = volume(33)
    tree["sweep_0"] = xr.DataTree(
        tree["sweep_0"].to_dataset(inherit=False).assign(prt=("pulse", np.float64([1e-3, 2e-3])))
    )
    compress(tree, tmp_path / "a.zarr", codec="plain")
    assert verify(tree, tmp_path / "a.zarr").level <= Level.CAUTION
    flip(tmp_path / "a.zarr/sweep_0/prt/0", 3)
    proof = verify(tree, tmp_path / "a.zarr")
    assert [(f.check, f.where) for f in proof.findings if f.level == Level.REFUSE] == [("damaged", "store")]


def test_a_record_is_as_it_was_written_or_altered(tmp_path: Path) -> None:
    compress(volume(7), tmp_path / "a.zarr", codec="plain")
    path = tmp_path / "a.zarr/record.json"
    written, known = path.read_bytes(), read_record(tmp_path / "a.zarr")
    kept = []
    for at in range(0, len(written), 3):
        path.write_bytes(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :])
        with suppress(DamagedStore):
            kept.append(read_record(tmp_path / "a.zarr"))
    assert len(kept) < 4  # the name of its own checksum was hit, and nothing else
    for found in kept:
        assert {k: v for k, v in found.items() if k in known} == {
            k: v for k, v in known.items() if k in found
        }


@pytest.mark.parametrize("name", ["record.json", "zarr.json", "0.0"])
def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    compress(volume(33), tmp_path / "a.zarr", codec="plain")
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(SciaiError, match=f"{name}.*Permission denied|Permission denied.*{name}"):
        decompress(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: t[: len(t) // 2],
        lambda t: t.replace('"shape":[36,50]', '"shape":[36,49]', 1),
        lambda t: t.replace("dBZ", "mm").replace('"units":"x"', '"units":"y"'),
        lambda t: t.replace("DBZH", "DBZV"),
        lambda t: "",
        lambda t: "[]",
    ],
    ids=["cut", "shape", "units", "names", "empty", "list"],
)
def test_altered_metadata(tmp_path: Path, edit: Any) -> None:
    compress(volume(34), tmp_path / "a.zarr", codec="plain")
    path = tmp_path / "a.zarr/zarr.json"
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    for call in (decompress, info):
        with pytest.raises(DamagedStore, match=r"a\.zarr: zarr\.json was altered"):
            call(tmp_path / "a.zarr")
    with pytest.raises(DamagedStore, match=r"zarr\.json"):
        verify(volume(34), tmp_path / "a.zarr")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"zarr_format":3,', b"\xe1"])
def test_a_store_without_metadata_is_no_volume(tmp_path: Path, content: bytes) -> None:
    compress(one_field(np.ones((4, 5), np.float32)), tmp_path / "a.zarr", codec="plain").unwrap()
    (tmp_path / "a.zarr/zarr.json").write_bytes(content)
    with pytest.raises(DamagedStore, match=r"a\.zarr: zarr\.json"):
        open_volume(tmp_path / "a.zarr")
    with pytest.raises(DamagedStore, match=r"a\.zarr: zarr\.json"):
        compress(tmp_path / "a.zarr", tmp_path / "b.zarr", codec="plain")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda t: t[:50] + ("A" if t[50] != "A" else "B") + t[51:], r"DBZH.*quantisers\.json altered"),
        (lambda t: t.replace('"DBZH"', '"DBZV"', 1), r"DBZH.*quantisers\.json altered"),
        (lambda t: t.replace('"plain":"', '"plain":"*', 1), r"quantisers\.json was altered"),
        (lambda t: t[: len(t) // 2], r"quantisers\.json was altered"),
        (lambda t: "[]", r"quantisers\.json was altered"),
    ],
    ids=["a quantiser", "a name", "no base64", "cut", "list"],
)
def test_altered_quantisers(tmp_path: Path, edit: Any, match: str) -> None:
    compress(volume(37, ((9, 11),), ("DBZH",)), tmp_path / "a.zarr", codec="plain").unwrap()
    path = tmp_path / "a.zarr/quantisers.json"
    text = path.read_text(encoding="utf-8")
    assert edit(text) != text
    path.write_text(edit(text), encoding="utf-8")
    with pytest.raises(DamagedStore, match=match):
        xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["sweep_0/DBZH"].load()
    with pytest.raises(DamagedStore, match=r"quantisers\.json"):
        decompress(tmp_path / "a.zarr")
    assert not info(tmp_path / "a.zarr")["intact"]
    path.unlink()
    with pytest.raises(DamagedStore, match=r"quantisers\.json altered"):
        decompress(tmp_path / "a.zarr")


def test_altered_shape_is_noticed_by_xarray_too(tmp_path: Path) -> None:
    compress(volume(35), tmp_path / "a.zarr", codec="plain")
    path = tmp_path / "a.zarr/zarr.json"
    text = path.read_text(encoding="utf-8")
    for wrong in ("[36,51]", "[50,36]"):
        changed = text.replace('"shape":[36,50]', f'"shape":{wrong}')
        path.write_text(changed.replace('"chunk_shape":[36,50]', f'"chunk_shape":{wrong}'), encoding="utf-8")
        import zarr

        array = zarr.open_group(tmp_path / "a.zarr", mode="r")["sweep_0/DBZH"]
        with pytest.raises(DamagedStore, match=r"zarr\.json"):
            array[:]


def test_record_gone_or_altered(tmp_path: Path) -> None:
    compress(volume(36), tmp_path / "a.zarr", codec="plain")
    path = tmp_path / "a.zarr/record.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DamagedStore, match=r"record\.json was altered"):
        decompress(tmp_path / "a.zarr")
    path.unlink()
    with pytest.raises(BadInput, match="only stores that sciai wrote"):
        decompress(tmp_path / "a.zarr")
    # xarray needs none of it
    assert np.isfinite(xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["sweep_0/DBZH"].values).any()


def test_newer_format(tmp_path: Path) -> None:
    compress(volume(36), tmp_path / "a.zarr", codec="plain")
    path = tmp_path / "a.zarr/record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}), encoding="utf-8")
    with pytest.raises(DamagedStore, match="newer sciai"):
        decompress(tmp_path / "a.zarr")


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such store"):
        decompress(tmp_path / "nothing.zarr")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="not a store"):
        info(tmp_path / "file")


def test_model_inside_altered_or_gone(tmp_path: Path, neighbour_codec: Any) -> None:
    compress(volume(37), tmp_path / "a.zarr", codec="context", embed_model=True)
    (model,) = (tmp_path / "a.zarr/model").iterdir()
    whole = model.read_bytes()
    neighbour_codec.installed = False
    from sciai.radar.model import registry

    registry._shipped.cache_clear()
    decompress(tmp_path / "a.zarr")  # what travels inside is enough
    forget_planes()
    flip(model, 3)
    with pytest.raises(CheckpointError, match=r"a\.zarr: the model .* inside the store was altered"):
        decompress(tmp_path / "a.zarr")
    model.unlink()
    with pytest.raises(CheckpointError, match="neither inside the store nor installed"):
        decompress(tmp_path / "a.zarr")
    neighbour_codec.installed = True
    registry._shipped.cache_clear()
    decompress(tmp_path / "a.zarr")  # the installed checkpoint has the very same bytes
    forget_planes()
    model.write_bytes(whole)
    decompress(tmp_path / "a.zarr")


def test_installed_model_is_another_one(tmp_path: Path, neighbour_codec: Any, monkeypatch: Any) -> None:
    compress(volume(38), tmp_path / "a.zarr", codec="context", embed_model=False)
    assert not (tmp_path / "a.zarr/model").exists()
    decompress(tmp_path / "a.zarr")
    forget_planes()
    from sciai.radar.model import registry

    monkeypatch.setattr(neighbour_codec, "shipped", classmethod(lambda cls: cls(b"another model")))
    registry._shipped.cache_clear()
    with pytest.raises(CheckpointError, match="install the sciai that wrote it"):
        decompress(tmp_path / "a.zarr")


def test_a_model_of_ones_own_travels_inside(tmp_path: Path, neighbour_codec: Any) -> None:
    own = neighbour_codec(b"trained at home")
    answer = compress(volume(39), tmp_path / "a.zarr", codec=own, embed_model=False)
    assert answer.unwrap().model_bytes == len(b"trained at home")
    decompress(tmp_path / "a.zarr")


def test_previous_gone_or_altered(tmp_path: Path, neighbour_codec: Any) -> None:
    compress(volume(40), tmp_path / "t0.zarr", codec="context")
    compress(volume(41), tmp_path / "t1.zarr", codec="context", previous=tmp_path / "t0.zarr")
    forget_planes()
    (tmp_path / "t0.zarr").rename(tmp_path / "away")
    with pytest.raises(DamagedStore, match=r"previous volume \.\./t0\.zarr, which is gone"):
        decompress(tmp_path / "t1.zarr")
    compress(volume(42), tmp_path / "t0.zarr", codec="context")
    with pytest.raises(DamagedStore, match="altered or replaced"):
        xr.open_datatree(tmp_path / "t1.zarr", engine="zarr")["sweep_0/DBZH"].load()
    with pytest.raises(BadInput, match="no such store"):
        compress(volume(41), tmp_path / "t2.zarr", previous=tmp_path / "t9.zarr")
    assert not (tmp_path / "t2.zarr").exists()


def test_existing_output(tmp_path: Path) -> None:
    compress(volume(43), tmp_path / "a.zarr", codec="plain")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(BadInput, match="exists already"):
        compress(volume(44), tmp_path / "a.zarr", codec="plain")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    compress(volume(44), tmp_path / "a.zarr", codec="plain", overwrite=True)
    assert verify(volume(44), tmp_path / "a.zarr").level <= Level.CAUTION
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="not a store"):
        compress(volume(44), tmp_path / "precious", codec="plain", overwrite=True)
    assert (tmp_path / "precious/thesis.tex").exists()
    (tmp_path / "vrad.h5").write_bytes(b"x")  # dbzh.h5 vrad.h5, and the store forgotten: never "remove it"
    with pytest.raises(BadInput, match=r"not a store .*vrad\.h5.*; choose another name"):
        compress(volume(44), tmp_path / "vrad.h5", codec="plain")
    with pytest.raises(BadInput, match="does not exist"):
        compress(volume(44), tmp_path / "no/where.zarr", codec="plain")


def test_a_zipped_store(tmp_path: Path) -> None:
    compress(volume(43), tmp_path / "a.zarr", codec="plain")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a.zarr")
    for read in (decompress, open_volume, lambda path: verify(volume(43), path)):
        with pytest.raises(BadInput, match="unzip it"):
            read(tmp_path / "a.zip")


def test_overwriting_is_not_answered_from_the_cache(tmp_path: Path) -> None:
    for seed in (45, 46):
        compress(volume(seed), tmp_path / "a.zarr", codec="plain", psnr=90, overwrite=True)
        got = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["sweep_0/ZDR"].values
        np.testing.assert_allclose(got, volume(seed)["sweep_0/ZDR"].values, atol=0.01)


@pytest.mark.parametrize("codec", ["plain", "context", "quick"])
def test_overwriting_with_planes_that_refer_to_others(tmp_path: Path, codec: str) -> None:
    # masks of KDP are the same as those of ZDR, which has the same bytes in both stores
    storms = [simulate(seed=3, shape=(3, 60, 100), time_step=step) for step in (0, 1)]
    for storm in (*storms, storms[0]):
        compress(storm, tmp_path / "a.zarr", codec=codec, overwrite=True)
        lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
        loaded = decompress(tmp_path / "a.zarr")
        for name in storm.children:
            for var in ("DBZH", "ZDR", "KDP", "VRADH"):
                wanted = storm[f"{name}/{var}_validity"].values
                np.testing.assert_array_equal(loaded[f"{name}/{var}_validity"].values, wanted)
                np.testing.assert_array_equal(lazy[f"{name}/{var}_validity"].values, wanted)
                np.testing.assert_array_equal(np.isnan(lazy[f"{name}/{var}"].values), wanted != 0)


@pytest.mark.parametrize("call", [decompress, lambda store: verify(volume(33), store)])
def test_a_store_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    compress(volume(33), tmp_path / "a.zarr", codec="plain")
    compress(volume(34), tmp_path / "b.zarr", codec="plain")
    values, mask = PlaneReader.values, PlaneReader.mask
    one_at_a_time = threading.RLock()  # several threads read; none looks while one replaces

    def replaced_meanwhile(reader: PlaneReader, sweep: int, var: str) -> Any:
        with one_at_a_time:
            if (tmp_path / "b.zarr").exists():
                (tmp_path / "a.zarr").rename(tmp_path / "old")
                (tmp_path / "b.zarr").rename(tmp_path / "a.zarr")
        return values(reader, sweep, var)

    def not_between(reader: PlaneReader, sweep: int, var: str) -> Any:
        with one_at_a_time:
            return mask(reader, sweep, var)

    monkeypatch.setattr(PlaneReader, "values", replaced_meanwhile)
    monkeypatch.setattr(PlaneReader, "mask", not_between)
    with pytest.raises(DamagedStore, match=r"a\.zarr: the store was replaced while it was being read"):
        call(tmp_path / "a.zarr")
    assert decompress(tmp_path / "a.zarr")


@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    whole = FolderWriter.write
    count = 0

    def write(self: FolderWriter, key: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, key, data)

    monkeypatch.setattr(FolderWriter, "write", write)
    with pytest.raises(SciaiError, match="disk is full"):
        compress(volume(47), tmp_path / "a.zarr", codec="plain")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.EFBIG, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    whole = Path.write_bytes

    def write(self: Path, data: Any) -> int:
        if self.suffix == ".0" and "ZDR" in self.parts:
            raise OSError(code, os.strerror(code))
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(BadInput, match=rf"cannot write: {os.strerror(code)}.*nothing was left") as caught:
        compress(volume(47), tmp_path / "a.zarr", codec="plain")
    assert caught.value.file == tmp_path / "a.zarr"
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_store_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compress(volume(48), tmp_path / "a.zarr", codec="plain")

    def sync(self: FolderWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FolderWriter, "sync", sync)
    with pytest.raises(SciaiError, match="disk is full"):
        compress(volume(49), tmp_path / "a.zarr", codec="plain", overwrite=True)
    assert verify(volume(48), tmp_path / "a.zarr").level <= Level.CAUTION
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


SLOW = """
import sys, time
from pathlib import Path
from sciai.radar import compress
from sciai.radar.api.atomic import FolderWriter
from tests.radar.synthetic import volume
whole = FolderWriter.write
def write(self, key, data):
    whole(self, key, data)
    print(key, flush=True)
    time.sleep(0.2)
FolderWriter.write = write
try:
    compress(volume(50), Path(sys.argv[1]), codec="plain")
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_half_way(tmp_path: Path, stop: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "a.zarr")],
        stdout=subprocess.PIPE,
        text=True,
        # a job started in the background by a shell ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    assert list(tmp_path.iterdir()), "it is writing"
    process.send_signal(stop)
    assert process.wait(20) == code
    assert not list(tmp_path.iterdir())


def test_killed_leaves_no_output_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "a.zarr")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait(20)
    assert not (tmp_path / "a.zarr").exists()
    assert list(tmp_path.iterdir())
    compress(volume(50), tmp_path / "a.zarr", codec="plain")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_two_writers_at_once(tmp_path: Path) -> None:
    """The second to finish is told so; the first's store stays whole."""

    def slow() -> None:
        with new_folder(tmp_path / "a.zarr") as writer:
            writer.write("zarr.json", b"{}")
            compress(volume(51), tmp_path / "a.zarr", codec="plain")

    with pytest.raises(BadInput, match="appeared while"):
        slow()
    assert verify(volume(51), tmp_path / "a.zarr").level <= Level.CAUTION
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_source_that_breaks_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sciai.radar.api.source import SweepSource

    whole, started = SweepSource.load, time.monotonic()

    def load(self: SweepSource, var: str) -> Any:
        if self.number == 2 and var == "ZDR":
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, var)

    monkeypatch.setattr(SweepSource, "load", load)
    with pytest.raises(OSError, match="Input/output"):
        compress(volume(52), tmp_path / "a.zarr", codec="plain")
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 10


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="cannot write"):
        compress(volume(53), tmp_path / "a.zarr", codec="plain")
