"""What a run of molecular dynamics gives: a table of frames, its summary, its picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import Structure
from sciai.atoms.api.pictures import curves
from sciai.core.answer import Level
from sciai.core.atomic import whole_file

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.integrators import Settings

__all__ = ["COLUMNS", "Dynamics", "dynamics_figure", "summary", "truncate"]

COLUMNS: Final = (
    *("time_ps", "temperature_K", "potential_eV", "kinetic_eV", "conserved_eV"),
    *("pressure_GPa", "volume_A3", "force_sd", "level"),
)


@dataclass(frozen=True)
class Dynamics:
    """What a run did.

    Attributes:
        structure: the last frame.
        ensemble: nve, nvt or npt.
        steps: steps done, earlier parts of a restarted run included.
        time: ps.
        temperature: mean over the second half, K.
        pressure: mean over the second half, GPa; None without a full cell or a stress.
        volume: mean over the second half, Å^3; None without a full cell.
        drift: slope of the conserved energy, eV per atom per ps; None where nothing is conserved (Langevin).
        wander: standard deviation of the conserved energy around that slope, eV per atom.
        frames: frames written or counted.
        marked: numbers of the frames whose answer was refused.
        stopped: whether the run ended before it was done.
        table: one row per frame; columns as in ``columns``.
        columns: names of the table's columns.
    """

    structure: Structure
    ensemble: str
    steps: int
    time: float
    temperature: float
    pressure: float | None
    volume: float | None
    drift: float | None
    wander: float | None
    frames: int
    marked: tuple[int, ...]
    stopped: bool
    table: npt.NDArray[np.float64] = field(repr=False)
    columns: tuple[str, ...] = COLUMNS

    @property
    def atoms(self) -> Atoms:
        """The last frame as ASE atoms."""
        return self.structure.atoms

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """A column of the table."""
        return np.asarray(self.table[:, self.columns.index(name)])


def dynamics_figure(value: Dynamics) -> Any:
    """Temperature, conserved energy, and volume where it moves."""
    n, time = len(value.structure.symbols), value.column("time_ps")
    panels: list[Any] = [("temperature, K", time, {"temperature": value.column("temperature_K")})]
    total = value.column("conserved_eV")
    if np.isfinite(total).any():
        panels.append(("conserved energy,\nmeV/atom", time, {"total": (total - total[0]) / n * 1000}))
    if value.ensemble == "npt":
        panels.append(("volume, Å³/atom", time, {"volume": value.column("volume_A3") / n}))
    sd = value.column("force_sd")
    if np.isfinite(sd).any():
        panels.append(("worst force spread,\neV/Å", time, {"spread": sd}))
    return curves(panels, "time, ps", title=f"{value.ensemble.upper()} of {value.structure.formula}")


def summary(
    atoms: Atoms,
    settings: Settings,
    done: int,
    table: npt.NDArray[np.float64],
    levels: list[int],
    stopped: bool,
) -> Dynamics:
    """The result of a run.

    Args:
        atoms: the last frame.
        settings: of the run.
        done: steps done.
        table: a row for each frame, see ``COLUMNS``.
        levels: verdict of each frame.
        stopped: whether it was stopped.
    """

    def half(name: str) -> float | None:
        values = table[len(table) // 2 :, COLUMNS.index(name)]
        return float(values.mean()) if np.isfinite(values).all() else None

    time, total = table[:, 0], table[:, COLUMNS.index("conserved_eV")] / len(atoms)
    drift = wander = None
    if np.isfinite(total).all() and len(total) > 2:
        slope, start = np.polyfit(time, total, 1)
        drift, wander = float(slope), float((total - start - slope * time).std())
    return Dynamics(
        structure=Structure.of(atoms),
        ensemble=settings.ensemble,
        steps=done,
        time=done * settings.timestep / 1000,
        temperature=half("temperature_K") or 0.0,
        pressure=half("pressure_GPa"),
        volume=half("volume_A3"),
        drift=drift,
        wander=wander,
        frames=len(table),
        marked=tuple(k for k, level in enumerate(levels) if level >= int(Level.REFUSE)),
        stopped=stopped,
        table=table,
    )


def truncate(path: Path, frames: int) -> None:
    """Keep the first frames of a trajectory: those behind the last saved state are written again."""
    from ase.io.trajectory import Trajectory

    if not path.is_file():
        return
    with Trajectory(str(path)) as old:
        if len(old) <= frames:
            return
        with whole_file(path, overwrite=True) as temporary, Trajectory(str(temporary), "w") as new:
            for k in range(frames):
                new.write(old[k])
