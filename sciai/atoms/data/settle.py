"""Having a structure labelled, and going downhill by what the labels say."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms

from sciai.atoms.data import perturb
from sciai.atoms.data.records import Record, from_atoms

__all__ = ["ask", "downhill", "plausible", "sliding", "thinned"]

Floats = npt.NDArray[np.float64]


def plausible(record: Record, force: float = 50.0, stress: float = 1.5) -> bool:
    """Whether a label is worth learning: no teacher is right far from what it was taught.

    Args:
        record: with labels.
        force: largest force on an atom, eV/Å.
        stress: largest component, eV/Å³ (1.5 is 240 GPa).
    """
    if record.energy is None or record.forces is None or not np.isfinite(record.energy):
        return False
    if not np.isfinite(record.forces).all() or np.abs(record.forces).max() > force:
        return False
    size = 0.0 if record.stress is None else float(np.abs(record.stress).max())
    return size < stress  # false for NaN


def ask(atoms: Atoms, kind: str) -> Generator[Record, Record | None, Record | None]:
    """Have a structure labelled; None where atoms overlap or the labels are beyond use."""
    if perturb.closeness(atoms) < 0.45:
        return None
    bare = atoms.copy()
    bare.calc = None
    labelled = yield from_atoms(bare, "unlabelled", kind=kind)
    return labelled if labelled is not None and plausible(labelled, 200.0, 5.0) else None


def downhill(atoms: Atoms, steps: int) -> Generator[Record, Record | None, list[Record]]:
    """A few steps downhill in positions and cell; every frame on the way.

    Steps along the gradient with Barzilai and Borwein's length for the atoms and a secant's bulk modulus
    for the volume. Not a relaxation to the end: training wants the neighbourhood of equilibrium.
    """
    frames: list[Record] = []
    here, step, modulus = atoms, 0.03, 0.6
    before: tuple[Floats, Floats, float, float] | None = None
    for _ in range(steps):
        record = yield from ask(here, "settling")
        if record is None:
            break
        frames.append(record)
        forces = np.asarray(record.forces)
        stress = record.stress if record.stress is not None else np.zeros((3, 3))
        pull, volume = float(np.trace(stress)) / 3, max(record.volume, 1e-9)
        fractional = here.get_scaled_positions(wrap=False) if record.pbc.all() else here.positions
        if before is not None:
            moved, was, pull_before, volume_before = before
            change = was - forces
            curvature = float((moved * change).sum())
            if curvature > 1e-8:
                step = float(np.clip((moved * moved).sum() / curvature, 0.005, 0.25))
            widened = np.log(volume / volume_before)
            if abs(widened) > 1e-4:
                modulus = float(np.clip((pull - pull_before) / widened, 0.05, 3.0))
        shift = step * forces
        shift *= min(1.0, 0.12 / max(1e-9, float(np.linalg.norm(shift, axis=1).max())))
        new = here.copy()
        if record.pbc.all():
            # linear strain: a third of the volume's for the isotropic part, softer for the shear
            spread = (stress - pull * np.eye(3)) / (2.0 * modulus)
            strain = -pull / (3 * modulus) * np.eye(3) - spread
            strain *= min(1.0, 0.06 / max(1e-9, float(np.abs(strain).max())))
            new.set_cell(here.cell.array @ (np.eye(3) + strain), scale_atoms=False)
            new.set_scaled_positions(fractional)
        new.positions = new.positions + shift
        before = (shift, forces, pull, volume)
        here = new
    return frames


def sliding(
    atoms: Atoms, steps: int, kind: str, rate: float, furthest: float
) -> Generator[Record, Record | None, list[Record]]:
    """Steps of the atoms alone along their forces; every frame on the way.

    Args:
        atoms: where to begin.
        steps: how many frames.
        kind: of the records.
        rate: length of a step, Å per eV/Å.
        furthest: no atom goes further in a step, Å.
    """
    frames: list[Record] = []
    here = atoms
    for _ in range(steps):
        record = yield from ask(here, kind)
        if record is None:
            break
        frames.append(record)
        shift = rate * np.asarray(record.forces)
        shift *= min(1.0, furthest / max(1e-9, float(np.linalg.norm(shift, axis=1).max())))
        here = here.copy()
        here.positions = here.positions + shift
    return frames


def thinned(frames: Sequence[Record], count: int) -> list[Record]:
    """Frames spread over a path, the last one always."""
    usable = [frame for frame in frames if plausible(frame)]
    if not usable:
        return []
    places = sorted({round(x) for x in np.linspace(len(usable) - 1, 0, count)})
    return [usable[place] for place in places]
