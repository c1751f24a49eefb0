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

__all__ = [
    *("ENSEMBLES", "THERMOSTATS", "Settings", "conserved", "freedom", "integrator", "pack"),
    *("start_velocities", "temperature", "unpack"),
]

ENSEMBLES: Final = ("nve", "nvt", "npt")
THERMOSTATS: Final = ("bussi", "langevin", "nose-hoover")

DRIFTS: Final = 1e-6
"""Share of the kinetic energy in the motion of the whole from which it is meant, and no rounding."""

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


def freedom(atoms: Atoms, settings: Settings) -> int:
    """Degrees of freedom that share the kinetic energy of a run.

    Where nothing kicks single atoms and nothing is fixed, the centre of mass stays at rest: three fewer than
    three for each atom. Counted with them, two atoms at "300 K" move as at 600 K, eight as at 343 K.

    Args:
        atoms: with the velocities that it starts with.
        settings: what will be integrated.

    Example:
        >>> from ase.build import bulk
        >>> choice = Settings("nve", 300, 1, "bussi", 100, 0, 1000, 10, 0)
        >>> freedom(bulk("Cu", cubic=True), choice)
        9
    """
    free = int(atoms.get_number_of_degrees_of_freedom())
    kicked = settings.ensemble == "npt" or (settings.ensemble == "nvt" and settings.thermostat == "langevin")
    if atoms.constraints or kicked or len(atoms) < 2:
        return free
    whole = float((atoms.get_momenta().sum(0) ** 2).sum() / (2 * atoms.get_masses().sum()))
    return free if whole > DRIFTS * float(atoms.get_kinetic_energy()) else free - 3


def temperature(kinetic: float, free: int) -> float:
    """K, of a kinetic energy in eV that so many degrees of freedom share.

    Example:
        >>> round(temperature(0.0387780, 3))
        300
    """
    from ase import units

    return 2 * kinetic / (free * units.kB) if free > 0 else 0.0


def start_velocities(atoms: Atoms, settings: Settings, rng: np.random.Generator) -> None:
    """Draw velocities for the temperature that is wanted, unless the atoms have some.

    Args:
        atoms: get them.
        settings: of the run.
        rng: the random numbers.
    """
    from ase import units

    if atoms.has("momenta") and np.abs(atoms.get_momenta()).max(initial=0.0) > 0:
        return
    masses = atoms.get_masses()[:, None]
    wanted = settings.temperature
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * wanted)
    if len(atoms) > 1 and not atoms.constraints:
        momenta -= masses * momenta.sum(0) / masses.sum()  # the whole does not drift away
    atoms.set_momenta(momenta)
    found = temperature(float(atoms.get_kinetic_energy()), freedom(atoms, settings))
    if found > 0:  # few atoms: what was drawn may be far from what was asked for
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(wanted / found))


def integrator(atoms: Atoms, settings: Settings, rng: np.random.Generator, free: int) -> Any:
    """The integrator of an ensemble.

    NVE: velocity Verlet. NVT: stochastic velocity rescaling (Bussi, Donadio & Parrinello 2007, J. Chem. Phys.
    126, 014101), Langevin BAOAB (Leimkuhler & Matthews 2013, J. Chem. Phys. 138, 174102) or a Nose-Hoover
    chain (Martyna, Klein & Tuckerman 1992, J. Chem. Phys. 97, 2635). NPT: Langevin piston (Quigley & Probert
    2004, J. Chem. Phys. 120, 11432) on the volume, BAOAB.

    Args:
        atoms: with calculator and velocities.
        settings: what and how.
        rng: the random numbers.
        free: degrees of freedom that the thermostat heats, see ``freedom``.
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
            bussi = Bussi(atoms, dt, temperature_K=kelvin, taut=tau, rng=rng)
            bussi.ndof, bussi.target_kinetic_energy = free, 0.5 * bussi.temp * free
            return bussi
        if settings.thermostat == "langevin":
            return LangevinBAOAB(atoms, dt, temperature_K=kelvin, T_tau=tau, rng=rng)
        chain = NoseHooverChainNVT(atoms, dt, temperature_K=kelvin, tdamp=tau)
        heat: Any = chain._thermostat  # which counts three for each atom, whatever is free
        heat._num_atoms_global, heat._Q[0] = free / 3, free * heat._kT * tau**2
        return chain


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
