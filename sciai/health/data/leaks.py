"""Which columns give another column's answer away, and the two sets of inputs that figures are quoted for.

A risk of hypertension that was read off the blood-pressure drug is no risk but a tautology. What is listed
here is left out of the inputs when a target is scored, and said to be left out when a person asks. One list,
so that the answers and the benchmarks agree. Derived columns (BMI, eGFR, osmolality ...) are not listed: they
are computed from free ones and never inputs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sciai.core.errors import BadInput

__all__ = ["BASIC", "INPUTS", "LEAKS", "LIFESTYLE", "inputs_of", "leaks_of"]

# rx_*: taken because of the diagnosis. Blood pressure for hypertension: the diagnosis is that number. The
# prediabetes question is not asked of diabetics, that of fatty liver only of people with a liver disease.
_DIABETES = ("dx_diabetes", "rx_insulin", "rx_diabetes_pills", "rx_metformin", "dx_prediabetes")
_PRESSURE = ("dx_hypertension", "rx_bp")
_CHOLESTEROL = ("dx_high_chol", "rx_chol", "rx_statin")
_THYROID = ("dx_thyroid", "rx_levothyroxine")
_GOUT = ("dx_gout", "rx_allopurinol")
_LIVER = ("dx_liver", "dx_fatty_liver")
# The same quantity measured twice, or an identity between columns that are all free.
_CHOL = ("chol_total", "chol_serum", "ldl")
_TRIG = ("trig_serum", "trig_fasting")
_GLUCOSE = ("glucose_serum", "glucose_fasting")
_RED = ("hemoglobin", "hematocrit", "mch", "mchc")

LEAKS: dict[str, tuple[str, ...]] = {
    name: tuple(other for other in family if other != name)
    for family in (
        _DIABETES, _PRESSURE, _CHOLESTEROL, _THYROID, _GOUT, _LIVER, _CHOL, _TRIG, _GLUCOSE, _RED
    )
    for name in family
}  # fmt: skip
LEAKS["dx_hypertension"] += ("sbp", "dbp")
# The five percentages of the white cells sum to 100: without the largest one none of them is determined.
LEAKS |= dict.fromkeys(("lymph_pct", "mono_pct", "eos_pct", "baso_pct"), ("neut_pct",))
LEAKS["neut_pct"] = ("lymph_pct",)
# Friedewald: LDL was not measured but computed from total and HDL cholesterol and fasting triglycerides
LEAKS["ldl"] += ("trig_fasting",)
LEAKS["trig_fasting"] += ("ldl",)
LEAKS["hdl"] = ("ldl",)

LIFESTYLE = ("smoking", "alcohol_days_per_year", "alcohol_drinks_per_day")
BASIC = ("age", "sex", "cycle", "height_cm", "weight_kg", "waist_cm", "sbp", "dbp", "pulse", *LIFESTYLE)
INPUTS = ("basic", "check-up")


def leaks_of(target: str) -> frozenset[str]:
    """The columns that may not be used to estimate a target.

    Args:
        target: name of a column; one that is not listed has no leaks.

    >>> sorted(leaks_of("dx_hypertension"))
    ['dbp', 'rx_bp', 'sbp']
    """
    return frozenset(LEAKS.get(target, ()))


def inputs_of(which: str, target: str, columns: Iterable[tuple[str, str]]) -> Sequence[str]:
    """The columns of an input set, without the target and what gives it away.

    Args:
        which: "basic" (age, sex, assay era, body, blood pressure, smoking, alcohol) or "check-up" (also the
            laboratory and the blood count).
        target: the column that is asked for.
        columns: name and group of each free column.

    Returns:
        Names, in the order of ``columns``.

    Raises:
        BadInput: on another input set.

    >>> list(inputs_of("check-up", "hba1c", [("age", "person"), ("hba1c", "lab"), ("ggt", "lab")]))
    ['age', 'ggt']
    """
    if which not in INPUTS:
        fix = f"use {', '.join(INPUTS)} or all"
        raise BadInput(f"no input set is called {which!r}", field="inputs", fix=fix)
    groups = ("lab", "blood_count") if which == "check-up" else ()
    out = leaks_of(target) | {target}
    return [name for name, group in columns if name not in out and (name in BASIC or group in groups)]
