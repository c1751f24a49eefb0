"""What the audit of a virtual human asks, and how it judges: held-out people, slices, harms.

Made from data alone; the answers come from ``sciai.health.api.audit``. A question is one person with their
check-up known, of whom risks and values are asked that were hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.checks import FACTS
from sciai.health.checks.exposure import exposure, told_apart
from sciai.health.data.columns import Schema
from sciai.health.data.tables import People, Table
from sciai.health.data.watched import set_aside
from sciai.health.model.calibration import groups_of, level_names
from sciai.trust.audit.exam import Answers, Exam, crossed
from sciai.trust.audit.exam import judge as judged
from sciai.trust.policy import Action, read_actions
from sciai.trust.score import ece

__all__ = ["NUMBERS", "RISKS", "VIRTUAL", "Material", "Rows", "exam", "judge", "material"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RISKS: Final = ("dx_diabetes", "dx_hypertension", "dx_high_chol", "dx_arthritis", "dx_asthma", "dx_thyroid")
NUMBERS: Final = ("sbp", "hba1c", "chol_total", "hdl", "creatinine", "alt", "hemoglobin", "platelets")
VIRTUAL: Final = "virtual people"
"""Name of the table where there is none: people that the model itself draws."""
MATTERS: Final = {
    "false-safe": 0.03,
    "false-alarm": 0.03,
    "unphysical": 0.01,
    "missed-extreme": 0.15,
    "overconfident": 0.05,
    "privacy": 0.05,
}
MEANINGS: Final = {
    "false-safe": "how much too low risks are told: the share who have it minus the mean risk",
    "false-alarm": "how much too high risks are told: the mean risk minus the share who have it",
    "unphysical": "risks outside 0 to 1, intervals upside down or beyond what a body can have",
    "missed-extreme": "of values among the 2.5 % lowest or highest, the share outside the 90 % interval",
    "overconfident": "share of values outside the 90 % interval; a tenth is what was promised",
    "privacy": "chance that a member is told from a stranger of their sex and age by likelihood, beyond what "
    "strangers of the same slice show; 0.5 is none",
}


@dataclass(frozen=True)
class Rows:
    """People of a table.

    Attributes:
        schema: its columns.
        values: shape (n, d), encoded.
        groups: group of each person, shape (n,).
        name: of the table.
    """

    schema: Schema
    values: Floats
    groups: npt.NDArray[np.str_]
    name: str


@dataclass(frozen=True)
class Material:
    """People for an audit.

    Attributes:
        people: the table.
        held: rows it never learned from.
        members: as many rows that it learned from; empty where the table has none.
        foreign: whether the table is another one than it learned from.
        aside: people of the members' own places that it never learned from, for telling how much it
            remembers; where it set nobody aside this is empty, and the held-out people take their place.
    """

    people: Rows
    held: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    foreign: bool
    aside: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Held-out people first, then members, then those set aside."""
        return np.concatenate([self.held, self.members, self.aside])

    @property
    def values(self) -> Floats:
        """Of ``rows``, shape (n, d)."""
        return np.asarray(self.people.values[self.rows])


def material(
    files: Sequence[str], held: Sequence[str], trained: Sequence[str], aside: Sequence[float], quick: bool
) -> Material:
    """The people of a table, held-out ones and some that were learned from.

    Args:
        files: the table, and where there is one the file of deaths.
        held: groups that the card says were held out.
        trained: groups that it learned from.
        aside: which share of these it set aside, and the seed of the draw.
        quick: fewer people.

    Raises:
        BadInput: where the table cannot be read, or nobody in it was held out.
    """
    table = People([Table(path=files[0], deaths=files[1] if len(files) > 1 else None)])
    groups = np.asarray(table.groups)
    people = Rows(table.schema, table.values, groups, Path(files[0]).name)
    of_test, of_train = np.isin(groups, list(held)), np.isin(groups, list(trained))
    foreign = not (of_test.any() or of_train.any())
    if not foreign and not of_test.any():
        raise BadInput("the model learned from everybody in this table", file=files[0], fix="give another")
    rng = np.random.default_rng(0)
    chosen = np.flatnonzero(np.ones(len(groups), bool) if foreign else of_test)
    known = np.flatnonzero(of_train)
    away = set_aside(known, aside[0], int(aside[1])) if aside[0] else known[:0]
    known = np.setdiff1d(known, away)
    most, most_members = (700, 350) if quick else (4000, 2000)
    if len(chosen) > most:
        chosen = np.sort(rng.choice(chosen, most, replace=False))
    count = min(len(known), len(chosen), most_members)
    members = np.sort(rng.choice(known, count, replace=False))
    return Material(people, chosen, members, foreign, away[:most_members])


def judge(
    files: Sequence[str],
    held: Sequence[str],
    trained: Sequence[str],
    aside: Sequence[float],
    quick: bool,
    answers: str,
    actions: Sequence[Mapping[str, Any]],
    draws: int,
    step: Callable[[float, str], None],
) -> dict[str, Any]:
    """What the held-out people say of the answers; called in a process that never loads the model.

    Args:
        files: as of ``material``, as are the next four.
        held: groups that were held out.
        trained: groups that it learned from.
        aside: share of these that was set aside, and the seed.
        quick: fewer people.
        answers: ``.npz`` of ``sciai.health.api.audit.answers``.
        actions: the runtime policy.
        draws: of bootstrap and permutations.
        step: progress.
    """
    step(0.0, "held-out people")
    asked = exam(material(files, held, trained, aside, quick))
    with np.load(Path(answers), allow_pickle=False) as content:
        told = {name[2:]: content[name] for name in content.files if name != "json"}
    return judged(asked, told, read_actions(actions, FACTS), draws=draws, step=step)


def exam(of: Material) -> Exam:
    """Slices, harms and figures of these people.

    Answers are arrays: ``risk`` (n, risks), ``low``, ``middle``, ``high`` (n, numbers), ``rarity`` (n,)
    (minus the log-likelihood of what was asked), and ``impossible`` (n,) (share of drawn values that cannot
    be).

    Args:
        of: the people.
    """
    schema, values = of.people.schema, of.values
    strangers = np.arange(len(values)) < len(of.held)
    yes = np.column_stack([values[:, schema.index(name)] for name in RISKS])
    truth = np.column_stack([values[:, schema.index(name)] for name in NUMBERS])
    yes, truth = np.where(strangers[:, None], yes, np.nan), np.where(strangers[:, None], truth, np.nan)
    band = groups_of(schema, values)
    member = ~strangers & (np.arange(len(values)) < len(of.held) + len(of.members))
    unknown = ~strangers & ~member if len(of.aside) else strangers
    usual = _usual(yes, band)
    low, high = np.nanquantile(truth, 0.025, axis=0), np.nanquantile(truth, 0.975, axis=0)
    size = np.nanstd(truth, axis=0)
    limits = np.array([(schema[name].low, schema[name].high) for name in NUMBERS])

    def harms(answers: Answers) -> dict[str, Floats]:
        risk, down, up = answers["risk"], answers["low"], answers["high"]
        low_by = yes - risk  # NaN where either is unknown; on average 0 where risks fit a group
        inside = np.isfinite(down) & np.isfinite(truth)
        out = np.where(inside, (truth < down) | (truth > up), np.nan)
        extreme = inside & ((truth < low) | (truth > high))
        odd_risk = np.where(np.isfinite(risk), (risk < 0) | (risk > 1), np.nan)
        odd = np.where(np.isfinite(down), (down > up) | (down < limits[:, 0]) | (up > limits[:, 1]), np.nan)
        drawn = answers["impossible"][:, None]
        return {
            "false-safe": _mean(low_by),
            "false-alarm": _mean(-low_by),
            "unphysical": _mean(np.hstack([odd_risk, odd, drawn])),
            "missed-extreme": _mean(np.where(extreme, out, np.nan)),
            "overconfident": _mean(out),
            "privacy": told_apart(answers["rarity"], member, unknown, band),
        }

    def errors(answers: Answers) -> tuple[Floats, Floats]:
        error = np.abs(answers["middle"] - truth) / size
        return error.ravel(), ((answers["high"] - answers["low"]) / size).ravel()

    def figures(answers: Answers) -> dict[str, float]:
        exposed = exposure(answers["rarity"], member, unknown, band)
        return _figures(answers, yes, truth, strangers, exposed)

    def change(answers: Answers, rows: Mask, rule: Action) -> Answers:
        return _changed(answers, rows, rule, usual)

    return Exam(
        about=_about(of),
        slices=_slices(schema, values),
        facts=_facts(schema, values),
        groups=of.people.groups[of.rows],
        harms=harms,
        matters=MATTERS,
        errors=errors,
        figures=figures,
        change=change,
        cannot=_cannot(of),
        meanings=MEANINGS,
    )


def _mean(parts: Floats) -> Floats:
    known = np.isfinite(parts)
    total, count = np.where(known, parts, 0.0).sum(1), known.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _usual(yes: Floats, band: npt.NDArray[np.str_]) -> Floats:
    """Share of yes among people of the same sex and age band, shape of ``yes``."""
    found = np.full(yes.shape, np.nan)
    for name in np.unique(band):
        rows = band == name
        known = np.isfinite(yes[rows])
        found[rows] = np.where(known, yes[rows], 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return found


def _figures(
    answers: Answers, yes: Floats, truth: Floats, strangers: Mask, exposed: Floats
) -> dict[str, float]:
    inside = np.isfinite(answers["low"]) & np.isfinite(truth)
    held = (truth >= answers["low"]) & (truth <= answers["high"])
    found = {"coverage": float(held[inside].mean())}
    for k, name in enumerate(RISKS):
        known = np.isfinite(yes[:, k]) & np.isfinite(answers["risk"][:, k])
        if 20 <= yes[known, k].sum() <= known.sum() - 20:
            found[f"auroc {name}"] = _auroc(answers["risk"][known, k], yes[known, k] == 1)
            risk = np.clip(answers["risk"][known, k], 0, 1)
            found[f"calibration_error {name}"] = ece(risk, yes[known, k].astype(int))
    if np.isfinite(exposed).any():
        found["membership_auc"] = float(np.nanmean(exposed))
    share = np.isfinite(answers["risk"][strangers]).mean()
    return found | {"answered": float(share)}


def _auroc(score: Floats, yes: Mask) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(score[yes], score[~yes]).statistic / (yes.sum() * (~yes).sum()))


def _changed(answers: Answers, rows: Mask, rule: Action, usual: Floats) -> Answers:
    """Answers after a rule: withheld and referred ones are no answers, others are wider or the peers'."""
    wanted = rule.when.get("target")
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted or (*RISKS, *NUMBERS))
    risks = rows[:, None] & np.isin(RISKS, names)
    numbers = rows[:, None] & np.isin(NUMBERS, names)
    told = {name: np.array(array) for name, array in answers.items()}
    if rule.do in ("withhold", "refer"):
        told["risk"][risks] = np.nan
        for name in ("low", "middle", "high"):
            told[name][numbers] = np.nan
    elif rule.do == "widen":
        for name in ("low", "high"):
            wider = told["middle"] + rule.by * (told[name] - told["middle"])
            told[name] = np.where(numbers, wider, told[name])
    else:
        told["risk"] = np.where(risks, usual, told["risk"])
    return told


def _slices(schema: Schema, values: Floats) -> dict[str, Mask]:
    sex, ethnic = level_names(schema, values, "sex"), level_names(schema, values, "race_eth")
    age = values[:, schema.index("age")]
    sexes: dict[str, Mask] = {"women": sex == "female", "men": sex == "male"}
    ages: dict[str, Mask] = {
        "20-39": age < 40,
        "40-59": (age >= 40) & (age < 60),
        "60-79": (age >= 60) & (age < 80),
        "80 and over": age >= 80,
    }
    people: dict[str, Mask] = {str(name): ethnic == name for name in np.unique(ethnic) if name != "unknown"}
    found = sexes | ages | people | crossed(sexes, ages)
    found |= crossed(sexes, {"20-39": age < 40, "40-59": ages["40-59"], "60 and over": age >= 60}, people)
    eras = level_names(schema, values, "cycle")
    found |= {f"assays of {name}": eras == name for name in np.unique(eras) if name != "unknown"}
    for what, column in {
        "without blood count": "hemoglobin",
        "without chemistry": "creatinine",
        "without HbA1c": "hba1c",
        "without blood pressure": "sbp",
    }.items():
        found[what] = np.isnan(values[:, schema.index(column)])
    bmi = _bmi(schema, values)
    found |= {
        "BMI under 18.5": bmi < 18.5,
        "BMI of 30 to 40": (bmi >= 30) & (bmi < 40),
        "BMI of 40 on": bmi >= 40,
    }
    found["pregnant"] = values[:, schema.index("pregnant")] == 1
    return found


def _bmi(schema: Schema, values: Floats) -> Floats:
    inputs = {name: values[:, schema.index(name)] for name in ("weight_kg", "height_cm")}
    return np.asarray(schema.derived_named("bmi").compute(inputs), float)


def _facts(schema: Schema, values: Floats) -> dict[str, npt.NDArray[Any]]:
    asked = np.empty(len(values), object)
    asked[:] = [(*RISKS, *NUMBERS)] * len(values)
    return {
        "age": values[:, schema.index("age")],
        "sex": level_names(schema, values, "sex"),
        "race_eth": level_names(schema, values, "race_eth"),
        "era": level_names(schema, values, "cycle"),
        "bmi": _bmi(schema, values),
        "pregnant": values[:, schema.index("pregnant")] == 1,
        "target": asked,
    }


def _about(of: Material) -> str:
    table = of.people.name
    if of.foreign:
        return (
            f"{len(of.held)} people of {table}, a table that the model did not learn from as far as is known"
        )
    return f"{len(of.held)} people of {table} in sampling units that were held out, {len(of.members)} members"


def _cannot(of: Material) -> tuple[str, ...]:
    told = ["Diagnoses are self-reported: who was never examined counts as well."]
    if of.foreign:
        told.append("Whether these people were learned from after all cannot be told from the table.")
    if not len(of.members):
        told.append(
            "Nobody in the table was learned from, so what the model gives away about members is not known."
        )
    elif not len(of.aside):
        told.append(
            "Members are compared with people of other places: part of what tells them apart is the place."
        )
    return tuple(told)
