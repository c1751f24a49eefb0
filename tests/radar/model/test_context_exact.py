"""The context codec gives the same bits: in threads, other processes, without a compiler, from old files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciai.core.errors import CheckpointError
from sciai.radar.model.context import ContextCodec, compiled
from sciai.radar.model.context.quick_codec import QuickCodec
from sciai.radar.model.context.smooth import Filter
from sciai.radar.model.interface import QuantSpec
from tests.radar.model import frozen_context as frozen
from tests.radar.synthetic import smooth, validity

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def kept() -> Any:
    return json.loads(frozen.FILE.read_text(encoding="utf-8"))


def in_a_fresh_process(code: str, **environment: str) -> Any:
    """What the code prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected() -> dict[str, list[Any]]:
    return {v: [frozen.mask_of(v).tolist(), frozen.indices_of(v).tolist()] for v in frozen.CASES}


def test_what_was_written_once_still_decodes(kept: Any) -> None:
    codec = ContextCodec.from_model(base64.b64decode(kept["model"]))
    assert frozen.decoded(codec, kept["payloads"]) == expected()
    assert frozen.reconstructed(codec) == kept["reconstructed"]


def test_the_same_bytes_as_ever(kept: Any) -> None:
    """Encoding too; where this alone fails, old stores still read, and the encoder became another."""
    assert frozen.coded(frozen.seeded()) == kept["payloads"]
    assert frozen.large(frozen.seeded()) == kept["large"]
    again = ContextCodec.from_model(base64.b64decode(kept["model"]))
    for key, array in frozen.seeded().arrays.items():
        np.testing.assert_array_equal(again.arrays[key], array)


def test_quick_streams_are_what_they_were() -> None:
    kept = json.loads(frozen.QUICK.read_text(encoding="utf-8"))
    codec = QuickCodec()
    assert frozen.decoded(codec, kept["payloads"]) == expected()
    assert frozen.coded(codec) == kept["payloads"]
    assert frozen.large(codec) == kept["large"]


def test_the_known_answers_depend_on_every_part() -> None:
    """They prove something only where another network, another neighbour or another filter changes them."""
    right = frozen.coded(frozen.seeded())
    for key in ("w1", "w2", "w3", "b1", "b2", "b3"):
        arrays = {k: v.copy() for k, v in frozen.seeded().arrays.items()}
        arrays[key] = -arrays[key]
        other = frozen.coded(ContextCodec(arrays))
        assert all(other[v]["values"] != right[v]["values"] for v in frozen.CASES), key
        assert all(other[v]["mask"] == right[v]["mask"] for v in frozen.CASES)
    bare = frozen.surroundings()
    bare.previous = None
    codec = frozen.seeded()
    for var in frozen.CASES:
        mask, values = frozen.mask_of(var), frozen.indices_of(var).astype(np.float32)
        alone, _ = codec.encode_values(var, values, mask, frozen.spec_of(var), bare)
        assert base64.b64encode(alone).decode() != right[var]["values"]
    spec = QuantSpec(0.3, -1.7, extra={"f": Filter.none().to_text()})
    mask = frozen.mask_of("DBZH")
    centres = codec.reconstruct("DBZH", frozen.indices_of("DBZH"), mask, spec, frozen.surroundings())
    assert centres.view(np.int32)[mask == 0].tolist() != frozen.reconstructed(codec)


def test_four_threads_give_the_same_bytes() -> None:
    codec = frozen.seeded()
    rng = np.random.default_rng(0)
    spec = QuantSpec(0.5, 0.0, extra={"f": Filter.none().to_text()})
    work = []
    for var in ("DBZH", "ZDR", "PHIDP", "CLASS") * 2:
        values, mask = (20 * smooth(rng, 60, 80)).astype(np.float32), validity(rng, 60, 80)
        work.append((var, values, mask, spec, None))

    def code(item: Any) -> tuple[bytes, bytes, bytes]:
        payload, indices = codec.encode_values(*item)
        back = codec.decode_indices(item[0], payload, *item[2:])
        return payload, indices.tobytes(), back.tobytes()

    alone = [code(item) for item in work]
    assert all(indices == back for _, indices, back in alone)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(code, work)) == alone


@pytest.mark.parametrize("price", [True, False])
@pytest.mark.parametrize("period", [0, 72])
def test_planning_chooses_the_indices_that_coding_would(price: bool, period: int) -> None:
    """Without coding them, which takes time."""
    codec, rng = ContextCodec.shipped(), np.random.default_rng(4)
    spec = QuantSpec(0.5, 0.0, period=period, extra={"f": Filter.none().to_text()} if price else {})
    values, mask = (18 * smooth(rng, 60, 80)).astype(np.float32), validity(rng, 60, 80)
    if period:
        values = np.mod(values, np.float32(36.0))
    values[10:30, 20:60] = 4.25  # where all around is the same
    values[40:50] += rng.normal(0, 3, (10, 80)).astype(np.float32)
    payload, indices = codec.encode_values("PHIDP", values, mask, spec, None)
    empty, chosen = codec._encode("PHIDP", values, mask, spec, None, 0)
    assert empty == b""
    assert len(payload) > 400
    np.testing.assert_array_equal(chosen, indices)
    nearest = np.where(mask == 0, np.rint(values / 0.5), 0)
    assert np.array_equal(indices, nearest) != price, "there is something to choose"


DECODE = """
import json, sys
from tests.radar.model import frozen_context as frozen
from sciai.radar.model.context import values
import base64, hashlib
kept = json.loads(frozen.FILE.read_text(encoding="utf-8"))
from sciai.radar.model.registry import load_codec
codec = load_codec("context", base64.b64decode(kept["model"]))
print(json.dumps({
    "planes": frozen.decoded(codec, kept["payloads"]),
    "reconstructed": frozen.reconstructed(codec),
    "quick": frozen.decoded(load_codec("quick", b""), json.loads(frozen.QUICK.read_text())["payloads"]),
    "coded": hashlib.sha256(json.dumps(frozen.coded(codec)).encode()).hexdigest(),
    "compiled": hasattr(values.code_values, "py_func"),
    "heavy": sorted({"torch", "pytorch_lightning", "compressai", "xarray", "ase"} & set(sys.modules)),
}))
"""


@pytest.mark.parametrize("compiled", [True, False])
def test_a_fresh_process_with_and_without_a_compiler(kept: Any, compiled: bool) -> None:
    """Reading a store takes neither torch nor compressai nor, if need be, a compiler: Python is enough."""
    found = in_a_fresh_process(DECODE, NUMBA_DISABLE_JIT="0" if compiled else "1")
    assert found["compiled"] is compiled
    assert found["planes"] == found["quick"] == expected()
    assert found["reconstructed"] == kept["reconstructed"]
    assert found["coded"] == hashlib.sha256(json.dumps(kept["payloads"]).encode()).hexdigest()
    assert found["heavy"] == []


OTHER_NUMBA = """
import numba.core.cpu
for kind in numba.core.cpu.CPUTargetOptions.__mro__:
    if "_nrt" in vars(kind):
        del kind._nrt
"""


def test_a_numba_without_its_private_option_is_found_out() -> None:
    code = OTHER_NUMBA + "from sciai.radar.model.context import jit; print(len(jit.OPTIONS))"
    assert in_a_fresh_process(code) == 0
    assert in_a_fresh_process("from sciai.radar.model.context import jit; print(len(jit.OPTIONS))") == 1


@pytest.mark.slow  # all of it is compiled anew
def test_a_numba_without_its_private_option_gives_the_same_bytes(kept: Any, tmp_path: Path) -> None:
    found = in_a_fresh_process(OTHER_NUMBA + DECODE, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_DISABLE_JIT="0")
    assert found["compiled"] is True
    assert found["planes"] == found["quick"] == expected()
    assert found["reconstructed"] == kept["reconstructed"]
    assert found["coded"] == hashlib.sha256(json.dumps(kept["payloads"]).encode()).hexdigest()


def test_the_tables_are_what_they_were() -> None:
    """They are computed, in decimal arithmetic: the same on every machine."""
    from sciai.radar.model.context import tables

    squash, stretch = tables.squash(), tables.stretch()
    np.testing.assert_array_equal(squash[::-1], 65536 - squash)
    np.testing.assert_array_equal(stretch[::-1], -stretch)
    assert (np.diff(squash) >= 0).all()
    assert (np.diff(stretch) >= 0).all()
    assert squash[[0, tables.LOGIT_MAX, -1]].tolist() == [1, 32768, 65535]
    centres = (np.arange(stretch.size) * 2 + 1) * 32768 / stretch.size
    assert abs(squash[stretch + tables.LOGIT_MAX] - centres).max() <= 33, "one undoes the other"
    assert (np.diff(tables.compander()) >= 0).all()
    assert tables.compander()[[0, 16, 48]].tolist() == [0, 256, 512]


def test_machine_code_of_another_version_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.check_compiled.cache_clear()
    monkeypatch.setattr(compiled, "_KNOWN_ANSWER", 1)
    with pytest.raises(CheckpointError, match="NUMBA_CACHE_DIR"):
        ContextCodec.untrained()
