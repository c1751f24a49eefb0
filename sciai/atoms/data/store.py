"""Labelled structures on disk: shards of plain numpy arrays that appear complete or not at all.

A store is a folder of shards, a shard a folder of ``.npy`` files (no pickle) and ``shard.json``. A shard is
written beside its place and renamed, so a reader, also one that runs at the same time, sees whole shards
only, and a run that was killed goes on at its cursor.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sciai.atoms.data.records import Record
from sciai.core.errors import BadInput, DamagedStore

__all__ = ["Store", "StoreWriter"]

_FORMAT = 1
_TEXTS = ("source", "group", "kind")
_ARRAYS = ("starts", "numbers", "positions", "forces", "cell", "pbc", "energy", "stress", "weight", *_TEXTS)


class Store(Sequence[Record]):
    """Reads the records of one or more store folders.

    Args:
        folders: store folders; read one behind the other.
        mapped: leave the arrays on disk and map them into memory. Otherwise they are read at once: faster,
            and 30,000 small cells are 50 MB.

    Raises:
        BadInput: when a folder does not exist or is not a store.
        DamagedStore: when a shard cannot be read.
    """

    def __init__(self, *folders: str | os.PathLike[str], mapped: bool = False) -> None:
        if not folders:
            raise BadInput("no store folder given", field="folders")
        self.folders = tuple(Path(folder) for folder in folders)
        self._shards: list[dict[str, Any]] = []
        for folder in self.folders:
            if not folder.is_dir():
                raise BadInput("there is no such store", file=folder, fix="build one: sciai atoms data build")
            paths = sorted(folder.glob("shard-*/shard.json"))
            if not paths and any(p for p in folder.iterdir() if not p.name.startswith(".")):
                raise BadInput("the folder holds no shards of structures", file=folder)
            self._shards += [_read_shard(path.parent, mapped) for path in paths]
        counts = [len(shard["energy"]) for shard in self._shards]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = int(index) + (len(self) if index < 0 else 0)
        if not 0 <= i < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        k = int(np.searchsorted(self._starts, i, side="right")) - 1
        return _record(self._shards[k], i - int(self._starts[k]))

    def column(self, name: str) -> Any:
        """One field of all records: source, group, kind, energy, weight, or ``sizes`` (atoms)."""
        if name == "sizes":
            parts = [np.diff(shard["starts"]) for shard in self._shards]
        elif name in (*_TEXTS, "energy", "weight"):
            parts = [shard[name] for shard in self._shards]
        else:
            raise BadInput(f"there is no column {name!r}", fix="source, group, kind, energy, weight or sizes")
        return np.concatenate(parts) if parts else np.empty(0, "U1" if name in _TEXTS else float)

    @property
    def groups(self) -> list[str]:
        """The group of every record."""
        return [str(group) for group in self.column("group")]

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, sorted."""
        return tuple(sorted({str(source) for source in self.column("source")}))

    @property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, sorted."""
        found: set[int] = set()
        for shard in self._shards:
            found |= set(np.unique(shard["numbers"]).tolist())
        return tuple(sorted(found))

    @property
    def provenance(self) -> dict[str, Any]:
        """For the card: how many structures and atoms of each source."""
        sizes, sources = self.column("sizes"), self.column("source")
        return {
            name: {"structures": int((sources == name).sum()), "atoms": int(sizes[sources == name].sum())}
            for name in self.sources
        }

    def summary(self) -> list[tuple[str, str, int, int]]:
        """(source, kind, structures, atoms) of each source and kind."""
        sizes, keys = self.column("sizes"), zip(self.column("source"), self.column("kind"), strict=True)
        table: dict[tuple[str, str], list[int]] = {}
        for key, size in zip(keys, sizes, strict=True):
            row = table.setdefault((str(key[0]), str(key[1])), [0, 0])
            row[0], row[1] = row[0] + 1, row[1] + int(size)
        return [(source, kind, n, atoms) for (source, kind), (n, atoms) in sorted(table.items())]

    @staticmethod
    def write(
        folder: str | os.PathLike[str], records: Iterable[Record], *, shard: int = 500, note: str = ""
    ) -> Store:
        """Write records, shard by shard; called again with the same records it goes on where it was killed.

        Args:
            folder: the store's folder; made if it is not there.
            records: what to write. Those that are there already are skipped, by number.
            shard: records per shard.
            note: what the store was made from; another note in the same folder is refused.

        Raises:
            BadInput: when the folder holds a store with another note.
        """
        with StoreWriter(folder, shard=shard, note=note) as out:
            for number, record in itertools.islice(enumerate(records), out.cursor, None):
                out.add([record], number + 1)
        return Store(folder)


class StoreWriter:
    """Appends records to a store; use it in a ``with`` block.

    What was added since the last shard is written when the block ends, also by an exception, and lost when
    the process is killed: `cursor` then is where the last whole shard ended.

    Args:
        folder: the store's folder; made if it is not there.
        shard: records per shard.
        note: what the store is made from.

    Attributes:
        cursor: position in the caller's work behind the last record on disk; 0 for a new store.
        reached: the same behind the last record added.
        written: records on disk.

    Raises:
        BadInput: when the folder holds a store with another note, or something else.
    """

    def __init__(self, folder: str | os.PathLike[str], *, shard: int = 500, note: str = "") -> None:
        if shard < 1:
            raise BadInput(f"{shard} records per shard", field="shard", fix="use 1 or more")
        self.folder, self._size, self._note = Path(folder), shard, note
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".part-*"):
            shutil.rmtree(left, ignore_errors=True)
        shards = sorted(self.folder.glob("shard-*"))
        if not shards and any(self.folder.iterdir()):
            raise BadInput("the folder holds something else", file=self.folder, fix="choose a new one")
        self._next, self.cursor, self.written = len(shards), 0, 0
        for path in shards:
            head = _head(path)
            if head["note"] != note:
                raise BadInput(
                    f"the store was made from {head['note']!r}, not from {note!r}",
                    file=self.folder, fix="choose a new folder, or the same settings",
                )  # fmt: skip
            self.cursor, self.written = max(self.cursor, head["cursor"]), self.written + head["records"]
        self._waiting: list[Record] = []
        self.reached = self.cursor

    def add(self, records: Iterable[Record], cursor: int) -> None:
        """Take the records of one piece of work; `cursor` is where the work goes on behind it."""
        self._waiting += records
        self.reached = cursor
        if len(self._waiting) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a shard."""
        if not self._waiting:
            return
        part = self.folder / f".part-{os.getpid()}-{secrets.token_hex(4)}"
        part.mkdir()
        try:
            for name, array in _arrays(self._waiting).items():
                np.save(part / f"{name}.npy", array, allow_pickle=False)
            head = {
                "format": _FORMAT, "records": len(self._waiting), "cursor": self.reached, "note": self._note,
            }  # fmt: skip
            (part / "shard.json").write_text(json.dumps(head))
            os.rename(part, self.folder / f"shard-{self._next:05d}")
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self.written += len(self._waiting)
        self._next, self.cursor, self._waiting = self._next + 1, self.reached, []

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()


def _head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads((path / "shard.json").read_text())
        version = head["format"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise DamagedStore(f"{path} is no whole shard ({err}); remove it and build again") from err
    if version != _FORMAT:
        raise BadInput(f"the store has format {version}; this version reads {_FORMAT}", file=path)
    return dict(head)


def _arrays(records: list[Record]) -> dict[str, Any]:
    missing = np.full((3, 3), np.nan)
    return {
        "starts": np.concatenate([[0], np.cumsum([len(r) for r in records])]).astype(np.int64),
        "numbers": np.concatenate([r.numbers for r in records]).astype(np.uint8),
        "positions": np.concatenate([r.positions for r in records]).astype(float),
        "forces": np.concatenate(
            [np.full((len(r), 3), np.nan) if r.forces is None else r.forces for r in records]
        ),
        "cell": np.stack([r.cell for r in records]).astype(float),
        "pbc": np.stack([r.pbc for r in records]).astype(bool),
        "energy": np.array([np.nan if r.energy is None else r.energy for r in records], float),
        "stress": np.stack([missing if r.stress is None else r.stress for r in records]),
        "weight": np.array([r.weight for r in records], float),
        **{name: np.array([getattr(r, name) for r in records], np.str_) for name in _TEXTS},
    }


def _read_shard(path: Path, mapped: bool) -> dict[str, Any]:
    head = _head(path)
    arrays: dict[str, Any] = {}
    for name in _ARRAYS:
        try:
            arrays[name] = np.load(
                path / f"{name}.npy",
                # memory mapping refuses empty files, and the texts are small
                mmap_mode="r" if mapped and name not in _TEXTS else None,
                allow_pickle=False,
            )
        except (OSError, ValueError, EOFError) as err:
            raise DamagedStore(f"{path / name}.npy cannot be read ({err}); build the store again") from err
    atoms = int(arrays["starts"][-1])
    if len(arrays["energy"]) != head["records"] or any(
        len(arrays[name]) != atoms for name in ("numbers", "positions", "forces")
    ):
        raise DamagedStore(f"the arrays of {path} do not fit each other; build the store again")
    return arrays


def _record(shard: dict[str, Any], i: int) -> Record:
    a, b = int(shard["starts"][i]), int(shard["starts"][i + 1])
    forces, stress, energy = shard["forces"][a:b], shard["stress"][i], float(shard["energy"][i])
    return Record(
        numbers=shard["numbers"][a:b],
        positions=shard["positions"][a:b],
        cell=shard["cell"][i],
        pbc=shard["pbc"][i],
        energy=None if np.isnan(energy) else energy,
        forces=None if b > a and np.isnan(forces[0, 0]) else forces,
        stress=None if np.isnan(stress[0, 0]) else stress,
        source=str(shard["source"][i]),
        group=str(shard["group"][i]),
        weight=float(shard["weight"][i]),
        kind=str(shard["kind"][i]),
    )
