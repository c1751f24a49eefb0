"""Chunks and self-contained arrays: every field of the header, every kind of number."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciai.core.errors import BadInput, DamagedStore
from sciai.radar.api.chunk import Chunk, Said, pack, unpack
from sciai.radar.api.schedule import run_tasks
from sciai.radar.api.standalone import decode_standalone, encode_standalone
from sciai.radar.model.interface import QuantSpec

reals = st.floats(allow_nan=False, allow_infinity=False)
specs = st.builds(
    QuantSpec,
    step=st.floats(0, 1e6),
    origin=reals,
    period=st.integers(0, 2**31),
    bound=st.one_of(st.just(inf), st.floats(0, 1e9)),
    extra=st.dictionaries(
        st.text(max_size=4), st.one_of(st.integers(-9, 9), st.lists(reals, max_size=3)), max_size=2
    ),
)


@given(
    st.sampled_from(["plain", "context", "transform"]),
    st.integers(1, 65535),
    st.integers(1, 65535),
    st.booleans(),
    st.integers(0, 65535),
    st.binary(max_size=40),
    st.one_of(st.none(), st.integers(0, 300)),
    st.booleans(),
    st.sampled_from(["", "0123456789abcdef"]),
    st.one_of(st.none(), specs),
)
def test_header(
    codec: str,
    rays: int,
    gates: int,
    circle: bool,
    names: int,
    payload: bytes,
    below: int | None,
    previous: bool,
    model: str,
    spec: QuantSpec | None,
) -> None:
    chunk = Chunk(
        codec,
        "values" if spec else "mask",
        (rays, gates),
        circle,
        names,
        payload,
        below,
        previous,
        model,
        spec,
    )
    data = pack(chunk, "sweep_1/ZDR")
    back = unpack(data, "sweep_1/ZDR")
    assert Chunk(**{**vars(back), "crc": 0}) == chunk
    with pytest.raises(DamagedStore, match="checksum"):
        unpack(data, "sweep_2/ZDR")


@given(
    st.sampled_from(["plain", "context", "transform"]),
    st.booleans(),
    st.binary(max_size=40),
    st.one_of(st.none(), st.integers(0, 300)),
    st.booleans(),
    st.one_of(st.none(), specs),
    st.booleans(),
)
def test_what_the_store_says_is_not_repeated(
    codec: str,
    circle: bool,
    payload: bytes,
    below: int | None,
    previous: bool,
    spec: QuantSpec | None,
    shared: bool,
) -> None:
    key = "0123456789abcdef" if codec != "plain" else ""
    kind = "values" if spec else "mask"
    chunk = Chunk(codec, kind, (9, 700), circle, 5, payload, below, previous, key, spec)
    said = Said((9, 700), 5, {codec: key} if key else {}, {codec: spec} if spec and shared else {})
    data = pack(chunk, "sweep_1/ZDR", said)
    back = unpack(data, "sweep_1/ZDR", lambda: said)
    assert Chunk(**{**vars(back), "crc": 0}) == chunk
    assert len(data) < len(pack(chunk, "sweep_1/ZDR"))
    if shared or spec is None:
        assert len(data) <= 6 + 2 * (below is not None) + len(payload)
    others = [
        Said((9, 701), 5, said.models, said.specs),
        Said((9, 700), 6, said.models, said.specs),
        Said((9, 700), 5, {codec: "f123456789abcdef"}, said.specs),
    ]
    if spec and shared:
        others += [Said((9, 700), 5, said.models, {codec: replace(spec, step=spec.step + 1)})]
        others += [Said((9, 700), 5, said.models)]
    for other in others:
        with pytest.raises(DamagedStore, match="checksum"):
            unpack(data, "sweep_1/ZDR", lambda other=other: other)  # type: ignore[misc]
        # what another store says is said by the chunk itself
        assert unpack(pack(chunk, "sweep_1/ZDR", other), "sweep_1/ZDR", lambda: said).payload == payload or (
            other.models == said.models and other.shape == said.shape and other.names == said.names
        )
    with pytest.raises(DamagedStore, match="checksum"):
        unpack(data, "sweep_2/ZDR", lambda: said)


def test_header_of_a_mask_is_small() -> None:
    assert (
        len(pack(Chunk("context", "mask", (360, 1000), True, 7, b"", 3, False, "0123456789abcdef"), "x"))
        <= 24
    )


def test_newer_version_says_so() -> None:
    import struct

    from sciai.radar.api.chunk import crc_of

    data = bytearray(pack(Chunk("plain", "mask", (3, 4), True, 7, b"abc"), "sweep_0/X"))
    data[2] = 9
    data[5:9] = struct.pack("<I", crc_of("sweep_0/X", bytes(data)))
    with pytest.raises(DamagedStore, match="newer sciai"):
        unpack(bytes(data), "sweep_0/X")


@given(
    hnp.arrays(
        st.sampled_from(["f4", "f8", "f2", "i1", "u2", "i4", "i8", "u8", "?", ">f4"]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=6),
    )
)
def test_any_array_bit_for_bit(array: Any) -> None:
    back = decode_standalone(encode_standalone(array))
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize(
    ("array", "limit"),
    [
        (np.arange(800, dtype=np.float32) * 250 + 125, 48),
        (np.arange(1832) * 249.83 + 2125.0, 600),
        (np.random.default_rng(0).integers(0, 65536, 360) * 360 / 65536, 360 * 2.6),
        (1_700_000_000_000 + np.cumsum(np.random.default_rng(0).integers(49, 52, 720)), 300),
    ],
    ids=["range", "odd range", "encoder angles", "milliseconds"],
)
def test_coordinates_are_small(array: Any, limit: float) -> None:
    assert len(encode_standalone(array)) < limit


def test_standalone_refuses() -> None:
    with pytest.raises(BadInput, match="complex"):
        encode_standalone(np.zeros(3, complex))
    data = encode_standalone(np.arange(50.0))
    for at in range(len(data)):
        with pytest.raises(DamagedStore):
            decode_standalone(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    with pytest.raises(DamagedStore, match="cut short"):
        decode_standalone(b"")
    with pytest.raises(DamagedStore, match="in its store"):
        decode_standalone(pack(Chunk("plain", "mask", (3, 4), True, 7, b"abc"), "sweep_0/X"))
    with pytest.raises(DamagedStore, match="in its store"):
        decode_standalone(pack(Chunk("plain", "mask", (3, 4), True, 7, b"abc"), "sweep_0/X", Said((3, 4), 7)))


def test_tasks_run_after_what_they_need() -> None:
    done: list[int] = []
    needs = {k: {k - 2} if k % 3 else {k + 1, k - 5} for k in range(1, 40)}
    run_tasks(list(range(40)), needs, done.append, threads=3)
    assert sorted(done) == list(range(40))
    for task, before in needs.items():
        for other in before & set(range(40)):
            assert done.index(other) < done.index(task)


def test_the_first_failure_stops_the_rest() -> None:
    done: list[int] = []

    def run(task: int) -> None:
        if task == 3:
            raise ValueError("three")
        done.append(task)

    with pytest.raises(ValueError, match="three"):
        run_tasks(list(range(1000)), {}, run, threads=2)
    assert len(done) < 100
    with pytest.raises(RuntimeError, match="circle"):
        run_tasks([1, 2], {1: {2}, 2: {1}}, done.append, threads=1)
