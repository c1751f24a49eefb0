"""Volumes that were each coded against the one before."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sciai.radar import compress, simulate
from sciai.radar.api.chain import LONG
from sciai.radar.api.planes import PlaneReader, forget_planes

VOLUMES = 24


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """The last of a chain, and what the answers said about the volume before."""
    folder, said = tmp_path_factory.mktemp("chain"), []
    for step in range(VOLUMES):
        storm = simulate(seed=3, time_step=step, shape=(1, 16, 30), variables=["DBZH", "VRADH"])
        before = folder / f"{step - 1}.zarr" if step else None
        answer = compress(storm, folder / f"{step}.zarr", codec="context", previous=before)
        said.append([f.message for f in answer.findings if f.where == "previous"])
    return folder / f"{VOLUMES - 1}.zarr", said


@contextmanager
def nested_at_most(calls: int) -> Iterator[None]:
    """As a chain of some 200 volumes would be within the interpreter's own limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(("var", "kind"), [("VRADH", "mask"), ("VRADH", "values"), ("DBZH", "values")])
def test_the_last_of_a_long_chain_is_read_by_itself(
    chain: tuple[Path, list[list[str]]], var: str, kind: str
) -> None:
    last, _ = chain
    reader = PlaneReader.of_folder(last)
    expected = reader.mask(0, var) if kind == "mask" else reader.values(0, var)
    forget_planes()
    with nested_at_most(150):
        found = reader.mask(0, var) if kind == "mask" else reader.values(0, var)
    np.testing.assert_array_equal(found, expected)


def test_a_long_chain_is_told(chain: tuple[Path, list[list[str]]]) -> None:
    _, said = chain
    assert not any(said[:LONG])
    assert said[LONG][0].startswith(f"it needs {LONG - 1} volumes before it")
    assert all(said[LONG:])
