"""The training part of a data module's config: networks here start from statistics of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.health.data.columns import Schema
from sciai.health.train.own_table import agreed

__all__ = ["TrainingPeople", "training_people", "training_rows"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrainingPeople:
    """People of the training part.

    Attributes:
        schema: the columns.
        values: shape (n, d).
    """

    schema: Schema
    values: Floats


def training_people(data: Mapping[str, Any]) -> TrainingPeople:
    """The people that a data module would train on.

    Args:
        data: its config, with ``_target_``; or the data module itself.

    Raises:
        BadInput: a table or schema that answers could not rely on (``own_table.agreed``).
    """
    from hydra.utils import instantiate

    module: Any = data if hasattr(data, "split") else instantiate(data)
    rows = training_rows(module)
    return TrainingPeople(agreed(module.dataset).schema, module.dataset.values[rows])


def training_rows(module: Any) -> npt.NDArray[np.int64]:
    """Rows of the training part of a data module, without those it sets aside (``WatchedData``)."""
    return np.asarray(getattr(module, "trained", module.split.parts.get("train", [])), np.int64)
