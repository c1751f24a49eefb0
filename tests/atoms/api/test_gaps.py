"""What the card says a model gets wrong is not answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from ase import Atoms
from ase.build import add_adsorbate, bcc110, fcc111, molecule

from sciai.atoms.api.adsorption import adsorb
from sciai.atoms.api.gaps import known_gaps
from sciai.atoms.api.potential import Potential
from sciai.core.answer import Level


@pytest.fixture(scope="module")
def shipped() -> Potential:
    """The shipped potential, with the card of one that learned PBE+U beside PBE as they are."""
    potential = Potential.load()
    assert potential.card is not None
    gap = {"question": "adsorption", "elements": ["Ni", "W"], "beside": ["F", "O"], "why": "PBE+U beside PBE"}
    calibration = {**potential.card.calibration, "gaps": [gap]}
    potential.card = replace(potential.card, calibration=calibration)
    return potential


def slab(metal: str) -> Atoms:
    return fcc111(metal, (1, 1, 3), vacuum=8.0)


@pytest.mark.parametrize("metal", ["Ni", "W"])
def test_adsorption_on_metals_it_is_wrong_about_is_refused(
    shipped: Potential, metal: str, tmp_path: Path
) -> None:
    metal_slab = fcc111(metal, (1, 1, 3), a=3.52, vacuum=8.0)
    answer = adsorb(metal_slab, Atoms("O"), shipped, out=tmp_path / "run")
    assert answer.estimate is None
    assert answer.findings[0].check == "known_gap"
    assert "PBE+U" in answer.findings[0].message


def test_it_is_for_the_user_to_decide(shipped: Potential) -> None:
    (said,) = known_gaps(shipped.with_guard("off"), "adsorption", slab("Ni"), Atoms("CO"))
    assert said.level < Level.REFUSE


def test_other_metals_molecules_and_questions_are_answered(shipped: Potential) -> None:
    assert known_gaps(shipped, "adsorption", slab("Cu"), Atoms("O")) == []
    assert known_gaps(shipped, "adsorption", slab("Ni"), Atoms("N")) == []
    assert known_gaps(shipped, "surface", slab("Ni"), Atoms("O")) == []
    oxidised = slab("Ni") + Atoms("O", [[0, 0, 13.5]])
    assert len(known_gaps(shipped, "adsorption", oxidised, Atoms("H"))) == 1


def test_a_gap_without_partners_concerns_whatever_comes(shipped: Potential) -> None:
    assert shipped.card is not None
    gap = {"question": "adsorption", "elements": ["Cu"], "why": "made up"}
    card = replace(shipped.card, calibration={**shipped.card.calibration, "gaps": [gap]})
    (said,) = known_gaps(
        cast(Potential, SimpleNamespace(card=card, guard=shipped.guard)), "adsorption", slab("Cu")
    )
    assert "made up" in said.message
    assert said.message.startswith("adsorption on Cu")


@pytest.mark.parametrize(("metal", "known"), [("Ni", -0.8), ("Co", -1.2), ("Fe", -1.2), ("W", -0.4)])
def test_the_shipped_potential_binds_oxygen_to_metals_with_a_u(metal: str, known: float) -> None:
    """CHGNet without its correction of oxygen, nothing relaxed. What learned PBE+U and PBE as they are has
    oxygen repelled by 2 to 50 eV."""
    quiet = Potential.load(guard="off")
    body = {"Fe": 2.83, "W": 3.18}
    if metal in body:
        clean, place = bcc110(metal, (2, 2, 3), a=body[metal], vacuum=6.0), "longbridge"
    else:
        clean, place = fcc111(metal, (2, 2, 3), a=3.52, vacuum=6.0), "fcc"
    both = clean.copy()
    add_adsorbate(both, "O", 1.25, place)
    gas = molecule("O2", vacuum=7.0)
    for atoms in (clean, both, gas):
        atoms.pbc = True
    bound, bare, free = (answer.unwrap().energy for answer in quiet.batch([both, clean, gas]))
    assert bound - bare - free / 2 == pytest.approx(known, abs=1.2)
