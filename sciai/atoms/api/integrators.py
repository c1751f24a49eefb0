"""ASE's integrators, chosen by name, with all of their state packed for a restart."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.relaxation import GPA

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["ENSEMBLES", "THERMOSTATS", "Settings", "conserved", "integrator", "pack", "unpack"]

ENSEMBLES: Final = ("nve", "nvt", "npt")
THERMOSTATS: Final = ("bussi", "langevin", "nose-hoover")

_STATE: Final = {
    "Bussi": ("transferred_energy",),
    "LangevinBAOAB": ("accel", "p_eps", "force_eps", "gamma_mod"),
    "NoseHooverChainNVT": ("_q", "_p"),
    "VelocityVerlet": (),
}
"""What each integrator carries from step to step beside positions, momenta and cell."""


@dataclass(frozen=True)
class Settings:
    """What is integrated, and how.

    Attributes:
        ensemble: nve, nvt or npt.
        temperature: K.
        timestep: fs.
        thermostat: bussi, langevin or nose-hoover; for nvt.
        damping: time constant of the thermostat, fs.
        pressure: GPa, for npt.
        pressure_damping: time constant of the barostat, fs.
        every: steps between frames.
        seed: of everything random.
    """

    ensemble: str
    temperature: float
    timestep: float
    thermostat: str
    damping: float
    pressure: float
    pressure_damping: float
    every: int
    seed: int


def integrator(atoms: Atoms, settings: Settings, rng: np.random.Generator) -> Any:
    """The integrator of an ensemble.

    NVE: velocity Verlet. NVT: stochastic velocity rescaling (Bussi, Donadio & Parrinello 2007, J. Chem. Phys.
    126, 014101), Langevin BAOAB (Leimkuhler & Matthews 2013, J. Chem. Phys. 138, 174102) or a Nose-Hoover
    chain (Martyna, Klein & Tuckerman 1992, J. Chem. Phys. 97, 2635). NPT: Langevin piston (Quigley & Probert
    2004, J. Chem. Phys. 120, 11432) on the volume, BAOAB.

    Args:
        atoms: with calculator and velocities.
        settings: what and how.
        rng: the random numbers.
    """
    from ase import units
    from ase.md.bussi import Bussi
    from ase.md.langevinbaoab import LangevinBAOAB
    from ase.md.nose_hoover_chain import NoseHooverChainNVT
    from ase.md.verlet import VelocityVerlet

    dt, tau, kelvin = settings.timestep * units.fs, settings.damping * units.fs, settings.temperature
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, dt)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on defaults that are chosen here on purpose
        if settings.ensemble == "npt":
            return LangevinBAOAB(
                atoms,
                dt,
                temperature_K=kelvin,
                externalstress=-settings.pressure / GPA,
                hydrostatic=True,
                T_tau=tau,
                P_tau=settings.pressure_damping * units.fs,
                rng=rng,
            )
        if settings.thermostat == "bussi":
            return Bussi(atoms, dt, temperature_K=kelvin, taut=tau, rng=rng)
        if settings.thermostat == "langevin":
            return LangevinBAOAB(atoms, dt, temperature_K=kelvin, T_tau=tau, rng=rng)
        return NoseHooverChainNVT(atoms, dt, temperature_K=kelvin, tdamp=tau)


def conserved(dynamics: Any, energy: float) -> float:
    """The energy that an exact integrator would keep, eV; NaN where there is none.

    Args:
        dynamics: of ``integrator``.
        energy: potential plus kinetic energy now, eV.
    """
    kind = type(dynamics).__name__
    if kind == "VelocityVerlet":
        return energy
    if kind == "Bussi":
        return energy - float(dynamics.transferred_energy)
    if kind == "NoseHooverChainNVT":
        return energy + float(dynamics._thermostat.get_thermostat_energy())
    return float("nan")


def pack(dynamics: Any) -> dict[str, Any]:
    """What has to be saved of an integrator."""
    names = _STATE[type(dynamics).__name__]
    state = {
        f"dynamics.{name}": np.asarray(getattr(dynamics, name)) for name in names if hasattr(dynamics, name)
    }
    if hasattr(dynamics, "_thermostat"):
        state["dynamics.eta"] = dynamics._thermostat._eta
        state["dynamics.p_eta"] = dynamics._thermostat._p_eta
    return state


def unpack(dynamics: Any, saved: Mapping[str, npt.NDArray[Any]], rng: np.random.Generator) -> None:
    """Put back what ``pack`` gave, and the random numbers.

    Args:
        dynamics: a new integrator of the same kind.
        saved: arrays, with ``rng`` as JSON.
        rng: the generator that the integrator draws from.
    """
    for name in _STATE[type(dynamics).__name__]:
        value = saved.get(f"dynamics.{name}")
        if value is not None:
            setattr(dynamics, name, value.copy() if value.ndim else float(value))
    if "dynamics.eta" in saved:
        dynamics._thermostat._eta = saved["dynamics.eta"].copy()
        dynamics._thermostat._p_eta = saved["dynamics.p_eta"].copy()
    rng.bit_generator.state = json.loads(str(saved["rng"]))
