"""Adsorption: try the sites of a slab, relax the best, and say how strongly a molecule binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.differences import USELESS, difference_of, undecided
from sciai.atoms.api.files import Structure
from sciai.atoms.api.folder import RunFolder, Step, fingerprint, other_run, quiet
from sciai.atoms.api.gaps import known_gaps
from sciai.atoms.api.pictures import structure_figure
from sciai.atoms.api.record import recorded
from sciai.atoms.api.relaxation import relax
from sciai.atoms.api.vacuum import in_one_piece, upright, vacuum
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = ["Adsorbed", "adsorb", "sites"]

Floats = npt.NDArray[np.float64]
CLEAR = 3.0
"""Å between a molecule, where it starts, and the next copy of its slab, below which the two touch."""
LAYER = 1.0
"""Å; atoms within this of the highest one are the top layer."""
DIFFERENT = 0.002
"""eV; sites of which the unrelaxed energies differ by less are taken for the same."""


@dataclass(frozen=True)
class Adsorbed:
    """A molecule on a slab.

    Attributes:
        structure: the best relaxed structure.
        energy: adsorption energy, eV: with molecule minus slab and molecule apart; negative binds.
        site: kind of the best site it started from: top, bridge or hollow.
        tried: for each site that was relaxed: kind, energy in eV, whether it stayed on the surface.
        height: lowest atom of the molecule above the top layer, Å.
    """

    structure: Structure
    energy: float
    site: str
    tried: tuple[tuple[str, float, bool], ...]
    height: float
    molecule: int = field(repr=False)

    @property
    def atoms(self) -> Atoms:
        """The best structure as ASE atoms."""
        return self.structure.atoms


@recorded
def adsorb(
    slab: Atoms,
    molecule: Atoms,
    potential: Potential,
    out: str | Path | None = None,
    *,
    height: float = 2.0,
    most: int = 4,
    fix: float = 0.5,
    fmax: float = 0.05,
    steps: int = 300,
    overwrite: bool = False,
    progress: Step | None = None,
) -> Answer[Adsorbed]:
    """Put a molecule on every kind of site of a slab, relax the best ones, keep the lowest.

    Args:
        slab: a relaxed slab with its vacuum along c; turned, where its surface does not lie in the xy plane.
        molecule: what adsorbs; its lowest atom comes down first.
        potential: what computes.
        out: folder for structures, JSON and a picture, with one for each relaxation and its trajectory. What
            was stopped goes on when called again with the same folder. None writes nothing.
        height: where it starts above the top layer, Å.
        most: how many sites are relaxed; the lowest before relaxation.
        fix: share of the slab's height, from below, that does not move.
        fmax: largest force left, eV/Å.
        steps: most optimiser steps for each site.
        overwrite: start again in a folder that holds another run.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread, in eV, is that of the difference: what slabs with and without the molecule are
        off together cancels (see ``sciai.atoms.api.differences``).

    Raises:
        BadInput: a slab without vacuum, or that is not periodic along a and b; a molecule without atoms.
    """
    step = progress or quiet
    if not len(molecule) or not len(slab):
        raise BadInput("a slab and a molecule with at least one atom each are needed", field="molecule")
    if not slab.pbc[:2].all():
        raise BadInput(
            "the slab is not periodic along a and b: sites lie on a surface without end",
            field="slab",
            fix="give a slab with a cell, such as one of `sciai atoms surface`",
        )
    given, slab, tall = slab, upright(in_one_piece(slab)), vacuum(slab)[2]
    if slab.pbc[2] and tall < 5:
        raise BadInput(
            f"the slab has {tall:.1f} Å of vacuum along c", field="slab", fix="give it 10 Å or more"
        )
    if most < 1 or not height > 0:
        raise BadInput(
            f"{most} sites, {height:g} Å above the surface",
            field="height",
            unit="Å",
            fix="use one site or more, and 1.5 to 3 Å",
        )
    left = tall - height - float(np.ptp(molecule.positions[:, 2]))
    if slab.pbc[2] and left < CLEAR:
        raise BadInput(
            f"of {tall:.1f} Å of vacuum along c the molecule, where it starts, leaves {max(left, 0):.1f} Å "
            "to the next copy of the slab",
            field="slab",
            fix="give it 10 Å more than the molecule is tall",
        )
    settings = {
        **{"height": height, "most": most, "fix": fix, "fmax": fmax},
        "molecule": fingerprint(molecule),
    }
    folder = RunFolder(out, "adsorb", given, potential, settings, overwrite=overwrite)
    wrong = known_gaps(potential, "adsorption", slab, molecule)
    if any(finding.level >= Level.REFUSE for finding in wrong):
        return _refuse(wrong, potential, folder)
    z = slab.positions[:, 2]
    # settled once: a layer that moves across the limit must not be free in one energy and held in the other
    held = np.flatnonzero(z < z.min() + fix * np.ptp(z) - 1e-9)
    clean = slab.copy()
    clean.set_constraint()
    gas = molecule.copy()
    gas.set_constraint()
    if not gas.cell.any():
        gas.center(vacuum=8.0)
    step(0.02, "slab and molecule apart")
    apart = [
        _rest(clean, potential, folder.path("slab"), held, fmax, steps),
        relax(gas, potential, folder.path("molecule"), cell=False, fmax=fmax, steps=steps),
    ]
    for answer in apart:
        if answer.estimate is None or answer.level >= Level.REFUSE:
            return _refuse(answer.findings, potential, folder)
    base, free = (a.estimate.value for a in apart if a.estimate is not None)
    starts = [(kind, _placed(base.atoms, free.atoms, spot, height)) for kind, spot in sites(base.atoms)]
    singles = potential.batch([s for _, s in starts])
    order = _distinct(singles, most)
    if not order:
        return _refuse(singles[0].findings, potential, folder)
    tried: list[tuple[str, float, bool]] = []
    best: Any = None
    stopped: tuple[Finding, ...] = ()
    for k, index in enumerate(order):
        kind, start = starts[index]
        step(0.1 + 0.85 * k / len(order), f"site {k + 1} of {len(order)}: {kind}")
        inner = folder.path(f"site-{k + 1}-{kind}")
        answer = _rest(start, potential, inner, held, fmax, steps)
        if answer.estimate is None or answer.level >= Level.REFUSE:
            stopped = stopped or answer.findings
            continue
        done = answer.estimate.value
        energy = done.energy - base.energy - free.energy
        up = _height(done.atoms, len(slab))
        tried.append((kind, energy, up < 4.0))
        if best is None or energy < best[0]:
            best = (energy, kind, answer, up)
    if best is None:
        return _refuse(stopped, potential, folder)
    energy, kind, answer, up = best
    value = Adsorbed(answer.estimate.value.structure, energy, kind, tuple(tried), up, len(molecule))
    sd, said = difference_of(potential, [(1, value.atoms), (-1, base.atoms), (-1, free.atoms)])
    notes = [
        *wrong,
        *answer.findings,
        *of_parts(dict(zip(("slab", "molecule"), apart, strict=True)), answer.findings),
        said,
        *undecided(energy, sd, "adsorption energy", USELESS),
    ]
    if up >= 4.0:
        message = f"the molecule left the surface ({up:.1f} Å above it): this is no adsorption energy"
        notes.append(Finding("desorbed", potential.guard.level("desorbed"), message))
    final = Answer(Estimate(value, {"energy": sd}, "eV"), tuple(notes), potential.provenance)
    folder.answer(final)
    if folder.out is not None:
        folder.structure("adsorbed.extxyz", value.atoms, potential(value.atoms))
    title = f"{molecule.get_chemical_formula()} on {slab.get_chemical_formula()}: {energy:+.2f} eV ({kind})"
    folder.picture(
        "adsorbed.png", structure_figure(value.atoms, answer.estimate.spread["forces"], title=title)
    )
    step(1.0, "done")
    return final


def sites(slab: Atoms) -> list[tuple[str, Floats]]:
    """Sites above the top layer of a slab: over its atoms, between two, between three.

    Args:
        slab: periodic along a and b, its surface up along c.

    Returns:
        Kind (top, bridge, hollow) and position on the top layer, Å, shape (3,). Sites that are equal by
        symmetry are all there; their energies tell.

    Example:
        >>> from ase.build import fcc111
        >>> found = sites(fcc111("Cu", (1, 1, 3), vacuum=8.0))
        >>> sorted({kind for kind, _ in found})
        ['bridge', 'hollow', 'top']
    """
    from scipy.spatial import Delaunay

    top = slab.positions[:, 2].max()
    layer = slab.positions[slab.positions[:, 2] > top - LAYER]
    cell = np.asarray(slab.cell[:2])
    shifts = [i * cell[0] + j * cell[1] for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2)]
    many = np.concatenate([layer + shift for shift in shifts])
    found: list[tuple[str, Floats]] = [("top", point) for point in layer]
    mesh = Delaunay(many[:, :2])
    seen: list[Floats] = []
    inverse = np.linalg.inv(np.asarray(slab.cell.complete()[:]))
    for corners in mesh.simplices:
        triple = many[corners]
        candidates = [("hollow", triple.mean(0))]
        candidates += [("bridge", (triple[a] + triple[b]) / 2) for a, b in ((0, 1), (1, 2), (0, 2))]
        for kind, point in candidates:
            inside = point @ inverse
            if not ((inside[:2] > -1e-6) & (inside[:2] < 1 - 1e-6)).all():
                continue
            if all(np.linalg.norm((point - other)[:2]) > 0.1 for other in seen):
                seen.append(point)
                found.append((kind, np.array([point[0], point[1], top])))
    return found


def _placed(slab: Atoms, molecule: Atoms, spot: Floats, height: float) -> Atoms:
    top = slab.positions[:, 2].max()
    guest = molecule.copy()
    low = int(np.argmin(guest.positions[:, 2]))
    guest.translate(np.array([spot[0], spot[1], top + height]) - guest.positions[low])
    out: Atoms = slab.copy()
    out.set_constraint()
    out.extend(guest)
    return out


def _rest(
    atoms: Atoms,
    potential: Potential,
    out: Path | None,
    held: npt.NDArray[np.int64],
    fmax: float,
    steps: int,
) -> Answer[Any]:
    from ase.constraints import FixAtoms

    frame = atoms.copy()
    frame.set_constraint(FixAtoms(held))
    again = other_run(out, frame)  # slab or molecule went on since, and the molecule starts elsewhere
    return relax(frame, potential, out, cell=False, fmax=fmax, steps=steps, symmetry=False, overwrite=again)


def _height(atoms: Atoms, slab: int) -> float:
    return float(atoms.positions[slab:, 2].min() - atoms.positions[:slab, 2].max())


def _distinct(answers: list[Answer[Any]], most: int) -> list[int]:
    """The lowest sites of which no two have the same energy."""
    known = [
        (float(a.estimate.value.energy), k)
        for k, a in enumerate(answers)
        if a.estimate is not None and a.level < Level.REFUSE
    ]
    order: list[int] = []
    last = -np.inf
    for energy, index in sorted(known):
        if energy - last > DIFFERENT:
            order.append(index)
            last = energy
    return order[:most]


def of_parts(parts: Mapping[str, Answer[Any]], said: Sequence[Finding]) -> list[Finding]:
    """What is to be known of the parts of a difference by themselves, where it was not said of the whole.

    Args:
        parts: what each is -> what was answered of it.
        said: findings on the whole.
    """
    known = {(f.check, f.level) for f in said}
    return [
        replace(f, where=f"{name} by itself" + (f", {f.where}" if f.where else ""))
        for name, answer in parts.items()
        for f in answer.findings
        if f.level > Level.OK and (f.check, f.level) not in known
    ]


def _refuse(findings: Any, potential: Potential, folder: RunFolder) -> Answer[Adsorbed]:
    refused: Answer[Adsorbed] = Answer(None, tuple(findings), potential.provenance)
    folder.answer(refused)
    return refused
