"""What a run to resume has to have in common with the one that was interrupted, and where both write."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciai.core.answer import jsonable
from sciai.core.checkpoint import MANIFEST
from sciai.core.errors import BadInput, CheckpointError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sciai.core.data import DataModule

__all__ = ["alone", "begin", "differing", "flat", "folder_of", "made_of", "old_fingerprint"]

_LENGTH_AND_TEXT = ("max_epochs", "max_steps", "card")
"""What may change when a run goes on: how long it takes, and what its card says."""


def folder_of(cfg: DictConfig) -> Path:
    """The folder of a run, made where it is not there yet.

    Args:
        cfg: what ``compose`` gives.

    Raises:
        BadInput: ``cfg.out`` is empty or no text, or nothing can be written there.
    """
    if not isinstance(cfg.out, str) or not cfg.out.strip():
        raise BadInput(
            f"the folder of the run is {cfg.out!r}",
            field="out",
            fix="name one: out=runs/mine, say",
        )
    out = Path(cfg.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"cannot make the folder of the run: {error.strerror}",
            file=out,
            field="out",
            fix="choose another",
        ) from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise BadInput(
            "the folder of the run cannot be written to", file=out, field="out", fix="choose another"
        )
    return out


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """While in the block, no other run writes to a folder: the second would ship the first one's weights.

    Freed by the system when a run is killed. Of a run of several processes the first one holds it.

    Args:
        out: the folder, which is there.

    Raises:
        BadInput: another run is at it.
    """
    import fcntl

    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    with open(out / ".running", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                "another run is writing to this folder",
                file=out,
                field="out",
                fix="wait for it, or choose another (out=...)",
            ) from None
        except OSError:
            pass  # a file system that knows no locks
        try:
            yield
        finally:
            with contextlib.suppress(
                OSError
            ):  # loader processes may still hold the file, and with it the lock
                fcntl.flock(lock, fcntl.LOCK_UN)


def begin(model: Path, last: Path, *, again: bool, keep_states: bool = False) -> str | None:
    """Look at a run's folder before hours are spent on what cannot be saved.

    Args:
        model: where the checkpoint will go.
        last: the training state, in a folder of states.
        again: whether to go on from it, if it is there.
        keep_states: leave the states alone even where the run does not go on from them.

    Returns:
        The state to go on from; None to start over. Then the best state of an earlier run is removed: where a
        run ends before its first validation it would be taken for its own.

    Raises:
        BadInput: what is there is not a checkpoint.
        CheckpointError: the state is damaged.
    """
    if (model.exists() or model.is_symlink()) and (model.is_symlink() or not (model / MANIFEST).is_file()):
        raise BadInput(
            "what lies where the model goes is no checkpoint, and will not be overwritten",
            file=model,
            field="out",
            fix="move it away, or choose another folder",
        )
    if again and last.is_file():
        if not zipfile.is_zipfile(last):  # a copy that was cut short, or something else
            raise CheckpointError(
                f"{last} is damaged or no training state, and was not opened; delete it to start over"
            )
        return str(last)
    if not keep_states:
        last.with_name("best.ckpt").unlink(missing_ok=True)
    return None


def made_of(cfg: DictConfig, data: DataModule | None = None) -> dict[str, str]:
    """Everything that shapes the loss curve except the length of the run: key of the config -> value.

    Args:
        cfg: what ``compose`` gives.
        data: what is learned from. Where a file grew since, items of the test part may have been trained on.
    """
    from omegaconf import OmegaConf

    content: Any = OmegaConf.to_container(cfg.domain, resolve=True)
    kept = {key: value for key, value in content.items() if key not in _LENGTH_AND_TEXT}
    found = {"seed": str(cfg.seed), **flat(kept, "domain")}
    found.pop("domain.lit.scheduler.steps", None)  # the length again, where a domain hands it on
    if data is not None:
        found["the data"] = _hash(jsonable(data.provenance, 10**9))
        found["their split"] = data.split.hash
    return found


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs, in words; a key that one of the two lacks differs, too.

    >>> differing({"seed": "0", "the data": "3f"}, {"seed": "1", "the data": "77"})
    ['seed (0, now 1)', 'the data']
    """
    told = []
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            values = f" ({then.get(key, 'not there')}, now {now.get(key, 'not there')})"
            told.append(key + ("" if key.startswith("the") else values))
    return told


def old_fingerprint(cfg: DictConfig) -> str:
    """How states of before there was ``made_of`` tell their config: one hash over all of it."""
    from omegaconf import OmegaConf

    return _hash({"domain": OmegaConf.to_container(cfg.domain, resolve=True), "seed": cfg.seed})


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def flat(content: Any, place: str) -> dict[str, str]:
    """A nested part of a config as path -> value, written as JSON.

    >>> flat({"width": 3, "inner": {"a": None}}, "net")
    {'net.width': '3', 'net.inner.a': 'null'}
    """
    if isinstance(content, Mapping) and content:
        return {k: v for key, inner in content.items() for k, v in flat(inner, f"{place}.{key}").items()}
    return {place: json.dumps(content, sort_keys=True, default=str)}
