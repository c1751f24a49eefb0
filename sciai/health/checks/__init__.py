"""What is looked at before and after a question about a person is answered: functions that give findings.

Levels given here are defaults; ``conf/guard/health.yaml`` decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from sciai.core.answer import Estimate, Finding, Level, Policy
from sciai.health.checks.question import BINARY, Question, parts_of
from sciai.health.checks.rules import FACTS, actions, facts, govern
from sciai.health.data.columns import Kind
from sciai.trust.policy import shipped_policy
from sciai.trust.stage import stage_findings

__all__ = [
    *("AFTER", "BEFORE", "CHECKS", "FACTS", "MEANING", "OF_CROWDS", "TREATMENTS", "Question"),
    *("actions", "facts", "govern", "policy"),
    "FACTS",
    "actions",
    "facts",
    "govern",
]

MEANING: Final = (
    "a reference value, not a diagnosis: what is usual among US adults as a survey sampled them (NHANES "
    "2011-2018; not the population, unless its weights were asked for) of whom the same is known; diagnoses "
    "are self-reported and prevalent (ever told), not a forecast"
)
YOUNGEST: Final = 20.0
OLDEST: Final = 80.0
FEWEST_CASES: Final = 50  # below it a risk is refused
FEW_CASES: Final = 200  # below it a risk is doubtful
FEW_PEOPLE: Final = 20.0  # similar people among those learned from
TOO_FEW_PEOPLE: Final = 3.0
RARE: Final = 0.001  # share of people with a stranger combination of values
WIDE: Final = 0.1  # disagreement of the model's members about a risk

TREATMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "dx_diabetes": ("rx_insulin", "rx_diabetes_pills", "rx_metformin"),
    "dx_hypertension": ("rx_bp",),
    "dx_high_chol": ("rx_chol", "rx_statin"),
    "dx_thyroid": ("rx_levothyroxine",),
    "dx_gout": ("rx_allopurinol",),
}
"""Diagnosis -> treatments that are hardly taken without it."""

CHECKS: Final = frozenset(
    {
        *("meaning", "age", "nobody", "pregnant", "implausible", "unit-conversion", "unit-suspicion"),
        *("unit-guess", "bound", "rounded", "ignored", "calculated", "contradiction", "era"),
        *("outlier", "similar", "subgroup", "few_cases", "target_given", "revealed", "uncalibrated"),
        *("constraint", "spread", "finite", "association", "cannot_tell", "extrapolation"),
    }
)
"""Names of all findings on health questions; ``conf/guard/health.yaml`` may name these and the default's."""


@cache
def policy() -> Policy:
    """Check -> level, from ``conf/guard/default.yaml`` and ``conf/guard/health.yaml``.

    Raises:
        BadInput: a level or the name of a check does not exist.

    >>> policy()["implausible"].name
    'REFUSE'
    """
    return shipped_policy(CHECKS, "health")


_MEANING: Final = Finding("meaning", Level.OK, MEANING)


def meaning(question: Question) -> Iterable[Finding]:
    """What every answer means, and does not."""
    yield _MEANING


def stage(question: Question) -> Iterable[Finding]:
    """The release stage of the model, and whether it covers the declared use."""
    yield from stage_findings(question.standing)


def on_the_way_in(question: Question) -> Iterable[Finding]:
    """Units converted, values solved for, values that contradict each other."""
    yield from question.notes


def age(question: Question) -> Iterable[Finding]:
    """Adults of 20 to 80 years were learned from; 80 stands for 80 and over."""
    years = question.given.get("age")
    if years is None:
        message = "no age was given: the answer is about adults of all ages"
        yield Finding("nobody", Level.OK, message, "age")
    elif years < YOUNGEST:
        message = f"{years:g} years: only adults of 20 and over were learned from, so nothing can be said"
        yield Finding("age", Level.REFUSE, message, "age")
    elif years > OLDEST:
        message = f"{years:g} years: everybody over 80 counts as 80 in the survey; read it as '80 and over'"
        yield Finding("extrapolation", Level.CAUTION, message, "age")


def pregnant(question: Question) -> Iterable[Finding]:
    """Few of those learned from were pregnant, and pregnancy moves most values."""
    if question.value("pregnant") == 1.0:
        seen = question.calibration.cases.get("pregnant")
        few = f"only {seen[0]} pregnant women were learned from" if seen else "few were learned from"
        message = f"pregnancy moves most values and {few}: do not rely on intervals and risks"
        yield Finding("pregnant", Level.CAUTION, message, "pregnant")
        if question.level("sex") == "male" or (question.value("age") or 0.0) > 60:
            message = "pregnant contradicts sex or age; check them"
            yield Finding("contradiction", Level.REFUSE, message, "pregnant")


def contradictions(question: Question) -> Iterable[Finding]:
    """Values that cannot be together in one body, or hardly."""
    v = question.known.get

    def found(level: Level, where: str, message: str) -> Finding:
        return Finding("contradiction", level, f"{message}; check the values and their units", where)

    for part, whole in (("hdl", "chol_total"), ("albumin", "protein_total")):
        a, b = v(part), v(whole)
        if a is not None and b is not None and a >= b:
            yield found(Level.REFUSE, part, f"{part} {a:g} is part of {whole} {b:g} and cannot exceed it")
    ldl, total = question.given.get("ldl"), v("chol_total")
    if ldl is not None and total is not None and ldl >= total:
        yield found(Level.REFUSE, "ldl", f"ldl {ldl:g} is part of chol_total {total:g} and cannot exceed it")
    upper, lower = v("sbp"), v("dbp")
    if upper is not None and lower is not None and lower >= upper:
        yield found(Level.REFUSE, "dbp", f"dbp {lower:g} is not below sbp {upper:g}")
    cells = [v(name) for name in ("lymph_pct", "mono_pct", "eos_pct", "baso_pct")]
    share = sum(c for c in cells if c is not None) + question.given.get("neut_pct", 0.0)
    if share > 102:
        yield found(Level.REFUSE, "lymph_pct", f"the white cells' percentages sum to {share:.4g}")
    waist, height = v("waist_cm"), v("height_cm")
    if waist is not None and height is not None and waist > 1.3 * height:
        yield found(Level.CAUTION, "waist_cm", f"a waist of {waist:g} cm at a height of {height:g} cm")
    if question.level("smoking") in ("never", "former") and (v("cig_per_day") or 0) > 0:
        yield found(Level.CAUTION, "cig_per_day", "cigarettes per day of somebody who does not smoke")
    if v("alcohol_days_per_year") == 0 and (v("alcohol_drinks_per_day") or 0) > 0:
        yield found(Level.CAUTION, "alcohol_drinks_per_day", "drinks of somebody who does not drink")
    for diagnosis, treatments in TREATMENTS.items():
        if v(diagnosis) == 0.0:
            for taken in [t for t in treatments if v(t) == 1.0][:1]:
                yield found(Level.CAUTION, diagnosis, f"{taken} is yes, {diagnosis} is no")


def targets(question: Question) -> Iterable[Finding]:
    """What is asked for: given already, too rarely seen, or never calibrated."""
    for name in question.targets:
        if name in question.given or question.value(name) is not None:
            message = (
                f"{name} was given itself (or follows from what was given), so there is nothing to estimate; "
                f"leave it out with .without({name!r}) to see what the other values say, or ask .unusual()"
            )
            yield Finding("target_given", Level.REFUSE, message, name)
        yield from few_cases(question, name)
        if name in question.calibration.groups:
            yield from subgroup(question, name)
        if name in TREATMENTS:
            yield from revealed(question, name)
    unknown = [n for n in question.targets if not _calibrated(question, n)]
    if unknown:
        message = f"{_listed(unknown)}: never calibrated on held-out people; the interval is the model's own"
        yield Finding("uncalibrated", Level.CAUTION, message, unknown[0])


def few_cases(question: Question, name: str) -> Iterable[Finding]:
    """A yes/no target that few of those learned from had."""
    cases, asked = question.calibration.cases.get(name, (FEW_CASES, FEW_CASES))
    if cases < FEWEST_CASES:
        message = f"only {cases} of the {asked} people it was learned from had it: too few to tell a risk"
        yield Finding("few_cases", Level.REFUSE, message, name)
    elif cases < FEW_CASES:
        message = f"{cases} of the {asked} people it was learned from had it: the risk is rough"
        yield Finding("few_cases", Level.CAUTION, message, name)


def subgroup(question: Question, name: str) -> Iterable[Finding]:
    """A group of held-out people whose risks did not fit what was observed."""
    fits = question.calibration.groups.get(name, {})
    for group in (question.group, question.level("race_eth")):
        fit = fits.get(group or "")
        if fit is None or group == "all" or fit.n < 50:
            continue
        if abs(fit.gap) > 0.02 and abs(fit.z) > 2.58:  # the cheap look first
            way = "too high" if fit.gap > 0 else "too low"
            message = (
                f"held-out {_people(str(group))} had it in {100 * fit.cases / fit.n:.0f} % where "
                f"{100 * fit.expected / fit.n:.0f} % was told: for them this risk is {way}"
            )
            yield Finding("subgroup", Level.CAUTION, message, name)


def _people(group: str) -> str:
    """A group of ``group_of``, or an ethnicity, in words.

    >>> _people("male|40-59"), _people("female|60+"), _people("non-Hispanic black")
    ('men aged 40 to 59', 'women aged 60 and over', 'people (non-Hispanic black)')
    """
    sex, _, age = group.partition("|")
    if not age:
        return f"people ({group})"
    years = age.replace("-", " to ") if "-" in age else f"{age.removesuffix('+')} and over"
    return f"{'men' if sex == 'male' else 'women'} aged {years}"


def revealed(question: Question, name: str) -> Iterable[Finding]:
    """A treatment that all but tells the diagnosis."""
    taken = [t for t in TREATMENTS.get(name, ()) if question.value(t) == 1.0]
    if taken:
        message = f"{_listed(taken)} is taken because of it: this risk repeats that answer and finds nothing"
        yield Finding("revealed", Level.CAUTION, message, name)


def outlier(question: Question) -> Iterable[Finding]:
    """A combination of values that hardly anybody has."""
    if question.strangeness is None or (question.plain is not None and question.plain()):
        return
    p = question.strangeness()
    if p <= RARE:
        message = (
            f"about {max(p, 1e-6):.2g} of people have so unusual a combination of values: a mistyped value, "
            "another unit, or a body unlike those learned from; .unusual() shows which values carry it"
        )
        yield Finding("outlier", Level.CAUTION, message)


def similar(question: Question) -> Iterable[Finding]:
    """Whether enough people like this one were learned from."""
    if question.similar is None:
        return
    n = question.similar()
    if n < FEW_PEOPLE:
        level = Level.REFUSE if n < TOO_FEW_PEOPLE else Level.CAUTION
        count = "fewer than 1" if n < 1 else f"about {n:.0f}"
        message = (
            f"{count} of the {question.calibration.trained_on} people learned from are of this sex and "
            "decade of age and gave the rarest of the given answers: few to lean on"
        )
        yield Finding("similar", level, message)


def constraints(question: Question) -> Iterable[Finding]:
    """Calculated values whose inputs are not all known."""
    for name, wanted in question.waiting.items():
        inputs = question.schema.derived_named(name).inputs
        unknown = [n for n in inputs if question.value(n) is None]
        message = f"{name} = {wanted:g} is kept as a constraint on {_listed(unknown)}, which stay unknown"
        yield Finding("constraint", Level.OK, message, name)


def finite(question: Question, estimate: Estimate[Any]) -> Iterable[Finding]:
    """No number that is none."""
    for name, told in parts_of(estimate):
        # a sum with one that is not finite is not finite
        total = sum(told.probabilities.values())
        if told.kind != "categorical":
            total += told.mean + told.sd + sum(told.interval)
        if not math.isfinite(total):
            yield Finding("finite", Level.REFUSE, "the model gave no number for it", name)


def spread(question: Question, estimate: Estimate[Any]) -> Iterable[Finding]:
    """Risks that the model's members disagree about."""
    for name, told in parts_of(estimate):
        if told.kind == BINARY and told.spread > WIDE:
            message = f"the model's parts disagree by {100 * told.spread:.0f} points about this risk"
            yield Finding("spread", Level.CAUTION, message, name)


def withheld(question: Question, estimate: Estimate[Any]) -> Iterable[Finding]:
    """Risks of a list that are not shown, or shown with doubts, and why."""
    yield from getattr(estimate.value, "doubts", ())
    for name, reason in getattr(estimate.value, "withheld", {}).items():
        yield Finding("cannot_tell", Level.CAUTION, f"cannot tell: {reason}", name)


BEFORE: Final = (
    *(meaning, stage, on_the_way_in, age, pregnant, contradictions, targets, outlier, similar, constraints),
)
OF_CROWDS: Final = (meaning, stage, targets)
AFTER: Final = (finite, spread, withheld)


def _calibrated(question: Question, name: str) -> bool:
    if name not in question.schema:
        return name in question.calibration.widths
    if question.schema[name].kind is Kind.CATEGORICAL:
        return True  # its probabilities are shown as they are, without an interval
    return name in question.calibration.widths or name in question.calibration.risks


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
