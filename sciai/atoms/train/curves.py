"""Equations of state as lessons: pressures at volumes, also of elements that are seen nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciai.atoms.data.records import Record
from sciai.core.errors import BadInput

__all__ = ["MAGNETIC", "birch_murnaghan_pressure", "unaries"]

MAGNETIC = ("Cr", "Mn", "Fe", "Co", "Ni")
"""Elements whose non-magnetic curves contradict the magnetic crystals that the answered level is made of."""

_STRUCTURES = {"BCC": ("bcc", 1), "FCC": ("fcc", 1), "SC": ("sc", 1), "Diamond": ("diamond", 2)}


def birch_murnaghan_pressure(ratio: float, bulk: float, slope: float) -> float:
    """Pressure of the third-order equation of Birch (1947, Phys. Rev. 71, 809).

    Args:
        ratio: volume over equilibrium volume.
        bulk: bulk modulus, any unit.
        slope: its derivative with respect to pressure.

    Returns:
        In the unit of ``bulk``; positive when compressed.

    >>> birch_murnaghan_pressure(1.0, 100.0, 4.0), round(birch_murnaghan_pressure(0.95, 100.0, 4.0), 2)
    (0.0, 5.68)
    """
    x = ratio ** (-1 / 3)
    return 1.5 * bulk * (x**7 - x**5) * (1 + 0.75 * (slope - 4) * (x * x - 1))


def unaries(
    path: str | Path,
    source: str = "acwf",
    ratios: Sequence[float] = (0.82, 0.88, 0.94, 1.0, 1.06, 1.12, 1.2),
    without: Sequence[str] = MAGNETIC,
) -> list[Record]:
    """Pressures of elemental crystals (bcc, fcc, simple cubic, diamond) at several volumes.

    Labels are stresses only: the all-electron average of Bosoni et al. 2024, Nat. Rev. Phys. 6, 45, whose
    energies have their own zero for each crystal. Each curve is a group of its own in splits.

    Args:
        path: ``acwf-unaries-PBE-AE-average.json`` of acwf-verification-scripts.
        source: name of the source.
        ratios: volumes, relative to equilibrium.
        without: elements that are left out.

    Raises:
        BadInput: when it is no such file.
    """
    from ase.build import bulk
    from ase.data import atomic_numbers

    try:
        curves = json.loads(Path(path).read_text())["BM_fit_data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"no table of equations of state ({error})", file=path) from error
    records = []
    for name, fit in sorted(curves.items()):
        symbol, kind = name.split("-X/")
        if fit is None or symbol in without or kind not in _STRUCTURES:
            continue
        structure, atoms_in_cell = _STRUCTURES[kind]
        for ratio in ratios:
            atoms = bulk(symbol, structure, a=1.0)
            volume = ratio * fit["min_volume"]
            atoms.set_cell(atoms.cell.array * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
            pressure = birch_murnaghan_pressure(ratio, fit["bulk_modulus_ev_ang3"], fit["bulk_deriv"])
            records.append(
                Record(
                    numbers=np.full(atoms_in_cell, atomic_numbers[symbol], np.uint8),
                    positions=np.asarray(atoms.positions, float),
                    cell=np.asarray(atoms.cell.array, float),
                    pbc=np.ones(3, bool),
                    energy=None,
                    forces=None,
                    stress=-pressure * np.eye(3),
                    source=source,
                    group=f"eos:{symbol}/{structure}",
                    kind="eos",
                )
            )
    return records
