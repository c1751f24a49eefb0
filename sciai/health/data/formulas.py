"""Quantities that are computed from measured ones: never modelled, always consistent.

Each has a formula, and the way back for one of its inputs (``solved``), so that a known derived value can act
as a constraint on the free columns. All functions take and give arrays of one shape; NaN goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FORMULAS", "Formula"]

Floats = npt.NDArray[np.float64]
Values = Mapping[str, Floats]
MALE = 1.0  # the level of ``sex``


@dataclass(frozen=True)
class Formula:
    """How a derived quantity follows from free columns.

    Attributes:
        inputs: names of the free columns.
        compute: their values -> the quantity.
        solved: the input that ``solve`` finds.
        solve: (values of the other inputs, the derived value) -> that input.
    """

    inputs: tuple[str, ...]
    compute: Callable[[Values], Floats]
    solved: str
    solve: Callable[[Values, Floats], Floats]


def _ckd_epi(v: Values) -> Floats:
    """CKD-EPI 2021 without race: Inker et al. 2021, NEJM 385:1737; mL/min/1.73 m2."""
    male = v["sex"] == MALE
    ratio = v["creatinine"] / np.where(male, 0.9, 0.7)
    low = np.minimum(ratio, 1) ** np.where(male, -0.302, -0.241)
    high = np.maximum(ratio, 1) ** -1.2
    result = 142 * low * high * 0.9938 ** v["age"] * np.where(male, 1.0, 1.012)
    return np.where(np.isnan(v["sex"]), np.nan, result)


def _ckd_epi_back(v: Values, egfr: Floats) -> Floats:
    male = v["sex"] == MALE
    rest = egfr / (142 * 0.9938 ** v["age"] * np.where(male, 1.0, 1.012))
    power = np.where(rest >= 1, np.where(male, -0.302, -0.241), -1.2)
    return np.where(np.isnan(v["sex"]), np.nan, rest ** (1 / power) * np.where(male, 0.9, 0.7))


def _japan(v: Values) -> Floats:
    """Matsuo et al. 2009, Am J Kidney Dis 53:982; mL/min/1.73 m2."""
    sex = np.where(np.isnan(v["sex"]), np.nan, np.where(v["sex"] == MALE, 1.0, 0.739))
    return np.asarray(194 * v["creatinine"] ** -1.094 * v["age"] ** -0.287 * sex)


def _japan_back(v: Values, egfr: Floats) -> Floats:
    sex = np.where(np.isnan(v["sex"]), np.nan, np.where(v["sex"] == MALE, 1.0, 0.739))
    return np.asarray((egfr / (194 * v["age"] ** -0.287 * sex)) ** (-1 / 1.094))


def _ldl(v: Values) -> Floats:
    """Friedewald et al. 1972, Clin Chem 18:499; not defined above 400 mg/dL of triglycerides."""
    value = v["chol_total"] - v["hdl"] - v["trig_fasting"] / 5
    return np.where(v["trig_fasting"] > 400, np.nan, value)


def _neutrophils(v: Values) -> Floats:
    return np.asarray(100 - v["lymph_pct"] - v["mono_pct"] - v["eos_pct"] - v["baso_pct"])


FORMULAS: dict[str, Formula] = {
    "bmi": Formula(
        ("weight_kg", "height_cm"),
        lambda v: v["weight_kg"] / (v["height_cm"] / 100) ** 2,
        "weight_kg",
        lambda v, y: y * (v["height_cm"] / 100) ** 2,
    ),
    "egfr": Formula(("creatinine", "age", "sex"), _ckd_epi, "creatinine", _ckd_epi_back),
    "egfr_japan": Formula(("creatinine", "age", "sex"), _japan, "creatinine", _japan_back),
    "hematocrit": Formula(
        ("rbc", "mcv"), lambda v: v["rbc"] * v["mcv"] / 10, "rbc", lambda v, y: 10 * y / v["mcv"]
    ),
    "mch": Formula(
        ("hemoglobin", "rbc"),
        lambda v: 10 * v["hemoglobin"] / v["rbc"],
        "rbc",
        lambda v, y: 10 * v["hemoglobin"] / y,
    ),
    "mchc": Formula(
        ("hemoglobin", "rbc", "mcv"),
        lambda v: 1000 * v["hemoglobin"] / (v["rbc"] * v["mcv"]),
        "mcv",
        lambda v, y: 1000 * v["hemoglobin"] / (v["rbc"] * y),
    ),
    "globulin": Formula(
        ("protein_total", "albumin"),
        lambda v: v["protein_total"] - v["albumin"],
        "protein_total",
        lambda v, y: y + v["albumin"],
    ),
    "osmolality": Formula(
        ("sodium", "glucose_serum", "bun"),
        lambda v: 1.86 * v["sodium"] + v["glucose_serum"] / 18 + v["bun"] / 2.8 + 9,
        "sodium",
        lambda v, y: (y - 9 - v["glucose_serum"] / 18 - v["bun"] / 2.8) / 1.86,
    ),
    "ldl": Formula(
        ("chol_total", "hdl", "trig_fasting"),
        _ldl,
        "chol_total",
        lambda v, y: np.where(v["trig_fasting"] > 400, np.nan, y + v["hdl"] + v["trig_fasting"] / 5),
    ),
    "non_hdl": Formula(
        ("chol_total", "hdl"),
        lambda v: v["chol_total"] - v["hdl"],
        "chol_total",
        lambda v, y: y + v["hdl"],
    ),
    "neut_pct": Formula(
        ("lymph_pct", "mono_pct", "eos_pct", "baso_pct"),
        _neutrophils,
        "lymph_pct",
        lambda v, y: 100 - y - v["mono_pct"] - v["eos_pct"] - v["baso_pct"],
    ),
}
