"""How a question about structures goes into the ledger, and what a human needs to settle it."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import numpy as np
from ase.data import atomic_masses

from sciai.core.answer import Answer, jsonable
from sciai.core.errors import BadInput
from sciai.core.listen import as_one, quietly
from sciai.trust.record import Question, file_record

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

__all__ = [
    *(
        "NEEDS",
        "UNRECORDED",
        "Asked",
        "described",
        "files_again",
        "recorded",
        "structure_again",
        "structure_record",
    ),
]

P = ParamSpec("P")
V = TypeVar("V")

LARGEST: Final = 1000
"""Atoms of a structure that is kept whole; of a larger one only the digest is."""

MOST_FILES: Final = 100
"""Files of a question that are kept one by one; of more only the digest of all is."""

GIVEN: Final = ("masses", "initial_magmoms", "initial_charges")
"""Arrays that dynamics, or calculators of others, go by."""

NOT_ASKED: Final = ("out", "overwrite", "progress")
LEAVE_OUT: Final = ("seconds", "path", "file", "key", "where", "skipped")

NEEDS: Final[Mapping[str, str]] = {
    "element": "a reference calculation (DFT) with a potential that knows these elements",
    "tier": "a reference calculation (DFT) of a small cell with these elements",
    "support": "a reference calculation (DFT) of these surroundings; then they can be learned",
    "pair_unseen": "a reference calculation (DFT) of this pair of elements at this distance",
    "two_levels": "the same with a potential that learned data without U, or with DFT",
    "pair_short": "the structure: are these atoms meant to be so close?",
    "overlap": "the structure: are these atoms meant to be so close?",
    "close": "the structure: are these atoms meant to be so close?",
    "cell": "the cell vectors and periodic directions, as the source has them",
    "position": "the positions, as the source has them",
    "force_spread": "forces of a reference calculation (DFT) on the atoms named",
    "energy_spread": "a reference energy (DFT) of this structure",
    "converged": "a longer run, or another optimiser",
    "imaginary": "a relaxation in a larger cell without symmetry, along the imaginary mode",
    "left_domain": "forces of a reference calculation (DFT) on the frames that were marked",
}
"""Check -> what would settle its finding."""


UNRECORDED: Final[Mapping[str, str]] = {
    "distance": "how unlike training an answer's structure is; recorded with each answer",
    "picture": "a picture of an answer that is recorded",
    "read": "data, not an answer",
    "stage_findings": "said with each answer",
}
"""What hands out figures or pictures and is no entry of the ledger, and why."""


@dataclass(frozen=True)
class Asked:
    """A question as it was asked.

    Attributes:
        call: name of the function; "energy" for a potential asked about one structure.
        arguments: of the function, the potential among them.
        distance: how far the structure lies from training; None where that is not known.
    """

    call: str
    arguments: Mapping[str, Any]
    distance: float | None = None

    def record(self) -> Question:
        """For the ledger: structures whole, files by path and sha256, the potential by its settings."""
        given = dict(self.arguments)
        if self.call == "screen":
            from sciai.atoms.api.files import files_of

            given["files"] = files_of(given["files"])
        plain = {name: _plain(value) for name, value in given.items() if name not in NOT_ASKED}
        if len(plain.get("files") or ()) > MOST_FILES:
            plain["files"] = _folded(plain["files"])
        about = [v["sha256"] for v in plain.values() if isinstance(v, dict) and "sha256" in v]
        return Question("atoms", self.call, plain, False, LEAVE_OUT, NEEDS, self.distance, about)


def recorded(function: Callable[P, Answer[V]]) -> Callable[P, Answer[V]]:
    """A workflow whose answers are told as one, can be replayed, and say the stage of their potential."""
    signature = inspect.signature(function)

    @wraps(function)
    def staged(*args: P.args, **kwargs: P.kwargs) -> Answer[V]:
        answer = function(*args, **kwargs)
        potential = signature.bind(*args, **kwargs).arguments["potential"]
        here = {f.check for f in answer.findings}
        more = tuple(f for f in potential.stage_findings() if f.check not in here)
        return replace(answer, findings=(*answer.findings, *more)) if more else answer

    def question(*args: P.args, **kwargs: P.kwargs) -> Asked:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Asked(function.__name__, dict(bound.arguments), _distance(bound.arguments))

    return as_one(question)(staged)


def described(potential: Potential) -> dict[str, Any]:
    """What makes a potential what it is, to load it again.

    Args:
        potential: any; of a foreign calculator only its name is known.
    """
    from sciai.atoms.api.engines import Dispersion, NetEngine

    engine, d3 = potential.engine, False
    if isinstance(engine, Dispersion):
        engine, d3 = engine.engine, True
    said: dict[str, Any] = {
        "model": potential.provenance.model,
        "checkpoint": potential.provenance.checkpoint,
        "guard": potential.guard.name,
        "d3": potential.engine.name.rpartition("D3(")[2].rstrip(")") if d3 else "",
    }
    if isinstance(engine, NetEngine):
        net: Any = engine.net
        kind = next(net.parameters()).dtype
        said |= {"dtype": str(kind).removeprefix("torch."), "device": engine.device}
    return said


def structure_record(atoms: Atoms) -> dict[str, Any]:
    """A structure as a question keeps it: whole up to ``LARGEST`` atoms, and its sha256.

    Args:
        atoms: with constraints, momenta and isotopes, which matter to relaxation and dynamics, moments and
            charges, which matter to other calculators.
    """
    content: dict[str, Any] = {
        "symbols": list(atoms.get_chemical_symbols()),
        "positions": atoms.positions.tolist(),
        "cell": np.asarray(atoms.cell[:], float).tolist(),
        "pbc": [bool(p) for p in atoms.pbc],
        "constraints": [jsonable(c.todict()) for c in atoms.constraints],
    }
    momenta = atoms.get_momenta()
    if momenta.any():
        content["momenta"] = momenta.tolist()
    content |= {name: values.tolist() for name, values in _given(atoms).items()}
    sha256 = digest_of(atoms)
    if len(atoms) > LARGEST:
        content = {}
    return {"formula": atoms.get_chemical_formula(), "atoms": len(atoms), "sha256": sha256, **content}


def structure_again(record: Mapping[str, Any], inputs: Sequence[Path] = ()) -> Atoms:
    """The structure that a question names.

    Args:
        record: as ``structure_record`` made it.
        inputs: files to look for it in, where it was too large to be kept.

    Raises:
        BadInput: it is not there.
    """
    from ase import Atoms
    from ase.constraints import dict2constraint

    if "symbols" in record:
        atoms = Atoms(
            record["symbols"], positions=record["positions"], cell=record["cell"], pbc=record["pbc"]
        )
        atoms.set_constraint([dict2constraint(c) for c in record["constraints"]])
        for name in GIVEN:
            if name in record:
                atoms.set_array(name, np.asarray(record[name], float))
        if "momenta" in record:
            atoms.set_momenta(np.asarray(record["momenta"], float))
        return atoms
    from sciai.atoms.api.files import read_all

    for path in inputs:
        for found in read_all(path):
            if digest_of(found) == record["sha256"]:
                return found
    where = "none of the files given holds it" if inputs else "give its file with --input"
    raise BadInput(
        f"cannot be replayed: the structure of {record['atoms']} atoms ({record['formula']}) was too large "
        "to be kept",
        fix=where,
    )


def files_again(record: Mapping[str, Any], inputs: Sequence[Path] = ()) -> list[Path]:
    """The many files that a question names, in their order.

    Args:
        record: how many they were, where they lay, and the digest of all.
        inputs: files and folders to look in, where they were moved.

    Raises:
        BadInput: they are not there, not all of them, or changed.
    """
    from sciai.atoms.api.files import files_of

    for places in ([Path(record["folder"])], list(inputs)):
        if places and all(place.exists() for place in places):
            found = files_of(places)
            if len(found) == record["files"] and _digest(map(file_record, found)) == record["sha256"]:
                return found
    raise BadInput(
        f"cannot be replayed: the {record['files']} files are not what they were, or not in "
        f"{record['folder']} alone",
        fix="give the folder that holds them, and nothing else, with --input",
    )


def _folded(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    folder = os.path.commonpath([str(Path(file["path"]).parent) for file in files])
    return {"files": len(files), "folder": folder, "sha256": _digest(files)}


def _digest(files: Iterable[Mapping[str, Any]]) -> str:
    return hashlib.sha256("\n".join(file["sha256"] for file in files).encode()).hexdigest()


def digest_of(atoms: Atoms) -> str:
    """Sha256 of elements, positions, cell, periodicity, momenta and isotopes, bit for bit."""
    found = hashlib.sha256()
    parts = [atoms.numbers, atoms.positions, atoms.cell[:], atoms.pbc, atoms.get_momenta()]
    isotopes = _given(atoms).get("masses")
    for part in parts if isotopes is None else [*parts, isotopes]:
        found.update(np.ascontiguousarray(np.asarray(part, np.float64) + 0.0).tobytes())
    return found.hexdigest()


def _given(atoms: Atoms) -> dict[str, Any]:
    """Masses that are not the elements' own, and moments and charges that are not zero."""
    found: dict[str, Any] = {
        name: atoms.arrays[name] for name in GIVEN if name in atoms.arrays and atoms.arrays[name].any()
    }
    if "masses" in found and np.array_equal(found["masses"], atomic_masses[atoms.numbers]):
        del found["masses"]
    return found


def _distance(arguments: Mapping[str, Any]) -> float | None:
    """Of the first structure that is asked about; costs one answer, where somebody listens."""
    from ase import Atoms

    first = next((value for value in arguments.values() if isinstance(value, Atoms)), None)
    if first is None or arguments["potential"].evidence.support is None:
        return None
    with quietly():
        found: float | None = arguments["potential"].distance(first, arguments["potential"](first))
    return found


def _plain(value: Any) -> Any:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential

    if isinstance(value, Atoms):
        return structure_record(value)
    if isinstance(value, Potential):
        return described(value)
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
        return file_record(value) if Path(value).is_file() else {"folder": str(Path(value).resolve())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return jsonable(value)
