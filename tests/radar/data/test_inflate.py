"""Unpacking chunks beside the HDF5 library: the same numbers, or none at all."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciai.radar.data.inflate import chunk_reader


def reader(data: bytes, name: str):
    with h5py.File(io.BytesIO(data), "r") as file:
        return chunk_reader(file[name].id, data)


def written(path: Path, array: np.ndarray, **how: object) -> bytes:
    with h5py.File(path, "w") as file:
        file.create_dataset("group/field", data=array, **how)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("chunks", [(37, 50), (10, 16)])  # whole, and with chunks over the edge
def test_gives_what_the_library_gives(
    tmp_path: Path, dtype: str, shuffle: bool, chunks: tuple[int, int]
) -> None:
    array = (np.random.default_rng(0).normal(size=(37, 50)) * 60 + 90).astype(dtype)
    data = written(tmp_path / "a.h5", array, chunks=chunks, compression="gzip", shuffle=shuffle)
    read = reader(data, "/group/field")
    assert read is not None
    found = read()
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "how",
    [
        {},  # contiguous
        {"chunks": (37, 50)},  # not compressed
        {"chunks": (37, 50), "compression": "gzip", "fletcher32": True},
        {"chunks": (37, 50), "compression": "lzf"},
        {"chunks": (1, 10), "compression": "gzip"},  # too many to look up
    ],
)
def test_leaves_the_rest_to_the_library(tmp_path: Path, how: dict[str, object]) -> None:
    assert reader(written(tmp_path / "a.h5", np.ones((37, 50), np.float32), **how), "/group/field") is None


def test_big_endian_unwritten_chunks_and_other_files_are_left_to_the_library(tmp_path: Path) -> None:
    swapped = written(tmp_path / "a.h5", np.ones((8, 8), ">i2"), chunks=(8, 8), compression="gzip")
    assert reader(swapped, "/group/field") is None
    with h5py.File(tmp_path / "b.h5", "w") as file:
        field = file.create_dataset("field", (8, 8), "i2", chunks=(4, 8), compression="gzip", fillvalue=7)
        field[:4] = 1
    assert reader((tmp_path / "b.h5").read_bytes(), "/field") is None


def test_a_damaged_chunk_is_an_error(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 900, (60, 80)).astype(np.int16)
    data = bytearray(written(tmp_path / "a.h5", array, chunks=(60, 80), compression="gzip"))
    with h5py.File(tmp_path / "a.h5") as file:
        at = file["group/field"].id.get_chunk_info(0).byte_offset
    data[at + 500 : at + 700] = bytes(200)
    read = reader(bytes(data), "/group/field")
    assert read is not None
    with pytest.raises(OSError, match="chunk"):
        read()
