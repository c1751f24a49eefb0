"""What a checkpoint has to show to be more than a pilot, as ``conf/release/<domain>.yaml`` declares it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import yaml

from sciai.core.checkpoint import Card
from sciai.core.errors import BadInput
from sciai.trust.sign import digest

__all__ = ["Asked", "Conditions", "Limit", "UseClass"]

UseClass = Literal["A", "B", "C"]


@dataclass(frozen=True)
class Limit:
    """A figure of the card or of the audit, and where it has to lie.

    Attributes:
        figure: its name under the card's ``metrics``; ``audit/<name>`` is one that the audit computed.
        min, max: bounds, inclusive; None for none.
    """

    figure: str
    min: float | None = None
    max: float | None = None

    def check(self, metrics: Mapping[str, Any]) -> str:
        """Why it does not hold; empty where it does."""
        value = metrics.get(self.figure)
        if not isinstance(value, int | float | np.number) or math.isnan(number := float(value)):
            whose = "audit" if self.figure.startswith("audit/") else "card"
            return f"the {whose} has no figure {self.figure}"
        if self.min is not None and number < self.min:
            return f"{self.figure} is {number:.4g}, below {self.min:g}"
        if self.max is not None and number > self.max:
            return f"{self.figure} is {number:.4g}, above {self.max:g}"
        return ""


@dataclass(frozen=True)
class Asked:
    """What one stage asks for.

    Attributes:
        signers: distinct people who sign.
        review_days: longest time until the next review.
        audit_days: the audit may be this old; None asks for none.
        card: fields of the card that must not be empty.
        figures: limits on the card's figures.
    """

    signers: int
    review_days: int
    audit_days: int | None
    card: tuple[str, ...]
    figures: tuple[Limit, ...]


@dataclass(frozen=True)
class Conditions:
    """What every stage of a domain asks for.

    Attributes:
        domain: the domain.
        stages: "limited" and "production" -> what they ask for. A pilot asks for nothing.
        uses: use class -> (what it means, sign-offs on top of the stage's).
    """

    domain: str
    stages: Mapping[str, Asked]
    uses: Mapping[str, tuple[str, int]]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Conditions:
        """Read ``conf/release/<domain>.yaml``.

        Args:
            path: the file.

        Raises:
            BadInput: where it is missing, or a key is unknown, missing or of the wrong kind.
        """
        file = Path(path)
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"cannot read the release conditions: {error.strerror}", file=file) from error
        except yaml.YAMLError as error:
            raise BadInput("the release conditions are not YAML", file=file) from error
        try:
            stages = {name: _asked(entry, name, file) for name, entry in content["stages"].items()}
            uses = {str(k): (str(v["means"]), int(v["signers"])) for k, v in content["use_classes"].items()}
            found = cls(str(content["domain"]), stages, uses)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(f"the release conditions lack or misuse {error}", file=file) from error
        if set(stages) != {"limited", "production"} or set(uses) != set(get_args(UseClass)):
            raise BadInput(
                "stages are limited and production, use classes A, B and C", file=file, field="stages"
            )
        return found

    @property
    def hash(self) -> str:
        """Digest of the conditions: a statement is bound to those it was made under."""
        return digest(asdict(self))


def _asked(entry: Mapping[str, Any], name: str, file: Path) -> Asked:
    unknown = sorted(set(entry) - {f.name for f in fields(Asked)})
    if unknown:
        raise BadInput(f"unknown keys {unknown}", file=file, field=f"stages.{name}")
    card = tuple(str(field) for field in entry["card"])
    odd = sorted(set(card) - {f.name for f in fields(Card)})
    if odd:
        raise BadInput(f"a card has no fields {odd}", file=file, field=f"stages.{name}.card")
    days = entry["audit_days"]
    limits = tuple(Limit(**limit) for limit in entry["figures"])
    signers, review = int(entry["signers"]), int(entry["review_days"])
    return Asked(signers, review, None if days is None else int(days), card, limits)
