"""False alarms no more often than said, real drift soon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from sciai.core.errors import BadInput
from sciai.trust.drift import Drift
from sciai.trust.support import Mahalanobis

Floats = npt.NDArray[np.float64]


def alarms(stream: Callable[[np.random.Generator], Floats], streams: int, rate: float) -> float:
    raised = 0
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        drift = Drift(rng.normal(size=100).tolist(), rate)
        drift.observe(stream(rng))
        raised += drift.alarmed_at is not None
    return raised / streams


def test_false_alarms_stay_below_their_rate() -> None:
    # a stream ten times longer than the held-out part, whose chance error must not count
    assert alarms(lambda rng: rng.normal(size=1000), 60, 0.1) <= 0.15  # 10 of 60 or more: 1 in 30


@pytest.mark.parametrize(("shift", "scale"), [(1.0, 1.0), (-1.0, 1.0)])
def test_drift_to_far_and_to_near_is_found(shift: float, scale: float) -> None:
    assert alarms(lambda rng: shift + scale * rng.normal(size=150), 40, 0.01) >= 0.9


def test_the_same_question_again_and_again_is_a_drift() -> None:
    drift = Drift(np.random.default_rng(0).normal(size=300).tolist())
    drift.observe(np.full(200, -1.5))
    assert "more alike" in drift.check()[0].message


def test_with_real_distances() -> None:
    rng = np.random.default_rng(0)
    measure = Mahalanobis.fit(rng.normal(size=(500, 5)))
    held_out = measure.distance(rng.normal(size=(400, 5))).tolist()
    same, shifted = Drift(held_out), Drift(held_out)
    same.observe(measure.distance(rng.normal(size=(300, 5))))
    shifted.observe(measure.distance(rng.normal(size=(300, 5)) + 1.0))
    assert same.check() == []
    assert "farther" in shifted.check()[0].message
    assert shifted.alarmed_at is not None
    assert shifted.alarmed_at < 60


def test_it_goes_on_where_it_was_stopped() -> None:
    rng = np.random.default_rng(3)
    held_out, stream = rng.normal(size=50).tolist(), rng.normal(size=100)
    whole, part = Drift(held_out), Drift(held_out)
    whole.observe(stream)
    part.observe(stream[:40])
    part = Drift.from_dict(part.to_dict())
    part.observe(stream[40:])
    assert part == whole


def test_an_infinite_distance_counts_as_far() -> None:
    drift = Drift(np.arange(50.0).tolist())
    drift.observe([np.inf] * 30)
    assert "farther" in drift.check()[0].message


def test_bad_input() -> None:
    known = np.arange(50.0).tolist()
    with pytest.raises(BadInput, match="not a number"):
        Drift(known).observe([np.nan])
    with pytest.raises(BadInput, match="rate"):
        Drift(known, rate=0)
    with pytest.raises(BadInput, match="too few"):
        Drift([1.0])
    with pytest.raises(BadInput, match="not the state"):
        Drift.from_dict({"odd": 1})
    with pytest.raises(BadInput, match="another version"):
        Drift.from_dict({"known": known, "log_capital": [0.0]})
