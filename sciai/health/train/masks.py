"""What a person tells and what they are asked: random parts, and parts as real panels have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sciai.health.data.columns import Schema
from sciai.health.data.leaks import LEAKS, leaks_of

__all__ = ["PANELS", "hide", "little", "masks", "panel"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_ASKED = 0.35  # share of people who are asked for a whole family of columns that give one another away
_PERSON = 0.75  # share of those of whom little is known that tell age and sex
_BASIC = "group:person group:design group:body group:lifestyle -sbp -dbp -pulse -w_mec"
_CHECK_UP = f"{_BASIC} sbp dbp pulse group:lab group:blood_count"
PANELS: Mapping[str, Sequence[str]] = {
    name: tuple(text.split())
    for name, text in {
        "basic": _BASIC,
        "check-up": _CHECK_UP,
        "check-up, fasting only": f"{_CHECK_UP} -glucose_serum -trig_serum -cotinine -crp_hs -uacr",
        "labs": "age sex cycle group:lab group:blood_count",
        "japanese sheet": "age sex bilirubin_total ast alt ldh alp ggt ck chol_total trig_fasting hdl "
        "creatinine uric_acid bun glucose_fasting hba1c sodium potassium chloride calcium protein_total "
        "albumin wbc rbc hemoglobin mcv platelets",
        "japanese check-up": "age sex height_cm weight_kg waist_cm sbp dbp ast alt ggt chol_total hdl "
        "trig_fasting glucose_fasting hba1c creatinine uric_acid hemoglobin rbc smoking rx_bp "
        "rx_diabetes_pills rx_chol",
        "history": "age sex group:diagnosis group:medication group:questionnaire",
        "everything measured": f"{_CHECK_UP} group:questionnaire group:diagnosis group:medication",
        "age and sex": "age sex",
    }.items()
}
"""What a question may come with; ``group:x`` is every column of a group, ``-x`` takes one out again."""


def panel(schema: Schema, names: Sequence[str]) -> Mask:
    """Which columns a panel has, shape (d,); those that the schema lacks are left out."""
    own = np.zeros(len(schema), bool)
    for name in names:
        if name.startswith("group:"):
            own |= np.array([c.group == name[6:] for c in schema.columns])
        elif name.startswith("-"):
            own &= np.array([c != name[1:] for c in schema.names])
        else:
            own |= np.array([c == name for c in schema.names])
    return own


def little(schema: Schema, n: int, rng: np.random.Generator) -> Mask:
    """What people tell in short questions: some five columns, often age and sex besides; shape (n, d)."""
    d = len(schema)
    few = rng.random((n, d)) < rng.integers(0, 6, size=(n, 1)) / d
    return np.asarray(few | (panel(schema, PANELS["age and sex"]) & (rng.random((n, 1)) < _PERSON)))


def masks(
    schema: Schema, n: int, rng: np.random.Generator, plan: Sequence[Sequence[int]] | None = None
) -> Mask:
    """What n people tell.

    A fifth: any columns at a rate between 0 and 1. Three tenths: a panel, with gaps and extras. A tenth each:
    everything but some groups; everything but a few columns; a few columns or none (``little``). A fifth:
    what is there after some blocks of a joint sample (without a plan: any columns).

    Args:
        schema: the columns.
        n: people.
        rng: the source of chance.
        plan: blocks of columns in the order in which they are drawn.

    Of the first four kinds, a third asks for all columns that give one another's answer away (``LEAKS``).

    Returns:
        True where told, shape (n, d). Of the first four kinds, half know the era, a third whether blood was
        drawn in the fasting half, and few their weight.
    """
    d = len(schema)
    kind = rng.random(n)
    told = rng.random((n, d)) < rng.random((n, 1))
    panels = np.stack([panel(schema, names) for names in PANELS.values()])
    flips = rng.random((n, d)) < rng.choice([0.0, 0.03, 0.15], size=(n, 1))
    chosen = panels[rng.integers(len(panels), size=n)] ^ flips
    names = sorted({c.group for c in schema.columns})
    member = np.array([[c.group == g for c in schema.columns] for g in names])
    away = (rng.random((n, len(names))) < 0.3) @ member
    all_but_few = rng.random((n, d)) > rng.choice([0.02, 0.1], size=(n, 1))
    few = little(schema, n, rng)
    for low, high, what in ((0.2, 0.5, chosen), (0.5, 0.6, ~away), (0.6, 0.7, all_but_few), (0.7, 0.8, few)):
        told = np.where(((kind >= low) & (kind < high))[:, None], what, told)
    # questions come without what gives their answer away: of some, a whole family is asked for at once
    families = np.stack([panel(schema, [name, *sorted(leaks_of(name))]) for name in sorted(LEAKS)])
    asked = families[rng.integers(len(families), size=n)] & (rng.random(n) < _ASKED)[:, None]
    told &= ~asked
    for name, share in (("cycle", 0.5), ("fasted", 0.3), ("w_mec", 0.1)):
        if name in schema:
            told[:, schema.index(name)] &= rng.random(n) < share
    if plan is not None:
        drawn = np.full(d, len(plan))
        for number, block in enumerate(plan):
            drawn[list(block)] = number
        so_far = drawn < rng.integers(len(plan), size=(n, 1))
        told = np.where((kind >= 0.8)[:, None], so_far, told)
    return np.asarray(told)


def hide(schema: Schema, values: Floats, rng: np.random.Generator) -> tuple[Floats, Mask]:
    """People with parts hidden as ``masks`` has it.

    Returns:
        What is told (NaN elsewhere), and which known values were hidden; both of shape (n, d).
    """
    told = masks(schema, len(values), rng)
    there = np.isfinite(values)
    return np.where(told, values, np.nan), there & ~told
