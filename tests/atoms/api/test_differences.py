"""Spreads of barriers, surfaces and adsorption energies: of the difference, not of two whole structures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write

from sciai.atoms.api.adsorption import adsorb
from sciai.atoms.api.differences import difference_of, spread_of, undecided
from sciai.atoms.api.paths import neb
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.screening import screen
from sciai.atoms.api.surfaces import surface
from sciai.core.answer import Answer, Level


@pytest.fixture(scope="module")
def shipped() -> Potential:
    return Potential.load(dtype="float64")


def words(answer: Answer) -> str:
    (found,) = [f for f in answer.findings if f.check == "difference"]
    return found.message


def vacancy(metal: Atoms) -> Atoms:
    out = metal.copy()
    del out[0]
    return out


def test_the_shipped_potential_was_measured(shipped: Potential) -> None:
    known = shipped.related
    assert known is not None
    assert known.pairs > 500
    assert known.compositions > 30
    assert 0.05 < known.surroundings < 1
    assert 0.3 < known.heads < 30
    assert known.scale.shape == (96,)


def test_far_atoms_that_do_not_change_cost_nothing(shipped: Potential) -> None:
    """A vacancy in 255 atoms is no less certain than one in 107."""
    found = []
    for size in (3, 4):
        metal = bulk("Cu", cubic=True, a=3.63) * (size, size, size)
        share = (len(metal) - 1) / len(metal)
        found.append(difference_of(shipped, [(1, vacancy(metal)), (-share, metal)])[0])
        whole = [a.unwrap().energy for a in shipped.with_guard("off").batch([vacancy(metal), metal])]
        # about 1 eV, by experiment 1.2 to 1.3
        assert 0.8 < whole[0] - share * whole[1] < 1.5
    assert 0.05 < found[0] < 0.5
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_one_structure_against_itself_is_certain_and_twice_as_much_twice_as_uncertain(
    shipped: Potential,
) -> None:
    rocksalt, cesium = bulk("NaCl", "rocksalt", a=5.64), bulk("NaCl", "cesiumchloride", a=3.4)
    assert difference_of(shipped, [(1, rocksalt), (-1, rocksalt)])[0] == 0
    assert difference_of(shipped, [(1, rocksalt * (2, 1, 1)), (-2, rocksalt)])[0] < 1e-3
    one = difference_of(shipped, [(1, rocksalt), (-1, cesium)])[0]
    two = difference_of(shipped, [(2, rocksalt), (-2, cesium)])[0]
    assert two == pytest.approx(2 * one)
    assert one > 0.01


def test_a_spread_is_never_more_than_if_both_were_off_by_themselves(shipped: Potential) -> None:
    shaken = bulk("Cu", cubic=True, a=3.6) * (2, 2, 2)
    hot = shaken.copy()
    hot.rattle(0.4, seed=1)
    quiet = shipped.with_guard("off")
    whole = [a.estimate.spread["energy"] for a in quiet.batch([hot, shaken]) if a.estimate is not None]
    assert difference_of(quiet, [(1, hot), (-1, shaken)])[0] <= math.hypot(*whole) + 1e-9


def test_answers_carry_it(shipped: Potential) -> None:
    metal = bulk("Al", cubic=True, a=4.04) * (2, 2, 2)
    first = vacancy(metal)
    last = first.copy()
    near = int(np.argmin(first.get_distances(0, range(1, len(first)), mic=True))) + 1
    last.positions[near] = metal.positions[0]
    path = neb(first, last, shipped, images=3, steps=3, relax_ends=False)
    assert path.estimate is not None
    assert set(path.estimate.spread) == {"barrier", "reverse", "difference"}
    assert path.estimate.spread["barrier"] < 0.6
    assert f"within {1.645 * path.estimate.spread['barrier']:.2g} eV of DFT's" in words(path)
    cut = surface(bulk("Cu", cubic=True, a=3.63), shipped, (1, 1, 1), layers=4, steps=5)
    assert cut.estimate is not None
    assert 0.05 < cut.estimate.spread["energy"] < 0.8 * cut.estimate.value.energy
    assert "did not learn from" in words(cut)


def test_a_group_that_turns_is_not_taken_for_certain(shipped: Potential) -> None:
    """Methyl groups turn at .1 eV where the network sees .02 and hardly any change."""
    first = molecule("C2H6")
    last = first.copy()
    turned = last[2:5]
    turned.rotate(60, "z", center=last.positions[0])
    last.positions[2:5] = turned.positions
    a, b = shipped.engine.compute([first, last])
    bare, _ = spread_of(shipped, [(1, b), (-1, a)])
    barrier, said = spread_of(shipped, [(1, b), (-1, a)], path=True)
    assert bare < 0.05
    assert 0.06 < barrier < 0.15
    assert "groups that turn" in said.message


def test_a_potential_without_a_spread_says_so_and_is_not_asked_again() -> None:
    class Counting(EMT):
        asked = 0

        def calculate(self, *args: object, **kwargs: object) -> None:
            Counting.asked += 1
            super().calculate(*args, **kwargs)

    lone = Potential.from_calculator(Counting())
    sd, said = difference_of(lone, [(1, bulk("Cu")), (-1, bulk("Cu", a=3.7))])
    assert math.isnan(sd)
    assert "states no uncertainty" in said.message
    assert Counting.asked == 0
    assert undecided(0.1, sd, "barrier") == []


def test_members_are_compared_on_the_difference() -> None:
    # both agree on what is compared but for a factor, and are worlds apart in the whole
    members = [LennardJones(sigma=2.2, epsilon=e, rc=6.0) for e in (0.5, 0.6)]
    pot = Potential.from_calculator(members, "two", cutoff=6.0)
    a, b = bulk("Cu", cubic=True), bulk("Cu", cubic=True, a=3.7)
    sd, said = difference_of(pot, [(1, a), (-1, b)])
    each = []
    for member in members:
        for structure in (a, b):
            structure.calc = member
        each.append(a.get_potential_energy() - b.get_potential_energy())
    assert sd == pytest.approx(np.std(each, ddof=1))
    assert "2 calculators disagree" in said.message


def test_what_is_smaller_than_its_error_is_said_to_be_undecided() -> None:
    (found,) = undecided(-0.1, 0.2, "adsorption energy")
    assert found.level is Level.CAUTION
    assert "not told from none" in found.message
    assert undecided(-0.4, 0.2, "adsorption energy") == []
    (beyond,) = undecided(-9.0, 4.0, "adsorption energy", 1.0)
    assert "use DFT" in beyond.message
    assert undecided(-0.4, math.inf, "adsorption energy", 1.0) == []
    assert undecided(-0.4, float("nan"), "adsorption energy", 1.0) == []


def test_what_was_said_of_the_parts_apart_is_not_lost(shipped: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=3.63, vacuum=7.0)
    slab.pbc = True
    answer = adsorb(slab, Atoms("O"), shipped, most=2, steps=60)
    assert answer.estimate is not None
    # a free atom is what the network is least sure of
    assert [f for f in answer.findings if f.where.startswith("molecule by itself")]
    assert "difference" in {f.check for f in answer.findings}


def test_sites_that_all_fail_are_a_refusal_with_its_reason(shipped: Potential) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=3.63, vacuum=7.0)
    slab.pbc = True
    answer = adsorb(slab, Atoms("O"), shipped, most=1, steps=2)  # ends above where it began
    assert answer.estimate is None
    assert "uphill" in {f.check for f in answer.findings}


def test_a_screen_says_how_sure_it_is_of_the_order(shipped: Potential, tmp_path: Path) -> None:
    rocksalt = bulk("NaCl", "rocksalt", a=5.64)
    cells = {
        "rocksalt": rocksalt,
        "twice": rocksalt * (2, 1, 1),
        "CsCl": bulk("NaCl", "cesiumchloride", a=3.4),
    }
    for name, atoms in cells.items():
        write(tmp_path / f"{name}.cif", atoms)
    answers = [
        screen([tmp_path / f"{name}.cif" for name in cells], shipped, tmp_path / "out") for _ in range(2)
    ]
    for answer in answers:  # the second reads what the first kept
        rows = {Path(row["file"]).stem: row for row in answer.unwrap().rows}
        assert rows["CsCl"]["above"] > 0.05
        sd, _ = difference_of(shipped, [(0.5, cells["CsCl"]), (-0.5, rocksalt)])
        assert rows["CsCl"]["above_spread"] == pytest.approx(sd, rel=1e-3)
        same = sorted(rows[name]["above_spread"] or 0.0 for name in ("rocksalt", "twice"))
        assert same == pytest.approx([0.0, 0.0], abs=1e-4)
        assert "told" not in rows["CsCl"]
    assert "above_spread" in (tmp_path / "out" / "table.csv").read_text().splitlines()[0]


def test_a_screen_by_a_potential_without_a_spread_has_none_of_the_order(
    emt: Potential, tmp_path: Path
) -> None:
    for k, a in enumerate((3.6, 3.7)):
        write(tmp_path / f"{k}.cif", bulk("Cu", a=a))
    rows = screen([tmp_path / "0.cif", tmp_path / "1.cif"], emt, tmp_path / "out").unwrap().rows
    assert [row["above_spread"] for row in rows] == [None, None]
