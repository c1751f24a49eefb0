"""The one LightningDataModule: group-aware parts, and an order of batches that a resumed run picks up again.

Training batches are one endless stream: permutation after permutation of the training items, cut into
batches of the same size. Batch number k is a function of (seed, k) alone, so the order does not depend on the
number of processes, of loader workers, or of times the run was killed. The batch size is that of all
processes together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.loops.progress import _ProcessedTracker
from torch.utils.data import DataLoader, Dataset, Subset

from sciai.core.errors import BadInput, SciaiError
from sciai.core.split import Indices, Split, blocks, fingerprint, leaks, split_by_group

__all__ = ["DataModule", "Split", "blocks", "fingerprint", "leaks", "split_by_group"]

TRAIN, VAL, CALIBRATE, TEST = PARTS = "train", "val", "calibrate", "test"


class DataModule(pl.LightningDataModule):
    """Splits a dataset and serves its parts.

    Args:
        dataset: has ``len`` and ``[i]``. It may also have ``groups`` (the group of each item), ``provenance``
            (a mapping for the card), and ``item(i, rng)``, which then replaces ``[i]`` in training: random
            crops and the like draw from ``rng``, a numpy generator seeded by (seed, epoch, item).
        batch_size: items per training batch, over all processes together.
        fractions: part -> share of the items. Parts are train, val, calibrate, test.
        seed: seed of split and order.
        groups: the group of each item; None asks the dataset, which without groups has one per item.
        hold_out: part -> groups that have to be there.
        collate: makes a batch of items; None is torch's.
        num_workers: loader processes; 0 loads in the training process.
        eval_batch_size: items per batch elsewhere, per process; None as in training.
        check_leaks: look for equal items in different parts before training. It reads the whole dataset once.
        leak_key: what makes two items the same for that check.

    Raises:
        BadInput: on an empty dataset, a batch size below 1, groups that do not fit it, or a part that nobody
            would look at.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        fractions: Mapping[str, float] | None = None,
        seed: int = 0,
        *,
        groups: Sequence[Hashable] | None = None,
        hold_out: Mapping[str, Sequence[Hashable]] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
        eval_batch_size: int | None = None,
        check_leaks: bool = True,
        leak_key: Callable[[Any], Hashable] = fingerprint,
    ) -> None:
        super().__init__()
        if len(dataset) == 0 or batch_size < 1 or batch_size != int(batch_size):
            raise BadInput(f"{len(dataset)} items in batches of {batch_size}", field="dataset")
        for field, parts in (("fractions", fractions), ("hold_out", hold_out)):
            if not isinstance(parts, Mapping | None):
                raise BadInput(f"{field} is {parts!r}", field=field, fix="write {train: 0.8, test: 0.2}, say")
            if odd := sorted(set(parts or ()) - set(PARTS)):
                raise BadInput(
                    f"no part is called {', '.join(map(str, odd))}",
                    field=field,
                    fix=f"there are {', '.join(PARTS)}",
                )
        groups = groups if groups is not None else getattr(dataset, "groups", None)
        groups = range(len(dataset)) if groups is None else groups
        if len(groups) != len(dataset):
            raise BadInput(f"{len(groups)} groups for {len(dataset)} items", field="groups")
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        shares = {TRAIN: 0.7, VAL: 0.1, CALIBRATE: 0.1, TEST: 0.1} if fractions is None else fractions
        self.split = split_by_group(groups, shares, seed, hold_out)
        if TRAIN not in self.split.parts:
            raise BadInput("no part is called train", field="fractions")
        self._collate, self._workers = collate, num_workers
        self._eval_batch_size = eval_batch_size or batch_size
        self._check_leaks, self._leak_key = check_leaks, leak_key

    @property
    def provenance(self) -> dict[str, Any]:
        """What the dataset says about its origin."""
        return dict(getattr(self.dataset, "provenance", {}))

    def part(self, name: str) -> Subset[Any]:
        """The items of a part, in the dataset's order; empty where the split has no such part."""
        return Subset(self.dataset, [int(i) for i in self.split.parts.get(name, ())])

    def check(self) -> None:
        """Look for leaks.

        Raises:
            SciaiError: when parts share items.
        """
        if found := leaks(self.dataset, self.split, self._leak_key):
            raise SciaiError("; ".join(map(str, found)))

    def setup(self, stage: str) -> None:
        """Check for leaks before training; every process does, on the same split."""
        if stage == "fit" and self._check_leaks:
            self.check()
            self._check_leaks = False  # once per data module is enough

    def train_dataloader(self) -> DataLoader[Any]:
        """The stream of training batches, from where the trainer is."""
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        if world > 1 and trainer is not None and trainer._accelerator_connector.use_distributed_sampler:
            raise SciaiError(
                "the data module deals the batches itself: use Trainer(use_distributed_sampler=False)"
            )
        stream = BatchStream(
            self.split.parts[TRAIN], self.batch_size, self.seed, rank, world, position=self._position
        )
        return _StreamLoader(
            _Items(self.dataset, self.seed),
            batch_sampler=stream,
            collate_fn=self._collate,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
        )

    def val_dataloader(self) -> Any:
        """The validation part, in order; an empty list where there is none."""
        return self.loader(VAL, shared=True)

    def test_dataloader(self) -> Any:
        """The test part, in order; an empty list where there is none."""
        return self.loader(TEST, shared=True)

    def predict_dataloader(self) -> Any:
        """The test part, in order."""
        return self.loader(TEST, shared=True)

    def loader(self, part: str, *, shared: bool = False) -> Any:
        """A part's items in order, in batches; an empty list where there are none.

        Args:
            part: name of the part.
            shared: deal the items to the processes of the run. Otherwise each process that asks gets all.
        """
        items = self.part(part)
        if len(items) == 0:
            return []
        if shared and self.trainer is not None and self.trainer.world_size <= len(items):
            # with fewer items than processes each evaluates all of them: the mean is the same, nobody waits
            items = Subset(items, range(self.trainer.global_rank, len(items), self.trainer.world_size))
        return DataLoader(
            items, batch_size=self._eval_batch_size, collate_fn=self._collate, num_workers=self._workers
        )

    def _position(self) -> int:
        """Number of training batches this run has behind it, also those before it was killed."""
        if self.trainer is None:
            return 0
        # not `completed`: it still lacks the last batch in a checkpoint saved at that batch's end
        return cast(_ProcessedTracker, self.trainer.fit_loop.epoch_loop.batch_progress.total).processed


class BatchStream:
    """Batches of (item, epoch) pairs without end; iterating starts at ``position()``.

    Args:
        items: the item numbers of the training part, shape (n,).
        batch_size: pairs per batch, over all processes.
        seed: seed of the permutations.
        rank: this process's number.
        world: number of processes; each gets an equal share of every batch.
        position: gives the batch number to start at.

    Raises:
        BadInput: when a batch cannot be shared equally.

    >>> stream = BatchStream(np.arange(3), batch_size=2, seed=0)
    >>> batches = iter(stream)
    >>> sorted(item for _ in range(3) for item, epoch in next(batches))  # two permutations of three items
    [0, 0, 1, 1, 2, 2]
    """

    def __init__(
        self,
        items: Indices,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        position: Callable[[], int] = lambda: 0,
    ) -> None:
        if batch_size % world:
            raise BadInput(
                f"a batch of {batch_size} cannot be shared by {world} processes",
                field="batch_size",
                fix=f"use a multiple of {world}; the batch size counts all processes together",
            )
        self._items, self._size, self._seed = items, batch_size, seed
        self._rank, self._world, self._position = rank, world, position

    def __len__(self) -> int:
        """Batches in an epoch: enough to see every item."""
        return math.ceil(len(self._items) / self._size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        n, batch = len(self._items), self._position()
        epoch, order = -1, self._items
        while True:
            pairs: list[tuple[int, int]] = []
            for place in range(batch * self._size, (batch + 1) * self._size):
                if place // n != epoch:
                    epoch = place // n
                    order = np.random.default_rng([self._seed, epoch]).permutation(self._items)
                pairs.append((int(order[place % n]), epoch))
            yield pairs[self._rank :: self._world]
            batch += 1


class _Items(Dataset[Any]):
    """Looks up (item, epoch) pairs; a dataset with ``item(i, rng)`` gets its own seeded generator."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self._dataset, self._seed = dataset, seed
        self._random = hasattr(dataset, "item")

    def __getitem__(self, pair: tuple[int, int]) -> Any:
        index, epoch = pair
        if self._random:
            return self._dataset.item(index, np.random.default_rng([self._seed, epoch, index]))
        return self._dataset[index]

    def __len__(self) -> int:
        return len(self._dataset)


class _StreamLoader(DataLoader[Any]):
    """Tells Lightning that it can be resumed.

    The position comes from the trainer's own counters, which Lightning saves, so there is nothing more to
    save here: a second copy could only disagree.
    """

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass
