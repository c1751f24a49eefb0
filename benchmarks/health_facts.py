"""Facts of epidemiology and physiology as the model tells them, beside the survey that it learned from.

Each is one number of the population of US adults: a mean, a share, or a difference between groups. It is
computed the same way from participants of places that were left out of training, from all participants (the
survey's own weights), from `VirtualHuman.joint` of its columns, and from whole virtual people (both weighed
as the population). A 95 % interval comes from drawing sampling units with replacement, as they were sampled.
A figure is off where it differs from that of all places by more than both errors explain.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.health_data import add_models, describe, one_thread, people, table
from sciai.health import VirtualHuman
from sciai.health.api.crowd import Crowd
from sciai.health.data.columns import Schema

Columns = Mapping[str, np.ndarray]
Group = Callable[[Columns], np.ndarray]
DRAWS = 400


def between(low: float, high: float, sex: str | None = None) -> Group:
    """People of an age, and of a sex."""
    return lambda c: (c["age"] >= low) & (c["age"] < high) & ((sex is None) | (c["sex"] == (sex == "male")))


@dataclass(frozen=True)
class Fact:
    """A mean of a column in a group, less that in another where there is one."""

    name: str
    column: str
    group: Group
    less: Group | None = None
    above: float | None = None  # share of people above it, instead of the mean
    digits: int = 1
    known: tuple[str, ...] = ("age", "sex")  # columns that make the groups

    def of(self, columns: Columns, weights: np.ndarray) -> float:
        """The number, in the column's unit; shares and yes/no columns in %."""
        told = self._mean(columns, weights, self.group)
        return told if self.less is None else told - self._mean(columns, weights, self.less)

    def _mean(self, columns: Columns, weights: np.ndarray, group: Group) -> float:
        x = columns[self.column]
        x = x if self.above is None else np.where(np.isnan(x), np.nan, x > self.above)
        own = group(columns) & np.isfinite(x) & (weights > 0)
        if not own.any():
            return float("nan")
        scale = 100.0 if self.above is not None or self.column.startswith(("dx_", "death")) else 1.0
        return scale * float(np.average(x[own], weights=weights[own]))


def both(*groups: Group) -> Group:
    """People of all groups."""
    return lambda c: np.logical_and.reduce([g(c) for g in groups])


def high(name: str, least: float) -> Group:
    """People whose value is at least so high."""
    return lambda c: c[name] >= least


def low(name: str, below: float) -> Group:
    """People whose value is below."""
    return lambda c: c[name] < below


def level(name: str, number: int) -> Group:
    """People of one level."""
    return lambda c: c[name] == number


MEN, WOMEN = between(20, 200, "male"), between(20, 200, "female")
FACTS = (
    Fact("1 told of diabetes, 20 to 39, %", "dx_diabetes", between(20, 40)),
    Fact("  40 to 59", "dx_diabetes", between(40, 60)),
    Fact("  60 and over", "dx_diabetes", between(60, 200)),
    Fact("  HbA1c, 60 and over less 20 to 39, %", "hba1c", between(60, 200), between(20, 40), digits=2),
    Fact("2 systolic pressure, women of 20 to 39, mmHg", "sbp", between(20, 40, "female")),
    Fact("  men of 20 to 39", "sbp", between(20, 40, "male")),
    Fact("  women of 60 and over", "sbp", between(60, 200, "female")),
    Fact("  men of 60 and over", "sbp", between(60, 200, "male")),
    Fact("3 hemoglobin, men less women, g/dL", "hemoglobin", MEN, WOMEN, digits=2),
    Fact(
        "  MCV, women below 12 g/dL less others, fL",
        "mcv",
        both(between(20, 50, "female"), low("hemoglobin", 12)),
        both(between(20, 50, "female"), high("hemoglobin", 12)),
        known=("age", "sex", "hemoglobin"),
    ),
    Fact(
        "4 told of diabetes, BMI 30 and over less below 25, %",
        "dx_diabetes",
        high("bmi", 30),
        low("bmi", 25),
        known=("age", "sex", "bmi"),
    ),
    Fact(
        "5 HDL, smokers less never smokers, mg/dL",
        "hdl",
        level("smoking", 2),
        level("smoking", 0),
        known=("age", "sex", "smoking"),
    ),
    Fact("6 eGFR, 20 to 39, mL/min/1.73 m2", "egfr", between(20, 40)),
    Fact("  60 to 79", "egfr", between(60, 80)),
    Fact("  below 60 at 70 and over, %", "egfr_low", between(70, 200), above=0.5),
    Fact(
        "7 told of gout, uric acid 7 and over less below 6, %",
        "dx_gout",
        high("uric_acid", 7),
        low("uric_acid", 6),
        known=("age", "sex", "uric_acid"),
    ),
    Fact("  uric acid, men less women, mg/dL", "uric_acid", MEN, WOMEN, digits=2),
    Fact(
        "8 ALT, men, BMI 30 and over less below 25, U/L",
        "alt",
        both(MEN, high("bmi", 30)),
        both(MEN, low("bmi", 25)),
        known=("age", "sex", "bmi"),
    ),
    Fact("9 died within 5 years, 40 to 59, %", "death_5y", between(40, 60)),
    Fact("  60 to 79", "death_5y", between(60, 80)),
    Fact("  80 and over", "death_5y", between(80, 200)),
    Fact("10 told of coronary heart disease, men of 60 and over, %", "dx_chd", between(60, 200, "male")),
    Fact("  women of 60 and over", "dx_chd", between(60, 200, "female")),
)


def columns_of(schema: Schema, values: np.ndarray) -> dict[str, np.ndarray]:
    """Free and calculated columns by name; levels by their number."""
    found = {n: values[:, i] for i, n in enumerate(schema.names)} | schema.compute(values)
    found["egfr_low"] = np.where(np.isnan(found["egfr"]), np.nan, found["egfr"] < 60)
    return found


def interval(
    fact: Fact, columns: Columns, weights: np.ndarray, units: np.ndarray, seed: int
) -> tuple[float, float]:
    """95 % by drawing sampling units with replacement."""
    rng, names = np.random.default_rng(seed), np.unique(units, return_inverse=True)
    drawn = [
        fact.of(columns, weights * np.bincount(rng.integers(0, len(names[0]), len(names[0])),
                                               minlength=len(names[0]))[names[1]])
        for _ in range(DRAWS)
    ]  # fmt: skip
    return float(np.nanquantile(drawn, 0.025)), float(np.nanquantile(drawn, 0.975))


def error(fact: Fact, columns: Columns, weights: np.ndarray, parts: int = 20) -> float:
    """Standard error of a figure of independent virtual people, from the spread of parts of them."""
    place = np.arange(len(weights)) % parts
    told = [
        fact.of({k: v[place == j] for k, v in columns.items()}, weights[place == j]) for j in range(parts)
    ]
    return float(np.nanstd(told, ddof=1) / parts**0.5)


def main() -> None:
    """Print one line for each fact."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_models(parser)
    parser.add_argument("--people", type=int, default=20_000, help="virtual people")
    given = parser.parse_args()
    one_thread()
    found = people()
    from sciai.core.run import build_data, compose

    dataset = build_data(compose("health")).dataset
    schema, units = found.schema, np.array(found.groups)
    real = columns_of(schema, found.values)
    weights = np.asarray(dataset.weights, float)
    outcome = weights * np.asarray(dataset.outcome_weights, float)
    test = np.zeros(len(weights), bool)
    test[found.rows("test")] = True
    for name in given.model:
        human = VirtualHuman.load(path=name) if "/" in name else VirtualHuman.load(name)
        whole = human.crowd(n=given.people, population=True)
        rows, odd = [], np.zeros(2, int)
        drawn: dict[tuple[str, ...], Crowd] = {}
        for k, fact in enumerate(FACTS):
            own = outcome if fact.column == "death_5y" else weights
            column = "egfr" if fact.column == "egfr_low" else fact.column
            names = (*fact.known, column)
            if names not in drawn:
                drawn[names] = human.joint(names, n=given.people // 2, population=True)
            crowd = drawn[names]
            told = []
            for people_ in (crowd, whole):
                virtual = columns_of(schema, schema.encode(people_.table))
                virtual |= {
                    n: people_.table[n].to_numpy(float) for n in people_.table if n in ("bmi", "egfr")
                }
                virtual["egfr_low"] = np.where(np.isnan(virtual["egfr"]), np.nan, virtual["egfr"] < 60)
                told.append((fact.of(virtual, people_.weights), error(fact, virtual, people_.weights)))
            parts = (test, np.ones(len(test)))
            ends = [interval(fact, real, own * part, units, k) for part in parts]
            seen = [fact.of(real, own * part) for part in parts]
            sd = (ends[1][1] - ends[1][0]) / 3.92
            off = [abs(x - seen[1]) > 1.96 * float(np.hypot(sd, e)) for x, e in told]
            odd += off
            d = fact.digits
            spans = [f"{x:.{d}f} ({a:.{d}f} to {b:.{d}f})" for x, (a, b) in zip(seen, ends, strict=True)]
            ours = [f"{x:.{d}f}{' *' if far else '  '}" for (x, _), far in zip(told, off, strict=True)]
            rows.append((fact.name, *ours, *spans))
        print(f"{describe(name)}: {len(whole):,} virtual people, {test.sum()} held out, {len(test):,} in all")
        print(table(rows, ("fact", "joint  ", "virtual people  ", "held-out places", "all places")))
        print(f"* off by more than chance: {odd[0]} and {odd[1]} of {len(FACTS)} (one would be by chance)")


if __name__ == "__main__":
    main()
