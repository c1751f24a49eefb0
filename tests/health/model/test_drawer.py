"""What is drawn from is the network: exactly in single precision, nearly so in fewer bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciai.health.data.columns import Column, Kind, Schema
from sciai.health.model import joint as joint_module
from sciai.health.model.copula import Copula, fit_copula
from sciai.health.model.drawer import Drawer
from sciai.health.model.joint import NeuralJoint
from sciai.health.model.network import JointNet

pytestmark = pytest.mark.usefixtures("one_thread")


def _people(n: int = 2000) -> tuple[Schema, np.ndarray]:
    """Levels of all sorts, a smooth number, a rough one, and two answers to one question."""
    rng = np.random.default_rng(0)
    days = np.where(rng.random(n) < 0.4, 0, 1 + rng.poisson(30, n)).astype(float)
    drinks = np.where(days > 0, 1 + rng.poisson(1, n), 0).astype(float)
    values = np.column_stack(
        [
            rng.integers(0, 3, n), days, drinks, rng.integers(0, 4, n), rng.random(n) < 0.1,
            np.round(4 + 0.3 * rng.normal(size=n), 2),
        ]
    ).astype(float)  # fmt: skip
    columns = (
        Column("cycle", Kind.CATEGORICAL, levels=("a", "b", "c"), codes=("a", "b", "c")),
        Column("alcohol_days_per_year", Kind.COUNT, low=0, high=365),
        Column("alcohol_drinks_per_day", Kind.COUNT, low=0, high=40),
        Column("mood", Kind.ORDINAL, levels=("0", "1", "2", "3"), codes=(0, 1, 2, 3)),
        Column("ill", Kind.BINARY, levels=("no", "yes"), codes=(0, 1)),
        Column("potassium", Kind.CONTINUOUS, decimals=2, low=1, high=9),
    )
    return Schema(columns), values


SCHEMA, PEOPLE = _people()
COPULA = fit_copula(SCHEMA, PEOPLE, rounds=2)


def _net(copula: Copula = COPULA, plain: bool = False) -> JointNet:
    """A network that is not trained but says something of every column."""
    torch.manual_seed(0)
    net = JointNet(copula, width=32, blocks=2, members=2, plain=plain)
    with torch.no_grad():
        for weight in net.parameters():
            if not weight.any():
                weight.normal_(std=0.05)
    return net.eval()


def _both(
    net: JointNet, half: torch.dtype, numeric: list[int], discrete: list[int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    known = np.random.default_rng(1).random((200, len(SCHEMA))) < 0.5
    for column in [*(net.numeric[j] for j in numeric), *(net.discrete[j] for j in discrete)]:
        known[:, column] = False
    prepared = net.prepare(COPULA.scores(PEOPLE[:200]), known)
    with torch.inference_mode():
        logs = net(prepared, torch.tensor(numeric, dtype=int), torch.tensor(discrete, dtype=int), [1])
    wanted = [t[0, :, k].exp().cumsum(-1).numpy() for t in logs for k in range(t.shape[2])]
    return Drawer(net, 1, half).ends(prepared, numeric, discrete), wanted


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("numeric", "discrete"), [([0, 2], [1, 0]), ([1], []), ([], [2])])
def test_in_single_precision_it_says_what_the_network_says(
    plain: bool, numeric: list[int], discrete: list[int]
) -> None:
    told, wanted = _both(_net(plain=plain), torch.float32, numeric, discrete)
    assert len(told) == len(wanted) == len(numeric) + len(discrete)
    for own, other in zip(told, wanted, strict=True):
        np.testing.assert_allclose(own, other[:, : own.shape[1]], atol=2e-5)
        assert (other[:, own.shape[1] :] > 1 - 1e-5).all()  # beyond is padding


def test_in_half_precision_it_says_nearly_that() -> None:
    told, wanted = _both(_net(), torch.bfloat16, [0, 1, 2], [1])
    gaps = [np.abs(own - other[:, : own.shape[1]]) for own, other in zip(told, wanted, strict=True)]
    assert max(gap.mean() for gap in gaps) < 0.004
    assert max(gap.max() for gap in gaps) < 0.05


def test_changed_weights_are_drawn_from() -> None:
    """What was made ready before the weights changed is made anew."""
    joint = NeuralJoint(_net(), blocks=2)
    nobody = np.full((400, len(SCHEMA)), np.nan)
    ill = SCHEMA.index("ill")
    before = joint.sample(nobody, np.random.default_rng(0))[:, ill].mean()
    size = joint.net.per_number * len(joint.net.numeric) + 1
    place = size + (1 + joint.net.level.shape[1]) * joint.net.discrete.index(ill) + 1
    with torch.no_grad():
        for member in joint.net.members:
            member.leave.bias[place] += 20.0  # type: ignore[index, operator, union-attr]
    assert joint.sample(nobody, np.random.default_rng(0))[:, ill].mean() > 0.99 > before


def test_people_that_are_alike_are_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's first look at people of whom nothing is known is at one of them."""
    seen: list[int] = []
    ends = Drawer.ends

    def spy(self: Drawer, batch: object, *rest: object) -> list[np.ndarray]:
        seen.append(len(batch.scores))  # type: ignore[attr-defined]
        return ends(self, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Drawer, "ends", spy)
    joint = NeuralJoint(_net(), blocks=2)
    nobody = np.full((1000, len(SCHEMA)), np.nan)
    once = joint.sample(nobody, np.random.default_rng(0))
    assert seen == [1, 3, 1000]  # then at one of each era
    monkeypatch.setattr(joint_module, "_SAME", 0)
    each = joint.sample(nobody, np.random.default_rng(0))
    assert seen[3:] == [1000] * 3
    assert (once != each).mean() < 0.01  # products of other shapes round in another order
