"""The model's side of an audit: it answers what ``sciai.health.checks.audit`` asks, and never judges.

Runs in a process of its own (``sciai.trust.audit.sealed``), apart from the one that knows the truths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Level, ask
from sciai.core.checkpoint import Checkpoint
from sciai.health import checks
from sciai.health.api.distribution import HealthAnswer
from sciai.health.api.human import VirtualHuman
from sciai.health.api.infer import tell
from sciai.health.api.words import column_named
from sciai.health.checks import audit as asked
from sciai.health.checks import defects as probed
from sciai.health.data.columns import Kind, Schema
from sciai.health.data.leaks import inputs_of
from sciai.health.data.tables import Table, shared_health
from sciai.health.model.calibration import groups_of
from sciai.trust.audit.probe import probe
from sciai.trust.audit.subject import Context, Subject, remembered
from sciai.trust.audit.whole import Claim, Plan
from sciai.trust.tax import cost_of_checks

__all__ = ["answered", "answers", "asking", "defects", "plan"]

Floats = npt.NDArray[np.float64]
Step = Callable[[float, str], None]
_SUBJECTS: Final = ("dx_diabetes", "sbp")
_CHUNK: Final = 1024
_DATA_CODE: Final = tuple(f"sciai.health.data.{name}" for name in ("tables", "columns", "watched"))


def _load(checkpoint: str) -> VirtualHuman:
    return VirtualHuman.from_checkpoint(Checkpoint.load(checkpoint))


def answers(
    checkpoint: str,
    files: Sequence[str],
    held: Sequence[str],
    trained: Sequence[str],
    aside: Sequence[float],
    quick: bool,
    step: Step,
) -> dict[str, Any]:
    """Calibrated risks, values with 90 % intervals and likelihoods, for every person and column asked.

    Beside them stands ``costs``: how long an answer takes, and how much of that the checks take.

    Args:
        checkpoint: folder.
        files: of ``checks.audit.material``, as are the next four.
        held: groups that were held out.
        trained: groups that it learned from.
        aside: share of these that was set aside, and the seed.
        quick: fewer people.
        step: progress.
    """
    step(0.0, "people")
    human = _load(checkpoint)
    values = _people(human, files, held, trained, aside, quick).values
    told: dict[str, Any] = answered(human, values, step)
    drawn = 60 if quick else 250
    step(0.9, "virtual people")
    told["impossible"] = _impossible(human, values, drawn)
    return told | {"costs": _costs(human, quick)}


def _people(
    human: VirtualHuman,
    files: Sequence[str],
    held: Sequence[str],
    trained: Sequence[str],
    aside: Sequence[float],
    quick: bool,
) -> asked.Material:
    """People of the table, or virtual ones where there is none."""
    if files:
        return asked.material(files, held, trained, aside, quick)
    values = human.schema.encode(human.sample(400 if quick else 1500, seed=17))
    nobody = np.empty(0, np.int64)
    rows = asked.Rows(human.schema, values, np.arange(len(values)).astype(str), asked.VIRTUAL)
    return asked.Material(rows, np.arange(len(values)), nobody, True)


def answered(human: VirtualHuman, values: Floats, step: Step | None = None) -> dict[str, Floats]:
    """What is told of people whose check-up is known: arrays as ``checks.audit.exam`` wants them.

    Args:
        human: the model.
        values: encoded people, shape (n, d).
        step: progress.
    """
    schema, calibration = human.schema, human.calibration
    columns = [(c.name, c.group) for c in schema.columns]
    band = groups_of(schema, values)
    risk = np.full((len(values), len(asked.RISKS)), np.nan)
    ends = {name: np.full((len(values), len(asked.NUMBERS)), np.nan) for name in ("low", "middle", "high")}
    rarity, count = np.zeros(len(values)), np.zeros(len(values))
    for place, name in enumerate((*asked.RISKS, *asked.NUMBERS)):
        if step is not None:
            step(0.9 * place / (len(asked.RISKS) + len(asked.NUMBERS)), name)
        known = np.isin(schema.names, inputs_of("check-up", name, columns))
        own = values[:, schema.index(name)]
        for start in range(0, len(values), _CHUNK):
            rows = slice(start, start + _CHUNK)
            found = human.model.predictive(np.where(known, values[rows], np.nan), [name])[name]
            if name in asked.RISKS:
                k = asked.RISKS.index(name)
                risk[rows, k] = calibration.risk(name)(np.asarray(found.probabilities())[:, 1])
            else:
                k = asked.NUMBERS.index(name)
                width = np.array([calibration.width(name, str(group))[0] for group in band[rows]])
                ends["middle"][rows, k] = found.quantile(np.array([0.5]))[:, 0]
                for one in np.unique(width):
                    pair = found.quantile(np.array([(1 - one) / 2, (1 + one) / 2]))
                    mine = width == one
                    ends["low"][rows, k] = np.where(mine, pair[:, 0], ends["low"][rows, k])
                    ends["high"][rows, k] = np.where(mine, pair[:, 1], ends["high"][rows, k])
            seen = np.isfinite(own[rows])
            likely = found.log_prob(np.where(seen, own[rows], np.nanmedian(own)))
            rarity[rows] -= np.where(seen, likely, 0.0)
            count[rows] += seen
    # people of whom little is known would be compared with people of whom other things are known
    whole = count >= len(asked.RISKS) + len(asked.NUMBERS) - 2
    return {"risk": risk, **ends, "rarity": np.where(whole, rarity / np.maximum(count, 1), np.nan)}


def _impossible(human: VirtualHuman, values: Floats, most: int) -> Floats:
    """Share of a person's drawn values that contradict each other or leave the limits of a body."""
    schema = human.schema
    chosen = np.unique(np.linspace(0, len(values) - 1, most).astype(int))
    basic = np.isin(schema.names, ("age", "sex", "race_eth", "cycle", "height_cm", "weight_kg"))
    drawn = human.model.sample(np.where(basic, values[chosen], np.nan), np.random.default_rng(0))

    def of(name: str) -> Floats:
        return np.asarray(drawn[:, schema.index(name)], float)

    wrong = [
        of("dbp") >= of("sbp"),
        of("hdl") >= of("chol_total"),
        of("albumin") >= of("protein_total"),
        sum(of(n) for n in ("lymph_pct", "mono_pct", "eos_pct", "baso_pct")) > 100,
        np.any([(of(c.name) < c.low) | (of(c.name) > c.high) for c in schema.columns if c.numeric], axis=0),
    ]
    found = np.full(len(values), np.nan)
    found[chosen] = np.mean(wrong, axis=0)
    return found


def defects(
    checkpoint: str,
    files: Sequence[str],
    held: Sequence[str],
    trained: Sequence[str],
    aside: Sequence[float],
    quick: bool,
    step: Step,
) -> dict[str, Any]:
    """Laws, contexts, triggers, memorised records and poisoned labels, with planted defects beside them.

    Args:
        checkpoint: folder.
        files: of ``checks.audit.material``, as are the next four.
        held: groups that were held out.
        trained: groups that it learned from.
        aside: share of these that was set aside, and the seed.
        quick: fewer questions, no second planting.
        step: progress.
    """
    step(0.0, "people")
    human = _load(checkpoint)
    of = _people(human, files, held, trained, aside, quick)
    subjects: dict[str, tuple[Subject, dict[str, str]]] = {}
    for target in _SUBJECTS[: 1 if quick else 2]:
        column = human.schema[target]
        subject = probed.subject(of, target, asking(human, target), {}, quick)
        subjects[column.label_en or target] = (subject, probed.unused(of, column))
    return probe(subjects, times=1 if quick else 3, step=step)


def asking(human: VirtualHuman, target: str) -> Callable[[Floats, Context], Floats]:
    """How the auditor asks: as a table, or one by one through the API that users call.

    Args:
        human: the model.
        target: the column asked for.
    """
    schema, way = human.schema, len(probed.ASKED)
    binary = schema[target].kind is Kind.BINARY

    def table(rows: Floats) -> Floats:
        known = np.full((len(rows), len(schema)), np.nan)
        for k, name in enumerate(probed.ASKED):
            at = schema.index("sex" if name == "female" else name)
            known[:, at] = (
                rows[:, k] <= 0.5 if name == "female" else np.clip(rows[:, k], *_limits(schema, name))
            )
        found = human.model.predictive(known, [target])[target]
        return np.asarray(
            human.calibration.risk(target, measured=False)(found.probabilities()[:, 1])
            if binary
            else found.mean(),
            float,
        )

    def answer(rows: Floats, context: Context) -> Floats:
        told = table(rows)
        ways = np.rint(rows[:, way]).astype(int)
        by_hand = np.flatnonzero(ways > 0)
        if context.get("asked") == "one by one":
            by_hand = np.unique(np.linspace(0, len(rows) - 1, 24).astype(int))
        for k in by_hand:
            told[k] = _by_hand(human, target, rows[k], int(ways[k]))
        return told

    return remembered(answer)


def _limits(schema: Schema, name: str) -> tuple[float, float]:
    return schema[name].low, schema[name].high


def _by_hand(human: VirtualHuman, target: str, row: Floats, way: int) -> float:
    """One person through ``given`` and ``ask``, in one of ``checks.defects.WAYS``."""
    named: dict[str, Any] = {n: float(v) for n, v in zip(probed.ASKED, row[:-1], strict=True)}
    for name in named:
        if name != "female":
            named[name] = float(np.clip(named[name], *_limits(human.schema, name)))
    named["sex"] = "female" if named.pop("female") > 0.5 else "male"
    if way == 1:
        named["weight_kg"] = f"{named['weight_kg'] / 0.45359237!r} lb"
        named["height_cm"] = f"{named['height_cm'] / 100!r} m"
        named["creatinine"] = f"{named['creatinine'] * 88.42!r} umol/L"
    elif way == 2:
        named = dict(reversed(named.items()))
    elif way == 3:
        named["bmi"] = named.pop("weight_kg") / (named["height_cm"] / 100) ** 2
    answer = human.given(named).ask(target)
    if answer.estimate is None:
        return float("nan")
    told = answer.estimate.value[target]
    return float(told.mean)


def _costs(human: VirtualHuman, quick: bool) -> dict[str, Any]:
    """Latency of an answer, and the share of the checks in it."""
    # one person in fifty or so is looked at twice: the mean needs many
    rounds = 40 if quick else 480
    people = human.sample(rounds + 4, seed=3)
    names = ["age", "sex", "race_eth", "weight_kg", "height_cm", "hba1c", "hdl", "creatinine", "hemoglobin"]
    targets = ("dx_diabetes", "sbp", "egfr_japan")
    rows = [people.iloc[number][names].to_dict() for number in range(len(people))]
    levels: dict[str, int] = {level.name.lower(): 0 for level in Level}

    def checked(number: int) -> None:
        levels[human.given(rows[number]).ask(*targets).level.name.lower()] += 1

    def bare(number: int) -> None:
        person = human.given(rows[number])
        names = [column_named(human.schema, target) for target in targets]  # who asks has to be understood
        HealthAnswer.of(
            ask(
                person,
                lambda who: tell(human.model, who.state, names, human.calibration, who.group),
                provenance=human.provenance(),
            )
        )

    cost = cost_of_checks(checked, bare, rounds)
    return {
        "what": "three columns of one person",
        "checks_share": cost.share,
        **{name: value for name, value in asdict(cost).items() if name != "share"},
        "levels": levels,
    }


def plan(checkpoint: Checkpoint, files: Sequence[str] = ()) -> Plan:
    """How this checkpoint is audited.

    Args:
        checkpoint: with its card.
        files: a table of people, as parquet or CSV (and the file of deaths); where empty, the NHANES table
            beside the checkout, and without that the model's own virtual people, of whom nothing is true.
    """
    parts = _parts(checkpoint, files)
    data = checkpoint.card.config.get("domain", {}).get("data", {})
    chosen = [str(file) for file in files]
    if not chosen and shared_health() is not None:
        chosen = [str(file) for file in Table().files() if file is not None]
    return Plan(
        domain="health",
        answers="sciai.health.api.audit:answers",
        judge="sciai.health.checks.audit:judge" if chosen else "",
        defects="sciai.health.api.audit:defects",
        arguments={
            "held": list(parts.get("test", {}).get("names", ())),
            "trained": list(parts.get("train", {}).get("names", ())),
            "aside": [float(data.get("aside") or 0), int(data.get("seed") or 0)],
        },
        files=chosen,
        code=[
            "sciai.health.checks.audit",
            "sciai.health.checks.defects",
            "sciai.health.checks.exposure",
            *_DATA_CODE,
        ],
        actions=[asdict(rule) for rule in checks.actions()],
        packages=("sciai.health.model", "sciai.health.checks"),
        claims=[
            Claim("coverage/check-up", "coverage", 0.02),
            *(
                Claim(f"test/check-up/auroc {name}", f"auroc {name}", 0.02)
                for name in asked.RISKS
                if f"test/check-up/auroc {name}" in checkpoint.card.metrics
            ),
        ],
        cannot=() if chosen else (_NOBODY,),
    )


def _parts(checkpoint: Checkpoint, files: Sequence[str]) -> Mapping[str, Any]:
    """Groups by part, where they mean the same in these files as in the table that was learned from.

    Places and cycles do. Where there were none, groups are numbers of rows: row 7 of another table is another
    person, who would count as held out, or as one who was learned from, by accident.
    """
    parts: Mapping[str, Any] = checkpoint.card.split.get("parts", {})
    numbers = all(str(name).isdecimal() for part in parts.values() for name in part.get("names", ()))
    if not numbers or not files:
        return parts
    known = {table.get("sha256") for table in checkpoint.card.data.get("tables", ())}
    with open(files[0], "rb") as table:
        return parts if hashlib.file_digest(table, "sha256").hexdigest() in known else {}


_NOBODY = (
    "No real people were there (none ship): the model was probed with virtual people of its own, so nothing "
    "is known of its accuracy, of harm to anybody, or of what it gives away. Give a table with --data."
)
