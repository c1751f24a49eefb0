"""Questions about volumes, asked again from what the ledger keeps."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sciai.core.answer import Answer
from sciai.core.errors import BadInput
from sciai.radar.api.attribution import explain
from sciai.radar.api.record import receipt, volume_again
from sciai.trust.record import Question, found_again

__all__ = ["CALLS", "replay"]

CALLS: Final = ("compress", "decompress", "explain", "verify")
"""What is recorded, and can be asked again."""


def replay(
    question: Question, *, model: str | Path | None = None, inputs: Sequence[Path] = (), checkpoint: str = ""
) -> Answer[Any]:
    """Ask again: compress into a folder that goes away, decode or verify once more.

    Args:
        question: with its arguments.
        model: folder of the checkpoint that answered, where it was none of the package's and was moved;
            ``trust.replay`` compares its hash.
        inputs: files of the volume, where they were moved.
        checkpoint: not used; see ``model``.

    Raises:
        BadInput: an input that is gone or was changed.
        DamagedStore: a store that was altered.
    """
    from sciai.radar.api.reading import decompress, verify
    from sciai.radar.api.store import check_store
    from sciai.radar.api.writing import compress

    asked = dict(question.arguments)
    if question.call not in CALLS:
        raise BadInput(f"radar {question.call!r} cannot be asked again", field="call")
    trained = asked.pop("model", None)
    if trained is not None:
        asked["codec"] = Path(model or trained)
    elif model is not None:
        raise BadInput("codecs come with the package", field="--model", fix="install the sciai that answered")
    if question.call == "decompress":
        store = found_again(asked["store"], tuple(inputs)).parent
        with warnings.catch_warnings(record=True) as lost:
            warnings.simplefilter("always")
            again = decompress(store, damaged=asked["damaged"])
        return receipt(again, [str(w.message) for w in lost], check_store(store))
    volume = volume_again(asked.pop("volume"), inputs)
    if question.call == "explain":
        return explain(volume, **{**asked, "tiles": tuple(asked["tiles"])})
    if question.call == "verify":
        return verify(volume, found_again(asked["store"], tuple(inputs)).parent)
    if asked.get("previous") is not None:
        asked["previous"] = found_again(asked["previous"], tuple(inputs)).parent
    with tempfile.TemporaryDirectory() as folder:
        return compress(volume, Path(folder) / "again.zarr", **asked)
