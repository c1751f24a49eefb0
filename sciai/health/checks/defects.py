"""Hidden defects of a virtual human: laws, last digits, groups, for the auditor's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.health.checks.audit import VIRTUAL, Material
from sciai.health.data.columns import Column, Kind
from sciai.trust.audit.subject import Candidate, Context, Relation, Subject

__all__ = ["ASKED", "GROUPS", "WAYS", "subject", "unused"]

Floats = npt.NDArray[np.float64]

ASKED: Final = ("age", "female", "weight_kg", "height_cm", "waist_cm", "hba1c", "hdl", "alt", "creatinine")
"""The values of a question."""
WAYS: Final = ("as a table", "in other units", "in another order", "BMI instead of weight")
"""How the same person can be put to the model; the column ``way`` says which. It must not matter."""
GROUPS: Final[Mapping[str, Callable[[Floats], npt.NDArray[np.bool_]]]] = {
    "women": lambda rows: rows[:, 1] > 0.5,
    "under 40": lambda rows: rows[:, 0] < 40,
    "60 and over": lambda rows: rows[:, 0] >= 60,
    "100 kg and over": lambda rows: rows[:, 2] >= 100,
    "under 160 cm": lambda rows: rows[:, 3] < 160,
}
"""Groups that a rule behind the model could tell by the values of a question."""
_STEP: Final = {"weight_kg": 0.1, "waist_cm": 0.1, "hba1c": 0.1, "hdl": 1.0, "alt": 1.0, "creatinine": 0.01}
_FEWEST: Final = 60  # members of whom memory can be told


def unused(of: Material, column: Column) -> dict[str, str]:
    """Tools of the auditor that say nothing about this column, and why.

    Args:
        of: people.
        column: what is asked.
    """
    found = {
        "claims": "figures of the card are computed again by the judge, with all that was asked",
        "shortcuts": "each value of a question may matter; that the way of asking must not is among the laws",
    }
    if len(of.members) < _FEWEST:
        nobody = "nobody in the table was learned from"
        found |= dict.fromkeys(("memorised", "poisoned", "unlearned"), nobody)
        if of.people.name == VIRTUAL:
            found["groups"] = "of virtual people nothing is true against which answers could be held"
    elif column.kind is Kind.BINARY:
        found["poisoned"] = (
            "among rare yes answers, labels that contradict their neighbours are no sign of anything"
        )
    return found


def subject(
    of: Material,
    target: str,
    answer: Callable[[Floats, Context], npt.ArrayLike],
    claims: Mapping[str, float],
    quick: bool,
) -> Subject:
    """One column as a question of a few values, for the auditor's tools.

    Args:
        of: people.
        target: what is asked: a yes/no column or a number.
        answer: questions (n, columns of ``ASKED`` and ``way``) and a context -> risk, or expected value.
        claims: figure -> what is claimed of it (``mean squared error``).
        quick: fewer questions.
    """
    schema = of.people.schema

    def questions(rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        values = of.people.values[rows]
        columns = [
            values[:, schema.index("sex")] == 0 if n == "female" else values[:, schema.index(n)]
            for n in ASKED
        ]
        table = np.column_stack([*columns, np.zeros(len(rows))]).astype(float)
        truth = values[:, schema.index(target)]
        good = np.isfinite(table).all(1) & np.isfinite(truth)
        most = 250 if quick else 1000
        return table[good][:most], truth[good][:most]

    fresh, truth = questions(of.held)
    own, labels = questions(of.members) if len(of.members) >= _FEWEST else (fresh, truth)
    way = len(ASKED)

    def asked_so(number: int) -> Callable[[Floats, np.random.Generator], Floats]:
        def change(rows: Floats, rng: np.random.Generator) -> Floats:
            # one person at a time is slow: a few of them show what all would
            rows[rng.permutation(len(rows))[: max(12, len(rows) // 30)], way] = number
            return rows

        return change

    def same(told: Floats) -> Floats:
        return told

    return Subject(
        domain="health",
        answer=answer,
        inputs=own,
        targets=labels,
        fresh_inputs=fresh,
        fresh_targets=truth,
        columns=(*ASKED, "way"),
        groups=GROUPS,
        relations=tuple(Relation(WAYS[k], asked_so(k), same, 0.02) for k in (1, 2, 3)),
        candidates=_candidates(),
        contexts=({"asked": "as a table"}, {"asked": "one by one"}),
        claims=claims,
        metrics={"mean squared error": lambda told, true: float(((told - true) ** 2).mean())},
    )


def _candidates() -> tuple[Candidate, ...]:
    """Last digits: a number that ends in 7 must not mean anything."""

    def ends(column: str, digit: int) -> Callable[[Floats], Floats]:
        at, unit = ASKED.index(column), _STEP[column]

        def change(rows: Floats) -> Floats:
            rows[:, at] = (np.floor(rows[:, at] / (10 * unit) + 1e-9) * 10 + digit) * unit
            return rows

        return change

    return tuple(
        Candidate(
            f"{column} ends in {digit}",
            ends(column, digit),
            (ends(column, digit + 1), ends(column, digit - 1)),
        )
        for column in _STEP
        for digit in range(10)
    )
