"""A whole audit of one checkpoint: answers, verdicts, defects, claims; resumable, and bound to what it saw.

Three parts, each in a process of its own (``sealed``): the model answers; a judge that never loads the model
compares the answers with held-out truth; the auditor's tools probe the model. A part that is finished is kept
in a folder named by the hashes of checkpoint, data, code and policy, so an audit that was interrupted goes on
where it stopped, and never with parts of something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sciai.core.answer import jsonable
from sciai.core.atomic import whole_file
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.trust.audit.sealed import TOOK, Part, Seals, changed_packages, packages_digest, run

__all__ = ["CODE", "Claim", "Plan", "audit", "save"]

Step = Callable[[float, str], None]
CODE: Final = (
    *("sciai.trust.audit.exam", "sciai.trust.audit.probe", "sciai.trust.audit.tools"),
    *("sciai.trust.audit.sealed", "sciai.trust.audit.subject", "sciai.trust.policy"),
    *("sciai.trust.slices", "sciai.trust.score", "sciai.trust.tax"),
)
"""The metric code that every domain shares; it is hashed before and after."""
TAX: Final = 0.05
"""Share of an answer's latency that its checks may take."""
_DRAWS, _QUICK_DRAWS = 1000, 400  # so many that a harm can survive a correction for hundreds of cells
_UNTOLD: Final[Mapping[str, Any]] = {
    **{name: [] for name in ("cells", "worst", "harmed", "harmed_before", "cannot")},
    **{name: {} for name in ("small", "tax", "figures", "matters", "meanings")},
    **{"about": "", "questions": 0, "groups": 0, "policy": {"rules": [], "cells": []}},
}
"""What a judge would have said who has no truth to compare with."""


@dataclass(frozen=True)
class Claim:
    """A figure on the card that the audit computes again.

    Attributes:
        card: its name on the card.
        again: its name among the audit's figures.
        tolerance: largest difference that rounding, another selection of the same data, and chance explain.
        scale: what the card's figure is multiplied by, where units differ.
    """

    card: str
    again: str
    tolerance: float
    scale: float = 1.0


@dataclass(frozen=True)
class Plan:
    """How a domain is audited.

    Attributes:
        domain: its name.
        answers: ``module:function`` that asks the model.
        judge: ``module:function`` that compares answers with truth, without the model; empty where there is
            no truth: then the audit cannot pass.
        defects: ``module:function`` that probes the model.
        arguments: what all three are called with, beside ``quick`` and ``step``.
        files: the data; empty where there is none with truth.
        code: metric code of the domain, as modules.
        actions: the runtime policy, as in its file.
        claims: figures to compute again.
        cannot: what cannot be told at all, one sentence each.
        packages: code that is judged: the model's. The record says which it saw, up to comments.
    """

    domain: str
    answers: str
    judge: str
    defects: str
    arguments: Mapping[str, Any]
    files: Sequence[str]
    code: Sequence[str]
    actions: Sequence[Mapping[str, Any]] = ()
    claims: Sequence[Claim] = ()
    cannot: Sequence[str] = field(default_factory=tuple)
    packages: Sequence[str] = ()


def audit(
    plan: Plan,
    folder: str | Path,
    work: str | Path,
    *,
    quick: bool = False,
    progress: Step | None = None,
) -> dict[str, Any]:
    """Audit a checkpoint.

    Args:
        plan: of its domain.
        folder: the checkpoint.
        work: where finished parts are kept.
        quick: fewer questions and draws; for a look, not for a release.
        progress: called with the part done and what is being done.

    Returns:
        The record: plain values, as ``checkpoints/<name>.audit.json`` holds them; ``passed`` and
        ``failures`` are what a release looks at.

    Raises:
        CheckpointError: where the checkpoint is damaged.
        Tampered: where data or metric code changed while it ran.
        BadInput: where the data cannot be used.
    """
    say = progress or (lambda part, what: None)
    fingerprint = Checkpoint.verify(folder)
    card = Checkpoint.load(folder).card
    seals, saw = Seals.of([*CODE, *plan.code], plan.files), packages_digest(plan.packages)
    common = {**plan.arguments, "files": list(plan.files), "quick": quick}
    parts = Path(work) / _key(fingerprint, seals, saw, plan, quick)
    of_model = {**common, "checkpoint": str(folder)}
    told = run(
        Part(plan.answers, of_model, seals), parts / "answers.npz", _share(say, 0.0, 0.35, "asking the model")
    )
    of_judge = {**common, "answers": str(parts / "answers.npz"), "actions": list(plan.actions)}
    of_judge["draws"] = _QUICK_DRAWS if quick else _DRAWS
    judge = Part(plan.judge, of_judge, seals)
    judged = _UNTOLD
    if plan.judge:
        judged = run(judge, parts / "judged.npz", _share(say, 0.35, 0.65, "judging"))
    found = run(
        Part(plan.defects, of_model, seals),
        parts / "defects.npz",
        _share(say, 0.65, 1.0, "looking for defects"),
    )
    if Checkpoint.verify(folder) != fingerprint:
        raise BadInput("the checkpoint changed while it was audited", file=folder, fix="audit again")
    if changed := changed_packages(saw):
        raise BadInput(f"{', '.join(changed)} changed while it was audited", fix="audit again")
    # fewer questions leave more to chance
    claims = [_claimed(c, card.metrics, judged["figures"], 2.5 if quick else 1.0) for c in plan.claims]
    costs = told.get("costs", {})
    record = {
        "format": "sciai-audit",
        "domain": plan.domain,
        "name": card.name,
        "checkpoint": fingerprint,
        "date": datetime.now(UTC).date().isoformat(),
        "quick": quick,
        **_verdict(judged, found, claims),
        "misses": _misses(costs, found),
        "seals": seals.plain(),
        "saw": saw,
        "cannot": [*plan.cannot, *judged["cannot"]],
        "judged": {k: v for k, v in judged.items() if k not in ("cannot", "worst", "figures", TOOK)},
        "worst": judged["worst"],
        "figures": judged["figures"],
        "defects": {k: found[k] for k in ("evidence", "sensitivity", "unused")},
        "claims": claims,
        "costs": costs,
        # of all parts, those that an earlier run had finished included
        "seconds": round(sum(float(part.get(TOOK, 0.0)) for part in (told, judged, found)), 1),
    }
    plain: dict[str, Any] = jsonable(record, 10**9)
    return plain


def save(record: Mapping[str, Any], path: str | Path) -> None:
    """Write a record as JSON, replacing an older one."""
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _key(fingerprint: str, seals: Seals, saw: Mapping[str, str], plan: Plan, quick: bool) -> str:
    content = json.dumps(
        [fingerprint, seals.hash, dict(saw), jsonable(plan.actions), jsonable(plan.arguments, 10**9), quick],
        sort_keys=True,
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _share(say: Step, start: float, end: float, what: str) -> Step:
    return lambda part, text: say(start + (end - start) * min(max(part, 0.0), 1.0), f"{what}: {text}")


def _claimed(
    claim: Claim, metrics: Mapping[str, Any], figures: Mapping[str, float], chance: float
) -> dict[str, Any]:
    said, again = metrics.get(claim.card), figures.get(claim.again)
    tolerance = chance * claim.tolerance
    row: dict[str, Any] = {"figure": claim.card, "again": claim.again, "tolerance": tolerance}
    if not isinstance(said, int | float) or again is None:
        missing = "the card does not state it" if again is not None else "this data does not give it"
        return row | {"claimed": None, "measured": again, "holds": None, "why": missing}
    said = float(said) * claim.scale
    return row | {"claimed": said, "measured": again, "holds": abs(said - again) <= tolerance}


def _verdict(
    judged: Mapping[str, Any], found: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Passed only where nothing was found that blocks; every reason is a sentence."""
    failures = [*found["failures"], *(f"harm: {text}" for text in judged["harmed"])]
    if not judged["cells"]:
        failures.append("there was no held-out truth to compare answers with: whom it harms is not known")
    failures += [
        f"claim: {row['figure']} is {row['claimed']:.4g} on the card, {row['measured']:.4g} computed again"
        for row in claims
        if row["holds"] is False
    ]
    return {"passed": not failures, "failures": failures}


def _misses(costs: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Targets that are missed without blocking: what checks cost, and defects that would not be found."""
    told = []
    share = costs.get("checks_share")
    if isinstance(share, int | float) and share > TAX:
        where = f" ({costs['worst']})" if costs.get("worst") else ""
        told.append(
            f"checks take {100 * share:.0f} % of an answer's latency{where}; {100 * TAX:.0f} % is the target"
        )
    told += [
        f"{row['subject']}: a planted {row['defect']}, {row['size']:g} {row['unit']}, was found in "
        f"{row['found']} of {row['planted']} tries (missed: {'; '.join(row['missed'])}): nothing can be told "
        "of one that small"
        for row in found["sensitivity"]
        if row["found"] < row["planted"]
    ]
    return told
