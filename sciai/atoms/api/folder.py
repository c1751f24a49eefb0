"""The folder of a run: what it computes, what is done, and nothing of another run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer, jsonable
from sciai.core.atomic import nothing_in, whole_file
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

    from sciai.atoms.api.potential import Potential

__all__ = ["RunFolder", "Step", "other_run", "quiet"]

Step = Callable[[float, str], None]
"""Progress callback: part done (0 to 1, below 0 for unknown) and what is being done."""

JOB, STATE = "job.json", "state.npz"


def quiet(part: float, text: str = "") -> None:
    """The progress callback of a quiet run."""


class RunFolder:
    """Where a run keeps its files; without a folder it keeps nothing.

    A run that is started again in its folder goes on; a run of another system or with other settings is
    refused there.
    """

    def __init__(
        self,
        out: str | Path | None,
        kind: str,
        atoms: Atoms,
        potential: Potential,
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        self.out = None if out is None else Path(out)
        self.job = {
            "kind": kind,
            "system": atoms.get_chemical_formula(),
            "atoms": len(atoms),
            "structure": fingerprint(atoms),
            "model": potential.provenance.model,
            "checkpoint": potential.provenance.checkpoint,
            "guard": potential.guard.name,
            "settings": jsonable(settings),
        }
        if atoms.constraints:  # what is fixed makes another run of the same structure
            self.job["constraints"] = held(atoms)
        self.resumed = False
        if self.out is not None:
            self._open(self.out, overwrite)

    def _open(self, out: Path, overwrite: bool) -> None:
        if out.exists() and not out.is_dir():
            raise BadInput("that is a file; a run needs a folder", file=out, fix="choose another folder")
        if out.is_dir() and not nothing_in(out):
            if not (out / JOB).is_file():
                raise BadInput("the folder holds other files", file=out, fix="choose a new or empty folder")
            if overwrite:
                shutil.rmtree(out)
            else:
                self._compare(out)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"the folder cannot be made: {error.strerror}", file=out) from error
        if not self.resumed:
            self.json(JOB, self.job)

    def _compare(self, out: Path) -> None:
        try:
            there = json.loads((out / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput("the folder's job cannot be read", file=out / JOB, fix="overwrite it") from error
        if there == self.job:
            self.resumed = True
            return
        same_system = all(there.get(key) == self.job[key] for key in ("system", "atoms", "structure"))
        different = [key for key in {**there, **self.job} if there.get(key) != self.job.get(key)]
        if not same_system and all(there.get(key) == self.job[key] for key in ("system", "atoms")):
            system = (
                f"{there.get('kind')} of {self.job['system']}, too, but of other positions or another cell"
            )
            problem = f"the folder holds a run of another system ({system})"
        elif not same_system:
            problem = (
                f"the folder holds a run of another system ({there.get('kind')} of {there.get('system')}, "
                f"{there.get('atoms')} atoms; this is {self.job['system']}, {self.job['atoms']} atoms)"
            )
        else:
            problem = f"the folder holds a run with another {', '.join(different)}{self._settings(there)}"
        raise BadInput(problem, file=out, fix="choose another folder, or overwrite")

    def _settings(self, there: Mapping[str, Any]) -> str:
        """Which settings differ, there and here."""
        old, new = there.get("settings") or {}, self.job["settings"]
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        told = ", ".join(f"{name} {old.get(name)} there, {new.get(name)} here" for name in names[:3])
        return f" ({told})" if told else ""

    def abandon(self) -> None:
        """Leave no trace of a run that cannot begin: with other settings it may begin here."""
        if self.out is not None and not self.resumed:
            (self.out / JOB).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.out.rmdir()

    def path(self, name: str) -> Path | None:
        """Path of a file in the folder; None without a folder."""
        return None if self.out is None else self.out / name

    def has(self, name: str) -> bool:
        """Whether a file of this very run is there."""
        path = self.path(name)
        return self.resumed and path is not None and path.is_file()

    def json(self, name: str, content: Any) -> None:
        """Write JSON."""
        path = self.path(name)
        if path is not None:
            with whole_file(path, overwrite=True) as temporary:
                temporary.write_text(
                    json.dumps(jsonable(content, 100_000), indent=1, ensure_ascii=False) + "\n",
                    encoding="utf-8",
                )

    def save(self, arrays: Mapping[str, Any], name: str = STATE) -> None:
        """Write arrays (and text) to go on from."""
        path = self.path(name)
        if path is not None:
            with whole_file(path, overwrite=True) as temporary, open(temporary, "wb") as file:
                content: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
                np.savez(file, **content)

    def load(self, name: str = STATE) -> dict[str, npt.NDArray[Any]] | None:
        """Arrays that this very run saved; None where it saved none.

        Raises:
            BadInput: the file is damaged.
        """
        path = self.path(name)
        if path is None or not self.has(name):
            return None
        try:
            with np.load(path, allow_pickle=False) as content:
                return {key: content[key] for key in content.files}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BadInput(
                "the saved state is damaged", file=path, fix="start again with overwrite"
            ) from error

    def picture(self, name: str, figure: Figure) -> None:
        """Write a PNG."""
        path = self.path(name)
        if path is not None:
            with whole_file(path, overwrite=True) as temporary:
                figure.savefig(temporary, format="png", dpi=150)

    def structure(self, name: str, atoms: Atoms, answer: Answer[Any] | None = None) -> None:
        """Write a structure, with energy, forces and stress where they are given and the format has them."""
        from sciai.atoms.api.files import with_results, write

        path = self.path(name)
        if path is not None:
            told = None if answer is None or answer.estimate is None else answer.estimate.value
            write(atoms if told is None else with_results(atoms, told), path)

    def trajectory(self, name: str, frames: Sequence[Atoms], answers: Sequence[Answer[Any]]) -> None:
        """Write structures with what was answered of each, for ASE to read."""
        from ase.io.trajectory import Trajectory

        from sciai.atoms.api.files import with_results

        path = self.path(name)
        if path is None:
            return
        with whole_file(path, overwrite=True) as temporary, Trajectory(str(temporary), "w") as trajectory:
            for atoms, answer in zip(frames, answers, strict=True):
                told = answer.estimate
                trajectory.write(atoms.copy() if told is None else with_results(atoms, told.value))

    def answer(self, answer: Answer[Any]) -> None:
        """Write the answer as ``result.json``."""
        self.json("result.json", answer.to_dict(max_items=100_000))


def other_run(out: Path | None, atoms: Atoms) -> bool:
    """Whether a folder holds a run that began elsewhere: what an earlier, shorter part of a run left.

    Args:
        out: the folder; None and one that is not there hold none.
        atoms: where the run would begin.
    """
    try:
        there = {} if out is None else json.loads((out / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(there) and there.get("structure") != fingerprint(atoms)


def fingerprint(atoms: Atoms) -> str:
    """A short hash of what a structure is: elements, positions, cell, periodicity; velocities do not count.

    Example:
        >>> from ase import Atoms
        >>> fingerprint(Atoms("H")) == fingerprint(Atoms("H"))
        True
    """
    digest = hashlib.sha256()
    for part in (
        np.asarray(atoms.numbers, np.int64),
        np.asarray(atoms.positions, np.float64).round(6) + 0.0,
        np.asarray(atoms.cell[:], np.float64).round(6) + 0.0,
        np.asarray(atoms.pbc, np.uint8),
    ):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def held(atoms: Atoms) -> str:
    """A short hash of the constraints of a structure.

    Example:
        >>> from ase import Atoms
        >>> from ase.constraints import FixAtoms
        >>> held(Atoms("H2", constraint=FixAtoms([0]))) == held(Atoms("H2", constraint=FixAtoms([1])))
        False
    """
    from ase.io.jsonio import encode

    told = [encode(c.todict()) if hasattr(c, "todict") else type(c).__name__ for c in atoms.constraints]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
