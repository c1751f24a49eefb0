"""Textbook compounds: sound, complete, in an order whose beginning is a fair sample."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.atoms.data.chemistry import KNOWN
from sciai.atoms.data.perturb import closeness
from sciai.atoms.data.textbook import cell, compounds


def test_every_alkali_halide_every_oxide_and_every_element_is_there() -> None:
    found = set(compounds())
    assert len(found) == len(compounds())
    for cation in (3, 11, 19, 37, 55):
        assert all(("rocksalt", (cation, anion)) in found for anion in (9, 17, 35, 53))
    for element in set(KNOWN) - {8}:
        names = {name for name, numbers in found if numbers == (element, 8)}
        assert {"rocksalt", "fluorite", "antifluorite", "ReO3"} <= names
        assert {name for name, numbers in found if numbers == (element,)} >= {"fcc", "bcc", "hcp", "diamond"}
        assert {"defect-fluorite", "filled-defect-fluorite"} <= names


@pytest.mark.parametrize(
    ("name", "numbers", "counts"),
    [
        ("rocksalt", (11, 17), {11: 1, 17: 1}),
        ("fluorite", (20, 9), {20: 1, 9: 2}),
        ("antifluorite", (3, 8), {3: 2, 8: 1}),
        ("cuprite", (29, 8), {29: 4, 8: 2}),
        ("ReO3", (75, 8), {75: 1, 8: 3}),
        ("diamond", (14,), {14: 2}),
        ("fcc", (29,), {29: 1}),
        ("hcp", (12,), {12: 2}),
        ("defect-fluorite", (39, 8), {39: 4, 8: 6}),
        ("filled-defect-fluorite", (41, 8), {41: 4, 8: 10}),
        ("perovskite", (38, 22, 8), {38: 1, 22: 1, 8: 3}),
    ],
)
def test_cells_hold_what_the_formula_says(
    name: str, numbers: tuple[int, ...], counts: dict[int, int]
) -> None:
    atoms = cell(name, numbers)
    assert {
        int(z): int(n) for z, n in zip(*np.unique(atoms.numbers, return_counts=True), strict=True)
    } == counts
    assert atoms.pbc.all()
    assert 0.7 < closeness(atoms) < 1.05


def test_the_beginning_is_a_sample_of_the_whole() -> None:
    first = compounds()[:200]
    assert {name for name, _ in first} == {name for name, _ in compounds()}
