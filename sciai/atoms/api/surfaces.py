"""Surfaces: cut a slab, relax it, and say what the surface costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from sciai.atoms.api.adsorption import of_parts
from sciai.atoms.api.differences import difference_of, undecided
from sciai.atoms.api.files import Structure
from sciai.atoms.api.folder import RunFolder, Step, quiet
from sciai.atoms.api.pictures import structure_figure
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.symmetry import conventional_indices, equal_sides
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["Surface", "surface"]

J_PER_M2: Final = 16.02176634
"""J/m^2 in one eV/Å^2."""


@dataclass(frozen=True)
class Surface:
    """A relaxed slab.

    Attributes:
        structure: the slab; periodic along a and b, vacuum along c.
        miller: indices of the surface.
        energy: surface energy, J/m^2: mean of both sides.
        unrelaxed: the same before the atoms moved.
        area: of one side, Å^2.
        layers: layers of the cut.
        converged: whether the slab is at rest.
    """

    structure: Structure
    miller: tuple[int, int, int]
    energy: float
    unrelaxed: float
    area: float
    layers: int
    converged: bool
    max_force: float = field(repr=False)

    @property
    def atoms(self) -> Atoms:
        """The slab as ASE atoms."""
        return self.structure.atoms


@recorded
def surface(
    bulk: Atoms,
    potential: Potential,
    miller: tuple[int, int, int],
    out: str | Path | None = None,
    *,
    layers: int = 6,
    vacuum: float = 10.0,
    fmax: float = 0.02,
    steps: int = 500,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Surface]:
    """Cut a slab out of a relaxed crystal, relax its atoms, and compare with the crystal.

    Args:
        bulk: a relaxed crystal, its conventional cell; atoms that are fixed in it are free in the slab.
        potential: what computes.
        miller: indices of the surface in that cell.
        out: folder for trajectory, slab, JSON and a picture; None writes nothing.
        layers: repetitions of the cut along its normal.
        vacuum: Å on either side.
        fmax: largest force left, eV/Å.
        steps: most optimiser steps.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread, in J/m^2, is that of the difference: what slab and crystal are off together
        cancels (see ``sciai.atoms.api.differences``).

    Raises:
        BadInput: no crystal, or indices that name no surface.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from sciai.atoms.api.potential import Potential
        >>> pot = Potential.from_calculator(EMT())
        >>> slab = surface(bulk("Cu", a=3.59, cubic=True), pot, (1, 1, 1), layers=4).unwrap()
        >>> 0.5 < slab.energy < 2.0, slab.energy <= slab.unrelaxed
        (True, True)
    """
    from ase.build import surface as cut

    if not bulk.pbc.all():
        raise BadInput("a surface is cut out of a crystal that is periodic in all directions", field="pbc")
    given = np.asarray(miller)
    if given.shape != (3,) or given.dtype.kind != "i" or not given.any() or layers < 1 or not vacuum >= 3:
        raise BadInput(
            f"a surface {miller} of {layers} layers with {vacuum:g} Å of vacuum",
            field="miller",
            fix="give three integers, not all 0, at least one layer, and 3 Å",
        )
    bulk = bulk.copy()
    bulk.set_constraint()  # what is held in the crystal would be held in each of its copies in the slab
    slab: Atoms = cut(bulk, miller, layers, vacuum=vacuum, periodic=True)
    settings = {"miller": list(miller), "layers": layers, "vacuum": vacuum, "fmax": fmax}
    folder = RunFolder(out, "surface", bulk, potential, settings, overwrite=overwrite)
    crystal, start = potential.batch([bulk, slab])
    for answer in (crystal, start):
        if answer.estimate is None or answer.level >= Level.REFUSE:
            refused: Answer[Surface] = Answer(None, answer.findings, potential.provenance)
            folder.answer(refused)
            return refused
    inner = folder.path("relax")
    rest = relax(
        slab, potential, inner, cell=False, fmax=fmax, steps=steps, symmetry=False, progress=progress or quiet
    )
    if rest.estimate is None or crystal.estimate is None or start.estimate is None:
        refused = Answer(None, rest.findings, potential.provenance)
        folder.answer(refused)
        return refused
    relaxed = rest.estimate.value
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    share = len(slab) / len(bulk)
    reference = crystal.estimate.value.energy * share
    value = Surface(
        structure=relaxed.structure,
        miller=miller,
        energy=(relaxed.energy - reference) / (2 * area) * J_PER_M2,
        unrelaxed=(start.estimate.value.energy - reference) / (2 * area) * J_PER_M2,
        area=area,
        layers=layers,
        converged=relaxed.converged,
        max_force=relaxed.max_force,
    )
    sd, said = difference_of(potential, [(1, relaxed.atoms), (-share, bulk)])
    notes = [*rest.findings, *of_parts({"crystal": crystal}, rest.findings), said]
    sd *= J_PER_M2 / (2 * area)
    notes += undecided(value.energy, sd, "surface energy")
    level = potential.guard.level
    residual = (
        float(np.abs(crystal.estimate.value.stress).max()) if crystal.estimate.value.stress is not None else 0
    )
    if residual > 0.01:
        message = "the crystal is under stress, which the slab inherits; relax its cell first"
        notes.append(Finding("converged", level("converged"), message, "bulk"))
    if indices := conventional_indices(bulk, miller):
        message = (
            f"the given cell is not the conventional one, in which {_named(miller)} is {_named(indices)}: "
            "cut the conventional cell if the other was meant"
        )
        notes.append(Finding("endpoint", level("endpoint"), message, "bulk"))
    if not equal_sides(slab):
        message = (
            "the two sides of the slab are not equal: the energy is the mean of both. Of a polar surface it "
            "means nothing: it grows with the layers"
        )
        notes.append(Finding("endpoint", level("endpoint"), message, "slab"))
    if len(slab) / len(bulk) != round(len(slab) / len(bulk)):
        message = "the slab is not a whole number of cells: its energy is compared per atom"
        notes.append(Finding("endpoint", level("endpoint"), message, "slab"))
    done = Answer(
        Estimate(value, {"energy": sd}, "J/m^2"),
        tuple(notes),
        potential.provenance,
    )
    folder.answer(done)
    name = "".join(map(str, miller))
    if folder.out is not None:
        folder.structure(f"slab-{name}.extxyz", value.atoms, potential(value.atoms))
    title = f"{bulk.get_chemical_formula('hill', empirical=True)} ({name}): {value.energy:.2f} J/m²"
    folder.picture("slab.png", structure_figure(value.atoms, rest.estimate.spread["forces"], title=title))
    return done


def _named(miller: Iterable[int]) -> str:
    return f"({' '.join(map(str, miller))})"
