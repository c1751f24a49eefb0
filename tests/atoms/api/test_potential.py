"""Potential: one answer or many, as a calculator, refusals that stop what runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from sciai.atoms.api.dynamics import md
from sciai.atoms.api.engines import CalculatorEngine, Calibration, _with_vectors
from sciai.atoms.api.foreign import named
from sciai.atoms.api.pictures import structure_figure
from sciai.atoms.api.potential import Potential
from sciai.core.answer import Level, Refused
from sciai.core.errors import BadInput, SciaiError


def test_the_wrap_changes_no_number(emt: Potential) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    value = emt(atoms).unwrap()
    atoms.calc = EMT()
    assert value.energy == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(value.forces, atoms.get_forces())
    assert value.stress is not None
    np.testing.assert_allclose(value.stress, atoms.get_stress())


def test_a_batch_answers_each_and_one_refusal_stops_no_other(emt: Potential) -> None:
    bad = Atoms("Cu2", np.zeros((2, 3)))
    answers = emt.batch(atoms for atoms in (bulk("Cu"), bad, bulk("Au")))  # any iterable
    assert [a.level for a in answers] == [Level.CAUTION, Level.REFUSE, Level.CAUTION]
    assert answers[1].estimate is None
    assert answers[2].unwrap().energy == emt(bulk("Au")).unwrap().energy
    with pytest.raises(Refused, match="on one spot"):
        answers[1].unwrap()


def test_disagreement_of_calculators_is_the_spread() -> None:
    members = [LennardJones(sigma=3.4, epsilon=e, rc=8.0) for e in (0.010, 0.011, 0.012)]
    pot = Potential.from_calculator(members)
    atoms = bulk("Ar", a=5.2)
    answer = pot(atoms)
    energies = [Potential.from_calculator(m)(atoms).unwrap().energy for m in members]
    assert answer.estimate is not None
    assert answer.unwrap().energy == pytest.approx(np.mean(energies))
    assert answer.estimate.spread["energy"] == pytest.approx(np.std(energies, ddof=1))
    assert "no_spread" not in {f.check for f in answer.findings}
    assert "3 calculators" in answer.provenance.calibration


def test_the_calculator_carries_spread_and_answer(emt: Potential) -> None:
    atoms = molecule("N2")
    atoms.calc = emt.calculator()
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=30)
    assert {"energy", "free_energy", "forces", "forces_sd", "energy_sd"} <= set(atoms.calc.results)
    assert atoms.calc.answer is not None
    assert atoms.calc.worst is Level.CAUTION
    with pytest.raises(PropertyNotImplementedError, match="not periodic"):
        atoms.get_stress()


def test_a_refusal_stops_dynamics_with_a_sentence(emt: Potential) -> None:
    atoms = Atoms("Cu2", [[0, 0, 0], [2.2, 0, 0]])
    atoms.calc = emt.calculator("strict")
    atoms.set_velocities([[0.5, 0, 0], [-0.5, 0, 0]])
    with pytest.raises(Refused, match=r"Cu 0 and Cu 1 .* unusually close \(1\.\d+ Å\)"):
        VelocityVerlet(atoms, 1.0).run(200)
    assert np.isfinite(atoms.positions).all()
    free = Atoms("Cu2", [[0, 0, 0], [1.2, 0, 0]])
    free.calc = emt.calculator("off")
    assert np.isfinite(free.get_potential_energy())


def test_unknown_elements_are_refused_before_anything_is_computed() -> None:
    pot = Potential.from_calculator(EMT(), elements=["Cu"])
    answer = pot(bulk("Au"))
    assert answer.level is Level.REFUSE
    assert "does not know Au" in str(answer.findings[0])


def test_what_cannot_be_loaded_or_wrapped() -> None:
    with pytest.raises(BadInput, match="no checkpoint 'nowhere'"):
        Potential.load("nowhere")
    with pytest.raises(BadInput, match="precision"):
        Potential.load(dtype="float16")
    with pytest.raises(BadInput, match="device"):
        Potential.load(device="cuda:77")
    with pytest.raises(BadInput, match="no ASE calculator"):
        Potential.from_calculator("EMT")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no element"):
        Potential.from_calculator(EMT(), elements=["Xx"])
    assert named("lj").provenance.model == "Lennard-Jones argon"


def test_dispersion_is_added_and_conserves() -> None:
    pytest.importorskip("torch_dftd")
    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]])
    plain, more = (Potential.from_calculator(LennardJones(sigma=3.4), d3=d3) for d3 in (False, True))
    difference = more(atoms).unwrap().energy - plain(atoms).unwrap().energy
    assert -0.05 < difference < -1e-4
    step = 1e-3
    apart, near = atoms.copy(), atoms.copy()
    apart.positions[1, 0] += step
    near.positions[1, 0] -= step
    slope = (more(apart).unwrap().energy - more(near).unwrap().energy) / (2 * step)
    assert more(atoms).unwrap().forces[1, 0] == pytest.approx(-slope, rel=1e-3)
    assert "D3" in more.provenance.model


def test_dispersion_of_what_it_is_not_known_for_is_refused() -> None:
    """A chain without vectors across it, curium and a misspelt functional ended in errors of torch-dftd."""
    pytest.importorskip("torch_dftd")
    pot = Potential.from_calculator(LennardJones(sigma=3.4), d3="PBE")
    chain = Atoms("Ar", cell=[3.8, 0, 0], pbc=(True, False, False))
    boxed = Atoms("Ar", cell=[3.8, 60, 60], pbc=True)
    assert pot(chain).unwrap().energy == pytest.approx(pot(boxed).unwrap().energy, abs=1e-6)
    assert [f.check for f in pot(bulk("Cm", "fcc", a=5.0)).findings if f.level is Level.REFUSE] == ["element"]
    with pytest.raises(BadInput, match=r"no D3.*'pbee'"):
        Potential.from_calculator(LennardJones(), d3="pbee")


def test_a_layer_gets_the_vector_that_it_lacks() -> None:
    layer = graphene()
    layer.cell[2] = 0
    assert np.linalg.matrix_rank(_with_vectors(layer).cell.array) == 3
    assert not layer.cell[2].any()
    assert _with_vectors(molecule("H2O")).cell.rank == 0


class _Fails(EMT):
    """Does not converge, as codes of others do."""

    def calculate(self, *_: object, **__: object) -> None:
        raise RuntimeError("SCF did not converge\nafter 60 cycles")


def test_a_calculator_that_fails_is_named_with_its_structure() -> None:
    with pytest.raises(SciaiError, match=r"^mine failed on Cu4 .*: SCF did not converge$"):
        Potential.from_calculator(_Fails(), "mine")(bulk("Cu", cubic=True))


class _Charged(EMT):
    """Energy by the charge in ``info``, which many potentials read."""

    def calculate(self, atoms: Any = None, *given: Any, **named: Any) -> None:
        super().calculate(atoms, *given, **named)
        self.results["energy"] += 100.0 * atoms.info.get("charge", 0)


def test_another_charge_of_the_same_atoms_is_computed_anew() -> None:
    """ASE's calculators compare atoms, not what is in ``info``: the second once got the first's energy."""
    pot = Potential.from_calculator(_Charged())
    neutral = bulk("Cu", cubic=True)
    charged = neutral.copy()
    charged.info["charge"] = 2
    energies = [answer.unwrap().energy for answer in pot.batch([neutral, charged, neutral])]
    assert np.diff(energies) == pytest.approx([200.0, -200.0])


def test_a_sum_of_calculators_runs_dynamics() -> None:
    """A potential with dispersion is often one (``mace_mp(dispersion=True)``); it cannot be reset."""
    both = SumCalculator([EMT(), LennardJones(epsilon=1e-3)])
    pot = Potential.from_calculator(both)
    assert md(bulk("Cu", cubic=True), pot, steps=10).unwrap().steps == 10
    pot.engine.forget()
    assert both.results == {}
    assert all(part.results == {} for part in both.mixer.calcs)


def test_calibration_covers_what_it_was_fitted_on() -> None:
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.01, 1.0, 4000)
    error = np.abs(rng.normal(size=4000)) * sd * np.where(sd > 0.3, 3.0, 1.0)
    card = {"alpha": 0.1, "force": {"edges": [0.3], "quantiles": [1.645, 3 * 1.645]}}
    spread = Calibration.of(card).forces(sd)
    assert np.mean(error <= 1.645 * spread) == pytest.approx(0.9, abs=0.02)
    assert not Calibration.of({}).known


def test_engines_forget(emt: Potential) -> None:
    engine = emt.engine
    assert isinstance(engine, CalculatorEngine)
    emt(bulk("Cu"))
    engine.forget()
    assert engine.members[0].results == {}


def test_notebooks_get_a_table_and_a_picture(emt: Potential) -> None:
    assert "EMT" in emt._repr_html_()
    assert "<table>" in emt._repr_html_()
    atoms = bulk("Cu", cubic=True)
    assert len(emt.picture(atoms).axes) == 2
    assert len(structure_figure(atoms, np.linspace(0, 1, 4)).axes) == 3


def test_what_is_no_structure_is_said(emt: Potential) -> None:
    with pytest.raises(BadInput, match=r"a str is no ASE structure.*sciai\.atoms\.read"):
        emt("Cu.cif")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="one structure"):
        emt.batch(bulk("Cu"))  # type: ignore[arg-type]
    for number in (119, -1):
        with pytest.raises(BadInput, match=f"{number} is the number of no element"):
            emt(Atoms(numbers=[number], positions=[[0, 0, 0]]))


def test_copies_of_one_calculator_know_no_spread() -> None:
    """They agreed with themselves, and the answer was certain."""
    calculator = EMT()
    for members in ([calculator, calculator], [EMT(), EMT()]):
        answer = Potential.from_calculator(members)(bulk("Cu", cubic=True))
        assert "no_spread" in {f.check for f in answer.findings}
    with pytest.raises(BadInput, match="and not EMT"):
        Potential.from_calculator(EMT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("stress", lambda x: x * np.nan, "stress that is not a number"),  # was no word
        ("forces", lambda x: x[:2], r"forces of shape \(2, 3\) for 4 atoms"),  # was no word
    ],
)
def test_results_that_cannot_be(name: str, change: Any, says: str) -> None:
    class Odd(EMT):
        def calculate(self, *given: Any, **named: Any) -> None:
            super().calculate(*given, **named)
            self.results[name] = change(self.results[name])

    with pytest.raises(SciaiError, match=says):
        Potential.from_calculator(Odd())(bulk("Cu", cubic=True))


def test_a_calculator_may_give_none_for_a_stress() -> None:
    """It was "'NoneType' object has no attribute 'shape'"."""

    class WithoutStress(EMT):
        def calculate(self, *args: Any, **kwargs: Any) -> None:
            super().calculate(*args, **kwargs)
            self.results["stress"] = None

    answer = Potential.from_calculator(WithoutStress())(bulk("Cu", cubic=True))
    assert answer.unwrap().stress is None
