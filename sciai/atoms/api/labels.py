"""Labels of an evaluation: where they are, whether they can be in eV and Å, and offsets of another zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.data.readers import named
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["check_energies", "check_units", "fit_offsets", "labels_of", "left_out", "odd_units", "odd_zero"]

Floats = npt.NDArray[np.float64]

HARTREE: Final = 27.211386
RYDBERG: Final = 13.605693
BOHR: Final = 0.529177
GPA: Final = 160.21766

ENERGIES: Final[Mapping[str, float]] = {
    "Hartree": 1 / HARTREE,
    "Rydberg": 1 / RYDBERG,
    "kcal/mol": 23.0605,
    "kJ/mol": 96.4853,
    "meV": 1000.0,
}
FORCES: Final[Mapping[str, float]] = {
    "Hartree/Bohr": BOHR / HARTREE,
    "Rydberg/Bohr or Hartree/Å": BOHR / RYDBERG,
    "kcal/mol/Å": 23.0605,
    "kJ/mol/Å": 96.4853,
    "meV/Å": 1000.0,
}
STRESSES: Final[Mapping[str, float]] = {"GPa": GPA, "kbar": 10 * GPA}
"""What labels in each unit are of those in eV, Å."""

ALIKE: Final = 0.6
"""Cosine between all labels and all answers from which their ratio is told."""
WORTH: Final[Mapping[str, float]] = {"forces": 0.05, "stress": 0.003}
"""Root mean square of answers, eV/Å and eV/Å^3, below which nothing is said of their ratio to labels."""


TOLD: Final = 0.3
"""Labels over answers, below which their sign says nothing."""


def labels_of(atoms: Atoms) -> dict[str, Floats]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å^3, Voigt) that a structure carries, as far as it does.

    Args:
        atoms: with a calculator's results, or ``REF_energy``, ``dft_force``, ``virial`` and so on.
    """
    known: dict[str, Floats] = {}
    results = getattr(atoms.calc, "results", {}) or {}
    for name in ("energy", "forces", "stress"):
        value = results.get(name)
        if value is None:
            value = named(atoms, name)
        if value is not None and np.isfinite(np.asarray(value, float)).all():
            known[name] = np.asarray(value, float)
    if "stress" in known and known["stress"].size == 9:
        known["stress"] = known["stress"].reshape(3, 3)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return known


def check_units(frames: Sequence[Atoms], labels: Sequence[Mapping[str, Floats]]) -> None:
    """Refuse labels that cannot be eV and eV/Å, before anything is computed.

    Args:
        frames: the structures.
        labels: of each.

    Raises:
        BadInput: naming the field and the unit that it may be.
    """
    for atoms, label in zip(frames, labels, strict=True):
        if "forces" in label and label["forces"].shape != (len(atoms), 3):
            shape = label["forces"].shape
            raise BadInput(f"labelled forces of shape {shape} for {len(atoms)} atoms", field="forces")
    for name, unit, most, fix in (
        ("forces", "eV/Å", 1000, "kJ/mol? convert them"),
        ("stress", "eV/Å^3", 10, "GPa or kbar? divide GPa by 160.2"),
    ):
        largest = [np.abs(label[name]).max() for label in labels if name in label and label[name].size]
        if largest and np.median(largest) > most:
            problem = f"labelled {name} of {np.median(largest):.0f} {unit}"
            raise BadInput(problem, field=name, unit=unit, fix=fix)


def check_energies(energy: Floats, label: Floats, atoms: Floats) -> None:
    """Refuse energies that vary as those in another unit do, or that are those of one atom.

    Args:
        energy: answers, eV per atom, shape (n,).
        label: labels over the number of atoms, shape (n,).
        atoms: in each structure, shape (n,).

    Raises:
        BadInput: naming the unit.
    """
    if len(energy) < 1:
        return
    if float(np.median(np.abs(label))) > 1e4:
        raise BadInput(
            f"labelled energies of {np.median(label):.4g} eV per atom",
            field="energy",
            unit="eV",
            fix="Hartree times 27.2114 gives eV; or these are kJ/mol, or total energies of all electrons",
        )
    off = np.abs(np.stack([label, label * atoms]) - energy) / np.maximum(np.abs(energy), 1e-9)
    if np.median(atoms) >= 2 and np.median(off[1]) < 0.1 and np.median(off[0]) > 0.3:
        raise BadInput(
            "labelled energies are as large as those of one atom",
            field="energy",
            unit="eV",
            fix="give the energy of the whole structure: multiply by its number of atoms",
        )
    if len(energy) < 5 or np.ptp(energy) <= 0.5:
        return
    # with the zero free, the slope between labels and answers is 1 in eV
    slope = float(np.polyfit(energy, label, 1)[0])
    fit = float(np.corrcoef(energy, label)[0, 1])
    for unit, factor in ENERGIES.items():
        if fit > 0.9 and abs(slope / factor - 1) < 0.15:
            raise BadInput(
                f"labelled energies vary {slope:.3f} times as much as they should: {unit}?",
                field="energy",
                unit="eV",
                fix=f"multiply them by {1 / factor:.4g}",
            )


def odd_units(name: str, label: Floats, answer: Floats) -> str:
    """What labels that are a multiple of the answers may be; empty where nothing is strange.

    Args:
        name: forces or stress.
        label: labels in what should be eV, Å, any shape.
        answer: answers, of that shape.

    Example:
        >>> pull = np.linspace(-1, 1, 12)
        >>> odd_units("forces", 23.0 * pull, pull)
        'labelled forces are 23 times those answered: kcal/mol/Å? In eV/Å they are these times 0.04336'
        >>> odd_units("forces", 1.3 * pull, pull), odd_units("forces", -1e-5 * pull, pull)
        ('', '')
    """
    if label.size < 6 or np.sqrt((answer**2).mean()) < WORTH[name] or not label.any():
        return ""
    product = float((label * answer).sum())
    slope = product / float((answer**2).sum())
    alike = product / float(np.sqrt((label**2).sum() * (answer**2).sum()))
    if abs(alike) < ALIKE:
        return ""
    units, own = (FORCES, "eV/Å") if name == "forces" else (STRESSES, "eV/Å^3")
    named = "labelled forces" if name == "forces" else "labelled stresses"
    unit, factor = min({"": 1.0, **units}.items(), key=lambda item: abs(np.log(abs(slope) / item[1])))
    if unit and abs(np.log(abs(slope) / factor)) < np.log(2):
        sign, signed = ("-", ", with the other sign") if slope < 0 else ("", "")
        return (
            f"{named} are {slope:.3g} times those answered: {unit}{signed}? In {own} they are these "
            f"times {sign}{1 / factor:.4g}"
        )
    if slope < -TOLD:  # of atoms at rest labels are what their convergence left, of any sign
        what = "gradients" if name == "forces" else "pressures"
        return f"{named} have the other sign than those answered: {what}? Multiply them by -1"
    return ""


def odd_zero(shift: Floats, off: Floats) -> str:
    """Whether labels lie where PBE+U has them, and answers where PBE has; empty where they do not.

    Args:
        shift: what the correction of metals with a Hubbard U adds to each label, eV per atom, shape (n,).
        off: answer minus label, eV per atom, shape (n,).

    Example:
        >>> shift = -np.array([0.0, 0.0, 0.5, 1.1, 0.8, 0.3])
        >>> odd_zero(shift, shift + 0.02)[:59]
        '4 labels lie where PBE+U has metals beside O or F, and answ'
        >>> odd_zero(shift, 0.02 * np.arange(6)), odd_zero(shift[:2], shift[:2])
        ('', '')
    """
    moved = shift != 0
    if moved.sum() < 2:
        return ""
    rest = float(np.median(off[~moved])) if (~moved).any() else 0.0
    as_they_are, corrected = np.abs(off[moved] - rest), np.abs(off[moved] - rest - shift[moved])
    if np.median(corrected) > 0.5 * np.median(as_they_are):
        return ""
    return (
        f"{int(moved.sum())} labels lie where PBE+U has metals beside O or F, and answers where "
        f"PBE has them: {np.median(as_they_are):.2f} eV/atom apart, {np.median(corrected):.2f} with plus_u "
        "(`--plus-u`: labels as the Materials Project computes them)"
    )


def fit_offsets(counts: npt.ArrayLike, difference: npt.ArrayLike) -> Floats:
    """One energy per element that explains a difference of total energies best, least squares per atom.

    Args:
        counts: atoms of each element in each structure, shape (n, elements).
        difference: eV, shape (n,).

    Example:
        >>> fit_offsets([[1, 0], [1, 1], [0, 2]], [1.0, 3.0, 4.0]).round(6).tolist()
        [1.0, 2.0]
    """
    c, d = np.asarray(counts, float), np.asarray(difference, float)
    size = c.sum(1, keepdims=True)
    solution, *_ = np.linalg.lstsq(c / size, d / size[:, 0], rcond=None)
    return np.asarray(solution)


def left_out(counts: npt.ArrayLike, difference: npt.ArrayLike) -> Floats:
    """What is left of each difference per atom by offsets that were fitted to all the others.

    Args:
        counts: atoms of each element in each structure, shape (n, elements).
        difference: eV, shape (n,).

    Returns:
        eV per atom, shape (n,); NaN where no other structure says what an element's offset is.

    Example:
        >>> left_out([[1, 0], [1, 0], [0, 1]], [1.0, 3.0, 4.0]).round(6).tolist()
        [-2.0, 2.0, nan]
    """
    c, d = np.asarray(counts, float), np.asarray(difference, float)
    size = c.sum(1, keepdims=True)
    x, y = c / size, d / size[:, 0]
    hat = x @ np.linalg.pinv(x)
    rest, own = y - hat @ y, 1 - np.diag(hat)
    return np.where(own > 1e-6, rest / np.where(own > 1e-6, own, 1.0), np.nan)
