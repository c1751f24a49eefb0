"""Who is set aside from training, and who stands in their place."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.health.data.canaries import canaries
from sciai.health.data.synthetic import Synthetic
from sciai.health.data.watched import WatchedData, set_aside
from sciai.health.train.source import training_people

PEOPLE = Synthetic(400, ["age", "sex", "hdl", "phq9"])


def _data(aside: float = 0.2, planted: int = 5) -> WatchedData:
    return WatchedData(PEOPLE, 32, check_leaks=False, aside=aside, planted=planted)


def _batches(data: WatchedData, epochs: int = 2) -> np.ndarray:
    """What training sees in some epochs."""
    loader = iter(data.train_dataloader())
    count = epochs * len(data.split.parts["train"]) // 32
    return np.concatenate([next(loader)["values"].numpy() for _ in range(count)])


def test_training_never_sees_those_set_aside_and_sees_the_canaries() -> None:
    data = _data()
    seen = {row.tobytes() for row in _batches(data)}
    assert len(data.aside) == round(0.2 * len(data.split.parts["train"]))
    assert not any(PEOPLE.values[i].astype("f4").tobytes() in seen for i in data.aside)
    assert all(PEOPLE.values[i].astype("f4").tobytes() in seen for i in data.trained)
    assert all(c.astype("f4").tobytes() in seen for c in data.canaries)


def test_the_copula_is_fitted_to_neither() -> None:
    data = _data()
    np.testing.assert_array_equal(training_people(data).values, PEOPLE.values[data.trained])


def test_other_parts_are_as_they_were() -> None:
    data = _data()
    for part in ("val", "calibrate", "test"):
        for k, row in enumerate(data.split.parts[part]):
            np.testing.assert_array_equal(data.part(part)[k]["values"], PEOPLE.values[row].astype("f4"))


def test_what_is_on_the_card_draws_the_same_canaries_again() -> None:
    data = _data()
    told = data.provenance["watched"]["canaries"]
    again = canaries(PEOPLE.values[set_kept(data)], told["n"], told["seed"])
    np.testing.assert_array_equal(data.canaries, again)


def set_kept(data: WatchedData) -> np.ndarray:
    training = np.asarray(data.split.parts["train"])
    return np.setdiff1d(training, set_aside(training, 0.2, 0))


def test_nothing_is_watched_without_share_and_canaries() -> None:
    data = _data(0.0, 0)
    assert len(data.aside) == 0
    assert not np.isnan(_batches(data)).all(1).any()


def test_more_canaries_than_places_are_refused() -> None:
    with pytest.raises(BadInput, match="planted"):
        _data(0.01, 50)
