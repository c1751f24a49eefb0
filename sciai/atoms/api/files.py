"""Structures from any file that ASE reads, with errors that say what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Structure", "files_of", "passed_over", "read", "read_all", "with_results", "write"]

ENDINGS: Final = (
    *(".cif", ".vasp", ".poscar", ".extxyz", ".xyz", ".traj", ".json", ".db", ".pdb", ".xsf"),
    *(".data", ".lmp", ".res", ".cell", ".gen"),
)
CARRIED: Final = ("tags", "masses", "initial_magmoms", "initial_charges")
CHARGES: Final = ("charge", "total_charge", "spin", "total_spin", "multiplicity")
"""What of arrays and of ``info`` belongs to a structure wherever its atoms go."""

_NO_FORMAT, _FORMATS = "the ending names no format", "use .cif, .extxyz or .vasp"
_FIX = "give a file that ASE reads: CIF, POSCAR, extxyz, xyz, traj, PDB, ..."


@dataclass(frozen=True)
class Structure:
    """A structure as plain data, for JSON.

    Not shown there, but in ``atoms`` again: tags, masses, moments and charges that were given, and names and
    charges of ``info``. No labels: they would be those of other positions.

    Attributes:
        formula: such as Na4Cl4.
        symbols: of each atom.
        positions: Å, shape (n, 3).
        cell: rows are lattice vectors, Å, shape (3, 3).
        pbc: periodic along each of them.
    """

    formula: str
    symbols: tuple[str, ...]
    positions: npt.NDArray[np.float64]
    cell: npt.NDArray[np.float64]
    pbc: tuple[bool, ...]
    _carried: ClassVar[tuple[dict[str, Any], dict[str, Any]]] = {}, {}

    @classmethod
    def of(cls, atoms: Atoms) -> Structure:
        """From ASE atoms.

        Example:
            >>> from ase.build import molecule
            >>> Structure.of(molecule("CH4")).atoms.get_chemical_formula()
            'CH4'
        """
        made = cls(
            atoms.get_chemical_formula(),
            tuple(atoms.get_chemical_symbols()),
            np.array(atoms.positions, float),
            np.array(atoms.cell[:], float),
            tuple(bool(p) for p in atoms.pbc),
        )
        arrays = {name: atoms.arrays[name].copy() for name in CARRIED if name in atoms.arrays}
        info = {k: v for k, v in atoms.info.items() if isinstance(v, str | bool | int) or k in CHARGES}
        object.__setattr__(made, "_carried", (arrays, info))  # beside the fields, which are what JSON shows
        return made

    @property
    def atoms(self) -> Atoms:
        """As ASE atoms."""
        from ase import Atoms

        made = Atoms(list(self.symbols), positions=self.positions, cell=self.cell, pbc=self.pbc)
        arrays, info = self._carried
        for name, values in arrays.items():
            made.set_array(name, values)
        made.info.update(info)
        return made


def read(path: str | os.PathLike[str], index: int = -1) -> Atoms:
    """One structure of a file.

    Args:
        path: any file that ASE reads.
        index: which frame, where there are several; the last one by default.

    Raises:
        BadInput: no such file, an unreadable or empty one, an unknown element, partly occupied sites.

    Example:
        >>> read("nowhere.cif")
        Traceback (most recent call last):
        ...
        sciai.core.errors.BadInput: there is no such file (file nowhere.cif)
    """
    frames = read_all(path)
    try:
        return frames[index]
    except IndexError:
        raise BadInput(
            f"there is no frame {index}; the file has {len(frames)}", file=path, field="index"
        ) from None


def read_all(path: str | os.PathLike[str]) -> list[Atoms]:
    """Every structure of a file.

    Args:
        path: any file that ASE reads.

    Raises:
        BadInput: as ``read``; also files that a reader would take for another structure than is meant:
            sites of a CIF that are not all, or two on one spot, a LAMMPS file or a POSCAR that does not say
            its elements.
    """
    from sciai.atoms.api import traps
    from sciai.atoms.data.readers import read_structures

    file = Path(path)
    lammps = file.is_file() and traps.is_lammps_data(file)
    if file.is_file() and not lammps:
        traps.check_dump(file)
        traps.check_poscar(file)
        if file.name.lower().endswith((".cif", ".cif.gz")):
            traps.check_sites(file)
    # what is wrong with a structure, the guards say
    frames = traps.lammps_data(file) if lammps else _told(lambda: read_structures(file, check=False))
    if not any(len(atoms) for atoms in frames):
        raise BadInput("the file holds no atoms", file=file, fix=_FIX)
    for number, atoms in enumerate(frames):
        _check_occupancy(atoms, file, number)
        traps.check_lattice(atoms, file)
    return frames


def write(atoms: Atoms, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Write a structure in the format that the name's ending says; whole or not at all.

    Args:
        atoms: the structure.
        path: ``.cif``, ``.extxyz``, ``.vasp``, ...
        overwrite: replace an existing file.

    Raises:
        BadInput: a format that ASE does not write, or a place that cannot be written to.
    """
    from ase.constraints import FixAtoms
    from ase.io import write as ase_write
    from ase.io.formats import UnknownFileTypeError, filetype

    target = Path(path)
    plain = atoms.copy()
    # fixed atoms are, where the next command reads them, too; other constraints few formats have
    plain.set_constraint([c for c in atoms.constraints if isinstance(c, FixAtoms)])
    try:
        kind = filetype(str(target), read=False)
    except UnknownFileTypeError as error:
        raise BadInput(_NO_FORMAT, file=target, fix=_FORMATS) from error
    with whole_file(target, overwrite=overwrite) as temporary:
        if atoms.calc is not None and kind == "extxyz":
            plain.calc = atoms.calc
        try:
            ase_write(temporary, plain, format=kind)
        except UnknownFileTypeError as error:
            raise BadInput(_NO_FORMAT, file=target, fix=_FORMATS) from error
    return target


def files_of(files: Sequence[str | Path]) -> list[Path]:
    """Every file that is meant, once: those given, and those in folders given.

    Args:
        files: files and folders; a file may be named from several places.

    Raises:
        BadInput: one that is not there, or no structure in any.
    """
    found: list[Path] = []
    for given in files:
        path = Path(given)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file() and _named_so(p))
        elif path.exists():
            found.append(path)
        else:
            raise BadInput("there is no such file or folder", file=path)
    if not found:
        raise BadInput("no structures to screen", field="files", fix=f"files end in {', '.join(ENDINGS)}")
    once: dict[str, Path] = {}
    for path in found:
        once.setdefault(os.path.abspath(path), path)
    return list(once.values())


def _named_so(path: Path) -> bool:
    """Whether a file's name is that of a structure."""
    return path.suffix.lower() in ENDINGS or path.name.upper().startswith(("POSCAR", "CONTCAR"))


def passed_over(files: Sequence[str | Path], out: Path) -> list[Path]:
    """Files in the folders that were given that are not looked at, hidden ones and our own results aside."""
    folders = [Path(given) for given in files if Path(given).is_dir()]
    return sorted(
        p
        for folder in folders
        for p in folder.rglob("*")
        if p.is_file() and not _named_so(p) and not p.name.startswith(".") and out not in p.parents
    )


def with_results(atoms: Atoms, value: Any) -> Atoms:
    """A copy that holds what was answered of it, for files.

    Args:
        atoms: a structure.
        value: with ``energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å^3 or None).
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    out: Atoms = atoms.copy()
    known = {name: getattr(value, name) for name in ("energy", "forces", "stress")}
    out.calc = SinglePointCalculator(out, **{k: v for k, v in known.items() if v is not None})
    return out


def _told(reading: Callable[[], list[Atoms]]) -> list[Atoms]:
    """Readers that fail without a word are given some."""
    try:
        return reading()
    except BadInput as error:
        if error.problem.endswith("Error: )"):
            problem = "the file cannot be read (it is not what its name says)"
            raise BadInput(problem, file=error.file, field=error.field, fix=error.fix) from error
        raise


def _check_occupancy(atoms: Atoms, file: Path, number: int) -> None:
    """CIF files of disordered crystals list sites that are partly occupied; a potential cannot use them."""
    sites = atoms.info.get("occupancy")
    if not isinstance(sites, Mapping):
        return
    partly = dict.fromkeys(
        f"{symbol} {share:g}"
        for site in sites.values()
        if isinstance(site, Mapping)
        for symbol, share in site.items()
        if isinstance(share, int | float) and abs(share - 1.0) > 1e-3  # one that is not known is 1
    )
    if partly:
        raise BadInput(
            f"structure {number} has partly occupied sites ({', '.join([*partly][:4])})",
            file=file,
            field="occupancy",
            fix="make an ordered supercell first",
        )
