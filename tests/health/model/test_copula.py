"""The Gaussian copula: its conditionals are those of its joint distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.data.synthetic import Synthetic
from sciai.health.model.copula import Copula, CopulaJoint, fit_copula, strong_pairs
from sciai.health.model.interface import load_joint
from sciai.health.model.margins import Layout

COLUMNS = [
    "age",
    "sex",
    "race_eth",
    "education",
    "sbp",
    "hdl",
    "hba1c",
    "cotinine",
    "phq9",
    "dx_diabetes",
    "smoking",
]
PEOPLE = Synthetic(600, COLUMNS)
JOINT = CopulaJoint(fit_copula(PEOPLE.schema, PEOPLE.values, rounds=3))
NUMBERS = tuple(Column(f"x{i}", Kind.CONTINUOUS, decimals=3, low=-1e9, high=1e9) for i in range(4))


def _known(n: int, seed: int, share: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = PEOPLE.values[rng.integers(len(PEOPLE), size=n)]
    return np.where(rng.random(values.shape) < share, values, np.nan)


def test_latents_follow_the_conditional_normal() -> None:
    """Mean and variance as scipy's multivariate normal has them: a ratio of joint densities."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    cov = root @ root.T
    sd = np.sqrt(np.diag(cov))
    correlation = cov / np.outer(sd, sd)
    values = rng.multivariate_normal(np.zeros(4), correlation, 4000)
    fitted = fit_copula(Schema(NUMBERS), values)
    copula = Copula(fitted.schema, fitted.layout, correlation)
    z = rng.normal(size=(3, 4))
    known = np.array([[True, True, False, False]] * 3)
    mean, spread = copula.conditional(z, known)
    scale = copula.scale[2]
    assert abs(scale - 1) < 0.02  # of a continuous column
    for row in range(3):
        at = np.linspace(-1, 1, 5) / scale
        told = norm.logpdf(at, mean[row, 2], spread[row, 2])
        points = np.stack([np.r_[z[row, :2], a * scale] for a in at])
        direct = multivariate_normal(cov=correlation[:3, :3]).logpdf(points) - multivariate_normal(
            cov=correlation[:2, :2]
        ).logpdf(z[row, :2])
        # up to the constant of the change of scale
        np.testing.assert_allclose(told - told[0], direct - direct[0], rtol=0.03, atol=0.02)


def test_shrinking_spares_the_strong_pairs() -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(4, 4)) * 0.15 + np.eye(4)
    root[1] = root[0] + 0.1 * rng.normal(size=4)  # x0 and x1 are nearly the same
    values = rng.normal(size=(3000, 4)) @ root.T
    plain, even, spared = (
        fit_copula(Schema(NUMBERS), values, shrink=shrink, spare=spare).correlation
        for shrink, spare in ((0.0, 1.0), (0.3, 1.0), (0.3, 0.5))
    )
    assert plain[0, 1] > 0.9
    assert even[0, 1] == pytest.approx(0.7 * plain[0, 1], abs=0.02)
    assert spared[0, 1] == pytest.approx(plain[0, 1], abs=0.02)
    assert abs(spared[2, 3]) < 0.8 * abs(plain[2, 3])


def test_strong_pairs_have_the_inverse_of_their_graph() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(200, 8)) + rng.normal(size=(200, 1))
    correlation = np.corrcoef(values.T)
    fitted = strong_pairs(correlation, np.arange(8), 0.15, sweeps=500)
    inverse, partial = np.linalg.inv(fitted), np.linalg.inv(0.995 * correlation + 0.005 * np.eye(8))
    weak = np.abs(partial) < 0.15 * np.sqrt(np.outer(np.diag(partial), np.diag(partial)))
    assert 8 < weak.sum() < 48
    np.testing.assert_allclose(inverse[weak], 0, atol=1e-3)
    np.testing.assert_allclose(fitted[~weak], (0.995 * correlation + 0.005 * np.eye(8))[~weak], atol=1e-3)


def test_numbers_have_the_same_likelihood_in_any_order() -> None:
    rng = np.random.default_rng(1)
    values = rng.multivariate_normal(np.zeros(4), 0.5 * np.eye(4) + 0.5, 5000)
    joint = CopulaJoint(fit_copula(Schema(NUMBERS), values))
    rows = values[:200, :2]
    rows = np.concatenate([rows, np.full((200, 2), np.nan)], 1)
    ab = joint._chain(np.full_like(rows, np.nan), rows, ~np.isnan(rows), np.array([0, 1]))
    ba = joint._chain(np.full_like(rows, np.nan), rows, ~np.isnan(rows), np.array([1, 0]))
    assert abs((ab - ba).mean()) < 0.02
    assert np.abs(ab - ba).mean() < 0.1  # bins of finite width


def test_the_correlation_is_recovered_from_people_with_gaps() -> None:
    rng = np.random.default_rng(2)
    truth = np.full((4, 4), 0.6) + 0.4 * np.eye(4)
    values = rng.multivariate_normal(np.zeros(4), truth, 6000)
    values[rng.random(values.shape) < 0.4] = np.nan
    found = fit_copula(Schema(NUMBERS), np.exp(values), shrink=0.0).correlation
    assert np.abs(found - truth).max() < 0.05


def test_untangles_what_levels_hide() -> None:
    """The correlation of a latent normal behind a rare diagnosis, not that of the yes and no."""
    rng = np.random.default_rng(3)
    latent = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 20_000)
    yes = Column("yes", Kind.BINARY, levels=("no", "yes"), codes=(0, 1))
    values = np.stack([latent[:, 0], latent[:, 1] > 1.3], 1).astype(float)
    copula = fit_copula(Schema((NUMBERS[0], yes)), values)
    mean, _ = copula.conditional(copula.scores(np.array([[1.0, np.nan]])), np.array([[True, False]]))
    assert abs(mean[0, 1] - 0.6) < 0.05
    told = copula.bins(
        1, *copula.conditional(copula.scores(np.array([[1.0, np.nan]])), np.array([[True, False]]))
    )
    assert abs(told[0, 1] - norm.sf((1.3 - 0.6) / 0.8)) < 0.02


@given(st.integers(0, 1000), st.floats(0, 1))
def test_laws_of_any_question(seed: int, share: float) -> None:
    known = _known(6, seed, share)
    told = JOINT.predictive(known, COLUMNS)
    for name, predictive in told.items():
        assert predictive.rows == 6
        if not predictive.column.numeric:
            np.testing.assert_allclose(predictive.probabilities().sum(1), 1, atol=1e-9)
        else:
            assert (np.diff(predictive.quantile([0.1, 0.5, 0.9]), axis=1) >= 0).all()
        # its own value plays no part
        hidden = known.copy()
        hidden[:, PEOPLE.schema.index(name)] = np.nan
        np.testing.assert_allclose(
            predictive.cdf(1.0), JOINT.predictive(hidden, [name])[name].cdf(1.0), atol=1e-9
        )


def test_samples_keep_what_is_known_and_fill_in_the_rest() -> None:
    known = _known(200, 5)
    drawn = JOINT.sample(known, np.random.default_rng(0))
    there = ~np.isnan(known)
    assert not np.isnan(drawn).any()
    np.testing.assert_array_equal(drawn[there], known[there])
    for i, column in enumerate(PEOPLE.schema.columns):
        if column.numeric:
            assert (drawn[:, i] >= column.low - 1).all()
            np.testing.assert_allclose(drawn[:, i], np.round(drawn[:, i], column.decimals))
        else:
            assert set(drawn[:, i]) <= set(range(len(column.levels)))
    again = JOINT.sample(known, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, again)


def test_samples_hang_together() -> None:
    drawn = JOINT.sample(np.full((4000, len(COLUMNS)), np.nan), np.random.default_rng(1))
    numbers = [i for i, c in enumerate(PEOPLE.schema.columns) if c.numeric]
    told = np.corrcoef(JOINT.copula.scores(drawn)[:, JOINT.copula.starts[numbers]].T)
    real = JOINT.copula.correlation[np.ix_(JOINT.copula.starts[numbers], JOINT.copula.starts[numbers])]
    assert np.abs(told - real).max() < 0.08


def test_likelihood_by_the_chain_rule() -> None:
    rows = _known(20, 9, 0.8)
    given_age = np.array([n == "age" for n in COLUMNS])
    whole = JOINT.log_prob(rows)
    only_age = np.where(given_age, rows, np.nan)
    np.testing.assert_allclose(whole, JOINT.log_prob(only_age) + JOINT.log_prob(rows, given_age), atol=1e-9)
    assert (JOINT.log_prob(np.full((2, len(COLUMNS)), np.nan)) == 0).all()
    assert np.isfinite(JOINT.log_prob(rows, orders=2, rng=np.random.default_rng(0))).all()


def test_stored_and_loaded(tmp_path) -> None:
    card = Card("tiny", "health", extra={"model": "copula"})
    Checkpoint(JOINT.copula.to_arrays(), card).save(tmp_path / "tiny")
    again = load_joint(Checkpoint.load(tmp_path / "tiny"))
    known = _known(10, 3)
    for name, told in again.predictive(known, COLUMNS).items():
        np.testing.assert_allclose(told.cdf(1.0), JOINT.predictive(known, [name])[name].cdf(1.0), atol=1e-5)


def test_what_is_no_model_of_a_body_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no model of a body"):
        load_joint(Checkpoint({"w": np.zeros(3, "f4")}, Card("other", "radar")))
    with pytest.raises(CheckpointError, match="lacks"):
        load_joint(Checkpoint({"w": np.zeros(3, "f4")}, Card("other", "health", extra={"model": "copula"})))
    with pytest.raises(BadInput, match="columns"):
        JOINT.predictive(np.zeros((2, 3)), ["age"])


def test_nobody_and_nothing() -> None:
    told = JOINT.predictive(np.empty((0, len(COLUMNS))), ["age"])
    assert told["age"].rows == 0
    layout = Layout.of(JOINT.layout.margins)
    assert layout.starts[-1] == sum(m.n_bins for m in JOINT.layout.margins)
