"""Laws that hold for any weights."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii

from sciai.atoms.data.graph import graphs_of
from sciai.atoms.model.interface import predict
from sciai.atoms.model.network import Network
from sciai.atoms.model.radial import envelope
from sciai.core.errors import BadInput

NETS: dict[str, dict[str, Any]] = {
    "tensors": {"lmax": 2, "carried": 2, "triples": [(1, 1, 2), (2, 2, 2)]},
    "scalars": {"lmax": 3, "carried": 0, "triples": [(1, 2, 3)]},
    "vectors": {"lmax": 1, "carried": 1, "triples": []},
    "bounded": {"lmax": 2, "carried": 2, "triples": [(1, 1, 2), (2, 2, 2)], "layers": 3, "strength": 0.7},
}


def _net(name: str = "tensors", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    net = Network(channels=16, heads=4, **NETS[name])
    return net.double().requires_grad_(False)


def _crystal() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    atoms.symbols[[1, 5]] = ["Br", "O"]
    atoms.rattle(0.15, seed=3)
    atoms.set_cell(atoms.cell.array + np.random.default_rng(0).normal(0, 0.1, (3, 3)), scale_atoms=True)
    return atoms


def _ask(net: Network, *structures: Atoms) -> Any:
    return predict(net, graphs_of(list(structures), net.cutoff))


@pytest.mark.parametrize("name", NETS)
def test_forces_are_the_slope_of_the_energy(name: str) -> None:
    net, atoms, step = _net(name), _crystal(), 1e-4
    forces = _ask(net, atoms).forces.numpy()
    for i, axis in ((0, 0), (3, 1), (5, 2)):
        both = [atoms.copy(), atoms.copy()]
        for sign, moved in zip((1, -1), both, strict=True):
            moved.positions[i, axis] += sign * step
        ends = _ask(net, *both).energy.tolist()
        assert -(ends[0] - ends[1]) / (2 * step) == pytest.approx(forces[i, axis], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_stress_is_the_slope_along_strain(name: str) -> None:
    net, atoms, step = _net(name), _crystal(), 1e-4
    stress = _ask(net, atoms).stress[0].numpy()
    np.testing.assert_allclose(stress, stress.T)
    for a, b in ((0, 0), (1, 2), (0, 2)):
        both = [atoms.copy(), atoms.copy()]
        for sign, moved in zip((1, -1), both, strict=True):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        ends = _ask(net, *both).energy.tolist()
        slope = (ends[0] - ends[1]) / (2 * step) / atoms.get_volume()
        assert slope == pytest.approx(stress[a, b], rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", NETS)
def test_rotation_translation_permutation(name: str) -> None:
    from scipy.spatial.transform import Rotation

    net, atoms = _net(name), _crystal()
    here = _ask(net, atoms)
    turn = Rotation.random(random_state=1).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn, scale_atoms=False)
    turned.positions = atoms.positions @ turn + [0.3, -4.0, 1.0]
    there = _ask(net, turned)
    assert float(there.energy[0]) == pytest.approx(float(here.energy[0]), abs=1e-9)
    np.testing.assert_allclose(there.forces.numpy(), here.forces.numpy() @ turn, atol=1e-9)
    np.testing.assert_allclose(there.stress[0].numpy(), turn.T @ here.stress[0].numpy() @ turn, atol=1e-10)
    order = np.random.default_rng(0).permutation(len(atoms))
    mixed = _ask(net, atoms[order])
    np.testing.assert_allclose(mixed.energies.numpy(), here.energies.numpy()[order], atol=1e-9)


def test_energy_is_extensive() -> None:
    net, atoms = _net(), _crystal()
    one, eight = _ask(net, atoms), _ask(net, atoms.repeat(2))
    assert float(eight.energy[0]) == pytest.approx(8 * float(one.energy[0]), rel=1e-10)
    np.testing.assert_allclose(eight.stress.numpy(), one.stress.numpy(), atol=1e-10)
    np.testing.assert_allclose(eight.forces.numpy()[: len(atoms)], one.forces.numpy(), atol=1e-9)


def test_structures_of_a_batch_do_not_see_each_other() -> None:
    net, crystal, water = _net(), _crystal(), molecule("H2O")
    both = _ask(net, crystal, water)
    assert float(both.energy[0]) == pytest.approx(float(_ask(net, crystal).energy[0]), abs=1e-10)
    assert float(both.energy[1]) == pytest.approx(float(_ask(net, water).energy[0]), abs=1e-10)
    assert bool(torch.isnan(both.stress[1]).all())  # a molecule has no volume


def test_smooth_where_neighbours_leave() -> None:
    net = _net()
    reach = float(net.reach[29, 29])
    x = reach + np.linspace(-0.02, 0.02, 81)
    forces = _ask(net, *(Atoms("Cu2", [[0, 0, 0], [d, 0, 0]]) for d in x)).forces[1::2, 0].numpy()
    assert np.abs(forces[x >= reach]).max() == 0
    assert np.abs(np.diff(forces)).max() < 1e-6


def test_envelope_ends_with_two_derivatives() -> None:
    x = torch.tensor([1 - 1e-9], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(envelope(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    assert abs(float(first.detach())) < 1e-6
    assert abs(float(second)) < 1e-5


@pytest.mark.parametrize("pair", ["HH", "OO", "FeO", "CsCl", "UPb"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_holes_at_short_range(pair: str, seed: int) -> None:
    net, atoms = _net(seed=seed), Atoms(pair, [[0, 0, 0], [0, 0, 1]])
    touch = covalent_radii[atoms.numbers].sum()
    closer = []
    for share in np.linspace(0.6, 0.15, 30):
        atoms.positions[1, 2] = share * touch
        closer.append(atoms.copy())
    assert bool((_ask(net, *closer).energy.diff() > 0).all())


def test_single_precision_is_close() -> None:
    net, atoms = _net(), _crystal().repeat(2)
    double = _ask(net, atoms)
    single = _ask(net.float(), atoms)
    assert float((single.energy - double.energy).abs().max()) / len(atoms) < 1e-6
    torch.testing.assert_close(single.forces, double.forces, rtol=1e-3, atol=2e-4)


def test_compiled_path_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    net, atoms = _net(), _crystal()
    fast = _ask(net, atoms)
    monkeypatch.setitem(os.environ, "SCIAI_ATOMS_PLAIN", "1")
    plain = _ask(net, atoms)
    torch.testing.assert_close(fast.energies, plain.energies, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(fast.forces, plain.forces, rtol=1e-8, atol=1e-10)


def test_moved_graph_is_a_new_graph() -> None:
    net, atoms = _net(), _crystal()
    graph = graphs_of([atoms], net.cutoff + 1.0)
    atoms.rattle(0.1, seed=9)
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    again = predict(net, graph.moved(atoms.positions, atoms.cell.array))
    fresh = _ask(net, atoms)
    torch.testing.assert_close(again.forces, fresh.forces, rtol=1e-8, atol=1e-10)


def test_one_atom_alone() -> None:
    answer = _ask(_net(), Atoms("Ar"))
    assert torch.isfinite(answer.energy).all()
    assert float(answer.forces.abs().max()) == 0


def test_training_sees_every_weight() -> None:
    torch.manual_seed(0)
    net = Network(channels=16, heads=4, **NETS["tensors"]).double()
    out = net(graphs_of([_crystal()], net.cutoff), learn=True)
    (out.forces.square().sum() + out.virial.square().sum() + out.force_sd.sum()).backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == ["readout.2.bias"]  # a constant has no slope


def test_features_cannot_run_away() -> None:
    """Each interaction cubes what it takes: without a bound, three of them raise it to the 27th power."""
    largest = {}
    for strength in (None, 8.0):
        torch.manual_seed(0)
        net = Network(channels=16, layers=3, strength=strength, **NETS["tensors"]).requires_grad_(False)
        for interaction in net.interactions:
            interaction.receive.weight *= 100
        graph = graphs_of([_crystal()], net.cutoff)
        largest[strength] = float(net(graph, forces=False, stress=False).hidden.abs().max())
    assert largest[8.0] < 3e3 < 1e10 < largest[None]


def test_what_atoms_usually_make_of_their_surroundings_is_not_bounded() -> None:
    layer = Network(channels=16, strength=8.0).interactions[0]
    h = torch.randn(50, 16)
    free = layer.receive(h)
    weighed, slope = layer.weighed(h)
    assert float(free.abs().max()) < 4
    assert slope is not None
    assert torch.allclose(weighed, free, rtol=0.02)
    assert float((slope - 1).abs().max()) < 0.08


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(BadInput, match="radial"):
        Network(radial=6)
    with pytest.raises(BadInput, match="carried"):
        Network(lmax=1, carried=2)
    for strength in (0, -1.0, float("nan")):
        with pytest.raises(BadInput, match="strength"):
            Network(strength=strength)


def test_nearer_than_ever_seen_there_is_repulsion_alone() -> None:
    net = _net()
    touch = 2 * float(covalent_radii[11])
    net.closest[11, 11] = 1.2 * touch  # bends from 0.8 of touching, and is flat from 0.6 on
    net.keep_to_seen()
    pairs = [
        Atoms("Na2", positions=[[0, 0, 0], [share * touch, 0, 0]]) for share in np.arange(0.3, 1.0, 0.01)
    ]
    graph = graphs_of(pairs, net.cutoff)
    seen = predict(net, graph)
    push = seen.forces.numpy()[1::2, 0]
    near = np.arange(0.3, 1.0, 0.01) < 0.6
    assert (push[near] > 0).all()
    # the network's own share is the same for all of them
    vectors, found, z = net._pairs(graph)
    alone = net._repulsion(vectors.norm(dim=1), found, z).view(-1, 2).sum(1)
    assert np.ptp((seen.energy - alone).numpy()[near]) < 1e-9
    # smooth where it bends: slopes of the energy are the forces there too
    energy = seen.energy.numpy()
    middle = -(energy[2:] - energy[:-2]) / (0.02 * touch)
    assert np.abs(middle - push[1:-1])[35:].max() < 0.05 * np.abs(push[36:]).max() + 0.05


def test_what_was_seen_near_is_not_bent() -> None:
    net, atoms = _net(), _crystal()
    before = _ask(net, atoms)
    net.closest[:] = 1.0
    net.keep_to_seen()
    assert torch.equal(_ask(net, atoms).energy, before.energy)
