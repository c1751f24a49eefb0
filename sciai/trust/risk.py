"""The risk register: what can go wrong, what is done about it, where that can be looked at, and until when.

It is a YAML file that a program reads: a row without control, measurement or artefact, an artefact that does
not exist any more, and a review date that passed are errors, and fail ``make check``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

__all__ = ["Framework", "Register", "Risk", "check"]

Accepted = Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Risk:
    """One row.

    Attributes:
        id: short name.
        idea: the promise it belongs to.
        risk: what can go wrong.
        control: what is done about it.
        artefacts: where: ``module.path:attribute`` or a path in the repository.
        measured: tests and benchmarks that show it, as paths; or "not measured yet".
        accepted: whether the promise is kept.
        state: in what way, in words.
    """

    id: str
    idea: str
    risk: str
    control: str
    artefacts: tuple[str, ...]
    measured: tuple[str, ...]
    accepted: Accepted
    state: str


@dataclass(frozen=True)
class Framework:
    """A framework and where each of its demands is met.

    Attributes:
        name: the framework.
        source: the document.
        items: (id, title, ids of risks).
    """

    name: str
    source: str
    items: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Register:
    """All rows.

    Attributes:
        owner: who reviews it.
        review_by: until when it holds.
        risks: the rows.
        frameworks: the maps.
    """

    owner: str
    review_by: date
    risks: tuple[Risk, ...]
    frameworks: tuple[Framework, ...] = ()

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Register:
        """Read ``register.yaml`` and ``frameworks.yaml``.

        Args:
            folder: ``conf/risk``.

        Raises:
            BadInput: where a file is missing, or a field is missing, empty or unknown; it names the row.
        """
        content = _read(Path(folder) / "register.yaml")
        file = Path(folder) / "register.yaml"
        try:
            review, owner = content["review_by"], str(content["owner"])
            rows = list(content["risks"])
        except (KeyError, TypeError) as error:
            raise BadInput(f"the register lacks {error}", file=file) from error
        if not isinstance(review, date):
            raise BadInput("not a date", file=file, field="review_by", fix="write it as 2027-05-01")
        risks = tuple(_risk(row, file) for row in rows)
        twice = sorted({r.id for r in risks if sum(other.id == r.id for other in risks) > 1})
        if twice:
            raise BadInput(f"rows appear twice: {twice}", file=file)
        maps = tuple(_framework(entry) for entry in _read(Path(folder) / "frameworks.yaml")["frameworks"])
        known = {risk.id for risk in risks}
        for each in maps:
            odd = sorted({id for _, _, ids in each.items for id in ids} - known)
            if odd:
                raise BadInput(f"{each.name} names rows that the register has not: {odd}", file=file)
        return cls(owner, review, risks, maps)


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read the register: {error.strerror}", file=file) from error
    except yaml.YAMLError as error:
        raise BadInput("not YAML", file=file) from error


def _risk(row: Any, file: Path) -> Risk:
    name = str(row.get("id", "a row without id")) if isinstance(row, dict) else str(row)
    needed = tuple(Risk.__dataclass_fields__)
    if not isinstance(row, dict) or set(row) != set(needed):
        wrong = sorted(set(row) ^ set(needed)) if isinstance(row, dict) else needed
        raise BadInput(f"fields missing or unknown: {list(wrong)}", file=file, field=name)
    empty = [key for key in needed if not row[key]]
    if empty:
        raise BadInput(f"nothing is said under {', '.join(empty)}", file=file, field=name)
    if row["accepted"] not in ("yes", "partly", "no"):
        raise BadInput("accepted is yes, partly or no (in quotes)", file=file, field=name)
    lists = {key: tuple(str(each) for each in row[key]) for key in ("artefacts", "measured")}
    return Risk(**{**{key: str(row[key]).strip() for key in needed}, **lists})  # type: ignore[arg-type]


def _framework(entry: Any) -> Framework:
    items = tuple((str(i["id"]), str(i["title"]), tuple(i["risks"])) for i in entry["items"])
    return Framework(str(entry["name"]), str(entry["source"]), items)


def check(
    register: Register, roots: Sequence[str | os.PathLike[str]], today: date | None = None
) -> list[Finding]:
    """Does every row still hold what it points to, and is the review not overdue?

    Args:
        register: as loaded.
        roots: where paths may lie: the repository; an installed package has no tests, which then only counts
            as not checked.
        today: the day to judge by.

    Returns:
        Findings that refuse, one for each thing that is wrong; OK ones for what could not be looked at.
    """
    found: list[Finding] = []
    if (today or date.today()) > register.review_by:
        text = f"the risk register was to be reviewed by {register.review_by}; {register.owner}: review it"
        found.append(Finding("risk-register", Level.REFUSE, text))
    folders = [Path(root) for root in roots]
    tests_here = any((folder / "tests").is_dir() for folder in folders)
    for risk in register.risks:
        for artefact in (*risk.artefacts, *(m for m in risk.measured if m != "not measured yet")):
            if ":" in artefact:
                problem = _missing_attribute(artefact)
            elif any((folder / artefact).exists() for folder in folders):
                problem = ""
            elif not tests_here and artefact.startswith(("tests/", "benchmarks/")):
                text = f"{artefact} is not part of an installed package"
                found.append(Finding("risk-register", Level.OK, text, risk.id))
                continue
            else:
                problem = f"{artefact} does not exist"
            if problem:
                found.append(Finding("risk-register", Level.REFUSE, problem, risk.id))
    return found


def _missing_attribute(artefact: str) -> str:
    module, _, name = artefact.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        return f"{artefact} does not exist: {error}"
    return ""
