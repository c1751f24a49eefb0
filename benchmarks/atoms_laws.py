"""The laws that any potential has to obey, measured on a checkpoint through the public api.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_laws [--model FOLDER]

Slopes are checked by finite differences in double precision; the last rows say what single precision costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.data import chemical_symbols, covalent_radii

from sciai.atoms.api.foreign import named
from sciai.atoms.api.potential import Potential


@dataclass(frozen=True)
class Law:
    """A law, how much it is broken, and how much may be."""

    name: str
    found: float
    allowed: float
    unit: str


def samples() -> list[Atoms]:
    """A salt, a metal surface, a semiconductor, a molecule, an alloy; all rattled."""
    slab = fcc111("Pt", (2, 2, 2), vacuum=7.0)
    slab.pbc = True
    alloy = bulk("Cu", cubic=True)
    alloy.symbols[0] = "Au"
    crystals = [bulk("NaCl", "rocksalt", 5.64), bulk("GaAs", "zincblende", 5.65)]
    found = [*crystals, slab, molecule("C2H6"), alloy]
    for k, atoms in enumerate(found):
        atoms.rattle(0.08, seed=k)
    return found


def slopes(pot: Potential, atoms: Atoms, rng: np.random.Generator) -> tuple[float, float]:
    """Largest difference of forces (eV/Å) and stress (eV/Å^3) from finite differences, random directions."""
    value, h = pot(atoms).unwrap(), 1e-4
    force = stress = 0.0
    for _ in range(3):
        direction = rng.normal(size=atoms.positions.shape)
        direction /= np.linalg.norm(direction)
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions += sign * h * direction
            ends.append(pot(moved).unwrap().energy)
        slope = (ends[0] - ends[1]) / (2 * h)
        force = max(force, abs(slope + float((value.forces * direction).sum())))
        if value.stress is None:
            continue
        strain = rng.normal(size=(3, 3))
        strain = (strain + strain.T) / np.linalg.norm(strain)
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.set_cell(atoms.cell[:] @ (np.eye(3) + sign * h * strain), scale_atoms=True)
            ends.append(pot(moved).unwrap().energy)
        full = value.stress[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        slope = (ends[0] - ends[1]) / (2 * h) / atoms.get_volume()
        stress = max(stress, abs(slope - float((full * strain).sum())))
    return force, stress


def symmetries(pot: Potential, atoms: Atoms, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Differences per atom of energies (eV) and of forces (eV/Å) under what must not matter."""
    value, n = pot(atoms).unwrap(), len(atoms)
    moved = atoms.copy()
    moved.positions += rng.normal(size=3)
    yield "translation", abs(pot(moved).unwrap().energy - value.energy) / n
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = atoms.copy()
    turned.set_cell(atoms.cell[:] @ rotation)
    turned.positions = atoms.positions @ rotation
    other = pot(turned).unwrap()
    yield "rotation of energies", abs(other.energy - value.energy) / n
    yield "rotation of forces", float(np.abs(other.forces - value.forces @ rotation).max())
    order = rng.permutation(n)
    yield "permutation", float(np.abs(pot(atoms[order]).unwrap().forces - value.forces[order]).max())
    yield "sum of forces", float(np.abs(value.forces.sum(0)).max()) / n
    if atoms.pbc.all():
        twice = pot(atoms * (2, 1, 1)).unwrap()
        yield "supercell", abs(twice.energy - 2 * value.energy) / n


@dataclass(frozen=True)
class Dimer:
    """Two atoms alone, pushed together.

    Attributes:
        pair: symbols.
        bond: distance of the lowest energy, in units of touching (sum of covalent radii).
        dip: deepest fall of energy on the way inwards from there to 0.3 of touching, eV.
        where: where it is, in units of touching.
        attracted: whether any force below 0.6 of touching pulls them together.
    """

    pair: str
    bond: float
    dip: float
    where: float
    attracted: bool


def dimers(pot: Potential, every: int = 1, most: int = 96) -> list[Dimer]:
    """Pairs of elements pushed together beyond their bond: the energy has to rise all the way.

    Bonds may be as short as 0.6 of touching (multiple bonds of metals, uranyl), so from the lowest energy at
    0.6 to 1.3 of touching on inwards.

    Args:
        pot: without guard, as such pairs are no matter.
        every: look at one pair of so many.
        most: highest atomic number.
    """
    shares = np.arange(1.3, 0.29, -0.02)
    found = []
    for a in range(1, most + 1):
        partners = [b for b in range(a, most + 1) if (7 * a + b) % every == 0]
        touch = covalent_radii[a] + covalent_radii[partners] if partners else np.empty(0)
        cells = [
            Atoms([a, b], positions=[[0, 0, 0], [share * t, 0, 0]])
            for b, t in zip(partners, touch, strict=True)
            for share in shares
        ]
        values = [answer.unwrap() for answer in pot.batch(cells)]
        for k, b in enumerate(partners):
            mine = values[k * len(shares) : (k + 1) * len(shares)]
            energy = np.array([value.energy for value in mine])
            push = np.array([value.forces[1, 0] for value in mine])
            bond = int(np.argmin(np.where(shares >= 0.6, energy, np.inf)))
            fall = np.maximum.accumulate(energy[bond:]) - energy[bond:]
            deepest = int(fall.argmax())
            found.append(
                Dimer(
                    f"{chemical_symbols[a]}-{chemical_symbols[b]}",
                    float(shares[bond]),
                    float(fall[deepest]),
                    float(shares[bond + deepest]),
                    bool((push[shares < 0.6] < 0).any()),
                )
            )
    return found


def cutoff_jump(pot: Potential) -> float:
    """Largest change of the force, eV/Å, over 1e-6 Å as a neighbour leaves the cutoff."""
    reach = float(pot.engine.cutoff or 6.0)
    worst = 0.0
    for a, b in (("Cu", "Cu"), ("Na", "Cl"), ("C", "O"), ("H", "H"), ("Cs", "I")):
        pair = Atoms([a, b], positions=[[0, 0, 0], [1, 0, 0]])
        where = np.arange(reach - 3.0, reach + 0.2, 0.02)
        for x in where:
            forces = []
            for shift in (0.0, 1e-6):
                pair.positions[1, 0] = x + shift
                forces.append(pot(pair).unwrap().forces[1, 0])
            worst = max(worst, abs(forces[1] - forces[0]))
    return worst


def laws(load: Callable[[str], Potential], every: int = 6) -> list[Law]:
    """Every law.

    Args:
        load: precision -> potential without guard.
        every: of so many pairs of elements, one is pushed together.
    """
    rng = np.random.default_rng(0)
    double, single = load("float64"), load("float32")
    worst: dict[str, float] = {}
    force = stress = energy32 = force32 = 0.0
    for atoms in samples():
        f, s = slopes(double, atoms, rng)
        force, stress = max(force, f), max(stress, s)
        for name, broken in symmetries(double, atoms, rng):
            worst[name] = max(worst.get(name, 0.0), broken)
        one, two = double(atoms).unwrap(), single(atoms).unwrap()
        energy32 = max(energy32, abs(one.energy - two.energy) / len(atoms))
        force32 = max(force32, float(np.abs(one.forces - two.forces).max()))
    pairs = dimers(double, every)
    return [
        Law("forces against slopes", force, 1e-5, "eV/Å"),
        Law("stress against slopes", stress, 1e-6, "eV/Å^3"),
        *(
            Law(name, broken, 1e-6, "eV/Å" if "force" in name or name == "permutation" else "eV/atom")
            for name, broken in worst.items()
        ),
        Law("jump at the cutoff", cutoff_jump(double), 1e-3, "eV/Å"),
        Law("pairs attracted below 0.6", sum(d.attracted for d in pairs) / len(pairs), 0.0, "share"),
        Law("pairs with a dip above 50 meV", sum(d.dip > 0.05 for d in pairs) / len(pairs), 0.0, "share"),
        Law("deepest dip of a pair", max(d.dip for d in pairs), 0.05, "eV"),
        Law("single precision, energy", energy32, 1e-4, "eV/atom"),
        Law("single precision, force", force32, 1e-3, "eV/Å"),
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--every", type=int, default=6, help="of so many pairs of elements, one is tried")
    parser.add_argument("--dimers", action="store_true", help="only the pairs, with the worst of them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.dimers:
        pairs = dimers(named(options.model, guard="off", device="cpu"), options.every)
        bad = sorted((d for d in pairs if d.dip > 0.05), key=lambda d: -d.dip)
        pulled = sum(d.attracted for d in pairs)
        print(f"{len(pairs)} pairs: {pulled} attracted below 0.6 of touching, {len(bad)} with a dip > 50 meV")
        for d in bad[:20]:
            print(f"  {d.pair:6s} bond at {d.bond:.2f}, dip of {d.dip:.2f} eV at {d.where:.2f} of touching")
        return
    found = laws(lambda dtype: named(options.model, guard="off", dtype=dtype, device="cpu"), options.every)
    if options.json:
        print(json.dumps([law.__dict__ | {"holds": bool(law.found <= law.allowed)} for law in found]))
        return
    for law in found:
        verdict = "holds" if law.found <= law.allowed else "BROKEN"
        print(f"{law.name:28s} {law.found:10.2e} {law.unit:8s} (allowed {law.allowed:.0e})  {verdict}")


if __name__ == "__main__":
    main()
