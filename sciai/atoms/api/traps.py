"""Files that a reader takes without a word for another structure than the one that is meant."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import atomic_masses
from ase.formula import Formula

from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["check_dump", "check_lattice", "check_poscar", "check_sites", "is_lammps_data", "lammps_data"]

HEAD: Final = 4096
"""Characters at the beginning of a file that tell what it is."""

NEAR: Final = 1e-3
"""Fractional coordinates that differ by less are the same site; ASE's reader merges such sites."""

SAME_MASS: Final = 0.02
DEUTERIUM: Final = 2.0
"""How far a mass may be from an element's, relative, and one that may be much farther from hydrogen's."""

_COUNT = re.compile(r"^\s*\d+\s+atoms\b", re.MULTILINE)
_BOX = re.compile(r"\bxlo\s+xhi\b")
_MASSES = re.compile(r"^\s*Masses\b", re.MULTILINE)
_ITEMS = re.compile(r"^ITEM: ATOMS(.*)$", re.MULTILINE)


def is_lammps_data(path: Path) -> bool:
    """Whether a file is a LAMMPS data file, whatever its name; the format has no ending of its own."""
    head = _head(path)
    return bool(_COUNT.search(head) and _BOX.search(head))


def lammps_data(path: Path) -> list[Atoms]:
    """The structure of a LAMMPS data file in units of Å; elements from its masses.

    Args:
        path: the file.

    Raises:
        BadInput: it cannot be read, or has no masses, or some of no element: types say nothing of elements.
    """
    import ase.io

    if not _MASSES.search(_head(path, -1)):
        raise BadInput(
            "a LAMMPS data file without masses does not say which elements its types are",
            file=path, field="Masses", fix="write a Masses section, or convert the file to extxyz",
        )  # fmt: skip
    try:
        atoms: Any = ase.io.read(path, format="lammps-data")
    except Exception as error:  # the reader raises anything
        raise BadInput(
            f"the LAMMPS data file cannot be read ({type(error).__name__}: {error})".split("\n")[0],
            file=path, fix="name the style behind Atoms, such as 'Atoms # atomic'; or convert it to extxyz",
        ) from error  # fmt: skip
    masses = atoms.get_masses()
    if (one := atoms.numbers == 0).any() and not one.all():
        atoms.numbers[one] = 1  # to the reader 1.0 is of no element; in units of lj all weigh that
    usual = atomic_masses[atoms.numbers]
    known = (np.abs(masses - usual) < SAME_MASS * usual) | (masses.round(1) == DEUTERIUM)
    if (odd := np.flatnonzero(~known | (atoms.numbers == 0))).size:
        kind = atoms.arrays["type"][odd[0]]
        raise BadInput(
            f"atoms of type {kind} weigh {masses[odd[0]]:g}, as no element does: are they groups, or in "
            "units of lj?",
            file=path, field="Masses", fix="give masses of elements in g/mol, or convert the file to extxyz",
        )  # fmt: skip
    return [atoms]


def check_dump(path: Path) -> None:
    """Refuse a LAMMPS dump without elements: its types would be taken for hydrogen, helium ...

    Args:
        path: a file; of another kind nothing is said.

    Raises:
        BadInput: no column says the element.
    """
    columns = _ITEMS.search(_head(path))
    if columns and not {"element", "mass"} & set(columns.group(1).split()):
        raise BadInput(
            "a LAMMPS dump without elements: its types would be taken for hydrogen, helium and so on",
            file=path, field="element", fix="dump with `dump_modify ID element ...` and a column element",
        )  # fmt: skip


def check_poscar(path: Path) -> None:
    """Refuse a POSCAR without the line of elements (VASP 4) whose first line does not tell them either.

    Of that line ASE's reader takes every letter that is an element: ``FCC Al`` is fluorine.

    Args:
        path: a file; of another kind, or with that line, nothing is said.

    Raises:
        BadInput: the first line names too few or too many elements, and no POTCAR or OUTCAR is there.
    """
    lines = _head(path).split("\n")[:6]
    if len(lines) < 6 or not all(_numbers(line, 3) for line in lines[2:5]) or not _numbers(lines[1], 1):
        return
    counts = lines[5].split("!")[0].split()
    if not counts or not all(count.isdecimal() for count in counts):
        return
    named: list[str] = []
    for word in lines[0].split():
        try:
            named += list(Formula(re.sub(r"[-_,.=0-9^]", "", word)))
        except ValueError:
            continue  # a word
    kinds = list(dict.fromkeys(named))
    if len(counts) == len(named) or (len(counts) == len(kinds) and kinds == named[: len(kinds)]):
        return
    beside = ("POTCAR", "OUTCAR")
    if len(named) < len(counts) and any(list(path.parent.glob(f"{name}*")) for name in beside):
        return  # the reader looks there
    told = f"may mean {', '.join(kinds)}" if kinds else "names none"
    raise BadInput(
        f"a POSCAR of VASP 4 has no line of elements; its first line ({lines[0].strip()[:40]!r}) {told}, "
        f"and {len(counts)} would be needed",
        file=path, field="line 6", fix="write the elements in a line above the numbers of atoms",
    )  # fmt: skip


def _numbers(line: str, least: int) -> bool:
    """Whether a line begins with so many numbers."""
    try:
        return len([float(word) for word in line.split()[:least]]) == least
    except ValueError:
        return False


def check_sites(path: Path) -> None:
    """Refuse a CIF file whose sites are not all of the crystal, or of which the reader drops some.

    Args:
        path: a CIF file; of one that cannot be parsed nothing is said.

    Raises:
        BadInput: a site without a place, fractions of no cell, an element of the formula that has no site
            (hydrogen mostly), or two atoms on one spot, of which the reader keeps one. An atom that is
            listed twice beside the operations that make the one from the other is no such.
    """
    from ase.io.cif import parse_cif

    reading = gzip.open if path.suffix == ".gz" else open
    try:
        with reading(path, "rt", encoding="utf-8", errors="replace") as file:
            blocks = list(parse_cif(file))
    except Exception:  # the reader says so
        return
    for block in blocks:
        found = _sites(block, path)
        if found is None:
            continue
        places, symbols, labels = found
        if lost := _elements(block.get("_chemical_formula_sum")) - set(symbols):
            raise BadInput(
                f"its formula has {', '.join(sorted(lost))}, and no site is of it",
                file=path, field="_atom_site_type_symbol",
                fix="add the sites (hydrogen is often not located), or mend _chemical_formula_sum",
            )  # fmt: skip
        for k in range(1, len(places)):
            apart = places[:k] - places[k]
            apart -= np.round(apart)
            twins = np.flatnonzero((np.abs(apart) < NEAR).all(1))
            if len(twins):
                first = int(twins[0])
                kinds = "" if symbols[first] == symbols[k] else f" ({symbols[first]} and {symbols[k]})"
                raise BadInput(
                    f"the sites {labels[first]} and {labels[k]}{kinds} lie on one spot",
                    file=path, field="_atom_site_fract_x",
                    fix="leave one out; if they share the spot, it is a disordered crystal: make an ordered "
                    "supercell",
                )  # fmt: skip


def check_lattice(atoms: Atoms, path: Path) -> None:
    """Refuse a crystal that would be taken for a molecule, because its lattice is spelt in a way of its own.

    Args:
        atoms: as read.
        path: where from.

    Raises:
        BadInput: nine numbers that are called lattice or cell, and no cell.
    """
    if atoms.pbc.any() or atoms.cell.array.any():
        return
    for name, value in atoms.info.items():
        if str(name).lower() in ("lattice", "cell") and np.size(value) == 9:
            raise BadInput(
                f"{name!r} is not read as a cell: the crystal would be taken for a molecule",
                file=path, field=str(name), fix='write Lattice="ax ay az bx by bz cx cy cz", in Å',
            )  # fmt: skip


def _sites(block: Any, path: Path) -> tuple[np.ndarray[Any, Any], list[str], list[str]] | None:
    """Where the sites of a CIF block lie, fractional; None where it has none, or some that are shared."""
    try:
        columns = [block[f"_atom_site_fract_{axis}"] for axis in "xyz"]
        symbols = ["H" if symbol == "D" else symbol for symbol in block.get_symbols()]
        labels = block.get("_atom_site_label") or [f"{s} {k}" for k, s in enumerate(symbols)]
    except (KeyError, TypeError, ValueError):
        return None
    if block.get("_cell_length_a") is None:
        raise BadInput(
            "fractional coordinates, and no cell", file=path, field="_cell_length_a", unit="Å",
            fix="give the cell; of a molecule give _atom_site_Cartn_x, y and z",
        )  # fmt: skip
    for label, place in zip(labels, zip(*columns, strict=True), strict=False):
        if any(isinstance(x, str) for x in place):
            raise BadInput(
                f"the site {label} has no place", file=path, field="_atom_site_fract_x",
                fix="give it one, or leave the site out",
            )  # fmt: skip
    occupancy = block.get("_atom_site_occupancy")
    if occupancy is not None and any(isinstance(x, int | float) and x < 1 for x in occupancy):
        return None  # said elsewhere
    return np.array(columns, float).T, symbols, [str(label) for label in labels]


def _elements(formula: Any) -> set[str]:
    """The elements of a formula such as ``C2 H6 O``; none of what is no formula."""
    words = re.findall(r"([A-Z][a-z]?)[\d.]*", str(formula or ""))
    if re.sub(r"[A-Z][a-z]?[\d.]*|\s", "", str(formula or "")):
        return set()
    return {"H" if word == "D" else word for word in words}


def _head(path: Path, characters: int = HEAD) -> str:
    from ase.io.formats import open_with_compression

    try:
        with open_with_compression(str(path), "rb") as file:
            return str(file.read(characters).decode("utf-8", "replace")).replace("\r\n", "\n")
    except (OSError, EOFError):
        return ""
