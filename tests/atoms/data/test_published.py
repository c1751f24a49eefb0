"""Crystals out of packages: every layout they come in, and what is refused. The packages are written here."""

from __future__ import annotations

import csv
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from sciai.atoms.data import published
from sciai.atoms.data.published import Package, crystals, fetched
from sciai.core.errors import BadInput


def as_pymatgen(atoms: Atoms, filled: float = 1.0) -> dict[str, Any]:
    """As ``Structure.as_dict`` has it."""
    return {
        "lattice": {"matrix": atoms.cell.tolist()},
        "sites": [
            {"species": [{"element": symbol, "occu": filled}], "abc": list(map(float, abc))}
            for symbol, abc in zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)
        ],
    }


def as_text(atoms: Atoms, kind: str) -> str:
    file = io.BytesIO() if kind == "cif" else io.StringIO()
    write(file, atoms, format=kind)
    text = file.getvalue()
    return f"#\n{text.decode()}" if isinstance(text, bytes) else text


def table(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO()
    file.write("# ref: somebody\n")
    writer = csv.DictWriter(file, ["material_id", "structure", "poscar"])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as whole:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            whole.addfile(entry, io.BytesIO(content))
    return path


SALT, COPPER, SILICON, ZINC = bulk("NaCl", "rocksalt", 5.6), bulk("Cu"), bulk("Si"), bulk("Zn")


@pytest.fixture
def packages(tmp_path: Path) -> list[Path]:
    """One with JSON, one with tables, which tell structures in three ways."""
    halves = as_pymatgen(bulk("Fe"), 0.5)
    dielectric = {"structure": {"0": as_pymatgen(SALT), "1": as_pymatgen(SALT), "2": halves}}
    one = archive(
        tmp_path / "one.tar.gz",
        {
            "one/apps/matbench_dielectric.json.gz": gzip.compress(json.dumps(dielectric).encode()),
            "one/readme.txt": b"nothing",
        },
    )
    python = {"structure": repr(as_pymatgen(COPPER)), "poscar": ""}
    escaped = {"structure": "3", "poscar": as_text(SILICON, "vasp").replace("\n", "\\n")}
    crystallographic = {"structure": "[1.0]", "poscar": as_text(ZINC, "cif")}
    two = archive(
        tmp_path / "two.tar.gz",
        {"two/datasets/some.csv": table([python, escaped, crystallographic]), "two/else.csv": b"a,b\n1,2\n"},
    )
    return [one, two]


def test_every_layout_gives_its_crystals_once(packages: list[Path]) -> None:
    found = crystals(packages)
    assert [atoms.get_chemical_formula() for atoms in found] == ["ClNa", "Cu", "Si2", "Zn2"]
    assert [atoms.info["origin"] for atoms in found] == ["matbench_dielectric", "some", "some", "some"]
    for atoms, known in zip(found, (SALT, COPPER, SILICON, ZINC), strict=True):
        assert atoms.pbc.all()
        np.testing.assert_allclose(
            np.sort(atoms.get_all_distances(mic=True).ravel()),
            np.sort(known.get_all_distances(mic=True).ravel()),
            atol=1e-4,
        )
        assert atoms.get_volume() == pytest.approx(known.get_volume(), rel=1e-4)


def test_large_cells_are_left_out(packages: list[Path]) -> None:
    assert [len(atoms) for atoms in crystals(packages, largest=1)] == [1]


def test_what_is_no_package_is_named(tmp_path: Path, packages: list[Path]) -> None:
    page = tmp_path / "page.tar.gz"
    page.write_bytes(b"<html>not found</html>")
    with pytest.raises(BadInput, match=r"page\.tar\.gz"):
        crystals([page])
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(packages[0].read_bytes()[:200])
    with pytest.raises(BadInput, match=r"cut\.tar\.gz"):
        crystals([cut])
    empty = archive(tmp_path / "empty.tar.gz", {"a/readme.txt": b"nothing"})
    with pytest.raises(BadInput, match="holds no crystal"):
        crystals([empty])


@pytest.fixture
def host(packages: list[Path]) -> Iterator[str]:
    """A mirror that has these packages below one folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(packages[0].parent))

        def log_message(self, *args: Any) -> None:
            """Nothing on the screen."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_packages_are_fetched_once_and_checked(
    tmp_path: Path, packages: list[Path], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in packages]
    known = tuple(Package(path.name, ".", sha) for path, sha in zip(packages, sums, strict=True))
    monkeypatch.setattr(published, "PACKAGES", known)
    told: list[str] = []
    here = fetched(tmp_path / "kept", host, lambda _, what: told.append(what))
    assert [path.read_bytes() for path in here] == [path.read_bytes() for path in packages]
    assert told == ["fetching one.tar.gz", "fetching two.tar.gz"]
    assert fetched(tmp_path / "kept", "http://127.0.0.1:1") == here  # no network is needed for what is there

    monkeypatch.setattr(published, "PACKAGES", (Package("one.tar.gz", ".", "0" * 64),))
    with pytest.raises(BadInput, match="checksum"):
        fetched(tmp_path / "other", host)
    assert not (tmp_path / "other" / "one.tar.gz").exists()
    monkeypatch.setattr(published, "PACKAGES", (Package("none.tar.gz", ".", "0" * 64),))
    with pytest.raises(BadInput, match="cannot be fetched"):
        fetched(tmp_path / "other", host)
    with pytest.raises(BadInput, match="this is a file"):
        fetched(packages[0], host)
