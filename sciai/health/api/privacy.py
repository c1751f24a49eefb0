"""What a trained model gives away about the people it was trained on: measured, not asserted.

Closeness of virtual to real people says nothing about privacy either way and is not looked at ("The DCR
Delusion", arXiv:2505.01524). What is measured is what attackers achieve: to tell who was in the training, to
recognise planted canaries, to single people out, to guess a secret better because somebody was in it. A low
figure is a low measured risk under these attacks, with these people; only training under differential privacy
bounds all attacks (``sciai.health.train.dp``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.api.predictions import bin_edges
from sciai.health.api.privacy_attacks import (
    Attribute,
    Exposure,
    Membership,
    SinglingOut,
    attribute_inference,
    exposure,
    features,
    learned_score,
    membership,
    singling_out,
)
from sciai.health.data.canaries import canaries

if TYPE_CHECKING:
    from sciai.health.model.interface import Joint

__all__ = ["LIMITS", "SHADOWS", "Audit", "audit"]

Floats = npt.NDArray[np.float64]
# Above these (for p below) a finding refuses: AUC of membership inference, p of the canaries, risk of
# singling out, nats by which a secret is guessed better of a member. Only where the interval excludes chance.
LIMITS = {"membership": 0.52, "canaries": 0.01, "singling out": 0.02, "attribute": 0.02}
_LEARNED = "per-column losses, learned"
SHADOWS = "likelihood ratio to shadow models"
KNOWN = ("age", "sex", "race_eth", "education", "height_cm", "weight_kg")


@dataclass(frozen=True)
class Audit:
    """Results of all attacks on one model.

    Attributes:
        memberships: one per score; the worst counts.
        canaries: None where none were planted.
        singling: descriptions that fit one person only.
        attributes: one per secret.
        epsilon: of the differential privacy the model was trained under; None where it was not.
        elsewhere: membership told from people of other places; what is more here than in ``memberships`` is
            knowledge of the places, not of the people. Empty where there were none.
    """

    memberships: tuple[Membership, ...]
    canaries: Exposure | None
    singling: SinglingOut
    attributes: tuple[Attribute, ...]
    epsilon: float | None = None
    elsewhere: tuple[Membership, ...] = ()

    @property
    def worst(self) -> Membership:
        """The membership attack with the highest AUC."""
        return max(self.memberships, key=lambda m: m.auc)

    @property
    def passed(self) -> bool:
        """Whether no figure is above its limit."""
        return all(finding.level < Level.REFUSE for finding in self.findings())

    def findings(self) -> tuple[Finding, ...]:
        """Each result in a sentence; those above their limit refuse."""
        worst = self.worst
        found = [
            _finding(
                "membership",
                worst.auc > LIMITS["membership"] and worst.low > 0.5,
                f"the attack {worst.attack!r} tells members from others with an AUC of {worst.auc:.3f} "
                f"({worst.low:.3f} to {worst.high:.3f}; guessing is 0.5), and finds {100 * worst.tpr:.1f} % "
                "of members while accusing 1 % of the others",
            )
        ]
        if self.elsewhere:
            far = max(self.elsewhere, key=lambda m: m.auc)
            found.append(
                Finding(
                    "places",
                    Level.CAUTION if far.low > 0.5 and far.auc > LIMITS["membership"] else Level.OK,
                    f"the attack {far.attack!r} tells members from people of other places with an AUC of "
                    f"{far.auc:.3f} ({far.low:.3f} to {far.high:.3f}): beyond the above, that is how places "
                    "differ, and that a place was in the training, not who",
                )
            )
        if self.canaries is None:
            found.append(
                Finding("canaries", Level.CAUTION, "no canaries were planted, so their exposure is not known")
            )
        else:
            c = self.canaries
            found.append(
                _finding(
                    "canaries",
                    c.p < LIMITS["canaries"] or c.exposed > 0,
                    f"{c.planted} planted canaries have a mean exposure of {c.mean:.2f} bits (1.44 where "
                    f"nothing is kept), at most {c.most:.2f}; {c.exposed} are likelier than all of "
                    f"{c.compared} others; p = {c.p:.3f} for ranking like others",
                )
            )
        s = self.singling
        found.append(
            _finding(
                "singling out",
                s.risk > LIMITS["singling out"] and s.low > 0,
                f"{100 * s.members:.1f} % of descriptions fit exactly one member, {100 * s.others:.1f} % "
                f"exactly one of as many others, {100 * s.blind:.1f} % with shuffled ones; risk {s.risk:.3f}"
                f" ({s.low:.3f} to {s.high:.3f})",
            )
        )
        for a in self.attributes:
            found.append(
                _finding(
                    "attribute",
                    a.excess > LIMITS["attribute"] and a.low > 0,
                    f"{a.target} is guessed {a.members:.3f} nat better than by its frequency for members, "
                    f"{a.others:.3f} for others; due to membership {a.excess:.3f} "
                    f"({a.low:.3f} to {a.high:.3f})",
                    a.target,
                )
            )
        return tuple(found)

    def words(self) -> str:
        """What may be said of the model, and no more."""
        bound = (
            "It was not trained under differential privacy: nothing is known of attacks that were not tried."
            if self.epsilon is None
            else f"It was trained under differential privacy with epsilon {self.epsilon:.2f} per person, "
            "which bounds every attack on the trained weights."
        )
        if self.passed:
            return f"Measured risk: no attack that was tried got beyond its limit. {bound}"
        failed = ", ".join(sorted({f.check for f in self.findings() if f.level is Level.REFUSE}))
        advice = "do not give it away where membership is a secret"
        return f"Measured risk: beyond the limit for {failed}; {advice}. {bound}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for a card."""
        return {**asdict(self), "passed": self.passed, "words": self.words(), "limits": dict(LIMITS)}


def audit(
    joint: Joint,
    members: Floats,
    others: Floats,
    *,
    references: Sequence[Joint] = (),
    shadows: Sequence[Joint] = (),
    planted: Floats | None = None,
    groups: tuple[Sequence[object], Sequence[object]] | None = None,
    elsewhere: tuple[Floats, Sequence[object]] | None = None,
    secrets: Sequence[str] = ("dx_diabetes", "phq9", "income_pir"),
    known: Sequence[str] = KNOWN,
    attempts: int = 1000,
    most: int = 2000,
    epsilon: float | None = None,
    seed: int = 0,
) -> Audit:
    """Attack a model.

    Args:
        joint: the model, or anything with one as ``.model`` (a ``VirtualHuman``).
        members: people it was trained on, shape (m, d), NaN where unknown.
        others: people of the same population it never saw (nor was calibrated on), shape (n, d).
        references: models trained on neither; how likely a person is to them says how ordinary the person
            is, so that an ordinary member is not taken for a remembered one (as offline LiRA, Carlini et al.
            2022, "Membership Inference Attacks From First Principles", IEEE S&P).
        shadows: models of the same recipe, each trained on another random part of the same source, members
            and others alike. They err on a person as this model does, but for what it remembers: the
            strongest attack here, by somebody who holds most of the data and lacks only who was in (LiRA,
            ibid., with a mean in the place of two normals for each person). Three or more.
        planted: canaries that were in the training (``sciai.health.data.canaries``), shape (k, d).
        groups: sampling unit of each member and of each other; see ``membership``.
        elsewhere: people of places that no member lives in, shape (k, d), and their sampling units: the
            difference between places is then told apart from what the model remembers. ``others`` should
            then be of the members' places (``sciai.health.data.watched``).
        secrets: columns to guess; those the schema lacks are left out.
        known: columns an attacker knows of a victim; likewise.
        attempts: descriptions tried for singling out.
        most: members, and others, attacked at the most (drawn with the seed).
        epsilon: of the model's training, if it was differentially private.
        seed: of everything random.

    Raises:
        BadInput: with fewer than 50 members or others, members among the others, a wrong number of columns,
            or a shadow model of other columns.
    """
    model: Joint = joint if hasattr(joint, "predictive") else getattr(joint, "model")  # noqa: B009
    width = len(model.schema.columns)
    if members.shape[1:] != (width,) or others.shape[1:] != (width,):
        raise BadInput(
            f"people of shapes {members.shape} and {others.shape} for {width} columns", field="members"
        )
    for number, shadow in enumerate(shadows, 1):
        if shadow.schema.names != model.schema.names:
            raise BadInput(
                f"shadow model {number} has other columns than the model",
                field="shadows",
                fix="train it by the same recipe, with the same schema",
            )
    if min(len(members), len(others)) < 50:
        raise BadInput(
            f"{len(members)} members and {len(others)} others",
            field="members",
            fix="give at least 50 of each",
        )
    _two_groups(members, others)
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.permutation(len(people))[:most]) for people in (members, others)]
    inside, outside = members[rows[0]], others[rows[1]]
    units = None if groups is None else ([groups[0][i] for i in rows[0]], [groups[1][i] for i in rows[1]])
    edges = _edges(model, inside, outside)
    told = [_told(model, people, references, edges, shadows) for people in (inside, outside)]
    memberships = [_memberships(told[0], told[1], units, seed)]
    if elsewhere is not None:
        chosen = np.sort(rng.permutation(len(elsewhere[0]))[:most])
        apart = None if units is None else (units[0], [elsewhere[1][i] for i in chosen])
        far = _told(model, elsewhere[0][chosen], references, edges)
        memberships.append(_memberships(told[0], far, apart, seed))
    exposed = None
    if planted is not None and len(planted):
        fresh = canaries(members, max(1000, 60 * len(planted)), seed=seed + 7919)
        exposed = exposure(_typicality(model, planted, references), _typicality(model, fresh, references))
    names = set(model.schema.names)
    facts = [name for name in known if name in names]
    return Audit(
        memberships[0],
        exposed,
        singling_out(model, members, others, attempts, seed=seed),
        tuple(
            attribute_inference(model, inside, outside, s, [k for k in facts if k != s])
            for s in secrets
            if s in names
        ),
        epsilon,
        memberships[1] if elsewhere is not None else (),
    )


def _two_groups(members: Floats, others: Floats) -> None:
    """Members among the others cannot be told from themselves: the audit would find nothing, and say so."""
    inside = Counter(row.tobytes() for row in np.nan_to_num(members, nan=np.inf))
    shared = sum(row.tobytes() in inside for row in np.nan_to_num(others, nan=np.inf))
    twins = sum(count for count in inside.values() if count > 1) / len(members)
    if shared > (2 * twins + 0.02) * len(others):  # people of few values may agree in all of them
        raise BadInput(
            f"{shared} of the {len(others)} others are among the members, value for value",
            field="others",
            fix="give people whom the model never saw",
        )


def _edges(model: Joint, inside: Floats, outside: Floats) -> dict[str, Floats]:
    """Bins of the numbers; of one group alone they would fit that group better, whatever the model."""
    both = np.r_[inside, outside]
    return {
        c.name: bin_edges(both[:, i])
        for i, c in enumerate(model.schema.columns)
        if c.numeric and not np.isnan(both[:, i]).all()
    }


def _told(
    model: Joint,
    people: Floats,
    references: Sequence[Joint],
    edges: dict[str, Floats],
    shadows: Sequence[Joint] = (),
) -> dict[str, Floats]:
    """What attackers see of people: a score (n,) for each attack, features (n, d) for the learned one."""
    loss = model.log_prob(people)
    named = {"calibrated loss": references, SHADOWS: shadows}
    calibrated = {name: _calibrated(loss, people, of) for name, of in named.items() if of}
    return {"loss": loss, **calibrated, _LEARNED: features(model, people, edges)}


def _memberships(
    inside: dict[str, Floats],
    outside: dict[str, Floats],
    units: tuple[Sequence[object], Sequence[object]] | None,
    seed: int,
) -> tuple[Membership, ...]:
    pairs = {name: (inside[name], outside[name]) for name in outside}
    pairs[_LEARNED] = learned_score(*pairs[_LEARNED], seed)
    return tuple(membership(name, a, b, units, seed) for name, (a, b) in pairs.items())


def _calibrated(loss: Floats, people: Floats, references: Sequence[Joint]) -> Floats:
    """Log probability less the mean of what models without the person give.

    A model of few people may call a value impossible: it is left out for that person. Who is impossible to
    all of them, or to the attacked model, gets the middle score.
    """
    told = np.stack([reference.log_prob(people) for reference in references])
    seen = np.isfinite(told)
    gap = loss - np.where(seen, told, 0).sum(0) / np.maximum(seen.sum(0), 1)
    usable = np.isfinite(loss) & seen.any(0)
    middle = float(np.median(gap[usable])) if usable.any() else 0.0
    return np.where(usable, gap, middle)


def _typicality(model: Joint, people: Floats, references: Sequence[Joint]) -> Floats:
    """Log probability per known value, so that canaries with more gaps are not the likelier ones."""
    loss = model.log_prob(people)
    if references:
        return _calibrated(loss, people, references)
    return np.asarray(loss / np.maximum((~np.isnan(people)).sum(1), 1))


def _finding(check: str, bad: bool, message: str, where: str = "") -> Finding:
    return Finding(check, Level.REFUSE if bad else Level.OK, message, where)
