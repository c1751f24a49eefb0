"""Files that would be taken for another structure than the one that is meant."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from sciai.atoms.api.files import read, read_all
from sciai.core.errors import BadInput

SITES = """data_x
_cell_length_a 3.6
_cell_length_b 3.6
_cell_length_c 3.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number {group}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


@pytest.mark.parametrize(
    ("group", "second", "says"),
    [(1, "Cu2 Cu 0.0 1.0 0.0", "Cu1 and Cu2 lie"), (225, "Au1 Au 0 0 0", r"Cu1 and Au1 \(Cu and Au\) lie")],
)
def test_two_sites_of_a_cif_on_one_spot(tmp_path: Path, group: int, second: str, says: str) -> None:
    file = tmp_path / "x.cif"
    file.write_text(SITES.format(group=group) + f"Cu1 Cu 0 0 0\n{second}\n")
    with pytest.raises(BadInput, match=says):
        read(file)
    packed = tmp_path / "x.cif.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(BadInput, match=says):
        read(packed)


def test_a_site_listed_with_its_image_is_no_trap(tmp_path: Path) -> None:
    file = tmp_path / "x.cif"
    file.write_text(SITES.format(group=225) + "Cu1 Cu 0 0 0\nCu2 Cu 0.5 0.5 0\n")
    assert len(read(file)) == 4


@pytest.mark.parametrize(
    ("head", "site", "says"),
    [
        ("_chemical_formula_sum 'Cu H2 O2'", "O1 O .5 .5 .5", "its formula has H, and no site"),
        ("", "H1 H ? ? ?", "the site H1 has no place"),
        ("_cell_length_a", "O1 O .5 .5 .5", "fractional coordinates, and no cell"),
    ],
)
def test_sites_of_a_cif_that_are_not_all(tmp_path: Path, head: str, site: str, says: str) -> None:
    text = SITES.format(group=1) + f"Cu1 Cu 0 0 0\n{site}\n"
    lines = [line for line in text.split("\n") if not (head == "_cell_length_a" and "_cell" in line)]
    if "formula" in head:
        lines.insert(1, head)
    (tmp_path / "x.cif").write_text("\n".join(lines))
    with pytest.raises(BadInput, match=says):
        read(tmp_path / "x.cif")


def test_heavy_hydrogen_is_hydrogen_of_the_formula(tmp_path: Path) -> None:
    text = SITES.format(group=1).replace("data_x", "data_x\n_chemical_formula_sum 'H O'")
    (tmp_path / "x.cif").write_text(text + "D1 D 0 0 0\nO1 O .5 .5 .5\n")
    assert read(tmp_path / "x.cif").get_chemical_formula() == "HO"


def test_an_occupancy_that_is_not_known(tmp_path: Path) -> None:
    text = SITES.format(group=1) + "_atom_site_occupancy\n"
    (tmp_path / "x.cif").write_text(text + "Cu1 Cu 0 0 0 ?\nO1 O .5 .5 .5 .\n")
    assert len(read(tmp_path / "x.cif")) == 2  # was a ValueError
    (tmp_path / "y.cif").write_text(text + "Cu1 Cu 0 0 0 0.5\nNi1 Ni 0 0 0 0.5\n")
    with pytest.raises(BadInput, match=r"\(Cu 0.5, Ni 0.5\)"):  # each was named twice
        read(tmp_path / "y.cif")


def test_a_lattice_that_is_not_read_as_one(tmp_path: Path) -> None:
    text = '2\n{}="3 0 0 0 3 0 0 0 3"\nNa 0 0 0\nCl 1.5 1.5 1.5\n'
    for name in ("lattice", "cell"):
        (tmp_path / "x.xyz").write_text(text.format(name))
        with pytest.raises(BadInput, match="taken for a molecule"):
            read(tmp_path / "x.xyz")
    (tmp_path / "x.xyz").write_text(text.format("Lattice"))
    assert read(tmp_path / "x.xyz").pbc.all()


def test_lammps_data_says_its_elements_by_masses(tmp_path: Path) -> None:
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    for name in ("salt.data", "data.salt"):
        write(tmp_path / name, salt, format="lammps-data", masses=True)
        assert read(tmp_path / name).get_chemical_formula() == "Cl4Na4"
    write(tmp_path / "types.lmp", salt, format="lammps-data")
    with pytest.raises(BadInput, match="without masses"):
        read(tmp_path / "types.lmp")


def test_a_lammps_dump_without_elements(tmp_path: Path) -> None:
    text = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 4
0 4
0 4
ITEM: ATOMS id type{more} x y z
1 1{value} 0 0 0
"""
    (tmp_path / "bare.lammpstrj").write_text(text.format(more="", value=""))
    with pytest.raises(BadInput, match="taken for hydrogen"):
        read_all(tmp_path / "bare.lammpstrj")
    (tmp_path / "told.lammpstrj").write_text(text.format(more=" element", value=" Cu"))
    assert read(tmp_path / "told.lammpstrj").get_chemical_formula() == "Cu"


def test_a_reader_that_fails_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text("not a cif\n")
    with pytest.raises(BadInput, match="not what its name says"):
        read(tmp_path / "x.cif")


VASP4 = """{first}
1.0
3.0 0 0
0 3.0 0
0 0 3.0
{numbers}
Direct
0 0 0
0 .5 .5
"""


@pytest.mark.parametrize(
    ("first", "numbers", "formula"),
    [("Na Cl", "1 1", "ClNa"), ("NaCl salt", "1 1", "ClNa"), ("Cu2", "2", "Cu"), ("Fe Fe", "1 1", "Fe")],
)
def test_the_first_line_of_vasp_4_tells_the_elements(
    tmp_path: Path, first: str, numbers: str, formula: str
) -> None:
    (tmp_path / "POSCAR").write_text(VASP4.format(first=first, numbers=numbers))
    assert read(tmp_path / "POSCAR").get_chemical_formula(empirical=True) == formula


@pytest.mark.parametrize(
    ("first", "numbers", "says"),
    [
        ("FCC Al", "2", "may mean F, C, Al, and 1 would be needed"),  # was read as fluorine
        ("Fe Fe O", "1 1", "may mean Fe, O, and 2 would be needed"),  # was read as iron
        ("my cell", "1 1", "names none"),
    ],
)
def test_a_first_line_of_vasp_4_that_does_not(tmp_path: Path, first: str, numbers: str, says: str) -> None:
    text = VASP4.format(first=first, numbers=numbers)
    (tmp_path / "POSCAR").write_text(text)
    (tmp_path / "POSCAR.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("POSCAR", "POSCAR.gz"):
        with pytest.raises(BadInput, match=says):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("masses", "formula"), [("22.99 35.45", "Cl4Na4"), ("1.0 16", "H4O4"), ("2.014 16.0", "H4O4")]
)
def test_masses_of_lammps_data(tmp_path: Path, masses: str, formula: str) -> None:
    file = weighing(tmp_path, masses)
    assert read(file).get_chemical_formula() == formula  # hydrogen of 1.0 was no element
    packed = tmp_path / "salt.data.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read(packed).get_chemical_formula() == formula


@pytest.mark.parametrize("masses", ["15.035 14.027", "1.0 1.0", "12.0 42.1"])
def test_masses_of_no_element(tmp_path: Path, masses: str) -> None:
    with pytest.raises(BadInput, match="as no element does"):  # methyl groups were read as oxygen
        read(weighing(tmp_path, masses))


def weighing(folder: Path, masses: str) -> Path:
    """A LAMMPS data file of two types of atoms of these masses."""
    file = folder / "salt.data"
    write(file, bulk("NaCl", "rocksalt", a=5.6, cubic=True), format="lammps-data")
    first, second = masses.split()
    told = f"Masses\n\n1 {first}\n2 {second}\n\nAtoms"
    file.write_text(file.read_text().replace("Atoms", told))
    return file
