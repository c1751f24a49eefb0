"""Files of structures, read through ASE; what cannot be used is refused with its place."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.atoms.data.records import Record, check_structure, from_atoms
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["NAMED", "PREFIXES", "labelled", "named", "read_structures", "records_from"]

_EXTXYZ = (".xyz", ".extxyz", ".exyz")

PREFIXES: Final = ("", "REF_", "ref_", "dft_", "DFT_")
NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "energy": ("energy",),
    "forces": ("forces", "force"),
    "stress": ("stress",),
}
"""Names of labels in extxyz files of MACE, NequIP, GAP and others, behind one of ``PREFIXES``."""


def read_structures(path: str | Path, *, check: bool = True) -> list[Atoms]:
    """Every structure of a file: CIF, POSCAR, extxyz (also .gz), ase.db, OUTCAR, vasprun.xml, trajectory, ...

    Args:
        path: the file; the format is told from its name and content, by ASE.
        check: refuse structures that are none (see `sciai.atoms.data.records.check_structure`).

    Raises:
        BadInput: naming the file and the structure's number.
    """
    path = Path(path)
    frames = list(_frames(path))
    if not frames:
        raise BadInput("the file holds no structure", file=path)
    if check:
        for number, atoms in enumerate(frames):
            check_structure(atoms, file=_place(path, number, len(frames)))
    return frames


def records_from(
    path: str | Path,
    source: str,
    *,
    weight: float = 1.0,
    kind: str = "",
    skip: Callable[[BadInput], Any] | None = None,
) -> list[Record]:
    """The labelled structures of a file, as records.

    Args:
        path: extxyz (also .gz), ase.db, OUTCAR, vasprun.xml, or anything else that ASE reads with energies.
        source: level of theory; energies of one source share one zero.
        weight: weight in training.
        kind: how the structures came about.
        skip: called with the error of a structure that cannot be used, which is then left out; without it
            the error is raised.

    Raises:
        BadInput: naming the file and the structure's number, or when no structure has an energy or forces.
    """
    path = Path(path)
    frames = read_structures(path, check=False)
    records: list[Record] = []
    for number, atoms in enumerate(frames):
        try:
            _adopt_labels(atoms)
            records.append(
                from_atoms(atoms, source, weight=weight, kind=kind, file=_place(path, number, len(frames)))
            )
        except BadInput as error:
            if skip is None:
                raise
            skip(error)
    if records and not any(labelled(record) for record in records):
        raise BadInput(
            "no structure has an energy or forces",
            file=path, field="energy",
            fix="in extxyz name them energy= and forces:R:3 (REF_energy, dft_energy, ... are "
            "understood too)",
        )  # fmt: skip
    return records


def labelled(record: Record) -> bool:
    """Whether there is anything to learn from a record."""
    return record.energy is not None or record.forces is not None or record.stress is not None


def _place(path: Path, number: int, count: int) -> str:
    return str(path) if count == 1 else f"{path}, structure {number}"


def _frames(path: Path) -> Iterator[Atoms]:
    import ase.io

    if not path.exists():
        raise BadInput("there is no such file", file=path)
    if path.is_dir():
        raise BadInput("this is a folder", file=path, fix="name the files in it")
    if path.stat().st_size == 0:
        raise BadInput("the file is empty", file=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE's readers warn of much that is checked here
            inner = Path(path.stem) if path.suffix == ".gz" else path
            if path.suffix == ".gz" and inner.suffix in _EXTXYZ:
                # into memory at once: ASE jumps to and fro in the file, which gzip answers by starting again
                text = io.StringIO(gzip.decompress(path.read_bytes()).decode())
                yield from ase.io.iread(text, ":", format="extxyz")
            elif inner.suffix in _EXTXYZ:
                yield from ase.io.iread(path, ":", format="extxyz")
            else:
                frames = ase.io.read(path, ":", format=_vasp(path))
                yield from frames if isinstance(frames, list) else [frames]
    except BadInput:
        raise
    except Exception as error:  # readers of thirty formats raise anything: KeyError, IndexError, XML errors
        if "Incomplete OUTCAR" in str(error):
            raise BadInput(
                "the calculation was stopped before its first step was done",
                file=path, fix="let it finish; of one that was killed later, what is done is read",
            ) from error  # fmt: skip
        unknown = isinstance(error, KeyError) and len(str(error)) <= 6
        said = f"unknown element {error}" if unknown else f"{type(error).__name__}: {error}".split("\n")[0]
        raise BadInput(
            f"the file cannot be read ({said})",
            file=path, fix="check that it is whole, and that its name ends as its format does",
        ) from error  # fmt: skip


def _vasp(path: Path) -> str | None:
    """ASE's name of VASP's formats, told from how they begin: people rename their OUTCAR; None for others."""
    if path.suffix in (".gz", ".bz2", ".xz"):
        return None
    with path.open("rb") as file:
        start = file.read(2048).lstrip()
    if start.startswith(b"vasp."):
        return "vasp-out"
    return "vasp-xml" if start.startswith(b"<?xml") and b"<modeling>" in start else None


def _adopt_labels(atoms: Atoms) -> None:
    """Labels under the names that other training codes use become those of a calculator.

    Each by itself: a file may hold REF_energy beside magnetic moments, which the reader takes for results.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    known = dict(getattr(atoms.calc, "results", None) or {})
    found = {
        name: value for name in NAMED if known.get(name) is None and (value := named(atoms, name)) is not None
    }
    if not found:
        return
    if atoms.calc is not None and atoms.calc.check_state(atoms):
        known = {}  # the atoms were moved after the calculation
    atoms.calc = SinglePointCalculator(atoms, **{k: v for k, v in known.items() if v is not None}, **found)


def named(atoms: Atoms, name: str) -> Any:
    """A label that goes by a name of another training code; None where there is none.

    Args:
        atoms: as read; extxyz keeps what it does not know in ``info`` and ``arrays``.
        name: energy (eV), forces (eV/Å) or stress (eV/Å³; from a virial, eV, as -virial over the volume).

    >>> from ase import Atoms
    >>> told = {"dft_energy": -1.0, "virial": [1.0, 0, 0, 0, 1, 0, 0, 0, 1]}
    >>> atoms = Atoms("He", info=told, cell=[2, 2, 2])
    >>> named(atoms, "energy"), named(atoms, "forces"), round(float(named(atoms, "stress")[0, 0]), 3)
    (-1.0, None, -0.125)
    """
    for prefix in PREFIXES:
        for spelt in NAMED[name]:
            value = atoms.info.get(prefix + spelt, atoms.arrays.get(prefix + spelt))
            if value is not None:
                return value
    if name == "stress" and (volume := abs(float(np.linalg.det(atoms.cell.array)))) > 0:
        for prefix in PREFIXES:
            virial = atoms.info.get(prefix + "virial")
            if virial is not None and np.size(virial) == 9:
                return -np.asarray(virial, float).reshape(3, 3) / volume
    return None
