"""Files: every format gives the same record, and what is wrong is said with its place."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from sciai.atoms.api.labels import labels_of
from sciai.atoms.data.readers import read_structures, records_from
from sciai.core.errors import BadInput


@pytest.fixture
def frames():
    made = []
    for seed in range(3):
        atoms = bulk("CuAu", "rocksalt", 5.2)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        made.append(atoms)
    return made


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.extxyz.gz", "a.db", "a.traj"])
def test_labels_are_read_from_every_format(tmp_path, frames, name):
    path = tmp_path / name
    if name.endswith(".db"):
        with connect(path) as db:
            for atoms in frames:
                db.write(atoms)
    elif name.endswith(".gz"):
        write(tmp_path / "plain.extxyz", frames)
        path.write_bytes(gzip.compress((tmp_path / "plain.extxyz").read_bytes()))
    else:
        write(path, frames)
    records = records_from(path, "emt", weight=2.0)
    assert [r.group for r in records] == ["Au-Cu"] * 3
    for record, atoms in zip(records, frames, strict=True):
        assert record.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(record.forces, atoms.get_forces(), atol=1e-7)
        np.testing.assert_allclose(record.stress[0, 1], atoms.get_stress()[5], atol=1e-7)
        assert record.weight == 2.0


@pytest.mark.parametrize("name", ["NaCl.cif", "POSCAR", "NaCl.xsf"])
def test_structures_without_labels(tmp_path, name):
    write(tmp_path / name, bulk("NaCl", "rocksalt", 5.64))
    (atoms,) = read_structures(tmp_path / name)
    assert atoms.get_chemical_formula() == "ClNa"
    with pytest.raises(BadInput, match="no structure has an energy"):
        records_from(tmp_path / name, "pbe")


def test_names_that_other_codes_use(tmp_path):
    atoms = bulk("Cu")
    atoms.info["REF_energy"] = -3.7
    atoms.arrays["REF_forces"] = np.full((1, 3), 0.1)
    write(tmp_path / "a.extxyz", atoms)
    (record,) = records_from(tmp_path / "a.extxyz", "pbe")
    assert record.energy == -3.7
    assert record.forces[0, 0] == 0.1


def bad_file(folder, kind):
    path = folder / "bad.extxyz"
    head = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy=-1.0 pbc="T T T"'
    texts = {
        "empty file": "",
        "garbage": "\x00\x01 not a structure\nat all\n",
        "unknown symbol": f"1\n{head}\nQq 0 0 0\n",
        "cut short": f"3\n{head}\nH 0 0 0\n",
        "NaN": f"1\n{head}\nH 0 nan 0\n",
        "one spot": f"2\n{head}\nH 0 0 0\nH 4 0 0\n",
        "flat": f"1\n{head.replace('0 4 0 0 0 4', '0 4 0 4 4 0')}\nH 0 0 0\n",
        "half-periodic": f"1\n{head.replace('0 4 0 0 0 4', '0 4 0 0 0 0')}\nH 0 0 0\n",
        "no atoms": f"0\n{head}\n",
    }
    path.write_text(texts[kind])
    return path


@pytest.mark.parametrize(
    ("beside", "spelt"), [("magmoms", "REF_"), ("stress", "REF_"), ("", "dft_"), ("virial", "dft_")]
)
def test_each_label_is_adopted_by_itself(tmp_path, beside, spelt):
    """What the reader takes for results (moments, a plain stress) once hid energy and forces named REF_."""
    atoms = bulk("Cu", cubic=True)
    atoms.info[f"{spelt}energy"] = -3.0
    atoms.arrays[f"{spelt}force" if spelt == "dft_" else f"{spelt}forces"] = np.full((4, 3), 0.5)
    if beside == "magmoms":
        atoms.arrays["magmoms"] = np.ones(4)
    elif beside:
        atoms.info[spelt + beside if beside == "virial" else beside] = 0.01 * np.eye(3).ravel()
    write(tmp_path / "a.extxyz", atoms, format="extxyz")
    (record,) = records_from(tmp_path / "a.extxyz", "mine")
    assert record.energy == -3.0
    assert record.forces is not None
    assert record.forces.min() == 0.5
    if beside in ("stress", "virial"):
        wanted = 0.01 if beside == "stress" else -0.01 / atoms.get_volume()
        np.testing.assert_allclose(record.stress, wanted * np.eye(3), atol=1e-9)
    (read,) = read_structures(tmp_path / "a.extxyz")
    labels = labels_of(read)  # what `evaluate` compares with is the same
    assert float(labels["energy"]) == record.energy
    np.testing.assert_array_equal(labels["forces"], record.forces)
    if record.stress is not None:
        np.testing.assert_allclose(labels["stress"], record.stress.flat[[0, 4, 8, 5, 2, 1]])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty file", "empty"),
        ("garbage", "cannot be read"),
        ("unknown symbol", "unknown element 'Qq'"),
        ("cut short", "cannot be read|no structure"),
        ("NaN", "not a number"),
        ("one spot", "one spot"),
        ("flat", "no volume"),
        ("half-periodic", "no vector"),
        ("no atoms", "no atoms|no structure|cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, kind, says):
    path = bad_file(tmp_path, kind)
    with pytest.raises(BadInput, match=says) as caught:
        read_structures(path)
    assert "bad.extxyz" in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_structures(tmp_path / "none.cif")
    with pytest.raises(BadInput, match="folder"):
        read_structures(tmp_path)


def test_the_bad_structure_is_named_and_may_be_skipped(tmp_path, frames):
    frames[1].calc = SinglePointCalculator(frames[1], energy=5e4)
    write(tmp_path / "a.extxyz", frames)
    with pytest.raises(BadInput, match=r"structure 1.*Hartree") as caught:
        records_from(tmp_path / "a.extxyz", "pbe")
    assert caught.value.unit == "eV"
    skipped = []
    assert len(records_from(tmp_path / "a.extxyz", "pbe", skip=skipped.append)) == 2
    assert len(skipped) == 1


def test_shared_files_are_read(shared_data):
    records = records_from(shared_data / "atoms" / "alexandria-random-1k.extxyz", "alexandria")
    assert len(records) == 816
    assert max(np.abs(r.forces).max() for r in records) < 1.0


# two ionic steps of two atoms, shortened to what an OUTCAR of VASP 5.4.4 says of energies, forces and stress
_HEAD = """ vasp.5.4.4.18Apr17-6-g9f103f2a35 (build Jul 12 2019 10:52:13) complex
 POTCAR:    PAW_PBE Na_pv 19Sep2006
 POTCAR:    PAW_PBE Cl 06Sep2000
 POTCAR:    PAW_PBE Na_pv 19Sep2006
   VRHFIN =Na: p6s1
 POTCAR:    PAW_PBE Cl 06Sep2000
   VRHFIN =Cl: s2p5
   ISPIN  =      1    spin polarized calculation?
   ions per type =               1   1
"""
_STEP = """----------------------------------- Iteration      {n}(  14)  -----------------------------------
  FORCE on cell =-STRESS in cart. coord.  units (eV):
  Direction    XX          YY          ZZ          XY          YZ          ZX
  in kB       5.12000     5.12000     5.12000     0.50000     0.00000     0.00000
  external pressure =        5.12 kB  Pullay stress =        0.00 kB

 VOLUME and BASIS-vectors are now :
      direct lattice vectors                 reciprocal lattice vectors
     0.000000000  2.820000000  2.820000000    -0.177304965  0.177304965  0.177304965
     2.820000000  0.000000000  2.820000000     0.177304965 -0.177304965  0.177304965
     2.820000000  2.820000000  0.000000000     0.177304965  0.177304965 -0.177304965

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.010000      0.000000      {f:.6f}
      2.82000      0.00000      0.00000        -0.010000      0.000000     {g:.6f}
 -----------------------------------------------------------------------------------
    total drift:                                0.000000      0.000000      0.000000

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =        {e:.8f} eV

  energy  without entropy=       {e:.8f}  energy(sigma->0) =       {e:.8f}

"""


def test_an_outcar_is_read_step_by_step(tmp_path):
    steps = [_STEP.format(n=n, f=f, g=-f, e=e) for n, f, e in ((1, 0.2, -6.7), (2, 0.1, -6.75))]
    (tmp_path / "OUTCAR").write_text(_HEAD + "".join(steps))
    records = records_from(tmp_path / "OUTCAR", "mine")
    assert [record.energy for record in records] == [-6.7, -6.75]
    assert [record.group for record in records] == ["Cl-Na"] * 2
    np.testing.assert_allclose(records[1].forces, [[0.01, 0, 0.1], [-0.01, 0, -0.1]])
    assert records[0].volume == pytest.approx(2 * 2.82**3)
    # VASP gives 5.12 kbar of compression; ASE's stress is negative then, in eV/Å³
    assert records[0].stress[0, 0] == pytest.approx(-0.512 / 160.21766208)
    assert records[0].stress[0, 1] == pytest.approx(-0.05 / 160.21766208)


@pytest.mark.parametrize("name", ["run.outcar", "relaxed.txt", "OUTCAR_2"])
def test_an_outcar_may_have_any_name_and_may_have_been_killed(name, tmp_path):
    whole = _STEP.format(n=1, f=0.2, g=-0.2, e=-6.7)
    (tmp_path / name).write_text(_HEAD + whole + _STEP.format(n=2, f=0.1, g=-0.1, e=-6.75)[:900])
    (record,) = records_from(tmp_path / name, "mine")
    assert record.energy == -6.7


def test_an_outcar_that_was_killed_is_told(tmp_path):
    (tmp_path / "OUTCAR").write_text(_HEAD)
    with pytest.raises(BadInput, match="stopped before its first step") as caught:
        records_from(tmp_path / "OUTCAR", "mine")
    assert "OUTCAR" in str(caught.value)


_VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>
 <atominfo>
  <atoms>2</atoms>
  <array name="atoms"><field>element</field><set>
   <rc><c>Na</c><c>1</c></rc><rc><c>Cl</c><c>2</c></rc>
  </set></array>
 </atominfo>
 <structure name="initialpos"><crystal><varray name="basis">
  <v>0.0 2.82 2.82</v><v>2.82 0.0 2.82</v><v>2.82 2.82 0.0</v>
 </varray></crystal><varray name="positions"><v>0.0 0.0 0.0</v><v>0.5 0.5 0.5</v></varray></structure>
 <calculation>
  <scstep><energy><i name="e_fr_energy">-6.7</i><i name="e_0_energy">-6.7</i></energy></scstep>
  <structure><crystal><varray name="basis">
   <v>0.0 2.82 2.82</v><v>2.82 0.0 2.82</v><v>2.82 2.82 0.0</v>
  </varray></crystal><varray name="positions"><v>0.0 0.0 0.0</v><v>0.5 0.5 0.5</v></varray></structure>
  <varray name="forces"><v>0.01 0.0 0.2</v><v>-0.01 0.0 -0.2</v></varray>
  <energy><i name="e_fr_energy">-6.7</i><i name="e_0_energy">-6.7</i></energy>
 </calculation>
</modeling>
"""


def test_a_vasprun_may_have_any_name(tmp_path):
    (tmp_path / "NaCl_run.xml").write_text(_VASPRUN)
    (record,) = records_from(tmp_path / "NaCl_run.xml", "mine")
    assert record.energy == -6.7
    np.testing.assert_allclose(record.forces, [[0.01, 0, 0.2], [-0.01, 0, -0.2]])
