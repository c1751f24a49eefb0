"""The store: what goes in comes out, whole shards or none, and a killed writer goes on."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.atoms.data.records import Record
from sciai.atoms.data.store import Store, StoreWriter
from sciai.core.errors import BadInput, DamagedStore


def record(seed: int, atoms: int = 3, *, energy=True, forces=True, stress=True, periodic=True) -> Record:
    rng = np.random.default_rng(seed)
    tensor = rng.normal(size=(3, 3))
    return Record(
        numbers=rng.integers(1, 97, atoms).astype(np.uint8),
        positions=rng.normal(size=(atoms, 3)),
        cell=rng.normal(size=(3, 3)) if periodic else np.zeros((3, 3)),
        pbc=np.full(3, periodic),
        energy=float(rng.normal()) if energy else None,
        forces=rng.normal(size=(atoms, 3)) if forces else None,
        stress=tensor + tensor.T if stress else None,
        source=f"s{seed % 2}",
        group="Fe-O",
        weight=float(rng.random()),
        kind="ü" * (seed % 3),
    )


def same(a: Record, b: Record) -> bool:
    for name in (
        "numbers",
        "positions",
        "cell",
        "pbc",
        "energy",
        "forces",
        "stress",
        "source",
        "group",
        "weight",
        "kind",
    ):
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None) or (x is not None and not np.array_equal(x, y)):
            return False
    return True


@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), *[st.booleans()] * 4), min_size=1, max_size=9),
    shard=st.integers(1, 4),
    mapped=st.booleans(),
)
def test_everything_comes_back_exactly(tmp_path_factory, shapes, shard, mapped):
    given_in = [
        record(k, n, energy=e, forces=f, stress=s, periodic=p) for k, (n, e, f, s, p) in enumerate(shapes)
    ]
    folder = tmp_path_factory.mktemp("store") / "s"
    Store.write(folder, given_in, shard=shard)
    store = Store(folder, mapped=mapped)
    assert len(store) == len(given_in)
    assert all(same(a, store[i]) for i, a in enumerate(given_in))
    assert same(store[-1], given_in[-1])
    assert [r.kind for r in store[1:3]] == [r.kind for r in given_in[1:3]]
    assert store.elements == tuple(sorted({int(z) for r in given_in for z in r.numbers}))


def test_a_killed_writer_goes_on_where_the_last_shard_ended(tmp_path):
    everything = [record(k) for k in range(10)]

    def dies():
        yield from everything[:7]
        raise KeyboardInterrupt

    class Killed(StoreWriter):
        def __exit__(self, *error):  # a killed process does not get here: nothing is flushed
            pass

    out = Killed(tmp_path / "s", shard=3)
    with contextlib.suppress(KeyboardInterrupt), out:
        for number, item in enumerate(dies()):
            out.add([item], number + 1)
    assert len(Store(tmp_path / "s")) == 6
    store = Store.write(tmp_path / "s", everything, shard=3)
    assert len(store) == 10
    assert all(same(a, b) for a, b in zip(everything, store, strict=True))


def test_an_exception_keeps_what_was_added(tmp_path):
    with contextlib.suppress(RuntimeError), StoreWriter(tmp_path / "s", shard=100) as out:
        out.add([record(0), record(1)], 5)
        raise RuntimeError
    again = StoreWriter(tmp_path / "s", shard=100)
    assert (again.cursor, again.written) == (5, 2)


def test_a_half_written_shard_is_invisible_and_removed(tmp_path):
    Store.write(tmp_path, [record(0)])
    (tmp_path / ".part-1-abc").mkdir()
    (tmp_path / ".part-1-abc" / "energy.npy").write_bytes(b"half")
    assert len(Store(tmp_path)) == 1
    Store.write(tmp_path, [record(0), record(1)])
    assert len(Store(tmp_path)) == 2
    assert not list(tmp_path.glob(".part-*"))


def test_several_stores_read_as_one(tmp_path):
    a = Store.write(tmp_path / "a", [record(0), record(2)])
    b = Store.write(tmp_path / "b", [record(1)])
    both = Store(tmp_path / "a", tmp_path / "b")
    assert len(both) == len(a) + len(b)
    assert both.provenance == {"s0": {"structures": 2, "atoms": 6}, "s1": {"structures": 1, "atoms": 3}}
    assert [row[:3] for row in both.summary()] == [("s0", "", 1), ("s0", "üü", 1), ("s1", "ü", 1)]


def test_settings_of_another_store_are_refused(tmp_path):
    Store.write(tmp_path, [record(0)], note="seed 1")
    with pytest.raises(BadInput, match="seed 1"):
        StoreWriter(tmp_path, note="seed 2")


@pytest.mark.parametrize("harm", ["truncated", "missing", "wrong", "no head", "format"])
def test_damage_is_named(tmp_path, harm):
    Store.write(tmp_path, [record(0), record(1)])
    shard = tmp_path / "shard-00000"
    if harm == "truncated":
        path = shard / "positions.npy"
        path.write_bytes(path.read_bytes()[:-20])
    elif harm == "missing":
        (shard / "energy.npy").unlink()
    elif harm == "wrong":
        np.save(shard / "energy.npy", np.zeros(5))
    elif harm == "no head":
        (shard / "shard.json").write_text("{")
    else:
        (shard / "shard.json").write_text(json.dumps({"format": 99}))
    with pytest.raises((DamagedStore, BadInput), match="shard-00000"):
        Store(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(BadInput, match="no such store"):
        Store(tmp_path / "none")
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="no shards"):
        Store(tmp_path)
    with pytest.raises(BadInput, match="something else"):
        StoreWriter(tmp_path)
    with pytest.raises(BadInput, match="no column"):
        Store.write(tmp_path / "s", [record(0)]).column("colour")
