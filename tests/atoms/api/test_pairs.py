"""Checks share the engine's list of pairs: the same pairs that a search of their own finds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from sciai.atoms.api.engines import NetEngine
from sciai.atoms.checks import Evidence, Scene, before, guard


def _engine(cutoff: float = 5.0) -> NetEngine:
    net: Any = SimpleNamespace(cutoff=cutoff)
    return NetEngine(net, "pairs only")


def _sorted(scene: Scene) -> list[tuple[int, int, float]]:
    ends = np.sort(np.stack([scene.first, scene.second], 1), 1)
    return sorted(
        (int(a), int(b), round(float(d), 9)) for (a, b), d in zip(ends, scene.distances, strict=True)
    )


STRUCTURES = {
    "one atom and its images": bulk("Cu"),
    "crystal": bulk("NaCl", "rocksalt", 5.64, cubic=True) * (2, 1, 1),
    "skew": bulk("Si"),
    "molecule": molecule("CH3CH2OH"),
    "slab": Atoms(
        "Al4", np.random.default_rng(0).random((4, 3)) * 4, cell=[4, 4, 12], pbc=[True, True, False]
    ),
}


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_the_engines_pairs_are_those_of_a_search(name: str) -> None:
    atoms, engine = STRUCTURES[name].copy(), _engine()
    rng = np.random.default_rng(1)
    for _ in range(4):  # steps that the kept list serves, and a change of the cell
        shared, own = Scene(atoms, 5.0, listed=engine.edges), Scene(atoms, 5.0)
        assert _sorted(shared) == _sorted(own)
        atoms.positions += rng.normal(size=atoms.positions.shape) * 0.05
        if atoms.pbc.all():
            atoms.set_cell(atoms.cell * (1 + 0.01 * rng.normal()), scale_atoms=True)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, True), (False, False, True)])
def test_a_cell_that_shrinks_brings_images_that_were_too_far_away(pbc: tuple[bool, bool, bool]) -> None:
    layer, engine = Atoms("C2", [[0, 0, 0], [0, 1.42, 0]], cell=[9, 8, 20], pbc=pbc), _engine()
    for height in (20, 8, 3.4, 2.0, 7.0):  # no atom moves: only the next layer comes nearer
        layer.set_cell([9, 8, height])
        assert _sorted(Scene(layer, 5.0, listed=engine.edges)) == _sorted(Scene(layer, 5.0))
    rng = np.random.default_rng(3)
    for _ in range(60):  # skewed and turned by little, too; atoms far outside their cell
        layer.set_cell(layer.cell[:] * (1 + 0.05 * rng.normal()) + 0.05 * rng.normal(size=(3, 3)))
        layer.positions += 0.02 * rng.normal(size=(2, 3))
        assert _sorted(Scene(layer, 5.0, listed=engine.edges)) == _sorted(Scene(layer, 5.0))
    layer.positions[1] += 3 * layer.cell[2]
    assert _sorted(Scene(layer, 5.0, listed=engine.edges)) == _sorted(Scene(layer, 5.0))


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_the_compiled_look_sees_what_the_list_holds(name: str) -> None:
    atoms, engine = STRUCTURES[name].copy(), _engine(3.2)
    if name == "molecule":
        atoms.positions[2] += 20.0  # one that is alone
    rng, seen = np.random.default_rng(2), set()
    for _ in range(30):
        shared, own = Scene(atoms, 3.2, listed=engine.edges), Scene(atoms, 3.2)
        limits = rng.uniform(0.5, 3.4, (len(own.kinds),) * 2)
        squares = np.zeros((119, 119))
        squares[np.ix_(own.kinds, own.kinds)] = np.maximum(limits, limits.T) ** 2
        if rng.random() < 0.2:
            squares[own.kinds[0], own.kinds[0]] = np.inf
        (near, alone), (also, lonely) = shared.look(squares), own.look(squares)
        limit = np.sqrt(squares[own.numbers[own.first], own.numbers[own.second]])
        assert near == also == bool((own.distances < limit).any())
        assert alone.tolist() == lonely.tolist()
        seen |= {near, *np.isin(np.arange(len(atoms)), alone).tolist()}
        atoms.positions += rng.normal(size=atoms.positions.shape) * 0.02
    assert seen == {True, False}


def test_moving_the_atoms_in_place_moves_no_kept_graph() -> None:
    atoms, engine = bulk("Cu", cubic=True), _engine()
    first = engine._graph_of_one(atoms)
    kept = first.positions.clone()
    atoms.positions += 0.1
    assert (first.positions == kept).all()
    assert engine._graph_of_one(atoms) is not first
    assert engine._graph_of_one(atoms) is engine._graph_of_one(atoms)


def test_a_quick_look_at_pairs_misses_nothing() -> None:
    closest = np.full((119, 119), np.inf)
    closest[11, 17] = closest[17, 11] = 2.5
    closest[11, 11] = closest[17, 17] = 3.0
    evidence = Evidence(learned=True, closest=closest)

    def found(atoms: Atoms) -> list[str]:
        scene = Scene(atoms, 5.0)
        return [f.check for check in before(guard(), evidence) for f in check(scene)]

    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    assert found(salt) == []
    pressed = salt.copy()
    pressed.set_cell(salt.cell * 0.8, scale_atoms=True)
    assert found(pressed) == ["pair_short"]
    assert "pair_unseen" in found(bulk("KCl", "rocksalt", 6.3))
    close = salt.copy()
    close.positions[0] += [0, 0, 1.6]
    assert "close" in found(close)
    assert "pair_short" in found(close)
