"""A data module that makes a model's memory measurable: people set aside, and canaries in the training.

Whether a model remembers its people can only be told by comparing them with others who differ in nothing but
that it never saw them. People of other sampling units will not do: they live elsewhere, and a model that
knows a place knows nobody. So a few people of the training units are set aside, at random: neither the copula
nor the network sees them. Canaries (``sciai.health.data.canaries``) stand in the place of some of them in the
network's training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.data import DataModule
from sciai.core.errors import BadInput
from sciai.health.data.canaries import canaries

__all__ = ["WatchedData", "set_aside"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def set_aside(training: Rows, share: float, seed: int = 0) -> Rows:
    """Which people of the training part are not trained on.

    Args:
        training: rows of the training part.
        share: share of them, 0 <= share < 1.
        seed: of the draw.

    Returns:
        Their rows, ascending.

    >>> set_aside(np.arange(10), 0.2).shape
    (2,)
    """
    rng = np.random.default_rng([seed, 0xA51DE])
    return np.sort(rng.permutation(np.asarray(training))[: round(share * len(training))])


class WatchedData(DataModule):
    """People of whose training part some are set aside, and canaries are trained on in the place of a few.

    Args:
        dataset: ``sciai.health.data.tables.People`` or like it: has ``values`` (n, d).
        batch_size: see ``DataModule``.
        fractions: see ``DataModule``.
        seed: see ``DataModule``; also of who is set aside and of the canaries.
        aside: share of the training part that is set aside.
        planted: number of canaries; at most as many as people are set aside.
        more: see ``DataModule``.

    Attributes:
        aside: rows of the people set aside.
        trained: rows of the people that are trained on.
        canaries: shape (planted, d).

    Raises:
        BadInput: when there are more canaries than places for them.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        fractions: Any = None,
        seed: int = 0,
        *,
        aside: float = 0.06,
        planted: int = 16,
        **more: Any,
    ) -> None:
        super().__init__(_Watched(dataset), batch_size, fractions, seed, **more)
        training = np.asarray(self.split.parts["train"])
        self.aside = set_aside(training, aside, seed)
        self.trained = np.setdiff1d(training, self.aside)
        if planted > len(self.aside) or not 0 <= aside < 1:
            raise BadInput(
                f"{planted} canaries for {len(self.aside)} people set aside ({aside:g} of the training part)",
                field="planted",
                fix="set more people aside, or plant fewer",
            )
        values = dataset.values
        self.canaries = canaries(values[self.trained], planted, seed) if planted else values[:0]
        self.dataset.stand_in = {int(row): None for row in self.aside}
        # drawn, not the first ones: rows are in the order of the survey's years
        places = np.random.default_rng([seed, 0xCA9]).permutation(self.aside)[:planted]
        self.dataset.stand_in |= {int(row): c for row, c in zip(places, self.canaries, strict=True)}
        self.watch = {"set_aside": len(self.aside), "canaries": {"n": planted, "seed": seed}}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the dataset says about its origin, and what was done to its training part."""
        return {**super().provenance, "watched": self.watch}


class _Watched:
    """A dataset that in training gives canaries, or nothing, in the place of people who are set aside."""

    def __init__(self, people: Any) -> None:
        self._people = people
        self.stand_in: dict[int, Floats | None] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_people":
            raise AttributeError(name)
        return getattr(self._people, name)

    def __len__(self) -> int:
        return len(self._people)

    def __getitem__(self, index: int) -> dict[str, npt.NDArray[np.float32]]:
        person: dict[str, npt.NDArray[np.float32]] = self._people[index]
        return person

    def item(self, index: int, rng: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
        """What training sees of row ``index``: a row without values is in no loss."""
        person = self[index]
        if index not in self.stand_in:
            return person
        other = self.stand_in[index]
        row = np.full(person["values"].shape, np.nan) if other is None else other
        return {**person, "values": row.astype("f4"), "weight": np.ones_like(person["weight"])}
