"""Questions about structures, asked again from what the ledger keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sciai.atoms.api.potential import Potential
from sciai.atoms.api.record import files_again, structure_again
from sciai.core.answer import Answer
from sciai.core.errors import BadInput
from sciai.trust.record import Question, found_again

__all__ = ["CALLS", "replay"]

CALLS: Final = (
    "adsorb",
    "elastic",
    "energy",
    "eos",
    "evaluate",
    "explain",
    "md",
    "neb",
    "phonons",
    "relax",
    "screen",
    "surface",
)
"""What is recorded, and can be asked again.

``energy`` is a potential asked about one structure: by itself, in a batch, or as an ASE calculator.
"""


def replay(
    question: Question,
    *,
    model: Potential | str | Path | None = None,
    inputs: Sequence[Path] = (),
    checkpoint: str = "",
) -> Answer[Any]:
    """Ask again; nothing is written.

    Args:
        question: with its arguments.
        model: a potential, a checkpoint, or the name of a foreign potential; None looks for the one that
            answered.
        inputs: files to look in for structures that were too large to be kept, or that were moved.
        checkpoint: hash of the checkpoint that answered; empty for a foreign potential.

    Raises:
        BadInput: a model or an input that is not here, or was changed.
        CheckpointError: a checkpoint that cannot be used.
    """
    asked = {name: _again(value, tuple(inputs)) for name, value in question.arguments.items()}
    said = asked.pop("potential")
    potential = model if isinstance(model, Potential) else _potential(said, model, checkpoint)
    if question.call == "energy":
        return potential(asked["atoms"])
    if question.call not in CALLS:
        raise BadInput(f"atoms {question.call!r} cannot be asked again", field="call")
    home = "sciai.atoms.api.attribution" if question.call == "explain" else "sciai.atoms.api"
    run = getattr(import_module(home), question.call)
    for name in ("miller", "supercell"):
        if asked.get(name) is not None:
            asked[name] = tuple(asked[name])
    if question.call == "screen":
        with tempfile.TemporaryDirectory() as folder:
            return run(potential=potential, out=Path(folder) / "screen", **asked)  # type: ignore[no-any-return]
    return run(potential=potential, **asked)  # type: ignore[no-any-return]


def _again(value: Any, inputs: tuple[Path, ...]) -> Any:
    if isinstance(value, dict) and "folder" in value and "sha256" in value:
        return files_again(value, inputs)
    if isinstance(value, dict) and "sha256" in value:
        return structure_again(value, inputs) if "formula" in value else found_again(value, inputs)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_again(item, inputs) for item in value]
    return value


def _potential(said: dict[str, Any], model: str | Path | None, checkpoint: str) -> Potential:
    from sciai.atoms.api.foreign import FOREIGN, named
    from sciai.trust.replay import checkpoint_folder

    options: dict[str, Any] = {"guard": said["guard"], "d3": said["d3"] or False}
    if checkpoint:
        options |= {"dtype": said["dtype"], "device": said["device"]}
        return named(checkpoint_folder("atoms", checkpoint, model), **options)
    if model is None:
        bare = str(said["model"]).split(" + D3")[0]
        model = next((key for key in FOREIGN if _is(key, bare)), None)
        if model is None:
            raise BadInput(f"cannot be replayed: {bare} is no checkpoint", fix="give the potential: --model")
    return named(model, **options)


def _is(key: str, name: str) -> bool:
    aliases = {"lj": "Lennard-Jones argon", "7net-0": "SevenNet-0"}
    return aliases.get(key, key).lower() == name.lower()
