"""Guards of structures and estimates: each kind of bad input gets a sentence that helps, good ones none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from sciai.atoms.api.engines import Properties
from sciai.atoms.checks import (
    CHECKS,
    TIERS,
    Evidence,
    Guard,
    Scene,
    Surroundings,
    after,
    before,
    guard,
    of_motion,
)
from sciai.atoms.checks import scene as scenes
from sciai.atoms.checks.limits import Limits
from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance
from sciai.core.errors import BadInput
from sciai.trust.support import KnnOfKind, Support


def found(atoms: Atoms, evidence: Evidence | None = None, cutoff: float | None = 5.0) -> dict[str, Finding]:
    scene = Scene(atoms, cutoff)
    checks = before(guard(), evidence or Evidence.none())
    return {finding.check: finding for check in checks for finding in check(scene)}


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Cu"),
        bulk("NaCl", "rocksalt", 5.64),
        molecule("C6H6"),
        molecule("H2"),
        fcc111("Pt", (1, 1, 3), vacuum=8),
    ],
    ids=str,
)
def test_matter_passes_without_a_remark(atoms: Atoms) -> None:
    assert found(atoms) == {}


def _nan() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.positions[2, 1] = np.nan
    return atoms


BAD = {
    "empty": (Atoms(), "no atoms"),
    "position": (_nan(), "NaN"),
    "element": (Atoms("X"), "placeholder"),
    "flat": (Atoms("Cu", cell=[3, 3, 0], pbc=True), "no such vector"),
    "half": (Atoms("Cu2", [[0, 0, 0], [2.5, 0, 0]], cell=[5, 0, 0], pbc=[True, True, False]), "along b"),
    "parallel": (Atoms("Cu", cell=[[3, 0, 0], [3, 0, 0], [0, 0, 3]], pbc=True), "no volume"),
    "nan cell": (Atoms("Cu", cell=[np.nan, 3, 3], pbc=True), "NaN"),
    "vast": (Atoms("Cu", cell=[200, 200, 200], pbc=True), "per atom"),
    "tiny": (Atoms("H4", np.zeros((4, 3)), cell=[1, 1, 1], pbc=True), "per atom"),
    "spot": (Atoms("H2O", [[0, 0, 0], [0, 0, 0], [0.9, 0, 0]]), "on one spot"),
    "overlap": (Atoms("Au2", [[0, 0, 0], [1.0, 0, 0]]), "overlap"),
}
CHECK_OF = {
    **dict.fromkeys(("flat", "half", "parallel", "nan cell", "vast", "tiny"), "cell"),
    "spot": "overlap",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_structures_are_refused_with_a_sentence(name: str) -> None:
    atoms, words = BAD[name]
    finding = found(atoms)[CHECK_OF.get(name, name)]
    assert finding.level is Level.REFUSE
    assert words in finding.message
    assert len(finding.message.split()) >= 5


def test_the_atom_is_named() -> None:
    assert found(_nan())["position"].where == "Cu 2"
    assert "Au 0 and Au 1" in found(BAD["overlap"][0])["overlap"].message


def test_close_but_not_overlapping_is_only_a_caution() -> None:
    finding = found(Atoms("Au2", [[0, 0, 0], [1.5, 0, 0]]))["close"]
    assert finding.level is Level.CAUTION


def test_a_molecule_in_a_wide_periodic_box_is_answered() -> None:
    """As codes with plane waves have molecules."""
    box = Atoms("H2", [[0, 0, 0], [0.74, 0, 0]], cell=[30, 30, 30], pbc=True)
    assert not {"cell", "isolated"} & set(found(box))


def test_a_lone_atom_among_others_is_told() -> None:
    atoms = Atoms("H2He", [[0, 0, 0], [0.74, 0, 0], [0, 0, 9]])
    assert found(atoms)["isolated"].where == "He 2"
    assert "isolated" not in found(Atoms("He"))
    assert "isolated" in found(bulk("Cs", a=9.5, cubic=True))
    assert "isolated" in found(bulk("Cs", a=9.5))  # the same crystal, of one atom a cell
    assert "isolated" not in found(atoms, cutoff=None)


def test_a_million_atoms_are_estimated_before_anything_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "free_memory", lambda: 2e9)
    monkeypatch.setattr("sciai.atoms.checks.structure.free_memory", lambda: 2e9)
    n = 100
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3), -1).reshape(-1, 3) * 2.5
    atoms = Atoms(numbers=np.full(n**3, 29), positions=grid, cell=[2.5 * n] * 3, pbc=True)
    scene = Scene(atoms, 5.0, pair_bytes=1000.0)
    findings = {f.check: f for check in before(guard(), Evidence.none()) for f in check(scene)}
    assert "1,000,000 atoms" in findings["size"].message
    assert "GB" in findings["size"].message
    assert findings["size"].level is Level.REFUSE
    assert not len(scene.distances)
    # where the list of pairs itself would fit, it is not made for an answer that is not given
    monkeypatch.setattr(scenes, "free_memory", lambda: 20e9)
    listed = Scene(atoms, 5.0, pair_bytes=1000.0)
    assert "size" in {f.check for check in before(guard(), Evidence.none()) for f in check(listed)}
    assert "_pairs" not in listed.__dict__


def test_the_memory_estimate_is_near_the_number_of_pairs() -> None:
    atoms = bulk("Cu", cubic=True) * (4, 4, 4)
    scene = Scene(atoms, 5.0)
    assert scene.pairs_expected == pytest.approx(2 * len(scene.distances), rel=0.1)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (True, False, False)])
def test_of_a_tiny_cell_no_pairs_are_listed(pbc: tuple[bool, bool, bool]) -> None:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], cell=np.eye(3) * 1e-5, pbc=pbc)
    scene = Scene(atoms, 5.0)
    assert scene.pairs_expected > 1e5
    assert any(f.level is Level.REFUSE for check in before(guard(), Evidence.none()) for f in check(scene))
    assert "_pairs" not in vars(scene)


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False)])
def test_the_estimate_holds_of_slabs_and_wires(pbc: tuple[bool, bool, bool]) -> None:
    atoms = bulk("Cu", cubic=True) * (1, 3, 8)
    atoms.pbc = pbc
    scene = Scene(atoms, 5.0)
    assert scene.pairs_expected == pytest.approx(2 * len(scene.distances), rel=0.6)


def test_tiers_and_unknown_elements() -> None:
    tiers = np.zeros(119, int)
    tiers[[11, 17, 86, 57]] = [3, 3, 1, 2]
    evidence = Evidence(learned=True, tiers=tiers)
    assert found(bulk("NaCl", "rocksalt", 5.64), evidence) == {}
    assert "Rn: experimental" in found(Atoms("Rn"), evidence)["tier"].message
    assert "La: limited" in found(Atoms("La"), evidence)["tier"].message
    refused = found(Atoms("Cu"), evidence)["element"]
    assert refused.level is Level.REFUSE
    assert "it knows Na, Cl, La, Rn" in refused.message


def test_pairs_never_seen_and_too_short_name_atoms_and_distances() -> None:
    closest = np.full((119, 119), np.inf)
    closest[1, 1] = 0.7
    closest[1, 8] = closest[8, 1] = 0.95
    evidence = Evidence(learned=True, closest=closest)
    water = molecule("H2O")
    assert found(water, evidence) == {}
    squeezed = water.copy()
    squeezed.set_distance(0, 1, 0.80, fix=0)
    short = found(squeezed, evidence)["pair_short"]
    assert "O 0 and H 1" in short.message
    assert "0.80" in short.message
    assert "0.95" in short.message
    both = found(Atoms("OHe", [[0, 0, 0], [0, 0, 2.5]]), evidence)["pair_unseen"]
    assert "He-O" in both.message


def _estimate(**changes: object) -> Estimate[Properties]:
    fields: dict[str, object] = {"energy": -1.0, "forces": np.zeros((2, 3)), "stress": None, **changes}
    spread = {"energy": fields.pop("sd", 0.01), "forces": np.asarray(fields.pop("force_sd", [0.01, 0.02]))}
    return Estimate(Properties(**fields), spread)  # type: ignore[arg-type]


def judged(estimate: Estimate[Properties], evidence: Evidence | None = None) -> dict[str, Finding]:
    scene = Scene(Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), 5.0)
    checks = after(guard(), evidence or Evidence.none())
    return {f.check: f for check in checks for f in check(scene, estimate)}


def test_estimates_are_judged() -> None:
    assert judged(_estimate()) == {}
    assert judged(_estimate(energy=np.nan))["finite"].level is Level.REFUSE
    assert judged(_estimate(forces=np.array([[0, 0, 900.0], [0, 0, 0]])))["force_large"].where == "H 0"
    assert "meV/atom" in judged(_estimate(sd=3.0))["energy_spread"].message
    assert judged(_estimate(force_sd=[0.1, 2.0]))["force_spread"].where == "H 1"
    assert "no_spread" in judged(_estimate(sd=np.nan, force_sd=[np.nan, np.nan]))


def test_surroundings_say_which_atom_and_why() -> None:
    known = np.column_stack([np.random.default_rng(0).normal(size=(500, 3)), np.ones(500)])
    support = Support.fit(KnnOfKind.fit(known[:400], 3), known[400:], rate=0.05)
    closest = np.full((119, 119), np.inf)
    closest[1, 1] = 0.9
    evidence = Evidence(learned=True, support=Surroundings.of(support, 0.02), closest=closest)
    usual, strange = np.zeros((2, 3)), np.array([[0, 0, 0], [9.0, 9, 9]])
    assert "support" not in judged(_estimate(descriptor=usual), evidence)
    finding = judged(_estimate(descriptor=strange), evidence)["support"]
    assert finding.where == "H 1"
    assert "H 0 at 0.74 Å: closer than any such pair seen (0.90 Å)" in finding.message
    assert "no_support" in judged(_estimate(), Evidence(learned=True))


def test_policies() -> None:
    assert guard("strict").level("support") is Level.REFUSE
    assert guard("default").level("support") is Level.CAUTION
    assert set(guard().policy) >= CHECKS, "every check has a level and a reason in the config"
    assert not guard("off").active
    with pytest.raises(BadInput, match="no guard"):
        guard("loose")
    with pytest.raises(BadInput, match="did you mean overlap"):
        Limits.read({"overlaps": 1})
    with pytest.raises(BadInput, match="not what this limit needs"):
        Limits.read({"volume_per_atom": 3})
    assert Guard().level("anything") is Level.CAUTION


def test_elements_of_a_foreign_potential() -> None:
    evidence = Evidence.none(frozenset({29}))
    assert evidence.knows(29)
    assert not evidence.knows(30)
    assert evidence.tier(29) == TIERS[3]
    assert not Evidence.none().knows(119)


def test_rules_know_how_large_the_forces_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace
    from typing import Any

    from ase import Atoms

    from sciai.atoms.checks import Scene, actions, govern, rules
    from sciai.core.answer import Answer, Estimate, Provenance
    from sciai.trust.policy import Action

    def answered(symbols: str, force: float) -> Answer[Any]:
        atoms = Atoms(symbols, positions=[[0, 0, 2.0 * k] for k in range(2)])
        forces = np.array([[0, 0, force], [0, 0, -force]])
        value = SimpleNamespace(forces=forces)
        spread = {"energy": 1.0, "energy_per_atom": 0.5, "forces": np.array([0.1, 0.2])}
        return govern(Scene(atoms), Answer(Estimate(value, spread, "eV"), (), Provenance("x", version="1")))

    assert {"refer"} == {rule.do for rule in actions()}
    assert [f.where for f in answered("MgO", 0.5).findings] == ["false-alarm"]
    assert not answered("MgO", 0.1).findings
    assert not answered("NaCl", 0.5).findings
    wider = Action({"mean_force": {"min": 1.0}}, "widen", "overconfident", "hot ones miss", by=1.3)
    monkeypatch.setattr(rules, "actions", lambda: (wider,))
    hot = answered("NaCl", 2.0)
    assert [f.where for f in hot.findings] == ["overconfident"]
    assert hot.estimate is not None
    np.testing.assert_allclose(hot.estimate.spread["forces"], [0.13, 0.26])


def _many() -> list[Atoms]:
    """Structures good and bad, most with one thing changed."""
    rng, found = np.random.default_rng(3), [atoms for atoms, _ in BAD.values()]
    slab = fcc111("Pt", (1, 1, 3), vacuum=8)
    for start in (bulk("Cu"), bulk("NaCl", "rocksalt", 5.64, cubic=True), molecule("C6H6"), slab):
        for _ in range(60):
            atoms = start.copy()
            match rng.integers(8):
                case 0:
                    atoms.positions += rng.normal(size=atoms.positions.shape) * rng.choice([0.05, 0.5])
                case 1:
                    atoms.set_cell(
                        atoms.cell.array * rng.choice([1e-3, 0.4, 0.7, 1.3, 30.0]), scale_atoms=True
                    )
                case 2:
                    atoms.cell[rng.integers(3)] = rng.choice([0.0, np.nan, 1e-9])
                case 3:
                    atoms.cell[0] = atoms.cell[1] + rng.choice([0, 1e-7, 1e-3, 0.02]) * atoms.cell[2]
                case 4:
                    atoms.pbc = rng.random(3) < 0.5
                case 5:
                    atoms.numbers[rng.integers(len(atoms))] = rng.choice([0, 2, 57, 86, 94, 118])
                case 6:
                    atoms.positions[rng.integers(len(atoms)), 0] += rng.choice([30.0, np.inf])
            found.append(atoms)
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_glance_lets_nothing_through_that_the_words_would_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = np.full(119, 3)
    tiers[[57, 86, 94]] = 2, 1, 0
    closest = np.full((95, 95), 0.9)
    closest[2] = closest[:, 2] = np.inf
    evidence, many = Evidence(learned=True, tiers=tiers, closest=closest), _many()
    quick = [found(atoms, evidence) for atoms in many]
    monkeypatch.setattr(Scene, "glance", lambda *_: 15)
    whole = [found(atoms, evidence) for atoms in many]
    assert quick == whole
    assert {check for one in quick for check in one} >= {
        "position",
        "element",
        "tier",
        "cell",
        "close",
        "isolated",
    }
    assert sum(not one for one in quick) > 60


def test_weighing_lets_nothing_through_that_the_words_would_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)

    def drawn(size: float, shape: tuple[int, ...] = ()) -> object:
        values = rng.lognormal(np.log(size), 1.0, shape)
        return np.where(rng.random(shape) < 0.05, rng.choice([np.nan, np.inf, 0.0]), values)[()]

    many = [
        _estimate(energy=drawn(5), forces=drawn(80, (2, 3)), sd=drawn(0.1), force_sd=drawn(0.2, (2,)))
        for _ in range(300)
    ]
    quick = [judged(estimate) for estimate in many]
    monkeypatch.setattr("sciai.atoms.checks.look.weigh", lambda *_: 3)
    assert quick == [judged(estimate) for estimate in many]
    assert {check for one in quick for check in one} == {
        "finite",
        "force_large",
        "force_spread",
        "energy_spread",
    }
    assert sum(not one for one in quick) > 20


def test_charge_and_moments_that_are_not_used_are_told() -> None:
    learned = replace(Evidence.none(), learned=True)

    def said(atoms: Atoms, evidence: Evidence = learned) -> list[str]:
        return [str(f) for check in before(guard(), evidence) for f in check(Scene(atoms))]

    ion = molecule("NH3")
    assert said(ion) == []
    ion.info["charge"] = 1
    assert "charge of +1 e is not used" in said(ion)[0]
    assert said(ion, Evidence.none()) == []  # another code may use it
    ion.info["charge"] = "unknown"
    assert said(ion) == []
    partial = molecule("H2O")
    partial.set_initial_charges([-0.8, 0.4, 0.4])
    assert said(partial) == []
    partial.set_initial_charges([-1.8, 0.4, 0.4])
    assert "-1 e" in said(partial)[0]
    iron = bulk("Fe")
    iron.set_initial_magnetic_moments([2.2])
    assert "moments are not used" in said(iron)[0]


def test_rules_for_what_should_be_at_rest_do_not_concern_what_moves() -> None:
    rest, other = (Finding("policy", Level.CAUTION, "to be looked at", harm) for harm in ("false-alarm", "x"))
    answer: Answer[float] = Answer(Estimate(1.0, 0.1), (rest, other), Provenance("made up"))
    assert of_motion(answer).findings == (other,)


def _levels() -> Evidence:
    """Of a potential whose data have a Hubbard U on nickel and iron where oxygen or fluorine is there."""
    metals, partners = np.zeros(119, bool), np.zeros(119, bool)
    metals[[26, 28]], partners[[8, 9]] = True, True
    return Evidence(learned=True, levels=(metals, partners))


def _oxygen_on(metal: str, lattice: float) -> Atoms:
    slab = fcc111(metal, (2, 2, 3), a=lattice, vacuum=8)
    add_adsorbate(slab, "O", 1.2, "fcc")
    slab.pbc = True
    return slab


@pytest.mark.parametrize("listed", [True, False])
def test_a_metal_between_two_levels_of_theory_is_told(listed: bool) -> None:
    slab = _oxygen_on("Ni", 3.52)

    def all_pairs(atoms: Atoms) -> scenes.Edges:
        i, j, shift = neighbor_list("ijS", atoms, 6.0)
        return np.stack([i, j]).astype(np.int64), shift @ atoms.cell.array

    scene = Scene(slab, 6.0, listed=all_pairs if listed else None)
    (check,) = before(guard(), _levels())
    (said,) = [finding for finding in check(scene) if finding.check == "two_levels"]
    # three nickel atoms are bonded to the oxygen; one of the top layer and the second layer see it
    assert said.level == Level.CAUTION
    assert "of Ni see O" in said.message
    assert "PBE+U" in said.message
    assert "off by eV" in said.message
    seen = int(said.message.split()[0])
    d = slab.get_distances(-1, range(12), mic=True)
    bonded = d < 1.35 * (covalent_radii[28] + covalent_radii[8])
    assert bonded.sum() == 3
    assert seen == ((d < 4.5) & ~bonded).sum()


def test_what_is_known_of_structures_between_levels_is_told_instead() -> None:
    evidence = replace(_levels(), between=", on one zero: some tenths of an eV off")
    (check,) = before(guard(), evidence)
    (said,) = [f for f in check(Scene(_oxygen_on("Ni", 3.52), 6.0)) if f.check == "two_levels"]
    assert said.message.endswith("elsewhere with PBE, on one zero: some tenths of an eV off")


@pytest.mark.parametrize(
    "atoms",
    [
        _oxygen_on("Cu", 3.61),  # no U on copper
        fcc111("Ni", (2, 2, 3), a=3.52, vacuum=8),  # no oxygen
        bulk("NiO", "rocksalt", 4.18),  # all bonded
        bulk("FeF", "rocksalt", 4.2),
    ],
    ids=str,
)
def test_matter_of_one_level_is_not_told(atoms: Atoms) -> None:
    atoms.pbc = True
    assert "two_levels" not in found(atoms, _levels())


def test_potentials_of_one_level_are_not_told() -> None:
    assert "two_levels" not in found(_oxygen_on("Ni", 3.52), Evidence(learned=True))
