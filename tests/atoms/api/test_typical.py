"""Spreads of derived figures: as measured on the card, or said to be the fit's alone."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from sciai.atoms.api.elasticity import elastic
from sciai.atoms.api.equation import eos
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.symmetry import standard_rotation
from sciai.atoms.api.typical import QUANTITIES, Typical, own_error, typical_of
from sciai.atoms.checks import guard
from sciai.core.answer import Level


@pytest.fixture
def emt() -> Potential:
    return Potential.from_calculator(EMT())


@pytest.fixture
def measured(emt: Potential) -> Potential:
    sizes = {"volume": 0.03, "bulk_modulus": 0.1, "elastic": 0.2, "shear_modulus": 0.25, "derivative": 0.3}
    emt.typical = {name: Typical(name, sd, 60, "PBE") for name, sd in sizes.items()}
    return emt


def own(answer) -> list:
    return [f for f in answer.findings if f.check == "own_error"]


def test_a_potential_that_was_never_measured_says_so(emt: Potential) -> None:
    answer = eos(bulk("Cu", a=3.59), emt)
    assert [f.level for f in own(answer)] == [Level.CAUTION] * 2
    assert "never measured" in own(answer)[0].message
    assert answer.estimate is not None
    assert answer.estimate.spread["volume"] < 0.01


def test_measured_errors_are_the_spread(measured: Potential) -> None:
    answer = eos(bulk("Cu", a=3.59), measured)
    assert answer.estimate is not None
    value, spread = answer.estimate.value, answer.estimate.spread
    assert spread["volume"] == pytest.approx(0.03 * value.volume, rel=0.05)
    # soft crystals are off by as many GPa as those of 60 GPa
    assert spread["bulk_modulus"] == pytest.approx(0.1 * np.hypot(value.bulk_modulus, 60), rel=0.05)
    assert spread["derivative"] == pytest.approx(0.3 * 4, rel=0.2)
    assert [f.level for f in own(answer)] == [Level.OK] * 2
    limit = f"{1.645 * 0.03 * value.volume:.2g} Å^3/atom of PBE's"
    assert limit in own(answer)[0].message
    assert "60 that it did not learn from" in own(answer)[0].message
    moved = relax(bulk("Cu", a=3.7), measured)
    assert moved.estimate is not None
    assert moved.estimate.spread["volume"] == pytest.approx(0.03 * moved.estimate.value.volume)


def test_only_a_cell_that_relaxes_has_a_volume_to_be_unsure_of(measured: Potential) -> None:
    answer = relax(bulk("Cu", a=3.6), measured, cell=False)
    assert answer.estimate is not None
    assert "volume" not in answer.estimate.spread
    assert not own(answer)


def test_elastic_constants_are_along_the_conventional_axes(measured: Potential) -> None:
    primitive = bulk("Cu", a=3.59)
    primitive.rotate(37, (1, 2, 3), rotate_cell=True)
    turned = elastic(primitive, measured, relax_atoms=False)
    usual = elastic(bulk("Cu", a=3.59, cubic=True), measured, relax_atoms=False)
    raw = elastic(primitive, measured, relax_atoms=False, axes="given")
    assert turned.estimate is not None
    assert usual.estimate is not None
    assert raw.estimate is not None
    np.testing.assert_allclose(turned.estimate.value.constants, usual.estimate.value.constants, atol=0.05)
    assert np.abs(raw.estimate.value.constants - usual.estimate.value.constants).max() > 5
    # turning changes no average over directions
    np.testing.assert_allclose(raw.estimate.value.shear, usual.estimate.value.shear, rtol=1e-3)
    c = usual.estimate.value.constants
    spread = usual.estimate.spread["constants"]
    assert spread[0, 0] == pytest.approx(0.2 * c[0, 0], rel=0.01)
    assert spread[0, 5] < 0.01 * c[0, 0]  # zero by symmetry
    assert usual.estimate.spread["bulk"] == pytest.approx(
        0.1 * np.hypot(usual.estimate.value.bulk[0], 60), rel=0.01
    )


def test_a_rotation_to_standard_axes_is_a_rotation() -> None:
    turn = standard_rotation(bulk("Zn"))
    assert turn is not None
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_the_shipped_card_was_measured() -> None:
    card = Potential.load().card
    known = typical_of(card)
    assert set(known) == {*QUANTITIES}
    for row in known.values():
        assert 0 < row.sd < 1.5
        assert row.n >= 15
    assert typical_of(None) == {}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_has_words(quantity: str) -> None:
    name, unit = QUANTITIES[quantity]
    assert name in own_error(None, quantity, 10.0, guard("default")).message
    said = own_error(Typical(quantity, 0.1, 20, "PBE"), quantity, 10.0, guard("strict"))
    assert said.level is Level.OK
    assert name in said.message
    assert unit in said.message
