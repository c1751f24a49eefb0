"""Close encounters: their forces are slopes of their energy, and they are where they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciai.atoms.data.chemistry import bond
from sciai.atoms.model.network import Network
from sciai.atoms.train.repulsion import encounters, stiffen, zbl


@pytest.mark.parametrize(("z1", "z2", "r"), [(1, 1, 0.4), (11, 17, 1.2), (58, 68, 2.7)])
def test_the_force_is_the_slope_of_the_energy(z1: int, z2: int, r: float) -> None:
    h = 1e-5
    slope = (zbl(z1, z2, r + h)[0] - zbl(z1, z2, r - h)[0]) / (2 * h)
    assert zbl(z1, z2, r)[1] == pytest.approx(-slope, rel=1e-6)


def test_pairs_are_pushed_apart_closer_than_they_bond() -> None:
    found = encounters(per_pair=1, most=12)
    assert encounters(per_pair=0) == []
    for record in found:
        axis = record.positions[1] - record.positions[0]
        assert record.forces is not None
        assert record.forces[1] @ axis > 0
        assert np.allclose(record.forces.sum(0), 0)
        noble = {2, 10} & set(record.numbers.tolist())
        assert np.linalg.norm(axis) < (1.36 if noble else 1.05) * bond(*map(int, record.numbers))
    pairs = {tuple(record.numbers.tolist()) for record in found}
    assert len(pairs) == 12 * 13 // 2
    # sodium and lithium may be pressed further: nothing holds their atoms by several bonds
    assert sum(tuple(record.numbers.tolist()) == (3, 11) for record in found) == 3
    assert sum(tuple(record.numbers.tolist()) == (6, 7) for record in found) == 2
    # neon bonds to nothing: it is to be pushed away from further out
    assert sum(tuple(record.numbers.tolist()) == (7, 10) for record in found) == 5


def test_pairs_that_fall_into_holes_are_stiffened_where_they_were_never_seen() -> None:
    torch.manual_seed(3)
    net = Network(channels=8, layers=1, lmax=1, triples=()).requires_grad_(False).eval()
    net.readout[2].weight *= 60.0  # a network that was taught nothing, loudly
    seen = torch.full_like(net.closest, torch.inf)
    seen[range(1, 11), range(1, 11)] = 9.0  # never near each other
    seen[3, 3] = 0.5  # lithium atoms were: they stay as they are, hole or not
    net.closest.copy_(seen)
    net.keep_to_seen()
    before = net.bend.clone()
    fell, left = stiffen(net, most=10)
    raised = net.stiff > 0
    assert 0 < fell <= 55
    assert left < fell
    assert torch.equal(net.stiff, net.stiff.T)
    assert bool((net.bend[raised] > before[raised]).all())
    assert torch.equal(net.bend[~raised], before[~raised])
    assert fell >= int(raised.triu().sum()) >= fell - left
    assert stiffen(net, most=10) == (fell, left)  # from scratch each time
    net.closest.fill_(torch.inf)
    assert stiffen(net) == (0, 0)  # of elements that it never saw nothing is asked


def test_bonds_of_xenon_with_fluorine_are_not_walled_off() -> None:
    torch.manual_seed(0)
    net = Network(channels=8, layers=1, lmax=1, triples=()).requires_grad_(False).eval()
    net.readout[2].weight *= 200.0
    net.closest.fill_(0.4)
    net.closest[54, 9] = net.closest[9, 54] = 1.9
    stiffen(net, most=54)
    assert net.bend[54, 9] < 1.0
    assert net.stiff.max() <= 1.35
