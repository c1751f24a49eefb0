"""Training under differential privacy: what is released is noisy, and epsilon counts all of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("opacus", reason="extra dp")

from sciai.core.errors import BadInput
from sciai.core.run import compose
from sciai.health.data.columns import default_schema
from sciai.health.data.synthetic import invent
from sciai.health.model.copula import CopulaJoint
from sciai.health.train.dp import _grid, _loss_of_each, _private_margin, network, private_copula, spent

SCHEMA = default_schema()
pytestmark = pytest.mark.usefixtures("one_thread")


def curved(n: int) -> np.ndarray:
    """Invented people in whom the young and the old sleep badly: no copula knows that."""
    values = invent(SCHEMA, n)
    age, bad = values[:, SCHEMA.index("age")], SCHEMA.index("trouble_sleeping_told")
    values[:, bad] = np.where(np.isnan(age), np.nan, np.abs(age - np.nanmedian(age)) > np.nanstd(age))
    return values


class People:
    """A data module as far as ``training_people`` looks."""

    def __init__(self, n: int) -> None:
        from types import SimpleNamespace

        self.split = SimpleNamespace(parts={"train": np.arange(n)})
        self.dataset = SimpleNamespace(schema=SCHEMA, values=curved(n))


def test_each_release_costs_and_more_noise_costs_less() -> None:
    whole = spent((1.1, 2.5, 2.0), 0.04, 150, 1e-5)
    assert spent((1.1, 1e6, 1e6), 0.04, 150, 1e-5) < whole
    assert spent((1e6, 2.5, 2.0), 0.04, 150, 1e-5) < whole
    assert spent((2.2, 5.0, 4.0), 0.04, 150, 1e-5) < whole
    # one Gaussian release alone: eps <= sqrt(2 ln(1.25 / delta)) / sigma (Dwork & Roth 2014, theorem A.1)
    assert spent((1e6, 1e6, 5.0), 1e-6, 1, 1e-5) < np.sqrt(2 * np.log(1.25e5)) / 5 * 1.05


@pytest.mark.parametrize("name", [c.name for c in SCHEMA.columns if c.numeric])
def test_cells_come_from_limits_and_cut_between_recorded_values(name: str) -> None:
    column = SCHEMA[name]
    edges = _grid(column)
    assert 3 <= len(edges) <= 200
    assert edges[0] <= column.low
    assert edges[-1] >= column.high
    steps = edges / 10.0**-column.decimals
    np.testing.assert_allclose(steps - np.floor(steps), 0.5, atol=1e-5)


def test_without_noise_a_margin_is_nearly_that_of_the_values() -> None:
    values = np.round(np.random.default_rng(0).normal(125, 15, 6000), 1)
    margin, known = _private_margin(SCHEMA["sbp"], values, 0.0, np.random.default_rng(1))
    assert known == 6000
    for q in (0.1, 0.5, 0.9):
        assert margin.cdf(np.quantile(values, q)) == pytest.approx(q, abs=0.03)


def test_one_person_changes_the_releases_by_less_than_the_noise_is_for() -> None:
    # sensitivity, the premise of epsilon: without noise the moments move by at most the clipped norm squared
    values = invent(SCHEMA, 3000, seed=2)
    odd = values.copy()
    odd[0] = [c.high if c.numeric else len(c.levels) - 1 for c in SCHEMA.columns]
    copula = private_copula(SCHEMA, values, 0.0, 0.0, np.random.default_rng(0))
    z = np.nan_to_num(copula.scores(odd[:1]))
    bound = np.sqrt(len(SCHEMA))
    z *= min(1.0, bound / np.linalg.norm(z))
    assert np.linalg.norm(z.T @ z) <= bound**2 * (1 + 1e-9)


def test_noise_makes_the_copula_less_exact_and_it_still_answers() -> None:
    values = invent(SCHEMA, 2000, seed=3)
    exact = private_copula(SCHEMA, values, 0.0, 0.0, np.random.default_rng(0))
    noisy = private_copula(SCHEMA, values, 3.0, 3.0, np.random.default_rng(0))
    assert np.abs(exact.correlation - noisy.correlation).mean() > 0.01
    assert np.linalg.eigvalsh(noisy.correlation).min() > 0
    p = CopulaJoint(noisy).predictive(values[:5], ["dx_diabetes"])["dx_diabetes"].probabilities()
    np.testing.assert_allclose(p.sum(1), 1)


def test_a_step_is_clipped_noisy_and_accounted_for() -> None:
    done = network(People(300), width=8, blocks=1, steps=2, batch=60, chunk=40, planted=4)  # type: ignore[arg-type]
    assert done.account["epsilon"] == pytest.approx(spent((1.1, 2.5, 2.0), 60 / 304, 2, 1e-5))
    assert done.account["canaries"] == {"n": 4, "seed": 0}
    leave = done.net.members[0].leave.weight
    assert leave.abs().max() > 0  # it starts at zero
    assert not any(p.requires_grad for p in done.net.parameters())
    assert not hasattr(leave, "grad_sample")


def test_the_twin_without_noise_learns_and_has_no_epsilon() -> None:
    twin = network(
        People(300),  # type: ignore[arg-type]
        width=16, blocks=1, steps=40, batch=150, lr=0.02, noise=0.0, margin_noise=0.0, copula_noise=0.0,
    )  # fmt: skip
    assert twin.account["epsilon"] is None
    values, net = curved(300), twin.net
    bins = torch.from_numpy(net.copula.layout.bins_of(values))

    def nll() -> float:
        told = []
        with torch.no_grad():
            for seed in range(4):
                rng = np.random.default_rng(seed)
                told.append(_loss_of_each(net, net, net.copula.scores(values), bins, values, rng).mean())
        return float(np.mean(told))

    after = nll()
    net.members[0].leave.weight.zero_()
    net.members[0].leave.bias.zero_()
    assert after < nll()  # with its last layer at zero it is the copula again


def test_noise_in_some_parts_only_is_refused() -> None:
    with pytest.raises(BadInput, match="noises"):
        network(People(50), noise=1.0, margin_noise=0.0, copula_noise=1.0)  # type: ignore[arg-type]


def test_the_experiment_is_what_it_says() -> None:
    cfg = compose("health", ["+experiment=health_dp"])
    assert cfg.domain.net._target_ == "sciai.health.train.dp.network"
    assert cfg.domain.card.name == "health-private"
    assert min(cfg.domain.net.noise, cfg.domain.net.margin_noise, cfg.domain.net.copula_noise) > 0
