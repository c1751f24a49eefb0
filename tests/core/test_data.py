"""The stream of batches, and what the data module serves."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.data import BatchStream, DataModule
from sciai.core.errors import BadInput, SciaiError


class Numbers:
    """Item i is i; groups of four; counts how it was asked."""

    def __init__(self, n: int = 40) -> None:
        self.n = n
        self.groups = [i // 4 for i in range(n)]
        self.provenance = {"source": "made up"}

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index


class Noisy(Numbers):
    """Items that draw random numbers in training."""

    def item(self, index: int, rng: np.random.Generator) -> float:
        return float(rng.normal())


@given(n=st.integers(1, 30), size=st.integers(1, 12), seed=st.integers(0, 3), start=st.integers(0, 40))
def test_a_stream_can_be_entered_anywhere(n: int, size: int, seed: int, start: int) -> None:
    items = np.arange(100, 100 + n)
    whole = list(islice(BatchStream(items, size, seed), start + 3))
    late = list(islice(BatchStream(items, size, seed, position=lambda: start), 3))
    assert whole[start:] == late
    assert all(len(batch) == size for batch in whole)


@given(n=st.integers(1, 30), seed=st.integers(0, 3))
def test_each_epoch_is_a_permutation_and_epochs_differ(n: int, seed: int) -> None:
    flat = [pair for batch in islice(BatchStream(np.arange(n), 1, seed), 3 * n) for pair in batch]
    orders = [[item for item, epoch in flat if epoch == e] for e in range(3)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert n < 8 or orders[0] != orders[1] != orders[2]


@given(world=st.sampled_from([1, 2, 4]), n=st.integers(1, 30))
def test_processes_share_the_same_batches(world: int, n: int) -> None:
    one = list(islice(BatchStream(np.arange(n), 8, 0), 6))
    shares = [list(islice(BatchStream(np.arange(n), 8, 0, rank, world), 6)) for rank in range(world)]
    for number, batch in enumerate(one):
        dealt = [pair for share in shares for pair in share[number]]
        assert sorted(dealt) == sorted(batch)
        assert {len(share[number]) for share in shares} == {8 // world}


def test_a_batch_that_cannot_be_shared_is_an_error() -> None:
    with pytest.raises(BadInput, match="multiple of 4"):
        BatchStream(np.arange(9), 6, 0, 0, 4)


def test_parts_are_whole_groups_and_recorded() -> None:
    data = DataModule(Numbers(), 8, seed=1)
    seen: list[int] = []
    for part in ("train", "val", "calibrate", "test"):
        items = list(data.part(part))
        assert len(items) % 4 == 0
        seen += items
    assert sorted(seen) == list(range(40))
    assert data.provenance == {"source": "made up"}
    assert len(data.split.record()["hash"]) == 64
    assert [int(x) for batch in data.loader("val") for x in batch] == list(data.part("val"))
    assert data.loader("nothing") == []


def _stream(dataset: Any, workers: int = 0) -> list[list[float]]:
    loader = DataModule(dataset, 8, seed=1, num_workers=workers).train_dataloader()
    return [batch.tolist() for batch in islice(loader, 7)]


def test_training_stream_is_the_same_for_any_number_of_workers() -> None:
    assert _stream(Numbers()) == _stream(Numbers(), workers=2)
    assert len({tuple(batch) for batch in _stream(Numbers())}) == 7


def test_random_items_are_reproducible_and_differ_between_epochs() -> None:
    first = _stream(Noisy())
    assert first == _stream(Noisy()) == _stream(Noisy(), workers=2)
    flat = [x for batch in first for x in batch]
    assert len(set(flat)) == len(flat)  # 56 draws of 28 items: two epochs, no number twice


class Leaky(Numbers):
    def __getitem__(self, index: int) -> int:
        return 0 if index in (0, 39) else index


def test_training_on_a_leak_is_refused() -> None:
    data = DataModule(Leaky(), 8, {"train": 0.5, "test": 0.5}, hold_out={"test": [9], "train": [0]})
    with pytest.raises(SciaiError, match="leakage"):
        data.setup("fit")
    DataModule(Leaky(), 8, {"train": 1.0}).setup("fit")  # copies inside one part are fine
    DataModule(
        Leaky(), 8, {"train": 0.5, "test": 0.5}, hold_out={"test": [9], "train": [0]}, check_leaks=False
    ).setup("fit")


@pytest.mark.parametrize(
    "call",
    [
        lambda: DataModule([], 8),
        lambda: DataModule(Numbers(), 0),
        lambda: DataModule(Numbers(), 8, groups=[1, 2]),
        lambda: DataModule(Numbers(), 8, {"test": 1.0}),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()
