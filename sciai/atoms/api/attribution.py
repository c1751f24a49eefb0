"""Which atoms carry the energy of a structure, and which its doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.record import recorded
from sciai.core.answer import Answer, Estimate, Finding, Level
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.core.shown import Brief
from sciai.trust.explain import Attribution, randomised, sanity

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

    from sciai.atoms.api.potential import Potential

__all__ = ["AtomShares", "attribution_figure", "check_sanity", "explain", "untrained"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class AtomShares(Brief):
    """What each atom has to do with an answer.

    Attributes:
        energy: eV each atom adds beside the same atom alone, as the same network has it; together the binding
            energy. Negative binds.
        doubt: share of the variance of all force components, shape (n,), summing to 1; NaN where not known.
        force_sd: its standard deviation, eV/Å per component, shape (n,).
        far: distance from the surroundings learned over the largest usual one, shape (n,); above 1 is far.
            NaN where the potential has no evidence.
    """

    energy: Attribution
    doubt: Floats
    force_sd: Floats
    far: Floats


@recorded
def explain(atoms: Atoms, potential: Potential) -> Answer[AtomShares]:
    """Share an answer among the atoms.

    Args:
        atoms: the structure.
        potential: one that has energies of atoms: a checkpoint, not a foreign calculator.

    Returns:
        The answer; its spread is each atom's standard deviation of the force, eV/Å per component.

    Raises:
        BadInput: the potential has no energies of atoms.
    """
    answer = potential(atoms)
    if answer.estimate is None or answer.level >= Level.REFUSE:
        return Answer(None, answer.findings, answer.provenance)
    value = answer.estimate.value
    if value.energies is None:
        raise BadInput(
            f"{potential.engine.name} has no energies of single atoms",
            field="potential",
            fix="use a checkpoint",
        )
    base = _alone(atoms, potential)
    share = value.energies - base
    names = tuple(f"{symbol} {number}" for number, symbol in enumerate(atoms.get_chemical_symbols()))
    energy = Attribution(names, share, np.zeros(len(atoms)), float(base.sum()), value.energy)
    sd = np.full(len(atoms), np.nan) if value.force_sd is None else value.force_sd
    around, far = potential.evidence.support, np.full(len(atoms), np.nan)
    if around is not None and value.descriptor is not None:
        far = around.distance(value.descriptor, atoms.numbers) / around.limit
    shares = AtomShares(energy, sd**2 / max(float((sd**2).sum()), 1e-30), sd, far)
    return Answer(Estimate(shares, {"force_sd": sd}, "eV, eV/Å"), answer.findings, answer.provenance)


def _alone(atoms: Atoms, potential: Potential) -> Floats:
    """Energy of each atom's element alone, eV, shape (n,)."""
    from ase import Atoms as Structure

    kinds, which = np.unique(atoms.numbers, return_inverse=True)
    lone = [Structure(numbers=[z], positions=[[0.0, 0.0, 0.0]]) for z in kinds]
    told = potential.engine.compute(lone) if len(lone) > 1 else potential.engine.compute(lone * 2)[:1]
    return np.array([p.energy for p in told])[which]


def untrained(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """The same checkpoint with its learned weights shuffled: it has learned nothing.

    Energies of elements and evidence stay; they are counted, not learned.

    Args:
        checkpoint: of the atoms domain.
        seed: of the shuffling.
    """
    kept = ("closest", "offsets", "support")
    return replace(checkpoint, arrays=randomised(checkpoint.arrays, lambda n: not n.startswith(kept), seed))


def check_sanity(atoms: Atoms, potential: Potential, others: Sequence[Potential]) -> list[Finding]:
    """Does the explanation change when the network has learned nothing?

    Args:
        atoms: three or more, in different surroundings: by symmetry alike atoms get alike shares of any
            network.
        potential: the trained one.
        others: untrained ones; several, since ranks of few atoms agree by chance.

    Returns:
        A finding each for energies and doubts, of caution where trained and untrained rank the atoms alike.
    """
    found = []
    parts = [p.engine.compute([atoms])[0] for p in (potential, *others)]
    base = [_alone(atoms, p) for p in (potential, *others)]
    energies = [np.asarray(p.energies) - b for p, b in zip(parts, base, strict=True)]
    for name, values in (("energies", energies), ("doubts", [np.asarray(p.force_sd) for p in parts])):
        # ranked by how far an atom lies from the middle of all
        centred = [v - np.median(v) for v in values]
        for f in sanity(np.tile(centred[0], (len(others), 1)), centred[1:]):
            found.append(replace(f, where=name))
    return found


def attribution_figure(atoms: Atoms, shares: AtomShares, title: str = "") -> Figure:
    """The structure coloured by each atom's energy and by its doubt.

    Args:
        atoms: the structure.
        shares: of ``explain``.
        title: above the picture.
    """
    from ase.data import covalent_radii
    from ase.visualize.plot import plot_atoms
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_hex

    from sciai.atoms.api.pictures import MOST_DRAWN, QUIET, RADIUS, new_figure

    shown = atoms.copy()[:MOST_DRAWN]
    shown.set_constraint()
    panels: list[tuple[str, Floats, str]] = [
        ("energy beside the atom alone, eV", shares.energy.share, "viridis"),
        ("spread of the force, eV/Å", shares.force_sd, "YlOrRd"),
        ("distance from training over its limit", shares.far, "YlOrRd"),
    ]
    figure = new_figure(11.0, 4.2)
    for axes, (label, values, colours) in zip(figure.subplots(1, 3), panels, strict=True):
        known = values[: len(shown)]
        finite = known[np.isfinite(known)]
        low = float(finite.min()) if len(finite) and colours == "viridis" else 0.0
        high = float(finite.max()) if len(finite) else 1.0
        scale: Any = ScalarMappable(Normalize(low, max(high, low + 1e-6)), colormaps[colours])
        colors = [to_hex(scale.to_rgba(v)) if np.isfinite(v) else "#cccccc" for v in known]
        radii = RADIUS * covalent_radii[shown.numbers]
        plot_atoms(shown, axes, rotation="-80x,20y,0z", colors=colors, radii=radii, show_unit_cell=2)
        axes.set_axis_off()
        bar = figure.colorbar(scale, ax=axes, shrink=0.8, orientation="horizontal", pad=0.02)
        bar.set_label(label, color=QUIET, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure
