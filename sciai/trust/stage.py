"""The release stage of a loaded checkpoint, and what its answers say of it and of the declared use.

It is found out once, when a checkpoint is loaded; answers only repeat it. What somebody uses the answers for
is declared (``sciai --use-class B``, or ``declared`` in Python); a use that the release does not cover makes
every answer doubtful, or refuses it: conf/guard decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from sciai.core import resources
from sciai.core.answer import Finding, Level
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, SciaiError
from sciai.trust.conditions import Conditions, UseClass
from sciai.trust.gate import Standing, Statement, load_audit, standing
from sciai.trust.sign import Keyring

__all__ = [
    *("UNRELEASED", "declared", "evidence", "release_file", "stage_findings", "standing_of", "trusted"),
    "use_class",
]

UNRELEASED = Standing("pilot", "A", (Finding("release", Level.REFUSE, "it was never released"),))
"""The standing of a model that no release statement speaks for."""

_USE: ContextVar[str] = ContextVar("use_class", default="")


def release_file(folder: Path) -> Path:
    """Where the release statement of a checkpoint lies: beside its folder."""
    return folder.with_name(f"{folder.name}.release.json")


def evidence(checkpoint: Checkpoint, folder: Path) -> tuple[Conditions, Standing, dict[str, Any] | None]:
    """What a release of a checkpoint rests on today: conditions, standing, audit.

    Args:
        checkpoint: as loaded.
        folder: where it was loaded from.

    Raises:
        BadInput: there are no release conditions for its domain.
        DamagedStore: a statement or an audit that cannot be read.
    """
    place = folder.resolve()
    where = resources.conf_dir() / "release"
    conditions = Conditions.load(where / f"{checkpoint.card.domain}.yaml")
    file = release_file(place)
    statement = Statement.load(file) if file.exists() else None
    audit = load_audit(place.with_name(f"{place.name}.audit.json"))
    return conditions, standing(checkpoint, statement, conditions, trusted(), audit=audit), audit


def trusted() -> Keyring:
    """Whose signatures count for a release: ``conf/release/signers.yaml``.

    Raises:
        BadInput: where it cannot be read.
    """
    return Keyring.load(resources.conf_dir() / "release" / "signers.yaml")


def standing_of(checkpoint: Checkpoint | None, folder: str | Path) -> Standing:
    """The stage of a checkpoint that was just loaded; a pilot where anything is amiss, with the reason.

    Args:
        checkpoint: as loaded; None loads it, where it was ever released.
        folder: where it was loaded from.

    >>> from sciai.core.resources import checkpoints_dir
    >>> folder = checkpoints_dir() / "health"
    >>> standing_of(Checkpoint.load(folder), folder).stage in ("pilot", "limited", "production")
    True
    """
    place = Path(folder).resolve()
    if not release_file(place).exists():
        return UNRELEASED
    try:
        return evidence(checkpoint or Checkpoint.load(place), place)[1]
    except (SciaiError, OSError) as error:
        reason = Finding("release", Level.REFUSE, f"its release cannot be examined: {error}")
        return Standing("pilot", "A", (reason,))


@contextmanager
def declared(use_class: str) -> Iterator[None]:
    """While in the block, answers are for a use of this class.

    Args:
        use_class: A, B or C, as conf/release/DOMAIN.yaml explains them; empty declares nothing.

    Raises:
        BadInput: another class.

    >>> with declared("B"):
    ...     [finding.check for finding in stage_findings(UNRELEASED)]
    ['stage', 'grave_use']
    """
    if use_class and use_class not in get_args(UseClass):
        raise BadInput(f"no use class {use_class!r}", field="--use-class", fix="choose A, B or C")
    token = _USE.set(use_class)
    try:
        yield
    finally:
        _USE.reset(token)


def use_class() -> str:
    """The class that was declared; empty for none."""
    return _USE.get()


def stage_findings(found: Standing | None) -> list[Finding]:
    """What every answer of a model says of its release; nothing for one in production within its use.

    ``stage`` is only said (conf/guard/default.yaml gives it the level ok); ``use`` and ``grave_use`` are a
    declared use that the release does not cover, of class A, or of B or C.

    Args:
        found: the model's standing; None for a model of others, which has no release here.

    >>> print(stage_findings(UNRELEASED)[0].message)
    the model is a pilot, for trying out and not for decisions: it was never released
    """
    return list(_said(found, _USE.get()))


@lru_cache(maxsize=64)
def _said(found: Standing | None, use: str) -> tuple[Finding, ...]:
    stage = "none" if found is None else found.stage
    said = []
    if found is not None and stage != "production":
        said.append(Finding("stage", Level.CAUTION, found.finding().message))
    if use and (found is None or stage == "pilot" or use > found.use_class):
        has = {"none": "has no release here", "pilot": "is a pilot"}
        covers = has.get(stage) or f"is released for class {found.use_class if found else ''} only"
        text = f"a use of class {use} was declared, and the model {covers}; do not use the answer for that"
        check, level = ("grave_use", Level.REFUSE) if use > "A" else ("use", Level.CAUTION)
        said.append(Finding(check, level, f"{text} (`sciai release` tells what is missing)"))
    return tuple(said)
