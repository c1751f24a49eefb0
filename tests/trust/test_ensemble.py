"""Moments of ensembles and mixtures against sampling."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.trust.ensemble import combine, mixture


def test_combine_is_mean_and_sample_sd() -> None:
    members = np.random.default_rng(0).normal(size=(5, 3, 2))
    estimate = combine(members, "K")
    np.testing.assert_allclose(estimate.value, members.mean(0))
    np.testing.assert_allclose(estimate.spread, members.std(0, ddof=1))
    assert estimate.unit == "K"


def test_mixture_moments_are_those_of_samples() -> None:
    rng = np.random.default_rng(1)
    means, sds, weights = np.array([0.0, 3.0, -1.0]), np.array([1.0, 0.5, 2.0]), np.array([1.0, 2.0, 1.0])
    pick = rng.choice(3, 400_000, p=weights / weights.sum())
    sample = rng.normal(means[pick], sds[pick])
    ours = mixture(means, sds, weights)
    assert float(ours.mean) == pytest.approx(sample.mean(), abs=0.02)
    assert float(ours.sd) == pytest.approx(sample.std(), abs=0.02)
    assert float(ours.sd) ** 2 == pytest.approx(float(ours.noise) ** 2 + float(ours.disagreement) ** 2)


def test_mixture_of_equal_members_has_no_disagreement() -> None:
    ours = mixture(np.ones((4, 2)), np.full((4, 2), 0.3))
    np.testing.assert_allclose(ours.disagreement, 0)
    np.testing.assert_allclose(ours.sd, 0.3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: combine([[1.0, 2.0]]),
        lambda: combine(1.0),
        lambda: mixture([1.0, 2.0], [1.0]),
        lambda: mixture([1.0], [-1.0]),
        lambda: mixture([1.0], [np.nan]),
        lambda: mixture([1.0, 2.0], [1.0, 1.0], [0.0, 0.0]),
        lambda: mixture([1.0, 2.0], [1.0, 1.0], [1.0]),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()
