"""What training reads: one labelled structure, checked where it is born.

Units everywhere: Å, eV, eV/Å, eV/Å³; the sign of the stress is ASE's (positive when the cell wants to
shrink).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["DEV_SHARE", "Record", "check_labels", "check_structure", "from_atoms", "group_of", "is_dev"]

Floats = npt.NDArray[np.float64]

DEV_SHARE = 0.15
"""Share of the chemical systems that every development figure is measured on and nothing is trained on."""


@dataclass(frozen=True, eq=False)
class Record:
    """A structure and what is known of it.

    Attributes:
        numbers: atomic numbers, uint8 (n,).
        positions: float64 (n, 3), Å.
        cell: rows are the cell vectors, float64 (3, 3), Å; zeros for a molecule.
        pbc: bool (3,).
        energy: total energy, eV; None where unknown. Its zero is that of the source.
        forces: float64 (n, 3), eV/Å, or None.
        stress: float64 (3, 3), symmetric, eV/Å³, or None.
        source: level of theory or teacher ("mptrj", "7net-0", "gfn2"); energies of one source have one zero.
        group: what may not be on both sides of a split: the chemical system, "mol:" and the formula for
            molecules.
        weight: weight in the training loss.
        kind: how the structure came about ("rattled", "slab"); for counting.
    """

    numbers: npt.NDArray[np.uint8]
    positions: Floats
    cell: Floats
    pbc: npt.NDArray[np.bool_]
    energy: float | None
    forces: Floats | None
    stress: Floats | None
    source: str
    group: str
    weight: float = 1.0
    kind: str = ""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³; 0 for a molecule."""
        return float(abs(np.linalg.det(self.cell)))

    def to_atoms(self) -> Atoms:
        """As ASE Atoms, the labels in a SinglePointCalculator."""
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms = Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.pbc)
        results: dict[str, Any] = {}
        if self.energy is not None:
            results["energy"] = self.energy
        if self.forces is not None:
            results["forces"] = self.forces
        if self.stress is not None:
            results["stress"] = self.stress.flat[[0, 4, 8, 5, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **results) if results else None
        atoms.info.update(source=self.source, group=self.group, kind=self.kind)
        return atoms

    def with_labels(
        self, energy: float | None, forces: Floats | None, stress: Floats | None, source: str
    ) -> Record:
        """The same structure with other labels."""
        return replace(self, energy=energy, forces=forces, stress=stress, source=source)


def group_of(numbers: npt.ArrayLike, pbc: npt.ArrayLike) -> str:
    """The group of a structure in splits.

    Crystals and slabs: the elements, sorted. Molecules have few elements and many shapes; theirs is the
    formula.

    >>> group_of([8, 26, 8], [True, True, True])
    'Fe-O'
    >>> group_of([8, 1, 1], [False, False, False])
    'mol:H2O'
    """
    kinds, counts = np.unique(np.asarray(numbers), return_counts=True)
    if np.any(pbc):
        return "-".join(sorted(chemical_symbols[z] for z in kinds))
    parts = sorted((chemical_symbols[z], int(n)) for z, n in zip(kinds, counts, strict=True))
    return "mol:" + "".join(symbol + (str(n) if n > 1 else "") for symbol, n in parts)


def is_dev(group: str, share: float = DEV_SHARE) -> bool:
    """Whether a group belongs to the development part. It depends on its name alone, so everyone agrees.

    Single elements never do, as crystals or as molecules: without them the rest cannot be learned. Groups
    that the generator makes anew are skipped where this is true, so that no generated structure is a near
    copy of a development structure.

    >>> [name for name in ("Fe-O", "Na-Cl", "Cu", "C-Si", "Ni-Ti", "mol:H2O") if is_dev(name)]
    ['Fe-O']
    """
    if re.fullmatch(r"(mol:)?[A-Z][a-z]?\d*", group):
        return False
    number = int.from_bytes(hashlib.sha256(f"sciai atoms dev 1 {group}".encode()).digest()[:8], "big")
    return number < share * 2**64


def from_atoms(
    atoms: Atoms, source: str, *, weight: float = 1.0, kind: str = "", file: object = None
) -> Record:
    """A record of ASE Atoms and the labels of their calculator's stored results.

    Nothing is computed: labels that the calculator does not hold for exactly these atoms are None.

    Raises:
        BadInput: see `check_structure` and `check_labels`.

    >>> from ase.build import bulk
    >>> from_atoms(bulk("NaCl", "rocksalt", 5.64), "none").group
    'Cl-Na'
    """
    check_structure(atoms, file=file)
    results = _stored_results(atoms)
    forces, stress = results.get("forces"), results.get("stress")
    pbc = np.asarray(atoms.pbc, bool)
    record = Record(
        numbers=np.asarray(atoms.numbers, np.uint8),
        positions=np.asarray(atoms.positions, float),
        cell=np.asarray(atoms.cell.array, float) if pbc.any() else np.zeros((3, 3)),
        pbc=pbc,
        energy=None if results.get("energy") is None else float(results["energy"]),
        forces=None if forces is None else np.asarray(forces, float),
        stress=None if stress is None or not pbc.all() else _full_stress(np.asarray(stress, float), file),
        source=source,
        group=group_of(atoms.numbers, pbc),
        weight=weight,
        kind=kind,
    )
    check_labels(record, file=file)
    return record


def _stored_results(atoms: Atoms) -> dict[str, Any]:
    calc = atoms.calc
    if calc is None:
        return {}
    if getattr(calc, "atoms", None) is not None and calc.check_state(atoms):
        return {}  # the atoms were moved after the calculation
    results = dict(calc.results)
    # free_energy is the one whose derivative the forces are; codes that give both mean it for MD and training
    if results.get("energy") is None and results.get("free_energy") is not None:
        results["energy"] = results["free_energy"]
    return results


def _full_stress(stress: Floats, file: object) -> Floats:
    if stress.shape == (6,):
        xx, yy, zz, yz, xz, xy = stress
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if stress.shape == (9,):
        stress = stress.reshape(3, 3)
    if stress.shape != (3, 3):
        raise BadInput(
            f"a stress of shape {stress.shape}", file=file, field="stress", fix="use 6 or 3x3 numbers"
        )
    return (stress + stress.T) / 2


def check_structure(atoms: Atoms, *, file: object = None, closest: float = 0.1) -> None:
    """Refuse what is no structure.

    Args:
        atoms: what was read.
        file: named in the message.
        closest: atoms nearer than this are on one spot, Å.

    Raises:
        BadInput: no atoms, an unknown element, NaN, a periodic direction without a cell vector, no volume,
            or two atoms on one spot.

    >>> from ase import Atoms
    >>> check_structure(Atoms("H2", [[0, 0, 0], [0, 0, 0]]))
    Traceback (most recent call last):
        ...
    sciai.core.errors.BadInput: atoms 0 (H) and 1 (H) are on one spot (0.00 Å) (field positions, in Å); ...
    """
    if len(atoms) == 0:
        raise BadInput("the structure has no atoms", file=file, fix="check that the file holds positions")
    numbers = np.asarray(atoms.numbers)
    if (bad := np.flatnonzero((numbers < 1) | (numbers >= len(chemical_symbols)))).size:
        raise BadInput(
            f"atom {bad[0]} is of no known element (number {numbers[bad[0]]})",
            file=file, field="numbers", fix="use the symbols of the periodic table, H to Og",
        )  # fmt: skip
    if (bad := np.flatnonzero(~np.isfinite(atoms.positions).all(1))).size:
        raise BadInput(
            f"the position of atom {bad[0]} ({chemical_symbols[numbers[bad[0]]]}) is not a number",
            file=file, field="positions", unit="Å", fix="remove or repair that line",
        )  # fmt: skip
    _check_cell(np.asarray(atoms.cell.array, float), np.asarray(atoms.pbc, bool), file)
    _check_distances(atoms, closest, file)


def _check_cell(cell: Floats, pbc: npt.NDArray[np.bool_], file: object) -> None:
    if not np.isfinite(cell).all():
        raise BadInput("the cell is not a number", file=file, field="cell", unit="Å")
    if not pbc.any():
        return
    lengths = np.linalg.norm(cell, axis=1)
    if missing := ["abc"[i] for i in range(3) if pbc[i] and lengths[i] < 1e-6]:
        raise BadInput(
            f"periodic along {', '.join(missing)}, but the cell has no vector there",
            file=file, field="cell", unit="Å", fix="give the vector, or make that direction non-periodic",
        )  # fmt: skip
    vectors = cell[pbc] / lengths[pbc, None]
    # volume (area, length) of the unit vectors: how far they are from lying in one plane or line
    flat = np.sqrt(max(0.0, float(np.linalg.det(vectors @ vectors.T))))
    if flat < 1e-3:
        raise BadInput(
            "the cell has no volume: its periodic vectors lie in one plane or on one line",
            file=file, field="cell", unit="Å", fix="check the lattice vectors",
        )  # fmt: skip


def _check_distances(atoms: Atoms, closest: float, file: object) -> None:
    from vesin import NeighborList

    pbc = np.asarray(atoms.pbc, bool)
    cell = np.asarray(atoms.cell.array, float)
    if pbc.any() and not pbc.all():  # any vector serves where nothing repeats
        cell = np.asarray(atoms.cell.complete().array, float)
    # wider than needed: the search sorts atoms into boxes of this size
    i, j, d = NeighborList(cutoff=max(closest, 1.5), full_list=False).compute(
        points=np.ascontiguousarray(atoms.positions, float), box=cell, periodic=pbc, quantities="ijd"
    )
    if len(i) and float(d.min()) < closest:
        nearest = int(np.argmin(d))
        i, j, d = i[nearest:], j[nearest:], d[nearest:]
        a, b = sorted((int(i[0]), int(j[0])))
        names = [chemical_symbols[z] for z in atoms.numbers]
        raise BadInput(
            f"atoms {a} ({names[a]}) and {b} ({names[b]}) are on one spot ({float(d[0]):.2f} Å)",
            file=file, field="positions", unit="Å",
            fix="remove the copy; a disordered (partially occupied) file has to be ordered first",
        )  # fmt: skip


def check_labels(record: Record, *, file: object = None) -> None:
    """Refuse labels that cannot be in eV, eV/Å and eV/Å³.

    An energy of 10 keV per atom and more, unless it is that of all the electrons (0.6 to 0.97 of what the
    atoms of Thomas and Fermi have, 0.77 Z^(7/3) Hartree); a force over 1,000 eV/Å; a stress over 10 eV/Å³
    (1,600 GPa).

    Raises:
        BadInput: naming the label, its size and the unit that it may be in.
    """
    n = len(record)
    if record.energy is not None:
        each = record.energy / n
        free = -20.9 * float(np.mean(record.numbers.astype(float) ** (7 / 3)))
        if not np.isfinite(record.energy):
            raise BadInput("the energy is not a number", file=file, field="energy", unit="eV")
        if abs(each) >= 1e4 and not 0.6 <= each / free <= 0.97:
            raise BadInput(
                f"an energy of {each:.3g} per atom",
                file=file, field="energy", unit="eV",
                fix="Hartree? kcal/mol? meV? Convert it: 1 Hartree = 27.2114 eV, 1 eV = 23.06 kcal/mol",
            )  # fmt: skip
    for name, label, most, unit, fix in (
        ("forces", record.forces, 1e3, "eV/Å", "Hartree/Bohr = 51.42 eV/Å; kcal/mol/Å = 0.0434 eV/Å"),
        ("stress", record.stress, 10.0, "eV/Å³", "GPa? kbar? 1 GPa = 0.006242 eV/Å³"),
    ):
        if label is None:
            continue
        if label.shape != ((n, 3) if name == "forces" else (3, 3)):
            raise BadInput(f"{name} of shape {label.shape} for {n} atoms", file=file, field=name)
        if not np.isfinite(label).all():
            raise BadInput(f"the {name} are not all numbers", file=file, field=name, unit=unit)
        if np.abs(label).max() >= most:
            raise BadInput(
                f"{name} as large as {np.abs(label).max():.3g}", file=file, field=name, unit=unit,
                fix=f"check the unit ({fix})",
            )  # fmt: skip
