"""Close encounters: their forces are slopes of their energy, and they are where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.atoms.data.chemistry import bond
from sciai.atoms.train.repulsion import encounters, zbl


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
        assert np.linalg.norm(axis) < bond(*map(int, record.numbers))
    pairs = {tuple(record.numbers.tolist()) for record in found}
    assert len(pairs) == 12 * 13 // 2
    # sodium and lithium may be pressed further: nothing holds their atoms by several bonds
    assert sum(tuple(record.numbers.tolist()) == (3, 11) for record in found) == 3
    assert sum(tuple(record.numbers.tolist()) == (6, 7) for record in found) == 2
