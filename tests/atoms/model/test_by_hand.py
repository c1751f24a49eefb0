"""The derivative written out says what autograd says of the same network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from sciai.atoms.data.graph import Graph, graphs_of
from sciai.atoms.model.by_hand import HIGHEST, derived
from sciai.atoms.model.network import Network

REACH = (3.4, 0.66, 6.5)
SIZES: list[dict[str, Any]] = [
    {"channels": 8, "layers": 1, "lmax": 0, "carried": 0, "triples": []},
    {"channels": 8, "layers": 3, "lmax": 1, "carried": 1, "triples": []},
    {"channels": 12, "layers": 2, "lmax": 2, "carried": 0, "triples": [[1, 1, 2], [2, 2, 2]], "radial": 4},
    {"channels": 8, "layers": 3, "lmax": 2, "carried": 1, "triples": [[1, 1, 2]], "radial": 12},
    {"channels": 8, "layers": 3, "lmax": 2, "carried": 1, "triples": [[1, 1, 2]], "strength": 0.8},
    {"channels": 8, "layers": 2, "lmax": 2, "carried": 2, "triples": [[1, 1, 2], [2, 2, 2]], "heads": 1},
]


def network(**options: Any) -> Network:
    """A random network in double precision, of two levels of theory."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Network(**{"reach": REACH, "sources": {"pbe": 0, "other": 1}, **options}).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        bend = torch.empty_like(net.bend).uniform_(0.6, 0.8)
        net.bend.copy_(bend.maximum(bend.T))
        net.offsets.normal_()
    return net


def structures(seed: int, crushed: float = 1.0) -> list[Atoms]:
    """A molecule, a salt under shear, an alloy, an atom alone."""
    rng = np.random.default_rng(seed)
    salt = bulk("NaCl", "rocksalt", 5.6 * crushed, cubic=True)
    salt.set_cell(salt.cell.array @ (np.eye(3) + rng.normal(0, 0.05, (3, 3))), scale_atoms=True)
    alloy = bulk("Cu", a=3.6 * crushed) * (1, 1, 3)
    alloy.symbols[1] = "Au"
    ethanol = molecule("CH3CH2OH")
    for atoms in (salt, alloy, ethanol):
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
    return [ethanol, salt, alloy, Atoms("Fe", cell=np.eye(3) * 20, pbc=True)]


def same(net: Network, graph: Graph, within: float) -> None:
    known, told = net(graph), derived(net, graph)
    assert told.forces is not None
    assert told.virial is not None
    virial = (told.virial + told.virial.transpose(1, 2)) / 2
    for mine, theirs in (
        (told.atoms.mean(1), known.energies),
        (told.forces, known.forces),
        (virial, known.virial),
        (told.hidden, known.hidden),
    ):
        size = 1 + float(theirs.detach().abs().max())
        assert float((mine - theirs.detach()).abs().max()) < within * size


@pytest.mark.parametrize("options", SIZES)
def test_every_kind_of_network(options: dict[str, Any]) -> None:
    graph = graphs_of(structures(1), REACH[2] + 0.7)
    graph.source[1] = 1
    same(network(**options), graph, 1e-11)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), crushed=st.floats(0.3, 1.3))
def test_any_structure_however_dense(seed: int, crushed: float) -> None:
    same(network(**SIZES[-1]), graphs_of(structures(seed, crushed), REACH[2]), 1e-9)


def test_single_precision() -> None:
    net = network(**SIZES[-1]).float()
    same(net, graphs_of(structures(2), REACH[2]), 2e-5)


def test_atoms_out_of_sight_of_each_other_and_none_at_all() -> None:
    net = network(**SIZES[-1])
    apart = Atoms("H2", [[0, 0, 0], [0, 0, 30]])
    told = derived(net, graphs_of([apart], REACH[2]))
    assert told.forces is not None
    assert told.virial is not None
    assert not told.forces.any()
    assert not told.virial.any()
    assert bool(torch.isfinite(told.atoms).all())


def test_without_derivatives_energies_are_the_same() -> None:
    net = network(**SIZES[-1])
    graph = graphs_of(structures(3), REACH[2])
    alone, whole = derived(net, graph, derivative=False), derived(net, graph)
    assert alone.forces is None
    assert alone.virial is None
    assert torch.equal(alone.atoms, whole.atoms)


@pytest.mark.parametrize("options", [SIZES[-1], {**SIZES[-1], "lmax": HIGHEST + 1, "triples": []}])
def test_answers_are_the_same_by_hand_and_by_autograd(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(**options).requires_grad_(False)
    graph = graphs_of(structures(4), REACH[2])
    told = net.predict(graph)
    bare = net.predict(graph, forces=False, stress=False)
    assert bare.forces is None
    assert bare.stress is None
    monkeypatch.setenv("SCIAI_ATOMS_PLAIN", "1")
    known = net.predict(graph)
    for name in ("energy", "energies", "forces", "stress", "energy_sd", "force_sd", "descriptor"):
        torch.testing.assert_close(
            getattr(told, name), getattr(known, name), rtol=1e-9, atol=1e-9, equal_nan=True
        )
    torch.testing.assert_close(bare.energy, known.energy)
