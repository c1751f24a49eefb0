"""Groups stay whole, splits are reproducible, leaks are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.core.split import blocks, fingerprint, leaks, split_by_group

PARTS = {"train": 0.6, "val": 0.2, "test": 0.2}


@given(groups=st.lists(st.integers(0, 12), min_size=1, max_size=80), seed=st.integers(0, 5))
def test_every_item_once_and_no_group_torn(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 3:
        with pytest.raises(BadInput, match="empty"):
            split_by_group(groups, PARTS, seed)
        return
    try:
        split = split_by_group(groups, PARTS, seed)
    except BadInput:  # one huge group can leave a part empty; then it says so
        assert max(map(groups.count, groups)) > 0.3 * len(groups)
        return
    everything = np.concatenate(list(split.parts.values()))
    assert sorted(everything) == list(range(len(groups)))
    homes = [{groups[i] for i in items} for items in split.parts.values()]
    assert sum(map(len, homes)) == len(set(groups))


def test_shares_are_met_with_many_groups() -> None:
    split = split_by_group(np.repeat(np.arange(300), 3).tolist(), PARTS, seed=0)
    for part, share in PARTS.items():
        assert abs(len(split.parts[part]) / 900 - share) < 0.01


def test_same_seed_same_split_other_seed_other_split() -> None:
    groups = [f"g{i % 20}" for i in range(100)]
    first, again, other = (split_by_group(groups, PARTS, seed) for seed in (1, 1, 2))
    assert first.hash == again.hash != other.hash
    moved = split_by_group(groups[::-1], PARTS, seed=1)  # the same files listed in another order
    for part in PARTS:
        assert {groups[i] for i in first.parts[part]} == {groups[::-1][i] for i in moved.parts[part]}


def test_held_out_groups_go_where_they_are_told() -> None:
    groups = ["FWG"] * 30 + [f"r{i}" for i in range(30)]
    split = split_by_group(groups, {"train": 0.8, "val": 0.2}, 0, hold_out={"test": ["FWG"]})
    assert split.parts["test"].tolist() == list(range(30))
    for wrong in ({"test": ["XXX"]}, {"test": ["FWG"], "val": ["FWG"]}):
        with pytest.raises(BadInput):
            split_by_group(groups, {"train": 1.0}, 0, hold_out=wrong)


def test_the_record_is_for_the_card() -> None:
    record = split_by_group(list("aabbccdd"), {"train": 0.5, "test": 0.5}, 3).record(most=1)
    assert record["seed"] == 3
    assert len(record["hash"]) == 64
    assert record["parts"]["train"]["items"] == 4
    assert record["parts"]["train"]["groups"] == 2
    assert len(record["parts"]["train"]["names"]) == 1


@pytest.mark.parametrize("fractions", [{}, {"train": -1.0}, {"train": float("nan")}])
def test_bad_fractions(fractions: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        split_by_group([1, 2, 3], fractions, 0)


def test_blocks_keep_neighbours_together() -> None:
    assert blocks(np.arange(0, 60, 10), 30) == [0, 0, 0, 1, 1, 1]
    assert blocks([], 1) == []
    with pytest.raises(BadInput):
        blocks([0.0, np.nan], 1)
    with pytest.raises(BadInput):
        blocks([0.0], 0)


def test_a_planted_duplicate_across_parts_is_caught_and_named() -> None:
    rng = np.random.default_rng(0)
    items = [{"x": rng.normal(size=5).astype("f4"), "y": i} for i in range(40)]
    split = split_by_group(range(40), PARTS, 0)
    assert leaks(items, split) == []
    original, copy = int(split.parts["train"][3]), int(split.parts["test"][1])
    items[copy] = {"y": items[original]["y"], "x": items[original]["x"].copy()}
    (found,) = leaks(items, split)
    assert found.level.name == "REFUSE"
    assert f"({original}, {copy})" in found.message
    assert "train and test" in found.where


def test_copies_inside_one_part_are_no_leak() -> None:
    split = split_by_group([0, 0, 1, 2], {"train": 0.5, "test": 0.5}, 0)
    home = next(part for part, items in split.parts.items() if 0 in items)
    items = [7, 7, 8, 9]
    assert {0, 1} <= set(split.parts[home].tolist())
    assert leaks(items, split) == []


def test_a_coarser_key_finds_near_duplicates() -> None:
    items = [np.array([1.0]), np.array([1.0000001]), np.array([5.0]), np.array([6.0])]
    split = split_by_group(range(4), {"train": 0.5, "test": 0.5}, 0)
    part = {int(i): name for name, members in split.parts.items() for i in members}
    assert leaks(items, split) == []
    near = leaks(items, split, key=lambda item: round(float(item[0]), 3))
    assert bool(near) == (part[0] != part[1])
    assert leaks([items[0]] * 4, split) != []


def test_fingerprints_tell_contents_apart() -> None:
    import torch

    class Record:
        def __init__(self, x: int) -> None:
            self.x = x

    different = [
        np.zeros(2), np.zeros((2, 1)), np.zeros(2, "f4"), [0.0, 0.0], {"a": 1}, {"b": 1}, [1, [2]], [[1], 2],
        "12", 12, None, Record(1), Record(2),
    ]  # fmt: skip
    prints = [fingerprint(item) for item in different]
    assert len(set(prints)) == len(prints)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(torch.arange(4.0)) == fingerprint(np.arange(4, dtype="f4"))
    assert fingerprint(Record(1)) == fingerprint(Record(1))
    assert fingerprint(np.arange(6).reshape(2, 3).T) == fingerprint(
        np.ascontiguousarray(np.arange(6).reshape(2, 3).T)
    )
