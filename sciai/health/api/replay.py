"""Questions about people, asked again from what the ledger keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.answer import Answer, Refused
from sciai.core.errors import BadInput
from sciai.health.api import tables
from sciai.health.api.attribution import explain
from sciai.health.api.human import VirtualHuman
from sciai.health.api.record import digest_of, panels_again, person_again, receipt
from sciai.health.api.timeline import timeline
from sciai.health.data.tables import read_table
from sciai.trust.record import Question
from sciai.trust.replay import checkpoint_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CALLS", "replay"]

CALLS: Final = (
    *("ask", "crowd", "explain", "impute", "joint", "log_prob", "marginal", "predict", "risks", "sample"),
    *("timeline", "unusual", "what_if"),
)
"""What is recorded, and can be asked again."""


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
        inputs: files in which a table that was asked about is looked for.
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
    try:
        return _again(human, question.call, asked, inputs)
    except Refused as refused:  # a table that is not handed out
        return refused.answer


def _again(human: VirtualHuman, call: str, asked: dict[str, Any], inputs: Sequence[Path]) -> Answer[Any]:
    if call == "marginal":
        return human.marginal(**asked)
    if call in ("crowd", "joint"):
        return receipt(human, getattr(human, call)(**asked), asked.get("seed"))
    if call in ("predict", "impute", "log_prob") and "table" in asked:
        table = _table_again(asked.pop("table"), inputs)
        quiet = {} if call == "log_prob" else {"progress": False}
        if call == "log_prob":
            asked["given"] = np.array(asked.pop("on"), bool)
        return receipt(human, getattr(tables, call)(human, table, **asked, **quiet), asked.get("seed"))
    if call == "timeline":
        person = person_again(human, asked["person"])
        return timeline(human, panels_again(asked["panels"]), person)
    if call not in CALLS or "given" not in asked:
        raise BadInput(
            f"health {call} cannot be asked again from its entry",
            fix="repeat the command: sciai ledger replay LEDGER ID -- health ...",
        )
    person = person_again(human, asked)
    options = {name: value for name, value in asked.items() if name not in ("given", "notes")}
    if call == "explain":
        return explain(person, **options)
    if call == "ask":
        return person.ask(*options["targets"])
    if call == "what_if":
        return person.what_if(options["targets"], **options["changes"])
    if call in ("sample", "log_prob"):
        if "on" in options:
            options["given"] = options.pop("on")
        return receipt(person, getattr(person, call)(**options), options.get("seed"))
    return person.risks(**options) if call == "risks" else person.unusual(**options)


def _table_again(kept: Mapping[str, Any], inputs: Sequence[Path]) -> pd.DataFrame:
    """The table that a question was about, among the files given."""
    for file in inputs:
        table = read_table(file)
        if digest_of(table) == kept:
            return table
    raise BadInput(
        f"cannot be replayed: a table of {kept['rows']} rows is in the ledger as a digest only"
        + (", and none of the files given holds it" if inputs else ""),
        fix="give its file with --input, or repeat the command behind --",
    )
