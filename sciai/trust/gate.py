"""Release stages: pilot, limited, production. A stage is evidence that holds today, not a label.

What a stage asks for is declared in ``conf/release/<domain>.yaml``; who may sign in ``signers.yaml`` beside
it. The evidence is a statement bound to the checkpoint's hash: figures within limits, an audit that passed, a
card without gaps, a review date, signatures (one for limited, two distinct ones for production, more for
graver uses). Whoever loads a checkpoint asks ``standing``: it re-examines everything, and what no longer
holds (another hash, a date that passed, an audit that failed since, conditions that were tightened) demotes,
with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sciai.core.answer import Finding, Level
from sciai.core.atomic import whole_file
from sciai.core.checkpoint import Checkpoint, Stage
from sciai.core.errors import BadInput, DamagedStore
from sciai.trust.audit.sealed import changed_packages, edited_code
from sciai.trust.conditions import Conditions, UseClass
from sciai.trust.sign import BadSignature, Keyring, Signer, canonical, digest

__all__ = [
    "Standing",
    "Statement",
    "examine",
    "figures_of",
    "load_audit",
    "propose",
    "sign",
    "standing",
]


@dataclass(frozen=True)
class Statement:
    """Signed evidence that a checkpoint deserves its stage.

    Attributes:
        name, checkpoint: the checkpoint's name and hash.
        domain: its domain.
        stage, use_class: what it is released for.
        conditions: hash of the conditions it was examined under.
        figures: those of the card that the conditions name.
        audit: hash of the audit's report; empty where none was asked for.
        issued, review_by: dates, ISO 8601.
        signatures: key id -> signature of everything above.
    """

    name: str
    checkpoint: str
    domain: str
    stage: Stage
    use_class: UseClass
    conditions: str
    figures: Mapping[str, float]
    audit: str
    issued: str
    review_by: str
    signatures: Mapping[str, str]

    def message(self) -> bytes:
        """What is signed."""
        return canonical({**asdict(self), "signatures": None})

    def signed(self, signer: Signer) -> Statement:
        """With one more signature."""
        return replace(self, signatures={**self.signatures, signer.key: signer.sign(self.message())})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, replacing an older one."""
        with whole_file(path, overwrite=True) as temporary:
            temporary.write_text(
                json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Statement:
        """Read it.

        Args:
            path: JSON file.

        Raises:
            DamagedStore: where it is not of that form.
        """
        try:
            statement = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            for name, value in asdict(statement).items():
                kind = dict if name in ("figures", "signatures") else str
                if not isinstance(value, kind):
                    raise TypeError(f"{name} is {value!r}")
        except (OSError, ValueError, TypeError) as error:
            raise DamagedStore(f"{path} is not a release statement: {error}") from error
        return statement


@dataclass(frozen=True)
class Standing:
    """The stage that holds today.

    Attributes:
        stage: pilot unless everything holds.
        use_class: the gravest use it is released for; A for a pilot.
        reasons: why it is not more; one finding each.
        signers: who signed, where it is more than a pilot.
    """

    stage: Stage
    use_class: UseClass
    reasons: tuple[Finding, ...]
    signers: tuple[str, ...] = ()

    def finding(self) -> Finding:
        """What an answer says about it: nothing to worry about, but to know."""
        if self.stage == "pilot":
            why = self.reasons[0].message if self.reasons else "it was never released"
            text = f"the model is a pilot, for trying out and not for decisions: {why}"
        else:
            signed = ", ".join(self.signers)
            text = f"the model is released: {self.stage}, use class {self.use_class}, signed by {signed}"
        return Finding("stage", Level.OK, text)


def examine(
    checkpoint: Checkpoint,
    stage: str,
    conditions: Conditions,
    *,
    audit: Mapping[str, Any] | None = None,
    today: date | None = None,
) -> list[Finding]:
    """What a checkpoint lacks for a stage, signatures apart.

    Args:
        checkpoint: with its card and hash.
        stage: "limited" or "production".
        conditions: of its domain.
        audit: the report of ``sciai audit``: checkpoint, date, passed.
        today: the day to judge by.

    Returns:
        Findings that refuse, one for each condition that does not hold.

    Raises:
        BadInput: on another stage or the conditions of another domain.
    """
    now = today or date.today()
    if stage not in conditions.stages:
        every = ", ".join(conditions.stages)
        if stage == "pilot":
            raise BadInput(
                "a checkpoint is a pilot until it is released", fix=f"nothing to do, or choose one of {every}"
            )
        raise BadInput(f"no stage {stage!r}", fix=f"choose one of {every}")
    if conditions.domain != checkpoint.card.domain:
        raise BadInput(f"conditions for {conditions.domain}, a checkpoint of {checkpoint.card.domain}")
    asked, lacks = conditions.stages[stage], []
    if not checkpoint.hash:
        lacks.append("the checkpoint has no hash: save it first")
    empty = [name for name in asked.card if not getattr(checkpoint.card, name)]
    if empty:
        lacks.append(f"the card says nothing under {', '.join(empty)}")
    known = figures_of(checkpoint, audit)
    lacks += [why for limit in asked.figures if (why := limit.check(known))]
    if asked.audit_days is not None:
        lacks += _audit_lacks(audit, checkpoint.hash, asked.audit_days, now)
    return [Finding("release", Level.REFUSE, why, stage) for why in lacks]


def figures_of(checkpoint: Checkpoint, audit: Mapping[str, Any] | None) -> dict[str, Any]:
    """The card's figures, and under ``audit/`` those that the audit of this very checkpoint computed.

    Args:
        checkpoint: with its card and hash.
        audit: the newest report; one of another checkpoint does not count.
    """
    found = dict(checkpoint.card.metrics)
    if audit is not None and audit.get("checkpoint") == checkpoint.hash:
        told = audit.get("figures")
        found |= {f"audit/{k}": v for k, v in told.items()} if isinstance(told, Mapping) else {}
    return found


def _audit_lacks(audit: Mapping[str, Any] | None, fingerprint: str, days: int, today: date) -> list[str]:
    if audit is None:
        return ["there is no audit: run `sciai audit`"]
    try:
        made = date.fromisoformat(str(audit["date"])[:10])
        passed, of = audit["passed"] is True, str(audit["checkpoint"])
        sealed, saw = _texts(audit["seals"]["code"]), _texts(audit["saw"])
    except (KeyError, ValueError, TypeError) as error:
        return [f"the audit report cannot be read: {type(error).__name__} {error}"]
    lacks = []
    if not sealed or not saw:
        lacks.append("the audit does not say which code it was made with: run `sciai audit`")
    if of != fingerprint:
        lacks.append(f"the audit is of checkpoint {of[:12]}, not of {fingerprint[:12]}")
    if not passed:
        lacks.append(f"the audit of {made} failed")
    if audit.get("quick"):
        lacks.append("the audit was a quick look, which is no evidence: run it without --quick")
    if edited := edited_code(sealed):
        lacks.append(f"the audit's metric code was edited since: {', '.join(edited)}; audit again")
    if changed := changed_packages(saw):
        lacks.append(f"the audit saw other code of the model: {', '.join(changed)}; audit again")
    if made > today or today - made > timedelta(days):
        lacks.append(f"the audit is of {made}; it may be {days} days old")
    return lacks


def _texts(content: Any) -> dict[str, str]:
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise TypeError("where names and hashes should be")
    return content


def propose(
    checkpoint: Checkpoint,
    stage: Stage,
    use_class: UseClass,
    conditions: Conditions,
    *,
    audit: Mapping[str, Any] | None = None,
    today: date | None = None,
) -> Statement:
    """A statement to sign.

    Args:
        checkpoint: with its card and hash.
        stage: "limited" or "production".
        use_class: A, B or C.
        conditions: of its domain.
        audit: the report of ``sciai audit``.
        today: the day of issue.

    Raises:
        BadInput: where a condition does not hold; the message lists all that do not.
    """
    if use_class not in conditions.uses:
        raise BadInput(f"no use class {use_class!r}", fix="choose A, B or C")
    lacks = examine(checkpoint, stage, conditions, audit=audit, today=today)
    if lacks:
        listed = "; ".join(finding.message for finding in lacks)
        raise BadInput(f"{checkpoint.card.name} cannot be released as {stage}: {listed}")
    asked, now = conditions.stages[stage], today or date.today()
    figures = figures_of(checkpoint, audit)
    return Statement(
        name=checkpoint.card.name,
        checkpoint=checkpoint.hash,
        domain=checkpoint.card.domain,
        stage=stage,
        use_class=use_class,
        conditions=conditions.hash,
        figures={limit.figure: float(figures[limit.figure]) for limit in asked.figures},
        audit=digest(audit) if audit is not None else "",
        issued=now.isoformat(),
        review_by=(now + timedelta(asked.review_days)).isoformat(),
        signatures={},
    )


def sign(
    earlier: Statement | None,
    proposed: Statement,
    signer: Signer,
    trusted: Keyring,
    today: date | None = None,
) -> Statement:
    """One more signature: under an earlier statement that says the same and is not due, else a new one.

    Args:
        earlier: the statement that others signed; None where there is none.
        proposed: what ``propose`` gives today, where every condition holds.
        signer: who signs.
        trusted: whose signatures count.
        today: the day of signing.

    Raises:
        BadInput: where the signer's key is not among the trusted ones: a signature that does not count would
            demote what others released.
    """
    if signer.key not in trusted.keys:
        raise BadInput(
            f"the key {signer.key} is not among the trusted ones, so nothing was signed",
            file="conf/release/signers.yaml",
            fix="have its public part put there (`sciai key new` printed it), or take another key",
        )
    now = (today or date.today()).isoformat()
    if earlier is not None and earlier.issued <= now <= earlier.review_by:
        of = ("name", "checkpoint", "domain", "stage", "use_class", "conditions", "figures")
        if all(getattr(earlier, field) == getattr(proposed, field) for field in of):
            return earlier.signed(signer)
    return proposed.signed(signer)


def standing(
    checkpoint: Checkpoint,
    statement: Statement | None,
    conditions: Conditions,
    trusted: Keyring,
    *,
    audit: Mapping[str, Any] | None = None,
    today: date | None = None,
) -> Standing:
    """The stage that holds today: everything is examined again.

    Args:
        checkpoint: as loaded.
        statement: its release statement; None where there is none.
        conditions: those of today.
        trusted: whose signatures count.
        audit: the newest audit report of this checkpoint.
        today: the day to judge by.
    """
    if statement is None:
        return Standing("pilot", "A", (_demote("it was never released"),))
    now, reasons = today or date.today(), []
    if statement.checkpoint != checkpoint.hash:
        reasons.append(
            f"the release is of checkpoint {statement.checkpoint[:12]}, this is {checkpoint.hash[:12]}"
        )
    if statement.conditions != conditions.hash:
        reasons.append("the conditions were changed since the release")
    holders: set[str] = set()
    for key, signature in statement.signatures.items():
        try:
            holders.add(trusted.check(statement.message(), signature, key))
        except BadSignature as error:
            reasons.append(str(error))
    if statement.stage in conditions.stages and statement.use_class in conditions.uses:
        asked = conditions.stages[statement.stage]
        wanted = asked.signers + conditions.uses[statement.use_class][1]
        if len(holders) < wanted:
            reasons.append(
                f"{statement.stage} for use class {statement.use_class} needs {wanted} distinct signers, "
                f"{len(holders)} signed"
            )
        reasons += [
            f.message for f in examine(checkpoint, statement.stage, conditions, audit=audit, today=now)
        ]
        if not statement.issued <= now.isoformat() <= statement.review_by:
            reasons.append(f"its review was due on {statement.review_by}")
    else:
        reasons.append(f"there is no stage {statement.stage!r} or use class {statement.use_class!r}")
    if reasons:
        return Standing("pilot", "A", tuple(_demote(why) for why in reasons))
    return Standing(statement.stage, statement.use_class, (), tuple(sorted(holders)))


def _demote(why: str) -> Finding:
    return Finding("release", Level.REFUSE, why)


def load_audit(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """An audit report; None where there is none.

    Args:
        path: JSON file.

    Raises:
        DamagedStore: where it cannot be parsed.
    """
    file = Path(path)
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedStore(f"{file} is not an audit report: {error}") from error
    if not isinstance(content, dict):
        raise DamagedStore(f"{file} is not an audit report")
    return content
