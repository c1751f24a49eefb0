"""Questions about people, asked again from what the ledger keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciai.core.answer import Answer
from sciai.core.errors import BadInput
from sciai.health.api.attribution import explain
from sciai.health.api.human import VirtualHuman
from sciai.health.api.record import person_again
from sciai.trust.record import Question
from sciai.trust.replay import checkpoint_folder

__all__ = ["replay"]


def replay(
    question: Question,
    *,
    model: VirtualHuman | str | Path | None = None,
    inputs: Sequence[Path] = (),
    checkpoint: str = "",
) -> Answer[Any]:
    """Ask again.

    Args:
        question: with its arguments.
        model: loaded, or its folder; None looks for the checkpoint among the shipped ones.
        inputs: not used; people are not in files.
        checkpoint: hash of the checkpoint that answered; empty takes the shipped one.

    Raises:
        BadInput: a question that can only be asked again by repeating the command, or a model that is not
            here.
        CheckpointError: a checkpoint that cannot be used.
    """
    human = (
        model
        if isinstance(model, VirtualHuman)
        else VirtualHuman.load(path=checkpoint_folder("health", checkpoint, model))
    )
    asked = dict(question.arguments)
    if question.call == "marginal":
        return human.marginal(**asked)
    if question.call not in ("ask", "explain", "risks", "unusual", "what_if"):
        raise BadInput(
            f"health {question.call} cannot be asked again from its entry",
            fix="repeat the command: sciai ledger replay LEDGER ID -- health ...",
        )
    person = person_again(human, asked)
    options = {name: value for name, value in asked.items() if name not in ("given", "notes")}
    if question.call == "explain":
        return explain(person, **options)
    if question.call == "ask":
        return person.ask(*options["targets"])
    if question.call == "what_if":
        return person.what_if(options["targets"], **options["changes"])
    return person.risks(**options) if question.call == "risks" else person.unusual(**options)
