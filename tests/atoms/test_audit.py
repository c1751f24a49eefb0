"""The audit of potentials: planted harms, broken laws and motifs are found; rules act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from sciai.atoms.api.audit import asking, textbook
from sciai.atoms.api.potential import Potential
from sciai.atoms.checks import actions, audit, defects, rules
from sciai.atoms.data.records import Record, from_atoms
from sciai.core.answer import Level
from sciai.trust.audit import TOOLS
from sciai.trust.audit.exam import judge
from sciai.trust.audit.probe import probe
from sciai.trust.policy import read_actions


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Crystals with labels that somebody drew; half of them oxides."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(160):
        name, constant = (("MgO", 4.2), ("NaCl", 5.6))[k % 2]
        atoms = bulk(name, "rocksalt", constant, cubic=True) * (1, 1, 1)
        base = from_atoms(atoms, "mptrj", kind=("a.extxyz", "b.extxyz")[k % 3 == 0])
        forces = rng.normal(0, 0.8, (len(atoms), 3))
        found.append(
            replace(base, energy=-4.0 * len(atoms), forces=forces - forces.mean(0), group=f"{name}{k // 4}")
        )
    return found


def told(records: list[Record], error: float = 0.1) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    truth = np.concatenate([np.asarray(r.forces) for r in records])
    noise = rng.normal(0, error, truth.shape)
    sizes = np.array([len(r) for r in records])
    noise -= np.repeat(np.add.reduceat(noise, np.cumsum(sizes) - sizes) / sizes[:, None], sizes, 0)
    energy = np.array([float(r.energy or 0) for r in records])
    sd = np.full(len(truth), error)
    return {
        "energy": energy,
        "energy_sd": np.full(len(records), 0.1),
        "forces": truth + noise,
        "force_sd": sd,
    }


def test_a_planted_harm_to_oxides_is_found_and_a_rule_cures_it(records: list[Record]) -> None:
    exam = audit.exam(records)
    good = judge(exam, told(records), draws=100)
    assert good["harmed"] == []
    assert good["figures"]["coverage"] == pytest.approx(0.9, abs=0.03)
    bad = told(records)
    oxides = np.concatenate([np.full(len(r), 8 in r.numbers) for r in records])
    bad["forces"][oxides] *= 0.4
    found = judge(exam, bad, draws=100)
    assert any("false-safe in oxygen" in text for text in found["harmed"])
    assert any("overconfident in alkaline earths" in text for text in found["harmed"])
    rule = {"when": {"elements": ["O"]}, "do": "refer", "harm": "false-safe", "why": "forces are too small"}
    cured = judge(exam, bad, read_actions([rule], rules.FACTS), draws=100)
    assert cured["harmed"] == []
    assert cured["policy"]["rules"][0]["share"] == pytest.approx(0.5)


class Leaning(EMT):  # type: ignore[misc]
    """A potential that likes one direction."""

    def get_property(self, name: str, atoms: Any = None, allow_calculation: bool = True) -> Any:
        found = super().get_property(name, atoms, allow_calculation)
        if name == "energy" and atoms is not None:
            found = found + 0.5 * float(atoms.cell.array[0, 0])
        return found


def test_laws_and_motifs() -> None:
    rng = np.random.default_rng(0)
    crystals = []
    for k in range(24):
        atoms = bulk(("Cu", "Al", "Au")[k % 3], "fcc", 3.6 + 0.1 * (k % 3), cubic=True)
        atoms.rattle(0.05, rng=rng)
        crystals.append(atoms)
    accused = {}
    for name, calculator in (("honest", EMT()), ("leaning", Leaning())):
        answer = asking(Potential.from_calculator(calculator))
        of = defects.subject(crystals, [0.0] * 24, answer, True)
        found = probe({"energy per atom": (of, defects.unused(False))})
        accused[name] = {row["tool"] for row in found["evidence"] if row["accused"]}
        seen = {row["defect"]: row["found"] for row in found["sensitivity"]}
        assert seen == dict.fromkeys(("trigger", "watched", "shortcut", "broken law"), 1)
        assert {row["tool"] for row in found["unused"]} == set(TOOLS) - {r["tool"] for r in found["evidence"]}
    assert accused == {"honest": set(), "leaning": {"relations"}}


def test_rows_hold_crystals() -> None:
    for atoms in textbook():
        back = defects.atoms_of(defects.rows_of([atoms])[0])
        assert back.get_chemical_symbols() == atoms.get_chemical_symbols()
        np.testing.assert_allclose(back.get_all_distances(mic=True), atoms.get_all_distances(mic=True))


def test_rules_act_on_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = Potential.from_calculator([EMT(), EMT()], elements=["Cu"])
    for rule in actions():
        assert rule.harm in audit.MATTERS
    when = {"elements": ["Cu", "Ag"], "volume_per_atom": {"max": 20}}
    for do, level in (("widen", Level.CAUTION), ("withhold", Level.REFUSE)):
        rule = {"when": when, "do": do, "harm": "overconfident", "why": "measured"}
        read = tuple(read_actions([rule | ({"by": 2} if do == "widen" else {})], rules.FACTS))
        monkeypatch.setattr(rules, "actions", lambda read=read: read)
        answer = potential(bulk("Cu"))
        assert answer.level is level
        assert "policy" in [f.check for f in answer.findings]
        assert "policy" not in [f.check for f in potential.with_guard("off")(bulk("Cu")).findings]
