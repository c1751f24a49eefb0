"""Calculated values as constraints: solved for an input, held against their inputs, kept side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.columns import Column, Derived, Schema

__all__ = [
    "agreement",
    "apart",
    "follows",
    "measured_otherwise",
    "show",
    "side_by_side",
    "solve_for",
    "solved_for",
]

Floats = npt.NDArray[np.float64]


def show(schema: Schema, name: str, value: float) -> str:
    """A value as people read it: rounded as the table rounds, with its unit, or the name of the level.

    >>> from sciai.health.data.columns import default_schema
    >>> show(default_schema(), "hba1c", 5.52), show(default_schema(), "sex", 1.0)
    ('5.5 %', 'male')
    """
    column = schema[name] if name in schema else schema.derived_named(name)
    if isinstance(column, Column) and not column.numeric:
        return column.levels[int(value)]
    unit = "" if column.unit == "1" else " years" if column.unit == "a" else f" {column.unit}"
    return f"{value:.{column.decimals}f}{unit}"


def solve_for(schema: Schema, derived: Derived, inputs: Mapping[str, Any], name: str, wanted: Any) -> Floats:
    """One input of a calculated quantity, from its value and the other inputs; NaN where none fits.

    Args:
        schema: the columns.
        derived: the quantity.
        inputs: the other inputs, arrays of one shape (n,) or numbers.
        name: the input that is wanted; a number between its plausible limits.
        wanted: the quantity's value, a number or shape (n,).
    """
    shape = np.broadcast_shapes(*(np.shape(v) for n, v in inputs.items() if n != name), np.shape(wanted))
    if name == derived.solved:
        return np.broadcast_to(derived.solve(inputs, wanted), shape).astype(float)
    column = schema[name]
    if not column.numeric or not math.isfinite(column.low) or not math.isfinite(column.high):
        return np.full(shape, np.nan)
    others = {n: np.broadcast_to(np.asarray(v, float), shape) for n, v in inputs.items() if n != name}
    target = np.broadcast_to(np.asarray(wanted, float), shape)
    low, high = np.full(shape, max(column.low, 1e-9)), np.full(shape, column.high)

    def gap(x: Floats) -> Floats:
        return np.asarray(derived.compute({**others, name: x}) - target)

    at_low, at_high = gap(low), gap(high)
    good = np.isfinite(at_low) & np.isfinite(at_high) & (at_low * at_high <= 0)
    for _ in range(60):  # bisection: all formulas are monotone in each numeric input
        middle = (low + high) / 2
        left = gap(middle) * at_low > 0
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.where(good, (low + high) / 2, np.nan)


def solved_for(
    schema: Schema, derived: Derived, inputs: Mapping[str, float], name: str, wanted: float
) -> float:
    """``solve_for`` of one person, in the plausible range of the input.

    Raises:
        BadInput: where no possible value of the input fits.
    """
    column = schema[name]
    found = float(solve_for(schema, derived, inputs, name, wanted))
    if not math.isfinite(found) or not column.low <= found <= column.high:
        rest = ", ".join(f"{n} {show(schema, n, v)}" for n, v in inputs.items() if n != name)
        told = f" (it would need {name} = {found:.4g})" if math.isfinite(found) else ""
        raise BadInput(
            f"{derived.name} {wanted:g} contradicts {rest}{told}",
            field=derived.name,
            unit=derived.unit,
            fix="check the values and their units",
        )
    return found


def side_by_side(
    schema: Schema, values: Floats, waiting: Mapping[str, float]
) -> tuple[dict[str, float], list[Finding]]:
    """Which calculated values can be kept side by side, those of fewest inputs first; what of others."""
    unknown = {
        name: [n for n in schema.derived_named(name).inputs if np.isnan(values[schema.index(n)])]
        for name in waiting
    }
    kept: dict[str, float] = {}
    findings: list[Finding] = []
    settled: dict[str, str] = {}
    for name in sorted(waiting, key=lambda n: len(unknown[n])):
        if any(n not in settled and not measured_otherwise(name, n) for n in unknown[name]):
            kept[name] = waiting[name]
            settled |= {n: name for n in unknown[name] if n not in settled}
            continue
        others = ", ".join(dict.fromkeys(settled[n] for n in unknown[name] if n in settled))
        message = f"{others} and {name} are about the same values; {name} is ignored here"
        findings.append(Finding("calculated", Level.OK, message, name))
    ldl, rest = waiting.get("ldl", math.nan), waiting.get("non_hdl", math.nan)
    if ldl > rest:
        message = (
            f"ldl {ldl:g} is part of non_hdl {rest:g} and cannot exceed it; check the values and their units"
        )
        findings.append(Finding("contradiction", Level.REFUSE, message, "ldl"))
    return kept, findings


def measured_otherwise(name: str, unknown: str) -> bool:
    """Whether a calculated value tells nothing of one of its inputs, though formulas can be turned.

    Friedewald's is an estimate of LDL: solved for triglycerides, its error would be multiplied by five.

    >>> measured_otherwise("ldl", "trig_fasting"), measured_otherwise("ldl", "hdl")
    (True, False)
    """
    return name == "ldl" and unknown == "trig_fasting"


def follows(schema: Schema, derived: Derived, name: str, values: Floats, wanted: float) -> Finding:
    """Says that an input was solved for."""
    value = show(schema, name, float(values[schema.index(name)]))
    message = f"{name} = {value} follows from {derived.name} = {show(schema, derived.name, wanted)}"
    return Finding("calculated", Level.OK, message, derived.name)


# how far a given value may lie from the calculated one: (rounding, another method), share of the value
_APART: Final[Mapping[str, tuple[float, float]]] = {
    "ldl": (0.15, 0.5),  # measured directly on many sheets, by Friedewald in the model
    "egfr": (0.05, 0.35),  # the Japanese equation gives 10 to 25 % less
    "egfr_japan": (0.05, 0.35),
    "osmolality": (0.025, 0.1),  # measured against calculated
    "globulin": (0.06, 0.25),
}


def apart(name: str) -> tuple[float, float]:
    """How far a given value may lie from the calculated one, as a share of it: (to agree, to be possible)."""
    return _APART.get(name, (0.03, 0.12))


def agreement(schema: Schema, derived: Derived, inputs: Mapping[str, float], wanted: float) -> Finding:
    """Holds a calculated value that was given against its inputs; methods differ by a little."""
    own = float(derived.compute(inputs))
    if not math.isfinite(own):
        return Finding(
            "calculated", Level.OK, "not defined for these values; what was given is ignored", derived.name
        )
    gap = abs(own - wanted) / max(abs(own), 1e-9)
    if abs(own - wanted) <= 2.5 * 10.0**-derived.decimals:
        gap = 0.0  # the rounding of what went in
    near, far = apart(derived.name)
    rest = ", ".join(f"{n} {show(schema, n, v)}" for n, v in inputs.items())
    both = f"{show(schema, derived.name, wanted)} was given, {rest} make {show(schema, derived.name, own)}"
    if gap <= near:
        return Finding(
            "calculated", Level.OK, f"{both}: they agree; the calculated one is used", derived.name
        )
    level = Level.REFUSE if gap > far else Level.CAUTION
    advice = "check these values and their units" if gap > far else "the calculated one is used"
    return Finding("contradiction", level, f"{both}; {advice}", derived.name)
