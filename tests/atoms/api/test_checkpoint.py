"""The network behind the wrap: loaded from a checkpoint, its evidence, kept neighbours, precision."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.md.verlet import VelocityVerlet

from sciai.atoms.api.differences import spread_of
from sciai.atoms.api.dynamics import md
from sciai.atoms.api.engines import NetEngine
from sciai.atoms.api.potential import Potential
from sciai.atoms.api.relaxation import relax
from sciai.atoms.model.network import Network
from sciai.core.answer import Level
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import CheckpointError

OPTIONS = {"channels": 16, "layers": 2, "lmax": 1, "carried": 1, "triples": [], "heads": 4}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that learned nothing, with evidence as training would leave it: sodium chloride is known."""
    torch.manual_seed(0)
    net = Network(**OPTIONS)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    plain = Checkpoint.from_net(net, Card("tiny", "atoms", config={"domain": {"net": OPTIONS}})).save(
        path.with_name("plain")
    )
    pot = Potential.load(path.with_name("plain"), device="cpu")
    rows = [_rattled(k) for k in range(24)]
    found = [pot(a).estimate for a in rows]
    descriptors = np.concatenate(
        [np.c_[f.value.descriptor, a.numbers] for f, a in zip(found, rows, strict=True) if f is not None]
    )
    assert plain.hash
    learned, held = descriptors[:100], descriptors[100:]
    from sciai.trust.support import KnnOfKind

    measure = KnnOfKind.fit(learned, 3)
    net.support_known[:100] = torch.as_tensor(measure.known)
    net.support_element[:100] = torch.as_tensor(measure.kinds)
    net.support_scale.copy_(torch.as_tensor(measure.scale))
    net.support_held[: len(held)] = torch.as_tensor(np.sort(measure.distance(held)))
    for a, b in ((11, 11), (17, 17), (11, 17), (17, 11)):
        net.closest[a, b] = 2.4
    card = Card(
        "tiny",
        "atoms",
        config={"domain": {"net": OPTIONS}},
        calibration={
            "alpha": 0.1,
            "set": "made up for this test",
            "force": {"edges": [], "quantiles": [3.29]},
            "energy": {"quantiles": [1.645], "floor": 0.005},
        },
        extra={"tiers": {"supported": ["Na"], "limited": ["Cl"]}, "element_counts": {"Na": 5}},
    )
    Checkpoint.from_net(net, card).save(path)
    return path


def _rattled(seed: int) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


def test_what_the_card_says_reaches_the_answer(folder: Path) -> None:
    pot = Potential.load(folder, device="cpu")
    answer = pot(_rattled(99))
    assert answer.provenance.checkpoint == Checkpoint.verify(folder)
    assert answer.provenance.calibration == "made up for this test"
    assert "Cl: limited" in " ".join(f.message for f in answer.findings)
    assert pot(bulk("Cu")).level is Level.REFUSE
    assert pot.evidence.counts is not None
    assert pot.evidence.counts[11] == 5
    assert "Na, Cl" in pot._repr_html_()
    assert answer.estimate is not None
    engine = pot.engine
    assert isinstance(engine, NetEngine)
    engine.calibration = replace(engine.calibration, factors=(1.0,))  # what the network says of itself
    raw = pot(_rattled(99)).estimate
    assert raw is not None
    np.testing.assert_allclose(
        answer.estimate.spread["forces"], 3.29 / 1.6448536 * np.asarray(raw.spread["forces"]), rtol=1e-5
    )
    assert answer.estimate.spread["energy"] >= 0.99 * 8 * 0.005


def test_a_network_that_was_never_calibrated_says_so(folder: Path) -> None:
    answer = Potential.load(folder.with_name("plain"), device="cpu")(_rattled(0))
    assert {"no_support", "no_spread"} <= {f.check for f in answer.findings}
    assert "not calibrated" in answer.provenance.calibration
    assert answer.estimate is not None
    # what a network that learned five structures says of its energies was a fortieth of what they were off
    assert np.isnan(answer.estimate.spread["energy"])
    assert np.isnan(answer.estimate.spread["forces"]).all()
    value = answer.estimate.value
    sd, said = spread_of(Potential.load(folder.with_name("plain")), [(1, value), (-1, value)])
    assert np.isnan(sd)
    assert "no uncertainty" in said.message


def test_what_was_calibrated_in_part_says_which(folder: Path) -> None:
    saved = Checkpoint.load(folder)
    half = {k: v for k, v in saved.card.calibration.items() if k != "force"}
    Checkpoint(saved.arrays, replace(saved.card, calibration=half)).save(folder.with_name("half"))
    answer = Potential.load(folder.with_name("half"), device="cpu")(_rattled(0))
    (said,) = [f.message for f in answer.findings if f.check == "no_spread"]
    assert "its forces" in said
    assert answer.estimate is not None
    assert np.isfinite(answer.estimate.spread["energy"])
    assert np.isnan(answer.estimate.spread["forces"]).all()


def test_an_energy_whose_zero_nothing_tells_is_no_energy(folder: Path) -> None:
    """Taught structures without chlorine at a level of their own, it answered chlorine's with a spread."""
    saved = Checkpoint.load(folder)
    told = {**saved.card.calibration, "zero": {"source": "mine", "elements": ["Na"]}}
    Checkpoint(saved.arrays, replace(saved.card, calibration=told)).save(folder.with_name("zero"))
    pot = Potential.load(folder.with_name("zero"), device="cpu")
    answer = pot(_rattled(0))
    (said,) = [f for f in answer.findings if f.check == "energy_spread"]
    assert said.level is Level.CAUTION
    assert "no energy of Cl" in said.message
    assert answer.estimate is not None
    assert np.isnan(answer.estimate.spread["energy"])
    assert np.isfinite(answer.estimate.spread["forces"]).all()
    assert "a guess" not in str(pot(bulk("Na")).findings)


def test_an_atom_in_strange_surroundings_is_named(folder: Path) -> None:
    pot = Potential.load(folder, device="cpu")
    usual = {f.check for f in pot(_rattled(98)).findings}
    assert not {"support", "pair_short"} & usual
    strange = _rattled(98)
    strange.positions[3] += [1.1, 0, 0]
    findings = {f.check: f for f in pot(strange).findings}
    assert findings["pair_short"].level is Level.CAUTION
    assert "closest Na-Cl in training were 2.40" in findings["pair_short"].message.replace("Cl-Na", "Na-Cl")
    assert Potential.load(folder, device="cpu", guard="strict")(strange).level is Level.REFUSE


def test_batches_and_kept_neighbours_change_nothing(folder: Path) -> None:
    pot = Potential.load(folder, device="cpu", dtype="float64", guard="off")
    frames = [_rattled(k) for k in range(3)] + [molecule("NaCl")]
    together = [a.unwrap() for a in pot.batch(frames)]
    engine = pot.engine
    assert isinstance(engine, NetEngine)
    for atoms, value in zip(frames, together, strict=True):
        engine.forget()
        alone = pot(atoms).unwrap()
        np.testing.assert_allclose(alone.forces, value.forces, atol=1e-10)
        assert alone.energy == pytest.approx(value.energy, abs=1e-9)
    assert together[-1].stress is None
    moving = _rattled(0)
    kept = None
    for step in range(12):
        moving.positions += 0.1 * np.sin(np.arange(24).reshape(8, 3) + step)
        moving.set_cell(moving.cell[:] * 1.002)
        value = pot(moving).unwrap()
        assert kept is not engine._kept or step
        kept = engine._kept
        fresh = Potential.load(folder, device="cpu", dtype="float64", guard="off")(moving).unwrap()
        np.testing.assert_allclose(value.forces, fresh.forces, atol=1e-9)
        assert value.stress is not None
        assert fresh.stress is not None
        np.testing.assert_allclose(value.stress, fresh.stress, atol=1e-10)


def test_forces_and_stress_through_the_calculator_are_slopes(folder: Path) -> None:
    pot = Potential.load(folder, device="cpu", dtype="float64")
    atoms = _rattled(5)
    atoms.calc = pot.calculator("off")
    from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-5)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=2e-5)
    single = Potential.load(folder, device="cpu")(atoms)
    assert single.estimate is not None
    np.testing.assert_allclose(single.estimate.value.forces, atoms.get_forces(), atol=1e-4)
    assert float(np.sum(single.estimate.value.energies)) == pytest.approx(
        single.estimate.value.energy, abs=1e-4
    )


@pytest.mark.parametrize(
    ("ensemble", "thermostat"),
    [("nve", "bussi"), ("nvt", "bussi"), ("nvt", "langevin"), ("nvt", "nose-hoover"), ("npt", "bussi")],
)
def test_dynamics_restarts_bit_for_bit_in_single_precision(
    folder: Path, tmp_path: Path, ensemble: str, thermostat: str
) -> None:
    options = {"temperature": 300.0, "every": 4, "on_refusal": "mark", "seed": 1}
    options |= {"ensemble": ensemble, "thermostat": thermostat}

    def run(name: str, steps: int) -> np.ndarray:
        pot = Potential.load(folder, device="cpu", guard="default")
        return np.asarray(md(_rattled(0), pot, tmp_path / name, steps=steps, **options).unwrap().table)

    whole = run("whole", 16)
    run("parts", 6)
    np.testing.assert_array_equal(whole, run("parts", 16))


def test_dynamics_of_ase_conserves(folder: Path) -> None:
    atoms = _rattled(0)
    atoms.calc = Potential.load(folder, device="cpu", dtype="float64").calculator("off")
    begin = atoms.get_total_energy()
    VelocityVerlet(atoms, 1.0).run(30)
    assert atoms.get_total_energy() == pytest.approx(begin, abs=2e-3)
    relax(atoms, Potential.load(folder, device="cpu"), steps=2, cell=False)


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    Checkpoint({"w": np.zeros(1, "f4")}, Card("x", "radar")).save(tmp_path / "radar")
    with pytest.raises(CheckpointError, match="radar"):
        Potential.load(tmp_path / "radar", device="cpu")


def test_a_potential_goes_to_another_process(folder: Path) -> None:
    atoms = _rattled(3)
    atoms.calc = Potential.load(folder).calculator()
    energy = atoms.get_potential_energy()
    again = pickle.loads(pickle.dumps(atoms.calc))  # as a worker gets it, used before
    other = _rattled(3)
    other.calc = again
    assert other.get_potential_energy() == energy
    assert again.answer.findings == atoms.calc.answer.findings


def test_threads_that_share_a_potential_get_their_own_answers(folder: Path) -> None:
    pot = Potential.load(folder)
    rows = [_rattled(k) for k in range(8)] * 6
    alone = [Potential.load(folder)(atoms).unwrap().energy for atoms in rows[:8]] * 6
    with ThreadPoolExecutor(4) as pool:
        found = [a.unwrap().energy for a in pool.map(pot, rows)]
    np.testing.assert_allclose(found, alone, atol=1e-4)
